//! Recording outcomes: attempts closed, calls moved, events written, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::fence::{accounts, held, tell};
use super::outbox::insert_events;
use super::values::{batch, micros};
use super::work::{calls, write_calls};
use super::{Result, Sqlite, Tx};
use crate::domain::ids::{AccountId, AttemptId};
use crate::domain::outcome::Outcome;
use crate::store::Written;
use crate::store::account_keys::check_keys;
use crate::store::journal::OutcomeRow;
use crate::store::ledger::{Changes, Ledger};
use crate::store::rules::Noted;
use crate::store::values::{flag, number, revision, to_json};
use crate::store::wakes::Told;

impl Sqlite {
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

/// Reads all that the outcomes touch.
async fn open<'a>(tx: &mut Tx, rows: &'a [OutcomeRow]) -> Result<Ledger<'a>> {
    let held = held(tx, rows.iter().map(|row| row.fence)).await?;
    let wanted: BTreeSet<&AccountId> = rows.iter().map(|row| &row.call.account).collect();
    let accounts = accounts(tx, &wanted).await?;
    check_keys(&accounts, rows.iter().flat_map(OutcomeRow::under_key))?;
    let generations = accounts
        .into_iter()
        .map(|(account, found)| (account, found.link.generation))
        .collect();
    let calls = calls(tx, rows.iter().map(|row| &row.call)).await?;
    let attempts = noted(tx, rows).await?;
    Ok(Ledger {
        held,
        generations,
        calls,
        attempts,
        now: tx.now,
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
    let ids: Vec<AttemptId> = rows.iter().filter_map(|row| row.attempt).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = sqlx::query(
        "select attempt, revision, closed_at is not null as closed from attempts
         where attempt in (select value from json_each($1))",
    )
    .bind(to_json(&ids))
    .fetch_all(&mut *tx.inner)
    .await?;
    let mut noted = BTreeMap::new();
    for row in &found {
        let (revision, closed) = (revision(row)?, flag(row, "closed")?);
        let attempt = AttemptId(number(row, "attempt")?);
        noted.insert(attempt, Noted { revision, closed });
    }
    Ok(noted)
}

/// Writes what attempts saw. One in doubt stays open, to be looked at again.
async fn write_attempts(tx: &mut Tx, seen: &BTreeMap<AttemptId, (bool, &Outcome)>) -> Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let rows = batch(seen, |(attempt, (closes, outcome))| {
        let look_at = match outcome {
            Outcome::InDoubt { look_at, .. } => Some(micros(*look_at)),
            _ => None,
        };
        (attempt, closes, look_at, to_json(outcome))
    });
    sqlx::query(
        "update attempts set closed_at = case when new.closes then $2 end,
            look_at = coalesce(new.look_at, attempts.look_at), outcome = new.outcome
         from (select value ->> 0 as attempt, value ->> 1 as closes, value ->> 2 as look_at,
                value ->> 3 as outcome
            from json_each($1)) as new
         where attempts.attempt = new.attempt",
    )
    .bind(rows)
    .bind(tx.micros())
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}
