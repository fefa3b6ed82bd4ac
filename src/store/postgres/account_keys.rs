//! The data keys of accounts.
//!
//! An account's row names its key, so that whoever locks the row, as every write of a value does,
//! reads the name as it stays to the transaction's end. The keys themselves lie in a table of their
//! own, which a backup can leave out.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::fence::insert_accounts;
use super::values::{column, get};
use super::{Postgres, Result};
use crate::domain::ids::{AccountId, KeyId};
use crate::store::AccountKeys;
use crate::store::account_keys::{AccountKey, KeyEnd, account_key};

#[async_trait]
impl AccountKeys for Postgres {
    async fn current_keys(&self, accounts: &BTreeSet<AccountId>) -> Result<Vec<AccountKey>> {
        let names: Vec<&str> = accounts.iter().map(AccountId::as_str).collect();
        let rows = sqlx::query(
            "select k.account, k.id, k.sealed from account_keys k
             join accounts a on a.account = k.account and a.data_key = k.id
             where k.account = any($1)",
        )
        .bind(names)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(account_key).collect()
    }

    async fn keep_keys(&self, made: &[AccountKey]) -> Result<Vec<AccountKey>> {
        let sorted: BTreeSet<&AccountId> = made.iter().map(|key| &key.account).collect();
        let names: Vec<&str> = sorted.iter().map(|account| account.as_str()).collect();
        let mut tx = self.begin().await?;
        insert_accounts(&mut tx, sorted.iter().copied()).await?;
        // One maker at a time; whoever appends under the key that is there goes on.
        sqlx::query(
            "select from accounts where account = any($1) order by account for no key update",
        )
        .bind(&names)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into account_keys (account, id, sealed)
             select * from unnest($1::text[], $2::text[], $3::bytea[])
             on conflict (account) do nothing",
        )
        .bind(column(made, |key| key.account.as_str()))
        .bind(column(made, |key| key.id.as_str()))
        .bind(column(made, |key| key.sealed.0.as_slice()))
        .execute(&mut *tx)
        .await?;
        let rows = sqlx::query(
            "with named as (
                update accounts set data_key = k.id from account_keys k
                where k.account = accounts.account and accounts.account = any($1)
                    and accounts.data_key is distinct from k.id)
             select account, id, sealed from account_keys where account = any($1)",
        )
        .bind(&names)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(account_key).collect()
    }

    async fn keys_by_id(&self, ids: &BTreeSet<KeyId>) -> Result<Vec<AccountKey>> {
        let ids: Vec<&str> = ids.iter().map(KeyId::as_str).collect();
        let rows = sqlx::query("select account, id, sealed from account_keys where id = any($1)")
            .bind(ids)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(account_key).collect()
    }

    async fn destroy_key(&self, account: &AccountId) -> Result<KeyEnd> {
        let mut tx = self.begin().await?;
        let status: Option<String> =
            sqlx::query_scalar("select status from accounts where account = $1 for update")
                .bind(account.as_str())
                .fetch_optional(&mut *tx)
                .await?;
        if status.is_some_and(|status| status != "unlinked") {
            return Ok(KeyEnd::Linked);
        }
        let used = sqlx::query(
            "select exists (select from calls c join call_bodies b
                    on b.call_day = c.call_day and b.account = c.account
                        and b.interaction = c.interaction
                    where c.account = $1)
                or exists (select from outbox where account = $1 and interaction is not null
                    and published_at is null) as used",
        )
        .bind(account.as_str())
        .fetch_one(&mut *tx)
        .await?;
        if get(&used, "used")? {
            return Ok(KeyEnd::InUse);
        }
        for sql in [
            "delete from account_keys where account = $1",
            "update accounts set data_key = null where account = $1",
        ] {
            let query = sqlx::query(sql).bind(account.as_str());
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(KeyEnd::Destroyed)
    }

    async fn lacks_all_keys(&self) -> Result<bool> {
        let lacks = sqlx::query_scalar(
            "select exists (select from accounts where data_key is not null)
                and not exists (select from account_keys)",
        );
        Ok(lacks.fetch_one(&self.pool).await?)
    }
}
