//! The attempt journal: noted before a request that writes, closed with what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::inbox::StoredCall;
use super::outbox::OutboxRow;
use super::{Fence, Result, Written};
use crate::domain::ids::{AccountId, AttemptId, CallId, Generation, OrgId, Revision, ShardId};
use crate::domain::outcome::Outcome;
use crate::domain::task::{KeyMode, TaskField};
use crate::domain::work::{AttemptKind, OpenAttempt, ParkedPage, Refusal, Unparked};

/// The wish to send one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginAttempt {
    /// The call.
    pub call: CallId,
    /// Its shard, as its owner holds it.
    pub fence: Fence,
    /// The link's generation that will act; it must be the current one, and live.
    pub generation: Generation,
    /// The org that will be written to.
    pub org: OrgId,
    /// How the Task can be found again.
    pub mode: KeyMode,
    /// Create, adopt or update.
    pub kind: AttemptKind,
    /// The revision that is sent; it must be the call's current one.
    pub revision: Revision,
    /// What is left out.
    pub degraded: BTreeSet<TaskField>,
    /// How many calls the request holds, this one included.
    pub together: u32,
    /// No byte of the request is written later than this after the transaction began.
    pub send_within: Duration,
}

/// An attempt that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Names it.
    pub attempt: AttemptId,
    /// No byte of the request is written after this, by the database's clock.
    pub send_by: DateTime<Utc>,
    /// The call as of this transaction.
    pub call: StoredCall,
}

/// What became of one call, with or without an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The call.
    pub call: CallId,
    /// Its shard, as its owner holds it.
    pub fence: Fence,
    /// The attempt that it closes (unless in doubt); `None` for outcomes without a request:
    /// skips, parks and retries that never began.
    pub attempt: Option<AttemptId>,
    /// The revision that it is about.
    pub revision: Revision,
    /// The link's generation that decided.
    pub generation: Generation,
    /// What it means.
    pub outcome: Outcome,
    /// The event to publish, where there is one.
    pub event: Option<OutboxRow>,
    /// How often the call had been revived when the event was made, which its id tells.
    pub replay: Option<u32>,
    /// When it was decided.
    pub at: DateTime<Utc>,
}

/// The dispatcher's and the reconciler's room.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Notes attempts before their request is sent: for each call a compare-and-set (no open
    /// attempt, link live, this generation, this revision, this epoch), and one for each Task of an
    /// org that is changed: another call's open attempt on it may take effect late, and must not do
    /// so behind this one (two calls dialled from one Task). What is begun is durable.
    /// Calling again with the same items refuses those that began, as open.
    async fn begin_attempts(
        &self,
        items: &[BeginAttempt],
    ) -> Result<Vec<std::result::Result<Begun, Refusal>>>;

    /// Closes attempts, or moves calls without one, with the events to publish, each atomically.
    /// An outcome of an attempt is taken whatever the link's generation is now, and also when the
    /// call has a later revision by then: that becomes due, unless the call is given up as unknown
    /// or unresolved (see [`Inbox::append`](super::Inbox::append)). An outcome without an attempt is
    /// `Stale` unless the call is at that revision and replay, not terminal, without an open attempt.
    ///
    /// An outcome of an attempt that is closed already is `Already`, and publishes nothing.
    ///
    /// Who parks a call by a generation of the link that is over did not know of the next one, and
    /// nobody would come back for the call: it is due at once instead.
    async fn record_outcomes(&self, rows: &[OutcomeRow]) -> Result<Vec<Written>>;

    /// The open attempts of a shard, to be loaded by a new owner before it sends anything.
    async fn open_attempts(&self, shard: ShardId) -> Result<Vec<OpenAttempt>>;

    /// Makes a page of an account's parked calls due again. None where the lease is gone, or the
    /// account lies elsewhere.
    async fn unpark(
        &self,
        account: &AccountId,
        fence: Fence,
        page: &ParkedPage,
    ) -> Result<Unparked>;
}
