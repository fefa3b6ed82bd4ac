//! The world: replicas with an engine each, the shells that carry its commands out, one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vcc_link::domain::adoption;
use vcc_link::domain::call::CallEvent;
use vcc_link::domain::ids::{AccountId, AttemptId, CallId, Generation, OrgId, RecordId};
use vcc_link::domain::link::{LinkReason, LinkedOrg};
use vcc_link::domain::matching::LookupResult;
use vcc_link::domain::outcome::{Answer, Failure, FailureClass, FailureScope};
use vcc_link::domain::pause::{Paused, Scope};
use vcc_link::domain::task::KeyMode;
use vcc_link::domain::work::{ApiUsage, AttemptKind, Lane, OpenAttempt, Refusal, Unparked};
use vcc_link::engine::{
    BatchCall, BatchId, Command, Config, Decision, Engine, Input, Refreshed, Reply, ReplyResult,
    leases,
};

use super::salesforce::Salesforce;
use super::store::{Claim, SHARDS, Store};

type At = DateTime<Utc>;

/// How far a replica's clock is wrong at most, in milliseconds.
pub(super) const MAX_SKEW: i64 = 5000;

/// How often leases are extended.
const BEAT: Duration = Duration::from_secs(10);
/// How far ahead a shell reads what will be due.
const AHEAD: Duration = Duration::from_secs(5);
/// How long a shell waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A replica in one of its lives: what is addressed to an earlier life is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct To {
    replica: usize,
    life: u32,
}

/// What happens at a moment.
pub(super) enum Event {
    /// The engine hears of something.
    Hear(To, Input),
    /// A shell carries a command out, as far as the store.
    Run(To, Command),
    /// A shell stores decisions, with how often each call had been put back when it read it.
    Record(To, Vec<(Decision, u32)>),
    /// A shell stores lookups' answers, which it worked out from what it read before.
    Keep(To, Answers),
    /// A shell notes attempts, as it decided by what it had read before.
    Begin(To, Noting),
    /// A shell writes a request's first byte.
    Send(To, Request),
    /// Salesforce works on a request; whoever sent it may be dead.
    Work(Option<To>, Request),
    /// Salesforce refreshes a token; without `To` nobody hears of it.
    Refresh(To, Refresh),
    /// The engine's timer.
    Tick(To),
    /// A heartbeat.
    Beat(To),
    /// The platform tells of a call, to whichever replica polls the partition.
    Call(Box<CallEvent>),
    /// A replica dies, and comes back later.
    Crash(usize),
    /// It comes back.
    Restart(usize),
    /// It stands still until then, and then goes on as if nothing had been.
    Pause(usize, At),
    /// An admin links (or, without an org, unlinks) an account.
    Link(AccountId, Option<LinkedOrg>),
    /// An API user may see the Tasks that it made for others from now on, or may not.
    Sees(OrgId, bool),
    /// An operator pauses something, or ends that.
    Brake(Scope, Lane, bool),
    /// An operator wants a call back.
    Replay(CallId),
    /// An access token expires.
    Expire(AccountId),
    /// An admin revokes the approval at Salesforce.
    Revoke(AccountId),
    /// Faults end.
    Calm,
}

/// The answers of a batch of lookups, on their way into the store.
pub(super) struct Answers {
    batch: BatchId,
    calls: Vec<BatchCall>,
    /// The calls whose begin was there when they were read.
    begun: BTreeSet<CallId>,
    result: LookupResult,
    usage: Option<ApiUsage>,
}

/// Calls whose attempts are to be noted, with what each is to do.
pub(super) struct Noting {
    batch: BatchId,
    account: AccountId,
    generation: Generation,
    org: OrgId,
    access: u64,
    calls: Vec<(BatchCall, AttemptKind)>,
}

/// A write on its way.
#[derive(Clone)]
pub(super) struct Request {
    batch: BatchId,
    org: OrgId,
    access: u64,
    attempts: Vec<OpenAttempt>,
    refused: Vec<Reply>,
    began: At,
}

/// A refresh on its way.
pub(super) struct Refresh {
    key: (AccountId, Generation),
    seen: u64,
    token: u64,
    last_step: bool,
    ahead: bool,
    send_by: At,
}

struct Replica {
    life: u32,
    engine: Option<Engine>,
    rng: StdRng,
    skew: TimeDelta,
    paused_until: Option<At>,
    replicas: u32,
    beats: u32,
    tick: Option<At>,
    /// What was read to be paused, and is on its way to the engine.
    told: Option<Paused>,
    /// What its engine knows to be paused.
    paused: Option<Paused>,
    /// The tokens as its shells last saw them.
    tokens: BTreeMap<(AccountId, Generation), (u64, u64)>,
    /// The Tasks that its batches are about to adopt.
    claims: BTreeMap<RecordId, BatchId>,
}

