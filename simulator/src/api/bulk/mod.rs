//! Bulk API 2.0 (`/jobs/…`); and the first Bulk API, which is not played.

mod ingest;
mod query;
mod sheet;

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use super::data::Ask;
use super::{Answer, Reply, Request};
use crate::world::id::Id;
use crate::world::jobs::{Format, Job, Operation, RowResult, Sheet, State};
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;
use crate::world::value::format_datetime;

/// `/services/async/…`: what an org says in which the first Bulk API is switched off.
pub(crate) fn version_1(request: &Request) -> Reply {
    let text = "Bulk API is not enabled: the simulator plays Bulk API 2.0 only";
    let json = request
        .header("content-type")
        .is_some_and(|content_type| content_type.contains("json"));
    if json {
        let body = json!({ "exceptionCode": "FeatureNotEnabled", "exceptionMessage": text });
        return Reply::json(400, body);
    }
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><error xmlns=\"http://www.force.com/2009/06/asyncapi/dataload\">\
         <exceptionCode>FeatureNotEnabled</exceptionCode><exceptionMessage>{text}</exceptionMessage></error>"
    );
    Reply::text(400, "application/xml", body)
}

/// Answers a request below `/jobs`.
pub(crate) fn run(work: &mut Transaction<'_>, ask: &Ask, path: &[String]) -> Answer {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let (queries, rest) = match parts.as_slice() {
        ["ingest", rest @ ..] => (false, rest),
        ["query", rest @ ..] => (true, rest),
        _ => return Err(Refusal::not_found()),
    };
    let Some((id, rest)) = rest.split_first() else {
        ask.only(&[Method::GET, Method::POST])?;
        return match (&ask.method, queries) {
            (&Method::GET, _) => Ok(list(work, queries)),
            (_, true) => query::create(work, ask),
            (_, false) => ingest::create(work, ask),
        };
    };
    let id = Id::parse(id)
        .filter(|id| {
            let job = work.org.jobs.get(id);
            job.is_some_and(|job| job.user == work.user.id && job.operation.is_query() == queries)
        })
        .ok_or_else(Refusal::not_found)?;
    match rest {
        [] => one(work, ask, id),
        ["results"] if queries => query::results(work, ask, id),
        ["batches"] if !queries => ingest::upload(work, ask, id),
        [which] if !queries => ingest::results(work, ask, id, which),
        _ => Err(Refusal::not_found()),
    }
}

/// A new job of an operation on an object, in the format that its request names.
fn job(
    work: &mut Transaction<'_>,
    asked: &Map<String, Value>,
    operation: Operation,
    object: &Arc<str>,
) -> Result<Job, Refusal> {
    let text = |name: &str, usual: &str| {
        let text = asked.get(name).and_then(Value::as_str);
        text.unwrap_or(usual).to_owned()
    };
    let format = Format {
        delimiter: text("columnDelimiter", "COMMA"),
        line_ending: text("lineEnding", "LF"),
    };
    if sheet::delimiter(&format.delimiter).is_none() {
        let name = format.delimiter;
        return Err(invalid_job(format!("there is no column delimiter {name}")));
    }
    Ok(Job {
        id: work.org.next_id(*b"750"),
        user: work.user.id,
        created: work.now,
        changed: work.now,
        operation,
        object: Arc::clone(object),
        external_id: None,
        format,
        state: State::Open,
        error: None,
        upload: None,
        sheet: Sheet::default(),
        results: Vec::new(),
    })
}

/// `/jobs/ingest/<id>`, `/jobs/query/<id>`.
fn one(work: &mut Transaction<'_>, ask: &Ask, id: Id) -> Answer {
    ask.only(&[Method::GET, Method::PATCH, Method::DELETE])?;
    if ask.method == Method::PATCH {
        return change(work, ask, id);
    }
    let job = work.org.jobs.get(&id).ok_or_else(Refusal::not_found)?;
    if ask.method == Method::GET {
        let mut body = info(work, job);
        progress(job, &mut body);
        return Ok(Reply::ok(Value::Object(body)));
    }
    if job.state == State::Open {
        return Err(wrong_state("a job that is open cannot be deleted"));
    }
    work.org.jobs.remove(&id);
    Ok(Reply::empty(204))
}

