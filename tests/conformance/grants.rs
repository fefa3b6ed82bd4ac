//! The journal of token refreshes (rule 11).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use vcc_link::domain::ids::{Generation, Sequence, ShardId, TokenSequence};
use vcc_link::domain::link::{App, Health, LinkStatus};
use vcc_link::store::links::{Grant, LinkWrite, NewLink, RefreshClaim, RefreshResult, RefreshWish};
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
    /// The claim that was granted last.
    last: Mutex<DateTime<Utc>>,
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
            last: Mutex::new(at(0)),
        }
    }

    /// The wish for a claim, for a time.
    fn wish(&self, seen: i64, send_within: Duration) -> RefreshWish {
        RefreshWish {
            account: self.grant.account.clone(),
            generation: self.grant.generation,
            seen: TokenSequence(seen),
            fence: self.fence,
            send_within,
            last_step: true,
        }
    }

    /// Claims, for a time.
    async fn claim(&self, seen: i64, within: Duration) -> RefreshClaim {
        let wish = self.wish(seen, within);
        let store = &self.fixture.store;
        let claim = store.claim_refresh(&wish).await.expect("claim");
        if let RefreshClaim::Granted { send_by, .. } = &claim {
            *self.last.lock().expect("no panic") = *send_by;
        }
        claim
    }

    /// Claims ahead of need, for a long time.
    async fn claim_ahead(&self, seen: i64) -> RefreshClaim {
        let wish = RefreshWish {
            last_step: false,
            ..self.wish(seen, LONG)
        };
        let claim = self.fixture.store.claim_refresh(&wish).await;
        claim.expect("claim")
    }

    /// Records the end of the claim that was granted last.
    async fn record(&self, seen: i64, result: &RefreshResult) -> Written {
        let last = *self.last.lock().expect("no panic");
        self.record_of(last, seen, result).await
    }

    /// Records the end of a claim.
    async fn record_of(&self, claim: DateTime<Utc>, seen: i64, result: &RefreshResult) -> Written {
        let (account, generation) = (&self.grant.account, self.grant.generation);
        let store = &self.fixture.store;
        store
            .record_refresh(account, generation, TokenSequence(seen), claim, result)
            .await
            .expect("record")
    }

    /// How many grants are stale, and how many doubtful, in the account's shard.
    async fn in_need(&self) -> (usize, usize) {
        let (shards, store) = ([self.fence.shard], &self.fixture.store);
        let stale = store.stale_grants(&shards, far_ahead(), 9).await;
        let doubtful = store.doubtful_grants(&shards, 9).await;
        (
            stale.expect("stale_grants").len(),
            doubtful.expect("doubtful_grants").len(),
        )
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

/// Who stood still beyond its claim ends no other's: one refresh token would go out twice.
pub(crate) async fn a_late_end_leaves_the_next_claim_alone(harness: Arc<dyn Harness>) {
    let refresher = Refresher::new(&*harness).await;
    let untouched = &RefreshResult::Untouched;
    refresher.claim(1, Duration::ZERO).await;
    let first = *refresher.last.lock().expect("no panic");
    assert_eq!(granted(&refresher.claim(1, LONG).await), Some(true));
    assert_eq!(
        refresher.record_of(first, 1, untouched).await,
        Written::Stale
    );
    let busy = refresher.claim(1, LONG).await;
    assert!(matches!(busy, RefreshClaim::Busy { .. }), "{busy:?}");
    assert_eq!(refresher.record(1, untouched).await, Written::Yes);

    // Spent, and not given back by the first either.
    refresher.claim(1, Duration::ZERO).await;
    assert_eq!(
        refresher.record_of(first, 1, untouched).await,
        Written::Stale
    );
    assert_eq!(refresher.claim(1, LONG).await, RefreshClaim::Exhausted);
    assert_eq!(
        refresher.record_of(first, 1, &refreshed()).await,
        Written::Yes,
        "new tokens are the right ones, whoever brings them"
    );
}

/// What is in doubt is told, and left alone while its access token works.
pub(crate) async fn the_last_step_is_not_taken_ahead_of_need(harness: Arc<dyn Harness>) {
    let refresher = Refresher::new(&*harness).await;
    assert_eq!(refresher.in_need().await, (1, 0));
    refresher.claim(1, LONG).await;
    assert_eq!(refresher.in_need().await, (0, 0), "a claim is open");
    refresher.record(1, &RefreshResult::Untouched).await;
    refresher.claim(1, Duration::ZERO).await;
    assert_eq!(refresher.in_need().await, (0, 1), "its answer is lost");
    assert_eq!(refresher.claim_ahead(1).await, RefreshClaim::InDoubt);
    assert_eq!(granted(&refresher.claim(1, LONG).await), Some(true));
    refresher.record(1, &RefreshResult::Untouched).await;
    assert_eq!(refresher.in_need().await, (0, 1), "it is in doubt still");
    assert_eq!(refresher.claim_ahead(1).await, RefreshClaim::InDoubt);
    let linked = LinkStatus::Linked;
    refresher
        .fixture
        .change("acme", linked, Health::Broken)
        .await;
    assert_eq!(refresher.in_need().await, (0, 0), "nothing can mend it");
    refresher.claim(1, LONG).await;
    refresher.record(1, &refreshed()).await;
    refresher
        .fixture
        .change("acme", linked, Health::Healthy)
        .await;
    assert_eq!(refresher.in_need().await, (1, 0));
    let ahead = refresher.claim_ahead(2).await;
    assert_eq!(granted(&ahead), Some(false));
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

    // In another org, and so perhaps in another shard: the account's owner goes on with both.
    let moved = refresher.fixture.link_to("acme", OTHER_ORG).await;
    assert_ne!(moved.shard, fence.shard);
    refresher.record(1, &RefreshResult::Untouched).await;
    assert_eq!(refresher.claim(1, LONG).await, RefreshClaim::Stale);
    let (account, first) = (&refresher.grant.account, refresher.grant.generation);
    let grant = refresher.fixture.store.grant(account, first).await;
    let grant = grant.expect("grant").expect("kept");
    assert_eq!(grant.shard, moved.shard);
    refresher.fence = refresher.fixture.fence(grant.shard);
    assert_eq!(granted(&refresher.claim(1, LONG).await), Some(false));
}

/// Tokens that grow old are found whether anybody calls or not, of links at risk too: no quiet link
/// dies of not being used. A broken one cannot be helped by that.
pub(crate) async fn old_tokens_of_quiet_links_are_found(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    for (account, health) in [
        ("healthy", Health::Healthy),
        ("at-risk", Health::AtRisk),
        ("broken", Health::Broken),
    ] {
        fixture.link(account).await;
        if health != Health::Healthy {
            fixture.change(account, LinkStatus::Linked, health).await;
        }
    }
    let stale = async |before| {
        let shards = fixture.shards();
        let grants = fixture.store.stale_grants(&shards, before, 9).await;
        let accounts = grants.expect("stale_grants").into_iter();
        accounts.map(|g| g.account.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(stale(at(0)).await, Vec::<String>::new());
    assert_eq!(stale(at(1)).await, ["at-risk", "healthy"]);
    // A token that Salesforce refused before it was old: somebody asks for another.
    let want = async |seen| {
        let account = "healthy".parse().expect("an account");
        let wanted = fixture
            .store
            .want_refresh(&account, Generation(1), TokenSequence(seen));
        wanted.await.expect("want_refresh")
    };
    assert_eq!(want(2).await, Written::Stale, "there are others by now");
    assert_eq!(want(1).await, Written::Yes);
    assert_eq!(stale(at(0)).await, ["healthy"]);
}

/// A refused approval may have displaced another of the same API user and app: those are suspected
/// until they are refreshed, and their owners are woken.
pub(crate) async fn a_refused_approval_makes_the_others_suspected(harness: Arc<dyn Harness>) {
    let refresher = Refresher::new(&*harness).await;
    let fixture = &refresher.fixture;
    fixture.link_to("elsewhere", OTHER_ORG).await;
    let suspected = async || {
        let shards = fixture.shards();
        let found = fixture.store.suspected_grants(&shards, 9).await;
        let found = found.expect("suspected_grants").into_iter();
        let names = found.map(|grant| (grant.account.to_string(), grant.suspected));
        names.collect::<Vec<_>>()
    };
    assert_eq!(suspected().await, []);

    let mut wakes = fixture.store.listen().await.expect("listen");
    let refuse = |app| {
        let refused = NewLink {
            app,
            ..new_link("second", ORG, Sequence(0))
        };
        async move { fixture.store.save_link(&refused, 1).await }
    };
    let refused = refuse(App::Legacy).await.expect("save_link");
    assert!(matches!(refused, LinkWrite::ApiUserFull { .. }));
    assert_eq!(suspected().await, [], "it was another app's approval");
    let refused = refuse(App::Own).await.expect("save_link");
    assert!(matches!(refused, LinkWrite::ApiUserFull { .. }));
    assert_eq!(suspected().await, [("acme".to_owned(), true)]);
    let woken = wakes.next(LONG).await;
    assert!(woken.accounts.contains(&refresher.grant.account));

    assert_eq!(granted(&refresher.claim(1, LONG).await), Some(false));
    assert_eq!(suspected().await, [], "it is looked at");
    let untouched = RefreshResult::Untouched;
    assert_eq!(refresher.record(1, &untouched).await, Written::Yes);
    assert_eq!(suspected().await.len(), 1, "nothing is known yet");
    refresher.claim(1, LONG).await;
    assert_eq!(refresher.record(1, &refreshed()).await, Written::Yes);
    assert_eq!(suspected().await, [], "it works");
}
