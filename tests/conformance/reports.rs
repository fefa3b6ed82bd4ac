//! What people ask.

use std::sync::Arc;

use vcc_link::domain::outcome::{DeadReason, Outcome, ParkReason};
use vcc_link::store::reports::{CallFilter, CallState};

use super::Harness;
use super::fixture::*;

/// One call in each state.
async fn one_of_each(fixture: &Fixture) {
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
            },
        ),
        (
            "retry_at",
            Outcome::RetryAt {
                at: at(900),
                failure: failed,
                degraded,
                batch_limit: None,
            },
        ),
    ];
    for (call, outcome) in outcomes {
        let begun = fixture.begin("acme", call, 0).await;
        let mut row = fixture.outcome(&begun, 0, outcome).await;
        row.event = Some(call_event(&format!("event-of-{call}")));
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
