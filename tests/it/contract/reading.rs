//! What the platform sends is read as its documents say; anything else is refused with a reason
//! that tells nothing of it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use serde_json::{Value, json};
use vcc_link::domain::call::{
    CallEnded, CallEvent, CallFacts, CallOutcome, CallStarted, CustomerSide, Direction, Party,
    Presentation,
};
use vcc_link::domain::private::Private;
use vcc_link::kafka::wire::decode::{Decoded, decode, decode_structured};
use vcc_link::kafka::wire::envelope::{Record, Rejected};
use vcc_link::kafka::wire::proto;
use vcc_link::kafka::wire::timestamp::Timestamp;

use super::writing::validators;
use super::{EVENTS, Way, arbitrary, samples, schema};

const LONGEST: usize = 1 << 20;

fn read(headers: &[(String, Vec<u8>)], value: &[u8]) -> Result<Decoded, Rejected> {
    let record = Record {
        headers,
        value: Some(value),
    };
    decode(record, LONGEST)
}

/// A value out of a path of names; `None` where one is missing.
fn without(data: &Value, path: &[&str]) -> Value {
    let mut data = data.clone();
    let (last, above) = path.split_last().expect("a name");
    let mut at = &mut data;
    for name in above {
        at = &mut at[*name];
        if at.is_array() {
            at = &mut at[0];
        }
    }
    let removed = at.as_object_mut().expect("an object").remove(*last);
    assert!(removed.is_some(), "the sample has {path:?}");
    data
}

/// The decoder and the schema agree on which fields are required: each of the sample's is left
/// out once.
#[test]
fn required_is_what_the_schema_says() {
    let validators = validators();
    for event in EVENTS.into_iter().filter(|e| e.way == Way::Read) {
        let sample = samples::bytes(event.name, "json");
        let sample: Value = serde_json::from_slice(&sample).expect("JSON");
        let schema = schema::of(event);
        let headers = samples::headers(event.name, "application/json");
        let check = |path: &[&str], object: &Value| {
            let name = *path.last().expect("a name");
            let required = object["required"]
                .as_array()
                .is_some_and(|r| r.contains(&name.into()));
            let data = without(&sample, path);
            let answer = read(&headers, data.to_string().as_bytes());
            assert_eq!(answer.is_err(), required, "{} without {path:?}", event.name);
            assert_eq!(validators[event.name].is_valid(&data), !required);
        };
        for (name, property) in schema["properties"].as_object().expect("properties") {
            check(&[name], &schema);
            let target = property["$ref"]
                .as_str()
                .or_else(|| property["items"]["$ref"].as_str());
            let Some(target) = target else { continue };
            let inner = schema.pointer(&target[1..]).expect("a definition");
            let inner_names = inner["properties"].as_object().expect("properties");
            for inner_name in inner_names.keys() {
                if sample[name]
                    .get(inner_name)
                    .or_else(|| sample[name][0].get(inner_name))
                    .is_some()
                {
                    check(&[name, inner_name], inner);
                }
            }
        }
    }
}

#[test]
fn a_refusal_says_what_to_do_and_repeats_nothing() {
    let name = "call.ended.v1";
    let sample: Value = serde_json::from_slice(&samples::bytes(name, "json")).expect("JSON");
    let headers = samples::headers(name, "application/json");
    let secret = "+4420SECRET";
    let wrong = [
        (
            "outcome",
            json!(secret),
            "outcome: write one of answered, missed",
        ),
        (
            "direction",
            json!(secret),
            "direction: write inbound, outbound or internal",
        ),
        (
            "accountId",
            json!(secret),
            "accountId: an account id may hold only",
        ),
        (
            "interactionId",
            json!("\u{0}SECRET"),
            "interactionId: an interaction id may hold only",
        ),
        (
            "startedAt",
            json!(secret),
            "does not follow the schema of call.ended.v1",
        ),
        (
            "endedAt",
            json!("0001-01-01T00:00:00Z"),
            "endedAt is no time between",
        ),
        ("durationMs", json!(-1), "durationMs is below zero"),
        ("revision", json!(-1), "revision: write 0 for the end"),
        ("medium", json!(secret), "medium: only \"phone\" is known"),
        (
            "agent",
            json!({ "crmUserId": secret }),
            "agent.crmUserId: a user id must be",
        ),
        (
            "from",
            json!(secret),
            "does not follow the schema of call.ended.v1",
        ),
        ("legs", json!([{}]), "legs.legId is missing"),
    ];
    for (field, value, reason) in wrong {
        let mut data = sample.clone();
        data[field] = value;
        let refused = read(&headers, data.to_string().as_bytes()).expect_err(field);
        assert!(refused.reason.contains(reason), "{}", refused.reason);
        assert!(!refused.reason.contains("SECRET"), "{}", refused.reason);
    }
}

