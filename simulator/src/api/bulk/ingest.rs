//! Jobs that write: created, filled by one upload, processed, and asked for their results.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};

use super::super::data::{Ask, Body};
use super::super::external;
use super::super::resource::Kind;
use super::super::{Answer, Reply};
use super::{info, invalid_job, job, sheet, wrong_state};
use crate::world::id::Id;
use crate::world::jobs::{Job, Operation, RowResult, Sheet, State};
use crate::world::refusal::Refusal;
use crate::world::schema::Object;
use crate::world::transaction::Transaction;

/// Rows that are written together, and fail together where a trigger throws.
const CHUNK: usize = 200;

/// What a cell says to empty a field. An empty cell leaves it as it is.
const NULL: &str = "#N/A";

/// `POST /jobs/ingest`.
pub(super) fn create(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    let body = ask.object()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let operation = text("operation")
        .and_then(Operation::named)
        .filter(|operation| !operation.is_query())
        .ok_or_else(|| invalid_job("the operation is insert, update, upsert or delete"))?;
    let schema = work.schema();
    let name = text("object").unwrap_or_default();
    let object = work
        .object(&schema, name)
        .map_err(|_| invalid_job(format!("Unable to find object: {name}")))?;
    let external_id = text("externalIdFieldName").map(str::to_owned);
    if operation == Operation::Upsert {
        let field = external_id.as_deref().unwrap_or_default();
        external::field(work, object, field).map_err(|_| {
            invalid_job(format!(
                "Field name provided, {field} does not match an External ID, Salesforce Id, or indexed field for {name}"
            ))
        })?;
    }
    let job = Job {
        external_id,
        ..job(work, &body, operation, &object.name)?
    };
    let told = info(work, &job);
    work.org.jobs.insert(job.id, job);
    Ok(Reply::ok(Value::Object(told)))
}

/// `PUT /jobs/ingest/<id>/batches`: once, while the job is open.
pub(super) fn upload(work: &mut Transaction<'_>, ask: &Ask, id: Id) -> Answer {
    ask.only(&[Method::PUT])?;
    let Body::Bytes(bytes) = &ask.body else {
        return Err(Refusal::not_found());
    };
    let job = work.org.jobs.get_mut(&id).ok_or_else(Refusal::not_found)?;
    if job.state != State::Open || job.upload.is_some() {
        return Err(wrong_state("the job takes no upload, or no second one"));
    }
    job.upload = Some(bytes.clone());
    Ok(Reply::empty(201))
}

/// Writes the rows of a job, each for itself.
pub(super) fn process(work: &mut Transaction<'_>, id: Id) {
    let Some(mut job) = work.org.jobs.get(&id).cloned() else {
        return;
    };
    let upload: Bytes = job.upload.take().unwrap_or_default();
    match sheet::read(&job.format, &upload) {
        Ok(sheet) => {
            job.results = write(work, &job, &sheet);
            job.sheet = sheet;
            job.state = State::JobComplete;
        }
        Err(error) => {
            job.state = State::Failed;
            job.error = Some(format!("InvalidBatch : the CSV cannot be read: {error}"));
        }
    }
    work.org.jobs.insert(id, job);
}

fn write(work: &mut Transaction<'_>, job: &Job, sheet: &Sheet) -> Vec<RowResult> {
    let schema = work.schema();
    let Some(object) = schema.object(&job.object) else {
        return Vec::new();
    };
    let bodies: Vec<Map<String, Value>> = sheet
        .rows
        .iter()
        .map(|row| body_of(&sheet.columns, row))
        .collect();
    let mut results = Vec::with_capacity(bodies.len());
    for chunk in bodies.chunks(CHUNK) {
        let rows: Vec<&Map<String, Value>> = chunk.iter().collect();
        let failure = work.chunk_fault(Kind::Bulk, &rows);
        for body in chunk {
            let result = match &failure {
                Some(refusal) => Err(refusal.clone()),
                None => save(work, object, job, body),
            };
            results.push(result.unwrap_or_else(|refusal| RowResult::Failed {
                id: id_of(body),
                error: told(&refusal),
            }));
        }
    }
    results
}

