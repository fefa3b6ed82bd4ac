//! How stored rows are read as what the rooms give: the same for every database, which selects
//! columns of these names.

mod reports;

use chrono::{DateTime, Utc};

pub(super) use self::reports::{
    account_count, attempt_line, last_attempt, ledger_row, line, replay_group, replay_line,
    state_count, story, stuck_count,
};
use super::authorizations::{Happened, HistoryLine};
use super::inbox::{Partition, QuarantineRow, StoredCall};
use super::links::Grant;
use super::outbox::{OutboxRow, Unpublished};
use super::pauses::{PauseLine, scope_of};
use super::replays::QuarantineLine;
use super::rules::{LiveLink, Locked, WorkRow};
use super::values::{
    Columns, call_id, corrupt, count, count_opt, degraded, flag, from_word, from_word_opt, id,
    id_opt, json, json_opt, number, revision, sealed, sealed_opt, shard, state, text, time,
};
use super::{Fence, Result};
use crate::domain::authorization::Authorization;
use crate::domain::ids::{AttemptId, Epoch, Generation, Sequence, TokenSequence};
use crate::domain::invitation::Invitation;
use crate::domain::link::{Health, LinkState, LinkStatus};
use crate::domain::outcome::Outcome;
use crate::domain::pause::Pause;
use crate::domain::work::{AttemptKind, Due, Lane, OpenAttempt};

/// A lease, as its owner holds it.
pub(super) fn fence(row: &impl Columns) -> Result<Fence> {
    Ok(Fence {
        shard: shard(row)?,
        epoch: Epoch(number(row, "epoch")?),
    })
}

/// An account, as work on its calls must find it.
pub(super) fn locked(row: &impl Columns) -> Result<Locked> {
    let status: LinkStatus = from_word(row, "status")?;
    let health: Health = from_word(row, "health")?;
    Ok(Locked {
        shard: shard(row)?,
        link: LiveLink {
            generation: Generation(number(row, "generation")?),
            org: id_opt(row, "org")?,
            live: status != LinkStatus::Unlinked && health != Health::Broken,
        },
        key: id_opt(row, "data_key")?,
    })
}

/// An account's link.
pub(super) fn link_state(row: &impl Columns) -> Result<LinkState> {
    Ok(LinkState {
        account: id(row, "account")?,
        shard: shard(row)?,
        status: from_word(row, "status")?,
        health: from_word(row, "health")?,
        reason: from_word_opt(row, "reason")?,
        since: time(row, "since")?,
        generation: Generation(number(row, "generation")?),
        sequence: Sequence(number(row, "sequence")?),
        org: json_opt(row, "linked_org")?,
    })
}

/// A line of the history of a link.
pub(super) fn history_line(row: &impl Columns) -> Result<HistoryLine> {
    let what = match from_word_opt(row, "step")? {
        Some(step) => Happened::Invitation(step),
        None => Happened::Link(from_word(row, "reason")?),
    };
    Ok(HistoryLine {
        line: number(row, "line")?,
        what,
        sequence: Sequence(number(row, "sequence")?),
        at: time(row, "at")?,
        actor: json(row, "actor")?,
        from: (
            from_word(row, "from_status")?,
            from_word(row, "from_health")?,
        ),
        to: (from_word(row, "to_status")?, from_word(row, "to_health")?),
        generation: Generation(number(row, "generation")?),
    })
}

/// An invitation, from the column `facts`.
pub(super) fn invitation(row: &impl Columns) -> Result<Invitation> {
    json(row, "facts")
}

/// An authorization, from the column `facts`.
pub(super) fn authorization(row: &impl Columns) -> Result<Authorization> {
    json(row, "facts")
}

/// The tokens of one generation of a link.
pub(super) fn grant(row: &impl Columns) -> Result<Grant> {
    Ok(Grant {
        account: id(row, "account")?,
        generation: Generation(number(row, "generation")?),
        org: id(row, "org")?,
        user: id(row, "api_user")?,
        shard: shard(row)?,
        instance_url: text(row, "instance_url")?.to_owned(),
        login_url: text(row, "login_url")?.to_owned(),
        app: from_word(row, "app")?,
        token_sequence: TokenSequence(number(row, "token_sequence")?),
        tokens: sealed(row, "tokens")?,
        issued_at: time(row, "issued_at")?,
        in_doubt: flag(row, "in_doubt")?,
        suspected: row.time("suspected_at")?.is_some(),
    })
}

/// A call with something due.
pub(super) fn due_call(row: &impl Columns, lane: Lane, due_at: DateTime<Utc>) -> Result<Due> {
    Ok(Due {
        call: call_id(row)?,
        shard: shard(row)?,
        lane,
        due_at,
        lookup_deadline: row.time("lookup_deadline")?,
        looked_up: flag(row, "looked_up")?,
        ended_at: row.time("ended_at")?,
        revision: revision(row)?,
        skip: from_word_opt(row, "skip")?,
        attempts: count(row, "attempts")?,
        degraded: degraded(row)?,
        batch_limit: count_opt(row, "batch_limit")?,
        hidden: json_opt(row, "hidden")?,
    })
}

