//! The link of an account: as it is, its end, its history, and who shares its API user.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::word;
use crate::domain::ids::AccountId;
use crate::domain::link::{Actor, LinkState, LinkStatus};
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;
use crate::store::authorizations::HistoryLine;

/// Lines of a history in one answer, at most.
const PAGE: u32 = 100;

/// An account's link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    /// The account.
    #[schema(value_type = String)]
    account: AccountId,
    /// `unlinked`, `linked` or `legacy`.
    status: String,
    /// `healthy`, `at_risk` or `broken`.
    health: String,
    /// Why; more words may come.
    reason: Option<String>,
    /// Since when.
    since: DateTime<Utc>,
    /// Grows with each Link, Relink and Unlink.
    generation: i64,
    /// Grows with each change.
    sequence: i64,
    /// Calls that wait until the link works again.
    parked_calls: u64,
    /// The org and the API user, while linked.
    org: Option<Org>,
}

/// An org and an API user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Org {
    /// The org's id.
    id: String,
    /// What it calls itself, once that is asked.
    name: Option<String>,
    /// The API user's id.
    user: String,
    /// The API user's name, once that is asked.
    username: Option<String>,
    /// `production` or `sandbox`.
    environment: String,
    /// Where its data is.
    instance_url: String,
    /// What the API user may not do and should.
    missing: Vec<String>,
}

/// Who shares an API user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slots {
    /// Accounts that it serves.
    used: usize,
    /// Accounts that it may serve.
    of: u32,
    /// Those accounts.
    accounts: Vec<String>,
}

/// One change of a link, or a step of an invitation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    /// Counts the account's lines.
    line: i64,
    /// The link's sequence since.
    sequence: i64,
    /// When.
    at: DateTime<Utc>,
    /// Who: `admin`, `operator`, `machine` (a program), `system` or `salesforce`; of an invitation that
    /// was used, who had invited.
    by: String,
    /// Their name, of admins, operators and programs.
    name: Option<String>,
    /// Status and health before.
    from: Standing,
    /// Status and health since.
    to: Standing,
    /// Why; or what became of an invitation, which changes nothing of the link: `invited`,
    /// `invitation_used`, `invitation_revoked`, `invitation_discarded`. More words may come.
    reason: String,
    /// Which Link, Relink or Unlink.
    generation: i64,
}

/// A status with its health.
#[derive(Serialize, ToSchema)]
pub(super) struct Standing {
    /// `unlinked`, `linked` or `legacy`.
    status: String,
    /// `healthy`, `at_risk` or `broken`.
    health: String,
}

/// A part of a history, the latest change first.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// The changes.
    changes: Vec<Change>,
    /// Ask with `before` set to this for those before; none: there are no more.
    next: Option<i64>,
}

/// Which part of a history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Lines before this one; none: the latest.
    before: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

impl Link {
    /// A link as it is, with the calls that wait.
    fn of(state: &LinkState, parked_calls: u64) -> Self {
        Self {
            account: state.account.clone(),
            status: word(&state.status),
            health: word(&state.health),
            reason: state.reason.as_ref().map(word),
            since: state.since,
            generation: state.generation.0,
            sequence: state.sequence.0,
            parked_calls,
            org: state.org.as_ref().map(Org::of),
        }
    }
}

impl Org {
    /// An org as its own admins see it: with the user's whole name.
    pub(super) fn of(org: &crate::domain::link::LinkedOrg) -> Self {
        let name = Some(&org.username).filter(|name| !name.is_empty());
        Self {
            id: org.org.to_string(),
            name: org.name.clone(),
            user: org.user.to_string(),
            username: name.map(|name| name.whole().to_owned()),
            environment: word(&org.environment),
            instance_url: org.instance_url.clone(),
            missing: org.missing(),
        }
    }
}

impl Change {
    /// A line of the history.
    fn of(line: HistoryLine) -> Self {
        let (by, name) = who(line.actor);
        let standing = |(status, health): (_, _)| Standing {
            status: word(&status),
            health: word(&health),
        };
        Self {
            line: line.line,
            sequence: line.sequence.0,
            at: line.at,
            by: by.to_owned(),
            name,
            from: standing(line.from),
            to: standing(line.to),
            reason: line.what.word(),
            generation: line.generation.0,
        }
    }
}

/// The link of an account, with an `ETag` for changing it.
#[utoipa::path(
    get,
    operation_id = "readLink",
    path = "/api/v1/accounts/{account}/link",
    params(("account" = String, Path, description = "The account")),
    responses(
        (status = 200, body = Link, description = "The link", headers(("ETag" = String, description = "Names this state"))),
        (status = 304, description = "If-None-Match names this state"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn read(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let state = sidecar.linking.link(&caller.account).await?;
    if names(&headers, header::IF_NONE_MATCH, &etag(&state)) == Some(true) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(&state))]).into_response());
    }
    told(&sidecar, &state).await
}

