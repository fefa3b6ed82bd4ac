//! Pauses: ordered by operators, obeyed by every worker.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Result;
use crate::domain::ids::{AccountId, OrgId};
use crate::domain::pause::{Pause, Scope};
use crate::domain::work::Lane;

/// The wish to pause.
#[derive(Clone, Debug)]
pub struct NewPause {
    /// What.
    pub scope: Scope,
    /// Lookups, Tasks, or both.
    pub lanes: Vec<Lane>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Until when; `None`: until it is resumed.
    pub until: Option<DateTime<Utc>>,
}

/// A pause, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseLine {
    /// The pause.
    pub pause: Pause,
    /// When it was resumed, or another took its place, and who did that; `None`: it stands, or ended
    /// at its time.
    pub ended: Option<(DateTime<Utc>, String)>,
}

/// The room of pauses.
#[async_trait]
pub trait Pauses: Send + Sync {
    /// Pauses something, in place of a pause of the same that stands. Calling it again does no more.
    async fn pause(&self, pause: &NewPause) -> Result<()>;

    /// Ends the pauses of exactly this scope in these lanes that are in force; gives them.
    async fn resume(&self, scope: &Scope, lanes: &[Lane], by: &str) -> Result<Vec<Pause>>;

    /// The pauses in force, by the database's clock.
    async fn pauses(&self) -> Result<Vec<Pause>>;

    /// The last pauses, the latest first.
    async fn pause_history(&self, limit: u32) -> Result<Vec<PauseLine>>;
}

/// A scope as two columns: what kind it is, and which one; empty for all.
pub(super) fn scope_columns(scope: &Scope) -> (&'static str, &str) {
    let subject = match scope {
        Scope::Account(account) => account.as_str(),
        Scope::Org(org) => org.as_str(),
        Scope::All => "",
    };
    (scope.as_str(), subject)
}

/// The scope of two columns; `None` for what no version of this program wrote.
pub(super) fn scope_of(kind: &str, subject: &str) -> Option<Scope> {
    match kind {
        "account" => subject.parse::<AccountId>().ok().map(Scope::Account),
        "org" => subject.parse::<OrgId>().ok().map(Scope::Org),
        "all" => Some(Scope::All),
        _ => None,
    }
}
