//! The dispatcher's and the reconciler's room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use vcc_link::domain::ids::{Generation, Revision};
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::domain::outcome::{Outcome, ParkReason, SkipReason};
use vcc_link::domain::task::{Hidden, TaskField};
use vcc_link::domain::work::{AttemptKind, ParkedPage, Refusal, Unparked};
use vcc_link::store::Written;
use vcc_link::store::journal::BeginAttempt;

use super::Harness;
use super::fixture::*;

/// Of two who begin the same attempts at the same moment, each attempt begins for one.
pub(crate) async fn an_attempt_begins_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    for round in 0..20 {
        let calls = ["a", "b", "c"].map(|call| format!("{call}-{round}"));
        fixture
            .append(calls.iter().map(|call| ended("acme", call, 0)).collect())
            .await;
        let mut wishes = Vec::new();
        for call in &calls {
            wishes.push(fixture.wish("acme", call, 0).await);
        }
        let begin = || fixture.store.begin_attempts(&wishes);
        let (one, two) = tokio::join!(begin(), begin());
        let pairs = one
            .expect("begin_attempts")
            .into_iter()
            .zip(two.expect("begin_attempts"));
        for pair in pairs {
            let by_one = matches!(
                pair,
                (Ok(_), Err(Refusal::Open)) | (Err(Refusal::Open), Ok(_))
            );
            assert!(by_one, "{pair:?}");
        }
    }
    assert_eq!(
        fixture
            .open_attempts(fixture.link_of("acme").await.shard)
            .await
            .len(),
        60
    );
}

/// An attempt that began is open, its call is not due, and it comes with the call's bodies.
pub(crate) async fn an_open_attempt_is_kept(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let shard = fixture.link("acme").await.shard;
    fixture
        .append(vec![started("acme", "c"), ended("acme", "d", 0)])
        .await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let wish = fixture.wish("acme", "c", 0).await;
    let begun = fixture.begin("acme", "c", 0).await;
    assert_eq!((&begun.call.id, begun.call.attempts), (&wish.call, 1));
    assert!(begun.call.started.is_some() && begun.call.ended.is_some());
    let due = fixture.due("acme").await;
    assert_eq!(
        due.iter()
            .map(|d| d.call.interaction.as_str())
            .collect::<Vec<_>>(),
        ["d"]
    );
    let open = fixture.open_attempts(shard).await;
    assert_eq!((open.len(), open[0].attempt), (1, begun.attempt));
    assert_eq!(
        (open[0].send_by, open[0].look_at),
        (begun.send_by, begun.send_by)
    );
    assert_eq!(
        (&open[0].mode, &open[0].kind, &open[0].org),
        (&wish.mode, &wish.kind, &wish.org)
    );
}

/// Of two calls dialled from one Task, one changes it at a time: the second is refused while the
/// first's attempt is open, even in the same batch, and begins once it is closed. In another org the
/// same id is another Task, and creates are not kept apart.
pub(crate) async fn a_task_is_changed_by_one_attempt_at_a_time(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.link_to("copy", OTHER_ORG).await;
    for (account, call) in [("acme", "a"), ("acme", "b"), ("acme", "c"), ("copy", "d")] {
        fixture.append(vec![ended(account, call, 0)]).await;
    }
    let adopts = async |account: &str, call: &str| BeginAttempt {
        kind: AttemptKind::Adopt { task: task_id() },
        ..fixture.wish(account, call, 0).await
    };
    let (a, b) = (adopts("acme", "a").await, adopts("acme", "b").await);
    let wishes = [
        a,
        b.clone(),
        fixture.wish("acme", "c", 0).await,
        adopts("copy", "d").await,
    ];
    let begin = async |wishes: &[BeginAttempt]| {
        let begun = fixture.store.begin_attempts(wishes).await;
        begun.expect("begin_attempts")
    };
    let begun = begin(&wishes).await;
    let refused: Vec<_> = begun.iter().map(|b| b.as_ref().err().copied()).collect();
    assert_eq!(refused, [None, Some(Refusal::TaskTaken), None, None]);
    let again = begin(std::slice::from_ref(&b)).await;
    assert_eq!(again[0].as_ref().err(), Some(&Refusal::TaskTaken));
    let due = fixture.due("acme").await;
    assert_eq!(due.len(), 1, "the refused call waits as before: {due:?}");

    let open = fixture
        .open_attempts(fixture.link_of("acme").await.shard)
        .await;
    assert_eq!(open[0].kind, wishes[0].kind);
    let first = begun[0].as_ref().expect("it began");
    let row = fixture.outcome(first, 0, created()).await;
    assert_eq!(fixture.record(&row).await, Written::Yes);
    assert!(begin(&[b]).await[0].is_ok());
}

