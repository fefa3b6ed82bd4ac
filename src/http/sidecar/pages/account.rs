//! The page of an account: what holds, and what can be done about it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::session::{Role, Session};
use super::contacts::Line as ContactLine;
use super::follow::standing;
use super::history::Line;
use super::inviting::Inviting;
use super::preflight::Preflight;
use super::texts::checklist::{Item, checklist};
use super::texts::contacts as texts_of;
use super::texts::{self, Notice};
use super::{Shell, assets, page, time, unavailable};
use crate::clock;
use crate::domain::link::{Actor, Health, LinkState, LinkStatus, LinkedOrg};
use crate::domain::pause::Pause;
use crate::domain::work::Lane;
use crate::store::authorizations::{Happened, HistoryLine};
use crate::store::{self, Store};
use crate::telling::troubles::{Trouble, trouble};

/// Lines of the history on the account's page.
const SHOWN: u32 = 5;

/// Lines of the history read at once.
const PAGE: u32 = 100;

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    notice: Option<Notice>,
    /// What this page shows; once the events tell another, it is loaded anew.
    seen: String,
    last_login: String,
    status: Mark,
    health: Option<Mark>,
    summary: String,
    paused: Vec<Halt>,
    trouble: Option<ShownTrouble>,
    waiting: u64,
    /// What becomes of calls that wait, though the account is unlinked.
    still_waiting: Option<String>,
    linked: Option<Linked>,
    preflight: Option<Preflight>,
    may_test: bool,
    may_change: bool,
    consent: Option<String>,
    checklist: Vec<Item>,
    inviting: Inviting,
    history: Vec<Line>,
    more_history: bool,
    contacts: Vec<ContactLine>,
}

/// A word with its colour.
struct Mark {
    word: &'static str,
    tone: &'static str,
}

/// The credentials.
struct Linked {
    username: String,
    org_name: String,
    org_id: String,
    environment: &'static str,
    since: String,
    by: Option<String>,
    slots: String,
    /// The button to press is Relink.
    relink_first: bool,
}

/// What is wrong.
struct ShownTrouble {
    tone: &'static str,
    title: &'static str,
    what: &'static str,
    todo: &'static str,
    since: String,
}

/// What an operator paused.
struct Halt {
    what: &'static str,
    why: String,
    since: String,
    until: Option<String>,
}

impl Halt {
    fn of(pause: Pause) -> Self {
        Self {
            what: match pause.lane {
                Lane::Lookup => texts::LOOKUPS_PAUSED,
                Lane::Task => texts::TASKS_PAUSED,
            },
            why: pause.reason,
            since: time(pause.since),
            until: pause.until.map(time),
        }
    }
}

impl Notice {
    /// Whether a screen reader interrupts for it.
    fn role(&self) -> &'static str {
        if self.tone == "good" {
            "status"
        } else {
            "alert"
        }
    }
}

/// What has just happened.
#[derive(Deserialize)]
pub(super) struct Landing {
    notice: Option<What>,
}

/// The things that the page can say have happened.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Linked,
    Unlinked,
    Cancelled,
    Discarded,
    /// Whatever else the address says.
    #[serde(other)]
    Unknown,
}

/// What the page is made from.
struct Facts {
    state: LinkState,
    paused: Vec<Halt>,
    waiting: u64,
    accounts: usize,
    history: Vec<Line>,
    contacts: Vec<ContactLine>,
    made: Option<(String, Option<String>)>,
    last_login: String,
    inviting: Inviting,
    seen: String,
}

/// `GET /`
pub(super) async fn show(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Query(happened): Query<Landing>,
    headers: HeaderMap,
) -> Response {
    match facts(&sidecar, &session).await {
        Ok(facts) => {
            let shell = Shell::of(&sidecar, &session).framed(&sidecar, &session, &headers);
            page(&account(&sidecar, &session, shell, facts, happened.notice))
        }
        Err(error) => unavailable(&sidecar, &error),
    }
}

/// Reads what the page shows.
async fn facts(sidecar: &Sidecar, session: &Session) -> store::Result<Facts> {
    let (store, account) = (&sidecar.store, &session.account);
    let state = sidecar.linking.link(account).await?;
    let accounts = match &state.org {
        Some(org) => store.accounts_of_api_user(&org.org, &org.user).await?.len(),
        None => 0,
    };
    let lines = store.history(account, None, SHOWN + 1).await?;
    let org = state.org.as_ref().map(|org| &org.org);
    let mut pauses = store.pauses().await?;
    pauses.retain(|pause| pause.covers(account, org));
    let last = store.last_authorization(&session.id).await?;
    let told = store.contacts(account).await?;
    let waiting = store.parked_calls(account).await?;
    Ok(Facts {
        paused: pauses.into_iter().map(Halt::of).collect(),
        inviting: Inviting::of(sidecar, session, waiting).await?,
        seen: standing(&state, lines.first()),
        waiting,
        accounts,
        made: made(&**store, &state).await?,
        history: lines.into_iter().map(Line::of).collect(),
        contacts: told.contacts.into_iter().map(ContactLine::of_row).collect(),
        last_login: last.map(|last| last.id.to_string()).unwrap_or_default(),
        state,
    })
}

