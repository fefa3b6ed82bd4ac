//! The lease shell: a heartbeat that keeps, claims and loses shards, and tells the engine.
//!
//! Two times decide how fast work moves between workers. A worker that leaves gives its shards up
//! and wakes the others, who beat at once: well under a second. A worker that dies is missed when
//! its leases expire, [`Config::ttl`] after its last heartbeat, and its shards are taken at the
//! others' next beat: at most `ttl` + [`Config::heartbeat`], 8 s with the defaults.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::fault::Fault;
use crate::domain::ids::ReplicaId;
use crate::engine::Input;
use crate::engine::leases::{self, claim_limit};
use crate::readiness::Component;
use crate::store::leases::{Beat, CLOCKS_DIFFER_AT_MOST, ClocksDiffer};
use crate::store::{Error, Fence, Leases, Result};

/// Settings of the leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a lease lasts after a heartbeat.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// How often leases are extended and free shards claimed; at most a third of `ttl`, so that
    /// two lost heartbeats lose nothing.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(6),
            heartbeat: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.heartbeat < Duration::from_millis(100) {
            faults.push(Fault::new("leases.heartbeat", "write at least 100ms"));
        }
        if self.ttl < self.heartbeat * 3 {
            let advice = "write at least three times leases.heartbeat";
            faults.push(Fault::new("leases.ttl", advice));
        }
    }
}

/// How soon to beat again when more shards may be had.
const AGAIN: Duration = Duration::from_millis(50);

/// Heartbeats that may wait for their answers at a time.
const UNANSWERED: usize = 3;

/// A heartbeat that was sent.
struct Sent {
    /// When: the leases hold from here at least, as the database may have answered early.
    at: Instant,
    /// When, by our clock.
    clock: DateTime<Utc>,
    /// The shards that were had.
    had: usize,
    /// How many more it asked for.
    claim: u32,
}

/// A heartbeat that waits for its answer.
type Asked = BoxFuture<'static, (Sent, Result<Beat>)>;

/// Keeps this replica's leases.
pub struct Keeper {
    /// Who owns which shard.
    store: Arc<dyn Leases>,
    /// Who we are.
    replica: ReplicaId,
    /// Settings.
    config: Config,
    /// How shards are shared out.
    sharing: leases::Config,
    /// The engine hears of every heartbeat.
    inputs: mpsc::Sender<Input>,
    /// The owned shards, for the relay and the token refresh.
    owned: watch::Sender<Vec<Fence>>,
    /// Asks for a heartbeat now: shards were given up somewhere.
    beat_now: Arc<Notify>,
    /// Replicas alive as of the last heartbeat; 0 before the first.
    replicas: u32,
    /// Until when the leases surely hold, by our own clock.
    safe_until: Instant,
    /// The heartbeats that wait for their answers. One that is late is not given up for the next:
    /// it may be slow to connect, as all are after a failover, and each new one would be as slow.
    /// Nor is the next held up by it: the network may have forgotten its connection.
    unanswered: FuturesUnordered<Asked>,
    /// The database's clock and ours differ too much to own anything.
    astray: bool,
    /// Told to leave, at this time: the replica is off the list, and takes nothing more.
    left_at: Option<Instant>,
}

/// Leaving the other replicas: what to do, and that it is done.
pub struct Leaving {
    /// Cancelled to leave.
    pub told: CancellationToken,
    /// Set once the others' shares count this replica no more.
    pub counts_no_more: watch::Sender<bool>,
}

