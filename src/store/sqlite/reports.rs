//! What people ask.

use async_trait::async_trait;
use sqlx::{QueryBuilder, SqliteConnection};

use super::inbox::STORED_CALLS;
use super::values::{keys, micros};
use super::{Result, Sqlite};
use crate::domain::ids::CallId;
use crate::store::reports::{
    AttemptLine, CallFilter, CallLine, CallState, StateCount, Story, Traces,
};
use crate::store::rows::{attempt_line, line, quarantine_row, state_count, stored_call};
use crate::store::values::{count, to_json};
use crate::store::{Reports, rows};

/// The columns of a [`CallLine`], of `calls` as `c`.
const LINE: &str = "select account, interaction, c.state, c.received_at, c.ended_at,
    coalesce(c.task_due_at, c.lookup_due_at) as due_at, c.outcome, c.attempts, c.task";

/// Calls that are not terminal, each counted once: by the narrow index of where it waits.
const OPEN_COUNTS: &str = "select state, sum(calls) as calls, min(oldest) as oldest from (
        select state, count(*) as calls, min(received_at) as oldest
        from calls where task_due_at is not null group by state
        union all select 'parked', count(*), min(received_at)
        from calls where parked_reason is not null having count(*) > 0
        union all select state, count(*), min(received_at)
        from calls where ended_event is null and never_ended_at is null group by state
        union all select c.state, count(*), min(c.received_at)
        from attempts a cross join calls c using (account, interaction)
        where a.closed_at is null group by c.state) as lanes
    group by state";

#[async_trait]
impl Reports for Sqlite {
    async fn list_calls(&self, filter: &CallFilter) -> Result<Vec<CallLine>> {
        let mut query: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new(LINE);
        // Dead letters are few among many, which SQLite, without statistics, does not see.
        query.push(match filter.states[..] {
            [CallState::Dead] => {
                " from calls c indexed by calls_dead where dead_reason is not null"
            }
            _ => " from calls c where true",
        });
        push_filter(&mut query, filter);
        query.push(" order by received_at desc, account, interaction limit ");
        query.push_bind(i64::from(filter.limit));
        let rows = query.build().fetch_all(&self.readers).await?;
        rows.iter().map(line).collect()
    }

    async fn story(&self, call: &CallId) -> Result<Option<Story>> {
        // One picture over several statements.
        let mut tx = self.readers.begin().await?;
        story(&mut tx, call).await
    }

    async fn traces(&self, call: &CallId, records: u32) -> Result<Traces> {
        let told = sqlx::query(
            "select count(published_at) as published,
                count(*) - count(published_at) as unpublished
             from outbox where account = $1 and interaction = $2",
        )
        .bind(call.account.as_str())
        .bind(call.interaction.as_str())
        .fetch_one(&self.readers)
        .await?;
        let rows = sqlx::query(
            "select topic, partition, kafka_offset, received_at, reason, body from quarantine
             order by received_at desc, topic, partition, kafka_offset desc limit $1",
        )
        .bind(i64::from(records))
        .fetch_all(&self.readers)
        .await?;
        Ok(Traces {
            published: count(&told, "published")?,
            unpublished: count(&told, "unpublished")?,
            quarantined: rows.iter().map(quarantine_row).collect::<Result<_>>()?,
        })
    }

    async fn open_counts(&self) -> Result<Vec<StateCount>> {
        let rows = sqlx::query(OPEN_COUNTS).fetch_all(&self.readers).await?;
        let mut counts = rows.iter().map(state_count).collect::<Result<Vec<_>>>()?;
        counts.sort_by_key(|count| count.state);
        Ok(counts)
    }

    async fn check(&self) -> Result<()> {
        self.check_schema().await
    }
}

/// All that is known of a call.
async fn story(connection: &mut SqliteConnection, call_id: &CallId) -> Result<Option<Story>> {
    let mut query: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new(LINE);
    query.push(
        ", c.shard, c.never_ended_at, c.events, c.looked_up, c.lookup_generation, c.revision,
            c.started_event, c.started_time, c.started_received_at,
            c.ended_event, c.ended_time, c.ended_received_at,
            (select count(*) from outbox o where o.account = c.account
                and o.interaction = c.interaction and published_at is not null) as published,
            (select count(*) from outbox o where o.account = c.account
                and o.interaction = c.interaction and published_at is null) as unpublished
         from calls c where account = ",
    );
    query
        .push_bind(call_id.account.as_str())
        .push(" and interaction = ")
        .push_bind(call_id.interaction.as_str());
    let Some(row) = query.build().fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    let bodies = sqlx::query(STORED_CALLS).bind(keys([call_id]));
    let call = stored_call(&bodies.fetch_one(&mut *connection).await?)?;
    let attempts = attempt_lines(connection, call_id).await?;
    rows::story(&row, call, attempts).map(Some)
}

/// The attempts of a call, oldest first.
async fn attempt_lines(
    connection: &mut SqliteConnection,
    call: &CallId,
) -> Result<Vec<AttemptLine>> {
    let rows = sqlx::query(
        "select attempt, generation, org, kind, task, revision, begun_at, send_by, closed_at,
            outcome
         from attempts where account = $1 and interaction = $2 order by attempt",
    )
    .bind(call.account.as_str())
    .bind(call.interaction.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(attempt_line).collect()
}

/// The conditions of a filter, each behind an `and`, about `calls`.
pub(super) fn push_filter(query: &mut QueryBuilder<sqlx::Sqlite>, filter: &CallFilter) {
    if let Some(account) = &filter.account {
        query.push(" and account = ").push_bind(account.as_str());
    }
    if !filter.states.is_empty() {
        let words: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        query
            .push(" and state in (select value from json_each(")
            .push_bind(to_json(&words))
            .push("))");
    }
    if let Some(reason) = &filter.reason {
        query.push(" and state in ('dead', 'parked', 'skipped') and outcome ->> 'reason' = ");
        query.push_bind(reason.clone());
    }
    if let Some(since) = filter.since {
        query.push(" and received_at >= ").push_bind(micros(since));
    }
    if let Some(until) = filter.until {
        query.push(" and received_at < ").push_bind(micros(until));
    }
}
