//! What the server does to keep what it confirmed.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Postgres, Result};
use crate::clock;

/// What a server may lack, so that something confirmed may be lost; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// What is confirmed is not on the disk (`fsync`).
    OnDisk,
    /// A crash in the middle of a page breaks it (`full_page_writes`).
    WholePages,
    /// It is confirmed before, in sessions like ours (`synchronous_commit`): a pooler in between may
    /// have dropped what we set.
    Waits,
    /// No other server has it (`synchronous_standby_names`): a failover forgets.
    OnStandby,
}

/// How far a confirmed transaction can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The server's version, as in 150004.
    pub version: i32,
    /// What it lacks, the worst first.
    pub lacks: Vec<Lack>,
    /// How far the server's clock is ahead of ours.
    pub clock_ahead: TimeDelta,
}

impl Postgres {
    /// Asks the server.
    pub async fn durability(&self) -> Result<Durability> {
        let sql = "select current_setting('server_version_num')::integer, clock_timestamp(), \
                   array[current_setting('fsync') = 'on', \
                         current_setting('full_page_writes') = 'on', \
                         current_setting('synchronous_commit') in ('on', 'remote_apply'), \
                         current_setting('synchronous_standby_names') <> '']";
        let before = clock::now();
        let (version, their_clock, has): (i32, DateTime<Utc>, Vec<bool>) =
            sqlx::query_as(sql).fetch_one(&self.pool).await?;
        // It was asked somewhere between these two; the middle is off by half the time it took.
        let asked = before + (clock::now() - before) / 2;
        let all = [Lack::OnDisk, Lack::WholePages, Lack::Waits, Lack::OnStandby];
        let lacks = all.into_iter().zip(has).filter(|(_, has)| !has);
        Ok(Durability {
            version,
            lacks: lacks.map(|(lack, _)| lack).collect(),
            clock_ahead: their_clock - asked,
        })
    }
}
