//! What happened to an account's link.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::session::Session;
use super::texts::invitations;
use super::{Shell, assets, page, texts, time, unavailable};
use crate::domain::invitation::Step;
use crate::domain::link::{Actor, Health, LinkStatus};
use crate::store::authorizations::{Happened, HistoryLine};

/// Lines on a page.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    shell: Shell,
    lines: Vec<Line>,
    /// Where the next page goes on.
    before: Option<i64>,
}

/// One line.
pub(super) struct Line {
    pub(super) at: String,
    pub(super) reason: &'static str,
    pub(super) change: String,
    pub(super) by: String,
}

impl Line {
    /// A change in words.
    pub(super) fn of(line: HistoryLine) -> Self {
        let change = format!("{} → {}", standing(line.from), standing(line.to));
        let actor = texts::actor(&line.actor);
        let learnt = line.from == line.to && line.actor == Actor::Salesforce;
        let (reason, change, by) = match line.what {
            Happened::Link(_) if learnt => (texts::LEARNT, String::new(), actor),
            Happened::Link(reason) => (texts::reason(reason), change, actor),
            Happened::Invitation(step) => {
                let by = match step {
                    Step::Used => invitations::whom_invited(&actor),
                    Step::Invited | Step::Revoked | Step::Discarded => actor,
                };
                (invitations::step(step), String::new(), by)
            }
        };
        Self {
            at: time(line.at),
            reason,
            change,
            by,
        }
    }
}

/// Status and health; what is not linked has none.
fn standing((status, health): (LinkStatus, Health)) -> String {
    let word = texts::status(status);
    match status {
        LinkStatus::Unlinked => word.to_owned(),
        LinkStatus::Linked | LinkStatus::Legacy => format!("{word}, {}", texts::health(health)),
    }
}

/// Where a page begins.
#[derive(Deserialize)]
pub(super) struct From {
    before: Option<i64>,
}

/// `GET /history`
pub(super) async fn show(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Query(from): Query<From>,
) -> Response {
    let read = sidecar.store.history(&session.account, from.before, PAGE);
    let lines = match read.await {
        Ok(lines) => lines,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let more = lines.len() == PAGE as usize;
    page(&History {
        shell: Shell::of(&sidecar, &session),
        before: lines.last().filter(|_| more).map(|line| line.line),
        lines: lines.into_iter().map(Line::of).collect(),
    })
}
