//! The test that an admin makes of a link: what the worker would do, seen at once and without a call.
//!
//! A number is looked up as a caller's is ([`crate::callers`]). One marked Task can be created
//! ([`crate::domain::trial`]), and deleted again. Creating is done once for each id, which is durable
//! before the request: an id that comes again only looks for the Task that it made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::callers::{self, Callers};
use crate::clock;
use crate::domain::call::{Party, Presentation};
use crate::domain::ids::{AccountId, RecordId};
use crate::domain::link::{LinkState, LinkedOrg};
use crate::domain::matching::{Candidate, LookupAnswer, Via};
use crate::domain::outcome::{Answer, Failure, FailureClass};
use crate::domain::phone::Number;
use crate::domain::private::Private;
use crate::domain::task::{self, TaskDraft, TaskField};
use crate::domain::trial;
use crate::linking::Linking;
use crate::salesforce::tasks::Look;
use crate::salesforce::{Client, SendBy, Session};
use crate::store::{self, Store};
use crate::telemetry::names::field;

/// How long a lookup may take: an admin waits for it.
const WITHIN: Duration = Duration::from_secs(15);

/// A create or a delete is sent within this, or not at all.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// How long an id creates nothing more.
const REMEMBERED: TimeDelta = TimeDelta::days(30);

/// How far clocks may differ, where a Task is looked for by when it was made.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// Makes tests.
pub struct Trial {
    /// Remembers what was created.
    pub store: Arc<dyn Store>,
    /// Links and their tokens.
    pub linking: Arc<Linking>,
    /// Writes the Task.
    pub salesforce: Client,
    /// Looks callers up.
    pub callers: Callers,
    /// The Task's values.
    pub tasks: task::Config,
}

/// Why a test came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody to ask.
    #[error("the account is not linked: link it first")]
    NotLinked,
    /// The link does not work.
    #[error("the link of the account does not work: relink it first")]
    Broken,
    /// No test of this account made that Task, or it is gone.
    #[error("no test of this account made such a Task, or it is deleted already")]
    NoSuchTask,
    /// Salesforce did not do it; nothing was changed.
    #[error("Salesforce did not do it: {}. {}", .0.code, .0.hint)]
    Refused(Box<Failure>),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Refused(Box::new(failure))
    }
}

/// What a lookup shows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number as it was read; `None`: it was not searched.
    pub number: Option<Number>,
    /// The answer, as a call would have it.
    pub answer: LookupAnswer,
    /// The first candidates, in the order of the rules.
    pub shown: Vec<Shown>,
}

/// A candidate with its page in the org.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The record.
    pub candidate: Candidate,
    /// Its page.
    pub url: Private<String>,
}

/// What became of the one Task of a test.
#[derive(Clone, Debug)]
pub enum Made {
    /// It is there.
    Created {
        /// The Task.
        task: RecordId,
        /// Its page in the org.
        url: Private<String>,
        /// What Salesforce refused of it, which was left out.
        left_out: BTreeSet<TaskField>,
    },
    /// Salesforce did not answer, and such a Task is not found: it may still appear.
    Unknown,
}

impl Trial {
    /// Looks a number up, as a person typed it.
    pub async fn look_up(
        &self,
        account: &AccountId,
        number: &Private<String>,
    ) -> Result<Seen, Error> {
        let (link, org) = self.live(account).await?;
        self.find(&link, &org, number).await
    }

    /// Creates one marked Task for this number's record, once for each id: if it comes again, the
    /// Task that it made is looked for.
    pub async fn create(
        &self,
        account: &AccountId,
        number: &Private<String>,
        id: Uuid,
    ) -> Result<Made, Error> {
        let (link, org) = self.live(account).await?;
        let seen = self.find(&link, &org, number).await?;
        let (key, now) = (trial::key(account, id), clock::now());
        if !self.store.enter_once(&key, now + REMEMBERED, now).await? {
            return Ok(self.look_for(&link, &org, key).await);
        }
        let record = seen.answer.record.as_ref();
        let draft = trial::draft(key, record, &org, &BTreeSet::new(), &self.tasks, now);
        self.send(&link, &org, draft).await
    }

    /// Deletes a Task that a test of this account made.
    pub async fn delete(&self, account: &AccountId, task: &RecordId) -> Result<(), Error> {
        let (link, _) = self.live(account).await?;
        if !self.is_ours(&link, task).await? {
            return Err(Error::NoSuchTask);
        }
        let session = self.linking.session(account, link.generation).await?;
        let send_by = SendBy::after(SEND_WITHIN);
        let deleted = self.salesforce.delete_task(&session, task, send_by).await;
        match deleted {
            Ok(()) => Ok(()),
            // The answer was lost, and the Task is gone.
            Err(error)
                if error.failure.class == FailureClass::Ambiguous
                    && !self.is_ours(&link, task).await? =>
            {
                Ok(())
            }
            Err(error) => Err(error.failure.into()),
        }
    }