#[test]
fn the_envelope_is_checked() {
    let sample = samples::bytes("call.started.v1", "json");
    let with = |name: &str, value: Option<&str>| {
        let mut headers = samples::headers("call.started.v1", "application/json");
        headers.retain(|(n, _)| n != name);
        headers.extend(value.map(|v| (name.to_owned(), v.as_bytes().to_vec())));
        read(&headers, &sample)
    };
    let refused = [
        ("ce_specversion", Some("0.3"), "specversion: write 1.0"),
        ("ce_specversion", None, "neither ce_specversion nor"),
        ("ce_id", None, "the header ce_id is missing"),
        ("ce_id", Some("a b"), "id: an event id may hold only"),
        ("ce_source", None, "the header ce_source is missing"),
        ("ce_type", Some(""), "the header ce_type is missing"),
        ("ce_time", Some("yesterday"), "ce_time is no time"),
        (
            "content-type",
            Some("text/xml"),
            "content-type: write application/json",
        ),
        (
            "content-type",
            Some("application/cloudevents+avro"),
            "only application/cloudevents+json",
        ),
        (
            "ce_source",
            Some(&"x".repeat(2000)),
            "the header ce_source has over 1024 bytes",
        ),
    ];
    for (name, value, reason) in refused {
        let refused = with(name, value).expect_err(name);
        assert!(refused.reason.contains(reason), "{}", refused.reason);
    }
    let accepted = [
        ("content-type", None),
        ("content-type", Some("application/json; charset=utf-8")),
        ("ce_time", None),
        ("traceparent", None),
        ("ce_comexampleanything", Some("x")),
    ];
    for (name, value) in accepted {
        assert!(
            matches!(with(name, value), Ok(Decoded::Call(_))),
            "{name} {value:?}"
        );
    }
    let other = with("ce_type", Some("call.parked.v1"));
    let parked = "call.parked.v1".to_owned();
    assert_eq!(other, Ok(Decoded::Ignored { event_type: parked }));
    let tombstone = Record {
        headers: &[],
        value: None,
    };
    assert!(decode(tombstone, LONGEST).is_err());
    let long = decode(
        Record {
            headers: &[],
            value: Some(&sample),
        },
        10,
    );
    assert!(
        long.expect_err("too long")
            .reason
            .contains("kafka.max_event_bytes")
    );
}

/// An event of a type that is not read is ignored whatever else it holds: nothing of it is ours to
/// judge.
#[test]
fn the_type_is_looked_at_first() {
    let parked = "call.parked.v1";
    let ignored = Ok(Decoded::Ignored {
        event_type: parked.to_owned(),
    });
    let with = |name: &str, value: Option<&str>| {
        let mut headers = samples::headers(parked, "application/json");
        headers.retain(|(n, _)| n != name);
        headers.extend(value.map(|v| (name.to_owned(), v.as_bytes().to_vec())));
        headers
    };
    let changes = [
        ("content-type", Some("application/avro")),
        ("content-type", Some("text/xml")),
        ("ce_specversion", Some("1.1")),
        ("ce_id", None),
        ("ce_source", None),
        ("ce_time", Some("yesterday")),
        ("ce_source", Some(&"x".repeat(2000))),
    ];
    for (name, value) in changes {
        let headers = with(name, value);
        assert_eq!(read(&headers, b"no JSON"), ignored, "{name} {value:?}");
    }
    let mut headers = with("content-type", None);
    headers.push(("content-type".into(), vec![0xff]));
    let record = |value| Record {
        headers: &headers,
        value,
    };
    assert_eq!(decode(record(None), LONGEST), ignored, "without data");
    assert_eq!(decode(record(Some(b"long")), 3), ignored, "too long");

    let documents = [
        json!({ "specversion": "1.0", "id": "1", "source": "/", "type": parked }),
        json!({ "type": parked }),
        json!({ "type": parked, "datacontenttype": "application/avro", "data": "x" }),
        json!({ "type": parked, "data": {}, "data_base64": "!" }),
        json!({ "type": parked, "id": 5, "time": [] }),
    ];
    for document in documents {
        let text = document.to_string();
        assert_eq!(decode_structured(text.as_bytes()), ignored, "{text}");
        assert_eq!(read(&[], text.as_bytes()), ignored, "{text}");
        let ours = text.replace(parked, "call.ended.v1");
        assert!(read(&[], ours.as_bytes()).is_err(), "{ours}");
    }
}

