//! Recording: the engine's decisions, each with the event that tells of it, in one transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::call::Call;
use crate::domain::event::{CallLog, Published};
use crate::domain::ids::{AccountId, AttemptId, CallId, OrgId, RecordId};
use crate::domain::outcome::Outcome;
use crate::domain::task::OwnerSource;
use crate::engine::{Decision, Input};
use crate::sealing::vault::{OpeningKeys, SealingKeys, Vault};
use crate::store::inbox::StoredCall;
use crate::store::journal::OutcomeRow;
use crate::store::until_stored;
use crate::store::{Fence, Store, Written};
use crate::telemetry::names::field;
use crate::telemetry::{Metrics, trace};

/// What was sent with an attempt, remembered until its outcome is published.
///
/// It is only in memory: after a crash the event of an adopted Task tells these fields as unknown
/// rather than guessed.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The org that was written to.
    pub org: OrgId,
    /// The Task's person.
    pub who: Option<RecordId>,
    /// What the Task is about.
    pub what: Option<RecordId>,
    /// How the owner was decided.
    pub owner_source: OwnerSource,
}

/// What was sent with the attempts that are open here.
///
/// A `std` mutex: nothing is awaited while it is held.
#[derive(Default)]
pub struct SentNotes(Mutex<HashMap<AttemptId, Sent>>);

impl SentNotes {
    /// Remembers what an attempt sends.
    pub fn note(&self, attempt: AttemptId, sent: Sent) {
        self.lock().insert(attempt, sent);
    }

    /// What an attempt sent.
    fn get(&self, attempt: AttemptId) -> Option<Sent> {
        self.lock().get(&attempt).cloned()
    }

    /// Forgets closed attempts.
    fn forget(&self, attempts: impl Iterator<Item = AttemptId>) {
        let mut notes = self.lock();
        for attempt in attempts {
            notes.remove(&attempt);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Sent>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Stores decisions.
pub struct Recorder {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Opens calls, seals events.
    pub vault: Vault,
    /// What was sent.
    pub sent: Arc<SentNotes>,
    /// Wakes the relay.
    pub published: Arc<Notify>,
    /// Ends the waiting for a store that is away.
    pub cancel: CancellationToken,
    /// What is counted.
    pub metrics: Metrics,
}

impl Recorder {
    /// Stores decisions until the store answers; `None` when told to stop before.
    pub async fn record(&self, decisions: Vec<Decision>) -> Option<Input> {
        let calls = self.calls_to_tell_of(&decisions).await?;
        let told: Vec<Told<'_>> = decisions
            .iter()
            .map(|d| self.told(d, calls.get(&d.call)))
            .collect();
        let accounts = told.iter().filter(|told| told.event.is_some());
        let accounts = accounts.map(|told| told.decision.call.account.clone());
        let accounts: BTreeSet<AccountId> = accounts.collect();
        let written = until_stored(&self.cancel, "record_outcomes", || {
            self.vault.seal(&accounts, |keys| {
                let rows: Vec<OutcomeRow> = told.iter().map(|told| told.row(&keys)).collect();
                async move { self.store.record_outcomes(&rows).await }
            })
        })
        .await?;
        crate::crash_point("record.stored");
        let written = written.unwrap_or_else(|error| {
            // Nothing is lost: attempts stay open and are reconciled, calls stay due.
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "the store refuses outcomes; their attempts will be reconciled"
            );
            vec![Written::Stale; told.len()]
        });
        self.published.notify_one();
        self.count(&decisions, &calls, &written);
        let closed = decisions
            .iter()
            .filter(|d| !matches!(d.outcome, Outcome::InDoubt { .. }));
        self.sent.forget(closed.filter_map(|d| d.attempt));
        let done = decisions.into_iter().zip(written);
        Some(Input::Recorded {
            done: done.map(|(d, w)| (d.call, w != Written::Stale)).collect(),
        })
    }

    /// Counts what was stored.
    fn count(
        &self,
        decisions: &[Decision],
        calls: &HashMap<CallId, (StoredCall, Option<Call>)>,
        written: &[Written],
    ) {
        let now = clock::now();
        for (decision, _) in decisions
            .iter()
            .zip(written)
            .filter(|(_, w)| **w == Written::Yes)
        {
            let call = calls
                .get(&decision.call)
                .and_then(|(_, call)| call.as_ref());
            let ended = call
                .and_then(|c| c.ended.as_deref())
                .map_or(now, |e| e.ended_at);
            self.metrics.decided(&decision.outcome, ended, now);
        }
    }

    /// The calls whose outcome is published, opened.
    async fn calls_to_tell_of(
        &self,
        decisions: &[Decision],
    ) -> Option<HashMap<CallId, (StoredCall, Option<Call>)>> {
        let told = decisions.iter().filter(|d| is_told(&d.outcome));
        let ids: Vec<CallId> = told.map(|d| d.call.clone()).collect();
        if ids.is_empty() {
            return Some(HashMap::new());
        }
        let read = || async {
            let stored = self.store.calls(&ids).await?;
            let keys = stored.iter().flat_map(StoredCall::keys).collect();
            let keys = self.vault.open(keys).await?;
            Ok((stored, keys))
        };
        let read = until_stored(&self.cancel, "calls", read).await?;
        let Ok((stored, keys)) = read else {
            return Some(HashMap::new());
        };
        let opened = stored.into_iter().map(|s| (s.id.clone(), opened(s, &keys)));
        Some(opened.collect())
    }

    /// A decision, and what is published of it.
    fn told<'a>(
        &self,
        decision: &'a Decision,
        call: Option<&(StoredCall, Option<Call>)>,
    ) -> Told<'a> {
        let at = clock::now();
        let event = is_told(&decision.outcome)
            .then(|| Published::CallLog(Box::new(self.log(decision, call, at))));
        Told {
            decision,
            replay: event.as_ref().and(call).map(|(stored, _)| stored.replays),
            event,
            at,
        }
    }

