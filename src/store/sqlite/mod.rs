//! The store on a SQLite file: evaluation and small sites, one worker on one machine.
//!
//! **One writer.** A transaction that writes begins as `immediate`: from then to its end no other
//! writes, in this process or another. So nothing needs to be locked row by row, and what was read
//! in it stays so. This process writes by one connection, and so waits in order; others are waited
//! for by SQLite itself. Readers see the last commit, and neither wait nor keep anybody waiting.
//!
//! **The clock** is this machine's: there is no other that has the file. It is asked once in a
//! transaction, when that has the file for itself, so that nobody can take over what is compared
//! with it before the transaction ends.
//!
//! **Batches** are one statement each, over `json_each` of one text. Bytes, which JSON cannot
//! hold, come beside it as one value, which the statement cuts.

mod append;
mod attempts;
mod bodies;
pub(super) mod errors;
mod fence;
mod fold;
mod grants;
mod inbox;
mod leases;
mod links;
mod listen;
mod lock;
mod lookups;
mod outbox;
mod outcomes;
mod reports;
mod retention;
mod schema;
mod values;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use lock::Alone;

use super::{Config, Result};
use crate::clock;

/// A transaction that writes.
struct Tx {
    /// The driver's; it is rolled back when it is dropped.
    inner: sqlx::Transaction<'static, sqlx::Sqlite>,
    /// When it got the file for itself: what all its rows are stamped with.
    now: DateTime<Utc>,
}

impl Tx {
    /// When it began, as a column holds it.
    const fn micros(&self) -> i64 {
        self.now.timestamp_micros()
    }

    /// Makes it durable.
    async fn commit(self) -> Result<()> {
        Ok(self.inner.commit().await?)
    }
}

/// The store on a SQLite file. Cheap to share: every room uses the same connections.
#[derive(Clone, Debug)]
pub struct Sqlite {
    /// The file.
    path: PathBuf,
    /// The one connection that writes.
    writer: SqlitePool,
    /// Those that only read.
    readers: SqlitePool,
    /// Names this store in the wakes that it sends, so that its own listeners leave them out.
    origin: String,
    /// How long after `send_by` the answer of a token refresh may still come.
    refresh_answer_timeout: Duration,
}

impl Sqlite {
    /// Opens a file that is there; see [`Sqlite::migrate`] for how it is made.
    pub async fn open(path: &Path, config: &Config) -> Result<Self> {
        if !path.exists() {
            let advice = "there is no such file: `vcc-link migrate` makes it, or correct store.url";
            return Err(errors::of_file(path, advice));
        }
        let options = options(path, config);
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(config.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let writer = pool.clone().max_connections(1);
        let writer = writer.connect_with(options.clone()).await;
        let writer = writer.map_err(|error| errors::of_opening(path, error))?;
        let readers = pool
            .max_connections(config.max_connections)
            .connect_lazy_with(options.pragma("query_only", "on"));
        Ok(Self {
            path: path.to_owned(),
            writer,
            readers,
            origin: uuid::Uuid::new_v4().simple().to_string(),
            refresh_answer_timeout: config.refresh_answer_timeout,
        })
    }

    /// Makes sure that no other process works on the file, until what this gives is dropped.
    pub fn alone(&self) -> Result<Alone> {
        Alone::on(&self.path)
    }

    /// Closes the connections, once those in use are given back.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<Tx> {
        let inner = self.writer.begin_with("begin immediate").await?;
        // As exact as a column, so that what is given is what is stored.
        let now = clock::now().trunc_subsecs(6);
        Ok(Tx { inner, now })
    }
}

/// How every connection is set up. What is answered as durable is durable: the log is synced at
/// every commit (`full`), and readers go on meanwhile (`wal`).
fn options(path: &Path, config: &Config) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(config.acquire_timeout)
}
