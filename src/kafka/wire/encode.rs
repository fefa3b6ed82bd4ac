//! Domain values → what is published: CloudEvents in binary mode.

use chrono::{DateTime, SecondsFormat, Utc};
use prost::Message;
use serde::Serialize;

use super::Encoding;
use super::proto;
use crate::domain::event::{CallLog, CallLookedUp, LinkStatusChanged, Published, Topic};
use crate::domain::ids::RecordId;
use crate::domain::link::{Actor, Environment, Health, LinkReason, LinkStatus};
use crate::domain::matching::{LookupAnswer, LookupResult, MatchRule, RecordType, Via};
use crate::domain::outcome::{DeadReason, Failure, LoggedAs, Outcome, ParkReason, SkipReason};
use crate::domain::task::OwnerSource;

/// One of the three events of a call's logging: what all tell, and what it tells beyond.
macro_rules! with_facts {
    ($message:ident, $log:expr, { $($field:ident: $value:expr),+ $(,)? }) => {
        proto::$message {
            account_id: $log.call.account.to_string(),
            interaction_id: $log.call.interaction.to_string(),
            revision: Some($log.revision.0),
            generation: Some($log.generation.0),
            org_id: $log.org.as_ref().map(ToString::to_string).unwrap_or_default(),
            r#match: $log.lookup.as_ref().map(match_of),
            timing: Some(timing($log)),
            attempts: Some($log.attempts),
            test: $log.test,
            replay: $log.replay,
            $($field: $value),+
        }
    };
}

/// An event as Kafka takes it. No `Debug`: it is about people.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Which of our topics.
    pub topic: Topic,
    /// The key.
    pub key: String,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The value.
    pub payload: Vec<u8>,
}

/// Encodes events: deterministic, so that the same event always gives the same bytes.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// How data is written.
    encoding: Encoding,
}

impl Encoder {
    /// An encoder for this encoding.
    pub const fn new(encoding: Encoding) -> Self {
        Self { encoding }
    }

    /// Encodes one event.
    pub fn encode(&self, event: &Published) -> Encoded {
        let payload = match event {
            Published::CallLookedUp(e) => self.data(&looked_up(e)),
            Published::CallLog(e) => self.call_log(e),
            Published::LinkStatusChanged(e) => self.data(&status_changed(e)),
        };
        Encoded {
            topic: event.topic(),
            key: event.key().to_owned(),
            headers: self.headers(event),
            payload,
        }
    }

    /// The event of one call's logging: three types by the outcome.
    fn call_log(&self, log: &CallLog) -> Vec<u8> {
        match &log.outcome {
            Outcome::Logged { how, task } => {
                let action = match how {
                    LoggedAs::Created => proto::action::Value::Created,
                    LoggedAs::Updated => proto::action::Value::Updated,
                    LoggedAs::Adopted => proto::action::Value::Adopted,
                };
                self.data(&with_facts!(CallLogSucceeded, log, {
                    action: action.into(),
                    skip_reason: 0,
                    task: Some(task_of(log, task.as_str())),
                }))
            }
            Outcome::Skipped { reason } => self.data(&with_facts!(CallLogSucceeded, log, {
                action: proto::action::Value::Skipped.into(),
                skip_reason: skip_reason(*reason).into(),
                task: None,
            })),
            Outcome::Dead { reason, failure } => self.data(&with_facts!(CallLogFailed, log, {
                reason: dead_reason(*reason).into(),
                failure: failure.as_ref().map(failure_of),
                task_key: log.task_key.clone(),
            })),
            Outcome::Parked {
                reason,
                failure,
                until,
            } => self.deferred(log, park_reason(*reason), failure.as_ref(), *until),
            // Our own business until they end: not published.
            Outcome::RetryAt { failure, .. } | Outcome::InDoubt { failure, .. } => {
                let reason = proto::park_reason::Value::Unspecified;
                self.deferred(log, reason, Some(failure), None)
            }
            Outcome::NotSent { .. } => {
                self.deferred(log, proto::park_reason::Value::Unspecified, None, None)
            }
        }
    }

    /// `calllog.deferred.v1`.
    fn deferred(
        &self,
        log: &CallLog,
        reason: proto::park_reason::Value,
        failure: Option<&Failure>,
        until: Option<DateTime<Utc>>,
    ) -> Vec<u8> {
        self.data(&with_facts!(CallLogDeferred, log, {
            reason: reason.into(),
            failure: failure.map(failure_of),
            kept_until: until.map(Into::into),
        }))
    }

