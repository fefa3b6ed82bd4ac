//! Authorizations, and the history of links.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::values::micros;
use super::{Result, Sqlite, Tx};
use crate::domain::authorization::{Authorization, Stage};
use crate::domain::ids::{AccountId, AuthorizationId};
use crate::domain::invitation::Step;
use crate::domain::link::{Actor, LinkState};
use crate::store::authorizations::{HistoryLine, RedeemClaim};
use crate::store::rows::{authorization, history_line};
use crate::store::values::{sealed, sealed_opt, to_json, word};
use crate::store::{Authorizations, Sealed, Written};

#[async_trait]
impl Authorizations for Sqlite {
    async fn begin_authorization(&self, begun: &Authorization, secret: &Sealed) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "insert into authorizations (id, account, session, stage, begun_at, expires_at, facts,
                secret)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing",
        )
        .bind(begun.id.as_str())
        .bind(begun.account.as_str())
        .bind(&begun.session)
        .bind(word(begun.stage))
        .bind(micros(begun.begun_at))
        .bind(micros(begun.expires_at))
        .bind(to_json(begun))
        .bind(&secret.0)
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await
    }

    async fn authorization(&self, id: &AuthorizationId) -> Result<Option<Authorization>> {
        let row = sqlx::query("select facts from authorizations where id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(authorization).transpose()
    }

    async fn last_authorization(&self, session: &str) -> Result<Option<Authorization>> {
        let row = sqlx::query(
            "select facts from authorizations where session = $1 order by begun_at desc limit 1",
        )
        .bind(session)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(authorization).transpose()
    }

    async fn claim_redeem(
        &self,
        id: &AuthorizationId,
        session: &str,
        now: DateTime<Utc>,
    ) -> Result<RedeemClaim> {
        let mut tx = self.begin().await?;
        let row =
            sqlx::query("select facts, secret from authorizations where id = $1 and session = $2")
                .bind(id.as_str())
                .bind(session)
                .fetch_optional(&mut *tx.inner)
                .await?;
        let Some(row) = row else {
            return Ok(RedeemClaim::Unknown);
        };
        let mut found = authorization(&row)?;
        if found.stage != Stage::Begun {
            return Ok(RedeemClaim::Used(Box::new(found)));
        }
        if found.expires_at <= now {
            return Ok(RedeemClaim::Unknown);
        }
        let secret = sealed(&row, "secret")?;
        found.stage = Stage::Redeeming;
        write(&mut tx, &found).await?;
        tx.commit().await?;
        Ok(RedeemClaim::Granted(Box::new(found), secret))
    }

    async fn move_authorization(
        &self,
        from: Stage,
        next: &Authorization,
        secret: Option<&Sealed>,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        let moved = sqlx::query(
            "update authorizations set secret = coalesce($3, secret) where id = $1 and stage = $2",
        )
        .bind(next.id.as_str())
        .bind(word(from))
        .bind(secret.map(|secret| &secret.0))
        .execute(&mut *tx.inner)
        .await?;
        if moved.rows_affected() == 0 {
            return Ok(Written::Stale);
        }
        write(&mut tx, next).await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn authorization_secret(&self, id: &AuthorizationId) -> Result<Option<Sealed>> {
        let row = sqlx::query("select secret from authorizations where id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.map_or(Ok(None), |row| sealed_opt(&row, "secret"))
    }

    async fn loose_authorizations(
        &self,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<(Authorization, Option<Sealed>)>> {
        let rows = sqlx::query(
            "select facts, secret from authorizations
             where secret is not null and (expires_at <= $1 or stage = 'failed')
             order by expires_at limit $2",
        )
        .bind(micros(now))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| Ok((authorization(row)?, sealed_opt(row, "secret")?)))
            .collect()
    }

    async fn close_authorization(&self, last: &Authorization) -> Result<()> {
        let mut tx = self.begin().await?;
        write(&mut tx, last).await?;
        sqlx::query("update authorizations set secret = null where id = $1")
            .bind(last.id.as_str())
            .execute(&mut *tx.inner)
            .await?;
        tx.commit().await
    }

    async fn forget_authorizations(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("delete from authorizations where secret is null and begun_at < $1")
            .bind(micros(before))
            .execute(&mut *tx.inner)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }

    async fn enter_once(&self, id: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from entries where expires_at < $1")
            .bind(micros(now))
            .execute(&mut *tx.inner)
            .await?;
        let taken = sqlx::query(
            "insert into entries (id, expires_at) values ($1, $2) on conflict (id) do nothing",
        )
        .bind(id)
        .bind(micros(until))
        .execute(&mut *tx.inner)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(taken == 1)
    }

    async fn history(
        &self,
        account: &AccountId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HistoryLine>> {
        let rows = sqlx::query(
            "select line, sequence, at, actor, from_status, from_health, to_status, to_health, reason,
                step, generation
             from link_history where account = $1 and line < $2
             order by line desc limit $3",
        )
        .bind(account.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(history_line).collect()
    }
}

/// Writes an authorization's stage and facts.
pub(super) async fn write(tx: &mut Tx, next: &Authorization) -> Result<()> {
    sqlx::query("update authorizations set stage = $2, facts = $3, expires_at = $4 where id = $1")
        .bind(next.id.as_str())
        .bind(word(next.stage))
        .bind(to_json(next))
        .bind(micros(next.expires_at))
        .execute(&mut *tx.inner)
        .await?;
    Ok(())
}

/// Ends an authorization with the link that it made; whether it was still open for that.
pub(super) async fn end_with_link(tx: &mut Tx, id: &AuthorizationId) -> Result<bool> {
    let row = sqlx::query(
        "select facts from authorizations where id = $1 and stage in ('redeemed', 'to_confirm')",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *tx.inner)
    .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let mut last = authorization(&row)?;
    last.stage = Stage::Linked;
    write(tx, &last).await?;
    sqlx::query("update authorizations set secret = null where id = $1")
        .bind(id.as_str())
        .execute(&mut *tx.inner)
        .await?;
    Ok(true)
}

/// Notes a published change of a link.
pub(super) async fn insert_history(
    tx: &mut Tx,
    before: &LinkState,
    after: &LinkState,
    actor: &Actor,
    at: DateTime<Utc>,
) -> Result<()> {
    insert_line(tx, (before, after), None, (actor, at)).await
}

/// Notes a step of an invitation, which changes nothing of the link.
pub(super) async fn insert_step(
    tx: &mut Tx,
    link: &LinkState,
    step: Step,
    by: (&Actor, DateTime<Utc>),
) -> Result<()> {
    insert_line(tx, (link, link), Some(step), by).await
}

/// Adds a line to an account's history; whoever does has the account's row.
async fn insert_line(
    tx: &mut Tx,
    (before, after): (&LinkState, &LinkState),
    step: Option<Step>,
    (actor, at): (&Actor, DateTime<Utc>),
) -> Result<()> {
    let reason = after.reason.filter(|_| step.is_none());
    sqlx::query(
        "insert into link_history (account, line, sequence, at, actor, from_status, from_health,
            to_status, to_health, reason, step, generation)
         select $1, coalesce(max(line), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
         from link_history where account = $1",
    )
    .bind(after.account.as_str())
    .bind(after.sequence.0)
    .bind(micros(at))
    .bind(to_json(actor))
    .bind(word(before.status))
    .bind(word(before.health))
    .bind(word(after.status))
    .bind(word(after.health))
    .bind(reason.map(word))
    .bind(step.map(word))
    .bind(after.generation.0)
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}
