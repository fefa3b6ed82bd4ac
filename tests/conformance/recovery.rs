//! The room of those who ask whether the past is whole (rule 15).

use std::sync::Arc;
use std::time::Duration;

use vcc_link::domain::ids::{Sequence, TokenSequence};
use vcc_link::domain::outcome::Outcome;
use vcc_link::domain::work::{AttemptKind, Refusal};
use vcc_link::store::inbox::{Advance, IngestBatch, IngestCall, IngestEnded, Partition};
use vcc_link::store::links::{RefreshClaim, RefreshWish};
use vcc_link::store::recovery::{RecoveryReason, Standing, Witness};
use vcc_link::store::{Error, Written};

use super::Harness;
use super::fixture::*;

/// The partition of these tests.
fn partition() -> Partition {
    Partition {
        topic: "vcc.calls".to_owned(),
        partition: 3,
    }
}

/// Kafka has committed this offset, and this mark beside it.
fn witness(committed: i64, mark: i64) -> Witness {
    Witness {
        offsets: vec![(partition(), committed)],
        mark,
    }
}

impl Fixture {
    /// Stores that everything below an offset was read.
    async fn read_up_to(&self, next: i64) {
        let batch = IngestBatch {
            offsets: vec![Advance {
                partition: partition(),
                from: None,
                next,
            }],
            ..IngestBatch::default()
        };
        self.store.append(&batch).await.expect("append");
    }

    /// Looks at the database, where Kafka has committed this.
    async fn recognise(&self, committed: i64) -> Standing {
        self.store
            .recognise(&witness(committed, 0))
            .await
            .expect("recognise")
    }

    /// Ends a recovery, and owns every shard again.
    async fn lift(&mut self, committed: i64) -> Vec<String> {
        let lifted = self.store.lift(&witness(committed, 0)).await;
        let lifted = lifted.expect("lift");
        let worker = "worker-1".parse().expect("replica");
        let beat = self.store.beat(&worker, Duration::from_mins(10), 256);
        self.owned = beat.await.expect("beat").owned;
        lifted.doubted.iter().map(ToString::to_string).collect()
    }

    /// What became of the wish to send a call.
    async fn refusal(&self, call: &str) -> Option<Refusal> {
        let wish = self.wish("acme", call, 0).await;
        let begun = self.store.begin_attempts(&[wish]).await;
        begun.expect("begin_attempts").remove(0).err()
    }
}

/// A database that no worker looked at lets nothing be sent and no token be refreshed.
pub(crate) async fn nothing_is_sent_before_it_is_recognised(harness: Arc<dyn Harness>) {
    let store = harness.store();
    assert_eq!(
        store.standing().await.expect("standing"),
        Standing::Unrecognised
    );
    let fence = {
        let worker = "worker-1".parse().expect("replica");
        let beat = store.beat(&worker, Duration::from_mins(10), 256).await;
        beat.expect("beat").owned[0]
    };
    let wish = RefreshWish {
        account: account_id("acme"),
        generation: NEVER_LINKED,
        seen: TokenSequence(1),
        fence,
        send_within: Duration::from_secs(5),
        last_step: false,
    };
    let refused = |error: &Error| matches!(error, Error::Unavailable(_));
    assert!(refused(&store.claim_refresh(&wish).await.expect_err("no")));
    assert!(refused(&store.begin_attempts(&[]).await.expect_err("no")));
    assert!(refused(&store.advance_mark().await.expect_err("no")));
    let nothing = IngestBatch::default();
    assert!(refused(&store.append(&nothing).await.expect_err("no")));
    assert_eq!(
        store
            .recognise(&Witness::default())
            .await
            .expect("recognise"),
        Standing::Recognised
    );
    assert_eq!(
        store.standing().await.expect("standing"),
        Standing::Recognised
    );
    let claim = store.claim_refresh(&wish).await.expect("claim");
    assert_eq!(claim, RefreshClaim::Stale, "nobody was ever linked");
    assert_eq!(store.begin_attempts(&[]).await.expect("begin"), []);
    store.append(&nothing).await.expect("append");
}

/// Where Kafka knows of more than the database, the shards are taken from their owners, and nobody
/// gets one until a person has seen to it; what is read is stored all the while.
pub(crate) async fn a_database_behind_kafka_recovers(harness: Arc<dyn Harness>) {
    let mut fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    let row = fixture.outcome(&begun, 0, created()).await;
    fixture.read_up_to(7).await;
    assert_eq!(fixture.recognise(7).await, Standing::Recognised);

    let recovering = fixture.recognise(8).await;
    let behind = |standing| {
        let reason = RecoveryReason::BehindKafka;
        matches!(standing, Standing::Recovering { reason: found, .. } if found == reason)
    };
    assert!(behind(recovering), "{recovering:?}");
    assert!(behind(fixture.recognise(7).await), "until it is lifted");
    let standing = fixture.store.standing().await.expect("standing");
    assert!(behind(standing), "{standing:?}");
    assert_eq!(fixture.record(&row).await, Written::Stale);
    let other = "worker-2".parse().expect("replica");
    let beat = fixture.store.beat(&other, Duration::from_mins(10), 256);
    assert_eq!(beat.await.expect("beat").owned, []);
    assert_eq!(
        fixture.append(vec![ended("acme", "d", 0)]).await.new_calls,
        1
    );
    fixture.store.begin_attempts(&[]).await.expect_err("no");

    let before = fixture.owned[0].epoch;
    fixture.lift(8).await;
    assert_eq!(fixture.recognise(8).await, Standing::Recognised);
    assert_eq!(fixture.owned.len(), 256);
    let is_far = |epoch: i64| epoch > before.0 + 1_000;
    assert!(fixture.owned.iter().all(|fence| is_far(fence.epoch.0)));
    let row = fixture.outcome(&begun, 0, created()).await;
    assert_eq!(
        fixture.record(&row).await,
        Written::Yes,
        "it is in the journal"
    );
}

