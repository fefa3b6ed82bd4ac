//! A transaction that puts calls back, free of SQL: what it does with each, and what is to be
//! written of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::replays::{ReplayPage, Replayed};
use super::reports::CallState;
use super::rules::{Locked, WorkRow};
use crate::domain::ids::{AccountId, AttemptId, CallId, OrgId, ShardId};
use crate::domain::outcome::{Failure, FailureClass, FailureScope, Outcome};
use crate::domain::replay::{Effect, Stand, effect};

/// The last attempt of a call.
pub(super) struct LastAttempt {
    /// Names it.
    pub(super) attempt: AttemptId,
    /// The org that it was sent to.
    pub(super) org: OrgId,
}

/// The transaction's rows, and what is to be written of them.
pub(super) struct Revival<'a> {
    /// Which calls, and how.
    pub(super) page: &'a ReplayPage,
    /// The accounts.
    pub(super) accounts: BTreeMap<AccountId, Locked>,
    /// The calls, as they become.
    pub(super) calls: BTreeMap<CallId, WorkRow>,
    /// The last attempts of those whose Task may exist.
    pub(super) attempts: BTreeMap<CallId, LastAttempt>,
    /// When the transaction began.
    pub(super) now: DateTime<Utc>,
    /// Calls that changed.
    pub(super) changed: BTreeSet<CallId>,
    /// Calls that are looked for: to be written once their attempts are open.
    pub(super) looks: Vec<CallId>,
    /// What is told of it.
    pub(super) replayed: Replayed,
}

impl<'a> Revival<'a> {
    /// Decides about every call that was locked.
    pub(super) fn of(
        page: &'a ReplayPage,
        accounts: BTreeMap<AccountId, Locked>,
        calls: BTreeMap<CallId, WorkRow>,
        attempts: BTreeMap<CallId, LastAttempt>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut revival = Self {
            page,
            accounts,
            calls,
            attempts,
            now,
            changed: BTreeSet::new(),
            looks: Vec::new(),
            replayed: Replayed::default(),
        };
        let ids: Vec<CallId> = revival.calls.keys().cloned().collect();
        for id in ids {
            revival.decide(id);
        }
        revival
    }

    fn decide(&mut self, id: CallId) {
        let Some(row) = self.calls.get_mut(&id) else {
            return;
        };
        // It may have moved on between the choice and the lock.
        let Some(stand) = row.stand().filter(|stand| self.page.matches(row, *stand)) else {
            return;
        };
        let link = self.accounts.get(&id.account).map(|locked| &locked.link);
        let org = link.filter(|link| link.live).and_then(|l| l.org.as_ref());
        let sent_to = self.attempts.get(&id).map(|last| &last.org);
        match effect(stand, sent_to, org, self.page.certain) {
            Effect::Send => {
                row.put_back(self.now);
                self.replayed.sent += 1;
                self.changed.insert(id);
            }
            Effect::Look => {
                self.replayed.looked_for += 1;
                self.looks.push(id);
            }
            Effect::Leave(why) => *self.replayed.left.entry(why).or_default() += 1,
        }
    }

    /// The attempts that are to be repeated without a request, by call.
    pub(super) fn repeated(&self) -> Vec<(&CallId, AttemptId)> {
        let attempt = |id| Some((id, self.attempts.get(id)?.attempt));
        self.looks.iter().filter_map(attempt).collect()
    }

    /// Notes the attempt that is open for a call now.
    pub(super) fn opened(&mut self, id: &CallId, attempt: AttemptId) {
        if let Some(row) = self.calls.get_mut(id) {
            row.look_for(attempt, self.now);
            self.changed.insert(id.clone());
        }
    }

    /// The calls that changed.
    pub(super) fn changed_calls(&self) -> Vec<(&CallId, &WorkRow)> {
        let changed = |(id, _): &(&CallId, _)| self.changed.contains(*id);
        self.calls.iter().filter(changed).collect()
    }

    /// The shards whose owners are to be woken.
    pub(super) fn woken(&self) -> BTreeSet<ShardId> {
        let changed = self.changed_calls();
        changed.into_iter().map(|(_, row)| row.shard).collect()
    }

    /// The accounts with open attempts that their owners do not know of.
    pub(super) fn in_doubt(&self) -> BTreeSet<&AccountId> {
        self.looks.iter().map(|id| &id.account).collect()
    }

    /// How many calls stayed as they are.
    pub(super) fn left(&self) -> u64 {
        self.replayed.left.values().sum()
    }
}

impl ReplayPage {
    /// Whether a call's row, which stands there, is still one that is asked for.
    fn matches(&self, row: &WorkRow, stand: Stand) -> bool {
        let states = &self.filter.states;
        let reason = self.filter.reason.as_deref();
        (states.is_empty() || states.contains(&row.state))
            && reason.is_none_or(|reason| reason == stand.reason())
    }
}

/// What is noted of an attempt that was opened again by a replay.
pub(super) fn looked_for(now: DateTime<Utc>) -> Outcome {
    let mut failure = Failure::new(FailureClass::Ambiguous, FailureScope::Record, "replayed");
    "An operator wants it back: Salesforce is asked whether it has a Task, before one is made."
        .clone_into(&mut failure.hint);
    Outcome::InDoubt {
        look_at: now,
        failure,
    }
}

impl WorkRow {
    /// Where it stands, if a person may want it back from there.
    pub(super) fn stand(&self) -> Option<Stand> {
        let rests = matches!(
            self.state,
            CallState::Dead | CallState::Parked | CallState::Skipped
        );
        self.outcome.as_ref().filter(|_| rests).and_then(Stand::of)
    }

    /// Makes it due, as if it had just ended; a parked one as it is, since it never came to its end.
    fn put_back(&mut self, now: DateTime<Utc>) {
        if self.terminal_at.take().is_some() {
            self.revived();
        }
        self.state = CallState::Ready;
        self.due_at = Some(now);
    }

    /// Has it looked for, by this attempt.
    fn look_for(&mut self, attempt: AttemptId, now: DateTime<Utc>) {
        self.terminal_at = None;
        self.revived();
        self.state = CallState::InDoubt;
        self.attempt = Some(attempt);
        self.outcome = Some(looked_for(now));
    }

    fn revived(&mut self) {
        self.replays += 1;
        self.attempts = 0;
        self.degraded.clear();
        (self.batch_limit, self.hidden) = (None, None);
    }
}
