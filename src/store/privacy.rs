//! Erasing what is about people, before its age would.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::inbox::Partition;
use super::reports::CallState;
use super::values::{Columns, call_id, count, from_word, id_opt, state, text, time};
use super::{Result, Written};
use crate::domain::ids::{AccountId, CallId, InteractionId, RecordId};

/// A call, as far as erasing it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasable {
    /// The call.
    pub call: CallId,
    /// Where it stands: what is not over needs its content.
    pub state: CallState,
    /// Its Task, which stays at Salesforce.
    pub task: Option<RecordId>,
}

impl Erasable {
    /// Whether its content may go: there is nothing more to be sent of it. A dead letter's may, and
    /// then nobody can replay it.
    pub const fn may_go(&self) -> bool {
        matches!(
            self.state,
            CallState::Logged | CallState::Skipped | CallState::Dead
        )
    }
}

/// Whose data was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Somebody with a phone number, which is noted nowhere.
    Number,
    /// An account.
    Account,
}

/// A note that something was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureNote {
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub by: String,
    /// Whose data.
    pub subject: Subject,
    /// Which account's, where it was one.
    pub account: Option<AccountId>,
    /// Calls whose content was erased.
    pub calls: u32,
    /// Calls that were not over, and so kept theirs.
    pub kept: u32,
    /// Quarantined records that were erased.
    pub records: u32,
}

/// The room of erasing.
#[async_trait]
pub trait Privacy: Send + Sync {
    /// The calls of an account, in order of id, behind this one.
    async fn calls_of(
        &self,
        account: &AccountId,
        after: Option<&InteractionId>,
        limit: u32,
    ) -> Result<Vec<CallId>>;

    /// How these calls stand; those unknown are left out.
    async fn erasable(&self, calls: &[CallId]) -> Result<Vec<Erasable>>;

    /// Drops the bodies of those of these calls that are over, and tells how each stood. Their keys,
    /// times and states stay, so that an event that comes again makes no second Task.
    async fn erase_calls(&self, calls: &[CallId]) -> Result<Vec<Erasable>>;

    /// Drops quarantined records; tells how many there were.
    async fn erase_records(&self, records: &[(Partition, i64)]) -> Result<u64>;

    /// Drops the history of an account's link, the logins and invitations of its admins, and who is
    /// told of it; `Stale` while it is linked.
    async fn erase_history(&self, account: &AccountId) -> Result<Written>;

    /// Notes that something was erased.
    async fn note_erasure(&self, note: &ErasureNote) -> Result<()>;

    /// What was erased, the latest first.
    async fn erasures(&self, limit: u32) -> Result<Vec<ErasureNote>>;
}

/// A call, from the columns of its fields.
pub(super) fn erasable(row: &impl Columns) -> Result<Erasable> {
    Ok(Erasable {
        call: call_id(row)?,
        state: state(row)?,
        task: id_opt(row, "task")?,
    })
}

/// A note, from the columns of its fields.
pub(super) fn erasure_note(row: &impl Columns) -> Result<ErasureNote> {
    Ok(ErasureNote {
        at: time(row, "at")?,
        by: text(row, "by_whom")?.to_owned(),
        subject: from_word(row, "subject")?,
        account: id_opt(row, "account")?,
        calls: count(row, "calls")?,
        kept: count(row, "kept")?,
        records: count(row, "records")?,
    })
}
