//! The records of one object, with the indexes that answer unique fields and phone searches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::id::Id;
use super::schema::Object;
use super::value::{digits, last_ten, words};
use crate::clock::Timestamp;

/// The values of a record; an absent field is null.
pub(crate) type Fields = BTreeMap<Arc<str>, Value>;

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: Id,
    pub(crate) fields: Fields,
    /// The request that made it, 0 for seeded records.
    pub(crate) request: u64,
    /// Set while the search index lags behind the database.
    pub(crate) index_lag: Option<IndexLag>,
}

/// What the search index still sees of a record that was written a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct IndexLag {
    /// When the index catches up.
    pub(crate) until: Timestamp,
    /// What it holds until then; nothing if the record is new.
    pub(crate) before: Option<Fields>,
}

impl Record {
    /// A field's value; null where absent.
    pub(crate) fn get(&self, field: &str) -> &Value {
        self.fields.get(field).unwrap_or(&Value::Null)
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.get(field).as_str()
    }

    pub(crate) fn is_true(&self, field: &str) -> bool {
        self.get(field).as_bool().unwrap_or(false)
    }

    /// The record that a reference points to.
    pub(crate) fn reference(&self, field: &str) -> Option<Id> {
        Id::parse(self.text(field)?)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.is_true("IsDeleted")
    }

    /// The values as the search index holds them, if it knows the record at all.
    pub(crate) fn indexed(&self, now: Timestamp) -> Option<&Fields> {
        match &self.index_lag {
            Some(lag) if now < lag.until => lag.before.as_ref(),
            _ => Some(&self.fields),
        }
    }
}

/// The records of one object in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<Id, Record>,
    /// Field name and lower-case value of unique fields.
    unique: HashMap<(Arc<str>, String), Id>,
    /// Phone fields: their digits, whole and the last ten, and each of their words. It may name
    /// records that no longer match: whoever asks compares with the record itself.
    phones: HashMap<String, BTreeSet<Id>>,
}

impl Table {
    pub(crate) fn get(&self, id: Id) -> Option<&Record> {
        self.records.get(&id)
    }

    /// All records, deleted ones too.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The live record that has this value in a unique field.
    pub(crate) fn holder(&self, field: &Arc<str>, value: &str) -> Option<Id> {
        let key = (Arc::clone(field), value.to_lowercase());
        self.unique.get(&key).copied()
    }

    /// Records that may have a phone field with these digits, or with this word in it.
    pub(crate) fn with_phone(&self, digits: &str) -> impl Iterator<Item = Id> {
        self.phones.get(digits).into_iter().flatten().copied()
    }

    /// Writes a record and returns what was there before.
    pub(crate) fn put(&mut self, record: Record, object: &Object) -> Option<Record> {
        let before = self.take(record.id);
        for field in object.fields() {
            let Some(value) = record.text(&field.name) else {
                continue;
            };
            if field.unique && !record.is_deleted() {
                let key = (Arc::clone(&field.name), value.to_lowercase());
                self.unique.insert(key, record.id);
            }
            if field.is_phone() {
                let digits = digits(value);
                if let Some(tail) = last_ten(&digits) {
                    note(&mut self.phones, tail, record.id);
                }
                note(&mut self.phones, &digits, record.id);
                for word in words(value) {
                    note(&mut self.phones, &word, record.id);
                }
            }
        }
        self.records.insert(record.id, record);
        before
    }

    /// Removes a record as if it had never been.
    pub(crate) fn take(&mut self, id: Id) -> Option<Record> {
        let record = self.records.remove(&id)?;
        for (field, value) in &record.fields {
            if let Some(value) = value.as_str() {
                let key = (Arc::clone(field), value.to_lowercase());
                if self.unique.get(&key) == Some(&id) {
                    self.unique.remove(&key);
                }
            }
        }
        Some(record)
    }
}

fn note(phones: &mut HashMap<String, BTreeSet<Id>>, digits: &str, id: Id) {
    if digits.is_empty() {
        return;
    }
    phones.entry(digits.to_owned()).or_default().insert(id);
}
