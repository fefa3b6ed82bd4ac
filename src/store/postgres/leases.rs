//! Leases: who owns which shard.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::fence::tell;
use super::{Postgres, Result, Tx};
use crate::domain::ids::{ReplicaId, ShardId};
use crate::store::leases::{Beat, TOO_FAR};
use crate::store::values::{shard, shard_column};
use crate::store::wakes::Told;
use crate::store::{Fence, Leases, rows};

#[async_trait]
impl Leases for Postgres {
    async fn beat(&self, replica: &ReplicaId, ttl: Duration, claim: u32) -> Result<Beat> {
        let mut tx = self.begin_beat().await?;
        let (replicas, now) = say_alive(&mut tx, replica, ttl).await?;
        extend(&mut tx, replica, ttl).await?;
        take(&mut tx, replica, ttl, claim).await?;
        let owned = owned(&mut tx, replica).await?;
        tx.commit().await?;
        Ok(Beat {
            owned,
            replicas,
            now,
        })
    }

    async fn retire(&self, replica: &ReplicaId, ttl: Duration) -> Result<Beat> {
        let mut tx = self.begin_beat().await?;
        strike(&mut tx, replica).await?;
        extend(&mut tx, replica, ttl).await?;
        let owned = owned(&mut tx, replica).await?;
        let (replicas, now) = alive(&mut tx, replica, ttl).await?;
        tx.commit().await?;
        Ok(Beat {
            owned,
            replicas,
            now,
        })
    }

    async fn release(&self, replica: &ReplicaId, shards: &[ShardId]) -> Result<()> {
        let mut tx = self.begin_beat().await?;
        let shards: Vec<i16> = shards.iter().map(|shard| shard_column(*shard)).collect();
        give_up(&mut tx, replica, Some(shards)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn leave(&self, replica: &ReplicaId) -> Result<()> {
        let mut tx = self.begin_beat().await?;
        strike(&mut tx, replica).await?;
        give_up(&mut tx, replica, None).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Takes a replica off the list.
async fn strike(tx: &mut Tx, replica: &ReplicaId) -> Result<()> {
    sqlx::query("delete from replicas where replica = $1")
        .bind(replica.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// How many live, the caller included, and the time. It lives by asking, however short its time to live.
async fn alive(tx: &mut Tx, replica: &ReplicaId, ttl: Duration) -> Result<(u32, DateTime<Utc>)> {
    let (others, now): (i64, DateTime<Utc>) = sqlx::query_as(
        "select count(*), clock_timestamp() from replicas
         where replica <> $1 and expires_at > clock_timestamp()
            and expires_at < clock_timestamp() + make_interval(secs => $2)",
    )
    .bind(replica.as_str())
    .bind((ttl + TOO_FAR).as_secs_f64())
    .fetch_one(&mut **tx)
    .await?;
    Ok((u32::try_from(others).unwrap_or(u32::MAX - 1) + 1, now))
}

/// Writes that the replica lives; gives how many live, and the time. Those that died long ago are swept
/// out.
async fn say_alive(
    tx: &mut Tx,
    replica: &ReplicaId,
    ttl: Duration,
) -> Result<(u32, DateTime<Utc>)> {
    sqlx::query("delete from replicas where expires_at < clock_timestamp() - interval '1 day'")
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into replicas (replica, expires_at)
         values ($1, clock_timestamp() + make_interval(secs => $2))
         on conflict (replica) do update set expires_at = excluded.expires_at",
    )
    .bind(replica.as_str())
    .bind(ttl.as_secs_f64())
    .execute(&mut **tx)
    .await?;
    alive(tx, replica, ttl).await
}

/// Extends what the replica owns. A lease that another takes at this moment is waited for, and
/// then no longer matches.
async fn extend(tx: &mut Tx, replica: &ReplicaId, ttl: Duration) -> Result<()> {
    sqlx::query(
        "update leases set expires_at = clock_timestamp() + make_interval(secs => $2)
         where owner = $1",
    )
    .bind(replica.as_str())
    .bind(ttl.as_secs_f64())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes free and expired leases over, each with a new epoch. One whose row is locked is passed
/// over: somebody takes it, or its last owner is about to commit; the next heartbeat sees.
async fn take(tx: &mut Tx, replica: &ReplicaId, ttl: Duration, claim: u32) -> Result<()> {
    if claim == 0 {
        return Ok(());
    }
    sqlx::query(
        "with free as (
            select shard from leases
            where (owner is null or (owner <> $1 and (expires_at <= clock_timestamp()
                    or expires_at > clock_timestamp() + make_interval(secs => $4))))
                and not exists (select from lineage where recovering_since is not null)
            order by shard limit $3 for update skip locked)
         update leases set epoch = epoch + 1, owner = $1,
            expires_at = clock_timestamp() + make_interval(secs => $2)
         from free where leases.shard = free.shard",
    )
    .bind(replica.as_str())
    .bind(ttl.as_secs_f64())
    .bind(i64::from(claim))
    .bind((ttl + TOO_FAR).as_secs_f64())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What the replica owns, by shard.
async fn owned(tx: &mut Tx, replica: &ReplicaId) -> Result<Vec<Fence>> {
    let found = sqlx::query("select shard, epoch from leases where owner = $1 order by shard")
        .bind(replica.as_str())
        .fetch_all(&mut **tx)
        .await?;
    found.iter().map(rows::fence).collect()
}

/// Gives these shards up, or all; wakes those who may want them. The epoch moves when the next
/// owner takes over; until then nobody's write passes, as the lease is expired.
async fn give_up(tx: &mut Tx, replica: &ReplicaId, shards: Option<Vec<i16>>) -> Result<()> {
    let rows = sqlx::query(
        "update leases set owner = null, expires_at = clock_timestamp()
         where owner = $1 and ($2::smallint[] is null or shard = any($2))
         returning shard",
    )
    .bind(replica.as_str())
    .bind(shards)
    .fetch_all(&mut **tx)
    .await?;
    let released: BTreeSet<ShardId> = rows.iter().map(shard).collect::<Result<_>>()?;
    let told = Told {
        released: &released,
        ..Told::default()
    };
    tell(tx, told).await
}
