//! The database that the settings name: the one place that chooses by `store.url`.

use std::sync::Arc;

use super::config::Place;
use super::postgres::Postgres;
use super::sqlite::{Alone, Sqlite};
use super::{Config, Reports as _, Result, Store};

/// An open database.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a process has one, and moves it about a few times"
)]
pub enum Database {
    /// A server, for any number of workers.
    Postgres(Postgres),
    /// A file, for one worker.
    Sqlite(Sqlite),
}

impl Database {
    /// Opens it, so that a wrong address, password or path is told at once.
    pub async fn open(config: &Config) -> Result<Self> {
        Ok(match config.place() {
            Place::Server => Self::Postgres(Postgres::connect(config).await?),
            Place::File(path) => Self::Sqlite(Sqlite::open(&path, config).await?),
        })
    }

    /// Brings its schema up to this binary's version; a file that is missing is made.
    pub async fn migrate(config: &Config) -> Result<()> {
        match config.place() {
            Place::Server => {
                let server = Postgres::connect(config).await?;
                server.migrate().await?;
                server.close().await;
                Ok(())
            }
            Place::File(path) => Sqlite::migrate(&path, config).await,
        }
    }

    /// Whether it answers and its schema is this binary's.
    pub async fn check(&self) -> Result<()> {
        match self {
            Self::Postgres(server) => server.check().await,
            Self::Sqlite(file) => file.check().await,
        }
    }

    /// Its rooms.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Postgres(server) => Arc::new(server.clone()),
            Self::Sqlite(file) => Arc::new(file.clone()),
        }
    }

    /// What a worker must hold while it works: nothing where many may, the file where only one may.
    pub fn for_work(&self) -> Result<Option<Alone>> {
        match self {
            Self::Postgres(_) => Ok(None),
            Self::Sqlite(file) => file.alone().map(Some),
        }
    }

    /// Closes the connections, once those in use are given back.
    pub async fn close(&self) {
        match self {
            Self::Postgres(server) => server.close().await,
            Self::Sqlite(file) => file.close().await,
        }
    }
}
