//! Wakes as a text, for databases to carry: what one transaction tells, and what was heard.

use std::collections::BTreeSet;

use super::inbox::Wake;
use crate::domain::ids::{AccountId, SHARDS, ShardId};

/// So many accounts are told of in one wake at most: their names may be long, and a payload holds
/// 7,999 bytes.
pub(super) const ACCOUNTS_TOLD: usize = 25;

/// What one transaction tells.
pub(super) struct Told<'a> {
    /// Shards with work.
    pub(super) shards: &'a BTreeSet<ShardId>,
    /// Accounts whose link changed, or of which attempts were opened again.
    pub(super) accounts: &'a [&'a AccountId],
    /// Shards that are free.
    pub(super) released: &'a BTreeSet<ShardId>,
    /// The store that knows already; empty: nobody does.
    pub(super) origin: &'a str,
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
    /// As a text, unless there is nothing to tell. All 256 shards with a few accounts take some
    /// 2,000 bytes.
    pub(super) fn payload(&self) -> Option<String> {
        if self.shards.is_empty() && self.accounts.is_empty() && self.released.is_empty() {
            return None;
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
        Some(payload.join(";"))
    }
}

/// Wakes that came together, each shard and account once.
#[derive(Default)]
pub(super) struct Gathered {
    /// Shards with work that their owner has not seen.
    shards: BTreeSet<ShardId>,
    /// Shards that were given up.
    released: BTreeSet<ShardId>,
    /// Accounts whose link changed.
    accounts: BTreeSet<AccountId>,
}

impl Gathered {
    /// Takes a payload in, unless it comes from the listener's own store; what is not understood
    /// is left out, as a wake is only a hint.
    pub(super) fn read(&mut self, payload: &str, own: &str) {
        let mut parts = payload.split(';');
        let mut part = || parts.next().unwrap_or_default();
        let (shards, accounts, released, origin) = (part(), part(), part(), part());
        if origin == own {
            return;
        }
        let read = |shards: &str| -> Vec<ShardId> {
            let shards = shards.split(',').filter_map(|s| s.parse().ok());
            shards.map(ShardId).collect()
        };
        self.shards.extend(read(shards));
        self.released.extend(read(released));
        self.accounts
            .extend(accounts.split(',').filter_map(|a| a.parse().ok()));
    }

    /// Wakes every shard.
    pub(super) fn all_shards(&mut self) {
        self.shards.extend((0..SHARDS).map(ShardId));
    }

    /// Whether nothing was told.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty() && self.released.is_empty() && self.accounts.is_empty()
    }

    /// The wake.
    pub(super) fn into_wake(self) -> Wake {
        Wake {
            shards: self.shards.into_iter().collect(),
            released: self.released.into_iter().collect(),
            accounts: self.accounts.into_iter().collect(),
        }
    }
}
