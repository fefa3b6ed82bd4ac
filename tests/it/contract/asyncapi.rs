//! The AsyncAPI 3.0 document: topics, who sends what, in which form, with which keys and headers.

use serde_json::{Map, Value, json};

use super::{EVENTS, EventType, Way, schema};

/// The message of what is no valid event.
pub(crate) const QUARANTINED: &str = "quarantined";

/// Topics by default: channel, address, what it carries, and its Kafka policy.
const CHANNELS: [(&str, &str, &str, &str); 4] = [
    (
        "calls",
        "vcc.calls",
        "Call events of the platform.",
        "delete",
    ),
    ("callLogs", "vcc.call-logs", "What came of calls.", "delete"),
    (
        "linkStatus",
        "vcc.link-status",
        "Changes of accounts' links: the latest of each account stays.",
        "compact",
    ),
    (
        "quarantine",
        "vcc.calls.quarantine",
        "Records of the call topics that are no valid event, as they were received.",
        "delete",
    ),
];

/// The document.
pub(crate) fn document() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for (channel, address, description, policy) in CHANNELS {
        let names = names(address);
        let messages: Map<String, Value> = names
            .iter()
            .map(|name| (name.clone(), reference("components/messages", name)))
            .collect();
        let in_channel = names
            .iter()
            .map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") }));
        let read = EVENTS
            .iter()
            .any(|e| e.topic == address && e.way == Way::Read);
        let (verb, action) = if read {
            ("read", "receive")
        } else {
            ("publish", "send")
        };
        let operation = json!({
            "action": action,
            "channel": reference("channels", channel),
            "messages": in_channel.collect::<Vec<_>>(),
        });
        operations.insert(format!("{verb}.{channel}"), operation);
        let kafka = json!({ "topicConfiguration": { "cleanup.policy": [policy] } });
        channels.insert(
            channel.to_owned(),
            json!({
                "address": address,
                "description": description,
                "messages": messages,
                "bindings": { "kafka": kafka },
            }),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "vcc-link",
            "version": "1.0.0",
            "description": "Calls in, what came of them out. Names of topics are settings. \
                Events are CloudEvents 1.0. Those that are published are in binary mode; those \
                that are read may be in structured mode too. In binary mode the data is JSON \
                (Protobuf's canonical mapping) or Protobuf, as content-type says; its schema is \
                that of the JSON.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages() },
    })
}

/// The name of a type's message in structured mode.
pub(crate) fn structured_name(event: EventType) -> String {
    format!("{}.structured", event.name)
}

/// The messages of a topic.
fn names(address: &str) -> Vec<String> {
    let events = EVENTS.into_iter().filter(|e| e.topic == address);
    let names: Vec<String> = events
        .flat_map(|event| {
            let structured = (event.way == Way::Read).then(|| structured_name(event));
            [Some(event.name.to_owned()), structured]
        })
        .flatten()
        .collect();
    if names.is_empty() {
        vec![QUARANTINED.to_owned()]
    } else {
        names
    }
}

/// All messages, by their names.
fn messages() -> Map<String, Value> {
    let mut messages = Map::new();
    for event in EVENTS {
        messages.insert(event.name.to_owned(), message(event));
        if event.way == Way::Read {
            messages.insert(structured_name(event), structured(event));
        }
    }
    messages.insert(QUARANTINED.to_owned(), quarantined());
    messages
}

/// A message of an event's type in binary mode.
fn message(event: EventType) -> Value {
    json!({
        "name": event.name,
        "summary": format!("{}.", schema::summary(event)),
        "contentType": "application/json",
        "headers": headers(event),
        "payload": payload(&reference_to(event)),
        "bindings": { "kafka": { "key": key(event) } },
    })
}

/// A message of an event's type in structured mode: attributes and data in one document.
fn structured(event: EventType) -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut data = reference_to(event);
    data["description"] = "The data, where it is JSON.".into();
    let document = json!({
        "type": "object",
        "properties": {
            "specversion": { "const": "1.0" },
            "id": text("The same for the same fact, however often it is sent."),
            "source": text("Who sends."),
            "type": { "const": event.name },
            "time": { "type": "string", "format": "date-time" },
            "expirytime": { "type": "string", "format": "date-time", "description": EXPIRY },
            "traceparent": text("W3C trace context."),
            "datacontenttype": { "enum": ["application/json", "application/protobuf"] },
            "data": data,
            "data_base64": text("The data in base64, where it is Protobuf."),
        },
        "required": ["specversion", "id", "source", "type"],
        "oneOf": [{ "required": ["data"] }, { "required": ["data_base64"] }],
    });
    let content_type = json!({ "const": "application/cloudevents+json" });
    json!({
        "name": event.name,
        "summary": format!("{}, in structured mode.", schema::summary(event)),
        "contentType": "application/cloudevents+json",
        "headers": {
            "type": "object",
            "properties": { "content-type": content_type },
            "required": ["content-type"],
        },
        "payload": payload(&document),
        "bindings": { "kafka": { "key": key(event) } },
    })
}

