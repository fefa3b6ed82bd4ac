//! What we publish follows its documents, in both encodings.

use std::collections::BTreeMap;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;
use vcc_link::kafka::wire::encode::{Encoded, Encoder};
use vcc_link::kafka::wire::envelope::Record;
use vcc_link::kafka::wire::{Encoding, print};

use super::{EVENTS, EventType, arbitrary, schema};

/// The schemas of all types.
pub(crate) fn validators() -> BTreeMap<&'static str, Validator> {
    let of = |event: EventType| {
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&schema::of(event)).expect("a JSON Schema");
        (event.name, validator)
    };
    EVENTS.into_iter().map(of).collect()
}

fn header<'a>(encoded: &'a Encoded, name: &str) -> Option<&'a str> {
    let found = encoded.headers.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| std::str::from_utf8(value).expect("text"))
}

fn document(encoded: &Encoded) -> Value {
    let record = Record {
        headers: &encoded.headers,
        value: Some(&encoded.payload),
    };
    print::print(record).expect("our own events can be read")
}

#[test]
fn the_schemas_are_held_to() {
    let validators = validators();
    let mut runner = proptest::test_runner::TestRunner::default();
    let run = runner.run(&arbitrary::published(), |event| {
        let json = Encoder::new(Encoding::Json).encode(&event);
        let data: Value = serde_json::from_slice(&json.payload).expect("JSON");
        let validator = &validators[event.event_type()];
        let faults: Vec<String> = validator
            .iter_errors(&data)
            .map(|e| e.to_string())
            .collect();
        prop_assert!(faults.is_empty(), "{faults:?} in {data}");
        let protobuf = Encoder::new(Encoding::Protobuf).encode(&event);
        prop_assert_eq!(&document(&protobuf)["data"], &document(&json)["data"]);
        Ok(())
    });
    run.unwrap();
}

proptest! {
    #[test]
    fn the_same_event_is_the_same_bytes(event in arbitrary::published()) {
        let encoder = Encoder::new(Encoding::Protobuf);
        let encoded = encoder.encode(&event);
        prop_assert!(encoded == encoder.encode(&event));
        prop_assert_eq!(&encoded.key, event.key());
        let id = event.id();
        prop_assert_eq!(header(&encoded, "ce_id"), Some(id.as_str()));
        prop_assert_eq!(header(&encoded, "ce_type"), Some(event.event_type()));
        prop_assert_eq!(header(&encoded, "ce_subject"), Some(event.key()));
        prop_assert_eq!(header(&encoded, "content-type"), Some("application/protobuf"));
        let time = header(&encoded, "ce_time").expect("a time");
        prop_assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok());
    }
}