/// A backup since which nothing was read knows all offsets, and is told by its mark.
pub(crate) async fn a_database_with_a_lower_mark_recovers(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &fixture.store;
    fixture.read_up_to(7).await;
    for mark in [1, 2] {
        assert_eq!(store.advance_mark().await.expect("a mark"), mark);
    }
    let recognise = async |mark| {
        let standing = store.recognise(&witness(7, mark)).await;
        standing.expect("recognise")
    };
    for noted in [0, 2] {
        assert_eq!(recognise(noted).await, Standing::Recognised);
    }
    let standing = recognise(3).await;
    let reason = RecoveryReason::BehindKafka;
    assert!(
        matches!(standing, Standing::Recovering { reason: found, .. } if found == reason),
        "{standing:?}"
    );
    store.advance_mark().await.expect_err("it recovers");
    store.lift(&witness(7, 3)).await.expect("lift");
    assert_eq!(recognise(3).await, Standing::Recognised);
    assert_eq!(store.advance_mark().await.expect("a mark"), 4);
}

/// What was skipped or made anew by a person's decision is no sign of a restored backup.
pub(crate) async fn an_offset_moved_on_purpose_tells_nothing(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.read_up_to(700).await;
    let moved = fixture.store.move_offset(&partition(), 700, 0).await;
    assert_eq!(moved.expect("move"), Written::Yes);
    assert_eq!(fixture.recognise(700).await, Standing::Recognised);
    assert_ne!(fixture.recognise(701).await, Standing::Recognised);
}

/// After a recovery, a call that ended before and has no Task is looked for once before one is
/// created, whether it was stored then or is read again; one that ended later is not.
pub(crate) async fn what_may_have_been_sent_is_looked_for_first(harness: Arc<dyn Harness>) {
    let mut fixture = Fixture::new(&*harness).await;
    let shard = fixture.link("acme").await.shard;
    fixture.append(vec![ended("acme", "stored", 0)]).await;
    fixture.append(vec![ended("acme", "updated", 0)]).await;
    fixture.log("acme", "updated").await;
    fixture.lift(0).await;
    let later = ended("acme", "later", 0).ended.map(|end| IngestEnded {
        ended_at: far_ahead(),
        ..end
    });
    let later = IngestCall {
        ended: later,
        ..ended("acme", "later", 0)
    };
    fixture
        .append(vec![
            later,
            ended("acme", "read-again", 0),
            ended("acme", "updated", 1),
        ])
        .await;

    for call in ["stored", "read-again"] {
        assert_eq!(fixture.refusal(call).await, Some(Refusal::Open));
    }
    let found = fixture.open_attempts(shard).await;
    let calls: Vec<_> = found.iter().map(|a| a.call.interaction.as_str()).collect();
    assert_eq!(calls, ["stored", "read-again"]);
    for attempt in &found {
        assert_eq!(attempt.kind, AttemptKind::Create);
        assert!(!attempt.answered, "it may still take effect");
    }
    assert_eq!(fixture.refusal("later").await, None);
    let mut update = fixture.wish("acme", "updated", 1).await;
    update.kind = AttemptKind::Update { task: task_id() };
    let begun = fixture.store.begin_attempts(&[update]).await;
    begun.expect("begin_attempts").remove(0).expect("begins");

    // Found absent: it is sent like any other.
    let absent = Outcome::NotSent { at: at(90) };
    for attempt in found {
        let row = vcc_link::store::journal::OutcomeRow {
            attempt: Some(attempt.attempt),
            ..fixture
                .unsent("acme", attempt.call.interaction.as_str(), absent.clone())
                .await
        };
        assert_eq!(fixture.record(&row).await, Written::Yes);
        let call = attempt.call.interaction;
        assert_eq!(fixture.refusal(call.as_str()).await, None);
    }
}

/// After a recovery no refresh token is known to be unused, and what is published of a link stands
/// above all that was.
pub(crate) async fn refresh_tokens_are_in_doubt(harness: Arc<dyn Harness>) {
    let mut fixture = Fixture::new(&*harness).await;
    let before = fixture.link("acme").await;
    assert_eq!(fixture.lift(0).await, ["acme"]);
    let after = fixture.link_of("acme").await;
    assert_eq!(after.sequence, Sequence(before.sequence.0 + 1_000));
    let doubtful = fixture.store.doubtful_grants(&fixture.shards(), 9).await;
    let accounts = doubtful.expect("grants").into_iter().map(|g| g.account);
    assert_eq!(accounts.collect::<Vec<_>>(), [account_id("acme")]);
    assert_eq!(fixture.link_of("beta").await.sequence, Sequence(0));
}
