//! Kafka: consumer, producer, and the wire format of the contract.
//!
//! - [`consumer`]: one thread that polls, and hands over whatever arrived meanwhile;
//! - [`group`]: how far the workers have come, as Kafka knows it;
//! - [`producer`]: idempotent, in order for each key;
//! - [`topics`]: what the topics should be, and creating them;
//! - [`wire`]: bytes ↔ domain;
//! - [`config`], [`security`]: settings, and how they become librdkafka's.

pub mod config;
pub mod consumer;
pub mod group;
pub mod producer;
mod reported;
pub mod security;
pub mod topics;
pub mod wire;

pub use config::Config;

/// What went wrong with Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made: a setting that librdkafka refuses.
    #[error("the Kafka client could not be made; check the section kafka of the settings")]
    Client(#[source] rdkafka::error::KafkaError),
    /// One setting of librdkafka is wrong. Its value is not repeated: it may be a password.
    #[error("Kafka's client refuses the setting {name}: {what}")]
    Setting {
        /// librdkafka's name of it.
        name: String,
        /// What it says.
        what: String,
    },
    /// The system gave no thread.
    #[error("the system has no room for one thread more")]
    Thread(#[source] std::io::Error),
    /// The cluster did not answer, or refused.
    #[error("Kafka refused to {what}, or did not answer; {}", next_step(source))]
    Cluster {
        /// What was asked for.
        what: &'static str,
        /// librdkafka's error.
        #[source]
        source: rdkafka::error::KafkaError,
    },
}

/// What a person can do about librdkafka's error.
fn next_step(error: &rdkafka::error::KafkaError) -> &'static str {
    use rdkafka::types::RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            "the topic is missing: `vcc-link topics apply` creates it"
        }
        Some(Code::InvalidReplicationFactor) => {
            "it has fewer brokers than kafka.create.replication_factor asks for"
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed,
        ) => "its ACLs do not allow that: grant it to the user of kafka.security",
        _ => {
            "check that kafka.brokers can be reached and that the topics exist (`vcc-link topics plan`)"
        }
    }
}

impl Error {
    /// A client that could not be made.
    fn client(error: rdkafka::error::KafkaError) -> Self {
        match error {
            rdkafka::error::KafkaError::ClientConfig(_, what, name, _) => {
                Self::Setting { name, what }
            }
            other => Self::Client(other),
        }
    }
}
