//! Calls' rows, locked for work on them and written back as one statement.

use std::collections::{BTreeMap, BTreeSet};

use super::values::{column, key_columns};
use super::{Result, Tx};
use crate::domain::ids::{CallId, RecordId};
use crate::store::rows::work_row;
use crate::store::rules::WorkRow;
use crate::store::values::{call_id, degraded_column, to_json, word};

/// Locks these calls for update, sorted; those unknown are left out. Their accounts are locked
/// already.
pub(super) async fn lock_calls<'a>(
    tx: &mut Tx,
    calls: impl IntoIterator<Item = &'a CallId>,
) -> Result<BTreeMap<CallId, WorkRow>> {
    let sorted: BTreeSet<&CallId> = calls.into_iter().collect();
    let (accounts, interactions) = key_columns(sorted);
    let rows = sqlx::query(
        "select account, interaction, shard, state, revision, attempt, attempts, deferrals, replays,
            task_due_at, degraded::text, batch_limit, hidden::text, outcome::text, task, terminal_at
         from calls join unnest($1::text[], $2::text[]) as asked (account, interaction)
            using (account, interaction)
         order by account, interaction for update of calls",
    )
    .bind(accounts)
    .bind(interactions)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| Ok((call_id(row)?, work_row(row)?)))
        .collect()
}

/// Writes these rows back.
pub(super) async fn write_calls(tx: &mut Tx, calls: &[(&CallId, &WorkRow)]) -> Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let (accounts, interactions) = key_columns(calls.iter().map(|(id, _)| *id));
    let rows: Vec<&WorkRow> = column(calls, |(_, row)| *row);
    let signed = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query(
        "update calls set state = new.state, attempt = new.attempt, attempts = new.attempts,
            deferrals = new.deferrals, replays = new.replays, task_due_at = new.task_due_at,
            degraded = new.degraded::jsonb, batch_limit = new.batch_limit,
            hidden = new.hidden::jsonb, outcome = new.outcome::jsonb,
            parked_reason = new.parked_reason, dead_reason = new.dead_reason, task = new.task,
            terminal_at = new.terminal_at
         from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[],
                $6::integer[], $7::timestamptz[], $8::text[], $9::text[], $10::text[],
                $11::text[], $12::text[], $13::timestamptz[], $14::integer[],
                $15::integer[], $16::text[])
            as new (account, interaction, state, attempt, attempts, deferrals, task_due_at,
                degraded, outcome, parked_reason, dead_reason, task, terminal_at, batch_limit,
                replays, hidden)
         where calls.account = new.account and calls.interaction = new.interaction",
    )
    .bind(accounts)
    .bind(interactions)
    .bind(column(&rows, |r| r.state.as_str()))
    .bind(column(&rows, |r| r.attempt.map(|a| a.0)))
    .bind(column(&rows, |r| signed(r.attempts)))
    .bind(column(&rows, |r| signed(r.deferrals)))
    .bind(column(&rows, |r| r.due_at))
    .bind(column(&rows, |r| degraded_column(&r.degraded)))
    .bind(column(&rows, |r| r.outcome.as_ref().map(to_json)))
    .bind(column(&rows, |r| r.parked_reason().map(word)))
    .bind(column(&rows, |r| r.dead_reason().map(word)))
    .bind(column(&rows, |r| r.task.as_ref().map(RecordId::as_str)))
    .bind(column(&rows, |r| r.terminal_at))
    .bind(column(&rows, |r| r.batch_limit.map(signed)))
    .bind(column(&rows, |r| signed(r.replays)))
    .bind(column(&rows, |r| r.hidden.as_ref().map(to_json)))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
