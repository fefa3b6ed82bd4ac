//! The journal of token refreshes (rule 11).

use std::sync::Arc;
use std::time::Duration;

use vcc_link::domain::ids::{Generation, ShardId, TokenSequence};
use vcc_link::store::links::{Grant, RefreshClaim, RefreshResult};
use vcc_link::store::{Fence, Sealed, Written};

use super::Harness;
use super::fixture::*;

/// A linked account's refresh, as its owner drives it.
struct Refresher {
    /// The database.
    fixture: Fixture,
    /// The grant as linked.
    grant: Grant,
    /// The owner's fence.
    fence: Fence,
}

impl Refresher {
    /// Links an account.
    async fn new(harness: &dyn Harness) -> Self {
        let fixture = Fixture::new(harness).await;
        let linked = fixture.link("acme").await;
        let grant = fixture
            .store
            .grant(&linked.account, linked.generation)
            .await;
        let grant = grant.expect("grant").expect("there is one");
        let fence = fixture.fence(linked.shard);
        Self {
            fixture,
            grant,
            fence,
        }
    }

    /// Claims, for a time.
    async fn claim(&self, seen: i64, within: Duration) -> RefreshClaim {
        let (account, generation) = (&self.grant.account, self.grant.generation);
        let seen = TokenSequence(seen);
        let store = &self.fixture.store;
        store
            .claim_refresh(account, generation, seen, self.fence, within)
            .await
            .expect("claim")
    }

    /// Records.
    async fn record(&self, seen: i64, result: &RefreshResult) -> Written {
        let (account, generation) = (&self.grant.account, self.grant.generation);
        let store = &self.fixture.store;
        store
            .record_refresh(account, generation, TokenSequence(seen), result)
            .await
            .expect("record")
    }
}

/// New tokens.
fn refreshed() -> RefreshResult {
    RefreshResult::Refreshed {
        tokens: Sealed(b"second tokens".to_vec()),
        issued_at: at(30),
        instance_url: "https://moved.my.salesforce.com".to_owned(),
    }
}

/// Whether a claim was granted, and as the last step.
fn granted(claim: &RefreshClaim) -> Option<bool> {
    match claim {
        RefreshClaim::Granted {
            last_step, grant, ..
        } => {
            assert_eq!(grant.in_doubt, *last_step);
            Some(*last_step)
        }
        _ => None,
    }
}

/// Long enough for a test.
const LONG: Duration = Duration::from_mins(10);

/// Of two claims at the same moment one is granted.
pub(crate) async fn one_claim_is_granted_at_a_time(harness: Arc<dyn Harness>) {
    let refresher = Refresher::new(&*harness).await;
    for _ in 0..30 {
        let (one, two) = tokio::join!(refresher.claim(1, LONG), refresher.claim(1, LONG));
        let pair = [one, two];
        assert_eq!(pair.iter().filter_map(granted).collect::<Vec<_>>(), [false]);
        assert!(
            pair.iter()
                .any(|claim| matches!(claim, RefreshClaim::Busy { .. }))
        );
        assert_eq!(
            refresher.record(1, &RefreshResult::Untouched).await,
            Written::Yes
        );
    }
}

/// What a refresh brings is durable, and later callers are told.
pub(crate) async fn new_tokens_are_kept(harness: Arc<dyn Harness>) {
    let refresher = Refresher::new(&*harness).await;
    assert_eq!(
        granted(&refresher.claim(1, LONG).await),
        Some(false),
        "no claim is open"
    );
    assert_eq!(refresher.record(1, &refreshed()).await, Written::Yes);
    assert_eq!(refresher.record(1, &refreshed()).await, Written::Already);
    assert_eq!(
        refresher.record(1, &RefreshResult::Untouched).await,
        Written::Stale
    );

    let RefreshClaim::Newer(grant) = refresher.claim(1, LONG).await else {
        panic!("it is newer")
    };
    assert_eq!(
        (grant.token_sequence, grant.issued_at),
        (TokenSequence(2), at(30))
    );
    assert_eq!(grant.tokens, Sealed(b"second tokens".to_vec()));
    let link = refresher.fixture.link_of("acme").await;
    assert_eq!(
        link.org.map(|org| org.instance_url),
        Some(grant.instance_url)
    );
    assert_eq!(granted(&refresher.claim(2, LONG).await), Some(false));
}

/// After a claim without a result the old token is tried exactly once more.
pub(crate) async fn a_lost_refresh_leaves_one_last_step(harness: Arc<dyn Harness>) {
    let refresher = Refresher::new(&*harness).await;
    assert_eq!(
        granted(&refresher.claim(1, Duration::ZERO).await),
        Some(false)
    );
    assert_eq!(
        granted(&refresher.claim(1, Duration::ZERO).await),
        Some(true),
        "in doubt"
    );
    assert_eq!(
        refresher.record(1, &RefreshResult::Untouched).await,
        Written::Yes
    );
    assert_eq!(
        granted(&refresher.claim(1, LONG).await),
        Some(true),
        "it was not taken"
    );
    assert!(matches!(
        refresher.claim(1, LONG).await,
        RefreshClaim::Busy { .. }
    ));
    assert_eq!(
        refresher.record(1, &RefreshResult::Untouched).await,
        Written::Yes
    );
    assert_eq!(
        granted(&refresher.claim(1, Duration::ZERO).await),
        Some(true)
    );
    for _ in 0..2 {
        assert_eq!(refresher.claim(1, LONG).await, RefreshClaim::Exhausted);
    }
    // The answer came after all: it was the right one.
    assert_eq!(refresher.record(1, &refreshed()).await, Written::Yes);
    assert_eq!(granted(&refresher.claim(2, LONG).await), Some(false));
}

/// A claim needs the lease of the shard where the account lies, and a grant that is kept.
pub(crate) async fn a_claim_needs_the_lease_and_the_grant(harness: Arc<dyn Harness>) {
    let mut refresher = Refresher::new(&*harness).await;
    let fence = refresher.fence;
    refresher.fence.epoch = fence.epoch.next();
    assert_eq!(refresher.claim(1, LONG).await, RefreshClaim::Stale);
    refresher.fence = refresher.fixture.fence(ShardId(fence.shard.0 ^ 1));
    assert_eq!(refresher.claim(1, LONG).await, RefreshClaim::Stale);
    refresher.fence = fence;
    refresher.grant.generation = Generation(9);
    assert_eq!(refresher.claim(1, LONG).await, RefreshClaim::Stale);
    assert_eq!(
        refresher.record(1, &RefreshResult::Untouched).await,
        Written::Stale
    );
    refresher.grant.generation = Generation(1);
    refresher.fixture.link("acme").await;
    assert_eq!(
        granted(&refresher.claim(1, LONG).await),
        Some(false),
        "for reconciling"
    );
}