/// Each reason against an attempt refuses it, and its neighbours begin.
pub(crate) async fn an_attempt_is_refused_for_each_reason(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    for account in ["acme", "broken"] {
        fixture.link(account).await;
        fixture
            .append(vec![ended(account, "c", 0), ended(account, "d", 1)])
            .await;
    }
    fixture.append(vec![started("acme", "ringing")]).await;
    fixture
        .change("broken", LinkStatus::Linked, Health::Broken)
        .await;
    let good = fixture.wish("acme", "c", 0).await;
    let with = |change: fn(&mut BeginAttempt)| {
        let mut wish = good.clone();
        change(&mut wish);
        wish
    };
    let wishes = [
        with(|w| w.fence.epoch = w.fence.epoch.next()),
        with(|w| w.fence.shard.0 ^= 1),
        with(|w| w.generation = Generation(7)),
        with(|w| w.org = org_id(OTHER_ORG)),
        with(|w| w.revision = Revision(1)),
        with(|w| w.call = call_id("acme", "ringing")),
        with(|w| w.call = call_id("acme", "nobody")),
        fixture.wish("broken", "c", 0).await,
        good.clone(),
        good.clone(),
    ];
    let answers = fixture
        .store
        .begin_attempts(&wishes)
        .await
        .expect("begin_attempts");
    let refused: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().err().copied())
        .collect();
    let expected = [
        Some(Refusal::Stale),
        Some(Refusal::Stale),
        Some(Refusal::LinkChanged),
        Some(Refusal::LinkChanged),
        Some(Refusal::Moved),
        Some(Refusal::Moved),
        Some(Refusal::Moved),
        Some(Refusal::LinkChanged),
        None,
        Some(Refusal::Open),
    ];
    assert_eq!(refused, expected);
}

/// A logged call is over; its event is published once; the second outcome is known.
pub(crate) async fn an_outcome_is_taken_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let shard = fixture.link("acme").await.shard;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    let mut row = fixture.outcome(&begun, 0, created()).await;
    row.event = Some(call_event("acme", "logged"));
    let mut stale = row.clone();
    stale.fence.epoch = stale.fence.epoch.next();
    let rows = [stale, row.clone(), row.clone()];
    let written = fixture
        .store
        .record_outcomes(&rows)
        .await
        .expect("record_outcomes");
    assert_eq!(written, [Written::Stale, Written::Yes, Written::Already]);
    assert_eq!(fixture.record(&row).await, Written::Already);
    let events = fixture.unpublished().await;
    assert_eq!(events.iter().filter(|(_, id)| id == "logged").count(), 1);
    assert!(
        events.contains(&(shard, "logged".to_owned())),
        "in the account's shard"
    );
    assert!(fixture.open_attempts(shard).await.is_empty());
    let line = fixture
        .store
        .story(&row.call)
        .await
        .expect("story")
        .expect("known")
        .line;
    assert_eq!(
        (line.task, line.outcome),
        (Some(task_id()), Some(created()))
    );
}

/// A retry is due at its time with what to leave out; a request not sent is no attempt.
pub(crate) async fn retries_are_due_at_their_time(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let degraded = BTreeSet::from([TaskField::WhoId, TaskField::Type]);
    let hidden = Some(Hidden {
        org: ORG.parse().expect("an org"),
        field: "VCC_Call_Key__c".to_owned(),
    });
    let begun = fixture.begin("acme", "c", 0).await;
    let retry = Outcome::RetryAt {
        at: at(900),
        failure: failure(),
        degraded: degraded.clone(),
        batch_limit: Some(7),
        hidden: hidden.clone(),
    };
    let mut row = fixture.outcome(&begun, 0, retry).await;
    row.event = Some(call_event("acme", "deferred"));
    assert_eq!(fixture.record(&row).await, Written::Yes);
    let due = fixture.due("acme").await;
    assert_eq!(
        (due[0].due_at, due[0].attempts, &due[0].degraded),
        (at(900), 1, &degraded)
    );
    assert_eq!((due[0].batch_limit, &due[0].hidden), (Some(7), &hidden));

    let begun = fixture.begin("acme", "c", 0).await;
    assert_eq!((begun.call.attempts, begun.call.deferrals), (2, 1));
    let row = fixture
        .outcome(&begun, 0, Outcome::NotSent { at: at(950) })
        .await;
    assert_eq!(fixture.record(&row).await, Written::Yes);
    let due = fixture.due("acme").await;
    assert_eq!((due[0].due_at, due[0].attempts), (at(950), 1));
    let revised = fixture.append(vec![ended("acme", "c", 1)]).await.due;
    assert_eq!(
        (revised[0].revision, revised[0].due_at),
        (Revision(1), at(950))
    );
}

