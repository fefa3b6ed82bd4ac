//! The file's schema: made, brought up to this binary's version, and asked for.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor, Sqlite as Driver};

use super::errors::{of_file, of_opening};
use super::{Alone, Sqlite, options};
use crate::store::{Config, Error, Result};

impl Sqlite {
    /// Makes the file if there is none, and brings its schema up to this binary's version. Running
    /// it again does nothing more. No worker may run meanwhile: it would not know the schema.
    pub async fn migrate(path: &Path, config: &Config) -> Result<()> {
        if path.is_dir() {
            return Err(of_file(path, "is a folder: name a file in store.url"));
        }
        if let Some(folder) = path
            .parent()
            .filter(|f| !f.as_os_str().is_empty() && !f.exists())
        {
            let advice = "there is no such folder: make it, or correct store.url";
            return Err(of_file(folder, advice));
        }
        check_owner(path).await?;
        let options = options(path, config).create_if_missing(true);
        let opened = SqliteConnection::connect_with(&options).await;
        let mut connection = opened.map_err(|error| of_opening(path, error))?;
        match check_version(&mut connection).await {
            Err(Error::Schema { found, known, .. }) if found < known => {
                let _alone = Alone::on(path)?;
                let migrated = migrator().run(&mut connection).await;
                migrated.map_err(|error| match error {
                    sqlx::migrate::MigrateError::Execute(error) => of_opening(path, error),
                    error => Error::Other(Box::new(error)),
                })?;
            }
            checked => checked?,
        }
        connection.close().await?;
        Ok(())
    }

    /// See [`Reports::check`](crate::store::Reports::check).
    pub(super) async fn check_schema(&self) -> Result<()> {
        check_version(&self.readers).await
    }
}

/// The migrations that this binary knows.
fn migrator() -> sqlx::migrate::Migrator {
    sqlx::migrate!("migrations/sqlite")
}

/// The file's `application_id`, set by the first migration: "vclk".
const OURS: i64 = 0x7663_6c6b;

/// Refuses a file that is another program's, before anything is written to it. None, and an empty
/// one, are nobody's.
pub(super) async fn check_owner(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let options = SqliteConnectOptions::new().filename(path);
    let opened = SqliteConnection::connect_with(&options).await;
    let mut connection = opened.map_err(|error| of_opening(path, error))?;
    let sql = "select application_id, (select count(*) from sqlite_schema) as tables
        from pragma_application_id";
    let asked = sqlx::query_as::<_, (i64, i64)>(sql)
        .fetch_one(&mut connection)
        .await;
    let (owner, tables) = asked.map_err(|error| of_opening(path, error))?;
    connection.close().await?;
    if owner == OURS || (owner == 0 && tables == 0) {
        return Ok(());
    }
    let advice = "is another program's database: name another file in store.url";
    Err(of_file(path, advice))
}

/// Whether the schema is this binary's. A later one is refused: no two releases ever run on one
/// file, so that migrations may do more than add.
async fn check_version<'c>(executor: impl Executor<'c, Database = Driver>) -> Result<()> {
    let known = migrator()
        .iter()
        .map(|m| m.version)
        .max()
        .unwrap_or_default();
    let sql = "select coalesce(max(version), 0) from _sqlx_migrations where success";
    let asked = sqlx::query_scalar(sql).fetch_one(executor).await;
    let found = match asked.map_err(Error::from) {
        // There is no such table.
        Err(Error::Other(_)) => 0,
        found => found?,
    };
    let advice = match found {
        found if found < known => "run `vcc-link migrate`",
        found if found > known => {
            "run the later release that made it, or name another file in store.url"
        }
        _ => return Ok(()),
    };
    Err(Error::Schema {
        found,
        known,
        advice,
    })
}
