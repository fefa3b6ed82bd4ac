//! A world's database, copied and put back.

use super::World;

impl World {
    /// Kills the workers, wherever they are, and copies the database as it is then.
    pub(crate) async fn backed_up(&mut self) -> anyhow::Result<()> {
        self.kill_all().await?;
        let name = &self.name;
        // The server goes on with what the dead had asked for, and copies only what nobody uses.
        self.services
            .administer(format!(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"
            ))
            .await?;
        self.services
            .administer(format!("create database {name}_backup template {name}"))
            .await
    }

    /// Kills the workers, and puts the copy in the database's place.
    pub(crate) async fn restored(&mut self) -> anyhow::Result<()> {
        self.kill_all().await?;
        let name = &self.name;
        for statement in [
            format!("drop database {name} with (force)"),
            format!("alter database {name}_backup rename to {name}"),
        ] {
            self.services.administer(statement).await?;
        }
        Ok(())
    }
}
