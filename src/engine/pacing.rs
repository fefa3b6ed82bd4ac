//! How fast an org is served: the window, the circuit breaker, the budget.
//!
//! One [`Org`] for all accounts that share it, as they share its limits. The window is a ceiling
//! and not a target: how many requests open is decided by what is ready. Congestion is told by
//! loss alone, because a bigger batch takes longer without any congestion.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::{ApiUsage, Batching};
use crate::domain::fault::Fault;
use crate::domain::ids::AccountId;
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::domain::work::Lane;

/// Section `engine.pacing` of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Requests that an org's window begins with, per lane.
    pub window_start: u32,
    /// Requests that an org's window never grows beyond, per lane.
    pub window_longest: u32,
    /// Requests that must fail as a whole, one after the other, before the org is left alone.
    pub breaker_failures: u32,
    /// How long an org, or all of Salesforce, is left alone before one request probes it.
    pub breaker: Backoff,
    /// How often an org is probed whose daily limit or reserve is reached.
    #[serde(with = "humantime_serde")]
    pub quota_probe: Duration,
    /// A probing Task is parked, and its platform told, once the limit was used up for so long.
    #[serde(with = "humantime_serde")]
    pub quota_park_after: Duration,
    /// From this share of the daily limit on, Tasks linger longer.
    pub stretch_from: f64,
    /// From this share on, only full batches of Tasks go.
    pub full_from: f64,
    /// From this share on Tasks wait: the rest is for the customer's other tools.
    pub reserve_from: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_start: 2,
            window_longest: 8,
            breaker_failures: 3,
            breaker: Backoff::new(Duration::from_secs(1), Duration::from_mins(5)),
            quota_probe: Duration::from_mins(5),
            quota_park_after: Duration::from_hours(1),
            stretch_from: 0.5,
            full_from: 0.8,
            reserve_from: 0.9,
        }
    }
}

impl Config {
    pub(super) fn validate(&self, faults: &mut Vec<Fault>) {
        self.breaker.validate("engine.pacing.breaker", faults);
        let mut check = |ok: bool, setting: &str, advice: &str| {
            if !ok {
                faults.push(Fault::new(format!("engine.pacing.{setting}"), advice));
            }
        };
        check(self.window_start >= 1, "window_start", "must be at least 1");
        check(
            self.window_longest >= self.window_start,
            "window_longest",
            "must not be below engine.pacing.window_start",
        );
        check(
            self.breaker_failures >= 1,
            "breaker_failures",
            "must be at least 1",
        );
        check(
            !self.quota_probe.is_zero(),
            "quota_probe",
            "must be longer than 0s",
        );
        let shares = [
            0.0,
            self.stretch_from,
            self.full_from,
            self.reserve_from,
            1.0,
        ];
        check(
            shares.windows(2).all(|pair| pair[0] <= pair[1]),
            "stretch_from",
            "stretch_from, full_from and reserve_from must grow in this order from 0 to 1",
        );
    }
}

/// How many requests may be open at once: one more for each window of clean answers, half of them
/// after congestion. Never below one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    size: u32,
    clean: u32,
    longest: u32,
}

impl Window {
    /// A window as at the first request.
    pub fn new(config: &Config) -> Self {
        Self {
            size: config.window_start.max(1),
            clean: 0,
            longest: config.window_longest.max(1),
        }
    }

    /// Requests that may be open.
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// An answer came without congestion.
    pub fn grow(&mut self) {
        self.clean += 1;
        if self.clean >= self.size && self.size < self.longest {
            self.size += 1;
            self.clean = 0;
        }
    }

    /// Requests are too many, or too slow.
    pub fn shrink(&mut self) {
        self.size = (self.size / 2).max(1);
        self.clean = 0;
    }
}

/// What a request told about its org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The org answers.
    Clean,
    /// It asks for fewer requests.
    Congested,
    /// It asks for none within this time.
    Told(Duration),
    /// The request failed as a whole, and may have been lost.
    Failing,
    /// The org is away: do not wait for more failures.
    Down,
    /// The daily limit is used up.
    Quota,
    /// Nothing about the org: a dead token, a fault of our own.
    Nothing,
}

