//! Notices: from the change of a link to the server that takes them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Postgres, Result, Tx};
use crate::domain::ids::{AccountId, NoticeId};
use crate::domain::link::LinkState;
use crate::domain::notice::Condition;
use crate::store::Written;
use crate::store::notices::{
    ClaimedNotice, Decision, NewNotice, NoticeEnd, Notices, Settled, Verdict, claimed, settled,
};
use crate::store::values::{to_json, word};

#[async_trait]
impl Notices for Postgres {
    async fn settled(
        &self,
        before: DateTime<Utc>,
        lately: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Settled>> {
        let rows = sqlx::query(
            "select a.account, a.shard, a.status, a.health, a.reason, a.since, a.generation,
                a.sequence, a.linked_org::text, w.changes, w.told::text,
                (select count(distinct change) from notices
                    where account = w.account and made_at > $2) as told_lately,
                (select count(*) from calls
                    where account = w.account and parked_reason is not null) as waiting
             from link_watch w join accounts a using (account)
             where w.decided < w.changes and w.changed_at <= $1
                and (w.held_until is null or w.held_until <= $3)
             order by w.changed_at limit $4",
        )
        .bind(before)
        .bind(lately)
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(settled).collect()
    }

    async fn decide(&self, decision: &Decision) -> Result<Written> {
        let mut tx = self.begin().await?;
        let (told, held, notices) = match &decision.verdict {
            Verdict::Tell(told, notices) => (Some(to_json(told)), None, notices.as_slice()),
            Verdict::Hold(until) => (None, Some(*until), &[][..]),
        };
        let decided = sqlx::query(
            "update link_watch set held_until = $4, told = coalesce($3::jsonb, told),
                decided = case when $4::timestamptz is null then changes else decided end
             where account = $1 and changes = $2 and decided < changes",
        )
        .bind(decision.account.as_str())
        .bind(decision.change)
        .bind(told)
        .bind(held)
        .execute(&mut *tx)
        .await?;
        if decided.rows_affected() == 0 {
            return Ok(Written::Stale);
        }
        for notice in notices {
            let change = Some(decision.change);
            insert(&mut tx, &decision.account, notice, change, decision.at).await?;
        }
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn add_notice(
        &self,
        account: &AccountId,
        notice: &NewNotice,
        since: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Result<Written> {
        let mut tx = self.begin().await?;
        // Held to the end: of two at once, the second finds the first.
        let contact = sqlx::query(
            "select contact from contacts where account = $1 and contact = $2 for update",
        )
        .bind(account.as_str())
        .bind(notice.contact.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        if contact.is_none() {
            return Ok(Written::Stale);
        }
        let known = sqlx::query(
            "select notice from notices where account = $1 and contact = $2 and change is null
                and (state = 'waiting' or made_at > $3) limit 1",
        )
        .bind(account.as_str())
        .bind(notice.contact.as_str())
        .bind(since)
        .fetch_optional(&mut *tx)
        .await?;
        if known.is_some() {
            return Ok(Written::Already);
        }
        insert(&mut tx, account, notice, None, at).await?;
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn claim_notices(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<ClaimedNotice>> {
        let rows = sqlx::query(
            "with due as (select n.notice from notices n join contacts c using (account, contact)
                where n.state = 'waiting' and n.due_at <= $1
                    and (n.claimed_until is null or n.claimed_until <= $1)
                order by n.due_at limit $3 for update of n skip locked)
             update notices n set claimed_until = $2 from due, contacts c
             where n.notice = due.notice and c.account = n.account and c.contact = n.contact
             returning n.notice, n.account, n.contact, n.facts::text, n.made_at, n.attempts,
                c.channel, c.target",
        )
        .bind(now)
        .bind(until)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(claimed).collect()
    }

    async fn end_notice(
        &self,
        id: &NoticeId,
        end: NoticeEnd,
        at: DateTime<Utc>,
    ) -> Result<Written> {
        let (due, fault) = end.parts();
        let ended = sqlx::query(
            "update notices set state = $2, due_at = $3, fault = $4::jsonb,
                attempts = attempts + 1, claimed_until = null,
                ended_at = case when $3::timestamptz is null then $5::timestamptz end
             where notice = $1 and state = 'waiting'",
        )
        .bind(id.as_str())
        .bind(word(end.state()))
        .bind(due)
        .bind(fault.as_ref().map(to_json))
        .bind(at)
        .execute(&self.pool)
        .await?;
        Ok(if ended.rows_affected() == 1 {
            Written::Yes
        } else {
            Written::Already
        })
    }

    async fn forget_notices(&self, before: DateTime<Utc>) -> Result<u64> {
        let gone = sqlx::query("delete from notices where ended_at < $1")
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }
}

/// Puts a notice into the queue, if its contact still stands.
async fn insert(
    tx: &mut Tx,
    account: &AccountId,
    new: &NewNotice,
    change: Option<i64>,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query(
        "insert into notices (notice, account, contact, facts, change, made_at, due_at)
         select $1::text, account, contact, $4::jsonb, $5::bigint, $6::timestamptz, $6::timestamptz
         from contacts
         where account = $2 and contact = $3",
    )
    .bind(new.id.as_str())
    .bind(account.as_str())
    .bind(new.contact.as_str())
    .bind(to_json(&new.notice))
    .bind(change)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that an account is to be looked at, where its link stands otherwise than before.
pub(super) async fn watch_link(tx: &mut Tx, before: &LinkState, after: &LinkState) -> Result<()> {
    if Condition::of(before) == Condition::of(after) {
        return Ok(());
    }
    sqlx::query(
        "insert into link_watch (account, changes, changed_at) values ($1, 1, now())
         on conflict (account) do update
            set changes = link_watch.changes + 1, changed_at = excluded.changed_at",
    )
    .bind(after.account.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
