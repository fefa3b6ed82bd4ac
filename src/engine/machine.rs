//! The engine itself: its state, and the one way through it.
//!
//! [`Engine::handle`] takes one input in, then pumps: whatever may be started now is started, in
//! a fixed order (lookups before Tasks before questions), so that the same inputs, times and
//! random numbers give the same commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngCore;

use super::accounts::{Account, Place, Rotation};
use super::answers::Pending;
use super::looking::Doubt;
use super::pacing::{Everyone, Gate, Org};
use super::paging::Shard;
use super::{BatchCall, BatchId, Command, Config, Decision, Input};
use crate::domain::ids::{AccountId, AttemptId, CallId, Epoch, Generation, OrgId, SHARDS, ShardId};
use crate::domain::pause::Paused;
use crate::domain::work::Lane;

/// The lanes in the order in which they are served.
pub(super) const LANES: [Lane; 2] = [Lane::Lookup, Lane::Task];

/// The shortest wait that is worth a timer.
const SOON: Duration = Duration::from_millis(1);

/// Every decision of one worker. See the [module](super) for how it is driven.
#[derive(Debug)]
pub struct Engine {
    pub(super) config: Config,
    pub(super) shard_count: u16,
    pub(super) shards: BTreeMap<ShardId, Shard>,
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) orgs: BTreeMap<OrgId, Org>,
    pub(super) flights: BTreeMap<BatchId, Flight>,
    pub(super) recording: BTreeMap<CallId, Pending>,
    /// Attempts in doubt, by their call.
    pub(super) doubts: BTreeMap<CallId, Doubt>,
    /// When to look for them.
    pub(super) looks: BTreeSet<(DateTime<Utc>, CallId)>,
    pub(super) rotations: [Rotation; 2],
    /// When an account's lane is looked at again.
    pub(super) wakes: BTreeSet<(DateTime<Utc>, Lane, AccountId)>,
    /// When a shard's lane is paged through again.
    pub(super) sweeps: BTreeSet<(DateTime<Utc>, ShardId, Lane)>,
    /// Shards' lanes in which calls were left for want of room, and there is room now.
    pub(super) refills: BTreeSet<(ShardId, Lane)>,
    /// When an account's parked calls are made due again.
    pub(super) unparks: BTreeSet<(DateTime<Utc>, AccountId)>,
    pub(super) links_wanted: BTreeSet<AccountId>,
    pub(super) everyone: Everyone,
    /// Links that died lately (rule 12).
    pub(super) deaths: BTreeMap<AccountId, DateTime<Utc>>,
    /// Tokens to be refreshed ahead of need, and how many of those refreshes are under way.
    pub(super) stale: VecDeque<(AccountId, Generation)>,
    pub(super) ahead: usize,
    /// Requests in flight by lane, and queries of the reconciler.
    pub(super) requests: [usize; 2],
    pub(super) queries: usize,
    /// Refreshes and changes of links under way.
    pub(super) errands: usize,
    /// What is paused, once that is known.
    pub(super) paused: Option<Paused>,
    /// Calls in memory.
    pub(super) held: usize,
    pub(super) draining: bool,
    next_batch: u64,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) account: AccountId,
    pub(super) generation: Generation,
    /// The org, for what is sent to one.
    pub(super) org: Option<OrgId>,
    pub(super) opened_at: DateTime<Utc>,
    /// It probes an org that was left alone.
    pub(super) probe: bool,
    pub(super) load: Load,
}

/// What a request carries.
#[derive(Debug)]
pub(super) enum Load {
    /// Lookups to be searched.
    Lookups(Vec<CallId>),
    /// Lookups answered without a search.
    Answers(Vec<CallId>),
    /// Tasks.
    Tasks(Vec<BatchCall>),
    /// Attempts in doubt.
    Doubts(Vec<(AttemptId, CallId)>),
}

/// One turn of the engine.
pub(super) struct Turn<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) rng: &'a mut dyn RngCore,
    pub(super) out: Vec<Command>,
    pub(super) decisions: Vec<Decision>,
}

/// What became of an account's turn in a lane.
pub(super) enum Served {
    /// Something was started; there may be more.
    Again,
    /// Nothing before this, unless an input comes first.
    Until(DateTime<Utc>),
    /// Nothing until an input comes.
    Nothing,
    /// All requests are in flight.
    Crowded,
}