impl Keeper {
    /// A keeper that owns nothing yet. The channels are the engine's and the owned shards'.
    pub fn new(
        store: Arc<dyn Leases>,
        replica: ReplicaId,
        (config, sharing): (Config, leases::Config),
        (inputs, owned): (mpsc::Sender<Input>, watch::Sender<Vec<Fence>>),
        beat_now: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            replica,
            config,
            sharing,
            inputs,
            owned,
            beat_now,
            replicas: 0,
            safe_until: Instant::now(),
            unanswered: FuturesUnordered::new(),
            astray: false,
            left_at: None,
        }
    }

    /// Beats until cancelled. Told to leave, it takes no more shards and keeps those it has, until
    /// the engine or the app gives them up.
    pub async fn run(mut self, cancel: CancellationToken, leaving: Leaving, component: Component) {
        while !cancel.is_cancelled() {
            if leaving.told.is_cancelled() && self.left_at.is_none() {
                self.left_at = Some(Instant::now());
                // They would put it on the list again.
                self.unanswered.clear();
            }
            let wait = self.step().await;
            if let Some(left_at) = self.left_at
                && self.safe_until >= left_at + self.config.ttl
            {
                leaving.counts_no_more.send_replace(true);
            }
            if Instant::now() < self.safe_until {
                component.ready();
            } else if self.astray {
                component.not_ready(ClocksDiffer.to_string());
            } else {
                component.not_ready("the database does not answer heartbeats");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = leaving.told.cancelled(), if self.left_at.is_none() => {}
                () = self.beat_now.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Sends a heartbeat, and waits for the answer of any; returns the time until the next.
    async fn step(&mut self) -> Duration {
        if self.unanswered.len() < UNANSWERED {
            self.unanswered.push(self.ask());
        }
        let answer = timeout(self.config.heartbeat, self.unanswered.next()).await;
        match answer.ok().flatten() {
            Some((sent, Ok(beat))) => self.answered(&sent, beat).await,
            Some((_, Err(error))) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "heartbeat failed");
                self.missed().await;
                self.config.heartbeat / 4
            }
            None => {
                tracing::warn!("heartbeat not answered in time");
                self.missed().await;
                Duration::ZERO
            }
        }
    }

    /// A heartbeat; given up when no lease can hold any more by its answer.
    fn ask(&self) -> Asked {
        let sent = Sent {
            at: Instant::now(),
            clock: clock::now(),
            had: self.owned.borrow().len(),
            claim: claim_limit(&self.sharing, self.owned.borrow().len(), self.replicas),
        };
        let (store, replica) = (Arc::clone(&self.store), self.replica.clone());
        let ttl = self.config.ttl;
        let takes_none = self.left_at.is_some() || self.astray;
        async move {
            let beat = if takes_none {
                store.retire(&replica, ttl)
            } else {
                store.beat(&replica, ttl, sent.claim)
            };
            let answer = timeout(ttl, beat).await;
            let answer = answer.unwrap_or_else(|late| Err(Error::Unavailable(late.into())));
            (sent, answer)
        }
        .boxed()
    }

    /// Takes an answer, unless it came so late that the leases may be gone again.
    async fn answered(&mut self, sent: &Sent, beat: Beat) -> Duration {
        let safe_until = sent.at + self.config.ttl;
        if Instant::now() >= safe_until {
            self.missed().await;
            return Duration::ZERO;
        }
        self.unanswered.clear();
        let apart = apart((sent.clock, clock::now()), beat.now);
        if apart > CLOCKS_DIFFER_AT_MOST {
            return self.stray(apart).await;
        }
        self.safe_until = safe_until;
        if self.astray {
            tracing::info!("the clocks of this machine and of the database agree again");
            self.astray = false;
            return Duration::ZERO;
        }
        // Another number of replicas makes another share, and a full claim may have left more to
        // take: look again soon.
        let full = sent.claim > 0 && beat.owned.len() >= sent.had + sent.claim as usize;
        let soon = full || beat.replicas != self.replicas;
        self.replicas = beat.replicas;
        self.tell(beat.owned).await;
        if soon { AGAIN } else { self.config.heartbeat }
    }

    /// After a heartbeat that failed or is late: own nothing once the leases may be gone.
    async fn missed(&mut self) {
        if Instant::now() >= self.safe_until && !self.owned.borrow().is_empty() {
            tracing::error!("the leases have run out without a heartbeat; all shards are let go");
            self.tell(Vec::new()).await;
        }
    }

    /// Gives everything up, until the clocks agree: of two machines one has the wrong time, and others may
    /// have the right one.
    async fn stray(&mut self, apart: TimeDelta) -> Duration {
        if !self.astray {
            let error = &ClocksDiffer as &dyn std::error::Error;
            let seconds = apart.num_seconds();
            tracing::error!(
                error,
                seconds,
                "this worker owns nothing until the clocks agree"
            );
        }
        self.astray = true;
        self.safe_until = Instant::now();
        self.tell(Vec::new()).await;
        // What is not given up expires.
        match timeout(self.config.heartbeat, self.store.leave(&self.replica)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "shards are not given up"
                );
            }
            Err(_late) => tracing::warn!("shards are not given up in time"),
        }
        self.config.heartbeat
    }

    /// Tells the engine, the relay and the token refresh what is owned.
    async fn tell(&mut self, owned: Vec<Fence>) {
        let shards = owned
            .iter()
            .map(|fence| (fence.shard, fence.epoch))
            .collect();
        self.owned.send_if_modified(|old| {
            let changed = *old != owned;
            *old = owned;
            changed
        });
        let input = Input::Leases {
            owned: shards,
            replicas: self.replicas.max(1),
        };
        // Without a driver nobody is left to tell.
        let _ = self.inputs.send(input).await;
    }
}

