//! The Task that a call becomes.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::call::{Call, CallEnded, CallOutcome, Direction, Presentation, Recording};
use super::fault::Fault;
use super::ids::{RecordId, UserId};
use super::link::LinkedOrg;
use super::matching::{Candidate, LookupAnswer, LookupResult, RecordType};
use super::private::Private;
use super::record_ids::OrgId;

/// The Task fields that may be left out when an org refuses them. The key fields (`CallObject`
/// and the unique field) are not among them: without them the promise cannot be kept (rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskField {
    /// The person.
    WhoId,
    /// What it is about.
    WhatId,
    /// The agent.
    OwnerId,
    /// The headline.
    Subject,
    /// The notes.
    Description,
    /// `Completed`, or what the org calls it.
    Status,
    /// `Normal`, or what the org calls it.
    Priority,
    /// `Call`.
    TaskSubtype,
    /// The org's own Type picklist.
    Type,
    /// Inbound, Outbound or Internal.
    CallType,
    /// Seconds.
    CallDurationInSeconds,
    /// The disposition.
    CallDisposition,
    /// The day.
    ActivityDate,
}

impl TaskField {
    /// Every field that may be left out.
    pub const ALL: [Self; 13] = [
        Self::WhoId,
        Self::WhatId,
        Self::OwnerId,
        Self::Subject,
        Self::Description,
        Self::Status,
        Self::Priority,
        Self::TaskSubtype,
        Self::Type,
        Self::CallType,
        Self::CallDurationInSeconds,
        Self::CallDisposition,
        Self::ActivityDate,
    ];

    /// The field's API name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhoId => "WhoId",
            Self::WhatId => "WhatId",
            Self::OwnerId => "OwnerId",
            Self::Subject => "Subject",
            Self::Description => "Description",
            Self::Status => "Status",
            Self::Priority => "Priority",
            Self::TaskSubtype => "TaskSubtype",
            Self::Type => "Type",
            Self::CallType => "CallType",
            Self::CallDurationInSeconds => "CallDurationInSeconds",
            Self::CallDisposition => "CallDisposition",
            Self::ActivityDate => "ActivityDate",
        }
    }

    /// The field with this API name, if it is one of ours.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for TaskField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a Task is found again (rule 1): by a unique external-id field, or by `CallObject` alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum KeyMode {
    /// The org has a unique external-id field on Task: Salesforce itself refuses a second Task.
    UniqueField {
        /// Its API name.
        field: String,
    },
    /// The org has none: an unanswered create is looked for by `CallObject`.
    CallObject {
        /// Whether the API user is proven to see Tasks that it made for others (rule 6).
        sees_all: bool,
    },
}

/// Where a call's Task may be, made by a request whose answer was lost, and not seen by the API user:
/// nothing but this field refuses to double it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hidden {
    /// The org.
    pub org: OrgId,
    /// The API name of the org's unique field.
    pub field: String,
}

impl Hidden {
    /// Whether a create in this org, found again in this way, would be refused.
    pub fn is_refused(&self, org: &OrgId, mode: &KeyMode) -> bool {
        let same_field = matches!(mode, KeyMode::UniqueField { field } if *field == self.field);
        same_field && *org == self.org
    }
}

/// Who a Task belongs to, and how that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerSource {
    /// The event named the agent's Salesforce user.
    Event,
    /// The agent's e-mail address is a Salesforce user's.
    Email,
    /// The agent is unknown in the org: the API user owns it. Counted and published.
    Fallback,
}

