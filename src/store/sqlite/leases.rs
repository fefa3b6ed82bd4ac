//! Leases: who owns which shard.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::fence::tell;
use super::values::micros;
use super::{Result, Sqlite, Tx};
use crate::domain::ids::{ReplicaId, ShardId};
use crate::store::leases::{Beat, TOO_FAR};
use crate::store::values::{shard, to_json};
use crate::store::wakes::Told;
use crate::store::{Fence, Leases, rows};

#[async_trait]
impl Leases for Sqlite {
    async fn beat(&self, replica: &ReplicaId, ttl: Duration, claim: u32) -> Result<Beat> {
        let mut tx = self.begin().await?;
        let now = tx.now;
        let until = now + ttl;
        let replicas = say_alive(&mut tx, replica, until).await?;
        extend(&mut tx, replica, until).await?;
        take(&mut tx, replica, until, claim).await?;
        let owned = owned(&mut tx, replica).await?;
        tx.commit().await?;
        Ok(Beat {
            owned,
            replicas,
            now,
        })
    }

    async fn retire(&self, replica: &ReplicaId, ttl: Duration) -> Result<Beat> {
        let mut tx = self.begin().await?;
        let now = tx.now;
        let until = now + ttl;
        strike(&mut tx, replica).await?;
        extend(&mut tx, replica, until).await?;
        let owned = owned(&mut tx, replica).await?;
        let replicas = 1 + others(&mut tx, replica, until).await?;
        tx.commit().await?;
        Ok(Beat {
            owned,
            replicas,
            now,
        })
    }

    async fn release(&self, replica: &ReplicaId, shards: &[ShardId]) -> Result<()> {
        let mut tx = self.begin().await?;
        give_up(&mut tx, replica, Some(shards)).await?;
        tx.commit().await
    }

    async fn leave(&self, replica: &ReplicaId) -> Result<()> {
        let mut tx = self.begin().await?;
        strike(&mut tx, replica).await?;
        give_up(&mut tx, replica, None).await?;
        tx.commit().await
    }
}

/// Takes a replica off the list.
async fn strike(tx: &mut Tx, replica: &ReplicaId) -> Result<()> {
    sqlx::query("delete from replicas where replica = $1")
        .bind(replica.as_str())
        .execute(&mut *tx.inner)
        .await?;
    Ok(())
}

/// How many others live.
async fn others(tx: &mut Tx, replica: &ReplicaId, until: DateTime<Utc>) -> Result<u32> {
    let others: i64 = sqlx::query_scalar(
        "select count(*) from replicas where replica <> $1 and expires_at > $2 and expires_at < $3",
    )
    .bind(replica.as_str())
    .bind(tx.micros())
    .bind(micros(until + TOO_FAR))
    .fetch_one(&mut *tx.inner)
    .await?;
    Ok(u32::try_from(others).unwrap_or(u32::MAX - 1))
}

/// Writes that the replica lives; gives how many live. Those that died long ago are swept out.
async fn say_alive(tx: &mut Tx, replica: &ReplicaId, until: DateTime<Utc>) -> Result<u32> {
    sqlx::query("delete from replicas where expires_at < $1")
        .bind(micros(tx.now - TimeDelta::days(1)))
        .execute(&mut *tx.inner)
        .await?;
    sqlx::query(
        "insert into replicas (replica, expires_at) values ($1, $2)
         on conflict (replica) do update set expires_at = excluded.expires_at",
    )
    .bind(replica.as_str())
    .bind(micros(until))
    .execute(&mut *tx.inner)
    .await?;
    // The caller lives by asking, however short its time to live.
    Ok(others(tx, replica, until).await? + 1)
}

/// Extends what the replica owns.
async fn extend(tx: &mut Tx, replica: &ReplicaId, until: DateTime<Utc>) -> Result<()> {
    sqlx::query("update leases set expires_at = $2 where owner = $1")
        .bind(replica.as_str())
        .bind(micros(until))
        .execute(&mut *tx.inner)
        .await?;
    Ok(())
}

/// Takes free and expired leases over, each with a new epoch.
async fn take(tx: &mut Tx, replica: &ReplicaId, until: DateTime<Utc>, claim: u32) -> Result<()> {
    if claim == 0 {
        return Ok(());
    }
    sqlx::query(
        "update leases set epoch = epoch + 1, owner = $1, expires_at = $2
         where shard in (select shard from leases
            where (owner is null or (owner <> $1 and (expires_at <= $4 or expires_at > $5)))
                and not exists (select 1 from lineage where recovering_since is not null)
            order by shard limit $3)",
    )
    .bind(replica.as_str())
    .bind(micros(until))
    .bind(i64::from(claim))
    .bind(tx.micros())
    .bind(micros(until + TOO_FAR))
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// What the replica owns, by shard.
async fn owned(tx: &mut Tx, replica: &ReplicaId) -> Result<Vec<Fence>> {
    let found = sqlx::query("select shard, epoch from leases where owner = $1 order by shard")
        .bind(replica.as_str())
        .fetch_all(&mut *tx.inner)
        .await?;
    found.iter().map(rows::fence).collect()
}

/// Gives these shards up, or all; wakes those who may want them. The epoch moves when the next
/// owner takes over; until then nobody's write passes, as the lease is expired.
async fn give_up(tx: &mut Tx, replica: &ReplicaId, shards: Option<&[ShardId]>) -> Result<()> {
    let rows = sqlx::query(
        "update leases set owner = null, expires_at = $3
         where owner = $1 and ($2 is null or shard in (select value from json_each($2)))
         returning shard",
    )
    .bind(replica.as_str())
    .bind(shards.map(to_json))
    .bind(tx.micros())
    .fetch_all(&mut *tx.inner)
    .await?;
    let released: BTreeSet<ShardId> = rows.iter().map(shard).collect::<Result<_>>()?;
    let told = Told {
        released: &released,
        ..Told::default()
    };
    tell(tx, told).await
}
