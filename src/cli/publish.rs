//! `vcc-link publish`: sends call events from a file, after looking at all of them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Global;
use super::output::{Output, print};
use super::progress::Progress;
use crate::clock;
use crate::domain::call::CallEvent;
use crate::kafka::producer::{Message, Producer};
use crate::kafka::wire::decode::{Decoded, decode_structured};
use crate::pipeline::ingest;

/// Publish call events from a file, one CloudEvent in JSON on each line.
///
/// Every line is looked at first, as a worker will look at it; if one is wrong, nothing is sent, and
/// the first 20 faults are told with their lines, and how many more there are. Publishing the same
/// events again does no harm: an event is known by its call, type and revision.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link publish calls.ndjson
  kcat -C -b old:9092 -t calls -e | vcc-link publish - --topic vcc.calls
  vcc-link publish --check calls.ndjson")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// The file; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The topic, if not the first of `kafka.topics.calls`.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only look at the events, send none.
    #[arg(long)]
    pub check: bool,
}

/// Faults that are told one by one; the help says so too.
const TOLD: usize = 20;

/// Events that are on the way together.
const TOGETHER: usize = 1000;

/// A line that is no event for the call topics.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct LineFault {
    /// Counted from 1.
    line: u64,
    /// What is wrong, without the line's content.
    reason: String,
}

/// What looking at all lines came to.
#[derive(Debug, Default)]
struct Looked {
    /// Lines that are events.
    events: u64,
    /// Lines that are not.
    faulty: u64,
    /// The first of those.
    faults: Vec<LineFault>,
}

impl Looked {
    /// Faults beyond those that are told one by one.
    const fn more(&self) -> u64 {
        self.faulty - self.faults.len() as u64
    }
}

/// How a line is looked at: as ingest does.
#[derive(Clone, Copy)]
struct Rules<'a> {
    /// The most bytes that are read.
    longest: usize,
    /// Which times are believed.
    ingest: &'a ingest::Config,
    /// When they are judged.
    now: DateTime<Utc>,
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let settings = global.sections(&["kafka", "ingest"])?.config;
    let (config, as_json) = (&settings.kafka, args.output.json);
    let rules = Rules {
        longest: config.max_event_bytes,
        ingest: &settings.ingest,
        now: clock::now(),
    };
    let mut file = open(&args.file)?;
    let looked = look(&file, rules)?;
    if looked.faulty > 0 {
        let faults = serde_json::json!({
            "sent": 0, "faulty": looked.faulty, "faults": looked.faults, "more": looked.more(),
        });
        if as_json {
            print(&(serde_json::to_string_pretty(&faults)? + "\n"))?;
        }
        bail!(refusal(&looked, &args.file));
    }
    if args.check {
        return tell(as_json, "valid", looked.events, None);
    }
    file.rewind().context("the file cannot be read again")?;
    let topic = args.topic.as_ref();
    let topic = topic.or_else(|| config.topics.calls.first());
    let topic = topic.context("kafka.topics.calls: write at least one topic")?;
    let to = (&Producer::new(config)?, topic.as_str());
    let sent = send(&file, rules, to, looked.events, Progress::new(!as_json)).await?;
    tell(as_json, "sent", sent, Some(topic))
}

/// Tells how it ended.
fn tell(as_json: bool, what: &str, events: u64, topic: Option<&String>) -> anyhow::Result<()> {
    if as_json {
        let document = serde_json::json!({ what: events, "topic": topic });
        return print(&format!("{document}\n"));
    }
    let place = topic.map(|topic| format!(" to {topic}"));
    print(&format!(
        "{events} events {what}{}\n",
        place.unwrap_or_default()
    ))
}

/// What is wrong with the file.
fn refusal(looked: &Looked, file: &std::path::Path) -> String {
    let Looked { events, faulty, .. } = looked;
    let file = file.display();
    let of = events + faulty;
    let are = if *faulty == 1 {
        "is no call event"
    } else {
        "are no call events"
    };
    let mut text = format!("nothing was sent: {faulty} of {of} lines of {file} {are}");
    for LineFault { line, reason } in &looked.faults {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  line {line}: {reason}");
    }
    if looked.more() > 0 {
        let _ = write!(text, "\n  and {} more", looked.more());
    }
    text
}

/// The file, or a copy of what can be read only once. The copy has no name, and goes with the
/// process.
fn open(path: &std::path::Path) -> anyhow::Result<File> {
    let shown = path.display();
    let mut input: Box<dyn std::io::Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(path).with_context(|| format!("{shown} cannot be opened"))?;
        if file.metadata().is_ok_and(|m| m.is_file()) {
            return Ok(file);
        }
        Box::new(file)
    };
    let mut copy = tempfile::tempfile().context("no temporary file can be made")?;
    std::io::copy(&mut input, &mut copy).with_context(|| format!("{shown} cannot be read"))?;
    copy.rewind().context("the temporary file cannot be read")?;
    Ok(copy)
}

/// Lines that are not empty, with their numbers. None takes more memory than `longest` and one.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    number: u64,
    longest: usize,
}

impl<'a> Lines<'a> {
    fn new(file: &'a File, longest: usize) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, file);
        Self {
            reader,
            number: 0,
            longest,
        }
    }

    /// The next line; a line that is too long comes cut, one byte too long.
    fn next(&mut self) -> std::io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let mut line = Vec::new();
            let bound = self.longest as u64 + 1;
            let read = (&mut self.reader)
                .take(bound)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.last() != Some(&b'\n') && line.len() > self.longest {
                self.reader.skip_until(b'\n')?;
                return Ok(Some((self.number, line)));
            }
            let text = line.trim_ascii();
            if !text.is_empty() {
                return Ok(Some((self.number, text.to_vec())));
            }
        }
    }
}

