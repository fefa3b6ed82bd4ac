//! Partitions and positions as librdkafka takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::Partition;
use super::context::Context;

/// A list of partitions.
pub(super) fn list<'a>(partitions: impl Iterator<Item = &'a Partition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Offsets to commit, with the store's mark beside each.
pub(super) fn committing(
    offsets: &BTreeMap<Partition, i64>,
    mark: Option<i64>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), next) in offsets {
        let mut place = list.add_partition(topic, *partition);
        // Refused only for offsets below zero, of which there are none.
        let _ = place.set_offset(Offset::Offset(*next));
        if let Some(mark) = mark {
            place.set_metadata(mark.to_string());
        }
    }
    list
}

/// Moves a partition's position. librdkafka seeks only where it fetches, which it no longer does
/// once it found a position to be lost: such a partition is given back and taken again.
pub(super) fn go_to(
    consumer: &BaseConsumer<Context>,
    (topic, number): &Partition,
    next: i64,
    patience: Duration,
) -> KafkaResult<()> {
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, *number, Offset::Offset(next))?;
    let sought = consumer.seek_partitions(place.clone(), patience)?;
    let sought = sought.elements_for_topic(topic);
    match sought.first().map(TopicPartitionListElem::error) {
        Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) => {
            consumer.incremental_unassign(&place)?;
            consumer.incremental_assign(&place)
        }
        Some(Err(error)) => Err(error),
        Some(Ok(())) | None => Ok(()),
    }
}
