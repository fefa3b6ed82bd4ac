//! Tasks: creating and changing up to 200 in one request, and finding them again.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Call;
use super::duplicates::duplicate;
use super::error::{self, ApiError, Trouble};
use super::query::{Rows, TaskRow};
use super::soql::tasks_by_key;
use super::{Answered, Client, Error, SendBy, Session};
use crate::domain::ids::RecordId;
use crate::domain::outcome::{Answer, Failure, FailureClass, FailureScope};
use crate::domain::task::{KeyMode, TaskDraft, TaskField};
use crate::domain::work::{ApiUsage, Sight};

/// What came of a request that writes Tasks.
#[derive(Clone, Debug)]
pub struct Sent {
    /// One answer for each Task, in the order given.
    pub answers: Vec<Answer>,
    /// The org's usage.
    pub usage: Option<ApiUsage>,
}

/// Which Tasks to look for.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Their keys.
    pub keys: &'a [String],
    /// Tasks that are older, and may have got a key of these: shown whatever key they have.
    pub also: &'a [RecordId],
    /// How they were sent.
    pub mode: &'a KeyMode,
    /// Bounds the search where the key has no index; it must lie before the send by more than
    /// clocks differ.
    pub created_after: DateTime<Utc>,
    /// Prove, with the same request, whether the API user would see them.
    pub prove: bool,
}

/// What a look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The Tasks by their key.
    pub tasks: HashMap<String, RecordId>,
    /// All that were shown, with such a key or without.
    pub seen: HashSet<RecordId>,
    /// What the absence of the others is worth.
    pub sight: Sight,
}

/// Records in one request, at most (sObject Collections).
const MOST_RECORDS: usize = 200;

/// What a change writes: what the call says, and nothing that people arrange (the record, the
/// owner, the day, the headline), so that an agent's edits stand.
const CHANGED: [TaskField; 5] = [
    TaskField::Status,
    TaskField::Description,
    TaskField::CallType,
    TaskField::CallDurationInSeconds,
    TaskField::CallDisposition,
];

/// One record's result.
#[derive(Deserialize)]
pub(super) struct RowResult {
    /// The record, where it was written.
    pub(super) id: Option<RecordId>,
    /// Whether it was.
    pub(super) success: bool,
    /// Why not.
    #[serde(default)]
    pub(super) errors: Vec<ApiError>,
}

impl Client {
    /// Creates Tasks, each for itself (`allOrNone` off), and obeys `send_by`. Never repeated: what
    /// is left open is ambiguous. A key that is taken is read back (rule 7).
    pub async fn create_tasks(
        &self,
        session: &Session,
        drafts: &[&TaskDraft],
        mode: &KeyMode,
        send_by: SendBy,
    ) -> Sent {
        let records = drafts
            .iter()
            .map(|draft| Value::Object(record(draft, mode, &TaskField::ALL)));
        let records = records.collect();
        let created = |row, record: &Value| row_answer(row, record, mode, Answer::Created);
        let sent = self.write(session, Method::POST, records, send_by, created);
        let sent = sent.await;
        self.read_back(session, drafts, mode, sent).await
    }

    /// Changes Tasks: the key, and what the call says. An answer is ambiguous as with creating;
    /// writing the same values again does no harm.
    pub async fn update_tasks(
        &self,
        session: &Session,
        changes: &[(RecordId, &TaskDraft)],
        mode: &KeyMode,
        send_by: SendBy,
    ) -> Sent {
        let change = |(task, draft): &(RecordId, &TaskDraft)| {
            let mut record = record(draft, mode, &CHANGED);
            record.insert("id".into(), task.as_str().into());
            Value::Object(record)
        };
        let records = changes.iter().map(change).collect();
        let updated =
            |row, record: &Value| of_change(row_answer(row, record, mode, Answer::Updated));
        let sent = self.write(session, Method::PATCH, records, send_by, updated);
        let sent = sent.await;
        let drafts: Vec<&TaskDraft> = changes.iter().map(|(_, draft)| *draft).collect();
        self.read_back(session, &drafts, mode, sent).await
    }

