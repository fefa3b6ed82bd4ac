//! Asking for tokens, with a refresh token or an admin's code, and revoking them.
//!
//! With refresh-token rotation a refresh may be carried out once: the old token dies with it, and
//! its reuse kills the link. So a refresh is never repeated here, and an answer that was lost is
//! told apart from one that leaves the old token as it was.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, ExtraTokenFields, HttpRequest,
    HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    StandardRevocableToken, StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

use super::client::{Request, unsent};
use super::error::{self, Trouble, bounded_code};
use super::error_table::{TOKEN_TABLE, UNKNOWN_TOKEN_ERROR, Verdict};
use super::{Client, Error, SendBy};
use crate::domain::ids::{OrgId, UserId};
use crate::domain::link::{App, LinkReason};
use crate::domain::outcome::{Failure, FailureClass, FailureScope};

/// What a refresh brought.
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// For data requests.
    pub access: SecretString,
    /// The next refresh token; `None`: the old one stays.
    pub refresh: Option<SecretString>,
    /// Where data requests go; it may have changed.
    pub instance_url: String,
    /// When Salesforce issued them.
    pub issued_at: DateTime<Utc>,
    /// The org.
    pub org: OrgId,
    /// The API user.
    pub user: UserId,
}

/// Why a refresh brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RefreshError {
    /// It may have been carried out, and the new token is lost: the old one is in doubt.
    #[error("the refresh's answer was lost: {}", .0.code)]
    Ambiguous(Failure),
    /// It was not carried out: try again.
    #[error("the refresh was put off: {}", .0.code)]
    Later(Failure),
    /// It is refused in a way that may pass; the link is dead if it goes on for long.
    #[error("the refresh is refused for now: {}", .1.code)]
    Refused(LinkReason, Failure),
    /// The link is dead until a person acts.
    #[error("the refresh token is refused: {}", .1.code)]
    Dead(LinkReason, Failure),
}

impl RefreshError {
    /// What it means for the links of an app: a refusal of the older method's concerns its links
    /// alone, each of which is put off by itself.
    fn of(mut self, app: App) -> Self {
        let (Self::Ambiguous(failure)
        | Self::Later(failure)
        | Self::Refused(_, failure)
        | Self::Dead(_, failure)) = &mut self;
        if app == App::Legacy && failure.scope == FailureScope::Everyone {
            failure.scope = FailureScope::Request;
            failure.hint =
                "check salesforce.legacy_client_id and salesforce.legacy_client_secret".into();
        }
        self
    }

    /// The failure by itself.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Ambiguous(failure)
            | Self::Later(failure)
            | Self::Refused(_, failure)
            | Self::Dead(_, failure) => failure,
        }
    }
}

/// A code that Salesforce gave to an admin's browser, with what proves that it is ours.
pub struct Code<'a> {
    /// The code.
    pub code: &'a SecretString,
    /// What its challenge was made of.
    pub verifier: &'a SecretString,
    /// Where the browser was sent with it.
    pub callback_url: &'a str,
}

/// What tokens are asked for with.
enum Grant<'a> {
    /// A refresh token.
    Refresh(RefreshToken),
    /// A code.
    Code(Code<'a>),
}

/// What Salesforce's token answer holds beyond the standard. It tells no lifetime.
#[derive(Debug, Deserialize, Serialize)]
struct Extra {
    /// The org's host.
    instance_url: String,
    /// `https://login.salesforce.com/id/<org>/<user>`.
    id: String,
    /// Milliseconds since 1970, as text.
    issued_at: String,
    /// HMAC-SHA256 over `id` and `issued_at` by the consumer secret.
    signature: String,
}

impl ExtraTokenFields for Extra {}

/// A token answer.
type Tokens = StandardTokenResponse<Extra, BasicTokenType>;

/// The protocol, as far as it is used.
type Protocol = oauth2::Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

impl Client {
    /// Redeems a refresh token, once, and not after `send_by`. No scope is sent: some orgs refuse
    /// a refresh that names one.
    pub async fn refresh(
        &self,
        app: App,
        login_url: &str,
        token: &SecretString,
        send_by: SendBy,
    ) -> Result<TokenSet, RefreshError> {
        let grant = Grant::Refresh(RefreshToken::new(token.expose_secret().to_owned()));
        self.tokens(app, login_url, grant, send_by).await
    }

