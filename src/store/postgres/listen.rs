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
        Ok(Box::new(Listener { inner }))
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
                    gathered.read(notification.payload());
                    while let Some(more) = self.inner.next_buffered() {
                        gathered.read(more.payload());
                    }
                    break;
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
    /// Accounts whose link changed.
    accounts: BTreeSet<crate::domain::ids::AccountId>,
}

impl Gathered {
    /// Takes a payload in; what is not understood is left out, as a wake is only a hint.
    fn read(&mut self, payload: &str) {
        let (shards, accounts) = payload.split_once(';').unwrap_or_default();
        self.shards.extend(
            shards
                .split(',')
                .filter_map(|s| s.parse().ok())
                .map(ShardId),
        );
        self.accounts
            .extend(accounts.split(',').filter_map(|a| a.parse().ok()));
    }

    /// The wake.
    fn into_wake(self) -> Wake {
        Wake {
            shards: self.shards.into_iter().collect(),
            accounts: self.accounts.into_iter().collect(),
        }
    }
}
