//! What a write means for a call's row: the same for every database, and free of SQL.
//!
//! A database locks the rows, asks here, and writes what comes back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::journal::{BeginAttempt, OutcomeRow};
use super::reports::CallState;
use super::{Fence, Written};
use crate::domain::ids::{
    AccountId, AttemptId, CallId, Generation, KeyId, OrgId, RecordId, Revision, ShardId,
};
use crate::domain::outcome::{DeadReason, Outcome, ParkReason, SkipReason};
use crate::domain::task::{Hidden, TaskField};
use crate::domain::work::{AttemptKind, Refusal};

/// The part of a call's row that work on it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkRow {
    /// Where the call lies.
    pub(super) shard: ShardId,
    /// Where it stands.
    pub(super) state: CallState,
    /// The revision to be logged.
    pub(super) revision: Revision,
    /// The open attempt.
    pub(super) attempt: Option<AttemptId>,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// Deferrals of this revision that were published.
    pub(super) deferrals: u32,
    /// How often a replay revived it.
    pub(super) replays: u32,
    /// When its task lane is due.
    pub(super) due_at: Option<DateTime<Utc>>,
    /// What earlier attempts taught to leave out.
    pub(super) degraded: BTreeSet<TaskField>,
    /// Its next request holds at most so many calls.
    pub(super) batch_limit: Option<u32>,
    /// Where its Task may exist, unseen.
    pub(super) hidden: Option<Hidden>,
    /// The last outcome.
    pub(super) outcome: Option<Outcome>,
    /// Its Task.
    pub(super) task: Option<RecordId>,
    /// When it came to its end.
    pub(super) terminal_at: Option<DateTime<Utc>>,
}

/// The link of a call's account, as an attempt must find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveLink {
    /// Its generation.
    pub(super) generation: Generation,
    /// Its org.
    pub(super) org: Option<OrgId>,
    /// Linked and not broken.
    pub(super) live: bool,
}

/// An account's row, which stays so until the transaction ends.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    /// Where its work lies.
    pub(super) shard: ShardId,
    /// Its link.
    pub(super) link: LiveLink,
    /// Its data key.
    pub(super) key: Option<KeyId>,
}

/// An attempt as noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// The revision that was sent.
    pub(super) revision: Revision,
    /// Its outcome is recorded.
    pub(super) closed: bool,
}

/// What taking an outcome did, beside changing the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// The attempt is over.
    pub(super) closes: bool,
    /// Something is due now that its owner does not know of: a later revision that came while the
    /// attempt was open, or the call itself, under a later generation of its link.
    pub(super) due: bool,
}

impl WorkRow {
    /// Whether an attempt may begin. The order of the questions is the order of what the caller
    /// should learn first.
    pub(super) fn may_begin(
        &self,
        item: &BeginAttempt,
        link: Option<&LiveLink>,
    ) -> Result<(), Refusal> {
        if self.shard != item.fence.shard {
            return Err(Refusal::Stale);
        }
        if self.attempt.is_some() {
            return Err(Refusal::Open);
        }
        let linked = link.is_some_and(|link| {
            link.live && link.generation == item.generation && link.org.as_ref() == Some(&item.org)
        });
        if !linked {
            return Err(Refusal::LinkChanged);
        }
        let waiting = matches!(self.state, CallState::Ready | CallState::RetryAt);
        if waiting && self.revision == item.revision {
            Ok(())
        } else {
            Err(Refusal::Moved)
        }
    }

    /// Notes an attempt.
    pub(super) fn begin(&mut self, attempt: AttemptId) {
        self.state = CallState::Sending;
        self.attempt = Some(attempt);
        self.attempts += 1;
        self.due_at = None;
    }

    /// Whether an outcome is to be taken, was taken before, or comes too late.
    pub(super) fn judge(&self, row: &OutcomeRow, fence: Fence, noted: Option<Noted>) -> Written {
        if self.shard != fence.shard {
            return Written::Stale;
        }
        match (row.attempt, noted) {
            (Some(_), Some(noted)) if noted.closed => Written::Already,
            (Some(id), Some(_)) if self.attempt == Some(id) => Written::Yes,
            (Some(_), _) => Written::Stale,
            (None, _) => self.judge_unsent(row),
        }
    }

    /// The same for an outcome without an attempt.
    fn judge_unsent(&self, row: &OutcomeRow) -> Written {
        let in_doubt = matches!(row.outcome, Outcome::InDoubt { .. });
        let replayed = row.replay.is_some_and(|replay| replay != self.replays);
        if self.revision != row.revision || self.attempt.is_some() || in_doubt || replayed {
            return Written::Stale;
        }
        let stands = self.state == state_after(&row.outcome);
        if stands && self.outcome.as_ref() == Some(&row.outcome) {
            return Written::Already;
        }
        if self.state == CallState::Ringing || self.terminal_at.is_some() {
            return Written::Stale;
        }
        Written::Yes
    }

