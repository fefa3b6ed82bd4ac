//! How far the workers' group, and its store, had come, as Kafka knows it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::Partition;
use super::{Config, Error};

/// How long the cluster may take to answer each question.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the group committed last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The offset of each partition of the calls' topics where there is one.
    pub offsets: Vec<(Partition, i64)>,
    /// The highest mark of the store that stands beside them; 0 if none does.
    pub mark: i64,
}

/// What the group committed last. Asks without joining it.
pub async fn committed(config: &Config) -> Result<Committed, Error> {
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
fn ask(consumer: &BaseConsumer, topics: &[String]) -> Result<Committed, Error> {
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
        return Ok(Committed::default());
    }
    let committed = consumer.committed_offsets(partitions, PATIENCE);
    let committed = committed.map_err(failed)?;
    let mut found = Committed::default();
    for element in committed.elements() {
        element.error().map_err(failed)?;
        if let Offset::Offset(offset) = element.offset() {
            let partition = (element.topic().to_owned(), element.partition());
            found.offsets.push((partition, offset));
            // Whatever else stands there, somebody else wrote.
            let mark = element.metadata().parse().unwrap_or_default();
            found.mark = found.mark.max(mark);
        }
    }
    Ok(found)
}
