//! Wakes, from any process that has the file: read from a table, as SQLite calls nobody.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlitePool;
use tokio::time::{Instant, sleep_until};

use super::{Result, Sqlite};
use crate::store::inbox::{Wake, WakeListener};
use crate::store::values::{number, text};
use crate::store::wakes::Gathered;

/// How often it is looked: what is told here is news of another process or of a link, and an empty
/// look takes some 0.1 ms.
const EVERY: Duration = Duration::from_millis(100);

/// Reads on from the last wake that it has read.
struct Listener {
    /// Where it reads.
    readers: SqlitePool,
    /// The last wake that it has read.
    last: i64,
    /// The store's name: what it handed over itself is left out.
    origin: String,
}

impl Sqlite {
    /// Listens from now on.
    pub(super) async fn subscribe(&self) -> Result<Box<dyn WakeListener>> {
        let last = sqlx::query_scalar("select coalesce(max(wake), 0) from wakes")
            .fetch_one(&self.readers)
            .await?;
        Ok(Box::new(Listener {
            readers: self.readers.clone(),
            last,
            origin: self.origin.clone(),
        }))
    }
}

impl Listener {
    /// What has been told since the last look.
    async fn look(&mut self) -> Result<Gathered> {
        let rows = sqlx::query("select wake, payload from wakes where wake > $1 order by wake")
            .bind(self.last)
            .fetch_all(&self.readers)
            .await?;
        let mut gathered = Gathered::default();
        for row in &rows {
            self.last = number(row, "wake")?;
            gathered.read(text(row, "payload")?, &self.origin);
        }
        Ok(gathered)
    }
}

#[async_trait]
impl WakeListener for Listener {
    async fn next(&mut self, patience: Duration) -> Wake {
        let deadline = Instant::now() + patience;
        loop {
            match self.look().await {
                Ok(gathered) if !gathered.is_empty() => return gathered.into_wake(),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "wakes cannot be read; it is tried again"),
            }
            let next = Instant::now() + EVERY;
            if next > deadline {
                sleep_until(deadline).await;
                return Wake::default();
            }
            sleep_until(next).await;
        }
    }
}
