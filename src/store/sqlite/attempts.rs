//! The attempt journal: beginning attempts, and reading those that are open.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound as _, Utc};

use super::fence::{accounts, held};
use super::inbox::STORED_CALLS;
use super::recovery::suspects;
use super::values::{batch, keys, micros};
use super::work::{calls, write_calls};
use super::{Result, Sqlite, Tx};
use crate::domain::ids::{AccountId, AttemptId, CallId, ShardId};
use crate::domain::work::{OpenAttempt, ParkedPage, Refusal, Unparked};
use crate::store::inbox::StoredCall;
use crate::store::journal::{BeginAttempt, Begun, OutcomeRow};
use crate::store::reports::CallState;
use crate::store::rows::{open_attempt, stored_call};
use crate::store::rules::{WorkRow, creates, judge_begins, refuse_suspects};
use crate::store::values::{
    call_id, corrupt, degraded_column, id, number, shard_column, time, to_json,
};
use crate::store::{Fence, Journal, Written};

#[async_trait]
impl Journal for Sqlite {
    async fn begin_attempts(
        &self,
        items: &[BeginAttempt],
    ) -> Result<Vec<std::result::Result<Begun, Refusal>>> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, items.iter().map(|item| item.fence)).await?;
        let recovered_at = self.recognised(&mut tx).await?;
        let wanted: BTreeSet<&AccountId> = items.iter().map(|item| &item.call.account).collect();
        let accounts = accounts(&mut tx, &wanted).await?;
        let mut calls = calls(&mut tx, items.iter().map(|item| &item.call)).await?;

        let mut judged = judge_begins(items, &held, &accounts, &calls);
        if let Some(recovered_at) = recovered_at {
            let creates = creates(&judged);
            let found = suspects(&mut tx, &creates, recovered_at).await?;
            let lost = refuse_suspects(&mut judged, &found);
            note_lost(&mut tx, &lost, &mut calls, recovered_at).await?;
        }
        let begun: Vec<&BeginAttempt> = judged.iter().filter_map(|j| j.ok()).collect();
        let mut noted = note_attempts(&mut tx, &begun, &mut calls).await?;
        tx.commit().await?;
        judged
            .into_iter()
            .map(|judged| match judged {
                Ok(item) => Ok(noted.remove(&item.call).ok_or(Refusal::TaskTaken)),
                Err(refusal) => Ok(Err(refusal)),
            })
            .collect()
    }

    async fn record_outcomes(&self, rows: &[OutcomeRow]) -> Result<Vec<Written>> {
        self.take_outcomes(rows).await
    }

    async fn open_attempts(&self, shard: ShardId) -> Result<Vec<OpenAttempt>> {
        let rows = sqlx::query(
            "select a.attempt, account, interaction, a.shard, a.org, a.generation, a.mode,
                a.kind, a.task, a.revision, a.degraded, a.together, a.send_by, a.look_at,
                a.outcome, c.attempts, c.ended_at, c.hidden
             from attempts a cross join calls c using (account, interaction)
             where a.shard = $1 and a.closed_at is null
             order by a.attempt",
        )
        .bind(shard_column(shard))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(open_attempt).collect()
    }

    async fn unpark(
        &self,
        account: &AccountId,
        fence: Fence,
        page: &ParkedPage,
    ) -> Result<Unparked> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, [fence]).await?;
        let found = accounts(&mut tx, &BTreeSet::from([account])).await?;
        let is_there = found
            .get(account)
            .is_some_and(|found| found.shard == fence.shard);
        if held.is_empty() || !is_there {
            return Ok(Unparked::default());
        }
        let (at, interaction) = page.after.clone().unzip();
        let rows = sqlx::query(
            "update calls set state = 'ready', parked_reason = null, task_due_at = $7
             where rowid in (select rowid from calls
                where account = $1 and parked_reason in (select value from json_each($2))
                    and received_at < $3 and (received_at, interaction) > ($4, $5)
                order by received_at, interaction limit $6)
             returning received_at, interaction",
        )
        .bind(account.as_str())
        .bind(to_json(&page.reasons))
        .bind(page.received_before.map_or(i64::MAX, micros))
        .bind(at.map_or(i64::MIN, micros))
        .bind(interaction.map(String::from).unwrap_or_default())
        .bind(i64::from(page.limit))
        .bind(tx.micros())
        .fetch_all(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        let mut last = None;
        for row in &rows {
            let cursor = (time(row, "received_at")?, id(row, "interaction")?);
            last = last.max(Some(cursor));
        }
        Ok(Unparked {
            calls: rows.len() as u64,
            last,
        })
    }
}

