//! Events to publish.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::fence::held;
use super::values::{Joined, batch};
use super::{Result, Sqlite, Tx};
use crate::domain::ids::ShardId;
use crate::store::outbox::{Publish, Unpublished};
use crate::store::rows::unpublished;
use crate::store::values::{shard_column, to_json};
use crate::store::{Fence, Outbox, Written};

/// Writes events, each once by its id.
pub(super) async fn insert_events(tx: &mut Tx, events: &[Publish<'_>]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut joined = Joined::new();
    let rows = batch(events, |event| {
        let (place, length) = joined.push(&event.row.body);
        (
            &event.row.id,
            event.shard,
            event.row.topic,
            event.account,
            event.call.map(|call| &call.interaction),
            place,
            length,
        )
    });
    sqlx::query(
        "insert into outbox (id, shard, topic, account, interaction, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
            substr($2, value ->> 5, value ->> 6)
         from json_each($1) where true on conflict (id) do nothing",
    )
    .bind(rows)
    .bind(joined.bytes())
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

#[async_trait]
impl Outbox for Sqlite {
    async fn unpublished(
        &self,
        shards: &[ShardId],
        after: i64,
        limit: u32,
    ) -> Result<Vec<Unpublished>> {
        let rows = sqlx::query(
            "select position, id, shard, topic, body from outbox
             where published_at is null and position > $3
                and shard in (select value from json_each($1))
             order by position limit $2",
        )
        .bind(to_json(shards))
        .bind(i64::from(limit))
        .bind(after)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(unpublished).collect()
    }

    async fn mark_published(&self, fence: Fence, positions: &[i64]) -> Result<Written> {
        let mut tx = self.begin().await?;
        if held(&mut tx, [fence]).await?.is_empty() {
            return Ok(Written::Stale);
        }
        let marked = sqlx::query(
            "update outbox set published_at = $3, body = null
             where position in (select value from json_each($1)) and shard = $2
                and published_at is null",
        )
        .bind(to_json(positions))
        .bind(shard_column(fence.shard))
        .bind(tx.micros())
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        let none = marked.rows_affected() == 0 && !positions.is_empty();
        Ok(if none { Written::Already } else { Written::Yes })
    }

    async fn forget_published(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.delete_published(before, limit).await
    }
}
