//! Pauses.

use async_trait::async_trait;

use super::values::{batch, micros};
use super::{Result, Sqlite};
use crate::clock;
use crate::domain::pause::{Pause, Scope};
use crate::domain::work::Lane;
use crate::store::Pauses;
use crate::store::pauses::{NewPause, PauseLine, scope_columns};
use crate::store::rows::{pause, pause_line};

#[async_trait]
impl Pauses for Sqlite {
    async fn pause(&self, pause: &NewPause) -> Result<()> {
        let (scope, subject) = scope_columns(&pause.scope);
        let lanes = batch(&pause.lanes, |lane| lane.as_str());
        let mut tx = self.begin().await?;
        sqlx::query(
            "update pauses set ended_at = $5, ended_by = $4
             where scope = $1 and subject = $2 and lane in (select value from json_each($3))
                and ended_at is null",
        )
        .bind(scope)
        .bind(subject)
        .bind(&lanes)
        .bind(&pause.by)
        .bind(tx.micros())
        .execute(&mut *tx.inner)
        .await?;
        sqlx::query(
            "insert into pauses (scope, subject, lane, reason, by, since, until)
             select $1, $2, value, $4, $5, $6, $7 from json_each($3)",
        )
        .bind(scope)
        .bind(subject)
        .bind(&lanes)
        .bind(&pause.reason)
        .bind(&pause.by)
        .bind(tx.micros())
        .bind(pause.until.map(micros))
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await
    }

    async fn resume(&self, scope: &Scope, lanes: &[Lane], by: &str) -> Result<Vec<Pause>> {
        let (scope, subject) = scope_columns(scope);
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "update pauses set ended_at = $5, ended_by = $4
             where scope = $1 and subject = $2 and lane in (select value from json_each($3))
                and ended_at is null and (until is null or until > $5)
             returning scope, subject, lane, reason, by, since, until",
        )
        .bind(scope)
        .bind(subject)
        .bind(batch(lanes, |lane| lane.as_str()))
        .bind(by)
        .bind(tx.micros())
        .fetch_all(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        rows.iter().map(pause).collect()
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let rows = sqlx::query(
            "select scope, subject, lane, reason, by, since, until from pauses
             where ended_at is null and (until is null or until > $1)
             order by scope, subject, lane",
        )
        .bind(micros(clock::now()))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(pause).collect()
    }

    async fn pause_history(&self, limit: u32) -> Result<Vec<PauseLine>> {
        let rows = sqlx::query(
            "select scope, subject, lane, reason, by, since, until, ended_at, ended_by from pauses
             order by pause desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(pause_line).collect()
    }
}