/// Notes the attempts, with their calls as they are sent; left out are those whose Task another
/// open attempt changes.
async fn note_attempts(
    tx: &mut Tx,
    items: &[&BeginAttempt],
    calls: &mut BTreeMap<CallId, WorkRow>,
) -> Result<BTreeMap<CallId, Begun>> {
    if items.is_empty() {
        return Ok(BTreeMap::new());
    }
    let noted = insert_attempts(tx, items, None).await?;
    for (id, (attempt, _)) in &noted {
        if let Some(row) = calls.get_mut(id) {
            row.begin(*attempt);
        }
    }
    let changed: Vec<_> = calls
        .iter()
        .filter(|(id, _)| noted.contains_key(*id))
        .collect();
    write_calls(tx, &changed).await?;
    let mut begun = BTreeMap::new();
    for call in stored(tx, noted.keys()).await? {
        let (attempt, send_by) = *noted.get(&call.id).ok_or_else(|| corrupt("account"))?;
        begun.insert(
            call.id.clone(),
            Begun {
                attempt,
                send_by,
                call,
            },
        );
    }
    Ok(begun)
}

/// Notes attempts that a past which is lost may have made: in doubt from the beginning, and nothing
/// of them was sent after it was lost.
async fn note_lost(
    tx: &mut Tx,
    items: &[&BeginAttempt],
    calls: &mut BTreeMap<CallId, WorkRow>,
    recovered_at: DateTime<Utc>,
) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let noted = insert_attempts(tx, items, Some(recovered_at)).await?;
    for (id, (attempt, _)) in &noted {
        if let Some(row) = calls.get_mut(id) {
            row.begin(*attempt);
            row.state = CallState::InDoubt;
        }
    }
    let changed: Vec<_> = calls
        .iter()
        .filter(|(id, _)| noted.contains_key(*id))
        .collect();
    write_calls(tx, &changed).await
}

/// Inserts the notes; gives each its id and its last moment to send, which for what may be lost has
/// `passed`.
async fn insert_attempts(
    tx: &mut Tx,
    items: &[&BeginAttempt],
    passed: Option<DateTime<Utc>>,
) -> Result<BTreeMap<CallId, (AttemptId, DateTime<Utc>)>> {
    let rows = batch(items, |item| {
        let send_by = passed.unwrap_or(tx.now + item.send_within).trunc_subsecs(6);
        (
            &item.call.account,
            &item.call.interaction,
            item.fence.shard,
            &item.org,
            item.generation,
            to_json(&item.mode),
            item.kind.as_str(),
            item.kind.task(),
            item.revision,
            degraded_column(&item.degraded),
            i32::try_from(item.together).unwrap_or(i32::MAX),
            micros(send_by),
        )
    });
    let rows = sqlx::query(
        "insert into attempts (account, interaction, shard, org, generation, mode, kind, task,
            revision, degraded, together, begun_at, send_by, look_at)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
            value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, $2, value ->> 11,
            value ->> 11
         from json_each($1) where true
         on conflict (org, task) where closed_at is null and task is not null do nothing
         returning attempt, account, interaction, send_by",
    )
    .bind(rows)
    .bind(tx.micros())
    .fetch_all(&mut *tx.inner)
    .await?;
    rows.iter()
        .map(|row| {
            let attempt = AttemptId(number(row, "attempt")?);
            Ok((call_id(row)?, (attempt, time(row, "send_by")?)))
        })
        .collect()
}

/// Calls with their bodies, as of this transaction.
async fn stored<'a>(tx: &mut Tx, ids: impl Iterator<Item = &'a CallId>) -> Result<Vec<StoredCall>> {
    let rows = sqlx::query(STORED_CALLS)
        .bind(keys(ids))
        .fetch_all(&mut *tx.inner)
        .await?;
    rows.iter().map(stored_call).collect()
}
