//! Which server this is, and whether its past is whole.
//!
//! The timeline is read from the name of the log's file: `pg_control_checkpoint` tells the old one
//! until the first checkpoint after a promotion.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;

use super::values::{column, key_columns};
use super::{Postgres, Result, Tx};
use crate::clock;
use crate::domain::ids::CallId;
use crate::store::inbox::Partition;
use crate::store::journal::BeginAttempt;
use crate::store::leases::{CLOCKS_DIFFER_AT_MOST, ClocksDiffer};
use crate::store::recovery::{
    CLOCKS_DIFFER, EPOCHS_APART, Evidence, Lifted, RecoveryReason, SEQUENCES_APART, Server,
    Standing, Witness, is_behind, known_offset, standing, unrecognised,
};
use crate::store::values::{call_id, id, number, word};
use crate::store::{Error, Recovery};

/// Which tables these are: another text once they were made anew, or the database is a copy.
macro_rules! tables {
    () => {
        "(select oid from pg_database where datname = current_database()) || '/' || 'lineage'::regclass::oid"
    };
}

/// Another text whenever the server was started, another one is promoted, or the tables are others
/// under a server that runs.
macro_rules! started {
    () => {
        concat!(
            "extract(epoch from pg_postmaster_start_time()) || '/' || ",
            tables!()
        )
    };
}

/// Whether the server confirms only what a standby has.
macro_rules! synchronous {
    () => {
        "current_setting('synchronous_standby_names') <> ''"
    };
}

#[async_trait]
impl Recovery for Postgres {
    async fn standing(&self) -> Result<Standing> {
        let sql = concat!(
            "select recovering_since, recovering_reason, started = ",
            started!(),
            " and synchronous = (",
            synchronous!(),
            ") as is_known from lineage"
        );
        let row = sqlx::query(sql).fetch_optional(&self.pool).await?;
        standing(row.as_ref())
    }

