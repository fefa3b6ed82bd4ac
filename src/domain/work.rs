//! Work on calls, as the store keeps it and the engine plans it: what is due, what is open.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::ids::{
    AttemptId, CallId, Generation, InteractionId, OrgId, RecordId, Revision, ShardId,
};
use super::outcome::{ParkReason, SkipReason};
use super::task::{Hidden, KeyMode, TaskField};

/// Which kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// A caller is waiting.
    Lookup,
    /// Can wait seconds.
    Task,
}

impl Lane {
    /// The lane as it is written in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Task => "task",
        }
    }
}

/// One call with something due in one lane: no content, so that many fit in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The call.
    pub call: CallId,
    /// Where it lies.
    pub shard: ShardId,
    /// What is due.
    pub lane: Lane,
    /// Not before this. With the call, the cursor of a page.
    pub due_at: DateTime<Utc>,
    /// When the lookup must be answered; `None` where no begin came, so that nobody waits.
    pub lookup_deadline: Option<DateTime<Utc>>,
    /// The lookup's answer is stored.
    pub looked_up: bool,
    /// When the call ended, where its end came.
    pub ended_at: Option<DateTime<Utc>>,
    /// The revision to be logged.
    pub revision: Revision,
    /// Why it earns no Task whatever the link, by the contract's table.
    pub skip: Option<SkipReason>,
    /// Attempts so far, for the backoff.
    pub attempts: u32,
    /// What earlier attempts taught to leave out.
    pub degraded: BTreeSet<TaskField>,
    /// Its next request holds at most so many calls; `None`: any number.
    pub batch_limit: Option<u32>,
    /// Where an earlier request may have made its Task, unseen.
    pub hidden: Option<Hidden>,
}

/// What an attempt does at Salesforce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// Creates the call's Task.
    Create,
    /// Makes this Task the call's: an agent dialled from it.
    Adopt {
        /// The Task.
        task: RecordId,
    },
    /// Changes the call's Task: a later revision.
    Update {
        /// The Task.
        task: RecordId,
    },
}

impl AttemptKind {
    /// The kind as it is written in the database and told.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt { .. } => "adopt",
            Self::Update { .. } => "update",
        }
    }

    /// The Task that it changes.
    pub const fn task(&self) -> Option<&RecordId> {
        match self {
            Self::Create => None,
            Self::Adopt { task } | Self::Update { task } => Some(task),
        }
    }
}

/// An attempt without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Names it.
    pub attempt: AttemptId,
    /// The call.
    pub call: CallId,
    /// Where the call lies now.
    pub shard: ShardId,
    /// The org that it was or was not sent to.
    pub org: OrgId,
    /// The generation that it was sent by.
    pub generation: Generation,
    /// How its Task can be found.
    pub mode: KeyMode,
    /// Create, adopt or update.
    pub kind: AttemptKind,
    /// The revision that was sent.
    pub revision: Revision,
    /// What was left out.
    pub degraded: BTreeSet<TaskField>,
    /// No byte was written after this, by the database's clock.
    pub send_by: DateTime<Utc>,
    /// When to ask Salesforce next.
    pub look_at: DateTime<Utc>,
    /// Attempts of the call so far, this one included.
    pub attempts: u32,
    /// How many calls the request held, this one included.
    pub together: u32,
    /// When the call ended.
    pub call_ended_at: Option<DateTime<Utc>>,
    /// Salesforce's application server answered with an error: the request is over there, and one
    /// look is final (rule 4).
    pub answered: bool,
    /// Where an earlier attempt may have made a Task that nobody sees.
    pub hidden: Option<Hidden>,
}

/// What it is worth that a query showed no Task of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The user who asked was proven, with that very query, to see every Task (rule 6).
    pub sees_all: bool,
    /// The Task that was to be adopted is shown without the call's key: this attempt did not happen.
    /// Of a Task that an earlier one may have made it says nothing.
    pub untouched: bool,
    /// The unique field was asked for, so it stands: Salesforce itself refuses a second Task.
    pub key_field: bool,
}

/// Why an attempt may not begin. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The lease is gone.
    Stale,
    /// An attempt of the call is open.
    Open,
    /// The call is terminal, parked, or at another revision.
    Moved,
    /// The link is not live, or at another generation.
    LinkChanged,
    /// An open attempt of another call changes the same Task, and may take effect later still.
    TaskTaken,
}

/// A place in the order of an account's parked calls, the longest known first: behind this one.
pub type ParkedCursor = (DateTime<Utc>, InteractionId);

/// Some of an account's parked calls, the longest known first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedPage {
    /// Only those parked for one of these.
    pub reasons: Vec<ParkReason>,
    /// Only those first heard of before this.
    pub received_before: Option<DateTime<Utc>>,
    /// Behind this one.
    pub after: Option<ParkedCursor>,
    /// At most so many.
    pub limit: u32,
}

/// Parked calls that were made due again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Unparked {
    /// How many.
    pub calls: u64,
    /// The last of them.
    pub last: Option<ParkedCursor>,
}

/// How much of an org's daily limit is used, as told by an answer (`Sforce-Limit-Info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiUsage {
    /// Requests counted in the last 24 hours, of all the org's tools.
    pub used: u64,
    /// Requests allowed in 24 hours.
    pub limit: u64,
}
