//! The story of one call: why there is a Task, or none.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;

use super::caller::Caller;
use crate::domain::ids::CallId;
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;
use crate::telling::story::Told;

/// The story of one call: its events, its lookup, every attempt, and what happens next. The same as
/// `vcc-link calls why --json` tells. Numbers, names and notes are left out.
#[utoipa::path(
    get,
    operation_id = "readCall",
    path = "/api/v1/accounts/{account}/calls/{call}",
    params(
        ("account" = String, Path, description = "The account"),
        ("call" = String, Path, description = "The interaction id"),
    ),
    responses(
        (status = 200, body = Object, description = "The story"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "No such call is stored"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn why(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, call)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let none = || Problem::not_found("No call of this account has this id.");
    let id = CallId {
        account: caller.account,
        interaction: call.parse().map_err(|_| none())?,
    };
    let story = sidecar.store.story(&id).await?.ok_or_else(none)?;
    let links = sidecar
        .store
        .links(std::slice::from_ref(&id.account))
        .await?;
    let keys = sidecar.vault.open(story.call.keys().collect()).await?;
    let call = keys.call(&story.call);
    let told = Told {
        story: &story,
        call: call.as_ref(),
        link: links.first(),
    };
    Ok(Json(told.json()))
}