    /// Writes records in as few requests as may be, with an answer for each record.
    async fn write(
        &self,
        session: &Session,
        method: Method,
        records: Vec<Value>,
        send_by: SendBy,
        answer: impl Fn(RowResult, &Value) -> Answer,
    ) -> Sent {
        let mut sent = Sent {
            answers: Vec::with_capacity(records.len()),
            usage: None,
        };
        for chunk in records.chunks(MOST_RECORDS) {
            let body = json!({ "allOrNone": false, "records": chunk });
            let call = Call::write(method.clone(), "composite/sobjects".into(), body, send_by);
            let (answers, usage) = match self.data::<Vec<RowResult>>(session, call).await {
                Ok(answered) if answered.value.len() == chunk.len() => {
                    let rows = answered.value.into_iter().zip(chunk);
                    let answers = rows.map(|(row, record)| answer(row, record)).collect();
                    (answers, answered.usage)
                }
                Ok(answered) => (
                    vec![Answer::Failed(miscounted()); chunk.len()],
                    answered.usage,
                ),
                Err(error) => (vec![of_request(&error); chunk.len()], error.usage),
            };
            sent.answers.extend(spoilt(answers));
            sent.usage = usage.or(sent.usage);
        }
        sent
    }

    /// Looks for Tasks: deleted and archived ones too. Where the unique field is gone or hidden,
    /// `CallObject` is asked for in its place: it always carries the key too.
    pub async fn find_tasks(
        &self,
        session: &Session,
        look: &Look<'_>,
    ) -> Result<Answered<Shown>, Error> {
        let found = self.find_once(session, look).await;
        match found {
            Err(error)
                if error::is_hidden(&error.failure)
                    && matches!(look.mode, KeyMode::UniqueField { .. }) =>
            {
                let fallback = Look {
                    mode: &KeyMode::CallObject { sees_all: false },
                    ..*look
                };
                self.find_once(session, &fallback).await
            }
            found => found,
        }
    }

    /// Looks for Tasks by the field of this mode.
    async fn find_once(
        &self,
        session: &Session,
        look: &Look<'_>,
    ) -> Result<Answered<Shown>, Error> {
        let field = key_field(look.mode);
        // CallObject has no index and cannot be asked for alone in a large org.
        let key_field = matches!(look.mode, KeyMode::UniqueField { .. });
        let since = (!key_field).then_some(look.created_after);
        let statement = tasks_by_key(field, look.keys, since, look.also);
        let answered: Answered<(Vec<TaskRow>, bool)> = if look.prove {
            self.query_with_sight(session, Rows::All, &statement)
                .await?
        } else {
            let rows = self.query(session, Rows::All, &statement).await?;
            rows.map(|rows| (rows, false))
        };
        Ok(answered.map(|(rows, sees_all)| Shown {
            seen: rows.iter().map(TaskRow::id).cloned().collect(),
            tasks: first_by_key(rows, field, look.keys),
            sight: Sight {
                sees_all,
                untouched: false,
                key_field,
            },
        }))
    }

    /// What `CallObject` of these Tasks holds; Tasks that are gone or out of sight are left out.
    pub async fn task_keys(
        &self,
        session: &Session,
        tasks: &[RecordId],
    ) -> Result<Answered<HashMap<RecordId, Option<String>>>, Error> {
        self.task_texts(session, Rows::Living, CALL_OBJECT, tasks)
            .await
    }

    /// What the key field of these Tasks holds, deleted ones too: the read-back of rule 7.
    pub async fn unique_keys(
        &self,
        session: &Session,
        tasks: &[RecordId],
        mode: &KeyMode,
    ) -> Result<Answered<HashMap<RecordId, Option<String>>>, Error> {
        self.task_texts(session, Rows::All, key_field(mode), tasks)
            .await
    }
}

/// The first Task of each key.
fn first_by_key(rows: Vec<TaskRow>, field: &str, keys: &[String]) -> HashMap<String, RecordId> {
    let mut found = HashMap::new();
    for (task, key) in rows.into_iter().map(|row| row.with(field)) {
        // Salesforce compares without regard to case; our keys do not.
        if let Some(key) = key.filter(|key| keys.contains(key)) {
            found.entry(key).or_insert(task);
        }
    }
    found
}

