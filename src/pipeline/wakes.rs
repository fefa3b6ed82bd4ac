//! Wakes: what other processes left for us, heard as soon as the database tells.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::engine::Input;
use crate::store::Store;
use crate::store::until_stored;

/// How long one wait lasts at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// Hears wakes and passes them on.
pub struct Wakes {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// To the engine.
    pub inputs: mpsc::Sender<Input>,
    /// To the heartbeat: shards may have been given up.
    pub beat_now: Arc<Notify>,
    /// To the relay: something may have been written.
    pub published: Arc<Notify>,
    /// To those who look over tokens: links have changed.
    pub tokens: Arc<Notify>,
}

impl Wakes {
    /// Listens until cancelled. Wakes that are lost are made up for by the slow polls behind them.
    pub async fn run(self, cancel: CancellationToken) {
        let Some(Ok(mut listener)) = until_stored(&cancel, "listen", || self.store.listen()).await
        else {
            return;
        };
        while !cancel.is_cancelled() {
            let wake = tokio::select! {
                () = cancel.cancelled() => return,
                wake = listener.next(PATIENCE) => wake,
            };
            if !wake.released.is_empty() {
                self.beat_now.notify_one();
            }
            if wake.shards.is_empty() && wake.accounts.is_empty() {
                continue;
            }
            self.published.notify_one();
            if !wake.accounts.is_empty() {
                self.tokens.notify_one();
            }
            let input = Input::Woken {
                shards: wake.shards,
                accounts: wake.accounts,
            };
            // Without a driver nobody is left to wake.
            let _ = self.inputs.send(input).await;
        }
    }
}
