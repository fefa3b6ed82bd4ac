//! Dispatch: attempts are noted, **then** one request is sent, and its answers go back.
//!
//! What must be asked of Salesforce first (the agents' users, the Task that an agent dialled from)
//! is asked before the attempts begin, so that between the note and the request there is nothing
//! but building the Tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, Span};

use super::adoptions::{Adoptions, Kinds};
use super::owners::Owners;
use super::record::{Sent, SentNotes};
use crate::domain::adoption;
use crate::domain::call::Call;
use crate::domain::fault::Fault;
use crate::domain::ids::{AccountId, AttemptId, CallId, Generation, OrgId, RecordId};
use crate::domain::link::LinkedOrg;
use crate::domain::outcome::{Answer, Failure, FailureClass, FailureScope};
use crate::domain::task::{self, KeyMode, TaskDraft};
use crate::domain::work::{ApiUsage, AttemptKind, Lane, Refusal};
use crate::engine::{BatchCall, BatchId, Input, Reply, ReplyResult};
use crate::linking::Linking;
use crate::salesforce::{Client, SendBy, Session};
use crate::sealing::vault::{OpeningKeys, Vault};
use crate::store::inbox::StoredCall;
use crate::store::journal::{BeginAttempt, Begun};
use crate::store::{self, Fence, Store};
use crate::telemetry::names::field;
use crate::telemetry::{Metrics, trace};

/// Settings of dispatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// No byte of a request is written later than this after its attempts were noted. What is not
    /// found at Salesforce is given up as never sent only after this and the time that Salesforce
    /// may take (`engine.reconcile.final_after`).
    #[serde(with = "humantime_serde")]
    pub send_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_within: Duration::from_secs(15),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.send_within < Duration::from_secs(1) || self.send_within > Duration::from_mins(5) {
            faults.push(Fault::new("dispatch.send_within", "write 1s to 5min"));
        }
    }
}

/// The calls of one account that go out in one request.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Names it.
    pub batch: BatchId,
    /// The account.
    pub account: AccountId,
    /// The link's generation.
    pub generation: Generation,
    /// The org.
    pub org: OrgId,
    /// How Tasks are found again.
    pub mode: KeyMode,
    /// The calls.
    pub calls: Vec<BatchCall>,
}

/// Sends Tasks.
pub struct Dispatcher {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Opens calls.
    pub vault: Vault,
    /// Sessions.
    pub linking: Arc<Linking>,
    /// The requests.
    pub salesforce: Client,
    /// Agents as Salesforce users.
    pub owners: Owners,
    /// Which Tasks that agents dialled from are being adopted.
    pub adoptions: Adoptions,
    /// What was sent, for the events.
    pub sent: Arc<SentNotes>,
    /// No byte of a request is written later than this after its attempts were noted.
    pub send_within: Duration,
    /// What Tasks look like.
    pub tasks: task::Config,
    /// What is counted.
    pub metrics: Metrics,
}

/// An attempt that began, with the Task it sends.
struct Prepared {
    /// The attempt.
    attempt: AttemptId,
    /// The call.
    call: CallId,
    /// Create, adopt or update.
    kind: AttemptKind,
    /// By the database's clock.
    send_by: chrono::DateTime<chrono::Utc>,
    /// The Task.
    draft: TaskDraft,
}

impl Dispatcher {
    /// Begins attempts for a batch and sends what began.
    pub async fn dispatch(&self, work: Batch) -> Input {
        let begun = Instant::now();
        self.metrics.batch(Lane::Task, work.calls.len());
        let span = tracing::info_span!(
            "dispatch",
            { field::ACCOUNT } = %work.account,
            { field::ORG } = %work.org,
            { field::CALLS } = work.calls.len(),
        );
        let (replies, usage) = self.replies(&work).instrument(span).await;
        Input::Answered {
            batch: work.batch,
            replies,
            usage,
            took: begun.elapsed(),
        }
    }

