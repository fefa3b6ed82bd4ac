//! Lookup: who is calling. Many callers in one search, each hit verified here, and the account's
//! rules decide among several.
//!
//! What needs no search is answered at once: an explicit record wins, and withheld, internal, own
//! and unusable numbers are not searched. Answers are remembered by org and number: found ones
//! longer, missing ones briefly, because SOSL's index lags by minutes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::callers::{self, Callers};
use crate::clock;
use crate::domain::call::{Call, CallFacts};
use crate::domain::event::{CallLookedUp, Published};
use crate::domain::fault::Fault;
use crate::domain::ids::{AccountId, CallId, Generation, OrgId, RecordId};
use crate::domain::link::LinkedOrg;
use crate::domain::matching::{self, Candidate, LookupAnswer, LookupResult, Via};
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::domain::phone::{self, Number};
use crate::domain::work::ApiUsage;
use crate::engine::{BatchCall, BatchId, Input};
use crate::linking::Linking;
use crate::salesforce::Session;
use crate::sealing::vault::{SealingKeys, Vault};
use crate::store::inbox::{LookupRow, StoredCall};
use crate::store::{Fence, Store, Written};
use crate::telemetry::Metrics;

/// Settings of the lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a found record is remembered for a number.
    #[serde(with = "humantime_serde")]
    pub remember_found: Duration,
    /// How long it is remembered that no record has a number: short, because Salesforce's search
    /// index shows a new record only after minutes.
    #[serde(with = "humantime_serde")]
    pub remember_missing: Duration,
    /// How long a published answer may be shown.
    #[serde(with = "humantime_serde")]
    pub answer_valid: Duration,
    /// Numbers that are never searched: the contact centre's own, and blocked ones, in E.164 form.
    pub own_numbers: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            remember_found: Duration::from_mins(10),
            remember_missing: Duration::from_secs(30),
            answer_valid: Duration::from_hours(1),
            own_numbers: Vec::new(),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.remember_missing > Duration::from_mins(5) {
            let advice = "write at most 5min: a caller saved meanwhile would stay unknown";
            faults.push(Fault::new("lookup.remember_missing", advice));
        }
        for (n, number) in self.own_numbers.iter().enumerate() {
            if phone::normalise(number, None).is_none() {
                let advice = "write a number in E.164 form, like +442079460018";
                faults.push(Fault::new(format!("lookup.own_numbers[{n}]"), advice));
            }
        }
    }
}

/// Numbers remembered at most, over all orgs.
const NUMBERS: u64 = 500_000;

/// Looks callers up.
pub struct Lookups {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Opens calls, seals answers.
    pub vault: Vault,
    /// Sessions.
    pub linking: Arc<Linking>,
    /// The searches.
    pub callers: Callers,
    /// Wakes the relay.
    pub published: Arc<Notify>,
    /// What is counted.
    pub metrics: Metrics,
    /// What was found before.
    pub memory: Memory,
}

/// What was found before.
pub struct Memory {
    /// How long a published answer may be shown.
    answer_valid: Duration,
    /// Verified candidates by org and number.
    found: Cache<(OrgId, Number), Arc<Vec<Candidate>>>,
    /// Numbers that no record has.
    missing: Cache<(OrgId, Number), ()>,
}

impl Memory {
    /// An empty memory by these settings.
    pub fn new(config: &Config) -> Self {
        let found = Cache::builder().max_capacity(NUMBERS);
        let missing = Cache::builder().max_capacity(NUMBERS);
        Self {
            answer_valid: config.answer_valid,
            found: found.time_to_live(config.remember_found).build(),
            missing: missing.time_to_live(config.remember_missing).build(),
        }
    }

    /// What is remembered of a number; empty candidates: no record has it.
    fn recall(&self, org: &OrgId, number: &Number) -> Option<Arc<Vec<Candidate>>> {
        let key = (org.clone(), number.clone());
        let missing = || self.missing.contains_key(&key).then(Arc::default);
        self.found.get(&key).or_else(missing)
    }