/// How far a clock that tells `theirs` differs from ours, which told these times before and after it was
/// asked; nothing where it is between them.
fn apart((before, after): (DateTime<Utc>, DateTime<Utc>), theirs: DateTime<Utc>) -> TimeDelta {
    (before - theirs).max(theirs - after).max(TimeDelta::zero())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::domain::ids::{Epoch, ShardId};

    /// A database that answers its heartbeats after these times, and later ones at once.
    struct Slow {
        times: Mutex<VecDeque<Duration>>,
        /// How far its clock is ahead at each; later on it is right.
        ahead: Mutex<VecDeque<TimeDelta>>,
        answered: AtomicUsize,
        left: AtomicUsize,
    }

    #[async_trait]
    impl Leases for Slow {
        async fn beat(&self, _: &ReplicaId, _: Duration, _: u32) -> Result<Beat> {
            let time = self.times.lock().expect("no panic").pop_front();
            tokio::time::sleep(time.unwrap_or_default()).await;
            self.answered.fetch_add(1, Ordering::Relaxed);
            let fence = Fence {
                shard: ShardId(0),
                epoch: Epoch(1),
            };
            let ahead = self.ahead.lock().expect("no panic").pop_front();
            Ok(Beat {
                owned: vec![fence],
                replicas: 1,
                now: clock::now() + ahead.unwrap_or_default(),
            })
        }

        async fn retire(&self, replica: &ReplicaId, ttl: Duration) -> Result<Beat> {
            self.beat(replica, ttl, 0).await
        }

        async fn release(&self, _: &ReplicaId, _: &[ShardId]) -> Result<()> {
            Ok(())
        }

        async fn leave(&self, _: &ReplicaId) -> Result<()> {
            self.left.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    impl Slow {
        fn new(times: &[Duration], ahead: &[TimeDelta]) -> Arc<Self> {
            Arc::new(Self {
                times: Mutex::new(times.iter().copied().collect()),
                ahead: Mutex::new(ahead.iter().copied().collect()),
                answered: AtomicUsize::new(0),
                left: AtomicUsize::new(0),
            })
        }
    }

    /// Beats until so many were answered; whether leases were had, each time that it changed.
    async fn kept(store: &Arc<Slow>, ttl: Duration, answers: usize) -> Vec<bool> {
        let (inputs, mut told) = mpsc::channel(1000);
        let (owned, _owned) = watch::channel(Vec::new());
        let config = Config {
            ttl,
            heartbeat: HEARTBEAT,
        };
        let mut keeper = Keeper::new(
            Arc::<Slow>::clone(store),
            "one".parse().expect("an id"),
            (config, leases::Config::default()),
            (inputs, owned),
            Arc::default(),
        );
        let deadline = Instant::now() + Duration::from_mins(1);
        while store.answered.load(Ordering::Relaxed) < answers {
            assert!(Instant::now() < deadline, "heartbeats are not answered");
            let wait = keeper.step().await;
            tokio::time::sleep(wait).await;
        }
        let mut had = Vec::new();
        while let Ok(Input::Leases { owned, .. }) = told.try_recv() {
            had.push(!owned.is_empty());
        }
        had.dedup();
        had
    }

    const HEARTBEAT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(30);
    const NEVER: Duration = Duration::from_hours(1);
    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn leases_are_kept_where_each_answer_comes_after_the_next_heartbeat_is_due() {
        let slow = HEARTBEAT * 5 / 2;
        let store = Slow::new(&[slow; 100], &[]);
        assert_eq!(kept(&store, LONG, 3).await, [true]);
    }

    #[tokio::test]
    async fn two_heartbeats_that_are_never_answered_lose_nothing() {
        let store = Slow::new(&[AT_ONCE, AT_ONCE, NEVER, NEVER], &[]);
        assert_eq!(kept(&store, LONG, 4).await, [true]);
    }

    #[tokio::test]
    async fn leases_go_when_none_was_answered_for_their_time_and_come_again_with_an_answer() {
        let store = Slow::new(&[AT_ONCE, AT_ONCE, NEVER, NEVER, NEVER], &[]);
        let had = kept(&store, HEARTBEAT * 3, 4).await;
        assert_eq!(had, [true, false, true]);
    }

    #[tokio::test]
    async fn nothing_is_owned_while_the_databases_clock_and_ours_differ() {
        let (right, hour) = (TimeDelta::zero(), TimeDelta::hours(1));
        for wrong in [hour, -hour] {
            let store = Slow::new(&[], &[right, wrong, wrong, right, right]);
            let had = kept(&store, LONG, 5).await;
            assert_eq!(had, [true, false, true], "{wrong}");
            let left = store.left.load(Ordering::Relaxed);
            assert_eq!(left, 2, "others may take what it had");
        }
    }

    #[tokio::test]
    async fn clocks_that_differ_a_little_do_no_harm() {
        let ahead = CLOCKS_DIFFER_AT_MOST - TimeDelta::seconds(1);
        let store = Slow::new(&[], &[ahead, -ahead, ahead]);
        assert_eq!(kept(&store, LONG, 3).await, [true]);
    }
}
