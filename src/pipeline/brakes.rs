//! Brakes: what operators paused, read every few seconds and told to the engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::pause::Paused;
use crate::engine::Input;
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// How often it is read. An operator waits for it, for ten seconds at most.
const EVERY: Duration = Duration::from_secs(2);

/// Reads pauses. While the database is away, those read last stand.
pub struct Brakes {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// To the engine.
    pub inputs: mpsc::Sender<Input>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Brakes {
    /// Reads until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut told = None;
        while !cancel.is_cancelled() {
            if let Err(error) = self.step(&mut told).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what is paused cannot be read; it stays as it was");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Reads once, and tells the engine what it does not know.
    async fn step(&self, told: &mut Option<Paused>) -> store::Result<()> {
        let pauses = self.store.pauses().await?;
        self.metrics.pauses(&pauses, clock::now());
        let paused = Paused::by(&pauses);
        if told.as_ref() == Some(&paused) {
            return Ok(());
        }
        tracing::info!(pauses = pauses.len(), "what is paused has changed");
        *told = Some(paused.clone());
        // Without a driver nobody is left to tell.
        let _ = self.inputs.send(Input::Paused(paused)).await;
        Ok(())
    }
}
