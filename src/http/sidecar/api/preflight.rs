//! The preflight of an account's org: as it was found last, and asking anew.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Caller;
use super::word;
use crate::domain::link::{LinkState, LinkedOrg};
use crate::domain::preflight;
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;

/// What an org was found to allow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preflight {
    /// When the org was asked; none: not yet, or the account is not linked.
    asked_at: Option<DateTime<Utc>>,
    /// What is needed and missing, by name. With any, the link is at risk.
    missing: Vec<String>,
    /// Every point.
    checks: Vec<Check>,
}

/// One point.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    /// Its name: `create Task`, `Task.CallObject`.
    name: String,
    /// What it is about, for programs: `about` is a word, with `field`, `object`, or `used` and
    /// `limit` beside it; more words may come.
    #[schema(value_type = Object)]
    point: preflight::Point,
    /// `yes`, `no` or `unknown`.
    found: String,
    /// Whether the link is at risk without it.
    needed: bool,
    /// The setting in Salesforce that makes it so.
    setting: String,
    /// Where that setting is, in the org.
    address: String,
    /// Where Salesforce explains it.
    help: &'static str,
}

impl Preflight {
    /// The preflight of a link.
    fn of(state: &LinkState) -> Self {
        let org = state.org.as_ref();
        let checks = |org: &LinkedOrg| org.preflight.iter().map(|c| Check::of(c, org)).collect();
        Self {
            asked_at: org.and_then(|org| org.asked_at),
            missing: org.map(LinkedOrg::missing).unwrap_or_default(),
            checks: org.map(checks).unwrap_or_default(),
        }
    }
}

impl Check {
    /// A point of an org.
    fn of(check: &preflight::Check, org: &LinkedOrg) -> Self {
        let point = &check.point;
        Self {
            name: point.name(),
            found: word(&check.found),
            needed: point.is_needed(),
            setting: point.setting(),
            address: point.address(org),
            help: point.help(),
            point: point.clone(),
        }
    }
}

/// What the account's org was found to allow, as of the last time that it was asked.
#[utoipa::path(
    get,
    operation_id = "readPreflight",
    path = "/api/v1/accounts/{account}/preflight",
    params(("account" = String, Path, description = "The account")),
    responses(
        (status = 200, body = Preflight, description = "As it was found; of an unlinked account, nothing is"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn read(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<Json<Preflight>, Problem> {
    let state = sidecar.linking.link(&caller.account).await?;
    Ok(Json(Preflight::of(&state)))
}

/// Asks the account's org anew what it allows, which takes one API request of the org's.
#[utoipa::path(
    post,
    operation_id = "askPreflight",
    path = "/api/v1/accounts/{account}/preflight",
    params(
        ("account" = String, Path, description = "The account"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 200, body = Preflight, description = "As it is found"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The account is not linked"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Asked too often"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "Salesforce did not answer"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn ask(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<Json<Preflight>, Problem> {
    if !sidecar.may_ask(&caller.account) {
        return Err(Problem::too_many());
    }
    let linking = Arc::clone(&sidecar.linking);
    let asking = async move { linking.preflight(&caller.account).await };
    let state = sidecar.whole(asking).await?;
    if state.org.is_none() {
        return Err(Problem::not_linked());
    }
    Ok(Json(Preflight::of(&state)))
}
