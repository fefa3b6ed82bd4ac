//! Wakes from other processes, by `listen`.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::fence::CHANNEL;
use super::{Postgres, Result};
use crate::store::inbox::{Wake, WakeListener};
use crate::store::wakes::Gathered;

/// How long to wait before connecting again, after the database did not let us.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// How long nothing may be heard before the connection has to show that it is well: one that the
/// network forgot is as silent as one on which nothing is told.
const SILENCE: Duration = Duration::from_secs(3);

/// How long that may take, and connecting.
const WELL_WITHIN: Duration = Duration::from_secs(5);

/// A listener on a connection of its own: waiting takes none from the pool.
struct Listener {
    /// How to connect.
    options: PgConnectOptions,
    /// The connection, unless it was lost.
    connection: Option<PgListener>,
    /// When it last showed that it is well.
    well_at: Instant,
    /// The store's name: what it handed over itself is left out.
    origin: String,
}

impl Postgres {
    /// Subscribes to wakes.
    pub(super) async fn subscribe(&self) -> Result<Box<dyn WakeListener>> {
        Ok(Box::new(Listener {
            options: self.options.clone(),
            connection: Some(connect(&self.options).await?),
            well_at: Instant::now(),
            origin: self.origin.clone(),
        }))
    }
}

/// A connection that is subscribed. It does not connect again by itself: who does must know that
/// wakes were lost.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(WELL_WITHIN)
        .connect_with(options.clone())
        .await?;
    let mut connection = PgListener::connect_with(&pool).await?;
    connection.ignore_pool_close_event(true);
    connection.eager_reconnect(false);
    connection.listen(CHANNEL).await?;
    Ok(connection)
}

impl Listener {
    /// Connects again, however long `deadline` would let it: what is given up too early never
    /// ends. As nobody knows what was told meanwhile, all shards are woken.
    async fn reconnect(&mut self, deadline: Instant) -> Wake {
        let mut gathered = Gathered::default();
        let connected = timeout(WELL_WITHIN, connect(&self.options)).await;
        match connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Ok(connection) => {
                self.connection = Some(connection);
                self.well_at = Instant::now();
                gathered.all_shards();
            }
            Err(error) => {
                tracing::debug!(%error, "the listener cannot connect; it tries again");
                sleep_until(deadline.min(Instant::now() + RECONNECT_AFTER)).await;
            }
        }
        gathered.into_wake()
    }
}

/// What a connection tells until then; `None` if it is lost. What comes from the own store alone is
/// no wake.
async fn hear(connection: &mut PgListener, origin: &str, deadline: Instant) -> Option<Gathered> {
    let mut gathered = Gathered::default();
    while gathered.is_empty() {
        let Ok(received) = timeout_at(deadline, connection.try_recv()).await else {
            break;
        };
        gathered.read(received.ok()??.payload(), origin);
        while let Some(more) = connection.next_buffered() {
            gathered.read(more.payload(), origin);
        }
    }
    Some(gathered)
}

#[async_trait]
impl WakeListener for Listener {
    async fn next(&mut self, patience: Duration) -> Wake {
        let deadline = Instant::now() + patience;
        let Some(connection) = &mut self.connection else {
            return self.reconnect(deadline).await;
        };
        let heard = hear(connection, &self.origin, deadline).await;
        let well = match &heard {
            Some(gathered) if !gathered.is_empty() => true,
            Some(_) if self.well_at.elapsed() < SILENCE => return Wake::default(),
            Some(_) => {
                let asked = timeout(WELL_WITHIN, connection.execute("select 1")).await;
                matches!(asked, Ok(Ok(_)))
            }
            None => false,
        };
        if well {
            self.well_at = Instant::now();
        } else {
            tracing::debug!("the listener lost its connection");
            self.connection = None;
        }
        heard.unwrap_or_default().into_wake()
    }
}
