//! Erasing.

use async_trait::async_trait;

use super::values::{batch, keys, micros};
use super::{Result, Sqlite};
use crate::domain::ids::{AccountId, CallId, InteractionId};
use crate::store::inbox::Partition;
use crate::store::privacy::{Erasable, ErasureNote, erasable, erasure_note};
use crate::store::values::{call_id, word};
use crate::store::{Privacy, Written};

/// How calls stand.
const ERASABLE: &str = "select c.account, c.interaction, state, task from json_each($1) as asked
     cross join calls c on c.account = asked.value ->> 0 and c.interaction = asked.value ->> 1";

#[async_trait]
impl Privacy for Sqlite {
    async fn calls_of(
        &self,
        account: &AccountId,
        after: Option<&InteractionId>,
        limit: u32,
    ) -> Result<Vec<CallId>> {
        let rows = sqlx::query(
            "select account, interaction from calls
             where account = $1 and interaction > $2 order by interaction limit $3",
        )
        .bind(account.as_str())
        .bind(after.map_or("", InteractionId::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(call_id).collect()
    }

    async fn erasable(&self, calls: &[CallId]) -> Result<Vec<Erasable>> {
        let query = sqlx::query(ERASABLE).bind(keys(calls));
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(erasable).collect()
    }

    async fn erase_calls(&self, calls: &[CallId]) -> Result<Vec<Erasable>> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(ERASABLE).bind(keys(calls));
        let rows = query.fetch_all(&mut *tx.inner).await?;
        let found: Vec<Erasable> = rows.iter().map(erasable).collect::<Result<_>>()?;
        let over = found.iter().filter(|found| found.may_go());
        sqlx::query(
            "delete from call_bodies where (account, interaction) in
                (select value ->> 0, value ->> 1 from json_each($1))",
        )
        .bind(keys(over.map(|found| &found.call)))
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        Ok(found)
    }

    async fn erase_records(&self, records: &[(Partition, i64)]) -> Result<u64> {
        let mut tx = self.begin().await?;
        let erased = sqlx::query(
            "delete from quarantine where (topic, partition, kafka_offset) in
                (select value ->> 0, value ->> 1, value ->> 2 from json_each($1))",
        )
        .bind(batch(records, |(partition, offset)| {
            (&partition.topic, partition.partition, offset)
        }))
        .execute(&mut *tx.inner)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(erased)
    }

    async fn erase_history(&self, account: &AccountId) -> Result<Written> {
        let mut tx = self.begin().await?;
        let status: Option<String> =
            sqlx::query_scalar("select status from accounts where account = $1")
                .bind(account.as_str())
                .fetch_optional(&mut *tx.inner)
                .await?;
        if status.is_some_and(|status| status != "unlinked") {
            return Ok(Written::Stale);
        }
        for sql in [
            "delete from link_history where account = $1",
            "delete from authorizations where account = $1",
            "delete from invitations where account = $1",
            "delete from contacts where account = $1",
            "delete from contact_history where account = $1",
            "delete from notices where account = $1",
            "delete from link_watch where account = $1",
        ] {
            let query = sqlx::query(sql).bind(account.as_str());
            query.execute(&mut *tx.inner).await?;
        }
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn note_erasure(&self, note: &ErasureNote) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "insert into erasures (at, by_whom, subject, account, calls, kept, records)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(micros(note.at))
        .bind(&note.by)
        .bind(word(note.subject))
        .bind(note.account.as_ref().map(AccountId::as_str))
        .bind(note.calls)
        .bind(note.kept)
        .bind(note.records)
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<ErasureNote>> {
        let rows = sqlx::query(
            "select at, by_whom, subject, account, calls, kept, records from erasures
             order by erasure desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(erasure_note).collect()
    }
}
