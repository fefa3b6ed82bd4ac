//! How due calls come into memory: from ingest, and page by page from the store.
//!
//! Each owned shard and lane is swept in order of due time: on becoming its owner, when woken,
//! and every `poll` for what no wake told of. What finds no room stays in the store, and the
//! place is kept where a refill goes on once there is room: at once, or behind the sweep that runs.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Command;
use super::accounts::{Account, Call, Place};
use super::machine::{Engine, LANES, Planned, Turn};
use crate::domain::ids::{AccountId, AttemptId, CallId, Epoch, ShardId};
use crate::domain::work::{Due, Lane};

/// A place in a shard's order of due calls: behind this one.
type Cursor = (DateTime<Utc>, CallId);

/// One owned shard.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and they occur in any combination"
)]
pub(super) struct Shard {
    pub(super) epoch: Epoch,
    /// Its open attempts are known: calls may be sent (rule 9).
    pub(super) loaded: bool,
    /// Its open attempts are being loaded.
    pub(super) loading: bool,
    /// They must be loaded once more.
    pub(super) reload: bool,
    /// Attempts that were closed while they are being loaded: what is read may still show them.
    pub(super) closed: BTreeSet<AttemptId>,
    /// When they were asked for last.
    pub(super) checked_at: DateTime<Utc>,
    /// Nothing new is started; it goes to another replica.
    pub(super) giving_up: bool,
    /// Its release was asked for.
    pub(super) released: bool,
    pub(super) sweeps: [Sweep; 2],
}

impl Shard {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            loaded: false,
            loading: false,
            reload: false,
            closed: BTreeSet::new(),
            checked_at: DateTime::UNIX_EPOCH,
            giving_up: false,
            released: false,
            sweeps: <[Sweep; 2]>::default(),
        }
    }
}

/// How far a shard's lane has been looked through.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// What looks through it now.
    running: Option<Running>,
    /// Before the first call that found no room: all before it are in memory or done.
    skipped: Option<Cursor>,
    /// When it is looked through next from its beginning.
    next: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug)]
enum Running {
    /// A sweep from the beginning to the end, since then.
    Sweep(DateTime<Utc>),
    /// A refill: it begins where there was no room, and ends where there is none.
    Refill,
}

/// What became of a due call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    /// It is in memory, or not to be worked on here.
    Yes,
    /// There is no room for its account's calls.
    AccountFull,
    /// There is no room at all.
    Full,
}

impl Engine {
    /// Takes due calls in: a page, or what ingest just stored.
    pub(super) fn on_due(
        &mut self,
        turn: &mut Turn<'_>,
        page: Option<(ShardId, Lane)>,
        calls: Vec<Due>,
        more: bool,
    ) {
        let mut stopped = false;
        let mut last = None;
        for due in calls {
            let here = (due.due_at, due.call.clone());
            let (shard, lane) = (due.shard, due.lane);
            match self.accept(turn.now, due) {
                Accepted::Yes => {}
                full => {
                    self.skip(shard, lane, &here);
                    stopped |=
                        page.is_some() && (full == Accepted::Full || self.refills(shard, lane));
                }
            }
            last = Some(here);
            if stopped {
                break;
            }
        }
        if let Some((shard, lane)) = page {
            self.turn_page(turn, shard, lane, last, more && !stopped);
        }
    }

    /// Goes on to the next page, or ends the sweep.
    fn turn_page(
        &mut self,
        turn: &mut Turn<'_>,
        id: ShardId,
        lane: Lane,
        last: Option<Cursor>,
        more: bool,
    ) {
        let poll = self.config.memory.poll;
        let draining = self.draining;
        let Some(shard) = self.shards.get_mut(&id) else {
            return;
        };
        let may = shard.loaded && !shard.giving_up && !draining;
        let sweep = &mut shard.sweeps[lane as usize];
        let Some(running) = sweep.running else { return };
        if may && more && last.is_some() {
            self.load_page(turn, id, lane, last);
            return;
        }
        sweep.running = None;
        let earliest = match running {
            // A long sweep, over a backlog that finds no room, takes at most a fifth of the time.
            Running::Sweep(since) => turn.now + (turn.now - since).to_std().unwrap_or_default() * 4,
            Running::Refill => turn.now,
        };
        let at = sweep.next.unwrap_or_else(|| turn.now + poll).max(earliest);
        self.plan_sweep(id, lane, at, true);
    }

