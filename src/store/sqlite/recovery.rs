//! Who opened this file, and whether its past is whole. A file has no server and no timeline: each
//! process that works on it asks Kafka once whether it is behind.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;

use super::values::{batch, keys, micros};
use super::{Result, Sqlite, Tx};
use crate::domain::ids::CallId;
use crate::store::Recovery;
use crate::store::inbox::Partition;
use crate::store::journal::BeginAttempt;
use crate::store::recovery::{
    CLOCKS_DIFFER, EPOCHS_APART, Evidence, Lifted, RecoveryReason, SEQUENCES_APART, Server,
    Standing, Witness, is_behind, known_offset, standing, unrecognised,
};
use crate::store::values::{Columns as _, call_id, id, number, word};

#[async_trait]
impl Recovery for Sqlite {
    async fn standing(&self) -> Result<Standing> {
        let row = sqlx::query(
            "select recovering_since, recovering_reason, started = $1 as is_known from lineage",
        )
        .bind(&self.origin)
        .fetch_optional(&self.readers)
        .await?;
        standing(row.as_ref())
    }

    async fn recognise(&self, witness: &Witness) -> Result<Standing> {
        let mut tx = self.begin().await?;
        let row = lineage(&mut tx).await?;
        let found = standing(row.as_ref())?;
        if matches!(found, Standing::Recovering { .. }) {
            return Ok(found);
        }
        let noted = row.as_ref().map(Server::read).transpose()?;
        let mark = row.as_ref().map(|row| number(row, "mark")).transpose()?;
        let mark: i64 = mark.unwrap_or_default();
        let server = self.server();
        let evidence = Evidence {
            noted: noted.as_ref(),
            server: &server,
            last_beat: None,
            now: tx.now,
            behind: is_behind(&known_offsets(&mut tx).await?, mark, witness),
        };
        let reason = evidence.judge();
        note(&mut tx, &server, reason).await?;
        if reason.is_some() {
            take_shards(&mut tx).await?;
        }
        let since = tx.now;
        tx.commit().await?;
        Ok(match reason {
            Some(reason) => Standing::Recovering { since, reason },
            None => Standing::Recognised,
        })
    }

    async fn advance_mark(&self) -> Result<i64> {
        let mut tx = self.begin().await?;
        let mark = sqlx::query_scalar(
            "update lineage set mark = mark + 1 where recovering_since is null and started = $1
             returning mark",
        )
        .bind(&self.origin)
        .fetch_optional(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        mark.ok_or_else(unrecognised)
    }

    async fn lift(&self, witness: &Witness) -> Result<Lifted> {
        let mut tx = self.begin().await?;
        note(&mut tx, &self.server(), None).await?;
        take_shards(&mut tx).await?;
        sqlx::query("update lineage set recovered_at = $1, mark = max(mark, $2)")
            .bind(tx.micros())
            .bind(witness.mark)
            .execute(&mut *tx.inner)
            .await?;
        sqlx::query("update accounts set sequence = sequence + $1 where sequence > 0")
            .bind(SEQUENCES_APART)
            .execute(&mut *tx.inner)
            .await?;
        let doubted = sqlx::query(
            "update grants set in_doubt = true, last_step = false, claim_send_by = null,
                claim_until = null
             where retired_at is null returning account",
        )
        .fetch_all(&mut *tx.inner)
        .await?;
        mark(&mut tx, &witness.offsets).await?;
        tx.commit().await?;
        let doubted = doubted.iter().map(|row| id(row, "account"));
        Ok(Lifted {
            doubted: doubted.collect::<Result<_>>()?,
        })
    }
}

impl Sqlite {
    /// This process in place of a server.
    fn server(&self) -> Server {
        Server {
            system: "file".to_owned(),
            timeline: 0,
            started: self.origin.clone(),
            synchronous: false,
        }
    }

    /// What a transaction must know that lets something be sent: fails unless the file is
    /// recognised; since when calls that ended before are looked for first, if any are.
    pub(super) async fn recognised(&self, tx: &mut Tx) -> Result<Option<DateTime<Utc>>> {
        let row = sqlx::query(
            "select recovered_at from lineage where recovering_since is null and started = $1",
        )
        .bind(&self.origin)
        .fetch_optional(&mut *tx.inner)
        .await?;
        row.ok_or_else(unrecognised)?.time("recovered_at")
    }

