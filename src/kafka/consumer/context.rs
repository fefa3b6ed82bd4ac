//! A client with librdkafka's callbacks. They run inside `poll`, on the polling thread, and only note
//! down.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset, Statistics, TopicPartitionList};
use tokio::sync::watch;

use super::poller::QUESTION;
use super::{Partition, Status};
use crate::kafka::reported::Reported;

/// What a rebalance changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These came.
    Assigned(Vec<Partition>),
    /// These went.
    Revoked(Vec<Partition>),
}

/// Changes in their order, to be dealt with after `poll`. Both sides run on the polling thread,
/// so the lock is never waited for.
#[derive(Clone, Default)]
pub(super) struct Changes(Arc<Mutex<Vec<Change>>>);

impl Changes {
    /// Notes one down.
    fn push(&self, change: Change) {
        self.lock().push(change);
    }

    /// Those since the last time.
    pub(super) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.lock())
    }

    /// A list cannot be left half-changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that is in the group.
pub(super) fn join(
    settings: &ClientConfig,
    topics: &[String],
    status: &watch::Sender<Status>,
) -> KafkaResult<(BaseConsumer<Context>, Changes)> {
    let changes = Changes::default();
    let context = Context {
        changes: changes.clone(),
        status: status.clone(),
        reported: Reported::default(),
    };
    let consumer: BaseConsumer<Context> = settings.create_with_context(context)?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok((consumer, changes))
}

/// The callbacks of one client.
pub(super) struct Context {
    /// For the poller.
    changes: Changes,
    /// For metrics.
    status: watch::Sender<Status>,
    /// For the log.
    reported: Reported,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        self.reported.tell(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics
            .topics
            .values()
            .flat_map(|topic| topic.partitions.values());
        // Below zero: not known, or not ours.
        let lag = partitions
            .map(|p| u64::try_from(p.consumer_lag).unwrap_or_default())
            .sum();
        self.status.send_modify(|status| status.lag = lag);
    }
}

impl ConsumerContext for Context {
    /// The protocol is always cooperative: the setting is ours alone.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let names = names(partitions);
        let result = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            hear_of(consumer, &names);
            self.changes.push(Change::Assigned(names));
            // Paused at once, before anything can be fetched. The position is a placeholder until
            // the store's is known; Kafka's own is not asked for.
            partitions
                .set_all_offsets(Offset::Beginning)
                .and_then(|()| consumer.incremental_assign(partitions))
                .and_then(|()| consumer.pause(partitions))
        } else {
            self.changes.push(Change::Revoked(names));
            // Commits what is stored of them, unless they were lost already.
            consumer.incremental_unassign(partitions)
        };
        if let Err(error) = result {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "librdkafka refused to follow a rebalance");
        }
    }
}

/// Has the client learn which partitions there are. One that was added may be given to a member that has
/// not heard of it yet; librdkafka then fetches nothing of it for long, or never.
fn hear_of(consumer: &BaseConsumer<Context>, partitions: &[Partition]) {
    let topics: BTreeSet<&str> = partitions.iter().map(|(topic, _)| &**topic).collect();
    for topic in topics {
        if let Err(error) = consumer.fetch_metadata(Some(topic), QUESTION) {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(topic, error, "no answer to which partitions there are");
        }
    }
}

/// The partitions of a list.
fn names(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements()
        .iter()
        .map(|e| (e.topic().to_owned(), e.partition()))
        .collect()
}