    /// The data in the encoding.
    fn data<T: Message + Serialize>(&self, message: &T) -> Vec<u8> {
        match self.encoding {
            Encoding::Json => {
                serde_json::to_vec(message).expect("the schema's types have a JSON mapping")
            }
            Encoding::Protobuf => message.encode_to_vec(),
        }
    }

    /// The attributes.
    fn headers(&self, event: &Published) -> Vec<(String, Vec<u8>)> {
        let traits = Traits::of(event);
        let source = format!("/vcc-link/accounts/{}", event.account());
        let attributes = [
            ("ce_specversion", Some("1.0".to_owned())),
            ("ce_id", Some(event.id().as_str().to_owned())),
            ("ce_source", Some(source)),
            ("ce_type", Some(event.event_type().to_owned())),
            ("ce_subject", Some(event.key().to_owned())),
            ("ce_time", Some(rfc3339(traits.time))),
            ("ce_partitionkey", Some(event.key().to_owned())),
            ("ce_correlationid", traits.conversation),
            ("ce_causationid", traits.cause),
            ("ce_sequence", traits.sequence),
            ("traceparent", traits.traceparent),
            (
                "content-type",
                Some(self.encoding.content_type().to_owned()),
            ),
        ];
        let set = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        set.map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect()
    }
}

/// Attributes in which the types differ.
struct Traits {
    /// `time`: when it happened.
    time: DateTime<Utc>,
    /// W3C trace context.
    traceparent: Option<String>,
    /// `correlationid`: the conversation.
    conversation: Option<String>,
    /// `causationid`: the id of the event that caused it.
    cause: Option<String>,
    /// `sequence`: orders the events of a link.
    sequence: Option<String>,
}

impl Traits {
    /// The traits of an event.
    fn of(event: &Published) -> Self {
        match event {
            Published::CallLookedUp(e) => Self {
                time: e.answer.answered_at,
                traceparent: e.traceparent.clone(),
                conversation: e.conversation_id.clone(),
                cause: None,
                sequence: None,
            },
            Published::CallLog(e) => Self {
                time: e.decided_at,
                traceparent: e.traceparent.clone(),
                conversation: e.conversation_id.clone(),
                cause: e.caused_by.as_ref().map(|id| id.as_str().to_owned()),
                sequence: None,
            },
            Published::LinkStatusChanged(e) => Self {
                time: e.effective_at,
                traceparent: None,
                conversation: None,
                cause: None,
                sequence: Some(e.sequence.to_string()),
            },
        }
    }
}

/// `call.lookedup.v1`.
fn looked_up(event: &CallLookedUp) -> proto::CallLookedUp {
    let record = event.answer.record.as_ref();
    let exposed = |private: Option<&crate::domain::private::Private<String>>| {
        private.map(|p| p.expose().clone()).unwrap_or_default()
    };
    proto::CallLookedUp {
        account_id: event.call.account.to_string(),
        interaction_id: event.call.interaction.to_string(),
        r#match: Some(match_of(&event.answer)),
        name: exposed(record.and_then(|r| r.name.as_ref())),
        url: exposed(event.answer.url.as_ref()),
        generation: Some(event.generation.0),
        answered_at: Some(event.answer.answered_at.into()),
        valid_until: Some(event.valid_until.into()),
        test: event.test,
    }
}

/// `link.statuschanged.v1`.
fn status_changed(event: &LinkStatusChanged) -> proto::LinkStatusChanged {
    let (kind, id) = match &event.actor {
        Actor::Admin(id) => ("admin", id.clone()),
        Actor::Operator(id) => ("operator", id.clone()),
        Actor::Machine(id) => ("machine", id.clone()),
        Actor::System => ("system", String::new()),
        Actor::Salesforce => ("salesforce", String::new()),
    };
    proto::LinkStatusChanged {
        account_id: event.account.to_string(),
        crm: "salesforce".into(),
        previous_status: status(event.previous_status).into(),
        status: status(event.status).into(),
        previous_health: health(event.previous_health).into(),
        health: health(event.health).into(),
        reason: link_reason(event.reason).into(),
        generation: Some(event.generation.0),
        sequence: Some(event.sequence.0),
        org_id: event
            .org
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        environment: event
            .environment
            .map(environment)
            .unwrap_or_default()
            .into(),
        username_masked: event.username_masked.clone().unwrap_or_default(),
        actor: Some(proto::Actor {
            kind: kind.into(),
            id,
        }),
        parked_calls: Some(event.parked_calls),
        failure: event.failure.as_ref().map(failure_of),
        effective_at: Some(event.effective_at.into()),
        instance_url: event.instance_url.clone().unwrap_or_default(),
        broken_since: event.broken_since.map(Into::into),
        restated: event.restated.is_some(),
    }
}

