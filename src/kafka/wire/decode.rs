//! The platform's events → domain values. Everything is checked here, once; what is accepted is
//! valid from then on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prost::Message;
use serde::de::DeserializeOwned;

use super::Encoding;
use super::envelope::{Content, Envelope, Record, Rejected, kind};
use super::fields::{
    agent, customer_side, direction, durations, leg, missing, optional, outcome, party, recording,
    salesforce_id, text, time,
};
use super::proto;
use crate::domain::call::{
    CallEnded, CallEvent, CallFacts, CallStarted, CrmContext, EventMeta, Service,
};
use crate::domain::ids::{CallId, InvalidId, Revision};
use crate::domain::private::Private;

/// What a record turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// An event about a call.
    Call(CallEvent),
    /// A valid event of a type that is not read here.
    Ignored {
        /// Its type.
        event_type: String,
    },
}

/// The longest name of an event's type that is repeated, in characters.
const TYPE: usize = 100;
/// The longest notes, in characters, as a Task's Description holds them; longer ones are cut.
const NOTES: usize = 32_000;
/// The most attributes of a call; more are left out.
const ATTRIBUTES: usize = 32;
/// The most legs of a call; more are left out.
const LEGS: usize = 100;
/// The highest revision: far beyond any real one, and far from where counting would end.
const REVISIONS: i32 = 1_000_000;
/// A `traceparent` of version 00 has 55 characters; later ones may be longer.
const TRACEPARENT: usize = 128;

/// Reads one record, whose value may have `longest` bytes.
pub fn decode(record: Record<'_>, longest: usize) -> Result<Decoded, Rejected> {
    from_envelope(Envelope::read(record, longest)?)
}

/// Reads a CloudEvent in JSON, as `vcc-link publish` takes them.
pub fn decode_structured(document: &[u8]) -> Result<Decoded, Rejected> {
    from_envelope(Envelope::structured(document)?)
}

/// Reads an event, if its type is one that is read here.
fn from_envelope(envelope: Envelope) -> Result<Decoded, Rejected> {
    let event_type = envelope.event_type.as_str();
    let event = match event_type {
        "call.started.v1" => {
            let content = envelope.content?;
            let event = started(&content, data(event_type, &content)?)?;
            CallEvent::Started(Box::new(event))
        }
        "call.ended.v1" => {
            let content = envelope.content?;
            let event = ended(&content, data(event_type, &content)?)?;
            CallEvent::Ended(Box::new(event))
        }
        other => {
            let event_type = text(other, TYPE);
            return Ok(Decoded::Ignored { event_type });
        }
    };
    Ok(Decoded::Call(event))
}

/// The data in the schema's type.
fn data<T: Message + Default + DeserializeOwned>(
    event_type: &str,
    content: &Content,
) -> Result<T, Rejected> {
    match content.encoding {
        Encoding::Json => serde_json::from_slice(&content.data).map_err(|error| {
            Rejected::new(format!(
                "the data does not follow the schema of {}: {} at line {} column {}",
                event_type,
                kind(&error),
                error.line(),
                error.column()
            ))
        }),
        Encoding::Protobuf => T::decode(content.data.as_slice())
            .map_err(|_| Rejected::new(format!("the data is no Protobuf message of {event_type}"))),
    }
}

/// A begin.
fn started(content: &Content, data: proto::CallStarted) -> Result<CallStarted, Rejected> {
    let began = time("startedAt", data.started_at)?;
    let facts = facts!(data);
    Ok(CallStarted {
        meta: meta(content, began)?,
        facts: facts.checked(began)?,
        expires_at: content.expires_at,
    })
}

