//! The story of one call, in words and as JSON: what was received, what the lookup found, what
//! was sent, what Salesforce said, and what happens next. Numbers, names and notes are left out.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::time;
use super::words::{failure_in_words, health, outcome_in_words, status};
use crate::domain::call::Call;
use crate::domain::link::LinkState;
use crate::domain::matching::LookupAnswer;
use crate::domain::outcome::Outcome;
use crate::sealing;
use crate::store::reports::{AttemptLine, CallLine, CallState, Story};

/// All that is told of one call.
pub struct Told<'a> {
    /// What the store knows.
    pub story: &'a Story,
    /// The opened bodies, or why they cannot be opened.
    pub call: Result<&'a Call, &'a sealing::Error>,
    /// The account's link now.
    pub link: Option<&'a LinkState>,
}

impl Told<'_> {
    /// The story in words.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes any text");
        text
    }

    /// Writes the story, chapter by chapter.
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let line = &self.story.line;
        writeln!(out, "Call {} is {}.", line.id, line.state.as_str())?;
        writeln!(
            out,
            "\nEvents ({} received, duplicates included)",
            self.story.events_received
        )?;
        for event in &self.story.events {
            let what = event.revision.map_or_else(
                || "call.started.v1".to_owned(),
                |r| format!("call.ended.v1 revision {r}"),
            );
            let (at, stored) = (time(event.time), time(event.received_at));
            writeln!(out, "  {at}  {what}  id {}  stored {stored}", event.event)?;
        }
        self.call_text(out)?;
        self.link_text(out)?;
        self.lookup_text(out)?;
        if self.story.call.replays > 0 {
            let times = self.story.call.replays;
            writeln!(out, "Put back by an operator: {times} times.")?;
        }
        writeln!(out, "\nAttempts ({})", line.attempts)?;
        for attempt in &self.story.attempts {
            writeln!(out, "  {}", attempt_in_words(attempt))?;
        }
        writeln!(
            out,
            "\nEvents published: {}, waiting: {}.",
            self.story.published, self.story.unpublished
        )?;
        writeln!(out, "\nNext: {}", self.next())
    }

    /// What the events say of the call, without numbers or notes.
    fn call_text(&self, out: &mut String) -> std::fmt::Result {
        match self.call {
            Err(error) => writeln!(out, "\nThe bodies cannot be read: {error}"),
            Ok(call) => {
                let Some(facts) = call.facts() else {
                    return Ok(());
                };
                write!(
                    out,
                    "\nCall: {:?}, began {}",
                    facts.direction,
                    time(facts.started_at)
                )?;
                match call.ended.as_deref() {
                    None => writeln!(out, ", not ended."),
                    Some(ended) => writeln!(
                        out,
                        ", ended {} after {} s, {:?}.",
                        time(ended.ended_at),
                        ended.durations.total.as_secs(),
                        ended.outcome
                    ),
                }
            }
        }
    }

    /// The account's link.
    fn link_text(&self, out: &mut String) -> std::fmt::Result {
        let Some(link) = self.link else { return Ok(()) };
        write!(
            out,
            "Link: {}, {}",
            status(link.status),
            health(link.health)
        )?;
        if let Some(reason) = link.reason {
            write!(out, " ({})", code(&reason))?;
        }
        write!(out, ", generation {}", link.generation)?;
        match &link.org {
            Some(org) => writeln!(
                out,
                ", org {} as {}, since {}.",
                org.org,
                org.username,
                time(link.since)
            ),
            None => writeln!(out, "."),
        }
    }

    /// What the lookup came to.
    fn lookup_text(&self, out: &mut String) -> std::fmt::Result {
        let answer = self.call.ok().and_then(|call| call.lookup.as_deref());
        let Some(answer) = answer else {
            let state = if self.story.looked_up {
                "answered"
            } else {
                "not answered yet"
            };
            return writeln!(out, "Lookup: {state}.");
        };
        write!(out, "Lookup: {}", code(&answer.result))?;
        if let Some(record) = &answer.record {
            write!(out, ", {:?} {}", record.record_type, record.id)?;
        }
        if let Some(rule) = answer.rule {
            write!(
                out,
                ", rule {} among {} candidates",
                code(&rule),
                answer.candidates
            )?;
        }
        if let Some(via) = answer.via {
            write!(out, ", via {}", code(&via))?;
        }
        if let Some(generation) = self.story.lookup_generation {
            write!(out, ", link generation {generation}")?;
        }
        writeln!(out, ", at {}.", time(answer.answered_at))
    }

    /// What happens next, and what a person can do.
    fn next(&self) -> String {
        let line = &self.story.line;
        let due = due_at(line).map(time).unwrap_or_default();
        match (line.state, &line.outcome) {
            (CallState::Ringing, _) if self.story.never_ended_at.is_some() => "nothing: it began, and its end never came. If it comes after all, its Task is made.".into(),
            (CallState::Ringing, _) => "the call goes on; its Task is made when it ends.".into(),
            (CallState::Ready, _) => format!("it is sent at {due}, as soon as its account's turn comes."),
            (CallState::Sending, _) => "a request is on its way; if its answer is lost, Salesforce is asked what became of it.".into(),
            (CallState::InDoubt, _) => format!("the answer was lost; Salesforce is asked at {due}. Nothing is sent again before that is known."),
            (CallState::RetryAt, Some(Outcome::RetryAt { failure, .. })) => {
                format!("it is sent again at {due}, because of {}", failure_in_words(failure))
            }
            (_, Some(outcome)) => outcome_in_words(outcome),
            (state, None) => format!("nothing is known beyond its state, {}.", state.as_str()),
        }
    }

    /// The story as JSON.
    pub fn json(&self) -> Value {
        let line = &self.story.line;
        let answer = self.call.ok().and_then(|call| call.lookup.as_deref());
        json!({
            "account": line.id.account,
            "call": line.id.interaction,
            "known": true,
            "state": line.state.as_str(),
            "shard": self.story.shard,
            "neverEndedAt": self.story.never_ended_at.map(time),
            "eventsReceived": self.story.events_received,
            "events": self.story.events.iter().map(|e| json!({
                "id": e.event,
                "type": if e.revision.is_some() { "call.ended.v1" } else { "call.started.v1" },
                "revision": e.revision,
                "time": time(e.time),
                "receivedAt": time(e.received_at),
            })).collect::<Vec<_>>(),
            "link": self.link.map(link_json),
            "lookup": answer.map(lookup_json),
            "lookupGeneration": self.story.lookup_generation,
            "attempts": self.story.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
            "replays": self.story.call.replays,
            "outcome": line.outcome,
            "task": line.task,
            "dueAt": due_at(line).map(time),
            "published": self.story.published,
            "unpublished": self.story.unpublished,
            "next": self.next(),
        })
    }
}