    /// One reply for each call.
    async fn replies(&self, work: &Batch) -> (Vec<Reply>, Option<ApiUsage>) {
        let (session, org) = match self.session(work).await {
            Ok(found) => found,
            Err(failure) => return (unavailable(work, &failure), None),
        };
        let calls = match self.open_calls(work).await {
            Ok(calls) => calls,
            Err(failure) => return (unavailable(work, &failure), None),
        };
        let traces = calls
            .values()
            .filter_map(|opened| opened.call.traceparent());
        traces.for_each(|producer| trace::link_to(&Span::current(), producer));
        let owners = self.owners.of(&session, &work.org, &calls).await;
        let adoptions = self.adoptions.clone();
        let kinds = adoptions.kinds(&self.salesforce, &session, &work.org, &calls);
        let kinds = match kinds.await {
            Ok(found) => found,
            Err((failure, usage)) => return (unavailable(work, &failure), usage),
        };
        // Taken before the note, so that the note's own deadline can only be later.
        let send_by = SendBy::after(self.send_within);
        let wishes = work.calls.iter().map(|call| self.wish(work, call, &kinds));
        let mut items: Vec<BeginAttempt> = wishes.collect();
        let answers = match self.begin(&mut items).await {
            Ok(answers) => answers,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "attempts could not be noted; nothing is sent");
                return (unavailable(work, &passing("store_unavailable")), None);
            }
        };
        crate::crash_point("dispatch.begun");
        let mut replies = Vec::with_capacity(answers.len());
        let mut prepared = Vec::with_capacity(answers.len());
        let noted = answers.iter().filter_map(|answer| answer.as_ref().ok());
        let keys = noted.flat_map(|begun| begun.call.keys()).collect();
        let keys = self.vault.open(keys).await;
        for (item, answer) in items.into_iter().zip(answers) {
            match answer {
                Err(refusal) => replies.push(refused(item.call, refusal)),
                Ok(begun) => match self.prepare(&item, &begun, (&org, &owners), keys.as_ref()) {
                    Ok(ready) => prepared.push(ready),
                    Err(failure) => replies.push(unsent(&item, &begun, failure)),
                },
            }
        }
        let usage = self
            .send(&session, work, prepared, send_by, &mut replies)
            .await;
        crate::crash_point("dispatch.answered");
        (replies, usage)
    }

    /// The session and the org, if the link still is what the engine planned with.
    async fn session(&self, work: &Batch) -> Result<(Session, LinkedOrg), Failure> {
        let session = self.linking.session(&work.account, work.generation).await?;
        let links = self.store.links(std::slice::from_ref(&work.account)).await;
        let state = links
            .map_err(|_| passing("store_unavailable"))?
            .into_iter()
            .next();
        let org = state
            .filter(|s| s.generation == work.generation)
            .and_then(|s| s.org);
        Ok((session, org.ok_or_else(|| passing("link_changed"))?))
    }

    /// The calls of a batch, opened, by id. One that cannot be opened is left out and refused
    /// later by itself.
    async fn open_calls(&self, work: &Batch) -> Result<HashMap<CallId, OpenedCall>, Failure> {
        let ids: Vec<CallId> = work.calls.iter().map(|c| c.call.clone()).collect();
        let stored = self
            .store
            .calls(&ids)
            .await
            .map_err(|_| passing("store_unavailable"))?;
        let keys = stored.iter().flat_map(StoredCall::keys).collect();
        let keys = self.vault.open(keys).await;
        let keys = keys.map_err(|_| passing("store_unavailable"))?;
        let opened = stored.into_iter().filter_map(|stored| {
            let call = keys.call(&stored).ok()?;
            Some((stored.id.clone(), OpenedCall { call, stored }))
        });
        Ok(opened.collect())
    }

    /// Notes the attempts. Where another call's open attempt changes the Task that a call was
    /// dialled from, that Task may become the other's yet, however late its request takes effect:
    /// this call gets one of its own.
    async fn begin(
        &self,
        items: &mut [BeginAttempt],
    ) -> store::Result<Vec<Result<Begun, Refusal>>> {
        let mut answers = self.store.begin_attempts(items).await?;
        let adopts = |n: &usize| matches!(items[*n].kind, AttemptKind::Adopt { .. });
        let taken: Vec<usize> = (0..items.len())
            .filter(|&n| matches!(answers[n], Err(Refusal::TaskTaken)))
            .filter(adopts)
            .collect();
        if taken.is_empty() {
            return Ok(answers);
        }
        let mut own = Vec::with_capacity(taken.len());
        for &n in &taken {
            items[n].kind = AttemptKind::Create;
            own.push(items[n].clone());
        }
        // Those that have begun go out whatever becomes of these.
        if let Ok(begun) = self.store.begin_attempts(&own).await {
            for (n, answer) in taken.into_iter().zip(begun) {
                answers[n] = answer;
            }
        }
        Ok(answers)
    }

    /// The note of one call.
    fn wish(&self, work: &Batch, call: &BatchCall, kinds: &Kinds) -> BeginAttempt {
        BeginAttempt {
            call: call.call.clone(),
            fence: Fence {
                shard: call.shard,
                epoch: call.epoch,
            },
            generation: work.generation,
            org: work.org.clone(),
            mode: work.mode.clone(),
            kind: kinds.of(&call.call),
            revision: call.revision,
            degraded: call.degraded.clone(),
            together: u32::try_from(work.calls.len()).unwrap_or(u32::MAX),
            send_within: self.send_within,
        }
    }

    /// The Task of one attempt, by the call as of its note.
    fn prepare(
        &self,
        item: &BeginAttempt,
        begun: &Begun,
        (org, owners): (&LinkedOrg, &HashMap<CallId, task::Owner>),
        keys: Result<&OpeningKeys, &store::Error>,
    ) -> Result<Prepared, Failure> {
        let keys = keys.map_err(|_| passing("store_unavailable"))?;
        let call = keys.call(&begun.call).map_err(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::error!(call = %item.call, error, "a stored call cannot be opened");
            let mut failure = passing("call_unreadable");
            failure.hint = "put the key that sealed the call back into crypto.keys".into();
            failure
        })?;
        let owner = owners.get(&item.call).cloned().unwrap_or_default();
        let mut omit = item.degraded.clone();
        omit.extend(adoption::kept(&call, &item.kind));
        let draft = task::draft(&call, org, &owner, &omit, &self.tasks).ok_or_else(|| {
            Failure::new(FailureClass::Bug, FailureScope::Record, "call_without_end")
        })?;
        self.metrics.task_drafted(draft.owner_source);
        self.sent.note(
            begun.attempt,
            Sent {
                org: item.org.clone(),
                who: draft.who.clone(),
                what: draft.what.clone(),
                owner_source: draft.owner_source,
            },
        );
        Ok(Prepared {
            attempt: begun.attempt,
            call: item.call.clone(),
            kind: item.kind.clone(),
            send_by: begun.send_by,
            draft,
        })
    }

    /// Sends creates in one request, and updates in another.
    async fn send(
        &self,
        session: &Session,
        work: &Batch,
        prepared: Vec<Prepared>,
        send_by: SendBy,
        replies: &mut Vec<Reply>,
    ) -> Option<ApiUsage> {
        let (creates, updates): (Vec<Prepared>, Vec<Prepared>) = prepared
            .into_iter()
            .partition(|p| p.kind == AttemptKind::Create);
        let mut usage = None;
        if !creates.is_empty() {
            let drafts: Vec<&TaskDraft> = creates.iter().map(|p| &p.draft).collect();
            let sent = self
                .salesforce
                .create_tasks(session, &drafts, &work.mode, send_by)
                .await;
            replies.extend(answered(creates, sent.answers, &work.mode));
            usage = sent.usage;
        }
        if !updates.is_empty() {
            let changes: Vec<(RecordId, &TaskDraft)> = updates
                .iter()
                .filter_map(|p| Some((p.kind.task()?.clone(), &p.draft)))
                .collect();
            let sent = self
                .salesforce
                .update_tasks(session, &changes, &work.mode, send_by)
                .await;
            for (prepared, answer) in updates.iter().zip(&sent.answers) {
                if let AttemptKind::Adopt { task } = &prepared.kind {
                    self.adoptions.learn(&work.org, task, answer);
                }
            }
            replies.extend(answered(updates, sent.answers, &work.mode));
            usage = sent.usage.or(usage);
        }
        usage
    }
}

