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
/// transaction commits.
pub(super) async fn wake(
    connection: &mut PgConnection,
    shards: &BTreeSet<ShardId>,
    accounts: &[&AccountId],
) -> Result<()> {
    let told = Told {
        shards,
        accounts,
        ..Told::default()
    };
    told.send(connection).await
}

/// Wakes the owners of these shards, but for listeners of the store with this name: its process
/// knows already.
pub(super) async fn wake_others(
    connection: &mut PgConnection,
    shards: &BTreeSet<ShardId>,
    origin: &str,
) -> Result<()> {
    let told = Told {
        shards,
        origin,
        ..Told::default()
    };
    told.send(connection).await
}

/// Wakes those who may want these shards, which were given up.
pub(super) async fn tell_of_released(
    connection: &mut PgConnection,
    released: &BTreeSet<ShardId>,
) -> Result<()> {
    let told = Told {
        released,
        ..Told::default()
    };
    told.send(connection).await
}

/// What one notification tells.
struct Told<'a> {
    /// Shards with work.
    shards: &'a BTreeSet<ShardId>,
    /// Accounts whose link changed.
    accounts: &'a [&'a AccountId],
    /// Shards that are free.
    released: &'a BTreeSet<ShardId>,
    /// The store that knows already; empty: nobody does.
    origin: &'a str,
}

impl Default for Told<'_> {
    fn default() -> Self {
        const NONE: &BTreeSet<ShardId> = &BTreeSet::new();
        Self {
            shards: NONE,
            accounts: &[],
            released: NONE,
            origin: "",
        }
    }
}

impl Told<'_> {
    /// Sends it, unless there is nothing to tell. One notification whatever the number; a payload
    /// holds 7,999 bytes, and all 256 shards with a few accounts stay far below.
    async fn send(self, connection: &mut PgConnection) -> Result<()> {
        if self.shards.is_empty() && self.accounts.is_empty() && self.released.is_empty() {
            return Ok(());
        }
        let joined = |shards: &BTreeSet<ShardId>| {
            let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
            shards.join(",")
        };
        let accounts: Vec<&str> = self.accounts.iter().map(|a| a.as_str()).collect();
        let payload = [
            joined(self.shards),
            accounts.join(","),
            joined(self.released),
            self.origin.to_owned(),
        ];
        sqlx::query("select pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(payload.join(";"))
            .execute(connection)
            .await?;
        Ok(())
    }
}
