//! Links: status and health (two fields, never one), their transitions, and what those publish.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, Generation, OrgId, Sequence, ShardId, UserId};
use super::preflight::{self, Check};
use super::task::KeyMode;

/// What the admin sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkStatus {
    /// No API user.
    #[default]
    Unlinked,
    /// An API user, linked by OAuth.
    Linked,
    /// An API user, linked by an older method; works, and should be relinked.
    Legacy,
}

/// Whether the link works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It works.
    #[default]
    Healthy,
    /// It works, and something needed is missing or in doubt.
    AtRisk,
    /// It does not work: calls park.
    Broken,
}

/// Why a link's status or health is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkReason {
    /// An admin pressed Link.
    UserLinked,
    /// An admin pressed Relink.
    UserRelinked,
    /// An admin pressed Unlink.
    UserUnlinked,
    /// It works again.
    Recovered,
    /// The refresh token is revoked, expired or displaced.
    TokenRevoked,
    /// A further approval of the same API user was refused here, and has displaced this link's at
    /// Salesforce, which keeps five for each user and app and revokes the oldest without a word.
    ApprovalDisplaced,
    /// A refresh was claimed and its answer lost: the token may be used up.
    RefreshInDoubt,
    /// The API user is inactive or frozen.
    ApiUserInactive,
    /// The app is not installed or not approved in the org.
    AppNotApproved,
    /// Login hours or IP ranges forbid it.
    IpOrHoursRestricted,
    /// A permission or a field is missing.
    PermissionMissing,
    /// The org or the user may not use the API.
    ApiDisabled,
    /// The org is inactive, locked or deleted.
    OrgInactive,
    /// Salesforce refuses our own app: an operator must look.
    OurCredentials,
    /// None of the above.
    Unknown,
}

/// Where the API user logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// `login.salesforce.com`.
    #[default]
    Production,
    /// `test.salesforce.com`.
    Sandbox,
}

impl Environment {
    /// Where the API users of an org log in, by whether it is a sandbox.
    pub const fn of(is_sandbox: bool) -> Self {
        if is_sandbox {
            Self::Sandbox
        } else {
            Self::Production
        }
    }
}

/// Which app at Salesforce a refresh token was given to: no other can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum App {
    /// The one that accounts link through.
    #[default]
    Own,
    /// That of the older method, for links that were imported from it.
    Legacy,
}

/// Who caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Actor {
    /// An account's admin.
    Admin(String),
    /// An operator at the command line.
    Operator(String),
    /// A program that uses the API, by the name of its token.
    Machine(String),
    /// This software.
    System,
    /// Salesforce's answer.
    Salesforce,
}

/// The state of an account's link, as everybody but the token handling needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The account.
    pub account: AccountId,
    /// Where its work lies.
    pub shard: ShardId,
    /// What the admin sees.
    pub status: LinkStatus,
    /// Whether it works.
    pub health: Health,
    /// Why.
    pub reason: Option<LinkReason>,
    /// Since when status and health are these.
    pub since: DateTime<Utc>,
    /// Grows with Link, Relink, Unlink.
    pub generation: Generation,
    /// Grows with every published change.
    pub sequence: Sequence,
    /// The org, while linked.
    pub org: Option<LinkedOrg>,
}

impl LinkState {
    /// An account that was never linked.
    pub fn unlinked(account: AccountId, since: DateTime<Utc>) -> Self {
        Self {
            shard: ShardId::of(&account, None),
            account,
            status: LinkStatus::Unlinked,
            health: Health::Healthy,
            reason: None,
            since,
            generation: Generation::default(),
            sequence: Sequence::default(),
            org: None,
        }
    }

    /// Since when it is broken, if it is, where it was that before: another reason is no new break.
    pub fn broken_since(&self, before: &Self) -> Option<DateTime<Utc>> {
        let broken = |state: &Self| (state.health == Health::Broken).then_some(state.since);
        broken(self).map(|since| broken(before).unwrap_or(since))
    }

