//! Records by a value of an External ID field, instead of their id: retrieve, upsert, delete.

use http::Method;
use serde_json::{Map, Value, json};

use super::data::Ask;
use super::resource::Kind;
use super::{Answer, Reply, rows};
use crate::world::id::Id;
use crate::world::refusal::Refusal;
use crate::world::schema::{Field, Object};
use crate::world::transaction::Transaction;

/// The version from which an upsert that updates answers with a body.
const ANSWERS_UPDATES: u32 = 46;

/// A record as a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) object: String,
    pub(crate) field: String,
    pub(crate) value: String,
}

/// `/sobjects/<object>/<field>/<value>`.
pub(crate) fn row(work: &mut Transaction<'_>, ask: &Ask, name: &Name) -> Answer {
    ask.only(&[Method::GET, Method::PATCH, Method::DELETE])?;
    let schema = work.schema();
    let object = work.object(&schema, &name.object)?;
    if name.field.eq_ignore_ascii_case("id") {
        return rows::row(work, ask, &name.object, &name.value);
    }
    let field = field(work, object, &name.field)?;
    let found = work.holders(object, field, &name.value);
    if found.len() > 1 {
        let urls: Vec<String> = found.iter().map(|id| url(work, object, *id)).collect();
        return Ok(Reply::json(300, json!(urls)));
    }
    match (&ask.method, found.first()) {
        (&Method::PATCH, found) => upsert_alone(work, ask, (object, field), name, found.copied()),
        (_, None) => Err(Refusal::not_found()),
        (&Method::DELETE, Some(id)) => {
            work.delete(object, *id).map_err(rows::unknown_row)?;
            Ok(Reply::empty(204).with_rows(1))
        }
        (_, Some(id)) => rows::retrieve(work, ask, &name.object, *id),
    }
}

/// The record's path, as `Location` tells it.
fn url(work: &Transaction<'_>, object: &Object, id: Id) -> String {
    let version = &work.version;
    format!("/services/data/{version}/sobjects/{}/{id}", object.name)
}

fn upsert_alone(
    work: &mut Transaction<'_>,
    ask: &Ask,
    (object, field): (&Object, &Field),
    name: &Name,
    found: Option<Id>,
) -> Answer {
    let mut body = ask.object()?;
    if named(&body, &field.name).is_some() {
        let text = format!(
            "The {} field should not be specified in the sobject data.",
            field.name
        );
        return Err(Refusal::row("INVALID_FIELD", text, &[&field.name]));
    }
    body.insert(field.name.to_string(), json!(name.value));
    let only_updates = ask
        .parameter("updateOnly")
        .is_some_and(|only| only.eq_ignore_ascii_case("true"));
    if only_updates && found.is_none() {
        return Err(Refusal::not_found());
    }
    let saved = save(work, object, Kind::Upsert, found, &body)?;
    if !saved.created && work.version_number() < ANSWERS_UPDATES {
        return Ok(Reply::empty(204).with_rows(1));
    }
    let answer = json!({ "id": saved.id, "success": true, "errors": [], "created": saved.created });
    let reply = Reply::json(if saved.created { 201 } else { 200 }, answer).with_rows(1);
    Ok(if saved.created {
        reply.with_header("Location", url(work, object, saved.id))
    } else {
        reply
    })
}

/// What an upsert did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saved {
    pub(crate) id: Id,
    pub(crate) created: bool,
}

/// Upserts a row that carries its External ID itself, as rows of a collection do.
pub(crate) fn upsert(
    work: &mut Transaction<'_>,
    (object, field): (&Object, &Field),
    kind: Kind,
    body: &Map<String, Value>,
) -> Result<Saved, Refusal> {
    let key = key(body, field).ok_or_else(|| {
        let text = format!("{} not specified", field.name);
        Refusal::row("MISSING_ARGUMENT", text, &[&field.name])
    })?;
    let found = work.holders(object, field, &key);
    if found.len() > 1 {
        let text = format!(
            "{}: more than one record found for external id field: [{}]",
            field.name,
            found
                .iter()
                .map(Id::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        return Err(Refusal::row("DUPLICATE_EXTERNAL_ID", text, &[]));
    }
    save(work, object, kind, found.first().copied(), body)
}

/// The External ID that a row carries.
pub(crate) fn key(body: &Map<String, Value>, field: &Field) -> Option<String> {
    match named(body, &field.name)? {
        Value::String(key) if !key.is_empty() => Some(key.clone()),
        key @ Value::Number(_) => Some(key.to_string()),
        _ => None,
    }
}

fn save(
    work: &mut Transaction<'_>,
    object: &Object,
    kind: Kind,
    found: Option<Id>,
    body: &Map<String, Value>,
) -> Result<Saved, Refusal> {
    match found {
        Some(id) => {
            work.update(object, kind, id, body).map_err(|refusal| {
                // The row is there, so what the user lacks is access to it.
                let code = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY";
                let text = format!("insufficient access rights on cross-reference id: {id}");
                match refusal.code.as_str() {
                    "INVALID_CROSS_REFERENCE_KEY" if refusal.status == 404 => {
                        Refusal::row(code, text, &[])
                    }
                    _ => refusal,
                }
            })?;
            Ok(Saved { id, created: false })
        }
        None => Ok(Saved {
            id: work.create(object, kind, body)?,
            created: true,
        }),
    }
}

/// An External ID field that the user sees.
pub(crate) fn field<'o>(
    work: &Transaction<'_>,
    object: &'o Object,
    name: &str,
) -> Result<&'o Field, Refusal> {
    crate::world::access::field(&work.user, object, name)
        .filter(|field| field.external_id)
        .ok_or_else(|| {
            let text =
                format!("Provided external ID field does not exist or is not accessible: {name}");
            Refusal::new(404, "NOT_FOUND", text)
        })
}

fn named<'b>(body: &'b Map<String, Value>, name: &str) -> Option<&'b Value> {
    body.iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