    /// What is published of one decision.
    fn log(
        &self,
        decision: &Decision,
        call: Option<&(StoredCall, Option<Call>)>,
        at: DateTime<Utc>,
    ) -> CallLog {
        let sent = decision.attempt.and_then(|attempt| self.sent.get(attempt));
        let (stored, call) = call.map_or((None, None), |(s, c)| (Some(s), c.as_ref()));
        let ended = call.and_then(|c| c.ended.as_deref());
        let facts = call.and_then(Call::facts);
        CallLog {
            conversation_id: facts.and_then(|f| f.conversation_id.clone()),
            call: decision.call.clone(),
            revision: decision.revision,
            caused_by: ended.map(|e| e.meta.id.clone()),
            generation: decision.generation,
            org: sent.as_ref().map(|s| s.org.clone()),
            outcome: decision.outcome.clone(),
            lookup: call.and_then(|c| c.lookup.as_deref().cloned()),
            task_key: decision.call.task_key(),
            who: sent.as_ref().and_then(|s| s.who.clone()),
            what: sent.as_ref().and_then(|s| s.what.clone()),
            owner_source: sent.as_ref().map(|s| s.owner_source),
            attempts: stored.map_or(0, |s| s.attempts),
            ended_at: ended.map(|e| e.ended_at),
            received_at: stored.and_then(|s| s.ended_received_at),
            test: facts.is_some_and(|f| f.test),
            decided_at: at,
            deferral: stored.map_or(0, |s| s.deferrals),
            replay: stored.map_or(0, |s| s.replays),
            traceparent: traced(decision, call),
        }
    }
}

/// A decision, and what is published of it.
struct Told<'a> {
    /// The decision.
    decision: &'a Decision,
    /// What is published.
    event: Option<Published>,
    /// How often the call was replayed, as the event tells.
    replay: Option<u32>,
    /// When it was decided.
    at: DateTime<Utc>,
}

impl Told<'_> {
    /// Its row.
    fn row(&self, keys: &SealingKeys) -> OutcomeRow {
        let decision = self.decision;
        let event = self.event.as_ref();
        OutcomeRow {
            call: decision.call.clone(),
            fence: Fence {
                shard: decision.shard,
                epoch: decision.epoch,
            },
            attempt: decision.attempt,
            revision: decision.revision,
            generation: decision.generation,
            outcome: decision.outcome.clone(),
            replay: self.replay,
            event: event.map(|event| keys.event(decision.shard, &decision.call, event)),
            at: self.at,
        }
    }
}

/// A call whose bodies cannot be opened is still recorded and told of, by its ids alone.
fn opened(stored: StoredCall, keys: &OpeningKeys) -> (StoredCall, Option<Call>) {
    let call = keys.call(&stored).inspect_err(|error| {
        let error = error as &dyn std::error::Error;
        tracing::error!(call = %stored.id, error, "a stored call cannot be opened");
    });
    (stored, call.ok())
}

/// The trace context of a published result: a span of ours within the producer's trace; the
/// producer's own where traces are off.
fn traced(decision: &Decision, call: Option<&Call>) -> Option<String> {
    let producer = call.and_then(Call::traceparent)?;
    let (account, interaction) = (&decision.call.account, &decision.call.interaction);
    let span = tracing::info_span!(
        "call_log",
        { field::ACCOUNT } = %account,
        { field::INTERACTION } = %interaction,
        revision = decision.revision.0,
    );
    trace::continue_from(&span, producer);
    trace::traceparent(&span).or_else(|| Some(producer.to_owned()))
}

/// Whether an outcome is published: the terminal ones, and parking. Retries and doubts are our
/// own business until they end.
const fn is_told(outcome: &Outcome) -> bool {
    outcome.is_terminal() || matches!(outcome, Outcome::Parked { .. })
}
