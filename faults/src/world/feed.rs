//! A world's calls: made up, sent, waited for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use rdkafka::producer::{BaseRecord, Producer as _};

use super::call::{Call, Event};
use super::{ACCOUNTS, KNOWN, PATIENCE, Sent, World, tick};

/// Events that are sent before those are waited for: far below what the producer holds.
const AT_ONCE: u32 = 5_000;

impl World {
    /// A new call of one of the accounts.
    pub(crate) fn call(chance: &mut StdRng, account: &str) -> Call {
        let id = uuid::Builder::from_random_bytes(chance.random()).into_uuid();
        let number = KNOWN[chance.random_range(0..KNOWN.len())];
        Call::new(account, number, id.to_string())
    }

    /// Rings and ends so many calls of these accounts. Returns them.
    pub(crate) fn load(
        &mut self,
        chance: &mut StdRng,
        accounts: &[&str],
        calls: usize,
    ) -> anyhow::Result<Vec<Call>> {
        let mut made = Vec::new();
        for _ in 0..calls {
            let account = accounts[chance.random_range(0..accounts.len())];
            let call = Self::call(chance, account);
            self.ring(&call)?;
            self.end(&call)?;
            made.push(call);
        }
        Ok(made)
    }

    /// Ends so many calls of all accounts, as fast as Kafka takes them. `among`: what is sent after each
    /// ninety-nine of them.
    pub(crate) async fn flood(
        &mut self,
        chance: &mut StdRng,
        calls: u32,
        among: Option<fn(&mut StdRng) -> Event>,
    ) -> anyhow::Result<u32> {
        let mut others = 0;
        for number in 0..calls {
            let account = ACCOUNTS[chance.random_range(0..ACCOUNTS.len())];
            self.end(&Self::call(chance, account))?;
            if number % 99 == 98
                && let Some(among) = among
            {
                self.produce(&among(chance))?;
                others += 1;
            }
            if number % AT_ONCE == 0 {
                self.flushed().await?;
            }
        }
        self.flushed().await?;
        Ok(others)
    }

    /// A call rings.
    pub(crate) fn ring(&mut self, call: &Call) -> anyhow::Result<()> {
        self.produce(&call.started())?;
        self.of(call).started = true;
        Ok(())
    }

    /// A call ends.
    pub(crate) fn end(&mut self, call: &Call) -> anyhow::Result<()> {
        self.produce(&call.ended())?;
        let sent = self.of(call);
        // One that was sent before ends for the first time only once.
        if !sent.ended {
            (sent.ended, sent.at) = (true, Instant::now());
        }
        Ok(())
    }

    /// This call may also end for these reasons.
    pub(crate) fn allow(&mut self, call: &Call, reasons: &'static [&'static str]) {
        self.of(call).reasons = reasons;
    }

    fn of(&mut self, call: &Call) -> &mut Sent {
        self.sent.entry(call.task_key()).or_insert_with(|| Sent {
            at: Instant::now(),
            started: false,
            ended: false,
            reasons: &[],
        })
    }

    /// Produces an event.
    pub(crate) fn produce(&self, event: &Event) -> anyhow::Result<()> {
        let topic = format!("{}.calls", self.name);
        let record = BaseRecord::to(&topic)
            .key(&event.key)
            .payload(&event.value)
            .headers(event.headers.clone());
        let sent = self.producer.send(record).map_err(|(error, _)| error);
        sent.context("a call could not be sent")
    }

    /// Waits until all that was produced is in Kafka.
    pub(crate) async fn flushed(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 {
            ensure!(Instant::now() < deadline, "Kafka takes no calls");
            tick().await;
        }
        Ok(())
    }

    /// Waits for the end of every call, or for the end of this patience.
    pub(crate) async fn settled(&mut self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut waiting = self.waiting();
        while !waiting.is_empty() && Instant::now() < deadline {
            self.look();
            tick().await;
            self.narrow(&mut waiting);
        }
        Ok(())
    }
}