    /// Asks for the due calls behind this one; `None`: for the first.
    fn load_page(&self, turn: &mut Turn<'_>, shard: ShardId, lane: Lane, after: Option<Cursor>) {
        let limit = self.config.memory.page;
        turn.out.push(Command::LoadDue {
            shard,
            lane,
            after,
            limit,
        });
    }

    fn refills(&self, shard: ShardId, lane: Lane) -> bool {
        let running = |shard: &Shard| shard.sweeps[lane as usize].running;
        matches!(
            self.shards.get(&shard).and_then(running),
            Some(Running::Refill)
        )
    }

    /// Remembers that a call was left in the store.
    fn skip(&mut self, shard: ShardId, lane: Lane, (due_at, call): &Cursor) {
        let Some(shard) = self.shards.get_mut(&shard) else {
            return;
        };
        let before = (*due_at - Duration::from_millis(1), call.clone());
        let skipped = &mut shard.sweeps[lane as usize].skipped;
        if skipped.as_ref().is_none_or(|first| before < *first) {
            *skipped = Some(before);
        }
    }

    /// Takes one due call in, if there is room and it is not under way already.
    fn accept(&mut self, now: DateTime<Utc>, due: Due) -> Accepted {
        let ours = self
            .shards
            .get(&due.shard)
            .is_some_and(|shard| !shard.giving_up);
        // An attempt in doubt comes first; what it leaves due is found by the sweep behind it.
        if !ours || (due.lane == Lane::Task && self.doubts.contains_key(&due.call)) {
            return Accepted::Yes;
        }
        let room = &self.config.memory;
        let most = room.calls_per_account;
        let full = self.held >= room.calls;
        let id = &due.call.account;
        let known = self.accounts.get(id);
        let known = known.is_some_and(|account| account.calls.contains_key(&due.call));
        if !known && full && !self.make_room(now, id) {
            return Accepted::Full;
        }
        let account = self.accounts.entry(id.clone()).or_default();
        if !known {
            // A caller does not wait for the account's Tasks, and is gone within its deadline.
            if due.lane == Lane::Task && account.calls.len() >= most {
                account.overflow = true;
                return Accepted::AccountFull;
            }
            // A call that is recorded without being in memory ends first.
            if self.recording.contains_key(&due.call) {
                return Accepted::Yes;
            }
            self.held += 1;
        }
        if account
            .link
            .as_ref()
            .is_none_or(|link| link.shard != due.shard)
        {
            self.links_wanted.insert(due.call.account.clone());
        }
        let id = due.call.clone();
        self.queue(now, due);
        // A page may tell of a call whose lookup is answered by now: nothing is due then.
        self.settle(&id);
        self.stir(&id.account);
        Accepted::Yes
    }

    /// Has the largest backlog give way to an account that holds less than half of it: the later
    /// half of its Tasks goes back to the store. Tells whether there is room now.
    fn make_room(&mut self, now: DateTime<Utc>, newcomer: &AccountId) -> bool {
        let size = |account: &Account| account.calls.len();
        let mine = self.accounts.get(newcomer).map_or(0, size);
        let largest = self
            .accounts
            .iter()
            .max_by_key(|(_, account)| size(account));
        let Some((id, account)) = largest.filter(|(_, account)| size(account) > 2 * mine + 1)
        else {
            return false;
        };
        let id = id.clone();
        let waits = |call: &Call| match call.lookup {
            Place::Idle => true,
            Place::Ready(_) => call.lookup_deadline.is_none_or(|deadline| deadline < now),
            Place::Flying | Place::Recording => false,
        };
        let goes: Vec<(CallId, ShardId, DateTime<Utc>)> = account
            .tasks
            .iter()
            .rev()
            .take(account.tasks.len().div_ceil(2))
            .filter_map(|(_, call)| {
                let known = account.calls.get(call).filter(|known| waits(known))?;
                Some((call.clone(), known.shard, known.task_due))
            })
            .collect();
        for (call, shard, due_at) in &goes {
            let account = self.accounts.get_mut(&id).expect("found above");
            account.place_lookup(call, Place::Idle);
            account.place_task(call, Place::Idle);
            self.skip(*shard, Lane::Task, &(*due_at, call.clone()));
            self.settle(call);
        }
        if let Some(account) = self.accounts.get_mut(&id) {
            account.overflow = true;
        }
        !goes.is_empty()
    }