/// How often things go wrong.
pub(super) struct Faults {
    pub(super) lose_answer: f64,
    pub(super) late: f64,
    pub(super) lose_request: f64,
    pub(super) breaks: f64,
    pub(super) not_sent: f64,
    pub(super) query: f64,
    pub(super) search: f64,
    pub(super) slow_store: f64,
    pub(super) store_fails: f64,
    pub(super) lose_wake: f64,
}

pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) now: At,
    queue: BTreeMap<(At, u64), Box<Event>>,
    next: u64,
    replicas: Vec<Replica>,
    pub(super) store: Store,
    pub(super) salesforce: Salesforce,
    pub(super) faults: Faults,
    config: Config,
    pub(super) calm: bool,
    tell: bool,
    /// Answers to lookups are due so long after a call began.
    pub(super) lookup_within: Duration,
}

impl World {
    pub(super) fn new(seed: u64, config: Config, replicas: usize, tell: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a moment");
        let mut chance = |most: f64| {
            if rng.random_bool(0.5) {
                rng.random_range(0.0..most)
            } else {
                0.0
            }
        };
        let faults = Faults {
            lose_answer: chance(0.3),
            late: chance(0.2),
            lose_request: chance(0.2),
            breaks: chance(0.2),
            not_sent: chance(0.2),
            query: chance(0.4),
            search: chance(0.4),
            slow_store: chance(0.1),
            lose_wake: chance(1.0),
            store_fails: chance(0.1),
        };
        let mut world = Self {
            replicas: (0..replicas)
                .map(|_| Replica {
                    life: 0,
                    engine: None,
                    rng: StdRng::seed_from_u64(rng.random()),
                    skew: TimeDelta::milliseconds(rng.random_range(-MAX_SKEW..MAX_SKEW)),
                    paused_until: None,
                    replicas: 0,
                    beats: 0,
                    tick: None,
                    told: None,
                    paused: None,
                    tokens: BTreeMap::new(),
                    claims: BTreeMap::new(),
                })
                .collect(),
            rng,
            now,
            queue: BTreeMap::new(),
            next: 0,
            store: Store::default(),
            salesforce: Salesforce::default(),
            faults,
            config,
            calm: false,
            tell,
            lookup_within: Duration::from_secs(3),
        };
        for replica in 0..replicas {
            world.plan(now, Event::Restart(replica));
        }
        world
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("{} {}", self.now.format("%H:%M:%S%.3f"), what());
        }
    }

    pub(super) fn plan(&mut self, at: At, event: Event) {
        self.next += 1;
        self.queue.insert((at, self.next), Box::new(event));
    }

    fn soon(&mut self, milliseconds: std::ops::Range<u64>) -> At {
        self.now + Duration::from_millis(self.rng.random_range(milliseconds))
    }

    /// A chance that is none once the faults are over.
    fn odds(&mut self, odds: f64) -> bool {
        !self.calm && self.rng.random_bool(odds)
    }

    /// Whether a transaction fails, and if so, whether it was committed all the same.
    fn fails(&mut self) -> Option<bool> {
        if !self.odds(self.faults.store_fails) {
            return None;
        }
        let committed = self.rng.random_bool(0.5);
        let what = ["not committed", "committed unheard"][usize::from(committed)];
        self.store.happened.insert(what.to_owned());
        Some(committed)
    }

    /// Lives until `until`, or until `done`.
    pub(super) fn run(&mut self, until: At, done: impl Fn(&Self) -> bool) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > until {
                self.plan(at, *event);
                break;
            }
            self.now = self.now.max(at);
            let checks = matches!(*event, Event::Beat(_) | Event::Calm);
            self.happen(*event);
            if checks && done(self) {
                break;
            }
        }
    }

    fn happen(&mut self, event: Event) {
        if let Event::Hear(to, _)
        | Event::Run(to, _)
        | Event::Record(to, _)
        | Event::Keep(to, _)
        | Event::Begin(to, _)
        | Event::Send(to, _)
        | Event::Refresh(to, _)
        | Event::Tick(to)
        | Event::Beat(to) = &event
        {
            let replica = &self.replicas[to.replica];
            if replica.life != to.life || replica.engine.is_none() {
                return;
            }
            if let Some(until) = replica.paused_until.filter(|until| self.now < *until) {
                // A refresh or a request on the wire is past its replica already.
                self.plan(until, event);
                return;
            }
        }
        match event {
            Event::Hear(to, input) => self.hear(to, input),
            Event::Run(to, command) => self.carry_out(to, command),
            Event::Record(to, rows) => self.record(to, rows),
            Event::Keep(to, answers) => self.keep(to, &answers),
            Event::Begin(to, batch) => self.begin(to, &batch),
            Event::Send(to, request) => self.send(to, request),
            Event::Work(to, request) => self.work(to, &request),
            Event::Refresh(to, refresh) => self.refresh(to, &refresh),
            Event::Tick(to) => {
                self.replicas[to.replica].tick = None;
                self.hear(to, Input::Tick);
            }
            Event::Beat(to) => self.beat(to),
            Event::Call(event) => self.ingest(*event),
            Event::Crash(replica) => self.crash(replica),
            Event::Restart(replica) => self.restart(replica),
            Event::Pause(replica, until) => {
                self.tell(|| format!("replica {replica} stands still until {until}"));
                self.replicas[replica].paused_until = Some(until);
            }
            Event::Link(account, org) => self.link(&account, org),
            Event::Sees(org, sees) => {
                self.tell(|| format!("the user of {org} sees all: {sees}"));
                self.salesforce.see(&org, sees);
            }
            Event::Brake(scope, lane, on) => self.order(scope, lane, on),
            Event::Replay(call) => self.replay(&call),
            Event::Expire(account) => {
                if let Some(token) = self.current_token(&account) {
                    self.salesforce.expire(token);
                }
            }
            Event::Revoke(account) => {
                self.tell(|| format!("{account} is revoked"));
                if let Some(token) = self.current_token(&account) {
                    self.salesforce.revoke(token);
                }
            }
            Event::Calm => self.calm_down(),
        }
    }

    pub(super) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    fn current_token(&self, account: &AccountId) -> Option<u64> {
        let link = self.store.links.get(account)?;
        let grant = self.store.grants.get(&(account.clone(), link.generation))?;
        Some(grant.access_token)
    }

    // Replicas.

    fn restart(&mut self, id: usize) {
        let replica = &mut self.replicas[id];
        if replica.engine.is_some() {
            return;
        }
        replica.engine = Some(Engine::with_shards(self.config.clone(), SHARDS));
        (replica.replicas, replica.tick, replica.paused_until) = (0, None, None);
        replica.tokens.clear();
        replica.claims.clear();
        (replica.told, replica.paused) = (None, None);
        let to = To {
            replica: id,
            life: replica.life,
        };
        self.tell(|| format!("replica {id} starts"));
        self.plan(self.now, Event::Beat(to));
    }

    fn crash(&mut self, id: usize) {
        let replica = &mut self.replicas[id];
        if replica.engine.take().is_some() {
            replica.life += 1;
            self.tell(|| format!("replica {id} dies"));
        }
        let back = self.soon(1_000..120_000);
        self.plan(back, Event::Restart(id));
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.store.paused.clear();
        self.tell(|| "the world calms down".to_owned());
        // Who stands still goes on when its time is over, or its news would overtake each other.
        for id in 0..self.replicas.len() {
            self.plan(self.now, Event::Restart(id));
        }
        for trouble in self.salesforce.troubles.values_mut() {
            *trouble = super::salesforce::Troubles::default();
        }
    }

    fn beat(&mut self, to: To) {
        let replica = &self.replicas[to.replica];
        let owned = self.store.owned_by(to.replica);
        let share = leases::fair_share(SHARDS, replica.replicas) as usize;
        let claim = u32::try_from(share.saturating_sub(owned)).expect("few shards");
        let (owned, replicas) = self.store.beat(self.now, to.replica, claim);
        self.replicas[to.replica].replicas = replicas;
        let hears = self.soon(1..20);
        self.plan(hears, Event::Hear(to, Input::Leases { owned, replicas }));
        let beats = &mut self.replicas[to.replica].beats;
        *beats += 1;
        if *beats % 10 == 4 {
            let worth = self.rng.random_bool(0.3);
            let (stale, doubtful) = self.store.tokens_in_need(self.now, to.replica);
            let stale = if worth { stale } else { Vec::new() };
            self.answer(to, Input::Tokens { stale, doubtful });
        }
        // What is paused is told when it changes, behind or before the leases.
        let paused = self.store.paused();
        if self.replicas[to.replica].told.as_ref() != Some(&paused) {
            self.replicas[to.replica].told = Some(paused.clone());
            let hears = self.soon(1..2_000);
            self.plan(hears, Event::Hear(to, Input::Paused(paused)));
        }
        self.plan(self.now + BEAT, Event::Beat(to));
    }

    /// Neither searches nor sends for whom it knows to be paused, nor before it knows.
    fn check_brakes(&self, replica: usize, command: &Command) {
        let (lane, account) = match command {
            Command::Dispatch { account, .. } => (Lane::Task, account),
            Command::Lookup { account, .. } => (Lane::Lookup, account),
            _ => return,
        };
        let paused = self.replicas[replica].paused.as_ref();
        let paused = paused.expect("nothing is sent before it is known what is paused");
        // By org only where the link is the one that the engine knows.
        assert!(
            !paused.covers(lane, account, None),
            "{account} is paused: {command:?}"
        );
    }

    fn order(&mut self, scope: Scope, lane: Lane, on: bool) {
        self.tell(|| format!("{scope:?} {lane:?} is paused: {on}"));
        if on {
            self.store.paused.insert((scope, lane));
        } else {
            self.store.paused.remove(&(scope, lane));
        }
    }

    fn replay(&mut self, call: &CallId) {
        let Some((effect, shard)) = self.store.replay(self.now, call) else {
            return;
        };
        self.tell(|| format!("{call} is replayed: {effect:?}"));
        let owner = self.store.owner(shard);
        self.wake(owner, vec![shard], vec![call.account.clone()]);
    }

    fn hear(&mut self, to: To, input: Input) {
        let replica = &mut self.replicas[to.replica];
        if let Input::Answered { batch, .. } = &input {
            replica.claims.retain(|_, claimed_by| claimed_by != batch);
        }
        let now = self.now + replica.skew;
        if self.tell && !matches!(input, Input::Tick | Input::Leases { .. }) {
            println!(
                "{} {} < {input:?}",
                self.now.format("%H:%M:%S%.3f"),
                to.replica
            );
        }
        if let Input::Paused(paused) = &input {
            replica.paused = Some(paused.clone());
        }
        let engine = replica.engine.as_mut().expect("alive");
        let commands = engine.handle(now, &mut replica.rng, input);
        let wakeup = engine
            .next_wakeup()
            .map(|at| (at - replica.skew).max(self.now));
        if let Some(at) = wakeup.filter(|at| replica.tick.is_none_or(|tick| *at < tick)) {
            replica.tick = Some(at);
            self.plan(at, Event::Tick(to));
        }
        for command in commands {
            self.check_brakes(to.replica, &command);
            self.tell(|| format!("{} > {command:?}", to.replica));
            let slow = self.odds(self.faults.slow_store);
            let at = if slow {
                self.soon(1_000..15_000)
            } else {
                self.soon(1..10)
            };
            self.plan(at, Event::Run(to, command));
        }
    }

    fn answer(&mut self, to: To, input: Input) {
        let at = self.soon(1..10);
        self.plan(at, Event::Hear(to, input));
    }

    // The platform and the admins.

    fn ingest(&mut self, event: CallEvent) {
        let alive: Vec<usize> = (0..self.replicas.len())
            .filter(|id| self.replicas[*id].engine.is_some())
            .collect();
        let deadline = event.started_at() + self.lookup_within;
        self.tell(|| format!("event {} {}", event.meta().id, event.call()));
        let due = self.store.append(self.now, event, Some(deadline));
        let shards: BTreeSet<_> = due.iter().map(|due| due.shard).collect();
        if !alive.is_empty() {
            let reader = alive[self.rng.random_range(0..alive.len())];
            let to = To {
                replica: reader,
                life: self.replicas[reader].life,
            };
            self.answer(
                to,
                Input::Due {
                    page: None,
                    calls: due,
                    more: false,
                },
            );
        }
        for shard in shards {
            self.wake(self.store.owner(shard), vec![shard], Vec::new());
        }
    }

    fn wake(
        &mut self,
        owner: Option<usize>,
        shards: Vec<vcc_link::domain::ids::ShardId>,
        accounts: Vec<AccountId>,
    ) {
        let Some(owner) = owner.filter(|owner| *owner < self.replicas.len()) else {
            return;
        };
        if !self.odds(self.faults.lose_wake) {
            let to = To {
                replica: owner,
                life: self.replicas[owner].life,
            };
            self.answer(to, Input::Woken { shards, accounts });
        }
    }

    fn link(&mut self, account: &AccountId, org: Option<LinkedOrg>) {
        let mut org = org;
        if let Some(linked) = &mut org
            && let KeyMode::CallObject { sees_all } = &mut linked.key_mode
        {
            *sees_all = self.salesforce.sees(&linked.org);
        }
        self.tell(|| {
            let told = org.as_ref().map(|o| (&o.org, &o.key_mode));
            format!("{account} is linked to {told:?}")
        });
        let token = self.salesforce.approve();
        self.store.save_link(self.now, account, org, token);
        for owner in 0..self.replicas.len() {
            self.wake(Some(owner), Vec::new(), vec![account.clone()]);
        }
    }

    // Shells.

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn carry_out(&mut self, to: To, command: Command) {
        let now = self.now;
        match command {
            Command::LoadDue {
                shard,
                lane,
                after,
                limit,
            } => {
                // By the replica's own clock, and a little ahead, as its shell asks.
                let until = now + self.replicas[to.replica].skew + AHEAD;
                let (calls, more) = self.store.due(until, shard, lane, after.as_ref(), limit);
                self.answer(
                    to,
                    Input::Due {
                        page: Some((shard, lane)),
                        calls,
                        more,
                    },
                );
            }
            Command::LoadAttempts { shard } => {
                let attempts = self.store.open_attempts(shard);
                self.answer(to, Input::OpenAttempts { shard, attempts });
            }
            Command::LoadLinks { accounts } => {
                let links = accounts.iter().map(|id| self.store.link(id, now)).collect();
                self.answer(to, Input::Links(links));
            }
            Command::LoadShardLinks { shard } => {
                let links = self.store.links.values();
                let links = links.filter(|link| link.shard == shard);
                self.answer(to, Input::Links(links.cloned().collect()));
            }
            Command::AnswerLookups {
                batch,
                calls,
                result,
                ..
            } => {
                self.keep_soon(to, batch, calls, result, None);
            }
            Command::Record { decisions } => {
                let replays = |decision: &Decision| self.store.calls[&decision.call].replays;
                let rows = decisions.into_iter().map(|decision| {
                    let replays = replays(&decision);
                    (decision, replays)
                });
                let rows = rows.collect();
                self.record(to, rows);
            }
            Command::MarkLink {
                account,
                generation,
                health,
                reason,
                failure,
            } => {
                let failed = self.fails();
                let (key, what) = ((&account, generation), (health, reason));
                let link =
                    (failed != Some(false)).then(|| self.store.mark(now, to.replica, key, what));
                if failed.is_some() {
                    let again = Command::MarkLink {
                        account,
                        generation,
                        health,
                        reason,
                        failure,
                    };
                    self.again(to, again);
                } else {
                    self.answer(to, Input::Links(link.into_iter().collect()));
                }
            }
            Command::Unpark {
                account,
                shard,
                epoch,
                page,
            } => {
                let failed = self.fails();
                let calls = match failed {
                    Some(false) => Unparked::default(),
                    _ => self.store.unpark(now, &account, (shard, epoch), &page),
                };
                if failed.is_some() {
                    let again = Command::Unpark {
                        account,
                        shard,
                        epoch,
                        page,
                    };
                    self.again(to, again);
                } else {
                    self.answer(to, Input::Unparked { account, calls });
                }
            }
            Command::Release { shards } => self.store.release(now, to.replica, &shards),
            Command::Lookup { .. } => self.search(to, command),
            Command::Dispatch { .. } => self.read(to, command),
            Command::Reconcile { .. } => self.reconcile(to, command),
            Command::RefreshToken {
                account,
                generation,
                ahead,
                moved: _,
            } => {
                self.claim(to, (account, generation), ahead);
            }
        }
    }

    /// Carries a command out once more, as it waits for the store.
    fn again(&mut self, to: To, command: Command) {
        let at = self.soon(50..2_000);
        self.plan(at, Event::Run(to, command));
    }

    /// Stores decisions until the store answers.
    fn record(&mut self, to: To, rows: Vec<(Decision, u32)>) {
        let failed = self.fails();
        let mut done = Vec::new();
        if failed != Some(false) {
            for (decision, replays) in &rows {
                let stored = self.store.record(self.now, decision, *replays);
                done.push((decision.call.clone(), stored));
            }
        }
        if failed.is_some() {
            let at = self.soon(50..2_000);
            self.plan(at, Event::Record(to, rows));
        } else {
            self.answer(to, Input::Recorded { done });
        }
    }

    /// The tokens of a link as the replica knows them: read from the store once.
    fn tokens(&mut self, replica: usize, key: &(AccountId, Generation)) -> Option<(u64, u64)> {
        if let Some(tokens) = self.replicas[replica].tokens.get(key) {
            return Some(*tokens);
        }
        let grant = self.store.grants.get(key)?;
        let tokens = (grant.sequence, grant.access_token);
        self.replicas[replica].tokens.insert(key.clone(), tokens);
        Some(tokens)
    }

    fn search(&mut self, to: To, command: Command) {
        let Command::Lookup {
            batch,
            account,
            generation,
            calls,
            deadline,
        } = command
        else {
            unreachable!("called for a search")
        };
        let tokens = self.tokens(to.replica, &(account.clone(), generation));
        let org = self
            .store
            .grants
            .get(&(account, generation))
            .map(|grant| grant.org.clone());
        let refusal = match (tokens, org) {
            (Some((_, access)), Some(org)) => self.salesforce.refusal(self.now, &org, access),
            _ => Some(no_tokens()),
        };
        let late = self.now + self.replicas[to.replica].skew > deadline;
        let lost = self
            .odds(self.faults.search)
            .then(|| lost_answer("search_timeout"));
        let late = late.then(|| lost_answer("deadline"));
        let unread = self.odds(self.faults.store_fails).then(store_failed);
        let failure = unread.or(refusal).or(late).or(lost);
        if failure.is_none() {
            self.keep_soon(to, batch, calls, LookupResult::None, Some(USAGE));
            return;
        }
        let hears = self.soon(50..400);
        let input = Input::LookedUp {
            batch,
            answered: Vec::new(),
            failure,
            usage: Some(USAGE),
        };
        self.plan(hears, Event::Hear(to, input));
    }

    /// Reads the calls of a batch now, and stores their answers when they are found.
    fn keep_soon(
        &mut self,
        to: To,
        batch: BatchId,
        calls: Vec<BatchCall>,
        result: LookupResult,
        usage: Option<ApiUsage>,
    ) {
        let begun = |id: &CallId| self.store.calls[id].call.started.is_some();
        let ids = calls.iter().map(|call| call.call.clone());
        let answers = Answers {
            batch,
            begun: ids.filter(begun).collect(),
            calls,
            result,
            usage,
        };
        let at = self.soon(50..400);
        self.plan(at, Event::Keep(to, answers));
    }

    fn keep(&mut self, to: To, answers: &Answers) {
        let Answers { calls, begun, .. } = answers;
        let answered = match self.fails() {
            None => self.store.record_lookups(calls, begun, answers.result),
            Some(committed) => {
                if committed {
                    self.store.record_lookups(calls, begun, answers.result);
                }
                Vec::new()
            }
        };
        let input = Input::LookedUp {
            batch: answers.batch,
            answered,
            failure: None,
            usage: answers.usage,
        };
        self.answer(to, input);
    }

    /// Reads, for each call of a batch, what its attempt is to do.
    fn read(&mut self, to: To, command: Command) {
        let Command::Dispatch {
            batch,
            account,
            generation,
            org,
            calls,
            ..
        } = command
        else {
            unreachable!("called for a dispatch")
        };
        if self.odds(self.faults.store_fails) {
            self.answer(to, unavailable(batch, &calls, &store_failed()));
            return;
        }
        let Some((_, access)) = self.tokens(to.replica, &(account.clone(), generation)) else {
            self.answer(to, unavailable(batch, &calls, &no_tokens()));
            return;
        };
        let kinds = calls.into_iter().map(|call| {
            let kind = self.kind(to.replica, batch, &org, &call.call);
            (call, kind)
        });
        let calls = kinds.collect();
        let work = Noting {
            batch,
            account,
            generation,
            org,
            access,
            calls,
        };
        let at = self.soon(50..3_000);
        self.plan(at, Event::Begin(to, work));
    }

    /// What a call's attempt is to do, by what is stored and by the Task that it was dialled from.
    fn kind(&mut self, replica: usize, batch: BatchId, org: &OrgId, call: &CallId) -> AttemptKind {
        let row = &self.store.calls[call];
        if let Some(task) = row.task.clone() {
            return AttemptKind::Update { task };
        }
        let claims = &mut self.replicas[replica].claims;
        match adoption::dialled_from(&row.call).cloned() {
            Some(task) if !claims.contains_key(&task) => {
                claims.insert(task.clone(), batch);
                if self.salesforce.may_adopt(org, &task, call) {
                    return AttemptKind::Adopt { task };
                }
                AttemptKind::Create
            }
            _ => AttemptKind::Create,
        }
    }

    /// Notes attempts; a call whose Task is another's meanwhile gets one of its own.
    fn begin(&mut self, to: To, work: &Noting) {
        let failed = self.fails();
        if failed == Some(false) {
            self.unnoted(to, work);
            return;
        }
        // The second Tasks of those whose first is taken are noted by another transaction.
        let failed_own = self.fails();
        let linked = self.store.link(&work.account, self.now).org;
        let linked = linked.filter(|linked| linked.org == work.org);
        let mut attempts = Vec::new();
        let mut refused = Vec::new();
        let together = u32::try_from(work.calls.len()).expect("few");
        for (call, kind) in &work.calls {
            let mut begin = |kind| match &linked {
                Some(linked) => {
                    let (now, what) = (self.now, (kind, together));
                    self.store.begin(now, call, work.generation, linked, what)
                }
                None => Err(Refusal::LinkChanged),
            };
            let mut begun = begin(kind.clone());
            if matches!(
                (&begun, kind),
                (Err(Refusal::TaskTaken), AttemptKind::Adopt { .. })
            ) {
                let own = (failed_own != Some(false)).then(|| begin(AttemptKind::Create));
                begun = own.filter(|_| failed_own.is_none()).unwrap_or(begun);
            }
            match begun {
                Ok(attempt) => attempts.push(attempt),
                Err(refusal) => refused.push(Reply {
                    call: call.call.clone(),
                    result: ReplyResult::Refused(refusal),
                }),
            }
        }
        if failed.is_some() {
            self.unnoted(to, work);
            return;
        }
        let request = Request {
            batch: work.batch,
            org: work.org.clone(),
            access: work.access,
            attempts,
            refused,
            began: self.now,
        };
        let at = self.soon(1..50);
        self.plan(at, Event::Send(to, request));
    }

    /// Attempts could not be noted, as far as their shell was told: nothing is sent.
    fn unnoted(&mut self, to: To, work: &Noting) {
        let calls: Vec<BatchCall> = work.calls.iter().map(|(call, _)| call.clone()).collect();
        self.answer(to, unavailable(work.batch, &calls, &store_failed()));
    }

    fn send(&mut self, to: To, request: Request) {
        let began = request.began;
        if request.attempts.is_empty() {
            self.reply(to, &request, |_| unreachable!("nothing began"));
            return;
        }
        let too_late = request
            .attempts
            .iter()
            .any(|attempt| self.now > attempt.send_by);
        if too_late || self.odds(self.faults.not_sent) {
            let class = FailureClass::Transient;
            let failure = Failure::new(class, FailureScope::Request, "connect_failed");
            self.reply(to, &request, |_| Answer::NotSent(failure.clone()));
            return;
        }
        let lost = self.odds(self.faults.lose_request);
        let late = self.odds(self.faults.late);
        let unheard = late || self.odds(self.faults.lose_answer);
        if lost || unheard {
            let ambiguous = lost_answer("no_answer");
            let give_up = began + PATIENCE;
            let input = answered(&request, |_| Answer::Failed(ambiguous.clone()));
            self.plan(give_up.max(self.now), Event::Hear(to, input));
        }
        if !lost {
            let arrives = if late {
                self.soon(30_000..599_000)
            } else {
                self.soon(50..3_000)
            };
            self.plan(arrives, Event::Work((!unheard).then_some(to), request));
        }
    }

    fn work(&mut self, to: Option<To>, request: &Request) {
        let refusal = self
            .salesforce
            .refusal(self.now, &request.org, request.access);
        // The application breaks in the midst, before or after it has committed.
        let spoilt = refusal.is_none() && self.salesforce.is_spoilt(self.now, &request.attempts);
        let broken = spoilt || (refusal.is_none() && self.odds(self.faults.breaks));
        let commits = !broken || (!spoilt && self.rng.random_bool(0.5));
        let mut answers: BTreeMap<AttemptId, Answer> = BTreeMap::new();
        for attempt in &request.attempts {
            let mut answer = match &refusal {
                Some(failure) => Answer::Failed(failure.clone()),
                None if commits => {
                    let (now, troubled) = (self.now, !self.calm);
                    self.salesforce.write(now, &mut self.rng, attempt, troubled)
                }
                None => Answer::Failed(broke()),
            };
            if broken {
                answer = Answer::Failed(broke());
            }
            self.tell(|| format!("  Salesforce: {} {answer:?}", attempt.call));
            answers.insert(attempt.attempt, answer);
        }
        if let Some(to) = to {
            self.reply(to, request, |attempt| answers[&attempt.attempt].clone());
        }
    }

    fn reply(&mut self, to: To, request: &Request, answer: impl Fn(&OpenAttempt) -> Answer) {
        let input = answered(request, answer);
        self.answer(to, input);
    }

    fn reconcile(&mut self, to: To, command: Command) {
        let Command::Reconcile {
            batch,
            account,
            generation,
            org,
            attempts,
            prove,
        } = command
        else {
            unreachable!("called for a reconcile")
        };
        assert!(
            attempts.iter().all(|a| a.mode == attempts[0].mode),
            "a query asks by one field"
        );
        let tokens = self.tokens(to.replica, &(account, generation));
        let refusal = match tokens {
            Some((_, access)) => self.salesforce.refusal(self.now, &org, access),
            None => Some(no_tokens()),
        };
        // A larger question may be too much for the org.
        let too_much = attempts.len() > 1 && self.odds(self.faults.query);
        let too_much = too_much
            .then(|| Failure::new(FailureClass::Split, FailureScope::Request, "QUERY_TIMEOUT"));
        let lost = self
            .odds(self.faults.query)
            .then(|| lost_answer("query_timeout"));
        let failure = refusal.or(too_much).or(lost);
        let findings = match &failure {
            Some(_) => Vec::new(),
            None => attempts
                .iter()
                .map(|a| (a.attempt, self.salesforce.find(self.now, a, prove)))
                .collect(),
        };
        let hears = self.soon(50..5_000);
        let input = Input::Reconciled {
            batch,
            findings,
            failure,
            usage: Some(USAGE),
        };
        self.plan(hears, Event::Hear(to, input));
    }

    fn claim(&mut self, to: To, key: (AccountId, Generation), ahead: bool) {
        let seen = self
            .tokens(to.replica, &key)
            .map_or(0, |(sequence, _)| sequence);
        let later = Refreshed::Later(lost_answer("refresh_busy"));
        let failed = self.fails();
        let claim = match failed {
            Some(false) => Claim::Busy,
            _ => self.store.claim_refresh(self.now, &key, seen, ahead),
        };
        let claim = if failed.is_some() { Claim::Busy } else { claim };
        let result = match claim {
            Claim::Granted {
                refresh_token: token,
                last_step,
            } => {
                let access = self.store.grants[&key].access_token;
                assert!(
                    !last_step || !self.salesforce.serves(access),
                    "{} takes its last step while its access token works",
                    key.0
                );
                let send_by = self.now + super::store::SEND_WITHIN;
                let refresh = Refresh {
                    key,
                    seen,
                    token,
                    last_step,
                    ahead,
                    send_by,
                };
                let at = self.soon(1..200);
                self.plan(at, Event::Refresh(to, refresh));
                return;
            }
            Claim::Busy => later,
            Claim::Newer => {
                self.replicas[to.replica].tokens.remove(&key);
                Refreshed::Fresh
            }
            Claim::InDoubt => Refreshed::InDoubt(lost_answer("refresh_in_doubt")),
            Claim::Exhausted => Refreshed::Dead(LinkReason::RefreshInDoubt, no_tokens()),
            Claim::Stale => Refreshed::Dead(LinkReason::Unknown, no_tokens()),
        };
        let (account, generation) = key;
        self.answer(
            to,
            Input::Refreshed {
                account,
                generation,
                ahead,
                result,
            },
        );
    }

    fn refresh(&mut self, to: To, refresh: &Refresh) {
        let Refresh {
            key,
            seen,
            token,
            last_step,
            ahead,
            send_by,
        } = refresh;
        let mut result = Refreshed::InDoubt(lost_answer("refresh_lost"));
        if self.now <= *send_by && !self.odds(self.faults.lose_request) {
            match self.salesforce.rotate(*token, *last_step) {
                // The claim stays: a token that was refused is not to be tried as if untouched.
                None => result = Refreshed::Dead(LinkReason::TokenRevoked, no_tokens()),
                Some(fresh) => {
                    if !self.odds(self.faults.lose_answer) {
                        self.store.record_refresh(key, *seen, fresh);
                        self.replicas[to.replica].tokens.remove(key);
                        result = Refreshed::Fresh;
                    }
                }
            }
        }
        let (account, generation) = key.clone();
        self.answer(
            to,
            Input::Refreshed {
                account,
                generation,
                ahead: *ahead,
                result,
            },
        );
    }

    /// From when on no replica stands still any more.
    pub(super) fn awake_at(&self) -> At {
        let stand = self.replicas.iter().filter_map(|one| one.paused_until);
        stand.fold(self.now, At::max)
    }

    /// Whether every shard has an owner, and none has more than its share.
    pub(super) fn is_balanced(&self) -> bool {
        let replicas = u32::try_from(self.replicas.len()).expect("few replicas");
        let share = leases::fair_share(SHARDS, replicas) as usize;
        let owned: Vec<usize> = (0..self.replicas.len())
            .map(|id| self.store.owned_by(id))
            .collect();
        owned.iter().sum::<usize>() == usize::from(SHARDS) && owned.iter().all(|n| *n <= share)
    }

    /// Calls that are not at their end, with the reason why that is right, if it is.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = (&CallId, bool)> {
        self.store.calls.iter().filter_map(|(id, row)| {
            let unanswered = row.call.started.is_some() && !self.store.looked_up.contains_key(id);
            let open = row.revision().is_some() && !row.is_done();
            // Nobody can be asked about an attempt while the link is broken.
            let must_wait =
                || row.is_in_doubt() && !self.store.link(&id.account, self.now).is_live();
            (unanswered || open).then(|| (id, !unanswered && must_wait()))
        })
    }
}

