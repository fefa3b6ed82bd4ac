//! Whether the key ring is the one that sealed what is stored: asked before anything starts.

use crate::crypto::Context;
use crate::domain::ids::AccountId;
use crate::sealing::{self, Sealer};
use crate::store::{self, Store};

/// Links looked at: with a wrong key none opens, and with one missing those that it sealed.
const LOOKED_AT: u32 = 50;

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
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Opens the tokens of some links.
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
    Ok(())
}
