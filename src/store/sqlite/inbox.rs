//! The inbox: what is due, calls with their bodies, offsets.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

use super::recovery::mark;
use super::values::{batch, keys, micros};
use super::{Result, Sqlite};
use crate::domain::ids::{CallId, ShardId};
use crate::domain::work::{Due, Lane};
use crate::store::inbox::{Appended, IngestBatch, LookupRow, Partition, StoredCall, WakeListener};
use crate::store::rows::{due_call, stored_call};
use crate::store::values::{shard_column, time};
use crate::store::{Inbox, Written};

/// One page of a lane; the two texts differ in the column that says when.
macro_rules! due_page {
    ($due_at:literal) => {
        concat!(
            "select account, interaction, shard, ",
            $due_at,
            " as due_at, lookup_deadline, looked_up, ended_at, revision, skip, attempts,
                degraded, batch_limit, hidden
             from calls
             where shard = $1 and ",
            $due_at,
            " <= $2 and (",
            $due_at,
            ", account, interaction) > ($3, $4, $5)
             order by ",
            $due_at,
            ", account, interaction limit $6"
        )
    };
}

/// Calls with their bodies, in the order asked.
pub(super) const STORED_CALLS: &str =
    "select c.account, c.interaction, revision, task, attempts, deferrals, replays, ended_received_at,
        lookup_generation, s.body as started, e.body as ended, l.body as lookup
     from json_each($1) as asked
     cross join calls c on c.account = asked.value ->> 0 and c.interaction = asked.value ->> 1
     left join call_bodies s on s.account = c.account and s.interaction = c.interaction
        and s.kind = 'started'
     left join call_bodies e on e.account = c.account and e.interaction = c.interaction
        and e.kind = 'ended'
     left join call_bodies l on l.account = c.account and l.interaction = c.interaction
        and l.kind = 'lookup'
     order by asked.key";

#[async_trait]
impl Inbox for Sqlite {
    async fn offsets(&self, partitions: &[Partition]) -> Result<Vec<Option<i64>>> {
        let offsets = sqlx::query_scalar(
            "select next_offset from json_each($1) as asked
             left join offsets on topic = value ->> 0 and partition = value ->> 1
             order by asked.key",
        )
        .bind(batch(partitions, |p| (&p.topic, p.partition)))
        .fetch_all(&self.readers)
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
            "select next_offset from offsets where topic = $1 and partition = $2",
        )
        .bind(&partition.topic)
        .bind(partition.partition)
        .fetch_optional(&mut *tx.inner)
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
            .execute(&mut *tx.inner)
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
            .bind(micros(until))
            .bind(at.map_or(i64::MIN, micros))
            .bind(account)
            .bind(interaction)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| due_call(row, lane, time(row, "due_at")?))
            .collect()
    }

    async fn calls(&self, ids: &[CallId]) -> Result<Vec<StoredCall>> {
        let rows = sqlx::query(STORED_CALLS)
            .bind(keys(ids))
            .fetch_all(&self.readers)
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

    /// Nothing is left to drop: a body goes with its call.
    async fn strip(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.strip_calls(before, limit).await
    }

    async fn forget_quarantined(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.delete_quarantined(before, limit).await
    }

    async fn drop_bodies(&self, _: NaiveDate) -> Result<bool> {
        Ok(false)
    }
}