/// When a call came to its end here.
fn timing(log: &CallLog) -> proto::Timing {
    let lag = |ended: DateTime<Utc>| (log.decided_at - ended).num_milliseconds();
    proto::Timing {
        ended_at: log.ended_at.map(Into::into),
        decided_at: Some(log.decided_at.into()),
        lag_ms: log.ended_at.map(lag),
        received_at: log.received_at.map(Into::into),
    }
}

/// The Task.
fn task_of(log: &CallLog, id: &str) -> proto::Task {
    let source = log.owner_source.map(|source| match source {
        OwnerSource::Event => proto::owner_source::Value::Event,
        OwnerSource::Email => proto::owner_source::Value::Email,
        OwnerSource::Fallback => proto::owner_source::Value::Fallback,
    });
    proto::Task {
        id: id.to_owned(),
        key: log.task_key.clone(),
        who_id: log
            .who
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        what_id: log
            .what
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        owner_source: source.unwrap_or_default().into(),
    }
}

/// The match, by ids.
fn match_of(answer: &LookupAnswer) -> proto::Match {
    let record_type = answer
        .record
        .as_ref()
        .map(|r| record_type_of(r.record_type));
    let candidate = |id: &RecordId| proto::Candidate {
        record_type: record_type_of(RecordType::of(id)).into(),
        record_id: id.to_string(),
    };
    proto::Match {
        result: lookup_result(answer.result).into(),
        record_type: record_type.unwrap_or_default().into(),
        record_id: answer
            .record
            .as_ref()
            .map(|r| r.id.to_string())
            .unwrap_or_default(),
        rule: answer.rule.map(match_rule).unwrap_or_default().into(),
        candidate_count: answer.candidates,
        via: answer.via.map(via).unwrap_or_default().into(),
        candidates: answer.shown.iter().map(candidate).collect(),
    }
}

/// The object's word.
const fn record_type_of(record: RecordType) -> &'static str {
    match record {
        RecordType::Contact => "contact",
        RecordType::Lead => "lead",
        RecordType::Account => "account",
        RecordType::Other => "other",
    }
}

/// The failure.
fn failure_of(failure: &Failure) -> proto::Failure {
    proto::Failure {
        class: failure.class.as_str().into(),
        code: failure.code.clone(),
        http_status: failure.http_status.map(u32::from),
        fields: failure.fields.iter().map(ToString::to_string).collect(),
        hint: failure.hint.clone(),
        retryable: Some(failure.class.is_retryable()),
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Declares a mapping of one enum's variants to the schema's of the same names.
macro_rules! same_names {
    ($($function:ident: $from:ident => $to:ident { $($variant:ident),+ $(,)? })+) => {
        $(const fn $function(value: $from) -> proto::$to::Value {
            match value { $($from::$variant => proto::$to::Value::$variant),+ }
        })+
    };
}

same_names! {
    lookup_result: LookupResult => lookup_result {
        Matched, None, Several, Withheld, NotSearched, Timeout, Throttled, NotLinked, Failed,
    }
    match_rule: MatchRule => match_rule { ExplicitRecord, OnlyCandidate, ObjectPriority, MostRecent }
    via: Via => via { Context, Cache, Search }
    skip_reason: SkipReason => skip_reason { Unlinked, Policy, Internal, TooOld, Expired }
    dead_reason: DeadReason => dead_reason {
        Refused, RetriesExhausted, Unknown, UnresolvedInPreviousOrg, Bug,
    }
    park_reason: ParkReason => park_reason { LinkBroken, OrgRefuses, Quota, Paused, Unlinked }
    status: LinkStatus => link_status { Unlinked, Linked, Legacy }
    health: Health => link_health { Healthy, AtRisk, Broken }
    environment: Environment => environment { Production, Sandbox }
    link_reason: LinkReason => link_reason {
        UserLinked, UserRelinked, UserUnlinked, Recovered, TokenRevoked, RefreshInDoubt,
        ApiUserInactive, AppNotApproved, IpOrHoursRestricted, PermissionMissing, ApiDisabled,
        OrgInactive, OurCredentials, Unknown, ApprovalDisplaced,
    }
}