#[test]
fn people_may_write_numbers_unknown_fields_and_long_texts() {
    let name = "call.ended.v1";
    let mut data: Value = serde_json::from_slice(&samples::bytes(name, "json")).expect("JSON");
    data["durationMs"] = json!(265_250);
    data["sentiment"] = json!({ "score": [1, 2] });
    data["customerSide"] = json!("third");
    data["notes"] = json!(format!("a\u{0}b\tc\n{}", "x".repeat(40_000)));
    data["endedBy"] = json!("é".repeat(300));
    let many: BTreeMap<String, String> = (0..40).map(|n| (format!("k{n}"), "v".into())).collect();
    data["attributes"] = json!(many);
    let headers = samples::headers(name, "application/json");
    let CallEvent::Ended(ended) = samples::read(&headers, data.to_string().as_bytes()) else {
        panic!("an end");
    };
    assert_eq!(ended.durations.total, Duration::from_millis(265_250));
    assert_eq!(ended.facts.customer_side, None);
    let notes = ended.notes.expect("notes");
    assert!(notes.expose().starts_with("ab\tc\nxxx"));
    assert_eq!(notes.expose().chars().count(), 32_000);
    assert_eq!(ended.ended_by.expect("text").chars().count(), 255);
    assert_eq!(ended.facts.attributes.len(), 32);
}

fn stamp(at: DateTime<Utc>) -> Option<Timestamp> {
    Some(at.into())
}

fn exposed(text: Option<&Private<String>>) -> String {
    text.map(|t| t.expose().clone()).unwrap_or_default()
}

fn shown(text: Option<&impl ToString>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn millis(span: Duration) -> Option<i64> {
    Some(i64::try_from(span.as_millis()).expect("it fits"))
}

fn party(party: &Party) -> Option<proto::Party> {
    use proto::presentation::Value;
    Some(proto::Party {
        e164: exposed(party.e164.as_ref()),
        raw: exposed(party.raw.as_ref()),
        presentation: match party.presentation {
            Presentation::Allowed => Value::Allowed,
            Presentation::Restricted => Value::Restricted,
            Presentation::Unavailable => Value::Unavailable,
        }
        .into(),
    })
}

/// The fields that both events have, in the message of the one or the other.
macro_rules! with_facts {
    ($message:ident, $facts:expr, { $($field:ident: $value:expr),* $(,)? }) => {{
        let facts: &CallFacts = $facts;
        proto::$message {
            account_id: facts.id.account.to_string(),
            interaction_id: facts.id.interaction.to_string(),
            conversation_id: shown(facts.conversation_id.as_ref()),
            direction: match facts.direction {
                Direction::Inbound => proto::direction::Value::Inbound,
                Direction::Outbound => proto::direction::Value::Outbound,
                Direction::Internal => proto::direction::Value::Internal,
            }
            .into(),
            started_at: stamp(facts.started_at),
            from: party(&facts.from),
            to: party(&facts.to),
            customer_side: match facts.customer_side {
                None => proto::customer_side::Value::Unspecified,
                Some(CustomerSide::From) => proto::customer_side::Value::From,
                Some(CustomerSide::To) => proto::customer_side::Value::To,
            }
            .into(),
            service: Some(proto::Service {
                service_name: shown(facts.service.name.as_ref()),
                address_name: shown(facts.service.address_name.as_ref()),
                interaction_plan: shown(facts.service.interaction_plan.as_ref()),
                ..Default::default()
            }),
            queue: facts.service.queue.clone().map(|name| proto::Queue {
                name,
                ..Default::default()
            }),
            agent: Some(proto::Agent {
                agent_id: shown(facts.agent.agent_id.as_ref()),
                user_id: shown(facts.agent.user_id.as_ref()),
                email: exposed(facts.agent.email.as_ref()),
                crm_user_id: shown(facts.agent.crm_user.as_ref()),
            }),
            crm_context: Some(proto::CrmContext {
                record_id: shown(facts.crm.record.as_ref()),
                existing_task_id: shown(facts.crm.existing_task.as_ref()),
                origin: shown(facts.crm.origin.as_ref()),
                ..Default::default()
            }),
            attributes: facts
                .attributes
                .iter()
                .map(|(key, value)| (key.clone(), value.expose().clone()))
                .collect(),
            test: facts.test,
            $($field: $value,)*
            ..Default::default()
        }
    }};
}

fn started(event: &CallStarted) -> proto::CallStarted {
    with_facts!(CallStarted, &event.facts, {})
}

fn ended(event: &CallEnded) -> proto::CallEnded {
    use proto::call_outcome::Value;
    use proto::recording_state::Value as State;
    let durations = &event.durations;
    with_facts!(CallEnded, &event.facts, {
        ended_at: stamp(event.ended_at),
        duration_ms: millis(durations.total),
        ring_ms: durations.ring.and_then(millis),
        queue_ms: durations.queue.and_then(millis),
        talk_ms: durations.talk.and_then(millis),
        hold_ms: durations.hold.and_then(millis),
        wrap_ms: durations.wrap.and_then(millis),
        outcome: match event.outcome {
            CallOutcome::Answered => Value::Answered,
            CallOutcome::Missed => Value::Missed,
            CallOutcome::AbandonedIvr => Value::AbandonedIvr,
            CallOutcome::AbandonedQueue => Value::AbandonedQueue,
            CallOutcome::ShortAbandoned => Value::ShortAbandoned,
            CallOutcome::Voicemail => Value::Voicemail,
            CallOutcome::Busy => Value::Busy,
            CallOutcome::NoAnswer => Value::NoAnswer,
            CallOutcome::Failed => Value::Failed,
            CallOutcome::CallbackRequested => Value::CallbackRequested,
        }
        .into(),
        ended_by: shown(event.ended_by.as_ref()),
        handled_by_agent_id: shown(event.handled_by.as_ref()),
        legs: event
            .legs
            .iter()
            .map(|leg| proto::Leg {
                leg_id: leg.leg_id.clone(),
                agent_id: shown(leg.agent_id.as_ref()),
                joined_at: leg.joined_at.and_then(stamp),
                left_at: leg.left_at.and_then(stamp),
                how: shown(leg.how.as_ref()),
                reason: String::new(),
            })
            .collect(),
        disposition: event.disposition.clone().map(|label| proto::Disposition {
            code: "ignored beside a label".into(),
            label,
        }),
        notes: exposed(event.notes.as_ref()),
        recording: event.recording.as_ref().map(|recording| proto::Recording {
            state: if recording.ready { State::Ready } else { State::Pending }.into(),
            content_ref: shown(recording.content_ref.as_ref()),
        }),
        voicemail: event.voicemail.as_ref().map(|voicemail| proto::Voicemail {
            state: if voicemail.ready { State::Ready } else { State::None }.into(),
            content_ref: shown(voicemail.content_ref.as_ref()),
        }),
        revision: Some(event.revision.0),
        r#final: event.last,
    })
}

/// The event as the platform would send it: attributes, JSON, Protobuf.
#[expect(
    clippy::type_complexity,
    reason = "headers, key and value, as Kafka has them"
)]
fn sent(event: &CallEvent) -> (Vec<(String, Vec<u8>)>, Vec<u8>, Vec<u8>) {
    let (name, json, protobuf, expires) = match event {
        CallEvent::Started(e) => {
            let data = started(e);
            let json = serde_json::to_vec(&data).expect("JSON");
            ("call.started.v1", json, data.encode_to_vec(), e.expires_at)
        }
        CallEvent::Ended(e) => {
            let data = ended(e);
            let json = serde_json::to_vec(&data).expect("JSON");
            ("call.ended.v1", json, data.encode_to_vec(), None)
        }
    };
    let meta = event.meta();
    let mut headers = vec![
        ("ce_specversion".to_owned(), b"1.0".to_vec()),
        ("ce_source".to_owned(), b"/vcc".to_vec()),
        ("ce_id".to_owned(), meta.id.as_str().into()),
        ("ce_type".to_owned(), name.into()),
        ("ce_time".to_owned(), meta.time.to_rfc3339().into()),
    ];
    let trace = meta.traceparent.clone().map(|t| ("ce_traceparent", t));
    let expires = expires.map(|at| ("ce_expirytime", at.to_rfc3339()));
    let more = trace.into_iter().chain(expires);
    headers.extend(more.map(|(name, text)| (name.to_owned(), text.into_bytes())));
    (headers, json, protobuf)
}

