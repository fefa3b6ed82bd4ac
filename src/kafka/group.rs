//! How far the workers' group has come, as Kafka knows it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::Partition;
use super::{Config, Error};

/// How long the cluster may take to answer each question.
const PATIENCE: Duration = Duration::from_secs(10);

/// The offset that the group committed last, of each partition of the calls' topics where it ever
/// did. Asks without joining the group.
pub async fn committed(config: &Config) -> Result<Vec<(Partition, i64)>, Error> {
    let client = config.consumer();
    let topics = config.topics.calls.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client.create().map_err(Error::client)?;
        ask(&consumer, &topics)
    });
    asked
        .await
        .expect("asking for offsets does not panic, and is not aborted")
}

/// Asks for the partitions, then for their offsets.
fn ask(consumer: &BaseConsumer, topics: &[String]) -> Result<Vec<(Partition, i64)>, Error> {
    let failed = |source| Error::Cluster {
        what: "tell the offsets of the workers' group",
        source,
    };
    let mut partitions = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE);
        // A topic that does not exist has no partitions, and nobody read it.
        for found in metadata.map_err(failed)?.topics() {
            for partition in found.partitions() {
                partitions.add_partition(found.name(), partition.id());
            }
        }
    }
    if partitions.count() == 0 {
        return Ok(Vec::new());
    }
    let committed = consumer.committed_offsets(partitions, PATIENCE);
    let committed = committed.map_err(failed)?;
    let mut offsets = Vec::new();
    for element in committed.elements() {
        element.error().map_err(failed)?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.push(((element.topic().to_owned(), element.partition()), offset));
        }
    }
    Ok(offsets)
}