/// When something happens to the call next: one in doubt has its time in what was seen of it.
pub fn due_at(line: &CallLine) -> Option<DateTime<Utc>> {
    match (line.state, &line.outcome) {
        (CallState::InDoubt, Some(Outcome::InDoubt { look_at, .. })) => Some(*look_at),
        _ => line.due_at,
    }
}

/// The link as JSON.
fn link_json(link: &LinkState) -> Value {
    json!({
        "status": link.status,
        "health": link.health,
        "reason": link.reason,
        "generation": link.generation,
        "org": link.org.as_ref().map(|o| &o.org),
    })
}

/// The lookup as JSON: the record's id, never its name.
fn lookup_json(answer: &LookupAnswer) -> Value {
    json!({
        "result": answer.result,
        "record": answer.record.as_ref().map(|r| &r.id),
        "rule": answer.rule,
        "candidates": answer.candidates,
        "via": answer.via,
        "answeredAt": time(answer.answered_at),
    })
}

/// An attempt as JSON.
fn attempt_json(attempt: &AttemptLine) -> Value {
    json!({
        "attempt": attempt.attempt,
        "generation": attempt.generation,
        "org": attempt.org,
        "kind": attempt.kind.as_str(),
        "task": attempt.kind.task(),
        "revision": attempt.revision,
        "begunAt": time(attempt.begun_at),
        "closedAt": attempt.closed_at.map(time),
        "outcome": attempt.outcome,
    })
}

/// An attempt in one line.
fn attempt_in_words(attempt: &AttemptLine) -> String {
    let kind = attempt.kind.as_str();
    let kind = match attempt.kind.task() {
        Some(task) => format!("{kind} {task}"),
        None => kind.to_owned(),
    };
    let outcome = attempt
        .outcome
        .as_ref()
        .map_or_else(|| "on its way".to_owned(), outcome_in_words);
    let begun = time(attempt.begun_at);
    format!(
        "{begun}  {kind}, revision {}, link generation {}: {outcome}",
        attempt.revision, attempt.generation
    )
}

/// A value's published name.
fn code<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CallId, Revision, ShardId};
    use crate::domain::outcome::{Failure, FailureClass, FailureScope};
    use crate::store::inbox::StoredCall;

    #[test]
    fn a_call_in_doubt_says_when_it_is_looked_for() {
        let id = CallId {
            account: "acme".parse().expect("an account"),
            interaction: "c1".parse().expect("an interaction"),
        };
        let at: DateTime<Utc> = "2026-11-23T21:12:40Z".parse().expect("a time");
        let failure = Failure::new(FailureClass::Ambiguous, FailureScope::Request, "no_answer");
        let story = Story {
            line: CallLine {
                id: id.clone(),
                state: CallState::InDoubt,
                received_at: at,
                ended_at: Some(at),
                due_at: None,
                outcome: Some(Outcome::InDoubt {
                    look_at: at,
                    failure,
                }),
                attempts: 1,
                task: None,
            },
            shard: ShardId(0),
            never_ended_at: None,
            events: Vec::new(),
            events_received: 1,
            looked_up: true,
            lookup_generation: None,
            call: StoredCall {
                id: id.clone(),
                started: None,
                ended: None,
                ended_received_at: Some(at),
                lookup: None,
                lookup_generation: None,
                revision: Revision(0),
                task: None,
                attempts: 1,
                deferrals: 0,
                replays: 0,
            },
            attempts: Vec::new(),
            published: 0,
            unpublished: 0,
        };
        let told = Told {
            story: &story,
            call: Ok(&Call::new(id)),
            link: None,
        };
        let wanted = "Salesforce is asked at 2026-11-23T21:12:40.000Z.";
        assert!(told.text().contains(wanted), "{}", told.text());
        let json = told.json();
        assert_eq!(json["dueAt"], "2026-11-23T21:12:40.000Z");
        assert!(json["next"].to_string().contains(wanted));
    }
}
