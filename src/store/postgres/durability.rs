//! What the server does to keep what it confirmed.

use super::{Postgres, Result};

/// How far a confirmed transaction can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// It reached the disk (`fsync`).
    pub on_disk: bool,
    /// A crash in the middle of a page is mended (`full_page_writes`).
    pub whole_pages: bool,
    /// Another server has it too (`synchronous_standby_names`): a failover forgets nothing.
    pub on_standby: bool,
}

impl Postgres {
    /// Asks the server. What our own sessions set themselves (`synchronous_commit`) is not asked.
    pub async fn durability(&self) -> Result<Durability> {
        let sql = "select current_setting('fsync') = 'on', \
                   current_setting('full_page_writes') = 'on', \
                   current_setting('synchronous_standby_names') <> ''";
        let (on_disk, whole_pages, on_standby) = sqlx::query_as(sql).fetch_one(&self.pool).await?;
        Ok(Durability {
            on_disk,
            whole_pages,
            on_standby,
        })
    }
}
