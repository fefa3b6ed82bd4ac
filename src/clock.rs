//! The wall clock, for shells. Below them `now` is an argument, so that decisions can be tested
//! and simulated.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// How often is looked whether the clock goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far back it may be set. Whoever keeps clocks right by small steps stays far below.
const BACK_AT_MOST: Duration = Duration::from_secs(5);

/// The time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the clock"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Waits until the clock is set back by more than five seconds: then the process has to end, and be
/// started again. Kafka's library waits by the wall clock, and would stand still for as long as that
/// was set back.
pub async fn set_back() {
    let mut before = (Instant::now(), now());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looked = (Instant::now(), now());
        let back = back_by(looked.0 - before.0, before.1, looked.1);
        if back > BACK_AT_MOST {
            tracing::error!(
                seconds = back.as_secs(),
                "the clock was set back, by which Kafka's library waits; check who sets this machine's clock"
            );
            return;
        }
        before = looked;
    }
}

/// How far the clock was set back while so much time passed; nothing if it went on or ahead.
fn back_by(passed: Duration, before: DateTime<Utc>, after: DateTime<Utc>) -> Duration {
    (before + passed - after).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_or_ahead_is_not_set_back() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let noon = DateTime::UNIX_EPOCH + Duration::from_hours(12);
        assert_eq!(back_by(second, noon, noon + second), Duration::ZERO);
        assert_eq!(back_by(second, noon, noon + hour), Duration::ZERO);
        assert_eq!(back_by(second, noon, noon), second);
        assert_eq!(back_by(second, noon, noon - hour), hour + second);
    }
}