    /// The link of an account, if it works.
    async fn live(&self, account: &AccountId) -> Result<(LinkState, LinkedOrg), Error> {
        let link = self.linking.link(account).await?;
        match link.org.clone() {
            None => Err(Error::NotLinked),
            Some(_) if !link.is_live() => Err(Error::Broken),
            Some(org) => Ok((link, org)),
        }
    }

    /// What a call from this number would be told.
    async fn find(
        &self,
        link: &LinkState,
        org: &LinkedOrg,
        number: &Private<String>,
    ) -> Result<Seen, Error> {
        let party = Party {
            e164: None,
            raw: Some(number.clone()),
            presentation: Presentation::Allowed,
        };
        let number = match self.callers.number(&party, org) {
            Ok(number) => number,
            Err(result) => {
                return Ok(Seen {
                    number: None,
                    answer: LookupAnswer::without_record(result, clock::now()),
                    shown: Vec::new(),
                });
            }
        };
        let numbers = std::slice::from_ref(&number);
        let deadline = clock::now() + WITHIN;
        let ask = move |session: Session| async move {
            let found = self.callers.find(&session, org, numbers, deadline).await;
            found.map(|found| found.value)
        };
        let found = self.linking.asking(&link.account, link.generation, ask);
        let candidates: Vec<Candidate> = found.await?.into_iter().flat_map(|(_, c)| c).collect();
        let answer = callers::choose(org, &candidates, Via::Search);
        let shown = answer.shown.iter().filter_map(|id| {
            let candidate = candidates.iter().find(|c| c.id == *id)?.clone();
            let url = callers::page(org, id);
            Some(Shown { candidate, url })
        });
        let shown = shown.collect();
        Ok(Seen {
            number: Some(number),
            answer,
            shown,
        })
    }

    /// Sends the one create; what Salesforce refuses of it is left out, as it would be of a call's.
    async fn send(
        &self,
        link: &LinkState,
        org: &LinkedOrg,
        mut draft: TaskDraft,
    ) -> Result<Made, Error> {
        loop {
            let session = self.linking.session(&link.account, link.generation);
            let session = session.await?;
            let send_by = SendBy::after(SEND_WITHIN);
            let drafts = [&draft];
            let sent = self
                .salesforce
                .create_tasks(&session, &drafts, &org.key_mode, send_by)
                .await;
            match sent.answers.into_iter().next() {
                Some(Answer::Created(task) | Answer::Updated(task) | Answer::Exists(task)) => {
                    tracing::info!({ field::ACCOUNT } = %link.account, "a test Task was created");
                    return Ok(created(org, task, draft.omit));
                }
                Some(Answer::Failed(failure)) if failure.class == FailureClass::Ambiguous => {
                    return Ok(self.look_for(link, org, draft.key).await);
                }
                Some(Answer::Failed(failure))
                    // Each time there is one field less.
                    if failure.class == FailureClass::Payload
                        && !failure.fields.is_subset(&draft.omit) =>
                {
                    draft.omit.extend(failure.fields);
                }
                Some(Answer::Failed(failure) | Answer::NotSent(failure)) => {
                    return Err(failure.into());
                }
                None => return Ok(Made::Unknown),
            }
        }
    }

    /// Looks for the Task of a key that was sent before. Where that cannot be asked either, nothing is
    /// known.
    async fn look_for(&self, link: &LinkState, org: &LinkedOrg, key: String) -> Made {
        let keys = [key];
        let look = &Look {
            keys: &keys,
            also: &[],
            mode: &org.key_mode,
            created_after: clock::now() - REMEMBERED - SKEW,
            prove: false,
        };
        let ask =
            move |session: Session| async move { self.salesforce.find_tasks(&session, look).await };
        let shown = self.linking.asking(&link.account, link.generation, ask);
        match shown.await {
            Ok(mut shown) => match shown.value.tasks.remove(&keys[0]) {
                Some(task) => created(org, task, BTreeSet::new()),
                None => Made::Unknown,
            },
            Err(failure) => {
                let code = failure.code;
                tracing::warn!({ field::ACCOUNT } = %link.account, code, "a test Task could not be looked for");
                Made::Unknown
            }
        }
    }

    /// Whether a Task is there that a test of this account made.
    async fn is_ours(&self, link: &LinkState, task: &RecordId) -> Result<bool, Error> {
        let tasks = std::slice::from_ref(task);
        let ask =
            move |session: Session| async move { self.salesforce.task_keys(&session, tasks).await };
        let keys = self.linking.asking(&link.account, link.generation, ask);
        let keys = keys.await?.value;
        let key = keys.get(task).and_then(Option::as_deref);
        Ok(key.is_some_and(|key| trial::is_key_of(&link.account, key)))
    }
}

/// A Task that is there.
fn created(org: &LinkedOrg, task: RecordId, left_out: BTreeSet<TaskField>) -> Made {
    Made::Created {
        url: callers::page(org, &task),
        task,
        left_out,
    }
}
