//! Authorizations: an admin's way to Salesforce and back. Whoever begins one ends it, nobody else; but
//! what was begun by an invitation, the sessions of its account see too, and an admin's confirms it.
//!
//! What a session begins, its browser must bring back. What a program begins, any browser may bring
//! back that it sent to Salesforce, as nothing binds the two: so the program always confirms who
//! logged in before the link counts.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Caller;
use super::link::Org;
use super::word;
use crate::domain::authorization::{Authorization, AuthorizationFault};
use crate::domain::ids::{AccountId, AuthorizationId};
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;
use crate::linking::{Begin, LoginChoice};

/// Where an admin wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wish {
    /// Which login page.
    login: Login,
    /// The org's own, where `login` is `my_domain`: `acme`, or `acme.my.salesforce.com`.
    #[serde(default)]
    domain: String,
    /// The admin agrees that the account's present approval is given up first. Needed where the API
    /// user serves as many accounts as Salesforce allows.
    #[serde(default)]
    give_up_first: bool,
}

/// A login page.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Login {
    /// Of production orgs.
    Production,
    /// Of sandboxes.
    Sandbox,
    /// The org's own.
    MyDomain,
}

/// An authorization that begins.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Begun {
    /// Names it.
    id: String,
    /// Where to send the browser.
    authorize_url: String,
    /// Until when it may come back.
    expires_at: DateTime<Utc>,
}

/// An authorization as it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    /// Names it.
    id: String,
    /// `begun`, `redeeming`, `redeemed` (to be confirmed where there are doubts), `to_confirm` (begun by
    /// an invitation, to be confirmed by an admin of the account), `linked`, `failed`.
    stage: String,
    /// `production` or `sandbox`, as it was chosen.
    environment: String,
    /// When it began.
    begun_at: DateTime<Utc>,
    /// Until when the browser may come back, and then confirm.
    expires_at: DateTime<Utc>,
    /// Who it turned out to be.
    org: Option<Org>,
    /// What looks wrong: `not_api_only`, `other_environment`, `other_org`, and always
    /// `begun_by_program` where a program began it; more words may come.
    doubts: Vec<String>,
    /// Why it came to nothing.
    fault: Option<Fault>,
}

/// Why an authorization came to nothing.
#[derive(Serialize, ToSchema)]
pub(super) struct Fault {
    /// Which fault it is, in a word; more may come.
    kind: String,
    /// The accounts that the API user serves, where it is full.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<String>,
    /// Salesforce's code, where no word fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl Progress {
    /// An authorization as its session sees it.
    pub(super) fn of(known: &Authorization) -> Self {
        Self {
            id: known.id.to_string(),
            stage: word(&known.stage),
            environment: word(&known.environment),
            begun_at: known.begun_at,
            expires_at: known.expires_at,
            org: known.org.as_ref().map(Org::of),
            doubts: known.doubts.iter().map(word).collect(),
            fault: known.fault.as_ref().map(Fault::of),
        }
    }
}

impl Fault {
    /// A fault as it is told.
    fn of(fault: &AuthorizationFault) -> Self {
        let kind = match serde_json::to_value(fault) {
            Ok(fault) => fault["kind"].as_str().unwrap_or_default().to_owned(),
            Err(_) => String::new(),
        };
        let (accounts, code) = match fault {
            AuthorizationFault::ApiUserFull { accounts } => {
                (accounts.iter().map(AccountId::to_string).collect(), None)
            }
            AuthorizationFault::Other { code } => (Vec::new(), Some(code.clone())),
            _ => (Vec::new(), None),
        };
        Self {
            kind,
            accounts,
            code,
        }
    }
}

/// Begins an authorization: the browser is to be sent to `authorizeUrl`, and comes back to the
/// sidecar.
#[utoipa::path(
    post,
    operation_id = "beginAuthorization",
    path = "/api/v1/accounts/{account}/authorizations",
    params(
        ("account" = String, Path, description = "The account"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    request_body = Wish,
    responses(
        (status = 201, body = Begun, description = "It begins"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The API user is full: `giveUpFirst` is needed"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "Not understood, or no My Domain"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed, or not understood"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn begin(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let session = caller.onlooker()?.session;
    let Json(wish) = wish.map_err(|wrong| Problem::malformed(wrong.status(), wrong.body_text()))?;
    let choice = match wish.login {
        Login::Production => LoginChoice::Production,
        Login::Sandbox => LoginChoice::Sandbox,
        Login::MyDomain => LoginChoice::MyDomain(wish.domain),
    };
    let begin = Begin {
        account: caller.account.clone(),
        choice,
        session,
        actor: caller.actor(),
        give_up_first: wish.give_up_first,
    };
    let linking = Arc::clone(&sidecar.linking);
    let begun = sidecar
        .whole(async move { linking.begin(begin).await })
        .await;
    let (begun, url) = begun?;
    let begun = Begun {
        id: begun.id.to_string(),
        authorize_url: url.into(),
        expires_at: begun.expires_at,
    };
    Ok((StatusCode::CREATED, Json(begun)))
}

/// An authorization as it is.
#[utoipa::path(
    get,
    operation_id = "readAuthorization",
    path = "/api/v1/accounts/{account}/authorizations/{id}",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The authorization"),
    ),
    responses(
        (status = 200, body = Progress, description = "As it is"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Whoever asks sees none of this id"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn read(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Progress>, Problem> {
    let id = known(&id)?;
    let by = caller.onlooker()?;
    let known = sidecar.linking.seen_by(&id, &by).await?;
    Ok(Json(Progress::of(&known)))
}

/// Makes the link: though something looks wrong, or of what somebody logged in to who was invited. Of
/// one that is over, tells how it ended.
#[utoipa::path(
    post,
    operation_id = "confirmAuthorization",
    path = "/api/v1/accounts/{account}/authorizations/{id}/confirm",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The authorization"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 200, body = Progress, description = "As it is now"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Whoever asks sees none of this id, or it is too late"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn confirm(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Progress>, Problem> {
    let (id, by) = (known(&id)?, caller.onlooker()?);
    let linking = Arc::clone(&sidecar.linking);
    let confirmed = sidecar.whole(async move { linking.confirm(&id, &by).await });
    Ok(Json(Progress::of(&confirmed.await?)))
}

/// Gives an authorization up; tokens that came are revoked. Of one that is over, tells how it ended.
#[utoipa::path(
    post,
    operation_id = "cancelAuthorization",
    path = "/api/v1/accounts/{account}/authorizations/{id}/cancel",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The authorization"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 200, body = Progress, description = "As it is now"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "Whoever asks sees none of this id"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn cancel(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Progress>, Problem> {
    let (id, by) = (known(&id)?, caller.onlooker()?);
    let linking = Arc::clone(&sidecar.linking);
    let cancelled = sidecar.whole(async move { linking.cancel(&id, &by).await });
    Ok(Json(Progress::of(&cancelled.await?)))
}

/// The id of a path.
fn known(id: &str) -> Result<AuthorizationId, Problem> {
    let known = id.parse();
    known.map_err(|_| Problem::not_found("No authorization has this id."))
}