/// Looks at every line.
fn look(file: &File, rules: Rules<'_>) -> anyhow::Result<Looked> {
    let mut looked = Looked::default();
    let mut lines = Lines::new(file, rules.longest);
    while let Some((line, text)) = lines.next().context("the file cannot be read")? {
        match event(&text, rules) {
            Ok(_) => looked.events += 1,
            Err(reason) => {
                looked.faulty += 1;
                if looked.faults.len() < TOLD {
                    looked.faults.push(LineFault { line, reason });
                }
            }
        }
    }
    Ok(looked)
}

/// The event of one line, or why it is none.
fn event(text: &[u8], rules: Rules<'_>) -> Result<CallEvent, String> {
    let longest = rules.longest;
    if text.len() > longest {
        return Err(format!(
            "over {longest} bytes, the most that is read (kafka.max_event_bytes)"
        ));
    }
    match decode_structured(text) {
        Ok(Decoded::Call(event)) => {
            let believed = rules.ingest.check_time(rules.now, &event);
            believed.map(|()| event).map_err(|error| error.to_string())
        }
        Ok(Decoded::Ignored { event_type }) => Err(format!(
            "type {event_type:?} is not read: write call.started.v1 or call.ended.v1"
        )),
        Err(rejected) => Err(rejected.reason),
    }
}

/// Sends every line as it is: a CloudEvent in structured mode, its key the interaction.
async fn send(
    file: &File,
    rules: Rules<'_>,
    (producer, topic): (&Producer, &str),
    all: u64,
    mut progress: Progress,
) -> anyhow::Result<u64> {
    let mut lines = Lines::new(file, rules.longest);
    let mut sent = 0;
    loop {
        let mut messages = Vec::new();
        let mut numbers = Vec::new();
        while messages.len() < TOGETHER
            && let Some((line, text)) = lines.next().context("the file cannot be read")?
        {
            let event = event(&text, rules);
            let event = event.map_err(|reason| {
                anyhow::anyhow!("the file was changed: line {line} is no event any more: {reason}")
            })?;
            numbers.push(line);
            messages.push(message(topic, &event, text));
        }
        if messages.is_empty() {
            progress.end();
            return Ok(sent);
        }
        let results = producer.send(&messages).await;
        let acknowledged = results.iter().filter(|r| r.is_ok()).count();
        sent += acknowledged as u64;
        if let Some((line, Err(error))) = numbers.iter().zip(results).find(|(_, r)| r.is_err()) {
            progress.end();
            return Err(error).with_context(|| {
                format!("line {line}; {sent} of {all} events are sent. Publishing the file again does no harm")
            });
        }
        progress.tell(|| format!("{sent} of {all} events sent"));
    }
}

/// A line as Kafka takes it.
fn message(topic: &str, event: &CallEvent, text: Vec<u8>) -> Message {
    let content_type = (
        "content-type".to_owned(),
        b"application/cloudevents+json".to_vec(),
    );
    Message {
        topic: topic.to_owned(),
        key: Some(event.call().interaction.as_str().as_bytes().to_vec()),
        headers: vec![content_type],
        payload: Some(text),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        file.rewind().expect("rewound");
        file
    }

    fn looked_at(content: &[u8]) -> Looked {
        let rules = Rules {
            longest: 4096,
            ingest: &ingest::Config::default(),
            now: "2026-11-24T00:00:00Z".parse().expect("a time"),
        };
        look(&file(content), rules).expect("read")
    }

    #[test]
    fn times_that_a_worker_would_not_believe_are_faults() {
        let good = include_str!("../../tests/samples/call.ended.v1.structured.json");
        let good: serde_json::Value = serde_json::from_str(good).expect("JSON");
        let far = |pointer: &str| {
            let mut event = good.clone();
            *event.pointer_mut(pointer).expect("a time") = "2926-11-23T21:12:40Z".into();
            event.to_string()
        };
        let times = ["/time", "/data/startedAt", "/data/endedAt"].map(far);
        let looked = looked_at(times.join("\n").as_bytes());
        assert_eq!((looked.events, looked.faulty), (0, 3));
        for fault in &looked.faults {
            assert!(
                fault.reason.contains("a time that is yet to come"),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn every_wrong_line_is_told_by_its_number() {
        let good = include_str!("../../tests/samples/call.ended.v1.structured.json");
        let good: serde_json::Value = serde_json::from_str(good).expect("JSON");
        let other = good.to_string().replace("call.ended.v1", "call.parked.v1");
        let long = "x".repeat(5000);
        let content = format!("{good}\n\n{{\"specversion\":\"1.0\"}}\n{other}\n{long}\n{good}");
        let looked = looked_at(content.as_bytes());
        assert_eq!((looked.events, looked.faulty), (2, 3));
        let lines: Vec<u64> = looked.faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [3, 4, 5]);
        let text = refusal(&looked, std::path::Path::new("calls.ndjson"));
        assert!(text.starts_with("nothing was sent: 3 of 5 lines of calls.ndjson"));
        assert!(text.contains("\n  line 4: type \"call.parked.v1\" is not read"));
        assert!(text.contains("\n  line 5: over 4096 bytes"));
    }

    #[test]
    fn only_the_first_faults_are_told_one_by_one() {
        let looked = looked_at(&b"no\n".repeat(1000));
        assert_eq!((looked.faulty, looked.faults.len()), (1000, TOLD));
        assert_eq!(looked.more(), 980);
        let text = refusal(&looked, std::path::Path::new("-"));
        assert!(text.ends_with("and 980 more"));
    }
}
