//! Links: their state, Link, Relink, Unlink, and the account's move to another shard.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::authorizations::{end_with_link, insert_history};
use super::fence::insert_accounts;
use super::fence::{held, tell};
use super::grants::insert_grant;
use super::outbox::insert_events;
use super::values::micros;
use super::{Result, Sqlite, Tx};
use crate::clock;
use crate::domain::ids::{AccountId, Generation, OrgId, ShardId, TokenSequence, UserId};
use crate::domain::link::{LinkState, LinkStatus};
use crate::store::links::{
    Grant, LinkChange, LinkWrite, NewLink, ProfileRead, RefreshClaim, RefreshResult, RefreshWish,
    Restated,
};
use crate::store::news::News;
use crate::store::outbox::Publish;
use crate::store::rows::link_state;
use crate::store::values::{corrupt, id, id_opt, shard_column, to_json, word};
use crate::store::wakes::Told;
use crate::store::{Fence, Links, Written};

/// The columns of a [`LinkState`].
macro_rules! select_links {
    ($condition:literal) => {
        concat!(
            "select account, shard, status, health, reason, since, generation, sequence, linked_org
             from accounts where ",
            $condition
        )
    };
}
pub(super) use select_links;

#[async_trait]
impl Links for Sqlite {
    async fn links(&self, accounts: &[AccountId]) -> Result<Vec<LinkState>> {
        let sql = select_links!("account in (select value from json_each($1))");
        let rows = sqlx::query(sql)
            .bind(to_json(accounts))
            .fetch_all(&self.readers)
            .await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            let state = link_state(row)?;
            found.insert(state.account.clone(), state);
        }
        let now = clock::now();
        let state = |account: &AccountId| {
            let known = found.get(account).cloned();
            known.unwrap_or_else(|| LinkState::unlinked(account.clone(), now))
        };
        Ok(accounts.iter().map(state).collect())
    }

    async fn accounts_of_api_user(&self, org: &OrgId, user: &UserId) -> Result<Vec<AccountId>> {
        let rows = sqlx::query(
            "select account from accounts where org = $1 and api_user = $2 order by account",
        )
        .bind(org.as_str())
        .bind(user.as_str())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| id(row, "account")).collect()
    }

    async fn links_of_shard(&self, shard: ShardId) -> Result<Vec<LinkState>> {
        let rows = sqlx::query(select_links!("shard = $1 and sequence > 0"))
            .bind(shard_column(shard))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(link_state).collect()
    }

    async fn all_links(&self, after: Option<&AccountId>, limit: u32) -> Result<Vec<LinkState>> {
        let rows = sqlx::query(select_links!("account > $1 order by account limit $2"))
            .bind(after.map_or("", AccountId::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(link_state).collect()
    }

    async fn save_link(&self, link: &NewLink, max_accounts: u32) -> Result<LinkWrite> {
        let mut tx = self.begin().await?;
        let before = account(&mut tx, &link.account).await?;
        if before.sequence != link.expected {
            return Ok(LinkWrite::Changed(before));
        }
        let accounts = others_of_api_user(&mut tx, link).await?;
        if accounts.len() >= max_accounts as usize {
            suspect_grants(&mut tx, link, &accounts).await?;
            tx.commit().await?;
            return Ok(LinkWrite::ApiUserFull { accounts });
        }
        if let Some(id) = &link.authorization
            && !end_with_link(&mut tx, id).await?
        {
            return Ok(LinkWrite::Changed(before));
        }
        let after = link.after(&before);
        retire_grants(&mut tx, &link.account, link.at).await?;
        insert_grant(&mut tx, link, after.generation).await?;
        sqlx::query("update accounts set profile_read_at = null where account = $1")
            .bind(link.account.as_str())
            .execute(&mut *tx.inner)
            .await?;
        write_link(&mut tx, &before, &after, Some(News::of_link(link))).await?;
        tx.commit().await?;
        Ok(LinkWrite::Stored(after))
    }

    async fn change_link(&self, change: &LinkChange) -> Result<LinkWrite> {
        let mut tx = self.begin().await?;
        let Some(before) = account_for(&mut tx, change.fence, &change.account).await? else {
            return Ok(LinkWrite::Stale);
        };
        if before.sequence != change.expected || before.generation != change.generation {
            return Ok(LinkWrite::Changed(before));
        }
        let after = change.after(&before);
        if change.status == LinkStatus::Unlinked {
            retire_grants(&mut tx, &change.account, change.at).await?;
            sqlx::query("update accounts set left_org = org where account = $1")
                .bind(change.account.as_str())
                .execute(&mut *tx.inner)
                .await?;
        }
        let news = Some(News::of_change(change));
        write_link(&mut tx, &before, &after, news).await?;
        tx.commit().await?;
        Ok(LinkWrite::Stored(after))
    }

    async fn stale_profiles(
        &self,
        shards: &[ShardId],
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<LinkState>> {
        self.read_stale_profiles(shards, before, limit).await
    }

    async fn record_profile(&self, read: &ProfileRead) -> Result<LinkWrite> {
        self.write_profile(read).await
    }

    async fn restate_links(&self, fence: Fence, links: &[Restated]) -> Result<Written> {
        self.write_restated(fence, links).await
    }

    async fn left_org(&self, account: &AccountId) -> Result<Option<OrgId>> {
        let row = sqlx::query("select left_org from accounts where account = $1")
            .bind(account.as_str())
            .fetch_optional(&self.readers)
            .await?;
        let left = row.map(|row| id_opt(&row, "left_org")).transpose()?;
        Ok(left.flatten())
    }

    async fn parked_calls(&self, account: &AccountId) -> Result<u64> {
        let parked: i64 = sqlx::query_scalar(
            "select count(*) from calls indexed by calls_parked
             where account = $1 and parked_reason is not null",
        )
        .bind(account.as_str())
        .fetch_one(&self.readers)
        .await?;
        u64::try_from(parked).map_err(|_| corrupt("count"))
    }

    async fn grant(&self, account: &AccountId, generation: Generation) -> Result<Option<Grant>> {
        self.read_grant(account, generation).await
    }

    async fn stale_grants(
        &self,
        shards: &[ShardId],
        issued_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Grant>> {
        self.read_stale_grants(shards, issued_before, limit).await
    }

    async fn suspected_grants(&self, shards: &[ShardId], limit: u32) -> Result<Vec<Grant>> {
        self.read_suspected_grants(shards, limit).await
    }

    async fn doubtful_grants(&self, shards: &[ShardId], limit: u32) -> Result<Vec<Grant>> {
        self.read_doubtful_grants(shards, limit).await
    }

    async fn want_refresh(
        &self,
        account: &AccountId,
        generation: Generation,
        seen: TokenSequence,
    ) -> Result<Written> {
        self.age_grant(account, generation, seen).await
    }

    async fn claim_refresh(&self, wish: &RefreshWish) -> Result<RefreshClaim> {
        self.claim(wish).await
    }

    async fn record_refresh(
        &self,
        account: &AccountId,
        generation: Generation,
        seen: TokenSequence,
        send_by: DateTime<Utc>,
        result: &RefreshResult,
    ) -> Result<Written> {
        self.end_claim(account, generation, seen, send_by, result)
            .await
    }

    async fn retired_grants(&self, shards: &[ShardId], limit: u32) -> Result<Vec<Grant>> {
        self.read_retired_grants(shards, limit).await
    }

    async fn give_up_grant(&self, account: &AccountId, generation: Generation) -> Result<Written> {
        self.delete_grant(account, generation).await
    }
}

/// An account's link for one who holds this lease; `None`: the lease is gone, or the account lies
/// in another shard. A person holds none, and needs none.
pub(super) async fn account_for(
    tx: &mut Tx,
    fence: Option<Fence>,
    id: &AccountId,
) -> Result<Option<LinkState>> {
    let held = held(tx, fence).await?;
    let state = account(tx, id).await?;
    let is_there = |fence: Fence| held.contains(&fence) && fence.shard == state.shard;
    Ok(fence.is_none_or(is_there).then_some(state))
}

/// An account's link as it stays until the transaction writes it; the row is made if need be.
pub(super) async fn account(tx: &mut Tx, account: &AccountId) -> Result<LinkState> {
    insert_accounts(tx, std::iter::once(account)).await?;
    let row = sqlx::query(select_links!("account = $1"))
        .bind(account.as_str())
        .fetch_one(&mut *tx.inner)
        .await?;
    link_state(&row)
}

/// The other accounts that the API user serves.
async fn others_of_api_user(tx: &mut Tx, link: &NewLink) -> Result<Vec<AccountId>> {
    let rows = sqlx::query(
        "select account from accounts
         where org = $1 and api_user = $2 and account <> $3 order by account",
    )
    .bind(link.org.org.as_str())
    .bind(link.org.user.as_str())
    .bind(link.account.as_str())
    .fetch_all(&mut *tx.inner)
    .await?;
    rows.iter().map(|row| id(row, "account")).collect()
}

/// Suspects the tokens of the accounts that an API user serves: a further approval, by the same
/// app, was refused. Wakes their owners.
async fn suspect_grants(tx: &mut Tx, refused: &NewLink, accounts: &[AccountId]) -> Result<()> {
    sqlx::query(
        "update grants set suspected_at = $5
         where org = $1 and api_user = $2 and app = $3 and account <> $4 and retired_at is null",
    )
    .bind(refused.org.org.as_str())
    .bind(refused.org.user.as_str())
    .bind(word(refused.app))
    .bind(refused.account.as_str())
    .bind(micros(refused.at))
    .execute(&mut *tx.inner)
    .await?;
    let accounts: Vec<&AccountId> = accounts.iter().collect();
    let told = Told {
        accounts: &accounts,
        ..Told::default()
    };
    tell(tx, told).await
}

/// Ends the account's current grant; see `Links::retired_grants` for what becomes of it.
async fn retire_grants(tx: &mut Tx, account: &AccountId, at: DateTime<Utc>) -> Result<()> {
    sqlx::query("update grants set retired_at = $2 where account = $1 and retired_at is null")
        .bind(account.as_str())
        .bind(micros(at))
        .execute(&mut *tx.inner)
        .await?;
    Ok(())
}

/// Writes the link with its event, moves the account's work if its shard changes, and wakes its
/// owner there.
pub(super) async fn write_link(
    tx: &mut Tx,
    before: &LinkState,
    after: &LinkState,
    news: Option<News<'_>>,
) -> Result<()> {
    sqlx::query(
        "update accounts set shard = $2, status = $3, health = $4, reason = $5, since = $6,
            generation = $7, sequence = $8, linked_org = $9
         where account = $1",
    )
    .bind(after.account.as_str())
    .bind(shard_column(after.shard))
    .bind(word(after.status))
    .bind(word(after.health))
    .bind(after.reason.map(word))
    .bind(micros(after.since))
    .bind(after.generation.0)
    .bind(after.sequence.0)
    .bind(after.org.as_ref().map(to_json))
    .execute(&mut *tx.inner)
    .await?;
    super::notices::watch_link(tx, before, after).await?;
    let mut woken = BTreeSet::new();
    if before.shard != after.shard {
        move_work(tx, &after.account, before.shard, after.shard).await?;
        woken.insert(after.shard);
    }
    // After the move, so that the events which were there first keep their place before it.
    if let Some(News { actor, at, event }) = news {
        insert_history(tx, before, after, actor, at).await?;
        let event = Publish::of_link(event, &after.account, after.shard);
        insert_events(tx, &[event]).await?;
    }
    let told = Told {
        shards: &woken,
        accounts: &[&after.account],
        ..Told::default()
    };
    tell(tx, told).await
}

/// Moves all of an account's work that is not over: by the partial indexes (named where SQLite,
/// which keeps no statistics, would choose otherwise), so that the calls which are over are not even
/// read. Those take the account's shard when they are revived.
async fn move_work(tx: &mut Tx, account: &AccountId, from: ShardId, to: ShardId) -> Result<()> {
    const CALLS: &str = "update calls set shard = $3 where rowid in (
            select rowid from calls where shard = $2 and account = $1 and task_due_at is not null
            union select rowid from calls
                where shard = $2 and account = $1 and lookup_due_at is not null
            union select rowid from calls indexed by calls_parked
                where account = $1 and parked_reason is not null
            union select rowid from calls indexed by calls_ringing
                where account = $1 and ended_event is null
            union select c.rowid from attempts a cross join calls c using (account, interaction)
                where a.shard = $2 and a.account = $1 and a.closed_at is null)";
    const ATTEMPTS: &str =
        "update attempts set shard = $3 where shard = $2 and account = $1 and closed_at is null";
    const EVENTS: &str =
        "update outbox set shard = $3 where shard = $2 and account = $1 and published_at is null";
    for sql in [CALLS, ATTEMPTS, EVENTS] {
        sqlx::query(sql)
            .bind(account.as_str())
            .bind(shard_column(from))
            .bind(shard_column(to))
            .execute(&mut *tx.inner)
            .await?;
    }
    Ok(())
}
