//! Settings of Kafka, and how they become librdkafka's.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize, Serializer};

use super::security::Security;
use super::wire::Encoding;
use crate::domain::event::Topic;
use crate::domain::fault::Fault;

/// Settings of Kafka.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Brokers to start from: `host:port`, separated by commas.
    pub brokers: String,
    /// The consumer group of the workers.
    pub group: String,
    /// The topics.
    pub topics: Topics,
    /// How the data of published events is written.
    pub encoding: Encoding,
    /// Encryption and authentication.
    pub security: Security,
    /// How long a published event may wait for its acknowledgement; shorter than `leases.ttl`, so
    /// that a relay that lost its shard has nothing left on the way.
    #[serde(with = "humantime_serde")]
    pub delivery_timeout: Duration,
    /// How long a worker may be silent before its partitions go to others.
    #[serde(with = "humantime_serde")]
    pub session_timeout: Duration,
    /// Events that are handed over at once, at most.
    pub batch_events: usize,
    /// Bytes that are handed over at once, at most.
    pub batch_bytes: usize,
    /// The largest event that is read or sent, in bytes; larger ones are quarantined.
    pub max_event_bytes: usize,
    /// How topics are made by `vcc-link topics apply`.
    pub create: Create,
    /// Further settings of librdkafka by their own names. Those that the guarantees stand on
    /// cannot be set.
    #[serde(serialize_with = "without_secrets")]
    pub librdkafka: BTreeMap<String, String>,
}

/// Writes settings of librdkafka, those that hold secrets as `***`.
fn without_secrets<S: Serializer>(
    settings: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let secret = |name: &str| {
        ["password", "secret", "pem"]
            .iter()
            .any(|word| name.contains(word))
    };
    serializer.collect_map(
        settings
            .iter()
            .map(|(name, value)| (name, if secret(name) { "***" } else { value.as_str() })),
    )
}

/// Names of the topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// The platform's call events.
    pub calls: Vec<String>,
    /// What came of calls.
    pub call_logs: String,
    /// Changes of links; compacted.
    pub link_status: String,
    /// Bytes that are no valid event.
    pub quarantine: String,
}

/// How topics are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Create {
    /// Partitions of each topic.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i32,
    /// How long call events are kept; shorter than `ingest.dedupe_horizon`.
    #[serde(with = "humantime_serde")]
    pub calls_retention: Duration,
    /// How long results and quarantined bytes are kept.
    #[serde(with = "humantime_serde")]
    pub results_retention: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            group: "vcc-link".into(),
            topics: Topics::default(),
            encoding: Encoding::default(),
            security: Security::default(),
            delivery_timeout: Duration::from_secs(4),
            session_timeout: Duration::from_secs(10),
            batch_events: 5000,
            batch_bytes: 16 * 1024 * 1024,
            max_event_bytes: 1024 * 1024,
            create: Create::default(),
            librdkafka: BTreeMap::new(),
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            calls: vec!["vcc.calls".into()],
            call_logs: "vcc.call-logs".into(),
            link_status: "vcc.link-status".into(),
            quarantine: "vcc.calls.quarantine".into(),
        }
    }
}

impl Topics {
    /// The name of a topic that is published to.
    pub fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::CallLogs => &self.call_logs,
            Topic::LinkStatus => &self.link_status,
        }
    }
}

impl Default for Create {
    fn default() -> Self {
        Self {
            partitions: 12,
            replication_factor: 3,
            calls_retention: Duration::from_hours(7 * 24),
            results_retention: Duration::from_hours(7 * 24),
        }
    }
}

