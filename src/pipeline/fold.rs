//! Events → rows: folds the events of each call, judges their times, and seals the bodies.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::ingest::{Config, FromTheFuture};
use crate::domain::call::{Call, CallEnded, CallEvent, CallStarted};
use crate::domain::event::{CallLog, CallLookedUp, Published};
use crate::domain::ids::{AccountId, CallId, Generation, ShardId};
use crate::domain::matching::{LookupAnswer, LookupResult};
use crate::domain::outcome::{Outcome, SkipReason};
use crate::domain::policy::Policy;
use crate::sealing::vault::SealingKeys;
use crate::store::inbox::{IngestCall, IngestEnded, IngestStarted};
use crate::store::outbox::OutboxRow;

/// The events of one call out of a batch.
#[derive(Clone)]
pub struct Folded {
    /// The call, as they tell of it.
    call: Call,
    /// How many there were, duplicates among them.
    events: u32,
}

impl Folded {
    /// The call.
    pub const fn id(&self) -> &CallId {
        &self.call.id
    }

    /// The accounts of calls.
    pub fn accounts(calls: &[Self]) -> BTreeSet<AccountId> {
        let accounts = calls.iter().map(|folded| folded.call.id.account.clone());
        accounts.collect()
    }
}

/// Turns events into the rows of one append: pure but for the sealing.
pub struct Folder {
    /// Settings.
    config: Config,
    /// Which calls earn a Task.
    policy: Policy,
}

impl Folder {
    /// A folder by these settings.
    pub const fn new(config: Config, policy: Policy) -> Self {
        Self { config, policy }
    }

    /// Whether the event claims a time further ahead than clocks differ.
    pub fn check_time(&self, now: DateTime<Utc>, event: &CallEvent) -> Result<(), FromTheFuture> {
        self.config.check_time(now, event)
    }

    /// Folds events by call, sorted by id.
    pub fn fold(events: Vec<CallEvent>) -> Vec<Folded> {
        let mut calls: BTreeMap<CallId, Folded> = BTreeMap::new();
        for event in events {
            let id = event.call().clone();
            let folded = calls.entry(id.clone()).or_insert_with(|| Folded {
                call: Call::new(id),
                events: 0,
            });
            folded.call.fold(event);
            folded.events += 1;
        }
        calls.into_values().collect()
    }

    /// The rows of folded calls, sealed by the keys of their accounts.
    pub fn rows(
        &self,
        now: DateTime<Utc>,
        calls: &[Folded],
        keys: &SealingKeys,
    ) -> Vec<IngestCall> {
        let rows = calls
            .iter()
            .filter_map(|folded| self.row(now, folded, keys));
        rows.collect()
    }

    /// Whether the call's key may be forgotten already: judged by its begin, which both its
    /// events carry, so that both are judged alike.
    fn is_too_old(&self, now: DateTime<Utc>, call: &Call) -> bool {
        let oldest = now - self.config.dedupe_horizon;
        call.facts().is_some_and(|facts| facts.started_at < oldest)
    }

    /// The row of one call.
    fn row(&self, now: DateTime<Utc>, folded: &Folded, keys: &SealingKeys) -> Option<IngestCall> {
        let Folded { call, events } = folded;
        let facts = call.facts()?;
        Some(IngestCall {
            id: call.id.clone(),
            call_day: facts.started_at.date_naive(),
            started: call.started.as_deref().map(|s| self.started(now, s, keys)),
            ended: call.ended.as_deref().map(|e| self.ended(e, keys)),
            events: *events,
            too_old: if self.is_too_old(now, call) {
                too_old(now, call, keys)
            } else {
                Vec::new()
            },
        })
    }

    /// The begin's part of the row.
    fn started(
        &self,
        now: DateTime<Utc>,
        started: &CallStarted,
        keys: &SealingKeys,
    ) -> IngestStarted {
        let deadline = now + self.config.lookup_deadline;
        IngestStarted {
            event: started.meta.id.clone(),
            time: started.meta.time,
            lookup_deadline: Some(started.expires_at.map_or(deadline, |e| e.min(deadline))),
            body: keys.started(started),
        }
    }

    /// The end's part of the row.
    fn ended(&self, ended: &CallEnded, keys: &SealingKeys) -> IngestEnded {
        IngestEnded {
            event: ended.meta.id.clone(),
            time: ended.meta.time,
            revision: ended.revision,
            ended_at: ended.ended_at,
            skip: self.policy.skip(ended),
            body: keys.ended(ended),
        }
    }
}

/// What is published of a call beyond the horizon whose key is not known any more: an answer
/// for its begin, a stated reason for its end. The ids are those of any other end of the same
/// call and revision, so a consumer that has seen the first end drops this one.
fn too_old(now: DateTime<Utc>, call: &Call, keys: &SealingKeys) -> Vec<OutboxRow> {
    let shard = ShardId::of(&call.id.account, None);
    let answer = call.started.as_deref().map(|started| {
        Published::CallLookedUp(Box::new(CallLookedUp {
            conversation_id: started.facts.conversation_id.clone(),
            call: call.id.clone(),
            answer: LookupAnswer::without_record(LookupResult::Timeout, now),
            generation: Generation::default(),
            valid_until: now,
            test: started.facts.test,
            traceparent: started.meta.traceparent.clone(),
        }))
    });
    let end = call.ended.as_deref().map(|ended| {
        Published::CallLog(Box::new(CallLog {
            conversation_id: ended.facts.conversation_id.clone(),
            call: call.id.clone(),
            revision: ended.revision,
            caused_by: Some(ended.meta.id.clone()),
            generation: Generation::default(),
            org: None,
            outcome: Outcome::Skipped {
                reason: SkipReason::TooOld,
            },
            lookup: None,
            task_key: call.id.task_key(),
            who: None,
            what: None,
            owner_source: None,
            attempts: 0,
            ended_at: Some(ended.ended_at),
            received_at: Some(now),
            test: ended.facts.test,
            decided_at: now,
            deferral: 0,
            replay: 0,
            traceparent: ended.meta.traceparent.clone(),
        }))
    });
    answer
        .into_iter()
        .chain(end)
        .map(|event| keys.event(shard, &call.id, &event))
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::event::Topic;
    use crate::kafka::wire::decode::{Decoded, decode_structured};

    fn event(sample: &str) -> CallEvent {
        match decode_structured(sample.as_bytes()) {
            Ok(Decoded::Call(event)) => event,
            other => panic!("a call event, not {other:?}"),
        }
    }

    /// The store decides by the key, so a call beyond the horizon comes as any other, with what is
    /// published if its key is not known.
    #[test]
    fn a_call_beyond_the_horizon_brings_what_is_published_if_it_is_not_known() {
        let config = Config::default();
        let horizon = config.dedupe_horizon;
        let folder = Folder::new(config, Policy::default());
        let started = event(include_str!(
            "../../tests/samples/call.started.v1.structured.json"
        ));
        let ended = event(include_str!(
            "../../tests/samples/call.ended.v1.structured.json"
        ));
        let began = started.started_at();
        for (past, published) in [(0, 0), (1, 2)] {
            let now = began + horizon + TimeDelta::seconds(past);
            let folded = Folder::fold(vec![ended.clone(), started.clone()]);
            let keys = SealingKeys::for_tests(&[&ended.call().account]);
            let calls = folder.rows(now, &folded, &keys);
            assert_eq!(calls.len(), 1);
            let call = &calls[0];
            assert!(call.started.is_some() && call.ended.is_some());
            assert_eq!(call.too_old.len(), published);
            assert!(call.too_old.iter().all(|row| row.topic == Topic::CallLogs));
        }
    }
}
