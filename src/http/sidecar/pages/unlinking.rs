//! Unlinking: what it means is said first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::super::Sidecar;
use super::super::csrf::Change;
use super::super::session::Admin;
use super::{Shell, assets, failed, page, texts, unavailable};
use crate::domain::ids::Generation;

#[derive(Template)]
#[template(path = "unlink.html")]
struct Unlink {
    shell: Shell,
    waiting: String,
    username: String,
    org_name: String,
    org_id: String,
    generation: i64,
}

/// The link that the admin saw.
#[derive(Deserialize)]
pub(super) struct Seen {
    generation: i64,
}

/// `GET /unlink`
pub(super) async fn ask(State(sidecar): State<Arc<Sidecar>>, Admin(session): Admin) -> Response {
    let state = match sidecar.linking.link(&session.account).await {
        Ok(state) => state,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let Some(org) = state.org else {
        return Redirect::to("/").into_response();
    };
    let waiting = match sidecar.store.parked_calls(&session.account).await {
        Ok(waiting) => waiting,
        Err(error) => return unavailable(&sidecar, &error),
    };
    page(&Unlink {
        shell: Shell::of(&sidecar, &session),
        waiting: texts::unlink_waiting(waiting, sidecar.unlink_grace),
        username: org.username.whole().to_owned(),
        org_name: org.name.unwrap_or_default(),
        org_id: org.org.to_string(),
        generation: state.generation.0,
    })
}

/// `POST /unlink`
pub(super) async fn unlink(State(sidecar): State<Arc<Sidecar>>, change: Change<Seen>) -> Response {
    let Change { session, form } = change;
    let (linking, actor) = (Arc::clone(&sidecar.linking), session.actor());
    let (account, generation) = (session.account.clone(), Generation(form.generation));
    let unlinking = async move { linking.unlink(&account, generation, &actor).await };
    match sidecar.whole(unlinking).await {
        Ok(_) => Redirect::to("/?notice=unlinked").into_response(),
        Err(error) => failed(&sidecar, &session, error),
    }
}
