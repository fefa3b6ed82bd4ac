//! Ingest: Kafka → inbox. Decodes a batch once, folds the events of each call, seals the bodies,
//! and appends all of it with the next offsets in one transaction; only then do the offsets move
//! in Kafka.
//!
//! A batch is whatever arrived while the last insert ran. A row that the database refuses is
//! bisected out and quarantined, so a poison event never stalls its partition or its neighbours.
//!
//! A partition whose next offset Kafka does not have stands until somebody moves the store's
//! offset on purpose (`vcc-link topics skip`), and then goes on there.
//!
//! A store that knows of fewer events than were read has gone back in time (a backup took its place, or
//! a standby that lagged), or its offset was moved back on purpose: they are read again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::append::bisect;
use super::delay::Progress;
use super::fold::{Folded, Folder};
use super::places::{Moved, Places, advances, next_offsets, stored_name};
use crate::clock;
use crate::crypto::Context;
use crate::domain::call::{CallEvent, CallOutcome, Direction};
use crate::domain::fault::Fault;
use crate::domain::ids::{CallId, Revision};
use crate::engine::Input;
use crate::kafka::consumer::{self, Batch, Consumer, Event, Received};
use crate::kafka::producer::{Message, Producer};
use crate::kafka::wire::decode::{Decoded, decode};
use crate::kafka::wire::quarantine::quarantined;
use crate::readiness::Component;
use crate::sealing::Sealer;
use crate::sealing::vault::Vault;
use crate::store::inbox::{Appended, IngestBatch, Partition, QuarantineRow};
use crate::store::{self, Error, Store, until_stored};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Consumed;

/// Settings of ingest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Each started call is answered within this time of its receipt (`call.lookedup.v1`).
    #[serde(with = "humantime_serde")]
    pub lookup_deadline: Duration,
    /// A call that is older than this ends as skipped *too old*, unless its key is still known: it
    /// may have been logged before (rule 10). Longer than the topics' retention and than the
    /// platform may repeat an event.
    #[serde(with = "humantime_serde")]
    pub dedupe_horizon: Duration,
    /// An event that claims to be later than now by more than this is quarantined.
    #[serde(with = "humantime_serde")]
    pub future_tolerance: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lookup_deadline: Duration::from_secs(5),
            dedupe_horizon: Duration::from_hours(336),
            future_tolerance: Duration::from_hours(24),
        }
    }
}

/// A time that no event can have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is of a time that is yet to come; check the clock of the producer")]
pub struct FromTheFuture;

impl Config {
    /// Whether the event claims a time further ahead than clocks differ.
    pub fn check_time(&self, now: DateTime<Utc>, event: &CallEvent) -> Result<(), FromTheFuture> {
        let latest = now + self.future_tolerance;
        let times = match event {
            CallEvent::Started(e) => [e.meta.time, e.facts.started_at, e.facts.started_at],
            CallEvent::Ended(e) => [e.meta.time, e.facts.started_at, e.ended_at],
        };
        if times.iter().any(|t| *t > latest) {
            Err(FromTheFuture)
        } else {
            Ok(())
        }
    }

    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.lookup_deadline < Duration::from_secs(1) {
            faults.push(Fault::new("ingest.lookup_deadline", "write at least 1s"));
        }
        if self.dedupe_horizon < Duration::from_hours(24) {
            faults.push(Fault::new("ingest.dedupe_horizon", "write at least 1day"));
        }
        if self.future_tolerance > Duration::from_hours(24) {
            faults.push(Fault::new("ingest.future_tolerance", "write at most 1day"));
        }
    }
}

/// Quarantined bytes are kept up to this many; the topic has them whole.
pub const KEPT_BYTES: usize = 64 * 1024;

/// How often the store is asked whether stopped partitions were moved on, and others back.
const LOOK_AT_OFFSETS: Duration = Duration::from_secs(5);

/// Takes events in.
pub struct Ingest {
    /// Where records come from.
    pub consumer: Consumer,
    /// Events to rows.
    pub folder: Folder,
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Seals quarantined bytes.
    pub sealer: Sealer,
    /// Seals calls.
    pub vault: Vault,
    /// To the quarantine topic.
    pub producer: Producer,
    /// The quarantine topic.
    pub quarantine_topic: String,
    /// Larger records are quarantined unread, in bytes.
    pub max_event_bytes: usize,
    /// To the engine.
    pub inputs: mpsc::Sender<Input>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether partitions are assigned.
    pub assigned: Component,
    /// The store's mark, to be noted in Kafka.
    pub mark: watch::Receiver<i64>,
    /// How far it is, for the metrics.
    pub progress: watch::Sender<Progress>,
}

