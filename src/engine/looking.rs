//! Attempts in doubt: kept until Salesforce is asked about them, and concluded from what it shows.

use std::collections::BTreeMap;

use super::accounts::Place;
use super::answers::{Pending, Then};
use super::asking::Group;
use super::journal::half;
use super::machine::{Engine, Load, Planned, Turn};
use super::pacing::Sign;
use super::reconcile::{Conclusion, Settler, Step, after_failure};
use super::{ApiUsage, BatchId, Decision, Finding};
use crate::domain::ids::{AccountId, AttemptId, CallId, ShardId};
use crate::domain::link::LinkState;
use crate::domain::outcome::{Failure, FailureClass, Outcome};
use crate::domain::work::OpenAttempt;

/// An attempt in doubt.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) attempt: OpenAttempt,
    /// Looks that settled nothing.
    looks: u32,
    /// Its next query holds at most so many attempts: it failed in a larger one.
    pub(super) limit: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be looked for.
    Waiting,
    /// Part of a query.
    Asked,
    /// Its end is being stored.
    Recording,
}

impl Doubt {
    pub(super) const fn new(attempt: OpenAttempt) -> Self {
        Self {
            attempt,
            looks: 0,
            limit: None,
            state: State::Waiting,
        }
    }

    /// It is part of a query from now on.
    pub(super) fn ask(&mut self) -> OpenAttempt {
        self.state = State::Asked;
        self.attempt.clone()
    }
}

impl Engine {
    /// Takes a shard's open attempts in. From now on its calls may be sent.
    pub(super) fn on_attempts(
        &mut self,
        turn: &mut Turn<'_>,
        id: ShardId,
        attempts: Vec<OpenAttempt>,
    ) {
        let Some(shard) = self.shards.get_mut(&id) else {
            return;
        };
        shard.loading = false;
        let first = !std::mem::replace(&mut shard.loaded, true);
        let reload = std::mem::take(&mut shard.reload);
        let closed = std::mem::take(&mut shard.closed);
        let open = attempts
            .into_iter()
            .filter(|a| !closed.contains(&a.attempt));
        for attempt in open {
            self.links_wanted
                .extend(self.unknown_link(&attempt.call.account));
            self.doubt(Doubt::new(attempt));
        }
        if first {
            for lane in super::machine::LANES {
                self.want_sweep(id, lane, turn.now);
            }
            let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
            for account in &accounts {
                self.stir(account);
            }
        }
        if reload {
            self.want_attempts(turn, id);
        }
    }

    fn unknown_link(&self, account: &AccountId) -> Option<AccountId> {
        let known = self
            .accounts
            .get(account)
            .is_some_and(|account| account.link.is_some());
        (!known).then(|| account.clone())
    }

