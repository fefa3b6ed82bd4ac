//! `vcc-link quarantine`: bytes that were no valid event, looked at, and sent again after a fix.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use super::operator::By;
use super::output::{Output, print};
use super::resend::Resend;
use super::{Global, moment, open_store};
use crate::pipeline::ingest;
use crate::sealing::{Quarantined, Sealer};
use crate::store::Store;
use crate::store::inbox::Partition;
use crate::store::replays::{QuarantineFilter, QuarantineLine};
use crate::telling::time;

/// List, show and send again what could not be read.
///
/// A record that is no valid event stops nobody: it is kept here, sealed, for as long as events are
/// remembered, and whole in the quarantine topic. After a fix of ours it can be sent to its topic
/// again; what the producer must mend, the producer sends anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link quarantine list --since 1day
  vcc-link quarantine show vcc.calls/3/1717
  vcc-link quarantine replay --all --since 1day --dry-run")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with quarantined records.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List records, the latest first, each with its place and what is wrong with it.
    #[command(after_help = "\
Example:
  vcc-link quarantine list --unsent --json")]
    List {
        /// Which records.
        #[command(flatten)]
        which: Which,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show a record: what is wrong with it, and its headers.
    #[command(after_help = "\
Examples:
  vcc-link quarantine show vcc.calls/3/1717
  vcc-link quarantine show vcc.calls/3/1717 --bytes")]
    Show {
        /// Its place, as `list` tells it: topic/partition/offset.
        place: Place,
        /// Its key and value too. They may be about people: numbers, names, notes.
        #[arg(long)]
        bytes: bool,
    },
    /// Send records to their topic again, once this version can read them.
    ///
    /// Each is read first as a worker reads it: what is still no event stays, and its reason is told.
    /// What was sent is marked, with when and by whom, and not sent a second time. If a record was
    /// sent and not marked (the process was killed), it is sent again, which does no harm: an event is
    /// known by its call, type and revision.
    ///
    /// Of a value of 64 KiB or more only the beginning is kept here, which is not sent. It is whole in
    /// the quarantine topic and in its own, for as long as Kafka keeps it: copy it from there to its
    /// topic. Once Kafka has dropped it, only the producer has it.
    #[command(after_help = "\
Examples:
  vcc-link quarantine replay vcc.calls/3/1717
  vcc-link quarantine replay --all --topic vcc.calls --since 2day --dry-run")]
    Replay {
        /// Their places, as `list` tells them: topic/partition/offset.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        places: Vec<Place>,
        /// All that were not sent again yet.
        #[arg(long)]
        all: bool,
        /// Which of all.
        #[command(flatten)]
        which: Which,
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Whose name is noted.
        #[command(flatten)]
        by: By,
    },
}

/// Which records.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Only of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only those read since then: "30m" ago, "1day", or a time.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    since: Option<DateTime<Utc>>,
    /// Only those read before then.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    until: Option<DateTime<Utc>>,
    /// Only those that were not sent again.
    #[arg(long)]
    unsent: bool,
}

/// Where a record stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) partition: Partition,
    pub(super) offset: i64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next().and_then(|part| part.parse().ok());
        let partition = parts.next().and_then(|part| part.parse().ok());
        let topic = parts.next().filter(|topic| !topic.is_empty());
        match (topic, partition, offset) {
            (Some(topic), Some(partition), Some(offset)) => Ok(Self {
                partition: Partition {
                    topic: topic.to_owned(),
                    partition,
                },
                offset,
            }),
            _ => Err("write topic/partition/offset, as `vcc-link quarantine list` does".into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Partition { topic, partition } = &self.partition;
        write!(f, "{topic}/{partition}/{}", self.offset)
    }
}

impl Place {
    /// Where a stored record stood.
    pub(super) fn of(line: &QuarantineLine) -> Self {
        Self {
            partition: line.row.partition.clone(),
            offset: line.row.offset,
        }
    }
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let config = global
        .sections(&["store", "crypto", "kafka", "ingest"])?
        .config;
    let store = open_store(&config).await?;
    let as_json = args.output.json;
    match args.action {
        Action::List { which, limit } => list(&*store, which, limit, as_json).await,
        Action::Show { place, bytes } => {
            let line = one(&*store, &place).await?;
            let record = Sealer::of(&config.crypto)?.open_quarantined(&line.row)?;
            print(&if as_json {
                serde_json::to_string_pretty(&shown_json(&line, &record, bytes))? + "\n"
            } else {
                shown(&line, &record, bytes)
            })
        }
        Action::Replay {
            places,
            all,
            which,
            dry_run,
            by,
        } => {
            let mut resend = Resend::new(&*store, &config, by.name(), dry_run)?;
            if all {
                resend.all(which).await?;
            } else {
                let mut lines = Vec::new();
                for place in &places {
                    lines.push(one(&*store, place).await?);
                }
                resend.these(lines).await?;
            }
            resend.tell(!all, as_json)
        }
    }
}

