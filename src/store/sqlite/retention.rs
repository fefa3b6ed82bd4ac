//! Forgetting: calls that are over with all that lies beside them, and what is published.

use chrono::{DateTime, Utc};

use super::values::{keys, micros};
use super::{Result, Sqlite};
use crate::domain::ids::CallId;
use crate::store::values::call_id;

impl Sqlite {
    /// See [`Inbox::forget`](crate::store::Inbox::forget).
    pub(super) async fn forget_calls(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let mut tx = self.begin().await?;
        let forgotten = sqlx::query(
            "delete from calls where rowid in (select rowid from calls
                where received_at < $1 and state in ('logged', 'skipped', 'ringing')
                order by received_at limit $2)
             returning account, interaction",
        )
        .bind(micros(before))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx.inner)
        .await?;
        let calls: Vec<CallId> = forgotten.iter().map(call_id).collect::<Result<_>>()?;
        for sql in [
            "delete from attempts where (account, interaction) in
                (select value ->> 0, value ->> 1 from json_each($1))",
            "delete from call_bodies where (account, interaction) in
                (select value ->> 0, value ->> 1 from json_each($1))",
        ] {
            let query = sqlx::query(sql).bind(keys(&calls));
            query.execute(&mut *tx.inner).await?;
        }
        tx.commit().await?;
        Ok(calls.len() as u64)
    }

    /// See [`Outbox::forget_published`](crate::store::Outbox::forget_published). The outbox is read
    /// from its oldest position, a bounded stretch at a time, and so needs no index over times.
    pub(super) async fn delete_published(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let sql = "delete from outbox where published_at < $1
            and position in (select position from outbox order by position limit $2)";
        self.delete(sql, before, limit).await
    }

    /// See [`Inbox::forget_quarantined`](crate::store::Inbox::forget_quarantined).
    pub(super) async fn delete_quarantined(
        &self,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<u64> {
        let sql = "delete from quarantine where rowid in (select rowid from quarantine
            where received_at < $1 order by received_at limit $2)";
        self.delete(sql, before, limit).await
    }

    /// See [`Inbox::strip`](crate::store::Inbox::strip).
    pub(super) async fn strip_calls(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let sql = "delete from call_bodies where rowid in (select b.rowid
            from call_bodies b join calls c using (account, interaction)
            where c.state in ('logged', 'skipped') and c.terminal_at < $1 limit $2)";
        self.delete(sql, before, limit).await
    }

    /// Deletes what is older than this, at most so many rows.
    async fn delete(&self, sql: &'static str, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(sql).bind(micros(before)).bind(i64::from(limit));
        let deleted = query.execute(&mut *tx.inner).await?.rows_affected();
        tx.commit().await?;
        Ok(deleted)
    }
}
