//! The pages of whoever was invited: what to prepare, the login, and what became of it. Of the account
//! they show its name and who invites, and nothing else.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::Sidecar;
use super::super::csrf::GuestChange;
use super::super::guest::Guest;
use super::logins::{Choice, Nothing, Reader, Window, shown};
use super::texts::checklist::{Item, checklist};
use super::texts::faults::{self, Told};
use super::{Message, Shell, assets, page, texts, time, unavailable};
use crate::domain::authorization::{Authorization, Stage};
use crate::domain::ids::AuthorizationId;
use crate::domain::invitation::Invitation;
use crate::linking::{AuthorizationError, Onlooker};

/// Where they begin.
pub(in super::super) const HOME: &str = "/invited";

/// Where they look at their logins.
pub(super) const LOGINS: &str = "/invited/logins";

/// What the link leads to.
#[derive(Template)]
#[template(path = "invitation.html")]
struct Opened {
    shell: Shell,
}

/// What is to be done.
#[derive(Template)]
#[template(path = "invited.html")]
struct Home {
    shell: Shell,
    invites: String,
    until: String,
    last_login: String,
    checklist: Vec<Item>,
}

/// `GET /invitation`: the same for everybody, and nothing happens by it.
pub(super) async fn open(State(sidecar): State<Arc<Sidecar>>) -> Response {
    let shell = Shell::bare(&sidecar);
    // The address holds the secret until the page's script has taken it.
    let referrer = [(header::REFERRER_POLICY, "no-referrer")];
    (referrer, page(&Opened { shell })).into_response()
}

/// `GET /invited`
pub(super) async fn home(State(sidecar): State<Arc<Sidecar>>, guest: Guest) -> Response {
    let invitation = match sidecar.linking.open_invitation(&guest.invitation).await {
        Ok(invitation) => invitation,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let last = match sidecar.store.last_authorization(&guest.id).await {
        Ok(last) => last,
        Err(error) => return unavailable(&sidecar, &error),
    };
    match (invitation, last) {
        (Some(invitation), last) => page(&begin(&sidecar, &guest, &invitation, last)),
        // It was used, perhaps by them.
        (None, Some(last)) if matches!(last.stage, Stage::ToConfirm | Stage::Linked) => {
            Redirect::to(&format!("{LOGINS}/{}", last.id)).into_response()
        }
        (None, _) => no_invitation(&sidecar),
    }
}

/// The page from which a login begins.
fn begin(
    sidecar: &Sidecar,
    guest: &Guest,
    invitation: &Invitation,
    last: Option<Authorization>,
) -> Home {
    let most = sidecar.linking.accounts_per_api_user();
    Home {
        shell: Shell::of_guest(sidecar, guest),
        invites: texts::invitations::invites(
            &texts::actor(&invitation.by),
            invitation.account.as_str(),
        ),
        until: time(invitation.expires_at),
        last_login: last.map(|last| last.id.to_string()).unwrap_or_default(),
        checklist: checklist(&sidecar.config.egress_addresses, most),
    }
}

/// `POST /invited/link`
pub(super) async fn link(
    State(sidecar): State<Arc<Sidecar>>,
    change: GuestChange<Choice>,
) -> Response {
    let GuestChange { guest, form } = change;
    let (invitation, session) = (&guest.invitation, guest.id.clone());
    let begun = sidecar
        .linking
        .begin_invited(invitation, form.login(), session)
        .await;
    match begun {
        Ok((_, login)) => Redirect::to(login.as_str()).into_response(),
        Err(error) => failed(&sidecar, &guest, error),
    }
}

/// `GET /invited/logins/{id}`
pub(super) async fn show(
    State(sidecar): State<Arc<Sidecar>>,
    guest: Guest,
    Path(id): Path<String>,
    Query(window): Query<Window>,
) -> Response {
    let login = match super::logins::named(&sidecar, &guest.onlooker(), &id).await {
        Ok(login) => login,
        Err(error) => return failed(&sidecar, &guest, error),
    };
    let shell = Shell::of_guest(&sidecar, &guest);
    let most = sidecar.linking.accounts_per_api_user();
    let returned = window.returned.is_some();
    page(&shown(shell, login, (Reader::Guest, most), returned))
}

/// `POST /invited/logins/{id}/cancel`
pub(super) async fn cancel(
    State(sidecar): State<Arc<Sidecar>>,
    Path(id): Path<String>,
    change: GuestChange<Nothing>,
) -> Response {
    let guest = change.guest;
    match cancelled(&sidecar, &guest.onlooker(), &id).await {
        Ok(login) => Redirect::to(&format!("{LOGINS}/{}", login.id)).into_response(),
        Err(error) => failed(&sidecar, &guest, error),
    }
}

async fn cancelled(
    sidecar: &Sidecar,
    by: &Onlooker,
    id: &str,
) -> Result<Authorization, AuthorizationError> {
    let id: AuthorizationId = id.parse().map_err(|_| AuthorizationError::Unknown)?;
    sidecar.linking.cancel(&id, by).await
}

/// The page where an invitation does not hold: the same for one that never was.
pub(in super::super) fn no_invitation(sidecar: &Sidecar) -> Response {
    let shell = Shell::bare(sidecar);
    (
        StatusCode::NOT_FOUND,
        message(shell, faults::no_invitation(), None),
    )
        .into_response()
}

/// What an error of linking is on a page of theirs. Which other accounts there are, it does not tell.
pub(super) fn failed(sidecar: &Sidecar, guest: &Guest, error: AuthorizationError) -> Response {
    let (status, told) = match error {
        AuthorizationError::InvitationOver => return no_invitation(sidecar),
        AuthorizationError::ConsentNeeded { .. } => {
            (StatusCode::CONFLICT, texts::invitations::full())
        }
        AuthorizationError::NoSuchDomain => {
            (StatusCode::UNPROCESSABLE_ENTITY, faults::no_such_domain())
        }
        AuthorizationError::NotConfigured => {
            (StatusCode::SERVICE_UNAVAILABLE, faults::not_configured())
        }
        AuthorizationError::Unknown | AuthorizationError::TooManyInvitations { .. } => {
            (StatusCode::NOT_FOUND, faults::unknown())
        }
        AuthorizationError::Store(error) => return unavailable(sidecar, &error),
        AuthorizationError::Sealing(error) => return unavailable(sidecar, &error),
    };
    let back = Some((HOME, texts::invitations::TRY_AGAIN));
    let page = message(Shell::of_guest(sidecar, guest), told, back);
    (status, page).into_response()
}

/// A page that says one thing.
fn message(shell: Shell, told: Told, back: Option<(&'static str, &'static str)>) -> Response {
    page(&Message {
        area: texts::invitations::AREA,
        shell,
        tone: "warn",
        told,
        accounts: Vec::new(),
        back,
    })
}
