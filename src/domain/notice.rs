//! Notices: what an account's contacts are told of its link, and when a change is worth telling.
//!
//! What counts is the condition in which a link stands, not each step on the way: it is compared
//! with what was told last, once it has stood for a while. So a link that flaps is told once, and
//! nobody hears of a recovery from something that they never heard of.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::link::{Health, LinkReason, LinkState, LinkStatus, LinkedOrg};

/// By what a contact is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail.
    Mail,
    /// A signed request to an address of the web.
    Webhook,
}

/// How a link stands, as far as contacts are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    Unlinked,
    /// It works; with what preflight found needed and missing.
    Works(BTreeSet<String>),
    /// It does not.
    Broken,
}

impl Condition {
    /// How a link stands.
    pub fn of(state: &LinkState) -> Self {
        match (state.status, state.health) {
            (LinkStatus::Unlinked, _) => Self::Unlinked,
            (_, Health::Broken) => Self::Broken,
            (_, Health::Healthy | Health::AtRisk) => {
                let missing = state.org.as_ref().map(LinkedOrg::missing);
                Self::Works(missing.unwrap_or_default().into_iter().collect())
            }
        }
    }
}

/// What the contacts of an account were told last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// That the link is broken.
    pub broken: bool,
    /// That this is missing.
    pub missing: BTreeSet<String>,
    /// When; `None`: nothing bad is told that is not over.
    pub at: Option<DateTime<Utc>>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The link broke.
    Broken,
    /// It works again, or has again what was missing.
    Recovered,
    /// Something needed is newly missing in the org.
    PreflightRed,
    /// Somebody wants to see whether notices arrive.
    Test,
}

impl Told {
    /// Compares what was told with how the link stands: what is to be told now, if anything, and
    /// what has been told then.
    pub fn after(&self, now: &Condition, at: DateTime<Utc>) -> (Option<NoticeKind>, Self) {
        match now {
            Condition::Unlinked => (None, Self::default()),
            Condition::Broken if self.broken => (None, self.clone()),
            Condition::Broken => {
                let told = Self {
                    broken: true,
                    missing: self.missing.clone(),
                    at: Some(at),
                };
                (Some(NoticeKind::Broken), told)
            }
            Condition::Works(missing) => {
                let mended = missing.is_empty() && !self.missing.is_empty();
                let kind = if !missing.is_subset(&self.missing) {
                    Some(NoticeKind::PreflightRed)
                } else if self.broken || mended {
                    Some(NoticeKind::Recovered)
                } else {
                    None
                };
                let at = if kind.is_some() { Some(at) } else { self.at };
                let told = Self {
                    broken: false,
                    missing: missing.clone(),
                    at: at.filter(|_| !missing.is_empty()),
                };
                (kind, told)
            }
        }
    }
}

/// What a notice says: nothing about calls but their number, and nothing about people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// Why the link is as it is.
    pub reason: Option<LinkReason>,
    /// What is needed and missing.
    pub missing: Vec<String>,
    /// Calls that wait for the link.
    pub waiting: u64,
    /// Since when the link stands so.
    pub since: DateTime<Utc>,
}

/// Why a notice did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum DeliveryFault {
    /// The server could not be reached, or the connection was lost.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// It answered, and did not take the notice.
    Refused {
        /// The status of HTTP, or the code of SMTP.
        code: u16,
        /// It will not take it later either.
        for_good: bool,
    },
    /// The webhook's host has no public address: nothing is sent into networks behind it.
    NotPublic,
    /// There is no mail server in the settings any more.
    NotConfigured,
    /// The contact cannot be read.
    Unreadable,
}

impl DeliveryFault {
    /// Whether the same again will bring the same.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Refused { for_good, .. } => for_good,
            Self::NotConfigured | Self::Unreadable => true,
            Self::Unreachable | Self::TimedOut | Self::NotPublic => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works(missing: &[&str]) -> Condition {
        Condition::Works(missing.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn only_what_is_news_to_the_contacts_is_told() {
        use NoticeKind::{Broken, PreflightRed, Recovered};
        let story = [
            (works(&[]), None),
            (Condition::Broken, Some(Broken)),
            (Condition::Broken, None),
            (works(&[]), Some(Recovered)),
            (works(&["create Task"]), Some(PreflightRed)),
            (
                works(&["create Task", "Task.CallObject"]),
                Some(PreflightRed),
            ),
            (works(&["Task.CallObject"]), None),
            (Condition::Broken, Some(Broken)),
            (works(&["Task.CallObject"]), Some(Recovered)),
            (works(&[]), Some(Recovered)),
            (works(&["create Task"]), Some(PreflightRed)),
            (Condition::Unlinked, None),
            (works(&[]), None),
        ];
        let mut told = Told::default();
        for (step, (now, expected)) in story.into_iter().enumerate() {
            let (kind, next) = told.after(&now, DateTime::UNIX_EPOCH);
            assert_eq!(kind, expected, "step {step}");
            told = next;
        }
    }
}
