//! Back from Salesforce: the browser brings a code or a refusal.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::access::Refused;
use super::super::guest::Guest;
use super::super::session::Session;
use super::logins::LOGINS;
use super::{failed, invited, unavailable};
use crate::linking::{AuthorizationError, Back};

/// What Salesforce sends back. No `Debug`: it opens doors.
#[derive(Deserialize)]
pub(super) struct Answer {
    state: Option<SecretString>,
    code: Option<SecretString>,
    error: Option<String>,
}

/// `GET /callback`. Leads on to an address without secrets at once. A browser may hold the session of
/// an admin, and another one by an invitation: the login belongs to the one that began it.
pub(super) async fn returned(
    State(sidecar): State<Arc<Sidecar>>,
    visitors: Visitors,
    Query(answer): Query<Answer>,
) -> Response {
    let back = match (answer.code, answer.error) {
        (_, Some(error)) => Back::Refused(error),
        (Some(code), None) => Back::Code(code),
        (None, None) => return unknown(&sidecar, &visitors),
    };
    let Some(state) = answer.state else {
        return unknown(&sidecar, &visitors);
    };
    // Goes on when the browser does not wait: the tokens exist only here until they are stored.
    let (linking, sessions) = (Arc::clone(&sidecar.linking), visitors.sessions());
    let redeemed = sidecar.whole(async move {
        for (session, pages) in sessions {
            match linking.returned(&state, &session, back.clone()).await {
                Err(AuthorizationError::Unknown) => {}
                known => return known.map(|login| (login, pages)),
            }
        }
        Err(AuthorizationError::Unknown)
    });
    match redeemed.await {
        Ok((login, pages)) => {
            Redirect::to(&format!("{pages}/{}?returned=yes", login.id)).into_response()
        }
        Err(AuthorizationError::Unknown) => unknown(&sidecar, &visitors),
        Err(error) => unavailable(&sidecar, &error),
    }
}

/// The sessions of a browser.
pub(super) struct Visitors {
    member: Option<Session>,
    guest: Option<Guest>,
}

impl FromRequestParts<Arc<Sidecar>> for Visitors {
    type Rejection = Refused;

    async fn from_request_parts(
        parts: &mut Parts,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        match (sidecar.session(parts), sidecar.guest(parts)) {
            (None, None) => Err(Refused::new(sidecar)),
            (member, guest) => Ok(Self { member, guest }),
        }
    }
}

impl Visitors {
    /// The sessions that may have begun a login, each with where it looks at its logins.
    fn sessions(&self) -> Vec<(String, &'static str)> {
        let member = self.member.as_ref().map(|m| (m.id.clone(), LOGINS));
        let guest = self.guest.as_ref();
        let guest = guest.map(|g| (g.id.clone(), invited::LOGINS));
        member.into_iter().chain(guest).collect()
    }
}

/// None of these sessions began it.
fn unknown(sidecar: &Sidecar, visitors: &Visitors) -> Response {
    match (&visitors.member, &visitors.guest) {
        (None, Some(guest)) => invited::failed(sidecar, guest, AuthorizationError::Unknown),
        (Some(member), _) => failed(sidecar, member, AuthorizationError::Unknown),
        (None, None) => Refused::new(sidecar).into_response(),
    }
}
