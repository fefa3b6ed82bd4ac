//! Readiness: the process is ready once each of its components is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How it stands with a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether it can do its work.
    pub ready: bool,
    /// Why not; empty when it is ready.
    pub reason: String,
}

/// All components of a process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Standing>>>);

impl Readiness {
    /// Adds a component, which is not ready until it says so. Added before the pages are served,
    /// so that the process cannot look ready in between.
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component {
            name,
            readiness: self.clone(),
        };
        component.not_ready("is starting");
        component
    }

    /// How it stands with each component.
    pub fn standings(&self) -> BTreeMap<&'static str, Standing> {
        self.lock().clone()
    }

    /// The map. No code that holds it can panic half-way, so a poisoned lock is whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One component's voice.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name on the page.
    name: &'static str,
    /// Where it is noted.
    readiness: Readiness,
}

impl Component {
    /// It can do its work.
    pub fn ready(&self) {
        self.note(true, String::new());
    }

    /// It cannot, and why: a few words without anybody's data.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.note(false, reason.into());
    }

    /// Notes how it stands.
    fn note(&self, ready: bool, reason: String) {
        self.readiness
            .lock()
            .insert(self.name, Standing { ready, reason });
    }
}
