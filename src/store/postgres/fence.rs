//! What a transaction locks before it looks at calls: leases, then accounts; and the wake that it
//! leaves for others when it commits.

use std::collections::{BTreeMap, BTreeSet};

use super::Session;
use crate::clock;
use crate::domain::ids::{AccountId, ShardId};
use crate::store::leases::CLOCKS_DIFFER_AT_MOST;
use crate::store::rules::Locked;
use crate::store::values::{id, shard_column};
use crate::store::wakes::Told;
use crate::store::{Fence, Result, rows};

/// The channel of wakes; see [`Inbox::listen`](crate::store::Inbox::listen).
pub(super) const CHANNEL: &str = "vcc_link_wake";

/// Locks these leases in key-share mode; gives those that are still the caller's. None is, where its clock
/// and the database's differ: see [`CLOCKS_DIFFER_AT_MOST`].
pub(super) async fn held(
    connection: &mut Session,
    fences: impl IntoIterator<Item = Fence>,
) -> Result<BTreeSet<Fence>> {
    let asked: BTreeSet<Fence> = fences.into_iter().collect();
    let shards: Vec<i16> = asked
        .iter()
        .map(|fence| shard_column(fence.shard))
        .collect();
    let now = clock::now();
    let found = sqlx::query(
        "select shard, epoch from leases
         where shard = any($1) and expires_at > clock_timestamp()
            and clock_timestamp() between $2 and $3
         order by shard for key share",
    )
    .bind(shards)
    .bind(now - CLOCKS_DIFFER_AT_MOST)
    .bind(now + CLOCKS_DIFFER_AT_MOST)
    .fetch_all(connection)
    .await?;
    let mut held = BTreeSet::new();
    for row in &found {
        let fence = rows::fence(row)?;
        held.extend(asked.contains(&fence).then_some(fence));
    }
    Ok(held)
}

/// Locks these accounts in key-share mode; those unknown are left out.
pub(super) async fn lock_accounts(
    connection: &mut Session,
    accounts: &BTreeSet<&AccountId>,
) -> Result<BTreeMap<AccountId, Locked>> {
    let names: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
    let found = sqlx::query(
        "select account, shard, generation, org, status, health, data_key from accounts
         where account = any($1) order by account for key share",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| Ok((id(row, "account")?, rows::locked(row)?)))
        .collect()
}

/// Inserts accounts that are not known yet, unlinked, sorted.
pub(super) async fn insert_accounts<'a>(
    connection: &mut Session,
    accounts: impl Iterator<Item = &'a AccountId>,
) -> Result<()> {
    let (names, shards): (Vec<&str>, Vec<i16>) = accounts
        .map(|account| (account.as_str(), shard_column(ShardId::of(account, None))))
        .unzip();
    sqlx::query(
        "insert into accounts (account, shard)
         select * from unnest($1::text[], $2::smallint[]) on conflict (account) do nothing",
    )
    .bind(names)
    .bind(shards)
    .execute(connection)
    .await?;
    Ok(())
}

/// Wakes whom it concerns when the transaction commits, unless there is nothing to tell. One
/// notification whatever the number; its payload may hold 7,999 bytes.
pub(super) async fn tell(connection: &mut Session, told: Told<'_>) -> Result<()> {
    let Some(payload) = told.payload() else {
        return Ok(());
    };
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(payload)
        .execute(connection)
        .await?;
    Ok(())
}