    /// Remembers the verified candidates of a number.
    fn remember(&self, org: &OrgId, number: &Number, candidates: &Arc<Vec<Candidate>>) {
        let key = (org.clone(), number.clone());
        if candidates.is_empty() {
            self.missing.insert(key, ());
        } else {
            self.found.insert(key, Arc::clone(candidates));
        }
    }
}

/// What one call asks.
enum Question {
    /// Answered without a search.
    Answered(LookupAnswer),
    /// Which record has this number?
    Number(Number),
}

impl Lookups {
    /// Looks a batch of one account up, and stores and publishes the answers.
    pub async fn look_up(
        &self,
        batch: BatchId,
        account: AccountId,
        generation: Generation,
        calls: Vec<BatchCall>,
        deadline: DateTime<Utc>,
    ) -> Input {
        let opened = match self.open(&account, &calls).await {
            Ok(opened) => opened,
            Err(failure) => return over(batch, vec![], Some(failure), None),
        };
        let Opened { org, calls: bodies } = opened;
        let mut answers: Vec<(CallId, LookupAnswer)> = Vec::new();
        let mut asked: BTreeMap<Number, Vec<CallId>> = BTreeMap::new();
        for (id, read) in &bodies {
            match self.question(&read.call, &org) {
                Question::Answered(answer) => answers.push((id.clone(), answer)),
                Question::Number(number) => asked.entry(number).or_default().push(id.clone()),
            }
        }
        let numbers: Vec<Number> = asked.keys().cloned().collect();
        let searched = self
            .search(&account, generation, &org, &numbers, deadline)
            .await;
        let Searched {
            found,
            failure,
            usage,
        } = searched;
        for (number, (candidates, via)) in found {
            let answer = callers::choose(&org, &candidates, via);
            let ids = asked.remove(&number).unwrap_or_default();
            answers.extend(ids.into_iter().map(|id| (id, answer.clone())));
        }
        let stored = self
            .store_answers(&calls, generation, &bodies, answers)
            .await;
        over(batch, stored, failure, usage)
    }

    /// Stores and publishes the same answer for all calls of a batch, without a search; where one
    /// is stored already, that is published.
    pub async fn answer(
        &self,
        batch: BatchId,
        generation: Generation,
        calls: Vec<BatchCall>,
        result: LookupResult,
    ) -> Input {
        let bodies = match self.bodies(&calls).await {
            Ok(bodies) => bodies,
            Err(failure) => return over(batch, vec![], Some(failure), None),
        };
        let now = clock::now();
        let answer = |id: &CallId| {
            let stored = bodies.get(id).and_then(|read| read.call.lookup.as_deref());
            stored.map_or_else(
                || LookupAnswer::without_record(result, now),
                LookupAnswer::clone,
            )
        };
        let answers = calls
            .iter()
            .map(|c| (c.call.clone(), answer(&c.call)))
            .collect();
        let stored = self
            .store_answers(&calls, generation, &bodies, answers)
            .await;
        over(batch, stored, None, None)
    }

    /// The calls of a batch, opened, and the org that is asked.
    async fn open(&self, account: &AccountId, calls: &[BatchCall]) -> Result<Opened, Failure> {
        let links = self.store.links(std::slice::from_ref(account)).await;
        let state = links
            .map_err(|_| passing("store_unavailable"))?
            .into_iter()
            .next();
        let org = state
            .and_then(|s| s.org)
            .ok_or_else(|| passing("link_changed"))?;
        Ok(Opened {
            org,
            calls: self.bodies(calls).await?,
        })
    }

