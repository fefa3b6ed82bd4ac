//! Invitations: links by which somebody may log in at Salesforce for an account whom the portal does
//! not know. What they log in to, a session of the account's admin confirms (see the authorizations).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::authorizations::Progress;
use super::caller::Caller;
use super::link::who;
use super::word;
use crate::clock;
use crate::domain::ids::InvitationId;
use crate::domain::invitation::Fate;
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;

/// Invitations in one answer, at most.
const MOST: u32 = 100;

/// An invitation, without its link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invitation {
    /// Names it.
    id: String,
    /// `open`, `used`, `revoked` or `expired`.
    state: String,
    /// Who invites: the name of an admin or of a machine.
    by: Option<String>,
    /// When.
    invited_at: DateTime<Utc>,
    /// Until when it may be used.
    expires_at: DateTime<Utc>,
}

/// A new invitation, with its link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invited {
    /// The invitation.
    invitation: Invitation,
    /// Where whoever is invited finds the pages. It is told this once: its secret is kept hashed.
    link: String,
}

/// The invitations of an account, and what came of them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invitations {
    /// Those that are remembered, the latest first; 100 at most.
    invitations: Vec<Invitation>,
    /// Logins by invitation that wait for an admin: confirm or cancel each as an authorization.
    to_confirm: Vec<Progress>,
}

impl Invitation {
    /// An invitation as it is now.
    fn of(known: &crate::domain::invitation::Invitation) -> Self {
        let late = known.fate == Fate::Open && !known.is_open(clock::now());
        Self {
            id: known.id.to_string(),
            state: if late {
                "expired".to_owned()
            } else {
                word(&known.fate)
            },
            by: who(known.by.clone()).1,
            invited_at: known.invited_at,
            expires_at: known.expires_at,
        }
    }
}

/// Invites somebody. Send the link to the Salesforce admin: whoever has it may log in for this account,
/// once, and nothing else.
#[utoipa::path(
    post,
    operation_id = "invite",
    path = "/api/v1/accounts/{account}/invitations",
    params(
        ("account" = String, Path, description = "The account"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 201, body = Invited, description = "Somebody is invited"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "As many invitations are open as may be"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn invite(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<(StatusCode, Json<Invited>), Problem> {
    let actor = caller.actor();
    let (invitation, secret) = sidecar.linking.invite(caller.account, actor).await?;
    let invited = Invited {
        invitation: Invitation::of(&invitation),
        link: sidecar.invitation_link(&secret),
    };
    Ok((StatusCode::CREATED, Json(invited)))
}

/// The invitations of an account, and the logins that wait for an admin.
#[utoipa::path(
    get,
    operation_id = "listInvitations",
    path = "/api/v1/accounts/{account}/invitations",
    params(("account" = String, Path, description = "The account")),
    responses(
        (status = 200, body = Invitations, description = "The invitations, the latest first"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn list(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<Json<Invitations>, Problem> {
    let (store, account) = (&sidecar.store, &caller.account);
    let invitations = store.invitations(account, MOST).await?;
    let waiting = store.to_confirm(account, clock::now()).await?;
    Ok(Json(Invitations {
        invitations: invitations.iter().map(Invitation::of).collect(),
        to_confirm: waiting.iter().map(Progress::of).collect(),
    }))
}

/// Takes an invitation back: no login by it counts from then on, one that is under way neither. Of one
/// that was used, or revoked before, tells how it is.
#[utoipa::path(
    post,
    operation_id = "revokeInvitation",
    path = "/api/v1/accounts/{account}/invitations/{id}/revoke",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The invitation"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 200, body = Invitation, description = "As it is now"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "This account has none of this id"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn revoke(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
) -> Result<Json<Invitation>, Problem> {
    let none = || Problem::not_found("This account has no invitation of this id.");
    let id: InvitationId = id.parse().map_err(|_| none())?;
    let (account, actor) = (&caller.account, caller.actor());
    let revoked = sidecar.linking.revoke_invitation(account, &id, &actor);
    let revoked = revoked.await?.ok_or_else(none)?;
    Ok(Json(Invitation::of(&revoked)))
}
