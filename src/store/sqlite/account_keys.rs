//! The data keys of accounts. An account's row names its key, as on PostgreSQL.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::fence::insert_accounts;
use super::values::{Joined, batch};
use super::{Result, Sqlite};
use crate::domain::ids::{AccountId, KeyId};
use crate::store::AccountKeys;
use crate::store::account_keys::{AccountKey, KeyEnd, account_key};
use crate::store::values::to_json;

#[async_trait]
impl AccountKeys for Sqlite {
    async fn current_keys(&self, accounts: &BTreeSet<AccountId>) -> Result<Vec<AccountKey>> {
        let rows = sqlx::query(
            "select k.account, k.id, k.sealed from json_each($1) as asked
             cross join account_keys k on k.account = asked.value
             join accounts a on a.account = k.account and a.data_key = k.id",
        )
        .bind(to_json(accounts))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(account_key).collect()
    }

    async fn keep_keys(&self, made: &[AccountKey]) -> Result<Vec<AccountKey>> {
        let mut tx = self.begin().await?;
        insert_accounts(&mut tx, made.iter().map(|key| &key.account)).await?;
        let mut joined = Joined::new();
        let keys = batch(made, |key| {
            let (place, length) = joined.push(&key.sealed);
            (&key.account, &key.id, place, length)
        });
        sqlx::query(
            "insert into account_keys (account, id, sealed, created_at)
             select value ->> 0, value ->> 1, substr($2, value ->> 2, value ->> 3), $3
             from json_each($1) where true on conflict (account) do nothing",
        )
        .bind(keys)
        .bind(joined.bytes())
        .bind(tx.micros())
        .execute(&mut *tx.inner)
        .await?;
        let names = batch(made, |key| &key.account);
        sqlx::query(
            "update accounts set data_key = k.id from account_keys k
             where k.account = accounts.account and accounts.data_key is not k.id
                and accounts.account in (select value from json_each($1))",
        )
        .bind(&names)
        .execute(&mut *tx.inner)
        .await?;
        let rows = sqlx::query(
            "select account, id, sealed from account_keys
             where account in (select value from json_each($1))",
        )
        .bind(&names)
        .fetch_all(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        rows.iter().map(account_key).collect()
    }

    async fn keys_by_id(&self, ids: &BTreeSet<KeyId>) -> Result<Vec<AccountKey>> {
        let rows = sqlx::query(
            "select account, id, sealed from account_keys
             where id in (select value from json_each($1))",
        )
        .bind(to_json(ids))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(account_key).collect()
    }

    async fn destroy_key(&self, account: &AccountId) -> Result<KeyEnd> {
        let mut tx = self.begin().await?;
        let status: Option<String> =
            sqlx::query_scalar("select status from accounts where account = $1")
                .bind(account.as_str())
                .fetch_optional(&mut *tx.inner)
                .await?;
        if status.is_some_and(|status| status != "unlinked") {
            return Ok(KeyEnd::Linked);
        }
        let used: bool = sqlx::query_scalar(
            "select exists (select 1 from call_bodies where account = $1)
                or exists (select 1 from outbox where account = $1 and interaction is not null
                    and published_at is null)",
        )
        .bind(account.as_str())
        .fetch_one(&mut *tx.inner)
        .await?;
        if used {
            return Ok(KeyEnd::InUse);
        }
        // The key's bytes are written over, not only left where nothing points to.
        sqlx::query("update account_keys set sealed = zeroblob(length(sealed)) where account = $1")
            .bind(account.as_str())
            .execute(&mut *tx.inner)
            .await?;
        for sql in [
            "delete from account_keys where account = $1",
            "update accounts set data_key = null where account = $1",
        ] {
            let query = sqlx::query(sql).bind(account.as_str());
            query.execute(&mut *tx.inner).await?;
        }
        tx.commit().await?;
        // What the log still holds of the key goes with the log, unless somebody reads it now.
        sqlx::query("pragma wal_checkpoint(truncate)")
            .execute(&self.writer)
            .await?;
        Ok(KeyEnd::Destroyed)
    }

    async fn lacks_all_keys(&self) -> Result<bool> {
        let lacks = sqlx::query_scalar(
            "select exists (select 1 from accounts where data_key is not null)
                and not exists (select 1 from account_keys)",
        );
        Ok(lacks.fetch_one(&self.readers).await?)
    }
}
