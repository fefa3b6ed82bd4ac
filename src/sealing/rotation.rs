//! Rotating the keys of the ring: which sealed how much, and sealing anew what the primary key did not.
//! What is about callers is no part of it: the data keys that seal it are sealed anew, and stay the same.
//!
//! It goes on beside everything else. Each page is a transaction of its own in which a value is
//! replaced only where it stands unchanged, so it may be stopped anywhere and run again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Sealer;
use crate::domain::ids::KeyId;
use crate::domain::key_head;
use crate::store::rings::{Replacement, RingKind, SealedKind, SealedRow};
use crate::store::{self, Store};

/// Values looked at together.
const PAGE: u32 = 500;

/// How often everything is looked through at most. The second time finds what somebody held at that
/// moment; what is found again and again is sealed anew by another process all the while.
const PASSES: usize = 5;

/// Time for whoever holds a value to be done with it.
const BETWEEN_PASSES: Duration = Duration::from_millis(200);

/// How many values of each kind are sealed by a key of the ring.
pub type Counts = BTreeMap<RingKind, u64>;

/// What was found of every key in use, and of the primary key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By the key's id.
    pub keys: BTreeMap<KeyId, Counts>,
    /// Values that no key sealed.
    pub unreadable: Counts,
}

/// How far a rotation is, and at last what it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Values looked at, in this pass.
    pub seen: u64,
    /// Values sealed anew.
    pub resealed: u64,
    /// Values of another key that are left, in this pass: somebody was changing them.
    pub left: u64,
    /// Values that do not open, in this pass: their key is missing, or they were changed.
    pub unreadable: u64,
}

/// Looks through all values that the ring seals.
pub struct Rotation {
    /// Where they are.
    store: Arc<dyn Store>,
    /// What opens and seals them.
    sealer: Sealer,
}

impl Rotation {
    /// A rotation to the primary key of this sealer.
    pub const fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        Self { store, sealer }
    }

    /// Counts what each key sealed; `tell` hears how many values were looked at, page by page.
    pub async fn census(&self, mut tell: impl FnMut(u64)) -> store::Result<Census> {
        let mut census = Census::default();
        let mut seen = 0;
        for kind in RingKind::ALL {
            let mut after = None;
            loop {
                let of = SealedKind::ByRing(kind);
                let page = self.store.sealed(of, after.as_ref(), &[], PAGE).await?;
                for row in &page {
                    let counts = match key_head::split(&row.head) {
                        Some((id, _)) => census.keys.entry(id).or_default(),
                        None => &mut census.unreadable,
                    };
                    *counts.entry(kind).or_default() += 1;
                }
                seen += page.len() as u64;
                tell(seen);
                after = page.into_iter().last().map(|row| row.place);
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(census)
    }

    /// Seals anew, by the primary key, every value of another one; `tell` hears how far it is, page
    /// by page.
    pub async fn rotate(&self, mut tell: impl FnMut(&Progress)) -> store::Result<Progress> {
        let mut progress = Progress::default();
        for pass in 0..PASSES {
            if pass > 0 {
                tokio::time::sleep(BETWEEN_PASSES).await;
            }
            let before = progress.resealed;
            progress = Progress {
                resealed: before,
                ..Progress::default()
            };
            for kind in RingKind::ALL {
                self.rotate_kind(kind, &mut progress, &mut tell).await?;
            }
            if progress.resealed == before && progress.left == 0 {
                break;
            }
        }
        Ok(progress)
    }

    /// One pass through the values of a kind.
    async fn rotate_kind(
        &self,
        kind: RingKind,
        progress: &mut Progress,
        tell: &mut impl FnMut(&Progress),
    ) -> store::Result<()> {
        let current = self.sealer.keys().primary_head();
        let mut after = None;
        loop {
            let of = SealedKind::ByRing(kind);
            let page = self.store.sealed(of, after.as_ref(), &current, PAGE);
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.place.clone());
            progress.seen += page.len() as u64;
            let values = self.resealed(page, progress);
            if !values.is_empty() {
                let replaced = self.store.replace_sealed(kind, &values).await?;
                progress.resealed += replaced;
                progress.left += values.len() as u64 - replaced;
            }
            tell(progress);
        }
    }

    /// What of a page is to be replaced, and by what.
    fn resealed(&self, page: Vec<SealedRow>, progress: &mut Progress) -> Vec<Replacement> {
        let mut values = Vec::new();
        for row in page {
            let Some(before) = row.sealed else { continue };
            match self.sealer.reseal(&row.place, &before) {
                Ok(after) => values.push(Replacement {
                    place: row.place,
                    before,
                    after,
                }),
                Err(_) => progress.unreadable += 1,
            }
        }
        values
    }
}