    /// Puts an accepted call in its queue.
    fn queue(&mut self, now: DateTime<Utc>, due: Due) {
        let unmatched_after = self.config.batching.unmatched_after;
        let account = self.accounts.entry(due.call.account.clone()).or_default();
        let id = due.call.clone();
        let place = account.calls.get(&id).map_or(Place::Idle, |call| call.task);
        if due.lane == Lane::Task && matches!(place, Place::Flying | Place::Recording) {
            let call = account.calls.get_mut(&id).expect("its place was just read");
            let known = call
                .newer
                .as_ref()
                .map_or(call.revision, |newer| newer.revision);
            if due.revision > known {
                call.newer = Some(due);
            }
            return;
        }
        let waits = matches!(
            account
                .calls
                .get(&id)
                .map_or(Place::Idle, |call| call.lookup),
            Place::Ready(_) | Place::Flying
        );
        if waits && due.lane == Lane::Lookup {
            return;
        }
        if due.lane == Lane::Task {
            account.place_task(&id, Place::Idle);
        }
        // A call that is read again, poll for poll, waits for its lookup from when it came.
        let waits_until = place.ready_at().unwrap_or(now + unmatched_after);
        let queued = matches!(
            account.calls.get(&id).map(|call| call.lookup),
            Some(Place::Ready(_))
        );
        if queued {
            // Its deadline may become known with this event.
            account.place_lookup(&id, Place::Idle);
        }
        let lane = due.lane;
        let call = account.learn(&due);
        // The store has an answer and wants one given: to a begin that came behind it.
        call.untold |= lane == Lane::Lookup && due.looked_up;
        let wanted = lane == Lane::Lookup || call.skip.is_none();
        let search = call.untold || (wanted && !call.looked_up);
        let task_at = if call.looked_up || call.skip.is_some() {
            call.task_due
        } else {
            call.task_due.max(waits_until)
        };
        let idle = call.lookup == Place::Idle;
        if idle && (search || (queued && !call.looked_up)) {
            let at = if lane == Lane::Lookup {
                due.due_at
            } else {
                due.due_at.max(now)
            };
            account.place_lookup(&id, Place::Ready(at));
        }
        if lane == Lane::Task {
            account.place_task(&id, Place::Ready(task_at));
        }
    }

    /// Goes on with what was left in the store, once there is room for it.
    pub(super) fn refill_after(&mut self, gone: &CallId) {
        let low = self.held == self.config.memory.calls / 2;
        let half = self.config.memory.calls_per_account / 2;
        let Some(account) = self.accounts.get_mut(&gone.account) else {
            return;
        };
        let fills = account.overflow && account.calls.len() <= half;
        if fills {
            account.overflow = false;
        }
        if !fills && !low {
            return;
        }
        let behind = self.shards.iter().flat_map(|(id, shard)| {
            let left = |lane: &Lane| shard.sweeps[*lane as usize].skipped.is_some();
            LANES.into_iter().filter(left).map(|lane| (*id, lane))
        });
        self.refills.extend(behind);
    }

    /// Plans a sweep, unless an earlier one is planned; with `instead`, in its place.
    fn plan_sweep(&mut self, id: ShardId, lane: Lane, at: DateTime<Utc>, instead: bool) {
        let Some(shard) = self.shards.get_mut(&id) else {
            return;
        };
        let sweep = &mut shard.sweeps[lane as usize];
        if sweep.next.is_some_and(|next| next <= at && !instead) {
            return;
        }
        if let Some(before) = sweep.next.replace(at) {
            self.sweeps.remove(&(before, id, lane));
        }
        self.sweeps.insert((at, id, lane));
    }

    /// Plans a sweep of a shard's Tasks: something there will be due.
    pub(super) fn want_sweep(&mut self, shard: ShardId, lane: Lane, at: DateTime<Utc>) {
        self.plan_sweep(shard, lane, at, false);
    }

    /// Starts the refills that are wanted.
    pub(super) fn refill(&mut self, turn: &mut Turn<'_>) {
        for (id, lane) in std::mem::take(&mut self.refills) {
            let Some(shard) = self.shards.get_mut(&id) else {
                continue;
            };
            let sweep = &mut shard.sweeps[lane as usize];
            if sweep.running.is_some() {
                // It may have passed by what there is room for now.
                self.refills.insert((id, lane));
            } else if let Some(after) = sweep.skipped.take_if(|_| shard.loaded && !shard.giving_up)
            {
                sweep.running = Some(Running::Refill);
                self.load_page(turn, id, lane, Some(after));
            }
        }
    }

