//! Recording lookups' answers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::bodies::{Body, insert_bodies};
use super::fence::{held, lock_accounts};
use super::outbox::{Publish, insert_events};
use super::values::{call_id, column, get, key_columns, shard};
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, CallId, ShardId};
use crate::store::Written;
use crate::store::inbox::LookupRow;

/// A call as its answer finds it.
struct Asked {
    /// Where it lies.
    shard: ShardId,
    /// Where its bodies lie.
    day: NaiveDate,
    /// Its begin came.
    begun: bool,
    /// Its answer is stored.
    looked_up: bool,
    /// An answer is to be given, if only to a begin that came behind it.
    due: bool,
}

/// What an answer is to its call.
enum Kept {
    /// The first one: it is stored where the call's bodies lie, with its event.
    Answer(NaiveDate),
    /// The stored one, told to a begin that came behind it: only the event is written.
    Event,
    /// Nothing more.
    Nothing(Written),
}

impl Asked {
    /// Takes one answer in.
    fn take(&mut self, row: &LookupRow) -> Kept {
        let tells = row.event.is_some();
        if self.looked_up {
            if !(self.due && tells) {
                return Kept::Nothing(Written::Already);
            }
            self.due = false;
            return Kept::Event;
        }
        if self.begun && !tells {
            return Kept::Nothing(Written::Stale);
        }
        (self.looked_up, self.due) = (true, false);
        Kept::Answer(self.day)
    }
}

impl Postgres {
    /// See [`Inbox::record_lookups`](crate::store::Inbox::record_lookups).
    pub(super) async fn record_answers(&self, rows: &[LookupRow]) -> Result<Vec<Written>> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, rows.iter().map(|row| row.fence)).await?;
        let accounts: BTreeSet<&AccountId> = rows.iter().map(|row| &row.id.account).collect();
        lock_accounts(&mut tx, &accounts).await?;
        let mut calls = lock_asked(&mut tx, rows).await?;

        let mut kept = Vec::new();
        let mut written = Vec::new();
        for row in rows {
            let call = calls
                .get_mut(&row.id)
                .filter(|call| call.shard == row.fence.shard && held.contains(&row.fence));
            let taken = call.map_or(Kept::Nothing(Written::Stale), |call| call.take(row));
            written.push(match taken {
                Kept::Nothing(written) => written,
                Kept::Event => {
                    kept.push((row, None));
                    Written::Yes
                }
                Kept::Answer(day) => {
                    kept.push((row, Some(day)));
                    Written::Yes
                }
            });
        }
        write_answers(&mut tx, &kept).await?;
        tx.commit().await?;
        Ok(written)
    }
}

/// Locks the calls, sorted.
async fn lock_asked(tx: &mut Tx, rows: &[LookupRow]) -> Result<BTreeMap<CallId, Asked>> {
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
    let asked = |row| {
        let (shard, day) = (shard(row)?, get(row, "call_day")?);
        Ok((
            call_id(row)?,
            Asked {
                shard,
                day,
                begun: get(row, "begun")?,
                looked_up: get(row, "looked_up")?,
                due: get(row, "due")?,
            },
        ))
    };
    found.iter().map(asked).collect()
}

/// Keeps the answers that are first, each with where its bodies lie, and writes the events of all.
async fn write_answers(tx: &mut Tx, kept: &[(&LookupRow, Option<NaiveDate>)]) -> Result<()> {
    if kept.is_empty() {
        return Ok(());
    }
    let (accounts, interactions) = key_columns(kept.iter().map(|(row, _)| &row.id));
    sqlx::query(
        "update calls set looked_up = true, lookup_due_at = null,
            lookup_generation = coalesce(new.generation, calls.lookup_generation)
         from unnest($1::text[], $2::text[], $3::bigint[])
            as new (account, interaction, generation)
         where calls.account = new.account and calls.interaction = new.interaction",
    )
    .bind(accounts)
    .bind(interactions)
    .bind(column(kept, |(row, day)| day.map(|_| row.generation.0)))
    .execute(&mut **tx)
    .await?;
    let bodies: Vec<_> = kept
        .iter()
        .filter_map(|(row, day)| {
            Some(Body {
                day: (*day)?,
                call: &row.id,
                kind: "lookup",
                sealed: &row.answer,
            })
        })
        .collect();
    insert_bodies(tx, &bodies).await?;
    let events: Vec<_> = kept
        .iter()
        .filter_map(|(row, _)| {
            let event = row.event.as_ref()?;
            Some(Publish::of_call(event, &row.id, row.fence.shard))
        })
        .collect();
    insert_events(tx, &events).await
}
