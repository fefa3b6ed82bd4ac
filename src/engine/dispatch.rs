//! The Task lane: ended calls become Tasks in as few requests as their linger allows, or are
//! skipped or parked where no request may be sent.

use super::accounts::Place;
use super::answers::{Pending, Then};
use super::brakes::Brake;
use super::lookups::limited;
use super::machine::{Engine, Load, Served, Turn};
use super::pacing::Gate;
use super::parking::{park, unlinked};
use super::reconcile::{admit, not_proven};
use super::{Command, Decision};
use crate::domain::ids::{AccountId, CallId};
use crate::domain::link::{LinkState, LinkStatus};
use crate::domain::outcome::{Outcome, ParkReason, SkipReason};
use crate::domain::task::Hidden;
use crate::domain::work::Lane;

impl Engine {
    /// Starts what an account's Task lane has to start now.
    pub(super) fn serve_tasks(&mut self, turn: &mut Turn<'_>, id: &AccountId) -> Served {
        let Some(account) = self.accounts.get(id) else {
            return Served::Nothing;
        };
        if account.queued(Lane::Task) == 0 {
            return Served::Nothing;
        }
        let Some(link) = &account.link else {
            self.links_wanted.insert(id.clone());
            return Served::Nothing;
        };
        if self.working_epoch(link.shard).is_none() {
            return Served::Nothing;
        }
        let live = link.is_live();
        self.record_skips(turn, id);
        match self.brake(id, Lane::Task) {
            Brake::Off if live => self.record_unprotected(turn, id),
            Brake::Unknown if live => return Served::Nothing,
            _ => {
                self.record_unsendable(turn, id);
                return Served::Nothing;
            }
        }
        match self.gate(turn, id, Lane::Task) {
            Gate::Open => self.dispatch(turn, id),
            Gate::Until(at, _) => Served::Until(at),
            Gate::Busy => Served::Nothing,
            Gate::Crowded => Served::Crowded,
        }
    }

    /// Opens a request for the Tasks that are ready, if it would be full or one has lingered.
    fn dispatch(&mut self, turn: &mut Turn<'_>, id: &AccountId) -> Served {
        self.give_a_chance(turn, id);
        let (config, now) = (&self.config, turn.now);
        let account = self.accounts.get(id).expect("served accounts are known");
        let link = account
            .link
            .as_ref()
            .expect("dispatched after its link is known");
        let Some(linked) = link.org.clone() else {
            return Served::Nothing;
        };
        let (generation, shard) = (link.generation, link.shard);
        let Some(org) = self.orgs.get(&linked.org) else {
            return Served::Nothing;
        };
        let most = config.batching.tasks.min(org.batch_cap);
        let linger = org.linger(&config.pacing, &config.batching);
        let ready = account
            .tasks
            .iter()
            .take_while(|(at, _)| *at <= now)
            .filter(|(_, call)| account.calls.get(call).is_some_and(|c| c.shard == shard));
        let next = account.tasks.iter().map(|(at, _)| *at).find(|at| *at > now);
        let Some((oldest, _)) = ready.clone().next() else {
            return next.map_or(Served::Nothing, Served::Until);
        };
        let goes_at = *oldest + linger;
        let full = ready.clone().nth(most - 1).is_some();
        if !full && goes_at > now {
            // More may become ready before that, and fill the batch.
            return Served::Until(next.map_or(goes_at, |next| next.min(goes_at)));
        }
        let calls = limited(
            account,
            Lane::Task,
            ready.map(|(_, call)| call.clone()),
            most,
        );
        let calls = self.take_off(Lane::Task, &calls);
        let (mode, org) = (linked.key_mode, linked.org);
        let load = Load::Tasks(calls.clone());
        let batch = self.open(now, id, generation, Some(org.clone()), load);
        let account = id.clone();
        turn.out.push(Command::Dispatch {
            batch,
            account,
            generation,
            org,
            mode,
            calls,
        });
        Served::Again
    }