    /// Starts the sweeps that are due.
    pub(super) fn sweep_due(&mut self, turn: &mut Turn<'_>) {
        while let Some((_, id, lane)) = self.sweeps.pop_first_due(turn.now) {
            let recheck = self.config.memory.recheck;
            let Some(shard) = self.shards.get_mut(&id) else {
                continue;
            };
            let sweep = &mut shard.sweeps[lane as usize];
            sweep.next = None;
            if shard.giving_up || !shard.loaded {
                continue;
            }
            if sweep.running.is_some() {
                // Noted for the end of the running one.
                sweep.next = Some(turn.now);
                continue;
            }
            sweep.running = Some(Running::Sweep(turn.now));
            sweep.skipped = None;
            let recheck = lane == Lane::Task && turn.now >= shard.checked_at + recheck;
            self.load_page(turn, id, lane, None);
            if recheck {
                self.recheck(turn, id);
            }
        }
    }

    /// Reads again what other processes may have changed without a wake that arrived.
    fn recheck(&mut self, turn: &mut Turn<'_>, id: ShardId) {
        self.want_attempts(turn, id);
        turn.out.push(Command::LoadShardLinks { shard: id });
        let accounts = self
            .accounts
            .iter()
            .filter(|(_, account)| account.link.as_ref().is_some_and(|link| link.shard == id))
            .map(|(account, _)| account.clone());
        self.links_wanted.extend(accounts);
    }

    /// Loads a shard's open attempts; once more if that is under way, as it may have passed by
    /// what is wanted.
    pub(super) fn want_attempts(&mut self, turn: &mut Turn<'_>, id: ShardId) {
        let Some(shard) = self.shards.get_mut(&id) else {
            return;
        };
        shard.checked_at = turn.now;
        if self.draining {
            return;
        }
        if shard.loading {
            shard.reload = true;
            return;
        }
        shard.loading = true;
        turn.out.push(Command::LoadAttempts { shard: id });
    }

    /// Looks at shards that others left work in, and at links that others changed.
    pub(super) fn on_woken(
        &mut self,
        turn: &mut Turn<'_>,
        shards: &[ShardId],
        accounts: Vec<AccountId>,
    ) {
        for shard in shards {
            for lane in LANES {
                self.plan_sweep(*shard, lane, turn.now, false);
            }
        }
        // A replay opens attempts again.
        let known = |id| Some(self.accounts.get(id)?.link.as_ref()?.shard);
        let theirs: BTreeSet<ShardId> = accounts.iter().filter_map(known).collect();
        for shard in theirs {
            self.want_attempts(turn, shard);
        }
        self.links_wanted.extend(accounts);
    }

    /// Works on a shard again that was to be given up.
    pub(super) fn resume_shard(&mut self, id: ShardId) {
        for lane in LANES {
            self.plan_sweep(id, lane, DateTime::UNIX_EPOCH, false);
        }
        let accounts: Vec<_> = self.accounts.keys().cloned().collect();
        for account in accounts {
            self.stir(&account);
        }
    }

    /// Forgets a shard that is lost. Calls in flight stay until their answer comes, which is
    /// still recorded, with the lost epoch: the store says that it is stale.
    pub(super) fn forget_shard(&mut self, id: ShardId) {
        let Some(shard) = self.shards.remove(&id) else {
            return;
        };
        for (lane, sweep) in LANES.into_iter().zip(shard.sweeps) {
            if let Some(at) = sweep.next {
                self.sweeps.remove(&(at, id, lane));
            }
        }
        let lost: Vec<CallId> = self
            .doubts
            .iter()
            .filter(|(_, doubt)| doubt.attempt.shard == id)
            .map(|(call, _)| call.clone())
            .collect();
        for call in lost {
            self.drop_doubt(&call);
        }
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in accounts {
            self.forget_calls(&account, id);
            self.let_go(&account);
        }
    }

