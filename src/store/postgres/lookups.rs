//! Recording lookups' answers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::bodies::{Body, insert_bodies};
use super::fence::{held, lock_accounts};
use super::outbox::insert_events;
use super::values::{column, get, key_columns};
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, CallId};
use crate::store::Written;
use crate::store::account_keys::check_keys;
use crate::store::answers::{Asked, Kept, events, judge};
use crate::store::inbox::LookupRow;

impl Postgres {
    /// See [`Inbox::record_lookups`](crate::store::Inbox::record_lookups).
    pub(super) async fn record_answers(&self, rows: &[LookupRow]) -> Result<Vec<Written>> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, rows.iter().map(|row| row.fence)).await?;
        let accounts: BTreeSet<&AccountId> = rows.iter().map(|row| &row.id.account).collect();
        let accounts = lock_accounts(&mut tx, &accounts).await?;
        check_keys(&accounts, rows.iter().flat_map(LookupRow::under_key))?;
        let (calls, days) = lock_asked(&mut tx, rows).await?;
        let (written, kept) = judge(rows, &held, calls);
        write_answers(&mut tx, &kept, &days).await?;
        tx.commit().await?;
        Ok(written)
    }
}

/// Where calls' bodies lie.
type Days = BTreeMap<CallId, NaiveDate>;

/// Locks the calls, sorted.
async fn lock_asked(tx: &mut Tx, rows: &[LookupRow]) -> Result<(BTreeMap<CallId, Asked>, Days)> {
    let sorted: BTreeSet<&CallId> = rows.iter().map(|row| &row.id).collect();
    let (accounts, interactions) = key_columns(sorted);
    let found = sqlx::query(
        "select account, interaction, shard, call_day, looked_up,
            started_event is not null as begun, lookup_due_at is not null as due
         from calls join unnest($1::text[], $2::text[]) as asked (account, interaction)
            using (account, interaction)
         order by account, interaction for update of calls",
    )
    .bind(accounts)
    .bind(interactions)
    .fetch_all(&mut **tx)
    .await?;
    let (mut calls, mut days) = (BTreeMap::new(), Days::new());
    for row in &found {
        let (call, asked) = Asked::read(row)?;
        days.insert(call.clone(), get(row, "call_day")?);
        calls.insert(call, asked);
    }
    Ok((calls, days))
}

/// Keeps the answers that are first, each where its call's bodies lie, and writes the events of all.
async fn write_answers(tx: &mut Tx, kept: &[Kept<'_>], days: &Days) -> Result<()> {
    if kept.is_empty() {
        return Ok(());
    }
    let (accounts, interactions) = key_columns(kept.iter().map(|kept| &kept.row.id));
    sqlx::query(
        "update calls set looked_up = true, lookup_due_at = null,
            lookup_generation = coalesce(new.generation, calls.lookup_generation)
         from unnest($1::text[], $2::text[], $3::bigint[])
            as new (account, interaction, generation)
         where calls.account = new.account and calls.interaction = new.interaction",
    )
    .bind(accounts)
    .bind(interactions)
    .bind(column(kept, |kept| {
        kept.first.then_some(kept.row.generation.0)
    }))
    .execute(&mut **tx)
    .await?;
    let bodies: Vec<_> = kept
        .iter()
        .filter(|kept| kept.first)
        .filter_map(|kept| {
            Some(Body {
                day: *days.get(&kept.row.id)?,
                call: &kept.row.id,
                kind: "lookup",
                sealed: &kept.row.answer,
            })
        })
        .collect();
    insert_bodies(tx, &bodies).await?;
    insert_events(tx, &events(kept)).await
}
