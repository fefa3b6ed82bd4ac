//! What people ask for: lists, counts, stories, the ledger, replays.

use super::attempt_kind;
use crate::domain::ids::{AccountId, AttemptId, CallId, EventId, Generation, Revision};
use crate::domain::replay::Stand;
use crate::store::Result;
use crate::store::audit::{LedgerRow, Stuck, StuckCount};
use crate::store::inbox::StoredCall;
use crate::store::replaying::LastAttempt;
use crate::store::replays::{ReplayGroup, ReplayId, ReplayLine};
use crate::store::reports::{AttemptLine, CallLine, CallState, EventLine, StateCount, Story};
use crate::store::values::{
    Columns, call_id, corrupt, count, flag, from_word, id, id_opt, json_opt, number, revision,
    shard, state, text, time,
};

/// Calls that a replay treats alike, from their state, their reason and what else it asks.
pub(in crate::store) fn replay_group(row: &impl Columns) -> Result<ReplayGroup> {
    Ok(ReplayGroup {
        account: id(row, "account")?,
        stand: match state(row)? {
            CallState::Dead => Stand::Dead(from_word(row, "reason")?),
            CallState::Parked => Stand::Parked(from_word(row, "reason")?),
            CallState::Skipped => Stand::Skipped(from_word(row, "reason")?),
            _ => return Err(corrupt("state")),
        },
        sent_to: id_opt(row, "sent_to")?,
        calls: total(row, "calls")?,
        first: time(row, "first")?,
        last: time(row, "last")?,
    })
}

/// One replay.
pub(in crate::store) fn replay_line(row: &impl Columns) -> Result<ReplayLine> {
    Ok(ReplayLine {
        replay: ReplayId(number(row, "replay")?),
        actor: text(row, "actor")?.to_owned(),
        begun_at: time(row, "begun_at")?,
        ended_at: row.time("ended_at")?,
        filter: text(row, "filter")?.to_owned(),
        sent: total(row, "sent")?,
        looked_for: total(row, "looked_for")?,
        left: total(row, "left_alone")?,
    })
}

/// The last attempt of a call.
pub(in crate::store) fn last_attempt(row: &impl Columns) -> Result<(CallId, LastAttempt)> {
    let last = LastAttempt {
        attempt: AttemptId(number(row, "attempt")?),
        org: id(row, "org")?,
    };
    Ok((call_id(row)?, last))
}

/// A number of rows.
fn total(row: &impl Columns, column: &str) -> Result<u64> {
    u64::try_from(number(row, column)?).map_err(|_| corrupt(column))
}

/// A call in a list.
pub(in crate::store) fn line(row: &impl Columns) -> Result<CallLine> {
    Ok(CallLine {
        id: call_id(row)?,
        state: state(row)?,
        received_at: time(row, "received_at")?,
        ended_at: row.time("ended_at")?,
        due_at: row.time("due_at")?,
        outcome: json_opt(row, "outcome")?,
        attempts: count(row, "attempts")?,
        task: id_opt(row, "task")?,
    })
}

/// A state's count.
pub(in crate::store) fn state_count(row: &impl Columns) -> Result<StateCount> {
    Ok(StateCount {
        state: state(row)?,
        calls: total(row, "calls")?,
        oldest: row.time("oldest")?,
    })
}

/// A call's story, of the call's row with its bodies and its attempts.
pub(in crate::store) fn story(
    row: &impl Columns,
    call: StoredCall,
    attempts: Vec<AttemptLine>,
) -> Result<Story> {
    let ended = event_line(row, "ended", Some(revision(row)?))?;
    let events = [event_line(row, "started", None)?, ended];
    Ok(Story {
        line: line(row)?,
        shard: shard(row)?,
        events: events.into_iter().flatten().collect(),
        events_received: count(row, "events")?,
        never_ended_at: row.time("never_ended_at")?,
        looked_up: flag(row, "looked_up")?,
        lookup_generation: row.big("lookup_generation")?.map(Generation),
        call,
        attempts,
        published: count(row, "published")?,
        unpublished: count(row, "unpublished")?,
    })
}

/// The begin or the end that stands.
fn event_line(
    row: &impl Columns,
    which: &str,
    revision: Option<Revision>,
) -> Result<Option<EventLine>> {
    let Some(event) = id_opt(row, &format!("{which}_event"))? else {
        return Ok(None);
    };
    Ok(Some(EventLine {
        event,
        time: time(row, &format!("{which}_time"))?,
        received_at: time(row, &format!("{which}_received_at"))?,
        revision,
    }))
}

/// One attempt of a call.
pub(in crate::store) fn attempt_line(row: &impl Columns) -> Result<AttemptLine> {
    Ok(AttemptLine {
        attempt: AttemptId(number(row, "attempt")?),
        generation: Generation(number(row, "generation")?),
        org: id(row, "org")?,
        kind: attempt_kind(row)?,
        revision: revision(row)?,
        begun_at: time(row, "begun_at")?,
        send_by: time(row, "send_by")?,
        closed_at: row.time("closed_at")?,
        outcome: json_opt(row, "outcome")?,
    })
}

/// A call of the ledger.
pub(in crate::store) fn ledger_row(row: &impl Columns) -> Result<LedgerRow> {
    let ids = |told: &str| -> Result<Vec<EventId>> {
        let ids = told.split_whitespace();
        ids.map(|id| id.parse().map_err(|_| corrupt("told")))
            .collect()
    };
    Ok(LedgerRow {
        id: call_id(row)?,
        state: state(row)?,
        received_at: time(row, "received_at")?,
        never_ended_at: row.time("never_ended_at")?,
        unanswered_since: row.time("unanswered_since")?,
        ended_at: row.time("ended_at")?,
        revision: revision(row)?,
        due_at: row.time("task_due_at")?,
        sends: flag(row, "sends")?,
        send_by: row.time("send_by")?,
        has_stray_attempt: flag(row, "has_stray_attempt")?,
        outcome: json_opt(row, "outcome")?,
        task: id_opt(row, "task")?,
        terminal_at: row.time("terminal_at")?,
        link_broken: flag(row, "link_broken")?,
        told: row.text("told")?.map(ids).transpose()?,
    })
}

/// How many calls of an account.
pub(in crate::store) fn account_count(row: &impl Columns) -> Result<(AccountId, u64)> {
    Ok((id(row, "account")?, total(row, "calls")?))
}

/// How many calls need a look for a reason.
pub(in crate::store) fn stuck_count(row: &impl Columns) -> Result<StuckCount> {
    let word = text(row, "reason")?;
    let reason = Stuck::ALL.into_iter().find(|r| r.as_str() == word);
    let reason = reason.ok_or_else(|| corrupt("reason"))?;
    let calls = total(row, "calls")?;
    Ok(StuckCount { reason, calls })
}
