//! The way back: a browser brings what Salesforce answered to a login, and it is taken in once.
//!
//! What a session began, only its own browser may bring back. What a program began comes back with
//! any browser, which is shown nothing of it: the `state` proves that it is the program's login, and
//! the program confirms who logged in.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::access::Refused;
use super::super::session::{Session, is_machines};
use super::texts::faults;
use super::{failed, last_word, unavailable};
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
    session: Result<Session, Refused>,
    Query(answer): Query<Answer>,
) -> Response {
    let Some((state, back)) = answer.whole() else {
        return match session {
            Ok(session) => failed(&sidecar, &session, AuthorizationError::Unknown),
            Err(refused) => refused.into_response(),
        };
    };
    let id = authorization_id(&state);
    let begun = match sidecar.store.authorization(&id).await {
        Ok(begun) => begun.map(|begun| begun.session),
        Err(error) => return unavailable(&sidecar, &error),
    };
    let program = begun.filter(|by| is_machines(by));
    let linking = Arc::clone(&sidecar.linking);
    if let Some(by) = program {
        let redeemed = async move { linking.returned(&state, &by, back).await };
        return match sidecar.whole_in_time(redeemed).await {
            Some(Err(AuthorizationError::Store(error))) => unavailable(&sidecar, &error),
            Some(Err(AuthorizationError::Sealing(error))) => unavailable(&sidecar, &error),
            _ => brought_back(&sidecar),
        };
    }
    let session = match session {
        Ok(session) => session,
        Err(refused) => return refused.into_response(),
    };
    // Goes on when the browser does not wait: the tokens exist only here until they are stored.
    let by = session.id.clone();
    let redeemed = async move { linking.returned(&state, &by, back).await };
    match sidecar.whole_in_time(redeemed).await {
        Some(Err(error)) => failed(&sidecar, &session, error),
        Some(Ok(_)) | None => {
            Redirect::to(&format!("/authorizations/{id}?returned=yes")).into_response()
        }
    }
}

/// The page for the browser that served a program.
fn brought_back(sidecar: &Sidecar) -> Response {
    last_word(sidecar, "good", faults::brought_back())
}