/// Since when a link stands, and by whom: the first line of its generation.
async fn made(
    store: &dyn Store,
    state: &LinkState,
) -> store::Result<Option<(String, Option<String>)>> {
    let mut first = None;
    let mut before = None;
    loop {
        let lines = store.history(&state.account, before, PAGE).await?;
        let read = lines.len();
        before = lines.last().map(|line| line.line);
        let older = lines.iter().any(|line| line.generation < state.generation);
        let own = |line: &HistoryLine| {
            line.generation == state.generation && matches!(line.what, Happened::Link(_))
        };
        first = lines.into_iter().rfind(own).or(first);
        if older || read < PAGE as usize {
            break;
        }
    }
    Ok(first.map(|line| {
        let named = !matches!(line.actor, Actor::System | Actor::Salesforce);
        (time(line.at), named.then(|| texts::actor(&line.actor)))
    }))
}

/// The page of these facts.
fn account(
    sidecar: &Sidecar,
    session: &Session,
    shell: Shell,
    facts: Facts,
    happened: Option<What>,
) -> Account {
    let (state, config) = (&facts.state, &sidecar.config);
    let most = sidecar.linking.accounts_per_api_user();
    let legacy_until = sidecar.linking.legacy_until();
    let legacy_until = legacy_until.map(|day| day.format("%-d %B %Y").to_string());
    let is_linked = state.status != LinkStatus::Unlinked;
    let trouble = trouble(state.health, state.reason).filter(|_| is_linked);
    let full = is_linked && facts.accounts >= most as usize;
    let relink_first = state.status == LinkStatus::Legacy
        || trouble.as_ref().is_some_and(|trouble| trouble.relink);
    let linked = state.org.as_ref().map(|org| Linked {
        relink_first,
        ..linked(org, facts.made, texts::slots(facts.accounts, most))
    });
    let mut history = facts.history;
    let more_history = history.len() > SHOWN as usize;
    history.truncate(SHOWN as usize);
    Account {
        notice: happened.and_then(|what| notice(what, state)),
        seen: facts.seen,
        last_login: facts.last_login,
        status: status(state.status),
        health: is_linked.then(|| health(state.health)),
        summary: summary(state, trouble.is_some(), legacy_until.as_deref()),
        paused: facts.paused,
        trouble: trouble.map(|trouble| shown(&trouble, state)),
        waiting: facts.waiting,
        still_waiting: still_waiting(state, facts.waiting, sidecar.unlink_grace),
        preflight: state.org.as_ref().map(Preflight::of),
        linked,
        may_test: session.role == Role::Admin && state.is_live(),
        may_change: session.role == Role::Admin,
        consent: full.then(|| texts::give_up_first(most)),
        inviting: facts.inviting,
        checklist: checklist(&config.egress_addresses, most),
        history,
        more_history,
        contacts: facts.contacts,
        shell,
    }
}

/// What has happened, where what holds agrees: an address can be kept and opened again.
fn notice(what: What, state: &LinkState) -> Option<Notice> {
    let is_linked = state.status != LinkStatus::Unlinked;
    match what {
        What::Linked if is_linked => Some(texts::NOTICE_LINKED),
        What::Unlinked if !is_linked => Some(texts::NOTICE_UNLINKED),
        What::Cancelled => Some(texts::NOTICE_CANCELLED),
        What::Discarded => Some(texts::NOTICE_DISCARDED),
        What::Linked | What::Unlinked | What::Unknown => None,
    }
}

/// What becomes of the calls of an unlinked account that wait.
fn still_waiting(state: &LinkState, waiting: u64, grace: Duration) -> Option<String> {
    let until = state.calls_wait_until(grace)?;
    let waits = waiting > 0 && until > clock::now();
    waits.then(|| texts::still_waiting(waiting, &time(until)))
}

fn status(status: LinkStatus) -> Mark {
    let tone = match status {
        LinkStatus::Unlinked => "still",
        LinkStatus::Linked => "good",
        LinkStatus::Legacy => "warn",
    };
    let word = texts::status(status);
    Mark { word, tone }
}

fn health(health: Health) -> Mark {
    let word = texts::health(health);
    let tone = tone(health);
    Mark { word, tone }
}

const fn tone(health: Health) -> &'static str {
    match health {
        Health::Healthy => "good",
        Health::AtRisk => "warn",
        Health::Broken => "bad",
    }
}

fn summary(state: &LinkState, troubled: bool, legacy_until: Option<&str>) -> String {
    match state.status {
        LinkStatus::Unlinked => texts::UNLINKED.to_owned(),
        LinkStatus::Legacy => texts::legacy(legacy_until),
        LinkStatus::Linked if troubled => texts::LINKED_TROUBLED.to_owned(),
        LinkStatus::Linked => texts::LINKED.to_owned(),
    }
}

fn shown(trouble: &Trouble, state: &LinkState) -> ShownTrouble {
    ShownTrouble {
        tone: tone(state.health),
        title: trouble.title,
        what: trouble.what,
        todo: trouble.todo,
        since: time(state.since),
    }
}

fn linked(org: &LinkedOrg, made: Option<(String, Option<String>)>, slots: String) -> Linked {
    let (since, by) = made.unwrap_or_default();
    let unasked = || texts::NOT_ASKED_YET.to_owned();
    Linked {
        username: if org.username.is_empty() {
            unasked()
        } else {
            org.username.whole().to_owned()
        },
        org_name: org.name.clone().unwrap_or_else(unasked),
        org_id: org.org.to_string(),
        environment: texts::environment(org.environment),
        since,
        by,
        slots,
        relink_first: false,
    }
}
