//! Contacts: who is told of an account's link.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::values::{Columns, corrupt, from_word, id, json, json_opt, number, sealed, text, time};
use super::{Result, Sealed};
use crate::domain::ids::{AccountId, ContactId};
use crate::domain::link::Actor;
use crate::domain::notice::{Channel, DeliveryFault, Notice};

/// Names a state of an account's contacts: how often they were changed.
pub type Version = i64;

/// A contact, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRow {
    /// Names it.
    pub id: ContactId,
    /// By what it is told.
    pub channel: Channel,
    /// Sealed: where it is told, and what its webhooks are signed with.
    pub target: Sealed,
    /// Where, masked: enough for those who know it to know it again.
    pub shown: String,
    /// When it was added.
    pub added_at: DateTime<Utc>,
}

/// What became of the last notice to a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastNotice {
    /// What it said.
    pub notice: Notice,
    /// How far it is.
    pub state: NoticeState,
    /// When it was made; once it is over, when that was.
    pub at: DateTime<Utc>,
    /// Why it did not arrive, or not yet.
    pub fault: Option<DeliveryFault>,
}

/// How far a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// To be sent, perhaps again.
    Waiting,
    /// A server took it.
    Sent,
    /// It will not be tried again.
    GivenUp,
}

/// The contacts of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    /// Which state this is.
    pub version: Version,
    /// The contacts in the order in which they were added, each with its last notice.
    pub contacts: Vec<(ContactRow, Option<LastNotice>)>,
}

/// How the contacts of an account are changed.
#[derive(Clone, Debug)]
pub struct ContactsChange {
    /// The account.
    pub account: AccountId,
    /// The state that the change is based on; the new one is the next.
    pub expected: Version,
    /// Who changes it.
    pub actor: Actor,
    /// When.
    pub at: DateTime<Utc>,
    /// What is changed.
    pub what: ContactChange,
}

/// What is changed of contacts.
#[derive(Clone, Debug)]
pub enum ContactChange {
    /// A contact is added.
    Add(ContactRow),
    /// A contact is removed, and what waits to be told to it is dropped.
    Remove(ContactId),
}

/// What became of a change of contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactsWrite {
    /// It is durable.
    Stored,
    /// Somebody was first.
    Changed,
    /// There is no such contact.
    Unknown,
}

/// Whether a contact was added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactEvent {
    /// It was added.
    Added,
    /// It was removed.
    Removed,
}

/// A change of an account's contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactLine {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub actor: Actor,
    /// What was done.
    pub event: ContactEvent,
    /// The contact's channel.
    pub channel: Channel,
    /// The contact, masked.
    pub shown: String,
}

/// The contacts' room.
#[async_trait]
pub trait ContactBook: Send + Sync {
    /// The contacts of an account, each with its last notice.
    async fn contacts(&self, account: &AccountId) -> Result<Contacts>;

    /// Adds or removes a contact, with a line of the history. A compare-and-set on the version, so
    /// that a call that is repeated after it was stored finds it changed.
    async fn change_contacts(&self, change: &ContactsChange) -> Result<ContactsWrite>;

    /// The latest changes of an account's contacts, the last one first.
    async fn contact_history(&self, account: &AccountId, limit: u32) -> Result<Vec<ContactLine>>;
}

impl Contacts {
    /// Reads the contacts of an account: one row at least, whose contact is null where there is none.
    pub(super) fn read<R: Columns>(rows: &[R]) -> Result<Self> {
        let mut found = Self::default();
        for row in rows {
            found.version = number(row, "version")?;
            if row.text("contact")?.is_some() {
                found.contacts.push(contact(row)?);
            }
        }
        Ok(found)
    }
}

/// A contact.
pub(super) fn contact_row(row: &impl Columns) -> Result<ContactRow> {
    Ok(ContactRow {
        id: id(row, "contact")?,
        channel: from_word(row, "channel")?,
        target: sealed(row, "target")?,
        shown: text(row, "shown")?.to_owned(),
        added_at: time(row, "added_at")?,
    })
}

/// A contact with its last notice, whose columns are null where there is none.
fn contact(row: &impl Columns) -> Result<(ContactRow, Option<LastNotice>)> {
    let last = match json_opt(row, "facts")? {
        Some(notice) => Some(LastNotice {
            notice,
            state: from_word(row, "state")?,
            at: time(row, "at")?,
            fault: json_opt(row, "fault")?,
        }),
        None => None,
    };
    Ok((contact_row(row)?, last))
}

/// A change of contacts.
pub(super) fn contact_line(row: &impl Columns) -> Result<ContactLine> {
    Ok(ContactLine {
        at: time(row, "at")?,
        actor: json(row, "actor")?,
        event: from_word(row, "event")?,
        channel: from_word(row, "channel")?,
        shown: text(row, "shown")?.to_owned(),
    })
}

/// A count of rows.
pub(super) fn counted(row: &impl Columns, column: &str) -> Result<u64> {
    u64::try_from(number(row, column)?).map_err(|_| corrupt(column))
}