/// An attempt in doubt stays open until it is resolved.
pub(crate) async fn an_attempt_in_doubt_stays_open(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let shard = fixture.link("acme").await.shard;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    for (look_at, answered) in [(at(700), false), (at(800), true)] {
        let mut failure = failure();
        failure.ended = answered;
        let doubt = Outcome::InDoubt { look_at, failure };
        assert_eq!(
            fixture
                .record(&fixture.outcome(&begun, 0, doubt).await)
                .await,
            Written::Yes
        );
        let open = fixture.open_attempts(shard).await;
        assert_eq!(
            (open.len(), open[0].attempt, open[0].look_at),
            (1, begun.attempt, look_at)
        );
        assert_eq!(open[0].send_by, begun.send_by);
        assert_eq!(
            (open[0].answered, open[0].together, open[0].attempts),
            (answered, 7, 1)
        );
        assert!(open[0].call_ended_at.is_some());
    }
    assert!(fixture.due("acme").await.is_empty());
    let again = [fixture.wish("acme", "c", 0).await];
    let again = fixture
        .store
        .begin_attempts(&again)
        .await
        .expect("begin_attempts");
    assert_eq!(again[0].as_ref().err(), Some(&Refusal::Open));
    let found = fixture.outcome(&begun, 0, created()).await;
    assert_eq!(fixture.record(&found).await, Written::Yes);
}

/// A revision that comes while an attempt is open is due once it is closed, as an update.
pub(crate) async fn a_later_revision_waits_for_the_attempt(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    assert!(
        fixture
            .append(vec![ended("acme", "c", 1)])
            .await
            .due
            .is_empty()
    );
    assert!(fixture.due("acme").await.is_empty());
    assert_eq!(
        fixture
            .record(&fixture.outcome(&begun, 0, created()).await)
            .await,
        Written::Yes
    );
    let due = fixture.due("acme").await;
    assert_eq!(
        (due.len(), due[0].revision, due[0].attempts),
        (1, Revision(1), 0)
    );
    let begun = fixture.begin("acme", "c", 1).await;
    assert_eq!(begun.call.task, Some(task_id()));
}

/// Outcomes without a request need a call that waits, at that revision.
pub(crate) async fn unsent_outcomes_need_a_waiting_call(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    let calls = ["open", "skip", "zoo"]
        .map(|call| ended("acme", call, 0))
        .to_vec();
    fixture.append(calls).await;
    fixture.append(vec![started("acme", "ringing")]).await;
    fixture.begin("acme", "open", 0).await;
    let skipped = || Outcome::Skipped {
        reason: SkipReason::Policy,
    };
    for (call, expected) in [
        ("open", Written::Stale),
        ("ringing", Written::Stale),
        ("skip", Written::Yes),
    ] {
        let row = fixture.unsent("acme", call, skipped()).await;
        assert_eq!(fixture.record(&row).await, expected, "{call}");
    }
    let row = fixture.unsent("acme", "skip", skipped()).await;
    assert_eq!(
        fixture.record(&row).await,
        Written::Already,
        "the same again"
    );
    let mut other = fixture.unsent("acme", "zoo", skipped()).await;
    other.revision = Revision(1);
    assert_eq!(
        fixture.record(&other).await,
        Written::Stale,
        "another revision"
    );
    let late = fixture
        .unsent("acme", "skip", Outcome::NotSent { at: at(0) })
        .await;
    assert_eq!(fixture.record(&late).await, Written::Stale, "it is over");
}

/// A parked call is parked once, and a later revision does not bring it back.
pub(crate) async fn a_parked_call_stays_parked(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "z", 0)]).await;
    let parked = Outcome::Parked {
        reason: ParkReason::LinkBroken,
        failure: None,
        until: None,
    };
    let row = fixture.unsent("acme", "z", parked).await;
    assert_eq!(fixture.record(&row).await, Written::Yes);
    assert_eq!(fixture.record(&row).await, Written::Already);
    assert!(fixture.due("acme").await.is_empty());
    assert!(
        fixture
            .append(vec![ended("acme", "z", 1)])
            .await
            .due
            .is_empty(),
        "still parked"
    );
}

