//! `/composite` and `/composite/batch`: several requests in one.

use std::collections::HashMap;

use http::Method;
use serde_json::{Map, Value, json};

use super::data::{Ask, Body, one};
use super::resource::{Resource, Target};
use super::{Answer, Reply};
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// Subrequests of a composite, and those of them that may be queries or collections.
const MOST_REQUESTS: usize = 25;
const MOST_HEAVY: usize = 5;

/// `POST /composite`. The outer answer is 200 even when subrequests fail.
pub(crate) fn run(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    ask.only(&[Method::POST])?;
    let body = ask.object()?;
    let all_or_none = body
        .get("allOrNone")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let requests = subrequests(&body, "compositeRequest")?;
    let heavy = |request: &&Subrequest| {
        matches!(
            request.ask.target,
            Target::Query { .. }
                | Target::Collections
                | Target::CollectionsOf { .. }
                | Target::CollectionsBy { .. }
        )
    };
    if requests.iter().filter(heavy).count() > MOST_HEAVY {
        let text = "Limit of 5 query, queryAll and sObject Collections subrequests exceeded";
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", text));
    }
    let results = if all_or_none {
        all_or_nothing(work, requests, in_a_composite).0
    } else {
        one_by_one(work, requests, in_a_composite)
    };
    let rows = results.iter().map(|(_, reply)| reply.rows).sum();
    let results = results
        .into_iter()
        .map(|(reference, reply)| shown(&reference, reply));
    let results: Vec<Value> = results.collect();
    Ok(Reply::ok(json!({ "compositeResponse": results })).with_rows(rows))
}

/// Answers requests in their order; each may refer to the answers before it.
fn one_by_one(
    work: &mut Transaction<'_>,
    requests: Vec<Subrequest>,
    allowed: fn(&Target) -> bool,
) -> Vec<(String, Reply)> {
    let mut done: HashMap<String, Value> = HashMap::new();
    let mut results: Vec<(String, Reply)> = Vec::new();
    for request in requests {
        let reply = answer(work, &request, &done, allowed);
        if let super::Body::Json(body) = &reply.body
            && reply.status < 300
        {
            done.insert(request.reference.clone(), body.clone());
        }
        results.push((request.reference, reply));
    }
    results
}

/// Answers requests, and takes all of them back if one fails; tells whether one did.
pub(super) fn all_or_nothing(
    work: &mut Transaction<'_>,
    requests: Vec<Subrequest>,
    allowed: fn(&Target) -> bool,
) -> (Vec<(String, Reply)>, bool) {
    let mark = work.undo.len();
    let mut results = one_by_one(work, requests, allowed);
    let failed = |reply: &Reply| reply.status >= 300 || has_failed_row(reply);
    if !results.iter().any(|(_, reply)| failed(reply)) {
        return (results, false);
    }
    work.roll_back_to(mark);
    for (_, reply) in &mut results {
        if !failed(reply) {
            let text = "The transaction was rolled back since another operation in the same transaction failed.";
            *reply = halted(text);
        }
    }
    (results, true)
}

/// `POST /composite/batch`: independent requests, each of which counts.
pub(crate) fn run_batch(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    ask.only(&[Method::POST])?;
    let body = ask.object()?;
    let halt = body
        .get("haltOnError")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let mut failed = false;
    let mut rows = 0;
    let mut results = Vec::new();
    for request in subrequests(&body, "batchRequests")? {
        let reply = if failed && halt {
            let text = "Batch processing halted per request";
            Refusal::new(412, "BATCH_PROCESSING_HALTED", text).into()
        } else {
            one(work, &request.ask).unwrap_or_else(Reply::from)
        };
        failed |= reply.status >= 300;
        rows += reply.rows;
        results.push(json!({ "statusCode": reply.status, "result": json_of(reply) }));
    }
    Ok(Reply::ok(json!({ "hasErrors": failed, "results": results })).with_rows(rows))
}

/// Requests in a batch: what it counts as.
pub(crate) fn batch_size(body: &[u8]) -> u64 {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["batchRequests"]
        .as_array()
        .map_or(0, |requests| requests.len() as u64)
}

/// One subrequest, before its references are filled in.
#[derive(Debug)]
pub(super) struct Subrequest {
    reference: String,
    ask: Ask,
    url: String,
}

fn subrequests(body: &Map<String, Value>, key: &str) -> Result<Vec<Subrequest>, Refusal> {
    let list = body
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(|| Refusal::json(format!("The request body must have an array \"{key}\"")))?;
    if list.len() > MOST_REQUESTS {
        let text = format!(
            "Limit of {MOST_REQUESTS} subrequests exceeded: {}",
            list.len()
        );
        return Err(Refusal::new(400, "LIMIT_EXCEEDED", text));
    }
    list.iter()
        .enumerate()
        .map(|(place, request)| subrequest(place, request))
        .collect()
}

