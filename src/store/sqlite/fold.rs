//! Folding a batch of calls into those stored, by one statement: `Call::fold` in SQL.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;

use super::values::{batch, micros};
use super::{Result, Tx};
use crate::domain::ids::AccountId;
use crate::store::inbox::IngestCall;
use crate::store::rules::{Locked, shard_of};

/// One statement folds a batch.
const FOLD: &str = include_str!("fold.sql");

/// Folds the calls in; one row comes back for each, in order of id.
pub(super) async fn fold(
    tx: &mut Tx,
    calls: &[&IngestCall],
    accounts: &BTreeMap<AccountId, Locked>,
) -> Result<Vec<SqliteRow>> {
    let mut sorted = calls.to_vec();
    sorted.sort_by_key(|call| &call.id);
    let rows = batch(sorted, |call| {
        let (begin, end) = (call.started.as_ref(), call.ended.as_ref());
        (
            &call.id.account,
            &call.id.interaction,
            shard_of(&call.id.account, accounts),
            i32::try_from(call.events).unwrap_or(i32::MAX),
            begin.map(|s| &s.event),
            begin.map(|s| micros(s.time)),
            begin.and_then(|s| s.lookup_deadline).map(micros),
            end.map(|e| &e.event),
            end.map(|e| micros(e.time)),
            end.map(|e| micros(e.ended_at)),
            end.map_or(0, |e| e.revision.0),
            end.and_then(|e| e.skip),
        )
    });
    let rows = sqlx::query(FOLD)
        .bind(rows)
        .bind(tx.micros())
        .fetch_all(&mut *tx.inner)
        .await?;
    Ok(rows)
}
