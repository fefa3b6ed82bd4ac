//! What was published of each call, read as anybody would read it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

/// What may be told twice of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Twice {
    /// Nothing.
    #[default]
    Nothing,
    /// The same again: the database may forget what was told.
    Forgotten,
    /// A Task in place of the reason that it had none: the call was put back.
    PutBack,
}

/// How a call ended, as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this Task.
    Logged(String),
    /// Without, for this reason.
    Reason(String),
}

/// What was told of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// How it ended, and when we read that.
    pub(crate) end: Option<(End, Instant)>,
    /// Whether its lookup was answered.
    pub(crate) looked_up: bool,
    /// Facts that were told in two ways.
    pub(crate) contradictions: Vec<String>,
    /// The event of each fact, in its id and its data, as a hash: there may be a million calls.
    pub(super) facts: BTreeMap<&'static str, u64>,
}

/// All that was told.
#[derive(Debug, Default)]
pub(crate) struct Tellings {
    /// By the key of the call's Task.
    pub(crate) calls: BTreeMap<String, Told>,
    /// Events that were refused.
    pub(crate) quarantined: usize,
    twice: Twice,
}

/// Reads topics from their beginning, on a thread of its own.
pub(crate) struct Results {
    told: Arc<Mutex<Tellings>>,
    stop: Arc<AtomicBool>,
    anew: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Results {
    /// Begins to read.
    pub(crate) fn read(
        kafka: &str,
        topics: &[(String, i32)],
        twice: Twice,
    ) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", "faults-results")
            .create()?;
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                list.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer
            .assign(&list)
            .context("the results cannot be read")?;
        let told = Arc::new(Mutex::new(Tellings {
            twice,
            ..Tellings::default()
        }));
        let (stop, anew): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let thread = std::thread::spawn({
            let told = Arc::clone(&told);
            let (stop, anew) = (Arc::clone(&stop), Arc::clone(&anew));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if anew.swap(false, Ordering::Relaxed) {
                        // It went well before.
                        let _ = consumer.assign(&list);
                    }
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                        lock(&told).take(&message);
                    }
                }
            }
        });
        Ok(Self {
            told,
            stop,
            anew,
            thread: Some(thread),
        })
    }

    /// Begins at the beginning again: a topic was made anew.
    pub(crate) fn begin_anew(&self) {
        self.anew.store(true, Ordering::Relaxed);
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> MutexGuard<'_, Tellings> {
        lock(&self.told)
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

fn lock(told: &Mutex<Tellings>) -> MutexGuard<'_, Tellings> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tellings {
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        if message.topic().ends_with(".quarantine") {
            self.quarantined += 1;
            return;
        }
        let (kind, id) = (header(message, "ce_type"), header(message, "ce_id"));
        let data = message.payload().unwrap_or_default();
        self.hear(&kind, id, serde_json::from_slice(data).unwrap_or_default());
    }

    /// An event of this type, with this id and this data.
    fn hear(&mut self, kind: &str, id: String, data: Value) {
        let fact = match kind {
            "call.lookedup.v1" => "lookup",
            "calllog.succeeded.v1" | "calllog.failed.v1" => "end",
            _ => return,
        };
        let event = {
            let mut hasher = DefaultHasher::new();
            (&id, data.to_string()).hash(&mut hasher);
            hasher.finish()
        };
        let end = end_of(&data);
        let too_old = fact == "end" && end == End::Reason("too_old".to_owned());
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let key = format!("vcc:{}:{}", text("accountId"), text("interactionId"));
        let told = self.calls.entry(key).or_default();
        let known_end = told.end.as_ref().map(|(end, _)| end);
        let may = match self.twice {
            Twice::Nothing => false,
            Twice::Forgotten => fact == "lookup" || known_end == Some(&end),
            Twice::PutBack => matches!((known_end, &end), (Some(End::Reason(_)), End::Logged(_))),
        };
        match told.facts.entry(fact) {
            // A repeated event is the same event: with its id, and all that it says.
            Entry::Occupied(mut known) => {
                let same = *known.get() == event;
                // A call that is forgotten, and comes again after the horizon, is told as such.
                if !same && !too_old && !may {
                    let contradiction = format!("one {fact}, told in two ways");
                    told.contradictions.push(contradiction);
                }
                if let (Some(told), Twice::PutBack, true) = (&mut told.end, self.twice, may) {
                    known.insert(event);
                    told.0 = end;
                }
            }
            Entry::Vacant(new) => {
                new.insert(event);
                if fact == "end" {
                    told.end = Some((end, Instant::now()));
                } else {
                    told.looked_up = true;
                }
            }
        }
    }
}

fn end_of(data: &Value) -> End {
    match data["task"]["id"].as_str() {
        Some(task) if data["skipReason"].is_null() && data["reason"].is_null() => {
            End::Logged(task.to_owned())
        }
        _ => {
            let reason = data["skipReason"]
                .as_str()
                .or_else(|| data["reason"].as_str());
            End::Reason(reason.unwrap_or("no reason").to_owned())
        }
    }
}

/// A header's text, empty where it is not set.
fn header(message: &BorrowedMessage<'_>, name: &str) -> String {
    let headers = message.headers().into_iter().flat_map(|all| all.iter());
    let value = headers.filter(|header| header.key == name).last();
    let value = value.and_then(|header| header.value).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_repeated_event_is_one_and_another_of_the_same_fact_a_contradiction() {
        let task = |id: &str| {
            let task = json!({"id": id});
            json!({"accountId": "acme", "interactionId": "1", "task": task})
        };
        let mut told = Tellings::default();
        for (id, data, contradictions) in [
            ("e1", task("a"), 0),
            ("e1", task("a"), 0),
            ("e2", task("a"), 1),
            ("e1", task("b"), 2),
        ] {
            told.hear("calllog.succeeded.v1", id.to_owned(), data);
            let call = &told.calls["vcc:acme:1"];
            assert_eq!(call.contradictions.len(), contradictions, "{id}");
        }
        let (end, _) = told.calls["vcc:acme:1"].end.clone().unwrap();
        assert_eq!(end, End::Logged("a".to_owned()));

        told.twice = Twice::Forgotten;
        for (id, data, contradictions) in [("e2", task("a"), 2), ("e2", task("b"), 3)] {
            told.hear("calllog.succeeded.v1", id.to_owned(), data);
            let call = &told.calls["vcc:acme:1"];
            assert_eq!(call.contradictions.len(), contradictions, "{id}");
        }
    }

    #[test]
    fn a_call_that_was_put_back_may_have_a_task_later_and_only_one() {
        let call = |more: Value| {
            let mut data = json!({"accountId": "acme", "interactionId": "1"});
            let more = more.as_object().cloned().unwrap_or_default();
            data.as_object_mut().expect("an object").extend(more);
            data
        };
        let mut told = Tellings {
            twice: Twice::PutBack,
            ..Tellings::default()
        };
        for (id, data, contradictions) in [
            ("e1", call(json!({"reason": "unknown"})), 0),
            ("e2", call(json!({"task": {"id": "a"}})), 0),
            ("e2", call(json!({"task": {"id": "a"}})), 0),
            ("e3", call(json!({"task": {"id": "b"}})), 1),
        ] {
            told.hear("calllog.succeeded.v1", id.to_owned(), data);
            let call = &told.calls["vcc:acme:1"];
            assert_eq!(call.contradictions.len(), contradictions, "{id}");
        }
        let (end, _) = told.calls["vcc:acme:1"].end.clone().expect("it ended");
        assert_eq!(end, End::Logged("a".to_owned()));
    }
}
