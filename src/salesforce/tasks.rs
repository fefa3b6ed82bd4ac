//! Tasks: creating and changing up to 200 in one request, and finding them again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Call;
use super::error::{self, ApiError, Trouble};
use super::query::{Rows, TaskRow};
use super::soql::{list, moment};
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
struct RowResult {
    /// The record, where it was written.
    id: Option<RecordId>,
    /// Whether it was.
    success: bool,
    /// Why not.
    #[serde(default)]
    errors: Vec<ApiError>,
}

impl Client {
    /// Creates Tasks, each for itself (`allOrNone` off), and obeys `send_by`. Never repeated: what
    /// is left open is ambiguous.
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
        let created = |row| row_answer(row, mode, Answer::Created);
        self.write(session, Method::POST, records, send_by, created)
            .await
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
        let updated = |row| of_change(row_answer(row, mode, Answer::Updated));
        self.write(session, Method::PATCH, records, send_by, updated)
            .await
    }

    /// Writes records in as few requests as may be, with an answer for each record.
    async fn write(
        &self,
        session: &Session,
        method: Method,
        records: Vec<Value>,
        send_by: SendBy,
        answer: impl Fn(RowResult) -> Answer,
    ) -> Sent {
        let mut sent = Sent {
            answers: Vec::with_capacity(records.len()),
            usage: None,
        };
        for chunk in records.chunks(MOST_RECORDS) {
            let body = json!({ "allOrNone": false, "records": chunk });
            let call = Call::write(method.clone(), "composite/sobjects".into(), body, send_by);
            let (answers, usage) = match self.data::<Vec<RowResult>>(session, call).await {
                Ok(answered) if answered.value.len() == chunk.len() => (
                    answered.value.into_iter().map(&answer).collect(),
                    answered.usage,
                ),
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
        let keys_listed = list(look.keys.iter().map(String::as_str));
        // CallObject has no index and cannot be asked for alone in a large org.
        let (key_field, since) = match look.mode {
            KeyMode::UniqueField { .. } => (true, String::new()),
            KeyMode::CallObject { .. } => {
                let since = format!(" AND CreatedDate >= {}", moment(look.created_after));
                (false, since)
            }
        };
        let statement = format!(
            "SELECT Id, {field} FROM Task WHERE {field} IN {keys_listed}{since} ORDER BY CreatedDate"
        );
        let answered: Answered<(Vec<TaskRow>, bool)> = if look.prove {
            self.query_with_sight(session, Rows::All, &statement)
                .await?
        } else {
            let rows = self.query(session, Rows::All, &statement).await?;
            rows.map(|rows| (rows, false))
        };
        Ok(answered.map(|(rows, sees_all)| Shown {
            tasks: first_by_key(rows, field, look.keys),
            sight: Sight {
                sees_all,
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

/// What one record's result means.
fn row_answer(row: RowResult, mode: &KeyMode, written: fn(RecordId) -> Answer) -> Answer {
    if row.success {
        return row.id.map_or_else(|| Answer::Failed(miscounted()), written);
    }
    let failure = error::of_row(&row.errors);
    if failure.class == FailureClass::Done {
        return Answer::Failed(duplicate(failure, &row.errors, mode));
    }
    Answer::Failed(failure)
}

/// Rule 7: a duplicate is ours only if the field named is. The caller reads the key back.
fn duplicate(mut failure: Failure, errors: &[ApiError], mode: &KeyMode) -> Failure {
    let KeyMode::UniqueField { field } = mode else {
        return foreign(failure);
    };
    let ours = errors.iter().any(|error| error::names_field(error, field));
    // Salesforce writes `<unknown>` where the API user may not know the field or the record.
    let unknown = errors
        .iter()
        .any(|error| error.message.contains("<unknown>"));
    match (ours, failure.existing.is_some()) {
        (true, true) => failure,
        (true, false) | (false, _) if ours || unknown => {
            failure.class = FailureClass::Ambiguous;
            failure.existing = None;
            failure
        }
        _ => foreign(failure),
    }
}

/// Another unique field of the org is taken: nothing to do with this call's key.
fn foreign(mut failure: Failure) -> Failure {
    failure.class = FailureClass::Admin;
    failure.existing = None;
    failure.hint =
        "a unique field on Task other than the call key is filled the same for every call: mend what fills it".into();
    failure
}

/// A change does not write what a create does: leaving that out would change nothing, so the
/// Task itself is gone or locked.
fn of_change(answer: Answer) -> Answer {
    match answer {
        Answer::Failed(mut failure) if failure.class == FailureClass::Payload => {
            failure.fields.retain(|field| CHANGED.contains(field));
            if failure.fields.is_empty() {
                failure.class = FailureClass::Admin;
                failure.hint = "the Task was deleted, or the API user may not edit it".into();
            }
            Answer::Failed(failure)
        }
        answer => answer,
    }
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
    use std::collections::BTreeSet;

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

    fn refused(code: &str, message: &str, mode: &KeyMode) -> (FailureClass, bool) {
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
        match row_answer(row, mode, Answer::Created) {
            Answer::Failed(failure) => (failure.class, failure.existing.is_some()),
            other => panic!("{other:?}"),
        }
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
            (FailureClass::Ambiguous, false),
        );
        check(
            &text("<unknown>", "<unknown>"),
            &unique(),
            (FailureClass::Ambiguous, false),
        );
        let plain = KeyMode::CallObject { sees_all: true };
        check(&text("Other__c", id), &plain, (FailureClass::Admin, false));
    }

    #[test]
    fn a_failure_of_all_by_a_trigger_is_bisected() {
        let error = ApiError {
            code: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY".into(),
            message: "execution of BeforeInsert".into(),
            fields: vec![],
        };
        let failed = Answer::Failed(error::of_row(&[error]));
        let class = |answer: &Answer| match answer {
            Answer::Failed(failure) => failure.class,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            class(&spoilt(vec![failed.clone(), failed.clone()])[0]),
            FailureClass::Split
        );
        assert_eq!(class(&spoilt(vec![failed.clone()])[0]), FailureClass::Admin);
        let id: RecordId = "00T000000000001".parse().expect("id");
        let mixed = spoilt(vec![failed, Answer::Created(id)]);
        assert_eq!(class(&mixed[0]), FailureClass::Admin);
    }
}
