//! The connections of heartbeats.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::{Result, Tx};

/// A transaction that is being begun.
type Beginning = BoxFuture<'static, Result<Tx>>;

/// Connections of which a heartbeat is never in want, however slowly they are made.
///
/// A heartbeat is given up after a while, and a connection takes several answers: after a failover
/// all are made anew, by all workers at once. So what a heartbeat began that was given up is gone on
/// with by the next; begun anew each time it would never be done.
#[derive(Clone)]
pub(super) struct Beats {
    /// The driver's.
    pool: PgPool,
    /// What was begun last, unless it is done.
    beginning: Arc<Mutex<Option<Beginning>>>,
}

impl Beats {
    /// On these connections.
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            beginning: Arc::default(),
        }
    }

    /// Begins a transaction, or goes on beginning the one of a caller that was dropped.
    pub(super) async fn begin(&self) -> Result<Tx> {
        let mut beginning = self.beginning.lock().await;
        let pool = self.pool.clone();
        let begun = beginning
            .get_or_insert_with(|| async move { Ok(pool.begin().await?) }.boxed())
            .await;
        *beginning = None;
        begun
    }

    /// Closes the connections, once those in use are given back.
    pub(super) async fn close(&self) {
        // It may hold one.
        *self.beginning.lock().await = None;
        self.pool.close().await;
    }
}

impl fmt::Debug for Beats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Beats").field(&self.pool).finish()
    }
}