pub(super) fn subrequest(place: usize, request: &Value) -> Result<Subrequest, Refusal> {
    let url = request["url"].as_str().unwrap_or_default().to_owned();
    let method = request["method"]
        .as_str()
        .and_then(|method| method.parse().ok())
        .ok_or_else(|| Refusal::json("A subrequest needs its \"method\""))?;
    let body = request.get("body").or_else(|| request.get("richInput"));
    let reference = request["referenceId"].as_str().map(str::to_owned);
    Ok(Subrequest {
        reference: reference.unwrap_or_else(|| place.to_string()),
        ask: ask(method, &url, body.cloned().unwrap_or_default()),
        url,
    })
}

/// A subrequest's URL may leave out `/services/data`, as batches do.
fn ask(method: Method, url: &str, body: Value) -> Ask {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = path.trim_start_matches('/');
    let resource = if path.starts_with("services/data/") {
        Resource::of(path)
    } else {
        Resource::of(&format!("services/data/{path}"))
    };
    let target = match resource {
        Resource::Data { target, .. } => target,
        _ => Target::Unknown,
    };
    Ask {
        method,
        target,
        query: query.to_owned(),
        body: Body::Json(body),
        page: None,
    }
}

fn answer(
    work: &mut Transaction<'_>,
    request: &Subrequest,
    done: &HashMap<String, Value>,
    allowed: fn(&Target) -> bool,
) -> Reply {
    let mut body = match &request.ask.body {
        Body::Json(body) => body.clone(),
        Body::Bytes(_) => Value::Null,
    };
    let filled = fill(&request.url, done).and_then(|url| {
        fill_value(&mut body, done).map(|()| ask(request.ask.method.clone(), &url, body))
    });
    let ask = match filled {
        Ok(ask) => ask,
        Err(missing) => return halted(&missing),
    };
    if !allowed(&ask.target) {
        let text = format!(
            "The resource is not supported in a composite request: {}",
            request.url
        );
        return Refusal::new(400, "INVALID_INPUT", text).into();
    }
    one(work, &ask).unwrap_or_else(Reply::from)
}

/// A composite reaches records, queries and collections; it does not search.
fn in_a_composite(target: &Target) -> bool {
    matches!(
        target,
        Target::Query { .. }
            | Target::QueryMore { .. }
            | Target::Objects
            | Target::Object { .. }
            | Target::Describe { .. }
            | Target::Row { .. }
            | Target::External(_)
            | Target::Collections
            | Target::CollectionsOf { .. }
            | Target::CollectionsBy { .. }
    )
}

fn halted(text: &str) -> Reply {
    Refusal::new(400, "PROCESSING_HALTED", text).into()
}

/// Fills `@{reference.path}` in a text from earlier answers.
fn fill(text: &str, done: &HashMap<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let Some((path, after)) = after.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&looked_up(path, done)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn fill_value(value: &mut Value, done: &HashMap<String, Value>) -> Result<(), String> {
    match value {
        Value::String(text) if text.contains("@{") => *text = fill(text, done)?,
        Value::Array(items) => {
            for item in items {
                fill_value(item, done)?;
            }
        }
        Value::Object(fields) => {
            for (_, field) in fields {
                fill_value(field, done)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// `ref.id`, `ref.records[0].Id`: steps into an earlier answer.
fn looked_up(path: &str, done: &HashMap<String, Value>) -> Result<String, String> {
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let reference = steps.next().unwrap_or_default();
    let mut value = done.get(reference);
    for step in steps {
        value = value.and_then(|value| match step.parse::<usize>() {
            Ok(place) => value.get(place),
            Err(_) => value.get(step),
        });
    }
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        _ => {
            let field = path.split_once('.').map_or("", |(_, field)| field);
            Err(format!(
                "Invalid reference specified. No value for {field} found in {reference}"
            ))
        }
    }
}

/// Whether a collection inside has a failed row.
fn has_failed_row(reply: &Reply) -> bool {
    let super::Body::Json(Value::Array(rows)) = &reply.body else {
        return false;
    };
    rows.iter().any(|row| row["success"] == json!(false))
}

pub(super) fn shown(reference: &str, reply: Reply) -> Value {
    let headers: Map<String, Value> = reply
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let status = reply.status;
    json!({
        "body": json_of(reply),
        "httpHeaders": headers,
        "httpStatusCode": status,
        "referenceId": reference,
    })
}

fn json_of(reply: Reply) -> Value {
    match reply.body {
        super::Body::Json(body) => body,
        super::Body::Text(_, text) => Value::String(text),
        super::Body::Empty => Value::Null,
    }
}
