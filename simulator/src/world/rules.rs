//! What a row must be like to be written, and what Salesforce fills in itself.

use std::sync::Arc;

use chrono::SubsecRound as _;
use serde_json::{Map, Value, json};

use super::access;
use super::id::Id;
use super::objects::{CLOSED, has_prefix};
use super::org::{Org, User};
use super::refusal::Refusal;
use super::schema::{Field, Kind, Object};
use super::table::{Fields, Record};
use super::value::{format_datetime, parse_date, parse_datetime};
use crate::clock::Timestamp;

/// The largest value of a number of eight digits.
const LARGEST_INT: i64 = 99_999_999;

/// Whether a row is made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Create,
    Update,
}

/// Reads the fields of a row from JSON: each must exist, be writable for the user, and have its type.
pub(crate) fn read(
    user: &User,
    object: &Object,
    body: &Map<String, Value>,
    write: Write,
) -> Result<Fields, Refusal> {
    let mut fields = Fields::new();
    let mut closed = Vec::new();
    for (name, value) in body.iter().filter(|(name, _)| *name != "attributes") {
        let field = object.field(name).ok_or_else(|| {
            let text = format!("No such column '{name}' on sobject of type {}", object.name);
            Refusal::new(400, "INVALID_FIELD", text)
        })?;
        let writable = match write {
            Write::Create => field.createable,
            Write::Update => field.updateable,
        };
        let secured = user.is_hidden(&object.name, &field.name)
            || user.is_read_only(&object.name, &field.name);
        if !writable || secured {
            closed.push(&*field.name);
            continue;
        }
        fields.insert(Arc::clone(&field.name), converted(field, value)?);
    }
    if closed.is_empty() {
        return Ok(fields);
    }
    let text = format!(
        "Unable to create/update fields: {}. Please check the security settings of this field and \
         verify that it is read/write for your profile or permission set.",
        closed.join(", ")
    );
    Err(Refusal::row(
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        text,
        &closed,
    ))
}

/// A JSON value as the field stores it.
pub(super) fn converted(field: &Field, value: &Value) -> Result<Value, Refusal> {
    let wrong = |kind: &str| {
        let token = match value {
            Value::String(_) => "VALUE_STRING",
            Value::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
            Value::Number(_) => "VALUE_NUMBER_INT",
            Value::Bool(true) => "VALUE_TRUE",
            Value::Bool(false) => "VALUE_FALSE",
            Value::Array(_) => "START_ARRAY",
            Value::Object(_) => "START_OBJECT",
            Value::Null => "VALUE_NULL",
        };
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Refusal::json(format!(
            "Cannot deserialize instance of {kind} from {token} value {shown} or request may be \
             missing a required field at [line:1, column:1]"
        ))
    };
    if value.is_null() || value.as_str() == Some("") {
        return Ok(Value::Null);
    }
    match &field.kind {
        Kind::Boolean => match value {
            Value::Bool(_) => Some(value.clone()),
            Value::String(text) => text.parse::<bool>().ok().map(Value::Bool),
            _ => None,
        }
        .ok_or_else(|| wrong("boolean")),
        Kind::Int => integer(value).map(Value::from).ok_or_else(|| wrong("int")),
        Kind::Double => number(value)
            .map(Value::from)
            .ok_or_else(|| wrong("double")),
        Kind::Date => date(value).ok_or_else(|| wrong("date")),
        Kind::DateTime => value
            .as_str()
            .and_then(parse_datetime)
            .map(|time| Value::String(format_datetime(time)))
            .ok_or_else(|| wrong("datetime")),
        Kind::Reference(to) => reference(field, to, value),
        _ => match value {
            Value::String(_) => Ok(value.clone()),
            _ => Err(wrong("string")),
        },
    }
}

