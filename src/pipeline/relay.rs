//! The relay: outbox → Kafka, for the shards that are ours, in order within a key.
//!
//! An event that is published and not yet marked is published again after a crash, with the same
//! id. The producer's delivery time-out is shorter than the lease, so that a relay that lost its
//! shard has nothing left on the way when the next owner begins.
//!
//! What cannot be published (Kafka does not take it, or its key to open it is missing) holds up
//! what is behind it with the same key, and nothing else: a round pages past it, and the next
//! round tries it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::event::{Published, Topic};
use crate::domain::ids::ShardId;
use crate::kafka::producer::Producer;
use crate::kafka::wire::encode::{Encoded, Encoder};
use crate::sealing::vault::{OpeningKeys, Vault};
use crate::sealing::{self, Sealer};
use crate::store::outbox::Unpublished;
use crate::store::{self, Fence, Store, Written};
use crate::telemetry::Metrics;

/// Events read, published and marked in one step.
const PAGE: u32 = 500;

/// How long the outbox may be left unread when nobody says that something was written: the
/// sidecar and the command line write link events from other processes.
const POLL: Duration = Duration::from_secs(1);

/// How long after a round began that left something behind the next may begin. Longer than a
/// heartbeat: a lease that was gone may be ours again.
const AGAIN: Duration = Duration::from_secs(5);

/// Publishes the outbox.
pub struct Relay {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Opens events that tell of links.
    pub sealer: Sealer,
    /// Opens events that tell of calls.
    pub vault: Vault,
    /// Domain events to bytes.
    pub encoder: Encoder,
    /// To Kafka.
    pub producer: Producer,
    /// The shards that are ours.
    pub owned: watch::Receiver<Vec<Fence>>,
    /// Something was written.
    pub published: Arc<Notify>,
    /// What is counted.
    pub metrics: Metrics,
    /// How far it is.
    pub round: Round,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Events looked at; none: there are no more behind.
    pub seen: usize,
    /// Events that are published and marked.
    pub marked: usize,
}

/// One way through the outbox, page by page.
#[derive(Debug, Default)]
pub struct Round {
    /// Behind which position the next page begins. It moves only past what is left behind.
    after: i64,
    /// The keys of what is left behind, whose later events wait for it.
    waiting: BTreeSet<Key>,
    /// Events left behind.
    left: usize,
    /// Shards that turned out not to be ours any more.
    stale: BTreeSet<Fence>,
    /// When the next may begin; `None` while nothing is left behind.
    again: Option<Instant>,
}

/// What a row comes to.
enum Ready {
    /// It may go out.
    Message(Encoded),
    /// Its account was erased since: nobody can publish it, in a database that was restored without
    /// the keys of accounts erased meanwhile.
    Erased,
    /// It waits for the key that opens it.
    Shut,
}

/// What events are ordered by.
type Key = (Topic, String);

impl Round {
    /// Begins the next round where this one is through and it is time.
    fn end(&mut self, now: Instant) {
        if self.again.is_some_and(|at| now >= at) {
            *self = Self::default();
        }
    }

    /// Takes note of what a page left behind; `last` is the page's last position.
    fn pass(&mut self, now: Instant, last: i64, left: usize) {
        if left > 0 {
            self.left += left;
            self.after = last;
            self.again.get_or_insert(now + AGAIN);
        }
    }

    /// Whether an event may be marked as published. One that failed holds back those behind it
    /// with its key, whether or not they went out: sent again, they stand behind it again.
    fn may_mark(&mut self, key: Key, acknowledged: bool) -> bool {
        if !acknowledged {
            self.waiting.insert(key);
            return false;
        }
        !self.waiting.contains(&key)
    }
}

