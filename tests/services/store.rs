//! The store's conformance suites on PostgreSQL, and what only PostgreSQL can do wrong.
//!
//! Each test makes a database of its own on the server that `VCC_LINK_TEST_DATABASE_URL` names (a
//! user who may create databases: `postgres://user@127.0.0.1:5432/postgres`), and drops it.

#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "network.rs"]
mod network;
#[path = "plans.rs"]
mod plans;
#[path = "restored.rs"]
mod restored;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use conformance::Harness;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use vcc_link::domain::ids::{SHARDS, ShardId};
use vcc_link::store::inbox::Wake;
use vcc_link::store::postgres::Postgres;
use vcc_link::store::{
    Config, Error, Inbox as _, Journal as _, Leases as _, Reports as _, Store, Written,
};

/// A database of one test.
struct Database {
    /// Where the databases are made.
    admin_url: String,
    /// Its name.
    name: String,
    /// How to open it.
    config: Config,
    /// It, open.
    store: Postgres,
}

impl Database {
    /// Makes an empty database, with its schema.
    async fn create() -> Self {
        let database = Self::create_without_schema().await;
        database.store.migrate().await.expect("migrate");
        database
    }

    /// Makes a database without a schema.
    async fn create_without_schema() -> Self {
        let admin_url = std::env::var("VCC_LINK_TEST_DATABASE_URL")
            .expect("set VCC_LINK_TEST_DATABASE_URL, or run `make test`, which does");
        let name = format!("vcc_link_test_{}", uuid::Uuid::new_v4().simple());
        execute(&admin_url, format!("create database {name}")).await;
        let mut url = url::Url::parse(&admin_url).expect("VCC_LINK_TEST_DATABASE_URL is a URL");
        url.set_path(&name);
        let config = Config {
            url: SecretString::from(url.to_string()),
            max_connections: 4,
            refresh_answer_timeout: Duration::ZERO,
            ..Config::default()
        };
        let store = Postgres::connect(&config).await.expect("connect");
        Self {
            admin_url,
            name,
            config,
            store,
        }
    }

    /// Runs a statement in it.
    async fn execute(&self, sql: &str) {
        execute(self.config.url.expose_secret(), sql.to_owned()).await;
    }

    /// A connection of the test's own.
    async fn connection(&self) -> PgConnection {
        let url = self.config.url.expose_secret();
        PgConnection::connect(url).await.expect("connect")
    }

    /// Returns once so many transactions wait for another's lock; panics after half a minute without.
    async fn wait_for_waiting_transactions(&self, wanted: i64) {
        let mut connection = self.connection().await;
        let deadline = Instant::now() + Duration::from_secs(30);
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(&mut connection)
            .await
            .expect("asked")
            < wanted
        {
            assert!(Instant::now() < deadline, "too few wait");
        }
    }

    /// Drops it, whoever is connected.
    async fn remove(&self) {
        self.store.close().await;
        execute(
            &self.admin_url,
            format!("drop database {} with (force)", self.name),
        )
        .await;
    }
}

/// Runs one statement on a connection of its own.
async fn execute(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.expect("connect");
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .expect("execute");
    connection.close().await.expect("close");
}

#[async_trait]
impl Harness for Database {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn other(&self) -> Arc<dyn Store> {
        Arc::new(Postgres::connect(&self.config).await.expect("connect"))
    }
}

/// Runs a test on a database of its own. A test that fails leaves its database for a look.
async fn on_postgres(test: impl FnOnce(Arc<dyn Harness>) -> BoxFuture<'static, ()>) {
    let database = Arc::new(Database::create().await);
    test(Arc::clone(&database) as Arc<dyn Harness>).await;
    database.remove().await;
}

conformance::conformance_tests!(crate::store::on_postgres);

/// A database without the schema is told from one that is away, and what to do is said.
#[tokio::test]
async fn a_missing_schema_is_told() {
    let database = Database::create_without_schema().await;
    let missing = database
        .store
        .check()
        .await
        .expect_err("there is no schema");
    assert!(
        matches!(missing, Error::Schema { found: 0, .. }),
        "{missing:?}"
    );
    for _ in 0..2 {
        database.store.migrate().await.expect("migrate");
    }
    database.store.check().await.expect("check");
    database.remove().await;
}