/// A call that is parked by a generation of the link that is over is due at once.
pub(crate) async fn nothing_is_parked_by_an_old_generation(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture
        .append(vec![ended("acme", "unsent", 0), ended("acme", "sent", 0)])
        .await;
    let parked = || Outcome::Parked {
        reason: ParkReason::LinkBroken,
        failure: None,
        until: None,
    };
    let begun = fixture.begin("acme", "sent", 0).await;
    let mut rows = [
        fixture.unsent("acme", "unsent", parked()).await,
        fixture.outcome(&begun, 0, parked()).await,
    ];
    fixture.link("acme").await;
    for row in &mut rows {
        row.fence = fixture.fence_of("acme").await;
        assert_eq!(fixture.record(row).await, Written::Yes);
    }
    assert_eq!(fixture.due("acme").await.len(), 2);
}

/// A page of parked calls: for the reasons asked, of the age asked, behind the cursor.
pub(crate) async fn parked_calls_come_page_by_page(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    for call in ["z", "y", "x", "w"] {
        fixture.append(vec![ended("acme", call, 0)]).await;
        let reason = if call == "y" {
            ParkReason::Paused
        } else {
            ParkReason::LinkBroken
        };
        fixture.park("acme", call, reason).await;
    }
    fixture.append(vec![ended("acme", "z", 1)]).await;
    let fence = fixture.fence_of("acme").await;
    let account = account_id("acme");
    let page = |limit, after| ParkedPage {
        reasons: vec![ParkReason::LinkBroken, ParkReason::Quota],
        received_before: None,
        after,
        limit,
    };
    let unpark = async |fence, page: ParkedPage| {
        let unparked = fixture.store.unpark(&account, fence, &page).await;
        unparked.expect("unpark")
    };
    let mut stale = fence;
    stale.epoch = stale.epoch.next();
    assert_eq!(unpark(stale, page(9, None)).await, Unparked::default());
    let too_young = ParkedPage {
        received_before: Some(DateTime::UNIX_EPOCH),
        ..page(9, None)
    };
    assert_eq!(unpark(fence, too_young).await.calls, 0);
    let first = unpark(fence, page(2, None)).await;
    assert_eq!(first.calls, 2);
    let due = fixture.due("acme").await;
    let due: BTreeSet<_> = due
        .iter()
        .map(|d| (d.call.interaction.as_str(), d.revision.0))
        .collect();
    assert_eq!(due, BTreeSet::from([("x", 0), ("z", 1)]));
    assert_eq!(unpark(fence, page(9, first.last)).await.calls, 1);
    assert_eq!(
        fixture
            .store
            .parked_calls(&account)
            .await
            .expect("parked_calls"),
        1
    );
}

/// One who lost the lease changes nothing; the next owner finds the attempt and closes it.
pub(crate) async fn a_lost_lease_changes_nothing(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture
        .append(vec![ended("acme", "c", 0), ended("acme", "d", 0)])
        .await;
    let begun = fixture.begin("acme", "c", 0).await;
    let wish = fixture.wish("acme", "d", 0).await;
    let row = fixture.outcome(&begun, 0, created()).await;

    let (old, new) = (
        "worker-1".parse().expect("id"),
        "worker-2".parse().expect("id"),
    );
    fixture
        .store
        .beat(&old, Duration::ZERO, 0)
        .await
        .expect("beat");
    assert_eq!(
        fixture.record(&row).await,
        Written::Stale,
        "expired, though nobody's yet"
    );
    let next = fixture
        .store
        .beat(&new, Duration::from_mins(10), 256)
        .await
        .expect("beat");
    assert_eq!(fixture.record(&row).await, Written::Stale);
    let refused = fixture
        .store
        .begin_attempts(&[wish])
        .await
        .expect("begin_attempts");
    assert_eq!(refused[0].as_ref().err(), Some(&Refusal::Stale));

    let fence = next.owned[usize::from(row.fence.shard.0)];
    let open = fixture.open_attempts(fence.shard).await;
    assert_eq!(open.len(), 1);
    let mut row = row;
    row.fence = fence;
    assert_eq!(fixture.record(&row).await, Written::Yes);
}