    /// Redeems the code that an admin brought back from this login address, once, and not after
    /// `send_by`. The tokens always have a refresh token.
    pub async fn redeem(
        &self,
        login_url: &str,
        code: Code<'_>,
        send_by: SendBy,
    ) -> Result<TokenSet, RefreshError> {
        let grant = Grant::Code(code);
        let tokens = self.tokens(App::Own, login_url, grant, send_by).await?;
        if tokens.refresh.is_none() {
            return Err(RefreshError::Dead(
                LinkReason::OurCredentials,
                no_refresh_token(),
            ));
        }
        Ok(tokens)
    }

    /// Asks the token endpoint, once.
    async fn tokens(
        &self,
        app: App,
        login_url: &str,
        grant: Grant<'_>,
        send_by: SendBy,
    ) -> Result<TokenSet, RefreshError> {
        let url = self
            .at(login_url, "/services/oauth2/token")
            .map_err(RefreshError::Later)?;
        let (id, secret) = self.config.app(app);
        let secret = secret.expose_secret();
        let protocol = Protocol::new(ClientId::new(id.to_owned()))
            .set_client_secret(ClientSecret::new(secret.to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(TokenUrl::from_url(url.clone()));
        let status = Arc::new(AtomicU16::new(0));
        // It borrows nothing and is boxed: otherwise the compiler does not see that the whole may
        // move between threads.
        let http = |request| -> BoxFuture<'static, Result<HttpResponse, Error>> {
            let (client, url, status) = (self.clone(), url.clone(), Arc::clone(&status));
            let exchange =
                async move { client.token_exchange(url, request, send_by, &status).await };
            exchange.boxed()
        };
        let answer = match grant {
            Grant::Refresh(token) => {
                let request = protocol.exchange_refresh_token(&token);
                request.request_async(&http).boxed().await
            }
            Grant::Code(code) => {
                let redirect = RedirectUrl::new(code.callback_url.to_owned())
                    .expect("the settings were checked");
                let verifier = PkceCodeVerifier::new(code.verifier.expose_secret().to_owned());
                let code = AuthorizationCode::new(code.code.expose_secret().to_owned());
                let request = protocol
                    .exchange_code(code)
                    .set_pkce_verifier(verifier)
                    .set_redirect_uri(Cow::Owned(redirect));
                request.request_async(&http).boxed().await
            }
        };
        let status = status.load(Ordering::Relaxed);
        match answer {
            Ok(tokens) => {
                verified(&tokens, secret).ok_or_else(|| RefreshError::Ambiguous(unsigned()))
            }
            Err(RequestTokenError::Request(error)) => Err(of_error(error)),
            Err(RequestTokenError::ServerResponse(refusal)) => {
                let description = refusal.error_description().map_or("", String::as_str);
                let refused = refused(status, refusal.error().as_ref(), description);
                Err(refused.of(app))
            }
            // An unreadable success may have rotated the token, and so may a server that broke; an
            // unreadable refusal has not.
            Err(_) if matches!(status, 200 | 500..) => Err(RefreshError::Ambiguous(
                error::trouble(Trouble::BadJson(status), true),
            )),
            Err(_) => Err(RefreshError::Later(error::trouble(
                Trouble::BadJson(status),
                false,
            ))),
        }
    }

    /// Makes the protocol's request by our rules.
    async fn token_exchange(
        &self,
        url: Url,
        request: HttpRequest,
        send_by: SendBy,
        status: &AtomicU16,
    ) -> Result<HttpResponse, Error> {
        let (parts, body) = request.into_parts();
        let reply = self
            .exchange(Request {
                method: parts.method,
                url,
                headers: parts.headers,
                body: body.into(),
                send_by: Some(send_by),
                within: Some(self.config.token_timeout),
                writes: true,
            })
            .await?;
        status.store(reply.status, Ordering::Relaxed);
        if !reply.json {
            // A maintenance page stands before the token endpoint; only a gateway that got no
            // answer, or none in time, may have passed the request on.
            let passed_on = matches!(reply.status, 502 | 504);
            let failure = error::trouble(Trouble::NoJson(reply.status), passed_on);
            return Err(Error::answered(failure));
        }
        let mut response = HttpResponse::new(reply.body.to_vec());
        *response.status_mut() = http::StatusCode::from_u16(reply.status)
            .expect("a status that was received is a status");
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }

    /// Revokes a token, and with a refresh token its access tokens. A token that is dead already
    /// is as good as revoked. May be repeated.
    pub async fn revoke(&self, login_url: &str, token: &SecretString) -> Result<(), Error> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose_secret())
            .finish();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        let request = Request {
            method: Method::POST,
            url: self
                .at(login_url, "/services/oauth2/revoke")
                .map_err(unsent)?,
            headers,
            body: form.into(),
            send_by: None,
            within: None,
            writes: false,
        };
        let reply = self.exchange(request).await?;
        let refusal: Option<BasicErrorResponse> = serde_json::from_slice(&reply.body).ok();
        let code = refusal
            .as_ref()
            .map_or("", |refusal| refusal.error().as_ref());
        match (reply.status, code) {
            // A page in place of the empty answer is an outage, whatever its status.
            (200, _) if reply.body.is_empty() || reply.json => Ok(()),
            (_, "invalid_token" | "unsupported_token_type") => Ok(()),
            (_, "") => Err(Error::answered(error::trouble(
                Trouble::NoJson(reply.status),
                false,
            ))),
            (status, code) => Err(Error::answered(refused(status, code, "").into_failure())),
        }
    }
}

