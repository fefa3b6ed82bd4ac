//! A model of the store: the semantics that the contract documents, and not one more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use vcc_link::domain::call::{Call, CallEvent};
use vcc_link::domain::ids::{
    AccountId, AttemptId, CallId, Epoch, Generation, OrgId, RecordId, Revision, Sequence, ShardId,
};
use vcc_link::domain::link::{Health, LinkReason, LinkState, LinkStatus, LinkedOrg};
use vcc_link::domain::matching::LookupResult;
use vcc_link::domain::outcome::{DeadReason, Outcome, ParkReason, SkipReason};
use vcc_link::domain::pause::{Pause, Paused, Scope};
use vcc_link::domain::replay::{Effect, Stand, effect};
use vcc_link::domain::task::{Hidden, TaskField};
use vcc_link::domain::work::{AttemptKind, Due, Lane, OpenAttempt, ParkedPage, Refusal, Unparked};
use vcc_link::engine::{BatchCall, Decision};

use super::GRACE;
use super::world::MAX_SKEW;

/// Shards of this small world.
pub(super) const SHARDS: u16 = 6;
/// How long a lease holds.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// How long after its attempt began a request may still be written.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(20);

type At = DateTime<Utc>;

pub(super) fn shard_of(account: &AccountId, org: Option<&OrgId>) -> ShardId {
    ShardId(ShardId::of(account, org).0 % SHARDS)
}

/// A call's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) call: Call,
    /// When it was first heard of.
    received: At,
    pub(super) shard: ShardId,
    pub(super) deadline: Option<At>,
    pub(super) answer: Option<LookupResult>,
    lookup_due: Option<At>,
    task_due: Option<At>,
    pub(super) parked: Option<ParkReason>,
    /// Its Task may exist, unseen: no revision revives it.
    hopeless: bool,
    /// The outcome that it came to its end with, or is parked with.
    stand: Option<Stand>,
    /// How often it was put back.
    pub(super) replays: u32,
    /// Its last attempt.
    last: Option<OpenAttempt>,
    /// The last revision with a terminal outcome.
    done: Option<Revision>,
    pub(super) task: Option<RecordId>,
    attempts: u32,
    degraded: BTreeSet<TaskField>,
    batch_limit: Option<u32>,
    hidden: Option<Hidden>,
    open: Option<AttemptId>,
}

impl Row {
    pub(super) fn revision(&self) -> Option<Revision> {
        self.call.ended.as_ref().map(|ended| ended.revision)
    }

    /// Whether its latest revision has its end.
    pub(super) fn is_done(&self) -> bool {
        self.hopeless || (self.revision().is_some() && self.done >= self.revision())
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.open.is_some()
    }

    /// When it is due in a lane.
    fn due_at(&self, lane: Lane) -> Option<At> {
        match lane {
            Lane::Lookup => self.lookup_due,
            Lane::Task => self.task_due.filter(|_| self.open.is_none()),
        }
    }

    /// A call that is not done must have something that moves it.
    fn check(&self) {
        let moves = self.task_due.is_some() || self.open.is_some() || self.parked.is_some();
        let ended = self.revision().is_some();
        assert!(
            !ended || self.is_done() || moves,
            "{} has no state: {self:?}",
            self.call.id
        );
    }
}

/// The tokens of one generation, and the journal of their refreshes.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) org: OrgId,
    pub(super) sequence: u64,
    pub(super) refresh_token: u64,
    pub(super) access_token: u64,
    claim: Option<At>,
    last_step: bool,
}

/// A link's tokens, by their account and generation.
type Named = (AccountId, Generation);

/// What a claim to refresh comes to.
pub(super) enum Claim {
    Granted { refresh_token: u64, last_step: bool },
    Busy,
    Newer,
    InDoubt,
    Exhausted,
    Stale,
}

