//! The store on PostgreSQL: production, any number of replicas.
//!
//! **One order of locks**, so that transactions wait for each other and never in a circle:
//! leases, then accounts, then calls (each sorted), then attempts, then the outbox. Whoever locks
//! calls has locked their accounts first, in key-share mode: a link that moves an account to
//! another shard takes that row exclusively, and so finds no call half-way.
//!
//! **Fencing** takes the lease row in key-share mode. A heartbeat that extends the lease does not
//! wait for it; one that takes the shard over locks the row exclusively and does, so whoever
//! compared the epoch commits before anybody else can own the shard.
//!
//! **Clocks.** Expiry is asked of `clock_timestamp()`, the time now; `now()` is the time at which
//! the transaction began, and is what one transaction stamps all its rows with.
//!
//! **Batches** are one statement each, over `unnest` of columns: their text, and so their plan,
//! does not depend on how many rows there are.

mod account_keys;
mod append;
mod attempts;
mod audit;
mod authorizations;
mod bodies;
mod contacts;
pub mod durability;
pub(super) mod errors;
mod fence;
mod fold;
mod grants;
mod inbox;
mod invitations;
mod leases;
mod links;
mod listen;
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
mod session;
mod values;
mod work;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use self::session::{Pool, Session, Tx};
use super::{Config, Error, Result};

/// Connections for leases at most: one for each heartbeat that may wait for its answer.
const BEATS: u32 = 3;

/// The store on PostgreSQL. Cheap to share: every room but the leases' uses one pool.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// The connections of all rooms but the leases', and of all but the listener, which has its own.
    pool: Pool,
    /// The connections of heartbeats: however long other work waits for its turn, a lease is kept.
    beats: Pool,
    /// How to connect, for the listener and for migrations.
    options: PgConnectOptions,
    /// Names this store in the wakes that it sends, so that its own listeners leave them out.
    origin: String,
    /// How long after `send_by` the answer of a token refresh may still come.
    refresh_answer_timeout: Duration,
}

impl Postgres {
    /// Connects, so that a wrong address or password is told at once. Later losses of the
    /// connection are mended by the pool.
    pub async fn connect(config: &Config) -> Result<Self> {
        let options = options(config)?;
        let pool = Pool::options(config.acquire_timeout)
            .max_connections(config.max_connections)
            .connect_with(options.clone())
            .await?;
        let beats = Pool::options(config.acquire_timeout)
            .max_connections(BEATS)
            .connect_lazy_with(options.clone());
        Ok(Self {
            pool: Pool::new(pool, config.statement_timeout),
            beats: Pool::new(beats, config.statement_timeout),
            options,
            origin: uuid::Uuid::new_v4().simple().to_string(),
            refresh_answer_timeout: config.refresh_answer_timeout,
        })
    }

    /// Brings the schema up to this binary's version. Running it again, or from several processes
    /// at once, does nothing more; a schema that a later release made is left as it is.
    pub async fn migrate(&self) -> Result<()> {
        let no_timeout = self.options.clone().options([("statement_timeout", "0")]);
        let mut connection = PgConnection::connect_with(&no_timeout).await?;
        let migrated = migrator().run(&mut connection).await;
        migrated.map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) => Error::from(error),
            error => Error::Other(Box::new(error)),
        })?;
        connection.close().await?;
        Ok(())
    }

    /// Closes the connections, once those in use are given back.
    pub async fn close(&self) {
        self.beats.close().await;
        self.pool.close().await;
    }

    /// Begins a transaction.
    async fn begin(&self) -> Result<Tx> {
        self.pool.begin().await
    }

    /// Begins a transaction about leases.
    async fn begin_beat(&self) -> Result<Tx> {
        self.beats.begin().await
    }
}

/// The migrations that this binary knows. Those that only a later release knows are accepted, as
/// they only add, and during an update both releases run.
fn migrator() -> sqlx::migrate::Migrator {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    migrator.set_ignore_missing(true);
    migrator
}

/// How every session is set up.
fn options(config: &Config) -> Result<PgConnectOptions> {
    let options: PgConnectOptions = config.url.expose_secret().parse()?;
    let millis = |time: Duration| time.as_millis().to_string();
    Ok(options.application_name("vcc-link").options([
        // What is answered as durable is durable, whatever the server's default.
        ("synchronous_commit", "on".to_owned()),
        ("statement_timeout", millis(config.statement_timeout)),
        (
            "idle_in_transaction_session_timeout",
            millis(config.idle_in_transaction_timeout),
        ),
    ]))
}
