//! The ledger, page by page, and what does not go on by itself.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::{Postgres, Result};
use crate::domain::ids::AccountId;
use crate::store::Audit;
use crate::store::audit::{LedgerPage, LedgerRow, StuckCount};
use crate::store::rows::{account_count, ledger_row, stuck_count};

/// The columns of a [`LedgerRow`]; the events of a call are read by its own index.
const LEDGER: &str = "select c.account, c.interaction, c.state, c.received_at, c.never_ended_at,
        case when not c.looked_up and c.started_event is not null then c.lookup_deadline end
            as unanswered_since,
        c.ended_at, c.revision, c.task_due_at, c.outcome::text, c.task, c.terminal_at,
        c.attempt is not null as sends,
        case when a.closed_at is null then a.send_by end as send_by,
        exists (select 1 from attempts s
            where s.account = c.account and s.interaction = c.interaction
                and s.closed_at is null and s.attempt is distinct from c.attempt) as has_stray_attempt,
        coalesce(l.health = 'broken', false) as link_broken,
        case when c.terminal_at >= ";

/// Where they come from.
const FROM: &str = " then coalesce((select string_agg(o.id, ' ') from outbox o
            where o.account = c.account and o.interaction = c.interaction), '') end as told
    from calls c
        left join attempts a on a.attempt = c.attempt
        left join accounts l on l.account = c.account
    where c.received_at >= ";

#[async_trait]
impl Audit for Postgres {
    async fn ledger(&self, page: &LedgerPage) -> Result<Vec<LedgerRow>> {
        let mut query: QueryBuilder<sqlx::Postgres> = QueryBuilder::new(LEDGER);
        query.push_bind(page.told_since).push(FROM);
        let from = page.after.as_ref().map_or(page.since, |(at, _)| *at);
        query.push_bind(from.max(page.since));
        query.push(" and c.received_at < ").push_bind(page.until);
        if let Some(account) = &page.account {
            query.push(" and c.account = ").push_bind(account.as_str());
        }
        if let Some((at, call)) = &page.after {
            query
                .push(" and (c.received_at, c.account, c.interaction) > (")
                .push_bind(at)
                .push(", ")
                .push_bind(call.account.as_str())
                .push(", ")
                .push_bind(call.interaction.as_str())
                .push(")");
        }
        query.push(" order by c.received_at, c.account, c.interaction limit ");
        query.push_bind(i64::from(page.limit));
        let rows = query.build().fetch_all(&self.pool).await?;
        rows.iter().map(ledger_row).collect()
    }

    async fn close_unended(
        &self,
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<(AccountId, u64)>> {
        // Those that somebody folds an event into are left for the next time.
        let rows = sqlx::query(
            "with old as (
                select account, interaction from calls
                where ended_event is null and never_ended_at is null and received_at < $1
                order by account, received_at limit $2 for update skip locked),
             closed as (
                update calls set never_ended_at = now() from old
                where calls.account = old.account and calls.interaction = old.interaction
                returning calls.account)
             select account, count(*) as calls from closed group by account order by account",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(account_count).collect()
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
        .bind(stuck_before)
        .bind(parked_before)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stuck_count).collect()
    }
}