/// Settings of librdkafka that the guarantees stand on, or that have a setting of their own; with
/// their other names.
const OURS: [&str; 31] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "statistics.interval.ms",
    "transactional.id",
];

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        let before = faults.len();
        let mut fault = |setting: &str, advice: &str| {
            faults.push(Fault::new(format!("kafka.{setting}"), advice));
        };
        if !self.brokers.split(',').all(is_broker) {
            fault("brokers", "write host:port, several separated by commas");
        }
        if self.group.trim().is_empty() {
            fault("group", "write the name of the workers' consumer group");
        }
        if self.delivery_timeout < Duration::from_secs(1) {
            fault("delivery_timeout", "write at least 1s");
        }
        if self.session_timeout < Duration::from_secs(1) {
            let advice = "write at least 1s; brokers take at least 6s by default";
            fault("session_timeout", advice);
        }
        if !(1..=100_000).contains(&self.batch_events) {
            fault("batch_events", "write 1 to 100000");
        }
        if self.max_event_bytes < 1024 || self.max_event_bytes > self.batch_bytes {
            let advice = "write at least 1024, and at most kafka.batch_bytes";
            fault("max_event_bytes", advice);
        }
        let reserved = |name: &&String| OURS.contains(&name.as_str());
        for name in self.librdkafka.keys().filter(reserved) {
            let advice = "leave it out: vcc-link sets it itself";
            fault(&format!("librdkafka.{name}"), advice);
        }
        self.create.validate(faults);
        self.topics.validate(faults);
        self.security.validate(faults);
        // librdkafka would repeat, in its own words, what is told already.
        if faults.len() == before {
            self.validate_librdkafka(faults);
        }
    }

    /// What all clients share. Later settings win: `tuned` gives way to the operator's, and
    /// nothing of the operator's is among those that the guarantees stand on.
    pub(super) fn client(&self, tuned: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("reconnect.backoff.max.ms", "2000")
            // Partitions that were added wait so long for whoever reads them; the default is five minutes.
            .set("topic.metadata.refresh.interval.ms", "30000");
        for (name, value) in tuned {
            client.set(*name, *value);
        }
        for (name, value) in &self.librdkafka {
            client.set(name, value);
        }
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "vcc-link")
            .set("allow.auto.create.topics", "false");
        self.security.apply(&mut client);
        client
    }

    /// A consumer that moves offsets only where it is told to. The reset is an error: a lost
    /// position is reported, never silently replaced.
    pub(super) fn consumer(&self) -> ClientConfig {
        let heartbeat = millis(self.session_timeout / 10);
        let mut client = self.client(&[
            ("heartbeat.interval.ms", &heartbeat),
            ("max.poll.interval.ms", "300000"),
            ("auto.commit.interval.ms", "1000"),
            ("check.crcs", "true"),
            ("fetch.wait.max.ms", "100"),
            // The default of a second would stall reading that long when the queue was full.
            ("fetch.queue.backoff.ms", "50"),
            // Bounds of what librdkafka keeps for us, beside our own batches.
            ("queued.min.messages", "10000"),
            ("queued.max.messages.kbytes", "16384"),
        ]);
        client
            .set("group.id", &self.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set("enable.auto.commit", "true")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("statistics.interval.ms", "5000");
        client
    }

    /// A producer that neither doubles nor reorders.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = self.client(&[
            ("linger.ms", "2"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.kbytes", "65536"),
        ]);
        client
            .set("enable.idempotence", "true")
            .set("delivery.timeout.ms", millis(self.delivery_timeout))
            .set("message.max.bytes", self.max_message_bytes().to_string());
        client
    }

    /// The largest message that topics must take: an event's data, key and headers.
    pub(super) const fn max_message_bytes(&self) -> usize {
        const HEADERS: usize = 64 * 1024;
        self.max_event_bytes.saturating_add(HEADERS)
    }

    /// What librdkafka itself finds wrong with its settings, without connecting.
    fn validate_librdkafka(&self, faults: &mut Vec<Fault>) {
        for client in [self.consumer(), self.producer()] {
            if let Err(KafkaError::ClientConfig(_, what, name, _)) = client.create_native_config() {
                let setting = format!("kafka.librdkafka.{name}");
                faults.push(Fault::new(setting, format!("librdkafka says: {what}")));
                return;
            }
        }
    }
}

/// Whether a text is `host:port`.
fn is_broker(text: &str) -> bool {
    text.trim().rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
    })
}

/// A time as librdkafka takes it.
fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

impl Create {
    /// Collects what is wrong with these settings.
    fn validate(&self, faults: &mut Vec<Fault>) {
        let mut fault = |setting: &str, advice: &str| {
            faults.push(Fault::new(format!("kafka.create.{setting}"), advice));
        };
        if !(1..=10_000).contains(&self.partitions) {
            fault("partitions", "write 1 to 10000");
        }
        if !(1..=100).contains(&self.replication_factor) {
            let advice = "write 1 to 100; production wants 3";
            fault("replication_factor", advice);
        }
        if self.calls_retention < Duration::from_hours(1) {
            fault("calls_retention", "write at least 1h");
        }
        if self.results_retention < Duration::from_hours(1) {
            fault("results_retention", "write at least 1h");
        }
    }
}

impl Topics {
    /// Collects what is wrong with these names.
    fn validate(&self, faults: &mut Vec<Fault>) {
        if self.calls.is_empty() {
            faults.push(Fault::new("kafka.topics.calls", "write at least one topic"));
        }
        let single = [
            ("call_logs", &self.call_logs),
            ("link_status", &self.link_status),
            ("quarantine", &self.quarantine),
        ];
        let calls = self.calls.iter().map(|name| ("calls", name));
        let mut seen = std::collections::BTreeSet::new();
        for (setting, name) in calls.chain(single) {
            let legal = (1..=249).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            let setting = format!("kafka.topics.{setting}");
            if !legal {
                let advice = "write 1 to 249 letters, digits, '.', '_' or '-'";
                faults.push(Fault::new(setting, advice));
            } else if !seen.insert(name) {
                faults.push(Fault::new(setting, "give each topic a name of its own"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        let mut faults = Vec::new();
        config.validate(&mut faults);
        faults.into_iter().map(|f| f.setting).collect()
    }

    #[test]
    fn all_faults_are_told_at_once_by_their_settings() {
        assert!(faults(|_| {}).is_empty());
        let several = faults(|config| {
            config.brokers = "http://kafka:9092".into();
            config.max_event_bytes = usize::MAX;
            config.topics.quarantine = "vcc.calls".into();
            config.topics.call_logs = "vcc/logs".into();
        });
        let told = [
            "kafka.brokers",
            "kafka.max_event_bytes",
            "kafka.topics.call_logs",
            "kafka.topics.quarantine",
        ];
        assert_eq!(several, told);
    }

    #[test]
    fn the_operator_tunes_librdkafka_but_not_the_guarantees() {
        let with = |name: &str, value: &str| {
            faults(|config| drop(config.librdkafka.insert(name.into(), value.into())))
        };
        assert!(with("fetch.wait.max.ms", "5").is_empty());
        for name in ["acks", "enable.auto.offset.store", "auto.offset.reset"] {
            assert_eq!(with(name, "1"), [format!("kafka.librdkafka.{name}")]);
        }
        assert_eq!(with("no.such", "1"), ["kafka.librdkafka.no.such"]);
        assert_eq!(with("linger.ms", "x"), ["kafka.librdkafka.linger.ms"]);
        let mut config = Config::default();
        config
            .librdkafka
            .insert("fetch.wait.max.ms".into(), "5".into());
        assert_eq!(config.consumer().get("fetch.wait.max.ms"), Some("5"));
    }
}