/// An end.
fn ended(content: &Content, mut data: proto::CallEnded) -> Result<CallEnded, Rejected> {
    let began = time("startedAt", data.started_at)?;
    let ended_at = time("endedAt", data.ended_at)?;
    let durations = durations(&data)?;
    let outcome = outcome(data.outcome)?;
    let revision = data.revision.ok_or_else(|| missing("revision"))?;
    if !(0..=REVISIONS).contains(&revision) {
        return Err(Rejected::new(
            "revision: write 0 for the end, and one more for each enrichment",
        ));
    }
    // Whoever handled it is its agent, where none is told.
    let agent = data.agent.get_or_insert_default();
    if agent.agent_id.is_empty() {
        agent.agent_id.clone_from(&data.handled_by_agent_id);
    }
    let facts = facts!(data);
    Ok(CallEnded {
        meta: meta(content, ended_at)?,
        facts: facts.checked(began)?,
        ended_at,
        durations,
        outcome,
        ended_by: optional(&data.ended_by),
        handled_by: optional(&data.handled_by_agent_id),
        legs: data
            .legs
            .iter()
            .take(LEGS)
            .map(leg)
            .collect::<Result<_, _>>()?,
        disposition: data
            .disposition
            .and_then(|d| optional(&d.label).or_else(|| optional(&d.code))),
        notes: Some(text(&data.notes, NOTES))
            .filter(|n| !n.is_empty())
            .map(Private::new),
        recording: data.recording.map(|r| recording(r.state, &r.content_ref)),
        voicemail: data.voicemail.map(|v| recording(v.state, &v.content_ref)),
        revision: Revision(revision),
        last: data.r#final,
    })
}

/// What both events have in common, out of either.
macro_rules! facts {
    ($data:ident) => {
        Facts {
            account_id: $data.account_id,
            interaction_id: $data.interaction_id,
            conversation_id: $data.conversation_id,
            direction: $data.direction,
            medium: $data.medium,
            from: $data.from,
            to: $data.to,
            customer_side: $data.customer_side,
            service: $data.service,
            queue: $data.queue,
            agent: $data.agent,
            crm_context: $data.crm_context,
            attributes: $data.attributes,
            test: $data.test,
        }
    };
}
use facts;

/// What both events have in common.
struct Facts {
    account_id: String,
    interaction_id: String,
    conversation_id: String,
    direction: i32,
    medium: String,
    from: Option<proto::Party>,
    to: Option<proto::Party>,
    customer_side: i32,
    service: Option<proto::Service>,
    queue: Option<proto::Queue>,
    agent: Option<proto::Agent>,
    crm_context: Option<proto::CrmContext>,
    attributes: BTreeMap<String, String>,
    test: bool,
}

impl Facts {
    /// The facts, checked.
    fn checked(self, started_at: DateTime<Utc>) -> Result<CallFacts, Rejected> {
        if !matches!(self.medium.as_str(), "" | "phone") {
            return Err(Rejected::new("medium: only \"phone\" is known"));
        }
        let id = |name: &str, error: InvalidId| Rejected::new(format!("{name}: {error}"));
        let service = self.service.unwrap_or_default();
        let crm = self.crm_context.unwrap_or_default();
        let attributes = self.attributes.into_iter().take(ATTRIBUTES);
        Ok(CallFacts {
            id: CallId {
                account: self.account_id.parse().map_err(|e| id("accountId", e))?,
                interaction: self
                    .interaction_id
                    .parse()
                    .map_err(|e| id("interactionId", e))?,
            },
            conversation_id: optional(&self.conversation_id),
            direction: direction(self.direction)?,
            started_at,
            from: party(self.from.ok_or_else(|| missing("from"))?),
            to: party(self.to.ok_or_else(|| missing("to"))?),
            customer_side: customer_side(self.customer_side),
            service: Service {
                name: optional(&service.service_name),
                address_name: optional(&service.address_name),
                interaction_plan: optional(&service.interaction_plan),
                queue: self.queue.and_then(|q| optional(&q.name)),
            },
            agent: agent(&self.agent.unwrap_or_default())?,
            crm: CrmContext {
                record: salesforce_id("crmContext.recordId", &crm.record_id)?,
                existing_task: salesforce_id("crmContext.existingTaskId", &crm.existing_task_id)?,
                origin: optional(&crm.origin),
            },
            attributes: attributes
                .map(|(key, value)| (text(&key, 64), Private::new(text(&value, 1024))))
                .collect(),
            test: self.test,
        })
    }
}

/// Where an event came from. Without a time of its own it is as old as what it tells.
fn meta(content: &Content, happened_at: DateTime<Utc>) -> Result<EventMeta, Rejected> {
    Ok(EventMeta {
        id: content
            .id
            .parse()
            .map_err(|error| Rejected::new(format!("id: {error}")))?,
        time: content.time.unwrap_or(happened_at),
        traceparent: content
            .traceparent
            .clone()
            .filter(|t| t.len() <= TRACEPARENT && t.bytes().all(|b| b.is_ascii_graphic())),
    })
}