impl Relay {
    /// Steps until cancelled, then on while anything of our shards goes out.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            let step = match self.step().await {
                Ok(step) => step,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the outbox could not be read or marked");
                    Step::default()
                }
            };
            if cancel.is_cancelled() && step.marked == 0 {
                return;
            }
            if step.seen < PAGE as usize {
                self.round.end(Instant::now());
            }
            if step.seen > 0 {
                continue;
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.published.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Publishes and marks one page.
    pub async fn step(&mut self) -> store::Result<Step> {
        let fences: BTreeMap<ShardId, Fence> = self
            .owned
            .borrow()
            .iter()
            .filter(|fence| !self.round.stale.contains(fence))
            .map(|fence| (fence.shard, *fence))
            .collect();
        if fences.is_empty() {
            return Ok(Step::default());
        }
        let shards: Vec<ShardId> = fences.keys().copied().collect();
        let after = self.round.after;
        let rows = self.store.unpublished(&shards, after, PAGE).await?;
        self.metrics.outbox_waiting(self.round.left + rows.len());
        let Some(last) = rows.last().map(|row| row.position) else {
            return Ok(Step::default());
        };
        let sent = self.publish(&rows).await?;
        crate::crash_point("relay.published");
        let mut marked = 0;
        for (shard, positions) in sent {
            let Some(fence) = fences.get(&shard) else {
                continue;
            };
            match self.store.mark_published(*fence, &positions).await? {
                Written::Yes | Written::Already => marked += positions.len(),
                Written::Stale => {
                    self.round.stale.insert(*fence);
                }
            }
        }
        self.round.pass(Instant::now(), last, rows.len() - marked);
        Ok(Step {
            seen: rows.len(),
            marked,
        })
    }

    /// Publishes rows; returns the positions to mark, by shard.
    async fn publish(
        &mut self,
        rows: &[Unpublished],
    ) -> store::Result<BTreeMap<ShardId, Vec<i64>>> {
        let of_calls = rows.iter().filter(|row| row.row.topic == Topic::CallLogs);
        let keys = of_calls.filter_map(|row| row.row.body.key()).collect();
        let keys = self.vault.open(keys).await?;
        let mut sent: BTreeMap<ShardId, Vec<i64>> = BTreeMap::new();
        let (mut ready, mut messages) = (Vec::new(), Vec::new());
        for row in rows {
            match self.encode(row, &keys) {
                Ready::Message(message) => {
                    let key = (message.topic, message.key.clone());
                    if !self.round.waiting.contains(&key) {
                        ready.push((row, key));
                        messages.push(message);
                    }
                }
                Ready::Erased => sent.entry(row.row.shard).or_default().push(row.position),
                Ready::Shut => {}
            }
        }
        let acks = self.producer.publish(messages).await;
        for ((row, key), ack) in ready.into_iter().zip(acks) {
            let topic = topic_name(row.row.topic);
            self.metrics
                .sent(topic, 1, ack.is_err().then_some("not_acknowledged"));
            if let Err(error) = &ack {
                let error = error as &dyn std::error::Error;
                tracing::warn!(event = %row.row.id, error, "an event is not published yet");
            }
            if self.round.may_mark(key, ack.is_ok()) {
                sent.entry(row.row.shard).or_default().push(row.position);
            }
        }
        Ok(sent)
    }

    /// One row for Kafka.
    fn encode(&self, row: &Unpublished, keys: &OpeningKeys) -> Ready {
        match self.open(row, keys) {
            Ok(Some(event)) => Ready::Message(self.encoder.encode(&event)),
            Ok(None) => {
                tracing::warn!(
                    event = %row.row.id,
                    "an event is dropped: its account was erased, and its key with it"
                );
                Ready::Erased
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(event = %row.row.id, error, "an outbox row cannot be opened");
                Ready::Shut
            }
        }
    }

    /// Opens one row; `None`: its account was erased.
    fn open(
        &self,
        row: &Unpublished,
        keys: &OpeningKeys,
    ) -> Result<Option<Published>, sealing::Error> {
        match row.row.topic {
            Topic::CallLogs => keys.event(&row.row),
            Topic::LinkStatus => self.sealer.open_event(&row.row).map(Some),
        }
    }
}

/// A topic in metrics: by what it carries, whatever its name is in the settings.
const fn topic_name(topic: Topic) -> &'static str {
    match topic {
        Topic::CallLogs => "call_logs",
        Topic::LinkStatus => "link_status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (Topic::CallLogs, name.to_owned())
    }

    #[test]
    fn a_failure_holds_back_its_key_alone_until_the_next_round() {
        let begun = Instant::now();
        let mut round = Round::default();
        assert!(round.may_mark(key("a"), true));
        assert!(!round.may_mark(key("a"), false));
        assert!(!round.may_mark(key("a"), true), "behind the failed one");
        assert!(round.may_mark(key("b"), true));
        assert!(round.may_mark((Topic::LinkStatus, "a".to_owned()), true));
        round.pass(begun, 500, 2);
        assert_eq!((round.after, round.left), (500, 2), "it pages on");

        round.end(begun);
        assert!(!round.may_mark(key("a"), true), "not through yet");
        round.pass(begun + AGAIN, 700, 0);
        assert_eq!(
            round.after, 500,
            "a page without a rest is gone when read again"
        );
        round.end(begun + AGAIN);
        assert_eq!(round.after, 0);
        assert!(round.may_mark(key("a"), true));
    }

    #[test]
    fn nothing_left_behind_is_no_reason_to_page_on() {
        let mut round = Round::default();
        round.pass(Instant::now(), 500, 0);
        assert_eq!((round.after, round.again), (0, None));
    }
}