/// The field that always carries the key.
const CALL_OBJECT: &str = "CallObject";

/// The field that a Task is found by.
fn key_field(mode: &KeyMode) -> &str {
    match mode {
        KeyMode::UniqueField { field } => field,
        KeyMode::CallObject { .. } => CALL_OBJECT,
    }
}

/// A Task as Salesforce takes it: its keys, and those of `fields` that the draft does not omit.
fn record(draft: &TaskDraft, mode: &KeyMode, fields: &[TaskField]) -> Map<String, Value> {
    let mut record = Map::new();
    record.insert("attributes".into(), json!({ "type": "Task" }));
    record.insert(CALL_OBJECT.into(), draft.key.as_str().into());
    record.insert(key_field(mode).into(), draft.key.as_str().into());
    for field in fields.iter().filter(|field| !draft.omit.contains(field)) {
        if let Some(value) = value(draft, *field) {
            record.insert(field.as_str().into(), value);
        }
    }
    record
}

/// The value of a field; `None` where the draft has none.
fn value(draft: &TaskDraft, field: TaskField) -> Option<Value> {
    Some(match field {
        TaskField::WhoId => draft.who.as_ref()?.as_str().into(),
        TaskField::WhatId => draft.what.as_ref()?.as_str().into(),
        TaskField::OwnerId => draft.owner.as_ref()?.as_str().into(),
        TaskField::Subject => draft.subject.expose().as_str().into(),
        TaskField::Description => draft.description.as_ref()?.expose().as_str().into(),
        TaskField::Status => draft.status.as_str().into(),
        TaskField::Priority => draft.priority.as_str().into(),
        TaskField::TaskSubtype => "Call".into(),
        // The org's own picklist, of which we know no value: its default stands.
        TaskField::Type => return None,
        TaskField::CallType => draft.call_type.into(),
        TaskField::CallDurationInSeconds => draft.duration_seconds.into(),
        TaskField::CallDisposition => draft.disposition.as_deref()?.into(),
        TaskField::ActivityDate => draft.activity_date.to_string().into(),
    })
}

/// What the result of one record means.
fn row_answer(
    row: RowResult,
    record: &Value,
    mode: &KeyMode,
    written: fn(RecordId) -> Answer,
) -> Answer {
    if row.success {
        return row.id.map_or_else(|| Answer::Failed(miscounted()), written);
    }
    let mut failure = error::of_row(&row.errors);
    match failure.class {
        FailureClass::Done => failure = duplicate(failure, &row.errors, mode),
        FailureClass::Payload => failure.fields = blamed(&failure.fields, &row.errors, record),
        _ => {}
    }
    Answer::Failed(failure)
}

/// The references that a record may hold.
const REFERENCES: [TaskField; 3] = [TaskField::WhoId, TaskField::WhatId, TaskField::OwnerId];

/// Which fields to leave out. Salesforce seldom names the reference that it refuses: the one whose
/// id it quotes, else the match while the record holds one, and then the owner.
fn blamed(
    fields: &BTreeSet<TaskField>,
    errors: &[ApiError],
    record: &Value,
) -> BTreeSet<TaskField> {
    let id = |field: &TaskField| {
        record
            .get(field.as_str())?
            .as_str()?
            .parse::<RecordId>()
            .ok()
    };
    if !fields.iter().all(|field| REFERENCES.contains(field)) {
        return fields.clone();
    }
    let quoted: Vec<RecordId> = errors.iter().flat_map(error::ids_in).collect();
    let named = |field: &TaskField| id(field).is_some_and(|id| quoted.contains(&id));
    let named: BTreeSet<TaskField> = REFERENCES.into_iter().filter(named).collect();
    if !named.is_empty() {
        return named;
    }
    let held: BTreeSet<TaskField> = fields.iter().copied().filter(|f| id(f).is_some()).collect();
    match (held.is_empty(), id(&TaskField::OwnerId)) {
        (false, _) => held,
        (true, Some(_)) => BTreeSet::from([TaskField::OwnerId]),
        (true, None) => fields.clone(),
    }
}

