//! The stored call is what `Call::fold` says, in whatever order and cut its events come.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use vcc_link::domain::call::{
    Agent, Call, CallEnded, CallEvent, CallFacts, CallOutcome, CallStarted, CrmContext, Direction,
    Durations, EventMeta, Party, Service,
};
use vcc_link::domain::ids::{CallId, Revision};
use vcc_link::store::inbox::{IngestCall, IngestEnded, IngestStarted};

use super::Harness;
use super::fixture::*;

/// Any order, duplication and cutting of a call's events is stored as `Call::fold` says.
pub(crate) async fn events_fold_in_any_order_and_cut(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let mut runner = TestRunner::default();
    for case in 0..60 {
        let id = call_id("acme", &format!("call-{case}"));
        let drawn = batches().new_tree(&mut runner).expect("a value").current();
        let mut whole = Call::new(id.clone());
        for batch in &drawn {
            let mut part = Call::new(id.clone());
            for event in batch {
                part.fold(event.of(&id));
                whole.fold(event.of(&id));
            }
            fixture.append(vec![row(&part, batch.len())]).await;
        }
        let stored = fixture
            .store
            .calls(std::slice::from_ref(&id))
            .await
            .expect("calls")
            .remove(0);
        let expected = row(&whole, 0);
        assert_eq!(
            stored.started,
            expected.started.map(|s| s.body),
            "{drawn:?}"
        );
        assert_eq!(
            stored.ended,
            expected.ended.as_ref().map(|e| e.body.clone()),
            "{drawn:?}"
        );
        let story = fixture
            .store
            .story(&id)
            .await
            .expect("story")
            .expect("known");
        let received: usize = drawn.iter().map(Vec::len).sum();
        assert_eq!(story.events_received as usize, received);
        assert_eq!(story.line.ended_at, expected.ended.map(|e| e.ended_at));
    }
}

/// An event, drawn small so that ranks tie often.
#[derive(Clone, Debug)]
struct Drawn {
    /// Which event id.
    id: &'static str,
    /// Its time, in seconds.
    time: i64,
    /// A revision for an end, `None` for a begin.
    revision: Option<i32>,
}

/// One to five batches of one to four events.
fn batches() -> impl Strategy<Value = Vec<Vec<Drawn>>> {
    // Upper and lower case: a comparison by locale would order them otherwise.
    let ids = prop::sample::select(vec!["a", "B", "b", "A", "_", "10", "9"]);
    let event = (ids, 0..2_i64, prop::option::weighted(0.7, 0..3_i32))
        .prop_map(|(id, time, revision)| Drawn { id, time, revision });
    prop::collection::vec(prop::collection::vec(event, 1..5), 1..6)
}

impl Drawn {
    /// The event.
    fn of(&self, call: &CallId) -> CallEvent {
        let meta = EventMeta {
            id: self.id.parse().expect("event"),
            time: at(self.time),
            traceparent: None,
        };
        let facts = facts(call);
        match self.revision {
            None => CallEvent::Started(Box::new(CallStarted {
                meta,
                facts,
                expires_at: None,
            })),
            Some(revision) => CallEvent::Ended(Box::new(CallEnded {
                ended_at: at(60 + self.time),
                durations: Durations::default(),
                outcome: CallOutcome::Answered,
                ended_by: None,
                handled_by: None,
                legs: Vec::new(),
                disposition: None,
                notes: None,
                recording: None,
                voicemail: None,
                revision: Revision(revision),
                last: false,
                meta,
                facts,
            })),
        }
    }
}

/// An end without particulars.
pub(crate) fn call_ended(call: &CallId, revision: i32) -> CallEnded {
    let drawn = Drawn {
        id: "ended",
        time: i64::from(revision),
        revision: Some(revision),
    };
    match drawn.of(call) {
        CallEvent::Ended(ended) => *ended,
        CallEvent::Started(_) => unreachable!("it has a revision"),
    }
}

/// A call without particulars.
fn facts(call: &CallId) -> CallFacts {
    CallFacts {
        id: call.clone(),
        conversation_id: None,
        direction: Direction::Inbound,
        started_at: at(0),
        from: Party::default(),
        to: Party::default(),
        customer_side: None,
        service: Service::default(),
        agent: Agent::default(),
        crm: CrmContext::default(),
        attributes: std::collections::BTreeMap::new(),
        test: false,
    }
}

/// The row of a folded call, its bodies told apart by what ranks them.
fn row(call: &Call, events: usize) -> IngestCall {
    let body = |meta: &EventMeta, rest: &str| {
        let account = call.id.account.as_str();
        under_key(account, &format!("{} {} {rest}", meta.id, meta.time))
    };
    IngestCall {
        id: call.id.clone(),
        call_day: at(0).date_naive(),
        started: call.started.as_deref().map(|s| IngestStarted {
            event: s.meta.id.clone(),
            time: s.meta.time,
            lookup_deadline: Some(at(5)),
            body: body(&s.meta, "started"),
        }),
        ended: call.ended.as_deref().map(|e| IngestEnded {
            event: e.meta.id.clone(),
            time: e.meta.time,
            revision: e.revision,
            ended_at: e.ended_at,
            skip: None,
            body: body(&e.meta, &e.revision.to_string()),
        }),
        events: u32::try_from(events).expect("few"),
        too_old: Vec::new(),
    }
}