proptest! {
    #[test]
    fn every_event_is_read_as_it_was_meant(event in arbitrary::call_event()) {
        let (mut headers, json, protobuf) = sent(&event);
        let meant = Ok(Decoded::Call(event));
        prop_assert_eq!(&read(&headers, &json), &meant);
        headers.push(("content-type".into(), b"application/protobuf".to_vec()));
        prop_assert_eq!(&read(&headers, &protobuf), &meant);
    }

    #[test]
    fn no_bytes_make_it_panic(
        names in vec(select(vec![
            "content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "x",
        ]), 0..8),
        values in vec(vec(any::<u8>(), 0..40), 8),
        value in vec(any::<u8>(), 0..400),
    ) {
        let headers: Vec<_> = names.into_iter().map(str::to_owned).zip(values).collect();
        let _ = read(&headers, &value);
        let _ = decode_structured(&value);
    }

    #[test]
    fn no_damage_to_a_sample_makes_it_panic(
        name in select(vec!["call.started.v1", "call.ended.v1"]),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let forms = [
            ("json", "application/json"),
            ("pb", "application/protobuf"),
            ("structured.json", "application/cloudevents+json"),
        ];
        for (ending, content_type) in forms {
            let mut value = samples::bytes(name, ending);
            for (at, byte) in &damage {
                let at = at.index(value.len());
                value[at] = *byte;
            }
            let headers = samples::headers(name, content_type);
            let _ = read(&headers, &value);
            value.truncate(cut.index(value.len()));
            let _ = read(&headers, &value);
        }
    }
}