impl Sign {
    /// What one failure tells.
    pub(super) fn of(failure: &Failure) -> Self {
        let whole = failure.scope >= FailureScope::Request;
        let org = failure.scope == FailureScope::Org;
        let passes = matches!(
            failure.class,
            FailureClass::Throttled | FailureClass::Transient | FailureClass::Ambiguous
        );
        let ours = failure.scope == FailureScope::Everyone;
        if let Some(seconds) = failure.retry_after.filter(|_| passes && whole && !ours) {
            return Self::Told(Duration::from_secs(seconds.into()));
        }
        match failure.class {
            FailureClass::Quota => Self::Quota,
            FailureClass::Throttled => Self::Congested,
            FailureClass::Transient | FailureClass::Admin if org => Self::Down,
            FailureClass::Ambiguous if org => Self::Down,
            FailureClass::Transient | FailureClass::Ambiguous if whole => Self::Failing,
            FailureClass::Session | FailureClass::Link => Self::Nothing,
            _ if failure.scope == FailureScope::Everyone => Self::Nothing,
            _ => Self::Clean,
        }
    }

    /// What a request's failures tell together: the worst.
    pub(super) fn of_all<'a>(failures: impl IntoIterator<Item = &'a Failure>) -> Self {
        let badness = |sign: &Self| match sign {
            Self::Clean => 0,
            Self::Nothing => 1,
            Self::Congested => 2,
            Self::Failing => 3,
            Self::Down => 4,
            Self::Told(_) => 5,
            Self::Quota => 6,
        };
        failures
            .into_iter()
            .map(Self::of)
            .max_by_key(badness)
            .unwrap_or(Self::Clean)
    }
}

/// Why an org is left alone, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// Since when.
    pub(super) since: DateTime<Utc>,
    /// When one request may probe it.
    pub(super) until: DateTime<Utc>,
    /// How often it was found so.
    times: u32,
    /// By its daily limit.
    pub(super) quota: bool,
}

/// Whether a request may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    Open,
    /// Not before this; `throttled` when a caller's lookup should be told so.
    Until(DateTime<Utc>, bool),
    /// Not before an answer comes that is under way.
    Busy,
    /// Not before any request of any org ends.
    Crowded,
}

/// How much of the daily limit is left, in steps of care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Normal,
    Stretched,
    FullOnly,
    Reserve,
}

/// One org: all that is known of how it can be served.
#[derive(Debug)]
pub(super) struct Org {
    /// The accounts here that are linked to it.
    pub(super) accounts: BTreeSet<AccountId>,
    /// Requests in flight, by lane.
    pub(super) open: [u32; 2],
    window: Window,
    /// Tasks in one request, as the org's speed allows.
    pub(super) batch_cap: usize,
    failures: u32,
    pub(super) stop: Option<Stop>,
    probing: bool,
    usage: Option<ApiUsage>,
    next_probe: Option<DateTime<Utc>>,
}

impl Org {
    pub(super) fn new(config: &Config, batching: &Batching) -> Self {
        Self {
            accounts: BTreeSet::new(),
            open: [0; 2],
            window: Window::new(config),
            batch_cap: batching.tasks,
            failures: 0,
            stop: None,
            probing: false,
            usage: None,
            next_probe: None,
        }
    }

    /// Whether a request of this lane may open now.
    pub(super) fn gate(&self, now: DateTime<Utc>, lane: Lane, config: &Config) -> Gate {
        if let Some(stop) = &self.stop {
            if now < stop.until {
                return Gate::Until(stop.until, stop.quota);
            }
            return if self.probing { Gate::Busy } else { Gate::Open };
        }
        if self.level(config) == Level::Reserve {
            match self.next_probe {
                Some(at) if now < at => return Gate::Until(at, true),
                _ if self.probing => return Gate::Busy,
                // Only Tasks probe: a search must not use up what the reserve is for.
                _ if lane == Lane::Lookup => return Gate::Until(now + config.quota_probe, true),
                _ => return Gate::Open,
            }
        }
        if self.open[lane as usize] >= self.window.size() {
            Gate::Busy
        } else {
            Gate::Open
        }
    }

    /// Notes a request that opens; tells whether it is the one that probes.
    pub(super) fn opened(&mut self, now: DateTime<Utc>, lane: Lane, config: &Config) -> bool {
        self.open[lane as usize] += 1;
        let reserve = self.level(config) == Level::Reserve;
        if reserve {
            self.next_probe = Some(now + config.quota_probe);
        }
        let probe = !self.probing && (reserve || self.stop.is_some());
        self.probing |= probe;
        probe
    }

