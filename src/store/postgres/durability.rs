//! What the server does to keep what it confirmed.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Postgres, Result};
use crate::clock;

/// How far a confirmed transaction can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The server's version, as in 150004.
    pub version: i32,
    /// It reached the disk (`fsync`).
    pub on_disk: bool,
    /// A crash in the middle of a page is mended (`full_page_writes`).
    pub whole_pages: bool,
    /// It is confirmed only then, in sessions like ours (`synchronous_commit`): a pooler in between
    /// may have dropped what we set.
    pub waits: bool,
    /// Another server has it too (`synchronous_standby_names`): a failover forgets nothing.
    pub on_standby: bool,
    /// How far the server's clock is ahead of ours.
    pub clock_ahead: TimeDelta,
}

impl Postgres {
    /// Asks the server.
    pub async fn durability(&self) -> Result<Durability> {
        let sql = "select current_setting('server_version_num')::integer, \
                   current_setting('fsync') = 'on', \
                   current_setting('full_page_writes') = 'on', \
                   current_setting('synchronous_commit') in ('on', 'remote_apply'), \
                   current_setting('synchronous_standby_names') <> '', \
                   clock_timestamp()";
        let before = clock::now();
        let (version, on_disk, whole_pages, waits, on_standby, their_clock): (
            _,
            _,
            _,
            _,
            _,
            DateTime<Utc>,
        ) = sqlx::query_as(sql).fetch_one(&self.pool).await?;
        // It was asked somewhere between these two; the middle is off by half the time it took.
        let asked = before + (clock::now() - before) / 2;
        Ok(Durability {
            version,
            on_disk,
            whole_pages,
            waits,
            on_standby,
            clock_ahead: their_clock - asked,
        })
    }
}
