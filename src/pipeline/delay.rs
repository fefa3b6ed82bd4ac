//! How long after they were sent calls are taken in. Pure: `now` is an argument.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// What ingest is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the oldest message of the batch was sent that is being stored; `None` between two.
    pub storing: Option<DateTime<Utc>>,
    /// When the last batch was stored, and how old its oldest message was then.
    pub stored: Option<(DateTime<Utc>, Duration)>,
}

impl Progress {
    /// A batch is stored whose oldest message was sent then.
    pub fn end(&mut self, now: DateTime<Utc>) {
        let oldest = self.storing.take().unwrap_or(now);
        self.stored = Some((now, since(oldest, now)));
    }
}

/// How far ingest is behind, as the watcher sees it from time to time.
#[derive(Debug, Default)]
pub(super) struct Delay {
    /// Since when messages have waited without a break.
    waiting: Option<DateTime<Utc>>,
}

impl Delay {
    /// The delay now, with so many messages waiting in Kafka. It is the age of the oldest message
    /// that is being stored; between batches that of the last, and it grows while nothing is
    /// stored though something waits.
    pub(super) fn at(&mut self, now: DateTime<Utc>, progress: Progress, lag: u64) -> Duration {
        self.waiting = (lag > 0).then(|| self.waiting.unwrap_or(now));
        if let Some(oldest) = progress.storing {
            return since(oldest, now);
        }
        let Some(waiting) = self.waiting else {
            return Duration::ZERO;
        };
        match progress.stored {
            // What waits came after the last batch.
            Some((at, _)) if at < waiting => since(waiting, now),
            Some((at, age)) => age + since(at, now),
            None => since(waiting, now),
        }
    }
}

/// The time from one to the other; none where clocks disagree.
fn since(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    fn stored(at_second: i64, age: u64) -> Progress {
        Progress {
            storing: None,
            stored: Some((at(at_second), Duration::from_secs(age))),
        }
    }

    #[test]
    fn a_batch_that_cannot_be_stored_grows_old() {
        let mut progress = Progress {
            storing: Some(at(100)),
            ..stored(99, 1)
        };
        let mut delay = Delay::default();
        assert_eq!(delay.at(at(103), progress, 0), Duration::from_secs(3));
        assert_eq!(
            delay.at(at(900), progress, 5),
            Duration::from_mins(13) + Duration::from_secs(20)
        );
        progress.end(at(901));
        assert_eq!(progress, stored(901, 801));
        assert_eq!(delay.at(at(902), progress, 5), Duration::from_secs(802));
        assert_eq!(delay.at(at(907), progress, 0), Duration::ZERO);
    }

    #[test]
    fn standing_still_grows_and_a_quiet_night_does_not_count() {
        let mut delay = Delay::default();
        let quiet = stored(100, 600);
        assert_eq!(delay.at(at(5000), quiet, 0), Duration::ZERO);
        assert_eq!(delay.at(at(5005), quiet, 3), Duration::ZERO);
        assert_eq!(delay.at(at(5405), quiet, 3), Duration::from_secs(400));
        assert_eq!(
            delay.at(at(5410), stored(5409, 2), 3),
            Duration::from_secs(3)
        );
        let mut fresh = Delay::default();
        assert_eq!(fresh.at(at(0), Progress::default(), 7), Duration::ZERO);
        assert_eq!(
            fresh.at(at(60), Progress::default(), 7),
            Duration::from_mins(1)
        );
    }
}
