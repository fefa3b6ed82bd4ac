//! The way back: a browser brings what Salesforce answered to a login, and it is taken in once.
//!
//! What a session began, only its own browser may bring back; one browser may hold the session of an
//! admin and another one by an invitation, and the login belongs to the one that began it. What a
//! program began comes back with any browser, which is shown nothing of it: the `state` proves that it
//! is the program's login, and the program confirms who logged in.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::access::Refused;
use super::super::guest::Guest;
use super::super::session::{Session, is_machines};
use super::logins::LOGINS;
use super::texts::faults;
use super::{failed, invited, last_word, unavailable};
use crate::crypto::authorization_id;
use crate::linking::{AuthorizationError, Back};

/// What Salesforce sends back. No `Debug`: it opens doors.
#[derive(Deserialize)]
pub(super) struct Answer {
    state: Option<SecretString>,
    code: Option<SecretString>,
    error: Option<String>,
}

impl Answer {
    /// Its state, and what came with it.
    fn whole(self) -> Option<(SecretString, Back)> {
        let back = match (self.code, self.error) {
            (_, Some(error)) => Back::Refused(error),
            (Some(code), None) => Back::Code(code),
            (None, None) => return None,
        };
        Some((self.state?, back))
    }
}

/// `GET /callback`. Leads on to an address without secrets at once, and does not wait for Salesforce
/// longer than browsers wait for an answer: the page there says that it goes on, and follows.
pub(super) async fn returned(
    State(sidecar): State<Arc<Sidecar>>,
    visitors: Visitors,
    Query(answer): Query<Answer>,
) -> Response {
    let Some((state, back)) = answer.whole() else {
        return visitors.unknown(&sidecar);
    };
    let id = authorization_id(&state);
    let begun = match sidecar.store.authorization(&id).await {
        Ok(begun) => begun,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let by = begun.map(|begun| begun.session).unwrap_or_default();
    let pages = visitors.pages_of(&by);
    if pages.is_none() && !is_machines(&by) {
        return visitors.unknown(&sidecar);
    }
    // Goes on when the browser does not wait: the tokens exist only here until they are stored.
    let linking = Arc::clone(&sidecar.linking);
    let redeemed = Box::pin(async move { linking.returned(&state, &by, back).await });
    match (sidecar.whole_in_time(redeemed).await, pages) {
        (Some(Err(AuthorizationError::Store(error))), _) => unavailable(&sidecar, &error),
        (Some(Err(AuthorizationError::Sealing(error))), _) => unavailable(&sidecar, &error),
        (Some(Err(_)), Some(_)) => visitors.unknown(&sidecar),
        (Some(Ok(_)) | None, Some(pages)) => {
            Redirect::to(&format!("{pages}/{id}?returned=yes")).into_response()
        }
        (_, None) => last_word(&sidecar, "good", faults::brought_back()),
    }
}

/// The sessions of a browser; it may have none.
pub(super) struct Visitors {
    member: Option<Session>,
    guest: Option<Guest>,
}

impl FromRequestParts<Arc<Sidecar>> for Visitors {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self {
            member: sidecar.session(parts),
            guest: sidecar.guest(parts),
        })
    }
}

impl Visitors {
    /// Where they look at what this session began, if it is one of theirs.
    fn pages_of(&self, session: &str) -> Option<&'static str> {
        let is = |own: &str| own == session;
        if self.member.as_ref().is_some_and(|member| is(&member.id)) {
            return Some(LOGINS);
        }
        let own = self.guest.as_ref().is_some_and(|guest| is(&guest.id));
        own.then_some(invited::LOGINS)
    }

    /// None of theirs began it.
    fn unknown(&self, sidecar: &Sidecar) -> Response {
        match (&self.member, &self.guest) {
            (Some(member), _) => failed(sidecar, member, AuthorizationError::Unknown),
            (None, Some(guest)) => invited::failed(sidecar, guest, AuthorizationError::Unknown),
            (None, None) => Refused::new(sidecar).into_response(),
        }
    }
}
