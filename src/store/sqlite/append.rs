//! Ingest's one transaction: calls folded into what is there, quarantine, outbox, offsets.

use std::collections::{BTreeMap, BTreeSet};

use super::bodies::{Body, insert_bodies};
use super::fence::{accounts, tell};
use super::fold::fold;
use super::outbox::insert_events;
use super::values::{Joined, batch, keys, micros};
use super::{Result, Sqlite, Tx};
use crate::domain::ids::{AccountId, CallId};
use crate::store::Error;
use crate::store::account_keys::check_keys;
use crate::store::folded::Folded;
use crate::store::inbox::{Advance, Appended, IngestBatch, IngestCall, Partition, QuarantineRow};
use crate::store::outbox::Publish;
use crate::store::rules::{Locked, shard_of};
use crate::store::values::{call_id, corrupt};
use crate::store::wakes::Told;

impl Sqlite {
    /// See [`Inbox::append`](crate::store::Inbox::append).
    pub(super) async fn append_batch(&self, batch: &IngestBatch) -> Result<Appended> {
        let mut tx = self.begin().await?;
        self.looked_at(&mut tx).await?;
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
}

/// Folds the calls in and keeps the bodies that stand.
async fn append_calls(tx: &mut Tx, calls: &[IngestCall]) -> Result<Appended> {
    let mut appended = Appended::default();
    if calls.is_empty() {
        return Ok(appended);
    }
    let wanted: BTreeSet<&AccountId> = calls.iter().map(|call| &call.id.account).collect();
    let accounts = accounts(tx, &wanted).await?;
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
        let kept = folded.tell(call, &mut appended);
        bodies.extend(kept.map(|(kind, sealed)| Body {
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
    let known = known(tx, calls).await?;
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

/// The calls whose keys are known.
async fn known(tx: &mut Tx, calls: &[IngestCall]) -> Result<BTreeSet<CallId>> {
    let rows = sqlx::query(
        "select account, interaction from json_each($1) as asked
         cross join calls on account = value ->> 0 and interaction = value ->> 1",
    )
    .bind(keys(calls.iter().map(|call| &call.id)))
    .fetch_all(&mut *tx.inner)
    .await?;
    rows.iter().map(call_id).collect()
}

/// Keeps what could not be decoded, each offset once.
async fn insert_quarantined(tx: &mut Tx, rows: &[QuarantineRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut joined = Joined::new();
    let rows = batch(rows, |row| {
        let Partition { topic, partition } = &row.partition;
        let (at, body) = (micros(row.received_at), joined.push(&row.body));
        (
            topic,
            partition,
            row.offset,
            at,
            &row.reason,
            body.0,
            body.1,
        )
    });
    sqlx::query(
        "insert into quarantine (topic, partition, kafka_offset, received_at, reason, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
            substr($2, value ->> 5, value ->> 6)
         from json_each($1) where true on conflict do nothing",
    )
    .bind(rows)
    .bind(joined.bytes())
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// Moves offsets on, never back, and not past events that are not here.
async fn move_offsets(tx: &mut Tx, offsets: &[Advance]) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let asked = batch(offsets, |o| {
        (&o.partition.topic, o.partition.partition, o.next)
    });
    let before: Vec<Option<i64>> = sqlx::query_scalar(
        "select next_offset from json_each($1) as asked
         left join offsets on topic = value ->> 0 and partition = value ->> 1
         order by asked.key",
    )
    .bind(&asked)
    .fetch_all(&mut *tx.inner)
    .await?;
    let mut moves = offsets.iter().zip(before);
    if moves.any(|(o, stored)| o.leaves_a_gap(stored)) {
        return Err(Error::Behind);
    }
    sqlx::query(
        "insert into offsets (topic, partition, next_offset)
         select value ->> 0, value ->> 1, value ->> 2 from json_each($1) where true
         on conflict (topic, partition)
         do update set next_offset = max(next_offset, excluded.next_offset)",
    )
    .bind(&asked)
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}
