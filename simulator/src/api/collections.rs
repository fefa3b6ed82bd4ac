//! sObject Collections: up to 200 rows in one request, with a result for each.

use std::collections::HashMap;

use http::Method;
use serde_json::{Map, Value, json};

use super::data::Ask;
use super::external::{self, Saved};
use super::resource::Kind;
use super::{Answer, Reply};
use crate::soql::ast::Path;
use crate::soql::plan::Scope;
use crate::soql::run::Reader;
use crate::world::id::Id;
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// Rows of a request that writes, and of one that reads.
const MOST_ROWS: usize = 200;
const MOST_IDS: usize = 2_000;

/// Runs of rows of one type.
const MOST_CHUNKS: usize = 10;

/// `POST`, `PATCH` and `DELETE /composite/sobjects`.
pub(crate) fn run(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    ask.only(&[Method::POST, Method::PATCH, Method::DELETE])?;
    if ask.method == Method::DELETE {
        return delete(work, ask);
    }
    let kind = ask.target.kind(&ask.method);
    let (rows, all_or_none) = sent(ask)?;
    let chunks: Vec<&[Row]> = rows
        .chunk_by(|left, right| left.object.eq_ignore_ascii_case(&right.object))
        .collect();
    if chunks.len() > MOST_CHUNKS {
        let text = "cannot process more than 10 chunks of records of the same type in this call";
        return Err(Refusal::new(400, "EXCEEDED_MAX_TYPES_LIMIT", text));
    }
    let mark = work.undo.len();
    let mut results = Vec::with_capacity(rows.len());
    for chunk in chunks {
        if let Err(refusal) = write_chunk(work, kind, chunk, &mut results) {
            work.roll_back_to(mark);
            return Err(refusal);
        }
    }
    Ok(settled(work, mark, all_or_none, results))
}

/// The rows of a request, and whether all must succeed.
fn sent(ask: &Ask) -> Result<(Vec<Row>, bool), Refusal> {
    let mut body = ask.object()?;
    let all_or_none = body
        .get("allOrNone")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let Some(Value::Array(records)) = body.remove("records") else {
        let text = "The request body must have an array \"records\"";
        return Err(Refusal::json(text));
    };
    let rows = rows(records)?;
    if rows.len() > MOST_ROWS {
        return Err(too_many_rows());
    }
    Ok((rows, all_or_none))
}

/// `PATCH /composite/sobjects/<object>/<field>`: rows of one type, each with its External ID.
pub(crate) fn upsert(work: &mut Transaction<'_>, ask: &Ask, name: &str, field: &str) -> Answer {
    ask.only(&[Method::PATCH])?;
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let field = external::field(work, object, field)?;
    let (rows, all_or_none) = sent(ask)?;
    let stranger = |row: &&Row| !row.object.eq_ignore_ascii_case(&object.name);
    if let Some(row) = rows.iter().find(stranger) {
        let text = format!(
            "A record of type {} among those of {}",
            row.object, object.name
        );
        return Err(Refusal::new(400, "INVALID_INPUT", text));
    }
    let mark = work.undo.len();
    let bodies: Vec<&Map<String, Value>> = rows.iter().map(|row| &row.fields).collect();
    let failure = work.chunk_fault(Kind::CollectionsUpsert, &bodies);
    let mut keys: HashMap<String, usize> = HashMap::new();
    for key in bodies.iter().filter_map(|body| external::key(body, field)) {
        *keys.entry(key.to_lowercase()).or_default() += 1;
    }
    let twin = |row: &Row| {
        let key = external::key(&row.fields, field)?;
        let text = format!("Duplicate external id specified: {key}");
        let several = keys.get(&key.to_lowercase()).is_some_and(|&rows| rows > 1);
        several.then(|| Refusal::row("DUPLICATE_VALUE", text, &[&field.name]))
    };
    let mut created = Vec::with_capacity(rows.len());
    let mut results = Vec::with_capacity(rows.len());
    for row in &rows {
        let result = match failure.clone().or_else(|| twin(row)) {
            Some(refusal) => Err(refusal),
            None => external::upsert(work, (object, field), Kind::CollectionsUpsert, &row.fields),
        };
        created.push(result.as_ref().is_ok_and(|saved: &Saved| saved.created));
        results.push(result.map(|saved| saved.id));
    }
    let mut reply = settled(work, mark, all_or_none, results);
    if let super::Body::Json(Value::Array(rows)) = &mut reply.body {
        for (row, created) in rows.iter_mut().zip(created) {
            if row["success"] == json!(true) {
                row["created"] = json!(created);
            }
        }
    }
    Ok(reply)
}

/// `DELETE /composite/sobjects?ids=…`: rows of whatever types.
fn delete(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    let ids = split(&ask.parameter("ids").unwrap_or_default());
    if ids.is_empty() {
        let text = "The ids parameter is required and cannot be empty";
        return Err(Refusal::new(400, "INVALID_INPUT", text));
    }
    if ids.len() > MOST_ROWS {
        return Err(too_many_rows());
    }
    let all_or_none = ask
        .parameter("allOrNone")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let schema = work.schema();
    let mark = work.undo.len();
    let mut results = Vec::with_capacity(ids.len());
    for text in &ids {
        let known = Id::parse(text).and_then(|id| {
            let object = schema.object_with_prefix(id.prefix())?;
            work.user.has_object(&object.name).then_some((object, id))
        });
        results.push(match known {
            Some((object, id)) => work.delete(object, id).map(|()| id),
            None => Err(Refusal::row("MALFORMED_ID", format!("bad id {text}"), &[])),
        });
    }
    Ok(settled(work, mark, all_or_none, results))
}

