//! What a transaction locks before it looks at calls: leases, then accounts; and the wake that it
//! leaves for others when it commits.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::values::{from_word, get, id, id_opt, shard, shard_column};
use crate::domain::ids::{AccountId, Epoch, Generation, ShardId};
use crate::domain::link::{Health, LinkStatus};
use crate::store::rules::LiveLink;
use crate::store::{Fence, Result};

/// The channel of wakes; see [`Inbox::listen`](crate::store::Inbox::listen).
pub(super) const CHANNEL: &str = "vcc_link_wake";

/// Locks these leases in key-share mode; gives those that are still the caller's.
pub(super) async fn held(
    connection: &mut PgConnection,
    fences: impl IntoIterator<Item = Fence>,
) -> Result<BTreeSet<Fence>> {
    let asked: BTreeSet<Fence> = fences.into_iter().collect();
    let shards: Vec<i16> = asked
        .iter()
        .map(|fence| shard_column(fence.shard))
        .collect();
    let rows = sqlx::query(
        "select shard, epoch from leases
         where shard = any($1) and expires_at > clock_timestamp()
         order by shard for key share",
    )
    .bind(shards)
    .fetch_all(connection)
    .await?;
    let mut held = BTreeSet::new();
    for row in &rows {
        let fence = Fence {
            shard: shard(row)?,
            epoch: Epoch(get(row, "epoch")?),
        };
        held.extend(asked.contains(&fence).then_some(fence));
    }
    Ok(held)
}

/// An account's row, locked in key-share mode.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    /// Where its work lies, until the transaction ends.
    pub(super) shard: ShardId,
    /// Its link, until the transaction ends.
    pub(super) link: LiveLink,
}

/// Locks these accounts in key-share mode; those unknown are left out.
pub(super) async fn lock_accounts(
    connection: &mut PgConnection,
    accounts: &BTreeSet<&AccountId>,
) -> Result<BTreeMap<AccountId, Locked>> {
    let names: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
    let rows = sqlx::query(
        "select account, shard, generation, org, status, health from accounts
         where account = any($1) order by account for key share",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    let mut locked = BTreeMap::new();
    for row in &rows {
        let status: LinkStatus = from_word(row, "status")?;
        let health: Health = from_word(row, "health")?;
        let link = LiveLink {
            generation: Generation(get(row, "generation")?),
            org: id_opt(row, "org")?,
            live: status != LinkStatus::Unlinked && health != Health::Broken,
        };
        locked.insert(
            id(row, "account")?,
            Locked {
                shard: shard(row)?,
                link,
            },
        );
    }
    Ok(locked)
}

/// Wakes the owners of these shards, and those who cache these accounts' links, when the
/// transaction commits. One notification whatever the number; a payload holds 7,999 bytes, and
/// all 256 shards with a few accounts stay far below.
pub(super) async fn wake(
    connection: &mut PgConnection,
    shards: &BTreeSet<ShardId>,
    accounts: &[&AccountId],
) -> Result<()> {
    if shards.is_empty() && accounts.is_empty() {
        return Ok(());
    }
    let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
    let accounts: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(format!("{};{}", shards.join(","), accounts.join(",")))
        .execute(connection)
        .await?;
    Ok(())
}
