//! Simulated time.
//!
//! Every delay and every time-out of the simulator runs on this clock: it can run faster than the
//! wall's, and be moved forward by hand. The world itself never reads a clock; it is told the time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

/// A moment of simulated time.
pub(crate) type Timestamp = DateTime<Utc>;

/// Sleeps shorter than this are not worth waking up for twice.
const SHORTEST_SLEEP: Duration = Duration::from_micros(200);

/// Tells simulated time and waits for it to pass.
#[derive(Debug)]
pub(crate) struct Clock {
    rate: Mutex<Rate>,
    /// Wakes sleepers when time was moved or its speed changed.
    changed: watch::Sender<()>,
}

/// A straight line from real time to simulated time.
#[derive(Debug, Clone, Copy)]
struct Rate {
    real: Instant,
    simulated: Timestamp,
    scale: f64,
}

impl Rate {
    fn at(&self, real: Instant) -> Timestamp {
        let passed = real
            .saturating_duration_since(self.real)
            .mul_f64(self.scale);
        self.simulated + delta(passed)
    }
}

impl Clock {
    /// Starts at the wall clock's time and runs `scale` times as fast.
    pub(crate) fn new(scale: f64) -> Self {
        let rate = Rate {
            real: Instant::now(),
            simulated: Utc::now().trunc_subsecs(3),
            scale: sane(scale),
        };
        Self {
            rate: Mutex::new(rate),
            changed: watch::Sender::new(()),
        }
    }

    /// The simulated time.
    pub(crate) fn now(&self) -> Timestamp {
        self.rate().at(Instant::now())
    }

    /// Makes time run `scale` times as fast as the wall clock.
    pub(crate) fn set_scale(&self, scale: f64) {
        self.rebase(TimeDelta::zero(), Some(sane(scale)));
    }

    /// Moves time forward; sleepers whose time has come wake up.
    pub(crate) fn advance(&self, by: Duration) {
        self.rebase(delta(by), None);
    }

    /// Waits until `duration` of simulated time has passed.
    pub(crate) async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + delta(duration)).await;
    }

    /// Waits until it is `deadline`.
    pub(crate) async fn sleep_until(&self, deadline: Timestamp) {
        let mut changed = self.changed.subscribe();
        loop {
            let rate = self.rate();
            let left = (deadline - rate.at(Instant::now())).to_std();
            let Some(left) = left.ok().filter(|left| !left.is_zero()) else {
                return;
            };
            let real = left.div_f64(rate.scale).max(SHORTEST_SLEEP);
            tokio::select! {
                () = tokio::time::sleep(real) => {}
                _ = changed.changed() => {}
            }
        }
    }

    fn rebase(&self, jump: TimeDelta, scale: Option<f64>) {
        {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            let real = Instant::now();
            *rate = Rate {
                real,
                simulated: rate.at(real) + jump,
                scale: scale.unwrap_or(rate.scale),
            };
        }
        self.changed.send_replace(());
    }

    fn rate(&self) -> Rate {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A span that can be added to any sensible moment: at most a hundred years.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    let longest = TimeDelta::days(36_500);
    TimeDelta::from_std(duration).map_or(longest, |delta| delta.min(longest))
}

/// Keeps nonsense (zero, negative, not a number) from stopping time.
fn sane(scale: f64) -> f64 {
    if scale.is_finite() && scale > 0.0 {
        scale.clamp(0.001, 1_000_000.0)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_time_is_moved() {
        let clock = Clock::new(1.0);
        let before = clock.now();
        let sleep = clock.sleep(Duration::from_hours(1));
        tokio::pin!(sleep);
        assert!(futures::poll!(&mut sleep).is_pending());
        clock.advance(Duration::from_secs(3_601));
        assert!(futures::poll!(&mut sleep).is_ready());
        assert!(clock.now() - before >= TimeDelta::seconds(3_601));
    }

    #[tokio::test]
    async fn scaled_time_runs_faster() {
        let clock = Clock::new(100_000.0);
        let (simulated, real) = (clock.now(), Instant::now());
        clock.sleep(Duration::from_hours(1)).await;
        assert!(clock.now() - simulated >= TimeDelta::seconds(3_600));
        assert!(real.elapsed() < Duration::from_mins(10));
    }
}
