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

mod account_keys;
mod append;
mod attempts;
mod audit;
mod authorizations;
mod bodies;
mod contacts;
pub(super) mod errors;
mod fence;
mod fold;
mod grants;
mod inbox;
mod invitations;
mod leases;
mod links;
mod listen;
mod lock;
mod lookups;
mod notices;
mod outbox;
mod outcomes;
mod pauses;
mod privacy;
mod profiles;
mod recovery;
mod replays;
mod reports;
mod retention;
mod rings;
mod schema;
mod values;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

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
        schema::check_owner(path).await?;
        let options = options(path, config);
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(config.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let writer = pool
            .clone()
            .max_connections(1)
            .after_release(|connection, _| Box::pin(is_at_rest(connection)))
            .connect_with(options.clone())
            .await;
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

/// Whether a connection is in no transaction, once it has rolled back what was left. SQLite ends a
/// transaction itself on a full disk and some other faults; the driver then fails to roll it back,
/// takes it for open, and would begin no other on that connection.
async fn is_at_rest(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::store::inbox::{Advance, IngestBatch, Partition, QuarantineRow};
    use crate::store::recovery::{Standing, Witness};
    use crate::store::{Error, Inbox as _, Recovery as _, Sealed};

    /// A batch of one quarantined record.
    fn batch(offset: i64, bytes: usize) -> IngestBatch {
        let partition = Partition {
            topic: "vcc.calls".to_owned(),
            partition: 0,
        };
        let record = QuarantineRow {
            partition: partition.clone(),
            offset,
            received_at: DateTime::UNIX_EPOCH,
            reason: "not JSON".to_owned(),
            body: Sealed(vec![7; bytes]),
        };
        IngestBatch {
            quarantined: vec![record],
            offsets: vec![Advance {
                partition,
                from: None,
                next: offset + 1,
            }],
            ..IngestBatch::default()
        }
    }

    /// An empty database in a folder.
    async fn store(folder: &tempfile::TempDir) -> Sqlite {
        let path = folder.path().join("calls.db");
        let config = Config::default();
        Sqlite::migrate(&path, &config).await.expect("migrate");
        let store = Sqlite::open(&path, &config).await.expect("open");
        let standing = store.recognise(&Witness::default()).await;
        assert_eq!(standing.expect("recognise"), Standing::Recognised);
        store
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_is_outlived() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let mut tx = store.begin().await.expect("begin");
        sqlx::query("rollback")
            .execute(&mut *tx.inner)
            .await
            .expect("ended");
        drop(tx);
        store.append(&batch(0, 10)).await.expect("append");
        store.close().await;
    }

    #[tokio::test]
    async fn a_refusal_tells_the_rule_and_not_the_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let refused = sqlx::query("insert into leases (shard, owner) values (999, 'Ada')")
            .execute(&store.writer)
            .await;
        let error = Error::from(refused.expect_err("there are 256 shards"));
        assert!(
            matches!(&error, Error::Refused { rule, .. } if rule.contains("shard between 0 and 255")),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("Ada"), "{error:?}");
        store.close().await;
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_outlived() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        store.append(&batch(0, 10)).await.expect("room");
        sqlx::query("pragma max_page_count = 1")
            .execute(&store.writer)
            .await
            .expect("set");
        for _ in 0..3 {
            let full = store.append(&batch(1, 5_000_000)).await;
            let error = full.expect_err("no room");
            assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
            let cause = error.source().map(ToString::to_string);
            assert!(cause.expect("a cause").starts_with("make room on the disk"));
        }
        sqlx::query("pragma max_page_count = 1000000")
            .execute(&store.writer)
            .await
            .expect("set");
        store.append(&batch(1, 5_000_000)).await.expect("room");
        let partition = batch(0, 0).offsets.remove(0).partition;
        let offsets = store.offsets(&[partition]).await;
        assert_eq!(offsets.expect("offsets"), [Some(2)]);
        store.close().await;
    }
}
