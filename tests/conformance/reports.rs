//! What people ask.

use std::sync::Arc;

use vcc_link::domain::outcome::{DeadReason, Outcome, ParkReason};
use vcc_link::store::inbox::{IngestBatch, Partition, QuarantineRow};
use vcc_link::store::reports::{CallFilter, CallState};
use vcc_link::store::{Sealed, Written};

use super::Harness;
use super::fixture::*;

/// One call in each state.
pub(super) async fn one_of_each(fixture: &Fixture) {
    fixture.link("acme").await;
    let calls = [
        "dead", "in_doubt", "logged", "parked", "ready", "retry_at", "sending",
    ];
    let calls = calls.map(|call| ended("acme", call, 0)).into_iter();
    fixture
        .append(calls.chain([started("acme", "ringing")]).collect())
        .await;
    let failed = failure();
    let degraded = std::collections::BTreeSet::new();
    let outcomes = [
        (
            "dead",
            Outcome::Dead {
                reason: DeadReason::Refused,
                failure: Some(failed.clone()),
            },
        ),
        (
            "in_doubt",
            Outcome::InDoubt {
                look_at: at(700),
                failure: failed.clone(),
            },
        ),
        ("logged", created()),
        (
            "parked",
            Outcome::Parked {
                reason: ParkReason::OrgRefuses,
                failure: None,
                until: None,
            },
        ),
        (
            "retry_at",
            Outcome::RetryAt {
                at: at(900),
                failure: failed,
                degraded,
                batch_limit: None,
                hidden: None,
            },
        ),
    ];
    for (call, outcome) in outcomes {
        let begun = fixture.begin("acme", call, 0).await;
        let mut row = fixture.outcome(&begun, 0, outcome).await;
        row.event = Some(call_event("acme", &format!("event-of-{call}")));
        fixture.record(&row).await;
    }
    fixture.begin("acme", "sending", 0).await;
}

/// Each open call is counted once, in its state.
pub(crate) async fn open_calls_are_counted_by_state(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    one_of_each(&fixture).await;
    let counts = fixture.store.open_counts().await.expect("open_counts");
    let counts: Vec<_> = counts
        .iter()
        .map(|c| (c.state, c.calls, c.oldest.is_some()))
        .collect();
    let open = [
        CallState::Ringing,
        CallState::Ready,
        CallState::Sending,
        CallState::InDoubt,
        CallState::RetryAt,
        CallState::Parked,
    ];
    assert_eq!(counts, open.map(|state| (state, 1, true)));
    fixture.store.check().await.expect("check");
}

/// Calls are listed by filter.
pub(crate) async fn calls_are_listed_by_filter(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    one_of_each(&fixture).await;
    fixture.append(vec![ended("other", "latest", 0)]).await;
    let list = |filter: CallFilter| {
        let store = Arc::clone(&fixture.store);
        async move {
            let lines = store.list_calls(&filter).await.expect("list_calls");
            lines
                .into_iter()
                .map(|line| line.id.interaction.to_string())
                .collect::<Vec<_>>()
        }
    };
    let all = CallFilter {
        limit: 100,
        ..CallFilter::default()
    };
    assert_eq!(
        list(CallFilter {
            limit: 1,
            ..all.clone()
        })
        .await,
        ["latest"]
    );
    assert_eq!(
        list(CallFilter {
            since: Some(far_ahead()),
            ..all.clone()
        })
        .await
        .len(),
        0
    );
    let acme = CallFilter {
        account: Some(account_id("acme")),
        ..all.clone()
    };
    assert_eq!(list(acme).await.len(), 8);
    for state in CallState::ALL {
        let listed = list(CallFilter {
            states: vec![state],
            ..all.clone()
        })
        .await;
        let expected = match state {
            CallState::Skipped => vec![],
            CallState::Ready => vec!["latest", "ready"],
            state => vec![state.as_str()],
        };
        assert_eq!(listed, expected);
    }
}

/// A call's story tells its events, its attempts and what was published.
pub(crate) async fn a_call_has_a_story(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    one_of_each(&fixture).await;
    let id = call_id("acme", "in_doubt");
    let story = fixture
        .store
        .story(&id)
        .await
        .expect("story")
        .expect("known");
    assert_eq!(
        (story.line.state, story.line.attempts),
        (CallState::InDoubt, 1)
    );
    assert_eq!(story.events.len(), 1);
    assert_eq!(story.events[0].event.as_str(), "in_doubt/ended/0");
    assert_eq!((story.published, story.unpublished), (0, 1));
    assert_eq!(story.attempts.len(), 1);
    assert_eq!(story.attempts[0].closed_at, None);
    assert!(matches!(
        story.attempts[0].outcome,
        Some(Outcome::InDoubt { .. })
    ));
    assert!(story.call.ended.is_some());
    let nobody = fixture
        .store
        .story(&call_id("acme", "nobody"))
        .await
        .expect("story");
    assert_eq!(nobody, None);
}

/// Events of a call that is not stored are counted, and the latest quarantined records are told.
pub(crate) async fn what_is_not_stored_leaves_traces(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.publish("acme", &["e1", "e2"]).await;
    let waiting = fixture.fence_of("acme").await;
    let first = fixture.store.unpublished(&[waiting.shard], 0, 1).await;
    let first = first.expect("unpublished")[0].position;
    let marked = fixture.store.mark_published(waiting, &[first]).await;
    assert_eq!(marked.expect("mark_published"), Written::Yes);
    let record = |offset: i64| QuarantineRow {
        partition: Partition {
            topic: "vcc.calls".to_owned(),
            partition: 0,
        },
        offset,
        received_at: at(offset),
        reason: format!("reason {offset}"),
        body: Sealed(vec![7]),
    };
    let batch = IngestBatch {
        quarantined: (0..5).map(record).collect(),
        ..IngestBatch::default()
    };
    fixture.store.append(&batch).await.expect("append");

    let traces = async |call: &str| {
        let traces = fixture.store.traces(&call_id("acme", call), 2).await;
        traces.expect("traces")
    };
    let known = traces("too-old").await;
    assert_eq!((known.published, known.unpublished), (1, 1));
    assert!(known.quarantined == [record(4), record(3)]);
    let nobody = traces("nobody").await;
    assert_eq!((nobody.published, nobody.unpublished), (0, 0));
    let story = fixture.store.story(&call_id("acme", "too-old")).await;
    assert_eq!(story.expect("story"), None);
}
