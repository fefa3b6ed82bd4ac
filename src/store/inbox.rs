//! The durable calls: what ingest appends, and what is due.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::outbox::OutboxRow;
use super::{Fence, Result, Sealed};
use crate::domain::ids::{
    AccountId, CallId, EventId, Generation, KeyId, RecordId, Revision, ShardId,
};
use crate::domain::outcome::SkipReason;
use crate::domain::work::{Due, Lane};

/// A Kafka partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

/// The events of one call out of one ingest batch, already folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestCall {
    /// The call.
    pub id: CallId,
    /// When the call began, by its events: where its body is kept.
    pub call_day: chrono::NaiveDate,
    /// The begin, if it is in the batch.
    pub started: Option<IngestStarted>,
    /// The end, if it is in the batch.
    pub ended: Option<IngestEnded>,
    /// How many events of the call the batch held, duplicates among them.
    pub events: u32,
    /// What is published of a call beyond the dedupe horizon in place of taking it in, if its key
    /// is not known: it may have been logged before. Empty for any other call.
    pub too_old: Vec<OutboxRow>,
}

/// A call's begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestStarted {
    /// The event's id.
    pub event: EventId,
    /// The event's time; with the id it decides which of two begins stands (the earlier).
    pub time: DateTime<Utc>,
    /// When the lookup must be answered; `None` where none is wanted any more.
    pub lookup_deadline: Option<DateTime<Utc>>,
    /// The sealed [`CallStarted`](crate::domain::call::CallStarted).
    pub body: Sealed,
}

/// A call's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestEnded {
    /// The event's id.
    pub event: EventId,
    /// The event's time.
    pub time: DateTime<Utc>,
    /// Orders the ends of a call; the highest stands, and within one revision the earliest.
    pub revision: Revision,
    /// When the call ended.
    pub ended_at: DateTime<Utc>,
    /// Why it earns no Task whatever the link, by the contract's table; `None`: it earns one.
    pub skip: Option<SkipReason>,
    /// The sealed [`CallEnded`](crate::domain::call::CallEnded).
    pub body: Sealed,
}

/// Bytes that are no valid event.
#[derive(Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Where they stood.
    pub partition: Partition,
    /// At which offset.
    pub offset: i64,
    /// When they were read.
    pub received_at: DateTime<Utc>,
    /// What is wrong with them, and what to do, without their content.
    pub reason: String,
    /// The sealed key, headers and value as received, cut to a bound.
    pub body: Sealed,
}

/// How far a partition was read: everything from where its batch begins is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Which.
    pub partition: Partition,
    /// The next offset where the batch begins, as the store told it or an earlier batch left it;
    /// `None` where it told none.
    pub from: Option<i64>,
    /// The next offset.
    pub next: i64,
}

impl Advance {
    /// Whether events before the batch are missing in a store that has this as its next offset.
    pub(super) fn leaves_a_gap(&self, stored: Option<i64>) -> bool {
        // Nothing is below zero, so that `None` is below all.
        stored < self.from
    }
}

/// What one ingest transaction writes.
#[derive(Clone, Default)]
pub struct IngestBatch {
    /// The calls, each once, sorted by id so that two workers never lock crosswise.
    pub calls: Vec<IngestCall>,
    /// What could not be decoded.
    pub quarantined: Vec<QuarantineRow>,
    /// How far each partition was read, each once and sorted.
    pub offsets: Vec<Advance>,
}

/// What one ingest transaction left due, for its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The calls that have something due now, by this batch.
    pub due: Vec<Due>,
    /// Calls that were new.
    pub new_calls: u64,
    /// Events that changed nothing.
    pub duplicates: u64,
}

/// A call with its sealed bodies, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCall {
    /// The call.
    pub id: CallId,
    /// Its begin.
    pub started: Option<Sealed>,
    /// Its end.
    pub ended: Option<Sealed>,
    /// When the end that stands was received.
    pub ended_received_at: Option<DateTime<Utc>>,
    /// Its lookup's answer.
    pub lookup: Option<Sealed>,
    /// The link's generation that the lookup asked.
    pub lookup_generation: Option<Generation>,
    /// The revision to be logged.
    pub revision: Revision,
    /// Its Task, once there is one.
    pub task: Option<RecordId>,
    /// Attempts so far.
    pub attempts: u32,
    /// Deferrals of this revision that were published.
    pub deferrals: u32,
    /// How often a replay revived it.
    pub replays: u32,
}

impl StoredCall {
    /// The keys that open its bodies: one, unless a body is changed from outside.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        let bodies = [&self.started, &self.ended, &self.lookup];
        bodies.into_iter().flatten().filter_map(Sealed::key)
    }
}

/// One lookup's answer, to be kept and published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupRow {
    /// The call.
    pub id: CallId,
    /// Its shard, as its owner holds it.
    pub fence: Fence,
    /// The link's generation that was asked.
    pub generation: Generation,
    /// The sealed [`LookupAnswer`](crate::domain::matching::LookupAnswer): the stored one where
    /// there is one.
    pub answer: Sealed,
    /// `call.lookedup.v1`; `None` where no begin came, as only a begin is answered.
    pub event: Option<OutboxRow>,
}

