//! The worker: its stages, how they are wired together, and ([`drain`]) the order in which they
//! end.

mod drain;

use std::sync::Arc;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stages::Alarm;
use crate::callers::Callers;
use crate::config::Config;
use crate::domain::ids::ReplicaId;
use crate::engine::{Engine, Gauges};
use crate::kafka::consumer::Consumer;
use crate::kafka::producer::Producer;
use crate::kafka::wire::encode::Encoder;
use crate::linking::Linking;
use crate::pipeline::adoptions::Adoptions;
use crate::pipeline::brakes::Brakes;
use crate::pipeline::delay::Progress;
use crate::pipeline::dispatch::Dispatcher;
use crate::pipeline::driver::{Driver, INPUTS, Shells};
use crate::pipeline::fold::Folder;
use crate::pipeline::housekeep::Housekeeper;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::leases::{Keeper, Leaving};
use crate::pipeline::load::Loader;
use crate::pipeline::lookup::{Lookups, Memory};
use crate::pipeline::owners::Owners;
use crate::pipeline::recognise::Recogniser;
use crate::pipeline::reconcile::Reconciler;
use crate::pipeline::record::Recorder;
use crate::pipeline::relay::{Relay, Round};
use crate::pipeline::wakes::Wakes;
use crate::pipeline::watch::Watcher;
use crate::pipeline::watchdog::Watchdog;
use crate::readiness::Readiness;
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::sealing::vault::Vault;
use crate::store::{Fence, Store};
use crate::telemetry::Metrics;

/// The stages of a worker.
pub(super) struct Worker {
    /// Who ended too soon.
    alarm: Alarm,
    /// The stages that serve the others run on it.
    stages: TaskTracker,
    /// The driver and the relay run on it: the shards are given up behind them.
    working: TaskTracker,
    /// Ingest runs on it: leaving its group may take longer than the shards should wait.
    reading: TaskTracker,
    /// Every command of the engine runs on it.
    commands: TaskTracker,
    /// Reading of new events.
    ingest: CancellationToken,
    /// Planning of new work.
    driver: CancellationToken,
    /// Taking of more shards, refreshes ahead of need, wakes, housekeeping.
    leaving: CancellationToken,
    /// Heartbeats, gauges, waiting for a store that is away.
    background: CancellationToken,
    /// Publishing.
    relay: CancellationToken,
    /// For leaving at last.
    store: Arc<dyn Store>,
    /// Who we are.
    replica: ReplicaId,
    /// The driver has nothing in flight any more.
    driven: watch::Receiver<bool>,
    /// The others' shares count this worker no more.
    counts_no_more: watch::Sender<bool>,
}

/// What the stages share.
struct Shared {
    store: Arc<dyn Store>,
    sealer: Sealer,
    vault: Vault,
    salesforce: Client,
    linking: Arc<Linking>,
    published: Arc<Notify>,
    beat_now: Arc<Notify>,
    inputs: mpsc::Sender<crate::engine::Input>,
    mark: watch::Sender<i64>,
    owned: watch::Receiver<Vec<Fence>>,
    metrics: Metrics,
}

