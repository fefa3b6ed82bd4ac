//! Who owns which shard.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use vcc_link::domain::ids::{ReplicaId, ShardId};
use vcc_link::store::leases::Beat;
use vcc_link::store::{Fence, Store};

use super::Harness;

/// Long enough for a test.
const LONG: Duration = Duration::from_mins(10);

/// A heartbeat.
async fn beat(store: &Arc<dyn Store>, replica: &str, ttl: Duration, claim: u32) -> Beat {
    store.beat(&name(replica), ttl, claim).await.expect("beat")
}

/// A replica.
fn name(replica: &str) -> ReplicaId {
    replica.parse().expect("replica")
}

/// The shards of these leases.
fn shards(owned: &[Fence]) -> BTreeSet<ShardId> {
    owned.iter().map(|fence| fence.shard).collect()
}

/// A lease that lives is nobody else's; one that expired is taken with the next epoch.
pub(crate) async fn an_expired_lease_is_taken_with_a_new_epoch(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let first = beat(&store, "a", LONG, 200).await;
    assert_eq!((first.owned.len(), first.replicas), (200, 1));
    let second = beat(&store, "b", LONG, 256).await;
    assert_eq!((second.owned.len(), second.replicas), (56, 2));
    assert!(shards(&first.owned).is_disjoint(&shards(&second.owned)));

    beat(&store, "a", Duration::ZERO, 0).await;
    let taken = beat(&store, "b", LONG, 256).await;
    assert_eq!((taken.owned.len(), taken.replicas), (256, 1));
    for lost in &first.owned {
        let now = taken.owned[usize::from(lost.shard.0)];
        assert_eq!(now.epoch, lost.epoch.next());
    }
    assert_eq!(beat(&store, "a", LONG, 256).await.owned, []);
}

/// A lease that expired and was taken by nobody goes on with its epoch.
pub(crate) async fn an_own_expired_lease_keeps_its_epoch(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let before = beat(&store, "a", Duration::ZERO, 10).await;
    assert_eq!(beat(&store, "a", LONG, 0).await.owned, before.owned);
}

/// What is given up is free at once; giving up what is not one's own does nothing.
pub(crate) async fn what_is_released_is_free(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let owned = beat(&store, "a", LONG, 256).await.owned;
    let some = [ShardId(3), ShardId(4)];
    store.release(&name("b"), &some).await.expect("release");
    assert_eq!(beat(&store, "b", LONG, 256).await.owned, []);
    for _ in 0..2 {
        store.release(&name("a"), &some).await.expect("release");
    }
    assert_eq!(beat(&store, "a", LONG, 0).await.owned.len(), 254);
    let taken = beat(&store, "b", LONG, 256).await;
    assert_eq!(shards(&taken.owned), BTreeSet::from(some));
    assert_eq!(taken.owned[0].epoch, owned[3].epoch.next());

    store.leave(&name("a")).await.expect("leave");
    let all = beat(&store, "b", LONG, 256).await;
    assert_eq!((all.owned.len(), all.replicas), (256, 1));
}

/// A lease that reaches further than any can was made by a clock that was ahead: neither it nor its owner,
/// if it died then, is waited for.
pub(crate) async fn a_lease_that_reaches_too_far_is_none(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let ahead = Duration::from_hours(1);
    let before = beat(&store, "a", ahead, 256).await.owned;
    let after = beat(&store, "b", LONG, 256).await;
    assert_eq!((after.owned.len(), after.replicas), (256, 1));
    assert_eq!(after.owned[0].epoch, before[0].epoch.next());
}

/// Who leaves counts no more at once, and keeps what it owns until it gives it up.
pub(crate) async fn who_leaves_counts_no_more(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let owned = beat(&store, "a", LONG, 200).await.owned;
    assert_eq!(beat(&store, "b", LONG, 0).await.replicas, 2);
    for _ in 0..2 {
        let retired = store.retire(&name("a"), LONG).await.expect("retire");
        assert_eq!((&retired.owned, retired.replicas), (&owned, 2));
    }
    let other = beat(&store, "b", LONG, 256).await;
    assert_eq!((other.owned.len(), other.replicas), (56, 1));
    let some = [owned[0].shard, owned[1].shard];
    store.release(&name("a"), &some).await.expect("release");
    let retired = store.retire(&name("a"), LONG).await.expect("retire");
    assert_eq!(retired.owned, owned[2..]);
}

/// Many who claim at once never own the same shard.
pub(crate) async fn no_shard_has_two_owners(harness: Arc<dyn Harness>) {
    let store = harness.store();
    let claims = (0..6).map(|n| {
        let store = Arc::clone(&store);
        async move { beat(&store, &format!("replica-{n}"), LONG, 60).await.owned }
    });
    let mut seen = BTreeSet::new();
    for owned in futures::future::join_all(claims).await {
        for fence in owned {
            assert!(seen.insert(fence.shard), "{fence:?} has two owners");
        }
    }
    // Rows that were locked at that moment are taken by the next heartbeat.
    assert_eq!(
        seen.len() + beat(&store, "last", LONG, 256).await.owned.len(),
        256
    );
}
