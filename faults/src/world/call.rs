//! Calls as the platform tells of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Map, Value, json};

/// A call of one account.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) account: String,
    pub(crate) id: String,
    /// Fields of both events.
    facts: Map<String, Value>,
    /// Fields of the end.
    end: Map<String, Value>,
}

/// An event about a call.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) key: String,
    pub(crate) headers: OwnedHeaders,
    pub(crate) value: Vec<u8>,
}

/// How long a call takes.
const LENGTH: Duration = Duration::from_secs(1);

impl Call {
    /// An answered inbound call from this number, of one second, that has just ended. `id` is a
    /// UUID.
    pub(crate) fn new(account: &str, number: &str, id: String) -> Self {
        let ended = now();
        let began = ended - LENGTH;
        let facts = json!({
            "accountId": account, "interactionId": id, "direction": "inbound", "medium": "phone",
            "startedAt": began.to_rfc3339(),
            "from": {"e164": number}, "to": {"e164": "+442079460999"},
            "agent": {"agentId": "agent-7", "email": "ada@acme.example"},
        });
        let end = json!({
            "endedAt": ended.to_rfc3339(), "durationMs": LENGTH.as_millis(), "outcome": "answered",
            "handledByAgentId": "agent-7", "notes": "Asked about an invoice.", "final": true,
            "revision": 0,
        });
        Self {
            account: account.to_owned(),
            id,
            facts: object(facts),
            end: object(end),
        }
    }

    /// The same with a field of both events set.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.facts.insert(field.to_owned(), value);
        self
    }

    /// The same, begun at this time.
    pub(crate) fn begun(mut self, at: DateTime<Utc>) -> Self {
        let ended = (at + LENGTH).to_rfc3339();
        self.end.insert("endedAt".to_owned(), json!(ended));
        self.with("startedAt", json!(at.to_rfc3339()))
    }

    /// The key of its Task.
    pub(crate) fn task_key(&self) -> String {
        format!("vcc:{}:{}", self.account, self.id)
    }

    /// It rings.
    pub(crate) fn started(&self) -> Event {
        self.event("call.started.v1", "s", &self.facts)
    }

    /// It has ended.
    pub(crate) fn ended(&self) -> Event {
        let mut data = self.facts.clone();
        data.extend(self.end.clone());
        self.event("call.ended.v1", "e", &data)
    }

    fn event(&self, kind: &str, suffix: &str, data: &Map<String, Value>) -> Event {
        let id = format!("{}-{suffix}", self.id);
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_source", "/faults"),
            ("ce_type", kind),
            ("content-type", "application/json"),
        ];
        let header = |headers: OwnedHeaders, (key, value)| {
            let value = Some(value);
            headers.insert(Header { key, value })
        };
        Event {
            key: self.id.clone(),
            headers: headers.into_iter().fold(OwnedHeaders::new(), header),
            value: Value::Object(data.clone()).to_string().into_bytes(),
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The platform's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the contact centre's clock: times of calls come from here alone"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}