/// Ends an upload, or the whole job.
fn change(work: &mut Transaction<'_>, ask: &Ask, id: Id) -> Answer {
    let body = ask.object()?;
    let now = work.now;
    let job = work.org.jobs.get_mut(&id).ok_or_else(Refusal::not_found)?;
    if job.state != State::Open {
        let text = format!("the job is {} and does not change", job.state.name());
        return Err(wrong_state(&text));
    }
    job.changed = now;
    match body.get("state").and_then(Value::as_str) {
        Some("Aborted") => job.state = State::Aborted,
        Some("UploadComplete") if !job.operation.is_query() => {
            ingest::process(work, id);
        }
        _ => {
            return Err(wrong_state(
                "the state can become UploadComplete or Aborted",
            ));
        }
    }
    let job = work.org.jobs.get(&id).ok_or_else(Refusal::not_found)?;
    let mut body = info(work, job);
    if job.state != State::Aborted {
        // What has just been queued is not done yet, as far as this answer knows.
        body.insert("state".to_owned(), json!("UploadComplete"));
    }
    Ok(Reply::ok(Value::Object(body)).with_rows(job.results.len()))
}

fn list(work: &Transaction<'_>, queries: bool) -> Reply {
    let mine = |job: &&Job| job.user == work.user.id && job.operation.is_query() == queries;
    let records: Vec<Value> = work
        .org
        .jobs
        .values()
        .filter(mine)
        .map(|job| Value::Object(info(work, job)))
        .collect();
    Reply::ok(json!({ "done": true, "records": records, "nextRecordsUrl": null }))
}

/// What every answer about a job tells.
fn info(work: &Transaction<'_>, job: &Job) -> Map<String, Value> {
    let version: f64 = work.version_number().into();
    let told = json!({
        "id": job.id,
        "operation": job.operation.name(),
        "object": *job.object,
        "createdById": job.user,
        "createdDate": format_datetime(job.created),
        "systemModstamp": format_datetime(job.changed),
        "state": job.state.name(),
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": version,
        "lineEnding": job.format.line_ending,
        "columnDelimiter": job.format.delimiter,
    });
    let Value::Object(mut told) = told else {
        return Map::new();
    };
    if let Some(field) = &job.external_id {
        told.insert("externalIdFieldName".to_owned(), json!(field));
    }
    if job.state == State::Open && !job.operation.is_query() {
        let url = format!(
            "services/data/{}/jobs/ingest/{}/batches",
            work.version, job.id
        );
        told.insert("contentUrl".to_owned(), json!(url));
    }
    told
}

/// What an answer about one job tells beyond that.
fn progress(job: &Job, told: &mut Map<String, Value>) {
    let sort = if job.operation.is_query() {
        "V2Query"
    } else {
        "V2Ingest"
    };
    let failed = |result: &&RowResult| matches!(result, RowResult::Failed { .. });
    let processed = if job.operation.is_query() {
        job.sheet.rows.len()
    } else {
        job.results.len()
    };
    told.insert("jobType".to_owned(), json!(sort));
    told.insert("numberRecordsProcessed".to_owned(), json!(processed));
    told.insert("retries".to_owned(), json!(0));
    told.insert("totalProcessingTime".to_owned(), json!(0));
    if !job.operation.is_query() {
        let count = job.results.iter().filter(failed).count();
        told.insert("numberRecordsFailed".to_owned(), json!(count));
        told.insert("apiActiveProcessingTime".to_owned(), json!(0));
        told.insert("apexProcessingTime".to_owned(), json!(0));
    }
    if let Some(error) = &job.error {
        told.insert("errorMessage".to_owned(), json!(error));
    }
}

fn wrong_state(text: &str) -> Refusal {
    Refusal::new(400, "INVALIDJOBSTATE", format!("InvalidJobState : {text}"))
}

fn invalid_job(text: impl std::fmt::Display) -> Refusal {
    Refusal::new(400, "INVALIDJOB", format!("InvalidJob : {text}"))
}