fn integer(value: &Value) -> Option<i64> {
    let float = |value: f64| (value.fract() == 0.0).then(|| format!("{value:.0}").parse().ok());
    match value {
        Value::Number(number) => number.as_i64().or_else(|| float(number.as_f64()?)?),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn date(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    let date = parse_date(text).or_else(|| Some(parse_datetime(text)?.date_naive()))?;
    Some(Value::String(date.to_string()))
}

fn reference(field: &Field, to: &[&str], value: &Value) -> Result<Value, Refusal> {
    let text = value.as_str().unwrap_or_default();
    let fits = |id: &Id| has_prefix(to, id.prefix());
    Id::parse(text)
        .filter(fits)
        .map(|id| Value::String(id.to_string()))
        .ok_or_else(|| {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let text = format!("{} ID: id value of incorrect type: {shown}", field.label);
            Refusal::row("MALFORMED_ID", text, &[&field.name])
        })
}

/// Checks a whole row: types' limits, required fields, references, the admin's rules, uniqueness.
pub(crate) fn check(
    org: &Org,
    user: &User,
    object: &Object,
    fields: &Fields,
    before: Option<&Record>,
) -> Result<(), Refusal> {
    check_limits(object, fields)?;
    check_required(org, object, fields)?;
    check_references(org, user, object, fields, before)?;
    if &*object.name == "Task" {
        check_task(org, fields, before)?;
    }
    if org.switches.storage_full && before.is_none() {
        return Err(Refusal::row(
            "STORAGE_LIMIT_EXCEEDED",
            "storage limit exceeded",
            &[],
        ));
    }
    check_unique(org, object, fields, before)
}

/// Lengths, ranges and restricted picklists.
fn check_limits(object: &Object, fields: &Fields) -> Result<(), Refusal> {
    for (name, value) in fields {
        let Some(field) = object.field(name) else {
            continue;
        };
        let outside = |value: i64| !(-LARGEST_INT..=LARGEST_INT).contains(&value);
        if field.kind == Kind::Int && value.as_i64().is_some_and(outside) {
            let text = format!("{}: value outside of valid range: {value}", field.label);
            return Err(Refusal::row("NUMBER_OUTSIDE_VALID_RANGE", text, &[name]));
        }
        let Some(text) = value.as_str() else { continue };
        if field.length > 0 && text.chars().count() > field.length {
            let length = field.length;
            let text = format!(
                "{}: data value too large: {text} (max length={length})",
                field.label
            );
            return Err(Refusal::row("STRING_TOO_LONG", text, &[name]));
        }
        if let Kind::Picklist(values) = field.kind
            && field.restricted
            && !values.contains(&text)
        {
            let text = format!(
                "{}: bad value for restricted picklist field: {text}",
                field.label
            );
            let code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST";
            return Err(Refusal::row(code, text, &[name]));
        }
    }
    Ok(())
}

fn check_required(org: &Org, object: &Object, fields: &Fields) -> Result<(), Refusal> {
    let by_admin = (&*object.name == "Task")
        .then_some(org.switches.required_task_field.as_deref())
        .flatten();
    let missing: Vec<&str> = object
        .fields()
        .iter()
        .filter(|field| field.required)
        .map(|field| &*field.name)
        .chain(by_admin)
        .filter(|&name| !fields.contains_key(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!("Required fields are missing: [{}]", missing.join(", "));
    Err(Refusal::row("REQUIRED_FIELD_MISSING", text, &missing))
}

/// Every record pointed to must exist, not be deleted, and be visible to the user.
fn check_references(
    org: &Org,
    user: &User,
    object: &Object,
    fields: &Fields,
    before: Option<&Record>,
) -> Result<(), Refusal> {
    for (name, value) in fields {
        let unchanged = before.is_some_and(|before| before.get(name) == value);
        let Some(id) = value.as_str().and_then(Id::parse) else {
            continue;
        };
        if unchanged || !object.field(name).is_some_and(|field| field.createable) {
            continue;
        }
        let Some(target) = org.record(id) else {
            let text = "invalid cross reference id";
            return Err(Refusal::row("INVALID_CROSS_REFERENCE_KEY", text, &[]));
        };
        if target.is_deleted() {
            return Err(Refusal::row("ENTITY_IS_DELETED", "entity is deleted", &[]));
        }
        let visible = org
            .schema
            .object_with_prefix(id.prefix())
            .is_some_and(|object| {
                user.has_object(&object.name) && access::is_visible(org, user, object, target)
            });
        if !visible {
            let code = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY";
            let text = format!("insufficient access rights on cross-reference id: {id}");
            return Err(Refusal::row(code, text, &[]));
        }
        if target.is_true("IsConverted") {
            let text = "cannot reference converted lead";
            return Err(Refusal::row("CANNOT_UPDATE_CONVERTED_LEAD", text, &[]));
        }
    }
    Ok(())
}

/// What only a Task must keep.
fn check_task(org: &Org, fields: &Fields, before: Option<&Record>) -> Result<(), Refusal> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let id = |name: &str| text(name).and_then(Id::parse);
    if id("WhoId").is_some_and(|who| who.prefix() == *b"00Q") && id("WhatId").is_some() {
        let text = "Related To ID: a Task of a Lead cannot be related to another record";
        return Err(Refusal::row("FIELD_INTEGRITY_EXCEPTION", text, &["WhatId"]));
    }
    let same_owner = before.is_some_and(|before| before.text("OwnerId") == text("OwnerId"));
    let owner = id("OwnerId").and_then(|owner| org.users.get(&owner));
    if let Some(owner) = owner.filter(|owner| !owner.settings.active && !same_owner) {
        let text = format!(
            "operation performed with inactive user [{}] as owner of task",
            owner.id
        );
        return Err(Refusal::row("INACTIVE_OWNER_OR_USER", text, &[]));
    }
    if let Some(rule) = &org.switches.validation_rule {
        let value = text(&rule.field).unwrap_or_default();
        let matches = rule
            .contains
            .as_deref()
            .is_none_or(|needle| value.contains(needle));
        if matches {
            let code = "FIELD_CUSTOM_VALIDATION_EXCEPTION";
            return Err(Refusal::row(code, &rule.message, &[&rule.field]));
        }
    }
    Ok(())
}

fn check_unique(
    org: &Org,
    object: &Object,
    fields: &Fields,
    before: Option<&Record>,
) -> Result<(), Refusal> {
    let Some(table) = org.table(&object.name) else {
        return Ok(());
    };
    for field in object.fields().iter().filter(|field| field.unique) {
        let holder = fields
            .get(&field.name)
            .and_then(Value::as_str)
            .and_then(|value| table.holder(&field.name, value))
            .filter(|&holder| before.is_none_or(|before| before.id != holder));
        if let Some(holder) = holder {
            let text = format!(
                "duplicate value found: {} duplicates value on record with id: {holder}",
                field.name
            );
            return Err(Refusal::row("DUPLICATE_VALUE", text, &[]));
        }
    }
    Ok(())
}

/// Fills in what Salesforce works out itself: full names, and what follows from a Task's status.
pub(crate) fn derive(org: &Org, object: &Object, fields: &mut Fields, now: Timestamp) {
    if object.field("LastName").is_some() {
        let parts: Vec<&str> = ["FirstName", "LastName"]
            .iter()
            .filter_map(|&name| fields.get(name)?.as_str())
            .collect();
        let name = parts.join(" ");
        fields.insert("Name".into(), Value::String(name));
    }
    if &*object.name != "Task" {
        return;
    }
    let closed = fields.get("Status").and_then(Value::as_str) == Some(CLOSED);
    fields.insert("IsClosed".into(), Value::Bool(closed));
    if closed {
        let now = format_datetime(now.trunc_subsecs(0));
        let completed = fields.entry("CompletedDateTime".into());
        completed.or_insert(Value::String(now));
    } else {
        fields.remove("CompletedDateTime");
    }
    let high = fields.get("Priority").and_then(Value::as_str) == Some("High");
    fields.insert("IsHighPriority".into(), Value::Bool(high));
    fields.entry("IsArchived".into()).or_insert(json!(false));
    match account_of(org, fields) {
        Some(account) => fields.insert("AccountId".into(), Value::String(account.to_string())),
        None => fields.remove("AccountId"),
    };
}

/// The account that a Task belongs to, through what it is related to or through its contact.
fn account_of(org: &Org, fields: &Fields) -> Option<Id> {
    let id = |name: &str| fields.get(name).and_then(Value::as_str).and_then(Id::parse);
    let through = |id: Id| match &id.prefix() {
        b"001" => Some(id),
        _ => org.record(id)?.reference("AccountId"),
    };
    id("WhatId")
        .and_then(through)
        .or_else(|| id("WhoId").and_then(through))
}
