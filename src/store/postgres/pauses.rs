//! Pauses.

use async_trait::async_trait;

use super::values::column;
use super::{Postgres, Result};
use crate::domain::pause::{Pause, Scope};
use crate::domain::work::Lane;
use crate::store::Pauses;
use crate::store::pauses::{NewPause, PauseLine, scope_columns};
use crate::store::rows::{pause, pause_line};

#[async_trait]
impl Pauses for Postgres {
    async fn pause(&self, pause: &NewPause) -> Result<()> {
        let (scope, subject) = scope_columns(&pause.scope);
        let lanes = column(&pause.lanes, |lane| lane.as_str());
        let mut tx = self.begin().await?;
        // One at a time: two operators may pause the same.
        sqlx::query("lock table pauses in share row exclusive mode")
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "update pauses set ended_at = now(), ended_by = $4
             where scope = $1 and subject = $2 and lane = any($3) and ended_at is null",
        )
        .bind(scope)
        .bind(subject)
        .bind(&lanes)
        .bind(&pause.by)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into pauses (scope, subject, lane, reason, by, until)
             select $1, $2, lane, $4, $5, $6 from unnest($3::text[]) as asked (lane)",
        )
        .bind(scope)
        .bind(subject)
        .bind(&lanes)
        .bind(&pause.reason)
        .bind(&pause.by)
        .bind(pause.until)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn resume(&self, scope: &Scope, lanes: &[Lane], by: &str) -> Result<Vec<Pause>> {
        let (scope, subject) = scope_columns(scope);
        let rows = sqlx::query(
            "update pauses set ended_at = now(), ended_by = $4
             where scope = $1 and subject = $2 and lane = any($3) and ended_at is null
                and coalesce(until, 'infinity'::timestamptz) > clock_timestamp()
             returning scope, subject, lane, reason, by, since, until",
        )
        .bind(scope)
        .bind(subject)
        .bind(column(lanes, |lane| lane.as_str()))
        .bind(by)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(pause).collect()
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let rows = sqlx::query(
            "select scope, subject, lane, reason, by, since, until from pauses
             where ended_at is null and coalesce(until, 'infinity'::timestamptz) > clock_timestamp()
             order by scope, subject, lane",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(pause).collect()
    }

    async fn pause_history(&self, limit: u32) -> Result<Vec<PauseLine>> {
        let rows = sqlx::query(
            "select scope, subject, lane, reason, by, since, until, ended_at, ended_by from pauses
             order by pause desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(pause_line).collect()
    }
}