    /// Takes an account's calls of one shard out of the queues.
    pub(super) fn forget_calls(&mut self, account: &AccountId, shard: ShardId) {
        let Some(known) = self.accounts.get_mut(account) else {
            return;
        };
        let calls: Vec<CallId> = known
            .calls
            .iter()
            .filter(|(_, call)| call.shard == shard)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &calls {
            let call = known.calls.get_mut(id).expect("listed from the same map");
            call.newer = None;
            let (lookup, task) = (call.lookup, call.task);
            if matches!(lookup, Place::Ready(_)) {
                known.place_lookup(id, Place::Idle);
            }
            if matches!(task, Place::Ready(_)) {
                known.place_task(id, Place::Idle);
            }
        }
        for id in &calls {
            self.settle(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::domain::ids::Revision;
    use crate::domain::link::LinkState;
    use crate::domain::pause::Paused;
    use crate::engine::{Config, Input};

    fn due(account: &str, call: usize) -> Due {
        let id = CallId {
            account: account.parse().expect("an account"),
            interaction: format!("call-{call}").parse().expect("an interaction"),
        };
        Due {
            call: id,
            shard: ShardId(0),
            lane: Lane::Task,
            due_at: DateTime::UNIX_EPOCH,
            lookup_deadline: None,
            looked_up: true,
            ended_at: Some(DateTime::UNIX_EPOCH),
            revision: Revision(0),
            skip: None,
            attempts: 0,
            degraded: BTreeSet::new(),
            batch_limit: None,
            hidden: None,
        }
    }

    /// Accounts whose calls cannot go out fill the memory; another account's calls find room, as
    /// many as theirs, and no more are held than may be.
    #[test]
    fn the_largest_backlog_gives_way() {
        let mut config = Config::default();
        (config.memory.calls, config.memory.calls_per_account) = (1_000, 400);
        let mut engine = Engine::with_shards(config, 1);
        let mut rng = StdRng::seed_from_u64(1);
        let mut hear = |engine: &mut Engine, input| {
            engine.handle(DateTime::UNIX_EPOCH, &mut rng, input);
        };
        let owned = vec![(ShardId(0), Epoch(1))];
        let replicas = 1;
        hear(&mut engine, Input::Leases { owned, replicas });
        let held = |engine: &Engine, account: &str| {
            let account = account.parse().expect("an account");
            engine.accounts.get(&account).map_or(0, |a| a.calls.len())
        };
        for account in ["stuck-1", "stuck-2", "stuck-3", "late-1", "late-2"] {
            let calls = (0..500).map(|call| due(account, call)).collect();
            let (page, more) = (None, false);
            hear(&mut engine, Input::Due { page, calls, more });
            assert!(held(&engine, account) >= 100, "{account} finds no room");
            assert!(engine.held <= 1_000);
        }
    }

    /// A sweep takes so long that what it passed by finds room before its end: that is gone on
    /// with at once, and does not wait for the next sweep.
    #[test]
    fn what_found_no_room_comes_as_soon_as_there_is_room() {
        let mut config = Config::default();
        (config.memory.calls_per_account, config.memory.page) = (2, 3);
        let mut engine = Engine::with_shards(config, 1);
        let mut rng = StdRng::seed_from_u64(1);
        let mut now = DateTime::UNIX_EPOCH + Duration::from_hours(24);
        let mut hear = |now, input| engine.handle(now, &mut rng, input);
        let calls: Vec<Due> = (0..4).map(|call| due("acme", call)).collect();
        let page = Some((ShardId(0), Lane::Task));
        let (owned, replicas) = (vec![(ShardId(0), Epoch(1))], 1);
        hear(now, Input::Leases { owned, replicas });
        let (shard, attempts) = (ShardId(0), vec![]);
        hear(now, Input::OpenAttempts { shard, attempts });
        hear(now, Input::Paused(Paused::default()));
        // The third finds no room.
        let (first, last) = (calls[..3].to_vec(), calls[3..].to_vec());
        let (calls, more) = (first, true);
        hear(now, Input::Due { page, calls, more });

        now += Duration::from_mins(1);
        let mut link = LinkState::unlinked("acme".parse().expect("an account"), now);
        link.shard = ShardId(0);
        let recorded = hear(now, Input::Links(vec![link]));
        let done = recorded.into_iter().find_map(|command| match command {
            Command::Record { decisions } => Some(decisions),
            _ => None,
        });
        let done = done.expect("an unlinked account's calls are decided");
        let done = done.into_iter().map(|one| (one.call, true)).collect();
        hear(now, Input::Recorded { done });
        let (calls, more) = (last, false);
        let asked = hear(now, Input::Due { page, calls, more });
        let third = due("acme", 2);
        let from = asked.iter().find_map(|command| match command {
            Command::LoadDue { after, .. } => after.clone(),
            _ => None,
        });
        let from = from.expect("the rest is asked for");
        assert!(from < (third.due_at, third.call));
    }
}
