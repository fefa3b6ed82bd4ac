//! The pages that an account's admin sees, and whom they invite.
//!
//! - [`account`]: the account's page; [`unlinking`], [`history`], [`contacts`]: what it leads to;
//! - [`preflight`]: what the org was found to allow, and asking anew;
//! - [`trial`]: a number looked up, and a Task made and deleted, to see that it works;
//! - [`inviting`]: who else may link it; [`invited`]: what those see;
//! - [`logins`], [`callback`]: to Salesforce and back; [`follow`]: what open pages are told as it
//!   happens;
//! - [`texts`]: every word; [`help`]: every address elsewhere; [`assets`]: style, script, icon.
//!
//! Everything works without scripts, in one window: a script opens the login in a window of its
//! own, and lets the page follow. What happened is always read from the store, as the window that
//! Salesforce takes over cannot tell (Cross-Origin-Opener-Policy), and any replica may be asked.

mod account;
mod assets;
mod callback;
mod contacts;
mod follow;
mod help;
mod history;
mod invited;
mod inviting;
mod logins;
mod preflight;
mod texts;
mod trial;
mod unlinking;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};

pub(super) use self::invited::{HOME as INVITED, no_invitation};
use self::texts::faults::{self, Told};
use super::guest::Guest;
use super::session::Session;
use super::{CALLBACK, Sidecar, invitation};
use crate::domain::ids::AccountId;
use crate::linking::{self, AuthorizationError};

/// The pages.
pub(super) fn router() -> Router<Arc<Sidecar>> {
    let pages = Router::new()
        .route("/", get(account::show))
        .route("/events", get(follow::account))
        .route("/link", post(logins::begin))
        .route(CALLBACK, get(callback::returned))
        .route("/authorizations/{id}", get(logins::show))
        .route("/authorizations/{id}/events", get(follow::login))
        .route("/authorizations/{id}/confirm", post(logins::confirm))
        .route("/authorizations/{id}/cancel", post(logins::cancel))
        .route("/preflight", post(preflight::ask))
        .route("/test", get(trial::show).post(trial::look_up))
        .route("/test/task", post(trial::create))
        .route("/test/task/delete", post(trial::delete))
        .route("/invitations", post(inviting::invite))
        .route("/invitations/{id}/revoke", post(inviting::revoke))
        .route(invitation::PAGE, get(invited::open))
        .route(INVITED, get(invited::home))
        .route("/invited/events", get(follow::invited))
        .route("/invited/link", post(invited::link))
        .route("/invited/logins/{id}", get(invited::show))
        .route("/invited/logins/{id}/events", get(follow::invited_login))
        .route("/invited/logins/{id}/cancel", post(invited::cancel))
        .route("/unlink", get(unlinking::ask).post(unlinking::unlink))
        .route("/history", get(history::show))
        .route("/contacts", get(contacts::show).post(contacts::add))
        .route("/contacts/{id}/remove", post(contacts::remove))
        .route("/contacts/{id}/test", post(contacts::test));
    [assets::STYLE, assets::SCRIPT, assets::ICON]
        .into_iter()
        .fold(pages, |pages, asset| {
            pages.route(asset.path, get(move || async move { asset.answer() }))
        })
}

/// What surrounds each page.
pub(super) struct Shell {
    title: String,
    account: Option<AccountId>,
    support: Option<Support>,
    csrf: String,
    /// Takes the session into a window that its cookie does not reach, where this page is framed.
    ticket: Option<String>,
}

/// Where people ask for help.
struct Support {
    shown: String,
    address: String,
}

impl Shell {
    /// For those without a session.
    fn bare(sidecar: &Sidecar) -> Self {
        let shown = &sidecar.config.support;
        let is_mail = shown.contains('@') && !shown.contains("://");
        let address = if is_mail {
            format!("mailto:{shown}")
        } else {
            shown.clone()
        };
        Self {
            title: sidecar.config.title.clone(),
            account: None,
            support: (!shown.is_empty()).then(|| Support {
                shown: shown.clone(),
                address,
            }),
            csrf: String::new(),
            ticket: None,
        }
    }

    /// For a session.
    fn of(sidecar: &Sidecar, session: &Session) -> Self {
        Self {
            account: Some(session.account.clone()),
            csrf: session.csrf.clone(),
            ..Self::bare(sidecar)
        }
    }

