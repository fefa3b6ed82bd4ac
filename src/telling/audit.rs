//! The audit: every call of a time in its state, and those that nobody can account for.
//!
//! A call is accounted for if it came to its one end and that was told, or if something is known that
//! takes it there: a time at which it is due, an attempt that is open and can be resolved, a reason
//! why it is parked and a day until when, or, while it goes on, its own end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::time;
use crate::domain::event::terminal_id;
use crate::domain::ids::CallId;
use crate::domain::outcome::{DeadReason, Outcome, ParkReason, SkipReason};
use crate::store::audit::LedgerRow;
use crate::store::reports::CallState;

/// From which age on something counts as forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// The time now.
    pub now: DateTime<Utc>,
    /// How long a call may go on (`watchdog.ends_within`), and a while for the watchdog to close it.
    pub ends_within: Duration,
    /// How long a call may be due, or an attempt open (`watchdog.stuck_after`).
    pub stuck_after: Duration,
    /// How long a call may be parked (`engine.links.parked_at_most`).
    pub parked_at_most: Duration,
}

/// Why a call is not accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// It ended, and nothing takes it further: it is not due, not sent, not parked.
    NoNextStep,
    /// It is due for longer than `watchdog.stuck_after`.
    Overdue,
    /// It waits for an attempt that is not open.
    AttemptMissing,
    /// An attempt is open that it does not know of.
    StrayAttempt,
    /// Its attempt is open for longer than `watchdog.stuck_after`, though the link works.
    Unresolved,
    /// It is parked beyond the day until when it is kept.
    ParkedTooLong,
    /// It began, and neither ended nor was closed as one that does not end.
    NeverEnded,
    /// Its lookup has no answer, long after that was due.
    LookupUnanswered,
    /// It is logged, and nobody knows as which Task.
    NoTask,
    /// It came to its end, and no event tells of it.
    NotTold,
}

impl Gap {
    /// The gap in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoNextStep => "no_next_step",
            Self::Overdue => "overdue",
            Self::AttemptMissing => "attempt_missing",
            Self::StrayAttempt => "stray_attempt",
            Self::Unresolved => "unresolved",
            Self::ParkedTooLong => "parked_too_long",
            Self::NeverEnded => "never_ended",
            Self::LookupUnanswered => "lookup_unanswered",
            Self::NoTask => "no_task",
            Self::NotTold => "not_told",
        }
    }

    /// The gap in words, with what to do.
    const fn in_words(self) -> &'static str {
        match self {
            Self::NoNextStep => "nothing takes it further; report this",
            Self::Overdue => "due for long, and not sent: is a worker running, and ready?",
            Self::AttemptMissing => "waits for an attempt that is not open; report this",
            Self::StrayAttempt => "has an open attempt that it does not know of; report this",
            Self::Unresolved => {
                "its attempt is open for long: does Salesforce answer this org's queries?"
            }
            Self::ParkedTooLong => "parked beyond its day: is a worker running, and ready?",
            Self::NeverEnded => "began and never ended, and no worker closed it: is one running?",
            Self::LookupUnanswered => {
                "its lookup was never answered: is a worker running, and ready?"
            }
            Self::NoTask => "logged without a Task; report this",
            Self::NotTold => "came to its end, and no event tells of it; report this",
        }
    }
}

impl Ages {
    /// Why a call is not accounted for; `None`: it is.
    pub fn gap(&self, row: &LedgerRow) -> Option<Gap> {
        if row.has_stray_attempt {
            return Some(Gap::StrayAttempt);
        }
        let gap = match row.state {
            CallState::Ringing => self.unended(row),
            CallState::Ready | CallState::RetryAt => match row.due_at {
                None => Some(Gap::NoNextStep),
                Some(due) => self.is_stuck(due).then_some(Gap::Overdue),
            },
            CallState::Sending | CallState::InDoubt => self.unresolved(row),
            CallState::Parked => self.parked(row),
            CallState::Logged if row.task.is_none() => Some(Gap::NoTask),
            CallState::Logged | CallState::Skipped | CallState::Dead => not_told(row),
        };
        let unanswered = row.unanswered_since.is_some_and(|at| self.is_stuck(at));
        gap.or_else(|| unanswered.then_some(Gap::LookupUnanswered))
    }

    fn is_stuck(&self, since: DateTime<Utc>) -> bool {
        self.now > since + self.stuck_after
    }

    fn unended(&self, row: &LedgerRow) -> Option<Gap> {
        let late = self.now > row.received_at + self.ends_within;
        (late && row.never_ended_at.is_none()).then_some(Gap::NeverEnded)
    }

    /// While the link is broken nobody can be asked about an attempt: it waits as long as calls are
    /// parked.
    fn unresolved(&self, row: &LedgerRow) -> Option<Gap> {
        let Some(send_by) = row.send_by.filter(|_| row.sends) else {
            return Some(Gap::AttemptMissing);
        };
        let patience = if row.link_broken {
            self.parked_at_most
        } else {
            Duration::ZERO
        };
        self.is_stuck(send_by + patience).then_some(Gap::Unresolved)
    }

