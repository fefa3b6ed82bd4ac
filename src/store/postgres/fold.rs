//! Folding a batch of calls into those stored, by one statement: `Call::fold` in SQL.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;

use super::values::{column, key_columns};
use super::{Result, Tx};
use crate::domain::ids::AccountId;
use crate::store::inbox::IngestCall;
use crate::store::rules::{Locked, shard_of};
use crate::store::values::{shard_column, word};

/// One statement folds a batch.
const FOLD: &str = include_str!("fold.sql");

/// Folds the calls in; one row comes back for each.
pub(super) async fn fold(
    tx: &mut Tx,
    calls: &[&IngestCall],
    accounts: &BTreeMap<AccountId, Locked>,
) -> Result<Vec<PgRow>> {
    // Sorted here again: two transactions that lock the same rows must do so in the same order.
    let mut sorted = calls.to_vec();
    sorted.sort_by_key(|call| &call.id);
    let (names, interactions) = key_columns(sorted.iter().map(|call| &call.id));
    let begins: Vec<_> = column(&sorted, |call| call.started.as_ref());
    let ends: Vec<_> = column(&sorted, |call| call.ended.as_ref());
    let rows = sqlx::query(FOLD)
        .bind(names)
        .bind(interactions)
        .bind(column(&sorted, |call| {
            shard_column(shard_of(&call.id.account, accounts))
        }))
        .bind(column(&sorted, |call| call.call_day))
        .bind(column(&sorted, |c| {
            i32::try_from(c.events).unwrap_or(i32::MAX)
        }))
        .bind(column(&begins, |s| s.map(|s| s.event.as_str())))
        .bind(column(&begins, |s| s.map(|s| s.time)))
        .bind(column(&begins, |s| s.and_then(|s| s.lookup_deadline)))
        .bind(column(&ends, |e| e.map(|e| e.event.as_str())))
        .bind(column(&ends, |e| e.map(|e| e.time)))
        .bind(column(&ends, |e| e.map(|e| e.ended_at)))
        .bind(column(&ends, |e| e.map_or(0, |e| e.revision.0)))
        .bind(column(&ends, |e| e.and_then(|e| e.skip).map(word)))
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows)
}
