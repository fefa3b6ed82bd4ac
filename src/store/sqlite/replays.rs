//! Putting back what was given up.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::QueryBuilder;

use super::fence::{accounts, tell};
use super::reports::push_filter;
use super::values::{keys, micros};
use super::work::{calls, write_calls};
use super::{Result, Sqlite, Tx};
use crate::clock;
use crate::domain::ids::{AccountId, AttemptId, CallId};
use crate::store::inbox::Partition;
use crate::store::replaying::{LastAttempt, Revival, looked_for};
use crate::store::replays::{
    QuarantineFilter, QuarantineLine, ReplayGroup, ReplayId, ReplayLine, ReplayPage, Replayed,
};
use crate::store::reports::CallFilter;
use crate::store::rows::{last_attempt, quarantine_line, replay_group, replay_line};
use crate::store::values::{call_id, flag, number, time, to_json};
use crate::store::wakes::{ACCOUNTS_TOLD, Told};
use crate::store::{Replays, Written};

/// The calls from where a person may want them back, as [`push_filter`] goes on; with the org of the
/// last attempt where a Task may exist.
const GROUPS: &str = "
    select account, state, reason, sent_to, count(*) as calls,
        min(received_at) as first, max(received_at) as last
    from (select account, state, received_at, outcome ->> 'reason' as reason,
            case when dead_reason in ('unknown', 'unresolved_in_previous_org') then
                (select org from attempts a
                 where a.account = c.account and a.interaction = c.interaction
                 order by attempt desc limit 1) end as sent_to
        from calls c where state in ('dead', 'parked', 'skipped')";

#[async_trait]
impl Replays for Sqlite {
    async fn replay_groups(&self, filter: &CallFilter) -> Result<Vec<ReplayGroup>> {
        let mut query = QueryBuilder::new(GROUPS);
        push_filter(&mut query, filter);
        query.push(
            ") as asked group by account, state, reason, sent_to
             order by account, state, reason, sent_to",
        );
        let rows = query.build().fetch_all(&self.readers).await?;
        rows.iter().map(replay_group).collect()
    }

    async fn begin_replay(&self, actor: &str, filter: &str) -> Result<ReplayId> {
        let sql = "insert into replays (actor, begun_at, filter) values ($1, $2, $3)";
        let query = sqlx::query(sql)
            .bind(actor)
            .bind(micros(clock::now()))
            .bind(filter);
        Ok(ReplayId(
            query.execute(&self.writer).await?.last_insert_rowid(),
        ))
    }

    async fn replay(&self, page: &ReplayPage) -> Result<Replayed> {
        let mut tx = self.begin().await?;
        let (ids, last) = choose(&mut tx, page).await?;
        let wanted: BTreeSet<&AccountId> = ids.iter().map(|id| &id.account).collect();
        let accounts = accounts(&mut tx, &wanted).await?;
        let calls = calls(&mut tx, &ids).await?;
        let attempts = last_attempts(&mut tx, &ids).await?;
        let mut revival = Revival::of(page, accounts, calls, attempts, tx.now);
        open_again(&mut tx, &mut revival).await?;
        write_calls(&mut tx, &revival.changed_calls()).await?;
        count(&mut tx, &revival).await?;
        wake(&mut tx, &revival).await?;
        tx.commit().await?;
        Ok(Replayed {
            last,
            ..revival.replayed
        })
    }

    async fn end_replay(&self, replay: ReplayId) -> Result<()> {
        sqlx::query("update replays set ended_at = $2 where replay = $1 and ended_at is null")
            .bind(replay.0)
            .bind(micros(clock::now()))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn replays(&self, limit: u32) -> Result<Vec<ReplayLine>> {
        let rows = sqlx::query(
            "select replay, actor, begun_at, ended_at, filter, sent, looked_for, left_alone
             from replays order by replay desc limit $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(replay_line).collect()
    }

    async fn quarantined(&self, filter: &QuarantineFilter) -> Result<Vec<QuarantineLine>> {
        let rows = sqlx::query(
            "select topic, partition, kafka_offset, received_at, reason, body, resent_at, resent_by
             from quarantine
             where ($1 is null or topic = $1) and received_at >= $2 and received_at < $3
                and not ($4 and resent_at is not null)
                and received_at <= coalesce($6, 9223372036854775807)
                and ($6 is null
                    or (received_at, topic, partition, kafka_offset) < ($6, $7, $8, $9))
             order by received_at desc, topic desc, partition desc, kafka_offset desc limit $5",
        )
        .bind(&filter.topic)
        .bind(filter.since.map_or(i64::MIN, micros))
        .bind(filter.until.map_or(i64::MAX, micros))
        .bind(filter.unsent)
        .bind(i64::from(filter.limit))
        .bind(filter.after.as_ref().map(|(at, ..)| micros(*at)))
        .bind(
            filter
                .after
                .as_ref()
                .map(|(_, place, _)| place.topic.as_str()),
        )
        .bind(filter.after.as_ref().map(|(_, place, _)| place.partition))
        .bind(filter.after.as_ref().map(|(.., offset)| *offset))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(quarantine_line).collect()
    }

    async fn quarantined_at(
        &self,
        partition: &Partition,
        offset: i64,
    ) -> Result<Option<QuarantineLine>> {
        let row = sqlx::query(
            "select topic, partition, kafka_offset, received_at, reason, body, resent_at, resent_by
             from quarantine where topic = $1 and partition = $2 and kafka_offset = $3",
        )
        .bind(&partition.topic)
        .bind(partition.partition)
        .bind(offset)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(quarantine_line).transpose()
    }

    async fn mark_resent(
        &self,
        partition: &Partition,
        offset: i64,
        actor: &str,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        let found = sqlx::query(
            "select resent_at is not null as marked from quarantine
             where topic = $1 and partition = $2 and kafka_offset = $3",
        )
        .bind(&partition.topic)
        .bind(partition.partition)
        .bind(offset)
        .fetch_optional(&mut *tx.inner)
        .await?;
        let Some(row) = found else {
            return Ok(Written::Stale);
        };
        if flag(&row, "marked")? {
            return Ok(Written::Already);
        }
        sqlx::query(
            "update quarantine set resent_at = $4, resent_by = $5
             where topic = $1 and partition = $2 and kafka_offset = $3",
        )
        .bind(&partition.topic)
        .bind(partition.partition)
        .bind(offset)
        .bind(tx.micros())
        .bind(actor)
        .execute(&mut *tx.inner)
        .await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }
}

/// The next calls of a replay, the longest known first, and the last of them.
async fn choose(
    tx: &mut Tx,
    page: &ReplayPage,
) -> Result<(Vec<CallId>, Option<(chrono::DateTime<chrono::Utc>, CallId)>)> {
    let mut query = QueryBuilder::new(
        "select account, interaction, received_at from calls c
         where state in ('dead', 'parked', 'skipped')",
    );
    push_filter(&mut query, &page.filter);
    if let Some((at, call)) = &page.after {
        query.push(" and (received_at, account, interaction) > (");
        query.push_bind(micros(*at)).push(", ");
        query.push_bind(call.account.as_str()).push(", ");
        query.push_bind(call.interaction.as_str()).push(")");
    }
    query.push(" order by received_at, account, interaction limit ");
    query.push_bind(i64::from(page.filter.limit));
    let rows = query.build().fetch_all(&mut *tx.inner).await?;
    let ids = rows.iter().map(call_id).collect::<Result<Vec<_>>>()?;
    let last = match (rows.last(), ids.last()) {
        (Some(row), Some(id)) => Some((time(row, "received_at")?, id.clone())),
        _ => None,
    };
    Ok((ids, last))
}

/// The last attempts of these calls.
async fn last_attempts(tx: &mut Tx, ids: &[CallId]) -> Result<BTreeMap<CallId, LastAttempt>> {
    let rows = sqlx::query(
        "select account, interaction, attempt, org from json_each($1) as asked
         cross join attempts a on account = value ->> 0 and interaction = value ->> 1
         where not exists (select 1 from attempts later where later.account = a.account
            and later.interaction = a.interaction and later.attempt > a.attempt)",
    )
    .bind(keys(ids))
    .fetch_all(&mut *tx.inner)
    .await?;
    rows.iter().map(last_attempt).collect()
}

/// Opens attempts like the last ones of the calls that are to be looked for.
async fn open_again(tx: &mut Tx, revival: &mut Revival<'_>) -> Result<()> {
    let repeated = revival.repeated();
    if repeated.is_empty() {
        return Ok(());
    }
    let attempts: Vec<AttemptId> = repeated.iter().map(|(_, attempt)| *attempt).collect();
    // Its time to send is that of the request that it repeats no more: from then on, and an hour
    // before, Tasks are looked for.
    let rows = sqlx::query(
        "insert into attempts (account, interaction, shard, org, generation, mode, kind, task,
            revision, degraded, together, begun_at, send_by, look_at, outcome)
         select a.account, a.interaction, c.shard, a.org, a.generation, a.mode, a.kind, a.task,
            a.revision, a.degraded, a.together, $2, a.send_by, $2, $3
         from attempts a join calls c using (account, interaction)
         where a.attempt in (select value from json_each($1))
         returning attempt, account, interaction",
    )
    .bind(to_json(&attempts))
    .bind(tx.micros())
    .bind(to_json(&looked_for(revival.now)))
    .fetch_all(&mut *tx.inner)
    .await?;
    for row in &rows {
        revival.opened(&call_id(row)?, AttemptId(number(row, "attempt")?));
    }
    Ok(())
}

/// Counts what was done in the replay's note.
async fn count(tx: &mut Tx, revival: &Revival<'_>) -> Result<()> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(
        "update replays set sent = sent + $2, looked_for = looked_for + $3,
            left_alone = left_alone + $4
         where replay = $1",
    )
    .bind(revival.page.replay.0)
    .bind(signed(revival.replayed.sent))
    .bind(signed(revival.replayed.looked_for))
    .bind(signed(revival.left()))
    .execute(&mut *tx.inner)
    .await?;
    Ok(())
}

/// Wakes the owners of what was put back.
async fn wake(tx: &mut Tx, revival: &Revival<'_>) -> Result<()> {
    let shards = revival.woken();
    let accounts: Vec<&AccountId> = revival.in_doubt().into_iter().collect();
    let mut accounts = accounts.chunks(ACCOUNTS_TOLD);
    let told = Told {
        shards: &shards,
        accounts: accounts.next().unwrap_or_default(),
        ..Told::default()
    };
    tell(tx, told).await?;
    for accounts in accounts {
        let told = Told {
            accounts,
            ..Told::default()
        };
        tell(tx, told).await?;
    }
    Ok(())
}
