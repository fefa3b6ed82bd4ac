//! `POST /services/oauth2/token`: what is exchanged for an access token.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::super::{Reply, Request};
use super::{access_token, identity_url, refused, uncached};
use crate::clock::Timestamp;
use crate::seed::{AddressRange, PermittedUsers};
use crate::world::World;
use crate::world::door::{Denied, Means, host_label};
use crate::world::scope::Scope;
use crate::world::tokens::{
    Caller, Consent, EXPIRED, OAuthError, Redeemed, RefreshRules, new_refresh_token,
};

/// What Salesforce says where a login range or login hours keep somebody out.
const RESTRICTED: OAuthError =
    OAuthError::new("invalid_grant", "ip restricted or invalid login hours");

/// Answers a request for a token.
pub(crate) fn token(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    if request.method != http::Method::POST {
        let error = OAuthError::new("invalid_request", "must use HTTP POST");
        return refused(&error);
    }
    let granted = authenticate_client(world, request).and_then(|()| {
        match request.form("grant_type").as_deref() {
            Some("authorization_code") => exchange(world, now, request),
            Some("refresh_token") => refresh(world, now, request),
            Some("password") => password(world, now, request),
            Some("client_credentials") => client_credentials(world, now, request),
            _ => Err(OAuthError::new(
                "unsupported_grant_type",
                "grant type not supported",
            )),
        }
    });
    match granted {
        Ok(granted) => grant(world, now, request, granted),
        Err(error) => refused(&error),
    }
}

/// The app must know its secret, in the form or by HTTP Basic.
pub(super) fn authenticate_client(world: &World, request: &Request) -> Result<(), OAuthError> {
    let (id, secret) = basic_credentials(request).unwrap_or_else(|| {
        let field = |name| request.form(name).unwrap_or_default();
        (field("client_id"), field("client_secret"))
    });
    if id != world.app.client_id {
        let text = "client identifier invalid";
        return Err(OAuthError::new("invalid_client_id", text));
    }
    if secret != world.app.client_secret {
        let text = "invalid client credentials";
        return Err(OAuthError::new("invalid_client", text));
    }
    Ok(())
}

fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// Exchanges an authorization code. Whatever is wrong with the rest, the code is used up.
fn exchange(world: &mut World, now: Timestamp, request: &Request) -> Result<Redeemed, OAuthError> {
    let code = request.form("code").unwrap_or_default();
    let code = world.logins.take_code(&code, now)?;
    let (caller, asked) = (code.caller, code.asked.clone());
    if request.form("redirect_uri").as_deref() != Some(asked.redirect_uri.as_str()) {
        let text = "redirect_uri must match configuration";
        return Err(OAuthError::new("redirect_uri_mismatch", text));
    }
    verify(
        asked.challenge.as_deref(),
        request.form("code_verifier").as_deref(),
    )?;
    admit(world, caller, now, request.address)?;
    let scope = asked.scope;
    Ok(approved(world, now, Consent { caller, scope }))
}

/// PKCE: the verifier must be what the challenge was made from.
fn verify(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), OAuthError> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (Some(challenge), Some(verifier)) => {
            let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
            let made = URL_SAFE_NO_PAD.encode(digest);
            verify_slices_are_equal(made.as_bytes(), challenge.as_bytes())
                .map_err(|_| OAuthError::new("invalid_request", "invalid code verifier"))
        }
        (Some(_), None) => Err(OAuthError::new("invalid_grant", "missing code verifier")),
        (None, Some(_)) => Err(OAuthError::new("invalid_grant", "invalid code verifier")),
    }
}

fn refresh(world: &mut World, now: Timestamp, request: &Request) -> Result<Redeemed, OAuthError> {
    let token = request.form("refresh_token").unwrap_or_default();
    let caller = world.tokens.owner(&token).ok_or(EXPIRED)?;
    admit(world, caller, now, request.address)?;
    if !AddressRange::any_holds(&world.app.refresh_token_addresses, request.address) {
        return Err(RESTRICTED);
    }
    let (org, user) = world.named(caller).ok_or(EXPIRED)?;
    let policy = &org.switches.app_policy;
    if policy.permitted_users == PermittedUsers::AdminApproved && !user.settings.app_approved {
        let text = "user is not admin approved to access this app";
        return Err(OAuthError::new("invalid_grant", text));
    }
    let rules = RefreshRules {
        rotation: world.app.rotation,
        idle_s: world.app.refresh_token_idle_s,
        policy: policy.refresh_tokens,
    };
    world.tokens.redeem(&token, &rules, now, &mut world.rng)
}

