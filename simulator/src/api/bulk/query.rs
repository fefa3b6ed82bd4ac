//! Jobs that read: a query whose rows are fetched as CSV, page by page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Method;
use serde_json::Value;

use super::super::data::Ask;
use super::super::{Answer, Reply};
use super::ingest::csv_reply;
use super::{info, invalid_job, job, sheet};
use crate::soql::plan::{Column, Output, plan};
use crate::soql::run::Reader;
use crate::world::id::Id;
use crate::world::jobs::{Job, Operation, Sheet, State};
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// `POST /jobs/query`.
pub(super) fn create(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    let body = ask.object()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let operation = text("operation")
        .and_then(Operation::named)
        .filter(|operation| operation.is_query())
        .ok_or_else(|| invalid_job("the operation is query or queryAll"))?;
    let soql = text("query").unwrap_or_default();
    let query = crate::soql::parse(soql)?;
    let plan = plan(work.org, &work.user, &query, soql)?;
    let Output::Rows(columns) = &plan.output else {
        let text = "Aggregate functions and GROUP BY are not supported in Bulk API 2.0";
        return Err(invalid_job(text));
    };
    let reader = Reader {
        org: work.org,
        user: &work.user,
        version: &work.version,
    };
    let found = reader.run(&plan, operation == Operation::QueryAll)?;
    let sheet = Sheet {
        columns: columns.iter().map(title).collect(),
        rows: found
            .rows
            .iter()
            .map(|row| columns.iter().map(|column| cell(row, column)).collect())
            .collect(),
    };
    let job = Job {
        state: State::JobComplete,
        sheet,
        ..job(work, &body, operation, &plan.object)?
    };
    let mut told = info(work, &job);
    // What has just been queued is not done yet, as far as this answer knows.
    told.insert("state".to_owned(), "UploadComplete".into());
    work.org.jobs.insert(job.id, job);
    Ok(Reply::ok(Value::Object(told)))
}

/// `GET /jobs/query/<id>/results?maxRecords=&locator=`.
pub(super) fn results(work: &mut Transaction<'_>, ask: &Ask, id: Id) -> Answer {
    ask.only(&[Method::GET])?;
    let job = work.org.jobs.get(&id).ok_or_else(Refusal::not_found)?;
    let start = match ask.parameter("locator") {
        None => 0,
        Some(locator) => place(&locator)
            .filter(|&start| start < job.sheet.rows.len())
            .ok_or_else(|| Refusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator"))?,
    };
    let most = ask
        .parameter("maxRecords")
        .and_then(|most| most.parse().ok())
        .unwrap_or(usize::MAX)
        .max(1);
    let end = start.saturating_add(most).min(job.sheet.rows.len());
    let columns: Vec<&str> = job.sheet.columns.iter().map(String::as_str).collect();
    let rows = &job.sheet.rows[start..end];
    let cells = rows
        .iter()
        .map(|row| row.iter().map(String::as_str).collect());
    let next = if end < job.sheet.rows.len() {
        STANDARD_NO_PAD.encode(end.to_string())
    } else {
        "null".to_owned()
    };
    let reply = csv_reply(sheet::write(&job.format, &columns, cells))?;
    Ok(reply
        .with_header("Sforce-Locator", next)
        .with_header("Sforce-NumberOfRecords", rows.len().to_string())
        .with_rows(rows.len()))
}

fn place(locator: &str) -> Option<usize> {
    let text = STANDARD_NO_PAD.decode(locator).ok()?;
    String::from_utf8(text).ok()?.parse().ok()
}

/// `Account.Name`.
fn title(column: &Column) -> String {
    let steps = column.hops.iter().map(|(step, _)| &**step);
    let names: Vec<&str> = steps.chain([&*column.field]).collect();
    names.join(".")
}

fn cell(row: &Value, column: &Column) -> String {
    let parent = column.hops.iter().fold(row, |row, (step, _)| &row[&**step]);
    match &parent[&*column.field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