/// A call, opened, with its row.
pub(super) struct OpenedCall {
    /// The content.
    pub call: Call,
    /// The row.
    pub stored: StoredCall,
}

/// Replies for a batch of which nothing was sent and nothing noted.
fn unavailable(work: &Batch, failure: &Failure) -> Vec<Reply> {
    let reply = |call: &BatchCall| Reply {
        call: call.call.clone(),
        result: ReplyResult::Unavailable(failure.clone()),
    };
    work.calls.iter().map(reply).collect()
}

/// The reply of a call whose attempt did not begin.
const fn refused(call: CallId, refusal: Refusal) -> Reply {
    Reply {
        call,
        result: ReplyResult::Refused(refusal),
    }
}

/// The reply of an attempt that began and could not be built into a Task.
fn unsent(item: &BeginAttempt, begun: &Begun, failure: Failure) -> Reply {
    Reply {
        call: item.call.clone(),
        result: ReplyResult::Answered {
            attempt: begun.attempt,
            kind: item.kind.clone(),
            mode: item.mode.clone(),
            send_by: begun.send_by,
            answer: Answer::NotSent(failure),
        },
    }
}

/// The replies of a request.
fn answered(prepared: Vec<Prepared>, answers: Vec<Answer>, mode: &KeyMode) -> Vec<Reply> {
    let reply = |(prepared, answer): (Prepared, Answer)| Reply {
        call: prepared.call,
        result: ReplyResult::Answered {
            attempt: prepared.attempt,
            kind: prepared.kind,
            mode: mode.clone(),
            send_by: prepared.send_by,
            answer,
        },
    };
    prepared.into_iter().zip(answers).map(reply).collect()
}

/// A passing failure of our own.
fn passing(code: &str) -> Failure {
    Failure::new(FailureClass::Transient, FailureScope::Request, code)
}
