//! The lease shell: a heartbeat that keeps, claims and loses shards, and tells the engine.
//!
//! Two times decide how fast work moves between workers. A worker that leaves gives its shards up
//! and wakes the others, who beat at once: well under a second. A worker that dies is missed when
//! its leases expire, [`Config::ttl`] after its last heartbeat, and its shards are taken at the
//! others' next beat: at most `ttl` + [`Config::heartbeat`], 8 s with the defaults.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::fault::Fault;
use crate::domain::ids::ReplicaId;
use crate::engine::Input;
use crate::engine::leases::{self, claim_limit};
use crate::readiness::Component;
use crate::store::{Fence, Store};

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

/// Keeps this replica's leases.
pub struct Keeper {
    /// The durable state.
    store: Arc<dyn Store>,
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
    /// Told to leave: the replica is off the list, and takes nothing more.
    leaving: bool,
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
        store: Arc<dyn Store>,
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
            leaving: false,
        }
    }

    /// Beats until cancelled. Told to leave, it takes no more shards and keeps those it has, until
    /// the engine or the app gives them up.
    pub async fn run(mut self, cancel: CancellationToken, leaving: Leaving, component: Component) {
        while !cancel.is_cancelled() {
            self.leaving = leaving.told.is_cancelled();
            let begun = Instant::now();
            let wait = self.step().await;
            if self.leaving && self.safe_until >= begun + self.config.ttl {
                leaving.counts_no_more.send_replace(true);
            }
            if Instant::now() < self.safe_until {
                component.ready();
            } else {
                component.not_ready("the database does not answer heartbeats");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = leaving.told.cancelled(), if !self.leaving => {}
                () = self.beat_now.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One heartbeat; returns the time until the next.
    pub async fn step(&mut self) -> Duration {
        let begun = Instant::now();
        let have = self.owned.borrow().len();
        let claim = claim_limit(&self.sharing, have, self.replicas);
        let beat = if self.leaving {
            self.store.retire(&self.replica, self.config.ttl)
        } else {
            self.store.beat(&self.replica, self.config.ttl, claim)
        };
        match tokio::time::timeout(self.config.heartbeat, beat).await {
            Ok(Ok(beat)) => {
                // Counted from before the question: the database may have answered early.
                self.safe_until = begun + self.config.ttl;
                // Another number of replicas makes another share, and a full claim may have left
                // more to take: look again soon.
                let full = claim > 0 && beat.owned.len() >= have + claim as usize;
                let soon = full || beat.replicas != self.replicas;
                self.replicas = beat.replicas;
                self.tell(beat.owned).await;
                if soon { AGAIN } else { self.config.heartbeat }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "heartbeat failed");
                self.missed().await
            }
            Err(_) => {
                tracing::warn!("heartbeat not answered in time");
                self.missed().await
            }
        }
    }

    /// After a failed heartbeat: beat again soon, and own nothing once the leases may be gone.
    async fn missed(&mut self) -> Duration {
        if Instant::now() >= self.safe_until && !self.owned.borrow().is_empty() {
            tracing::error!("the leases have run out without a heartbeat; all shards are let go");
            self.tell(Vec::new()).await;
        }
        self.config.heartbeat / 4
    }

    /// Tells the engine, the relay and the token refresh what is owned.
    async fn tell(&self, owned: Vec<Fence>) {
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