    /// For somebody who was invited.
    fn of_guest(sidecar: &Sidecar, guest: &Guest) -> Self {
        Self {
            account: Some(guest.account.clone()),
            csrf: guest.csrf.clone(),
            ..Self::bare(sidecar)
        }
    }

    /// The same, as this request shows it: in a frame or not.
    fn framed(self, sidecar: &Sidecar, session: &Session, headers: &HeaderMap) -> Self {
        let framed = headers
            .get("sec-fetch-dest")
            .is_some_and(|what| what == "iframe" || what == "frame");
        Self {
            ticket: framed.then(|| sidecar.ticket(session)),
            ..self
        }
    }
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    shell: Shell,
    tone: &'static str,
    told: Told,
    accounts: Vec<AccountId>,
    area: &'static str,
    /// Where else to go, and how that is called.
    back: Option<(&'static str, &'static str)>,
}

/// A page that says one thing, and leads back.
fn message(shell: Shell, status: StatusCode, told: Told, accounts: Vec<AccountId>) -> Response {
    let message = Message {
        shell,
        tone: "warn",
        told,
        accounts,
        area: texts::AREA,
        back: Some(("/", texts::BACK)),
    };
    (status, page(&message)).into_response()
}

/// The page for those without rights.
pub(super) fn refused(sidecar: &Sidecar) -> Response {
    let page = last_word(sidecar, "warn", faults::no_rights());
    (StatusCode::FORBIDDEN, page).into_response()
}

/// A page that says one thing to somebody without a session, and leads nowhere.
fn last_word(sidecar: &Sidecar, tone: &'static str, told: Told) -> Response {
    page(&Message {
        shell: Shell::bare(sidecar),
        tone,
        told,
        accounts: Vec::new(),
        area: texts::AREA,
        back: None,
    })
}

/// A page as an answer.
fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What an error of linking is on a page.
fn failed(sidecar: &Sidecar, session: &Session, error: AuthorizationError) -> Response {
    let most = sidecar.linking.accounts_per_api_user();
    let (status, told, accounts) = match error {
        AuthorizationError::NotConfigured => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, faults::not_configured(), Vec::new())
        }
        AuthorizationError::NoSuchDomain => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            (status, faults::no_such_domain(), Vec::new())
        }
        AuthorizationError::ConsentNeeded { accounts } => {
            (StatusCode::CONFLICT, faults::needs_consent(most), accounts)
        }
        AuthorizationError::TooManyInvitations { most } => {
            let told = faults::too_many_invitations(most);
            (StatusCode::CONFLICT, told, Vec::new())
        }
        AuthorizationError::InvitationOver => {
            (StatusCode::GONE, faults::no_invitation(), Vec::new())
        }
        AuthorizationError::Unknown => (StatusCode::NOT_FOUND, faults::unknown(), Vec::new()),
        AuthorizationError::Store(error) => return unavailable(sidecar, &error),
        AuthorizationError::Sealing(error) => return unavailable(sidecar, &error),
    };
    message(Shell::of(sidecar, session), status, told, accounts)
}

/// What becomes of a question to the org that was not answered.
fn unasked(sidecar: &Sidecar, session: &Session, error: linking::Error) -> Response {
    match error {
        linking::Error::Unasked(failure) | linking::Error::Salesforce(failure) => {
            let told = texts::asking::unanswered(&failure);
            let shell = Shell::of(sidecar, session);
            message(shell, StatusCode::BAD_GATEWAY, told, Vec::new())
        }
        error => unavailable(sidecar, &error),
    }
}

/// The org is asked too often.
fn too_often(sidecar: &Sidecar, session: &Session) -> Response {
    let (shell, status) = (Shell::of(sidecar, session), StatusCode::TOO_MANY_REQUESTS);
    message(shell, status, texts::asking::too_often(), Vec::new())
}

/// Something of ours is away.
pub(super) fn unavailable(
    sidecar: &Sidecar,
    error: &(dyn std::error::Error + 'static),
) -> Response {
    tracing::error!(error, "a page cannot be shown");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    message(Shell::bare(sidecar), status, faults::broken(), Vec::new())
}

/// A time, in UTC; a script writes it as people there do.
fn time(at: DateTime<Utc>) -> String {
    let machine = at.format("%Y-%m-%dT%H:%M:%SZ");
    let people = at.format("%-d %b %Y, %H:%M UTC");
    format!("<time datetime=\"{machine}\">{people}</time>")
}