/// The tokens, if their signature proves that they come from Salesforce for the app of this secret.
fn verified(tokens: &Tokens, secret: &str) -> Option<TokenSet> {
    let extra = tokens.extra_fields();
    let signature = STANDARD.decode(&extra.signature).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("{}{}", extra.id, extra.issued_at);
    hmac::verify(&key, signed.as_bytes(), &signature).ok()?;
    let (org, user) = identity(&extra.id)?;
    let refresh = tokens.refresh_token().map(|t| t.secret().to_owned().into());
    Some(TokenSet {
        access: tokens.access_token().secret().to_owned().into(),
        refresh,
        instance_url: extra.instance_url.trim_end_matches('/').to_owned(),
        issued_at: DateTime::from_timestamp_millis(extra.issued_at.parse().ok()?)?,
        org,
        user,
    })
}

/// Org and user out of an identity URL.
fn identity(id: &str) -> Option<(OrgId, UserId)> {
    let url = Url::parse(id).ok()?;
    let parts: Vec<&str> = url.path_segments()?.collect();
    match parts.as_slice() {
        ["id", org, user] => Some((org.parse().ok()?, user.parse().ok()?)),
        _ => None,
    }
}

/// What a refusal of the token endpoint means.
fn refused(status: u16, code: &str, description: &str) -> RefreshError {
    let text = description.to_lowercase();
    let fits = |row: &&super::error_table::TokenRow| {
        row.error.eq_ignore_ascii_case(code) && text.contains(row.says)
    };
    let known = TOKEN_TABLE.iter().find(fits);
    let row = known.unwrap_or(&UNKNOWN_TOKEN_ERROR);
    let mut failure = Failure::new(row.class, row.scope, bounded_code(code));
    failure.http_status = Some(status);
    failure.hint = row.hint.into();
    failure.ended = true;
    match row.link {
        Verdict::Dead(reason) => RefreshError::Dead(reason, failure),
        // A server that broke refuses nothing.
        Verdict::DeadIfItGoesOn(reason) if status < 500 => RefreshError::Refused(reason, failure),
        Verdict::DeadIfItGoesOn(_) | Verdict::Later => RefreshError::Later(failure),
    }
}

/// What a request without a usable answer means.
fn of_error(error: Error) -> RefreshError {
    if !error.not_sent && error.failure.class == FailureClass::Ambiguous {
        RefreshError::Ambiguous(error.failure)
    } else {
        RefreshError::Later(error.failure)
    }
}

/// The app may not have refresh tokens in this org, or not at all.
fn no_refresh_token() -> Failure {
    let mut failure = Failure::new(FailureClass::Bug, FailureScope::Request, "no_refresh_token");
    failure.hint =
        "give the app at Salesforce the scope refresh_token, and let the org's policy keep it"
            .into();
    failure
}

