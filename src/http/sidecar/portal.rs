//! The portal's tokens: who it hands over, signed.
//!
//! A token holds for five minutes at most, and once. Its algorithm is the settings' choice and never
//! its own: HS256 with the shared key, or RS256 and ES256 with the portal's published keys, each key
//! by the algorithm that it is for.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::Portal;
use super::session::Role;
use crate::clock;
use crate::crypto;
use crate::domain::ids::AccountId;

/// How long a token may hold.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// How far the portal's clock and ours may be apart.
const SKEW: Duration = Duration::from_secs(30);

/// How long published keys are used without a look whether they have changed.
const KEYS_KEPT: Duration = Duration::from_mins(10);

/// How long the portal may take to give its keys.
const KEYS_WITHIN: Duration = Duration::from_secs(5);

/// The most bytes that a list of keys may have.
const KEYS_BYTES: usize = 256 * 1024;

/// What a token says. No `Debug`: it names a person.
#[derive(Clone, Deserialize, Serialize)]
pub struct Claims {
    /// Who signs.
    pub iss: String,
    /// Who it is for; a text or a list of them.
    pub aud: serde_json::Value,
    /// Until when it holds, in seconds since 1970.
    pub exp: i64,
    /// Who it is about.
    pub sub: String,
    /// Names the token: it is taken once.
    pub jti: String,
    /// The account that the session is about.
    pub account: AccountId,
    /// What they may do there.
    pub role: Role,
}

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is none, not for us, not signed by the portal, or too old.
    #[error("the portal's token is not taken: {0}")]
    Token(&'static str),
    /// The portal's keys cannot be had: the same token may be taken later.
    #[error("the portal's keys cannot be had from sidecar.portal.jwks_url")]
    Keys(#[source] anyhow::Error),
}

/// Verifies the portal's tokens.
pub(super) struct Verifier {
    /// Settings.
    portal: Portal,
    /// Whose signature is taken.
    keys: Keys,
}

/// What signatures are verified with.
enum Keys {
    /// A key that both know.
    Shared(DecodingKey),
    /// Keys that the portal publishes.
    Published {
        /// Asks for them.
        client: reqwest::Client,
        /// As they were.
        last: Mutex<Published>,
    },
}

/// The portal's published keys, as they were.
struct Published {
    /// When they were asked for last, with or without an answer.
    asked: Option<Instant>,
    /// What was answered last.
    keys: JwkSet,
}

impl Verifier {
    /// A verifier by validated settings.
    pub(super) fn new(portal: Portal) -> anyhow::Result<Self> {
        let keys = if portal.shares_a_key() {
            let key = portal.shared_key.expose_secret();
            Keys::Shared(DecodingKey::from_secret(key.as_bytes()))
        } else {
            let last = Mutex::new(Published {
                asked: None,
                keys: JwkSet { keys: Vec::new() },
            });
            let client = client()?;
            Keys::Published { client, last }
        };
        Ok(Self { portal, keys })
    }

    /// What a token says, if the portal signed it and it holds. Whether it was taken before, the
    /// store knows.
    pub(super) async fn verify(&self, token: &SecretString) -> Result<Claims, Error> {
        let token = token.expose_secret();
        let header = jsonwebtoken::decode_header(token);
        let header = header.map_err(|_| Error::Token("it is no JSON Web Token"))?;
        let (algorithm, key) = match &self.keys {
            Keys::Shared(key) => (Algorithm::HS256, key.clone()),
            Keys::Published { client, last } => {
                self.published(client, last, header.kid.as_deref()).await?
            }
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.portal.issuer]);
        validation.set_audience(&[&self.portal.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = SKEW.as_secs();
        let read = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        let claims = read.map_err(|error| Error::Token(told(&error)))?.claims;
        let latest = clock::now() + LONGEST + SKEW;
        if claims.exp > latest.timestamp() {
            return Err(Error::Token("it holds for more than five minutes"));
        }
        if claims.jti.is_empty() || claims.sub.is_empty() {
            return Err(Error::Token("its jti or sub is empty"));
        }
        Ok(claims)
    }

    /// The published key of this name, with the algorithm that it is for.
    async fn published(
        &self,
        client: &reqwest::Client,
        last: &Mutex<Published>,
        kid: Option<&str>,
    ) -> Result<(Algorithm, DecodingKey), Error> {
        let mut last = last.lock().await;
        let missing = named(&last.keys, kid).is_none();
        let patience = if missing {
            self.portal.keys_again
        } else {
            KEYS_KEPT
        };
        if last.asked.is_none_or(|asked| asked.elapsed() >= patience) {
            last.asked = Some(Instant::now());
            match fetch(client, &self.portal.jwks_url).await {
                Ok(keys) => last.keys = keys,
                // Known keys go on to hold while the portal's list is away.
                Err(error) if missing => return Err(Error::Keys(error)),
                Err(error) => {
                    let error = &*error as &dyn std::error::Error;
                    tracing::warn!(error, "the portal's keys could not be asked for again");
                }
            }
        }
        let key = named(&last.keys, kid);
        let key = key.ok_or(Error::Token("no published key has its name"))?;
        usable(key)
    }
}

/// A published key, with the algorithm that it is for: never the token's choice.
fn usable(key: &Jwk) -> Result<(Algorithm, DecodingKey), Error> {
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        _ => return Err(Error::Token("its key is neither for RS256 nor for ES256")),
    };
    let key = DecodingKey::from_jwk(key);
    let key = key.map_err(|_| Error::Token("its published key cannot be read"))?;
    Ok((algorithm, key))
}

/// How many of the keys that the portal publishes can be used, asked now.
pub async fn published_keys(portal: &Portal) -> anyhow::Result<usize> {
    let keys = fetch(&client()?, &portal.jwks_url).await?.keys;
    Ok(keys.iter().filter(|key| usable(key).is_ok()).count())
}

/// Asks for published keys.
fn client() -> anyhow::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("vcc-link/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(KEYS_WITHIN)
        .build();
    client.context("the portal's keys cannot be asked for")
}

/// The key of a name; without one, the only key there is.
fn named<'a>(keys: &'a JwkSet, kid: Option<&str>) -> Option<&'a Jwk> {
    match kid {
        Some(kid) => keys.find(kid),
        None => keys.keys.first().filter(|_| keys.keys.len() == 1),
    }
}