/// A change does not write what a create does: leaving that out would change nothing, so the Task
/// itself is gone or out of reach. Then nothing is named to be left out.
fn of_change(answer: Answer) -> Answer {
    let Answer::Failed(mut failure) = answer else {
        return answer;
    };
    failure.fields.retain(|field| CHANGED.contains(field));
    let payload = failure.class == FailureClass::Payload && failure.fields.is_empty();
    if payload || error::is_gone(&failure) {
        failure.class = FailureClass::Payload;
        failure.scope = FailureScope::Record;
        failure.hint = "the Task was deleted, lies in an org that the account has left, or may not be edited by the API user: the call's later details are not in Salesforce".into();
    }
    Answer::Failed(failure)
}

/// One record's trigger or flow can fail all records of a request: then they are sent again in
/// halves, until those that are innocent are through.
fn spoilt(mut answers: Vec<Answer>) -> Vec<Answer> {
    let spoiler = |a: &Answer| matches!(a, Answer::Failed(failure) if error::is_spoiler(failure));
    if answers.len() > 1 && answers.iter().all(spoiler) {
        for answer in &mut answers {
            if let Answer::Failed(failure) = answer {
                failure.class = FailureClass::Split;
                failure.scope = FailureScope::Request;
            }
        }
    }
    answers
}

/// What a failed request means for each of its records.
fn of_request(error: &Error) -> Answer {
    let failure = error.failure.clone();
    if error.not_sent {
        Answer::NotSent(failure)
    } else {
        Answer::Failed(failure)
    }
}

