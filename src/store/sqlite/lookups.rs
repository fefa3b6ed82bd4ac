//! Recording lookups' answers.

use std::collections::{BTreeMap, BTreeSet};

use super::bodies::{Body, insert_bodies};
use super::fence::{accounts, held};
use super::outbox::insert_events;
use super::values::{batch, keys};
use super::{Result, Sqlite, Tx};
use crate::domain::ids::{AccountId, CallId};
use crate::store::Written;
use crate::store::account_keys::check_keys;
use crate::store::answers::{Asked, Kept, events, judge};
use crate::store::inbox::LookupRow;

impl Sqlite {
    /// See [`Inbox::record_lookups`](crate::store::Inbox::record_lookups).
    pub(super) async fn record_answers(&self, rows: &[LookupRow]) -> Result<Vec<Written>> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, rows.iter().map(|row| row.fence)).await?;
        let wanted: BTreeSet<&AccountId> = rows.iter().map(|row| &row.id.account).collect();
        let accounts = accounts(&mut tx, &wanted).await?;
        check_keys(&accounts, rows.iter().flat_map(LookupRow::under_key))?;
        let calls = asked(&mut tx, rows).await?;
        let (written, kept) = judge(rows, &held, calls);
        write_answers(&mut tx, &kept).await?;
        tx.commit().await?;
        Ok(written)
    }
}

/// The calls as their answers find them.
async fn asked(tx: &mut Tx, rows: &[LookupRow]) -> Result<BTreeMap<CallId, Asked>> {
    let ids: BTreeSet<&CallId> = rows.iter().map(|row| &row.id).collect();
    let found = sqlx::query(
        "select account, interaction, shard, looked_up,
            started_event is not null as begun, lookup_due_at is not null as due
         from json_each($1)
         cross join calls on account = value ->> 0 and interaction = value ->> 1",
    )
    .bind(keys(ids))
    .fetch_all(&mut *tx.inner)
    .await?;
    found.iter().map(Asked::read).collect()
}

/// Keeps the answers that are first, and writes the events of all.
async fn write_answers(tx: &mut Tx, kept: &[Kept<'_>]) -> Result<()> {
    if kept.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update calls set looked_up = true, lookup_due_at = null,
            lookup_generation = coalesce(new.generation, calls.lookup_generation)
         from (select value ->> 0 as account, value ->> 1 as interaction, value ->> 2 as generation
            from json_each($1)) as new
         where calls.account = new.account and calls.interaction = new.interaction",
    )
    .bind(batch(kept, |kept| {
        let id = &kept.row.id;
        let generation = kept.first.then_some(kept.row.generation);
        (&id.account, &id.interaction, generation)
    }))
    .execute(&mut *tx.inner)
    .await?;
    let first = kept.iter().filter(|kept| kept.first);
    let bodies: Vec<_> = first
        .map(|kept| Body {
            call: &kept.row.id,
            kind: "lookup",
            sealed: &kept.row.answer,
        })
        .collect();
    insert_bodies(tx, &bodies).await?;
    insert_events(tx, &events(kept)).await
}
