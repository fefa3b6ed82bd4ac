//! What the linked orgs say of themselves, and links told again: what changes a link without a Link,
//! a Relink or an Unlink.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::fence::held;
use super::links::{account_for, select_links, write_link};
use super::outbox::insert_events;
use super::values::{batch, micros};
use super::{Result, Sqlite};
use crate::domain::ids::{AccountId, ShardId};
use crate::domain::link::LinkState;
use crate::store::links::{LinkWrite, ProfileRead, Restated};
use crate::store::news::News;
use crate::store::outbox::Publish;
use crate::store::rows::link_state;
use crate::store::values::{id, shard_column};
use crate::store::{Fence, Written};

impl Sqlite {
    /// See [`Links::stale_profiles`](crate::store::Links::stale_profiles).
    pub(super) async fn read_stale_profiles(
        &self,
        shards: &[ShardId],
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<LinkState>> {
        let rows = sqlx::query(select_links!(
            "shard in (select value from json_each($1)) and status <> 'unlinked'
                and health <> 'broken' and (profile_read_at is null or profile_read_at < $2)
             order by profile_read_at nulls first, account limit $3"
        ))
        .bind(batch(shards, |shard| *shard))
        .bind(micros(before))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(link_state).collect()
    }

    /// See [`Links::record_profile`](crate::store::Links::record_profile).
    pub(super) async fn write_profile(&self, read: &ProfileRead) -> Result<LinkWrite> {
        let mut tx = self.begin().await?;
        let Some(before) = account_for(&mut tx, read.fence, &read.account).await? else {
            return Ok(LinkWrite::Stale);
        };
        if before.sequence != read.expected || before.generation != read.generation {
            return Ok(LinkWrite::Changed(before));
        }
        let after = read.after(&before);
        sqlx::query("update accounts set profile_read_at = $2 where account = $1")
            .bind(read.account.as_str())
            .bind(micros(read.at))
            .execute(&mut *tx.inner)
            .await?;
        let news = News::of_profile(read);
        write_link(&mut tx, &before, &after, news).await?;
        tx.commit().await?;
        Ok(LinkWrite::Stored(after))
    }

    /// See [`Links::restate_links`](crate::store::Links::restate_links).
    pub(super) async fn write_restated(&self, fence: Fence, links: &[Restated]) -> Result<Written> {
        let mut tx = self.begin().await?;
        if held(&mut tx, [fence]).await?.is_empty() {
            return Ok(Written::Stale);
        }
        let rows = sqlx::query(
            "select account from json_each($1) as told
             join accounts on account = value ->> 0 and sequence = value ->> 1
             where shard = $2",
        )
        .bind(batch(links, |link| (&link.account, link.sequence)))
        .bind(shard_column(fence.shard))
        .fetch_all(&mut *tx.inner)
        .await?;
        let stand = rows.iter().map(|row| id(row, "account"));
        let stand = stand.collect::<Result<BTreeSet<AccountId>>>()?;
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