/// A row that the database refuses takes its whole batch back, and its content is not repeated.
#[tokio::test]
async fn a_refused_row_takes_its_batch_back() {
    use conformance::fixture::{at, ended, give_keys};
    use vcc_link::store::Recovery as _;
    use vcc_link::store::inbox::{Advance, IngestBatch, Partition, QuarantineRow};
    use vcc_link::store::recovery::{Standing, Witness};
    use vcc_link::store::reports::CallFilter;
    let database = Database::create().await;
    let standing = database.store.recognise(&Witness::default()).await;
    assert_eq!(standing.expect("recognise"), Standing::Recognised);
    let partition = Partition {
        topic: "vcc.calls".to_owned(),
        partition: 0,
    };
    let poison = QuarantineRow {
        partition: partition.clone(),
        offset: 1,
        received_at: at(0),
        reason: "Ada\0Lovelace".to_owned(),
        body: vcc_link::store::Sealed(Vec::new()),
    };
    let batch = IngestBatch {
        calls: vec![ended("acme", "c", 0)],
        quarantined: vec![poison],
        offsets: vec![Advance {
            partition: partition.clone(),
            from: None,
            next: 2,
        }],
    };
    give_keys(&database.store, &batch.calls).await;
    let refused = database
        .store
        .append(&batch)
        .await
        .expect_err("PostgreSQL's text has no NUL");
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    assert!(!format!("{refused:?}").contains("Ada"));
    assert_eq!(
        database.store.offsets(&[partition]).await.expect("offsets"),
        [None]
    );
    assert_eq!(
        database
            .store
            .list_calls(&CallFilter::default())
            .await
            .expect("list"),
        []
    );
    database.remove().await;
}

/// A day's partition is dropped once it is old, and the bodies of calls that are kept are not.
#[tokio::test]
async fn an_old_day_is_dropped_and_the_bodies_of_kept_calls_stay() {
    use chrono::NaiveDate;
    use conformance::fixture::{Fixture, call_id, created, ended, far_ahead};
    let database = Database::create().await;
    let fixture = Fixture::new(&database).await;
    let mut connection = database.connection().await;
    let mut partitions = async || {
        let sql = "select count(*) from pg_inherits where inhparent = 'call_bodies'::regclass";
        sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(&mut connection)
            .await
            .expect("count")
    };
    let drop_days = async || {
        while fixture
            .store
            .drop_bodies(NaiveDate::MAX)
            .await
            .expect("drop")
        {}
    };
    let bodies = async |call| {
        let stored = fixture.store.calls(&[call_id("acme", call)]).await;
        let stored = stored.expect("calls");
        stored.into_iter().next().map(|c| c.ended.is_some())
    };
    fixture.link("acme").await;
    for kept in ["first", "second"] {
        fixture
            .append(vec![ended("acme", "over", 0), ended("acme", kept, 0)])
            .await;
        assert_eq!(partitions().await, 2, "the day's, and that of what is kept");
        fixture.log("acme", "over").await;
        fixture.store.forget(far_ahead(), 9).await.expect("forget");
        drop_days().await;
        assert_eq!(partitions().await, 1);
        assert_eq!(bodies("over").await, None);
        assert_eq!(bodies(kept).await, Some(true));
        // A later revision finds its place, too.
        fixture.append(vec![ended("acme", kept, 1)]).await;
        let begun = fixture.begin("acme", kept, 1).await;
        let row = fixture.outcome(&begun, 1, created()).await;
        assert_eq!(fixture.record(&row).await, Written::Yes);
        fixture.store.forget(far_ahead(), 9).await.expect("forget");
        assert_eq!(bodies(kept).await, None);
    }
    let left: i64 = sqlx::query_scalar("select count(*) from call_bodies")
        .fetch_one(&mut database.connection().await)
        .await
        .expect("count");
    assert_eq!(left, 0);
    database.remove().await;
}

