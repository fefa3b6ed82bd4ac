//! Authorizations: admins on their way to Salesforce and back, and the history of links.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::values::word;
use super::{Result, Sealed, Written};
use crate::domain::authorization::{Authorization, Stage};
use crate::domain::ids::{AccountId, AuthorizationId, Generation, Sequence};
use crate::domain::invitation::Step;
use crate::domain::link::{Actor, Health, LinkReason, LinkStatus};

/// What became of a claim to redeem the code of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedeemClaim {
    /// This caller alone may redeem; with the sealed secret as it was begun.
    Granted(Box<Authorization>, Sealed),
    /// It was redeemed before, or is over: a replayed callback. This is how it is.
    Used(Box<Authorization>),
    /// Nobody ever began it, another session did, or it is too old.
    Unknown,
}

/// What a line of the history tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A published change of the link, and why.
    Link(LinkReason),
    /// A step of an invitation. Of one that was used, the line's actor is who had invited.
    Invitation(Step),
}

impl Happened {
    /// In one word: as it is published of a link, and of an invitation what became of it.
    pub fn word(&self) -> String {
        match self {
            Self::Link(reason) => word(reason),
            Self::Invitation(Step::Invited) => "invited".to_owned(),
            Self::Invitation(step) => format!("invitation_{}", word(step)),
        }
    }
}

/// A line of the history of an account's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryLine {
    /// Counts the account's lines, from 1 on.
    pub line: i64,
    /// What it tells of.
    pub what: Happened,
    /// The link's sequence since; of a published change, its own.
    pub sequence: Sequence,
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub actor: Actor,
    /// Status and health before.
    pub from: (LinkStatus, Health),
    /// Status and health since.
    pub to: (LinkStatus, Health),
    /// Which Link, Relink or Unlink.
    pub generation: Generation,
}

/// The sidecar's room.
#[async_trait]
pub trait Authorizations: Send + Sync {
    /// Notes an authorization that begins, with its sealed secret.
    async fn begin_authorization(&self, begun: &Authorization, secret: &Sealed) -> Result<()>;

    /// An authorization as it is.
    async fn authorization(&self, id: &AuthorizationId) -> Result<Option<Authorization>>;

    /// The authorization that this session began last.
    async fn last_authorization(&self, session: &str) -> Result<Option<Authorization>>;

    /// Claims the code of an authorization that this session began and that has not expired: once,
    /// however many callbacks come at the same moment.
    async fn claim_redeem(
        &self,
        id: &AuthorizationId,
        session: &str,
        now: DateTime<Utc>,
    ) -> Result<RedeemClaim>;

    /// Stores an authorization as it is after the stage `from`, with its new sealed secret if there
    /// is one; `Stale` where it has left that stage.
    async fn move_authorization(
        &self,
        from: Stage,
        next: &Authorization,
        secret: Option<&Sealed>,
    ) -> Result<Written>;

    /// The sealed secret of an authorization, while it has one.
    async fn authorization_secret(&self, id: &AuthorizationId) -> Result<Option<Sealed>>;

    /// Authorizations that expired before they were over, or that failed with tokens which nobody
    /// uses: to be ended, revoked, and closed.
    async fn loose_authorizations(
        &self,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<(Authorization, Option<Sealed>)>>;

    /// Ends an authorization for good, and drops its secret.
    async fn close_authorization(&self, last: &Authorization) -> Result<()>;

    /// Drops authorizations that were begun before, and are over.
    async fn forget_authorizations(&self, before: DateTime<Utc>) -> Result<u64>;

    /// Takes by its id what may be done once, until then: a portal's token, or the one create of an
    /// admin's test. True once, however often it comes and wherever. What no longer holds is
    /// forgotten along the way. A call that is repeated after an error may find it taken by itself.
    async fn enter_once(&self, id: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool>;

    /// The lines of the history of an account's link before this one, the latest first.
    async fn history(
        &self,
        account: &AccountId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HistoryLine>>;
}
