//! What open pages are told as it happens, by server-sent events: read from the store each second,
//! so that it does not matter which replica does what.
//!
//! - `standing`: what the page shows; it is loaded anew once that is another;
//! - `preflight`: when the org was asked last; that part is then loaded anew;
//! - `waiting`: how many calls wait; `login`: the login that this session began last.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use tokio::time::Instant;

use super::super::Sidecar;
use super::super::guest::Guest;
use super::super::session::Session;
use super::failed;
use super::logins::{Standing, named};
use crate::domain::link::LinkState;
use crate::linking::{AuthorizationError, Onlooker};
use crate::store;
use crate::store::authorizations::HistoryLine;

/// How often the store is read for an open page.
const EVERY: Duration = Duration::from_secs(1);

/// How long one answer goes on. Browsers ask again, and prove again that they may.
const LONGEST: Duration = Duration::from_mins(5);

/// What is followed.
enum What {
    /// An account, by the session that looks at it.
    Account(Session),
    /// An invitation, by the session of whoever was invited.
    Invitation(Guest),
    /// A login, for those who may see it.
    Login(String, Onlooker),
}

/// One open page.
struct Follower {
    sidecar: Arc<Sidecar>,
    what: What,
    /// What was told last, in the order of the facts.
    told: Vec<Fact>,
    /// What is to be told.
    next: VecDeque<Event>,
    until: Instant,
    begun: bool,
}

/// A name and a value.
type Fact = (&'static str, String);

/// `GET /events`
pub(super) async fn account(State(sidecar): State<Arc<Sidecar>>, session: Session) -> Response {
    follow(sidecar, What::Account(session))
}

/// `GET /authorizations/{id}/events`
pub(super) async fn login(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Path(id): Path<String>,
) -> Response {
    let by = session.onlooker();
    match named(&sidecar, &by, &id).await {
        Ok(login) => follow(sidecar, What::Login(login.id.to_string(), by)),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// `GET /invited/events`
pub(super) async fn invited(State(sidecar): State<Arc<Sidecar>>, guest: Guest) -> Response {
    follow(sidecar, What::Invitation(guest))
}

/// `GET /invited/logins/{id}/events`
pub(super) async fn invited_login(
    State(sidecar): State<Arc<Sidecar>>,
    guest: Guest,
    Path(id): Path<String>,
) -> Response {
    let by = guest.onlooker();
    match named(&sidecar, &by, &id).await {
        Ok(login) => follow(sidecar, What::Login(login.id.to_string(), by)),
        Err(error) => super::invited::failed(&sidecar, &guest, error),
    }
}

/// Tells what changes, until it is too long, the session is over, or the process drains.
fn follow(sidecar: Arc<Sidecar>, what: What) -> Response {
    let follower = Follower {
        sidecar,
        what,
        told: Vec::new(),
        next: VecDeque::new(),
        until: Instant::now() + LONGEST,
        begun: false,
    };
    Sse::new(events(follower))
        .keep_alive(KeepAlive::default())
        .into_response()
}

fn events(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(follower, |mut follower| async move {
        loop {
            if let Some(event) = follower.next.pop_front() {
                return Some((Ok(event), follower));
            }
            if follower.begun && !follower.pause().await {
                return None;
            }
            follower.begun = true;
            match follower.facts().await {
                Ok(facts) => follower.tell(facts),
                // The browser asks again by itself.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "an open page is told no more");
                    return None;
                }
            }
        }
    })
}

/// What the account's page shows: a link, and by the last line of the history its invitations.
pub(super) fn standing(state: &LinkState, last: Option<&HistoryLine>) -> String {
    let line = last.map_or(0, |last| last.line);
    format!("{}-{line}", state.sequence.0)
}

impl Follower {
    /// Waits for the next look; false: there is none.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = self.sidecar.closing.cancelled() => false,
            () = tokio::time::sleep(EVERY) => Instant::now() < self.until,
        }
    }

    /// What holds now.
    async fn facts(&self) -> Result<Vec<Fact>, AuthorizationError> {
        match &self.what {
            What::Account(session) => Ok(self.of_account(session).await?),
            What::Invitation(guest) => Ok(self.of_invitation(guest).await?),
            What::Login(id, by) => {
                let login = named(&self.sidecar, by, id).await?;
                Ok(vec![("standing", Standing::of(&login).word().to_owned())])
            }
        }
    }

    async fn of_account(&self, session: &Session) -> store::Result<Vec<Fact>> {
        let (store, account) = (&self.sidecar.store, &session.account);
        let state = self.sidecar.linking.link(account).await?;
        let last = store.history(account, None, 1).await?;
        let waiting = store.parked_calls(account).await?;
        Ok(vec![
            ("standing", standing(&state, last.first())),
            ("preflight", super::preflight::asked(&state)),
            ("waiting", waiting.to_string()),
            ("login", self.last_login(&session.id).await?),
        ])
    }

    async fn of_invitation(&self, guest: &Guest) -> store::Result<Vec<Fact>> {
        let linking = &self.sidecar.linking;
        let open = linking.open_invitation(&guest.invitation).await?;
        let standing = if open.is_some() { "open" } else { "over" };
        Ok(vec![
            ("login", self.last_login(&guest.id).await?),
            ("standing", standing.to_owned()),
        ])
    }

    /// The login that a session began last.
    async fn last_login(&self, session: &str) -> store::Result<String> {
        let last = self.sidecar.store.last_authorization(session).await?;
        Ok(last.map(|last| last.id.to_string()).unwrap_or_default())
    }

    /// Tells what is not as it was told.
    fn tell(&mut self, facts: Vec<Fact>) {
        for fact in facts.iter().filter(|fact| !self.told.contains(fact)) {
            let (name, value) = fact;
            self.next
                .push_back(Event::default().event(*name).data(value));
        }
        self.told = facts;
    }
}
