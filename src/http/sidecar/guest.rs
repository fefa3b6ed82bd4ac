//! The session of somebody who was invited: for one account, to log in at Salesforce and no more.
//!
//! It is another thing than an admin's [`Session`](super::session::Session), sealed for another
//! purpose and kept in another cookie, so that no page and no operation that asks for an admin's can
//! take it for one. Whether its invitation still holds, the store knows.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Sidecar, pages};
use crate::clock;
use crate::crypto::{self, Context};
use crate::domain::ids::{AccountId, InvitationId};
use crate::domain::invitation::Invitation;
use crate::linking::Onlooker;

/// What such a session is used for.
const COOKIE: Context = Context::Session { purpose: "invited" };

/// The session of somebody who was invited. No `Debug`: it holds a secret.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Guest {
    /// Names it: an authorization that it begins is its own.
    pub(super) id: String,
    /// The account that may be linked.
    pub(super) account: AccountId,
    /// What it may be linked by.
    pub(super) invitation: InvitationId,
    /// What every change must bring, and no other site can know.
    pub(super) csrf: String,
    /// When it is over.
    expires_at: DateTime<Utc>,
}

impl Guest {
    /// A session that begins now, by an open invitation.
    pub(super) fn begin(sidecar: &Sidecar, invitation: Invitation) -> Self {
        Self {
            id: crypto::random_text(),
            account: invitation.account,
            invitation: invitation.id,
            csrf: crypto::random_text(),
            expires_at: clock::now() + sidecar.config.session_for,
        }
    }

    /// What this session sees of logins: its own.
    pub(super) fn onlooker(&self) -> Onlooker {
        Onlooker {
            session: self.id.clone(),
            member: None,
        }
    }
}

impl Sidecar {
    /// The cookie that keeps such a session. Its pages are shown in no frame.
    pub(super) fn guest_cookie(&self, guest: &Guest) -> Cookie<'static> {
        Cookie::build((self.guest_cookie_name(), self.seal(&COOKIE, guest)))
            .path("/")
            .http_only(true)
            .secure(!self.config.is_plain())
            .same_site(SameSite::Lax)
            .build()
    }

    /// The cookie's name, with the prefix that binds it to this host where there is https.
    fn guest_cookie_name(&self) -> &'static str {
        if self.config.is_plain() {
            "vcc-link-invited"
        } else {
            "__Host-vcc-link-invited"
        }
    }

    /// Such a session of a request, while it lasts.
    pub(super) fn guest(&self, parts: &Parts) -> Option<Guest> {
        let jar = CookieJar::from_headers(&parts.headers);
        let guest: Guest = self.open(&COOKIE, jar.get(self.guest_cookie_name())?.value())?;
        (guest.expires_at > clock::now()).then_some(guest)
    }
}

/// The session of whoever was invited; without one, the same page as for an invitation that is over.
impl FromRequestParts<Arc<Sidecar>> for Guest {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        let guest = sidecar.guest(parts);
        guest.ok_or_else(|| pages::no_invitation(sidecar))
    }
}
