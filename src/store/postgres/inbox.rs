//! The inbox: what is due, calls with their bodies, offsets.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

use super::recovery::mark;
use super::values::{column, key_columns};
use super::{Postgres, Result};
use crate::domain::ids::{CallId, ShardId};
use crate::domain::work::{Due, Lane};
use crate::store::inbox::{Appended, IngestBatch, LookupRow, Partition, StoredCall, WakeListener};
use crate::store::rows::{due_call, stored_call};
use crate::store::values::{shard_column, time};
use crate::store::{Inbox, Written};

/// One page of a lane; the three texts differ in the column that says when. Null sorts nowhere:
/// the page begins behind the cursor, or at the beginning of time.
macro_rules! due_page {
    ($due_at:literal) => {
        concat!(
            "select account, interaction, shard, ",
            $due_at,
            " as due_at, lookup_deadline, looked_up, ended_at, revision, skip, attempts,
                degraded::text, batch_limit, hidden::text
             from calls
             where shard = $1 and ",
            $due_at,
            " <= $2 and (",
            $due_at,
            ", account, interaction) > (coalesce($3, '-infinity'::timestamptz), $4, $5)
             order by ",
            $due_at,
            ", account, interaction limit $6"
        )
    };
}

/// Calls with their bodies. The bodies are asked one by one: each is one probe of one partition's
/// key, where a join could choose to read whole days.
pub(super) const STORED_CALLS: &str =
    "select account, interaction, revision, task, attempts, deferrals, replays, ended_received_at,
        lookup_generation,
        (select body from call_bodies b where b.call_day = c.call_day and b.account = c.account
            and b.interaction = c.interaction and b.kind = 'started') as started,
        (select body from call_bodies b where b.call_day = c.call_day and b.account = c.account
            and b.interaction = c.interaction and b.kind = 'ended') as ended,
        (select body from call_bodies b where b.call_day = c.call_day and b.account = c.account
            and b.interaction = c.interaction and b.kind = 'lookup') as lookup
     from unnest($1::text[], $2::text[]) with ordinality as asked (account, interaction, place)
     join calls c using (account, interaction)
     order by place";

#[async_trait]
impl Inbox for Postgres {
    async fn offsets(&self, partitions: &[Partition]) -> Result<Vec<Option<i64>>> {
        let offsets = sqlx::query_scalar(
            "select next_offset
             from unnest($1::text[], $2::integer[]) with ordinality as asked (topic, partition, place)
             left join offsets using (topic, partition)
             order by place",
        )
        .bind(column(partitions, |p| p.topic.as_str()))
        .bind(column(partitions, |p| p.partition))
        .fetch_all(&self.pool)
        .await?;
        Ok(offsets)
    }

    async fn move_offset(
        &self,
        partition: &Partition,
        expected: i64,
        next: i64,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        let now: Option<i64> = sqlx::query_scalar(
            "select next_offset from offsets where topic = $1 and partition = $2 for update",
        )
        .bind(&partition.topic)
        .bind(partition.partition)
        .fetch_optional(&mut *tx)
        .await?;
        if now == Some(next) {
            return Ok(Written::Already);
        }
        if now != Some(expected) {
            return Ok(Written::Stale);
        }
        sqlx::query("update offsets set next_offset = $3 where topic = $1 and partition = $2")
            .bind(&partition.topic)
            .bind(partition.partition)
            .bind(next)
            .execute(&mut *tx)
            .await?;
        mark(&mut tx, &[(partition.clone(), expected)]).await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn append(&self, batch: &IngestBatch) -> Result<Appended> {
        self.append_batch(batch).await
    }

    async fn due(
        &self,
        shard: ShardId,
        lane: Lane,
        until: DateTime<Utc>,
        after: Option<(DateTime<Utc>, CallId)>,
        limit: u32,
    ) -> Result<Vec<Due>> {
        let sql = match lane {
            Lane::Lookup => due_page!("lookup_due_at"),
            Lane::Task => due_page!("task_due_at"),
        };
        let (at, call) = after.unzip();
        let (account, interaction) = call
            .map(|call| (String::from(call.account), String::from(call.interaction)))
            .unwrap_or_default();
        let rows = sqlx::query(sql)
            .bind(shard_column(shard))
            .bind(until)
            .bind(at)
            .bind(account)
            .bind(interaction)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| due_call(row, lane, time(row, "due_at")?))
            .collect()
    }

    async fn calls(&self, ids: &[CallId]) -> Result<Vec<StoredCall>> {
        let (accounts, interactions) = key_columns(ids);
        let rows = sqlx::query(STORED_CALLS)
            .bind(accounts)
            .bind(interactions)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(stored_call).collect()
    }

    async fn record_lookups(&self, rows: &[LookupRow]) -> Result<Vec<Written>> {
        self.record_answers(rows).await
    }

    async fn listen(&self) -> Result<Box<dyn WakeListener>> {
        self.subscribe().await
    }

    async fn forget(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.forget_calls(before, limit).await
    }

    async fn strip(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.strip_calls(before, limit).await
    }

    async fn forget_quarantined(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.delete_quarantined(before, limit).await
    }

    async fn drop_bodies(&self, before: NaiveDate) -> Result<bool> {
        self.drop_oldest_day(before).await
    }
}
