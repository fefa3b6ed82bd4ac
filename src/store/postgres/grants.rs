//! Grants: tokens of one generation, and the journal of their refresh (rule 11).

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::fence::{held, lock_accounts};
use super::recovery::recognised;
use super::values::column;
use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, Generation, ShardId, TokenSequence};
use crate::store::claims::Claimed;
use crate::store::links::{Grant, NewLink, RefreshClaim, RefreshResult, RefreshWish};
use crate::store::rows::grant;
use crate::store::values::{shard_column, word};
use crate::store::{Sealed, Written};

/// The columns of a [`Grant`], of `grants` as `g`.
macro_rules! grant_columns {
    () => {
        "g.account, g.generation, g.org, g.api_user, g.instance_url, g.login_url, g.app,
         (select home.shard from accounts home where home.account = g.account) as shard,
         g.token_sequence, g.tokens, g.issued_at, g.in_doubt, g.suspected_at"
    };
}

impl Postgres {
    /// See [`Links::grant`](crate::store::Links::grant).
    pub(super) async fn read_grant(
        &self,
        account: &AccountId,
        generation: Generation,
    ) -> Result<Option<Grant>> {
        let row = sqlx::query(concat!(
            "select ",
            grant_columns!(),
            " from grants g where account = $1 and generation = $2"
        ))
        .bind(account.as_str())
        .bind(generation.0)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(grant).transpose()
    }

