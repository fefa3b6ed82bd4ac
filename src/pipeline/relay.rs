//! The relay: outbox → Kafka, for the shards that are ours, in order within a shard.
//!
//! An event that is published and not yet marked is published again after a crash, with the same
//! id. The producer's delivery time-out is shorter than the lease, so that a relay that lost its
//! shard has nothing left on the way when the next owner begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::event::Topic;
use crate::domain::ids::ShardId;
use crate::kafka::producer::Producer;
use crate::kafka::wire::encode::{Encoded, Encoder};
use crate::sealing::Sealer;
use crate::store::outbox::Unpublished;
use crate::store::{self, Fence, Store};
use crate::telemetry::Metrics;

/// Events read, published and marked in one step.
const PAGE: u32 = 500;

/// How long the outbox may be left unread when nobody says that something was written: the
/// sidecar and the command line write link events from other processes.
const POLL: Duration = Duration::from_secs(1);

/// Publishes the outbox.
pub struct Relay {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Opens events.
    pub sealer: Sealer,
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
}

impl Relay {
    /// Steps until cancelled, then once more until the outbox of our shards is empty.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let worked = match self.step().await {
                Ok(worked) => worked,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the outbox could not be read or marked");
                    0
                }
            };
            if worked > 0 {
                continue;
            }
            if cancel.is_cancelled() {
                return;
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.published.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Publishes and marks one page; returns how many events were marked.
    pub async fn step(&self) -> store::Result<usize> {
        let fences: BTreeMap<ShardId, Fence> = self
            .owned
            .borrow()
            .iter()
            .map(|fence| (fence.shard, *fence))
            .collect();
        if fences.is_empty() {
            return Ok(0);
        }
        let shards: Vec<ShardId> = fences.keys().copied().collect();
        let rows = self.store.unpublished(&shards, PAGE).await?;
        self.metrics.outbox_waiting(rows.len());
        let sent = self.publish(&rows).await;
        crate::crash_point("relay.published");
        let mut marked = 0;
        for (shard, positions) in sent {
            if let Some(fence) = fences.get(&shard) {
                self.store.mark_published(*fence, &positions).await?;
                marked += positions.len();
            }
        }
        Ok(marked)
    }

    /// Publishes rows; returns the positions to mark, by shard. Behind the first failure of a
    /// shard nothing more of that shard is marked, so that order holds at the next step.
    async fn publish(&self, rows: &[Unpublished]) -> BTreeMap<ShardId, Vec<i64>> {
        let (readable, messages): (Vec<&Unpublished>, Vec<Encoded>) = rows
            .iter()
            .filter_map(|row| Some((row, self.encode(row)?)))
            .unzip();
        let acks = self.producer.publish(messages).await;
        let mut sent: BTreeMap<ShardId, Vec<i64>> = BTreeMap::new();
        let mut failed = std::collections::BTreeSet::new();
        for (row, ack) in readable.into_iter().zip(acks) {
            let topic = topic_name(row.row.topic);
            self.metrics
                .sent(topic, 1, ack.is_err().then_some("not_acknowledged"));
            if let Err(error) = ack {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(event = %row.row.id, error, "an event is not published yet");
                failed.insert(row.row.shard);
            }
            if !failed.contains(&row.row.shard) {
                sent.entry(row.row.shard).or_default().push(row.position);
            }
        }
        sent
    }

    /// The bytes of one row. A row that cannot be opened waits for the key that opens it.
    fn encode(&self, row: &Unpublished) -> Option<Encoded> {
        match self.sealer.open_event(&row.row) {
            Ok(event) => Some(self.encoder.encode(&event)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(event = %row.row.id, error, "an outbox row cannot be opened");
                None
            }
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
