//! Events to publish.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::fence::held;
use super::values::column;
use super::{Postgres, Result, Session};
use crate::domain::ids::ShardId;
use crate::store::outbox::{Publish, Unpublished};
use crate::store::rows::unpublished;
use crate::store::values::{shard_column, word};
use crate::store::{Fence, Outbox, Written};

/// Writes events, each once by its id.
pub(super) async fn insert_events(connection: &mut Session, events: &[Publish<'_>]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let interactions = events
        .iter()
        .map(|e| e.call.map(|call| call.interaction.as_str()));
    sqlx::query(
        "insert into outbox (id, shard, topic, account, interaction, body)
         select * from unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::text[],
                              $6::bytea[])
         on conflict (id) do nothing",
    )
    .bind(column(events, |e| e.row.id.as_str()))
    .bind(column(events, |e| shard_column(e.shard)))
    .bind(column(events, |e| word(e.row.topic)))
    .bind(column(events, |e| e.account.as_str()))
    .bind(interactions.collect::<Vec<_>>())
    .bind(column(events, |e| e.row.body.0.as_slice()))
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl Outbox for Postgres {
    async fn unpublished(
        &self,
        shards: &[ShardId],
        after: i64,
        limit: u32,
    ) -> Result<Vec<Unpublished>> {
        // By shard and not over all at once, so that each shard is read from its own stretch of
        // the index and none waits behind another's backlog. The rows are compared as wholes so that
        // no other index has them in this order: where few shards had a long backlog behind a million
        // published events, the primary key looked cheaper, and was read from its start each time.
        let rows = sqlx::query(
            "select o.position, o.id, o.shard, o.topic, o.body
             from unnest($1::smallint[]) as asked (shard),
                lateral (select * from outbox
                    where (outbox.shard, position) > (asked.shard, $3)
                        and outbox.shard <= asked.shard and published_at is null
                    order by outbox.shard, position limit $2) as o
             order by o.position limit $2",
        )
        .bind(column(shards, |shard| shard_column(*shard)))
        .bind(i64::from(limit))
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(unpublished).collect()
    }

    async fn mark_published(&self, fence: Fence, positions: &[i64]) -> Result<Written> {
        let mut tx = self.begin().await?;
        if held(&mut tx, [fence]).await?.is_empty() {
            return Ok(Written::Stale);
        }
        let marked = sqlx::query(
            "update outbox set published_at = now(), body = null
             where position = any($1) and shard = $2 and published_at is null",
        )
        .bind(positions)
        .bind(shard_column(fence.shard))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let none = marked.rows_affected() == 0 && !positions.is_empty();
        Ok(if none { Written::Already } else { Written::Yes })
    }

    async fn forget_published(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        self.delete_published(before, limit).await
    }
}