/// What is no valid event: as received, with where it stood and what is wrong behind its headers.
fn quarantined() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let number = |description: &str| json!({ "type": "string", "pattern": "^[0-9]+$", "description": description });
    json!({
        "name": QUARANTINED,
        "summary": "A record that is no valid event.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                "vcc-link-reason": text("What is wrong, and what to do."),
                "vcc-link-topic": text("The topic that it came from."),
                "vcc-link-partition": number("Its partition there."),
                "vcc-link-offset": number("Its offset there."),
                "vcc-link-cut-from":
                    number("How many bytes its value had, where it was too long to be kept whole."),
            },
            "required":
                ["vcc-link-reason", "vcc-link-topic", "vcc-link-partition", "vcc-link-offset"],
        },
        "payload": {
            "description": "Key, headers and value are as they were received, and may be anything.",
        },
    })
}

/// What `expirytime` says.
const EXPIRY: &str = "After this nobody needs the lookup's answer.";

/// A payload by a JSON Schema.
fn payload(schema: &Value) -> Value {
    json!({ "schemaFormat": "application/schema+json;version=2020-12", "schema": schema })
}

/// The file of the schema of an event's data.
fn reference_to(event: EventType) -> Value {
    json!({ "$ref": format!("{}.schema.json", event.name) })
}

/// A record's key.
fn key(event: EventType) -> Value {
    json!({ "type": "string", "description": capitalised(event.key) })
}

/// The CloudEvents attributes as headers.
fn headers(event: EventType) -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut properties = json!({
        "ce_specversion": { "const": "1.0" },
        "ce_id": text("The same for the same fact, however often it is sent."),
        "ce_source": text("Who sends."),
        "ce_type": { "const": event.name },
        "ce_time": { "type": "string", "format": "date-time" },
        "content-type": { "enum": ["application/json", "application/protobuf"] },
    });
    let mut required = vec!["ce_specversion", "ce_id", "ce_source", "ce_type"];
    let more: &[(&str, &str)] = match (event.way, event.topic) {
        (Way::Read, _) => &[
            ("traceparent", "W3C trace context."),
            ("ce_expirytime", EXPIRY),
        ],
        (_, "vcc.link-status") => &[
            ("ce_subject", "The account."),
            ("ce_partitionkey", "The key."),
            ("ce_sequence", "Grows with every event of the account."),
        ],
        (_, _) if event.name == "call.lookedup.v1" => &[
            ("ce_subject", "The interaction."),
            ("ce_partitionkey", "The key."),
            ("ce_correlationid", "The conversation."),
            ("traceparent", "W3C trace context."),
        ],
        _ => &[
            ("ce_subject", "The interaction."),
            ("ce_partitionkey", "The key."),
            ("ce_correlationid", "The conversation."),
            (
                "ce_causationid",
                "The id of the ended event that caused it.",
            ),
            ("traceparent", "W3C trace context."),
        ],
    };
    for (name, description) in more {
        properties[*name] = text(description);
    }
    match event.way {
        Way::Read => {}
        Way::Published => {
            required.extend(["ce_subject", "ce_time", "ce_partitionkey", "content-type"]);
            if event.topic == "vcc.link-status" {
                required.push("ce_sequence");
            }
        }
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{place}/{name}") })
}

fn capitalised(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..] + "."
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.push(target.clone());
                }
                map.values().for_each(|v| walk(v, found));
            }
            Value::Array(all) => all.iter().for_each(|v| walk(v, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 20);
    for target in references {
        let found = match target.strip_prefix('#') {
            Some(pointer) => document.pointer(pointer).is_some(),
            None => EVENTS
                .iter()
                .any(|e| format!("{}.schema.json", e.name) == target),
        };
        assert!(found, "{target}");
    }
}
