//! Invitations, as the account's admins see them: made, shown once, revoked; and the logins that came
//! of them, to be confirmed.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::Sidecar;
use super::super::csrf::Change;
use super::super::session::Session;
use super::logins::{Nothing, Who};
use super::texts::{self, faults};
use super::{Shell, assets, failed, page, time, unavailable};
use crate::clock;
use crate::domain::authorization::{Authorization, Doubt};
use crate::domain::ids::InvitationId;
use crate::domain::invitation::Invitation;
use crate::linking::AuthorizationError;
use crate::store;

/// Invitations that are looked through for open ones: more cannot be open, and the latest come first.
const LATEST: u32 = 50;

/// What the account's page shows of invitations.
pub(super) struct Inviting {
    /// Logins that wait for an admin.
    pub(super) to_confirm: Vec<ToConfirm>,
    /// Invitations that may be used.
    pub(super) open: Vec<Open>,
}

/// A login that waits for an admin.
pub(super) struct ToConfirm {
    pub(super) id: String,
    pub(super) org: Option<Who>,
    pub(super) by: String,
    pub(super) until: String,
    pub(super) doubts: Vec<String>,
}

/// An invitation that may be used.
pub(super) struct Open {
    pub(super) id: String,
    pub(super) by: String,
    pub(super) until: String,
}

/// The link, shown once.
#[derive(Template)]
#[template(path = "invite.html")]
struct Made {
    shell: Shell,
    link: String,
    until: String,
}

impl Inviting {
    /// What holds for an account, for which so many calls wait.
    pub(super) async fn of(
        sidecar: &Sidecar,
        session: &Session,
        waiting: u64,
    ) -> store::Result<Self> {
        let (store, now) = (&sidecar.store, clock::now());
        let logins = store.to_confirm(&session.account, now).await?;
        let invitations = store.invitations(&session.account, LATEST).await?;
        let open = invitations.iter().filter(|one| one.is_open(now));
        Ok(Self {
            to_confirm: logins
                .iter()
                .map(|login| ToConfirm::of(login, waiting, sidecar.unlink_grace))
                .collect(),
            open: open.map(Open::of).collect(),
        })
    }
}

impl ToConfirm {
    fn of(login: &Authorization, waiting: u64, grace: Duration) -> Self {
        let ask = |doubt: &Doubt| faults::doubt(*doubt, waiting, grace);
        Self {
            id: login.id.to_string(),
            org: login.org.as_ref().map(Who::of),
            by: texts::actor(&login.actor),
            until: time(login.expires_at),
            doubts: login.doubts.iter().map(ask).collect(),
        }
    }
}

impl Open {
    fn of(invitation: &Invitation) -> Self {
        Self {
            id: invitation.id.to_string(),
            by: texts::actor(&invitation.by),
            until: time(invitation.expires_at),
        }
    }
}

/// `POST /invitations`. The answer is the link itself: no address may hold it, so none is led to.
pub(super) async fn invite(
    State(sidecar): State<Arc<Sidecar>>,
    change: Change<Nothing>,
) -> Response {
    let session = change.session;
    let invited = sidecar
        .linking
        .invite(session.account.clone(), session.actor());
    match invited.await {
        Ok((invitation, secret)) => page(&Made {
            shell: Shell::of(&sidecar, &session),
            link: sidecar.invitation_link(&secret),
            until: time(invitation.expires_at),
        }),
        Err(error) => failed(&sidecar, &session, error),
    }
}

/// `POST /invitations/{id}/revoke`
pub(super) async fn revoke(
    State(sidecar): State<Arc<Sidecar>>,
    Path(id): Path<String>,
    change: Change<Nothing>,
) -> Response {
    let session = change.session;
    let Ok(id) = id.parse::<InvitationId>() else {
        return failed(&sidecar, &session, AuthorizationError::Unknown);
    };
    let (account, actor) = (&session.account, session.actor());
    match sidecar
        .linking
        .revoke_invitation(account, &id, &actor)
        .await
    {
        Ok(_) => Redirect::to("/").into_response(),
        Err(error) => unavailable(&sidecar, &error),
    }
}
