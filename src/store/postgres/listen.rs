//! Wakes from other processes, by `listen`.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Instant, timeout_at};

use super::fence::CHANNEL;
use super::{Postgres, Result};
use crate::store::inbox::{Wake, WakeListener};
use crate::store::wakes::Gathered;

/// How long to wait before connecting again, after the database did not let us.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A listener on a connection of its own: waiting takes none from the pool.
struct Listener {
    /// Reconnects and subscribes again by itself.
    inner: PgListener,
    /// The store's name: what it handed over itself is left out.
    origin: String,
}

impl Postgres {
    /// Subscribes to wakes.
    pub(super) async fn subscribe(&self) -> Result<Box<dyn WakeListener>> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(self.options.clone())
            .await?;
        let mut inner = PgListener::connect_with(&pool).await?;
        inner.ignore_pool_close_event(true);
        inner.listen(CHANNEL).await?;
        Ok(Box::new(Listener {
            inner,
            origin: self.origin.clone(),
        }))
    }
}

#[async_trait]
impl WakeListener for Listener {
    async fn next(&mut self, patience: Duration) -> Wake {
        let deadline = Instant::now() + patience;
        let mut gathered = Gathered::default();
        while let Ok(received) = timeout_at(deadline, self.inner.recv()).await {
            match received {
                Ok(notification) => {
                    gathered.read(notification.payload(), &self.origin);
                    while let Some(more) = self.inner.next_buffered() {
                        gathered.read(more.payload(), &self.origin);
                    }
                    // What comes from the own store alone is no wake.
                    if !gathered.is_empty() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the listener cannot connect; it tries again");
                    tokio::time::sleep_until(deadline.min(Instant::now() + RECONNECT_AFTER)).await;
                }
            }
        }
        gathered.into_wake()
    }
}
