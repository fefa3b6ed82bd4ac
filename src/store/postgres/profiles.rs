//! What the linked orgs say of themselves, and links told again: what changes a link without a Link,
//! a Relink or an Unlink.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::fence::held;
use super::links::{lock_for, write_link};
use super::outbox::insert_events;
use super::values::column;
use super::{Postgres, Result};
use crate::domain::ids::{AccountId, ShardId};
use crate::domain::link::LinkState;
use crate::store::links::{LinkWrite, ProfileRead, Restated};
use crate::store::news::News;
use crate::store::outbox::Publish;
use crate::store::rows::link_state;
use crate::store::values::{id, shard_column};
use crate::store::{Fence, Written};

impl Postgres {
    pub(super) async fn read_stale_profiles(
        &self,
        shards: &[ShardId],
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<LinkState>> {
        let rows = sqlx::query(
            "select account, shard, status, health, reason, since, generation, sequence,
                linked_org::text
             from accounts
             where shard = any($1) and status <> 'unlinked' and health <> 'broken'
                and (profile_read_at is null or profile_read_at < $2)
             order by profile_read_at nulls first, account limit $3",
        )
        .bind(column(shards, |shard| shard_column(*shard)))
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(link_state).collect()
    }

    pub(super) async fn write_profile(&self, read: &ProfileRead) -> Result<LinkWrite> {
        let mut tx = self.begin().await?;
        let Some(before) = lock_for(&mut tx, read.fence, &read.account).await? else {
            return Ok(LinkWrite::Stale);
        };
        if before.sequence != read.expected || before.generation != read.generation {
            return Ok(LinkWrite::Changed(before));
        }
        let after = read.after(&before);
        sqlx::query("update accounts set profile_read_at = $2 where account = $1")
            .bind(read.account.as_str())
            .bind(read.at)
            .execute(&mut *tx)
            .await?;
        let news = News::of_profile(read);
        write_link(&mut tx, &before, &after, news).await?;
        tx.commit().await?;
        Ok(LinkWrite::Stored(after))
    }

    pub(super) async fn write_restated(&self, fence: Fence, links: &[Restated]) -> Result<Written> {
        let mut tx = self.begin().await?;
        if held(&mut tx, [fence]).await?.is_empty() {
            return Ok(Written::Stale);
        }
        // Share mode keeps their next change, and its event, behind these.
        let rows = sqlx::query(
            "select a.account from accounts as a
             join unnest($1::text[], $2::bigint[]) as told (account, sequence)
                using (account, sequence)
             where a.shard = $3 order by a.account for share of a",
        )
        .bind(column(links, |link| link.account.as_str()))
        .bind(column(links, |link| link.sequence.0))
        .bind(shard_column(fence.shard))
        .fetch_all(&mut *tx)
        .await?;
        let stand: BTreeSet<AccountId> = rows
            .iter()
            .map(|row| id(row, "account"))
            .collect::<Result<_>>()?;
        let events: Vec<Publish<'_>> = links
            .iter()
            .filter(|link| stand.contains(&link.account))
            .map(|link| Publish::of_link(&link.event, &link.account, fence.shard))
            .collect();
        insert_events(&mut tx, &events).await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }
}
