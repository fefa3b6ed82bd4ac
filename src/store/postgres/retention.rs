//! Forgetting: keys of calls that are over, and what lies beside them.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::AssertSqlSafe;

use super::{Error, Postgres, Result, Tx};

/// A day is dropped with a lock that shuts out all readers of bodies for a moment, and gives way at
/// once if it cannot have that lock soon.
const LOCK_PATIENCE: &str = "set local lock_timeout = '1s'";

impl Postgres {
    /// See [`Inbox::forget`](crate::store::Inbox::forget). Rows that somebody works on are left
    /// for the next time.
    pub(super) async fn forget_calls(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let mut tx = self.begin().await?;
        let forgotten: i64 = sqlx::query_scalar(
            "with old as (
                select account, interaction from calls
                where received_at < $1 and state in ('logged', 'skipped', 'ringing')
                order by received_at limit $2 for update skip locked),
             gone as (
                delete from calls using old
                where calls.account = old.account and calls.interaction = old.interaction
                returning 1),
             noted as (
                delete from attempts using old
                where attempts.account = old.account and attempts.interaction = old.interaction
                returning 1),
             kept as (
                delete from call_bodies b using old
                where b.call_day = '0001-01-01' and b.account = old.account
                    and b.interaction = old.interaction
                returning 1)
             select count(*) from gone",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        u64::try_from(forgotten).map_err(|_| crate::store::values::corrupt("count"))
    }

    /// See [`Outbox::forget_published`](crate::store::Outbox::forget_published). The outbox is read
    /// from its oldest position, a bounded stretch at a time, and so needs no index over times.
    pub(super) async fn delete_published(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let deleted = sqlx::query(
            "delete from outbox using
                (select position as oldest from outbox order by position limit $2) as stretch
             where position = oldest and published_at < $1",
        )
        .bind(before)
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(deleted.rows_affected())
    }

    /// See [`Inbox::forget_quarantined`](crate::store::Inbox::forget_quarantined).
    pub(super) async fn delete_quarantined(
        &self,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<u64> {
        let deleted = sqlx::query(
            "delete from quarantine where (topic, partition, kafka_offset) in
                (select topic, partition, kafka_offset from quarantine
                 where received_at < $1 order by received_at limit $2)",
        )
        .bind(before)
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(deleted.rows_affected())
    }

    /// See [`Inbox::strip`](crate::store::Inbox::strip). Bodies that outlived their day lie in a
    /// partition of their own, which is small.
    pub(super) async fn strip_calls(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let deleted = sqlx::query(
            "delete from call_bodies using
                (select account, interaction, kind from call_bodies join calls c
                    using (account, interaction)
                 where call_bodies.call_day = '0001-01-01' and c.call_day = '0001-01-01'
                    and c.state in ('logged', 'skipped') and c.terminal_at < $1
                 limit $2) as over
             where call_bodies.call_day = '0001-01-01' and call_bodies.account = over.account
                and call_bodies.interaction = over.interaction and call_bodies.kind = over.kind",
        )
        .bind(before)
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(deleted.rows_affected())
    }

    /// See [`Inbox::drop_bodies`](crate::store::Inbox::drop_bodies). Those of calls that are not
    /// over move to a partition of their own first, so that one dead letter keeps no whole day.
    pub(super) async fn drop_oldest_day(&self, before: NaiveDate) -> Result<bool> {
        let mut tx = self.begin().await?;
        let Some(day) = oldest_day(&mut tx, before).await? else {
            return Ok(false);
        };
        move_kept_bodies(&mut tx, day).await?;
        sqlx::query(LOCK_PATIENCE).execute(&mut *tx).await?;
        // The name is made of a date alone.
        let drop = format!("drop table if exists call_bodies_{}", day.format("%Y%m%d"));
        match sqlx::query(AssertSqlSafe(drop))
            .execute(&mut *tx)
            .await
            .map_err(Error::from)
        {
            Ok(_) => {
                tx.commit().await?;
                Ok(true)
            }
            Err(Error::Unavailable(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The oldest day before this one whose bodies are still kept.
async fn oldest_day(tx: &mut Tx, before: NaiveDate) -> Result<Option<NaiveDate>> {
    let day = sqlx::query_scalar(
        "select min(day) from (
            select to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') as day
            from pg_inherits where inhparent = 'call_bodies'::regclass) as partitions
         where day < $1 and day > '0001-01-01'",
    )
    .bind(before)
    .fetch_one(&mut **tx)
    .await?;
    Ok(day)
}

/// Moves the bodies of a day's calls that are not over.
async fn move_kept_bodies(tx: &mut Tx, day: NaiveDate) -> Result<()> {
    sqlx::query(
        "with known as (
            select distinct account, interaction from call_bodies join calls c
                using (account, interaction)
            where call_bodies.call_day = $1 and c.call_day = $1
                and c.state not in ('logged', 'skipped')),
         locked as (
            select account, interaction from calls join known using (account, interaction)
            order by account, interaction for update of calls),
         moved as (
            update calls set call_day = '0001-01-01' from locked
            where calls.account = locked.account and calls.interaction = locked.interaction)
         insert into call_bodies (call_day, account, interaction, kind, body)
         select '0001-01-01', account, interaction, kind, body
         from call_bodies join locked using (account, interaction)
         where call_day = $1 on conflict do nothing",
    )
    .bind(day)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