fn too_many_rows() -> Refusal {
    let text = "record limit reached. cannot submit more than 200 records into this call";
    Refusal::new(400, "EXCEEDED_ID_LIMIT", text)
}

/// The answer for rows that were written since `mark`, all taken back if one may not fail alone.
fn settled(
    work: &mut Transaction<'_>,
    mark: usize,
    all_or_none: bool,
    mut results: Vec<Result<Id, Refusal>>,
) -> Reply {
    if all_or_none && results.iter().any(Result::is_err) {
        work.roll_back_to(mark);
        results = results.into_iter().map(rolled_back).collect();
    }
    let count = results.len();
    let results = results.into_iter().map(|result| match result {
        Ok(id) => json!({ "id": id, "success": true, "errors": [] }),
        Err(refusal) => refusal.as_row(),
    });
    Reply::ok(results.collect()).with_rows(count)
}

/// One row as sent.
#[derive(Debug)]
struct Row {
    object: String,
    fields: Map<String, Value>,
}

fn rows(records: Vec<Value>) -> Result<Vec<Row>, Refusal> {
    records
        .into_iter()
        .map(|record| match record {
            Value::Object(fields) => fields
                .get("attributes")
                .and_then(|attributes| attributes["type"].as_str())
                .map(str::to_owned)
                .map(|object| Row { object, fields })
                .ok_or_else(|| {
                    let text = "The type of each record must be given in its attributes";
                    Refusal::new(400, "INVALID_INPUT", text)
                }),
            _ => Err(Refusal::json(
                "A record must be a JSON object at [line:1, column:1]",
            )),
        })
        .collect()
}

/// Writes rows of one type. A body that does not fit the types refuses the whole request.
fn write_chunk(
    work: &mut Transaction<'_>,
    kind: Kind,
    chunk: &[Row],
    results: &mut Vec<Result<Id, Refusal>>,
) -> Result<(), Refusal> {
    let fields: Vec<&Map<String, Value>> = chunk.iter().map(|row| &row.fields).collect();
    let failure = work.chunk_fault(kind, &fields);
    for row in chunk {
        let result = match &failure {
            Some(refusal) => Err(refusal.clone()),
            None => write(work, kind, row),
        };
        match result {
            Err(refusal) if refusal.code == "JSON_PARSER_ERROR" => return Err(refusal),
            result => results.push(result),
        }
    }
    Ok(())
}

fn write(work: &mut Transaction<'_>, kind: Kind, row: &Row) -> Result<Id, Refusal> {
    let schema = work.schema();
    let object = work.object(&schema, &row.object).map_err(|_| {
        let text = format!("sObject type '{}' is not supported.", row.object);
        Refusal::row("INVALID_TYPE", text, &[])
    })?;
    if kind != Kind::CollectionsUpdate {
        return work.create(object, kind, &row.fields);
    }
    let id = row
        .fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("id"))
        .and_then(|(_, id)| Id::parse(id.as_str()?))
        .filter(|id| id.prefix() == object.prefix)
        .ok_or_else(|| Refusal::row("MALFORMED_ID", "bad id", &["Id"]))?;
    work.update(object, kind, id, &row.fields).map(|()| id)
}

/// What all-or-none makes of a row once another has failed.
fn rolled_back(result: Result<Id, Refusal>) -> Result<Id, Refusal> {
    result.and_then(|_| {
        let text = "Record rolled back because not all records were valid and the request was \
                    using AllOrNone header";
        Err(Refusal::row("ALL_OR_NONE_OPERATION_ROLLED_BACK", text, &[]))
    })
}

/// `GET` and `POST /composite/sobjects/<object>`: rows by id, null where there is none.
pub(crate) fn retrieve(work: &mut Transaction<'_>, ask: &Ask, name: &str) -> Answer {
    ask.only(&[Method::GET, Method::POST])?;
    let (ids, fields) = if ask.method == Method::GET {
        let list = |name| ask.parameter(name).unwrap_or_default();
        (split(&list("ids")), split(&list("fields")))
    } else {
        let body = ask.object()?;
        (texts(body.get("ids")), texts(body.get("fields")))
    };
    if ids.len() > MOST_IDS {
        let text = "record limit reached. cannot retrieve more than 2000 records in this call";
        return Err(Refusal::new(400, "EXCEEDED_ID_LIMIT", text));
    }
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let scope = Scope {
        org: work.org,
        user: &work.user,
        object,
        alias: None,
        text: "",
    };
    let columns = fields
        .into_iter()
        .map(|text| scope.column(&Path { text, at: 0 }))
        .collect::<Result<Vec<_>, _>>()?;
    let reader = Reader {
        org: work.org,
        user: &work.user,
        version: &work.version,
    };
    let rows: Vec<Value> = ids
        .iter()
        .map(|id| {
            let record = Id::parse(id).and_then(|id| work.find(object, id));
            record.map_or(Value::Null, |record| reader.row(record, &columns))
        })
        .collect();
    let count = rows.len();
    Ok(Reply::ok(Value::Array(rows)).with_rows(count))
}

fn split(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