#[derive(Default)]
pub(super) struct Store {
    leases: BTreeMap<ShardId, (usize, Epoch, At)>,
    members: BTreeMap<usize, At>,
    pub(super) calls: BTreeMap<CallId, Row>,
    attempts: BTreeMap<AttemptId, OpenAttempt>,
    closed: BTreeSet<AttemptId>,
    pub(super) links: BTreeMap<AccountId, LinkState>,
    pub(super) grants: BTreeMap<(AccountId, Generation), Grant>,
    /// Terminal events, by revision and replay.
    pub(super) ended: BTreeMap<(CallId, u32, Revision), Outcome>,
    /// What is paused.
    pub(super) paused: BTreeSet<(Scope, Lane)>,
    /// `call.lookedup.v1`.
    pub(super) looked_up: BTreeMap<CallId, LookupResult>,
    /// What happened to calls, in a word.
    pub(super) happened: BTreeSet<String>,
}

impl Store {
    // Leases.

    pub(super) fn beat(
        &mut self,
        now: At,
        replica: usize,
        claim: u32,
    ) -> (Vec<(ShardId, Epoch)>, u32) {
        self.members.insert(replica, now + LEASE);
        self.members.retain(|_, until| *until > now);
        let mut claim = claim;
        for shard in (0..SHARDS).map(ShardId) {
            let lease = self
                .leases
                .entry(shard)
                .or_insert((usize::MAX, Epoch(0), now));
            if lease.0 == replica {
                lease.2 = now + LEASE;
            } else if lease.2 <= now && claim > 0 {
                claim -= 1;
                *lease = (replica, lease.1.next(), now + LEASE);
            }
        }
        let owned = self.leases.iter().filter(|(_, lease)| lease.0 == replica);
        let owned = owned.map(|(shard, lease)| (*shard, lease.1)).collect();
        (
            owned,
            u32::try_from(self.members.len()).expect("few replicas"),
        )
    }

    pub(super) fn release(&mut self, now: At, replica: usize, shards: &[ShardId]) {
        for (shard, lease) in &mut self.leases {
            if shards.contains(shard) && lease.0 == replica {
                *lease = (usize::MAX, lease.1, now);
            }
        }
    }

    pub(super) fn owned_by(&self, replica: usize) -> usize {
        self.leases
            .values()
            .filter(|lease| lease.0 == replica)
            .count()
    }

    pub(super) fn owner(&self, shard: ShardId) -> Option<usize> {
        self.leases.get(&shard).map(|lease| lease.0)
    }

    fn is_current(&self, shard: ShardId, epoch: Epoch) -> bool {
        self.leases
            .get(&shard)
            .is_some_and(|lease| lease.1 == epoch && lease.0 != usize::MAX)
    }

    // Inbox.

    pub(super) fn append(&mut self, now: At, event: CallEvent, deadline: Option<At>) -> Vec<Due> {
        let id = event.call().clone();
        let shard = self.link(&id.account, now).shard;
        let row = self.calls.entry(id.clone()).or_insert_with(|| Row {
            call: Call::new(id.clone()),
            received: now,
            shard,
            deadline: None,
            answer: None,
            lookup_due: None,
            task_due: None,
            parked: None,
            hopeless: false,
            stand: None,
            replays: 0,
            last: None,
            done: None,
            task: None,
            attempts: 0,
            degraded: BTreeSet::new(),
            batch_limit: None,
            hidden: None,
            open: None,
        });
        let before = (row.call.started.is_some(), row.revision());
        row.call.fold(event);
        let mut due = Vec::new();
        if !before.0 && row.call.started.is_some() {
            if row.answer.is_some() {
                self.happened.insert("begun late".to_owned());
            }
            row.deadline = deadline;
            row.lookup_due = Some(now);
            due.push(Lane::Lookup);
        }
        let newer = row.revision() > before.1 && row.revision() > row.done;
        if newer && row.parked.is_none() && !row.hopeless {
            if before.1.is_none_or(|old| Some(old) <= row.done) {
                row.attempts = 0;
            }
            row.task_due = Some(now);
            due.push(Lane::Task);
        }
        row.check();
        due.into_iter()
            .filter_map(|lane| self.due_of(&id, lane))
            .collect()
    }