/// Tokens that nobody but Salesforce could have signed were not signed: they are not used.
fn unsigned() -> Failure {
    let mut failure = Failure::new(
        FailureClass::Bug,
        FailureScope::Request,
        "token_signature_wrong",
    );
    failure.hint = "the token answer does not come from Salesforce or not for our app: check salesforce.client_secret and who answers at the login address".into();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error, description, why the link is dead at once, and whether every link is concerned.
    const REFUSALS: [(&str, &str, Option<LinkReason>, bool); 17] = [
        (
            "invalid_grant",
            "expired access/refresh token",
            Some(LinkReason::TokenRevoked),
            false,
        ),
        (
            "invalid_grant",
            "token request is already being processed",
            None,
            false,
        ),
        (
            "invalid_grant",
            "Failed: Token request is already being processed.",
            None,
            false,
        ),
        ("invalid_grant", "expired authorization code", None, false),
        (
            "invalid_grant",
            "authentication failure",
            Some(LinkReason::ApiUserInactive),
            false,
        ),
        (
            "invalid_grant",
            "user hasn't approved this consumer",
            Some(LinkReason::AppNotApproved),
            false,
        ),
        (
            "invalid_grant",
            "ip restricted or invalid login hours",
            Some(LinkReason::IpOrHoursRestricted),
            false,
        ),
        (
            "invalid_grant",
            "words of next year",
            Some(LinkReason::Unknown),
            false,
        ),
        (
            "inactive_user",
            "user is inactive",
            Some(LinkReason::ApiUserInactive),
            false,
        ),
        (
            "inactive_org",
            "organization is inactive",
            Some(LinkReason::OrgInactive),
            false,
        ),
        (
            "invalid_app_access",
            "",
            Some(LinkReason::AppNotApproved),
            false,
        ),
        (
            "rate_limit_exceeded",
            "number of login attempts exceeded",
            None,
            false,
        ),
        ("invalid_client", "invalid client credentials", None, true),
        ("invalid_client_id", "client identifier invalid", None, true),
        ("unsupported_grant_type", "", None, true),
        ("server_error", "", None, false),
        ("word_of_next_year", "", None, false),
    ];

    #[test]
    fn refusals_are_told_apart_by_their_description() {
        let mut for_now = Vec::new();
        for (code, description, dead, everyone) in REFUSALS {
            let error = refused(400, code, description);
            let found = match &error {
                RefreshError::Dead(reason, _) => Some(*reason),
                RefreshError::Refused(reason, _) => {
                    for_now.push((code, description, *reason));
                    None
                }
                _ => None,
            };
            let failure = error.into_failure();
            let scope = failure.scope == FailureScope::Everyone;
            assert_eq!((found, scope), (dead, everyone), "{code} {description}");
            assert!(!failure.hint.is_empty());
        }
        let expected = [
            (
                "invalid_grant",
                "expired authorization code",
                LinkReason::TokenRevoked,
            ),
            ("word_of_next_year", "", LinkReason::Unknown),
        ];
        assert_eq!(for_now, expected, "these are dead if they go on");
        let broken = refused(500, "word_of_next_year", "");
        assert!(
            matches!(broken, RefreshError::Later(_)),
            "a server that broke refuses nothing"
        );
    }

    fn signed(issued_at: &str, signature: &str) -> Tokens {
        let answer = serde_json::json!({
            "access_token": "00DB!a",
            "refresh_token": "r2",
            "signature": signature,
            "scope": "refresh_token api id",
            "instance_url": "https://acme.my.salesforce.com/",
            "id": "https://login.salesforce.com/id/00DB0000000TfcRMAS/005B0000005Bk90IAC",
            "token_type": "Bearer",
            "issued_at": issued_at,
        });
        serde_json::from_value(answer).expect("a token answer")
    }

    #[test]
    fn tokens_are_taken_only_with_their_signature() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let id = "https://login.salesforce.com/id/00DB0000000TfcRMAS/005B0000005Bk90IAC";
        let tag = hmac::sign(&key, format!("{id}1558553873237").as_bytes());
        let signature = STANDARD.encode(tag);

        let verified = |issued_at, signature| verified(&signed(issued_at, signature), "secret");
        let tokens = verified("1558553873237", &signature).expect("signed");
        assert_eq!(tokens.instance_url, "https://acme.my.salesforce.com");
        assert_eq!(tokens.issued_at.timestamp_millis(), 1_558_553_873_237);
        assert!(!format!("{tokens:?}").contains("00DB!a"));
        assert!(verified("1558553873238", &signature).is_none());
        assert!(verified("1558553873237", "").is_none());
    }

    #[test]
    fn the_identity_names_org_and_user() {
        let id = "https://login.salesforce.com/id/00DB0000000TfcRMAS/005B0000005Bk90IAC";
        let (org, user) = identity(id).expect("an identity");
        assert_eq!(
            (org.as_str(), user.as_str()),
            ("00DB0000000TfcRMAS", "005B0000005Bk90IAC")
        );
        assert_eq!(
            identity("https://login.salesforce.com/id/00DB0000000TfcRMAS"),
            None
        );
        assert_eq!(identity("no address"), None);
    }
}
