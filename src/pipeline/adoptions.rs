//! Tasks that agents dialled from: each is adopted by one call at a time.
//!
//! An org has one owner, so the claims of one process suffice; between two of them the key on the
//! Task itself tells whose it is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::RecordId;

/// The Tasks that are being adopted. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Adoptions(Arc<Mutex<HashSet<RecordId>>>);

/// A claim on one Task, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// The Task.
    task: RecordId,
    /// Where it is noted.
    adoptions: Adoptions,
}

impl Adoptions {
    /// Claims a Task; `None`: another call has it.
    pub fn claim(&self, task: &RecordId) -> Option<Claim> {
        let claimed = self.lock().insert(task.clone());
        claimed.then(|| Claim {
            task: task.clone(),
            adoptions: self.clone(),
        })
    }

    /// A set cannot be left half-changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<RecordId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.adoptions.lock().remove(&self.task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_claimed_by_one_until_it_is_let_go() {
        let (adoptions, task) = (Adoptions::default(), "00T000000000001");
        let task: RecordId = task.parse().expect("an id");
        let first = adoptions.claim(&task).expect("it is free");
        assert!(adoptions.claim(&task).is_none());
        drop(first);
        assert!(adoptions.claim(&task).is_some());
    }
}
