//! Grants: tokens of one generation, and the journal of their refresh (rule 11).

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};

use super::fence::{accounts, held};
use super::values::micros;
use super::{Result, Sqlite, Tx};
use crate::clock;
use crate::domain::ids::{AccountId, Generation, ShardId, TokenSequence};
use crate::store::claims::Claimed;
use crate::store::links::{Grant, NewLink, RefreshClaim, RefreshResult, RefreshWish};
use crate::store::rows::grant;
use crate::store::values::{to_json, word};
use crate::store::{Sealed, Written};

/// The columns of a [`Grant`], of `grants` as `g`.
macro_rules! grant_columns {
    () => {
        "g.account, g.generation, g.org, g.api_user, g.instance_url, g.login_url, g.app,
         (select home.shard from accounts home where home.account = g.account) as shard,
         g.token_sequence, g.tokens, g.issued_at, g.in_doubt, g.suspected_at"
    };
}

impl Sqlite {
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
        .fetch_optional(&self.readers)
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
             where a.shard in (select value from json_each($1)) and a.health <> 'broken'
                and g.issued_at < $2
                and g.retired_at is null and g.claim_until is null and not g.in_doubt
             order by g.issued_at, g.account limit $3"
        ))
        .bind(to_json(shards))
        .bind(micros(issued_before))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
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
        let mut tx = self.begin().await?;
        let aged = sqlx::query(
            "update grants set issued_at = $4
             where account = $1 and generation = $2 and token_sequence = $3
                and claim_until is null",
        )
        .bind(account.as_str())
        .bind(generation.0)
        .bind(seen.0)
        .bind(micros(DateTime::UNIX_EPOCH))
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await?;
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
             where a.shard in (select value from json_each($1)) and a.health <> 'broken'
                and g.suspected_at is not null
                and g.retired_at is null and g.claim_until is null and not g.in_doubt
             order by g.suspected_at, g.account limit $2"
        ))
        .bind(to_json(shards))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
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
             where a.shard in (select value from json_each($1)) and a.health <> 'broken'
                and a.reason is not 'refresh_in_doubt' and g.retired_at is null
                and (g.in_doubt or g.claim_until <= $3)
             order by g.account limit $2"
        ))
        .bind(to_json(shards))
        .bind(i64::from(limit))
        .bind(micros(clock::now()))
        .fetch_all(&self.readers)
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
             where a.shard in (select value from json_each($1)) and g.retired_at is not null
                and not exists (select 1 from attempts o where o.shard = a.shard
                    and o.account = g.account and o.generation = g.generation
                    and o.closed_at is null)
             order by g.retired_at, g.account limit $2"
        ))
        .bind(to_json(shards))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// See [`Links::give_up_grant`](crate::store::Links::give_up_grant).
    pub(super) async fn delete_grant(
        &self,
        account: &AccountId,
        generation: Generation,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        let retired: Option<bool> = sqlx::query_scalar(
            "select retired_at is not null from grants where account = $1 and generation = $2",
        )
        .bind(account.as_str())
        .bind(generation.0)
        .fetch_optional(&mut *tx.inner)
        .await?;
        match retired {
            None => return Ok(Written::Already),
            Some(false) => return Ok(Written::Stale),
            Some(true) => {}
        }
        sqlx::query("delete from grants where account = $1 and generation = $2")
            .bind(account.as_str())
            .bind(generation.0)
            .execute(&mut *tx.inner)
            .await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }

    /// See [`Links::claim_refresh`](crate::store::Links::claim_refresh).
    pub(super) async fn claim(&self, wish: &RefreshWish) -> Result<RefreshClaim> {
        let (account, fence) = (&wish.account, wish.fence);
        let mut tx = self.begin().await?;
        let held = held(&mut tx, [fence]).await?;
        self.recognised(&mut tx).await?;
        let found = accounts(&mut tx, &BTreeSet::from([account])).await?;
        let is_there = found
            .get(account)
            .is_some_and(|found| found.shard == fence.shard);
        if held.is_empty() || !is_there {
            return Ok(RefreshClaim::Stale);
        }
        let Some(found) = claimed(&mut tx, account, wish.generation).await? else {
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
        let send_by = (tx.now + send_within).trunc_subsecs(6);
        sqlx::query(
            "update grants set claim_send_by = $3, claim_until = $4, in_doubt = $5, last_step = $5
             where account = $1 and generation = $2",
        )
        .bind(grant.account.as_str())
        .bind(grant.generation.0)
        .bind(micros(send_by))
        .bind(micros(send_by + self.refresh_answer_timeout))
        .bind(in_doubt)
        .execute(&mut *tx.inner)
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
        let Some(found) = claimed(&mut tx, account, generation).await? else {
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
                .bind(micros(send_by))
                .execute(&mut *tx.inner)
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
    .bind(micros(issued_at))
    .bind(instance_url)
    .execute(&mut *tx.inner)
    .await?;
    if grant.instance_url == instance_url {
        return Ok(());
    }
    sqlx::query(
        "update accounts set linked_org = json_set(linked_org, '$.instance_url', $3)
         where account = $1 and generation = $2 and linked_org is not null",
    )
    .bind(grant.account.as_str())
    .bind(grant.generation.0)
    .bind(instance_url)
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// A grant, with the state of its claim.
async fn claimed(
    tx: &mut Tx,
    account: &AccountId,
    generation: Generation,
) -> Result<Option<Claimed>> {
    let row = sqlx::query(concat!(
        "select ",
        grant_columns!(),
        ", g.claim_until, g.last_step, g.claim_until <= $3 as expired
         from grants g where account = $1 and generation = $2"
    ))
    .bind(account.as_str())
    .bind(generation.0)
    .bind(tx.micros())
    .fetch_optional(&mut *tx.inner)
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
    .bind(micros(link.at))
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}
