//! What happened to an account's link.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::session::Session;
use super::{Shell, assets, page, texts, time, unavailable};
use crate::domain::ids::Sequence;
use crate::domain::link::{Actor, Health, LinkStatus};
use crate::store::authorizations::HistoryLine;

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
        let learnt = line.from == line.to && line.actor == Actor::Salesforce;
        Self {
            at: time(line.at),
            reason: if learnt {
                texts::LEARNT
            } else {
                texts::reason(line.reason)
            },
            change: if learnt {
                String::new()
            } else {
                format!("{} → {}", standing(line.from), standing(line.to))
            },
            by: texts::actor(&line.actor),
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
    let before = from.before.map(Sequence);
    let read = sidecar.store.history(&session.account, before, PAGE);
    let lines = match read.await {
        Ok(lines) => lines,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let more = lines.len() == PAGE as usize;
    page(&History {
        shell: Shell::of(&sidecar, &session),
        before: lines.last().filter(|_| more).map(|line| line.sequence.0),
        lines: lines.into_iter().map(Line::of).collect(),
    })
}
