//! What the topics should be, how they are, and creating those that are missing.
//!
//! A topic that exists is never changed: its partitions order what is in flight, and its retention
//! is its owner's decision. What differs is told, with what it means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Serialize;

use super::{Config, Error};

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a topic should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it carries.
    pub carries: &'static str,
    /// Its partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i32,
    /// Its settings, by Kafka's names.
    pub settings: BTreeMap<&'static str, String>,
}

/// What a topic is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its partitions.
    pub partitions: usize,
    /// Copies of the partition that has the fewest.
    pub copies: usize,
    /// Its settings, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// In what a topic is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `partitions`, `replication factor`, or a setting by Kafka's name.
    pub what: String,
    /// How it is.
    pub is: String,
    /// How it should be.
    pub wanted: String,
    /// What it means.
    pub meaning: &'static str,
}

/// One topic: as it should be, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// As it should be.
    #[serde(flatten)]
    pub wanted: Wanted,
    /// Whether there is one of this name.
    pub exists: bool,
    /// In what it differs.
    pub differences: Vec<Difference>,
}

/// What the settings want.
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let topic = |name: &String, carries, policy: (&'static str, String)| {
        // One copy may be away without anything coming to a stop, and none is lost with one disk.
        let in_sync = if config.create.replication_factor > 2 {
            2
        } else {
            1
        };
        Wanted {
            name: name.clone(),
            carries,
            partitions: config.create.partitions,
            replication_factor: config.create.replication_factor,
            settings: BTreeMap::from([
                policy,
                ("min.insync.replicas", in_sync.to_string()),
                ("max.message.bytes", config.max_message_bytes().to_string()),
            ]),
        }
    };
    let kept = |time: Duration| ("retention.ms", time.as_millis().to_string());
    let (calls, results) = (
        kept(config.create.calls_retention),
        kept(config.create.results_retention),
    );
    let names = &config.topics;
    let mut all: Vec<Wanted> = names
        .calls
        .iter()
        .map(|name| topic(name, "the platform's call events", calls.clone()))
        .collect();
    all.push(topic(
        &names.call_logs,
        "what came of calls",
        results.clone(),
    ));
    all.push(topic(
        &names.link_status,
        "changes of links",
        ("cleanup.policy", "compact".into()),
    ));
    all.push(topic(
        &names.quarantine,
        "bytes that are no valid event",
        results,
    ));
    for topic in &mut all {
        let policy = topic.settings.entry("cleanup.policy");
        policy.or_insert_with(|| "delete".into());
    }
    all
}

/// Compares what should be with what is.
pub fn compare(wanted: Wanted, found: Option<&Found>) -> Planned {
    let Some(found) = found else {
        return Planned {
            wanted,
            exists: false,
            differences: Vec::new(),
        };
    };
    let numbers = [
        (
            "partitions",
            found.partitions.to_string(),
            wanted.partitions.to_string(),
            "workers beyond this number get none; more partitions would move keys, so that \
             events of a call could overtake each other",
        ),
        (
            "replication factor",
            found.copies.to_string(),
            wanted.replication_factor.to_string(),
            "how many brokers may be lost before events are",
        ),
    ];
    let numbers = numbers.map(|(what, is, wanted, meaning)| (what, Some(is), wanted, meaning));
    let settings = wanted.settings.iter().map(|(name, wanted)| {
        let is = found.settings.get(*name).cloned();
        (*name, is, wanted.clone(), meaning(name))
    });
    let differences = numbers
        .into_iter()
        .chain(settings)
        .filter(|(_, is, wanted, _)| is.as_ref() != Some(wanted));
    let differences = differences.map(|(what, is, wanted, meaning)| Difference {
        what: what.to_owned(),
        is: is.unwrap_or_else(|| "not told".into()),
        wanted,
        meaning,
    });
    Planned {
        differences: differences.collect(),
        exists: true,
        wanted,
    }
}

/// What a setting means here.
fn meaning(setting: &str) -> &'static str {
    match setting {
        "cleanup.policy" => {
            "call topics are deleted by age; the link status keeps each account's latest"
        }
        "retention.ms" => "events not read within this time are lost, and reported as lost",
        "min.insync.replicas" => "copies that must have an event before it counts as published",
        "max.message.bytes" => "the largest event that the topic takes",
        _ => "",
    }
}

/// Asks the cluster, and compares.
pub async fn plan(config: &Config) -> Result<Vec<Planned>, Error> {
    let admin = Arc::new(admin(config)?);
    let mut planned = Vec::new();
    for wanted in wanted(config) {
        let found = find(&admin, &wanted.name).await?;
        planned.push(compare(wanted, found.as_ref()));
    }
    Ok(planned)
}