/// Who should look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// Shards with calls that their owner has not seen.
    pub shards: Vec<ShardId>,
    /// Shards that were given up: whoever has room may take them.
    pub released: Vec<ShardId>,
    /// Accounts whose link changed, or of which attempts were opened again.
    pub accounts: Vec<AccountId>,
}

/// Hears of work that other processes left.
#[async_trait]
pub trait WakeListener: Send {
    /// Waits for a wake, at most `patience`; empty when that passes. Wakes that come together are
    /// given together. A lost connection is mended inside, which may take some seconds; all shards
    /// are woken then, and what else was told with it is made up for by the callers' slow poll.
    async fn next(&mut self, patience: Duration) -> Wake;
}

/// Ingest's and the scheduler's room.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The next offset of each partition, in the order asked; `None` where nothing was ever read.
    async fn offsets(&self, partitions: &[Partition]) -> Result<Vec<Option<i64>>>;

    /// Moves the offset of a partition on purpose, to any place, if it is still the expected one:
    /// `Stale` where it has moved meanwhile, `Already` where it is there.
    async fn move_offset(
        &self,
        partition: &Partition,
        expected: i64,
        next: i64,
    ) -> Result<super::Written>;

    /// Appends a batch: calls folded into what is there, quarantine, events and offsets, all or
    /// nothing. Folding is idempotent and free of order (see [`Call::fold`]), so a batch may be
    /// appended again, whole or in other cuts. An offset never moves back by this, and none moves past
    /// events that the store does not have: [`Error::Behind`](super::Error::Behind) where a batch begins
    /// behind the store's offset, which happens only to a database that went back in time.
    ///
    /// Before the database is recognised nothing is taken in
    /// ([`Error::Unavailable`](super::Error::Unavailable)), so that the offsets in Kafka, by which it is,
    /// stay what they were.
    ///
    /// A call beyond the dedupe horizon is taken in like any other while its key is known, as then
    /// nothing of it is forgotten; else its events are published and nothing is stored of it.
    ///
    /// A call's task lane becomes due when its end is new, or of a higher revision than what is
    /// logged or terminal; its lookup lane when its begin is new, even if an answer is stored:
    /// nobody was told of that.
    /// A revision that comes while the call waits to be retried is in what is returned too, with
    /// the time of the retry. Reviving begins the count of attempts anew.
    /// A revision never revives a call that ended unlogged as `too old`, nor one that was given up
    /// as *unknown* or *unresolved in previous org*: sending that again could make a second Task,
    /// so only a person may.
    /// Bodies and events are sealed by the keys of their calls' accounts, or the batch is refused
    /// ([`AccountKeys`](super::AccountKeys)).
    ///
    /// Owners of shards with due calls are woken (see [`Inbox::listen`]) when the transaction
    /// commits; listeners of this same store are not, as the caller is told what is due.
    ///
    /// [`Call::fold`]: crate::domain::call::Call::fold
    /// [unknown]: crate::domain::outcome::DeadReason::Unknown
    /// [unresolved in a previous org]: crate::domain::outcome::DeadReason::UnresolvedInPreviousOrg
    async fn append(&self, batch: &IngestBatch) -> Result<Appended>;

    /// Up to `limit` calls of a shard with something due in a lane at or before `until`, ordered
    /// by (due, id), after the cursor. Calls with an open attempt are not due; parked ones only
    /// come by [`Journal::unpark`](super::Journal::unpark).
    async fn due(
        &self,
        shard: ShardId,
        lane: Lane,
        until: DateTime<Utc>,
        after: Option<(DateTime<Utc>, CallId)>,
        limit: u32,
    ) -> Result<Vec<Due>>;

    /// Calls with their bodies, in the order asked; those unknown are left out.
    async fn calls(&self, ids: &[CallId]) -> Result<Vec<StoredCall>>;

    /// Keeps lookups' answers and their events. Of two answers for one call the first stands;
    /// the second is [`Written::Already`](super::Written::Already). Every begin is told of once:
    /// where it came behind the stored answer, the event is written and the answer stands; where
    /// it came while the caller had no begin to answer, nothing is kept, and the caller reads the
    /// call again ([`Written::Stale`](super::Written::Stale)).
    async fn record_lookups(&self, rows: &[LookupRow]) -> Result<Vec<super::Written>>;

    /// Listens for wakes from any process.
    async fn listen(&self) -> Result<Box<dyn WakeListener>>;

    /// Drops the keys of calls first heard of before `before` that are logged, skipped or never
    /// ended (an end that comes so late is too old to be taken in), with their attempts, at most
    /// `limit`; tells how many. Any other call stays, whatever its age: dead letters too.
    async fn forget(&self, before: DateTime<Utc>, limit: u32) -> Result<u64>;

    /// Drops the bodies of one day's calls before `before`, the oldest there is; tells whether there
    /// was one. Bodies of calls that are not over stay, dead letters' too. A database without days
    /// has none; see [`Inbox::strip`].
    async fn drop_bodies(&self, before: chrono::NaiveDate) -> Result<bool>;

    /// Drops the bodies of calls that were logged or skipped before `before` and outlived their day,
    /// at most `limit`; tells how many bodies.
    async fn strip(&self, before: DateTime<Utc>, limit: u32) -> Result<u64>;

    /// Drops quarantined bytes of before `before`, at most `limit`; tells how many.
    async fn forget_quarantined(&self, before: DateTime<Utc>, limit: u32) -> Result<u64>;
}
