//! What comes back from a dispatched batch, and what follows once it is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use super::accounts::Place;
use super::journal::{Circumstances, Sent, judge};
use super::looking::Doubt;
use super::machine::{Engine, Flight, Load, Turn};
use super::pacing::Sign;
use super::{ApiUsage, BatchCall, BatchId, Decision, Reply, ReplyResult};
use crate::domain::ids::{AttemptId, CallId, Epoch, OrgId, ShardId};
use crate::domain::outcome::{Answer, Failure, FailureScope, Outcome};
use crate::domain::task::KeyMode;
use crate::domain::work::{AttemptKind, Lane, OpenAttempt, Refusal};

/// An outcome that is being stored.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) shard: ShardId,
    pub(super) epoch: Epoch,
    /// The attempt that it closes, unless that stays in doubt.
    pub(super) closes: Option<AttemptId>,
    pub(super) then: Then,
}

/// What follows once an outcome is stored.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing more happens by itself.
    End,
    /// The call is ready again at that time.
    Again(chrono::DateTime<chrono::Utc>),
    /// The attempt is looked for.
    Doubt(Box<OpenAttempt>),
}

/// An attempt's part of a reply.
struct Attempted {
    attempt: AttemptId,
    kind: AttemptKind,
    mode: KeyMode,
    send_by: chrono::DateTime<chrono::Utc>,
    answer: Answer,
    /// How many calls the request held.
    together: u32,
}

impl Engine {
    /// Takes the end of a dispatched batch in.
    pub(super) fn on_answered(
        &mut self,
        turn: &mut Turn<'_>,
        batch: BatchId,
        replies: Vec<Reply>,
        usage: Option<ApiUsage>,
        took: Duration,
    ) {
        let Some(flight) = self.close(batch) else {
            return;
        };
        let Load::Tasks(calls) = &flight.load else {
            return;
        };
        let around = self.learn_from(turn, &flight, &replies, usage, took);
        let mut replies: BTreeMap<CallId, ReplyResult> = replies
            .into_iter()
            .map(|reply| (reply.call, reply.result))
            .collect();
        for call in calls {
            match replies.remove(&call.call) {
                Some(ReplyResult::Answered {
                    attempt,
                    kind,
                    mode,
                    send_by,
                    answer,
                }) => {
                    let attempted = Attempted {
                        attempt,
                        kind,
                        mode,
                        send_by,
                        answer,
                        together: u32::try_from(calls.len()).unwrap_or(u32::MAX),
                    };
                    self.decide(turn, &flight, call, attempted, around);
                }
                Some(ReplyResult::Refused(refusal)) => self.refused(turn, call, refusal),
                // A call without a reply was not sent either.
                Some(ReplyResult::Unavailable(_)) | None => self.unsent(turn, call, around),
            }
        }
        self.stir(&flight.account);
    }

    /// What the replies tell about the org, the link and the token, once for the whole request.
    fn learn_from(
        &mut self,
        turn: &mut Turn<'_>,
        flight: &Flight,
        replies: &[Reply],
        usage: Option<ApiUsage>,
        took: Duration,
    ) -> Circumstances {
        let failures: Vec<&Failure> = replies.iter().filter_map(|r| failure(&r.result)).collect();
        let asked = replies
            .iter()
            .any(|r| matches!(r.result, ReplyResult::Answered { .. }));
        if asked {
            self.learn(
                turn,
                flight.org.as_ref(),
                Sign::of_all(failures.iter().copied()),
                usage,
            );
            if let Some(org) = flight.org.as_ref().and_then(|org| self.orgs.get_mut(org)) {
                org.timed(replies.len(), took, &self.config.batching);
            }
            if replies.iter().any(|reply| is_success(&reply.result)) {
                self.served(turn, flight);
            }
        }
        let mut around = Circumstances::default();
        // One failure of each class speaks for all: they are about the same token and link.
        let mut told = Vec::new();
        for failure in failures {
            let everyone = failure.scope == FailureScope::Everyone;
            let key = (failure.class, everyone, failure.moved);
            if !told.contains(&key) {
                told.push(key);
                around.link_dead |= self.trouble(turn, flight, failure);
            }
        }
        let stop = flight.org.as_ref().and_then(|org| self.orgs.get(org)?.stop);
        around.quota_since = stop.filter(|stop| stop.quota).map(|stop| stop.since);
        around.not_before = self.everyone.paused(turn.now).max(
            stop.map(|stop| stop.until)
                .filter(|until| *until > turn.now),
        );
        around
    }

