//! The app that tokens are issued to, and what an org's admin decides about it.

use serde::{Deserialize, Serialize};

use super::AddressRange;

/// The connected app (or External Client App) that tokens are issued to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// What the consent page calls it.
    pub name: String,
    /// Consumer key.
    pub client_id: String,
    /// Consumer secret; also the key of the token answer's signature.
    pub client_secret: String,
    /// Callback URLs; a request must name one of them to the letter.
    pub redirect_uris: Vec<CallbackUrl>,
    /// Scopes that may be asked for, and that are granted where none is asked for.
    pub scopes: Vec<String>,
    /// Whether the web server flow needs PKCE (S256).
    pub pkce: bool,
    /// Whether access tokens are JWTs, with a fixed lifetime, rather than opaque.
    pub jwt_access_tokens: bool,
    /// Username that the client credentials flow acts as; `null`: the flow is off.
    pub run_as: Option<String>,
    /// Whether each refresh gives a new refresh token and kills the old one.
    pub rotation: bool,
    /// Seconds after which an unused refresh token dies; `null`: never.
    pub refresh_token_idle_s: Option<u64>,
    /// Addresses from which refresh tokens may be redeemed; empty: any.
    pub refresh_token_addresses: Vec<AddressRange>,
    /// Approvals that a user may have at a time; one more revokes the oldest.
    pub approvals: usize,
}

impl Default for App {
    fn default() -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            name: "Simulated App".to_owned(),
            client_id: "sim-client-id".to_owned(),
            client_secret: "sim-client-secret".to_owned(),
            redirect_uris: vec![CallbackUrl("http://localhost/callback".to_owned())],
            scopes: owned(&["refresh_token", "api", "id"]),
            pkce: true,
            jwt_access_tokens: false,
            run_as: None,
            rotation: true,
            refresh_token_idle_s: Some(30 * 24 * 60 * 60),
            refresh_token_addresses: Vec::new(),
            approvals: 5,
        }
    }
}

/// A URL that browsers can be sent back to; kept to the letter, as it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct CallbackUrl(String);

impl TryFrom<String> for CallbackUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match url::Url::parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("'{text}' is no URL ({error})")),
        }
    }
}

impl CallbackUrl {
    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an org's admin decides about the app ("OAuth policies").
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppPolicy {
    /// Whether the app is installed. If not, only users who may approve uninstalled apps can
    /// approve it.
    pub installed: bool,
    /// The admin has blocked the app.
    pub blocked: bool,
    /// Who may use it.
    pub permitted_users: PermittedUsers,
    /// How long refresh tokens live.
    pub refresh_tokens: RefreshTokenPolicy,
}

impl Default for AppPolicy {
    fn default() -> Self {
        Self {
            installed: true,
            blocked: false,
            permitted_users: PermittedUsers::default(),
            refresh_tokens: RefreshTokenPolicy::default(),
        }
    }
}

/// Who may use the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PermittedUsers {
    /// All users may approve it for themselves.
    #[default]
    SelfAuthorize,
    /// Users that the admin has approved are not asked; others are refused.
    AdminApproved,
}

/// How long refresh tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokenPolicy {
    /// Until they are revoked.
    #[default]
    UntilRevoked,
    /// Not at all: the first access token is the last.
    Immediately,
    /// Until they have not been used for so many seconds.
    UnusedForS(u64),
    /// For so many seconds from the approval.
    LifetimeS(u64),
}
