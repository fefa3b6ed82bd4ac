//! A login: to Salesforce, and what is asked or said once somebody is back ([`super::callback`]).

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::CookieJar;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::csrf::Change;
use super::super::session::Session;
use super::texts::faults::{self, Told};
use super::{Shell, assets, failed, invited, message, page, texts, time, unavailable};
use crate::clock;
use crate::domain::authorization::{Authorization, AuthorizationFault, Doubt, Stage};
use crate::domain::ids::{AccountId, AuthorizationId};
use crate::domain::link::LinkedOrg;
use crate::linking::{AuthorizationError, Begin, LoginChoice, Onlooker};

/// Where an account's sessions look at logins.
pub(super) const LOGINS: &str = "/authorizations";

#[derive(Template)]
#[template(path = "authorization.html")]
pub(super) struct Login {
    shell: Shell,
    id: AuthorizationId,
    /// What this page shows; once the events tell another, it is loaded anew.
    stage: &'static str,
    tone: &'static str,
    told: Told,
    accounts: Vec<AccountId>,
    area: &'static str,
    org: Option<Who>,
    /// What the admin is asked.
    question: Option<Question>,
    waits: bool,
    /// Whether more is to come.
    follows: bool,
    /// Where this page and its buttons are.
    at: String,
    /// Where else to go, and how that is called.
    back: Option<(&'static str, &'static str)>,
    /// Until when somebody may come back.
    until: String,
    /// This window came back from Salesforce.
    returned: bool,
}

/// Who logged in.
pub(super) struct Who {
    pub(super) username: String,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) environment: &'static str,
}

impl Who {
    /// What is known of an org and its user.
    pub(super) fn of(org: &LinkedOrg) -> Self {
        Self {
            username: org.username.whole().to_owned(),
            name: org.name.clone().unwrap_or_default(),
            id: org.org.to_string(),
            environment: texts::environment(org.environment),
        }
    }
}

/// What an admin is asked.
struct Question {
    doubts: Vec<String>,
    yes: &'static str,
    no: &'static str,
}

/// Who looks at a login's page.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    /// A session of the account.
    Member {
        /// How many of its calls wait.
        waiting: u64,
        /// How long they would wait once it is unlinked.
        grace: Duration,
    },
    /// Somebody who was invited, and sees nothing of the account.
    Guest,
}

/// Where a login is, for the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The admin is at Salesforce.
    Waiting,
    /// Salesforce is asked.
    Asking,
    /// The admin is asked.
    Doubtful,
    /// An admin of the account is asked about what somebody logged in to who was invited.
    ToConfirm,
    /// It stands.
    Linked,
    /// It came to nothing.
    Failed(AuthorizationFault),
}

impl Standing {
    /// Of a login now. One that is too old is over, whether or not somebody has noted it yet.
    pub(super) fn of(login: &Authorization) -> Self {
        let late = login.expires_at <= clock::now();
        match login.stage {
            Stage::Linked => Self::Linked,
            Stage::Failed => Self::Failed(
                login
                    .fault
                    .clone()
                    .unwrap_or(AuthorizationFault::Unavailable),
            ),
            Stage::Begun | Stage::Redeeming | Stage::Redeemed if late => {
                Self::Failed(AuthorizationFault::Expired)
            }
            Stage::ToConfirm if late => Self::Failed(AuthorizationFault::Unconfirmed),
            Stage::ToConfirm => Self::ToConfirm,
            Stage::Begun => Self::Waiting,
            // Its doubts are the account's admin's to judge.
            Stage::Redeemed if login.invitation.is_none() && !login.doubts.is_empty() => {
                Self::Doubtful
            }
            Stage::Redeeming | Stage::Redeemed => Self::Asking,
        }
    }

    /// As a word for the page's script.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Asking => "asking",
            Self::Doubtful => "doubtful",
            Self::ToConfirm => "to_confirm",
            Self::Linked => "linked",
            Self::Failed(_) => "failed",
        }
    }
}

/// Where to log in.
#[derive(Deserialize)]
pub(super) struct Choice {
    environment: Place,
    #[serde(default)]
    my_domain: String,
    give_up_first: Option<String>,
}