fn body_of(columns: &[String], row: &[String]) -> Map<String, Value> {
    let filled = columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
    filled
        .map(|(column, cell)| {
            let value = match cell.as_str() {
                NULL => Value::Null,
                text => Value::String(text.to_owned()),
            };
            (column.clone(), value)
        })
        .collect()
}

fn save(
    work: &mut Transaction<'_>,
    object: &Object,
    job: &Job,
    body: &Map<String, Value>,
) -> Result<RowResult, Refusal> {
    let known = || {
        id_of(body)
            .filter(|id| id.prefix() == object.prefix)
            .ok_or_else(|| Refusal::row("MALFORMED_ID", "bad id", &["Id"]))
    };
    let (id, created) = match job.operation {
        Operation::Insert => (work.create(object, Kind::Bulk, body)?, true),
        Operation::Update => {
            let id = known()?;
            work.update(object, Kind::Bulk, id, body)?;
            (id, false)
        }
        Operation::Delete => {
            let id = known()?;
            work.delete(object, id)?;
            (id, false)
        }
        _ => {
            let name = job.external_id.as_deref().unwrap_or_default();
            let field = external::field(work, object, name)?;
            let saved = external::upsert(work, (object, field), Kind::Bulk, body)?;
            (saved.id, saved.created)
        }
    };
    Ok(RowResult::Saved { id, created })
}

fn id_of(body: &Map<String, Value>) -> Option<Id> {
    let (_, id) = body
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("id"))?;
    Id::parse(id.as_str()?)
}

/// A refusal as results have it: `REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --`.
fn told(refusal: &Refusal) -> String {
    let fields = refusal.fields.as_deref().unwrap_or_default().join(",");
    format!("{}:{}:{fields} --", refusal.code, refusal.message)
}

/// `GET /jobs/ingest/<id>/successfulResults`, `/failedResults`, `/unprocessedrecords`.
pub(super) fn results(work: &mut Transaction<'_>, ask: &Ask, id: Id, which: &str) -> Answer {
    ask.only(&[Method::GET])?;
    let job = work.org.jobs.get(&id).ok_or_else(Refusal::not_found)?;
    let own: &[&str] = match which.to_ascii_lowercase().as_str() {
        "successfulresults" => &["sf__Id", "sf__Created"],
        "failedresults" => &["sf__Id", "sf__Error"],
        "unprocessedrecords" => &[],
        _ => return Err(Refusal::not_found()),
    };
    let unprocessed = own.is_empty();
    let wants_saved = own.contains(&"sf__Created");
    let rows: Vec<(String, &str, &Vec<String>)> = job
        .results
        .iter()
        .zip(&job.sheet.rows)
        .filter_map(|(result, row)| match result {
            RowResult::Saved { id, created } if wants_saved => {
                Some((id.to_string(), if *created { "true" } else { "false" }, row))
            }
            RowResult::Failed { id, error } if !wants_saved && !unprocessed => {
                let id = id.map(|id| id.to_string()).unwrap_or_default();
                Some((id, error.as_str(), row))
            }
            _ => None,
        })
        .collect();
    let columns: Vec<&str> = own
        .iter()
        .copied()
        .chain(job.sheet.columns.iter().map(String::as_str))
        .collect();
    let cells = rows.iter().map(|(id, told, row)| {
        let own = [id.as_str(), *told].into_iter();
        own.chain(row.iter().map(String::as_str)).collect()
    });
    csv_reply(sheet::write(&job.format, &columns, cells)).map(|reply| reply.with_rows(rows.len()))
}

/// A table as an answer.
pub(super) fn csv_reply(text: Result<String, csv::Error>) -> Answer {
    text.map(|text| Reply::text(200, "text/csv", text))
        .map_err(|error| Refusal::new(500, "UNKNOWN_EXCEPTION", error.to_string()))
}
