//! How long to wait before the next try: a growing ceiling, and chance below it.

use std::time::Duration;

use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;

/// A wait that doubles with each failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The longest wait after the first failure; it doubles with each further one.
    #[serde(with = "humantime_serde")]
    pub first: Duration,
    /// The wait never grows beyond this.
    #[serde(with = "humantime_serde")]
    pub longest: Duration,
}

impl Backoff {
    /// A backoff between these two.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The longest wait after `failures` failures (0 and 1 are the same).
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Anything from nothing to the ceiling, all equally likely: callers that failed together
    /// come back spread out ("full jitter").
    pub fn full(&self, failures: u32, rng: &mut dyn RngCore) -> Duration {
        self.ceiling(failures).mul_f64(rng.random_range(0.0..=1.0))
    }

    /// At least half the ceiling: for a single prober, which must not hurry by chance.
    pub fn half(&self, failures: u32, rng: &mut dyn RngCore) -> Duration {
        self.ceiling(failures).mul_f64(rng.random_range(0.5..=1.0))
    }

    /// Lists what is wrong with the setting at `path`.
    pub fn validate(&self, path: &str, faults: &mut Vec<Fault>) {
        if self.first.is_zero() {
            faults.push(Fault::new(
                format!("{path}.first"),
                "must be longer than 0s, or failures are repeated without a pause",
            ));
        }
        if self.longest < self.first {
            faults.push(Fault::new(
                format!("{path}.longest"),
                format!("must not be shorter than {path}.first"),
            ));
        }
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
        fn waits_stay_within_their_bounds(
            first in 1_u64..100_000,
            more in 0_u64..10_000_000,
            failures in 0_u32..200,
            seed: u64,
        ) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(first + more));
            let backoff = Backoff::new(first, longest);
            let ceiling = backoff.ceiling(failures);
            prop_assert!(first <= ceiling && ceiling <= longest);
            prop_assert!(ceiling <= backoff.ceiling(failures + 1));
            let mut rng = StdRng::seed_from_u64(seed);
            prop_assert!(backoff.full(failures, &mut rng) <= ceiling);
            let half = backoff.half(failures, &mut rng);
            prop_assert!(half <= ceiling && half * 2 + Duration::from_nanos(2) >= ceiling);
        }
    }
}