    /// The calls of a batch, opened.
    async fn bodies(&self, calls: &[BatchCall]) -> Result<HashMap<CallId, Read>, Failure> {
        let ids: Vec<CallId> = calls.iter().map(|c| c.call.clone()).collect();
        let stored = self
            .store
            .calls(&ids)
            .await
            .map_err(|_| passing("store_unavailable"))?;
        let keys = stored.iter().flat_map(StoredCall::keys).collect();
        let keys = self.vault.open(keys).await;
        let keys = keys.map_err(|_| passing("store_unavailable"))?;
        Ok(stored
            .iter()
            .filter_map(|stored| {
                let call = keys.call(stored);
                let call = call.map_err(|error| {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(call = %stored.id, error, "a stored call cannot be opened");
                });
                let call = call.ok()?;
                let generation = stored.lookup_generation;
                Some((call.id.clone(), Read { call, generation }))
            })
            .collect())
    }

    /// What a call asks.
    fn question(&self, call: &Call, org: &LinkedOrg) -> Question {
        let now = clock::now();
        let without = |result| Question::Answered(LookupAnswer::without_record(result, now));
        // The begin came behind the answer: it is told what is known.
        if let Some(stored) = call.lookup.as_deref() {
            return Question::Answered(stored.clone());
        }
        let Some(facts) = call.facts() else {
            return without(LookupResult::NotSearched);
        };
        if let Some(record) = explicit(call) {
            let mut answer = matching::explicit(record, now);
            answer.url = answer.record.as_ref().map(|r| callers::page(org, &r.id));
            return Question::Answered(answer);
        }
        match self.number(facts, org) {
            Ok(number) => Question::Number(number),
            Err(result) => without(result),
        }
    }

    /// The customer's number, if it is worth a search.
    fn number(&self, facts: &CallFacts, org: &LinkedOrg) -> Result<Number, LookupResult> {
        let party = facts.customer().ok_or(LookupResult::NotSearched)?;
        self.callers.number(party, org)
    }

    /// Finds the verified candidates of numbers: from memory, else by search.
    async fn search(
        &self,
        account: &AccountId,
        generation: Generation,
        org: &LinkedOrg,
        numbers: &[Number],
        deadline: DateTime<Utc>,
    ) -> Searched {
        let mut searched = Searched::default();
        let mut unknown: Vec<Number> = Vec::new();
        for number in numbers {
            match self.memory.recall(&org.org, number) {
                Some(candidates) => {
                    searched
                        .found
                        .push((number.clone(), (candidates, Via::Cache)));
                }
                None => unknown.push(number.clone()),
            }
        }
        if unknown.is_empty() {
            return searched;
        }
        let left = (deadline - clock::now()).to_std().unwrap_or_default();
        let asked = async {
            match self.linking.session(account, generation).await {
                Ok(session) => {
                    self.ask(&session, org, &unknown, deadline, &mut searched)
                        .await;
                }
                Err(failure) => searched.failure = Some(failure),
            }
        };
        // Whatever hangs, the callers are told so in time.
        if tokio::time::timeout(left, asked).await.is_err() {
            searched.failure = Some(passing("deadline_passed"));
        }
        searched
    }

    /// Asks Salesforce, and remembers the outcome.
    async fn ask(
        &self,
        session: &Session,
        org: &LinkedOrg,
        numbers: &[Number],
        deadline: DateTime<Utc>,
        searched: &mut Searched,
    ) {
        let answer = self.callers.find(session, org, numbers, deadline).await;
        let verified = match answer {
            Ok(answered) => {
                searched.usage = answered.usage;
                answered.value
            }
            Err(error) => {
                searched.failure = Some(error.failure);
                searched.usage = error.usage;
                return;
            }
        };
        for (number, candidates) in verified {
            let candidates = Arc::new(candidates);
            self.memory.remember(&org.org, &number, &candidates);
            searched.found.push((number, (candidates, Via::Search)));
        }
    }

