//! Invitations: what an account's admin lets somebody do whom the portal does not know.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Result, Written};
use crate::domain::authorization::{Authorization, AuthorizationFault, Stage};
use crate::domain::ids::{AccountId, InvitationId};
use crate::domain::invitation::{Fate, Invitation};
use crate::domain::link::Actor;

/// What became of a new invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteWrite {
    /// It is stored.
    Stored,
    /// So many of the account are open already.
    TooMany,
}

/// The room of invitations. Each step of one is a line of its account's history.
#[async_trait]
pub trait Invitations: Send + Sync {
    /// Stores a new invitation, unless `most` of its account are open when it begins. Called again
    /// with the same, it changes nothing.
    async fn invite(&self, new: &Invitation, most: u32) -> Result<InviteWrite>;

    /// An invitation as it is.
    async fn invitation(&self, id: &InvitationId) -> Result<Option<Invitation>>;

    /// The invitations of an account that are remembered, the latest first.
    async fn invitations(&self, account: &AccountId, limit: u32) -> Result<Vec<Invitation>>;

    /// Takes an open invitation of this account back: from then on no login by it counts, one that is
    /// under way neither. Returns it as it is then; one that was used stays so.
    async fn revoke_invitation(
        &self,
        account: &AccountId,
        id: &InvitationId,
        by: &Actor,
        at: DateTime<Utc>,
    ) -> Result<Option<Invitation>>;

    /// Uses an invitation up with a redeemed login: `complete` is that login as it waits for the
    /// account's admin. Of two logins by one invitation the first does; another, or one whose
    /// invitation was revoked meanwhile, has failed, and its tokens are loose. Returns the login as
    /// it is then; called again, as it was left.
    async fn use_invitation(
        &self,
        complete: &Authorization,
        at: DateTime<Utc>,
    ) -> Result<Option<Authorization>>;

    /// The logins that wait for this account's admin, and have not expired.
    async fn to_confirm(
        &self,
        account: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Authorization>>;

    /// Ends a login that waits for the account's admin, who does not confirm it; `Stale` where it does
    /// not wait any more.
    async fn discard_login(
        &self,
        discarded: &Authorization,
        by: &Actor,
        at: DateTime<Utc>,
    ) -> Result<Written>;

    /// Drops invitations that expired before.
    async fn forget_invitations(&self, before: DateTime<Utc>) -> Result<u64>;
}

/// A login by an invitation, once it is known whether that was used up by it.
pub(super) fn settled(complete: &Authorization, used_up: bool) -> Authorization {
    if used_up {
        return Authorization {
            stage: Stage::ToConfirm,
            ..complete.clone()
        };
    }
    complete.clone().failed(AuthorizationFault::InvitationOver)
}

/// An invitation after its last step; `None` where it had that before.
pub(super) fn ended(found: &Invitation, fate: Fate) -> Option<Invitation> {
    (found.fate == Fate::Open).then(|| Invitation {
        fate,
        ..found.clone()
    })
}
