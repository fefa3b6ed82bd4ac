//! What a transaction looks at before calls: leases and accounts; and the wake that it leaves for
//! others when it commits.

use std::collections::{BTreeMap, BTreeSet};

use super::Tx;
use super::values::batch;
use crate::domain::ids::{AccountId, ShardId};
use crate::store::rules::Locked;
use crate::store::values::{id, to_json};
use crate::store::wakes::Told;
use crate::store::{Fence, Result, rows};

/// So many wakes are kept: far more than come between two looks of a listener.
const KEPT: i64 = 1000;

/// The leases that are still the caller's; they stay so to the transaction's end.
pub(super) async fn held(
    tx: &mut Tx,
    fences: impl IntoIterator<Item = Fence>,
) -> Result<BTreeSet<Fence>> {
    let asked: BTreeSet<Fence> = fences.into_iter().collect();
    let found = sqlx::query(
        "select shard, epoch from leases
         where shard in (select value from json_each($1)) and expires_at > $2",
    )
    .bind(batch(&asked, |fence| fence.shard))
    .bind(tx.micros())
    .fetch_all(&mut *tx.inner)
    .await?;
    let mut held = BTreeSet::new();
    for row in &found {
        let fence = rows::fence(row)?;
        held.extend(asked.contains(&fence).then_some(fence));
    }
    Ok(held)
}

/// These accounts, as they stay to the transaction's end; those unknown are left out.
pub(super) async fn accounts(
    tx: &mut Tx,
    accounts: &BTreeSet<&AccountId>,
) -> Result<BTreeMap<AccountId, Locked>> {
    let found = sqlx::query(
        "select account, shard, generation, org, status, health, data_key from accounts
         where account in (select value from json_each($1))",
    )
    .bind(to_json(accounts))
    .fetch_all(&mut *tx.inner)
    .await?;
    found
        .iter()
        .map(|row| Ok((id(row, "account")?, rows::locked(row)?)))
        .collect()
}

/// Inserts those accounts that are not known yet, unlinked.
pub(super) async fn insert_accounts<'a>(
    tx: &mut Tx,
    accounts: impl Iterator<Item = &'a AccountId>,
) -> Result<()> {
    sqlx::query(
        "insert into accounts (account, shard, since)
         select value ->> 0, value ->> 1, $2 from json_each($1) where true
         on conflict (account) do nothing",
    )
    .bind(batch(accounts, |account| {
        (account, ShardId::of(account, None))
    }))
    .bind(tx.micros())
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// Wakes whom it concerns when the transaction commits, unless there is nothing to tell.
pub(super) async fn tell(tx: &mut Tx, told: Told<'_>) -> Result<()> {
    let Some(payload) = told.payload() else {
        return Ok(());
    };
    let wake = sqlx::query("insert into wakes (payload) values ($1)")
        .bind(payload)
        .execute(&mut *tx.inner)
        .await?
        .last_insert_rowid();
    sqlx::query("delete from wakes where wake <= $1")
        .bind(wake - KEPT)
        .execute(&mut *tx.inner)
        .await?;
    Ok(())
}