/// A Task ready to be written: content only, no decision left but what to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDraft {
    /// `vcc:<account>:<call>`: goes to `CallObject`, and to the unique field where there is one.
    pub key: String,
    /// At most 255 characters.
    pub subject: Private<String>,
    /// At most 32,000 characters.
    pub description: Option<Private<String>>,
    /// The person.
    pub who: Option<RecordId>,
    /// What it is about; never set when `who` is a Lead.
    pub what: Option<RecordId>,
    /// The agent's user; `None`: the API user.
    pub owner: Option<UserId>,
    /// How the owner was decided.
    pub owner_source: OwnerSource,
    /// A closed value of Status: an open Task with a date would lock its parents on insert.
    pub status: String,
    /// A value of Priority.
    pub priority: String,
    /// `Inbound`, `Outbound` or `Internal`.
    pub call_type: &'static str,
    /// Whole seconds, at most 99,999,999 (the field holds eight digits).
    pub duration_seconds: u32,
    /// At most 255 characters.
    pub disposition: Option<String>,
    /// The day of the call in the org's time zone.
    pub activity_date: NaiveDate,
    /// What this attempt leaves out.
    pub omit: BTreeSet<TaskField>,
}

/// Settings of the Tasks' wording and values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The value of Status: a closed one, so that the insert takes no parent lock.
    pub status: String,
    /// The value of Priority.
    pub priority: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            status: "Completed".into(),
            priority: "Normal".into(),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        for (setting, value) in [
            ("tasks.status", &self.status),
            ("tasks.priority", &self.priority),
        ] {
            if value.trim().is_empty() || value.chars().count() > 255 {
                faults.push(Fault::new(setting, "write the picklist value's API name"));
            }
        }
    }
}

/// Who a Task shall belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user; `None`: the API user.
    pub user: Option<UserId>,
    /// How that was decided.
    pub source: OwnerSource,
}

impl Owner {
    /// The user that the event named.
    pub const fn of_event(user: UserId) -> Self {
        Self {
            user: Some(user),
            source: OwnerSource::Event,
        }
    }

    /// The user with the agent's e-mail address.
    pub const fn by_email(user: UserId) -> Self {
        Self {
            user: Some(user),
            source: OwnerSource::Email,
        }
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            user: None,
            source: OwnerSource::Fallback,
        }
    }
}

/// The longest Subject, in characters (Salesforce Object Reference, Task).
const SUBJECT: usize = 255;
/// The longest Description.
const DESCRIPTION: usize = 32_000;
/// The longest `CallDisposition`.
const DISPOSITION: usize = 255;
/// The longest call that `CallDurationInSeconds` holds: eight digits.
const LONGEST_CALL: u64 = 99_999_999;

/// The Task of an ended call; `None` while it has not ended.
pub fn draft(
    call: &Call,
    org: &LinkedOrg,
    owner: &Owner,
    omit: &BTreeSet<TaskField>,
    config: &Config,
) -> Option<TaskDraft> {
    let ended = call.ended.as_deref()?;
    let record = call
        .lookup
        .as_deref()
        .and_then(|answer| answer.record.as_ref());
    let (who, what) = record.map_or((None, None), references);
    let seconds = ended.durations.total.as_secs().min(LONGEST_CALL);
    Some(TaskDraft {
        key: call.id.task_key(),
        subject: Private::new(clean(&subject(ended), SUBJECT)),
        description: description(ended, call.lookup.as_deref())
            .map(|text| Private::new(clean(&text, DESCRIPTION))),
        who,
        what,
        owner: owner.user.clone(),
        owner_source: owner.source,
        status: org.closed_status.as_ref().unwrap_or(&config.status).clone(),
        priority: config.priority.clone(),
        call_type: match ended.facts.direction {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
            Direction::Internal => "Internal",
        },
        duration_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        disposition: ended
            .disposition
            .as_deref()
            .map(|text| clean(text, DISPOSITION)),
        activity_date: local_day(ended.ended_at, org.time_zone.as_deref()),
        omit: omit.clone(),
    })
}

/// `WhoId` and `WhatId` of a record. A Lead takes no `WhatId` (Salesforce refuses the pair), a
/// Contact brings its Account.
pub(super) fn references(record: &Candidate) -> (Option<RecordId>, Option<RecordId>) {
    match record.record_type {
        RecordType::Lead => (Some(record.id.clone()), None),
        RecordType::Contact => (Some(record.id.clone()), record.account.clone()),
        RecordType::Account | RecordType::Other => (None, Some(record.id.clone())),
    }
}