    /// Notes a request of this lane that is over.
    pub(super) fn closed(&mut self, lane: Lane, probe: bool) {
        self.open[lane as usize] = self.open[lane as usize].saturating_sub(1);
        if probe {
            self.probing = false;
        }
    }

    /// Takes in what an answer told of the org.
    pub(super) fn learn(
        &mut self,
        now: DateTime<Utc>,
        rng: &mut dyn RngCore,
        sign: Sign,
        usage: Option<ApiUsage>,
        config: &Config,
    ) {
        self.usage = usage.or(self.usage);
        match sign {
            Sign::Clean => {
                self.window.grow();
                self.failures = 0;
                self.stop = None;
            }
            Sign::Congested => self.window.shrink(),
            Sign::Failing => {
                self.window.shrink();
                self.failures += 1;
                if self.failures >= config.breaker_failures || self.stop.is_some() {
                    self.halt(now, rng, false, config);
                }
            }
            Sign::Down => {
                self.window.shrink();
                self.halt(now, rng, false, config);
            }
            Sign::Told(wait) => {
                self.window.shrink();
                self.halt(now, rng, false, config);
                if let Some(stop) = &mut self.stop {
                    let told = now + wait.min(config.breaker.longest);
                    stop.until = stop.until.max(told);
                }
            }
            Sign::Quota => self.halt(now, rng, true, config),
            Sign::Nothing => {}
        }
    }

    fn halt(&mut self, now: DateTime<Utc>, rng: &mut dyn RngCore, quota: bool, config: &Config) {
        let before = self.stop.filter(|stop| stop.quota == quota);
        // Answers of requests that were open together are one finding, not many. A limit that is used
        // up stays so, however else its org fails meanwhile.
        let limited = self.stop.is_some_and(|stop| stop.quota && now < stop.until);
        if limited || before.is_some_and(|stop| now < stop.until) {
            return;
        }
        let times = before.map_or(1, |stop| stop.times.saturating_add(1));
        let wait = if quota {
            config.quota_probe
        } else {
            config.breaker.half(times, rng)
        };
        let since = before.map_or(now, |stop| stop.since);
        self.stop = Some(Stop {
            since,
            until: now + wait,
            times,
            quota,
        });
    }

    /// Learns from how long a request of `calls` Tasks took.
    pub(super) fn timed(&mut self, calls: usize, took: Duration, batching: &Batching) {
        if took > batching.slow_request {
            self.batch_cap = (calls / 2).clamp(1, batching.tasks);
        } else if took < batching.slow_request / 2 && calls >= self.batch_cap {
            self.batch_cap = (self.batch_cap + self.batch_cap / 4 + 1).min(batching.tasks);
        }
    }

    /// How careful the org's budget asks us to be.
    pub(super) fn level(&self, config: &Config) -> Level {
        let used = self.used();
        if used >= config.reserve_from {
            Level::Reserve
        } else if used >= config.full_from {
            Level::FullOnly
        } else if used >= config.stretch_from {
            Level::Stretched
        } else {
            Level::Normal
        }
    }

    /// The used share of the daily limit; nothing is known before the first answer.
    fn used(&self) -> f64 {
        self.usage
            .filter(|usage| usage.limit > 0)
            .map_or(0.0, |usage| usage.used as f64 / usage.limit as f64)
    }

    /// How long a Task may wait for others to share its request.
    pub(super) fn linger(&self, config: &Config, batching: &Batching) -> Duration {
        match self.level(config) {
            Level::Normal => batching.linger,
            Level::Stretched => {
                let span = (config.full_from - config.stretch_from).max(f64::EPSILON);
                let part = ((self.used() - config.stretch_from) / span).clamp(0.0, 1.0);
                let room = batching.longest_linger.saturating_sub(batching.linger);
                batching.linger + room.mul_f64(part)
            }
            Level::FullOnly => batching.full_linger,
            // A probe is due: it takes what is ready.
            Level::Reserve => Duration::ZERO,
        }
    }
}

/// Rule 12: what hits everybody is probably us. All sending pauses, and no link is blamed.
#[derive(Debug, Default)]
pub(super) struct Everyone {
    until: Option<DateTime<Utc>>,
    times: u32,
}

impl Everyone {
    /// Until when nothing is sent, if so.
    pub(super) fn paused(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.until.filter(|until| now < *until)
    }

