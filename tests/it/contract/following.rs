//! What goes over the wire follows the AsyncAPI document, and the document follows AsyncAPI.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value};
use vcc_link::kafka;
use vcc_link::kafka::consumer::Received;
use vcc_link::kafka::wire::decode::decode;
use vcc_link::kafka::wire::encode::{Encoded, Encoder};
use vcc_link::kafka::wire::envelope::Record;
use vcc_link::kafka::wire::quarantine::quarantined;
use vcc_link::kafka::wire::{Encoding, print};

use super::asyncapi::{QUARANTINED, document, structured_name};
use super::{EVENTS, EventType, Way, arbitrary, samples, schema};

type Headers = Vec<(String, Vec<u8>)>;

/// A message of the document, ready to be held to.
struct Message {
    /// The addresses of the channels that carry it.
    addresses: Vec<String>,
    /// What its headers may be.
    headers: Validator,
    /// The names of the headers that it tells of.
    names: Vec<String>,
    /// Those that must be there.
    required: Vec<String>,
    /// What its key may be.
    key: Option<Validator>,
    /// What its payload may be.
    payload: Validator,
}

/// The document's messages, by their names in it.
fn messages() -> BTreeMap<String, Message> {
    let document = document();
    let channels = document["channels"].as_object().expect("channels");
    let messages = document["components"]["messages"]
        .as_object()
        .expect("messages");
    let of = |(name, message): (&String, &Value)| {
        let carries = |channel: &&Value| channel["messages"].get(name).is_some();
        let address = |channel: &Value| channel["address"].as_str().expect("text").to_owned();
        let payload = &message["payload"];
        let key = &message["bindings"]["kafka"]["key"];
        let texts = |list: &Value| -> Vec<String> {
            let list = list.as_array().into_iter().flatten();
            list.map(|v| v.as_str().expect("text").to_owned()).collect()
        };
        let headers = &message["headers"];
        let properties = headers["properties"].as_object().expect("properties");
        let message = Message {
            addresses: channels.values().filter(carries).map(address).collect(),
            headers: validator(headers.clone()),
            names: properties.keys().cloned().collect(),
            required: texts(&headers["required"]),
            key: key.is_object().then(|| validator(key.clone())),
            payload: validator(payload.get("schema").unwrap_or(payload).clone()),
        };
        (name.clone(), message)
    };
    messages.iter().map(of).collect()
}

/// A validator of a schema of the document, the files that it names put in.
fn validator(mut schema: Value) -> Validator {
    put_in(&mut schema);
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).expect("a JSON Schema")
}

/// Puts the schemas of events in place of the references to their files.
fn put_in(schema: &mut Value) {
    let target = schema.get("$ref").and_then(Value::as_str);
    let target = target.map(str::to_owned);
    let event = EVENTS
        .into_iter()
        .find(|e| target.as_deref() == Some(&format!("{}.schema.json", e.name)));
    if let Some(event) = event {
        *schema = schema::of(event);
    } else if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(put_in);
    }
}

/// Headers as the document sees them.
fn object(headers: &Headers) -> Value {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
    let each = headers.iter().map(|(n, v)| (n.clone(), text(v).into()));
    each.collect::<Map<String, Value>>().into()
}

/// What is wrong with a value.
fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors.map(|error| error.to_string()).collect()
}

/// What is wrong with an event as it is encoded.
fn faults_of(message: &Message, encoded: &Encoded) -> Vec<String> {
    let headers = object(&encoded.headers);
    let record = Record {
        headers: &encoded.headers,
        value: Some(&encoded.payload),
    };
    let data = print::print(record).expect("our own events can be read")["data"].clone();
    let key = Value::from(encoded.key.clone());
    let mut wrong = faults(&message.headers, &headers);
    wrong.extend(faults(&message.payload, &data));
    wrong.extend(faults(message.key.as_ref().expect("a key"), &key));
    let untold = headers.as_object().expect("an object").keys();
    let untold = untold.filter(|name| !message.names.contains(name));
    wrong.extend(untold.map(|name| format!("the header {name} is not told of")));
    let names_key = |field: &str| data[field] == key;
    if !names_key("interactionId") && !names_key("accountId") {
        wrong.push(format!("the key {key} is not of {data}"));
    }
    wrong
}

#[test]
fn the_document_follows_asyncapi() {
    let text = include_str!("../../asyncapi/3.0.0.json");
    let schema: Value = serde_json::from_str(text).expect("JSON");
    let validator = jsonschema::draft7::new(&schema).expect("a JSON Schema");
    let document = document();
    assert_eq!(faults(&validator, &document), Vec::<String>::new());
    let wrong = [
        ("/info/version", Value::Null),
        ("/channels/calls/address", 5.into()),
        ("/operations/read.calls/action", "read".into()),
        ("/channels/calls/bindings/kafka", "compacted".into()),
        ("/components/messages/quarantined/headers", 5.into()),
    ];
    for (pointer, value) in wrong {
        let mut document = document.clone();
        *document.pointer_mut(pointer).expect(pointer) = value;
        assert!(!validator.is_valid(&document), "{pointer}");
    }
}

