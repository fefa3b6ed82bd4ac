//! What was published, read as anybody would read it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::environment::kafka;

/// A record of one of our topics.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) topic: String,
    pub(super) headers: BTreeMap<String, String>,
    /// The payload as JSON; null where it is none.
    pub(super) data: Value,
}

impl Published {
    /// A header's text, empty where it is not set.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The event's type.
    pub(super) fn kind(&self) -> &str {
        self.header("ce_type")
    }

    /// Whether it is about this call.
    pub(super) fn is_of(&self, account: &str, call: &str) -> bool {
        self.data["accountId"] == account && self.data["interactionId"] == call
    }

    /// Whether a call's revision ends with it.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.kind(), "calllog.succeeded.v1" | "calllog.failed.v1")
    }
}

/// Reads topics from their beginning, on a thread of its own.
pub(super) struct Results {
    seen: Arc<Mutex<Vec<Published>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    partitions: Vec<(String, i32)>,
}

impl Results {
    /// Begins to read.
    pub(super) fn read(topics: &[(&str, i32)]) -> Self {
        let partitions: Vec<(String, i32)> = topics
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(|p| ((*topic).to_owned(), p)))
            .collect();
        let seen: Arc<Mutex<Vec<Published>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let consumer = reader();
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                        seen.lock().expect("whole").push(published(&message));
                    }
                }
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
            partitions,
        }
    }

    /// All that was read so far.
    pub(super) fn all(&self) -> Vec<Published> {
        self.seen.lock().expect("whole").clone()
    }

    /// How many records the topics hold.
    pub(super) fn in_topics(&self) -> usize {
        let consumer = reader();
        let count = |(topic, partition): &(String, i32)| {
            let (low, high) = consumer
                .fetch_watermarks(topic, *partition, Duration::from_secs(10))
                .expect("watermarks");
            usize::try_from(high - low).expect("a count")
        };
        self.partitions.iter().map(count).sum()
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn reader() -> BaseConsumer {
    let mut config = kafka();
    config.set("group.id", "flow-results");
    config.create().expect("a consumer")
}

fn published(message: &rdkafka::message::BorrowedMessage<'_>) -> Published {
    let headers = message.headers().into_iter().flat_map(|h| h.iter());
    Published {
        topic: message.topic().to_owned(),
        headers: headers
            .map(|h| {
                let value = String::from_utf8_lossy(h.value.unwrap_or_default());
                (h.key.to_owned(), value.into_owned())
            })
            .collect(),
        data: serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default(),
    }
}
