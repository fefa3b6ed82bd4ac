//! The data keys of accounts: each seals what is stored about one account's callers, and is itself
//! sealed by the key ring. Destroying one erases all that it sealed, wherever that still lies.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::inbox::{IngestCall, LookupRow};
use super::journal::OutcomeRow;
use super::rules::Locked;
use super::values::{Columns, id, sealed};
use super::{Error, Result, Sealed};
use crate::domain::ids::{AccountId, KeyId};

/// A data key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// Whose.
    pub account: AccountId,
    /// What stands at the head of each value that it sealed. Never used again.
    pub id: KeyId,
    /// The key, sealed by the ring.
    pub sealed: Sealed,
}

/// What became of a wish to destroy an account's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnd {
    /// There is none any more, and nothing that it sealed opens again.
    Destroyed,
    /// It stays: calls that are not over have content, or events about calls wait to be published.
    InUse,
    /// It stays: the account is linked.
    Linked,
}

/// The room of data keys.
///
/// An account has at most one key at a time. Whatever writes a value under a data key refuses it
/// with [`Error::KeyGone`], and all that was to be written with it, unless the key is the one that the
/// account has when the transaction commits. So no key is missed by a value that was sealed by it
/// while it was destroyed.
#[async_trait]
pub trait AccountKeys: Send + Sync {
    /// The keys that these accounts have; those without are left out.
    async fn current_keys(&self, accounts: &BTreeSet<AccountId>) -> Result<Vec<AccountKey>>;

    /// Gives each of these keys to its account, unless that has one, and says which each account has
    /// then. An account that is not known yet gets its row, unlinked.
    async fn keep_keys(&self, made: &[AccountKey]) -> Result<Vec<AccountKey>>;

    /// Those of these keys that are not destroyed.
    async fn keys_by_id(&self, ids: &BTreeSet<KeyId>) -> Result<Vec<AccountKey>>;

    /// Destroys the key of an account, if it has one and nothing needs it.
    async fn destroy_key(&self, account: &AccountId) -> Result<KeyEnd>;

    /// Whether accounts have keys that are missing, all of them: the database was restored without
    /// the content of the table that holds them.
    async fn lacks_all_keys(&self) -> Result<bool>;
}

/// A key, from the columns of its fields.
pub(super) fn account_key(row: &impl Columns) -> Result<AccountKey> {
    Ok(AccountKey {
        account: id(row, "account")?,
        id: id(row, "id")?,
        sealed: sealed(row, "sealed")?,
    })
}

/// A value under a data key, and whose it is.
pub(super) type Under<'a> = (&'a AccountId, &'a Sealed);

/// Refuses values that are not sealed by the key that their account has.
pub(super) fn check_keys<'a>(
    accounts: &BTreeMap<AccountId, Locked>,
    values: impl IntoIterator<Item = Under<'a>>,
) -> Result<()> {
    let is_gone = |(account, value): &Under<'_>| {
        let key = accounts.get(*account).and_then(|a| a.key.as_ref());
        key.is_none() || value.key().as_ref() != key
    };
    let gone = values.into_iter().filter(is_gone);
    let accounts: BTreeSet<AccountId> = gone.map(|(account, _)| account.clone()).collect();
    if accounts.is_empty() {
        Ok(())
    } else {
        Err(Error::KeyGone { accounts })
    }
}

impl IngestCall {
    /// What of it is sealed by its account's key.
    pub(super) fn under_key(&self) -> impl Iterator<Item = Under<'_>> {
        let started = self.started.iter().map(|started| &started.body);
        let ended = self.ended.iter().map(|ended| &ended.body);
        let too_old = self.too_old.iter().map(|event| &event.body);
        let values = started.chain(ended).chain(too_old);
        values.map(|value| (&self.id.account, value))
    }
}

impl LookupRow {
    /// What of it is sealed by its account's key.
    pub(super) fn under_key(&self) -> impl Iterator<Item = Under<'_>> {
        let event = self.event.iter().map(|event| &event.body);
        let values = event.chain([&self.answer]);
        values.map(|value| (&self.id.account, value))
    }
}

impl OutcomeRow {
    /// What of it is sealed by its account's key.
    pub(super) fn under_key(&self) -> impl Iterator<Item = Under<'_>> {
        let events = self.event.iter();
        events.map(|event| (&self.call.account, &event.body))
    }
}
