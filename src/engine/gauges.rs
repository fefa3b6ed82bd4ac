//! What the engine holds, counted for metrics. Nothing here decides anything.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::accounts::{Account, Place};
use super::machine::Engine;
use super::pacing::Level;
use crate::domain::link::LinkStatus;
use crate::domain::work::Lane;

/// One lane, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneGauges {
    /// Calls that may go now, or wait only for a window, a budget or a pause.
    pub ready: usize,
    /// Calls whose time has not come: retries, and Tasks whose lookup is awaited.
    pub waiting: usize,
    /// Calls in requests in flight.
    pub in_flight: usize,
    /// How long the call waits that may go longest; zero without one.
    pub oldest: Duration,
}

/// What the engine holds, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Lookups.
    pub lookups: LaneGauges,
    /// Tasks.
    pub tasks: LaneGauges,
    /// Outcomes being stored.
    pub recording: usize,
    /// Attempts to be reconciled.
    pub in_doubt: usize,
    /// Calls in memory.
    pub held: usize,
    /// Requests in flight, queries included.
    pub requests: usize,
    /// Shards owned.
    pub shards: usize,
    /// Orgs that are left alone because they fail.
    pub orgs_failing: usize,
    /// Orgs whose daily limit or reserve is reached.
    pub orgs_throttled: usize,
    /// Accounts here whose link is broken.
    pub links_broken: usize,
}

impl Engine {
    /// Counts what is held. Walks over all calls in memory: for a metric every few seconds.
    pub fn gauges(&self, now: DateTime<Utc>) -> Gauges {
        let mut gauges = Gauges {
            recording: self.recording.len(),
            in_doubt: self.doubts.len(),
            held: self.held,
            requests: self.requests.iter().sum::<usize>() + self.queries,
            shards: self.shards.len(),
            ..Gauges::default()
        };
        for org in self.orgs.values() {
            let quota = org.stop.is_some_and(|stop| stop.quota);
            let throttled = quota || org.level(&self.config.pacing) == Level::Reserve;
            gauges.orgs_throttled += usize::from(throttled);
            gauges.orgs_failing += usize::from(org.stop.is_some() && !quota);
        }
        for account in self.accounts.values() {
            let unlinked = |a: &Account| {
                a.link
                    .as_ref()
                    .is_none_or(|link| link.status == LinkStatus::Unlinked)
            };
            gauges.links_broken += usize::from(!account.is_live() && !unlinked(account));
            for call in account.calls.values() {
                gauges.lookups.count(now, call.lookup);
                gauges.tasks.count(now, call.task);
            }
        }
        gauges
    }

    /// Calls waiting in a lane, whatever for; cheap.
    pub fn queued(&self, lane: Lane) -> usize {
        self.accounts
            .values()
            .map(|account| account.queued(lane))
            .sum()
    }
}

impl LaneGauges {
    fn count(&mut self, now: DateTime<Utc>, place: Place) {
        match place {
            Place::Ready(at) if at <= now => {
                self.ready += 1;
                self.oldest = self.oldest.max((now - at).to_std().unwrap_or_default());
            }
            Place::Ready(_) => self.waiting += 1,
            Place::Flying => self.in_flight += 1,
            Place::Idle | Place::Recording => {}
        }
    }
}
