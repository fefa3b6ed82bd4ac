//! The relay's room.

use std::sync::Arc;

use vcc_link::store::Written;

use super::Harness;
use super::fixture::*;

/// Events come in order within a shard, each once.
pub(crate) async fn events_come_in_order(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    for _ in 0..2 {
        fixture.publish(&["e1", "e2", "e3"]).await;
    }
    let [here, elsewhere] = [fixture.owned[0].shard, fixture.owned[1].shard];
    let waiting = fixture
        .store
        .unpublished(&[elsewhere, here], 0, 2)
        .await
        .expect("unpublished");
    assert_eq!(waiting.len(), 2);
    assert_eq!(
        [&waiting[0].row, &waiting[1].row],
        [&call_event("e1"), &call_event("e2")]
    );
    assert!(waiting[0].position < waiting[1].position);
    let behind = fixture
        .store
        .unpublished(&[elsewhere, here], waiting[1].position, 9)
        .await
        .expect("unpublished");
    let behind: Vec<_> = behind.iter().map(|event| &event.row).collect();
    assert_eq!(behind, [&call_event("e3")]);
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
    fixture.publish(&["e1", "e2"]).await;
    let fence = fixture.owned[0];
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
        (fixture.owned[1], Written::Already),
        (fence, Written::Yes),
        (fence, Written::Already),
    ] {
        let marked = fixture.store.mark_published(fence, &positions).await;
        assert_eq!(marked.expect("mark_published"), expected);
    }
    fixture.publish(&["e1"]).await;
    assert_eq!(
        fixture.unpublished().await,
        [(fence.shard, "e2".to_owned())]
    );
}
