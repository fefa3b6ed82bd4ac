//! A transaction that records outcomes, free of SQL: the rows that it read, and what is to be
//! written of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::journal::OutcomeRow;
use super::outbox::Publish;
use super::rules::{Noted, WorkRow};
use super::{Fence, Written};
use crate::domain::ids::{AccountId, AttemptId, CallId, Generation, ShardId};
use crate::domain::outcome::Outcome;

/// The transaction's rows, and what is to be written of them.
pub(super) struct Ledger<'a> {
    /// The leases that are still the caller's.
    pub(super) held: BTreeSet<Fence>,
    /// The generations of the accounts' links.
    pub(super) generations: BTreeMap<AccountId, Generation>,
    /// The calls, as they become.
    pub(super) calls: BTreeMap<CallId, WorkRow>,
    /// The attempts that the outcomes name.
    pub(super) attempts: BTreeMap<AttemptId, Noted>,
    /// When the transaction began.
    pub(super) now: DateTime<Utc>,
    /// What is to be written.
    pub(super) changes: Changes<'a>,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Changes<'a> {
    /// Calls that changed.
    pub(super) calls: BTreeSet<CallId>,
    /// What attempts saw: closed or in doubt. One may be in doubt and closed within one batch; the
    /// last word counts.
    pub(super) seen: BTreeMap<AttemptId, (bool, &'a Outcome)>,
    /// Events to publish.
    pub(super) events: Vec<Publish<'a>>,
    /// Shards where something is due that their owners do not know of.
    pub(super) woken: BTreeSet<ShardId>,
}

impl<'a> Ledger<'a> {
    /// Takes one outcome in.
    pub(super) fn take(&mut self, row: &'a OutcomeRow) -> Written {
        if !self.held.contains(&row.fence) {
            return Written::Stale;
        }
        let Some(call) = self.calls.get_mut(&row.call) else {
            return Written::Stale;
        };
        let noted = row.attempt.and_then(|id| self.attempts.get_mut(&id));
        let judged = call.judge(row, row.fence, noted.as_deref().copied());
        if judged != Written::Yes {
            return judged;
        }
        let sent = noted.as_deref().map(|noted| noted.revision);
        let current = self.generations.get(&row.call.account).copied();
        let taken = call.take(row, sent, current, self.now);
        if let Some(noted) = noted {
            noted.closed = taken.closes;
        }
        let changes = &mut self.changes;
        let seen = (taken.closes, &row.outcome);
        changes.seen.extend(row.attempt.map(|id| (id, seen)));
        changes.woken.extend(taken.due.then_some(call.shard));
        let event = row.event.as_ref();
        let publish = event.map(|event| Publish::of_call(event, &row.call, call.shard));
        changes.events.extend(publish);
        changes.calls.insert(row.call.clone());
        Written::Yes
    }

    /// The calls that changed.
    pub(super) fn changed_calls(&self) -> Vec<(&CallId, &WorkRow)> {
        let changed = |(id, _): &(&CallId, _)| self.changes.calls.contains(*id);
        self.calls.iter().filter(changed).collect()
    }
}