/// Asks for the published keys.
async fn fetch(client: &reqwest::Client, url: &str) -> anyhow::Result<JwkSet> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        anyhow::ensure!(body.len() <= KEYS_BYTES, "the list is too long");
    }
    Ok(serde_json::from_slice(&body)?)
}

/// What is wrong with a token, in words without its content.
fn told(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "it is too old",
        ErrorKind::ImmatureSignature => "it does not hold yet",
        ErrorKind::InvalidIssuer => "its iss is not sidecar.portal.issuer",
        ErrorKind::InvalidAudience => "its aud is not sidecar.portal.audience",
        ErrorKind::MissingRequiredClaim(_) => "it lacks exp, iss, aud or sub",
        ErrorKind::InvalidAlgorithm => "its algorithm is not the one of the settings or of its key",
        ErrorKind::InvalidSignature => "its signature is not by the portal's key",
        ErrorKind::Json(_) => "it lacks jti, account or role, or they are not what they should be",
        _ => "it is no valid JSON Web Token",
    }
}

/// Signs a token as the portal would, by the shared key: for trying things out.
pub fn sign(portal: &Portal, account: AccountId, user: &str, role: Role) -> anyhow::Result<String> {
    anyhow::ensure!(
        portal.shares_a_key(),
        "sidecar.portal.shared_key is not set: only the portal itself can sign"
    );
    let claims = Claims {
        iss: portal.issuer.clone(),
        aud: portal.audience.clone().into(),
        exp: (clock::now() + LONGEST).timestamp(),
        sub: user.to_owned(),
        jti: crypto::random_text(),
        account,
        role,
    };
    let key = EncodingKey::from_secret(portal.shared_key.expose_secret().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
    token.context("the token cannot be signed")
}
