//! The wall clock, for shells. Below them `now` is an argument, so that decisions can be tested
//! and simulated.

use chrono::{DateTime, Utc};

/// The time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the clock"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