impl Choice {
    /// The login that was chosen.
    pub(super) fn login(self) -> LoginChoice {
        match self.environment {
            Place::Production => LoginChoice::Production,
            Place::Sandbox => LoginChoice::Sandbox,
            Place::MyDomain => LoginChoice::MyDomain(self.my_domain),
        }
    }
}

/// What the drop-down offers.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Production,
    Sandbox,
    MyDomain,
}

/// `POST /link`
pub(super) async fn begin(State(sidecar): State<Arc<Sidecar>>, change: Change<Choice>) -> Response {
    let Change { session, form } = change;
    let begin = Begin {
        account: session.account.clone(),
        give_up_first: form.give_up_first.is_some(),
        choice: form.login(),
        session: session.id.clone(),
        actor: session.actor(),
    };
    // Where the present link is given up first, Salesforce is asked to revoke it.
    let linking = Arc::clone(&sidecar.linking);
    let begun = sidecar.whole_in_time(async move { linking.begin(begin).await });
    match begun.await {
        // The window may be one that has no cookie yet: it was opened from a frame.
        Some(Ok((_, login))) => {
            let jar = CookieJar::new().add(sidecar.cookie(&session));
            (jar, Redirect::to(login.as_str())).into_response()
        }
        Some(Err(error)) => failed(&sidecar, &session, error),
        None => {
            let most = sidecar.linking.accounts_per_api_user();
            let told = faults::fault(&AuthorizationFault::Unavailable, most);
            let (shell, status) = (
                Shell::of(&sidecar, &session),
                StatusCode::SERVICE_UNAVAILABLE,
            );
            message(shell, status, told, Vec::new())
        }
    }
}

/// Whether this window came back from Salesforce.
#[derive(Deserialize)]
pub(super) struct Window {
    pub(super) returned: Option<String>,
}

