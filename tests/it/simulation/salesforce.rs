//! A model of Salesforce: it commits, loses answers, commits late, hides Tasks, refuses rows and
//! revokes tokens that are used twice.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use vcc_link::domain::ids::{CallId, OrgId, RecordId, Revision};
use vcc_link::domain::outcome::{Answer, Failure, FailureClass, FailureScope};
use vcc_link::domain::task::{KeyMode, TaskField};
use vcc_link::domain::work::{AttemptKind, OpenAttempt, Sight};
use vcc_link::engine::Finding;

type At = DateTime<Utc>;

/// A Task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: RecordId,
    pub(super) org: OrgId,
    pub(super) revision: Revision,
    /// The unique field holds the call's key.
    keyed: bool,
}

/// One org's troubles.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "each tells until when")]
pub(super) struct Troubles {
    pub(super) down_until: Option<At>,
    pub(super) quota_until: Option<At>,
    pub(super) refuses_until: Option<At>,
    /// The API user may not use the unique field.
    pub(super) keyless_until: Option<At>,
}

/// How a call's Task is not created, each time anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoils {
    /// It breaks the whole request.
    Request,
    /// Its row is refused in a way that passes with other rows.
    Row,
}

#[derive(Default)]
pub(super) struct Salesforce {
    /// By call; more than one is what must never be.
    pub(super) tasks: BTreeMap<CallId, Vec<Task>>,
    /// Tasks without a key, which agents dial from.
    pub(super) planned: BTreeMap<RecordId, OrgId>,
    /// Tasks whose key another call wrote over.
    pub(super) robbed: BTreeSet<CallId>,
    pub(super) troubles: BTreeMap<OrgId, Troubles>,
    /// Access tokens that work, with the refresh token that they came from.
    access: BTreeSet<u64>,
    /// Refresh tokens that work.
    refresh: BTreeSet<u64>,
    /// Refresh tokens that were used up, and how often they were used again.
    used: BTreeMap<u64, u32>,
    /// Orgs whose API user sees no Task that it made.
    blind: BTreeSet<OrgId>,
    /// Calls whose Task Salesforce does not create any more, and since when.
    pub(super) spoilers: BTreeMap<CallId, (At, Spoils)>,
    next: u64,
}

impl Salesforce {
    /// A new approval: a pair of tokens with one number.
    pub(super) fn approve(&mut self) -> u64 {
        self.next += 1;
        self.access.insert(self.next);
        self.refresh.insert(self.next);
        self.next
    }

    pub(super) fn expire(&mut self, access: u64) {
        self.access.remove(&access);
    }

    pub(super) fn revoke(&mut self, token: u64) {
        self.access.remove(&token);
        self.refresh.remove(&token);
    }

    /// Rotates a refresh token. `None`: it is used up, or revoked.
    pub(super) fn rotate(&mut self, token: u64, last_step: bool) -> Option<u64> {
        if let Some(replays) = self.used.get_mut(&token) {
            // Reuse: Salesforce revokes whatever the token had led to.
            *replays += 1;
            assert!(
                last_step && *replays == 1,
                "refresh token {token} is replayed"
            );
            return None;
        }
        if !self.refresh.remove(&token) {
            return None;
        }
        self.used.insert(token, 0);
        Some(self.approve())
    }

    /// Whether an access token works.
    pub(super) fn serves(&self, access: u64) -> bool {
        self.access.contains(&access)
    }

    /// What stands in the way of a whole request.
    pub(super) fn refusal(&self, now: At, org: &OrgId, access: u64) -> Option<Failure> {
        let trouble = self.troubles.get(org);
        let ahead =
            |f: fn(&Troubles) -> Option<At>| trouble.and_then(f).is_some_and(|until| now < until);
        if ahead(|t| t.down_until) {
            return Some(Failure::new(
                FailureClass::Transient,
                FailureScope::Org,
                "SERVER_UNAVAILABLE",
            ));
        }
        if !self.access.contains(&access) {
            return Some(Failure::new(
                FailureClass::Session,
                FailureScope::Request,
                "INVALID_SESSION_ID",
            ));
        }
        if ahead(|t| t.quota_until) {
            return Some(Failure::new(
                FailureClass::Quota,
                FailureScope::Org,
                "REQUEST_LIMIT_EXCEEDED",
            ));
        }
        None
    }

