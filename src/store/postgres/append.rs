//! Ingest's one transaction: calls folded into what is there, quarantine, outbox, offsets.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::bodies::{Body, ensure_partitions, insert_bodies};
use super::fence::{lock_accounts, tell};
use super::fold::fold;
use super::outbox::insert_events;
use super::recovery::may_take_in;
use super::values::{column, get, key_columns};
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, CallId};
use crate::store::Error;
use crate::store::account_keys::check_keys;
use crate::store::folded::Folded;
use crate::store::inbox::{Advance, Appended, IngestBatch, IngestCall, QuarantineRow};
use crate::store::outbox::Publish;
use crate::store::rules::{Locked, shard_of};
use crate::store::values::{call_id, corrupt};
use crate::store::wakes::Told;

impl Postgres {
    /// See [`Inbox::append`](crate::store::Inbox::append).
    pub(super) async fn append_batch(&self, batch: &IngestBatch) -> Result<Appended> {
        self.ensure_partitions(&batch.calls).await?;
        let mut tx = self.begin().await?;
        may_take_in(&mut tx).await?;
        let appended = append_calls(&mut tx, &batch.calls).await?;
        insert_quarantined(&mut tx, &batch.quarantined).await?;
        move_offsets(&mut tx, &batch.offsets).await?;
        let told = Told {
            shards: &appended.due.iter().map(|due| due.shard).collect(),
            origin: &self.origin,
            ..Told::default()
        };
        tell(&mut tx, told).await?;
        crate::crash_point("ingest.inserted");
        tx.commit().await?;
        Ok(appended)
    }

    /// Makes the partitions of the batch's days, in a transaction of its own: an empty partition
    /// is seen by nobody, and so the lock that making it takes is not held until the batch is in.
    async fn ensure_partitions(&self, calls: &[IngestCall]) -> Result<()> {
        // Where a call beyond the horizon is known, its day is that of its first event.
        let stored = calls.iter().filter(|call| call.too_old.is_empty());
        let days: BTreeSet<NaiveDate> = stored.map(|call| call.call_day).collect();
        ensure_partitions(&self.pool, days).await
    }
}

/// Folds the calls in and keeps the bodies that stand.
async fn append_calls(tx: &mut Tx, calls: &[IngestCall]) -> Result<Appended> {
    let mut appended = Appended::default();
    if calls.is_empty() {
        return Ok(appended);
    }
    let wanted: BTreeSet<&AccountId> = calls.iter().map(|call| &call.id.account).collect();
    let accounts = lock_accounts(tx, &wanted).await?;
    check_keys(&accounts, calls.iter().flat_map(IngestCall::under_key))?;
    let calls = publish_too_old(tx, calls, &accounts).await?;
    let rows = fold(tx, &calls, &accounts).await?;
    let sent: BTreeMap<_, _> = calls.iter().map(|call| (&call.id, call)).collect();
    let mut bodies = Vec::new();
    for row in &rows {
        let folded = Folded::read(row)?;
        let call = sent
            .get(&folded.due.call)
            .ok_or_else(|| corrupt("account"))?;
        // Where its bodies lie.
        let day = get(row, "call_day")?;
        let kept = folded.tell(call, &mut appended);
        bodies.extend(kept.map(|(kind, sealed)| Body {
            day,
            call: &call.id,
            kind,
            sealed,
        }));
    }
    insert_bodies(tx, &bodies).await?;
    Ok(appended)
}

/// Publishes what is said of the calls that are too old to be taken in, and gives the others.
async fn publish_too_old<'a>(
    tx: &mut Tx,
    calls: &'a [IngestCall],
    accounts: &BTreeMap<AccountId, Locked>,
) -> Result<Vec<&'a IngestCall>> {
    if calls.iter().all(|call| call.too_old.is_empty()) {
        return Ok(calls.iter().collect());
    }
    let known = lock_known(tx, calls).await?;
    let (taken_in, too_old): (Vec<_>, Vec<_>) = calls
        .iter()
        .partition(|call| call.too_old.is_empty() || known.contains(&call.id));
    let events: Vec<Publish<'_>> = too_old
        .into_iter()
        .flat_map(|call| {
            let shard = shard_of(&call.id.account, accounts);
            let of_call = move |event| Publish::of_call(event, &call.id, shard);
            call.too_old.iter().map(of_call)
        })
        .collect();
    insert_events(tx, &events).await?;
    Ok(taken_in)
}

/// The calls whose keys are known, locked so that none is forgotten meanwhile: all of the batch's
/// and sorted, as the fold will lock them.
async fn lock_known(tx: &mut Tx, calls: &[IngestCall]) -> Result<BTreeSet<CallId>> {
    let sorted: BTreeSet<&CallId> = calls.iter().map(|call| &call.id).collect();
    let (accounts, interactions) = key_columns(sorted);
    let rows = sqlx::query(
        "select account, interaction
         from calls join unnest($1::text[], $2::text[]) as asked (account, interaction)
            using (account, interaction)
         order by account, interaction for no key update of calls",
    )
    .bind(accounts)
    .bind(interactions)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(call_id).collect()
}

/// Keeps what could not be decoded, each offset once.
async fn insert_quarantined(tx: &mut Tx, rows: &[QuarantineRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into quarantine (topic, partition, kafka_offset, received_at, reason, body)
         select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::timestamptz[],
                              $5::text[], $6::bytea[])
         on conflict do nothing",
    )
    .bind(column(rows, |r| r.partition.topic.as_str()))
    .bind(column(rows, |r| r.partition.partition))
    .bind(column(rows, |r| r.offset))
    .bind(column(rows, |r| r.received_at))
    .bind(column(rows, |r| r.reason.as_str()))
    .bind(column(rows, |r| r.body.0.as_slice()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Moves offsets on, never back, and not past events that are not here.
async fn move_offsets(tx: &mut Tx, offsets: &[Advance]) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    // What is read is as it was before.
    let before: Vec<Option<i64>> = sqlx::query_scalar(
        "with asked as (select * from unnest($1::text[], $2::integer[], $3::bigint[])
                with ordinality as a (topic, partition, next, place)),
            moved as (insert into offsets (topic, partition, next_offset)
                select topic, partition, next from asked order by place
                on conflict (topic, partition)
                do update set next_offset = greatest(offsets.next_offset, excluded.next_offset))
         select next_offset from asked left join offsets using (topic, partition) order by place",
    )
    .bind(column(offsets, |o| o.partition.topic.as_str()))
    .bind(column(offsets, |o| o.partition.partition))
    .bind(column(offsets, |o| o.next))
    .fetch_all(&mut **tx)
    .await?;
    let gap = offsets
        .iter()
        .zip(before)
        .any(|(o, stored)| o.leaves_a_gap(stored));
    if gap { Err(Error::Behind) } else { Ok(()) }
}
