//! `/composite/tree`: records with their children, all created or none.

use std::collections::{HashSet, VecDeque};

use http::Method;
use serde_json::{Map, Value, json};

use super::data::Ask;
use super::resource::Kind;
use super::{Answer, Reply};
use crate::world::id::Id;
use crate::world::refusal::Refusal;
use crate::world::schema::Schema;
use crate::world::transaction::Transaction;

/// Records of a request, and levels of a tree.
const MOST_RECORDS: usize = 200;
const DEEPEST: usize = 5;

/// A record that waits for its turn.
#[derive(Debug)]
struct Planted {
    /// The names that children of it may go by come from here.
    object: String,
    reference: String,
    fields: Map<String, Value>,
    /// The relationship's field and the parent's place among the records.
    parent: Option<(String, usize)>,
    level: usize,
}

/// `POST /composite/tree/<object>`.
pub(crate) fn run(work: &mut Transaction<'_>, ask: &Ask, name: &str) -> Answer {
    ask.only(&[Method::POST])?;
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let mut body = ask.object()?;
    let Some(Value::Array(roots)) = body.remove("records") else {
        return Err(Refusal::json(
            "The request body must have an array \"records\"",
        ));
    };
    let records = planted(&schema, &object.name, roots)?;
    let mark = work.undo.len();
    let mut ids: Vec<Option<Id>> = Vec::new();
    let mut failed = Vec::new();
    for record in &records {
        let made = create(work, &schema, record, &ids);
        ids.push(match made {
            Ok(id) => id,
            Err(refusal) => {
                let errors = refusal.as_row()["errors"].clone();
                failed.push(json!({ "referenceId": record.reference, "errors": errors }));
                None
            }
        });
    }
    if !failed.is_empty() {
        work.roll_back_to(mark);
        let body = json!({ "hasErrors": true, "results": failed });
        return Ok(Reply::json(400, body).with_rows(records.len()));
    }
    let results: Vec<Value> = records
        .iter()
        .zip(ids)
        .map(|(record, id)| json!({ "referenceId": record.reference, "id": id }))
        .collect();
    let body = json!({ "hasErrors": false, "results": results });
    Ok(Reply::json(201, body).with_rows(records.len()))
}

/// Creates one record; a record whose parent failed is passed over.
fn create(
    work: &mut Transaction<'_>,
    schema: &Schema,
    record: &Planted,
    ids: &[Option<Id>],
) -> Result<Option<Id>, Refusal> {
    let mut fields = record.fields.clone();
    if let Some((field, parent)) = &record.parent {
        let Some(parent) = ids.get(*parent).copied().flatten() else {
            return Ok(None);
        };
        fields.insert(field.clone(), json!(parent));
    }
    let object = work.object(schema, &record.object)?;
    work.create(object, Kind::Tree, &fields).map(Some)
}

/// All records, parents before children, level by level.
fn planted(schema: &Schema, root: &str, roots: Vec<Value>) -> Result<Vec<Planted>, Refusal> {
    let mut waiting: VecDeque<Planted> = VecDeque::new();
    for record in roots {
        waiting.push_back(planted_one(root, record, None, 1)?);
    }
    let mut records: Vec<Planted> = Vec::new();
    let mut references = HashSet::new();
    while let Some(mut record) = waiting.pop_front() {
        if !references.insert(record.reference.clone()) {
            let text = format!(
                "Duplicate ReferenceId provided in the request: {}",
                record.reference
            );
            return Err(Refusal::new(400, "INVALID_INPUT", text));
        }
        if record.level > DEEPEST || records.len() == MOST_RECORDS {
            let text = "A tree may have 200 records on five levels";
            return Err(Refusal::new(400, "LIMIT_EXCEEDED", text));
        }
        let place = records.len();
        let nested: Vec<String> = record
            .fields
            .iter()
            .filter(|(_, value)| value["records"].is_array())
            .map(|(name, _)| name.clone())
            .collect();
        for name in nested {
            let children = record.fields.remove(&name).unwrap_or_default();
            let Some(child) = schema.child(&record.object, &name) else {
                let text = format!(
                    "No such relationship '{name}' on sobject of type {}",
                    record.object
                );
                return Err(Refusal::new(400, "INVALID_FIELD", text));
            };
            for one in children["records"].as_array().into_iter().flatten() {
                let parent = Some((child.field.to_owned(), place));
                let level = record.level + 1;
                waiting.push_back(planted_one(child.object, one.clone(), parent, level)?);
            }
        }
        records.push(record);
    }
    Ok(records)
}

fn planted_one(
    object: &str,
    record: Value,
    parent: Option<(String, usize)>,
    level: usize,
) -> Result<Planted, Refusal> {
    let attributes = &record["attributes"];
    let right = attributes["type"]
        .as_str()
        .is_some_and(|name| name.eq_ignore_ascii_case(object));
    let reference = attributes["referenceId"].as_str().map(str::to_owned);
    let (true, Some(reference), Value::Object(fields)) = (right, reference, record) else {
        let text =
            format!("A record here needs its attributes: the type {object} and a referenceId");
        return Err(Refusal::new(400, "INVALID_INPUT", text));
    };
    Ok(Planted {
        object: object.to_owned(),
        reference,
        fields,
        parent,
        level,
    })
}
