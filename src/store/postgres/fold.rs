//! Folding a batch of calls into those stored, by one statement: `Call::fold` in SQL.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use sqlx::postgres::PgRow;

use super::fence::Locked;
use super::inbox::due_call;
use super::values::{column, get, id_opt, key_columns, shard_column, word};
use super::{Result, Tx};
use crate::domain::ids::{AccountId, EventId, ShardId};
use crate::domain::work::{Due, Lane};
use crate::store::inbox::IngestCall;

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

/// Where an account lies.
pub(super) fn shard_of(account: &AccountId, accounts: &BTreeMap<AccountId, Locked>) -> ShardId {
    let locked = accounts.get(account);
    locked.map_or_else(|| ShardId::of(account, None), |locked| locked.shard)
}

/// What folding one call did.
pub(super) struct Folded {
    /// The call as it is due now, in the task lane if in any.
    pub(super) due: Due,
    /// Where its bodies lie.
    pub(super) day: NaiveDate,
    /// It was not there before.
    pub(super) is_new: bool,
    /// The begin that took its place now.
    pub(super) begun_by: Option<EventId>,
    /// The end that took its place now.
    pub(super) ended_by: Option<EventId>,
}

impl Folded {
    /// Reads what [`FOLD`] returns.
    pub(super) fn read(row: &PgRow) -> Result<Self> {
        Ok(Self {
            due: due_call(row, Lane::Task, DateTime::UNIX_EPOCH)?,
            day: get(row, "call_day")?,
            is_new: get(row, "is_new")?,
            begun_by: id_opt(row, "begun_by")?,
            ended_by: id_opt(row, "ended_by")?,
        })
    }

    /// Adds the lanes that are due by this batch. A revision that rises while its call waits for
    /// a retry is told too, with the time of the retry: whoever holds the call has an old revision.
    pub(super) fn push_due(
        self,
        begun: bool,
        ended: bool,
        row: &PgRow,
        to: &mut Vec<Due>,
    ) -> Result<()> {
        let lookup_due: Option<_> = get(row, "lookup_due_at")?;
        if let Some(due_at) = lookup_due.filter(|_| begun) {
            to.push(Due {
                lane: Lane::Lookup,
                due_at,
                ..self.due.clone()
            });
        }
        let task_due: Option<_> = get(row, "task_due_at")?;
        if let Some(due_at) = task_due.filter(|_| ended) {
            to.push(Due { due_at, ..self.due });
        }
        Ok(())
    }
}