    /// Notes an attempt in doubt, unless it is known or its call is under way here: then what is
    /// known is newer than what was read.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        let id = doubt.attempt.call.clone();
        if !self.shards.contains_key(&doubt.attempt.shard)
            || self.recording.contains_key(&id)
            || self.is_flying(&id)
        {
            return;
        }
        match self.doubts.get_mut(&id) {
            Some(known) if known.attempt.attempt >= doubt.attempt.attempt => {
                // The account may have moved to another shard.
                known.attempt.shard = doubt.attempt.shard;
            }
            _ => {
                self.drop_doubt(&id);
                self.forget_task(&id);
                self.accounts.entry(id.account.clone()).or_default();
                self.looks.insert((doubt.attempt.look_at, id.clone()));
                self.doubts.insert(id, doubt);
            }
        }
    }

    fn is_flying(&self, id: &CallId) -> bool {
        let call = self
            .accounts
            .get(&id.account)
            .and_then(|account| account.calls.get(id));
        call.is_some_and(|call| matches!(call.task, Place::Flying | Place::Recording))
    }

    /// A call in doubt is not to be sent.
    fn forget_task(&mut self, id: &CallId) {
        if let Some(account) = self.accounts.get_mut(&id.account) {
            account.place_task(id, Place::Idle);
            self.settle(id);
        }
    }

    /// Forgets an attempt in doubt; tells whether it was known.
    pub(super) fn drop_doubt(&mut self, id: &CallId) -> bool {
        let Some(doubt) = self.doubts.remove(id) else {
            return false;
        };
        self.looks.remove(&(doubt.attempt.look_at, id.clone()));
        true
    }

    /// Looks for the attempts whose time has come, many in one query.
    pub(super) fn look(&mut self, turn: &mut Turn<'_>) {
        let mut groups: BTreeMap<Group, Vec<CallId>> = BTreeMap::new();
        while let Some((_, id)) = self.looks.pop_first_due(turn.now) {
            let Some(doubt) = self.doubts.get(&id) else {
                continue;
            };
            let link = self
                .accounts
                .get(&id.account)
                .and_then(|account| account.link.clone());
            let workable = self.working_epoch(doubt.attempt.shard).is_some();
            let Some(link) = link.filter(|_| workable) else {
                self.links_wanted.extend(self.unknown_link(&id.account));
                let at = after_failure(&self.config.reconcile, turn.now);
                self.look_at(&id, at);
                continue;
            };
            let mut settler = Settler {
                config: &self.config.reconcile,
                retry: &self.config.retry,
                kept_at_most: self.config.links.parked_at_most,
                rng: turn.rng,
            };
            match settler.plan(turn.now, &doubt.attempt, &link) {
                Step::Wait(at) => self.look_at(&id, at),
                Step::Over(outcome) => self.conclude(turn, &id, *outcome),
                Step::Ask(generation) => {
                    let group = Group {
                        account: id.account.clone(),
                        generation,
                        org: doubt.attempt.org.clone(),
                        mode: doubt.attempt.mode.clone(),
                    };
                    groups.entry(group).or_default().push(id);
                }
            }
        }
        for (group, calls) in groups {
            self.ask_for(turn, &group, &calls);
        }
    }

    /// Plans the next look at an attempt.
    pub(super) fn look_at(&mut self, id: &CallId, at: chrono::DateTime<chrono::Utc>) {
        let Some(doubt) = self.doubts.get_mut(id) else {
            return;
        };
        self.looks.remove(&(doubt.attempt.look_at, id.clone()));
        doubt.attempt.look_at = at;
        doubt.state = State::Waiting;
        self.looks.insert((at, id.clone()));
    }

    /// Looks at an account's attempts at once: its link changed, and with it whom to ask.
    pub(super) fn look_now(&mut self, turn: &Turn<'_>, account: &AccountId) {
        let waiting: Vec<CallId> = self
            .doubts
            .iter()
            .filter(|(id, doubt)| &id.account == account && doubt.state == State::Waiting)
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            self.look_at(&id, turn.now);
        }
    }

    /// Takes the end of a query in.
    pub(super) fn on_reconciled(
        &mut self,
        turn: &mut Turn<'_>,
        batch: BatchId,
        findings: Vec<(AttemptId, Finding)>,
        failure: Option<Failure>,
        usage: Option<ApiUsage>,
    ) {
        let Some(flight) = self.close(batch) else {
            return;
        };
        let Load::Doubts(asked) = &flight.load else {
            return;
        };
        self.learn(turn, flight.org.as_ref(), Sign::of_all(&failure), usage);
        if let Some(failure) = &failure {
            self.trouble(turn, &flight, failure);
        }
        // A query that was too much for the org is asked again in halves, at once.
        let split = failure.is_some_and(|failure| failure.class == FailureClass::Split);
        let limit = (split && asked.len() > 1)
            .then(|| half(u32::try_from(asked.len()).unwrap_or(u32::MAX)));
        let unsettled = match limit {
            Some(_) => turn.now,
            None => after_failure(&self.config.reconcile, turn.now),
        };
        let findings: BTreeMap<AttemptId, Finding> = findings.into_iter().collect();
        for (attempt, id) in asked {
            let Some(doubt) = self.doubts.get_mut(id) else {
                continue;
            };
            if doubt.attempt.attempt != *attempt || doubt.state != State::Asked {
                continue;
            }
            let link = self
                .accounts
                .get(&id.account)
                .and_then(|account| account.link.as_ref());
            let mut settler = Settler {
                config: &self.config.reconcile,
                retry: &self.config.retry,
                kept_at_most: self.config.links.parked_at_most,
                rng: turn.rng,
            };
            let conclusion = if let (Some(finding), Some(link)) = (findings.get(attempt), link) {
                // The org that was asked counts, whatever the link is now.
                doubt.looks += 1;
                let (looks, attempt) = (doubt.looks, &doubt.attempt);
                settler.conclude(flight.opened_at, attempt, looks, link, finding)
            } else if limit.is_some() {
                doubt.limit = limit;
                Conclusion::Look(unsettled)
            } else {
                settler.unanswered(turn.now, &doubt.attempt, unsettled)
            };
            match conclusion {
                Conclusion::Look(at) => self.look_at(id, at.max(turn.now)),
                Conclusion::Over(outcome) => self.conclude(turn, id, *outcome),
            }
        }
    }

    /// Has the end of an attempt stored.
    fn conclude(&mut self, turn: &mut Turn<'_>, id: &CallId, outcome: Outcome) {
        let Some(doubt) = self.doubts.get_mut(id) else {
            return;
        };
        let attempt = &doubt.attempt;
        let Some(shard) = self.shards.get(&attempt.shard) else {
            return;
        };
        doubt.state = State::Recording;
        let then = match &outcome {
            Outcome::RetryAt { at, .. } => Then::Again(*at),
            _ => Then::End,
        };
        turn.decisions.push(Decision {
            call: id.clone(),
            shard: attempt.shard,
            epoch: shard.epoch,
            attempt: Some(attempt.attempt),
            revision: attempt.revision,
            generation: attempt.generation,
            outcome,
        });
        let pending = Pending {
            shard: attempt.shard,
            epoch: shard.epoch,
            closes: Some(attempt.attempt),
            then,
        };
        self.recording.insert(id.clone(), pending);
    }

    /// Follows an account's attempts into the shard that its link lies in now.
    pub(super) fn move_doubts(&mut self, link: &LinkState) {
        let left: Vec<CallId> = self
            .doubts
            .iter()
            .filter(|(id, doubt)| {
                id.account == link.account
                    && doubt.attempt.shard != link.shard
                    && doubt.state != State::Recording
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in left {
            self.drop_doubt(&id);
        }
    }
}
