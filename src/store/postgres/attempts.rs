//! The attempt journal: beginning attempts, and reading those that are open.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::fence::{held, lock_accounts};
use super::inbox::STORED_CALLS;
use super::recovery::{recognised, suspects};
use super::values::{column, get, key_columns};
use super::work::{lock_calls, write_calls};
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, AttemptId, CallId, RecordId, ShardId};
use crate::domain::work::{OpenAttempt, ParkedPage, Refusal, Unparked};
use crate::store::inbox::StoredCall;
use crate::store::journal::{BeginAttempt, Begun, OutcomeRow};
use crate::store::reports::CallState;
use crate::store::rows::{open_attempt, stored_call};
use crate::store::rules::{WorkRow, creates, judge_begins, refuse_suspects};
use crate::store::values::{call_id, corrupt, degraded_column, id, shard_column, to_json, word};
use crate::store::{Fence, Journal, Written};

#[async_trait]
impl Journal for Postgres {
    async fn begin_attempts(
        &self,
        items: &[BeginAttempt],
    ) -> Result<Vec<std::result::Result<Begun, Refusal>>> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, items.iter().map(|item| item.fence)).await?;
        let recovered_at = recognised(&mut tx).await?;
        let wanted: BTreeSet<&AccountId> = items.iter().map(|item| &item.call.account).collect();
        let accounts = lock_accounts(&mut tx, &wanted).await?;
        let mut calls = lock_calls(&mut tx, items.iter().map(|item| &item.call)).await?;

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
            "select a.attempt, account, interaction, a.shard, a.org, a.generation, a.mode::text,
                a.kind, a.task, a.revision, a.degraded::text, a.together, a.send_by, a.look_at,
                a.outcome::text, c.attempts, c.ended_at, c.hidden::text
             from attempts a join calls c using (account, interaction)
             where a.shard = $1 and a.closed_at is null
             order by a.attempt",
        )
        .bind(shard_column(shard))
        .fetch_all(&self.pool)
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
        let locked = lock_accounts(&mut tx, &BTreeSet::from([account])).await?;
        let is_there = locked
            .get(account)
            .is_some_and(|locked| locked.shard == fence.shard);
        if held.is_empty() || !is_there {
            return Ok(Unparked::default());
        }
        let (at, interaction) = page.after.clone().unzip();
        let rows = sqlx::query(
            "with page as (
                select account, interaction from calls
                where account = $1 and parked_reason = any($2)
                    and received_at < coalesce($3, 'infinity'::timestamptz)
                    and (received_at, interaction) > (coalesce($4, '-infinity'::timestamptz), $5)
                order by received_at, interaction limit $6 for update)
             update calls set state = 'ready', parked_reason = null, task_due_at = now()
             from page
             where calls.account = page.account and calls.interaction = page.interaction
             returning calls.received_at, calls.interaction",
        )
        .bind(account.as_str())
        .bind(column(&page.reasons, word))
        .bind(page.received_before)
        .bind(at)
        .bind(interaction.map(String::from).unwrap_or_default())
        .bind(i64::from(page.limit))
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut last = None;
        for row in &rows {
            let cursor = (get(row, "received_at")?, id(row, "interaction")?);
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
    let (accounts, interactions) = key_columns(items.iter().map(|item| &item.call));
    let within = items.iter().map(|item| item.send_within.as_secs_f64());
    let rows = sqlx::query(
        "insert into attempts (account, interaction, shard, org, generation, mode, kind, task,
            revision, degraded, together, begun_at, send_by, look_at)
         select account, interaction, shard, org, generation, mode::jsonb,
            kind, task, revision, degraded::jsonb, together, now(), send_by, send_by
         from unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::bigint[],
                $6::text[], $7::text[], $8::text[], $9::integer[], $10::text[], $11::integer[],
                $12::double precision[])
            as item (account, interaction, shard, org, generation, mode, kind, task, revision,
                degraded, together, within),
            lateral (select coalesce($13, now() + make_interval(secs => within)) as send_by)
                as time
         on conflict (org, task) where closed_at is null and task is not null do nothing
         returning attempt, account, interaction, send_by",
    )
    .bind(accounts)
    .bind(interactions)
    .bind(column(items, |item| shard_column(item.fence.shard)))
    .bind(column(items, |item| item.org.as_str()))
    .bind(column(items, |item| item.generation.0))
    .bind(column(items, |item| to_json(&item.mode)))
    .bind(column(items, |item| item.kind.as_str()))
    .bind(column(items, |item| item.kind.task().map(RecordId::as_str)))
    .bind(column(items, |item| item.revision.0))
    .bind(column(items, |item| degraded_column(&item.degraded)))
    .bind(column(items, |item| {
        i32::try_from(item.together).unwrap_or(i32::MAX)
    }))
    .bind(within.collect::<Vec<_>>())
    .bind(passed)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok((
                call_id(row)?,
                (AttemptId(get(row, "attempt")?), get(row, "send_by")?),
            ))
        })
        .collect()
}

/// Calls with their bodies, as of this transaction.
async fn stored<'a>(tx: &mut Tx, ids: impl Iterator<Item = &'a CallId>) -> Result<Vec<StoredCall>> {
    let (accounts, interactions) = key_columns(ids);
    let rows = sqlx::query(STORED_CALLS)
        .bind(accounts)
        .bind(interactions)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(stored_call).collect()
}
