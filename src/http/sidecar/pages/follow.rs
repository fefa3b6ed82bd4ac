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
use super::super::session::Session;
use super::failed;
use super::logins::{Standing, named};
use crate::domain::authorization::Authorization;
use crate::linking::AuthorizationError;
use crate::store;

/// How often the store is read for an open page.
const EVERY: Duration = Duration::from_secs(1);

/// How long one answer goes on. Browsers ask again, and prove again that they may.
const LONGEST: Duration = Duration::from_mins(5);

/// What is followed.
enum What {
    /// An account.
    Account,
    /// A login.
    Login(String),
}

/// One open page.
struct Follower {
    sidecar: Arc<Sidecar>,
    session: Session,
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
    follow(sidecar, session, What::Account)
}

/// `GET /authorizations/{id}/events`
pub(super) async fn login(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Path(id): Path<String>,
) -> Response {
    match named(&sidecar, &session, &id).await {
        Ok(login) => follow(sidecar, session, What::Login(login.id.to_string())),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// Tells what changes, until it is too long, the session is over, or the process drains.
fn follow(sidecar: Arc<Sidecar>, session: Session, what: What) -> Response {
    let follower = Follower {
        sidecar,
        session,
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
            What::Account => Ok(self.of_account().await?),
            What::Login(id) => {
                let login = named(&self.sidecar, &self.session, id).await?;
                Ok(vec![("standing", Standing::of(&login).word().to_owned())])
            }
        }
    }

    async fn of_account(&self) -> store::Result<Vec<Fact>> {
        let (store, account) = (&self.sidecar.store, &self.session.account);
        let state = self.sidecar.linking.link(account).await?;
        let waiting = store.parked_calls(account).await?;
        let last = store.last_authorization(&self.session.id).await?;
        let id = |last: Authorization| last.id.to_string();
        Ok(vec![
            ("standing", state.sequence.0.to_string()),
            ("preflight", super::preflight::asked(&state)),
            ("waiting", waiting.to_string()),
            ("login", last.map(id).unwrap_or_default()),
        ])
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
