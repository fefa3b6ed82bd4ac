//! Recording outcomes: attempts closed, calls moved, events written, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::fence::{held, lock_accounts, wake};
use super::outbox::{Publish, insert_events};
use super::values::{get, to_json};
use super::work::{lock_calls, write_calls};
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, AttemptId, CallId, Generation, Revision, ShardId};
use crate::domain::outcome::Outcome;
use crate::store::journal::OutcomeRow;
use crate::store::rules::{Noted, WorkRow};
use crate::store::{Fence, Written};

/// The transaction's rows, and what is to be written of them.
struct Ledger<'a> {
    /// The leases that are still the caller's.
    held: BTreeSet<Fence>,
    /// The generations of the accounts' links.
    generations: BTreeMap<AccountId, Generation>,
    /// The calls, as they become.
    calls: BTreeMap<CallId, WorkRow>,
    /// The attempts that the outcomes name.
    attempts: BTreeMap<AttemptId, Noted>,
    /// When the transaction began.
    now: DateTime<Utc>,
    /// Calls that changed.
    changed: BTreeSet<CallId>,
    /// What attempts saw: closed or in doubt.
    seen: Vec<(AttemptId, bool, &'a Outcome)>,
    /// Events to publish.
    events: Vec<Publish<'a>>,
    /// Shards where something is due that their owners do not know of.
    woken: BTreeSet<ShardId>,
}

impl Postgres {
    /// See [`Journal::record_outcomes`](crate::store::Journal::record_outcomes).
    pub(super) async fn take_outcomes(&self, rows: &[OutcomeRow]) -> Result<Vec<Written>> {
        let mut tx = self.begin().await?;
        let mut ledger = Ledger::open(&mut tx, rows).await?;
        let written = rows.iter().map(|row| ledger.take(row)).collect();
        ledger.write(&mut tx).await?;
        tx.commit().await?;
        Ok(written)
    }
}

impl<'a> Ledger<'a> {
    /// Locks all that the outcomes touch.
    async fn open(tx: &mut Tx, rows: &[OutcomeRow]) -> Result<Self> {
        let held = held(tx, rows.iter().map(|row| row.fence)).await?;
        let accounts: BTreeSet<&AccountId> = rows.iter().map(|row| &row.call.account).collect();
        let generations = lock_accounts(tx, &accounts)
            .await?
            .into_iter()
            .map(|(account, locked)| (account, locked.link.generation))
            .collect();
        let calls = lock_calls(tx, rows.iter().map(|row| &row.call)).await?;
        let attempts = noted(tx, rows).await?;
        let now = sqlx::query_scalar("select now()")
            .fetch_one(&mut **tx)
            .await?;
        Ok(Self {
            held,
            generations,
            calls,
            attempts,
            now,
            changed: BTreeSet::new(),
            seen: Vec::new(),
            events: Vec::new(),
            woken: BTreeSet::new(),
        })
    }

    /// Takes one outcome in.
    fn take(&mut self, row: &'a OutcomeRow) -> Written {
        if !self.held.contains(&row.fence) {
            return Written::Stale;
        }
        let Some(call) = self.calls.get_mut(&row.call) else {
            return Written::Stale;
        };
        let noted = row.attempt.and_then(|id| self.attempts.get_mut(&id));
        let judged = call.judge(row, row.fence, noted.as_deref().copied());
        if judged != Written::Yes {
            return judged;
        }
        let sent = noted.as_deref().map(|noted| noted.revision);
        let current = self.generations.get(&row.call.account).copied();
        let taken = call.take(row, sent, current, self.now);
        if let Some(noted) = noted {
            noted.closed = taken.closes;
        }
        self.seen
            .extend(row.attempt.map(|id| (id, taken.closes, &row.outcome)));
        self.woken.extend(taken.due.then_some(call.shard));
        let event = row.event.as_ref();
        self.events
            .extend(event.map(|event| Publish::of_call(event, &row.call, call.shard)));
        self.changed.insert(row.call.clone());
        Written::Yes
    }

    /// Writes what changed.
    async fn write(self, tx: &mut Tx) -> Result<()> {
        let changed: Vec<_> = self
            .calls
            .iter()
            .filter(|(id, _)| self.changed.contains(*id))
            .collect();
        write_calls(tx, &changed).await?;
        write_attempts(tx, &self.seen).await?;
        insert_events(tx, &self.events).await?;
        wake(tx, &self.woken, &[]).await
    }
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
async fn write_attempts(tx: &mut Tx, seen: &[(AttemptId, bool, &Outcome)]) -> Result<()> {
    // An attempt may be in doubt and closed within one call; the last word counts.
    let last: BTreeMap<AttemptId, (bool, &Outcome)> = seen
        .iter()
        .map(|(id, closes, outcome)| (*id, (*closes, *outcome)))
        .collect();
    if last.is_empty() {
        return Ok(());
    }
    let look_at = last.values().map(|(_, outcome)| match outcome {
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
    .bind(last.keys().map(|id| id.0).collect::<Vec<_>>())
    .bind(last.values().map(|(closes, _)| *closes).collect::<Vec<_>>())
    .bind(look_at.collect::<Vec<_>>())
    .bind(
        last.values()
            .map(|(_, outcome)| to_json(outcome))
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
