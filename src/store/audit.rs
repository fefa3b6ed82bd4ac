//! The ledger: every call accounted for, and what does not go on by itself found.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Result;
use super::reports::CallState;
use crate::domain::ids::{AccountId, CallId, EventId, RecordId, Revision};
use crate::domain::outcome::Outcome;

/// Some of the ledger's calls, in the order in which they were first heard of.
#[derive(Clone, Debug)]
pub struct LedgerPage {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only those first heard of at or after this.
    pub since: DateTime<Utc>,
    /// Only those first heard of before this.
    pub until: DateTime<Utc>,
    /// Behind this one.
    pub after: Option<(DateTime<Utc>, CallId)>,
    /// The events of calls that came to their end before this are not asked for: they may be
    /// forgotten.
    pub told_since: DateTime<Utc>,
    /// At most so many.
    pub limit: u32,
}

/// One call, with all that must agree about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The call.
    pub id: CallId,
    /// Where it stands.
    pub state: CallState,
    /// When it was first heard of.
    pub received_at: DateTime<Utc>,
    /// When it was closed as one whose end does not come.
    pub never_ended_at: Option<DateTime<Utc>>,
    /// When a lookup that has no answer had to be answered.
    pub unanswered_since: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The revision to be logged.
    pub revision: Revision,
    /// When its task lane is due.
    pub due_at: Option<DateTime<Utc>>,
    /// It says that an attempt is open.
    pub sends: bool,
    /// The last moment at which that attempt might be sent; `None` where there is no such attempt, or
    /// it is closed.
    pub send_by: Option<DateTime<Utc>>,
    /// Another attempt of it is open, which it does not know of.
    pub has_stray_attempt: bool,
    /// The last outcome.
    pub outcome: Option<Outcome>,
    /// Its Task.
    pub task: Option<RecordId>,
    /// When it came to its end.
    pub terminal_at: Option<DateTime<Utc>>,
    /// The link of its account is broken.
    pub link_broken: bool,
    /// Its events that are written or published; `None`: not asked for.
    pub told: Option<Vec<EventId>>,
}

/// Why calls need a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stuck {
    /// Due for long, and nobody sends it.
    Overdue,
    /// An attempt is open for long, though its account's link works.
    Unresolved,
    /// Parked, and near its maximum age.
    Expiring,
}

impl Stuck {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Overdue, Self::Unresolved, Self::Expiring];

    /// The reason as it is written in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Unresolved => "unresolved",
            Self::Expiring => "expiring",
        }
    }
}

/// How many calls need a look for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckCount {
    /// The reason.
    pub reason: Stuck,
    /// How many.
    pub calls: u64,
}

/// The room of whoever sees to it that no call is forgotten.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Up to `limit` calls by when they were first heard of, account and interaction. That time never
    /// changes, so that whoever reads page by page meets each call once, however they move.
    async fn ledger(&self, page: &LedgerPage) -> Result<Vec<LedgerRow>>;

    /// Closes up to `limit` calls that began, were first heard of before `before`, and have not
    /// ended; tells how many of each account. They stay ringing, count as open no more, and are
    /// logged like any other if their end comes after all. Several may do this at once: each call is
    /// closed by one.
    async fn close_unended(
        &self,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<(AccountId, u64)>>;

    /// Counts, for each reason, the calls that need a look: due or open in an attempt since before
    /// `stuck_before`, parked and first heard of before `parked_before`. From indexes over what is
    /// open.
    async fn stuck(
        &self,
        stuck_before: DateTime<Utc>,
        parked_before: DateTime<Utc>,
    ) -> Result<Vec<StuckCount>>;
}
