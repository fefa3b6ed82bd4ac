//! What people ask: where is this call, which calls are in which state.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Result;
use super::inbox::{QuarantineRow, StoredCall};
use crate::domain::ids::{
    AccountId, AttemptId, CallId, EventId, Generation, OrgId, RecordId, Revision, ShardId,
};
use crate::domain::outcome::Outcome;
use crate::domain::work::AttemptKind;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallState {
    /// Started, not ended.
    Ringing,
    /// Ended, to be sent.
    Ready,
    /// An attempt is open.
    Sending,
    /// An attempt's answer was lost: to be reconciled.
    InDoubt,
    /// To be sent again at a time.
    RetryAt,
    /// Waits for the link or the org.
    Parked,
    /// There is a Task.
    Logged,
    /// It earns no Task.
    Skipped,
    /// Given up, kept.
    Dead,
}

impl CallState {
    /// Every state, in the order of a call's life.
    pub const ALL: [Self; 9] = [
        Self::Ringing,
        Self::Ready,
        Self::Sending,
        Self::InDoubt,
        Self::RetryAt,
        Self::Parked,
        Self::Logged,
        Self::Skipped,
        Self::Dead,
    ];

    /// The state as it is written in the database, in metrics and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::InDoubt => "in_doubt",
            Self::RetryAt => "retry_at",
            Self::Parked => "parked",
            Self::Logged => "logged",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
        }
    }
}

/// One call in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    /// The call.
    pub id: CallId,
    /// Where it stands.
    pub state: CallState,
    /// When it was first heard of.
    pub received_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What happens next, and when.
    pub due_at: Option<DateTime<Utc>>,
    /// The last outcome.
    pub outcome: Option<Outcome>,
    /// Attempts so far.
    pub attempts: u32,
    /// Its Task.
    pub task: Option<RecordId>,
}

/// Which calls to list.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only in these states; empty: all.
    pub states: Vec<CallState>,
    /// Only those parked, given up or skipped for this reason, as the contract words it.
    pub reason: Option<String>,
    /// Only those first heard of at or after this.
    pub since: Option<DateTime<Utc>>,
    /// Only those first heard of before this.
    pub until: Option<DateTime<Utc>>,
    /// At most so many, the latest first.
    pub limit: u32,
}

/// An event of a call, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine {
    /// Its id.
    pub event: EventId,
    /// Its time.
    pub time: DateTime<Utc>,
    /// When it was stored.
    pub received_at: DateTime<Utc>,
    /// For an end, its revision; `None` for a begin.
    pub revision: Option<Revision>,
}

/// An attempt of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptLine {
    /// Names it.
    pub attempt: AttemptId,
    /// The link's generation.
    pub generation: Generation,
    /// The org.
    pub org: OrgId,
    /// Create, adopt or update.
    pub kind: AttemptKind,
    /// The revision that was sent.
    pub revision: Revision,
    /// When it was noted.
    pub begun_at: DateTime<Utc>,
    /// No byte was sent after this.
    pub send_by: DateTime<Utc>,
    /// When its outcome was recorded.
    pub closed_at: Option<DateTime<Utc>>,
    /// What came of it; for an open one, the last that was seen.
    pub outcome: Option<Outcome>,
}

/// All that is known of one call, for its story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The line.
    pub line: CallLine,
    /// Where it lies.
    pub shard: ShardId,
    /// When it was closed as a call whose end does not come.
    pub never_ended_at: Option<DateTime<Utc>>,
    /// The begin and the end that stand.
    pub events: Vec<EventLine>,
    /// Events received in all, duplicates and superseded ones among them.
    pub events_received: u32,
    /// The lookup's answer is stored.
    pub looked_up: bool,
    /// The link's generation that the lookup asked.
    pub lookup_generation: Option<Generation>,
    /// The bodies.
    pub call: StoredCall,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptLine>,
    /// Events published, and those that still wait.
    pub published: u32,
    /// See above.
    pub unpublished: u32,
}

/// What is left of a call that is not stored, and where else it may be.
#[derive(Clone, PartialEq, Eq)]
pub struct Traces {
    /// Events of the call that are published and not forgotten.
    pub published: u32,
    /// Those that still wait.
    pub unpublished: u32,
    /// The latest quarantined records, of whatever call, the latest first: the store is blind to
    /// what they hold.
    pub quarantined: Vec<QuarantineRow>,
}

/// How many calls are in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateCount {
    /// The state.
    pub state: CallState,
    /// How many.
    pub calls: u64,
    /// The oldest one's age by when it was first heard of.
    pub oldest: Option<DateTime<Utc>>,
}

/// The room of questions. Nothing here changes anything.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Calls by filter, the latest first.
    async fn list_calls(&self, filter: &CallFilter) -> Result<Vec<CallLine>>;

    /// One call's story; `None` if its key is not known.
    async fn story(&self, call: &CallId) -> Result<Option<Story>>;

    /// What is known of a call whose key is not, with up to `records` of the latest quarantined
    /// records.
    async fn traces(&self, call: &CallId, records: u32) -> Result<Traces>;

    /// Counts of the calls that are not terminal, by state; from indexes, cheap enough for a
    /// metric every few seconds.
    async fn open_counts(&self) -> Result<Vec<StateCount>>;

    /// Whether the database answers and its schema is this binary's.
    async fn check(&self) -> Result<()>;
}
