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
        let mut tx = self.begin().await?;
        let mut most = 0;
        for sql in [
            "delete from outbox where published_at < $1
                and position in (select position from outbox order by position limit $2)",
            "delete from quarantine where rowid in (select rowid from quarantine
                where received_at < $1 order by received_at limit $2)",
        ] {
            let query = sqlx::query(sql).bind(micros(before)).bind(i64::from(limit));
            most = most.max(query.execute(&mut *tx.inner).await?.rows_affected());
        }
        tx.commit().await?;
        Ok(most)
    }
}
