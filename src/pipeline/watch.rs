//! The watcher: what stands and waits, told to the metrics every few seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::delay::{Delay, Progress};
use crate::clock;
use crate::domain::link::{Health, LinkState, LinkStatus};
use crate::domain::work::Lane;
use crate::engine::Gauges;
use crate::kafka::consumer;
use crate::store::reports::CallState;
use crate::store::{self, Fence, Store};
use crate::telemetry::Metrics;

/// How often open calls are counted.
const EVERY: Duration = Duration::from_secs(5);

/// Links are counted once in so many rounds: it reads them all.
const LINKS_EVERY: u32 = 12;

/// Links read with one question.
const PAGE: u32 = 1000;

/// Tells what stands and waits.
pub struct Watcher {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Where it is told.
    pub metrics: Metrics,
    /// What the engine holds.
    pub gauges: watch::Receiver<Gauges>,
    /// How the consumer stands.
    pub consumer: watch::Receiver<consumer::Status>,
    /// How far ingest is.
    pub progress: watch::Receiver<Progress>,
    /// Our shards.
    pub owned: watch::Receiver<Vec<Fence>>,
}

impl Watcher {
    /// Tells until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        tokio::join!(self.tell_of_shards(&cancel), self.count(&cancel));
    }

    /// Tells of owned shards as soon as they change, so that a takeover can be timed.
    async fn tell_of_shards(&self, cancel: &CancellationToken) {
        let mut owned = self.owned.clone();
        loop {
            self.metrics.leases_owned(owned.borrow_and_update().len());
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = owned.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// Counts until cancelled.
    async fn count(&self, cancel: &CancellationToken) {
        let mut round = 0;
        let mut delay = Delay::default();
        while !cancel.is_cancelled() {
            self.tell_of_kafka(&mut delay);
            let told = self.step(round % LINKS_EVERY == 0).await;
            if let Err(error) = told {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "counts are not known"
                );
            }
            round += 1;
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Tells how far ingest is behind, and what stands.
    fn tell_of_kafka(&self, delay: &mut Delay) {
        let status = *self.consumer.borrow();
        let delay = delay.at(clock::now(), *self.progress.borrow(), status.lag);
        self.metrics.consumer_lag(status.lag, delay);
        self.metrics.stopped_partitions(status.lost);
    }

    /// Tells what stands in the engine and in the store.
    async fn step(&self, links: bool) -> store::Result<()> {
        let gauges = *self.gauges.borrow();
        self.metrics
            .in_flight(Lane::Lookup, gauges.lookups.in_flight);
        self.metrics.in_flight(Lane::Task, gauges.tasks.in_flight);
        self.metrics
            .open_breakers(gauges.orgs_failing + gauges.orgs_throttled);
        let now = clock::now();
        let counts = self.store.open_counts().await?;
        let open = CallState::ALL.into_iter().filter(|state| {
            !matches!(
                state,
                CallState::Logged | CallState::Skipped | CallState::Dead
            )
        });
        for state in open {
            let count = counts.iter().find(|c| c.state == state);
            let oldest = count.and_then(|c| c.oldest).map(|at| (now - at).to_std());
            let oldest = oldest.and_then(Result::ok).unwrap_or_default();
            self.metrics
                .open_calls(state.as_str(), count.map_or(0, |c| c.calls), oldest);
        }
        if links {
            self.count_links().await
        } else {
            Ok(())
        }
    }

    /// Counts links by status and health.
    async fn count_links(&self) -> store::Result<()> {
        let mut counts: Vec<(LinkStatus, Health, u64)> = Vec::new();
        let mut last: Option<LinkState> = None;
        loop {
            let page = self
                .store
                .all_links(last.as_ref().map(|s| &s.account), PAGE)
                .await?;
            for state in &page {
                let same =
                    |c: &&mut (LinkStatus, Health, u64)| (c.0, c.1) == (state.status, state.health);
                match counts.iter_mut().find(same) {
                    Some(count) => count.2 += 1,
                    None => counts.push((state.status, state.health, 1)),
                }
            }
            last = page.into_iter().last();
            if last.is_none() {
                break;
            }
        }
        self.metrics.links(&counts);
        Ok(())
    }
}