    fn due_of(&self, id: &CallId, lane: Lane) -> Option<Due> {
        let row = self.calls.get(id)?;
        let due_at = row.due_at(lane)?;
        Some(Due {
            call: id.clone(),
            shard: row.shard,
            lane,
            due_at,
            lookup_deadline: row.deadline,
            looked_up: row.answer.is_some(),
            ended_at: row.call.ended.as_ref().map(|ended| ended.ended_at),
            revision: row.revision().unwrap_or_default(),
            skip: None,
            attempts: row.attempts,
            degraded: row.degraded.clone(),
            batch_limit: row.batch_limit,
            hidden: row.hidden.clone(),
        })
    }

    pub(super) fn due(
        &self,
        now: At,
        shard: ShardId,
        lane: Lane,
        after: Option<&(At, CallId)>,
        limit: u32,
    ) -> (Vec<Due>, bool) {
        let mut due: Vec<Due> = self
            .calls
            .iter()
            .filter(|(_, row)| row.shard == shard && row.due_at(lane).is_some_and(|at| at <= now))
            .filter_map(|(id, _)| self.due_of(id, lane))
            .collect();
        due.sort_by(|a, b| (a.due_at, &a.call).cmp(&(b.due_at, &b.call)));
        due.retain(|due| after.is_none_or(|(at, id)| (due.due_at, &due.call) > (*at, id)));
        let more = due.len() > limit as usize;
        due.truncate(limit as usize);
        (due, more)
    }

    pub(super) fn record_lookups(
        &mut self,
        calls: &[BatchCall],
        begun: &BTreeSet<CallId>,
        result: LookupResult,
    ) -> Vec<CallId> {
        let mut stored = Vec::new();
        for item in calls {
            let current = self.is_current(item.shard, item.epoch);
            let Some(row) = self.calls.get_mut(&item.call) else {
                continue;
            };
            if !current || row.shard != item.shard {
                continue;
            }
            let tells = begun.contains(&item.call);
            if row.answer.is_none() && row.call.started.is_some() && !tells {
                // The begin came after the call was read: it is read again.
                self.happened.insert("begun meanwhile".to_owned());
                continue;
            }
            stored.push(item.call.clone());
            if row.answer.is_none() {
                self.happened.insert(format!("looked up: {result:?}"));
            } else if row.lookup_due.is_none() || !tells {
                continue;
            }
            let answer = *row.answer.get_or_insert(result);
            row.lookup_due = None;
            if tells {
                let before = self.looked_up.insert(item.call.clone(), answer);
                assert!(before.is_none(), "{} is told of twice", item.call);
            }
        }
        stored
    }

    // Journal.

