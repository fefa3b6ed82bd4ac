//! The lookup lane: a caller is waiting, so nothing lingers, and every begun call is answered
//! before its deadline, if only with the reason why not.

use chrono::{DateTime, Utc};

use super::accounts::{Account, Place};
use super::asking::shared;
use super::brakes::Brake;
use super::journal::half;
use super::machine::{Engine, Load, Served, Turn};
use super::pacing::{Gate, Sign};
use super::{ApiUsage, BatchCall, BatchId, Command};
use crate::domain::ids::{AccountId, CallId};
use crate::domain::matching::LookupResult;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::work::Lane;

impl Engine {
    /// Starts what an account's lookup lane has to start now.
    pub(super) fn serve_lookups(&mut self, turn: &mut Turn<'_>, id: &AccountId) -> Served {
        let Some(account) = self.accounts.get(id) else {
            return Served::Nothing;
        };
        if account.lookups.is_empty() {
            return Served::Nothing;
        }
        let Some(link) = &account.link else {
            self.links_wanted.insert(id.clone());
            return Served::Nothing;
        };
        if self.working_epoch(link.shard).is_none() {
            return Served::Nothing;
        }
        if !link.is_live() {
            return self.answer_all(turn, id, LookupResult::NotLinked);
        }
        let gate = match self.brake(id, Lane::Lookup) {
            Brake::On => return self.answer_all(turn, id, LookupResult::Throttled),
            Brake::Unknown => Gate::Busy,
            Brake::Off => self.gate(turn, id, Lane::Lookup),
        };
        // A caller who would wait in vain is told so at once.
        let (horizon, result) = match gate {
            Gate::Until(until, true) => (until.max(turn.now), LookupResult::Throttled),
            _ => (turn.now, LookupResult::Timeout),
        };
        let late = self.expiring(id, horizon);
        if !late.is_empty() {
            return self.answer(turn, id, late, result);
        }
        match gate {
            Gate::Open => self.search(turn, id),
            Gate::Until(at, _) => Served::Until(self.next_deadline(id).map_or(at, |d| d.min(at))),
            Gate::Busy => self
                .next_deadline(id)
                .map_or(Served::Nothing, Served::Until),
            Gate::Crowded => Served::Crowded,
        }
    }

    /// Opens a search for the callers that are ready.
    fn search(&mut self, turn: &mut Turn<'_>, id: &AccountId) -> Served {
        let batching = &self.config.batching;
        let account = self.accounts.get(id).expect("served accounts are known");
        let link = account
            .link
            .as_ref()
            .expect("searched after its link is known");
        let (generation, shard) = (link.generation, link.shard);
        let org = link.org.as_ref().map(|linked| linked.org.clone());
        let ready = account
            .lookups
            .iter()
            .take_while(|(at, _)| *at <= turn.now)
            .filter(|(_, call)| account.calls.get(call).is_some_and(|c| c.shard == shard))
            .map(|(_, call)| call.clone());
        let calls = limited(account, Lane::Lookup, ready, batching.lookups);
        if calls.is_empty() {
            return self.next_lookup(turn.now, id);
        }
        let waits = calls
            .iter()
            .filter_map(|call| account.calls.get(call)?.lookup_deadline)
            .min();
        let patience = turn.now + batching.lookup_timeout;
        let deadline = waits.map_or(patience, |at| patience.min(at - batching.lookup_margin));
        let calls = self.take_off(Lane::Lookup, &calls);
        let ids = calls.iter().map(|call| call.call.clone()).collect();
        let batch = self.open(turn.now, id, generation, org, Load::Lookups(ids));
        let account = id.clone();
        turn.out.push(Command::Lookup {
            batch,
            account,
            generation,
            calls,
            deadline,
        });
        Served::Again
    }

    /// Moves calls from their queue into a request.
    pub(super) fn take_off(&mut self, lane: Lane, ids: &[CallId]) -> Vec<BatchCall> {
        let calls: Vec<BatchCall> = ids.iter().filter_map(|id| self.batch_call(id)).collect();
        for call in &calls {
            let account = self
                .accounts
                .get_mut(&call.call.account)
                .expect("its call was read");
            match lane {
                Lane::Lookup => account.place_lookup(&call.call, Place::Flying),
                Lane::Task => account.place_task(&call.call, Place::Flying),
            }
        }
        calls
    }

    /// When the account's next lookup may go or must be answered.
    fn next_lookup(&self, now: DateTime<Utc>, id: &AccountId) -> Served {
        let first = self
            .accounts
            .get(id)
            .and_then(|account| Some(account.lookups.first()?.0));
        // One that may go already waits for its link to be read again.
        let first = first.filter(|at| *at > now);
        match (first, self.next_deadline(id)) {
            (Some(at), Some(deadline)) => Served::Until(at.min(deadline)),
            (Some(at), None) | (None, Some(at)) => Served::Until(at),
            (None, None) => Served::Nothing,
        }
    }

    pub(super) fn next_deadline(&self, id: &AccountId) -> Option<DateTime<Utc>> {
        let (deadline, _) = self.accounts.get(id)?.deadlines.first()?;
        Some(*deadline - self.config.batching.lookup_margin)
    }

