//! The engine's settings: every time constant, every bound.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::{leases, links, pacing, reconcile};
use crate::domain::fault::Fault;

/// Section `engine` of the settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How calls are put together into requests.
    pub batching: Batching,
    /// How much is held in memory, and how it is filled.
    pub memory: Memory,
    /// What is tried again, how often and for how long.
    pub retry: Retry,
    /// How an unanswered attempt is looked for.
    pub reconcile: reconcile::Config,
    /// How fast an org is served.
    pub pacing: pacing::Config,
    /// Tokens, broken links and parked calls.
    pub links: links::Config,
    /// How shards are shared out.
    pub leases: leases::Config,
}

impl Config {
    /// Lists every fault, by the setting's path.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        self.batching.validate(faults);
        self.memory.validate(faults);
        self.retry.validate(faults);
        self.reconcile.validate(faults);
        self.pacing.validate(faults);
        self.links.validate(faults);
        self.leases.validate(faults);
        if self.memory.calls_per_account < self.batching.tasks {
            faults.push(Fault::new(
                "engine.memory.calls_per_account",
                "must not be below engine.batching.tasks, or no batch is ever full",
            ));
        }
        if self.batching.full_linger < self.batching.longest_linger {
            faults.push(Fault::new(
                "engine.batching.full_linger",
                "must not be shorter than engine.batching.longest_linger",
            ));
        }
    }
}

/// How calls are put together into requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batching {
    /// Callers in one search, 1 to 200. Salesforce drops operators beyond 4,000 characters of
    /// FIND, which about 100 numbers in two spellings fill (SOSL syntax).
    pub lookups: usize,
    /// Tasks in one request, 1 to 200 (sObject Collections).
    pub tasks: usize,
    /// How long a Task may wait for others to share its request, in normal budget.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// How long it may wait as the org's daily limit fills up.
    #[serde(with = "humantime_serde")]
    pub longest_linger: Duration,
    /// How long it may wait near the reserve, where only full batches go.
    #[serde(with = "humantime_serde")]
    pub full_linger: Duration,
    /// A lookup is answered this much before its deadline, so that the answer still travels.
    #[serde(with = "humantime_serde")]
    pub lookup_margin: Duration,
    /// How long one search may take.
    #[serde(with = "humantime_serde")]
    pub lookup_timeout: Duration,
    /// How long the engine tries to look an ended call up before its Task goes out unmatched.
    #[serde(with = "humantime_serde")]
    pub unmatched_after: Duration,
    /// A request that took longer than this makes the org's next batches smaller. Far below the
    /// 20 s from which Salesforce counts a request as long-running.
    #[serde(with = "humantime_serde")]
    pub slow_request: Duration,
    /// Decisions in one transaction.
    pub records: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            lookups: 100,
            tasks: 200,
            linger: Duration::from_secs(2),
            longest_linger: Duration::from_mins(1),
            full_linger: Duration::from_mins(5),
            lookup_margin: Duration::from_millis(150),
            lookup_timeout: Duration::from_secs(5),
            unmatched_after: Duration::from_mins(2),
            slow_request: Duration::from_secs(5),
            records: 500,
        }
    }
}

impl Batching {
    fn validate(&self, faults: &mut Vec<Fault>) {
        let mut check = |ok: bool, setting: &str, advice: &str| {
            if !ok {
                faults.push(Fault::new(format!("engine.batching.{setting}"), advice));
            }
        };
        check(
            (1..=200).contains(&self.lookups),
            "lookups",
            "must be 1 to 200",
        );
        check(
            (1..=200).contains(&self.tasks),
            "tasks",
            "must be 1 to 200, Salesforce's limit",
        );
        check(self.records > 0, "records", "must be at least 1");
        check(
            self.longest_linger >= self.linger,
            "longest_linger",
            "must not be shorter than engine.batching.linger",
        );
        check(
            !self.lookup_timeout.is_zero(),
            "lookup_timeout",
            "must be longer than 0s",
        );
        check(
            self.unmatched_after > self.lookup_timeout,
            "unmatched_after",
            "must be longer than engine.batching.lookup_timeout, or no lookup is ever repeated",
        );
    }
}

