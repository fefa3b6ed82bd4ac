//! Tasks that agents dialled from: which call each of them becomes.
//!
//! A Task is read before it is adopted, and becomes a call's only if its key is empty or ours. Two
//! calls may be dialled from one Task. Between reading and noting, a claim in this process keeps the
//! second away (an org has one owner); from the note on, the journal does: it takes one open
//! attempt for each Task. Who is kept away gets a Task of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use super::dispatch::OpenedCall;
use crate::domain::adoption::{dialled_from, may_adopt};
use crate::domain::ids::{CallId, OrgId, RecordId};
use crate::domain::outcome::{Answer, Failure, FailureClass};
use crate::domain::work::{ApiUsage, AttemptKind};
use crate::salesforce::{Client, Session};

/// How long a Task is remembered that may not be changed: longer than the retries of a refusal, as
/// the next one must know of it.
const REMEMBERED: Duration = Duration::from_hours(6);

/// Such Tasks remembered at most, over all orgs.
const TASKS: u64 = 100_000;

/// A Task of an org: a sandbox has the record ids of the org that it was copied from.
type OrgTask = (OrgId, RecordId);

/// The Tasks that are being adopted, and those that cannot be. Clones are the same.
#[derive(Clone, Debug)]
pub struct Adoptions {
    claimed: Arc<Mutex<HashSet<OrgTask>>>,
    /// Tasks that the API user may read and not change.
    closed: Cache<OrgTask, ()>,
}

impl Default for Adoptions {
    fn default() -> Self {
        let closed = Cache::builder()
            .max_capacity(TASKS)
            .time_to_live(REMEMBERED)
            .build();
        Self {
            claimed: Arc::default(),
            closed,
        }
    }
}

/// A claim on one Task, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// The Task.
    task: OrgTask,
    /// Where it is noted.
    adoptions: Adoptions,
}

/// What the attempt of each call does, and what is claimed for it.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// The attempts that change a Task; all others create one.
    changes: HashMap<CallId, AttemptKind>,
    /// Held until the batch is over.
    _claims: Vec<Claim>,
}

impl Kinds {
    /// What the attempt of a call does.
    pub(super) fn of(&self, call: &CallId) -> AttemptKind {
        let change = self.changes.get(call).cloned();
        change.unwrap_or(AttemptKind::Create)
    }
}

impl Adoptions {
    /// What each call's attempt does: a call with a Task updates it; one that was dialled from a
    /// Task adopts that Task if its key is empty or ours; all others create.
    pub(super) async fn kinds(
        &self,
        salesforce: &Client,
        session: &Session,
        org: &OrgId,
        calls: &HashMap<CallId, OpenedCall>,
    ) -> Result<Kinds, (Failure, Option<ApiUsage>)> {
        let mut changes = HashMap::new();
        let mut dialled: Vec<(CallId, RecordId)> = Vec::new();
        for (id, opened) in calls {
            if let Some(task) = &opened.stored.task {
                changes.insert(id.clone(), AttemptKind::Update { task: task.clone() });
            } else if let Some(task) = dialled_from(&opened.call) {
                dialled.push((id.clone(), task.clone()));
            }
        }
        // Claimed before it is read: what somebody else writes there meanwhile is then seen.
        let mut claims = Vec::new();
        dialled.sort();
        dialled.retain(|(_, task)| match self.claim(org, task) {
            Some(claim) => {
                claims.push(claim);
                true
            }
            None => false,
        });
        if !dialled.is_empty() {
            let ids: Vec<RecordId> = dialled.iter().map(|(_, task)| task.clone()).collect();
            let tasks = salesforce.task_keys(session, &ids).await;
            let keys = tasks.map_err(|error| (error.failure, error.usage))?.value;
            for (call, task) in dialled {
                // A Task that is gone, or that the API user cannot see, is not adopted.
                let Some(key) = keys.get(&task) else { continue };
                if may_adopt(key.as_deref(), &call.task_key()) {
                    changes.insert(call, AttemptKind::Adopt { task });
                }
            }
        }
        Ok(Kinds {
            changes,
            _claims: claims,
        })
    }

    /// Takes in how the change of a dialled Task was answered: one that may not be changed is not
    /// tried again, so that its call gets a Task of its own.
    pub(super) fn learn(&self, org: &OrgId, task: &RecordId, answer: &Answer) {
        let Answer::Failed(failure) = answer else {
            return;
        };
        if failure.class == FailureClass::Payload && failure.fields.is_empty() {
            self.closed.insert((org.clone(), task.clone()), ());
        }
    }

    /// Claims a Task; `None`: another call has it, or it cannot be changed.
    fn claim(&self, org: &OrgId, task: &RecordId) -> Option<Claim> {
        let task = (org.clone(), task.clone());
        if self.closed.contains_key(&task) || !self.lock().insert(task.clone()) {
            return None;
        }
        let adoptions = self.clone();
        Some(Claim { task, adoptions })
    }

    /// A set cannot be left half-changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<OrgTask>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.adoptions.lock().remove(&self.task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::FailureScope;

    fn ids() -> (OrgId, OrgId, RecordId) {
        let org = |id: &str| id.parse().expect("an org id");
        let task = "00T000000000001".parse().expect("an id");
        (org("00D000000000001"), org("00D000000000002"), task)
    }

    #[test]
    fn a_task_is_claimed_by_one_until_it_is_let_go() {
        let (org, sandbox, task) = ids();
        let adoptions = Adoptions::default();
        let first = adoptions.claim(&org, &task).expect("it is free");
        assert!(adoptions.claim(&org, &task).is_none());
        assert!(adoptions.claim(&sandbox, &task).is_some());
        drop(first);
        assert!(adoptions.claim(&org, &task).is_some());
    }

    #[test]
    fn a_task_that_may_not_be_changed_is_not_claimed_again() {
        let (org, _, task) = ids();
        let adoptions = Adoptions::default();
        let failed = |class| Answer::Failed(Failure::new(class, FailureScope::Record, "x"));
        adoptions.learn(&org, &task, &failed(FailureClass::Transient));
        assert!(adoptions.claim(&org, &task).is_some());
        adoptions.learn(&org, &task, &failed(FailureClass::Payload));
        assert!(adoptions.claim(&org, &task).is_none());
    }
}
