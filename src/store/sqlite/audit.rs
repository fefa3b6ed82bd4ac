//! The ledger, page by page, and what does not go on by itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::values::micros;
use super::{Result, Sqlite};
use crate::domain::ids::AccountId;
use crate::store::Audit;
use crate::store::audit::{LedgerPage, LedgerRow, StuckCount};
use crate::store::rows::{ledger_row, stuck_count};
use crate::store::values::id;

/// The columns of a [`LedgerRow`]; the events of a call are read by its own index.
const LEDGER: &str = "select c.account, c.interaction, c.state, c.received_at, c.never_ended_at,
        case when not c.looked_up and c.started_event is not null then c.lookup_deadline end
            as unanswered_since,
        c.ended_at, c.revision, c.task_due_at, c.outcome, c.task, c.terminal_at,
        c.attempt is not null as sends,
        case when a.closed_at is null then a.send_by end as send_by,
        exists (select 1 from attempts s
            where s.account = c.account and s.interaction = c.interaction
                and s.closed_at is null and s.attempt is not c.attempt) as has_stray_attempt,
        coalesce(l.health = 'broken', 0) as link_broken,
        case when c.terminal_at >= ";

/// Where they come from.
const FROM: &str = " then coalesce((select group_concat(o.id, ' ') from outbox o
            where o.account = c.account and o.interaction = c.interaction), '') end as told
    from calls c
        left join attempts a on a.attempt = c.attempt
        left join accounts l on l.account = c.account
    where c.received_at >= ";

#[async_trait]
impl Audit for Sqlite {
    async fn ledger(&self, page: &LedgerPage) -> Result<Vec<LedgerRow>> {
        let mut query: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new(LEDGER);
        query.push_bind(micros(page.told_since)).push(FROM);
        let from = page.after.as_ref().map_or(page.since, |(at, _)| *at);
        query.push_bind(micros(from.max(page.since)));
        query
            .push(" and c.received_at < ")
            .push_bind(micros(page.until));
        if let Some(account) = &page.account {
            query.push(" and c.account = ").push_bind(account.as_str());
        }
        if let Some((at, call)) = &page.after {
            query
                .push(" and (c.received_at, c.account, c.interaction) > (")
                .push_bind(micros(*at))
                .push(", ")
                .push_bind(call.account.as_str())
                .push(", ")
                .push_bind(call.interaction.as_str())
                .push(")");
        }
        query.push(" order by c.received_at, c.account, c.interaction limit ");
        query.push_bind(i64::from(page.limit));
        let rows = query.build().fetch_all(&self.readers).await?;
        rows.iter().map(ledger_row).collect()
    }

    async fn close_unended(
        &self,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<(AccountId, u64)>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "update calls set never_ended_at = $3
             where rowid in (select rowid from calls
                where ended_event is null and never_ended_at is null and received_at < $1
                order by account, received_at limit $2)
             returning account",
        )
        .bind(micros(before))
        .bind(i64::from(limit))
        .bind(tx.micros())
        .fetch_all(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            *counts.entry(id(row, "account")?).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn stuck(
        &self,
        stuck_before: DateTime<Utc>,
        parked_before: DateTime<Utc>,
    ) -> Result<Vec<StuckCount>> {
        let rows = sqlx::query(
            "select 'overdue' as reason, count(*) as calls from calls where task_due_at < $1
             union all select 'unresolved', count(*)
             from attempts a join accounts l using (account)
             where a.closed_at is null and a.send_by < $1 and l.health <> 'broken'
             union all select 'expiring', count(*) from calls
             where parked_reason in ('link_broken', 'org_refuses', 'quota') and received_at < $2",
        )
        .bind(micros(stuck_before))
        .bind(micros(parked_before))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(stuck_count).collect()
    }
}