/// The username-password flow; the password has the security token behind it. No refresh token.
fn password(world: &mut World, now: Timestamp, request: &Request) -> Result<Redeemed, OAuthError> {
    let field = |name| request.form(name).unwrap_or_default();
    let caller = world
        .log_in_by_password(
            now,
            (&request.base_url, request.address),
            (&field("username"), &field("password")),
            Means::Program,
        )
        .map_err(|denied| match denied {
            Denied::Credentials | Denied::SecurityToken => {
                OAuthError::new("invalid_grant", "authentication failure")
            }
            Denied::Address | Denied::Hours => RESTRICTED,
        })?;
    Ok(without_refresh(world, caller))
}

/// The client credentials flow: the app acts as the user that the admin chose. No refresh token.
fn client_credentials(
    world: &mut World,
    now: Timestamp,
    request: &Request,
) -> Result<Redeemed, OAuthError> {
    if ["login", "test"].contains(&host_label(&request.base_url).as_deref().unwrap_or_default()) {
        let text = "request not supported on this domain";
        return Err(OAuthError::new("invalid_grant", text));
    }
    let run_as = world.app.run_as.as_deref();
    let caller = run_as
        .and_then(|user| world.find_user(user))
        .ok_or(OAuthError::new(
            "invalid_grant",
            "no client credentials user enabled",
        ))?;
    admit(world, caller, now, request.address)?;
    Ok(without_refresh(world, caller))
}

/// A grant of all that the app may ask for, but no refresh token.
fn without_refresh(world: &World, caller: Caller) -> Redeemed {
    let scope = Scope::of_app(&world.app.scopes).without("refresh_token");
    Redeemed {
        consent: Consent { caller, scope },
        approval: None,
        refresh_token: None,
    }
}

/// Whether a user may have a token from here and now.
fn admit(world: &World, caller: Caller, now: Timestamp, address: IpAddr) -> Result<(), OAuthError> {
    let (_, user) = world.named(caller).ok_or(EXPIRED)?;
    if !user.settings.active {
        return Err(OAuthError::new("inactive_user", "user is inactive"));
    }
    if user.settings.frozen {
        return Err(EXPIRED);
    }
    user.may_log_in(now, address).map_err(|_| RESTRICTED)
}

/// A new grant; with a refresh token only where its scope is among those granted.
fn approved(world: &mut World, now: Timestamp, consent: Consent) -> Redeemed {
    let refresh_token = consent
        .scope
        .has("refresh_token")
        .then(|| new_refresh_token(&mut world.rng));
    let approval = refresh_token.clone().map(|token| {
        let most = world.app.approvals;
        world.tokens.approve(consent.clone(), token, most, now)
    });
    Redeemed {
        consent,
        approval,
        refresh_token,
    }
}

/// The token answer: signed, and without `expires_in`.
fn grant(world: &mut World, now: Timestamp, request: &Request, redeemed: Redeemed) -> Reply {
    let consent = redeemed.consent;
    let caller = consent.caller;
    let Some(org) = world.orgs.get(&caller.org) else {
        return refused(&EXPIRED);
    };
    let instance_url = world.instance_url(org, &request.base_url);
    let id = identity_url(&request.base_url, caller);
    let issued_at = now.timestamp_millis().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, world.app.client_secret.as_bytes());
    let signature = hmac::sign(&key, format!("{id}{issued_at}").as_bytes());
    let (access_token, lifetime) = access_token::mint(world, now, &request.base_url, &consent);
    let mut body = json!({ "access_token": access_token });
    if let Some(token) = &redeemed.refresh_token {
        body["refresh_token"] = json!(token);
    }
    body["signature"] = json!(STANDARD.encode(signature));
    body["scope"] = json!(consent.scope.to_string());
    body["instance_url"] = json!(instance_url);
    body["id"] = json!(id);
    body["token_type"] = json!("Bearer");
    body["issued_at"] = json!(issued_at);
    let times = (now, lifetime);
    world
        .tokens
        .open_session(access_token, consent, redeemed.approval, times);
    world.journal.counters_mut(caller.org).tokens_issued += 1;
    uncached(Reply::ok(body))
}
