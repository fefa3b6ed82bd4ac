//! Settings of links and tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;

/// Settings of links and tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Access tokens older than this are refreshed before they are needed. Salesforce tells no
    /// expiry; the org's session timeout is 2 h by default, 15 min at the least.
    #[serde(with = "humantime_serde")]
    pub refresh_after: Duration,
    /// How often tokens are looked over.
    #[serde(with = "humantime_serde")]
    pub refresh_check: Duration,
    /// A claimed refresh is sent within this, or not at all.
    #[serde(with = "humantime_serde")]
    pub refresh_send_within: Duration,
    /// How often an org is asked anew what it allows: permissions, the unique field, its time zone.
    #[serde(with = "humantime_serde")]
    pub profile_every: Duration,
    /// Accounts that may share one API user. Salesforce keeps five approvals for each user and
    /// app, and revokes the oldest at the sixth.
    pub accounts_per_api_user: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            refresh_after: Duration::from_mins(55),
            refresh_check: Duration::from_mins(1),
            refresh_send_within: Duration::from_secs(10),
            profile_every: Duration::from_hours(24),
            accounts_per_api_user: 5,
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.refresh_after < Duration::from_mins(1) {
            faults.push(Fault::new("linking.refresh_after", "write at least 1min"));
        }
        if self.refresh_check.is_zero() {
            faults.push(Fault::new("linking.refresh_check", "write at least 1s"));
        }
        if self.refresh_send_within < Duration::from_secs(1) {
            faults.push(Fault::new(
                "linking.refresh_send_within",
                "write at least 1s",
            ));
        }
        if self.profile_every < Duration::from_mins(1) {
            faults.push(Fault::new("linking.profile_every", "write at least 1min"));
        }
        if !(1..=5).contains(&self.accounts_per_api_user) {
            let advice = "write 1 to 5: Salesforce revokes the oldest approval at the sixth";
            faults.push(Fault::new("linking.accounts_per_api_user", advice));
        }
    }
}
