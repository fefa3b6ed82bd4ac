//! One call, and the events that a contact centre sends about it (`docs/contract`).

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Map, Value, json};

use crate::world::{Agent, Customer, World};

/// Where chance begins: so that the first calls are answered, and there is something to see.
const SEED: u64 = 2;

/// A run of this program, by the second in which it began. Its calls have ids of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run(u32);

impl Run {
    /// The run that begins now.
    pub(crate) fn begun(now: DateTime<Utc>) -> Self {
        Self(u32::try_from(now.timestamp()).unwrap_or_default())
    }

    /// The interaction id of its `number`-th call: a GUID that tells both.
    fn call_id(self, number: u64) -> String {
        format!("{:08x}-0000-8000-8000-{number:012x}", self.0)
    }

    /// The number of a call, if it is of this run.
    pub(crate) fn call_number(self, id: &str) -> Option<u64> {
        let number = id.rsplit_once('-')?.1;
        let number = u64::from_str_radix(number, 16).ok()?;
        (self.call_id(number) == id).then_some(number)
    }

    /// A name that no other run has.
    pub(crate) fn name(self, what: &str) -> String {
        format!("{what}.{:08x}", self.0)
    }
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Answered,
    Transferred,
    Dialled,
    NoAnswer,
    Missed,
    Voicemail,
    Abandoned,
    Internal,
}

impl Course {
    /// A course by a number below a hundred.
    const fn of(kind: u32) -> Self {
        match kind {
            0..58 => Self::Answered,
            58..68 => Self::Transferred,
            68..80 => Self::Dialled,
            80..83 => Self::NoAnswer,
            83..89 => Self::Missed,
            89..93 => Self::Voicemail,
            93..96 => Self::Abandoned,
            _ => Self::Internal,
        }
    }

    const fn direction(self) -> &'static str {
        match self {
            Self::Dialled | Self::NoAnswer => "outbound",
            Self::Internal => "internal",
            _ => "inbound",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::Answered | Self::Transferred | Self::Dialled | Self::Internal => "answered",
            Self::NoAnswer => "no_answer",
            Self::Missed => "missed",
            Self::Voicemail => "voicemail",
            Self::Abandoned => "abandoned_queue",
        }
    }

    /// For people.
    const fn words(self) -> &'static str {
        match self {
            Self::Answered => "inbound, answered",
            Self::Transferred => "inbound, transferred",
            Self::Dialled => "outbound, answered",
            Self::NoAnswer => "outbound, no answer",
            Self::Missed => "inbound, missed",
            Self::Voicemail => "inbound, voicemail",
            Self::Abandoned => "inbound, hung up",
            Self::Internal => "internal",
        }
    }

    const fn has_agent(self) -> bool {
        matches!(
            self,
            Self::Answered | Self::Transferred | Self::Dialled | Self::Internal
        )
    }
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its number in the run.
    pub(crate) number: u64,
    /// Its account.
    pub(crate) account: String,
    /// How long it takes.
    pub(crate) length: Duration,
    id: String,
    course: Course,
    customer: Customer,
    agents: [Agent; 2],
}

/// A record for Kafka. No `Debug`: it is about people.
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) value: Vec<u8>,
}

impl Call {
    /// The `number`-th call of a run: the same number, the same call.
    pub(crate) fn nth(run: Run, number: u64, world: &World) -> Self {
        let mut chance = StdRng::seed_from_u64(number.wrapping_add(SEED));
        let account = world.account(number);
        let course = Course::of(chance.random_range(0..100));
        let mut customer = Customer::of(chance.random_range(0..100), chance.random());
        if course.direction() == "outbound" && customer == Customer::Withheld {
            customer = Customer::Unknown(number % 1_000);
        }
        let agent = chance.random_range(0..100);
        Self {
            number,
            account: account.id.clone(),
            length: length(&mut chance, number),
            id: run.call_id(number),
            course,
            customer,
            agents: [account.agent(agent), account.agent(agent + 1)],
        }
    }

    /// For people: how it went, and nothing of who it was.
    pub(crate) fn words(&self) -> String {
        format!(
            "{}, {:.1} s",
            self.course.words(),
            self.length.as_secs_f64()
        )
    }

    /// It rings.
    pub(crate) fn started(&self, began: DateTime<Utc>) -> Record {
        self.record("call.started.v1", began, self.facts(began))
    }

    /// It has ended.
    pub(crate) fn ended(&self, began: DateTime<Utc>, ended: DateTime<Utc>) -> Record {
        let mut data = self.facts(began);
        let length = (ended - began).num_milliseconds();
        let end = json!({
            "endedAt": text(ended), "durationMs": length, "ringMs": length / 5,
            "talkMs": if self.course.has_agent() { length - length / 5 } else { 0 },
            "outcome": self.course.outcome(), "endReason": "released", "endedBy": "customer",
            "revision": 0, "final": true,
        });
        data.extend(object(end));
        if self.course.has_agent() {
            data.extend(object(json!({
                "handledByAgentId": self.last_agent().id, "legs": self.legs(began, ended),
                "disposition": {"code": "resolved", "label": "Resolved on the call"},
                "notes": "Asked about an invoice.",
            })));
        }
        if self.course == Course::Voicemail {
            let voicemail = json!({"state": "ready", "contentRef": format!("vm-{}", self.id)});
            data.insert("voicemail".to_owned(), voicemail);
        }
        self.record("call.ended.v1", ended, data)
    }