/// The headline: which way, how it ended, and the customer's number.
fn subject(ended: &CallEnded) -> String {
    let (kind, preposition) = match (ended.facts.direction, ended.outcome) {
        (Direction::Outbound, CallOutcome::Answered) => ("Outbound call", "to"),
        (Direction::Outbound, _) => ("Outbound call, not answered,", "to"),
        (_, CallOutcome::Voicemail) => ("Voicemail", "from"),
        (_, CallOutcome::Missed | CallOutcome::NoAnswer) => ("Missed call", "from"),
        (
            _,
            CallOutcome::AbandonedIvr | CallOutcome::AbandonedQueue | CallOutcome::ShortAbandoned,
        ) => ("Abandoned call", "from"),
        (Direction::Internal, _) => ("Internal call", "from"),
        (Direction::Inbound, _) => ("Inbound call", "from"),
    };
    let party = ended.facts.customer().unwrap_or(&ended.facts.from);
    let withheld = party.presentation == Presentation::Restricted;
    let number = party
        .e164
        .as_ref()
        .or(party.raw.as_ref())
        .filter(|_| !withheld);
    let number = number.map_or("a withheld number", |n| n.expose().as_str());
    format!("{kind} {preposition} {number}")
}

/// The body: the agent's notes first, then what a reader of the Task may ask.
fn description(ended: &CallEnded, lookup: Option<&LookupAnswer>) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(ended.notes.as_ref().map(|notes| notes.expose().clone()));
    let mut line = |name: &str, value: Option<&String>| {
        lines.extend(
            value
                .filter(|v| !v.is_empty())
                .map(|v| format!("{name}: {v}")),
        );
    };
    line("Service", ended.facts.service.name.as_ref());
    line("Queue", ended.facts.service.queue.as_ref());
    line("Disposition", ended.disposition.as_ref());
    line("Recording", ready(ended.recording.as_ref()));
    line("Voicemail", ready(ended.voicemail.as_ref()));
    lines.extend(lookup_notice(lookup).map(ToOwned::to_owned));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The reference to what can be fetched.
fn ready(recording: Option<&Recording>) -> Option<&String> {
    let ready = recording.filter(|recording| recording.ready);
    ready.and_then(|recording| recording.content_ref.as_ref())
}

/// What a reader must know of the match: a Task without a record says why.
fn lookup_notice(lookup: Option<&LookupAnswer>) -> Option<&'static str> {
    let Some(answer) = lookup else {
        return Some("The caller could not be looked up in time; relate this Task by hand.");
    };
    match answer.result {
        LookupResult::Matched if answer.candidates > 1 => {
            Some("Several records have this number; the rules chose the one this Task is on.")
        }
        LookupResult::Several => {
            Some("Several records have this number, and no rule could choose; relate it by hand.")
        }
        LookupResult::Timeout | LookupResult::Throttled | LookupResult::Failed => {
            Some("The caller could not be looked up in time; relate this Task by hand.")
        }
        LookupResult::Matched
        | LookupResult::None
        | LookupResult::Withheld
        | LookupResult::NotSearched
        | LookupResult::NotLinked => None,
    }
}

/// A text as Salesforce takes it: no control characters but line ends and tabs, and cut to what
/// the field holds.
fn clean(text: &str, longest: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .take(longest)
        .collect()
}

