//! Recording outcomes: attempts closed, calls moved, events written, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::fence::{held, lock_accounts, tell};
use super::outbox::insert_events;
use super::values::get;
use super::work::{lock_calls, write_calls};
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, AttemptId, Revision};
use crate::domain::outcome::Outcome;
use crate::store::Written;
use crate::store::account_keys::check_keys;
use crate::store::journal::OutcomeRow;
use crate::store::ledger::{Changes, Ledger};
use crate::store::rules::Noted;
use crate::store::values::to_json;
use crate::store::wakes::Told;

impl Postgres {
    /// See [`Journal::record_outcomes`](crate::store::Journal::record_outcomes).
    pub(super) async fn take_outcomes(&self, rows: &[OutcomeRow]) -> Result<Vec<Written>> {
        let mut tx = self.begin().await?;
        let mut ledger = open(&mut tx, rows).await?;
        let written = rows.iter().map(|row| ledger.take(row)).collect();
        write(&mut tx, &ledger).await?;
        tx.commit().await?;
        Ok(written)
    }
}

/// Locks all that the outcomes touch.
async fn open<'a>(tx: &mut Tx, rows: &'a [OutcomeRow]) -> Result<Ledger<'a>> {
    let held = held(tx, rows.iter().map(|row| row.fence)).await?;
    let accounts: BTreeSet<&AccountId> = rows.iter().map(|row| &row.call.account).collect();
    let accounts = lock_accounts(tx, &accounts).await?;
    check_keys(&accounts, rows.iter().flat_map(OutcomeRow::under_key))?;
    let generations = accounts
        .into_iter()
        .map(|(account, locked)| (account, locked.link.generation))
        .collect();
    let calls = lock_calls(tx, rows.iter().map(|row| &row.call)).await?;
    let attempts = noted(tx, rows).await?;
    let now = sqlx::query_scalar("select now()")
        .fetch_one(&mut **tx)
        .await?;
    Ok(Ledger {
        held,
        generations,
        calls,
        attempts,
        now,
        changes: Changes::default(),
    })
}

/// Writes what changed.
async fn write(tx: &mut Tx, ledger: &Ledger<'_>) -> Result<()> {
    write_calls(tx, &ledger.changed_calls()).await?;
    let changes = &ledger.changes;
    write_attempts(tx, &changes.seen).await?;
    insert_events(tx, &changes.events).await?;
    let told = Told {
        shards: &changes.woken,
        ..Told::default()
    };
    tell(tx, told).await
}

/// The attempts that the outcomes name. An id under another call is not that call's attempt: the
/// call's own column decides.
async fn noted(tx: &mut Tx, rows: &[OutcomeRow]) -> Result<BTreeMap<AttemptId, Noted>> {
    let ids: Vec<i64> = rows
        .iter()
        .filter_map(|row| row.attempt)
        .map(|id| id.0)
        .collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = sqlx::query(
        "select attempt, revision, closed_at is not null as closed from attempts
         where attempt = any($1)",
    )
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut noted = BTreeMap::new();
    for row in &found {
        let revision = Revision(get(row, "revision")?);
        let closed = get(row, "closed")?;
        noted.insert(AttemptId(get(row, "attempt")?), Noted { revision, closed });
    }
    Ok(noted)
}

/// Writes what attempts saw. One in doubt stays open, to be looked at again.
async fn write_attempts(tx: &mut Tx, seen: &BTreeMap<AttemptId, (bool, &Outcome)>) -> Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let look_at = seen.values().map(|(_, outcome)| match outcome {
        Outcome::InDoubt { look_at, .. } => Some(*look_at),
        _ => None,
    });
    sqlx::query(
        "update attempts set closed_at = case when new.closes then now() end,
            look_at = coalesce(new.look_at, attempts.look_at), outcome = new.outcome::jsonb
         from unnest($1::bigint[], $2::boolean[], $3::timestamptz[], $4::text[])
            as new (attempt, closes, look_at, outcome)
         where attempts.attempt = new.attempt",
    )
    .bind(seen.keys().map(|id| id.0).collect::<Vec<_>>())
    .bind(seen.values().map(|(closes, _)| *closes).collect::<Vec<_>>())
    .bind(look_at.collect::<Vec<_>>())
    .bind(
        seen.values()
            .map(|(_, outcome)| to_json(outcome))
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