    /// Whether one call breaks the whole request.
    pub(super) fn is_spoilt(&self, now: At, attempts: &[OpenAttempt]) -> bool {
        attempts
            .iter()
            .any(|attempt| self.spoils(now, attempt) == Some(Spoils::Request))
    }

    fn spoils(&self, now: At, attempt: &OpenAttempt) -> Option<Spoils> {
        let (since, how) = self.spoilers.get(&attempt.call)?;
        (attempt.kind == AttemptKind::Create && *since <= now).then_some(*how)
    }

    /// Serves one row of a request.
    pub(super) fn write(
        &mut self,
        now: At,
        rng: &mut StdRng,
        attempt: &OpenAttempt,
        troubled: bool,
    ) -> Answer {
        let refuses = self
            .troubles
            .get(&attempt.org)
            .and_then(|t| t.refuses_until);
        let row =
            |class, code: &str| Answer::Failed(Failure::new(class, FailureScope::Record, code));
        if refuses.is_some_and(|until| now < until) {
            return row(FailureClass::Admin, "FIELD_CUSTOM_VALIDATION_EXCEPTION");
        }
        let locked = self.spoils(now, attempt) == Some(Spoils::Row);
        if locked || (troubled && rng.random_bool(0.05)) {
            return row(FailureClass::Transient, "UNABLE_TO_LOCK_ROW");
        }
        if !attempt.degraded.contains(&TaskField::WhatId) && troubled && rng.random_bool(0.05) {
            let mut failure =
                Failure::new(FailureClass::Payload, FailureScope::Record, "INVALID_FIELD");
            failure.fields.insert(TaskField::WhatId);
            return Answer::Failed(failure);
        }
        let unique = matches!(attempt.mode, KeyMode::UniqueField { .. });
        if unique && self.is_keyless(now, &attempt.org) {
            return row(FailureClass::Admin, "INVALID_FIELD");
        }
        match attempt.kind.task() {
            Some(task) => self.change(attempt, task, unique),
            None => self.create(attempt, unique),
        }
    }

    /// Changes a Task, with its key, whosever it was.
    fn change(&mut self, attempt: &OpenAttempt, id: &RecordId, unique: bool) -> Answer {
        if let Some(refused) = self.duplicate(attempt, unique, Some(id)) {
            return refused;
        }
        let is_it = |t: &Task| &t.id == id && t.org == attempt.org;
        let found = self.tasks.iter().find(|(_, tasks)| tasks.iter().any(is_it));
        let mut task = if let Some((holder, _)) = found {
            let holder = holder.clone();
            if holder != attempt.call {
                self.robbed.insert(holder.clone());
            }
            let held = self.tasks.get_mut(&holder).expect("just found");
            let place = held.iter().position(is_it).expect("just found");
            held.remove(place)
        } else if self.planned.get(id) == Some(&attempt.org) {
            self.planned.remove(id);
            Task {
                id: id.clone(),
                org: attempt.org.clone(),
                revision: attempt.revision,
                keyed: false,
            }
        } else {
            // It was made in an org that the account has left.
            let (class, scope) = (FailureClass::Payload, FailureScope::Record);
            return Answer::Failed(Failure::new(class, scope, "ENTITY_IS_DELETED"));
        };
        task.revision = attempt.revision;
        task.keyed |= unique;
        let tasks = self.tasks.entry(attempt.call.clone()).or_default();
        tasks.push(task);
        self.check_single(&attempt.call);
        Answer::Updated(id.clone())
    }

