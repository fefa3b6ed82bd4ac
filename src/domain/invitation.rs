//! An invitation: whoever has its secret may link one account, once, though no portal knows them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, InvitationId};
use super::link::Actor;

/// How many invitations of one account may be open at a time.
pub const MOST_OPEN: u32 = 3;

/// What was made of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing yet.
    Open,
    /// A login by it was completed.
    Used,
    /// The account's admin took it back.
    Revoked,
}

/// What happened to an invitation, as the account's history tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// An admin invited somebody.
    Invited,
    /// An admin took the invitation back.
    Revoked,
    /// Whoever was invited logged in at Salesforce; an admin is to confirm it.
    Used,
    /// An admin did not confirm that login.
    Discarded,
}

/// An invitation, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Names it: the hash of the secret, which only the link holds.
    pub id: InvitationId,
    /// The account that may be linked by it.
    pub account: AccountId,
    /// Who invites.
    pub by: Actor,
    /// When.
    pub invited_at: DateTime<Utc>,
    /// Until when it may be used.
    pub expires_at: DateTime<Utc>,
    /// What was made of it.
    pub fate: Fate,
}

impl Invitation {
    /// An invitation that begins now, to last so long.
    pub fn new(
        id: InvitationId,
        (account, by): (AccountId, Actor),
        now: DateTime<Utc>,
        lasts: Duration,
    ) -> Self {
        Self {
            id,
            account,
            by,
            invited_at: now,
            expires_at: now + lasts,
            fate: Fate::Open,
        }
    }

    /// Whether somebody may log in by it.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.fate == Fate::Open && now < self.expires_at
    }
}
