//! The test of a link: a number looked up, and one marked Task created and deleted.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Caller;
use super::word;
use crate::domain::ids::RecordId;
use crate::domain::private::Private;
use crate::domain::task::TaskField;
use crate::domain::trial;
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;
use crate::trial::{Made, Seen, Shown};

/// A number to be looked up.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TestNumber {
    /// A phone number, as people write it.
    #[schema(value_type = String)]
    number: Private<String>,
}

/// A test Task to be created.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TestWish {
    /// A phone number: the Task belongs to the record that is found by it.
    #[schema(value_type = String)]
    number: Private<String>,
    /// A UUID of yours. One that comes again creates no other Task: the first is looked for.
    #[schema(value_type = String)]
    id: Uuid,
}

/// What a lookup shows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestLookup {
    /// The number as it was read; none: it was not searched.
    number: Option<String>,
    /// `matched`, `none`, `several`, `withheld` or `not_searched`; more words may come.
    result: String,
    /// The rule that chose the record; more words may come.
    rule: Option<String>,
    /// The record's id, where one was matched.
    record: Option<String>,
    /// How many records have the number.
    candidates: u32,
    /// The first of them, in the order of the rules.
    shown: Vec<TestCandidate>,
}

/// A record that has the number.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestCandidate {
    /// Its id.
    id: String,
    /// `contact`, `lead`, `account` or `other`.
    #[serde(rename = "type")]
    kind: String,
    /// Its name.
    name: Option<String>,
    /// Its page in the org.
    url: String,
}

/// What became of a test Task.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestTask {
    /// `created`; or `unknown`: Salesforce did not answer, and it is not found. Ask again with the
    /// same id, which only looks for it.
    state: String,
    /// The Task's id, once it is there.
    task: Option<String>,
    /// Its page in the org.
    url: Option<String>,
    /// What its subject says.
    subject: String,
    /// The fields that Salesforce refused, which were left out.
    left_out: Vec<String>,
}

impl TestLookup {
    fn of(seen: &Seen) -> Self {
        let answer = &seen.answer;
        Self {
            number: seen.number.as_ref().map(|number| number.e164().to_owned()),
            result: word(&answer.result),
            rule: answer.rule.as_ref().map(word),
            record: answer.record.as_ref().map(|record| record.id.to_string()),
            candidates: answer.candidates,
            shown: seen.shown.iter().map(TestCandidate::of).collect(),
        }
    }
}

impl TestCandidate {
    fn of(shown: &Shown) -> Self {
        let Shown { candidate, url } = shown;
        Self {
            id: candidate.id.to_string(),
            kind: word(&candidate.record_type),
            name: candidate.name.as_ref().map(|name| name.expose().clone()),
            url: url.expose().clone(),
        }
    }
}

impl TestTask {
    fn of(made: Made) -> Self {
        let subject = trial::SUBJECT.to_owned();
        match made {
            Made::Created {
                task,
                url,
                left_out,
            } => Self {
                state: "created".to_owned(),
                task: Some(task.to_string()),
                url: Some(url.expose().clone()),
                subject,
                left_out: left_out.iter().map(TaskField::to_string).collect(),
            },
            Made::Unknown => Self {
                state: "unknown".to_owned(),
                task: None,
                url: None,
                subject,
                left_out: Vec::new(),
            },
        }
    }
}

/// Which record a call from a number would be logged on, by the same search and rules as a call's.
/// It takes an API request or two of the org's.
#[utoipa::path(
    post,
    operation_id = "testLookup",
    path = "/api/v1/accounts/{account}/test/lookup",
    params(
        ("account" = String, Path, description = "The account"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    request_body = TestNumber,
    responses(
        (status = 200, body = TestLookup, description = "What is found"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The account is not linked, or its link does not work"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Asked too often"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed, or not understood"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "Salesforce did not do it"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn look_up(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    asked: Result<Json<TestNumber>, JsonRejection>,
) -> Result<Json<TestLookup>, Problem> {
    let Json(asked) = asked.map_err(|wrong| unread(&wrong))?;
    may_ask(&sidecar, &caller)?;
    let seen = sidecar.trial.look_up(&caller.account, &asked.number).await;
    Ok(Json(TestLookup::of(&seen?)))
}

/// Creates one Task that says of itself that it is a test, once for each id.
#[utoipa::path(
    post,
    operation_id = "createTestTask",
    path = "/api/v1/accounts/{account}/test/tasks",
    params(
        ("account" = String, Path, description = "The account"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    request_body = TestWish,
    responses(
        (status = 200, body = TestTask, description = "What became of it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The account is not linked, or its link does not work"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Asked too often"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed, or not understood"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "Salesforce did not do it: take a new id to try again"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn create(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    wish: Result<Json<TestWish>, JsonRejection>,
) -> Result<Json<TestTask>, Problem> {
    let Json(wish) = wish.map_err(|wrong| unread(&wrong))?;
    may_ask(&sidecar, &caller)?;
    let trial = Arc::clone(&sidecar.trial);
    let creating = async move { trial.create(&caller.account, &wish.number, wish.id).await };
    let made = sidecar.whole(creating).await?;
    Ok(Json(TestTask::of(made)))
}

/// Deletes a Task that a test of this account made; no other.
#[utoipa::path(
    delete,
    operation_id = "deleteTestTask",
    path = "/api/v1/accounts/{account}/test/tasks/{id}",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The Task"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such Task, or no test made it"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The account is not linked, or its link does not work"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Asked too often"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 502, body = Problem, content_type = "application/problem+json", description = "Salesforce did not do it"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn delete(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let none = |_| Problem::not_found("No Task has this id.");
    let task: RecordId = id.parse().map_err(none)?;
    may_ask(&sidecar, &caller)?;
    let trial = Arc::clone(&sidecar.trial);
    let deleting = async move { trial.delete(&caller.account, &task).await };
    sidecar.whole(deleting).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A body that cannot be read. What stands in it is not told again: it may be a number.
fn unread(wrong: &JsonRejection) -> Problem {
    let detail = "Send JSON as the document says, with the fields `number` and, for a Task, `id`.";
    Problem::malformed(wrong.status(), detail)
}

/// Refuses whoever asks too often.
fn may_ask(sidecar: &Sidecar, caller: &Caller) -> Result<(), Problem> {
    if sidecar.may_ask(&caller.account) {
        Ok(())
    } else {
        Err(Problem::too_many())
    }
}
