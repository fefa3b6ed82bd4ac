//! Domain values as sealed rows: the one place where a body, an answer or an event to publish
//! becomes bytes that the store may hold, and comes back.
//!
//! The stored form is JSON of the domain types, so a later release reads what an earlier one
//! wrote as long as new fields have defaults. The store sees [`Sealed`] bytes only.
//!
//! What is about callers is sealed by a data key of its account ([`vault`]), everything else by the key
//! ring itself ([`Sealer`]).

pub mod finding;
pub mod rotation;
pub mod vault;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::crypto::{Context, KeyRing};
use crate::domain::event::Published;
use crate::domain::ids::{CallId, ShardId};
use crate::domain::phone::{self, Number};
use crate::store::Sealed;
use crate::store::inbox::QuarantineRow;
use crate::store::outbox::OutboxRow;
use crate::store::rings::{BodyKind, Place};

/// Why a sealed row cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its key cannot open it.
    #[error(transparent)]
    Crypto(#[from] crate::crypto::Error),
    /// It was opened, and is not of the form that this binary knows. Its content is not told.
    #[error(
        "a stored {what} is not of a form that this version reads; upgrade, or restore the row"
    )]
    Form {
        /// Which value.
        what: &'static str,
    },
}

/// Seals and opens by the key ring.
#[derive(Clone)]
pub struct Sealer {
    /// The key ring of the settings.
    keys: Arc<KeyRing>,
}

impl Sealer {
    /// A sealer on this key ring.
    pub const fn new(keys: Arc<KeyRing>) -> Self {
        Self { keys }
    }

    /// A sealer by these settings.
    pub fn of(config: &crate::crypto::Config) -> Result<Self, crate::crypto::Error> {
        Ok(Self::new(Arc::new(KeyRing::new(config)?)))
    }

    /// A sealer with a key of its own, for tests.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let key = crate::crypto::Key {
            id: "k".to_owned(),
            key: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
                .to_owned()
                .into(),
        };
        let config = crate::crypto::Config {
            primary: "k".to_owned(),
            keys: vec![key],
        };
        Self::of(&config).expect("a key")
    }

    /// Seals an event that tells of a link, as the row that its relay will read.
    pub fn event(&self, shard: ShardId, event: &Published) -> OutboxRow {
        let id = event.id();
        let body = self.seal(&Context::Event { id: id.clone() }, event);
        OutboxRow {
            id,
            shard,
            topic: event.topic(),
            body,
        }
    }

    /// Opens an event that tells of a link.
    pub fn open_event(&self, row: &OutboxRow) -> Result<Published, Error> {
        self.open(&Context::Event { id: row.id.clone() }, &row.body, "event")
    }

    /// Opens a quarantined record.
    pub fn open_quarantined(&self, row: &QuarantineRow) -> Result<Quarantined, Error> {
        let context = Context::Quarantine {
            topic: row.partition.topic.clone(),
            partition: row.partition.partition,
            offset: row.offset,
        };
        self.open(&context, &row.body, "quarantined record")
    }

    /// Seals any other value under its own context.
    pub fn seal<T: Serialize>(&self, context: &Context, value: &T) -> Sealed {
        Sealed(self.keys.seal(context, &form(value)))
    }

    /// Opens any other value under its own context; `what` names it in the error.
    pub fn open<T: DeserializeOwned>(
        &self,
        context: &Context,
        sealed: &Sealed,
        what: &'static str,
    ) -> Result<T, Error> {
        let plain = self.keys.open(context, &sealed.0)?;
        serde_json::from_slice(&plain).map_err(|_| Error::Form { what })
    }

    /// Seals a value anew in its place, by the primary key, whatever it is.
    pub fn reseal(&self, place: &Place, sealed: &Sealed) -> Result<Sealed, crate::crypto::Error> {
        let context = context_of(place);
        let plain = self.keys.open(&context, &sealed.0)?;
        Ok(Sealed(self.keys.seal(&context, &plain)))
    }

    /// The key ring.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }
}

/// The stored form of a value.
fn form<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("domain values have string keys and no failing serializer")
}

/// A record that is no valid event, as ingest seals it: key, headers, and the value cut to a bound.
/// No `Debug`: it may be about people.
#[derive(Deserialize)]
pub struct Quarantined(Option<Vec<u8>>, Vec<(String, Vec<u8>)>, Vec<u8>);

impl Quarantined {
    /// Its key.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// Its headers, in order.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.1
    }

    /// Its value, as far as it is kept.
    pub fn value(&self) -> &[u8] {
        &self.2
    }

    /// Whether this text is its key, or occurs in its headers or value.
    pub fn names(&self, text: &str) -> bool {
        let Self(key, headers, value) = self;
        let text = text.as_bytes();
        let within = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        key.as_deref() == Some(text)
            || headers.iter().any(|(_, value)| within(value))
            || within(value)
    }

    /// Whether this number stands in its headers or value.
    pub fn mentions(&self, number: &Number) -> bool {
        let Self(_, headers, value) = self;
        let within = |bytes: &[u8]| phone::is_mentioned(number, &String::from_utf8_lossy(bytes));
        headers.iter().any(|(_, value)| within(value)) || within(value)
    }
}

/// What binds a body to its place: the call and which of its bodies it is.
fn body_of(call: &CallId, kind: BodyKind) -> Context {
    Context::Body {
        call: call.clone(),
        kind: kind.as_str(),
    }
}

/// What binds a value to the place where the store has it.
fn context_of(place: &Place) -> Context {
    match place {
        Place::Tokens {
            account,
            generation,
            token_sequence,
        } => Context::Tokens {
            account: account.clone(),
            generation: *generation,
            token_sequence: *token_sequence,
        },
        Place::AccountKey { account, id } => Context::AccountKey {
            account: account.clone(),
            id: id.clone(),
        },
        Place::Body { call, kind, .. } => body_of(call, *kind),
        Place::Event { id, .. } => Context::Event { id: id.clone() },
        Place::Quarantine { partition, offset } => Context::Quarantine {
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset: *offset,
        },
        Place::Authorization { id } => Context::Authorization { id: id.clone() },
        Place::Contact { account, id } => Context::Contact {
            account: account.clone(),
            id: id.clone(),
        },
    }
}