    /// Takes an outcome that [`WorkRow::judge`] let through; `sent` is the revision of the attempt
    /// that it closes, `current` the generation of the link.
    pub(super) fn take(
        &mut self,
        row: &OutcomeRow,
        sent: Option<Revision>,
        current: Option<Generation>,
        now: DateTime<Utc>,
    ) -> Taken {
        self.outcome = Some(row.outcome.clone());
        if row.event.is_some() && !row.outcome.is_terminal() {
            self.deferrals += 1;
        }
        if let Outcome::InDoubt { .. } = row.outcome {
            self.state = CallState::InDoubt;
            return Taken::default();
        }
        let closes = self.attempt.take().is_some();
        self.due_at = None;
        self.state = state_after(&row.outcome);
        match &row.outcome {
            Outcome::Logged { task, .. } => {
                (self.task, self.hidden) = (Some(task.clone()), None);
            }
            Outcome::RetryAt {
                at,
                degraded,
                batch_limit,
                hidden,
                ..
            } => {
                self.due_at = Some(*at);
                self.degraded.clone_from(degraded);
                (self.batch_limit, self.hidden) = (*batch_limit, hidden.clone());
            }
            Outcome::NotSent { at } => {
                self.due_at = Some(*at);
                self.attempts = self.attempts.saturating_sub(u32::from(closes));
            }
            Outcome::Skipped { .. }
            | Outcome::Dead { .. }
            | Outcome::Parked { .. }
            | Outcome::InDoubt { .. } => {}
        }
        let later = sent.is_some_and(|sent| self.revision > sent);
        self.terminal_at = row.outcome.is_terminal().then_some(now);
        let later_due = later && self.terminal_at.is_some() && !self.is_final();
        if later_due {
            self.revive(now);
        }
        let outdated = self.state == CallState::Parked && current != Some(row.generation);
        if outdated {
            self.state = CallState::Ready;
            self.due_at = Some(now);
        }
        Taken {
            closes,
            due: later_due || outdated,
        }
    }

    /// Whether no later revision may revive this terminal call: it ended unlogged as too old, or
    /// nobody knows whether it has a Task, so that sending it again could make a second.
    fn is_final(&self) -> bool {
        match &self.outcome {
            Some(Outcome::Skipped { reason }) => {
                self.task.is_none() && *reason == SkipReason::TooOld
            }
            Some(Outcome::Dead { reason, .. }) => {
                matches!(
                    reason,
                    DeadReason::Unknown | DeadReason::UnresolvedInPreviousOrg
                )
            }
            _ => false,
        }
    }

    /// Makes a terminal call due again, with its count of attempts begun anew.
    fn revive(&mut self, now: DateTime<Utc>) {
        self.state = CallState::Ready;
        self.terminal_at = None;
        self.due_at = Some(now);
        self.attempts = 0;
    }

    /// Why it is parked, while it is.
    pub(super) fn parked_reason(&self) -> Option<ParkReason> {
        match (&self.state, &self.outcome) {
            (CallState::Parked, Some(Outcome::Parked { reason, .. })) => Some(*reason),
            _ => None,
        }
    }

    /// Why it was given up, while it is.
    pub(super) fn dead_reason(&self) -> Option<DeadReason> {
        match (&self.state, &self.outcome) {
            (CallState::Dead, Some(Outcome::Dead { reason, .. })) => Some(*reason),
            _ => None,
        }
    }
}

/// Which attempts may begin; of several for one call, the first.
pub(super) fn judge_begins<'a>(
    items: &'a [BeginAttempt],
    held: &BTreeSet<Fence>,
    accounts: &BTreeMap<AccountId, Locked>,
    calls: &BTreeMap<CallId, WorkRow>,
) -> Vec<Result<&'a BeginAttempt, Refusal>> {
    let mut taken = BTreeSet::new();
    let judge = |item: &'a BeginAttempt| {
        if !held.contains(&item.fence) {
            return Err(Refusal::Stale);
        }
        let call = calls.get(&item.call).ok_or(Refusal::Moved)?;
        let account = accounts.get(&item.call.account);
        call.may_begin(item, account.map(|locked| &locked.link))?;
        if taken.insert(&item.call) {
            Ok(item)
        } else {
            Err(Refusal::Open)
        }
    };
    items.iter().map(judge).collect()
}

/// Those of the attempts that may begin which create.
pub(super) fn creates<'a>(judged: &[Result<&'a BeginAttempt, Refusal>]) -> Vec<&'a BeginAttempt> {
    let begun = judged.iter().filter_map(|judged| judged.as_ref().ok());
    let creates = begun.filter(|item| item.kind == AttemptKind::Create);
    creates.copied().collect()
}

/// Refuses the attempts of these calls, as one of theirs is to be found first; gives what is refused.
pub(super) fn refuse_suspects<'a>(
    judged: &mut [Result<&'a BeginAttempt, Refusal>],
    suspects: &[CallId],
) -> Vec<&'a BeginAttempt> {
    let suspects: BTreeSet<&CallId> = suspects.iter().collect();
    let mut refused = Vec::new();
    for judged in judged {
        if let Ok(item) = *judged
            && suspects.contains(&item.call)
        {
            refused.push(item);
            *judged = Err(Refusal::Open);
        }
    }
    refused
}

/// Where an account lies.
pub(super) fn shard_of(account: &AccountId, accounts: &BTreeMap<AccountId, Locked>) -> ShardId {
    let locked = accounts.get(account);
    locked.map_or_else(|| ShardId::of(account, None), |locked| locked.shard)
}

/// The state that an outcome leads to.
const fn state_after(outcome: &Outcome) -> CallState {
    match outcome {
        Outcome::Logged { .. } => CallState::Logged,
        Outcome::Skipped { .. } => CallState::Skipped,
        Outcome::Dead { .. } => CallState::Dead,
        Outcome::RetryAt { .. } => CallState::RetryAt,
        Outcome::Parked { .. } => CallState::Parked,
        Outcome::NotSent { .. } => CallState::Ready,
        Outcome::InDoubt { .. } => CallState::InDoubt,
    }
}
