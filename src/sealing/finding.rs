//! Finding what is about a phone number.
//!
//! No number is stored where the database could search for it, not even hashed: there are so few
//! numbers that a hash of each can be tried. So every sealed value is opened here and looked at,
//! page by page, beside everything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Sealer;
use crate::domain::ids::{AccountId, CallId};
use crate::domain::phone::Number;
use crate::store::inbox::Partition;
use crate::store::rings::{Place, SealedKind, SealedRow};
use crate::store::{self, Store};

/// Values opened together.
const PAGE: u32 = 500;

/// No sealed value begins so: the whole of each is read.
const NONE: &[u8] = b"?";

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

/// Looks through all sealed values.
pub struct Finder {
    /// Where they are.
    store: Arc<dyn Store>,
    /// What opens them.
    sealer: Sealer,
}

impl Finder {
    /// A finder.
    pub const fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        Self { store, sealer }
    }

    /// What is about a number; `tell` hears how many values were looked at, page by page.
    pub async fn of_number(
        &self,
        number: &Number,
        mut tell: impl FnMut(u64),
    ) -> store::Result<Found> {
        let mut found = Found::default();
        let mut seen = 0;
        for kind in [
            SealedKind::Bodies,
            SealedKind::Outbox,
            SealedKind::Quarantine,
        ] {
            let mut after = None;
            loop {
                let page = self.store.sealed(kind, after.as_ref(), NONE, PAGE).await?;
                seen += page.len() as u64;
                for row in &page {
                    let Some(sealed) = &row.sealed else { continue };
                    match self.sealer.mentions(&row.place, sealed, number) {
                        Ok(true) => found.take(row),
                        Ok(false) => {}
                        Err(_) => found.unreadable += 1,
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
            let kind = SealedKind::Quarantine;
            let page = self.store.sealed(kind, after.as_ref(), NONE, PAGE).await?;
            seen += page.len() as u64;
            for row in &page {
                match self.sealer.names(row, account.as_str()) {
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
            Place::Tokens { .. } | Place::Authorization { .. } | Place::Contact { .. } => {}
        }
    }
}

impl Sealer {
    /// Whether a quarantined record names this text; `None` where it does not open.
    fn names(&self, row: &SealedRow, text: &str) -> Option<bool> {
        let context = super::context_of(&row.place);
        let sealed = row.sealed.as_ref()?;
        let record = self.open::<super::Quarantined>(&context, sealed, "quarantined record");
        record.ok().map(|record| record.names(text))
    }
}
