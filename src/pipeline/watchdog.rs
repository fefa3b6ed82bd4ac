//! The watchdog: closes calls whose end does not come, and tells of what does not go on by itself.
//!
//! A call that began and never ended earns no Task and no event: what is published tells of ended
//! calls. Its lookup was answered; it is counted, logged and closed, and waits for nothing. If its end
//! comes after all, it is logged like any other.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::fault::Fault;
use crate::domain::ids::ShardId;
use crate::store::audit::Stuck;
use crate::store::{self, Fence, Store};
use crate::telemetry::Metrics;
use crate::telemetry::names::field;

/// How often it looks.
const EVERY: Duration = Duration::from_mins(1);

/// Calls closed in one transaction.
const PAGE: u32 = 1_000;

/// Whose owner does what one process suffices for.
const ALL: ShardId = ShardId(0);

/// Settings of the watchdog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A call that has not ended so long after it was first heard of is closed as never ended.
    #[serde(with = "humantime_serde")]
    pub ends_within: Duration,
    /// A call that is due, or an attempt that is open, for longer than this is told of as stuck.
    #[serde(with = "humantime_serde")]
    pub stuck_after: Duration,
    /// Parked calls are told of so long before they end as expired.
    #[serde(with = "humantime_serde")]
    pub expiry_notice: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ends_within: Duration::from_hours(24),
            stuck_after: Duration::from_hours(24),
            expiry_notice: Duration::from_hours(3 * 24),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.ends_within < Duration::from_mins(1) {
            let advice = "write at least 1m: longer than the longest call";
            faults.push(Fault::new("watchdog.ends_within", advice));
        }
        if self.stuck_after < Duration::from_mins(1) {
            let advice = "write at least 1m: longer than an outage that needs nobody";
            faults.push(Fault::new("watchdog.stuck_after", advice));
        }
    }
}

/// Watches over calls.
pub struct Watchdog {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Where it is told.
    pub metrics: Metrics,
    /// Our shards: one worker closes calls.
    pub owned: watch::Receiver<Vec<Fence>>,
    /// The settings.
    pub config: Config,
    /// How long calls are parked at most.
    pub parked_at_most: Duration,
}

impl Watchdog {
    /// Watches until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.step(&cancel).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the watchdog could not look; it looks again");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Looks once.
    async fn step(&self, cancel: &CancellationToken) -> store::Result<()> {
        let now = clock::now();
        let notice = self
            .parked_at_most
            .saturating_sub(self.config.expiry_notice);
        let stuck = self
            .store
            .stuck(now - self.config.stuck_after, now - notice)
            .await?;
        for reason in Stuck::ALL {
            let count = stuck.iter().find(|count| count.reason == reason);
            self.metrics
                .stuck(reason.as_str(), count.map_or(0, |count| count.calls));
        }
        let is_ours = self.owned.borrow().iter().any(|fence| fence.shard == ALL);
        if is_ours {
            self.close(cancel).await?;
        }
        Ok(())
    }

    /// Closes calls whose end does not come, page by page.
    async fn close(&self, cancel: &CancellationToken) -> store::Result<()> {
        let before = clock::now() - self.config.ends_within;
        while !cancel.is_cancelled() {
            let closed = self.store.close_unended(before, PAGE).await?;
            for (account, calls) in &closed {
                tracing::warn!(
                    { field::ACCOUNT } = %account,
                    { field::CALLS } = calls,
                    "calls began and their end never came; they get no Task"
                );
            }
            let calls = closed.iter().map(|(_, calls)| calls).sum();
            self.metrics.never_ended(calls);
            if calls < u64::from(PAGE) {
                break;
            }
        }
        Ok(())
    }
}