    /// See [`Links::stale_grants`](crate::store::Links::stale_grants).
    pub(super) async fn read_stale_grants(
        &self,
        shards: &[ShardId],
        issued_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Grant>> {
        let rows = sqlx::query(concat!(
            "select ",
            grant_columns!(),
            " from grants g join accounts a using (account, generation)
             where a.shard = any($1) and a.health <> 'broken' and g.issued_at < $2
                and g.retired_at is null and g.claim_until is null and not g.in_doubt
             order by g.issued_at, g.account limit $3"
        ))
        .bind(column(shards, |shard| shard_column(*shard)))
        .bind(issued_before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// See [`Links::want_refresh`](crate::store::Links::want_refresh).
    pub(super) async fn age_grant(
        &self,
        account: &AccountId,
        generation: Generation,
        seen: TokenSequence,
    ) -> Result<Written> {
        let aged = sqlx::query(
            "update grants set issued_at = $4
             where account = $1 and generation = $2 and token_sequence = $3
                and claim_until is null",
        )
        .bind(account.as_str())
        .bind(generation.0)
        .bind(seen.0)
        .bind(DateTime::UNIX_EPOCH)
        .execute(&self.pool)
        .await?;
        Ok(match aged.rows_affected() {
            0 => Written::Stale,
            _ => Written::Yes,
        })
    }

    /// See [`Links::suspected_grants`](crate::store::Links::suspected_grants).
    pub(super) async fn read_suspected_grants(
        &self,
        shards: &[ShardId],
        limit: u32,
    ) -> Result<Vec<Grant>> {
        let rows = sqlx::query(concat!(
            "select ",
            grant_columns!(),
            " from grants g join accounts a using (account, generation)
             where a.shard = any($1) and a.health <> 'broken'
                and g.suspected_at is not null
                and g.retired_at is null and g.claim_until is null and not g.in_doubt
             order by g.suspected_at, g.account limit $2"
        ))
        .bind(column(shards, |shard| shard_column(*shard)))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// See [`Links::doubtful_grants`](crate::store::Links::doubtful_grants).
    pub(super) async fn read_doubtful_grants(
        &self,
        shards: &[ShardId],
        limit: u32,
    ) -> Result<Vec<Grant>> {
        let rows = sqlx::query(concat!(
            "select ",
            grant_columns!(),
            " from grants g join accounts a using (account, generation)
             where a.shard = any($1) and a.health <> 'broken'
                and a.reason is distinct from 'refresh_in_doubt' and g.retired_at is null
                and (g.in_doubt or g.claim_until <= clock_timestamp())
             order by g.account limit $2"
        ))
        .bind(column(shards, |shard| shard_column(*shard)))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// See [`Links::retired_grants`](crate::store::Links::retired_grants).
    pub(super) async fn read_retired_grants(
        &self,
        shards: &[ShardId],
        limit: u32,
    ) -> Result<Vec<Grant>> {
        let rows = sqlx::query(concat!(
            "select ",
            grant_columns!(),
            " from grants g join accounts a using (account)
             where a.shard = any($1) and g.retired_at is not null
                and not exists (select from attempts o where o.shard = a.shard
                    and o.account = g.account and o.generation = g.generation
                    and o.closed_at is null)
             order by g.retired_at, g.account limit $2"
        ))
        .bind(column(shards, |shard| shard_column(*shard)))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// See [`Links::give_up_grant`](crate::store::Links::give_up_grant).
    pub(super) async fn delete_grant(
        &self,
        account: &AccountId,
        generation: Generation,
    ) -> Result<Written> {
        let (deleted, kept): (i64, i64) = sqlx::query_as(
            "with gone as (delete from grants
                where account = $1 and generation = $2 and retired_at is not null returning 1)
             select (select count(*) from gone),
                (select count(*) from grants
                 where account = $1 and generation = $2 and retired_at is null)",
        )
        .bind(account.as_str())
        .bind(generation.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(match (deleted, kept) {
            (0, 0) => Written::Already,
            (0, _) => Written::Stale,
            _ => Written::Yes,
        })
    }

    /// See [`Links::claim_refresh`](crate::store::Links::claim_refresh).
    pub(super) async fn claim(&self, wish: &RefreshWish) -> Result<RefreshClaim> {
        let (account, fence) = (&wish.account, wish.fence);
        let mut tx = self.begin().await?;
        let held = held(&mut tx, [fence]).await?;
        recognised(&mut tx).await?;
        let locked = lock_accounts(&mut tx, &BTreeSet::from([account])).await?;
        let is_there = locked
            .get(account)
            .is_some_and(|locked| locked.shard == fence.shard);
        if held.is_empty() || !is_there {
            return Ok(RefreshClaim::Stale);
        }
        let Some(found) = lock_grant(&mut tx, account, wish.generation).await? else {
            return Ok(RefreshClaim::Stale);
        };
        if let Some(refused) = found.refused(wish) {
            return Ok(refused);
        }
        let (in_doubt, found) = (found.is_in_doubt(), found.grant);
        let send_by = self
            .open_claim(&mut tx, &found, in_doubt, wish.send_within)
            .await?;
        tx.commit().await?;
        let grant = Grant { in_doubt, ..found };
        Ok(RefreshClaim::Granted {
            grant,
            send_by,
            last_step: in_doubt,
        })
    }

    /// Notes the claim; a claim in doubt is the last step.
    async fn open_claim(
        &self,
        tx: &mut Tx,
        grant: &Grant,
        in_doubt: bool,
        send_within: Duration,
    ) -> Result<DateTime<Utc>> {
        let send_by = sqlx::query_scalar(
            "update grants set claim_send_by = now() + make_interval(secs => $3),
                claim_until = now() + make_interval(secs => $3 + $4),
                in_doubt = $5, last_step = $5
             where account = $1 and generation = $2
             returning claim_send_by",
        )
        .bind(grant.account.as_str())
        .bind(grant.generation.0)
        .bind(send_within.as_secs_f64())
        .bind(self.refresh_answer_timeout.as_secs_f64())
        .bind(in_doubt)
        .fetch_one(&mut **tx)
        .await?;
        Ok(send_by)
    }

    /// See [`Links::record_refresh`](crate::store::Links::record_refresh).
    pub(super) async fn end_claim(
        &self,
        account: &AccountId,
        generation: Generation,
        seen: TokenSequence,
        send_by: DateTime<Utc>,
        result: &RefreshResult,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        // The account's row first, as everywhere: the new address may be written there too.
        lock_accounts(&mut tx, &BTreeSet::from([account])).await?;
        let Some(found) = lock_grant(&mut tx, account, generation).await? else {
            return Ok(Written::Stale);
        };
        if let Some(over) = found.is_over(seen, result) {
            return Ok(over);
        }
        match result {
            RefreshResult::Refreshed {
                tokens,
                issued_at,
                instance_url,
            } => {
                write_tokens(&mut tx, &found.grant, tokens, *issued_at, instance_url).await?;
            }
            RefreshResult::Untouched => {
                let ended = sqlx::query(
                    "update grants set claim_send_by = null, claim_until = null, last_step = false
                     where account = $1 and generation = $2 and claim_send_by = $3",
                )
                .bind(account.as_str())
                .bind(generation.0)
                .bind(send_by)
                .execute(&mut *tx)
                .await?;
                if ended.rows_affected() == 0 {
                    return Ok(Written::Stale);
                }
            }
        }
        tx.commit().await?;
        Ok(Written::Yes)
    }
}

/// Stores new tokens, and where requests go from now on.
async fn write_tokens(
    tx: &mut Tx,
    grant: &Grant,
    tokens: &Sealed,
    issued_at: DateTime<Utc>,
    instance_url: &str,
) -> Result<()> {
    sqlx::query(
        "update grants set token_sequence = token_sequence + 1, tokens = $3, issued_at = $4,
            instance_url = $5, claim_send_by = null, claim_until = null, in_doubt = false,
            last_step = false, suspected_at = null
         where account = $1 and generation = $2",
    )
    .bind(grant.account.as_str())
    .bind(grant.generation.0)
    .bind(tokens.0.as_slice())
    .bind(issued_at)
    .bind(instance_url)
    .execute(&mut **tx)
    .await?;
    if grant.instance_url == instance_url {
        return Ok(());
    }
    sqlx::query(
        "update accounts
         set linked_org = jsonb_set(linked_org, '{instance_url}', to_jsonb($3::text))
         where account = $1 and generation = $2 and linked_org is not null",
    )
    .bind(grant.account.as_str())
    .bind(grant.generation.0)
    .bind(instance_url)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks a grant, with the state of its claim by the database's clock.
async fn lock_grant(
    tx: &mut Tx,
    account: &AccountId,
    generation: Generation,
) -> Result<Option<Claimed>> {
    let row = sqlx::query(concat!(
        "select ",
        grant_columns!(),
        ", g.claim_until, g.last_step, g.claim_until <= clock_timestamp() as expired
         from grants g where account = $1 and generation = $2 for update"
    ))
    .bind(account.as_str())
    .bind(generation.0)
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(Claimed::read).transpose()
}

/// Stores the tokens of a new generation.
pub(super) async fn insert_grant(
    tx: &mut Tx,
    link: &NewLink,
    generation: Generation,
) -> Result<()> {
    sqlx::query(
        "insert into grants (account, generation, org, api_user, instance_url, login_url,
            app, token_sequence, tokens, issued_at)
         values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9)",
    )
    .bind(link.account.as_str())
    .bind(generation.0)
    .bind(link.org.org.as_str())
    .bind(link.org.user.as_str())
    .bind(&link.org.instance_url)
    .bind(&link.login_url)
    .bind(word(link.app))
    .bind(link.tokens.0.as_slice())
    .bind(link.at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