    /// Lets the org's pacing learn.
    pub(super) fn learn(
        &mut self,
        turn: &mut Turn<'_>,
        org: Option<&OrgId>,
        sign: Sign,
        usage: Option<ApiUsage>,
    ) {
        let Some(org) = org.and_then(|org| self.orgs.get_mut(org)) else {
            return;
        };
        let throttled = org.stop.is_some_and(|stop| stop.quota);
        org.learn(turn.now, turn.rng, sign, usage, &self.config.pacing);
        if throttled && org.stop.is_none() {
            for account in org.accounts.clone() {
                self.unpark_from(&account, turn.now);
            }
        }
    }

    /// Judges one answer and has it stored, with the epoch at which it was sent.
    #[expect(
        clippy::too_many_lines,
        reason = "what one answer means, and all that follows"
    )]
    fn decide(
        &mut self,
        turn: &mut Turn<'_>,
        flight: &Flight,
        call: &BatchCall,
        attempted: Attempted,
        around: Circumstances,
    ) {
        let Attempted {
            attempt,
            kind,
            mode,
            send_by,
            answer,
            together,
        } = attempted;
        let account = self.accounts.get_mut(&call.call.account);
        let known = account.and_then(|account| {
            account.place_task(&call.call, Place::Recording);
            account.calls.get_mut(&call.call)
        });
        let attempts = known.as_ref().map_or(0, |known| known.attempts) + 1;
        let ended_at = known.as_ref().and_then(|known| known.ended_at);
        let sent = Sent {
            attempts,
            degraded: &call.degraded,
            batch_limit: known.as_ref().and_then(|known| known.batch_limit),
            hidden: call.hidden.as_ref(),
            kind: &kind,
            send_by,
            ended_at,
            together,
        };
        let outcome = judge(&self.config, turn.now, turn.rng, &sent, around, answer);
        if let Some(known) = known {
            known.attempts = attempts;
            if let Outcome::RetryAt {
                degraded,
                batch_limit,
                ..
            } = &outcome
            {
                known.degraded.clone_from(degraded);
                known.batch_limit = *batch_limit;
            }
        }
        let then = match &outcome {
            Outcome::RetryAt { at, .. } | Outcome::NotSent { at } => Then::Again(*at),
            Outcome::InDoubt { look_at, failure } => Then::Doubt(Box::new(OpenAttempt {
                attempt,
                call: call.call.clone(),
                shard: call.shard,
                org: flight.org.clone().expect("Tasks are sent to an org"),
                generation: flight.generation,
                mode,
                kind,
                revision: call.revision,
                degraded: call.degraded.clone(),
                send_by,
                look_at: *look_at,
                attempts,
                together,
                call_ended_at: ended_at,
                answered: failure.ended,
                hidden: call.hidden.clone(),
            })),
            _ => Then::End,
        };
        self.note_taken(&call.call, &outcome);
        let in_doubt = matches!(then, Then::Doubt(_));
        let pending = Pending {
            shard: call.shard,
            epoch: call.epoch,
            closes: (!in_doubt).then_some(attempt),
            then,
        };
        self.recording.insert(call.call.clone(), pending);
        turn.decisions.push(Decision {
            call: call.call.clone(),
            shard: call.shard,
            epoch: call.epoch,
            attempt: Some(attempt),
            revision: call.revision,
            generation: flight.generation,
            outcome,
        });
    }

    /// An attempt that did not begin: what is known of the call is old.
    fn refused(&mut self, turn: &mut Turn<'_>, call: &BatchCall, refusal: Refusal) {
        let id = &call.call;
        let again = turn.now + self.config.retry.tasks.full(1, turn.rng);
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        if matches!(refusal, Refusal::LinkChanged | Refusal::TaskTaken) {
            account.place_task(id, Place::Ready(again));
        } else {
            account.place_task(id, Place::Idle);
            let newer = account.calls.get_mut(id).and_then(|call| call.newer.take());
            self.settle(id);
            self.want_sweep(call.shard, Lane::Task, again);
            if let Some(newer) = newer {
                self.on_due(turn, None, vec![newer], false);
            }
        }
        match refusal {
            // An attempt that this replica does not know: begun, and its answer lost.
            Refusal::Open => self.want_attempts(turn, call.shard),
            // The account may lie in another shard by now.
            Refusal::Stale | Refusal::LinkChanged => {
                self.links_wanted.insert(id.account.clone());
            }
            Refusal::Moved | Refusal::TaskTaken => {}
        }
        self.drop_lost(id);
    }

    /// A call of a batch that was not sent and not noted: ready as before.
    fn unsent(&mut self, turn: &mut Turn<'_>, call: &BatchCall, around: Circumstances) {
        let wait = self.config.retry.tasks.full(1, turn.rng);
        let at = (turn.now + wait).max(around.not_before.unwrap_or(turn.now));
        let Some(account) = self.accounts.get_mut(&call.call.account) else {
            return;
        };
        account.place_task(&call.call, Place::Ready(at));
        self.drop_lost(&call.call);
    }

    /// Takes a call out of the queues whose shard was lost while it was under way.
    fn drop_lost(&mut self, id: &CallId) {
        let shard = self
            .accounts
            .get(&id.account)
            .and_then(|a| Some(a.calls.get(id)?.shard));
        if shard.is_some_and(|shard| !self.shards.contains_key(&shard)) {
            let account = self
                .accounts
                .get_mut(&id.account)
                .expect("its call was read");
            account.place_task(id, Place::Idle);
            self.settle(id);
        }
    }

    /// Goes on with what is stored, and drops what is stale.
    pub(super) fn on_recorded(&mut self, turn: &mut Turn<'_>, done: Vec<(CallId, bool)>) {
        for (id, stored) in done {
            let Some(pending) = self.recording.remove(&id) else {
                continue;
            };
            let shard = self.shards.get_mut(&pending.shard);
            let owned = shard.as_ref().map(|shard| shard.epoch);
            if let Some(shard) = shard.filter(|shard| stored && shard.loading) {
                shard.closed.extend(pending.closes);
            }
            let current = stored && owned == Some(pending.epoch);
            self.recorded(turn, &id, pending, current);
            self.stir(&id.account);
        }
    }

    fn recorded(&mut self, turn: &mut Turn<'_>, id: &CallId, pending: Pending, current: bool) {
        let from_doubt = self.drop_doubt(id);
        let account = self.accounts.get_mut(&id.account);
        let known = account.and_then(|account| {
            let place = account.calls.get(id)?.task;
            Some((account, place)).filter(|(_, place)| *place == Place::Recording)
        });
        let newer = known.and_then(|(account, _)| {
            let place = match &pending.then {
                Then::Again(at) if current => Place::Ready(*at),
                _ => Place::Idle,
            };
            let call = account.calls.get_mut(id).expect("its place was just read");
            let newer = call.newer.take();
            if let Then::Again(at) = &pending.then {
                call.task_due = *at;
            }
            account.place_task(id, place);
            newer
        });
        // What a doubt leaves due (a repeat, a later revision) is not in memory.
        if from_doubt && current {
            let at = if let Then::Again(at) = pending.then {
                at
            } else {
                turn.now
            };
            self.want_sweep(pending.shard, Lane::Task, at);
        }
        if let (Then::Doubt(attempt), true) = (pending.then, current) {
            self.doubt(Doubt::new(*attempt));
        }
        self.settle(id);
        if let Some(newer) = newer {
            self.on_due(turn, None, vec![newer], false);
        }
        if !current {
            self.mend(turn, id, pending.shard);
        }
    }

    /// A stale record: the attempt may be open still, and is then found where the call lies now.
    fn mend(&mut self, turn: &mut Turn<'_>, id: &CallId, shard: ShardId) {
        let now_in = self
            .accounts
            .get(&id.account)
            .and_then(|a| Some(a.link.as_ref()?.shard));
        for shard in [Some(shard), now_in].into_iter().flatten() {
            if self.shards.contains_key(&shard) {
                self.want_attempts(turn, shard);
                self.want_sweep(shard, Lane::Task, turn.now);
            }
        }
        self.links_wanted.insert(id.account.clone());
    }
}

/// Whether there is a Task now.
const fn is_success(result: &ReplyResult) -> bool {
    let ReplyResult::Answered { answer, .. } = result else {
        return false;
    };
    matches!(
        answer,
        Answer::Created(_) | Answer::Updated(_) | Answer::Exists(_)
    )
}

/// What failed in a reply.
fn failure(result: &ReplyResult) -> Option<&Failure> {
    match result {
        ReplyResult::Unavailable(failure)
        | ReplyResult::Answered {
            answer: Answer::NotSent(failure) | Answer::Failed(failure),
            ..
        } => Some(failure),
        ReplyResult::Refused(_) | ReplyResult::Answered { .. } => None,
    }
}
