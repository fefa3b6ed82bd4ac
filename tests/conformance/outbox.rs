//! The relay's room.

use std::sync::Arc;

use vcc_link::store::Written;
use vcc_link::store::outbox::OutboxRow;

use super::Harness;
use super::fixture::*;

/// Events come in order within a shard, each once.
pub(crate) async fn events_come_in_order(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    for _ in 0..2 {
        fixture.publish("acme", &["e1", "e2", "e3"]).await;
    }
    let here = fixture.fence_of("acme").await.shard;
    let elsewhere = fixture.owned.iter().map(|fence| fence.shard);
    let elsewhere = elsewhere.into_iter().find(|shard| *shard != here);
    let elsewhere = elsewhere.expect("there are several");
    let waiting = fixture
        .store
        .unpublished(&[elsewhere, here], 0, 2)
        .await
        .expect("unpublished");
    assert_eq!(waiting.len(), 2);
    let in_shard = |id: &str| OutboxRow {
        shard: here,
        ..call_event("acme", id)
    };
    assert_eq!(
        [&waiting[0].row, &waiting[1].row],
        [&in_shard("e1"), &in_shard("e2")]
    );
    assert!(waiting[0].position < waiting[1].position);
    let behind = fixture
        .store
        .unpublished(&[elsewhere, here], waiting[1].position, 9)
        .await
        .expect("unpublished");
    let behind: Vec<_> = behind.iter().map(|event| &event.row).collect();
    assert_eq!(behind, [&in_shard("e3")]);
    let none = fixture
        .store
        .unpublished(&[elsewhere], 0, 9)
        .await
        .expect("unpublished");
    assert_eq!(none, []);
}

/// An event waits until the shard's owner marks it; then the same fact is not published again.
pub(crate) async fn published_events_are_marked_by_the_owner(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.publish("acme", &["e1", "e2"]).await;
    let fence = fixture.fence_of("acme").await;
    let other = fixture.owned.iter().find(|other| **other != fence);
    let other = *other.expect("there are several");
    let waiting = fixture
        .store
        .unpublished(&[fence.shard], 0, 1)
        .await
        .expect("unpublished");
    let positions = [waiting[0].position];
    let mut stale = fence;
    stale.epoch = stale.epoch.next();
    for (fence, expected) in [
        (stale, Written::Stale),
        (other, Written::Already),
        (fence, Written::Yes),
        (fence, Written::Already),
    ] {
        let marked = fixture.store.mark_published(fence, &positions).await;
        assert_eq!(marked.expect("mark_published"), expected);
    }
    fixture.publish("acme", &["e1"]).await;
    assert_eq!(
        fixture.unpublished().await,
        [(fence.shard, "e2".to_owned())]
    );
}