    /// What both events tell.
    fn facts(&self, began: DateTime<Utc>) -> Map<String, Value> {
        let centre = json!({"e164": "+442079460999"});
        let agent = self.last_agent();
        let (from, to) = match self.course.direction() {
            "outbound" => (centre, self.customer.party()),
            "internal" => (json!({"raw": "2041"}), json!({"raw": "2042"})),
            _ => (self.customer.party(), centre),
        };
        object(json!({
            "accountId": self.account, "interactionId": self.id, "conversationId": self.id,
            "direction": self.course.direction(), "medium": "phone", "startedAt": text(began),
            "from": from, "to": to, "service": {"serviceName": "Support"},
            "queue": {"name": "First line"},
            "agent": {"agentId": agent.id, "email": agent.email},
        }))
    }

    /// The agent who dealt with it last.
    const fn last_agent(&self) -> &Agent {
        let [first, second] = &self.agents;
        match self.course {
            Course::Transferred => second,
            _ => first,
        }
    }

    /// The agents' parts.
    fn legs(&self, began: DateTime<Utc>, ended: DateTime<Utc>) -> Value {
        let leg = |place: usize, joined, left, how| {
            let agent = self.agents[place].id;
            let id = format!("leg-{}", place + 1);
            json!({"legId": id, "agentId": agent, "joinedAt": text(joined), "leftAt": text(left), "how": how})
        };
        let middle = began + (ended - began) / 2;
        match self.course {
            Course::Transferred => json!([
                leg(0, began, middle, "delivered"),
                leg(1, middle, ended, "warm_transfer")
            ]),
            _ => json!([leg(0, began, ended, "delivered")]),
        }
    }

    /// An event as a CloudEvent in binary mode, with the context of a trace of its own.
    fn record(&self, kind: &'static str, time: DateTime<Utc>, data: Map<String, Value>) -> Record {
        // Neither part of a trace's context may be zero.
        let (trace, span) = (self.id.replace('-', ""), self.number + 1);
        Record {
            key: self.id.clone(),
            headers: vec![
                ("ce_specversion", "1.0".to_owned()),
                ("ce_id", format!("{}-{kind}", self.id)),
                ("ce_source", "/contact-centre".to_owned()),
                ("ce_type", kind.to_owned()),
                ("ce_time", text(time)),
                ("content-type", "application/json".to_owned()),
                ("traceparent", format!("00-{trace}-{span:016x}-01")),
            ],
            value: Value::Object(data).to_string().into_bytes(),
        }
    }
}

/// How long a call takes: a few seconds, so that something is seen; and the first ones less, so
/// that it is seen at once.
fn length(chance: &mut StdRng, number: u64) -> Duration {
    let millis = chance.random_range(500..4_000);
    Duration::from_millis(millis.min(300 + 300 * number))
}

/// When a call of this length began that ends now.
pub(crate) fn begin_of(length: Duration, end: DateTime<Utc>) -> DateTime<Utc> {
    end - TimeDelta::from_std(length).unwrap_or_default()
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = Run(0x6925_d1a0);

    #[test]
    fn a_call_is_known_by_its_id_in_its_run_alone() {
        for number in [0, 1, 9_999, 1 << 40] {
            assert_eq!(RUN.call_number(&RUN.call_id(number)), Some(number));
            assert_eq!(Run(1).call_number(&RUN.call_id(number)), None);
        }
        assert_eq!(
            RUN.call_number("016f1c6b-9766-4a5c-9f6e-3c1d5a8b2e47"),
            None
        );
    }

    #[test]
    fn both_events_of_a_call_agree_and_every_course_is_taken() {
        let world = World::new(4);
        let began = DateTime::UNIX_EPOCH;
        let mut outcomes = std::collections::BTreeSet::new();
        for number in 0..500 {
            let call = Call::nth(RUN, number, &world);
            let ended = began + TimeDelta::from_std(call.length).unwrap();
            let data = |record: Record| object(serde_json::from_slice(&record.value).unwrap());
            let (start, end) = (data(call.started(began)), data(call.ended(began, ended)));
            assert!(start.iter().all(|(name, value)| end[name] == *value));
            assert_eq!(begin_of(call.length, ended), began);
            outcomes.insert(call.words().split(", ").take(2).collect::<String>());
        }
        assert!(outcomes.len() >= 8, "{outcomes:?}");
        assert!(Call::nth(RUN, 0, &world).course.has_agent());
    }
}
