//! Whatever lies in the topic is read, ignored, or refused with a reason that repeats nothing of it.

use vcc_link::kafka::wire::decode::{Decoded, decode, decode_structured};
use vcc_link::kafka::wire::envelope::Record;

use crate::damage::damaged;

/// The longest value that is read here, in bytes.
const LONGEST: usize = 64 * 1024;

/// The longest reason, in characters: it stands in a header and on a page.
const LONGEST_REASON: usize = 400;

/// What stands in every sample where a person's words or number stand, so that a reason which repeats it is seen.
const SECRETS: [&str; 2] = ["7946", "2079460018"];

const SAMPLES: [&[u8]; 6] = [
    include_bytes!("../../tests/samples/call.started.v1.json"),
    include_bytes!("../../tests/samples/call.ended.v1.json"),
    include_bytes!("../../tests/samples/call.started.v1.pb"),
    include_bytes!("../../tests/samples/call.ended.v1.pb"),
    include_bytes!("../../tests/samples/call.started.v1.structured.json"),
    include_bytes!("../../tests/samples/call.ended.v1.structured.json"),
];

/// The headers of a record: the type and encoding that the recipe chooses, and one header that it spoils.
fn headers(recipe: u8, spoil: &[u8]) -> Vec<(String, Vec<u8>)> {
    let kinds = ["call.started.v1", "call.ended.v1", "call.else.v1"];
    let encodings = [
        "application/json",
        "application/protobuf",
        "application/cloudevents+json",
    ];
    let recipe = usize::from(recipe);
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "2f6d1f0e-7a52-4c43-b1d5-95a1d9a7a001"),
        ("ce_source", "/vcc/emea/accounts/acme-uk"),
        ("ce_type", kinds[recipe % 3]),
        ("ce_time", "2026-11-23T21:12:40.500Z"),
        ("ce_subject", "016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47"),
        ("content-type", encodings[recipe / 3 % 3]),
    ];
    let mut headers = attributes.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    if let Some((_, spoilt)) = headers.get_mut(recipe / 9) {
        *spoilt = spoil.to_vec();
    }
    headers.to_vec()
}

/// Tries one input.
pub fn check(input: &[u8]) {
    let Some((choice, recipe)) = input.split_first() else {
        return;
    };
    let value = damaged(&SAMPLES, recipe);
    let headers = headers(*choice, recipe.get(..12).unwrap_or(recipe));
    let record = Record {
        headers: &headers,
        value: Some(&value),
    };
    for read in [decode(record, LONGEST), decode_structured(&value)] {
        match read {
            Ok(Decoded::Call(_)) => {}
            Ok(Decoded::Ignored { event_type }) => assert!(event_type.chars().count() <= 100),
            Err(rejected) => {
                let reason = rejected.to_string();
                assert!(reason.chars().count() <= LONGEST_REASON, "{reason}");
                assert!(
                    SECRETS.iter().all(|secret| !reason.contains(secret)),
                    "{reason}"
                );
            }
        }
    }
}
