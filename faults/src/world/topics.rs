//! A world's topics.

use anyhow::Context as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;

use super::group::WITHIN;
use super::{PATIENCE, World, producer};

/// Topics and their partitions.
const TOPICS: [(&str, i32); 4] = [("calls", 6), ("logs", 3), ("status", 1), ("quarantine", 1)];

impl World {
    /// How many partitions the topic of the calls has.
    pub(crate) async fn partitions(&self) -> anyhow::Result<usize> {
        let asker = self.asker()?;
        let (topic, _) = topics(&self.name)[0].clone();
        let asked = move || {
            let metadata = asker.fetch_metadata(Some(&topic), WITHIN)?;
            let topic = metadata.topics().first().context("there is no topic")?;
            anyhow::Ok(topic.partitions().len())
        };
        tokio::task::spawn_blocking(asked).await?
    }

    /// Gives the topic of the calls more partitions, and sends to all of them from now on.
    pub(crate) async fn add_partitions(&mut self, all: usize) -> anyhow::Result<()> {
        let (topic, _) = &topics(&self.name)[0];
        let more = NewPartitions::new(topic, all);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        // It is asked as long as it lives.
        let admin = admin(&self.services.kafka)?;
        for result in admin.create_partitions([&more], &options).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
        }
        self.flushed().await?;
        // One that was made before would learn of them in minutes.
        self.producer = producer(&self.services.kafka)?;
        Ok(())
    }

    /// Deletes the topic of the results, with what is in it.
    pub(crate) async fn delete_results(&self) -> anyhow::Result<()> {
        delete_topics(&self.services.kafka, &topics(&self.name)[1..2]).await
    }

    /// Makes the topic of the results, if nobody has.
    pub(crate) async fn make_results(&self) -> anyhow::Result<()> {
        create_topics(&self.services.kafka, &topics(&self.name)[1..2]).await?;
        self.results.begin_anew();
        Ok(())
    }
}

/// A client that changes Kafka itself.
pub(crate) fn admin(kafka: &str) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    let admin = ClientConfig::new().set("bootstrap.servers", kafka).create();
    admin.context("no client for Kafka's administration")
}

/// A world's topics and their partitions: that of the calls, then those of the results.
pub(super) fn topics(name: &str) -> [(String, i32); 4] {
    TOPICS.map(|(topic, partitions)| (format!("{name}.{topic}"), partitions))
}

/// Makes those that are not there.
pub(super) async fn create_topics(kafka: &str, names: &[(String, i32)]) -> anyhow::Result<()> {
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|(name, count)| NewTopic::new(name, *count, TopicReplication::Fixed(1)))
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for result in admin(kafka)?.create_topics(&topics, &options).await? {
        if matches!(&result, Err((_, RDKafkaErrorCode::TopicAlreadyExists))) {
            continue;
        }
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Deletes these, with what is in them.
pub(super) async fn delete_topics(kafka: &str, names: &[(String, i32)]) -> anyhow::Result<()> {
    let topics: Vec<&str> = names.iter().map(|(topic, _)| topic.as_str()).collect();
    let admin = admin(kafka)?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for result in admin.delete_topics(&topics, &options).await? {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}
