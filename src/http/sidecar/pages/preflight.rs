//! The preflight on the account's page: what the org was found to allow, and asking it anew.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::Sidecar;
use super::super::csrf::Change;
use super::logins::Nothing;
use super::texts::{self, points};
use super::{time, too_often, unasked};
use crate::domain::link::{LinkState, LinkedOrg};
use crate::domain::preflight::{Check, Found, Point};

/// A preflight as it is shown.
pub(super) struct Preflight {
    /// Names it, so that an open page knows a newer one.
    pub(super) asked: String,
    pub(super) tone: &'static str,
    pub(super) word: &'static str,
    pub(super) summary: String,
    /// When the org was asked, if it was.
    pub(super) at: Option<String>,
    /// API requests left.
    pub(super) left: String,
    needed: Vec<Line>,
    advised: Vec<Line>,
}

/// One line of it.
pub(super) struct Line {
    pub(super) title: String,
    /// What the line is about, where it tells several points together.
    pub(super) names: String,
    pub(super) tone: &'static str,
    pub(super) word: &'static str,
    /// How to change it, where it is not as it should be.
    pub(super) mend: Option<Mend>,
}

/// How to change something.
pub(super) struct Mend {
    pub(super) without: String,
    pub(super) setting: String,
    pub(super) address: String,
    pub(super) help: &'static str,
}

/// Names the preflight of a link: when its org was asked last.
pub(super) fn asked(state: &LinkState) -> String {
    state.org.as_ref().map(asked_of).unwrap_or_default()
}

fn asked_of(org: &LinkedOrg) -> String {
    let at = org.asked_at.map(|at| at.timestamp_micros().to_string());
    at.unwrap_or_default()
}

impl Preflight {
    /// The preflight of an org.
    pub(super) fn of(org: &LinkedOrg) -> Self {
        let checks = &org.preflight;
        let lacks = org.missing().len();
        let (word, summary) = points::summary(!checks.is_empty(), lacks);
        let lines = |needed: bool| {
            let part = checks.iter().filter(|c| c.point.is_needed() == needed);
            let part: Vec<&Check> = part.collect();
            let shown = part.iter().filter(|check| !is_written(check));
            let mut lines: Vec<Line> = shown.map(|check| line(check, org)).collect();
            lines.extend(written(&part));
            // What is not as it should be stands first.
            lines.sort_by_key(|line| line.mend.is_none());
            lines
        };
        Self {
            asked: asked_of(org),
            tone: match (checks.is_empty(), lacks) {
                (true, _) => "still",
                (false, 0) => "good",
                (false, _) => "bad",
            },
            word,
            summary,
            at: org.asked_at.map(time),
            left: points::left(usage(checks)),
            needed: lines(true),
            advised: lines(false),
        }
    }

    /// Its lines: those that are needed, and those that are not, each with a title.
    pub(super) fn parts(&self) -> [(&'static str, &[Line]); 2] {
        [
            (texts::NEEDED, &self.needed),
            (texts::ADVISED, &self.advised),
        ]
    }
}

/// How many API requests the org has used, and may use.
fn usage(checks: &[Check]) -> Option<(u64, u64)> {
    checks.iter().find_map(|check| match check.point {
        Point::RequestsLeft { used, limit } => used.zip(limit),
        _ => None,
    })
}

/// Whether it is a field that can be written: those are told together.
fn is_written(check: &Check) -> bool {
    matches!(check.point, Point::WriteField { .. }) && check.found == Found::Yes
}

/// One line for all fields that can be written.
fn written(checks: &[&Check]) -> Option<Line> {
    let field = |check: &&Check| match &check.point {
        Point::WriteField { field } if check.found == Found::Yes => Some(field.clone()),
        _ => None,
    };
    let names: Vec<String> = checks.iter().filter_map(field).collect();
    (!names.is_empty()).then(|| Line {
        title: points::WRITES.to_owned(),
        names: names.join(", "),
        tone: "good",
        word: points::word(Found::Yes),
        mend: None,
    })
}

/// One point as a line.
fn line(check: &Check, org: &LinkedOrg) -> Line {
    let Check { point, found } = check;
    let mend = || Mend {
        without: points::without(point, *found),
        setting: point.setting(),
        address: point.address(org),
        help: point.help(),
    };
    Line {
        title: points::title(point),
        names: String::new(),
        tone: match found {
            Found::Yes => "good",
            Found::No if point.is_needed() => "bad",
            Found::No => "warn",
            Found::Unknown => "still",
        },
        word: points::word(*found),
        mend: (*found != Found::Yes).then(mend),
    }
}

/// `POST /preflight`
pub(super) async fn ask(State(sidecar): State<Arc<Sidecar>>, change: Change<Nothing>) -> Response {
    let session = change.session;
    if !sidecar.may_ask(&session.account) {
        return too_often(&sidecar, &session);
    }
    let (linking, account) = (Arc::clone(&sidecar.linking), session.account.clone());
    let asking = async move { linking.preflight(&account).await };
    match sidecar.whole(asking).await {
        Ok(_) => Redirect::to("/#preflight").into_response(),
        Err(error) => unasked(&sidecar, &session, error),
    }
}
