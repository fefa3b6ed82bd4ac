//! `vcc-link quarantine replay`: records go to their topics again, each once this version reads it.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::output::print;
use super::quarantine::{Place, Which, is_cut};
use crate::clock;
use crate::config::Config;
use crate::kafka::producer::{Message, Producer};
use crate::kafka::wire::decode::{Decoded, decode};
use crate::kafka::wire::envelope::Record;
use crate::kafka::wire::quarantine::RESENT;
use crate::pipeline::ingest;
use crate::sealing::Sealer;
use crate::store::Store;
use crate::store::replays::QuarantineLine;
use crate::telling::time;

/// Records that are handled together.
const PAGE: u32 = 200;

/// Records on their way to their topics.
pub(super) struct Resend<'a> {
    store: &'a dyn Store,
    sealer: Sealer,
    /// `None`: only tell.
    producer: Option<Producer>,
    longest: usize,
    ingest: &'a ingest::Config,
    by: String,
    sent: Vec<Place>,
    /// Those that stay, and why.
    left: Vec<(Place, String)>,
}

impl<'a> Resend<'a> {
    /// Nothing is sent yet; with `dry_run` nothing ever is.
    pub(super) fn new(
        store: &'a dyn Store,
        config: &'a Config,
        by: String,
        dry_run: bool,
    ) -> anyhow::Result<Self> {
        let producer = (!dry_run).then(|| Producer::new(&config.kafka));
        Ok(Self {
            store,
            sealer: Sealer::of(&config.crypto)?,
            producer: producer.transpose()?,
            longest: config.kafka.max_event_bytes,
            ingest: &config.ingest,
            by,
            sent: Vec::new(),
            left: Vec::new(),
        })
    }

    /// Sends all that were not sent yet, page by page from the latest on.
    pub(super) async fn all(&mut self, which: Which) -> anyhow::Result<()> {
        let mut filter = which.filter(PAGE);
        filter.unsent = true;
        loop {
            let lines = self.store.quarantined(&filter).await;
            let lines = lines.context("the quarantine could not be read")?;
            let Some(QuarantineLine { row, .. }) = lines.last() else {
                return Ok(());
            };
            filter.after = Some((row.received_at, row.partition.clone(), row.offset));
            self.these(lines).await?;
        }
    }

    /// Sends these, and marks those that were taken.
    pub(super) async fn these(&mut self, lines: Vec<QuarantineLine>) -> anyhow::Result<()> {
        let mut places = Vec::new();
        let mut messages = Vec::new();
        for line in lines {
            let place = Place::of(&line);
            match self.message(&line) {
                Ok(message) => {
                    places.push(place);
                    messages.push(message);
                }
                Err(reason) => self.left.push((place, reason)),
            }
        }
        let Some(producer) = &self.producer else {
            self.sent.extend(places);
            return Ok(());
        };
        for (place, sent) in places.into_iter().zip(producer.send(&messages).await) {
            if let Err(error) = sent {
                return Err(error).with_context(|| {
                    format!(
                        "{place} was not sent; {} are. Running it again sends the rest",
                        self.sent.len()
                    )
                });
            }
            let marked = self
                .store
                .mark_resent(&place.partition, place.offset, &self.by);
            let marked = marked.await;
            marked.with_context(|| format!("{place} is sent, and could not be marked so"))?;
            self.sent.push(place);
        }
        Ok(())
    }

    /// A record as its topic takes it again, or why it stays.
    fn message(&self, line: &QuarantineLine) -> Result<Message, String> {
        if let Some((at, by)) = &line.resent {
            return Err(format!("it was sent again at {} by {by}", time(*at)));
        }
        let opened = self.sealer.open_quarantined(&line.row);
        let record = opened.map_err(|error| error.to_string())?;
        if is_cut(&record) {
            return Err(
                "only its beginning is kept here: copy it from the quarantine topic, or its own, to its own while Kafka keeps it; else its producer sends it anew".into(),
            );
        }
        let as_read = Record {
            headers: record.headers(),
            value: Some(record.value()),
        };
        match decode(as_read, self.longest) {
            Err(rejected) => return Err(format!("it is still no event: {}", rejected.reason)),
            Ok(Decoded::Ignored { event_type }) => {
                return Err(format!("events of type {event_type:?} are not read"));
            }
            Ok(Decoded::Call(event)) => {
                let believed = self.ingest.check_time(clock::now(), &event);
                believed.map_err(|error| error.to_string())?;
            }
        }
        let mut headers = record.headers().to_vec();
        headers.push((RESENT.into(), Place::of(line).to_string().into_bytes()));
        Ok(Message {
            topic: line.row.partition.topic.clone(),
            key: record.key().map(<[u8]>::to_vec),
            headers,
            payload: Some(record.value().to_vec()),
        })
    }

    /// Tells what was done. If all that were `named` stay, that is a failure.
    pub(super) fn tell(&self, named: bool, as_json: bool) -> anyhow::Result<()> {
        let dry = self.producer.is_none();
        if as_json {
            let left = |(place, why): &(Place, String)| json!({ "place": place.to_string(), "reason": why });
            let document = json!({
                "sent": if dry { 0 } else { self.sent.len() },
                "wouldBeSent": dry.then_some(self.sent.len()),
                "left": self.left.iter().map(left).collect::<Vec<_>>(),
            });
            print(&format!("{document}\n"))?;
        } else {
            let did = if dry { "that would be sent" } else { "sent" };
            let mut text = format!("Records {did} again: {}\n", self.sent.len());
            for (place, why) in &self.left {
                let _ = writeln!(text, "{place} stays: {why}");
            }
            print(&text)?;
        }
        if named && self.sent.is_empty() {
            bail!("no record was sent; each says above why it stays");
        }
        Ok(())
    }
}
