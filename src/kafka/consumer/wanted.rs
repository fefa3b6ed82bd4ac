//! Partitions that are to go on, and when to ask the cluster about each. Pure: the time is an
//! argument.
//!
//! A question about a partition without a leader takes as long as it may, and nothing is polled
//! meanwhile. So each partition is asked about at once and by itself; of those without an answer
//! only one is asked about again after a pause, the one that has waited longest.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Partition;

/// How long after an unanswered question one of those is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Partitions that are to go on, each with the offset to go on at; `None`: at the earliest.
#[derive(Default)]
pub(super) struct Wanted {
    /// Not asked about yet.
    fresh: BTreeMap<Partition, Option<i64>>,
    /// Asked about without an answer.
    unanswered: VecDeque<(Partition, Option<i64>)>,
    /// When to ask about the next of those.
    ask_again: Option<Instant>,
}

impl Wanted {
    /// A partition is to go on. What was wanted of it before no longer counts.
    pub(super) fn insert(&mut self, partition: Partition, next: Option<i64>) {
        self.unanswered.retain(|(other, _)| *other != partition);
        self.fresh.insert(partition, next);
    }

    /// Forgets partitions that are no longer ours.
    pub(super) fn forget(&mut self, gone: &[Partition]) {
        self.fresh.retain(|p, _| !gone.contains(p));
        self.unanswered.retain(|(p, _)| !gone.contains(p));
    }

    /// The partition to ask about now, if any.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Partition, Option<i64>)> {
        self.fresh.pop_first().or_else(|| {
            let due = self.ask_again.is_none_or(|at| now >= at);
            due.then(|| self.unanswered.pop_front()).flatten()
        })
    }

    /// The cluster did not answer.
    pub(super) fn unanswered(&mut self, now: Instant, partition: Partition, next: Option<i64>) {
        self.unanswered.push_back((partition, next));
        self.ask_again = Some(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        ("calls".into(), number)
    }

    fn next(wanted: &mut Wanted, now: Instant) -> Option<i32> {
        wanted.next(now).map(|(partition, _)| partition.1)
    }

    #[test]
    fn one_without_an_answer_holds_no_other_back() {
        let now = Instant::now();
        let mut wanted = Wanted::default();
        for number in 0..4 {
            wanted.insert(partition(number), Some(7));
        }
        for dead in [0, 1] {
            assert_eq!(next(&mut wanted, now), Some(dead));
            wanted.unanswered(now, partition(dead), Some(7));
        }
        assert_eq!(next(&mut wanted, now), Some(2));
        assert_eq!(next(&mut wanted, now), Some(3));
        assert_eq!(next(&mut wanted, now), None, "not before the pause is over");

        let later = now + PAUSE;
        assert_eq!(next(&mut wanted, later), Some(0));
        wanted.unanswered(later, partition(0), Some(7));
        assert_eq!(next(&mut wanted, later), None, "one at a time");
        assert_eq!(next(&mut wanted, later + PAUSE), Some(1), "in turn");
        assert_eq!(next(&mut wanted, later + PAUSE), Some(0), "after an answer");
    }

    #[test]
    fn the_last_word_counts_and_what_went_is_forgotten() {
        let now = Instant::now();
        let mut wanted = Wanted::default();
        wanted.unanswered(now, partition(0), None);
        wanted.insert(partition(0), Some(9));
        assert_eq!(wanted.next(now), Some((partition(0), Some(9))));
        wanted.unanswered(now, partition(0), Some(9));
        wanted.insert(partition(1), None);
        wanted.forget(&[partition(0), partition(1)]);
        assert_eq!(wanted.next(now + PAUSE), None);
    }
}
