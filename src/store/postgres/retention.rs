//! Forgetting: keys of calls that are over, and what lies beside them.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::AssertSqlSafe;

use super::{Error, Postgres, Result};

/// Drops a day's bodies: in a transaction of its own, because it locks out all readers of bodies
/// for a moment, and gives way at once if it cannot have that lock soon.
const LOCK_PATIENCE: &str = "set local lock_timeout = '1s'";

impl Postgres {
    /// See [`Inbox::forget`](crate::store::Inbox::forget).
    pub(super) async fn forget_calls(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let forgotten = self.delete_calls(before, limit).await?;
        if forgotten < u64::from(limit) {
            self.delete_beside(before, limit).await?;
            for day in self.days_before(before.date_naive()).await? {
                self.drop_day(day).await?;
            }
        }
        Ok(forgotten)
    }

    /// Deletes keys with their attempts. Rows that somebody works on are left for the next time.
    async fn delete_calls(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let mut tx = self.begin().await?;
        let forgotten: i64 = sqlx::query_scalar(
            "with old as (
                select account, interaction from calls
                where received_at < $1 and (terminal_at is not null or ended_event is null)
                order by received_at limit $2 for update skip locked),
             gone as (
                delete from calls using old
                where calls.account = old.account and calls.interaction = old.interaction
                returning 1),
             noted as (
                delete from attempts using old
                where attempts.account = old.account and attempts.interaction = old.interaction
                returning 1)
             select count(*) from gone",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        u64::try_from(forgotten).map_err(|_| super::values::corrupt("count"))
    }

    /// Deletes old published events and quarantined bytes. The outbox is read from its oldest
    /// position, a bounded stretch at a time, and so needs no index over times.
    async fn delete_beside(&self, before: DateTime<Utc>, limit: u32) -> Result<()> {
        for sql in [
            "delete from outbox using
                (select position as oldest from outbox order by position limit $2) as stretch
             where position = oldest and published_at < $1",
            "delete from quarantine where (topic, partition, kafka_offset) in
                (select topic, partition, kafka_offset from quarantine
                 where received_at < $1 order by received_at limit $2)",
        ] {
            let limit = i64::from(limit);
            sqlx::query(sql)
                .bind(before)
                .bind(limit)
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    /// The days before this one whose bodies are still kept.
    async fn days_before(&self, day: NaiveDate) -> Result<Vec<NaiveDate>> {
        let days = sqlx::query_scalar(
            "select day from (
                select to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') as day
                from pg_inherits where inhparent = 'call_bodies'::regclass) as partitions
             where day < $1 order by day",
        )
        .bind(day)
        .fetch_all(&self.pool)
        .await?;
        Ok(days)
    }

    /// Drops a day's bodies unless a call still needs one; not had a lock, not today.
    async fn drop_day(&self, day: NaiveDate) -> Result<()> {
        let mut tx = self.begin().await?;
        let needed: bool = sqlx::query_scalar(
            "select exists (select from call_bodies b join calls c using (account, interaction)
                where b.call_day = $1)",
        )
        .bind(day)
        .fetch_one(&mut *tx)
        .await?;
        if needed {
            return Ok(());
        }
        sqlx::query(LOCK_PATIENCE).execute(&mut *tx).await?;
        // The name is made of a date alone.
        let drop = format!("drop table if exists call_bodies_{}", day.format("%Y%m%d"));
        match sqlx::query(AssertSqlSafe(drop))
            .execute(&mut *tx)
            .await
            .map_err(Error::from)
        {
            Ok(_) => Ok(tx.commit().await?),
            Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