/// `GET /authorizations/{id}`
pub(super) async fn show(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Path(id): Path<String>,
    Query(window): Query<Window>,
) -> Response {
    let login = match named(&sidecar, &session.onlooker(), &id).await {
        Ok(login) => login,
        Err(error) => return failed(&sidecar, &session, error),
    };
    let returned = window.returned.is_some();
    if login.stage == Stage::Linked && !returned {
        return Redirect::to("/?notice=linked").into_response();
    }
    let waiting = match sidecar.store.parked_calls(&session.account).await {
        Ok(waiting) => waiting,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let shell = Shell::of(&sidecar, &session);
    let most = sidecar.linking.accounts_per_api_user();
    let reader = Reader::Member {
        waiting,
        grace: sidecar.unlink_grace,
    };
    page(&shown(shell, login, (reader, most), returned))
}

/// The page of a login.
pub(super) fn shown(
    shell: Shell,
    login: Authorization,
    (reader, most): (Reader, u32),
    returned: bool,
) -> Login {
    let standing = Standing::of(&login);
    let (tone, told) = told(&standing, reader, most);
    let accounts = match (&standing, reader) {
        (Standing::Failed(AuthorizationFault::ApiUserFull { accounts }), Reader::Member { .. }) => {
            accounts.clone()
        }
        _ => Vec::new(),
    };
    let known = matches!(
        standing,
        Standing::Doubtful | Standing::ToConfirm | Standing::Linked
    );
    let org = login.org.as_ref().filter(|_| known).map(Who::of);
    let (area, pages, back) = match reader {
        Reader::Member { .. } => (texts::AREA, LOGINS, Some(("/", texts::BACK))),
        Reader::Guest => {
            let again = matches!(&standing, Standing::Failed(fault) if may_try_again(fault));
            let back = again.then_some((invited::HOME, texts::invitations::TRY_AGAIN));
            (texts::invitations::AREA, invited::LOGINS, back)
        }
    };
    Login {
        question: question(&login, &standing, reader),
        stage: standing.word(),
        tone,
        told,
        accounts,
        area,
        org,
        waits: matches!(standing, Standing::Waiting | Standing::Asking),
        follows: !matches!(standing, Standing::Linked | Standing::Failed(_)),
        at: format!("{pages}/{}", login.id),
        back,
        returned,
        until: time(login.expires_at),
        id: login.id,
        shell,
    }
}

/// Whether the invitation of a login that came to this may still be open.
const fn may_try_again(fault: &AuthorizationFault) -> bool {
    !matches!(
        fault,
        AuthorizationFault::InvitationOver
            | AuthorizationFault::Discarded
            | AuthorizationFault::Unconfirmed
            | AuthorizationFault::ApiUserFull { .. }
            | AuthorizationFault::LinkChanged
    )
}

/// What is said of a login, with its colour.
fn told(standing: &Standing, reader: Reader, most: u32) -> (&'static str, Told) {
    match (standing, reader) {
        (Standing::Waiting, _) => ("still", faults::waiting()),
        (Standing::Asking, _) => ("still", faults::redeeming()),
        (Standing::Doubtful, _) => ("warn", faults::doubtful()),
        (Standing::ToConfirm, Reader::Member { .. }) => ("warn", texts::invitations::to_confirm()),
        (Standing::ToConfirm, Reader::Guest) => ("good", texts::invitations::submitted()),
        (Standing::Linked, Reader::Member { .. }) => ("good", faults::linked()),
        (Standing::Linked, Reader::Guest) => ("good", texts::invitations::confirmed()),
        (Standing::Failed(AuthorizationFault::ApiUserFull { .. }), Reader::Guest) => {
            ("bad", texts::invitations::user_full())
        }
        (Standing::Failed(fault), _) => ("bad", faults::fault(fault, most)),
    }
}

/// What this reader is asked.
fn question(login: &Authorization, standing: &Standing, reader: Reader) -> Option<Question> {
    let Reader::Member { waiting, grace } = reader else {
        return None;
    };
    let (yes, no) = match standing {
        Standing::Doubtful => (texts::CONFIRM, texts::REJECT),
        Standing::ToConfirm => (texts::invitations::CONFIRM, texts::invitations::DISCARD),
        _ => return None,
    };
    let ask = |doubt: &Doubt| faults::doubt(*doubt, waiting, grace);
    let doubts = login.doubts.iter().map(ask).collect();
    Some(Question { doubts, yes, no })
}

/// The form of a button.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `POST /authorizations/{id}/confirm`
pub(super) async fn confirm(
    State(sidecar): State<Arc<Sidecar>>,
    Path(id): Path<String>,
    change: Change<Nothing>,
) -> Response {
    let session = change.session;
    let Ok(id) = id.parse::<AuthorizationId>() else {
        return failed(&sidecar, &session, AuthorizationError::Unknown);
    };
    let (linking, by) = (Arc::clone(&sidecar.linking), session.onlooker());
    let confirmed = sidecar.whole(async move { linking.confirm(&id, &by).await });
    match confirmed.await {
        Ok(login) => Redirect::to(&format!("/authorizations/{}", login.id)).into_response(),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// `POST /authorizations/{id}/cancel`
pub(super) async fn cancel(
    State(sidecar): State<Arc<Sidecar>>,
    Path(id): Path<String>,
    change: Change<Nothing>,
) -> Response {
    let session = change.session;
    let Ok(id) = id.parse::<AuthorizationId>() else {
        return failed(&sidecar, &session, AuthorizationError::Unknown);
    };
    match sidecar.linking.cancel(&id, &session.onlooker()).await {
        Ok(login) if login.fault == Some(AuthorizationFault::Cancelled) => {
            Redirect::to("/?notice=cancelled").into_response()
        }
        Ok(login) if login.fault == Some(AuthorizationFault::Discarded) => {
            Redirect::to("/?notice=discarded").into_response()
        }
        // It was over already, in another way.
        Ok(login) => Redirect::to(&format!("/authorizations/{}", login.id)).into_response(),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// The login of this name, for those who may see it.
pub(super) async fn named(
    sidecar: &Sidecar,
    by: &Onlooker,
    id: &str,
) -> Result<Authorization, AuthorizationError> {
    let id: AuthorizationId = id.parse().map_err(|_| AuthorizationError::Unknown)?;
    sidecar.linking.seen_by(&id, by).await
}
