//! What an answer means for a call: failure classes, outcomes, and the reasons that are published.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::RecordId;
use super::task::{Hidden, TaskField};

/// What can be done about a failure. The table that assigns each of Salesforce's answers to a
/// class is `salesforce::error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Goes away by itself: retry with backoff.
    Transient,
    /// Too many requests at once: retry, and open fewer requests to the org.
    Throttled,
    /// The org's daily limit is used up: the whole org waits, and is probed.
    Quota,
    /// The access token died: refresh it once, then send again.
    Session,
    /// The link is dead: only a new Link by the admin helps.
    Link,
    /// A setting in the customer's org forbids it: park until it is changed.
    Admin,
    /// The record's content is refused: leave the named fields out and send again.
    Payload,
    /// The request was too large or mixed: send it again in halves.
    Split,
    /// It was done before: a record exists that has our key, and may not be seen.
    Done,
    /// No answer, or one that leaves open whether it was done: reconcile.
    Ambiguous,
    /// Our own fault, or unknown to us for too long: a person must look.
    Bug,
}

impl FailureClass {
    /// The class as it is written in events, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Quota => "quota",
            Self::Session => "session",
            Self::Link => "link",
            Self::Admin => "admin",
            Self::Payload => "payload",
            Self::Split => "split",
            Self::Done => "done",
            Self::Ambiguous => "ambiguous",
            Self::Bug => "bug",
        }
    }

    /// Whether it may pass by itself, with nothing changed by anybody. One without an answer is
    /// no such: the request may have been carried out.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Transient | Self::Throttled | Self::Quota | Self::Session | Self::Split => true,
            Self::Link | Self::Admin | Self::Payload | Self::Done | Self::Ambiguous | Self::Bug => {
                false
            }
        }
    }
}

/// How far a failure reaches beyond the record that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureScope {
    /// This record alone.
    Record,
    /// Every record of this request.
    Request,
    /// Every account that shares the org.
    Org,
    /// Every account: our own credentials or network.
    Everyone,
}

/// One failure, without any of the content that met it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What can be done.
    pub class: FailureClass,
    /// How far it reaches.
    pub scope: FailureScope,
    /// Salesforce's error code (`UNABLE_TO_LOCK_ROW`), or ours in lower case (`connect_failed`).
    pub code: String,
    /// The HTTP status, where one came.
    pub http_status: Option<u16>,
    /// The Task fields that Salesforce named, or that the code means.
    pub fields: BTreeSet<TaskField>,
    /// What a person can do, in one sentence; never Salesforce's own text, which may quote data.
    pub hint: String,
    /// The record that exists already, for [`FailureClass::Done`].
    pub existing: Option<RecordId>,
    /// Salesforce's application server answered, so the request is over on its side: for an
    /// ambiguous one a single look is final (rule 4).
    #[serde(default)]
    pub ended: bool,
    /// The org does not answer at its address any more, where a token refresh may tell the new one.
    #[serde(default)]
    pub moved: bool,
    /// Not to be tried again before so many seconds have passed: what the answer itself asked for.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

impl Failure {
    /// A failure of one record with a code and no more.
    pub fn new(class: FailureClass, scope: FailureScope, code: impl Into<String>) -> Self {
        Self {
            class,
            scope,
            code: code.into(),
            http_status: None,
            fields: BTreeSet::new(),
            hint: String::new(),
            existing: None,
            ended: false,
            moved: false,
            retry_after: None,
        }
    }
}

/// How a call came to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoggedAs {
    /// A new Task.
    Created,
    /// An existing Task that was changed: click-to-dial, or a later revision.
    Updated,
    /// A Task that an earlier, unanswered attempt had created.
    Adopted,
}

/// Why a call earns no Task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The account is not linked.
    Unlinked,
    /// The table outcome × direction says so.
    Policy,
    /// Between agents.
    Internal,
    /// Beyond the dedupe horizon: it may have been logged before.
    TooOld,
    /// Parked longer than the maximum age.
    Expired,
}

/// Why a call waits for a person or for the org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// The link is broken.
    LinkBroken,
    /// The org refuses: a permission, a validation rule, a required field.
    OrgRefuses,
    /// The org's API budget is used up.
    Quota,
    /// An operator paused the account.
    Paused,
    /// The account was unlinked a short while ago, and may be linked again.
    Unlinked,
}

/// Why a call was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// Salesforce refuses it, and no degrading is left.
    Refused,
    /// The retries are used up.
    RetriesExhausted,
    /// Sent, never answered, and the org hides whether the Task exists (rule 6).
    Unknown,
    /// Still open when the previous org's link was given up (rule 8).
    UnresolvedInPreviousOrg,
    /// Our own fault.
    Bug,
}

/// What became of a call at one step. Recorded with its attempt in one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// There is exactly one Task. Terminal.
    Logged {
        /// How it came to be.
        how: LoggedAs,
        /// The Task.
        task: RecordId,
    },
    /// It earns no Task. Terminal.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
    /// Given up; kept, replayable. Terminal.
    Dead {
        /// Why.
        reason: DeadReason,
        /// The last failure.
        failure: Option<Failure>,
    },
    /// To be sent again.
    RetryAt {
        /// Not before this.
        at: DateTime<Utc>,
        /// What failed.
        failure: Failure,
        /// What the next attempt leaves out.
        degraded: BTreeSet<TaskField>,
        /// The next request with this call holds at most so many calls: it failed in a larger one.
        #[serde(default)]
        batch_limit: Option<u32>,
        /// Where an earlier request may have made its Task, unseen.
        #[serde(default)]
        hidden: Option<Hidden>,
    },
    /// Sent and not answered: reconcile, not before `look_at`. The attempt stays open.
    InDoubt {
        /// When to ask Salesforce.
        look_at: DateTime<Utc>,
        /// What was seen instead of an answer.
        failure: Failure,
    },
    /// Waits for a person or for the org.
    Parked {
        /// Why.
        reason: ParkReason,
        /// What failed, where something did.
        failure: Option<Failure>,
        /// Until when it is kept: after that it is tried once more, if its link works, and ends as
        /// expired.
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    /// Nothing was sent: the call is ready as before.
    NotSent {
        /// Not before this.
        at: DateTime<Utc>,
    },
}

impl Outcome {
    /// Whether nothing more happens to the call by itself.
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Logged { .. } | Self::Skipped { .. } | Self::Dead { .. }
        )
    }
}

/// The answer to one call's part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Salesforce created the Task.
    Created(RecordId),
    /// Salesforce changed the Task.
    Updated(RecordId),
    /// The unique field is taken, and a read-back showed our key on that Task (rule 7).
    Exists(RecordId),
    /// No byte of the request was written.
    NotSent(Failure),
    /// Salesforce said no, or said nothing that can be trusted.
    Failed(Failure),
}