    /// Queued lookups that must be answered at or before `horizon`.
    fn expiring(&self, id: &AccountId, horizon: DateTime<Utc>) -> Vec<CallId> {
        let Some(account) = self.accounts.get(id) else {
            return Vec::new();
        };
        let margin = self.config.batching.lookup_margin;
        let shard = account.link.as_ref().map(|link| link.shard);
        account
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline - margin <= horizon)
            .filter(|(_, id)| account.calls.get(id).map(|call| call.shard) == shard)
            .map(|(_, call)| call.clone())
            .take(self.config.batching.records)
            .collect()
    }

    /// Answers the callers of an account that cannot be searched for now: without a working link, or
    /// paused. Calls that nobody waits for are left to the Task lane.
    fn answer_all(&mut self, turn: &mut Turn<'_>, id: &AccountId, result: LookupResult) -> Served {
        let waiting = self.expiring(id, DateTime::<Utc>::MAX_UTC);
        if !waiting.is_empty() {
            return self.answer(turn, id, waiting, result);
        }
        let account = self
            .accounts
            .get_mut(id)
            .expect("served accounts are known");
        let rest: Vec<CallId> = account
            .lookups
            .iter()
            .map(|(_, call)| call.clone())
            .collect();
        for call in &rest {
            let waits = account
                .calls
                .get(call)
                .is_some_and(|c| c.lookup_deadline.is_some());
            if !waits {
                account.place_lookup(call, Place::Idle);
                self.settle(call);
                return Served::Again;
            }
        }
        Served::Nothing
    }

    /// Answers lookups without a search.
    fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AccountId,
        calls: Vec<CallId>,
        result: LookupResult,
    ) -> Served {
        let calls = self.take_off(Lane::Lookup, &calls);
        if calls.is_empty() {
            return Served::Nothing;
        }
        let link = self
            .accounts
            .get(id)
            .and_then(|account| account.link.as_ref());
        let generation = link.map(|link| link.generation).unwrap_or_default();
        let ids = calls.iter().map(|call| call.call.clone()).collect();
        let batch = self.open(turn.now, id, generation, None, Load::Answers(ids));
        turn.out.push(Command::AnswerLookups {
            batch,
            generation,
            calls,
            result,
        });
        Served::Again
    }

    /// Takes the end of a batch of lookups in.
    pub(super) fn on_looked_up(
        &mut self,
        turn: &mut Turn<'_>,
        batch: BatchId,
        answered: Vec<CallId>,
        failure: Option<Failure>,
        usage: Option<ApiUsage>,
    ) {
        let Some(flight) = self.close(batch) else {
            return;
        };
        let searched = matches!(flight.load, Load::Lookups(_));
        let (Load::Lookups(calls) | Load::Answers(calls)) = &flight.load else {
            return;
        };
        if searched {
            let sign = Sign::of_all(&failure);
            self.learn(turn, flight.org.as_ref(), sign, usage);
            match &failure {
                Some(failure) => _ = self.trouble(turn, &flight, failure),
                None => self.served(turn, &flight),
            }
        }
        for call in &answered {
            self.looked_up(call);
        }
        let open: Vec<CallId> = calls
            .iter()
            .filter(|call| !answered.contains(call))
            .cloned()
            .collect();
        let refused = searched && failure.as_ref().is_some_and(is_refusal);
        if refused {
            let waiting = |call: &&CallId| {
                let known = self.accounts.get(&flight.account);
                known
                    .and_then(|a| a.calls.get(*call)?.lookup_deadline)
                    .is_some()
            };
            let (waiting, rest): (Vec<&CallId>, Vec<&CallId>) = open.iter().partition(waiting);
            let (waiting, rest): (Vec<CallId>, Vec<CallId>) = (
                waiting.into_iter().cloned().collect(),
                rest.into_iter().cloned().collect(),
            );
            self.search_again(turn, &rest, failure.as_ref(), calls.len());
            self.answer(turn, &flight.account, waiting, LookupResult::Failed);
        } else {
            self.search_again(turn, &open, failure.as_ref(), calls.len());
        }
        self.stir(&flight.account);
    }

    /// Notes a stored answer; the call's Task waits for it no longer.
    fn looked_up(&mut self, id: &CallId) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        account.place_lookup(id, Place::Idle);
        let Some(call) = account.calls.get_mut(id) else {
            return;
        };
        call.looked_up = true;
        call.untold = false;
        let due = call.task_due;
        if matches!(call.task, Place::Ready(_)) {
            account.place_task(id, Place::Ready(due));
        }
        self.settle(id);
    }

    /// Puts lookups without an answer back in the queue.
    fn search_again(
        &mut self,
        turn: &mut Turn<'_>,
        calls: &[CallId],
        failure: Option<&Failure>,
        together: usize,
    ) {
        let split = failure.is_some_and(|f| f.class == FailureClass::Split) && together > 1;
        for id in calls {
            let Some(account) = self.accounts.get_mut(&id.account) else {
                continue;
            };
            let Some(call) = account.calls.get_mut(id) else {
                continue;
            };
            call.searches += 1;
            if split {
                call.search_limit = Some(half(u32::try_from(together).unwrap_or(u32::MAX)));
            }
            let wait = self.config.retry.lookups.full(call.searches, turn.rng);
            let owned = self.shards.contains_key(&call.shard);
            // Beyond its time the Task goes out unmatched; the search goes on only for a caller.
            let place = if owned {
                Place::Ready(turn.now + wait)
            } else {
                Place::Idle
            };
            account.place_lookup(id, place);
            self.settle(id);
        }
    }
}

/// Whether searching again is of no use.
fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure.class,
        FailureClass::Admin | FailureClass::Payload | FailureClass::Bug
    )
}

/// The first of the calls that may share a request: no more than the smallest limit among them.
pub(super) fn limited(
    account: &Account,
    lane: Lane,
    calls: impl Iterator<Item = CallId>,
    most: usize,
) -> Vec<CallId> {
    let (mut batch, own): (Vec<CallId>, Vec<Option<u32>>) = calls
        .filter_map(|id| {
            let call = account.calls.get(&id)?;
            let own = match lane {
                Lane::Lookup => call.search_limit,
                Lane::Task => call.batch_limit,
            };
            Some((id, own))
        })
        .take(most)
        .unzip();
    batch.truncate(shared(own.into_iter(), most));
    batch
}
