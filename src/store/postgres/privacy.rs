//! Erasing.

use async_trait::async_trait;

use super::values::{column, key_columns};
use super::{Postgres, Result};
use crate::domain::ids::{AccountId, CallId, InteractionId};
use crate::store::inbox::Partition;
use crate::store::privacy::{Erasable, ErasureNote, erasable, erasure_note};
use crate::store::values::{call_id, word};
use crate::store::{Privacy, Written};

#[async_trait]
impl Privacy for Postgres {
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
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(call_id).collect()
    }

    async fn erasable(&self, calls: &[CallId]) -> Result<Vec<Erasable>> {
        let (accounts, interactions) = key_columns(calls);
        let rows = sqlx::query(
            "select account, interaction, state, task
             from unnest($1::text[], $2::text[]) as asked (account, interaction)
             join calls using (account, interaction)",
        )
        .bind(accounts)
        .bind(interactions)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(erasable).collect()
    }

    async fn erase_calls(&self, calls: &[CallId]) -> Result<Vec<Erasable>> {
        let (accounts, interactions) = key_columns(calls);
        let mut tx = self.begin().await?;
        // Locked, so that none is revived meanwhile by a later revision.
        let rows = sqlx::query(
            "select account, interaction, state, task
             from unnest($1::text[], $2::text[]) as asked (account, interaction)
             join calls using (account, interaction)
             order by account, interaction for no key update of calls",
        )
        .bind(accounts)
        .bind(interactions)
        .fetch_all(&mut *tx)
        .await?;
        let found: Vec<Erasable> = rows.iter().map(erasable).collect::<Result<_>>()?;
        let over = found.iter().filter(|found| found.may_go());
        let (accounts, interactions) = key_columns(over.map(|found| &found.call));
        sqlx::query(
            "delete from call_bodies b
             using unnest($1::text[], $2::text[]) as asked (account, interaction)
             join calls c using (account, interaction)
             where b.call_day = c.call_day and b.account = c.account
                and b.interaction = c.interaction",
        )
        .bind(accounts)
        .bind(interactions)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(found)
    }

    async fn erase_records(&self, records: &[(Partition, i64)]) -> Result<u64> {
        let erased = sqlx::query(
            "delete from quarantine
             using unnest($1::text[], $2::integer[], $3::bigint[])
                as asked (topic, partition, kafka_offset)
             where quarantine.topic = asked.topic and quarantine.partition = asked.partition
                and quarantine.kafka_offset = asked.kafka_offset",
        )
        .bind(column(records, |(p, _)| p.topic.as_str()))
        .bind(column(records, |(p, _)| p.partition))
        .bind(column(records, |(_, offset)| *offset))
        .execute(&self.pool)
        .await?;
        Ok(erased.rows_affected())
    }

    async fn erase_history(&self, account: &AccountId) -> Result<Written> {
        let mut tx = self.begin().await?;
        let status: Option<String> =
            sqlx::query_scalar("select status from accounts where account = $1 for update")
                .bind(account.as_str())
                .fetch_optional(&mut *tx)
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
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn note_erasure(&self, note: &ErasureNote) -> Result<()> {
        let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        sqlx::query(
            "insert into erasures (at, by_whom, subject, account, calls, kept, records)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(note.at)
        .bind(&note.by)
        .bind(word(note.subject))
        .bind(note.account.as_ref().map(AccountId::as_str))
        .bind(number(note.calls))
        .bind(number(note.kept))
        .bind(number(note.records))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn erasures(&self, limit: u32) -> Result<Vec<ErasureNote>> {
        let rows = sqlx::query(
            "select at, by_whom, subject, account, calls, kept, records from erasures
             order by erasure desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(erasure_note).collect()
    }
}