/// Creates the topics of a plan that are missing: one result for each of those, by its name. One
/// that somebody else made meanwhile counts as created.
pub async fn apply(
    config: &Config,
    plan: &[Planned],
) -> Result<Vec<(String, Result<(), Error>)>, Error> {
    let missing = plan.iter().filter(|p| !p.exists).map(|p| &p.wanted);
    let topics: Vec<NewTopic<'_>> = missing.map(new_topic).collect();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let answers = admin(config)?.create_topics(&topics, &options).await;
    let results = answers.map_err(|source| failed("create topics", source))?;
    let results = results.into_iter().map(|result| match result {
        Ok(name) | Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => (name, Ok(())),
        Err((name, code)) => {
            let source = KafkaError::AdminOp(code);
            (name, Err(failed("create the topic", source)))
        }
    });
    Ok(results.collect())
}

/// The first offset that a partition has, and the next that it will have.
pub async fn offsets(config: &Config, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
    let (admin, topic) = (admin(config)?, topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let client = admin.inner();
        client.fetch_watermarks(&topic, partition, PATIENCE)
    });
    let answer = asked
        .await
        .expect("asking for offsets does not panic, and is not aborted");
    answer.map_err(|source| failed("tell the offsets of the partition", source))
}

/// A topic as librdkafka makes it.
fn new_topic(wanted: &Wanted) -> NewTopic<'_> {
    let copies = TopicReplication::Fixed(wanted.replication_factor);
    let topic = NewTopic::new(&wanted.name, wanted.partitions, copies);
    wanted
        .settings
        .iter()
        .fold(topic, |topic, (name, value)| topic.set(name, value))
}

/// A client that asks and creates.
fn admin(config: &Config) -> Result<AdminClient<DefaultClientContext>, Error> {
    config.client(&[]).create().map_err(Error::client)
}

/// How a topic is; `None`: there is none.
async fn find(
    admin: &Arc<AdminClient<DefaultClientContext>>,
    name: &str,
) -> Result<Option<Found>, Error> {
    let (asking, topic) = (Arc::clone(admin), name.to_owned());
    let counted = tokio::task::spawn_blocking(move || count(&asking, &topic));
    let counted = counted
        .await
        .expect("counting partitions does not panic, and is not aborted")?;
    let Some((partitions, copies)) = counted else {
        return Ok(None);
    };
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let resource = ResourceSpecifier::Topic(name);
    let answers = admin.describe_configs([&resource], &options).await;
    let mut answers = answers.map_err(|source| failed("describe topics", source))?;
    let described = answers.pop().ok_or(KafkaError::Canceled);
    let described = described.and_then(|answer| answer.map_err(KafkaError::AdminOp));
    let described = described.map_err(|source| failed("describe the topic", source))?;
    let settings = described.entries.into_iter();
    Ok(Some(Found {
        partitions,
        copies,
        settings: settings.filter_map(|e| Some((e.name, e.value?))).collect(),
    }))
}

/// Partitions of a topic, and copies of the one that has the fewest.
fn count(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
) -> Result<Option<(usize, usize)>, Error> {
    let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE);
    let metadata = metadata.map_err(|source| failed("list topics", source))?;
    let topic = metadata.topics().iter().find(|t| t.name() == name);
    let Some(topic) = topic else {
        return Ok(None);
    };
    match topic.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Ok(None)
        }
        Some(code) => Err(failed("look at the topic", KafkaError::MetadataFetch(code))),
        None => {
            let copies = topic.partitions().iter().map(|p| p.replicas().len());
            let fewest = copies.min().unwrap_or_default();
            Ok(Some((topic.partitions().len(), fewest)))
        }
    }
}

/// The cluster refused, or did not answer.
const fn failed(what: &'static str, source: KafkaError) -> Error {
    Error::Cluster { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_compared_and_what_differs_is_told() {
        let config = Config::default();
        let all = wanted(&config);
        let names: Vec<&str> = all.iter().map(|w| w.name.as_str()).collect();
        let want = [
            "vcc.calls",
            "vcc.call-logs",
            "vcc.link-status",
            "vcc.calls.quarantine",
        ];
        assert_eq!(names, want);
        let status = all[2].clone();
        assert_eq!(status.settings["cleanup.policy"], "compact");
        assert!(!status.settings.contains_key("retention.ms"));

        assert!(!compare(status.clone(), None).exists);
        let mut found = Found {
            partitions: 12,
            copies: 3,
            settings: status
                .settings
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
        };
        assert!(compare(status.clone(), Some(&found)).differences.is_empty());
        found.partitions = 6;
        found
            .settings
            .insert("cleanup.policy".into(), "delete".into());
        let differences = compare(status, Some(&found)).differences;
        let told: Vec<_> = differences
            .iter()
            .map(|d| (d.what.as_str(), d.is.as_str(), d.wanted.as_str()))
            .collect();
        let want = [
            ("partitions", "6", "12"),
            ("cleanup.policy", "delete", "compact"),
        ];
        assert_eq!(told, want);
    }
}
