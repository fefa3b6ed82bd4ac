//! Makes calls up and sends their events to Kafka, no faster than they are accounted for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::call::{Call, Record, Run, begin_of};
use crate::tally::Tally;
use crate::world::World;

/// Calls that may be under way. Two events of a call have 2 KiB, so that a tenth of what the broker
/// keeps is in use at most: it drops the oldest records without a word.
const WINDOW: usize = 5_000;

/// Calls that begin in one step, so that what came of others is counted meanwhile.
const STEP: usize = 500;

/// How calls are made.
pub(crate) struct Feed {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    world: World,
    run: Run,
    /// Between the begins of two calls; zero for as fast as they are accounted for.
    pause: Duration,
    /// Calls to make, if there is an end.
    limit: Option<u64>,
    /// The number of the next call.
    next: u64,
    /// When it may begin.
    next_at: Instant,
    /// Calls that ring or talk, by when they end and by number; each with its begin.
    talking: BTreeMap<(Instant, u64), (Call, DateTime<Utc>)>,
}

impl Feed {
    /// Makes calls of this world and sends them to a topic.
    pub(crate) fn new(broker: &str, topic: &str, world: &World, run: Run) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("enable.idempotence", "true")
            // The broker is slow with many small batches.
            .set("linger.ms", "5")
            .create()
            .context("calls cannot be sent")?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            world: world.clone(),
            run,
            pause: Duration::ZERO,
            limit: None,
            next: 0,
            next_at: Instant::now(),
            talking: BTreeMap::new(),
        })
    }

    /// So many calls a second, 0 for no limit; and so many in all.
    pub(crate) fn paced(mut self, rate: f64, limit: Option<u64>) -> Self {
        if rate > 0.0 {
            self.pause = Duration::from_secs_f64(1.0 / rate);
        }
        self.limit = limit;
        self
    }

    /// When there is something to do; none: not before some more calls are accounted for, or never.
    pub(crate) fn due(&self, under_way: usize) -> Option<Instant> {
        let ending = self.talking.first_key_value().map(|((at, _), _)| *at);
        let beginning = self.may_begin(under_way).then_some(self.next_at);
        [ending, beginning].into_iter().flatten().min()
    }

    /// Whether all calls have been made and have ended.
    pub(crate) fn is_done(&self) -> bool {
        self.talking.is_empty() && self.limit.is_some_and(|limit| self.next >= limit)
    }

    /// Begins and ends the calls whose time has come.
    pub(crate) fn step(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let (now, time) = (Instant::now(), now());
        while let Some(entry) = self.talking.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (call, began) = entry.remove();
            self.end(&call, began, time, tally)?;
        }
        let mut begun = 0;
        while self.may_begin(tally.under_way()) && self.next_at <= now && begun < STEP {
            begun += 1;
            let call = Call::nth(self.run, self.next, &self.world);
            self.next += 1;
            self.next_at += self.pause;
            tally.began(&call);
            if self.pause.is_zero() {
                // As if it had begun earlier: nobody waits for it.
                let began = begin_of(call.length, time);
                self.send(&call.started(began))?;
                self.end(&call, began, time, tally)?;
            } else {
                self.send(&call.started(time))?;
                let end = (now + call.length, call.number);
                self.talking.insert(end, (call, time));
            }
        }
        Ok(())
    }

    /// Begins no more calls, and ends at once those that there are.
    pub(crate) fn stop(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        self.limit = Some(self.next);
        for (call, began) in std::mem::take(&mut self.talking).into_values() {
            self.end(&call, began, now(), tally)?;
        }
        let flushed = self.producer.flush(Duration::from_secs(5));
        flushed.context("the last calls could not be sent")
    }

    fn may_begin(&self, under_way: usize) -> bool {
        under_way < WINDOW && self.limit.is_none_or(|limit| self.next < limit)
    }

    fn end(
        &self,
        call: &Call,
        began: DateTime<Utc>,
        ended: DateTime<Utc>,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        self.send(&call.ended(began, ended))?;
        tally.ended(call.number, Instant::now());
        Ok(())
    }

    fn send(&self, record: &Record) -> anyhow::Result<()> {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| {
                let value = Some(value.as_bytes());
                headers.insert(Header { key, value })
            });
        let message = BaseRecord::to(&self.topic)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers);
        let sent = self.producer.send(message).map_err(|(error, _)| error);
        sent.context("a call could not be sent")
    }
}

/// The time of the contact centre.
#[expect(
    clippy::disallowed_methods,
    reason = "the contact centre's clock: times of calls come from here alone"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
