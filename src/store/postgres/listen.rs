//! Wakes from other processes, by `listen`.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Instant, timeout_at};

use super::fence::CHANNEL;
use super::{Postgres, Result};
use crate::domain::ids::ShardId;
use crate::store::inbox::{Wake, WakeListener};

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

/// Wakes that came together, each shard and account once.
#[derive(Default)]
struct Gathered {
    /// Shards with work that their owner has not seen.
    shards: BTreeSet<ShardId>,
    /// Shards that were given up.
    released: BTreeSet<ShardId>,
    /// Accounts whose link changed.
    accounts: BTreeSet<crate::domain::ids::AccountId>,
}

impl Gathered {
    /// Takes a payload in, unless it comes from the listener's own store; what is not understood
    /// is left out, as a wake is only a hint.
    fn read(&mut self, payload: &str, own: &str) {
        let mut parts = payload.split(';');
        let mut part = || parts.next().unwrap_or_default();
        let (shards, accounts, released, origin) = (part(), part(), part(), part());
        if origin == own {
            return;
        }
        let read = |shards: &str| -> Vec<ShardId> {
            let shards = shards.split(',').filter_map(|s| s.parse().ok());
            shards.map(ShardId).collect()
        };
        self.shards.extend(read(shards));
        self.released.extend(read(released));
        self.accounts
            .extend(accounts.split(',').filter_map(|a| a.parse().ok()));
    }

    /// Whether nothing was told.
    fn is_empty(&self) -> bool {
        self.shards.is_empty() && self.released.is_empty() && self.accounts.is_empty()
    }

    /// The wake.
    fn into_wake(self) -> Wake {
        Wake {
            shards: self.shards.into_iter().collect(),
            released: self.released.into_iter().collect(),
            accounts: self.accounts.into_iter().collect(),
        }
    }
}
