//! `GET /query`, `/queryAll`, and their following pages.

use std::sync::Arc;

use serde_json::{Value, json};

use super::data::Ask;
use super::{Answer, Reply};
use crate::soql::plan::{Output, plan};
use crate::soql::run::Reader;
use crate::world::cursors::Cursor;
use crate::world::id::Id;
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// Rows of a page, and the fewest that a client can ask for.
const PAGE: usize = 2_000;
const SMALLEST_PAGE: usize = 200;

/// Answers a query with its first page.
pub(crate) fn query(work: &mut Transaction<'_>, ask: &Ask, all: bool) -> Answer {
    let text = ask.parameter("q").unwrap_or_default();
    if text.is_empty() {
        let text = "A query string has to be specified";
        return Err(Refusal::new(400, "MALFORMED_QUERY", text));
    }
    let query = crate::soql::parse(&text)?;
    let plan = plan(work.org, &work.user, &query, &text)?;
    let reader = Reader {
        org: work.org,
        user: &work.user,
        version: &work.version,
    };
    let found = reader.run(&plan, all)?;
    if matches!(plan.output, Output::Count) {
        let body = json!({ "totalSize": found.total, "done": true, "records": [] });
        return Ok(Reply::ok(body));
    }
    let page = ask.page.unwrap_or(PAGE).clamp(SMALLEST_PAGE, PAGE);
    if found.rows.len() <= page {
        let rows = found.rows.len();
        let body = json!({ "totalSize": found.total, "done": true, "records": found.rows });
        return Ok(Reply::ok(body).with_rows(rows));
    }
    let id = work.org.next_id(*b"01g");
    work.org.cursors.open(Cursor {
        id,
        user: work.user.id,
        rows: Arc::new(found.rows),
        page,
        touched: work.now,
    });
    next_page(work, id, 0)
}

/// Answers a following page: `01g…-2000`.
pub(crate) fn more(work: &mut Transaction<'_>, locator: &str) -> Answer {
    let (id, start) = locator
        .rsplit_once('-')
        .and_then(|(id, start)| Some((Id::parse(id)?, start.parse().ok()?)))
        .ok_or_else(bad_locator)?;
    next_page(work, id, start)
}

fn next_page(work: &mut Transaction<'_>, id: Id, start: usize) -> Answer {
    let cursor = work
        .org
        .cursors
        .find(id, work.user.id, work.now)
        .filter(|cursor| start < cursor.rows.len())
        .ok_or_else(bad_locator)?;
    let rows: &Arc<Vec<Value>> = &cursor.rows;
    let end = (start + cursor.page).min(rows.len());
    let mut body = json!({ "totalSize": rows.len(), "done": end == rows.len() });
    if end < rows.len() {
        let url = format!("/services/data/{}/query/{}-{end}", work.version, cursor.id);
        body["nextRecordsUrl"] = json!(url);
    }
    body["records"] = Value::Array(rows[start..end].to_vec());
    Ok(Reply::ok(body).with_rows(end - start))
}

fn bad_locator() -> Refusal {
    Refusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
}
