//! The sealed bodies of calls, by day.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use sqlx::PgExecutor;

use super::values::{column, key_columns};
use super::{Result, Session};
use crate::domain::ids::CallId;
use crate::store::Sealed;

/// Makes partitions where they are missing; a look at the catalogue where they are not.
pub(super) async fn ensure_partitions(
    connection: impl PgExecutor<'_>,
    days: impl IntoIterator<Item = NaiveDate>,
) -> Result<()> {
    let days: Vec<NaiveDate> = days.into_iter().collect();
    if days.is_empty() {
        return Ok(());
    }
    sqlx::query("select ensure_body_partition(day) from unnest($1::date[]) as day order by day")
        .bind(days)
        .execute(connection)
        .await?;
    Ok(())
}

/// One body in its place.
pub(super) struct Body<'a> {
    /// Which partition.
    pub(super) day: NaiveDate,
    /// Whose it is.
    pub(super) call: &'a CallId,
    /// `started`, `ended` or `lookup`.
    pub(super) kind: &'static str,
    /// The bytes.
    pub(super) sealed: &'a Sealed,
}

/// Keeps bodies, in place of those that they supersede.
pub(super) async fn insert_bodies(connection: &mut Session, bodies: &[Body<'_>]) -> Result<()> {
    if bodies.is_empty() {
        return Ok(());
    }
    // A stored call's day is that of the first event that came, which may not be in this batch,
    // and its partition may have been dropped since: then it is made again, in this transaction.
    ensure_partitions(
        &mut *connection,
        bodies.iter().map(|b| b.day).collect::<BTreeSet<_>>(),
    )
    .await?;
    let (accounts, interactions) = key_columns(bodies.iter().map(|body| body.call));
    sqlx::query(
        "insert into call_bodies (call_day, account, interaction, kind, body)
         select * from unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::bytea[])
         on conflict (call_day, account, interaction, kind) do update set body = excluded.body",
    )
    .bind(column(bodies, |b| b.day))
    .bind(accounts)
    .bind(interactions)
    .bind(column(bodies, |b| b.kind))
    .bind(column(bodies, |b| b.sealed.0.as_slice()))
    .execute(connection)
    .await?;
    Ok(())
}
