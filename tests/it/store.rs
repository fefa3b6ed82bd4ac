//! The store's conformance suites on SQLite, and what only a file can do wrong. Each test has a
//! folder of its own.

#[path = "../conformance/mod.rs"]
pub(crate) mod conformance;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance::Harness;
use conformance::fixture::{Fixture, account_id};
use futures::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use vcc_link::store::{Config, Database, Store};

/// A database of one test.
struct Folder {
    /// Removed with the test.
    folder: tempfile::TempDir,
    /// The database in it.
    database: Database,
}

impl Folder {
    /// Makes an empty database, with its schema.
    async fn create() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(&file(folder.path()));
        Database::migrate(&config).await.expect("migrate");
        let database = Database::open(&config).await.expect("open");
        Self { folder, database }
    }
}

/// The file in a folder.
fn file(folder: &Path) -> PathBuf {
    folder.join("calls.db")
}

/// The settings of a file.
fn config(path: &Path) -> Config {
    Config {
        url: SecretString::from(format!("sqlite:{}", path.display())),
        max_connections: 4,
        refresh_answer_timeout: Duration::ZERO,
        ..Config::default()
    }
}

#[async_trait]
impl Harness for Folder {
    fn store(&self) -> Arc<dyn Store> {
        self.database.store()
    }

    async fn other(&self) -> Arc<dyn Store> {
        let config = config(&file(self.folder.path()));
        Database::open(&config).await.expect("open").store()
    }
}

/// Runs a test on a file of its own.
pub(crate) async fn on_sqlite(test: impl FnOnce(Arc<dyn Harness>) -> BoxFuture<'static, ()>) {
    let folder = Arc::new(Folder::create().await);
    test(Arc::clone(&folder) as Arc<dyn Harness>).await;
    folder.database.close().await;
}

conformance::conformance_tests!(crate::store::on_sqlite);

/// What is told of a file that cannot be used, by opening it and by making its schema.
async fn faults(path: &Path) -> [String; 2] {
    let config = config(path);
    let opened = match Database::open(&config).await {
        Ok(database) => database.check().await,
        Err(error) => Err(error),
    };
    let migrated = Database::migrate(&config).await;
    [opened, migrated].map(|result| result.map_or_else(|error| told(&error), |()| String::new()))
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[tokio::test]
async fn what_a_file_wants_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path());
    let [opened, migrated] = faults(&path).await;
    assert!(
        opened.contains("calls.db: there is no such file: `vcc-link migrate` makes it"),
        "{opened}"
    );
    assert_eq!(migrated, "");
    assert_eq!(faults(&path).await, ["", ""]);

    let [opened, migrated] = faults(&folder.path().join("missing/calls.db")).await;
    assert!(opened.contains("there is no such file"), "{opened}");
    assert!(
        migrated.contains("missing: there is no such folder"),
        "{migrated}"
    );

    let [_, migrated] = faults(folder.path()).await;
    assert!(
        migrated.contains("is a folder: name a file in store.url"),
        "{migrated}"
    );

    let other = folder.path().join("notes.txt");
    std::fs::write(&other, "these are notes, ".repeat(100)).expect("written");
    for told in faults(&other).await {
        assert!(
            told.contains("notes.txt: it holds something else: name another file"),
            "{told}"
        );
    }
    assert!(
        std::fs::read(&other)
            .expect("there")
            .starts_with(b"these are notes")
    );
}

/// One worker has the file; who only asks, or links an account, may come beside it. What a worker
/// has is free when its process is gone.
#[tokio::test]
async fn a_second_worker_is_refused() {
    let first = Folder::create().await;
    let config = config(&file(first.folder.path()));
    let second = Database::open(&config).await.expect("open");
    let work = first.database.for_work().expect("nobody has it");
    let refused = second.for_work().expect_err("the first has it").to_string();
    assert!(
        refused.ends_with(
            "calls.db: a worker has it already. Is another vcc-link running on this folder? Stop \
             it, or set store.url to another file"
        ),
        "{refused}"
    );
    Database::migrate(&config).await.expect("nothing to change");
    let fixture = Fixture::new(&first).await;
    let linked = fixture.link("acme").await;
    let seen = second.store().links(&[account_id("acme")]).await;
    assert_eq!(seen.expect("links"), [linked]);
    drop(work);
    second.for_work().expect("the first has gone");
}

/// A schema of a later release is left alone, and so is one of another program; one that is to be
/// changed is changed for no running worker.
#[tokio::test]
async fn only_an_own_schema_at_rest_is_changed() {
    let folder = Folder::create().await;
    let config = config(&file(folder.folder.path()));
    let set_version = async |version: i64| {
        let url = config.url.expose_secret();
        let mut connection = SqliteConnection::connect(url).await.expect("open");
        sqlx::query("update _sqlx_migrations set version = $1")
            .bind(version)
            .execute(&mut connection)
            .await
            .expect("set");
        connection.close().await.expect("close");
    };
    set_version(7).await;
    for told in faults(&file(folder.folder.path())).await {
        assert!(
            told.contains("is at version 7, this binary knows 1: run the later release"),
            "{told}"
        );
    }
    set_version(1).await;
    assert_eq!(faults(&file(folder.folder.path())).await, ["", ""]);

    // Another program's, which counts its migrations in the same way, stays as it is.
    let other = folder.folder.path().join("other.db");
    let made = SqliteConnectOptions::new()
        .filename(&other)
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&made).await.expect("made");
    let table = "create table _sqlx_migrations (version integer, success boolean)";
    sqlx::query(table)
        .execute(&mut connection)
        .await
        .expect("made");
    connection.close().await.expect("close");
    let before = std::fs::read(&other).expect("read");
    for told in faults(&other).await {
        assert!(told.contains("is another program's database"), "{told}");
    }
    assert_eq!(std::fs::read(&other).expect("read"), before);

    let empty = folder.folder.path().join("empty.db");
    std::fs::write(&empty, "").expect("written");
    let database = Database::open(&self::config(&empty)).await.expect("open");
    let work = database.for_work().expect("nobody has it");
    let [_, migrated] = faults(&empty).await;
    assert!(migrated.contains("a worker has it already"), "{migrated}");
    drop(work);
    let [_, migrated] = faults(&empty).await;
    assert_eq!(migrated, "");
}
