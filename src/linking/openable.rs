//! Whether the key ring is the one that sealed what is stored: asked before anything starts.

use crate::crypto::{self, Context};
use crate::domain::ids::AccountId;
use crate::sealing::{self, Sealer};
use crate::store::rings::{Place, RingKind, SealedKind};
use crate::store::{self, Store};

/// Links looked at: with a wrong key none opens, and with one missing those that it sealed.
const LOOKED_AT: u32 = 50;

/// Data keys read together.
const PAGE: u32 = 500;

/// Why what is stored cannot be used with these settings.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The tokens of an account do not open.
    #[error(
        "the tokens of {account} cannot be opened: put the key that sealed them back into crypto.keys, with the bytes that it had"
    )]
    Sealed {
        /// The account.
        account: AccountId,
        /// Why.
        #[source]
        source: sealing::Error,
    },
    /// The data key of an account does not open.
    #[error(
        "the data key of {account} cannot be opened: put the key that sealed it back into crypto.keys, with the bytes that it had"
    )]
    AccountKey {
        /// The account.
        account: AccountId,
        /// Why.
        #[source]
        source: crypto::Error,
    },
    /// The database was restored without the data keys.
    #[error(
        "the table account_keys is empty, and accounts have keys: restore its newest copy, too; without it no stored call can be read"
    )]
    NoAccountKeys,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Opens the tokens of some links, and the data key of every account.
pub async fn check_keys(store: &dyn Store, sealer: &Sealer) -> Result<(), Unusable> {
    for link in store.all_links(None, LOOKED_AT).await? {
        let Some(grant) = store.grant(&link.account, link.generation).await? else {
            continue;
        };
        let context = Context::Tokens {
            account: grant.account.clone(),
            generation: grant.generation,
            token_sequence: grant.token_sequence,
        };
        let opened = sealer.open::<serde::de::IgnoredAny>(&context, &grant.tokens, "token pair");
        opened.map_err(|source| Unusable::Sealed {
            account: grant.account,
            source,
        })?;
    }
    check_account_keys(store, sealer).await
}

/// Opens the data key of every account: without it no call of its account can be taken in.
async fn check_account_keys(store: &dyn Store, sealer: &Sealer) -> Result<(), Unusable> {
    if store.lacks_all_keys().await? {
        return Err(Unusable::NoAccountKeys);
    }
    let kind = SealedKind::ByRing(RingKind::AccountKeys);
    let mut after = None;
    loop {
        // Nothing begins so: the whole of each is read.
        let page = store.sealed(kind, after.as_ref(), b"?", PAGE).await?;
        for row in &page {
            if let (Place::AccountKey { account, id }, Some(sealed)) = (&row.place, &row.sealed) {
                let opened = sealer.keys().open_data_key(account, id, &sealed.0);
                opened.map_err(|source| Unusable::AccountKey {
                    account: account.clone(),
                    source,
                })?;
            }
        }
        after = page.into_iter().last().map(|row| row.place);
        if after.is_none() {
            return Ok(());
        }
    }
}
