//! One sample of every type in every form. Those of the platform's events are written by hand as
//! JSON data, ours are what we publish; the other forms follow.

use chrono::{DateTime, Utc};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vcc_link::domain::call::{CallEnded, CallEvent};
use vcc_link::domain::event::{CallLog, CallLookedUp, LinkStatusChanged, Published};
use vcc_link::domain::ids::{Generation, Revision, Sequence};
use vcc_link::domain::link::{Actor, Environment, Health, LinkReason, LinkStatus};
use vcc_link::domain::matching::{
    Candidate, LookupAnswer, LookupResult, MatchRule, RecordType, Via,
};
use vcc_link::domain::outcome::{
    DeadReason, Failure, FailureClass, FailureScope, LoggedAs, Outcome, ParkReason,
};
use vcc_link::domain::task::OwnerSource;
use vcc_link::kafka::wire::decode::{Decoded, decode};
use vcc_link::kafka::wire::encode::{Encoded, Encoder};
use vcc_link::kafka::wire::envelope::Record;
use vcc_link::kafka::wire::{Encoding, print, proto};

use super::{EVENTS, Way, check_file, json_text, path};

/// A value of any size is read.
const LONGEST: usize = 1 << 20;

/// Where a sample is.
pub(crate) fn file(name: &str, ending: &str) -> String {
    format!("tests/samples/{name}.{ending}")
}

/// A sample's bytes.
pub(crate) fn bytes(name: &str, ending: &str) -> Vec<u8> {
    std::fs::read(path(&file(name, ending))).expect("the sample is there")
}

/// A record in binary mode.
pub(crate) fn headers(name: &str, content_type: &str) -> Vec<(String, Vec<u8>)> {
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "2f6d1f0e-7a52-4c43-b1d5-95a1d9a7a001"),
        ("ce_source", "/vcc/emea/accounts/acme-uk"),
        ("ce_type", name),
        ("ce_time", "2026-11-23T21:12:40.500Z"),
        ("ce_subject", "016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("content-type", content_type),
    ];
    attributes
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .to_vec()
}

/// Reads a record.
pub(crate) fn read(headers: &[(String, Vec<u8>)], value: &[u8]) -> CallEvent {
    let record = Record {
        headers,
        value: Some(value),
    };
    match decode(record, LONGEST) {
        Ok(Decoded::Call(event)) => event,
        other => panic!("a call event, not {other:?}"),
    }
}