/// A call with its bodies.
pub(super) fn stored_call(row: &impl Columns) -> Result<StoredCall> {
    Ok(StoredCall {
        id: call_id(row)?,
        started: sealed_opt(row, "started")?,
        ended: sealed_opt(row, "ended")?,
        ended_received_at: row.time("ended_received_at")?,
        lookup: sealed_opt(row, "lookup")?,
        lookup_generation: row.big("lookup_generation")?.map(Generation),
        revision: revision(row)?,
        task: id_opt(row, "task")?,
        attempts: count(row, "attempts")?,
        deferrals: count(row, "deferrals")?,
        replays: count(row, "replays")?,
    })
}

/// The part of a call that work changes.
pub(super) fn work_row(row: &impl Columns) -> Result<WorkRow> {
    Ok(WorkRow {
        shard: shard(row)?,
        state: state(row)?,
        revision: revision(row)?,
        attempt: row.big("attempt")?.map(AttemptId),
        attempts: count(row, "attempts")?,
        deferrals: count(row, "deferrals")?,
        replays: count(row, "replays")?,
        due_at: row.time("task_due_at")?,
        degraded: degraded(row)?,
        batch_limit: count_opt(row, "batch_limit")?,
        hidden: json_opt(row, "hidden")?,
        outcome: json_opt(row, "outcome")?,
        task: id_opt(row, "task")?,
        terminal_at: row.time("terminal_at")?,
    })
}

/// What an attempt does.
fn attempt_kind(row: &impl Columns) -> Result<AttemptKind> {
    let adopts = text(row, "kind")? == "adopt";
    Ok(match id_opt(row, "task")? {
        Some(task) if adopts => AttemptKind::Adopt { task },
        Some(task) => AttemptKind::Update { task },
        None => AttemptKind::Create,
    })
}

/// An open attempt.
pub(super) fn open_attempt(row: &impl Columns) -> Result<OpenAttempt> {
    Ok(OpenAttempt {
        attempt: AttemptId(number(row, "attempt")?),
        call: call_id(row)?,
        shard: shard(row)?,
        org: id(row, "org")?,
        generation: Generation(number(row, "generation")?),
        mode: json(row, "mode")?,
        kind: attempt_kind(row)?,
        revision: revision(row)?,
        degraded: degraded(row)?,
        send_by: time(row, "send_by")?,
        look_at: time(row, "look_at")?,
        attempts: count(row, "attempts")?,
        together: count(row, "together")?,
        call_ended_at: row.time("ended_at")?,
        answered: matches!(
            json_opt(row, "outcome")?,
            Some(Outcome::InDoubt { failure, .. }) if failure.ended
        ),
        hidden: json_opt(row, "hidden")?,
    })
}

/// An event to publish.
pub(super) fn unpublished(row: &impl Columns) -> Result<Unpublished> {
    Ok(Unpublished {
        position: number(row, "position")?,
        row: OutboxRow {
            id: id(row, "id")?,
            shard: shard(row)?,
            topic: from_word(row, "topic")?,
            body: sealed(row, "body")?,
        },
    })
}

/// A quarantined record.
pub(super) fn quarantine_row(row: &impl Columns) -> Result<QuarantineRow> {
    Ok(QuarantineRow {
        partition: Partition {
            topic: text(row, "topic")?.to_owned(),
            partition: row.int("partition")?.ok_or_else(|| corrupt("partition"))?,
        },
        offset: number(row, "kafka_offset")?,
        received_at: time(row, "received_at")?,
        reason: text(row, "reason")?.to_owned(),
        body: sealed(row, "body")?,
    })
}

/// A quarantined record, as a person handles it.
pub(super) fn quarantine_line(row: &impl Columns) -> Result<QuarantineLine> {
    let by = row.text("resent_by")?.map(str::to_owned);
    Ok(QuarantineLine {
        row: quarantine_row(row)?,
        resent: row.time("resent_at")?.zip(by),
    })
}

/// A pause.
pub(super) fn pause(row: &impl Columns) -> Result<Pause> {
    let lane = match text(row, "lane")? {
        "lookup" => Lane::Lookup,
        "task" => Lane::Task,
        _ => return Err(corrupt("lane")),
    };
    let scope = scope_of(text(row, "scope")?, text(row, "subject")?);
    Ok(Pause {
        scope: scope.ok_or_else(|| corrupt("scope"))?,
        lane,
        reason: text(row, "reason")?.to_owned(),
        by: text(row, "by")?.to_owned(),
        since: time(row, "since")?,
        until: row.time("until")?,
    })
}

/// A pause, for the record.
pub(super) fn pause_line(row: &impl Columns) -> Result<PauseLine> {
    let by = row.text("ended_by")?.map(str::to_owned);
    Ok(PauseLine {
        pause: pause(row)?,
        ended: row.time("ended_at")?.zip(by),
    })
}
