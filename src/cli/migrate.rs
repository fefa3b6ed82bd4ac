//! `vcc-link migrate`: brings the database's schema up to this version.

use anyhow::Context as _;

use super::Global;
use super::output::{Output, print};
use crate::store::Database;

/// Bring the database's schema up to this version.
///
/// May be run again, and beside running processes of the version before: they keep working on the
/// new schema. Processes do not migrate by themselves. A SQLite file is made where there is none,
/// and changed only while no worker runs on it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  vcc-link migrate --config /etc/vcc-link.toml && systemctl restart vcc-link")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
}

/// Runs it.
pub async fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let config = global.sections(&["store"])?.config.store;
    Database::migrate(&config)
        .await
        .context("store.url: the database's schema was not changed")?;
    print(if args.output.json {
        "{\"migrated\":true}\n"
    } else {
        "The database's schema is up to date.\n"
    })
}
