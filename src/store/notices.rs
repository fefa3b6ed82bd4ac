//! Notices: what contacts are to be told, from the change of a link to the server that takes it.
//!
//! Whoever changes a link notes in the same transaction that the account is to be looked at. Once
//! that has stood for a while, one process decides what is told, and in one transaction writes a
//! notice for each contact. Notices are then claimed, sent and ended, at least once each.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::contacts::{NoticeState, counted};
use super::values::{Columns, count, from_word, id, json, json_opt, number, sealed, time};
use super::{Result, Sealed, Written};
use crate::domain::ids::{AccountId, ContactId, NoticeId};
use crate::domain::link::LinkState;
use crate::domain::notice::{Channel, DeliveryFault, Notice, Told};

/// An account whose link stands otherwise than when it was last looked at.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The link as it is.
    pub state: LinkState,
    /// Which change of its condition was the last.
    pub change: i64,
    /// What its contacts were told last.
    pub told: Told,
    /// How many changes its contacts were told lately.
    pub told_lately: u64,
    /// Calls that wait for the link.
    pub waiting: u64,
}

/// A notice to be sent.
#[derive(Clone, Debug)]
pub struct NewNotice {
    /// Names it.
    pub id: NoticeId,
    /// Who is told.
    pub contact: ContactId,
    /// What is told.
    pub notice: Notice,
}

/// What became of the looking at an account.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The account.
    pub account: AccountId,
    /// The change that was looked at; of another since, nothing is decided.
    pub change: i64,
    /// What is decided.
    pub verdict: Verdict,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is decided about an account.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// These notices are sent, if any, and this has been told then.
    Tell(Told, Vec<NewNotice>),
    /// Enough was told lately: it is looked at again then.
    Hold(DateTime<Utc>),
}

/// A notice that this caller alone sends, until its claim is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedNotice {
    /// Names it.
    pub id: NoticeId,
    /// The account.
    pub account: AccountId,
    /// Who is told.
    pub contact: ContactId,
    /// By what.
    pub channel: Channel,
    /// Sealed: where.
    pub target: Sealed,
    /// What is told.
    pub notice: Notice,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// How often it was tried before.
    pub attempts: u32,
}

/// How the sending of a notice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEnd {
    /// A server took it.
    Sent,
    /// It did not arrive, and is tried again then.
    Retry(DateTime<Utc>, DeliveryFault),
    /// It did not arrive, and is not tried again.
    GivenUp(DeliveryFault),
}

/// The notices' room.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Accounts whose link has stood otherwise since before `settled`, and about which nothing is
    /// decided; the longest first. `lately` is since when [`Settled::told_lately`] counts.
    async fn settled(
        &self,
        settled: DateTime<Utc>,
        lately: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Settled>>;

    /// Writes what is decided about an account, with the notices; all or nothing. `Stale` where
    /// somebody decided first, or the link has changed since: nothing is written then.
    async fn decide(&self, decision: &Decision) -> Result<Written>;

    /// Puts a notice of no change into the queue. `Already` where one to that contact waits, or was
    /// made since `since`; `Stale` where there is no such contact.
    async fn add_notice(
        &self,
        account: &AccountId,
        notice: &NewNotice,
        since: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Result<Written>;

    /// Claims notices that are due, until `until`; then others may send them.
    async fn claim_notices(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<ClaimedNotice>>;

    /// Ends the sending of a notice. `Already` where it is over.
    async fn end_notice(&self, id: &NoticeId, end: NoticeEnd, at: DateTime<Utc>)
    -> Result<Written>;

    /// Drops notices that were over before then.
    async fn forget_notices(&self, before: DateTime<Utc>) -> Result<u64>;
}

impl NoticeEnd {
    /// How far the notice is then.
    pub(super) const fn state(self) -> NoticeState {
        match self {
            Self::Sent => NoticeState::Sent,
            Self::Retry(..) => NoticeState::Waiting,
            Self::GivenUp(_) => NoticeState::GivenUp,
        }
    }

    /// When it is due again, if it is, and why it did not arrive.
    pub(super) const fn parts(self) -> (Option<DateTime<Utc>>, Option<DeliveryFault>) {
        match self {
            Self::Sent => (None, None),
            Self::Retry(due, fault) => (Some(due), Some(fault)),
            Self::GivenUp(fault) => (None, Some(fault)),
        }
    }
}

/// An account to be looked at.
pub(super) fn settled(row: &impl Columns) -> Result<Settled> {
    Ok(Settled {
        state: super::rows::link_state(row)?,
        change: number(row, "changes")?,
        told: json_opt(row, "told")?.unwrap_or_default(),
        told_lately: counted(row, "told_lately")?,
        waiting: counted(row, "waiting")?,
    })
}

/// A notice to be sent.
pub(super) fn claimed(row: &impl Columns) -> Result<ClaimedNotice> {
    Ok(ClaimedNotice {
        id: id(row, "notice")?,
        account: id(row, "account")?,
        contact: id(row, "contact")?,
        channel: from_word(row, "channel")?,
        target: sealed(row, "target")?,
        notice: json(row, "facts")?,
        made_at: time(row, "made_at")?,
        attempts: count(row, "attempts")?,
    })
}
