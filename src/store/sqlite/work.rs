//! Calls' rows, read for work on them and written back as one statement.

use std::collections::{BTreeMap, BTreeSet};

use super::values::{batch, keys, micros};
use super::{Result, Tx};
use crate::domain::ids::CallId;
use crate::store::rows::work_row;
use crate::store::rules::WorkRow;
use crate::store::values::{call_id, degraded_column, to_json};

/// These calls, as they stay until the transaction writes them; those unknown are left out.
pub(super) async fn calls<'a>(
    tx: &mut Tx,
    calls: impl IntoIterator<Item = &'a CallId>,
) -> Result<BTreeMap<CallId, WorkRow>> {
    let asked: BTreeSet<&CallId> = calls.into_iter().collect();
    let rows = sqlx::query(
        "select account, interaction, shard, state, revision, attempt, attempts, deferrals, replays,
            task_due_at, degraded, batch_limit, hidden, outcome, task, terminal_at
         from json_each($1)
         cross join calls on account = value ->> 0 and interaction = value ->> 1",
    )
    .bind(keys(asked))
    .fetch_all(&mut *tx.inner)
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
    let signed = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let rows = batch(calls, |(id, row)| {
        (
            &id.account,
            &id.interaction,
            row.state.as_str(),
            row.attempt,
            signed(row.attempts),
            signed(row.deferrals),
            row.due_at.map(micros),
            degraded_column(&row.degraded),
            row.batch_limit.map(signed),
            row.outcome.as_ref().map(to_json),
            row.parked_reason(),
            row.dead_reason(),
            &row.task,
            row.terminal_at.map(micros),
            signed(row.replays),
            row.hidden.as_ref().map(to_json),
        )
    });
    sqlx::query(
        "update calls set state = new.state, attempt = new.attempt, attempts = new.attempts,
            deferrals = new.deferrals, replays = new.replays, task_due_at = new.task_due_at, degraded = new.degraded,
            batch_limit = new.batch_limit, hidden = new.hidden, outcome = new.outcome,
            parked_reason = new.parked_reason, dead_reason = new.dead_reason, task = new.task,
            terminal_at = new.terminal_at
         from (select value ->> 0 as account, value ->> 1 as interaction, value ->> 2 as state,
                value ->> 3 as attempt, value ->> 4 as attempts, value ->> 5 as deferrals,
                value ->> 6 as task_due_at, value ->> 7 as degraded, value ->> 8 as batch_limit,
                value ->> 9 as outcome, value ->> 10 as parked_reason,
                value ->> 11 as dead_reason, value ->> 12 as task, value ->> 13 as terminal_at,
                value ->> 14 as replays, value ->> 15 as hidden
            from json_each($1)) as new
         where calls.account = new.account and calls.interaction = new.interaction",
    )
    .bind(rows)
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}