impl Which {
    /// As the store asks.
    pub(super) fn filter(self, limit: u32) -> QuarantineFilter {
        QuarantineFilter {
            topic: self.topic,
            since: self.since,
            until: self.until,
            unsent: self.unsent,
            after: None,
            limit,
        }
    }
}

/// Lists records.
async fn list(store: &dyn Store, which: Which, limit: u32, as_json: bool) -> anyhow::Result<()> {
    let lines = store.quarantined(&which.filter(limit)).await;
    let lines = lines.context("the quarantine could not be read")?;
    if as_json {
        let all: Vec<Value> = lines.iter().map(line_json).collect();
        return print(&(serde_json::to_string_pretty(&all)? + "\n"));
    }
    if lines.is_empty() {
        return print(
            "No such record. Leave a filter out, or ask for a longer time with --since.\n",
        );
    }
    print(&lines.iter().map(line).collect::<String>())
}

/// One record; without it, what to do.
async fn one(store: &dyn Store, place: &Place) -> anyhow::Result<QuarantineLine> {
    let line = store.quarantined_at(&place.partition, place.offset).await;
    let line = line.context("the quarantine could not be read")?;
    line.with_context(|| {
        format!(
            "nothing is quarantined at {place}, or it was forgotten with the events of its time; `vcc-link quarantine list` shows what there is"
        )
    })
}

/// A record in a line.
fn line(line: &QuarantineLine) -> String {
    let (place, at) = (Place::of(line), time(line.row.received_at));
    let resent = line.resent.as_ref().map_or_else(String::new, |(at, by)| {
        format!("  (sent again at {} by {by})", time(*at))
    });
    format!("{place}  {at}  {}{resent}\n", line.row.reason)
}

/// A record as JSON.
fn line_json(line: &QuarantineLine) -> Value {
    json!({
        "place": Place::of(line).to_string(),
        "topic": line.row.partition.topic,
        "partition": line.row.partition.partition,
        "offset": line.row.offset,
        "receivedAt": time(line.row.received_at),
        "reason": line.row.reason,
        "resentAt": line.resent.as_ref().map(|(at, _)| time(*at)),
        "resentBy": line.resent.as_ref().map(|(_, by)| by),
    })
}

/// Bytes as text, with all that a terminal would act on escaped.
fn escaped(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = |c: char| {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(plain).collect()
}

/// A record, in words.
fn shown(line: &QuarantineLine, record: &Quarantined, bytes: bool) -> String {
    let mut text = self::line(line);
    text += "Headers:\n";
    for (name, value) in record.headers() {
        let _ = writeln!(text, "  {}: {}", escaped(name.as_bytes()), escaped(value));
    }
    let value = record.value();
    let cut = if is_cut(record) {
        ", the first of maybe more, which the quarantine topic has as long as Kafka keeps it"
    } else {
        ""
    };
    if !bytes {
        let _ = writeln!(
            text,
            "Value: {} bytes{cut}; --bytes shows them with the key, and they may be about people",
            value.len()
        );
        return text;
    }
    let key = record.key().map_or_else(|| "none".to_owned(), escaped);
    let _ = writeln!(text, "Key: {key}\nValue, {} bytes{cut}:", value.len());
    text + &escaped(value) + "\n"
}

/// A record as JSON.
fn shown_json(line: &QuarantineLine, record: &Quarantined, bytes: bool) -> Value {
    let mut value = line_json(line);
    let header = |(name, value): &(String, Vec<u8>)| json!([name, escaped(value)]);
    value["headers"] = record.headers().iter().map(header).collect();
    value["bytes"] = json!(record.value().len());
    value["cut"] = json!(is_cut(record));
    if bytes {
        value["keyBase64"] = json!(record.key().map(|key| BASE64_STANDARD.encode(key)));
        value["valueBase64"] = json!(BASE64_STANDARD.encode(record.value()));
    }
    value
}

/// Whether a record may have been longer than what is kept of it.
pub(super) fn is_cut(record: &Quarantined) -> bool {
    record.value().len() >= ingest::KEPT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place: Place = "vcc.calls/3/1717".parse().expect("a place");
        assert_eq!((place.partition.partition, place.offset), (3, 1717));
        assert_eq!(place.to_string(), "vcc.calls/3/1717");
        for wrong in ["vcc.calls", "vcc.calls/3", "vcc.calls/x/1", "/1/2", ""] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(escaped(b"a\x1b[31m\xff\tb"), "a\\u{1b}[31m\u{fffd}\tb");
    }
}
