//! The summary of a run, for people and for scripts.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use crate::tally::{Counts, Tally};

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the program started.
    pub(crate) started: Instant,
    /// When the first call could begin.
    pub(crate) begun: Instant,
    /// When the last call was accounted for.
    pub(crate) ended: Instant,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) calls: u64,
    pub(crate) ended: u64,
    /// Tasks that there are of calls of this run.
    pub(crate) tasks: u64,
    pub(crate) skipped: Counts,
    pub(crate) failed: Counts,
    pub(crate) parked: u64,
    pub(crate) lookups: Counts,
    /// Calls without an answer or an end; and calls of which something else is told than is: a Task,
    /// and there is none, or none, and there is one.
    pub(crate) unaccounted: u64,
    /// Calls that have more than one Task.
    pub(crate) duplicates: u64,
    pub(crate) retried: u64,
    /// Calls of earlier runs, or sent by others, that came to their end.
    pub(crate) others: u64,
    pub(crate) api_calls: u64,
    /// From the first call to the last that is accounted for.
    pub(crate) seconds: f64,
    /// From the start of the program to the first Task.
    pub(crate) first_task_seconds: Option<f64>,
    pub(crate) p50_ms: Option<u64>,
    pub(crate) p99_ms: Option<u64>,
}

impl Report {
    /// The report of a tally, and of what there is at Salesforce: which of this run's calls have a
    /// Task, the API calls since its begin, and how many calls have several Tasks.
    pub(crate) fn new(
        tally: &Tally,
        found: &BTreeSet<u64>,
        api_calls: u64,
        duplicates: u64,
        times: Times,
    ) -> Self {
        let untrue = tally.logged.symmetric_difference(found).count();
        let from_start = |at: Instant| at.duration_since(times.started).as_secs_f64();
        Self {
            calls: tally.calls,
            ended: tally.ended,
            tasks: found.len() as u64,
            skipped: tally.skipped.clone(),
            failed: tally.failed.clone(),
            parked: tally.parked().values().sum(),
            lookups: tally.answers.clone(),
            unaccounted: (tally.under_way() + untrue) as u64,
            duplicates,
            retried: tally.retried,
            others: tally.others,
            api_calls,
            seconds: times.ended.duration_since(times.begun).as_secs_f64(),
            first_task_seconds: tally.first_task.map(from_start),
            p50_ms: tally.millis(0.5),
            p99_ms: tally.millis(0.99),
        }
    }

    /// Whether the promise was kept.
    pub(crate) const fn is_good(&self) -> bool {
        self.unaccounted == 0 && self.duplicates == 0
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        json!({
            "calls": self.calls,
            "ended": self.ended,
            "tasks": self.tasks,
            "skipped": self.skipped,
            "failed": self.failed,
            "parked": self.parked,
            "lookups": self.lookups,
            "unaccounted": self.unaccounted,
            "duplicates": self.duplicates,
            "retried": self.retried,
            "others": self.others,
            "api_calls": self.api_calls,
            "api_calls_per_1000": per_thousand(self.api_calls, self.ended),
            "seconds": rounded(self.seconds),
            "first_task_seconds": self.first_task_seconds.map(rounded),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
        })
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        let mut lines = vec![format!(
            "{} calls in {:.1} s: {} Tasks{}{}, {} parked.",
            self.calls,
            self.seconds,
            self.tasks,
            counts(", skipped ", &self.skipped),
            counts(", failed ", &self.failed),
            self.parked,
        )];
        if let Some(per_thousand) = per_thousand(self.api_calls, self.ended) {
            lines.push(format!(
                "{} Salesforce API calls, {per_thousand} for 1,000 calls.",
                self.api_calls
            ));
        }
        if let (Some(p50), Some(p99)) = (self.p50_ms, self.p99_ms) {
            lines.push(format!(
                "From the end of a call to its Task: half within {}, 99 % within {}.",
                seconds(p50),
                seconds(p99)
            ));
        }
        if let Some(seconds) = self.first_task_seconds {
            lines.push(format!(
                "The first Task was there {seconds:.1} s after the start."
            ));
        }
        if self.others > 0 {
            lines.push(format!(
                "{} calls of earlier runs, or sent by others, came to their end too.",
                self.others
            ));
        }
        lines.push(match (self.unaccounted, self.duplicates) {
            (0, 0) => "Every call is accounted for, and none has two Tasks.".to_owned(),
            (0, twice) => format!("{twice} calls have more than one Task: this should not be."),
            (open, 0) => {
                format!("{open} calls are not accounted for; the next run goes on with them.")
            }
            (open, twice) => {
                format!("{open} calls are not accounted for, {twice} have more than one Task.")
            }
        });
        lines.join("\n")
    }
}

/// To milliseconds.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

/// API calls for 1,000 calls, rounded.
pub(crate) fn per_thousand(api_calls: u64, calls: u64) -> Option<u64> {
    (api_calls * 1_000 + calls / 2).checked_div(calls)
}

/// Counts in words, their sum first; nothing where there are none.
pub(crate) fn counts(what: &str, counts: &Counts) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let sum: u64 = counts.values().sum();
    format!("{what}{sum} ({})", list(counts))
}

/// Each count with its name.
pub(crate) fn list(counts: &Counts) -> String {
    let each = counts.iter().map(|(name, count)| format!("{name} {count}"));
    each.collect::<Vec<String>>().join(", ")
}

/// Milliseconds as seconds, for people.
pub(crate) fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_and_is_not_so_is_not_accounted_for() {
        let mut tally = Tally::new().unwrap();
        tally.logged = [1, 2, 3].into();
        let now = Instant::now();
        let times = Times {
            started: now,
            begun: now,
            ended: now,
        };
        let report = |found: &[u64], duplicates| {
            let found = found.iter().copied().collect();
            Report::new(&tally, &found, 5, duplicates, times)
        };
        assert!(report(&[1, 2, 3], 0).is_good());
        assert!(!report(&[1, 2, 3], 1).is_good());
        assert_eq!(report(&[1, 2], 0).unaccounted, 1);
        // Another call's Task makes up for none.
        assert_eq!(report(&[1, 2, 4], 0).unaccounted, 2);
        assert!(!report(&[1, 2, 3, 4], 0).is_good());
    }

    #[test]
    fn api_calls_are_told_for_a_thousand_calls() {
        assert_eq!(per_thousand(7, 0), None);
        assert_eq!(per_thousand(7, 1_000), Some(7));
        assert_eq!(per_thousand(1, 3), Some(333));
    }
}
