//! What is held in memory: accounts, their calls, and in which queue each call stands.
//!
//! Invariant: a call stands in at most one place of each lane. Queues are sets, so the same call
//! may arrive from ingest, a page and a wake in any order and any number of times.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};

use super::parking::Unparking;
use super::tokens::Token;
use crate::domain::ids::{AccountId, CallId, Revision, ShardId};
use crate::domain::link::LinkState;
use crate::domain::outcome::SkipReason;
use crate::domain::task::{Hidden, TaskField};
use crate::domain::work::{Due, Lane};

/// Where a call stands in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is due.
    Idle,
    /// In the queue, not before this.
    Ready(DateTime<Utc>),
    /// Part of a request in flight.
    Flying,
    /// Its outcome is being stored.
    Recording,
}

impl Place {
    /// From when on it may go, if it is queued.
    pub(super) const fn ready_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Ready(at) => Some(at),
            Self::Idle | Self::Flying | Self::Recording => None,
        }
    }
}

/// One call in memory.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) shard: ShardId,
    /// When its lookup must be answered; `None` where nobody waits.
    pub(super) lookup_deadline: Option<DateTime<Utc>>,
    pub(super) looked_up: bool,
    /// Its begin came behind the answer, and is still to be told of it.
    pub(super) untold: bool,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) revision: Revision,
    pub(super) skip: Option<SkipReason>,
    pub(super) attempts: u32,
    pub(super) degraded: BTreeSet<TaskField>,
    /// The next search with this call holds at most so many: it failed in a larger one.
    pub(super) search_limit: Option<u32>,
    /// The same for its Task.
    pub(super) batch_limit: Option<u32>,
    /// Where its Task may exist, unseen.
    pub(super) hidden: Option<Hidden>,
    /// Searches that failed.
    pub(super) searches: u32,
    /// When its Task is due, were it looked up.
    pub(super) task_due: DateTime<Utc>,
    pub(super) lookup: Place,
    pub(super) task: Place,
    /// A later revision that came while this one was under way.
    pub(super) newer: Option<Due>,
}

impl Call {
    fn new(due: &Due) -> Self {
        Self {
            shard: due.shard,
            lookup_deadline: due.lookup_deadline,
            looked_up: due.looked_up,
            untold: false,
            ended_at: due.ended_at,
            revision: due.revision,
            skip: due.skip,
            attempts: due.attempts,
            degraded: due.degraded.clone(),
            search_limit: None,
            batch_limit: due.batch_limit,
            hidden: due.hidden.clone(),
            searches: 0,
            task_due: due.due_at,
            lookup: Place::Idle,
            task: Place::Idle,
            newer: None,
        }
    }
}

/// One account.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Its link, once loaded.
    pub(super) link: Option<LinkState>,
    pub(super) calls: BTreeMap<CallId, Call>,
    /// Lookups in the order in which they may go.
    pub(super) lookups: BTreeSet<(DateTime<Utc>, CallId)>,
    /// The same lookups by when they must be answered.
    pub(super) deadlines: BTreeSet<(DateTime<Utc>, CallId)>,
    /// Tasks in the order in which they may go.
    pub(super) tasks: BTreeSet<(DateTime<Utc>, CallId)>,
    /// Ended calls that earn no Task, whatever the link.
    pub(super) skips: BTreeSet<CallId>,
    pub(super) token: Token,
    /// A change of the link's health is being stored.
    pub(super) marking: bool,
    pub(super) unparking: Unparking,
    /// Calls were left in the store for want of room here.
    pub(super) overflow: bool,
    /// When the lanes are looked at next.
    pub(super) wakes: [Option<DateTime<Utc>>; 2],
}

impl Account {
    /// Takes the facts of a due call in; where it stands is the caller's business.
    pub(super) fn learn(&mut self, due: &Due) -> &mut Call {
        let call = self
            .calls
            .entry(due.call.clone())
            .or_insert_with(|| Call::new(due));
        call.shard = due.shard;
        call.looked_up |= due.looked_up;
        call.lookup_deadline = due.lookup_deadline.or(call.lookup_deadline);
        if due.lane == Lane::Task {
            call.ended_at = due.ended_at.or(call.ended_at);
            call.revision = due.revision;
            call.skip = due.skip;
            call.attempts = due.attempts;
            call.degraded.clone_from(&due.degraded);
            call.batch_limit = due.batch_limit;
            call.hidden.clone_from(&due.hidden);
            call.task_due = due.due_at;
        }
        call
    }

    /// Moves a call in the lookup lane.
    pub(super) fn place_lookup(&mut self, id: &CallId, place: Place) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        if let Place::Ready(at) = std::mem::replace(&mut call.lookup, place) {
            self.lookups.remove(&(at, id.clone()));
            if let Some(deadline) = call.lookup_deadline {
                self.deadlines.remove(&(deadline, id.clone()));
            }
        }
        if let Place::Ready(at) = place {
            self.lookups.insert((at, id.clone()));
            if let Some(deadline) = call.lookup_deadline {
                self.deadlines.insert((deadline, id.clone()));
            }
        }
    }

    /// Moves a call in the Task lane.
    pub(super) fn place_task(&mut self, id: &CallId, place: Place) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        if let Place::Ready(at) = std::mem::replace(&mut call.task, place) {
            self.tasks.remove(&(at, id.clone()));
            self.skips.remove(id);
        }
        if let Place::Ready(at) = place {
            if call.skip.is_some() {
                self.skips.insert(id.clone());
            } else {
                self.tasks.insert((at, id.clone()));
            }
        }
    }

    /// Calls in a lane's queue.
    pub(super) fn queued(&self, lane: Lane) -> usize {
        match lane {
            Lane::Lookup => self.lookups.len(),
            Lane::Task => self.tasks.len() + self.skips.len(),
        }
    }

    /// Whether requests may be sent for it, by its link.
    pub(super) fn is_live(&self) -> bool {
        self.link.as_ref().is_some_and(LinkState::is_live)
    }
}

/// Accounts with something to do, in the order of their turn.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    queue: VecDeque<AccountId>,
    queued: BTreeSet<AccountId>,
}

impl Rotation {
    /// Gives an account a turn behind the others, unless it waits for one already.
    pub(super) fn push(&mut self, account: &AccountId) {
        if self.queued.insert(account.clone()) {
            self.queue.push_back(account.clone());
        }
    }

    /// The account whose turn it is.
    pub(super) fn pop(&mut self) -> Option<AccountId> {
        let account = self.queue.pop_front()?;
        self.queued.remove(&account);
        Some(account)
    }

    /// Lets an account keep its turn: it could not use it.
    pub(super) fn push_front(&mut self, account: AccountId) {
        if self.queued.insert(account.clone()) {
            self.queue.push_front(account);
        }
    }
}
