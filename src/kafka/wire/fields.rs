//! Parts of the platform's events → domain values: names, numbers, times and enums, each checked.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};

use super::envelope::Rejected;
use super::proto;
use super::timestamp::Timestamp;
use crate::domain::call::{
    Agent, CallOutcome, CustomerSide, Direction, Durations, Leg, Party, Presentation, Recording,
};
use crate::domain::ids::{RecordId, UserId};
use crate::domain::private::Private;

/// The longest name, code or reference, in characters; longer ones are cut.
const TEXT: usize = 255;
/// The longest phone number; a longer one is no number.
const PHONE: usize = 64;

/// One end of the call.
pub(super) fn party(party: proto::Party) -> Party {
    use proto::presentation::Value;
    let number = |text: String| {
        let fits = !text.is_empty() && text.chars().count() <= PHONE && !text.contains('\0');
        fits.then(|| Private::new(text))
    };
    Party {
        presentation: match party.presentation() {
            Value::Unspecified | Value::Allowed => Presentation::Allowed,
            Value::Restricted => Presentation::Restricted,
            Value::Unavailable => Presentation::Unavailable,
        },
        e164: number(party.e164),
        raw: number(party.raw),
    }
}

/// The agent.
pub(super) fn agent(agent: &proto::Agent) -> Result<Agent, Rejected> {
    let user = Some(agent.crm_user_id.trim()).filter(|id| !id.is_empty());
    let user = user.map(str::parse::<UserId>).transpose();
    Ok(Agent {
        agent_id: optional(&agent.agent_id),
        user_id: optional(&agent.user_id),
        email: optional(&agent.email).map(Private::new),
        crm_user: user.map_err(|error| Rejected::new(format!("agent.crmUserId: {error}")))?,
    })
}

/// One agent's part.
pub(super) fn leg(leg: &proto::Leg) -> Result<Leg, Rejected> {
    Ok(Leg {
        leg_id: optional(&leg.leg_id).ok_or_else(|| missing("legs.legId"))?,
        agent_id: optional(&leg.agent_id),
        joined_at: leg
            .joined_at
            .map(|t| time("legs.joinedAt", Some(t)))
            .transpose()?,
        left_at: leg
            .left_at
            .map(|t| time("legs.leftAt", Some(t)))
            .transpose()?,
        how: optional(&leg.how),
    })
}

/// A reference to a recording or a voicemail.
pub(super) fn recording(state: i32, content_ref: &str) -> Recording {
    Recording {
        ready: state == i32::from(proto::recording_state::Value::Ready),
        content_ref: optional(content_ref),
    }
}

/// The direction, which must be there.
pub(super) fn direction(value: i32) -> Result<Direction, Rejected> {
    use proto::direction::Value;
    match Value::try_from(value) {
        Ok(Value::Inbound) => Ok(Direction::Inbound),
        Ok(Value::Outbound) => Ok(Direction::Outbound),
        Ok(Value::Internal) => Ok(Direction::Internal),
        Ok(Value::Unspecified) | Err(_) => Err(Rejected::new(
            "direction: write inbound, outbound or internal",
        )),
    }
}

/// The customer's side; by the direction where it is not told.
pub(super) fn customer_side(value: i32) -> Option<CustomerSide> {
    use proto::customer_side::Value;
    match Value::try_from(value) {
        Ok(Value::From) => Some(CustomerSide::From),
        Ok(Value::To) => Some(CustomerSide::To),
        Ok(Value::Unspecified) | Err(_) => None,
    }
}

/// The outcome, which must be there.
pub(super) fn outcome(value: i32) -> Result<CallOutcome, Rejected> {
    use proto::call_outcome::Value;
    match Value::try_from(value) {
        Ok(Value::Answered) => Ok(CallOutcome::Answered),
        Ok(Value::Missed) => Ok(CallOutcome::Missed),
        Ok(Value::AbandonedIvr) => Ok(CallOutcome::AbandonedIvr),
        Ok(Value::AbandonedQueue) => Ok(CallOutcome::AbandonedQueue),
        Ok(Value::ShortAbandoned) => Ok(CallOutcome::ShortAbandoned),
        Ok(Value::Voicemail) => Ok(CallOutcome::Voicemail),
        Ok(Value::Busy) => Ok(CallOutcome::Busy),
        Ok(Value::NoAnswer) => Ok(CallOutcome::NoAnswer),
        Ok(Value::Failed) => Ok(CallOutcome::Failed),
        Ok(Value::CallbackRequested) => Ok(CallOutcome::CallbackRequested),
        Ok(Value::Unspecified) | Err(_) => Err(Rejected::new(
            "outcome: write one of answered, missed, abandoned_ivr, abandoned_queue, short_abandoned, voicemail, busy, no_answer, failed, callback_requested",
        )),
    }
}

/// A Salesforce id, where one is told.
pub(super) fn salesforce_id(name: &str, id: &str) -> Result<Option<RecordId>, Rejected> {
    let id = Some(id.trim()).filter(|id| !id.is_empty());
    id.map(str::parse)
        .transpose()
        .map_err(|error| Rejected::new(format!("{name}: {error}")))
}

/// A time, which must be there.
pub(super) fn time(name: &str, at: Option<Timestamp>) -> Result<DateTime<Utc>, Rejected> {
    let at = at.ok_or_else(|| missing(name))?;
    at.time()
        .filter(|at| at.year() >= 1970)
        .ok_or_else(|| Rejected::new(format!("{name} is no time between the years 1970 and 9999")))
}

/// A span in milliseconds.
pub(super) fn span(name: &str, millis: Option<i64>) -> Result<Option<Duration>, Rejected> {
    let span = millis.map(u64::try_from).transpose();
    span.map(|millis| millis.map(Duration::from_millis))
        .map_err(|_| Rejected::new(format!("{name} is below zero")))
}

/// A required field is not there.
pub(super) fn missing(name: &str) -> Rejected {
    Rejected::new(format!("{name} is missing"))
}

/// A text without control characters (line ends and tabs stay), cut to a bound.
pub(super) fn text(text: &str, longest: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .take(longest)
        .collect()
}

/// A text, if there is one.
pub(super) fn optional(value: &str) -> Option<String> {
    Some(text(value.trim(), TEXT)).filter(|t| !t.is_empty())
}

/// How long the parts of a call took.
pub(super) fn durations(data: &proto::CallEnded) -> Result<Durations, Rejected> {
    Ok(Durations {
        total: span("durationMs", data.duration_ms)?.ok_or_else(|| missing("durationMs"))?,
        ring: span("ringMs", data.ring_ms)?,
        queue: span("queueMs", data.queue_ms)?,
        talk: span("talkMs", data.talk_ms)?,
        hold: span("holdMs", data.hold_ms)?,
        wrap: span("wrapMs", data.wrap_ms)?,
    })
}
