//! Who uses the API: an admin's browser with its session, or a program with its token.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{Method, header};

use super::super::csrf;
use super::super::problem::Problem;
use super::super::session::{self, Role, Session};
use super::super::{Machine, Sidecar};
use crate::crypto;
use crate::domain::ids::AccountId;
use crate::domain::link::Actor;
use crate::linking::Onlooker;

/// Somebody who may do what the request asks, on the account of its path.
pub(super) struct Caller {
    /// The account.
    pub(super) account: AccountId,
    /// Who it is.
    who: Who,
    /// Where people without rights are sent.
    support: String,
}

/// Who asks.
enum Who {
    /// A browser.
    Session(Session),
    /// A program.
    Machine(Machine),
}

impl Caller {
    /// Who changes something.
    pub(super) fn actor(&self) -> Actor {
        match &self.who {
            Who::Session(session) => session.actor(),
            Who::Machine(machine) => Actor::Machine(machine.name.clone()),
        }
    }

    /// Whether it may change things, and see addresses of people whole.
    pub(super) fn is_admin(&self) -> bool {
        let role = match &self.who {
            Who::Session(session) => session.role,
            Who::Machine(machine) => machine.role,
        };
        role == Role::Admin
    }

    /// What it sees of logins, if it may begin some: a session its own, and those by invitation; a
    /// program its own alone, as people confirm what somebody logged in to who was invited.
    pub(super) fn onlooker(&self) -> Result<Onlooker, Problem> {
        match &self.who {
            Who::Session(session) => Ok(session.onlooker()),
            Who::Machine(machine) if machine.may_link => Ok(Onlooker {
                session: session::of_machine(&machine.name, &self.account),
                member: None,
            }),
            Who::Machine(_) => Err(Problem::forbidden(&self.support)),
        }
    }
}

/// Reading needs a viewer, changing an admin. A change by a session also brings its token, which no
/// other site's page can know; a program's token is no cookie, and comes of itself from nowhere.
impl FromRequestParts<Arc<Sidecar>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        let support = sidecar.config.support.clone();
        let path = RawPathParams::from_request_parts(parts, sidecar).await;
        let path = path.map_err(|_| Problem::forbidden(&support))?;
        let account = path.iter().find(|(name, _)| *name == "account");
        let account = account.and_then(|(_, account)| account.parse::<AccountId>().ok());
        let who = who(parts, sidecar).ok_or_else(Problem::unauthorized)?;
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let allowed = |account: &AccountId| match &who {
            Who::Session(session) => {
                let shown = parts.headers.get(csrf::HEADER);
                let shown = shown.and_then(|shown| shown.to_str().ok()).unwrap_or("");
                session.account == *account
                    && (reads || session.role == Role::Admin && crypto::same(shown, &session.csrf))
            }
            Who::Machine(machine) => {
                machine.may_see(account) && (reads || machine.role == Role::Admin)
            }
        };
        match account.filter(allowed) {
            Some(account) => Ok(Self {
                account,
                who,
                support,
            }),
            None => Err(Problem::forbidden(&support)),
        }
    }
}

/// Who asks, if anybody known does. A program's token that is none is not covered up by a cookie.
fn who(parts: &Parts, sidecar: &Sidecar) -> Option<Who> {
    let Some(shown) = parts.headers.get(header::AUTHORIZATION) else {
        return sidecar.session(parts).map(Who::Session);
    };
    let token = shown.to_str().ok()?.strip_prefix("Bearer ")?;
    let mut hash = String::with_capacity(64);
    for byte in crypto::sha256(token.as_bytes()) {
        let _ = write!(hash, "{byte:02x}");
    }
    let known = &sidecar.config.machines;
    let machine = known.iter().find(|m| m.sha256.eq_ignore_ascii_case(&hash));
    machine.cloned().map(Who::Machine)
}