/// Results that fit the records neither in number nor in form: what was written is open, but no
/// more will be.
fn miscounted() -> Failure {
    Failure {
        ended: true,
        ..error::trouble(Trouble::WrongCount, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::OwnerSource;

    fn draft() -> TaskDraft {
        TaskDraft {
            key: "vcc:acme:i1".into(),
            subject: "Inbound call from +442079460018".to_owned().into(),
            description: Some("notes".to_owned().into()),
            who: "003000000000001".parse().ok(),
            what: "001000000000001".parse().ok(),
            owner: "005000000000001".parse().ok(),
            owner_source: OwnerSource::Event,
            status: "Completed".into(),
            priority: "Normal".into(),
            call_type: "Inbound",
            duration_seconds: 65,
            disposition: Some("sold".into()),
            activity_date: chrono::NaiveDate::from_ymd_opt(2026, 11, 24).expect("a day"),
            omit: BTreeSet::from([TaskField::WhatId]),
        }
    }

    fn unique() -> KeyMode {
        KeyMode::UniqueField {
            field: "VCC_Call_Key__c".into(),
        }
    }

    #[test]
    fn a_created_task_holds_all_but_what_is_omitted() {
        let record = record(&draft(), &unique(), &TaskField::ALL);
        let expected = json!({
            "attributes": { "type": "Task" },
            "CallObject": "vcc:acme:i1",
            "VCC_Call_Key__c": "vcc:acme:i1",
            "WhoId": "003000000000001AAA",
            "OwnerId": "005000000000001AAA",
            "Subject": "Inbound call from +442079460018",
            "Description": "notes",
            "Status": "Completed",
            "Priority": "Normal",
            "TaskSubtype": "Call",
            "CallType": "Inbound",
            "CallDurationInSeconds": 65,
            "CallDisposition": "sold",
            "ActivityDate": "2026-11-24",
        });
        assert_eq!(Value::Object(record), expected);
    }

    #[test]
    fn a_change_leaves_alone_what_people_arrange() {
        let record = record(&draft(), &KeyMode::CallObject { sees_all: false }, &CHANGED);
        let names: BTreeSet<&str> = record.keys().map(String::as_str).collect();
        let mut expected = BTreeSet::from(["attributes", CALL_OBJECT]);
        expected.extend(CHANGED.map(TaskField::as_str));
        assert_eq!(names, expected);
    }

    fn refusal(code: &str, message: &str, mode: &KeyMode, draft: &TaskDraft) -> Failure {
        let error = ApiError {
            code: code.into(),
            message: message.into(),
            fields: vec![],
        };
        let row = RowResult {
            id: None,
            success: false,
            errors: vec![error],
        };
        let record = Value::Object(record(draft, mode, &TaskField::ALL));
        match row_answer(row, &record, mode, Answer::Created) {
            Answer::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn refused(code: &str, message: &str, mode: &KeyMode) -> (FailureClass, bool) {
        let failure = refusal(code, message, mode, &draft());
        (failure.class, failure.existing.is_some())
    }

    #[test]
    fn the_reference_that_is_quoted_is_left_out_else_the_match_and_then_the_owner() {
        use TaskField::{OwnerId, WhatId, WhoId};
        let left_out = |code: &str, message: &str, omit: &[TaskField]| {
            let draft = TaskDraft {
                omit: omit.iter().copied().collect(),
                ..draft()
            };
            let failure = refusal(code, message, &unique(), &draft);
            failure.fields.into_iter().collect::<Vec<_>>()
        };
        for code in [
            "INVALID_CROSS_REFERENCE_KEY",
            "ENTITY_IS_DELETED",
            "MALFORMED_ID",
        ] {
            assert_eq!(left_out(code, "invalid", &[]), [WhoId, WhatId], "{code}");
            assert_eq!(left_out(code, "invalid", &[WhatId]), [WhoId], "{code}");
            assert_eq!(left_out(code, "invalid", &[WhoId, WhatId]), [OwnerId]);
        }
        let code = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY";
        let quoted = "insufficient access rights on cross-reference id: 005000000000001";
        assert_eq!(left_out(code, quoted, &[]), [OwnerId]);
        assert_eq!(left_out(code, "insufficient access", &[]).len(), 3);
        let blank = "Owner ID: owner cannot be blank";
        assert_eq!(
            left_out("INVALID_CROSS_REFERENCE_KEY", blank, &[]),
            [OwnerId]
        );
        let label = "Assigned To ID: id value of incorrect type: 00G0";
        assert_eq!(left_out("MALFORMED_ID", label, &[]), [OwnerId]);
    }

    #[test]
    fn a_duplicate_is_done_only_by_our_field() {
        let text = |field: &str, id: &str| {
            format!("duplicate value found: {field} duplicates value on record with id: {id}")
        };
        let check = |text: &str, mode: &KeyMode, expected: (FailureClass, bool)| {
            assert_eq!(refused("DUPLICATE_VALUE", text, mode), expected, "{text}");
        };
        let id = "00T000000000001";
        check(
            &text("VCC_Call_Key__c", id),
            &unique(),
            (FailureClass::Done, true),
        );
        check(
            &text("Other__c", id),
            &unique(),
            (FailureClass::Admin, false),
        );
        check(
            &text("VCC_Call_Key__c", "<unknown>"),
            &unique(),
            (FailureClass::Done, false),
        );
        check(
            &text("<unknown>", "<unknown>"),
            &unique(),
            (FailureClass::Done, false),
        );
        let plain = KeyMode::CallObject { sees_all: true };
        check(&text("Other__c", id), &plain, (FailureClass::Admin, false));
    }

    #[test]
    fn a_failure_of_all_by_a_trigger_is_bisected() {
        let failed = |message: &str| {
            let error = ApiError {
                code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY".into(),
                message: message.into(),
                fields: vec![],
            };
            Answer::Failed(error::of_row(&[error]))
        };
        let forbidden = failed("entity type cannot be inserted: Task");
        let failed = failed("execution of BeforeInsert");
        let class = |answer: &Answer| match answer {
            Answer::Failed(failure) => failure.class,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            class(&spoilt(vec![failed.clone(), failed.clone()])[0]),
            FailureClass::Split
        );
        assert_eq!(class(&spoilt(vec![failed.clone()])[0]), FailureClass::Admin);
        assert_eq!(
            class(&spoilt(vec![forbidden.clone(), forbidden])[0]),
            FailureClass::Admin,
            "no record is to blame for a missing permission"
        );
        let id: RecordId = "00T000000000001".parse().expect("id");
        let mixed = spoilt(vec![failed, Answer::Created(id)]);
        assert_eq!(class(&mixed[0]), FailureClass::Admin);
    }
}
