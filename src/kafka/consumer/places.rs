//! Partitions and positions as librdkafka takes them.

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