    /// Until when its calls wait for it to be linked again, if it was unlinked and they have `grace`.
    pub fn calls_wait_until(&self, grace: Duration) -> Option<DateTime<Utc>> {
        let was_linked = self.generation != Generation::default();
        (self.status == LinkStatus::Unlinked && was_linked).then(|| self.since + grace)
    }

    /// Whether requests may be sent for it now.
    pub const fn is_live(&self) -> bool {
        !matches!(self.status, LinkStatus::Unlinked) && !matches!(self.health, Health::Broken)
    }
}

/// The name by which a user logs in. It is printed with its middle blotted out; the account's admins
/// see it whole.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// Wraps a name.
    pub const fn new(name: String) -> Self {
        Self(name)
    }

    /// The whole name, for the account's own admins.
    pub fn whole(&self) -> &str {
        &self.0
    }

    /// Whether it is not known.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `vc***@acme.example`: enough to know the user again.
impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, domain) = self.0.split_once('@').unwrap_or((&self.0, ""));
        let start: String = name.chars().take(2).collect();
        match domain {
            "" => write!(f, "{start}***"),
            domain => write!(f, "{start}***@{domain}"),
        }
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The org and API user that a link acts in and as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedOrg {
    /// The org.
    pub org: OrgId,
    /// The API user.
    pub user: UserId,
    /// What the org calls itself; `None` until it is asked.
    #[serde(default)]
    pub name: Option<String>,
    /// The API user's name; empty until the org is asked.
    #[serde(default)]
    pub username: Username,
    /// Production or sandbox.
    pub environment: Environment,
    /// Where data requests go.
    pub instance_url: String,
    /// How Tasks are found again.
    pub key_mode: KeyMode,
    /// The org's IANA time zone, for `ActivityDate`; UTC where unknown.
    pub time_zone: Option<String>,
    /// The country that numbers without a country code belong to (ISO 3166-1 alpha-2).
    pub default_country: Option<String>,
    /// What the org calls a completed Task, where that is not what the settings say.
    pub closed_status: Option<String>,
    /// Whether org and API user are as the work needs them, as of the last time that they were asked;
    /// empty until then.
    #[serde(default)]
    pub preflight: Vec<Check>,
    /// When they were asked; `None` until then.
    #[serde(default)]
    pub asked_at: Option<DateTime<Utc>>,
}

impl LinkedOrg {
    /// What is needed and missing, by name: `create Task`, or a field such as `Task.CallObject`.
    /// With any, the link is at risk.
    pub fn missing(&self) -> Vec<String> {
        preflight::missing(&self.preflight)
    }

    /// An org and a user of which nothing else is known yet.
    pub fn unasked(
        (org, user): (OrgId, UserId),
        environment: Environment,
        instance_url: String,
    ) -> Self {
        Self {
            org,
            user,
            name: None,
            username: Username::new(String::new()),
            environment,
            instance_url,
            // Holds in every org, and takes nothing for granted.
            key_mode: KeyMode::CallObject { sees_all: false },
            time_zone: None,
            default_country: None,
            closed_status: None,
            preflight: Vec::new(),
            asked_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_printed_masked() {
        let printed = |name: &str| Username::new(name.to_owned()).to_string();
        assert_eq!(printed("vccuser@acme.example"), "vc***@acme.example");
        assert_eq!(printed("ü"), "ü***");
    }

    #[test]
    fn another_reason_is_no_new_break() {
        let state = |seconds, health| LinkState {
            health,
            ..LinkState::unlinked(
                "acme".parse().expect("an account"),
                DateTime::from_timestamp(seconds, 0).expect("a time"),
            )
        };
        let first = state(1, Health::Healthy);
        let broken = state(2, Health::Broken);
        let again = state(3, Health::Broken);
        assert_eq!(broken.broken_since(&first), Some(broken.since));
        assert_eq!(again.broken_since(&broken), Some(broken.since));
        assert_eq!(first.broken_since(&again), None);
    }
}