/// Unlinks an account: its calls are not logged from then on, those that wait are given up, and its
/// token is revoked.
#[utoipa::path(
    delete,
    operation_id = "unlink",
    path = "/api/v1/accounts/{account}/link",
    params(
        ("account" = String, Path, description = "The account"),
        ("If-Match" = String, Header, description = "The ETag of the link as it was seen"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 200, body = Link, description = "It is unlinked", headers(("ETag" = String, description = "Names this state"))),
        (status = 412, body = Problem, content_type = "application/problem+json", description = "It has changed"),
        (status = 428, body = Problem, content_type = "application/problem+json", description = "If-Match is missing"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn unlink(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let before = sidecar.linking.link(&caller.account).await?;
    match names(&headers, header::IF_MATCH, &etag(&before)) {
        None => return Err(Problem::precondition_required()),
        Some(false) => return Err(Problem::changed()),
        Some(true) => {}
    }
    let (linking, actor) = (Arc::clone(&sidecar.linking), caller.actor());
    let unlinking = async move {
        let (account, generation) = (&before.account, before.generation);
        linking.unlink(account, generation, &actor).await
    };
    let after = sidecar.whole(unlinking).await?;
    if after.status != LinkStatus::Unlinked {
        return Err(Problem::changed());
    }
    told(&sidecar, &after).await
}

/// What changed of an account's link, when, and by whom.
#[utoipa::path(
    get,
    operation_id = "readHistory",
    path = "/api/v1/accounts/{account}/history",
    params(("account" = String, Path, description = "The account"), Paging),
    responses(
        (status = 200, body = History, description = "The changes, the latest first"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed, or not understood"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn history(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let Query(paging) =
        paging.map_err(|wrong| Problem::malformed(StatusCode::BAD_REQUEST, wrong.body_text()))?;
    let limit = paging.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        let detail = format!("Ask for 1 to {PAGE} changes.");
        return Err(Problem::malformed(StatusCode::BAD_REQUEST, detail));
    }
    let lines = sidecar
        .store
        .history(&caller.account, paging.before, limit)
        .await?;
    let whole = lines.len() == limit as usize;
    let last = lines.last().map(|line| line.line);
    Ok(Json(History {
        changes: lines.into_iter().map(Change::of).collect(),
        next: last.filter(|last| whole && *last > 1),
    }))
}

/// How many accounts share the API user of this account's link: Salesforce keeps five approvals for
/// each.
#[utoipa::path(
    get,
    operation_id = "readSlots",
    path = "/api/v1/accounts/{account}/slots",
    params(("account" = String, Path, description = "The account")),
    responses(
        (status = 200, body = Slots, description = "Its slots; of an unlinked account, none is used"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn slots(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<Json<Slots>, Problem> {
    let state = sidecar.linking.link(&caller.account).await?;
    let accounts = match &state.org {
        Some(org) => {
            sidecar
                .store
                .accounts_of_api_user(&org.org, &org.user)
                .await?
        }
        None => Vec::new(),
    };
    let of = sidecar.linking.accounts_per_api_user();
    Ok(Json(Slots {
        used: accounts.len(),
        of,
        accounts: accounts.iter().map(AccountId::to_string).collect(),
    }))
}

/// Who changed something: what they are, and their name.
pub(super) fn who(actor: Actor) -> (&'static str, Option<String>) {
    match actor {
        Actor::Admin(name) => ("admin", Some(name)),
        Actor::Operator(name) => ("operator", Some(name)),
        Actor::Machine(name) => ("machine", Some(name)),
        Actor::System => ("system", None),
        Actor::Salesforce => ("salesforce", None),
    }
}

/// The answer that tells a link.
async fn told(sidecar: &Sidecar, state: &LinkState) -> Result<Response, Problem> {
    let parked = sidecar.store.parked_calls(&state.account).await?;
    let link = Json(Link::of(state, parked));
    Ok(([(header::ETAG, etag(state))], link).into_response())
}

/// Names a state of a link.
fn etag(state: &LinkState) -> String {
    format!("\"{}-{}\"", state.generation.0, state.sequence.0)
}

/// Whether a condition names this state (RFC 9110, 13.1); `None`: there is none. A proxy that packs
/// an answer makes its tag a weak one, which still does for reading.
pub(super) fn names(headers: &HeaderMap, condition: HeaderName, etag: &str) -> Option<bool> {
    let named = headers.get(&condition)?.to_str().unwrap_or("");
    let is_it = |one: &str| {
        let one = one.trim();
        let weak = one
            .strip_prefix("W/")
            .filter(|_| condition == header::IF_NONE_MATCH);
        one == "*" || weak.unwrap_or(one) == etag
    };
    Some(named.split(',').any(is_it))
}