    /// A Task that agents may dial from.
    pub(super) fn plan_task(&mut self, org: &OrgId) -> RecordId {
        self.next += 1;
        let id: RecordId = format!("00T{:012}", self.next)
            .parse()
            .expect("a record id");
        self.planned.insert(id.clone(), org.clone());
        id
    }

    /// Whether a call may adopt this Task, as its key is empty or the call's.
    pub(super) fn may_adopt(&self, org: &OrgId, task: &RecordId, call: &CallId) -> bool {
        let own = self.tasks.get(call).into_iter().flatten();
        let is_own = own
            .clone()
            .any(|t| &t.id == task && &t.org == org && self.sees(org));
        is_own || self.planned.get(task) == Some(org)
    }

    /// What comes of a write under a unique field, where another Task than the written one has the
    /// call's key.
    fn duplicate(
        &self,
        attempt: &OpenAttempt,
        unique: bool,
        written: Option<&RecordId>,
    ) -> Option<Answer> {
        let taken = |t: &&Task| t.keyed && t.org == attempt.org && Some(&t.id) != written;
        let mut others = self.tasks.get(&attempt.call).into_iter().flatten();
        let there = others.find(taken).filter(|_| unique)?;
        // What the read-back of rule 7 shows.
        Some(if self.sees(&attempt.org) {
            Answer::Exists(there.id.clone())
        } else {
            let scope = FailureScope::Record;
            Answer::Failed(Failure::new(FailureClass::Done, scope, "DUPLICATE_VALUE"))
        })
    }

    fn create(&mut self, attempt: &OpenAttempt, unique: bool) -> Answer {
        if let Some(refused) = self.duplicate(attempt, unique, None) {
            return refused;
        }
        let tasks = self.tasks.entry(attempt.call.clone()).or_default();
        self.next += 1;
        let id: RecordId = format!("00T{:012}", self.next)
            .parse()
            .expect("a record id");
        let (org, revision) = (attempt.org.clone(), attempt.revision);
        tasks.push(Task {
            id: id.clone(),
            org,
            revision,
            keyed: unique,
        });
        self.check_single(&attempt.call);
        Answer::Created(id)
    }

    /// A call has one Task at most, in whichever orgs.
    fn check_single(&self, call: &CallId) {
        let tasks = &self.tasks[call];
        assert!(tasks.len() <= 1, "two Tasks for {call}: {tasks:?}");
    }

    /// From now on the org's API user sees the Tasks that it made for others, or does not.
    pub(super) fn see(&mut self, org: &OrgId, sees: bool) {
        if sees {
            self.blind.remove(org);
        } else {
            self.blind.insert(org.clone());
        }
    }

    /// Whether the org's API user sees the Tasks that it made for others.
    pub(super) fn sees(&self, org: &OrgId) -> bool {
        !self.blind.contains(org)
    }

    fn is_keyless(&self, now: At, org: &OrgId) -> bool {
        let until = self.troubles.get(org).and_then(|t| t.keyless_until);
        until.is_some_and(|until| now < until)
    }

    /// What a query shows to a user who may or may not see what it made.
    pub(super) fn find(&self, now: At, attempt: &OpenAttempt, prove: bool) -> Finding {
        let unique = matches!(attempt.mode, KeyMode::UniqueField { .. });
        let key_field = unique && !self.is_keyless(now, &attempt.org);
        let sees_all = self.sees(&attempt.org);
        let shown = |t: &&Task| t.org == attempt.org && sees_all && (t.keyed || !key_field);
        let tasks = self.tasks.get(&attempt.call).into_iter().flatten();
        // A Task that was to be adopted, and has no key, is shown to whoever read it before.
        let unkeyed = |task| self.planned.get(task) == Some(&attempt.org);
        let seen = attempt.kind.task().is_some_and(unkeyed);
        let sight = Sight {
            sees_all: sees_all && prove,
            untouched: seen,
            key_field,
        };
        tasks
            .clone()
            .find(shown)
            .map_or(Finding::Absent(sight), |task| {
                Finding::Found(task.id.clone())
            })
    }
}