impl Engine {
    /// An engine that owns nothing yet.
    pub fn new(config: Config) -> Self {
        Self::with_shards(config, SHARDS)
    }

    /// An engine of a world with fewer shards, for simulations.
    pub fn with_shards(config: Config, shard_count: u16) -> Self {
        Self {
            config,
            shard_count,
            shards: BTreeMap::new(),
            accounts: BTreeMap::new(),
            orgs: BTreeMap::new(),
            flights: BTreeMap::new(),
            recording: BTreeMap::new(),
            doubts: BTreeMap::new(),
            looks: BTreeSet::new(),
            rotations: <[Rotation; 2]>::default(),
            wakes: BTreeSet::new(),
            sweeps: BTreeSet::new(),
            refills: BTreeSet::new(),
            unparks: BTreeSet::new(),
            links_wanted: BTreeSet::new(),
            everyone: Everyone::default(),
            deaths: BTreeMap::new(),
            stale: VecDeque::new(),
            ahead: 0,
            requests: [0; 2],
            queries: 0,
            errands: 0,
            paused: None,
            held: 0,
            draining: false,
            next_batch: 0,
        }
    }

    /// Takes one input in and tells what to do. `now` is the worker's clock; it may differ from
    /// the database's by `engine.reconcile.clock_margin`.
    pub fn handle(
        &mut self,
        now: DateTime<Utc>,
        rng: &mut dyn RngCore,
        input: Input,
    ) -> Vec<Command> {
        let mut turn = Turn {
            now,
            rng,
            out: Vec::new(),
            decisions: Vec::new(),
        };
        self.take(&mut turn, input);
        if self.draining {
            self.release_idle(&mut turn, false);
        } else {
            self.pump(&mut turn);
        }
        self.flush(&mut turn);
        turn.out
    }

    /// When to send [`Input::Tick`] if nothing else comes first; `None`: nothing is planned.
    pub fn next_wakeup(&self) -> Option<DateTime<Utc>> {
        if self.draining {
            return None;
        }
        let firsts = [
            self.wakes.first().map(|(at, ..)| *at),
            self.sweeps.first().map(|(at, ..)| *at),
            self.unparks.first().map(|(at, _)| *at),
            self.looks.first().map(|(at, _)| *at),
        ];
        firsts.into_iter().flatten().min()
    }

