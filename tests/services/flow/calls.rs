//! Calls as the platform tells of them.

use serde_json::{Map, Value, json};
use vcc_link::clock;

/// A call of one account.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) account: String,
    pub(super) id: String,
    /// Fields of both events.
    facts: Map<String, Value>,
    /// Fields of the end.
    end: Map<String, Value>,
    pub(super) traceparent: Option<String>,
}

/// An event about a call.
pub(super) struct Event {
    pub(super) key: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) value: Vec<u8>,
}

/// What every note holds, and no log may.
pub(super) const NOTE: &str = "canary-note";

impl Call {
    /// An answered inbound call from this number, a minute ago.
    pub(super) fn new(account: &str, number: &str) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        let began = clock::now() - chrono::TimeDelta::seconds(60);
        let facts = json!({
            "accountId": account, "interactionId": id, "direction": "inbound", "medium": "phone",
            "startedAt": began.to_rfc3339(),
            "from": {"e164": number}, "to": {"e164": "+442079460999"},
            "agent": {"agentId": "agent-7", "email": "ada@acme.example"},
        });
        let end = json!({
            "endedAt": (began + chrono::TimeDelta::seconds(55)).to_rfc3339(),
            "durationMs": 55_000, "outcome": "answered", "handledByAgentId": "agent-7",
            "notes": format!("{NOTE} {id}"), "final": true,
        });
        Self {
            account: account.to_owned(),
            id,
            facts: object(facts),
            end: object(end),
            traceparent: None,
        }
    }

    /// The same with a field of both events set, or taken away by `null`.
    pub(super) fn with(mut self, field: &str, value: Value) -> Self {
        self.facts.insert(field.to_owned(), value);
        self.facts.retain(|_, value| !value.is_null());
        self
    }

    /// The same with a field of the end set, or taken away by `null`.
    pub(super) fn ending(mut self, field: &str, value: Value) -> Self {
        self.end.insert(field.to_owned(), value);
        self.end.retain(|_, value| !value.is_null());
        self
    }

    /// The key of its Task.
    pub(super) fn task_key(&self) -> String {
        format!("vcc:{}:{}", self.account, self.id)
    }

    /// It rings.
    pub(super) fn started(&self) -> Event {
        self.event("call.started.v1", "s", &self.facts)
    }

    /// It has ended.
    pub(super) fn ended(&self, revision: i32) -> Event {
        let mut data = self.facts.clone();
        data.extend(self.end.clone());
        data.insert("revision".to_owned(), json!(revision));
        self.event("call.ended.v1", &format!("e{revision}"), &data)
    }

    fn event(&self, kind: &str, suffix: &str, data: &Map<String, Value>) -> Event {
        let mut headers: Vec<(String, String)> = [
            ("ce_specversion", "1.0"),
            ("ce_id", &format!("{}-{suffix}", self.id)),
            ("ce_source", "/flow"),
            ("ce_type", kind),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        headers.extend(
            self.traceparent
                .clone()
                .map(|t| ("traceparent".to_owned(), t)),
        );
        Event {
            key: self.id.clone(),
            headers,
            value: serde_json::to_vec(data).expect("JSON"),
        }
    }
}

impl Event {
    /// A line as Kafka's own console producer reads it.
    pub(super) fn console_line(&self) -> String {
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(n, v)| format!("{n}:{v}"))
            .collect();
        let value = String::from_utf8_lossy(&self.value);
        format!("{}\t{}\t{value}\n", headers.join(","), self.key)
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}
