//! Pauses: an operator stops lookups or Tasks, of an account, of an org, or of everybody.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::ids::{AccountId, OrgId};
use super::work::Lane;

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One account.
    Account(AccountId),
    /// Every account that is linked to this org.
    Org(OrgId),
    /// Every account.
    All,
}

impl Scope {
    /// The words of all scopes.
    pub const WORDS: [&str; 3] = ["account", "org", "all"];

    /// The scope's word, without whom it names.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Org(_) => "org",
            Self::All => "all",
        }
    }

    /// Whether it covers an account that is linked to this org.
    fn covers(&self, account: &AccountId, org: Option<&OrgId>) -> bool {
        match self {
            Self::Account(paused) => paused == account,
            Self::Org(paused) => Some(paused) == org,
            Self::All => true,
        }
    }
}

/// A pause, as an operator ordered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub scope: Scope,
    /// Lookups or Tasks.
    pub lane: Lane,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when; `None`: until it is resumed.
    pub until: Option<DateTime<Utc>>,
}

impl Pause {
    /// Whether it covers an account that is linked to this org.
    pub fn covers(&self, account: &AccountId, org: Option<&OrgId>) -> bool {
        self.scope.covers(account, org)
    }
}

/// What is paused at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused(BTreeSet<(Lane, Scope)>);

impl Paused {
    /// What these pauses, all of them in force, pause.
    pub fn by<'a>(pauses: impl IntoIterator<Item = &'a Pause>) -> Self {
        let pauses = pauses.into_iter();
        Self(pauses.map(|p| (p.lane, p.scope.clone())).collect())
    }

    /// Whether a lane of an account is paused that is linked to this org.
    pub fn covers(&self, lane: Lane, account: &AccountId, org: Option<&OrgId>) -> bool {
        // Most of the time nothing is, and nothing is to be copied.
        !self.0.is_empty()
            && (self.0.contains(&(lane, Scope::All))
                || self.0.contains(&(lane, Scope::Account(account.clone())))
                || org.is_some_and(|org| self.0.contains(&(lane, Scope::Org(org.clone())))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_paused_by_itself_by_its_org_or_with_all() {
        let (acme, beta): (AccountId, AccountId) = (
            "acme".parse().expect("an id"),
            "beta".parse().expect("an id"),
        );
        let org: OrgId = "00D000000000001".parse().expect("an org");
        let paused = |scope: Scope| {
            let pause = Pause {
                scope,
                lane: Lane::Task,
                reason: String::new(),
                by: String::new(),
                since: DateTime::UNIX_EPOCH,
                until: None,
            };
            let paused = Paused::by([&pause]);
            let tasks = [
                paused.covers(Lane::Task, &acme, None),
                paused.covers(Lane::Task, &beta, Some(&org)),
            ];
            assert!(!paused.covers(Lane::Lookup, &acme, Some(&org)));
            assert_eq!(
                tasks,
                [pause.covers(&acme, None), pause.covers(&beta, Some(&org))]
            );
            tasks
        };
        assert_eq!(paused(Scope::Account(acme.clone())), [true, false]);
        assert_eq!(paused(Scope::Org(org.clone())), [false, true]);
        assert_eq!(paused(Scope::All), [true, true]);
        assert!(!Paused::default().covers(Lane::Task, &acme, Some(&org)));
    }
}
