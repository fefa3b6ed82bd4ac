//! A world's PostgreSQL, and the standby that takes its place.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;

use super::{PATIENCE, World, tick};
use crate::services::{Service, Services};

impl World {
    /// Starts a standby. `synchronous`: nothing is confirmed from now on before it has it.
    pub(crate) async fn followed(&self, synchronous: bool) -> anyhow::Result<Services> {
        let standby = self.services.standby().await?;
        if synchronous {
            for statement in [
                "alter system set synchronous_standby_names = '*'",
                "select pg_reload_conf()",
            ] {
                self.services.administer(statement.to_owned()).await?;
            }
        }
        let streams = "select exists (select from pg_stat_replication where state = 'streaming'
             and (sync_state = 'sync') = (current_setting('synchronous_standby_names') <> ''))";
        let deadline = Instant::now() + PATIENCE;
        while !self.services.ask(streams).await? {
            ensure!(Instant::now() < deadline, "the standby does not follow");
            tick().await;
        }
        Ok(standby)
    }

    /// Kills the primary at once, and puts the standby in its place: the workers find it at the
    /// address that they know.
    pub(crate) async fn failed_over(&mut self, standby: Services) -> anyhow::Result<()> {
        self.services.kill(Service::Postgres).await?;
        standby.promote().await?;
        let address = format!("127.0.0.1:{}", standby.database_port());
        self.postgres.turn(address);
        self.services = Arc::new(standby);
        Ok(())
    }
}
