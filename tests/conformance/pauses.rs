//! Pauses are ordered, obeyed until they are over, and kept.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use vcc_link::clock;
use vcc_link::domain::pause::{Paused, Scope};
use vcc_link::domain::work::Lane;
use vcc_link::store::Store;
use vcc_link::store::pauses::NewPause;

use super::Harness;
use super::fixture::{ORG, account_id, org_id};

/// A pause of these lanes.
fn pause(scope: Scope, lanes: &[Lane], reason: &str) -> NewPause {
    NewPause {
        scope,
        lanes: lanes.to_vec(),
        reason: reason.to_owned(),
        by: "ann".to_owned(),
        until: None,
    }
}

/// What is paused, by why and in which lane.
async fn in_force(store: &dyn Store) -> Vec<(String, Lane)> {
    let pauses = store.pauses().await.expect("pauses");
    pauses.into_iter().map(|p| (p.reason, p.lane)).collect()
}

/// A pause stands until it is resumed, by exactly its scope; one takes another's place.
pub(crate) async fn a_pause_stands_until_it_is_resumed(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let (acme, org) = (Scope::Account(account_id("acme")), Scope::Org(org_id(ORG)));
    let both = [Lane::Lookup, Lane::Task];
    for order in [
        pause(acme.clone(), &both, "first"),
        pause(acme.clone(), &[Lane::Task], "second"),
        pause(org.clone(), &[Lane::Task], "third"),
        pause(Scope::All, &[Lane::Lookup], "fourth"),
    ] {
        store.pause(&order).await.expect("pause");
    }
    let stands = [
        ("first".to_owned(), Lane::Lookup),
        ("second".to_owned(), Lane::Task),
        ("fourth".to_owned(), Lane::Lookup),
        ("third".to_owned(), Lane::Task),
    ];
    assert_eq!(in_force(&*store).await, stands);
    let paused = Paused::by(&store.pauses().await.expect("pauses"));
    assert!(paused.covers(Lane::Task, &account_id("beta"), Some(&org_id(ORG))));

    let resumed = store.resume(&acme, &both, "bob").await.expect("resume");
    assert_eq!(resumed.len(), 2);
    let again = store.resume(&acme, &both, "bob").await.expect("resume");
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(in_force(&*store).await, stands[2..]);

    let history = store.pause_history(10).await.expect("pause_history");
    let history: Vec<_> = history
        .iter()
        .map(|line| {
            (
                line.pause.reason.as_str(),
                line.ended.as_ref().map(|e| e.1.as_str()),
            )
        })
        .collect();
    let told = [
        ("fourth", None),
        ("third", None),
        ("second", Some("bob")),
        ("first", Some("ann")),
        ("first", Some("bob")),
    ];
    let mut sorted = history.clone();
    sorted.sort_unstable();
    let mut wanted = told.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    assert_eq!(history[0].0, "fourth", "the latest first");
}

/// A pause ends at its time by itself, and what is over can be paused anew.
pub(crate) async fn a_pause_ends_at_its_time(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let mut order = pause(Scope::All, &[Lane::Task], "short");
    order.until = Some(clock::now() + TimeDelta::milliseconds(300));
    store.pause(&order).await.expect("pause");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !in_force(&*store).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let resumed = store.resume(&Scope::All, &[Lane::Task], "bob").await;
    assert!(resumed.expect("resume").is_empty(), "it is over");
    order.until = None;
    store.pause(&order).await.expect("pause");
    assert_eq!(in_force(&*store).await.len(), 1);
}