    /// Stores answers with their events; returns the calls whose answer is stored.
    async fn store_answers(
        &self,
        calls: &[BatchCall],
        generation: Generation,
        bodies: &HashMap<CallId, Read>,
        mut answers: Vec<(CallId, LookupAnswer)>,
    ) -> Vec<CallId> {
        let by_id: HashMap<&CallId, &BatchCall> = calls.iter().map(|c| (&c.call, c)).collect();
        answers.retain(|(id, _)| by_id.contains_key(id));
        if answers.is_empty() {
            return vec![];
        }
        let accounts = answers.iter().map(|(id, _)| id.account.clone()).collect();
        let row = |(id, answer): &(CallId, LookupAnswer), keys: &SealingKeys| {
            let call = by_id[id];
            let fence = Fence {
                shard: call.shard,
                epoch: call.epoch,
            };
            self.row(id, fence, generation, (bodies.get(id), answer), keys)
        };
        let record = |keys: SealingKeys| {
            let rows: Vec<LookupRow> = answers.iter().map(|answer| row(answer, &keys)).collect();
            async move { self.store.record_lookups(&rows).await }
        };
        let written = match self.vault.seal(&accounts, record).await {
            Ok(written) => written,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "lookups' answers are not stored; they are asked again"
                );
                return vec![];
            }
        };
        self.published.notify_one();
        for ((id, answer), written) in answers.iter().zip(&written) {
            let started = bodies.get(id).and_then(|read| read.call.started.as_deref());
            if let (Written::Yes, Some(started)) = (written, started) {
                self.metrics.looked_up(answer, started.facts.started_at);
            }
        }
        let done = answers
            .into_iter()
            .zip(written)
            .filter(|(_, w)| *w != Written::Stale);
        done.map(|((id, _), _)| id).collect()
    }

    /// The row of one answer. Only a begin is answered with an event.
    fn row(
        &self,
        id: &CallId,
        fence: Fence,
        generation: Generation,
        (read, answer): (Option<&Read>, &LookupAnswer),
        keys: &SealingKeys,
    ) -> LookupRow {
        let started = read.and_then(|read| read.call.started.as_deref());
        let generation = read.and_then(|read| read.generation).unwrap_or(generation);
        let event = started.map(|started| {
            let until = answer.answered_at + self.memory.answer_valid;
            Published::CallLookedUp(Box::new(CallLookedUp {
                conversation_id: started.facts.conversation_id.clone(),
                call: id.clone(),
                answer: answer.clone(),
                generation,
                valid_until: started.expires_at.map_or(until, |e| e.min(until)),
                test: started.facts.test,
                traceparent: started.meta.traceparent.clone(),
            }))
        });
        LookupRow {
            id: id.clone(),
            fence,
            generation,
            answer: keys.answer(id, answer),
            event: event.map(|event| keys.event(fence.shard, id, &event)),
        }
    }
}

/// A batch, opened.
struct Opened {
    /// The org that is asked.
    org: LinkedOrg,
    /// The calls.
    calls: HashMap<CallId, Read>,
}

/// A call as it was read.
struct Read {
    /// The call.
    call: Call,
    /// The generation that its stored answer asked.
    generation: Option<Generation>,
}

/// The verified candidates of a number, and where they came from.
type Verified = (Arc<Vec<Candidate>>, Via);

/// What a search brought.
#[derive(Default)]
struct Searched {
    /// Verified candidates by number, and where they came from.
    found: Vec<(Number, Verified)>,
    /// Why the other numbers have no answer.
    failure: Option<Failure>,
    /// The org's usage.
    usage: Option<ApiUsage>,
}

/// The record that the platform named: the end's word before the begin's, as the agent chose last.
fn explicit(call: &Call) -> Option<RecordId> {
    let ended = call
        .ended
        .as_deref()
        .and_then(|e| e.facts.crm.record.clone());
    ended.or_else(|| {
        call.started
            .as_deref()
            .and_then(|s| s.facts.crm.record.clone())
    })
}

/// The end of a batch.
fn over(
    batch: BatchId,
    answered: Vec<CallId>,
    failure: Option<Failure>,
    usage: Option<ApiUsage>,
) -> Input {
    Input::LookedUp {
        batch,
        answered,
        failure,
        usage,
    }
}

/// A passing failure of our own.
fn passing(code: &str) -> Failure {
    Failure::new(FailureClass::Transient, FailureScope::Request, code)
}
