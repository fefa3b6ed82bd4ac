//! A login: to Salesforce, and what is asked or said once it is back ([`super::callback`]).

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
use super::{Shell, assets, failed, message, page, texts, time, unavailable};
use crate::clock;
use crate::domain::authorization::{Authorization, AuthorizationFault, Doubt, Stage};
use crate::domain::ids::{AccountId, AuthorizationId};
use crate::linking::{AuthorizationError, Begin, LoginChoice};

#[derive(Template)]
#[template(path = "authorization.html")]
struct Login {
    shell: Shell,
    id: AuthorizationId,
    /// What this page shows; once the events tell another, it is loaded anew.
    stage: &'static str,
    tone: &'static str,
    told: Told,
    accounts: Vec<AccountId>,
    org: Option<Who>,
    /// What the admin is asked.
    question: Option<Vec<String>>,
    waits: bool,
    /// Until when somebody may come back.
    until: String,
    /// This window came back from Salesforce.
    returned: bool,
}

/// Who logged in.
struct Who {
    username: String,
    name: String,
    id: String,
    environment: &'static str,
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
            Stage::Begun => Self::Waiting,
            Stage::Redeemed if !login.doubts.is_empty() => Self::Doubtful,
            Stage::Redeeming | Stage::Redeemed => Self::Asking,
        }
    }

    /// As a word for the page's script.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Asking => "asking",
            Self::Doubtful => "doubtful",
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
        choice: match form.environment {
            Place::Production => LoginChoice::Production,
            Place::Sandbox => LoginChoice::Sandbox,
            Place::MyDomain => LoginChoice::MyDomain(form.my_domain),
        },
        session: session.id.clone(),
        actor: session.actor(),
        give_up_first: form.give_up_first.is_some(),
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
    returned: Option<String>,
}

/// `GET /authorizations/{id}`
pub(super) async fn show(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Path(id): Path<String>,
    Query(window): Query<Window>,
) -> Response {
    let login = match named(&sidecar, &session, &id).await {
        Ok(login) => login,
        Err(error) => return failed(&sidecar, &session, error),
    };
    let returned = window.returned.is_some();
    let standing = Standing::of(&login);
    if standing == Standing::Linked && !returned {
        return Redirect::to("/?notice=linked").into_response();
    }
    let waiting = match sidecar.store.parked_calls(&session.account).await {
        Ok(waiting) => waiting,
        Err(error) => return unavailable(&sidecar, &error),
    };
    let shell = Shell::of(&sidecar, &session);
    let most = sidecar.linking.accounts_per_api_user();
    let limits = (waiting, most, sidecar.unlink_grace);
    page(&shown(shell, login, &standing, limits, returned))
}

/// The page of a login.
fn shown(
    shell: Shell,
    login: Authorization,
    standing: &Standing,
    (waiting, most, grace): (u64, u32, Duration),
    returned: bool,
) -> Login {
    let (tone, told) = match standing {
        Standing::Waiting => ("still", faults::waiting()),
        Standing::Asking => ("still", faults::redeeming()),
        Standing::Doubtful => ("warn", faults::doubtful()),
        Standing::Linked => ("good", faults::linked()),
        Standing::Failed(fault) => ("bad", faults::fault(fault, most)),
    };
    let accounts = match standing {
        Standing::Failed(AuthorizationFault::ApiUserFull { accounts }) => accounts.clone(),
        _ => Vec::new(),
    };
    let known = matches!(standing, Standing::Doubtful | Standing::Linked);
    let org = login.org.as_ref().filter(|_| known).map(|org| Who {
        username: org.username.whole().to_owned(),
        name: org.name.clone().unwrap_or_default(),
        id: org.org.to_string(),
        environment: texts::environment(org.environment),
    });
    let ask = |doubt: &Doubt| faults::doubt(*doubt, waiting, grace);
    Login {
        shell,
        stage: standing.word(),
        tone,
        told,
        accounts,
        org,
        question: (*standing == Standing::Doubtful).then(|| login.doubts.iter().map(ask).collect()),
        waits: matches!(standing, Standing::Waiting | Standing::Asking),
        returned,
        until: time(login.expires_at),
        id: login.id,
    }
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
    let (linking, by) = (Arc::clone(&sidecar.linking), session.id.clone());
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
    match sidecar.linking.cancel(&id, &session.id).await {
        Ok(login) if login.fault == Some(AuthorizationFault::Cancelled) => {
            Redirect::to("/?notice=cancelled").into_response()
        }
        // It was over already, in another way.
        Ok(login) => Redirect::to(&format!("/authorizations/{}", login.id)).into_response(),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// The login of this name, if this session began it.
pub(super) async fn named(
    sidecar: &Sidecar,
    session: &Session,
    id: &str,
) -> Result<Authorization, AuthorizationError> {
    let id: AuthorizationId = id.parse().map_err(|_| AuthorizationError::Unknown)?;
    sidecar.linking.of_session(&id, &session.id).await
}