/// The replies to a request's calls, with those that never began.
fn answered(request: &Request, answer: impl Fn(&OpenAttempt) -> Answer) -> Input {
    let mut replies = request.refused.clone();
    replies.extend(request.attempts.iter().map(|attempt| Reply {
        call: attempt.call.clone(),
        result: ReplyResult::Answered {
            attempt: attempt.attempt,
            kind: attempt.kind.clone(),
            mode: attempt.mode.clone(),
            send_by: attempt.send_by,
            answer: answer(attempt),
        },
    }));
    let took = Duration::from_millis(200);
    Input::Answered {
        batch: request.batch,
        replies,
        usage: Some(USAGE),
        took,
    }
}

fn lost_answer(code: &str) -> Failure {
    Failure::new(FailureClass::Ambiguous, FailureScope::Request, code)
}

/// The end of a batch that nothing was noted of.
fn unavailable(batch: BatchId, calls: &[BatchCall], failure: &Failure) -> Input {
    let reply = |call: &BatchCall| Reply {
        call: call.call.clone(),
        result: ReplyResult::Unavailable(failure.clone()),
    };
    Input::Answered {
        batch,
        replies: calls.iter().map(reply).collect(),
        usage: None,
        took: Duration::ZERO,
    }
}

/// Salesforce's application server answered with an error, and may have committed before.
fn broke() -> Failure {
    let mut failure = lost_answer("UNKNOWN_EXCEPTION");
    failure.ended = true;
    failure
}

fn store_failed() -> Failure {
    let (class, scope) = (FailureClass::Transient, FailureScope::Request);
    Failure::new(class, scope, "store_unavailable")
}

fn no_tokens() -> Failure {
    Failure::new(FailureClass::Link, FailureScope::Request, "no_tokens")
}

/// Far from any limit.
const USAGE: ApiUsage = ApiUsage {
    used: 100,
    limit: 100_000,
};