impl Worker {
    /// Builds all stages and starts them.
    pub(super) fn start(
        config: &Config,
        store: Arc<dyn Store>,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> anyhow::Result<Self> {
        let sealer = Sealer::of(&config.crypto)?;
        let salesforce =
            Client::new(config.salesforce.clone()).context("salesforce cannot be used")?;
        let salesforce = salesforce.with_metrics(metrics.clone());
        let producer = Producer::new(&config.kafka)?;
        let consumer = Consumer::start(&config.kafka)?;
        let (owned_sender, owned) = watch::channel(Vec::new());
        let (inputs, inputs_receiver) = mpsc::channel(INPUTS);
        let linking = Linking::new(
            Arc::clone(&store),
            sealer.clone(),
            salesforce.clone(),
            config.linking.clone(),
            config.tasks.status.clone(),
            owned.clone(),
        );
        let shared = Shared {
            store: Arc::clone(&store),
            vault: Vault::new(Arc::clone(&store), sealer.clone()),
            sealer,
            salesforce,
            linking: Arc::new(linking.with_metrics(metrics.clone())),
            published: Arc::default(),
            beat_now: Arc::default(),
            inputs,
            mark: watch::Sender::new(0),
            owned,
            metrics: metrics.clone(),
        };
        let (driven_sender, driven) = watch::channel(false);
        let worker = Self::new(store, replica_id()?, driven);
        let consumer_status = consumer.status();
        let progress = worker.spawn_ingest(config, &shared, consumer, producer.clone(), readiness);
        let gauges = worker.spawn_driver(config, &shared, inputs_receiver, driven_sender);
        let watcher = Watcher {
            store: Arc::clone(&shared.store),
            metrics: shared.metrics.clone(),
            gauges,
            consumer: consumer_status,
            progress,
            owned: shared.owned.clone(),
        };
        worker.spawn_keeper(config, &shared, owned_sender, readiness);
        worker.spawn_recogniser(config, &shared, readiness);
        worker.spawn_background(config, &shared, watcher);
        worker.spawn_relay(config, shared, producer);
        worker.stages.close();
        worker.working.close();
        worker.reading.close();
        Ok(worker)
    }

    /// A worker whose stages are not started.
    fn new(store: Arc<dyn Store>, replica: ReplicaId, driven: watch::Receiver<bool>) -> Self {
        Self {
            alarm: Alarm::default(),
            stages: TaskTracker::new(),
            working: TaskTracker::new(),
            reading: TaskTracker::new(),
            commands: TaskTracker::new(),
            ingest: CancellationToken::new(),
            driver: CancellationToken::new(),
            leaving: CancellationToken::new(),
            background: CancellationToken::new(),
            relay: CancellationToken::new(),
            store,
            replica,
            driven,
            counts_no_more: watch::Sender::new(false),
        }
    }

    /// Kafka → inbox.
    fn spawn_ingest(
        &self,
        config: &Config,
        shared: &Shared,
        consumer: Consumer,
        producer: Producer,
        readiness: &Readiness,
    ) -> watch::Receiver<Progress> {
        let (progress, progressed) = watch::channel(Progress::default());
        let ingest = Ingest {
            consumer,
            folder: Folder::new(config.ingest.clone(), config.policy.clone()),
            store: Arc::clone(&shared.store),
            sealer: shared.sealer.clone(),
            vault: shared.vault.clone(),
            producer,
            quarantine_topic: config.kafka.topics.quarantine.clone(),
            max_event_bytes: config.kafka.max_event_bytes,
            inputs: shared.inputs.clone(),
            metrics: shared.metrics.clone(),
            assigned: readiness.component("kafka"),
            mark: shared.mark.subscribe(),
            progress,
        };
        let stage = ingest.run(self.ingest.clone());
        self.alarm
            .watch(&self.reading, "ingest", &self.ingest, stage);
        progressed
    }

    /// The engine and its shells.
    fn spawn_driver(
        &self,
        config: &Config,
        shared: &Shared,
        inputs: mpsc::Receiver<crate::engine::Input>,
        driven: watch::Sender<bool>,
    ) -> watch::Receiver<Gauges> {
        let sent = Arc::default();
        let shells = Shells {
            loader: Loader {
                store: Arc::clone(&shared.store),
                replica: self.replica.clone(),
                sweeps: Semaphore::new(config.store.sweeps()),
                cancel: self.background.clone(),
            },
            lookups: Lookups {
                store: Arc::clone(&shared.store),
                vault: shared.vault.clone(),
                linking: Arc::clone(&shared.linking),
                callers: Callers::new(shared.salesforce.clone(), &config.lookup.own_numbers),
                published: Arc::clone(&shared.published),
                metrics: shared.metrics.clone(),
                memory: Memory::new(&config.lookup),
            },
            dispatcher: Dispatcher {
                store: Arc::clone(&shared.store),
                vault: shared.vault.clone(),
                linking: Arc::clone(&shared.linking),
                salesforce: shared.salesforce.clone(),
                owners: Owners::new(shared.salesforce.clone()),
                adoptions: Adoptions::default(),
                sent: Arc::clone(&sent),
                send_within: config.dispatch.send_within,
                tasks: config.tasks.clone(),
                metrics: shared.metrics.clone(),
            },
            reconciler: Reconciler {
                linking: Arc::clone(&shared.linking),
                salesforce: shared.salesforce.clone(),
            },
            recorder: Recorder {
                store: Arc::clone(&shared.store),
                vault: shared.vault.clone(),
                sent,
                published: Arc::clone(&shared.published),
                cancel: self.background.clone(),
                metrics: shared.metrics.clone(),
            },
            linking: Arc::clone(&shared.linking),
        };
        let (gauges_sender, gauges) = watch::channel(Gauges::default());
        let stage = Driver::new(
            Engine::new(config.engine.clone()),
            Arc::new(shells),
            self.commands.clone(),
            (shared.inputs.clone(), inputs),
            gauges_sender,
        );
        let drain = self.driver.clone();
        let driver = async move {
            stage.run(drain).await;
            driven.send_replace(true);
        };
        self.alarm
            .watch(&self.working, "driver", &self.driver, driver);
        gauges
    }

    /// Heartbeats.
    fn spawn_keeper(
        &self,
        config: &Config,
        shared: &Shared,
        owned: watch::Sender<Vec<Fence>>,
        readiness: &Readiness,
    ) {
        let keeper = Keeper::new(
            Arc::<dyn Store>::clone(&shared.store),
            self.replica.clone(),
            (config.leases.clone(), config.engine.leases.clone()),
            (shared.inputs.clone(), owned),
            Arc::clone(&shared.beat_now),
        );
        let leaving = Leaving {
            told: self.leaving.clone(),
            counts_no_more: self.counts_no_more.clone(),
        };
        let leases = readiness.component("leases");
        let stage = keeper.run(self.background.clone(), leaving, leases);
        self.alarm
            .watch(&self.stages, "leases", &self.background, stage);
    }

    /// Whether the database came back from the past.
    fn spawn_recogniser(&self, config: &Config, shared: &Shared, readiness: &Readiness) {
        let recogniser = Recogniser {
            store: Arc::clone(&shared.store),
            kafka: config.kafka.clone(),
            mark: shared.mark.clone(),
            component: readiness.component("recovery"),
            metrics: shared.metrics.clone(),
        };
        let stage = recogniser.run(self.background.clone());
        self.alarm
            .watch(&self.stages, "recovery", &self.background, stage);
    }

    /// Tokens, profiles and states of links; wakes, gauges and housekeeping.
    fn spawn_background(&self, config: &Config, shared: &Shared, watcher: Watcher) {
        let watch = |name, told: &CancellationToken, stage: BoxFuture<'static, ()>| {
            self.alarm.watch(&self.stages, name, told, stage);
        };
        let linking = Arc::clone(&shared.linking);
        let (inputs, cancel) = (shared.inputs.clone(), self.leaving.clone());
        let links_changed = Arc::new(Notify::new());
        let told = Arc::clone(&links_changed);
        let tokens = async move { linking.look_over(inputs, &told, cancel).await };
        watch("tokens", &self.leaving, tokens.boxed());
        let (linking, cancel) = (Arc::clone(&shared.linking), self.leaving.clone());
        let profiles = async move { linking.keep_profiles(cancel).await };
        watch("profiles", &self.leaving, profiles.boxed());
        let (linking, cancel) = (Arc::clone(&shared.linking), self.leaving.clone());
        let restating = async move { linking.restate(cancel).await };
        watch("restating", &self.leaving, restating.boxed());
        let wakes = Wakes {
            store: Arc::clone(&shared.store),
            inputs: shared.inputs.clone(),
            beat_now: Arc::clone(&shared.beat_now),
            published: Arc::clone(&shared.published),
            tokens: links_changed,
        };
        let wakes = wakes.run(self.leaving.clone());
        watch("wakes", &self.leaving, wakes.boxed());
        let brakes = Brakes {
            store: Arc::clone(&shared.store),
            inputs: shared.inputs.clone(),
            metrics: shared.metrics.clone(),
        };
        let brakes = brakes.run(self.leaving.clone());
        watch("brakes", &self.leaving, brakes.boxed());
        let watcher = watcher.run(self.background.clone());
        watch("watcher", &self.background, watcher.boxed());
        let housekeeper = Housekeeper {
            store: Arc::clone(&shared.store),
            linking: Arc::clone(&shared.linking),
            owned: shared.owned.clone(),
            retention: config.retention.clone(),
        };
        let watchdog = Watchdog {
            store: Arc::clone(&shared.store),
            metrics: shared.metrics.clone(),
            owned: shared.owned.clone(),
            config: config.watchdog.clone(),
            parked_at_most: config.engine.links.parked_at_most,
        };
        let watchdog = watchdog.run(self.leaving.clone());
        watch("watchdog", &self.leaving, watchdog.boxed());
        let housekeeper = housekeeper.run(self.leaving.clone());
        watch("housekeeping", &self.leaving, housekeeper.boxed());
    }

    /// Outbox → Kafka.
    fn spawn_relay(&self, config: &Config, shared: Shared, producer: Producer) {
        let relay = Relay {
            store: shared.store,
            sealer: shared.sealer,
            vault: shared.vault,
            encoder: Encoder::new(config.kafka.encoding),
            producer,
            owned: shared.owned,
            published: shared.published,
            metrics: shared.metrics,
            round: Round::default(),
        };
        let stage = relay.run(self.relay.clone());
        self.alarm.watch(&self.working, "relay", &self.relay, stage);
    }
}

/// A name that no other process has: the host's, with something random behind it, so that a
/// restarted worker is not taken for the one before it.
fn replica_id() -> anyhow::Result<ReplicaId> {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".into());
    let host: String = host
        .chars()
        .filter(char::is_ascii_graphic)
        .take(60)
        .collect();
    Ok(format!("{host}-{}", uuid::Uuid::new_v4().simple()).parse()?)
}
