//! Housekeeping: drops what is older than the settings say, and gives up the tokens of links that
//! were replaced.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::retention;
use crate::clock;
use crate::domain::ids::ShardId;
use crate::linking::Linking;
use crate::store::{self, Fence, Store};

/// How often it is done.
const EVERY: Duration = Duration::from_mins(1);

/// What is forgotten in one transaction.
const PAGE: u32 = 1000;

/// Whose owner does what one process suffices for.
const ALL: ShardId = ShardId(0);

/// Keeps the house.
pub struct Housekeeper {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Gives tokens up.
    pub linking: Arc<Linking>,
    /// Our shards: each replaced link is given up by one worker.
    pub owned: watch::Receiver<Vec<Fence>>,
    /// How long what is kept.
    pub retention: retention::Config,
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
        let shards: Vec<_> = self
            .owned
            .borrow()
            .iter()
            .map(|fence| fence.shard)
            .collect();
        self.linking.give_up_retired(&shards, cancel).await?;
        if shards.contains(&ALL) {
            self.forget(cancel).await?;
        }
        Ok(())
    }

    /// Forgets page by page.
    async fn forget(&self, cancel: &CancellationToken) -> store::Result<()> {
        let now = clock::now();
        let (content, ledger) = (now - self.retention.content, now - self.retention.ledger);
        let quarantine = now - self.retention.quarantine;
        let store = &self.store;
        until_done(cancel, || store.forget(ledger, PAGE)).await?;
        until_done(cancel, || store.forget_published(ledger, PAGE)).await?;
        until_done(cancel, || store.forget_quarantined(quarantine, PAGE)).await?;
        until_done(cancel, || store.strip(content, PAGE)).await?;
        let mut more = true;
        while more && !cancel.is_cancelled() {
            more = store.drop_bodies(content.date_naive()).await?;
        }
        Ok(())
    }
}

/// Repeats a page until it is not full.
async fn until_done<F>(cancel: &CancellationToken, mut page: impl FnMut() -> F) -> store::Result<()>
where
    F: Future<Output = store::Result<u64>>,
{
    while !cancel.is_cancelled() && page().await? >= u64::from(PAGE) {}
    Ok(())
}