    /// Something failed that all accounts share; tells until when all wait.
    pub(super) fn pause(
        &mut self,
        now: DateTime<Utc>,
        rng: &mut dyn RngCore,
        config: &Config,
    ) -> DateTime<Utc> {
        if let Some(until) = self.paused(now) {
            return until;
        }
        self.times = self.times.saturating_add(1);
        let until = now + config.breaker.half(self.times.saturating_add(2), rng);
        self.until = Some(until);
        until
    }

    /// Somebody was served.
    pub(super) const fn clear(&mut self) {
        self.times = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    proptest! {
        #[test]
        fn a_window_stays_between_one_and_its_longest(steps: Vec<bool>) {
            let config = Config::default();
            let mut window = Window::new(&config);
            for clean in steps {
                if clean { window.grow() } else { window.shrink() }
                prop_assert!((1..=config.window_longest).contains(&window.size()));
            }
        }
    }

    fn org_at(used: u64) -> Org {
        let (config, batching) = (Config::default(), Batching::default());
        let mut org = Org::new(&config, &batching);
        org.usage = Some(ApiUsage { used, limit: 100 });
        org
    }

    #[test]
    fn care_grows_with_use() {
        let (config, batching) = (Config::default(), Batching::default());
        let linger = |used| org_at(used).linger(&config, &batching).as_secs();
        assert_eq!(
            [linger(10), linger(50), linger(65), linger(85)],
            [2, 2, 31, 300]
        );
        let now = DateTime::UNIX_EPOCH;
        let mut org = org_at(95);
        assert_eq!(org.gate(now, Lane::Task, &config), Gate::Open);
        assert!(org.opened(now, Lane::Task, &config), "it probes");
        org.closed(Lane::Task, true);
        let next = now + config.quota_probe;
        assert_eq!(org.gate(now, Lane::Task, &config), Gate::Until(next, true));
        assert_eq!(org.gate(next, Lane::Task, &config), Gate::Open);
    }

    #[test]
    fn an_org_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_the_breaker() {
        let config = Config::default();
        let left_alone = |seconds| {
            let mut failure = Failure::new(FailureClass::Throttled, FailureScope::Org, "429");
            failure.retry_after = Some(seconds);
            let (mut org, now) = (org_at(0), DateTime::UNIX_EPOCH);
            let mut rng = StdRng::seed_from_u64(7);
            org.learn(now, &mut rng, Sign::of(&failure), None, &config);
            match org.gate(now, Lane::Task, &config) {
                Gate::Until(until, false) => (until - now).num_seconds(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(left_alone(120), 120);
        assert_eq!(left_alone(86_400), 300);
    }

    #[test]
    fn a_used_up_limit_is_no_other_failure_and_outlasts_those() {
        let config = Config::default();
        let (mut org, now) = (org_at(0), DateTime::UNIX_EPOCH);
        let mut rng = StdRng::seed_from_u64(7);
        let mut failure = Failure::new(FailureClass::Quota, FailureScope::Org, "limit");
        failure.retry_after = Some(1);
        org.learn(now, &mut rng, Sign::of(&failure), None, &config);
        let limited = Gate::Until(now + config.quota_probe, true);
        assert_eq!(org.gate(now, Lane::Task, &config), limited);
        org.learn(now, &mut rng, Sign::Down, None, &config);
        assert_eq!(org.gate(now, Lane::Task, &config), limited);
        failure.class = FailureClass::Session;
        assert_eq!(Sign::of(&failure), Sign::Nothing);
    }

    #[test]
    fn an_org_that_is_down_gets_one_probe_at_a_time() {
        let config = Config::default();
        let mut rng = StdRng::seed_from_u64(7);
        let mut org = org_at(0);
        let mut now = DateTime::UNIX_EPOCH;
        org.learn(now, &mut rng, Sign::Down, None, &config);
        let Gate::Until(until, false) = org.gate(now, Lane::Lookup, &config) else {
            panic!("stopped")
        };
        now = until;
        assert_eq!(org.gate(now, Lane::Lookup, &config), Gate::Open);
        assert!(org.opened(now, Lane::Lookup, &config));
        assert_eq!(org.gate(now, Lane::Task, &config), Gate::Busy);
        org.closed(Lane::Lookup, true);
        org.learn(now, &mut rng, Sign::Clean, None, &config);
        assert_eq!(org.gate(now, Lane::Task, &config), Gate::Open);
    }
}
