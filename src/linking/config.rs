//! Settings of links and tokens.

use std::time::Duration;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::fault::Fault;

/// How long tokens may rest: far below the 30 days after which Salesforce lets a refresh token die
/// that nobody used. Every link's are refreshed ahead of need, however quiet it is.
const LONGEST_REST: Duration = Duration::from_hours(7 * 24);

/// Somebody has to read a mail and find the API user's password.
const SHORTEST_INVITATION: Duration = Duration::from_mins(10);

/// Whoever has the link may use it.
const LONGEST_INVITATION: Duration = Duration::from_hours(7 * 24);

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
    /// Where Salesforce sends an admin's browser back to, as the app at Salesforce names it:
    /// `https://links.example/callback`. Empty: accounts are linked by `links add` alone.
    pub callback_url: String,
    /// How long an admin may take to log in and come back.
    #[serde(with = "humantime_serde")]
    pub authorize_within: Duration,
    /// How long an invitation may be used, and then how long its login waits to be confirmed.
    #[serde(with = "humantime_serde")]
    pub invited_for: Duration,
    /// Accounts that may share one API user. Salesforce keeps five approvals for each user and
    /// app, and revokes the oldest at the sixth.
    pub accounts_per_api_user: u32,
    /// Until when links of the older method should be relinked; empty: no date is told. They go on
    /// working all the same.
    #[serde(with = "optional_date")]
    pub legacy_until: Option<NaiveDate>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            refresh_after: Duration::from_mins(55),
            refresh_check: Duration::from_mins(1),
            refresh_send_within: Duration::from_secs(10),
            profile_every: Duration::from_hours(24),
            callback_url: String::new(),
            authorize_within: Duration::from_mins(15),
            invited_for: Duration::from_hours(24),
            accounts_per_api_user: 5,
            legacy_until: None,
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if !(Duration::from_mins(1)..=LONGEST_REST).contains(&self.refresh_after) {
            let advice = "write 1min to 7d: Salesforce lets a refresh token die that nobody uses for 30 days";
            faults.push(Fault::new("linking.refresh_after", advice));
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
        if !self.callback_url.is_empty() && !is_callback(&self.callback_url) {
            let advice = "write the address that the app at Salesforce calls back, like \"https://links.example/callback\"";
            faults.push(Fault::new("linking.callback_url", advice));
        }
        if self.authorize_within < Duration::from_mins(1) {
            faults.push(Fault::new(
                "linking.authorize_within",
                "write at least 1min",
            ));
        }
        if !(SHORTEST_INVITATION..=LONGEST_INVITATION).contains(&self.invited_for) {
            let advice = "write 10min to 7d: whoever has the link may link the account meanwhile";
            faults.push(Fault::new("linking.invited_for", advice));
        }
        if !(1..=5).contains(&self.accounts_per_api_user) {
            let advice = "write 1 to 5: Salesforce revokes the oldest approval at the sixth";
            faults.push(Fault::new("linking.accounts_per_api_user", advice));
        }
    }
}

/// A date as `2027-03-31`, or an empty text for none.
mod optional_date {
    use chrono::NaiveDate;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde wants it so"
    )]
    pub(super) fn serialize<S: Serializer>(
        date: &Option<NaiveDate>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = date.map(|date| date.to_string());
        serializer.serialize_str(&text.unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NaiveDate>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let date = text.parse().map(Some);
        date.map_err(|_| D::Error::custom("write a date as 2027-03-31, or \"\" for none"))
    }
}

/// Whether Salesforce may send a browser there: https, or this machine.
fn is_callback(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else {
        return false;
    };
    let here = url.host().is_some_and(|host| match host {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    });
    let web = url.scheme() == "https" || (url.scheme() == "http" && here);
    web && url.query().is_none() && url.fragment().is_none()
}
