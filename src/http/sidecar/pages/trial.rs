//! The test of a link: a number looked up, and one marked Task made and deleted. Numbers come in
//! forms alone, so that no address holds one.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::super::Sidecar;
use super::super::csrf::Change;
use super::super::session::{Admin, Session};
use super::texts::faults::Told;
use super::texts::{self, trial as words};
use super::{Shell, assets, message, page, too_often, unavailable};
use crate::domain::ids::{AccountId, RecordId};
use crate::domain::matching::LookupResult;
use crate::domain::private::Private;
use crate::domain::task::TaskField;
use crate::domain::trial;
use crate::trial::{Error, Made, Seen};

#[derive(Template)]
#[template(path = "test.html")]
struct Test {
    shell: Shell,
    seen: Option<ShownSeen>,
}

/// What a lookup shows.
struct ShownSeen {
    tone: &'static str,
    word: &'static str,
    summary: &'static str,
    number: Option<String>,
    rule: Option<&'static str>,
    candidates: u32,
    shown: Vec<Record>,
    /// What a Task is made with; `None`: there is nothing to make one of.
    make: Option<Make>,
    make_means: String,
}

/// A candidate.
struct Record {
    id: String,
    object: &'static str,
    name: String,
    url: String,
    chosen: bool,
}

/// What became of a Task.
#[derive(Template)]
#[template(path = "task.html")]
struct ShownMade {
    shell: Shell,
    tone: &'static str,
    told: Told,
    /// Nobody else is told of here.
    accounts: Vec<AccountId>,
    task: Option<Task>,
    again: Option<Make>,
}

/// A Task that is there.
struct Task {
    id: String,
    subject: &'static str,
    url: String,
    left_out: String,
}

/// A number.
#[derive(Deserialize)]
pub(super) struct Asked {
    number: Private<String>,
}

/// A Task to be made, once.
#[derive(Deserialize)]
pub(super) struct Make {
    number: Private<String>,
    id: Uuid,
}

/// A Task to be deleted.
#[derive(Deserialize)]
pub(super) struct Unwanted {
    task: RecordId,
}

/// `GET /test`
pub(super) async fn show(State(sidecar): State<Arc<Sidecar>>, Admin(session): Admin) -> Response {
    shown(&sidecar, &session, None)
}

/// `POST /test`
pub(super) async fn look_up(
    State(sidecar): State<Arc<Sidecar>>,
    change: Change<Asked>,
) -> Response {
    let Change { session, form } = change;
    if !sidecar.may_ask(&session.account) {
        return too_often(&sidecar, &session);
    }
    match sidecar.trial.look_up(&session.account, &form.number).await {
        Ok(seen) => {
            let seen = ShownSeen::of(seen, form.number);
            shown(&sidecar, &session, Some(seen))
        }
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// `POST /test/task`: one that comes again, by a reload, makes no other.
pub(super) async fn create(State(sidecar): State<Arc<Sidecar>>, change: Change<Make>) -> Response {
    let Change { session, form } = change;
    if !sidecar.may_ask(&session.account) {
        return too_often(&sidecar, &session);
    }
    let (trial, account) = (Arc::clone(&sidecar.trial), session.account.clone());
    let (number, id) = (form.number.clone(), form.id);
    let creating = async move { trial.create(&account, &number, id).await };
    match sidecar.whole(creating).await {
        Ok(made) => page(&ShownMade::of(Shell::of(&sidecar, &session), made, form)),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// `POST /test/task/delete`
pub(super) async fn delete(
    State(sidecar): State<Arc<Sidecar>>,
    change: Change<Unwanted>,
) -> Response {
    let Change { session, form } = change;
    if !sidecar.may_ask(&session.account) {
        return too_often(&sidecar, &session);
    }
    let (trial, account) = (Arc::clone(&sidecar.trial), session.account.clone());
    let deleting = async move { trial.delete(&account, &form.task).await };
    match sidecar.whole(deleting).await {
        Ok(()) => {
            let shell = Shell::of(&sidecar, &session);
            page(&ShownMade::bare(shell, "good", words::deleted()))
        }
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// The page, with what a test has shown.
fn shown(sidecar: &Sidecar, session: &Session, seen: Option<ShownSeen>) -> Response {
    let shell = Shell::of(sidecar, session);
    page(&Test { shell, seen })
}

/// Why a test came to nothing.
fn failed(sidecar: &Sidecar, session: &Session, error: Error) -> Response {
    let (status, told) = match error {
        Error::NotLinked => (StatusCode::CONFLICT, words::not_linked()),
        Error::Broken => (StatusCode::CONFLICT, words::broken()),
        Error::NoSuchTask => (StatusCode::NOT_FOUND, words::no_such_task()),
        Error::Refused(failure) => {
            let told = texts::asking::unanswered(&failure);
            (StatusCode::BAD_GATEWAY, told)
        }
        Error::Store(error) => return unavailable(sidecar, &error),
    };
    message(Shell::of(sidecar, session), status, told, Vec::new())
}

impl ShownSeen {
    /// What a lookup shows of the number that was typed.
    fn of(seen: Seen, typed: Private<String>) -> Self {
        let Seen {
            number,
            answer,
            shown,
        } = seen;
        let chosen = answer.record.as_ref().map(|record| &record.id);
        let record = |shown: crate::trial::Shown| Record {
            id: shown.candidate.id.to_string(),
            object: words::object(shown.candidate.record_type),
            name: shown
                .candidate
                .name
                .map_or_else(|| words::NAMELESS.to_owned(), |name| name.expose().clone()),
            url: shown.url.expose().clone(),
            chosen: chosen == Some(&shown.candidate.id),
        };
        let make = number.is_some().then(|| Make {
            number: typed,
            id: Uuid::new_v4(),
        });
        Self {
            tone: match answer.result {
                LookupResult::Matched => "good",
                LookupResult::Several => "warn",
                _ => "still",
            },
            word: words::word(answer.result),
            summary: words::result(answer.result),
            number: number.map(|number| number.e164().to_owned()),
            rule: answer.rule.map(words::rule),
            candidates: answer.candidates,
            shown: shown.into_iter().map(record).collect(),
            make,
            make_means: words::make_means(answer.record.is_some()),
        }
    }
}

impl ShownMade {
    /// One thing to say, and nothing to do about it.
    const fn bare(shell: Shell, tone: &'static str, told: Told) -> Self {
        Self {
            shell,
            tone,
            told,
            accounts: Vec::new(),
            task: None,
            again: None,
        }
    }

    /// What became of a Task.
    fn of(shell: Shell, made: Made, form: Make) -> Self {
        match made {
            Made::Created {
                task,
                url,
                left_out,
            } => {
                let left_out: Vec<&str> = left_out.into_iter().map(TaskField::as_str).collect();
                let task = Task {
                    id: task.to_string(),
                    subject: trial::SUBJECT,
                    url: url.expose().clone(),
                    left_out: left_out.join(", "),
                };
                Self {
                    task: Some(task),
                    ..Self::bare(shell, "good", words::created())
                }
            }
            Made::Unknown => Self {
                again: Some(form),
                ..Self::bare(shell, "warn", words::unknown())
            },
        }
    }
}
