//! One org: its users, its tables, its switches and its usage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{SubsecRound as _, TimeDelta};
use serde_json::Value;

use super::cursors::Cursors;
use super::id::Id;
use super::jobs::Jobs;
use super::limits::{DailyUsage, Running};
use super::objects::standard_schema;
use super::schema::{Field, Kind, Schema};
use super::table::{Fields, IndexLag, Record, Table};
use super::value::format_datetime;
use crate::clock::{Timestamp, delta};
use crate::seed::{CustomField, CustomFieldType, OrgSwitches, UserSettings};

/// One user with their permissions.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) settings: UserSettings,
}

impl User {
    /// Whether field-level security hides a field.
    pub(crate) fn is_hidden(&self, object: &str, field: &str) -> bool {
        names_field(&self.settings.hidden_fields, object, field)
    }

    /// Whether field-level security shows a field, but does not let it be written.
    pub(crate) fn is_read_only(&self, object: &str, field: &str) -> bool {
        names_field(&self.settings.read_only_fields, object, field)
    }

    /// Whether the user may create, change and delete records of an object.
    pub(crate) fn writes_object(&self, object: &str) -> bool {
        let mut closed = self.settings.read_only_objects.iter();
        !closed.any(|closed| closed.eq_ignore_ascii_case(object))
    }

    /// Whether the user may use an object at all.
    pub(crate) fn has_object(&self, object: &str) -> bool {
        let setup_only = matches!(object, "PermissionSet" | "PermissionSetAssignment");
        (self.settings.view_setup || !setup_only)
            && !self
                .settings
                .hidden_objects
                .iter()
                .any(|hidden| hidden.eq_ignore_ascii_case(object))
    }
}

/// Whether a list such as `Task.CallObject` names a field.
fn names_field(list: &BTreeSet<String>, object: &str, field: &str) -> bool {
    list.iter().any(|name| {
        name.split_once('.').is_some_and(|(of, name)| {
            of.eq_ignore_ascii_case(object) && name.eq_ignore_ascii_case(field)
        })
    })
}

/// One org.
#[derive(Debug)]
pub(crate) struct Org {
    pub(crate) id: Id,
    pub(crate) name: String,
    /// First label of the org's own host.
    pub(crate) my_domain: String,
    /// Numbers the org inside record ids.
    pod: u16,
    pub(crate) schema: Arc<Schema>,
    tables: HashMap<Arc<str>, Table>,
    pub(crate) users: BTreeMap<Id, User>,
    pub(crate) switches: OrgSwitches,
    pub(crate) usage: DailyUsage,
    pub(crate) running: Running,
    pub(crate) cursors: Cursors,
    pub(crate) jobs: Jobs,
    serial: u64,
}

impl Org {
    pub(crate) fn new(id: Id, pod: u16, name: String, my_domain: String) -> Self {
        Self {
            id,
            name,
            my_domain,
            pod,
            schema: Arc::new(standard_schema()),
            tables: HashMap::new(),
            users: BTreeMap::new(),
            switches: OrgSwitches::default(),
            usage: DailyUsage::default(),
            running: Running::default(),
            cursors: Cursors::default(),
            jobs: Jobs::new(),
            serial: 0,
        }
    }

    /// A new id of the object with this prefix.
    pub(crate) fn next_id(&mut self, prefix: [u8; 3]) -> Id {
        self.serial += 1;
        Id::generate(prefix, self.pod, self.serial)
    }

    /// `Sforce-Limit-Info`: what every answer of the data API tells of the daily limit.
    pub(crate) fn limit_info(&mut self, now: Timestamp) -> String {
        format!(
            "api-usage={}/{}",
            self.usage.used(now),
            self.switches.daily_limit
        )
    }

    /// The records of an object, by its name as the schema spells it.
    pub(crate) fn table(&self, object: &str) -> Option<&Table> {
        self.tables.get(object)
    }

    /// Finds a record by its id alone; deleted ones too.
    pub(crate) fn record(&self, id: Id) -> Option<&Record> {
        let object = self.schema.object_with_prefix(id.prefix())?;
        self.tables.get(&object.name)?.get(id)
    }

    /// Writes a record and returns what was there before.
    pub(crate) fn put(&mut self, record: Record) -> Option<Record> {
        let schema = Arc::clone(&self.schema);
        let object = schema.object_with_prefix(record.id.prefix())?;
        let table = self.tables.entry(Arc::clone(&object.name)).or_default();
        table.put(record, object)
    }

    /// Removes a record as if it had never been.
    pub(crate) fn take(&mut self, id: Id) -> Option<Record> {
        let object = self.schema.object_with_prefix(id.prefix())?;
        self.tables.get_mut(&object.name)?.take(id)
    }

    /// What the search index holds of a record written at `now`.
    pub(crate) fn index_lag(&self, now: Timestamp, before: Option<Fields>) -> Option<IndexLag> {
        let delay = std::time::Duration::from_millis(self.switches.index_delay_ms);
        (!delay.is_zero()).then(|| IndexLag {
            until: now + delta(delay),
            before,
        })
    }

    /// Adds or replaces a custom field.
    pub(crate) fn add_custom_field(&mut self, custom: &CustomField) -> Result<(), String> {
        let kind = match custom.kind {
            CustomFieldType::String => Kind::Text,
            CustomFieldType::Phone => Kind::Phone,
            CustomFieldType::Email => Kind::Email,
            CustomFieldType::Boolean => Kind::Boolean,
            CustomFieldType::Double => Kind::Double,
            CustomFieldType::DateTime => Kind::DateTime,
        };
        let mut field = Field::new(&custom.name, kind, custom.length);
        if custom.unique {
            field = field.unique_external_id();
        }
        field.external_id |= custom.external_id;
        Arc::make_mut(&mut self.schema)
            .object_mut(&custom.object)
            .ok_or_else(|| format!("no object '{}'", custom.object))?
            .set_field(field);
        Ok(())
    }

    /// Puts new switches in force: a changed External ID field changes the schema too.
    pub(crate) fn switch(&mut self, switches: OrgSwitches) {
        let before = self.switches.task_external_id_field.clone();
        if before != switches.task_external_id_field
            && let Some(task) = Arc::make_mut(&mut self.schema).object_mut("Task")
        {
            if let Some(name) = before {
                task.remove_field(&name);
            }
            if let Some(name) = &switches.task_external_id_field {
                task.set_field(Field::text(name, 255).unique_external_id());
            }
        }
        self.switches = switches;
    }

    /// Writes a record as setup does: no rules, every field as given.
    pub(crate) fn set_up(&mut self, id: Id, mut fields: Fields, now: Timestamp) {
        let stamp = Value::String(format_datetime(now.trunc_subsecs(0) - TimeDelta::days(1)));
        fields.insert("Id".into(), Value::String(id.to_string()));
        for field in ["CreatedDate", "LastModifiedDate", "SystemModstamp"] {
            fields.entry(field.into()).or_insert_with(|| stamp.clone());
        }
        fields
            .entry("IsDeleted".into())
            .or_insert(Value::Bool(false));
        self.put(Record {
            id,
            fields,
            request: 0,
            index_lag: None,
        });
    }
}
