//! Duplicates (rule 7): Salesforce says that a unique field has this value already. That is done
//! only if the field is ours, and a read-back shows our key.

use std::collections::HashMap;

use super::error::{self, ApiError};
use super::tasks::{Look, Sent};
use super::{Client, Session};
use crate::domain::ids::RecordId;
use crate::domain::outcome::{Answer, Failure, FailureClass, FailureScope};
use crate::domain::task::{KeyMode, TaskDraft};

/// How far back a Task is looked for that was found to exist, where its key has no index.
const LOOK_BACK: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// What a duplicate means by itself: another field's is nothing to do with this call's key; ours
/// is read back, whether or not Salesforce names the record.
pub(super) fn duplicate(mut failure: Failure, errors: &[ApiError], mode: &KeyMode) -> Failure {
    let KeyMode::UniqueField { field } = mode else {
        return foreign(failure);
    };
    let ours = errors.iter().any(|error| error::names_field(error, field));
    // Salesforce writes `<unknown>` where the API user may not know the field or the record.
    let unknown = errors
        .iter()
        .any(|error| error.message.contains("<unknown>"));
    if !ours && !unknown {
        return foreign(failure);
    }
    failure.existing = failure.existing.filter(|_| ours);
    failure
}

/// Another unique field of the org is taken.
fn foreign(mut failure: Failure) -> Failure {
    failure.class = FailureClass::Admin;
    failure.existing = None;
    failure.hint =
        "a unique field on Task other than the call key is filled the same for every call: mend what fills it".into();
    failure
}

/// What the read-back showed.
struct ReadBack {
    /// Tasks by their key.
    found: HashMap<String, RecordId>,
    /// What the key field of the Tasks holds that Salesforce named.
    named: HashMap<RecordId, Option<String>>,
}

impl Client {
    /// Reads the keys back that are said to be taken. Each is then done, somebody else's, in doubt
    /// if nothing can be read now, or stays [`FailureClass::Done`]: on a Task out of sight.
    pub(super) async fn read_back(
        &self,
        session: &Session,
        drafts: &[&TaskDraft],
        mode: &KeyMode,
        mut sent: Sent,
    ) -> Sent {
        let taken = drafts.iter().zip(&sent.answers);
        let taken: Vec<(String, Option<RecordId>)> = taken
            .filter_map(|(draft, answer)| {
                Some((draft.key.clone(), doubled(answer)?.existing.clone()))
            })
            .collect();
        if taken.is_empty() {
            return sent;
        }
        let read = self.read_keys(session, mode, &taken).await;
        for (draft, answer) in drafts.iter().zip(&mut sent.answers) {
            if let Some(failure) = doubled(answer) {
                *answer = read.as_ref().map_or_else(
                    || Answer::Failed(unreadable()),
                    |read| proven(draft, failure, read),
                );
            }
        }
        sent
    }

    /// Asks for Tasks by their key, and for those by their id that this did not show. `None`: there
    /// was no answer.
    async fn read_keys(
        &self,
        session: &Session,
        mode: &KeyMode,
        taken: &[(String, Option<RecordId>)],
    ) -> Option<ReadBack> {
        let keys: Vec<String> = taken.iter().map(|(key, _)| key.clone()).collect();
        let look = Look {
            keys: &keys,
            also: &[],
            mode,
            created_after: crate::clock::now() - LOOK_BACK,
            prove: false,
        };
        let found = self.find_tasks(session, &look).await.ok()?.value.tasks;
        let missing = taken.iter().filter(|(key, _)| !found.contains_key(key));
        let ids: Vec<RecordId> = missing.filter_map(|(_, id)| id.clone()).collect();
        let named = if ids.is_empty() {
            HashMap::new()
        } else {
            let named = self.unique_keys(session, &ids, mode).await;
            named.ok()?.value
        };
        Some(ReadBack { found, named })
    }
}

/// The failure of an answer that says that our key is taken.
fn doubled(answer: &Answer) -> Option<&Failure> {
    match answer {
        Answer::Failed(failure) if failure.class == FailureClass::Done => Some(failure),
        _ => None,
    }
}

/// What a duplicate is after its read-back.
fn proven(draft: &TaskDraft, failure: &Failure, read: &ReadBack) -> Answer {
    if let Some(task) = read.found.get(&draft.key) {
        return Answer::Exists(task.clone());
    }
    let mut failure = failure.clone();
    // Salesforce compares without regard to case; our keys do not.
    let named = failure.existing.as_ref();
    if named.is_some_and(|id| read.named.contains_key(id)) {
        failure.class = FailureClass::Admin;
        failure.existing = None;
        failure.hint =
            "another Task has the call's key in other letters: make the field case-sensitive"
                .into();
        return Answer::Failed(failure);
    }
    failure.hint =
        "the call's Task exists, and the API user cannot see it: grant it View All Data, then replay the call".into();
    Answer::Failed(failure)
}

/// The key is taken, and what has it cannot be read now: reconciling decides.
fn unreadable() -> Failure {
    Failure {
        ended: true,
        ..Failure::new(
            FailureClass::Ambiguous,
            FailureScope::Record,
            "duplicate_not_readable",
        )
    }
}
