//! Invitations. Who changes one has its account's row first, so that its steps come one by one.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::authorizations::{insert_step, write};
use super::links::lock_account;
use super::{Postgres, Result, Tx};
use crate::domain::authorization::{Authorization, Stage};
use crate::domain::ids::{AccountId, InvitationId};
use crate::domain::invitation::{Fate, Invitation, Step};
use crate::domain::link::Actor;
use crate::store::invitations::{InviteWrite, ended, settled};
use crate::store::rows::{authorization, invitation};
use crate::store::values::{to_json, word};
use crate::store::{Invitations, Written};

#[async_trait]
impl Invitations for Postgres {
    async fn invite(&self, new: &Invitation, most: u32) -> Result<InviteWrite> {
        let mut tx = self.begin().await?;
        let link = lock_account(&mut tx, &new.account).await?;
        if found(&mut tx, &new.id).await?.is_some() {
            return Ok(InviteWrite::Stored);
        }
        let open: i64 = sqlx::query_scalar(
            "select count(*) from invitations
             where account = $1 and fate = 'open' and expires_at > $2",
        )
        .bind(new.account.as_str())
        .bind(new.invited_at)
        .fetch_one(&mut *tx)
        .await?;
        if open >= i64::from(most) {
            return Ok(InviteWrite::TooMany);
        }
        sqlx::query(
            "insert into invitations (id, account, expires_at, fate, facts)
             values ($1, $2, $3, $4, $5::jsonb)",
        )
        .bind(new.id.as_str())
        .bind(new.account.as_str())
        .bind(new.expires_at)
        .bind(word(new.fate))
        .bind(to_json(new))
        .execute(&mut *tx)
        .await?;
        insert_step(&mut tx, &link, Step::Invited, (&new.by, new.invited_at)).await?;
        tx.commit().await?;
        Ok(InviteWrite::Stored)
    }

    async fn invitation(&self, id: &InvitationId) -> Result<Option<Invitation>> {
        let row = sqlx::query("select facts::text from invitations where id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(invitation).transpose()
    }

    async fn invitations(&self, account: &AccountId, limit: u32) -> Result<Vec<Invitation>> {
        let rows = sqlx::query(
            "select facts::text from invitations where account = $1
             order by expires_at desc, id limit $2",
        )
        .bind(account.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(invitation).collect()
    }

    async fn revoke_invitation(
        &self,
        account: &AccountId,
        id: &InvitationId,
        by: &Actor,
        at: DateTime<Utc>,
    ) -> Result<Option<Invitation>> {
        let mut tx = self.begin().await?;
        let link = lock_account(&mut tx, account).await?;
        let known = found(&mut tx, id).await?;
        let Some(known) = known.filter(|known| known.account == *account) else {
            return Ok(None);
        };
        let Some(revoked) = ended(&known, Fate::Revoked) else {
            return Ok(Some(known));
        };
        end(&mut tx, &revoked).await?;
        insert_step(&mut tx, &link, Step::Revoked, (by, at)).await?;
        tx.commit().await?;
        Ok(Some(revoked))
    }

    async fn use_invitation(
        &self,
        complete: &Authorization,
        at: DateTime<Utc>,
    ) -> Result<Option<Authorization>> {
        let mut tx = self.begin().await?;
        let link = lock_account(&mut tx, &complete.account).await?;
        let row = sqlx::query("select facts::text from authorizations where id = $1 for update")
            .bind(complete.id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let now = row.as_ref().map(authorization).transpose()?;
        if now.as_ref().is_none_or(|now| now.stage != Stage::Redeemed) {
            return Ok(now);
        }
        let known = match &complete.invitation {
            Some(id) => found(&mut tx, id).await?,
            None => None,
        };
        let used = known.and_then(|known| ended(&known, Fate::Used));
        if let Some(used) = &used {
            end(&mut tx, used).await?;
            insert_step(&mut tx, &link, Step::Used, (&used.by, at)).await?;
        }
        let settled = settled(complete, used.is_some());
        write(&mut tx, &settled).await?;
        tx.commit().await?;
        Ok(Some(settled))
    }

    async fn to_confirm(
        &self,
        account: &AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Authorization>> {
        let rows = sqlx::query(
            "select facts::text from authorizations
             where account = $1 and stage = 'to_confirm' and expires_at > $2 order by begun_at",
        )
        .bind(account.as_str())
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(authorization).collect()
    }

    async fn discard_login(
        &self,
        discarded: &Authorization,
        by: &Actor,
        at: DateTime<Utc>,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        let link = lock_account(&mut tx, &discarded.account).await?;
        let waits = sqlx::query(
            "select id from authorizations where id = $1 and stage = 'to_confirm' for update",
        )
        .bind(discarded.id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        if waits.is_none() {
            return Ok(Written::Stale);
        }
        write(&mut tx, discarded).await?;
        insert_step(&mut tx, &link, Step::Discarded, (by, at)).await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn forget_invitations(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("delete from invitations where expires_at < $1")
            .bind(before)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

/// An invitation, as it stays until the transaction writes it.
async fn found(tx: &mut Tx, id: &InvitationId) -> Result<Option<Invitation>> {
    let row = sqlx::query("select facts::text from invitations where id = $1 for update")
        .bind(id.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(invitation).transpose()
}

/// Writes an invitation's fate.
async fn end(tx: &mut Tx, ended: &Invitation) -> Result<()> {
    sqlx::query("update invitations set fate = $2, facts = $3::jsonb where id = $1")
        .bind(ended.id.as_str())
        .bind(word(ended.fate))
        .bind(to_json(ended))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