/// How much is held in memory, and how it is filled from the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Calls held in all; what is more stays in the store and is paged in. About 500 bytes each.
    pub calls: usize,
    /// Calls held of one account. Where there is no room at all, the largest backlog gives way.
    pub calls_per_account: usize,
    /// Requests in flight in all.
    pub requests: usize,
    /// Requests in flight that carry Tasks: the rest is kept free for callers who wait.
    pub task_requests: usize,
    /// Calls in one page.
    pub page: u32,
    /// How often each owned shard is looked through for calls that no wake told of.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// How often a shard's open attempts and its accounts' links are read again.
    #[serde(with = "humantime_serde")]
    pub recheck: Duration,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            calls: 100_000,
            calls_per_account: 5_000,
            requests: 256,
            task_requests: 192,
            page: 500,
            poll: Duration::from_secs(30),
            recheck: Duration::from_mins(5),
        }
    }
}

impl Memory {
    fn validate(&self, faults: &mut Vec<Fault>) {
        let mut check = |ok: bool, setting: &str, advice: &str| {
            if !ok {
                faults.push(Fault::new(format!("engine.memory.{setting}"), advice));
            }
        };
        check(
            self.calls >= self.calls_per_account,
            "calls",
            "must not be below engine.memory.calls_per_account",
        );
        check(
            self.task_requests >= 1 && self.task_requests < self.requests,
            "task_requests",
            "must be at least 1 and below engine.memory.requests, or lookups wait for Tasks",
        );
        check(self.page > 0, "page", "must be at least 1");
        check(!self.poll.is_zero(), "poll", "must be longer than 0s");
        check(
            self.recheck >= self.poll,
            "recheck",
            "must not be shorter than engine.memory.poll",
        );
    }
}

/// What is tried again, how often and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Waits between the attempts of one Task.
    pub tasks: Backoff,
    /// Waits between the searches for one caller.
    pub lookups: Backoff,
    /// A Task is given up after so many attempts, once [`Retry::at_least_for`] has passed too.
    pub attempts: u32,
    /// A Task is tried at least for so long after its call's end: longer than any outage that
    /// shall lose no Task to the dead letters.
    #[serde(with = "humantime_serde")]
    pub at_least_for: Duration,
    /// Attempts before a refusal by the org's own settings, triggers or flows is believed: some
    /// of them pass by themselves.
    pub refusals: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tasks: Backoff::new(Duration::from_secs(5), Duration::from_hours(1)),
            lookups: Backoff::new(Duration::from_millis(250), Duration::from_secs(30)),
            attempts: 30,
            at_least_for: Duration::from_hours(48),
            refusals: 3,
        }
    }
}

impl Retry {
    /// When to try a Task again after so many attempts. `None`: never again, as both their number
    /// and the call's age are beyond the settings: a long outage alone uses up many attempts, and
    /// a short burst of failures alone is no reason to give up.
    pub(super) fn next(
        &self,
        now: DateTime<Utc>,
        rng: &mut dyn RngCore,
        attempts: u32,
        ended_at: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        let old = ended_at.is_none_or(|ended| now >= ended + self.at_least_for);
        let used_up = attempts >= self.attempts && old;
        (!used_up).then(|| now + self.tasks.full(attempts, rng))
    }

    fn validate(&self, faults: &mut Vec<Fault>) {
        self.tasks.validate("engine.retry.tasks", faults);
        self.lookups.validate("engine.retry.lookups", faults);
        if self.attempts == 0 {
            faults.push(Fault::new("engine.retry.attempts", "must be at least 1"));
        }
        if self.refusals > self.attempts {
            faults.push(Fault::new(
                "engine.retry.refusals",
                "must not be above engine.retry.attempts",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault_and_faults_are_told_by_path() {
        let mut faults = Vec::new();
        Config::default().validate(&mut faults);
        assert_eq!(faults, []);

        let mut config = Config::default();
        config.batching.unmatched_after = Duration::ZERO;
        config.reconcile.previous_org_patience = Duration::from_secs(1);
        config.memory.task_requests = 256;
        config.validate(&mut faults);
        let settings: Vec<_> = faults.iter().map(|f| f.setting.as_str()).collect();
        assert_eq!(
            settings,
            [
                "engine.batching.unmatched_after",
                "engine.memory.task_requests",
                "engine.reconcile.previous_org_patience"
            ]
        );
    }
}
