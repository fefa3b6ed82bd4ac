//! What vcc-link publishes, read as the platform would read it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use salesforce_simulator::broker::PARTITIONS;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::call::Run;
use crate::tally::{End, Standing};

/// Results that may wait to be counted; then reading waits.
const QUEUE: usize = 10_000;

/// How often the thread looks whether anybody still listens.
const POLL: Duration = Duration::from_millis(100);

/// Something that was published.
#[derive(Debug)]
pub(crate) struct Told {
    /// The number of the call, if it is of this run.
    pub(crate) call: Option<u64>,
    /// When it was read.
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// What was published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Who is calling: the result of the lookup, and what kind of record was found.
    LookedUp { result: String, record: String },
    /// What came of an ended call.
    Ended { end: End, attempts: u64 },
    /// An account's link changed.
    Link(String, Standing),
}

/// Reads results on a thread of its own, until it is dropped.
pub(crate) struct Results(mpsc::Receiver<Told>);

impl Results {
    /// Reads these topics from their beginning.
    pub(crate) fn read(broker: &str, topics: &[&str], run: Run) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("group.id", "make-run")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "100")
            .create()
            .context("the results cannot be read")?;
        let mut places = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..PARTITIONS {
                places.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&places)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("results".to_owned());
        thread.spawn(move || {
            while !sender.is_closed() {
                let Some(Ok(message)) = consumer.poll(POLL) else {
                    continue;
                };
                let told = told(&message, run, Instant::now());
                if told.is_some_and(|told| sender.blocking_send(told).is_err()) {
                    break;
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// The next result; it never ends.
    pub(crate) async fn next(&mut self) -> Told {
        match self.0.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}

/// What a record tells; nothing where it is of a type that is not known here.
fn told(message: &BorrowedMessage<'_>, run: Run, at: Instant) -> Option<Told> {
    let headers = message.headers()?;
    let kind = headers.iter().find(|header| header.key == "ce_type")?;
    let kind = std::str::from_utf8(kind.value?).ok()?;
    let data: Value = serde_json::from_slice(message.payload()?).ok()?;
    Some(Told {
        call: run.call_number(&text(&data["interactionId"])),
        at,
        what: what(kind, &data)?,
    })
}

/// What an event tells.
fn what(kind: &str, data: &Value) -> Option<What> {
    let reason = || text(&data["reason"]);
    let end = match kind {
        "call.lookedup.v1" => {
            let result = text(&data["match"]["result"]);
            let record = text(&data["match"]["recordType"]);
            return Some(What::LookedUp { result, record });
        }
        "link.statuschanged.v1" => {
            let standing = Standing {
                status: text(&data["status"]),
                health: text(&data["health"]),
                reason: reason(),
            };
            return Some(What::Link(text(&data["accountId"]), standing));
        }
        "calllog.succeeded.v1" if data["action"] == "skipped" => {
            End::Skipped(text(&data["skipReason"]))
        }
        "calllog.succeeded.v1" => End::Logged,
        "calllog.failed.v1" => End::Failed(reason()),
        "calllog.deferred.v1" => End::Parked(reason()),
        _ => return None,
    };
    let attempts = data["attempts"].as_u64().unwrap_or_default();
    Some(What::Ended { end, attempts })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's own samples.
    #[test]
    fn every_result_of_the_contract_is_understood() {
        let read = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/samples");
            let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
            what(name, &serde_json::from_str(&text).unwrap())
        };
        let ended = |end, attempts| Some(What::Ended { end, attempts });
        let looked_up = Some(What::LookedUp {
            result: "matched".into(),
            record: "contact".into(),
        });
        assert_eq!(read("call.lookedup.v1"), looked_up);
        assert_eq!(read("calllog.succeeded.v1"), ended(End::Logged, 1));
        let parked = End::Parked("link_broken".into());
        assert_eq!(read("calllog.deferred.v1"), ended(parked, 1));
        assert_eq!(
            read("calllog.failed.v1"),
            ended(End::Failed("refused".into()), 1)
        );
        let broken = Standing {
            status: "linked".into(),
            health: "broken".into(),
            reason: "token_revoked".into(),
        };
        let link = Some(What::Link("acme-uk".into(), broken));
        assert_eq!(read("link.statuschanged.v1"), link);
        assert_eq!(read("call.started.v1"), None);
    }
}
