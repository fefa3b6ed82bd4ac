//! What is stored about callers, sealed and opened by the data keys of their accounts.
//!
//! A data key is itself sealed by the ring, and kept by the store, which forgets it when its account is
//! erased. Here keys are held opened for a while, so that a batch asks the store for those alone that it
//! meets for the first time, all at once. What works with the keys of a batch is pure
//! ([`SealingKeys`], [`OpeningKeys`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Sealer, body_of, context_of, form};
use crate::crypto::{self, Context, DataKey};
use crate::domain::call::{Call, CallEnded, CallStarted};
use crate::domain::event::Published;
use crate::domain::ids::{AccountId, CallId, KeyId, ShardId};
use crate::domain::matching::LookupAnswer;
use crate::domain::phone::{self, Number};
use crate::store::account_keys::AccountKey;
use crate::store::inbox::StoredCall;
use crate::store::outbox::OutboxRow;
use crate::store::rings::{BodyKind, Place};
use crate::store::{self, Sealed, Store};

/// Opened keys that are held at most, of those that seal and of those that open.
const HELD: u64 = 50_000;

/// How long an opened key is held. So long a process may still open what an erased account had.
const HELD_FOR: Duration = Duration::from_mins(10);

/// Seals and opens what is about callers. Cheap to share: all clones hold the same keys.
#[derive(Clone)]
pub struct Vault {
    /// Where the keys are kept.
    store: Arc<dyn Store>,
    /// What opens them.
    sealer: Sealer,
    /// Keys that seal, as this process knows: another may have had them destroyed since.
    current: Cache<AccountId, Arc<DataKey>>,
    /// Keys that open.
    opened: Cache<KeyId, Arc<DataKey>>,
}

impl Vault {
    /// The data keys of a store, sealed by this ring.
    pub fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        Self {
            store,
            sealer,
            current: held(),
            opened: held(),
        }
    }

    /// Writes what is sealed by the keys of these accounts, which are made where there are none. `write`
    /// seals and stores. If the store says that a key is gone, it is called once more with the keys that
    /// the accounts have by then, and whoever repeats this comes with new ones, too.
    pub async fn seal<T, F>(
        &self,
        accounts: &BTreeSet<AccountId>,
        mut write: impl FnMut(SealingKeys) -> F,
    ) -> store::Result<T>
    where
        F: Future<Output = store::Result<T>>,
    {
        let written = write(self.sealing(accounts).await?).await;
        let Err(store::Error::KeyGone { accounts: erased }) = &written else {
            return written;
        };
        self.forget(erased);
        let again = write(self.sealing(accounts).await?).await;
        if let Err(store::Error::KeyGone { accounts: erased }) = &again {
            self.forget(erased);
        }
        again
    }

    /// Those of these keys that are not destroyed, to open with.
    pub async fn open(&self, ids: BTreeSet<KeyId>) -> store::Result<OpeningKeys> {
        let mut keys = HashMap::new();
        let mut missing = BTreeSet::new();
        for id in ids {
            match self.opened.get(&id) {
                Some(key) => drop(keys.insert(id, Ok(key))),
                None => drop(missing.insert(id)),
            }
        }
        if !missing.is_empty() {
            for stored in self.store.keys_by_id(&missing).await? {
                let key = self.take(&stored);
                keys.insert(stored.id, key);
            }
        }
        Ok(OpeningKeys(keys))
    }

    /// The keys that these accounts have; they get one where they have none.
    async fn sealing(&self, accounts: &BTreeSet<AccountId>) -> store::Result<SealingKeys> {
        let mut keys = HashMap::new();
        let mut missing = BTreeSet::new();
        for account in accounts {
            match self.current.get(account) {
                Some(key) => drop(keys.insert(account.clone(), key)),
                None => drop(missing.insert(account.clone())),
            }
        }
        if !missing.is_empty() {
            for stored in self.load_or_make(missing).await? {
                let key = self.take(&stored).map_err(|error| shut(&stored, error))?;
                self.current
                    .insert(stored.account.clone(), Arc::clone(&key));
                keys.insert(stored.account, key);
            }
        }
        Ok(SealingKeys(Arc::new(keys)))
    }

    /// The keys of these accounts as they are stored.
    async fn load_or_make(
        &self,
        mut missing: BTreeSet<AccountId>,
    ) -> store::Result<Vec<AccountKey>> {
        let mut stored = self.store.current_keys(&missing).await?;
        for key in &stored {
            missing.remove(&key.account);
        }
        if !missing.is_empty() {
            let make = |account: AccountId| {
                let (key, sealed) = self.sealer.keys().make_data_key(&account);
                AccountKey {
                    account,
                    id: key.id().clone(),
                    sealed: Sealed(sealed),
                }
            };
            let made: Vec<AccountKey> = missing.into_iter().map(make).collect();
            stored.extend(self.store.keep_keys(&made).await?);
        }
        Ok(stored)
    }

    /// Opens a key, and holds it.
    fn take(&self, stored: &AccountKey) -> Result<Arc<DataKey>, crypto::Error> {
        let AccountKey {
            account,
            id,
            sealed,
        } = stored;
        let key = self.sealer.keys().open_data_key(account, id, &sealed.0)?;
        let key = Arc::new(key);
        self.opened.insert(id.clone(), Arc::clone(&key));
        Ok(key)
    }

    /// Forgets the keys of these accounts.
    fn forget(&self, accounts: &BTreeSet<AccountId>) {
        for account in accounts {
            if let Some(key) = self.current.remove(account) {
                self.opened.invalidate(key.id());
            }
        }
    }
}