    pub(super) fn begin(
        &mut self,
        now: At,
        item: &BatchCall,
        generation: Generation,
        org: &LinkedOrg,
        (kind, together): (AttemptKind, u32),
    ) -> Result<OpenAttempt, Refusal> {
        if !self.is_current(item.shard, item.epoch) {
            return Err(Refusal::Stale);
        }
        let link = self.link(&item.call.account, now);
        let row = self
            .calls
            .get_mut(&item.call)
            .expect("the engine knows stored calls only");
        if row.shard != item.shard {
            return Err(Refusal::Stale);
        }
        if row.open.is_some() {
            return Err(Refusal::Open);
        }
        let ready = row.parked.is_none() && !row.is_done();
        if !ready || row.revision() != Some(item.revision) {
            return Err(Refusal::Moved);
        }
        if !link.is_live() || link.generation != generation {
            return Err(Refusal::LinkChanged);
        }
        let changes = |open: &OpenAttempt| open.org == org.org && open.kind.task() == kind.task();
        if kind.task().is_some() && self.attempts.values().any(changes) {
            self.happened.insert("Task taken".to_owned());
            return Err(Refusal::TaskTaken);
        }
        row.attempts += 1;
        let attempt =
            AttemptId(i64::try_from(self.attempts.len() + self.closed.len()).expect("few"));
        let open = OpenAttempt {
            attempt,
            call: item.call.clone(),
            shard: item.shard,
            org: org.org.clone(),
            generation,
            mode: org.key_mode.clone(),
            kind,
            revision: item.revision,
            degraded: item.degraded.clone(),
            send_by: now + SEND_WITHIN,
            look_at: now + SEND_WITHIN,
            attempts: row.attempts,
            together,
            call_ended_at: row.call.ended.as_ref().map(|ended| ended.ended_at),
            answered: false,
            hidden: row.hidden.clone(),
        };
        row.open = Some(attempt);
        row.last = Some(open.clone());
        self.attempts.insert(attempt, open.clone());
        Ok(open)
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each outcome")]
    pub(super) fn record(&mut self, now: At, decision: &Decision, replays: u32) -> bool {
        let current = self.is_current(decision.shard, decision.epoch);
        let link = self.link(&decision.call.account, now);
        let current_generation = link.generation;
        let row = self
            .calls
            .get_mut(&decision.call)
            .expect("only stored calls are decided");
        if !current || row.shard != decision.shard {
            self.happened.insert("stale".to_owned());
            return false;
        }
        self.happened.insert(word(&decision.outcome));
        match decision.attempt {
            Some(attempt) if self.closed.contains(&attempt) => return true,
            Some(attempt) => {
                assert_eq!(row.open, Some(attempt), "another attempt is open");
                if let Outcome::InDoubt { look_at, failure } = &decision.outcome {
                    let open = self.attempts.get_mut(&attempt).expect("open");
                    (open.look_at, open.answered) = (*look_at, failure.ended);
                    return true;
                }
                row.open = None;
                self.attempts.remove(&attempt);
                self.closed.insert(attempt);
            }
            None => {
                let at_revision = row.revision() == Some(decision.revision);
                let told = Stand::of(&decision.outcome);
                if at_revision && row.open.is_none() && row.replays == replays {
                    // It was stored, and that was not heard.
                    let rests = row.is_done() || row.parked.is_some();
                    if rests && row.stand == told {
                        return true;
                    }
                }
                let replayed = row.replays != replays;
                let rests = row.is_done() || row.parked.is_some();
                if row.open.is_some() || rests || replayed || !at_revision {
                    return false;
                }
            }
        }
        let id = decision.call.clone();
        row.stand = Stand::of(&decision.outcome);
        let superseded = row.revision() > Some(decision.revision);
        row.task_due = None;
        match &decision.outcome {
            Outcome::Logged { task, .. } => (row.task, row.hidden) = (Some(task.clone()), None),
            Outcome::RetryAt {
                at,
                degraded,
                batch_limit,
                hidden,
                ..
            } => {
                row.task_due = Some(*at);
                row.degraded.clone_from(degraded);
                (row.batch_limit, row.hidden) = (*batch_limit, hidden.clone());
            }
            Outcome::NotSent { at } => row.task_due = Some(*at),
            Outcome::Parked { .. } if current_generation != decision.generation => {
                row.task_due = Some(now);
            }
            Outcome::Parked { reason, .. } => row.parked = Some(*reason),
            Outcome::Skipped {
                reason: SkipReason::Unlinked,
            } if current_generation == decision.generation => {
                // A replica's clock may be some seconds ahead.
                let end = link.calls_wait_until(GRACE);
                let waits = end.is_some_and(|end| now + TimeDelta::milliseconds(MAX_SKEW) < end);
                assert!(!waits, "{id} ends while its account may be linked again");
            }
            Outcome::Skipped { .. } | Outcome::Dead { .. } => {}
            Outcome::InDoubt { .. } => panic!("in doubt without an attempt"),
        }
        if decision.outcome.is_terminal() {
            row.done = row.done.max(Some(decision.revision));
            row.hopeless |= matches!(
                decision.outcome,
                Outcome::Dead {
                    reason: DeadReason::Unknown | DeadReason::UnresolvedInPreviousOrg,
                    ..
                }
            );
            if superseded && !row.hopeless {
                row.task_due = Some(now);
            }
            let event = (id.clone(), row.replays, decision.revision);
            let before = self.ended.insert(event, decision.outcome.clone());
            assert!(
                before.is_none(),
                "{id} ends twice: {before:?}, then {:?}",
                decision.outcome
            );
        }
        self.calls[&id].check();
        true
    }

    pub(super) fn open_attempts(&self, shard: ShardId) -> Vec<OpenAttempt> {
        self.attempts
            .values()
            .filter(|attempt| attempt.shard == shard)
            .cloned()
            .collect()
    }

    pub(super) fn unpark(
        &mut self,
        now: At,
        account: &AccountId,
        (shard, epoch): (ShardId, Epoch),
        page: &ParkedPage,
    ) -> Unparked {
        if !self.is_current(shard, epoch) {
            return Unparked::default();
        }
        let parked = self.calls.iter_mut().filter(|(id, row)| {
            &id.account == account
                && row.shard == shard
                && row
                    .parked
                    .is_some_and(|reason| page.reasons.contains(&reason))
                && page
                    .received_before
                    .is_none_or(|before| row.received < before)
                && page
                    .after
                    .as_ref()
                    .is_none_or(|after| (row.received, &id.interaction) > (after.0, &after.1))
        });
        let mut parked: Vec<_> = parked.collect();
        parked.sort_by_key(|(id, row)| (row.received, id.interaction.clone()));
        let mut unparked = Unparked::default();
        for (id, row) in parked.into_iter().take(page.limit as usize) {
            row.parked = None;
            row.task_due = Some(now);
            unparked.calls += 1;
            unparked.last = Some((row.received, id.interaction.clone()));
        }
        unparked
    }

    // Replays and pauses.

    /// An operator wants a call back; gives what is done with it, and whom to wake.
    pub(super) fn replay(&mut self, now: At, id: &CallId) -> Option<(Effect, ShardId)> {
        let link = self.link(&id.account, now);
        let next = AttemptId(i64::try_from(self.attempts.len() + self.closed.len()).expect("few"));
        let row = self.calls.get_mut(id)?;
        let rests = row.open.is_none() && row.task_due.is_none();
        let stand = row.stand.filter(|_| rests)?;
        let org = link.org.as_ref().filter(|_| link.is_live());
        let sent_to = row.last.as_ref().map(|last| &last.org);
        let effect = effect(stand, sent_to, org.map(|linked| &linked.org), false);
        if matches!(effect, Effect::Leave(_)) {
            return None;
        }
        self.happened.insert(format!("replayed: {effect:?}"));
        if row.parked.take().is_none() {
            (row.done, row.hopeless, row.attempts) = (None, false, 0);
            row.replays += 1;
            row.degraded.clear();
            (row.batch_limit, row.hidden) = (None, None);
        }
        row.stand = None;
        if effect == Effect::Send {
            row.task_due = Some(now);
        } else {
            let mut again = row.last.clone().expect("it was sent");
            (again.attempt, again.shard, again.look_at) = (next, row.shard, now);
            (again.attempts, again.answered) = (0, false);
            row.open = Some(next);
            self.attempts.insert(next, again);
        }
        row.check();
        Some((effect, row.shard))
    }

    /// What is paused now.
    pub(super) fn paused(&self) -> Paused {
        let pause = |(scope, lane): &(Scope, Lane)| Pause {
            scope: scope.clone(),
            lane: *lane,
            reason: String::new(),
            by: String::new(),
            since: At::UNIX_EPOCH,
            until: None,
        };
        Paused::by(&self.paused.iter().map(pause).collect::<Vec<_>>())
    }

    // Links.

    pub(super) fn link(&self, account: &AccountId, now: At) -> LinkState {
        self.links.get(account).cloned().unwrap_or_else(|| {
            let mut link = LinkState::unlinked(account.clone(), now);
            link.shard = shard_of(account, None);
            link
        })
    }

    /// Link, Relink or (without an org) Unlink.
    pub(super) fn save_link(
        &mut self,
        now: At,
        account: &AccountId,
        org: Option<LinkedOrg>,
        token: u64,
    ) {
        let old = self.link(account, now);
        let generation = old.generation.next();
        let shard = shard_of(account, org.as_ref().map(|linked| &linked.org));
        if let Some(linked) = &org {
            let grant = Grant {
                org: linked.org.clone(),
                sequence: 1,
                refresh_token: token,
                access_token: token,
                claim: None,
                last_step: false,
            };
            self.grants.insert((account.clone(), generation), grant);
        }
        let waits = old.calls_wait_until(GRACE).is_some_and(|end| now < end);
        let parked = |(id, row): (&CallId, &Row)| &id.account == account && row.parked.is_some();
        if org.is_some() && waits && self.calls.iter().any(parked) {
            self.happened.insert("linked again in time".to_owned());
        }
        let status = if org.is_some() {
            LinkStatus::Linked
        } else {
            LinkStatus::Unlinked
        };
        let reason = if org.is_some() {
            LinkReason::UserLinked
        } else {
            LinkReason::UserUnlinked
        };
        let link = LinkState {
            account: account.clone(),
            shard,
            status,
            health: Health::Healthy,
            reason: Some(reason),
            since: now,
            generation,
            sequence: old.sequence.next(),
            org,
        };
        self.links.insert(account.clone(), link);
        for (_, row) in self
            .calls
            .iter_mut()
            .filter(|(id, _)| &id.account == account)
        {
            row.shard = shard;
        }
        for attempt in self
            .attempts
            .values_mut()
            .filter(|a| &a.call.account == account)
        {
            attempt.shard = shard;
        }
    }

    pub(super) fn mark(
        &mut self,
        now: At,
        replica: usize,
        (account, generation): (&AccountId, Generation),
        (health, reason): (Health, LinkReason),
    ) -> LinkState {
        let mut link = self.link(account, now);
        let ours = self.owner(link.shard) == Some(replica);
        let known = (link.health, link.reason) == (health, Some(reason));
        if ours && !known && link.generation == generation && link.status != LinkStatus::Unlinked {
            self.happened.insert(format!("{health:?}: {reason:?}"));
            link.health = health;
            link.reason = Some(reason);
            link.sequence = Sequence(link.sequence.0 + 1);
            self.links.insert(account.clone(), link.clone());
        }
        link
    }

    pub(super) fn claim_refresh(
        &mut self,
        now: At,
        key: &(AccountId, Generation),
        seen: u64,
        ahead: bool,
    ) -> Claim {
        let Some(grant) = self.grants.get_mut(key) else {
            return Claim::Stale;
        };
        if grant.sequence > seen {
            return Claim::Newer;
        }
        let last_step = match grant.claim {
            Some(until) if now < until => return Claim::Busy,
            Some(_) if ahead => return Claim::InDoubt,
            Some(_) if grant.last_step => return Claim::Exhausted,
            Some(_) => true,
            None => false,
        };
        grant.claim = Some(now + SEND_WITHIN + SEND_WITHIN);
        grant.last_step |= last_step;
        Claim::Granted {
            refresh_token: grant.refresh_token,
            last_step,
        }
    }

    /// The tokens of a replica's links that are not in doubt, and those that are without a word.
    pub(super) fn tokens_in_need(&self, now: At, replica: usize) -> (Vec<Named>, Vec<Named>) {
        let (mut stale, mut doubtful) = (Vec::new(), Vec::new());
        for (key, grant) in &self.grants {
            let link = self.link(&key.0, now);
            let ours = self.owner(link.shard) == Some(replica);
            if !ours || !link.is_live() || link.generation != key.1 {
                continue;
            }
            match grant.claim {
                None => stale.push(key.clone()),
                Some(until) if until <= now && link.reason != Some(LinkReason::RefreshInDoubt) => {
                    doubtful.push(key.clone());
                }
                Some(_) => {}
            }
        }
        (stale, doubtful)
    }

    pub(super) fn record_refresh(
        &mut self,
        key: &(AccountId, Generation),
        seen: u64,
        token: u64,
    ) -> bool {
        let Some(grant) = self
            .grants
            .get_mut(key)
            .filter(|grant| grant.sequence == seen)
        else {
            return false;
        };
        grant.claim = None;
        (grant.refresh_token, grant.access_token) = (token, token);
        grant.sequence += 1;
        grant.last_step = false;
        true
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Logged { how, .. } => format!("{how:?}"),
        Outcome::Skipped { reason } => format!("{reason:?}"),
        Outcome::Dead { reason, .. } => format!("{reason:?}"),
        Outcome::Parked {
            reason: ParkReason::Unlinked,
            ..
        } => "parked: Unlinked".to_owned(),
        Outcome::Parked { reason, .. } => format!("{reason:?}"),
        Outcome::RetryAt { .. } => "retried".to_owned(),
        Outcome::NotSent { .. } => "not sent".to_owned(),
        Outcome::InDoubt { .. } => "in doubt".to_owned(),
    }
}
