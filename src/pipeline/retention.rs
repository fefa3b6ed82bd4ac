//! How long what is stored is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;

/// Settings of how long what is stored is kept; section `retention`. How long calls stay parked is
/// `engine.links.parked_at_most`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long the content of a call is kept that is over: numbers, names, notes, the lookup's
    /// answer. That of a call that is open, parked or a dead letter is kept until it is over.
    #[serde(with = "humantime_serde")]
    pub content: Duration,
    /// How long is kept that a call was there, without its content: its key, times, attempts and
    /// outcome.
    #[serde(with = "humantime_serde")]
    pub ledger: Duration,
    /// How long bytes are kept that are no valid event.
    #[serde(with = "humantime_serde")]
    pub quarantine: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            content: Duration::from_hours(7 * 24),
            ledger: Duration::from_hours(16 * 24),
            quarantine: Duration::from_hours(14 * 24),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        let day = Duration::from_hours(24);
        for (setting, value) in [
            ("retention.content", self.content),
            ("retention.quarantine", self.quarantine),
        ] {
            if value < day {
                faults.push(Fault::new(setting, "write at least 1day"));
            }
        }
        if self.ledger < self.content {
            let advice = "write at least retention.content: what has content has a key";
            faults.push(Fault::new("retention.ledger", advice));
        }
    }
}