/// Keys that are held for a while.
fn held<K>() -> Cache<K, Arc<DataKey>>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(HELD)
        .time_to_live(HELD_FOR)
        .build()
}

/// That a key does not open, for whoever waits for it.
fn shut(stored: &AccountKey, error: crypto::Error) -> store::Error {
    store::Error::KeyShut {
        account: stored.account.clone(),
        source: Box::new(error),
    }
}

/// The keys that seal for the accounts of a batch.
#[derive(Clone)]
pub struct SealingKeys(Arc<HashMap<AccountId, Arc<DataKey>>>);

impl SealingKeys {
    /// Keys for these accounts that are stored nowhere, for tests.
    #[cfg(test)]
    pub(crate) fn for_tests(accounts: &[&AccountId]) -> Self {
        let sealer = Sealer::for_tests();
        let make = |account: &&AccountId| {
            let (key, _) = sealer.keys().make_data_key(account);
            ((*account).clone(), Arc::new(key))
        };
        Self(Arc::new(accounts.iter().map(make).collect()))
    }

    /// Seals a call's begin.
    pub fn started(&self, body: &CallStarted) -> Sealed {
        self.body(&body.facts.id, BodyKind::Started, body)
    }

    /// Seals a call's end.
    pub fn ended(&self, body: &CallEnded) -> Sealed {
        self.body(&body.facts.id, BodyKind::Ended, body)
    }

    /// Seals a lookup's answer.
    pub fn answer(&self, call: &CallId, answer: &LookupAnswer) -> Sealed {
        self.body(call, BodyKind::Lookup, answer)
    }

    /// Seals an event that tells of a call, as the row that its relay will read.
    pub fn event(&self, shard: ShardId, call: &CallId, event: &Published) -> OutboxRow {
        let id = event.id();
        let context = Context::Event { id: id.clone() };
        OutboxRow {
            id,
            shard,
            topic: event.topic(),
            body: self.seal(&call.account, &context, event),
        }
    }

    /// Seals a body of a call.
    fn body<T: Serialize>(&self, call: &CallId, kind: BodyKind, body: &T) -> Sealed {
        self.seal(&call.account, &body_of(call, kind), body)
    }

    /// Seals a value by its account's key.
    fn seal<T: Serialize>(&self, account: &AccountId, context: &Context, value: &T) -> Sealed {
        let key = self.0.get(account);
        let key = key.expect("a batch comes with the keys of all its accounts");
        Sealed(key.seal(context, &form(value)))
    }
}

/// The keys that open the values of a batch. One that is not there was destroyed: what it sealed is as
/// if it were erased.
pub struct OpeningKeys(HashMap<KeyId, Result<Arc<DataKey>, crypto::Error>>);

impl OpeningKeys {
    /// Opens a stored call.
    pub fn call(&self, stored: &StoredCall) -> Result<Call, Error> {
        let id = &stored.id;
        Ok(Call {
            id: id.clone(),
            started: self.body(id, BodyKind::Started, stored.started.as_ref())?,
            ended: self.body(id, BodyKind::Ended, stored.ended.as_ref())?,
            lookup: self.body(id, BodyKind::Lookup, stored.lookup.as_ref())?,
        })
    }

    /// Opens an event that tells of a call; `None`: its account was erased.
    pub fn event(&self, row: &OutboxRow) -> Result<Option<Published>, Error> {
        let context = Context::Event { id: row.id.clone() };
        self.open(&context, &row.body, "event")
    }

    /// Whether this number stands in a value.
    pub fn mentions(&self, place: &Place, sealed: &Sealed, number: &Number) -> Result<bool, Error> {
        let plain = self.plain(&context_of(place), sealed)?;
        let is_in = |plain: Vec<u8>| phone::is_mentioned(number, &String::from_utf8_lossy(&plain));
        Ok(plain.is_some_and(is_in))
    }

    /// Opens one body of a call, if it is there.
    fn body<T: DeserializeOwned>(
        &self,
        call: &CallId,
        kind: BodyKind,
        sealed: Option<&Sealed>,
    ) -> Result<Option<Box<T>>, Error> {
        match sealed {
            Some(sealed) => self.open(&body_of(call, kind), sealed, kind.as_str()),
            None => Ok(None),
        }
    }

    /// Opens a value; `what` names it in the error.
    fn open<T: DeserializeOwned>(
        &self,
        context: &Context,
        sealed: &Sealed,
        what: &'static str,
    ) -> Result<Option<T>, Error> {
        let Some(plain) = self.plain(context, sealed)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&plain).map_err(|_| Error::Form { what })?;
        Ok(Some(value))
    }

    /// The bytes of a value, unless its key was destroyed.
    fn plain(&self, context: &Context, sealed: &Sealed) -> Result<Option<Vec<u8>>, Error> {
        let id = sealed.key().ok_or(crypto::Error::Tampered)?;
        match self.0.get(&id) {
            Some(Ok(key)) => Ok(Some(key.open(context, &sealed.0)?)),
            Some(Err(error)) => Err(error.clone().into()),
            None => Ok(None),
        }
    }
}
