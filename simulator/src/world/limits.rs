//! How Salesforce counts: API calls of an org over a rolling day, and requests that run too long.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;

use crate::clock::Timestamp;

/// Minutes that a call stays counted: the limit is per rolling 24 hours.
const DAY_MINUTES: i64 = 24 * 60;

/// A request counts as long-running after this many seconds.
const LONG_RUNNING_S: i64 = 20;

/// API calls of one org in the last 24 hours, by the minute.
#[derive(Debug, Default)]
pub(crate) struct DailyUsage {
    minutes: VecDeque<(i64, u64)>,
    used: u64,
}

impl DailyUsage {
    /// Calls used in the 24 hours before `now`.
    pub(crate) fn used(&mut self, now: Timestamp) -> u64 {
        let oldest = minute(now) - DAY_MINUTES;
        while let Some(&(minute, calls)) = self.minutes.front() {
            if minute > oldest {
                break;
            }
            self.used -= calls;
            self.minutes.pop_front();
        }
        self.used
    }

    /// Counts some calls.
    pub(crate) fn count(&mut self, now: Timestamp, calls: u64) {
        let minute = minute(now);
        match self.minutes.back_mut() {
            Some((last, counted)) if *last >= minute => *counted += calls,
            _ => self.minutes.push_back((minute, calls)),
        }
        self.used += calls;
    }

    /// Pretends that `used` calls were made just now, and none before.
    pub(crate) fn set(&mut self, now: Timestamp, used: u64) {
        *self = Self::default();
        self.count(now, used);
    }
}

fn minute(time: Timestamp) -> i64 {
    time.timestamp().div_euclid(60)
}

/// The requests of one org that are being worked on.
#[derive(Debug, Default)]
pub(crate) struct Running {
    started: BTreeMap<u64, Timestamp>,
}

impl Running {
    pub(crate) fn start(&mut self, request: u64, now: Timestamp) {
        self.started.insert(request, now);
    }

    pub(crate) fn finish(&mut self, request: u64) {
        self.started.remove(&request);
    }

    /// Requests that have been running for 20 seconds or more.
    pub(crate) fn long(&self, now: Timestamp) -> usize {
        let limit = TimeDelta::seconds(LONG_RUNNING_S);
        self.started
            .values()
            .filter(|&&started| now - started >= limit)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn the_daily_window_rolls() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut usage = DailyUsage::default();
        usage.count(start, 10);
        usage.count(start + TimeDelta::hours(23), 5);
        assert_eq!(usage.used(start + TimeDelta::hours(23)), 15);
        assert_eq!(usage.used(start + TimeDelta::hours(25)), 5);
        usage.set(start + TimeDelta::hours(25), 1);
        assert_eq!(usage.used(start + TimeDelta::hours(50)), 0);
    }

    #[test]
    fn only_requests_of_twenty_seconds_are_long() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut running = Running::default();
        running.start(1, start);
        running.start(2, start + TimeDelta::seconds(15));
        assert_eq!(running.long(start + TimeDelta::seconds(19)), 0);
        assert_eq!(running.long(start + TimeDelta::seconds(20)), 1);
        running.finish(1);
        assert_eq!(running.long(start + TimeDelta::seconds(20)), 0);
    }
}