#[test]
fn what_is_published_follows_the_document() {
    let messages = messages();
    let topics = kafka::Config::default().topics;
    let mut runner = proptest::test_runner::TestRunner::default();
    let run = runner.run(&arbitrary::published(), |event| {
        let message = &messages[event.event_type()];
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let encoded = Encoder::new(encoding).encode(&event);
            let wrong = faults_of(message, &encoded);
            prop_assert!(wrong.is_empty(), "{} {wrong:?}", event.event_type());
            prop_assert_eq!(&message.addresses, &[topics.name(encoded.topic).to_owned()]);
            for required in &message.required {
                let mut less = encoded.headers.clone();
                less.retain(|(name, _)| name != required);
                prop_assert!(!message.headers.is_valid(&object(&less)), "{required}");
            }
        }
        Ok(())
    });
    run.unwrap();
}

/// Whether a record is read.
fn is_read(headers: &Headers, value: &[u8]) -> bool {
    let record = Record {
        headers,
        value: Some(value),
    };
    decode(record, 1 << 20).is_ok()
}

/// The types that are read.
fn read() -> impl Iterator<Item = EventType> {
    EVENTS.into_iter().filter(|event| event.way == Way::Read)
}

#[test]
fn what_is_read_in_binary_mode_is_what_the_document_says() {
    let messages = messages();
    let topics = kafka::Config::default().topics;
    for event in read() {
        let message = &messages[event.name];
        assert_eq!(message.addresses, topics.calls);
        for (ending, content_type) in [("json", "application/json"), ("pb", "application/protobuf")]
        {
            let value = samples::bytes(event.name, ending);
            let mut headers = samples::headers(event.name, content_type);
            headers.push(("ce_expirytime".into(), b"2026-11-23T22:00:00Z".to_vec()));
            // Of all headers that are told of, each is left out once.
            assert_eq!(faults(&message.headers, &object(&headers)), [""; 0]);
            for left_out in &message.names {
                let mut less = headers.clone();
                less.retain(|(name, _)| name != left_out);
                assert_ne!(less.len(), headers.len(), "{left_out}");
                if left_out == "content-type" && ending == "pb" {
                    continue;
                }
                let valid = message.headers.is_valid(&object(&less));
                assert_eq!(is_read(&less, &value), valid, "without {left_out}");
            }
        }
    }
}

#[test]
fn what_is_read_in_structured_mode_is_what_the_document_says() {
    let messages = messages();
    let topics = kafka::Config::default().topics;
    let content_type = b"application/cloudevents+json".to_vec();
    let headers: Headers = vec![("content-type".into(), content_type)];
    for event in read() {
        let message = &messages[&structured_name(event)];
        assert_eq!(message.addresses, topics.calls);
        assert!(message.headers.is_valid(&object(&headers)));
        let sample = samples::bytes(event.name, "structured.json");
        let sample: Value = serde_json::from_slice(&sample).expect("JSON");
        let agree = |document: &Value, what: &str| {
            let valid = message.payload.is_valid(document);
            let text = document.to_string();
            assert_eq!(is_read(&headers, text.as_bytes()), valid, "{what}");
            valid
        };
        assert!(agree(&sample, "the sample"));
        for name in sample.as_object().expect("an object").keys() {
            let mut less = sample.clone();
            less.as_object_mut().expect("an object").remove(name);
            agree(&less, &format!("without {name}"));
        }
        for (name, value) in [
            ("specversion", "0.3"),
            ("time", "yesterday"),
            ("datacontenttype", "text/xml"),
            ("data_base64", "AAAA"),
            ("data", "text"),
        ] {
            let mut other = sample.clone();
            other[name] = value.into();
            assert!(!agree(&other, name), "{name}: {value}");
        }
        let mut protobuf = sample.clone();
        protobuf.as_object_mut().expect("an object").remove("data");
        let bytes = samples::bytes(event.name, "pb");
        let encoded = STANDARD.encode(bytes);
        protobuf["data_base64"] = encoded.into();
        protobuf["datacontenttype"] = "application/protobuf".into();
        assert!(agree(&protobuf, "Protobuf"));
    }
}

#[test]
fn what_is_quarantined_follows_the_document() {
    let message = &messages()[QUARANTINED];
    let topics = kafka::Config::default().topics;
    assert_eq!(message.addresses, std::slice::from_ref(&topics.quarantine));
    for (longest, cut) in [(100, false), (3, true)] {
        let received = Received {
            partition: ("vcc.calls".into(), 7),
            offset: 42,
            timestamp_ms: None,
            key: None,
            headers: vec![("any".into(), b"thing".to_vec())],
            unreadable_headers: 0,
            value: Some(b"no event".to_vec()),
        };
        let sent = quarantined(&topics.quarantine, &received, "no JSON", longest);
        let headers = object(&sent.headers);
        assert_eq!(faults(&message.headers, &headers), [""; 0]);
        assert_eq!(headers["any"], "thing");
        for name in &message.names {
            let told = headers.get(name).is_some();
            assert_eq!(told, cut || message.required.contains(name), "{name}");
        }
        let ours = headers.as_object().expect("an object").keys();
        let untold = ours.filter(|n| n.starts_with("vcc-link-") && !message.names.contains(n));
        assert_eq!(untold.count(), 0);
    }
}
