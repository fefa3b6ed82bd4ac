//! Finding what is about a phone number.
//!
//! No number is stored where the database could search for it, not even hashed: there are so few
//! numbers that a hash of each can be tried. So every sealed value is opened here and looked at,
//! page by page, beside everything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::vault::Vault;
use super::{Quarantined, Sealer};
use crate::domain::ids::{AccountId, CallId};
use crate::domain::phone::Number;
use crate::store::inbox::Partition;
use crate::store::rings::{Place, RingKind, SealedKind, SealedRow};
use crate::store::{self, Sealed, Store};

/// Values opened together.
const PAGE: u32 = 500;

/// No sealed value begins so: the whole of each is read.
const NONE: &[u8] = b"?";

/// Records that are no valid event.
const QUARANTINE: SealedKind = SealedKind::ByRing(RingKind::Quarantine);

/// What is about somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Calls of which a body is.
    pub calls: BTreeSet<CallId>,
    /// Quarantined records that are.
    pub records: Vec<(Partition, i64)>,
    /// Events that wait to be published and are: they lose their bodies when they are.
    pub events: u64,
    /// Values that do not open, so that nobody knows.
    pub unreadable: u64,
}

/// Looks through all values that may be about callers.
pub struct Finder {
    /// Where they are.
    store: Arc<dyn Store>,
    /// What opens quarantined records.
    sealer: Sealer,
    /// What opens everything else.
    vault: Vault,
}

impl Finder {
    /// A finder.
    pub fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        let vault = Vault::new(Arc::clone(&store), sealer.clone());
        Self {
            store,
            sealer,
            vault,
        }
    }

    /// What is about a number; `tell` hears how many values were looked at, page by page.
    pub async fn of_number(
        &self,
        number: &Number,
        mut tell: impl FnMut(u64),
    ) -> store::Result<Found> {
        let mut found = Found::default();
        let mut seen = 0;
        for kind in [SealedKind::Bodies, SealedKind::CallEvents, QUARANTINE] {
            let mut after = None;
            loop {
                let page = self.store.sealed(kind, after.as_ref(), NONE, PAGE).await?;
                seen += page.len() as u64;
                let keys = match kind {
                    SealedKind::ByRing(_) => None,
                    SealedKind::Bodies | SealedKind::CallEvents => {
                        let sealed = page.iter().filter_map(|row| row.sealed.as_ref());
                        let ids = sealed.filter_map(Sealed::key).collect();
                        Some(self.vault.open(ids).await?)
                    }
                };
                for row in &page {
                    let Some(sealed) = &row.sealed else { continue };
                    let mentioned = match &keys {
                        Some(keys) => keys.mentions(&row.place, sealed, number).ok(),
                        None => self.sealer.opened(row).map(|r| r.mentions(number)),
                    };
                    match mentioned {
                        Some(true) => found.take(row),
                        Some(false) => {}
                        None => found.unreadable += 1,
                    }
                }
                tell(seen);
                after = page.into_iter().last().map(|row| row.place);
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The quarantined records that name an account; `tell` hears how many were looked at.
    pub async fn of_account(
        &self,
        account: &AccountId,
        mut tell: impl FnMut(u64),
    ) -> store::Result<Found> {
        let mut found = Found::default();
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.store.sealed(QUARANTINE, after.as_ref(), NONE, PAGE);
            let page = page.await?;
            seen += page.len() as u64;
            for row in &page {
                match self.sealer.opened(row).map(|r| r.names(account.as_str())) {
                    Some(true) => found.take(row),
                    Some(false) => {}
                    None => found.unreadable += 1,
                }
            }
            tell(seen);
            after = page.into_iter().last().map(|row| row.place);
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}

impl Found {
    /// Notes where a value stands.
    fn take(&mut self, row: &SealedRow) {
        match &row.place {
            Place::Body { call, .. } => drop(self.calls.insert(call.clone())),
            Place::Quarantine { partition, offset } => {
                self.records.push((partition.clone(), *offset));
            }
            Place::Event { .. } => self.events += 1,
            Place::Tokens { .. }
            | Place::Authorization { .. }
            | Place::Contact { .. }
            | Place::AccountKey { .. } => {}
        }
    }
}

impl Sealer {
    /// A quarantined record of a page; `None` where it does not open.
    fn opened(&self, row: &SealedRow) -> Option<Quarantined> {
        let context = super::context_of(&row.place);
        let sealed = row.sealed.as_ref()?;
        self.open(&context, sealed, "quarantined record").ok()
    }
}
