//! The driver: owns the engine, feeds it inputs, and hands its commands to the shells.
//!
//! One task, no lock: the engine is a value, and everything that it does not know comes as an
//! [`Input`]. Commands run concurrently on the tracker; each brings its input back by the same
//! channel. `run` is `step` until drained, and a test may call `step`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatch::{Batch, Dispatcher};
use super::load::{Loader, or_empty};
use super::lookup::Lookups;
use super::reconcile::Reconciler;
use super::record::Recorder;
use crate::clock;
use crate::engine::{Command, Engine, Gauges, Input};
use crate::linking::Linking;
use crate::store::until_stored;

/// How many inputs may wait for the driver. Senders wait behind it, which holds ingest back; the
/// driver itself never waits for a shell, so this cannot lock up.
pub const INPUTS: usize = 1024;

/// The shells that carry out commands.
pub struct Shells {
    /// Due calls, open attempts, links, unparking, releasing.
    pub loader: Loader,
    /// Searches.
    pub lookups: Lookups,
    /// Tasks.
    pub dispatcher: Dispatcher,
    /// Queries for unanswered attempts.
    pub reconciler: Reconciler,
    /// Outcomes.
    pub recorder: Recorder,
    /// Tokens and health.
    pub linking: Arc<Linking>,
}

/// Owns the engine.
pub struct Driver {
    /// All decisions.
    engine: Engine,
    /// All chance.
    rng: StdRng,
    /// What happened.
    inputs: mpsc::Receiver<Input>,
    /// Given to each shell for its answer.
    back: mpsc::Sender<Input>,
    /// Carries commands out.
    shells: Arc<Shells>,
    /// Every command runs on it, so that a drain can wait for all.
    tracker: TaskTracker,
    /// Cancelled by a command that panicked: the engine would wait for its answer for ever.
    broken: CancellationToken,
    /// The engine's gauges, for the metrics.
    gauges: watch::Sender<Gauges>,
    /// When they were told last: counting walks over all calls in memory.
    told: Instant,
}

/// How often the gauges are told.
const GAUGES_EVERY: Duration = Duration::from_secs(2);

impl Driver {
    /// A driver around an engine.
    pub fn new(
        engine: Engine,
        shells: Arc<Shells>,
        tracker: TaskTracker,
        (back, inputs): (mpsc::Sender<Input>, mpsc::Receiver<Input>),
        gauges: watch::Sender<Gauges>,
    ) -> Self {
        Self {
            engine,
            rng: StdRng::from_os_rng(),
            inputs,
            back,
            shells,
            tracker,
            broken: CancellationToken::new(),
            gauges,
            told: Instant::now(),
        }
    }

    /// Steps until `drain` is cancelled and nothing is in flight any more; or until a command
    /// breaks.
    pub async fn run(mut self, drain: CancellationToken) {
        let mut draining = false;
        let broken = self.broken.clone();
        while !(draining && self.engine.is_idle()) {
            let input = tokio::select! {
                biased;
                () = broken.cancelled() => {
                    tracing::error!("a command broke off, and the engine cannot go on without its answer");
                    return;
                }
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    Input::Drain
                }
                input = self.next_input() => input,
            };
            self.step(input);
        }
    }

    /// One input in, its commands out.
    pub fn step(&mut self, input: Input) {
        for command in self.engine.handle(clock::now(), &mut self.rng, input) {
            let shells = Arc::clone(&self.shells);
            let back = self.back.clone();
            let broken = self.broken.clone().drop_guard();
            self.tracker.spawn(async move {
                if let Some(input) = shells.carry_out(command).await {
                    // The receiver lives as long as the driver; without it nobody wants to know.
                    let _ = back.send(input).await;
                }
                broken.disarm();
            });
        }
        if self.told.elapsed() >= GAUGES_EVERY {
            self.told = Instant::now();
            self.gauges.send_replace(self.engine.gauges(clock::now()));
        }
    }

    /// The next thing that happens: an input, or the time that the engine waits for.
    async fn next_input(&mut self) -> Input {
        let wait = self
            .engine
            .next_wakeup()
            .map_or(Duration::from_secs(1), |at| {
                (at - clock::now())
                    .to_std()
                    .unwrap_or_default()
                    .min(Duration::from_secs(1))
            });
        match tokio::time::timeout(wait, self.inputs.recv()).await {
            Ok(Some(input)) => input,
            // All senders are gone only when the process ends; time goes on until then.
            Ok(None) | Err(_) => Input::Tick,
        }
    }
}

impl Shells {
    /// Carries one command out and returns what it brought; `None` when told to stop meanwhile.
    async fn carry_out(&self, command: Command) -> Option<Input> {
        match command {
            Command::Lookup {
                batch,
                account,
                generation,
                calls,
                deadline,
            } => Some(
                self.lookups
                    .look_up(batch, account, generation, calls, deadline)
                    .await,
            ),
            Command::AnswerLookups {
                batch,
                generation,
                calls,
                result,
            } => Some(self.lookups.answer(batch, generation, calls, result).await),
            Command::Dispatch {
                batch,
                account,
                generation,
                org,
                mode,
                calls,
            } => {
                let work = Batch {
                    batch,
                    account,
                    generation,
                    org,
                    mode,
                    calls,
                };
                Some(self.dispatcher.dispatch(work).await)
            }
            Command::Record { decisions } => self.recorder.record(decisions).await,
            errand => self.run_errand(errand).await,
        }
    }

    /// Carries out what serves the calls without sending any.
    async fn run_errand(&self, command: Command) -> Option<Input> {
        match command {
            Command::Reconcile {
                batch,
                account,
                generation,
                org: _,
                attempts,
                prove,
            } => Some(
                self.reconciler
                    .reconcile(batch, (account, generation), attempts, prove)
                    .await,
            ),
            Command::RefreshToken {
                account,
                generation,
                ahead,
                moved,
            } => {
                let refresh = self.linking.refresh(&account, generation, ahead, moved);
                let result = refresh.await;
                Some(Input::Refreshed {
                    account,
                    generation,
                    ahead,
                    result,
                })
            }
            Command::MarkLink {
                account,
                generation,
                health,
                reason,
                failure,
            } => {
                // The engine sends nothing for the account until it hears what became of this.
                let mark = || {
                    let failure = failure.clone();
                    self.linking
                        .mark(&account, generation, health, reason, failure)
                };
                let link = until_stored(&self.loader.cancel, "mark_link", mark).await?;
                Some(Input::Links(
                    or_empty(link, "mark_link").into_iter().collect(),
                ))
            }
            errand => self.loader.carry_out(errand).await,
        }
    }
}
