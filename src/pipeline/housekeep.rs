//! Housekeeping: forgets calls beyond the dedupe horizon, and gives up the tokens of links that
//! were replaced.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::linking::Linking;
use crate::store::{self, Fence, Store};

/// How often it is done.
const EVERY: Duration = Duration::from_mins(1);

/// Calls that are forgotten in one transaction.
const PAGE: u32 = 1000;

/// Keeps the house.
pub struct Housekeeper {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Gives tokens up.
    pub linking: Arc<Linking>,
    /// Our shards: each replaced link is given up by one worker.
    pub owned: watch::Receiver<Vec<Fence>>,
    /// Calls first heard of longer ago than this are forgotten: the dedupe horizon, and as much
    /// longer as an event may run ahead of the clock.
    pub forget_after: Duration,
}

impl Housekeeper {
    /// Keeps the house until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.step(&cancel).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "housekeeping is put off");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Forgets what is due, and gives up what is replaced.
    async fn step(&self, cancel: &CancellationToken) -> store::Result<()> {
        let before = clock::now() - self.forget_after;
        while !cancel.is_cancelled() {
            let forgotten = self.store.forget(before, PAGE).await?;
            if forgotten < u64::from(PAGE) {
                break;
            }
        }
        let shards: Vec<_> = self
            .owned
            .borrow()
            .iter()
            .map(|fence| fence.shard)
            .collect();
        self.linking.give_up_retired(&shards, cancel).await
    }
}
