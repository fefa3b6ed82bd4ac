//! What is committed in Kafka for the group: how far the store has come, and the store's mark.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Partition;
use super::context::Context;

/// How far the store has come with our partitions, and its mark.
#[derive(Default)]
pub(super) struct Commits {
    /// The next offset of each.
    stored: BTreeMap<Partition, i64>,
    /// The mark.
    mark: Option<i64>,
}

impl Commits {
    /// The store says that a partition goes on here.
    pub(super) fn begin(&mut self, partition: Partition, next: i64) {
        self.stored.insert(partition, next);
    }

    /// Forgets partitions that are no longer ours.
    pub(super) fn forget(&mut self, gone: &[Partition]) {
        self.stored.retain(|p, _| !gone.contains(p));
    }

    /// The store has come so far: librdkafka is to commit it with the next ones.
    pub(super) fn store(
        &mut self,
        consumer: &BaseConsumer<Context>,
        offsets: Vec<(Partition, i64)>,
    ) {
        let offsets = offsets.into_iter().collect();
        let list = self.list(&offsets);
        self.stored.extend(offsets);
        if list.count() > 0
            && let Err(error) = consumer.store_offsets(&list)
        {
            // Revoked this moment. The store's own offsets decide.
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "offsets were not stored in Kafka");
        }
    }

    /// Commits the store's mark beside the offsets of all our partitions, though these have not moved.
    pub(super) fn witness(&mut self, consumer: &BaseConsumer<Context>, mark: i64) {
        self.mark = Some(mark);
        let list = self.list(&self.stored);
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "the store's mark was not committed in Kafka");
        }
    }

    /// Offsets with the mark beside each.
    fn list(&self, offsets: &BTreeMap<Partition, i64>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in offsets {
            let mut place = list.add_partition(topic, *partition);
            // Refused only for offsets below zero, of which there are none.
            let _ = place.set_offset(Offset::Offset(*next));
            if let Some(mark) = self.mark {
                place.set_metadata(mark.to_string());
            }
        }
        list
    }
}