    async fn recognise(&self, witness: &Witness) -> Result<Standing> {
        let mut tx = self.begin().await?;
        let row = lock_lineage(&mut tx).await?;
        let found = standing(row.as_ref())?;
        if matches!(found, Standing::Recovering { .. }) {
            return Ok(found);
        }
        let noted = row.as_ref().map(Server::read).transpose()?;
        let mark = row.as_ref().map(|row| number(row, "mark")).transpose()?;
        let mark: i64 = mark.unwrap_or_default();
        let server = server(&mut tx).await?;
        let (now, last_beat): (DateTime<Utc>, _) =
            sqlx::query_as("select now(), (select max(expires_at) from replicas)")
                .fetch_one(&mut *tx)
                .await?;
        let evidence = Evidence {
            noted: noted.as_ref(),
            server: &server,
            last_beat,
            now,
            behind: is_behind(&known_offsets(&mut tx).await?, mark, witness),
        };
        let reason = evidence.judge();
        note(&mut tx, &server, reason).await?;
        if reason.is_some() {
            take_shards(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(match reason {
            Some(reason) => Standing::Recovering { since: now, reason },
            None => Standing::Recognised,
        })
    }

    async fn advance_mark(&self) -> Result<i64> {
        let sql = concat!(
            "update lineage set mark = mark + 1 where recovering_since is null and started = ",
            started!(),
            " returning mark"
        );
        let mark = sqlx::query_scalar(sql).fetch_optional(&self.pool).await?;
        mark.ok_or_else(unrecognised)
    }

    async fn lift(&self, witness: &Witness) -> Result<Lifted> {
        let mut tx = self.begin().await?;
        lock_lineage(&mut tx).await?;
        let server = server(&mut tx).await?;
        note(&mut tx, &server, None).await?;
        take_shards(&mut tx).await?;
        sqlx::query(
            "update lineage set recovered_at = clock_timestamp(), mark = greatest(mark, $1)",
        )
        .bind(witness.mark)
        .execute(&mut *tx)
        .await?;
        sqlx::query("update accounts set sequence = sequence + $1 where sequence > 0")
            .bind(SEQUENCES_APART)
            .execute(&mut *tx)
            .await?;
        let doubted = sqlx::query(
            "update grants set in_doubt = true, last_step = false, claim_send_by = null,
                claim_until = null
             where retired_at is null returning account",
        )
        .fetch_all(&mut *tx)
        .await?;
        mark(&mut tx, &witness.offsets).await?;
        tx.commit().await?;
        let doubted = doubted.iter().map(|row| id(row, "account"));
        Ok(Lifted {
            doubted: doubted.collect::<Result<_>>()?,
        })
    }
}

/// What a transaction must know that lets something be sent: fails unless the database is
/// recognised; since when calls that ended before are looked for first, if any are.
pub(super) async fn recognised(tx: &mut Tx) -> Result<Option<DateTime<Utc>>> {
    let sql = concat!(
        "select recovered_at from lineage where recovering_since is null and started = ",
        started!()
    );
    let found: Option<Option<DateTime<Utc>>> =
        sqlx::query_scalar(sql).fetch_optional(&mut **tx).await?;
    found.ok_or_else(unrecognised)
}

/// What a transaction must know that takes something in: fails unless the database was looked at, and
/// tells the time that we tell.
pub(super) async fn may_take_in(tx: &mut Tx) -> Result<()> {
    let sql = concat!(
        "select now() between $1 and $2 from lineage where started = ",
        started!()
    );
    let now = clock::now();
    let found: Option<bool> = sqlx::query_scalar(sql)
        .bind(now - CLOCKS_DIFFER_AT_MOST)
        .bind(now + CLOCKS_DIFFER_AT_MOST)
        .fetch_optional(&mut **tx)
        .await?;
    match found {
        None => Err(unrecognised()),
        Some(false) => Err(Error::Unavailable(Box::new(ClocksDiffer))),
        Some(true) => Ok(()),
    }
}

/// Those of these calls that a past which is lost may have sent: they ended before that, have no
/// Task here, and were not looked for since.
pub(super) async fn suspects(
    tx: &mut Tx,
    items: &[&BeginAttempt],
    recovered_at: DateTime<Utc>,
) -> Result<Vec<CallId>> {
    let (accounts, interactions) = key_columns(items.iter().map(|item| &item.call));
    let rows = sqlx::query(
        "select account, interaction
         from unnest($1::text[], $2::text[]) as asked (account, interaction)
         join calls c using (account, interaction)
         where c.task is null and c.ended_at < $3 + make_interval(secs => $4)
            and not exists (select from attempts a where a.account = c.account
                and a.interaction = c.interaction and a.begun_at >= $3)",
    )
    .bind(accounts)
    .bind(interactions)
    .bind(recovered_at)
    .bind(CLOCKS_DIFFER.as_secs_f64())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(call_id).collect()
}

/// Notes how far a partition may be known to be read without that meaning anything.
pub(super) async fn mark(tx: &mut Tx, marks: &[(Partition, i64)]) -> Result<()> {
    sqlx::query(
        "insert into offset_marks (topic, partition, mark)
         select * from unnest($1::text[], $2::integer[], $3::bigint[])
         on conflict (topic, partition)
         do update set mark = greatest(offset_marks.mark, excluded.mark)",
    )
    .bind(column(marks, |(p, _)| p.topic.as_str()))
    .bind(column(marks, |(p, _)| p.partition))
    .bind(column(marks, |(_, offset)| *offset))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The row, if there is one; nobody else reads it so until this transaction ends.
async fn lock_lineage(tx: &mut Tx) -> Result<Option<PgRow>> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('lineage', 0))")
        .execute(&mut **tx)
        .await?;
    let row = sqlx::query(
        "select system, timeline, started, synchronous, mark, recovering_since, recovering_reason,
            false as is_known
         from lineage",
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// The server that answers. Needs no rights of a superuser; fails on a standby.
async fn server(tx: &mut Tx) -> Result<Server> {
    let sql = concat!(
        "select system_identifier || '/' || ",
        tables!(),
        " as system,
            ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint as timeline, ",
        started!(),
        " as started, ",
        synchronous!(),
        " as synchronous from pg_control_system()"
    );
    let row = sqlx::query(sql).fetch_one(&mut **tx).await?;
    Server::read(&row)
}

/// How far each partition is known to be read.
async fn known_offsets(tx: &mut Tx) -> Result<BTreeMap<Partition, i64>> {
    let rows = sqlx::query(
        "select topic, partition, greatest(next_offset, mark) as known
         from offsets full join offset_marks using (topic, partition)",
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(known_offset).collect()
}

/// Notes the server, and why its past is not whole, if it is not.
async fn note(tx: &mut Tx, server: &Server, reason: Option<RecoveryReason>) -> Result<()> {
    sqlx::query(
        "insert into lineage (system, timeline, started, synchronous, recovering_since,
            recovering_reason)
         values ($1, $2, $3, $4, case when $5::text is not null then now() end, $5)
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
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes all shards from their owners. Whoever compared an epoch commits before.
async fn take_shards(tx: &mut Tx) -> Result<()> {
    sqlx::query("select from leases order by shard for update")
        .execute(&mut **tx)
        .await?;
    sqlx::query("update leases set owner = null, expires_at = now(), epoch = epoch + $1")
        .bind(EPOCHS_APART)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