#[tokio::test]
async fn a_write_waits_for_a_takeover() {
    use conformance::fixture::{Fixture, created, ended};
    let database = Database::create().await;
    let fixture = Fixture::new(&database).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    let row = fixture.outcome(&begun, 0, created()).await;

    let mut other = database.connection().await;
    let mut takeover = other.begin().await.expect("begin");
    sqlx::query("select from leases where shard = $1 for update")
        .bind(i16::try_from(row.fence.shard.0).expect("there are 256 shards"))
        .execute(&mut *takeover)
        .await
        .expect("lock");
    let commit = async {
        database.wait_for_waiting_transactions(1).await;
        sqlx::query("update leases set epoch = epoch + 1")
            .execute(&mut *takeover)
            .await
            .expect("take");
        takeover.commit().await.expect("commit");
    };
    let (written, ()) = tokio::join!(fixture.record(&row), commit);
    assert_eq!(written, Written::Stale);
    assert_eq!(fixture.open_attempts(row.fence.shard).await.len(), 1);
    database.remove().await;
}

/// A heartbeat passes over a shard whose owner is about to commit.
#[tokio::test]
async fn a_takeover_passes_over_a_shard_in_use() {
    use conformance::fixture::Fixture;
    let database = Database::create().await;
    let fixture = Fixture::new(&database).await;
    let (old, new) = (
        "worker-1".parse().expect("id"),
        "worker-2".parse().expect("id"),
    );
    let store = &fixture.store;
    store.beat(&old, Duration::ZERO, 0).await.expect("beat");
    let mut owner = database.connection().await;
    let mut write = owner.begin().await.expect("begin");
    sqlx::query("select from leases where shard = 7 for key share")
        .execute(&mut *write)
        .await
        .expect("lock");
    let ttl = Duration::from_mins(10);
    assert_eq!(
        store.beat(&new, ttl, 256).await.expect("beat").owned.len(),
        255
    );
    write.commit().await.expect("commit");
    assert_eq!(
        store.beat(&new, ttl, 256).await.expect("beat").owned.len(),
        256
    );
    database.remove().await;
}

/// A worker keeps its leases however long its other work waits.
#[tokio::test]
async fn a_heartbeat_waits_for_no_other_work() {
    let database = Database::create().await;
    let mut other = database.connection().await;
    let mut lock = other.begin().await.expect("begin");
    sqlx::query("lock table attempts in access exclusive mode")
        .execute(&mut *lock)
        .await
        .expect("lock");
    let connections = database.config.max_connections;
    let reads = (0..connections).map(|_| {
        let store = database.store.clone();
        async move { store.open_attempts(ShardId(0)).await }
    });
    let reads: tokio::task::JoinSet<_> = reads.collect();
    database
        .wait_for_waiting_transactions(connections.into())
        .await;
    let replica = "worker-1".parse().expect("id");
    let beat = database.store.beat(&replica, Duration::from_mins(1), 256);
    assert_eq!(beat.await.expect("beat").owned.len(), 256);
    lock.rollback().await.expect("rollback");
    for read in reads.join_all().await {
        assert_eq!(read.expect("read"), []);
    }
    database.remove().await;
}

/// A lost connection is told as unavailable at most once, and mended.
#[tokio::test]
async fn a_lost_connection_is_mended() {
    let database = Database::create().await;
    let mut listener = database.store.listen().await.expect("listen");
    database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    let mut lost = 0;
    while let Err(error) = database.store.check().await {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        lost += 1;
        assert!(lost <= 4, "one for each connection of the pool");
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut hear = async || loop {
        let wake = listener.next(Duration::from_secs(1)).await;
        if wake != Wake::default() {
            return wake;
        }
        assert!(Instant::now() < deadline, "the listener hears nothing");
    };
    // What was told while nobody heard is not known: all are woken.
    let all: Vec<ShardId> = (0..SHARDS).map(ShardId).collect();
    assert_eq!(hear().await.shards, all);
    database
        .execute("select pg_notify('vcc_link_wake', '7;acme')")
        .await;
    assert_eq!(hear().await.shards, [ShardId(7)]);
    database.remove().await;
}
