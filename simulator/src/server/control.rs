//! The control API over HTTP: JSON in, JSON out, no authentication.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::control::{Control, ControlError, RequestFilter};
use crate::seed::Seed;
use crate::world::faults::Rule;

/// An answer, or why not.
type Told = Result<Json<Value>, Refused>;

/// A refusal of the control API: `{"error": "…"}`.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::Unknown(..) => StatusCode::NOT_FOUND,
            ControlError::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

/// A JSON body whose faults are told as JSON.
type Body<T> = Result<Json<T>, JsonRejection>;

/// All routes, relative to the prefix.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/seed", post(seed))
        .route("/app", post(patch_app))
        .route("/orgs", get(orgs))
        .route("/orgs/{org}", post(patch_org))
        .route("/users/{user}", post(patch_user))
        .route("/users/{user}/approve", post(approve))
        .route("/users/{user}/login", post(log_in))
        .route("/sessions/expire", post(expire_sessions))
        .route("/tasks", get(tasks))
        .route("/tasks/duplicates", get(duplicates))
        .route("/tasks/{id}", post(edit_task).delete(delete_task))
        .route("/records", post(add_records))
        .route("/requests", get(requests))
        .route("/counters", get(counters))
        .route("/faults", get(faults).post(add_fault).delete(remove_faults))
        .route("/faults/{id}", axum::routing::delete(remove_fault))
        .route("/time", get(time).post(set_time))
        .fallback(|| async { Refused(StatusCode::NOT_FOUND, "no such control route".to_owned()) })
        .with_state(control)
}

/// Names an org, where one may be named.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OrgChoice {
    org: Option<String>,
}

async fn health(State(control): State<Control>) -> Json<Value> {
    Json(control.health())
}

async fn seed(State(control): State<Control>, body: Body<Seed>) -> Told {
    let Json(seed) = body?;
    Ok(Json(json!({ "orgs": control.seed(seed)? })))
}

async fn orgs(State(control): State<Control>) -> Json<Value> {
    Json(control.orgs())
}

async fn patch_app(State(control): State<Control>, body: Body<Map<String, Value>>) -> Told {
    let Json(patch) = body?;
    Ok(Json(control.patch_app(patch)?))
}

async fn patch_org(
    State(control): State<Control>,
    Path(org): Path<String>,
    body: Body<Map<String, Value>>,
) -> Told {
    let Json(patch) = body?;
    Ok(Json(control.patch_org(&org, patch)?))
}

async fn patch_user(
    State(control): State<Control>,
    Path(user): Path<String>,
    body: Body<Map<String, Value>>,
) -> Told {
    let Json(patch) = body?;
    Ok(Json(control.patch_user(&user, patch)?))
}

async fn approve(State(control): State<Control>, Path(user): Path<String>) -> Told {
    Ok(Json(json!({ "refresh_token": control.approve(&user)? })))
}

async fn log_in(State(control): State<Control>, Path(user): Path<String>) -> Told {
    Ok(Json(json!({ "access_token": control.log_in(&user)? })))
}

async fn expire_sessions(State(control): State<Control>, body: Option<Json<OrgChoice>>) -> Told {
    let choice = body.map(|Json(choice)| choice).unwrap_or_default();
    let expired = control.expire_sessions(choice.org.as_deref())?;
    Ok(Json(json!({ "expired": expired })))
}

async fn tasks(State(control): State<Control>, Query(choice): Query<OrgChoice>) -> Told {
    Ok(Json(json!(control.tasks(choice.org.as_deref())?)))
}

/// Names the field that Tasks are grouped by.
#[derive(Debug, Deserialize)]
struct FieldChoice {
    #[serde(default = "FieldChoice::usual")]
    field: String,
}

impl FieldChoice {
    fn usual() -> String {
        "CallObject".to_owned()
    }
}

async fn duplicates(
    State(control): State<Control>,
    Query(choice): Query<FieldChoice>,
) -> Json<Value> {
    Json(json!(control.duplicates(&choice.field)))
}

async fn edit_task(
    State(control): State<Control>,
    Path(id): Path<String>,
    body: Body<Map<String, Value>>,
) -> Told {
    let Json(changes) = body?;
    Ok(Json(control.edit_task(&id, &changes)?))
}

async fn delete_task(State(control): State<Control>, Path(id): Path<String>) -> Told {
    Ok(Json(control.delete_task(&id)?))
}

/// Records for one org.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRecords {
    org: String,
    records: Vec<Map<String, Value>>,
}

async fn add_records(State(control): State<Control>, body: Body<NewRecords>) -> Told {
    let Json(new) = body?;
    let ids = control.add_records(&new.org, new.records)?;
    Ok(Json(json!({ "ids": ids })))
}

async fn requests(State(control): State<Control>, Query(filter): Query<RequestFilter>) -> Told {
    Ok(Json(json!(control.requests(&filter)?)))
}

async fn counters(State(control): State<Control>) -> Json<Value> {
    Json(json!(control.counters()))
}

async fn faults(State(control): State<Control>) -> Json<Value> {
    Json(json!(control.faults()))
}

async fn add_fault(State(control): State<Control>, body: Body<Rule>) -> Told {
    let Json(rule) = body?;
    Ok(Json(json!({ "id": control.add_fault(rule) })))
}

async fn remove_faults(State(control): State<Control>) -> Told {
    Ok(Json(json!({ "removed": control.remove_faults(None)? })))
}

async fn remove_fault(State(control): State<Control>, Path(id): Path<String>) -> Told {
    Ok(Json(
        json!({ "removed": control.remove_faults(Some(&id))? }),
    ))
}

/// What to do with time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeChange {
    scale: Option<f64>,
    advance_ms: Option<u64>,
}

async fn time(State(control): State<Control>) -> Json<Value> {
    Json(json!({ "now": control.now().to_rfc3339() }))
}

async fn set_time(State(control): State<Control>, body: Body<TimeChange>) -> Told {
    let Json(change) = body?;
    if let Some(scale) = change.scale {
        control.set_time_scale(scale);
    }
    if let Some(ms) = change.advance_ms {
        control.advance(std::time::Duration::from_millis(ms));
    }
    Ok(Json(json!({ "now": control.now().to_rfc3339() })))
}
