//! Errors of a client as a whole, told as often as a person can read them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How often it is said that something is still so.
const EVERY: Duration = Duration::from_mins(1);

/// Tells of errors: librdkafka repeats them with each of its attempts, up to twenty in a second.
#[derive(Debug, Default)]
pub(super) struct Reported(Mutex<Option<Instant>>);

impl Reported {
    /// Tells of an error, unless one was told lately.
    pub(super) fn tell(&self, error: &KafkaError, reason: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let advice = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                "a topic of kafka.topics is missing: correct the name, or run `vcc-link topics apply`"
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => {
                "the user of kafka.security may not use a topic of kafka.topics, or kafka.group: allow it"
            }
            _ => "check kafka.brokers and kafka.security",
        };
        tracing::error!(%error, reason, advice, "Kafka cannot be used; it is tried again by itself");
    }
}

/// The context of a client that needs no other callback.
impl ClientContext for Reported {
    fn error(&self, error: KafkaError, reason: &str) {
        self.tell(&error, reason);
    }
}
