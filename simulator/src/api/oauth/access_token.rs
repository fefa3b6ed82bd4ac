//! Access tokens: opaque ones, and those in the form of a JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use rand::RngCore as _;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::world::World;
use crate::world::tokens::{Consent, Lifetime, new_access_token};

/// How long a JWT lives. Using it does not prolong that.
const JWT_LIFETIME: TimeDelta = TimeDelta::minutes(30);

/// Bytes of an RS256 signature with a key of 2,048 bits.
const SIGNATURE: usize = 256;

/// Makes an access token of the sort that the app wants.
pub(super) fn mint(
    world: &mut World,
    now: Timestamp,
    base_url: &str,
    consent: &Consent,
) -> (String, Lifetime) {
    if !world.app.jwt_access_tokens {
        let token = new_access_token(consent.caller.org, &mut world.rng);
        return (token, Lifetime::Idle(world.session_timeout));
    }
    let (org, user) = (consent.caller.org, consent.caller.user);
    let header = json!({
        "tnk": format!("core/prod/{org}"),
        "ver": "1.0",
        "kid": "simulator",
        "tty": "sfdc-core-token",
        "typ": "JWT",
        "alg": "RS256",
    });
    let claims = json!({
        "scp": consent.scope.to_string(),
        "aud": [base_url],
        "sub": format!("uid:{user}"),
        "nbf": now.timestamp(),
        "iss": base_url,
        "exp": (now + JWT_LIFETIME).timestamp(),
        "iat": now.timestamp(),
        "client_id": world.app.client_id,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // Nobody but Salesforce checks it, and this Salesforce knows its tokens by heart.
    let mut signature = [0; SIGNATURE];
    world.rng.fill_bytes(&mut signature);
    let signature = URL_SAFE_NO_PAD.encode(signature);
    let token = format!("{}.{}.{signature}", part(&header), part(&claims));
    (token, Lifetime::Fixed(JWT_LIFETIME))
}