    /// A call that a person has paused waits for that person.
    fn parked(&self, row: &LedgerRow) -> Option<Gap> {
        let Some(Outcome::Parked { reason, until, .. }) = &row.outcome else {
            return Some(Gap::NoNextStep);
        };
        let kept = until.or(row.ended_at.map(|ended| ended + self.parked_at_most));
        let late = kept.is_some_and(|until| self.is_stuck(until));
        (late && *reason != ParkReason::Paused).then_some(Gap::ParkedTooLong)
    }
}

/// Whether no event tells of a call's end.
fn not_told(row: &LedgerRow) -> Option<Gap> {
    let told = row.told.as_ref()?;
    // A later revision revives no call that may have a Task unseen, and is told of by the one before.
    let earlier = matches!(
        row.outcome,
        Some(
            Outcome::Dead {
                reason: DeadReason::Unknown | DeadReason::UnresolvedInPreviousOrg,
                ..
            } | Outcome::Skipped {
                reason: SkipReason::TooOld,
            }
        )
    );
    let is_told = if earlier {
        !told.is_empty()
    } else {
        told.contains(&terminal_id(&row.id, row.revision))
    };
    (!is_told).then_some(Gap::NotTold)
}

/// What a state holds: how a call was logged, why it was skipped, given up or parked.
fn kind(row: &LedgerRow) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    match (&row.state, &row.outcome) {
        (CallState::Ringing, _) if row.never_ended_at.is_some() => "never_ended".to_owned(),
        (CallState::Logged, Some(Outcome::Logged { how, .. })) => word(json!(how)),
        (CallState::Skipped, Some(Outcome::Skipped { reason })) => word(json!(reason)),
        (CallState::Dead, Some(Outcome::Dead { reason, .. })) => word(json!(reason)),
        (CallState::Parked, Some(Outcome::Parked { reason, .. })) => word(json!(reason)),
        _ => String::new(),
    }
}

/// An audit on its way, fed page by page.
#[derive(Debug)]
pub struct Audit {
    ages: Ages,
    /// Calls by state and kind.
    counts: BTreeMap<(CallState, String), u64>,
    /// Gaps by their reason.
    gaps: BTreeMap<Gap, u64>,
    /// The first of them.
    listed: Vec<(CallId, CallState, Gap, DateTime<Utc>)>,
    /// At most so many are listed; all are counted.
    list_at_most: usize,
}

impl Audit {
    /// An audit that has met no call.
    pub const fn new(ages: Ages, list_at_most: usize) -> Self {
        Self {
            ages,
            counts: BTreeMap::new(),
            gaps: BTreeMap::new(),
            listed: Vec::new(),
            list_at_most,
        }
    }

    /// Takes calls in.
    pub fn take(&mut self, rows: &[LedgerRow]) {
        for row in rows {
            *self.counts.entry((row.state, kind(row))).or_default() += 1;
            let Some(gap) = self.ages.gap(row) else {
                continue;
            };
            *self.gaps.entry(gap).or_default() += 1;
            if self.listed.len() < self.list_at_most {
                let line = (row.id.clone(), row.state, gap, row.received_at);
                self.listed.push(line);
            }
        }
    }