/// The day of an instant in the org's time zone; in UTC where that is unknown.
pub(super) fn local_day(at: DateTime<Utc>, time_zone: Option<&str>) -> NaiveDate {
    time_zone
        .and_then(|name| name.parse::<chrono_tz::Tz>().ok())
        .map_or_else(
            || at.date_naive(),
            |zone| at.with_timezone(&zone).date_naive(),
        )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::call::{Agent, CallFacts, CrmContext, Durations, EventMeta, Party, Service};
    use crate::domain::ids::{CallId, Revision};
    use crate::domain::link::Environment;
    use crate::domain::link::Username;
    use crate::domain::matching::{self, Via};

    fn ended() -> CallEnded {
        let at: DateTime<Utc> = "2026-11-23T23:30:00Z".parse().expect("a time");
        let party = Party {
            e164: Some("+442079460018".to_owned().into()),
            ..Party::default()
        };
        CallEnded {
            meta: EventMeta {
                id: "e1".parse().expect("id"),
                time: at,
                traceparent: None,
            },
            facts: CallFacts {
                id: CallId {
                    account: "acme".parse().expect("account"),
                    interaction: "i1".parse().expect("interaction"),
                },
                conversation_id: None,
                direction: Direction::Inbound,
                started_at: at,
                from: party,
                to: Party::default(),
                customer_side: None,
                service: Service::default(),
                agent: Agent::default(),
                crm: CrmContext::default(),
                attributes: std::collections::BTreeMap::new(),
                test: false,
            },
            ended_at: at,
            durations: Durations {
                total: Duration::from_secs(65),
                ..Durations::default()
            },
            outcome: CallOutcome::Answered,
            ended_by: None,
            handled_by: None,
            legs: vec![],
            disposition: None,
            notes: Some("called\u{0} back".to_owned().into()),
            recording: None,
            voicemail: None,
            revision: Revision(0),
            last: false,
        }
    }

    fn org() -> LinkedOrg {
        LinkedOrg {
            org: "00DB0000000TfcR".parse().expect("org"),
            user: "005B0000005Bk90".parse().expect("user"),
            name: None,
            username: Username::default(),
            environment: Environment::Production,
            instance_url: "https://acme.my.salesforce.com".into(),
            key_mode: KeyMode::CallObject { sees_all: true },
            time_zone: Some("Europe/Berlin".into()),
            default_country: None,
            closed_status: None,
            preflight: vec![],
            asked_at: None,
        }
    }

    fn drafted(record: Option<&str>) -> TaskDraft {
        let ended = ended();
        let mut call = Call::new(ended.facts.id.clone());
        let id: Option<RecordId> = record.map(|id| id.parse().expect("id"));
        let answer = id.map(|id| matching::explicit(id, ended.ended_at));
        let none = matching::choose(&[], Via::Search, ended.ended_at);
        call.lookup = Some(Box::new(answer.unwrap_or(none)));
        call.ended = Some(Box::new(ended));
        draft(
            &call,
            &org(),
            &Owner::default(),
            &BTreeSet::new(),
            &Config::default(),
        )
        .expect("an ended call")
    }

    #[test]
    fn an_ended_call_becomes_a_task() {
        let task = drafted(None);
        assert_eq!(task.key, "vcc:acme:i1");
        assert_eq!(task.subject.expose(), "Inbound call from +442079460018");
        assert_eq!(task.description.expect("notes").expose(), "called back");
        assert_eq!(task.duration_seconds, 65);
        assert_eq!(task.status, "Completed");
        let day = NaiveDate::from_ymd_opt(2026, 11, 24);
        assert_eq!(Some(task.activity_date), day, "past midnight in the org");
    }

    #[test]
    fn a_lead_takes_no_what_id() {
        let ids = |record: &str| {
            let task = drafted(Some(record));
            (task.who.is_some(), task.what.is_some())
        };
        assert_eq!(ids("00Q000000000001"), (true, false));
        assert_eq!(
            ids("003000000000001"),
            (true, false),
            "its account is not known here"
        );
        assert_eq!(ids("001000000000001"), (false, true));
        assert_eq!(ids("500000000000001"), (false, true));
    }

    #[test]
    fn a_call_that_goes_on_has_no_task() {
        let call = Call::new(ended().facts.id);
        assert_eq!(
            draft(
                &call,
                &org(),
                &Owner::default(),
                &BTreeSet::new(),
                &Config::default()
            ),
            None
        );
    }
}
