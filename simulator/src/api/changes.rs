//! `/sobjects/X/updated` and `/deleted`: what changed in a span of time.

use chrono::{DurationRound as _, TimeDelta};
use http::Method;
use serde_json::{Value, json};

use super::data::Ask;
use super::{Answer, Reply};
use crate::clock::Timestamp;
use crate::world::access;
use crate::world::refusal::Refusal;
use crate::world::table::{Record, Table};
use crate::world::transaction::Transaction;
use crate::world::value::{format_datetime, parse_datetime};

/// How far back a span may begin.
const HORIZON: TimeDelta = TimeDelta::days(30);

/// Records created or changed, and not deleted.
pub(crate) fn updated(work: &mut Transaction<'_>, ask: &Ask, name: &str) -> Answer {
    let (start, end) = span(work, ask)?;
    let ids: Vec<Value> = changed(work, name, (start, end), false)?
        .map(|record| json!(record.id))
        .collect();
    let rows = ids.len();
    let covered = format_datetime(end.min(work.now));
    let body = json!({ "ids": ids, "latestDateCovered": covered });
    Ok(Reply::ok(body).with_rows(rows))
}

/// Records that went to the recycle bin.
pub(crate) fn deleted(work: &mut Transaction<'_>, ask: &Ask, name: &str) -> Answer {
    let (start, end) = span(work, ask)?;
    let records: Vec<Value> = changed(work, name, (start, end), true)?
        .map(|record| json!({ "id": record.id, "deletedDate": record.get("SystemModstamp") }))
        .collect();
    let rows = records.len();
    let body = json!({
        "deletedRecords": records,
        "earliestDateAvailable": format_datetime(work.now - HORIZON),
        "latestDateCovered": format_datetime(end.min(work.now)),
    });
    Ok(Reply::ok(body).with_rows(rows))
}

fn changed<'w>(
    work: &'w Transaction<'_>,
    name: &str,
    (start, end): (Timestamp, Timestamp),
    deleted: bool,
) -> Result<impl Iterator<Item = &'w Record>, Refusal> {
    let object = access::object(work.org, &work.user, name).ok_or_else(Refusal::not_found)?;
    let records = work.org.table(&object.name).into_iter();
    let within = move |record: &&Record| {
        record
            .text("SystemModstamp")
            .and_then(parse_datetime)
            .is_some_and(|time| (start..=end).contains(&time))
    };
    Ok(records
        .flat_map(Table::records)
        .filter(move |record| record.is_deleted() == deleted)
        .filter(within)
        .filter(|record| access::is_visible(work.org, &work.user, object, record)))
}

/// The span asked for. Seconds are cut off, as the replication API does.
fn span(work: &Transaction<'_>, ask: &Ask) -> Result<(Timestamp, Timestamp), Refusal> {
    ask.only(&[Method::GET])?;
    let time = |name: &str| {
        ask.parameter(name)
            .as_deref()
            .and_then(parse_datetime)
            .and_then(|time| time.duration_trunc(TimeDelta::minutes(1)).ok())
            .ok_or_else(|| {
                let text = format!("{name} is required, as an ISO 8601 date and time");
                Refusal::new(400, "INVALID_REPLICATION_DATE", text)
            })
    };
    let (start, end) = (time("start")?, time("end")?);
    let refused = |text| Err(Refusal::new(400, "INVALID_REPLICATION_DATE", text));
    if start >= end {
        return refused("startDate before endDate by at least one minute");
    }
    if start < work.now - HORIZON {
        return refused("startDate cannot be more than 30 days ago");
    }
    Ok((start, end))
}