    /// What a transaction must know that takes something in: fails unless the file was looked at.
    pub(super) async fn looked_at(&self, tx: &mut Tx) -> Result<()> {
        let row = sqlx::query("select 1 from lineage where started = $1")
            .bind(&self.origin)
            .fetch_optional(&mut *tx.inner)
            .await?;
        row.map(drop).ok_or_else(unrecognised)
    }
}

/// Those of these calls that a past which is lost may have sent: they ended before that, have no
/// Task here, and were not looked for since.
pub(super) async fn suspects(
    tx: &mut Tx,
    items: &[&BeginAttempt],
    recovered_at: DateTime<Utc>,
) -> Result<Vec<CallId>> {
    let rows = sqlx::query(
        "select c.account, c.interaction from json_each($1) as asked
         cross join calls c on c.account = asked.value ->> 0 and c.interaction = asked.value ->> 1
         where c.task is null and c.ended_at < $3
            and not exists (select 1 from attempts a where a.account = c.account
                and a.interaction = c.interaction and a.begun_at >= $2)",
    )
    .bind(keys(items.iter().map(|item| &item.call)))
    .bind(micros(recovered_at))
    .bind(micros(recovered_at + CLOCKS_DIFFER))
    .fetch_all(&mut *tx.inner)
    .await?;
    rows.iter().map(call_id).collect()
}

/// Notes how far a partition may be known to be read without that meaning anything.
pub(super) async fn mark(tx: &mut Tx, marks: &[(Partition, i64)]) -> Result<()> {
    sqlx::query(
        "insert into offset_marks (topic, partition, mark)
         select value ->> 0, value ->> 1, value ->> 2 from json_each($1) where true
         on conflict (topic, partition) do update set mark = max(mark, excluded.mark)",
    )
    .bind(batch(marks, |(partition, mark)| {
        (&partition.topic, partition.partition, mark)
    }))
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// The row, if there is one.
async fn lineage(tx: &mut Tx) -> Result<Option<SqliteRow>> {
    let row = sqlx::query(
        "select system, timeline, started, synchronous, mark, recovering_since, recovering_reason,
            false as is_known
         from lineage",
    )
    .fetch_optional(&mut *tx.inner)
    .await?;
    Ok(row)
}

/// How far each partition is known to be read.
async fn known_offsets(tx: &mut Tx) -> Result<BTreeMap<Partition, i64>> {
    let rows = sqlx::query(
        "select topic, partition, max(known) as known from (
            select topic, partition, next_offset as known from offsets
            union all select topic, partition, mark from offset_marks)
         group by topic, partition",
    )
    .fetch_all(&mut *tx.inner)
    .await?;
    rows.iter().map(known_offset).collect()
}

/// Notes who opened the file, and why its past is not whole, if it is not.
async fn note(tx: &mut Tx, server: &Server, reason: Option<RecoveryReason>) -> Result<()> {
    sqlx::query(
        "insert into lineage (system, timeline, started, synchronous, recovering_since,
            recovering_reason)
         values ($1, $2, $3, $4, case when $5 is not null then $6 end, $5)
         on conflict (only_row) do update set system = excluded.system,
            timeline = excluded.timeline, started = excluded.started,
            synchronous = excluded.synchronous, recovering_since = excluded.recovering_since,
            recovering_reason = excluded.recovering_reason",
    )
    .bind(&server.system)
    .bind(server.timeline)
    .bind(&server.started)
    .bind(server.synchronous)
    .bind(reason.map(word))
    .bind(tx.micros())
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// Takes all shards from their owners.
async fn take_shards(tx: &mut Tx) -> Result<()> {
    sqlx::query("update leases set owner = null, expires_at = $2, epoch = epoch + $1")
        .bind(EPOCHS_APART)
        .bind(tx.micros())
        .execute(&mut *tx.inner)
        .await?;
    Ok(())
}
