//! One request's work in one org, as one user: rows created, changed and deleted, and taken back.

use std::sync::Arc;

use rand::rngs::StdRng;
use serde_json::{Map, Value};

use super::access;
use super::faults::{Faults, Place};
use super::id::Id;
use super::org::{Org, User};
use super::refusal::Refusal;
use super::rules::{self, Write};
use super::schema::{Field, Object, Schema};
use super::table::{Fields, Record};
use super::value::format_datetime;
use crate::api::resource::Kind;
use crate::clock::Timestamp;

/// One request's work.
///
/// Every change can be taken back, which is what all-or-none and a composite's rollback do.
#[derive(Debug)]
pub(crate) struct Transaction<'w> {
    pub(crate) org: &'w mut Org,
    pub(crate) user: User,
    pub(crate) now: Timestamp,
    /// The request's number in the log.
    pub(crate) request: u64,
    /// The version as the path spells it, such as `v66.0`.
    pub(crate) version: String,
    pub(crate) faults: &'w mut Faults,
    pub(crate) rng: &'w mut StdRng,
    pub(crate) undo: Vec<Undo>,
}

/// How to take a change back.
#[derive(Debug)]
pub(crate) enum Undo {
    Created(Id),
    Changed(Box<Record>),
}

impl Transaction<'_> {
    /// The org's schema, to be read while the org changes.
    pub(crate) fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.org.schema)
    }

    /// An object that the user has, or 404.
    pub(crate) fn object<'s>(&self, schema: &'s Schema, name: &str) -> Result<&'s Object, Refusal> {
        schema
            .object(name)
            .filter(|object| self.user.has_object(&object.name))
            .ok_or_else(Refusal::not_found)
    }

    /// Where rows of this sort of request are struck by faults.
    fn place(org: &Org, kind: Kind) -> Place<'_> {
        Place {
            org: Some((org.id, &org.name)),
            kind,
        }
    }

    /// The refusal of all rows of a chunk, if the fault script says so.
    pub(crate) fn chunk_fault(
        &mut self,
        kind: Kind,
        rows: &[&Map<String, Value>],
    ) -> Option<Refusal> {
        let place = Self::place(self.org, kind);
        self.faults.strike_chunk(place, rows, self.rng)
    }

    /// Creates a record and returns its id.
    pub(crate) fn create(
        &mut self,
        object: &Object,
        kind: Kind,
        body: &Map<String, Value>,
    ) -> Result<Id, Refusal> {
        if !access::is_createable(&self.user, object) {
            let text = format!("entity type cannot be inserted: {}", object.name);
            return Err(Refusal::row("INVALID_TYPE_FOR_OPERATION", text, &[]));
        }
        let mut fields = rules::read(&self.user, object, body, Write::Create)?;
        fields.retain(|_, value| !value.is_null());
        for field in object.fields() {
            if let Some(default) = &field.default {
                let value = fields.entry(Arc::clone(&field.name));
                value.or_insert_with(|| default.clone());
            }
        }
        if object.field("OwnerId").is_some() {
            let owner = Value::String(self.user.id.to_string());
            fields.entry("OwnerId".into()).or_insert(owner);
        }
        self.strike_row(kind, body)?;
        rules::check(self.org, &self.user, object, &fields, None)?;
        rules::derive(self.org, object, &mut fields, self.now);

        let id = self.org.next_id(object.prefix);
        self.stamp(
            &mut fields,
            &["CreatedDate", "LastModifiedDate", "SystemModstamp"],
        );
        for field in ["CreatedById", "LastModifiedById"] {
            fields.insert(field.into(), Value::String(self.user.id.to_string()));
        }
        fields.insert("Id".into(), Value::String(id.to_string()));
        fields.insert("IsDeleted".into(), Value::Bool(false));
        let index_lag = self.org.index_lag(self.now, None);
        self.org.put(Record {
            id,
            fields,
            request: self.request,
            index_lag,
        });
        self.undo.push(Undo::Created(id));
        Ok(id)
    }

    /// Changes fields of a record.
    pub(crate) fn update(
        &mut self,
        object: &Object,
        kind: Kind,
        id: Id,
        body: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let before = self.find_for_write(object, id)?.clone();
        let mut body = body.clone();
        body.retain(|name, _| !name.eq_ignore_ascii_case("id"));
        let changes = rules::read(&self.user, object, &body, Write::Update)?;
        self.strike_row(kind, &body)?;
        let mut fields = before.fields.clone();
        fields.extend(changes);
        fields.retain(|_, value| !value.is_null());
        rules::check(self.org, &self.user, object, &fields, Some(&before))?;
        rules::derive(self.org, object, &mut fields, self.now);
        let user = Value::String(self.user.id.to_string());
        fields.insert("LastModifiedById".into(), user);
        self.write(before, fields);
        Ok(())
    }

    /// Moves a record to the recycle bin.
    pub(crate) fn delete(&mut self, object: &Object, id: Id) -> Result<(), Refusal> {
        let before = self.find_for_write(object, id)?.clone();
        let mut fields = before.fields.clone();
        fields.insert("IsDeleted".into(), Value::Bool(true));
        self.write(before, fields);
        Ok(())
    }

    /// The number of the version asked, such as 66.
    pub(crate) fn version_number(&self) -> u32 {
        let digits = self.version.trim_start_matches('v').split('.').next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// The live records that have a value in an External ID field; several only where it is not
    /// unique.
    pub(crate) fn holders(&self, object: &Object, field: &Field, value: &str) -> Vec<Id> {
        let Some(table) = self.org.table(&object.name) else {
            return Vec::new();
        };
        if field.unique {
            return table.holder(&field.name, value).into_iter().collect();
        }
        let wanted = value.to_lowercase();
        let holds = |record: &&Record| match record.get(&field.name) {
            Value::String(text) => text.to_lowercase() == wanted,
            Value::Number(number) => number.as_f64() == wanted.parse().ok(),
            _ => false,
        };
        table
            .records()
            .filter(|record| !record.is_deleted())
            .filter(holds)
            .map(|record| record.id)
            .collect()
    }

    /// A record that the user sees; deleted ones are gone.
    pub(crate) fn find(&self, object: &Object, id: Id) -> Option<&Record> {
        let record = self.org.table(&object.name)?.get(id)?;
        let visible = access::is_visible(self.org, &self.user, object, record);
        (visible && !record.is_deleted()).then_some(record)
    }

    /// Takes back all changes since `mark`.
    pub(crate) fn roll_back_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Created(id)) => drop(self.org.take(id)),
                Some(Undo::Changed(before)) => drop(self.org.put(*before)),
                None => {}
            }
        }
    }

    /// Records of an object that this transaction has created.
    pub(crate) fn created(&self, prefix: [u8; 3]) -> u64 {
        let created = |undo: &&Undo| matches!(undo, Undo::Created(id) if id.prefix() == prefix);
        self.undo.iter().filter(created).count() as u64
    }

    fn find_for_write(&self, object: &Object, id: Id) -> Result<&Record, Refusal> {
        if !access::is_createable(&self.user, object) {
            let text = "insufficient access rights on object id";
            return Err(Refusal::row("INSUFFICIENT_ACCESS_OR_READONLY", text, &[]));
        }
        let record = self
            .org
            .table(&object.name)
            .and_then(|table| table.get(id))
            .filter(|record| access::is_visible(self.org, &self.user, object, record));
        match record {
            None => Err(Refusal {
                status: 404,
                ..Refusal::row(
                    "INVALID_CROSS_REFERENCE_KEY",
                    "invalid cross reference id",
                    &[],
                )
            }),
            Some(record) if record.is_deleted() => Err(Refusal {
                status: 404,
                ..Refusal::row("ENTITY_IS_DELETED", "entity is deleted", &[])
            }),
            Some(record) => Ok(record),
        }
    }

    fn write(&mut self, before: Record, mut fields: Fields) {
        self.stamp(&mut fields, &["LastModifiedDate", "SystemModstamp"]);
        let indexed = before.indexed(self.now).cloned();
        let index_lag = self.org.index_lag(self.now, indexed);
        self.org.put(Record {
            id: before.id,
            fields,
            request: before.request,
            index_lag,
        });
        self.undo.push(Undo::Changed(Box::new(before)));
    }

    /// System datetimes have whole seconds.
    fn stamp(&self, fields: &mut Fields, names: &[&str]) {
        use chrono::SubsecRound as _;
        let now = format_datetime(self.now.trunc_subsecs(0));
        for &name in names {
            fields.insert(name.into(), Value::String(now.clone()));
        }
    }

    fn strike_row(&mut self, kind: Kind, body: &Map<String, Value>) -> Result<(), Refusal> {
        let place = Self::place(self.org, kind);
        match self.faults.strike_row(place, body, self.rng) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }
}
