//! The AsyncAPI 3.0 document: topics, who sends what, keys and headers.

use serde_json::{Map, Value, json};

use super::{EVENTS, EventType, Way, schema};

/// Topics by default: channel, address, what it carries, and its Kafka policy.
const CHANNELS: [(&str, &str, &str, &str); 3] = [
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
];

/// The document.
pub(crate) fn document() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for (channel, address, description, policy) in CHANNELS {
        let events: Vec<EventType> = EVENTS.into_iter().filter(|e| e.topic == address).collect();
        let messages: Map<String, Value> = events
            .iter()
            .map(|e| (e.name.to_owned(), reference("components/messages", e.name)))
            .collect();
        let in_channel = events
            .iter()
            .map(|e| json!({ "$ref": format!("#/channels/{channel}/messages/{}", e.name) }));
        let (verb, action) = match events[0].way {
            Way::Read => ("read", "receive"),
            Way::Published => ("publish", "send"),
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
    let messages: Map<String, Value> = EVENTS
        .into_iter()
        .map(|event| (event.name.to_owned(), message(event)))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "vcc-link",
            "version": "1.0.0",
            "description": "Calls in, what came of them out. Names of topics are settings. \
                Events are CloudEvents 1.0 in binary mode; their data is JSON (Protobuf's \
                canonical mapping) or Protobuf, as content-type says.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}

/// A message of an event's type.
fn message(event: EventType) -> Value {
    json!({
        "name": event.name,
        "summary": format!("{}.", schema::summary(event)),
        "contentType": "application/json",
        "headers": headers(event),
        "payload": {
            "schemaFormat": "application/schema+json;version=2020-12",
            "schema": { "$ref": format!("{}.schema.json", event.name) },
        },
        "bindings": {
            "kafka": { "key": { "type": "string", "description": capitalised(event.key) } },
        },
    })
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
        "traceparent": text("W3C trace context."),
    });
    let mut required = vec!["ce_specversion", "ce_id", "ce_source", "ce_type"];
    let more: &[(&str, &str)] = match (event.way, event.topic) {
        (Way::Read, _) => &[(
            "ce_expirytime",
            "After this nobody needs the lookup's answer.",
        )],
        (_, "vcc.link-status") => &[
            ("ce_subject", "The account."),
            ("ce_partitionkey", "The key."),
            ("ce_sequence", "Grows with every event of the account."),
        ],
        _ => &[
            ("ce_subject", "The interaction."),
            ("ce_partitionkey", "The key."),
            ("ce_correlationid", "The conversation."),
            (
                "ce_causationid",
                "The id of the ended event that caused it.",
            ),
        ],
    };
    for (name, description) in more {
        properties[*name] = text(description);
    }
    if event.way == Way::Published {
        required.extend(["ce_subject", "ce_time", "ce_partitionkey", "content-type"]);
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