/// What became of a batch.
enum Landing {
    /// It is stored, but for the calls of these records, which the database refuses.
    Stored(Appended, Vec<usize>),
    /// The store does not know all events before it.
    Behind,
}

/// A batch of records, read.
#[derive(Default)]
struct Read {
    /// Events about calls, each with the record that held it.
    events: Vec<(CallEvent, usize)>,
    /// Records that are no valid event, and why.
    rejected: Vec<(usize, String)>,
    /// What becomes of each record, unless the database refuses it.
    fates: Vec<Consumed>,
}

/// How an ended call ended, and the record that told of it.
type Ending = (usize, Direction, CallOutcome);

impl Ingest {
    /// Takes events in until cancelled, then leaves the group.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut places = Places::default();
        let mut mark = self.mark.clone();
        let mut look = tokio::time::interval(LOOK_AT_OFFSETS);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let carried_on = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ = look.tick() => {
                    self.follow_moves(&mut places).await;
                    Some(())
                }
                Ok(()) = mark.changed() => {
                    self.consumer.marked(*mark.borrow_and_update());
                    Some(())
                }
                event = self.consumer.next() => match event {
                    Some(event) => self.take(event, &mut places, &cancel).await,
                    None => break,
                },
            };
            if carried_on.is_none() {
                break;
            }
        }
        self.assigned
            .not_ready("reading from Kafka has stopped; the log says why");
        self.consumer.stop(Duration::from_secs(5)).await;
    }

    /// Does what one event of the consumer asks for; `None` when reading cannot go on.
    async fn take(
        &self,
        event: Event,
        places: &mut Places,
        cancel: &CancellationToken,
    ) -> Option<()> {
        match event {
            Event::Assigned(partitions) => {
                places.begin(&partitions);
                self.assigned(partitions, cancel).await
            }
            Event::Batch(batch) => self.batch(batch, places, cancel).await,
            Event::Lost {
                partition,
                wanted,
                low,
                high,
            } => {
                let (topic, number) = (&partition.0, partition.1);
                tracing::error!(
                    topic,
                    partition = number,
                    wanted,
                    low,
                    high,
                    "Kafka does not have the offset that comes next: events were deleted before they were read, or the topic was made anew; the partition is stopped until `vcc-link topics skip {topic} {number} --to earliest` (or another offset) says where to go on"
                );
                places.stop(partition, wanted);
                Some(())
            }
        }
    }

    /// Goes on with stopped partitions whose offset in the store was moved meanwhile, and reads again
    /// where one was moved back. A store that does not answer is asked again the next time.
    async fn follow_moves(&self, places: &mut Places) {
        let asked = places.asked();
        if asked.is_empty() {
            return;
        }
        let Ok(offsets) = self.store.offsets(&asked).await else {
            return;
        };
        match places.follow(&offsets) {
            Moved::Back => self.read_again(),
            Moved::On(moved) if moved.is_empty() => {}
            Moved::On(moved) => {
                for (partition, next) in &moved {
                    let (topic, partition) = (&partition.0, partition.1);
                    tracing::info!(topic, partition, next, "a stopped partition was moved on");
                }
                self.consumer.resume_at(moved);
            }
        }
    }

    /// Reads all partitions again from where the store says that it has come.
    fn read_again(&self) {
        tracing::warn!(
            "the database does not know all events that were read: it went back in time, or an offset was moved back; they are read again"
        );
        self.consumer.again();
    }

    /// Says where to go on with new partitions: where the store's last batch ended.
    async fn assigned(
        &self,
        partitions: Vec<consumer::Partition>,
        cancel: &CancellationToken,
    ) -> Option<()> {
        self.metrics.rebalanced();
        self.assigned.ready();
        let named: Vec<Partition> = partitions.iter().map(stored_name).collect();
        let offsets = until_stored(cancel, "offsets", || self.store.offsets(&named)).await?;
        match offsets {
            Ok(offsets) => self
                .consumer
                .resume_at(partitions.into_iter().zip(offsets).collect()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the store refuses to tell offsets; partitions stay stopped"
                );
            }
        }
        Some(())
    }

    /// Stores one batch; `None` when told to stop before it was stored.
    async fn batch(
        &self,
        batch: Batch,
        places: &mut Places,
        cancel: &CancellationToken,
    ) -> Option<()> {
        let Batch { records, from } = batch;
        let now = clock::now();
        let oldest = records.iter().filter_map(|r| r.timestamp_ms).min();
        let oldest = oldest.and_then(DateTime::from_timestamp_millis);
        self.progress
            .send_modify(|progress| progress.storing = Some(oldest.unwrap_or(now)));
        let mut read = self.read(now, &records);
        let mut origins: HashMap<CallId, Vec<usize>> = HashMap::new();
        for (event, record) in &read.events {
            origins
                .entry(event.call().clone())
                .or_default()
                .push(*record);
        }
        let endings: Vec<Ending> = read.events.iter().filter_map(ending).collect();
        let events = read.events.into_iter().map(|(event, _)| event).collect();
        let calls = Folder::fold(events);
        let mut rest = IngestBatch::default();
        for (record, reason) in read.rejected {
            rest.quarantined
                .push(self.quarantined(now, &records[record], reason));
        }
        self.publish_quarantined(&records, &rest.quarantined).await;
        let next = next_offsets(&records);
        rest.offsets = advances(&from, &next);
        let landing = self
            .append((calls, rest), &records, &origins, cancel)
            .await?;
        crate::crash_point("ingest.appended");
        self.progress
            .send_modify(|progress| progress.end(clock::now()));
        let Landing::Stored(appended, refused) = landing else {
            self.read_again();
            return Some(());
        };
        places.store(&next);
        self.consumer.stored(next);
        for record in refused {
            read.fates[record] = Consumed::Quarantined;
        }
        self.count(&records, &read.fates, &endings);
        tracing::debug!(
            records = records.len(),
            new_calls = appended.new_calls,
            duplicates = appended.duplicates,
            "batch stored"
        );
        if !appended.due.is_empty() {
            let input = Input::Due {
                page: None,
                calls: appended.due,
                more: false,
            };
            // Without a driver the calls stay due in the store.
            let _ = self.inputs.send(input).await;
        }
        Some(())
    }

    /// Counts what a batch held, by topic.
    fn count(&self, records: &[Received], fates: &[Consumed], endings: &[Ending]) {
        for ((topic, fate), messages) in by_topic(records, fates) {
            self.metrics.consumed(topic, fate, messages);
        }
        for (record, direction, outcome) in endings {
            if fates[*record] == Consumed::Stored {
                self.metrics.call_ended(*direction, *outcome);
            }
        }
    }

    /// Reads records.
    fn read(&self, now: DateTime<Utc>, records: &[Received]) -> Read {
        let mut read = Read::default();
        for (place, record) in records.iter().enumerate() {
            read.fates.push(match self.read_one(now, record) {
                Ok(Some(event)) => {
                    read.events.push((event, place));
                    Consumed::Stored
                }
                Ok(None) => Consumed::Ignored,
                Err(reason) => {
                    read.rejected.push((place, reason));
                    Consumed::Quarantined
                }
            });
        }
        read
    }

    /// Reads one record: an event, one of another type, or why it is neither.
    fn read_one(&self, now: DateTime<Utc>, record: &Received) -> Result<Option<CallEvent>, String> {
        if record.unreadable_headers > 0 {
            return Err(format!(
                "{} headers have names that are no UTF-8 (those are left out here)",
                record.unreadable_headers
            ));
        }
        let decoded = decode(record.record(), self.max_event_bytes);
        match decoded.map_err(|rejected| rejected.reason)? {
            Decoded::Ignored { .. } => Ok(None),
            Decoded::Call(event) => {
                self.folder
                    .check_time(now, &event)
                    .map_err(|late| late.to_string())?;
                Ok(Some(event))
            }
        }
    }

    /// The row of a record that is no valid event.
    fn quarantined(&self, now: DateTime<Utc>, record: &Received, reason: String) -> QuarantineRow {
        let (topic, partition) = record.partition.clone();
        let offset = record.offset;
        let mut kept = record.value.clone().unwrap_or_default();
        kept.truncate(KEPT_BYTES);
        let context = Context::Quarantine {
            topic,
            partition,
            offset,
        };
        let headers: Vec<(&str, &[u8])> = record
            .headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_slice()))
            .collect();
        let body = self.sealer.seal(&context, &(&record.key, headers, kept));
        QuarantineRow {
            partition: stored_name(&record.partition),
            offset,
            received_at: now,
            reason,
            body,
        }
    }

    /// Sends quarantined bytes on as they were received, with the reason. Before they are stored,
    /// so that a crash repeats them rather than loses them. The row holds them too, so a missing
    /// topic holds nothing up.
    async fn publish_quarantined(&self, records: &[Received], rows: &[QuarantineRow]) {
        if rows.is_empty() {
            return;
        }
        let find = |row: &QuarantineRow| {
            let partition = (row.partition.topic.clone(), row.partition.partition);
            records
                .iter()
                .find(|r| r.partition == partition && r.offset == row.offset)
        };
        let messages = rows.iter().filter_map(|row| {
            let record = find(row)?;
            let (topic, longest) = (&self.quarantine_topic, self.max_event_bytes);
            Some(quarantined(topic, record, &row.reason, longest))
        });
        let messages: Vec<Message> = messages.collect();
        for (row, sent) in rows.iter().zip(self.producer.send(&messages).await) {
            let (topic, partition) = (&row.partition.topic, row.partition.partition);
            tracing::warn!(
                topic,
                partition,
                offset = row.offset,
                reason = row.reason,
                "quarantined"
            );
            if let Err(error) = sent {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "a quarantined record is only in the database, not in its topic"
                );
            }
        }
    }

    /// Appends calls with the rest of their batch, until the store answers. They are sealed for each
    /// try, as their accounts' keys may be others by then.
    async fn seal_and_append(
        &self,
        calls: Vec<Folded>,
        rest: IngestBatch,
        cancel: &CancellationToken,
    ) -> Option<store::Result<Appended>> {
        let (accounts, now) = (Folded::accounts(&calls), clock::now());
        let append = || {
            self.vault.seal(&accounts, |keys| {
                let batch = IngestBatch {
                    calls: self.folder.rows(now, &calls, &keys),
                    ..rest.clone()
                };
                async move { self.store.append(&batch).await }
            })
        };
        until_stored(cancel, "append", append).await
    }

    /// Appends a batch. If the database refuses a row, the calls are appended by halves until the
    /// refused ones stand alone; those are quarantined with the rest.
    async fn append(
        &self,
        (calls, mut rest): (Vec<Folded>, IngestBatch),
        records: &[Received],
        origins: &HashMap<CallId, Vec<usize>>,
        cancel: &CancellationToken,
    ) -> Option<Landing> {
        let append = async |calls, rest| self.seal_and_append(calls, rest, cancel).await;
        let error = match append(calls.clone(), rest.clone()).await? {
            Ok(appended) => return Some(Landing::Stored(appended, Vec::new())),
            Err(Error::Behind) => return Some(Landing::Behind),
            Err(error) => error,
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a batch is refused, bisecting it"
        );
        let alone = async |calls| append(calls, IngestBatch::default()).await;
        let (mut total, refused) = bisect(calls, alone).await?;
        let of = |call: &CallId| origins.get(call).into_iter().flatten().copied();
        let refused: Vec<usize> = refused.iter().flat_map(|call| of(call.id())).collect();
        let now = clock::now();
        let row = |place: &usize| {
            let reason = "the database refuses this event; please report it";
            self.quarantined(now, &records[*place], reason.to_owned())
        };
        let rows: Vec<QuarantineRow> = refused.iter().map(row).collect();
        self.publish_quarantined(records, &rows).await;
        rest.quarantined.extend(rows);
        match append(Vec::new(), rest).await? {
            Ok(appended) => total.due.extend(appended.due),
            Err(Error::Behind) => return Some(Landing::Behind),
            Err(error) => {
                // Not even ids and offsets: nothing more can be done here but stop and say so.
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the database refuses a batch without its calls; reading stops"
                );
                return None;
            }
        }
        Some(Landing::Stored(total, refused))
    }
}

/// How a call ended, for the count; later revisions do not count again.
fn ending((event, record): &(CallEvent, usize)) -> Option<Ending> {
    match event {
        CallEvent::Ended(ended) if ended.revision == Revision(0) => {
            Some((*record, ended.facts.direction, ended.outcome))
        }
        CallEvent::Ended(_) | CallEvent::Started(_) => None,
    }
}

/// How many records of each topic met each fate.
fn by_topic<'a>(records: &'a [Received], fates: &[Consumed]) -> BTreeMap<(&'a str, Consumed), u64> {
    let mut counts = BTreeMap::new();
    for (record, fate) in records.iter().zip(fates) {
        *counts
            .entry((record.partition.0.as_str(), *fate))
            .or_default() += 1;
    }
    counts
}
