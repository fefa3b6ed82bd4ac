//! Putting back what was given up: calls that came to their end, and bytes that could not be read.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::inbox::{Partition, QuarantineRow};
use super::reports::CallFilter;
use super::{Result, Written};
use crate::domain::ids::{AccountId, CallId, OrgId};
use crate::domain::replay::{Stand, Why};

/// Names one replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplayId(pub i64);

/// Calls of one account that a replay treats alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayGroup {
    /// The account.
    pub account: AccountId,
    /// Where they stand, and why.
    pub stand: Stand,
    /// The org of their last attempt, for those whose Task may exist.
    pub sent_to: Option<OrgId>,
    /// How many.
    pub calls: u64,
    /// When the first was first heard of.
    pub first: DateTime<Utc>,
    /// The same of the last.
    pub last: DateTime<Utc>,
}

/// A step of a replay.
#[derive(Clone, Debug)]
pub struct ReplayPage {
    /// Which replay.
    pub replay: ReplayId,
    /// Which calls; at most `limit` of them, the longest known first.
    pub filter: CallFilter,
    /// Behind this one.
    pub after: Option<(DateTime<Utc>, CallId)>,
    /// A person has looked: those whose Task may exist have none.
    pub certain: bool,
}

/// What a step of a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Calls that are due now.
    pub sent: u64,
    /// Calls that are looked for first.
    pub looked_for: u64,
    /// Calls that stay as they are, by why.
    pub left: BTreeMap<Why, u64>,
    /// The last call that was looked at; `None`: there was none any more.
    pub last: Option<(DateTime<Utc>, CallId)>,
}

/// One replay, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayLine {
    /// Names it.
    pub replay: ReplayId,
    /// Who.
    pub actor: String,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
    /// When it came to its end; `None`: it runs, or was interrupted.
    pub ended_at: Option<DateTime<Utc>>,
    /// Which calls, in words.
    pub filter: String,
    /// Calls that were made due.
    pub sent: u64,
    /// Calls that were looked for first.
    pub looked_for: u64,
    /// Calls that stayed as they were.
    pub left: u64,
}

/// Which quarantined records.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFilter {
    /// Only of this topic.
    pub topic: Option<String>,
    /// Only those read at or after this.
    pub since: Option<DateTime<Utc>>,
    /// Only those read before this.
    pub until: Option<DateTime<Utc>>,
    /// Only those that were not sent again yet.
    pub unsent: bool,
    /// Only those behind this one: when it was read, and where it stood.
    pub after: Option<(DateTime<Utc>, Partition, i64)>,
    /// At most so many, the latest first.
    pub limit: u32,
}

/// A quarantined record, as a person handles it.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantineLine {
    /// The record.
    pub row: QuarantineRow,
    /// When it was sent to its topic again, and by whom.
    pub resent: Option<(DateTime<Utc>, String)>,
}

/// The room of replays. What is done here is done by a person, who owns no shard: as in ingest, the
/// accounts are locked, and the owners of their shards are woken.
#[async_trait]
pub trait Replays: Send + Sync {
    /// The calls of a filter by what a replay does with them; `limit` is not looked at. Changes
    /// nothing.
    async fn replay_groups(&self, filter: &CallFilter) -> Result<Vec<ReplayGroup>>;

    /// Notes that a replay is begun, and names it.
    async fn begin_replay(&self, actor: &str, filter: &str) -> Result<ReplayId>;

    /// Puts a page of calls back, each by what [`effect`](crate::domain::replay::effect) says of it
    /// at that moment, and counts them in the replay's note. A call that came to its end is revived:
    /// its attempts are counted from the start, nothing is left out of its Task any more, and its next
    /// terminal event has an id of its own. A call to be looked for gets an open attempt like its
    /// last, without a request, for its owner to reconcile. A parked one is due as it is.
    ///
    /// A call that was put back does not stand there any more: doing a page again does it no second
    /// time.
    async fn replay(&self, page: &ReplayPage) -> Result<Replayed>;

    /// Notes that a replay came to its end.
    async fn end_replay(&self, replay: ReplayId) -> Result<()>;

    /// The last replays, the latest first.
    async fn replays(&self, limit: u32) -> Result<Vec<ReplayLine>>;

    /// Quarantined records, the latest first.
    async fn quarantined(&self, filter: &QuarantineFilter) -> Result<Vec<QuarantineLine>>;

    /// One quarantined record.
    async fn quarantined_at(
        &self,
        partition: &Partition,
        offset: i64,
    ) -> Result<Option<QuarantineLine>>;

    /// Marks a quarantined record as sent to its topic again. `Already` where it was marked before,
    /// which stands; `Stale` where it is gone.
    async fn mark_resent(&self, partition: &Partition, offset: i64, actor: &str)
    -> Result<Written>;
}