    /// Whether nothing is in flight: no request, no record, no refresh. A drain ends with it.
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.recording.is_empty() && self.errands == 0
    }

    fn take(&mut self, turn: &mut Turn<'_>, input: Input) {
        match input {
            Input::Leases { owned, replicas } => self.on_leases(turn, owned, replicas),
            Input::Due { page, calls, more } => self.on_due(turn, page, calls, more),
            Input::Woken { shards, accounts } => self.on_woken(turn, &shards, accounts),
            Input::OpenAttempts { shard, attempts } => self.on_attempts(turn, shard, attempts),
            Input::Links(links) => self.on_links(turn, links),
            Input::LookedUp {
                batch,
                answered,
                failure,
                usage,
            } => {
                self.on_looked_up(turn, batch, answered, failure, usage);
            }
            Input::Answered {
                batch,
                replies,
                usage,
                took,
            } => {
                self.on_answered(turn, batch, replies, usage, took);
            }
            Input::Recorded { done } => self.on_recorded(turn, done),
            Input::Reconciled {
                batch,
                findings,
                failure,
                usage,
            } => {
                self.on_reconciled(turn, batch, findings, failure, usage);
            }
            Input::Refreshed {
                account,
                generation,
                ahead,
                result,
            } => {
                self.on_refreshed(turn, (&account, generation), ahead, result);
            }
            Input::Tokens { stale, doubtful } => self.on_tokens(turn, stale, doubtful),
            Input::Unparked { account, calls } => self.on_unparked(turn, &account, calls),
            Input::Paused(paused) => self.on_paused(turn, paused),
            Input::Tick => {}
            Input::Drain => self.drain(),
        }
    }

    fn pump(&mut self, turn: &mut Turn<'_>) {
        while let Some((_, lane, account)) = self.wakes.pop_first_due(turn.now) {
            if let Some(known) = self.accounts.get_mut(&account) {
                known.wakes[lane as usize] = None;
            }
            self.rotations[lane as usize].push(&account);
        }
        for lane in LANES {
            self.serve(turn, lane);
        }
        self.look(turn);
        self.refresh_ahead(turn);
        self.unpark_due(turn);
        self.refill(turn);
        self.sweep_due(turn);
        if self
            .shards
            .values()
            .any(|shard| shard.giving_up && !shard.released)
        {
            self.release_idle(turn, false);
        }
        if !self.links_wanted.is_empty() {
            let accounts = std::mem::take(&mut self.links_wanted).into_iter().collect();
            turn.out.push(Command::LoadLinks { accounts });
        }
    }

    /// Gives the accounts with something to do their turns, round robin.
    fn serve(&mut self, turn: &mut Turn<'_>, lane: Lane) {
        let mut crowded = Vec::new();
        while let Some(account) = self.rotations[lane as usize].pop() {
            let served = match lane {
                Lane::Lookup => self.serve_lookups(turn, &account),
                Lane::Task => self.serve_tasks(turn, &account),
            };
            match served {
                Served::Again => self.rotations[lane as usize].push(&account),
                Served::Until(at) => self.wake(turn.now, lane, &account, at),
                Served::Nothing => {}
                Served::Crowded => {
                    // Lookups of others may have to be answered in time all the same.
                    let deadline = self
                        .next_deadline(&account)
                        .filter(|_| lane == Lane::Lookup);
                    if let Some(at) = deadline {
                        self.wake(turn.now, lane, &account, at);
                    }
                    crowded.push(account);
                    if lane == Lane::Task {
                        break;
                    }
                }
            }
        }
        for account in crowded.into_iter().rev() {
            self.rotations[lane as usize].push_front(account);
        }
    }

    /// Plans a look at an account's lane; never so soon that time could not pass before it.
    fn wake(&mut self, now: DateTime<Utc>, lane: Lane, id: &AccountId, at: DateTime<Utc>) {
        let at = at.max(now + SOON);
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        if let Some(before) = account.wakes[lane as usize].replace(at) {
            self.wakes.remove(&(before, lane, id.clone()));
        }
        self.wakes.insert((at, lane, id.clone()));
    }

    /// Gives an account a turn in both lanes.
    pub(super) fn stir(&mut self, account: &AccountId) {
        for rotation in &mut self.rotations {
            rotation.push(account);
        }
    }

    /// Gives all accounts of an org a turn: something about it changed.
    pub(super) fn stir_org(&mut self, org: &OrgId) {
        let Some(org) = self.orgs.get(org) else {
            return;
        };
        for account in &org.accounts {
            for rotation in &mut self.rotations {
                rotation.push(account);
            }
        }
    }

    /// Whether the account may open a request in this lane.
    pub(super) fn gate(&mut self, turn: &mut Turn<'_>, id: &AccountId, lane: Lane) -> Gate {
        let in_flight = self.requests.iter().sum::<usize>() + self.queries;
        let tasks_full = lane == Lane::Task
            && self.requests[Lane::Task as usize] >= self.config.memory.task_requests;
        if in_flight >= self.config.memory.requests || tasks_full {
            return Gate::Crowded;
        }
        if let Some(until) = self.everyone.paused(turn.now) {
            return Gate::Until(until, true);
        }
        match self.token_gate(turn, id) {
            Gate::Open => {}
            closed => return closed,
        }
        let org = self
            .accounts
            .get(id)
            .and_then(|account| account.link.as_ref()?.org.as_ref())
            .and_then(|linked| self.orgs.get(&linked.org));
        org.map_or(Gate::Busy, |org| {
            org.gate(turn.now, lane, &self.config.pacing)
        })
    }

    /// Notes a request that opens, and names it.
    pub(super) fn open(
        &mut self,
        now: DateTime<Utc>,
        account: &AccountId,
        generation: Generation,
        org: Option<OrgId>,
        load: Load,
    ) -> BatchId {
        let lane = match load {
            Load::Lookups(_) => Some(Lane::Lookup),
            Load::Tasks(_) => Some(Lane::Task),
            Load::Answers(_) | Load::Doubts(_) => None,
        };
        if let Some(lane) = lane {
            self.requests[lane as usize] += 1;
        }
        self.queries += usize::from(matches!(load, Load::Doubts(_)));
        let probe = match (lane, org.as_ref().and_then(|org| self.orgs.get_mut(org))) {
            (Some(lane), Some(org)) => org.opened(now, lane, &self.config.pacing),
            _ => false,
        };
        self.next_batch += 1;
        let batch = BatchId(self.next_batch);
        let account = account.clone();
        self.flights.insert(
            batch,
            Flight {
                account,
                generation,
                org,
                opened_at: now,
                probe,
                load,
            },
        );
        batch
    }

    /// Notes that a request is over. `None` for one that is unknown: its answer comes twice.
    pub(super) fn close(&mut self, batch: BatchId) -> Option<Flight> {
        let flight = self.flights.remove(&batch)?;
        let lane = match flight.load {
            Load::Lookups(_) => Some(Lane::Lookup),
            Load::Tasks(_) => Some(Lane::Task),
            Load::Answers(_) | Load::Doubts(_) => None,
        };
        if let Some(lane) = lane {
            self.requests[lane as usize] -= 1;
            if let Some(org) = flight.org.as_ref().and_then(|org| self.orgs.get_mut(org)) {
                org.closed(lane, flight.probe);
            }
        }
        self.queries -= usize::from(matches!(flight.load, Load::Doubts(_)));
        if let Some(org) = &flight.org {
            self.stir_org(org);
        }
        Some(flight)
    }

    /// The epoch at which the shard may be worked on: owned, loaded, not to be given up.
    pub(super) fn working_epoch(&self, shard: ShardId) -> Option<Epoch> {
        self.shards
            .get(&shard)
            .filter(|shard| shard.loaded && !shard.giving_up)
            .map(|shard| shard.epoch)
    }

    /// A call of a batch as the journal needs it; `None` if its shard may not be worked on.
    pub(super) fn batch_call(&self, id: &CallId) -> Option<BatchCall> {
        let call = self.accounts.get(&id.account)?.calls.get(id)?;
        Some(BatchCall {
            call: id.clone(),
            shard: call.shard,
            epoch: self.working_epoch(call.shard)?,
            revision: call.revision,
            degraded: call.degraded.clone(),
            hidden: call.hidden.clone(),
        })
    }

    /// Lets go of a call that has nothing due, and of its account if nothing holds it here.
    pub(super) fn settle(&mut self, id: &CallId) {
        let Some(account) = self.accounts.get_mut(&id.account) else {
            return;
        };
        let idle = account
            .calls
            .get(id)
            .is_some_and(|call| call.lookup == Place::Idle && call.task == Place::Idle);
        if idle {
            account.calls.remove(id);
            self.held -= 1;
            self.refill_after(id);
        }
        self.let_go(&id.account);
    }

    /// Forgets an account that has no call here and lies in no owned shard.
    pub(super) fn let_go(&mut self, id: &AccountId) {
        let Some(account) = self.accounts.get(id) else {
            return;
        };
        let ours = account
            .link
            .as_ref()
            .is_some_and(|link| self.shards.contains_key(&link.shard));
        if !account.calls.is_empty() || ours || account.marking || account.token.is_refreshing() {
            return;
        }
        let account = self.accounts.remove(id).expect("seen above");
        for (lane, wake) in LANES.into_iter().zip(account.wakes) {
            if let Some(at) = wake {
                self.wakes.remove(&(at, lane, id.clone()));
            }
        }
        if let Some(linked) = account.link.and_then(|link| link.org) {
            self.leave_org(&linked.org, id);
        }
    }

    /// Turns the turn's decisions into records.
    fn flush(&mut self, turn: &mut Turn<'_>) {
        let mut decisions = std::mem::take(&mut turn.decisions).into_iter().peekable();
        while decisions.peek().is_some() {
            let decisions = decisions
                .by_ref()
                .take(self.config.batching.records)
                .collect();
            turn.out.push(Command::Record { decisions });
        }
    }
}

/// Sets ordered by time, as a list of what is to come.
pub(super) trait Planned<T> {
    /// Takes the first that is due at `now`.
    fn pop_first_due(&mut self, now: DateTime<Utc>) -> Option<T>;
}

impl<A: Ord> Planned<(DateTime<Utc>, A)> for BTreeSet<(DateTime<Utc>, A)> {
    fn pop_first_due(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, A)> {
        if self.first()?.0 > now {
            None
        } else {
            self.pop_first()
        }
    }
}

impl<A: Ord, B: Ord> Planned<(DateTime<Utc>, A, B)> for BTreeSet<(DateTime<Utc>, A, B)> {
    fn pop_first_due(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, A, B)> {
        if self.first()?.0 > now {
            None
        } else {
            self.pop_first()
        }
    }
}