/// The sample of an ended call.
pub(crate) fn ended() -> CallEnded {
    let name = "call.ended.v1";
    match read(&headers(name, "application/json"), &bytes(name, "json")) {
        CallEvent::Ended(ended) => *ended,
        CallEvent::Started(_) => panic!("an end"),
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// One event of each type that we publish.
fn published() -> Vec<Published> {
    let call = ended().facts.id;
    let answer = LookupAnswer {
        result: LookupResult::Matched,
        record: Some(Candidate {
            id: "003B0000005Bk90IAC".parse().expect("an id"),
            record_type: RecordType::Contact,
            name: Some("Ada Byron".to_owned().into()),
            account: Some("001B0000005Bk90IAC".parse().expect("an id")),
            modified_at: None,
        }),
        url: Some(
            "https://acme.my.salesforce.com/003B0000005Bk90IAC"
                .to_owned()
                .into(),
        ),
        rule: Some(MatchRule::ObjectPriority),
        candidates: 2,
        shown: ["003B0000005Bk90IAC", "001B0000005Bk90IAC"]
            .map(|id| id.parse().expect("an id"))
            .to_vec(),
        via: Some(Via::Search),
        answered_at: at("2026-11-23T21:08:15.900Z"),
    };
    let looked_up = CallLookedUp {
        call: call.clone(),
        answer: answer.clone(),
        generation: Generation(3),
        valid_until: at("2026-11-23T21:13:15.900Z"),
        test: true,
        conversation_id: Some("c0ffee00-5d2b-4f3b-8a52-9e7d5c2f7d10".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    let log = |outcome| {
        Published::CallLog(Box::new(CallLog {
            call: call.clone(),
            revision: Revision(1),
            caused_by: Some(
                "2f6d1f0e-7a52-4c43-b1d5-95a1d9a7a001"
                    .parse()
                    .expect("an id"),
            ),
            generation: Generation(3),
            org: Some("00DB0000000TfcRMAS".parse().expect("an id")),
            outcome,
            lookup: Some(answer.clone()),
            task_key: call.task_key(),
            who: Some("003B0000005Bk90IAC".parse().expect("an id")),
            what: Some("001B0000005Bk90IAC".parse().expect("an id")),
            owner_source: Some(OwnerSource::Email),
            attempts: 1,
            ended_at: Some(at("2026-11-23T21:12:40.500Z")),
            received_at: Some(at("2026-11-23T21:12:41.200Z")),
            test: true,
            decided_at: at("2026-11-23T21:12:43.100Z"),
            deferral: 0,
            replay: 0,
            conversation_id: Some("c0ffee00-5d2b-4f3b-8a52-9e7d5c2f7d10".into()),
            traceparent: None,
        }))
    };
    let failure = |class, code: &str, hint: &str| Failure {
        http_status: Some(400),
        hint: hint.into(),
        ..Failure::new(class, FailureScope::Record, code)
    };
    let revoked = failure(FailureClass::Link, "invalid_grant", "Press Relink.");
    let refused = failure(
        FailureClass::Admin,
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "A validation rule on Task refuses it: ask the org's admin to let the API user pass.",
    );
    vec![
        Published::CallLookedUp(Box::new(looked_up)),
        log(Outcome::Parked {
            reason: ParkReason::LinkBroken,
            failure: Some(revoked.clone()),
            until: Some(at("2026-12-24T09:33:00Z")),
        }),
        log(Outcome::Logged {
            how: LoggedAs::Created,
            task: "00TB0000005Bk90MAC".parse().expect("an id"),
        }),
        log(Outcome::Dead {
            reason: DeadReason::Refused,
            failure: Some(refused),
        }),
        Published::LinkStatusChanged(Box::new(LinkStatusChanged {
            account: call.account.clone(),
            previous_status: LinkStatus::Linked,
            status: LinkStatus::Linked,
            previous_health: Health::Healthy,
            health: Health::Broken,
            reason: LinkReason::TokenRevoked,
            generation: Generation(3),
            sequence: Sequence(8),
            org: Some("00DB0000000TfcRMAS".parse().expect("an id")),
            environment: Some(Environment::Production),
            instance_url: Some("https://acme.my.salesforce.com".into()),
            username_masked: Some("vc***@acme.example".into()),
            actor: Actor::Salesforce,
            parked_calls: 1,
            failure: Some(revoked),
            effective_at: at("2026-11-23T21:12:42.000Z"),
            broken_since: Some(at("2026-11-23T21:12:42.000Z")),
            restated: None,
        })),
    ]
}

fn encode(event: &Published, encoding: Encoding) -> Encoded {
    Encoder::new(encoding).encode(event)
}

fn record(encoded: &Encoded) -> Record<'_> {
    Record {
        headers: &encoded.headers,
        value: Some(&encoded.payload),
    }
}

/// JSON data as Protobuf; fails if the JSON is not the message's canonical JSON.
fn protobuf<T: Message + Default + DeserializeOwned + Serialize>(data: &Value) -> Vec<u8> {
    let message: T = serde_json::from_value(data.clone()).expect("the sample follows the schema");
    let again = serde_json::to_value(&message).expect("JSON");
    assert_eq!(&again, data, "the sample is canonical JSON");
    message.encode_to_vec()
}

#[test]
fn the_samples_of_the_platforms_events_say_the_same_in_every_form() {
    for event in EVENTS.into_iter().filter(|e| e.way == Way::Read) {
        let name = event.name;
        let json = bytes(name, "json");
        let data: Value = serde_json::from_slice(&json).expect("JSON");
        let binary = match name {
            "call.started.v1" => protobuf::<proto::CallStarted>(&data),
            _ => protobuf::<proto::CallEnded>(&data),
        };
        check_file(&file(name, "pb"), &binary);
        let structured = json!({
            "specversion": "1.0",
            "id": "2f6d1f0e-7a52-4c43-b1d5-95a1d9a7a001",
            "source": "/vcc/emea/accounts/acme-uk",
            "type": name,
            "time": "2026-11-23T21:12:40.500Z",
            "subject": "016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "datacontenttype": "application/json",
            "data": data,
        });
        check_file(&file(name, "structured.json"), &json_text(&structured));

        let by_json = read(&headers(name, "application/json"), &json);
        let by_protobuf = read(&headers(name, "application/protobuf"), &binary);
        let content_type = (
            "content-type".to_owned(),
            b"application/cloudevents+json".to_vec(),
        );
        let by_structure = read(&[content_type], &json_text(&structured));
        assert_eq!(by_json, by_protobuf, "{name}");
        assert_eq!(by_json, by_structure, "{name}");
        assert_eq!(
            by_json.call().to_string(),
            "acme-uk/016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47"
        );
    }
}

#[test]
fn the_samples_of_our_events_are_what_we_publish() {
    let types = EVENTS.into_iter().filter(|e| e.way == Way::Published);
    for (event, published) in types.zip(published()) {
        let name = event.name;
        assert_eq!(published.event_type(), name);
        let (json, binary) = (
            encode(&published, Encoding::Json),
            encode(&published, Encoding::Protobuf),
        );
        let document = print::print(record(&json)).expect("printed");
        assert_eq!(
            print::print(record(&binary)).expect("printed")["data"],
            document["data"],
            "{name}"
        );
        check_file(&file(name, "json"), &json_text(&document["data"]));
        check_file(&file(name, "structured.json"), &json_text(&document));
        check_file(&file(name, "pb"), &binary.payload);
    }
}