    /// How many calls it has met.
    pub fn calls(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many of them nobody can account for.
    pub fn unaccounted(&self) -> u64 {
        self.gaps.values().sum()
    }

    /// The result in words.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes any text");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        for ((state, kind), calls) in &self.counts {
            writeln!(out, "{:<9} {kind:<26} {calls:>10}", state.as_str())?;
        }
        writeln!(out, "{:<36} {:>10}", "calls", self.calls())?;
        writeln!(out, "{:<36} {:>10}", "unaccounted for", self.unaccounted())?;
        for (id, state, gap, received) in &self.listed {
            let (state, received) = (state.as_str(), time(*received));
            writeln!(out, "{state:<9} {received}  {id}  {}", gap.in_words())?;
        }
        let more = self.unaccounted() - self.listed.len() as u64;
        if more > 0 {
            writeln!(out, "and {more} more; --list shows more of them")?;
        }
        Ok(())
    }

    /// The result as JSON.
    pub fn json(&self) -> Value {
        let count = |((state, kind), calls): (&(CallState, String), &u64)| {
            let kind = Some(kind).filter(|kind| !kind.is_empty());
            json!({ "state": state.as_str(), "kind": kind, "calls": calls })
        };
        let line = |(id, state, gap, received): &(CallId, CallState, Gap, DateTime<Utc>)| {
            json!({
                "account": id.account,
                "call": id.interaction,
                "state": state.as_str(),
                "reason": gap.as_str(),
                "receivedAt": time(*received),
            })
        };
        let gaps = self.gaps.iter().map(|(gap, calls)| (gap.as_str(), calls));
        json!({
            "calls": self.calls(),
            "states": self.counts.iter().map(count).collect::<Vec<_>>(),
            "unaccounted": self.unaccounted(),
            "reasons": gaps.collect::<BTreeMap<_, _>>(),
            "listed": self.listed.iter().map(line).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::ids::Revision;
    use crate::domain::outcome::LoggedAs;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn ago(hours: i64) -> DateTime<Utc> {
        NOW - TimeDelta::hours(hours)
    }

    fn ages() -> Ages {
        Ages {
            now: NOW,
            ends_within: Duration::from_hours(24),
            stuck_after: Duration::from_hours(12),
            parked_at_most: Duration::from_hours(720),
        }
    }

    /// A call in a state, with nothing that would account for it.
    fn row(state: CallState) -> LedgerRow {
        LedgerRow {
            id: CallId {
                account: "acme".parse().expect("an account"),
                interaction: "i1".parse().expect("an interaction"),
            },
            state,
            received_at: ago(48),
            never_ended_at: None,
            unanswered_since: None,
            ended_at: Some(ago(48)),
            revision: Revision(1),
            due_at: None,
            sends: false,
            send_by: None,
            has_stray_attempt: false,
            outcome: None,
            task: None,
            terminal_at: None,
            link_broken: false,
            told: None,
        }
    }

    fn with(state: CallState, change: impl FnOnce(&mut LedgerRow)) -> LedgerRow {
        but(row(state), change)
    }

    fn logged() -> LedgerRow {
        let task: crate::domain::ids::RecordId = "00T000000000001".parse().expect("an id");
        with(CallState::Logged, |row| {
            row.outcome = Some(Outcome::Logged {
                how: LoggedAs::Created,
                task: task.clone(),
            });
            row.task = Some(task);
            row.told = Some(vec![terminal_id(&row.id, row.revision)]);
        })
    }

    fn parked(reason: ParkReason, until: DateTime<Utc>) -> LedgerRow {
        with(CallState::Parked, |row| {
            row.outcome = Some(Outcome::Parked {
                reason,
                failure: None,
                until: Some(until),
            });
        })
    }

    fn in_doubt(hours: i64, link_broken: bool) -> LedgerRow {
        with(CallState::InDoubt, |row| {
            (row.sends, row.send_by) = (true, Some(ago(hours)));
            row.link_broken = link_broken;
        })
    }

    fn but(mut row: LedgerRow, change: impl FnOnce(&mut LedgerRow)) -> LedgerRow {
        change(&mut row);
        row
    }

    #[test]
    fn a_call_is_accounted_for_by_its_end_or_by_what_takes_it_there() {
        let accounted = [
            with(CallState::Ringing, |row| row.received_at = ago(1)),
            with(CallState::Ringing, |row| row.never_ended_at = Some(ago(2))),
            with(CallState::Ready, |row| row.due_at = Some(ago(1))),
            in_doubt(1, false),
            in_doubt(100, true),
            parked(ParkReason::LinkBroken, ago(-9)),
            parked(ParkReason::Paused, ago(99)),
            logged(),
            // It ended so long ago that its event may be forgotten.
            but(logged(), |row| row.told = None),
        ];
        for row in accounted {
            assert_eq!(ages().gap(&row), None, "{row:?}");
        }
    }

    #[test]
    fn what_nothing_takes_further_is_a_gap() {
        let unaccounted = [
            (row(CallState::Ringing), Gap::NeverEnded),
            (row(CallState::Ready), Gap::NoNextStep),
            (
                with(CallState::RetryAt, |row| row.due_at = Some(ago(13))),
                Gap::Overdue,
            ),
            (row(CallState::Sending), Gap::AttemptMissing),
            (in_doubt(13, false), Gap::Unresolved),
            (in_doubt(733, true), Gap::Unresolved),
            (
                with(CallState::Ready, |row| row.has_stray_attempt = true),
                Gap::StrayAttempt,
            ),
            (row(CallState::Parked), Gap::NoNextStep),
            (parked(ParkReason::OrgRefuses, ago(13)), Gap::ParkedTooLong),
            (row(CallState::Logged), Gap::NoTask),
            (
                but(logged(), |row| {
                    row.told = Some(vec![terminal_id(&row.id, Revision(0))]);
                }),
                Gap::NotTold,
            ),
            (
                but(logged(), |row| row.unanswered_since = Some(ago(13))),
                Gap::LookupUnanswered,
            ),
        ];
        for (row, gap) in unaccounted {
            assert_eq!(ages().gap(&row), Some(gap), "{row:?}");
        }
    }

    #[test]
    fn every_gap_is_counted_and_the_first_are_listed() {
        let mut audit = Audit::new(ages(), 1);
        audit.take(&[logged(), row(CallState::Ready)]);
        audit.take(&[row(CallState::Logged)]);
        assert_eq!((audit.calls(), audit.unaccounted()), (3, 2));
        let told = audit.json();
        assert_eq!(
            told["states"][0],
            json!({"state": "ready", "kind": null, "calls": 1})
        );
        assert_eq!(told["reasons"], json!({"no_next_step": 1, "no_task": 1}));
        assert_eq!(told["listed"][0]["reason"], "no_next_step");
        assert_eq!(told["listed"].as_array().map(Vec::len), Some(1));
        assert!(audit.text().contains("and 1 more"), "{}", audit.text());
    }
}
