//! An admin's session: who somebody is, for which one account, and until when.
//!
//! It is kept by the browser, sealed, so that any replica knows it and none stores it. Nothing that
//! a browser brings becomes a session's id: a new one is made at each entry, so that nobody can
//! prepare a session for somebody else. It is bound to one account; another account is another
//! entry.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Sidecar;
use super::access::Refused;
use crate::clock;
use crate::crypto::{self, Context};
use crate::domain::ids::AccountId;
use crate::domain::link::Actor;
use crate::linking::Onlooker;
use crate::store::Sealed;

/// What a session is used for as a cookie.
const COOKIE: Context = Context::Session { purpose: "cookie" };

/// What a session is used for as a ticket to another window.
const TICKET: Context = Context::Session { purpose: "ticket" };

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See.
    Viewer,
    /// See and change.
    Admin,
}

/// An admin's session. No `Debug`: it names a person and holds a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// Names it: an authorization that it begins is ended by it alone.
    pub id: String,
    /// The account that it is about, and no other.
    pub account: AccountId,
    /// Who it is, as the portal names them.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// What every change must bring, and no other site can know.
    pub csrf: String,
    /// When it is over.
    pub expires_at: DateTime<Utc>,
}

impl Session {
    /// A session that begins now.
    pub(super) fn begin(sidecar: &Sidecar, account: AccountId, user: String, role: Role) -> Self {
        Self {
            id: crypto::random_text(),
            account,
            user,
            role,
            csrf: crypto::random_text(),
            expires_at: clock::now() + sidecar.config.session_for,
        }
    }

    /// What this session sees of logins.
    pub fn onlooker(&self) -> Onlooker {
        Onlooker {
            session: self.id.clone(),
            member: Some((self.account.clone(), self.actor())),
        }
    }

    /// Who changes something in this session.
    pub fn actor(&self) -> Actor {
        Actor::Admin(self.user.clone())
    }
}

/// Names what a program begins for an account, where [`Session::id`] names what a session does. No
/// session has such an id: they are of letters, digits, `-` and `_`.
pub(super) fn of_machine(name: &str, account: &AccountId) -> String {
    format!("machine:{account}:{name}")
}

/// Whether a program began it.
pub(super) fn is_machines(id: &str) -> bool {
    id.starts_with("machine:")
}

impl Sidecar {
    /// The cookie that keeps a session. In a frame of the portal it is one of that frame alone
    /// (CHIPS), as browsers give a frame no other.
    pub fn cookie(&self, session: &Session) -> Cookie<'static> {
        let cookie = Cookie::build((self.cookie_name(), self.seal(&COOKIE, session)))
            .path("/")
            .http_only(true)
            .secure(!self.config.is_plain())
            .same_site(SameSite::Lax);
        if self.config.portal_origin.is_empty() || self.config.is_plain() {
            return cookie.build();
        }
        cookie.same_site(SameSite::None).partitioned(true).build()
    }

    /// Takes a session into a window that its cookie does not reach: one that a frame opens is no
    /// frame of the portal's. It is sent by POST, in the field `ticket`, and [`super::csrf::Change`]
    /// takes it; the answer sets [`Sidecar::cookie`] for that window.
    pub fn ticket(&self, session: &Session) -> String {
        self.seal(&TICKET, session)
    }

    /// The session that a ticket takes along, while it lasts.
    pub(super) fn by_ticket(&self, ticket: &str) -> Option<Session> {
        self.lasting(&TICKET, ticket)
    }

    /// A cookie's name. The prefix makes browsers refuse one that another host of the domain sets;
    /// it needs https.
    fn cookie_name(&self) -> &'static str {
        if self.config.is_plain() {
            "vcc-link"
        } else {
            "__Host-vcc-link"
        }
    }

    /// A session as a browser keeps it.
    pub(super) fn seal<T: Serialize>(&self, purpose: &Context, session: &T) -> String {
        URL_SAFE_NO_PAD.encode(self.sealer.seal(purpose, session).0)
    }

    /// A session as a browser brings it, if it is ours.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: &Context, text: &str) -> Option<T> {
        let sealed = Sealed(URL_SAFE_NO_PAD.decode(text).ok()?);
        self.sealer.open(purpose, &sealed, "session").ok()
    }

    /// An admin's, while it lasts.
    fn lasting(&self, purpose: &Context, text: &str) -> Option<Session> {
        let session: Session = self.open(purpose, text)?;
        (session.expires_at > clock::now()).then_some(session)
    }

    /// The session of a request.
    pub(super) fn session(&self, parts: &Parts) -> Option<Session> {
        let jar = CookieJar::from_headers(&parts.headers);
        self.lasting(&COOKIE, jar.get(self.cookie_name())?.value())
    }
}

/// The session of whoever asks; without one, the page that says where to go.
impl FromRequestParts<Arc<Sidecar>> for Session {
    type Rejection = Refused;

    async fn from_request_parts(
        parts: &mut Parts,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        let session = sidecar.session(parts);
        session.ok_or_else(|| Refused::new(sidecar))
    }
}

/// The session of an admin; a viewer is refused.
pub struct Admin(pub Session);

impl FromRequestParts<Arc<Sidecar>> for Admin {
    type Rejection = Refused;

    async fn from_request_parts(
        parts: &mut Parts,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        let session = Session::from_request_parts(parts, sidecar).await?;
        match session.role {
            Role::Admin => Ok(Self(session)),
            Role::Viewer => Err(Refused::new(sidecar)),
        }
    }
}