    /// A call whose lookup never got its turn, because the org was left alone for so long, is
    /// given the time once more before its Task goes out unmatched.
    fn give_a_chance(&mut self, turn: &Turn<'_>, id: &AccountId) {
        let again = turn.now + self.config.batching.unmatched_after;
        let account = self
            .accounts
            .get_mut(id)
            .expect("served accounts are known");
        let untried: Vec<CallId> = account
            .tasks
            .iter()
            .take_while(|(at, _)| *at <= turn.now)
            .filter(|(_, call)| {
                account.calls.get(call).is_some_and(|c| {
                    !c.looked_up && c.searches == 0 && matches!(c.lookup, Place::Ready(_))
                })
            })
            .map(|(_, call)| call.clone())
            .collect();
        for call in untried {
            account.place_task(&call, Place::Ready(again));
            if let Some(call) = account.calls.get_mut(&call) {
                call.searches = 1;
            }
        }
    }

    /// Records the calls that earn no Task whatever the link.
    fn record_skips(&mut self, turn: &mut Turn<'_>, id: &AccountId) {
        let account = self.accounts.get(id).expect("served accounts are known");
        let link = account
            .link
            .as_ref()
            .expect("recorded after its link is known")
            .clone();
        let skips: Vec<(CallId, SkipReason)> = account
            .skips
            .iter()
            .filter_map(|call| Some((call.clone(), account.calls.get(call)?.skip?)))
            .collect();
        for (call, reason) in skips {
            self.record_unsent(turn, &link, &call, Outcome::Skipped { reason });
        }
    }

    /// Gives up the calls whose Task may be hidden where the link's org would not refuse a second
    /// one: it is another org, or has not that unique field any more.
    fn record_unprotected(&mut self, turn: &mut Turn<'_>, id: &AccountId) {
        let account = self.accounts.get(id).expect("served accounts are known");
        let link = account.link.as_ref();
        let link = link.expect("recorded after its link is known").clone();
        let refused = |hidden: &Hidden| {
            let org = link.org.as_ref();
            org.is_some_and(|org| hidden.is_refused(&org.org, &org.key_mode))
        };
        let is_unprotected = |call: &CallId| {
            let hidden = account
                .calls
                .get(call)
                .and_then(|known| known.hidden.as_ref());
            hidden.is_some_and(|hidden| !refused(hidden))
        };
        let queued = account.tasks.iter().map(|(_, call)| call.clone());
        let unprotected: Vec<CallId> = queued.filter(is_unprotected).collect();
        for call in unprotected {
            self.record_unsent(turn, &link, &call, not_proven());
        }
    }

    /// Records the calls of an account without a working link, or whose Tasks are paused.
    fn record_unsendable(&mut self, turn: &mut Turn<'_>, id: &AccountId) {
        let account = self.accounts.get(id).expect("served accounts are known");
        let link = account
            .link
            .as_ref()
            .expect("recorded after its link is known")
            .clone();
        let calls: Vec<_> = account
            .tasks
            .iter()
            .map(|(_, call)| {
                let known = account.calls.get(call);
                (call.clone(), known.and_then(|known| known.ended_at))
            })
            .collect();
        let (links, now) = (&self.config.links, turn.now);
        let (at_most, until) = (
            links.parked_at_most,
            link.calls_wait_until(links.unlink_grace),
        );
        for (call, ended_at) in calls {
            let outcome = match link.status {
                LinkStatus::Unlinked => unlinked(now, until),
                LinkStatus::Linked | LinkStatus::Legacy if link.is_live() => {
                    park(at_most, now, ended_at, ParkReason::Paused, None)
                }
                LinkStatus::Linked | LinkStatus::Legacy => {
                    park(at_most, now, ended_at, ParkReason::LinkBroken, None)
                }
            };
            self.record_unsent(turn, &link, &call, outcome);
        }
    }

    /// Decides about a call without a request.
    fn record_unsent(
        &mut self,
        turn: &mut Turn<'_>,
        link: &LinkState,
        id: &CallId,
        outcome: Outcome,
    ) {
        let Some(call) = self.batch_call(id).filter(|call| call.shard == link.shard) else {
            return;
        };
        let outcome = admit(outcome, call.hidden.is_some());
        let account = self
            .accounts
            .get_mut(&id.account)
            .expect("its call was read");
        account.place_task(id, Place::Recording);
        let pending = Pending {
            shard: call.shard,
            epoch: call.epoch,
            closes: None,
            then: Then::End,
        };
        self.recording.insert(id.clone(), pending);
        turn.decisions.push(Decision {
            call: call.call,
            shard: call.shard,
            epoch: call.epoch,
            attempt: None,
            revision: call.revision,
            generation: link.generation,
            outcome,
        });
    }
}
