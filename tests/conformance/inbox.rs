//! Ingest's and the scheduler's room.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use vcc_link::domain::ids::Revision;
use vcc_link::domain::outcome::{DeadReason, Outcome, ParkReason, SkipReason};
use vcc_link::domain::work::Lane;
use vcc_link::store::inbox::{
    Advance, IngestBatch, IngestCall, LookupRow, Partition, QuarantineRow, Wake,
};
use vcc_link::store::reports::CallFilter;
use vcc_link::store::{Error, Sealed, Written};

use super::Harness;
use super::fixture::*;

/// A begin and an end are due in their lanes; the same batch again changes nothing.
pub(crate) async fn what_is_appended_is_due_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let batch = || vec![started("acme", "c1"), ended("acme", "c2", 0)];
    let appended = fixture.append(batch()).await;
    assert_eq!((appended.new_calls, appended.duplicates), (2, 0));
    let lanes: Vec<_> = appended
        .due
        .iter()
        .map(|due| (due.lane, due.call.interaction.to_string()))
        .collect();
    assert_eq!(
        lanes,
        [
            (Lane::Lookup, "c1".to_owned()),
            (Lane::Task, "c2".to_owned())
        ]
    );
    assert_eq!(
        fixture.due_in("acme", Lane::Lookup).await,
        appended.due[..1]
    );
    assert_eq!(fixture.due("acme").await, appended.due[1..]);
    assert_eq!(appended.due[0].lookup_deadline, Some(at(5)));
    assert_eq!(appended.due[1].lookup_deadline, None, "no begin came");

    let again = fixture.append(batch()).await;
    assert_eq!(
        (again.new_calls, again.duplicates, again.due.len()),
        (0, 2, 0)
    );
    assert_eq!(fixture.due("acme").await, appended.due[1..]);
    let ids = [
        call_id("acme", "c2"),
        call_id("acme", "nobody"),
        call_id("acme", "c1"),
    ];
    let calls = fixture.store.calls(&ids).await.expect("calls");
    assert_eq!(
        calls.iter().map(|c| c.id.clone()).collect::<Vec<_>>(),
        [ids[0].clone(), ids[2].clone()]
    );
    assert_eq!(calls[0].ended, Some(under_key("acme", "c2 ended 0")));
    assert_eq!(calls[1].started, Some(under_key("acme", "c1 started")));
}

/// A higher revision of a logged call is due, as an update of its Task; a lower one is not.
pub(crate) async fn a_higher_revision_is_due_again(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 1)]).await;
    let begun = fixture.begin("acme", "c", 1).await;
    fixture
        .record(&fixture.outcome(&begun, 1, created()).await)
        .await;
    assert!(
        fixture
            .append(vec![ended("acme", "c", 0)])
            .await
            .due
            .is_empty()
    );
    let due = fixture.append(vec![ended("acme", "c", 2)]).await.due;
    assert_eq!(
        (due.len(), due[0].revision, due[0].attempts),
        (1, Revision(2), 0)
    );
    let begun = fixture.begin("acme", "c", 2).await;
    assert_eq!(begun.call.task, Some(task_id()));
    assert_eq!(begun.call.ended, Some(under_key("acme", "c ended 2")));
}

/// Neither a call that was too old nor one that may have a Task is revived by a revision.
pub(crate) async fn a_revision_revives_nothing_that_could_double(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let dead = |reason| Outcome::Dead {
        reason,
        failure: None,
    };
    let cases = [
        (
            "a",
            Outcome::Skipped {
                reason: SkipReason::TooOld,
            },
            false,
        ),
        ("b", dead(DeadReason::Unknown), false),
        ("c", dead(DeadReason::UnresolvedInPreviousOrg), false),
        ("d", dead(DeadReason::Refused), true),
        (
            "e",
            Outcome::Skipped {
                reason: SkipReason::Unlinked,
            },
            true,
        ),
    ];
    for (call, outcome, revived) in cases {
        fixture.append(vec![ended("acme", call, 0)]).await;
        let row = fixture.unsent("acme", call, outcome).await;
        assert_eq!(fixture.record(&row).await, Written::Yes);
        let due = fixture.append(vec![ended("acme", call, 1)]).await.due;
        assert_eq!(due.len(), usize::from(revived), "{call}");
    }
}

/// Offsets are kept with the batch, and never move back.
pub(crate) async fn offsets_never_move_back(harness: Arc<dyn Harness>) {
    let store = Fixture::new(&*harness).await.store;
    let partition = |partition| Partition {
        topic: "vcc.calls".to_owned(),
        partition,
    };
    for next in [10, 20, 15] {
        let quarantined = vec![QuarantineRow {
            partition: partition(0),
            offset: 9,
            received_at: at(0),
            reason: "not JSON".to_owned(),
            body: Sealed(vec![1]),
        }];
        let offsets = vec![read(partition(0), None, next)];
        let batch = IngestBatch {
            quarantined,
            offsets,
            ..IngestBatch::default()
        };
        store.append(&batch).await.expect("append");
    }
    let offsets = store
        .offsets(&[partition(1), partition(0)])
        .await
        .expect("offsets");
    assert_eq!(offsets, [None, Some(20)]);
}

/// A partition was read from here up to there.
fn read(partition: Partition, from: Option<i64>, next: i64) -> Advance {
    Advance {
        partition,
        from,
        next,
    }
}

/// A batch that begins behind the store's offset is refused whole: the events between are missing.
pub(crate) async fn no_offset_moves_past_what_is_missing(harness: Arc<dyn Harness>) {
    let store = Fixture::new(&*harness).await.store;
    give_keys(&*store, &[ended("acme", "c", 0)]).await;
    let [known, other] = [3, 4].map(|partition| Partition {
        topic: "vcc.calls".to_owned(),
        partition,
    });
    let append = async |advances: Vec<Advance>| {
        let batch = IngestBatch {
            calls: vec![ended("acme", "c", 0)],
            offsets: advances,
            ..IngestBatch::default()
        };
        store.append(&batch).await
    };
    let offsets = async || {
        let asked = [known.clone(), other.clone()];
        store.offsets(&asked).await.expect("offsets")
    };
    for refused in [
        vec![read(known.clone(), Some(0), 20)],
        vec![
            read(known.clone(), None, 20),
            read(other.clone(), Some(7), 9),
        ],
    ] {
        let error = append(refused).await.expect_err("events are missing");
        assert!(matches!(error, Error::Behind), "{error:?}");
        assert_eq!(offsets().await, [None, None]);
    }
    let calls = store.list_calls(&CallFilter::default()).await;
    assert_eq!(calls.expect("list"), [], "nothing of the batch is kept");

    let stored = append(vec![read(known.clone(), None, 20)]).await;
    assert_eq!(stored.expect("append").new_calls, 1);
    for (from, next, now) in [(20, 30, 30), (10, 25, 30), (30, 31, 31)] {
        let stored = append(vec![read(known.clone(), Some(from), next)]).await;
        stored.expect("append");
        assert_eq!(offsets().await, [Some(now), None], "{from} to {next}");
    }
    let error = append(vec![read(known.clone(), Some(32), 40)]).await;
    assert!(matches!(error, Err(Error::Behind)), "{error:?}");
}

/// A person moves an offset anywhere, unless reading has moved it meanwhile.
pub(crate) async fn an_offset_moves_on_purpose(harness: Arc<dyn Harness>) {
    let store = Fixture::new(&*harness).await.store;
    let partition = Partition {
        topic: "vcc.calls".to_owned(),
        partition: 3,
    };
    let moved = async |expected, next| {
        let moved = store.move_offset(&partition, expected, next).await;
        moved.expect("move_offset")
    };
    assert_eq!(moved(0, 7).await, Written::Stale, "nothing was ever read");
    let batch = IngestBatch {
        offsets: vec![read(partition.clone(), None, 20)],
        ..IngestBatch::default()
    };
    store.append(&batch).await.expect("append");
    for (expected, next, written) in [
        (19, 90, Written::Stale),
        (20, 90, Written::Yes),
        (20, 90, Written::Already),
        (90, 5, Written::Yes),
    ] {
        assert_eq!(moved(expected, next).await, written, "{expected} to {next}");
    }
    let offsets = store.offsets(std::slice::from_ref(&partition)).await;
    assert_eq!(offsets.expect("offsets"), [Some(5)]);
}

/// Pages come in order, and behind the cursor.
pub(crate) async fn pages_of_due_calls_are_in_order(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    for batch in 0..3 {
        let calls = (0..5)
            .map(|n| ended("acme", &format!("{n}-{batch}"), 0))
            .collect();
        fixture.append(calls).await;
    }
    let all = fixture.due("acme").await;
    assert_eq!(all.len(), 15);
    assert!(all.is_sorted_by_key(|due| (due.due_at, due.call.clone())));
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = fixture
            .store
            .due(all[0].shard, Lane::Task, far_ahead(), after, 4)
            .await;
        let page = page.expect("due");
        let Some(last) = page.last() else { break };
        after = Some((last.due_at, last.call.clone()));
        paged.extend(page);
    }
    assert_eq!(paged, all);
    let early = all[0].due_at - TimeDelta::microseconds(1);
    let none = fixture
        .store
        .due(all[0].shard, Lane::Task, early, None, 4)
        .await
        .expect("due");
    assert!(none.is_empty());
}

/// Of two answers the first stands.
pub(crate) async fn the_first_answer_stands(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture
        .append(vec![started("acme", "c"), ended("acme", "d", 0)])
        .await;
    let fence = fixture.fence_of("acme").await;
    let row = |call: &str, text: &str, event: Option<&str>| LookupRow {
        id: call_id("acme", call),
        fence,
        generation: NEVER_LINKED,
        answer: under_key("acme", text),
        event: event.map(|id| call_event("acme", id)),
    };
    let rows = [
        row("c", "first", Some("e1")),
        row("c", "second", Some("e2")),
        row("d", "third", None),
        row("nobody", "fourth", None),
    ];
    let written = fixture
        .store
        .record_lookups(&rows)
        .await
        .expect("record_lookups");
    assert_eq!(
        written,
        [Written::Yes, Written::Already, Written::Yes, Written::Stale]
    );
    assert!(fixture.due_in("acme", Lane::Lookup).await.is_empty());
    assert_eq!(
        fixture.unpublished().await,
        [(fence.shard, "e1".to_owned())]
    );
    let calls = fixture
        .store
        .calls(&[call_id("acme", "c")])
        .await
        .expect("calls");
    assert_eq!(calls[0].lookup, Some(under_key("acme", "first")));
    assert!(fixture.due("acme").await[0].looked_up);
    let mut stale = row("c", "fifth", Some("e5"));
    stale.fence.epoch = stale.fence.epoch.next();
    let written = fixture
        .store
        .record_lookups(&[stale])
        .await
        .expect("record_lookups");
    assert_eq!(written, [Written::Stale]);
}

/// A begin behind the stored answer is told of it, and one that comes while an answer is worked
/// out has the call read again: each exactly once.
pub(crate) async fn every_begin_is_told_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let calls = ["behind", "meanwhile"];
    fixture
        .append(calls.map(|call| ended("acme", call, 0)).to_vec())
        .await;
    let fence = fixture.fence_of("acme").await;
    let record = async |call: &str, text: &str, event: Option<&str>| {
        let row = LookupRow {
            id: call_id("acme", call),
            fence,
            generation: NEVER_LINKED,
            answer: under_key("acme", text),
            event: event.map(|id| call_event("acme", id)),
        };
        let written = fixture.store.record_lookups(&[row]).await;
        written.expect("record_lookups")[0]
    };
    assert_eq!(record("behind", "first", None).await, Written::Yes);
    let begun = fixture
        .append(calls.map(|call| started("acme", call)).to_vec())
        .await;
    let due: Vec<_> = begun.due.iter().map(|d| (d.lane, d.looked_up)).collect();
    assert_eq!(due, [(Lane::Lookup, true), (Lane::Lookup, false)]);
    assert_eq!(fixture.due_in("acme", Lane::Lookup).await, begun.due);

    // Whoever read the calls before their begins has nothing to tell them.
    assert_eq!(record("behind", "first", None).await, Written::Already);
    assert_eq!(record("meanwhile", "unseen", None).await, Written::Stale);
    assert_eq!(fixture.due_in("acme", Lane::Lookup).await, begun.due);
    for written in [Written::Yes, Written::Already] {
        assert_eq!(record("behind", "first", Some("e1")).await, written);
        assert_eq!(record("meanwhile", "seen", Some("e2")).await, written);
    }
    assert_eq!(fixture.due_in("acme", Lane::Lookup).await, []);
    let told = ["e1", "e2"].map(|id| (fence.shard, id.to_owned()));
    assert_eq!(fixture.unpublished().await, told);
    let ids = calls.map(|call| call_id("acme", call));
    let stored = fixture.store.calls(&ids).await.expect("calls");
    let stored: Vec<_> = stored
        .into_iter()
        .map(|call| call.lookup.expect("answered").0)
        .collect();
    assert_eq!(
        stored,
        ["first", "seen"].map(|text| under_key("acme", text).0)
    );
    // An earlier begin that takes the place of the first asks for nothing more.
    let mut earlier = started("acme", "behind");
    let begin = earlier.started.as_mut().expect("a begin");
    begin.time = at(-5);
    assert!(fixture.append(vec![earlier]).await.due.is_empty());
}

/// A call beyond the dedupe horizon is only published of where its key is not known.
pub(crate) async fn a_call_too_old_is_taken_in_while_it_is_known(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    let before = fixture.unpublished().await.len();
    fixture
        .append(vec![ended("acme", "parked", 0), ended("acme", "logged", 0)])
        .await;
    fixture.log("acme", "logged").await;
    fixture.park("acme", "parked", ParkReason::LinkBroken).await;
    let too_old = |call: &str, revision| IngestCall {
        too_old: vec![call_event("acme", &format!("too-old/{call}/{revision}"))],
        ..ended("acme", call, revision)
    };
    let unknown = || {
        let mut call = too_old("unknown", 0);
        // Its day has no partition, and is to get none.
        call.call_day = at(-40 * 86_400).date_naive();
        call
    };
    for _ in 0..2 {
        let calls = vec![too_old("logged", 0), too_old("parked", 0), unknown()];
        let appended = fixture.append(calls).await;
        assert_eq!((appended.due.len(), appended.new_calls), (0, 0));
        let published = fixture.unpublished().await;
        let ids: Vec<_> = published[before..].iter().map(|(_, id)| &**id).collect();
        assert_eq!(ids, ["too-old/unknown/0"]);
    }
    let ids = ["parked", "unknown", "logged"].map(|call| call_id("acme", call));
    let stored = fixture.store.calls(&ids).await.expect("calls");
    assert_eq!(stored.len(), 2, "the unknown one is not stored");
    let later = fixture.append(vec![too_old("logged", 1)]).await;
    assert_eq!((later.due.len(), later.due[0].revision), (1, Revision(1)));
    assert_eq!(fixture.unpublished().await.len(), before + 1);
}

/// Another process hears which shards have work and whose link changed.
pub(crate) async fn other_processes_are_woken(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let mut listener = harness.other().await.listen().await.expect("listen");
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let mut heard = Wake::default();
    let shard = fixture.link_of("acme").await.shard;
    let linked = fixture.link("acme").await;
    while !(heard.accounts.contains(&linked.account) && heard.shards.contains(&linked.shard)) {
        let wake = listener.next(Duration::from_secs(20)).await;
        assert_ne!(wake, Wake::default(), "only {heard:?} was heard");
        heard.shards.extend(wake.shards);
        heard.accounts.extend(wake.accounts);
    }
    assert!(heard.shards.contains(&shard));
    assert_eq!(heard.released, []);
    assert_eq!(listener.next(Duration::ZERO).await, Wake::default());
}

/// Who appends knows what is due; who waits for shards hears that some are free.
pub(crate) async fn only_what_is_news_is_told(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let mut own = fixture.store.listen().await.expect("listen");
    let mut other = harness.other().await.listen().await.expect("listen");
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let shard = fixture.link_of("acme").await.shard;
    let work = Wake {
        shards: vec![shard],
        ..Wake::default()
    };
    assert_eq!(other.next(Duration::from_secs(20)).await, work);
    let worker = "worker-1".parse().expect("replica");
    let released = fixture.store.release(&worker, &[shard]).await;
    released.expect("release");
    let free = Wake {
        released: vec![shard],
        ..Wake::default()
    };
    assert_eq!(own.next(Duration::from_secs(20)).await, free);
    assert_eq!(other.next(Duration::from_secs(20)).await, free);
}

/// Calls that are over and those that never ended are forgotten; all others stay, with their
/// bodies.
pub(crate) async fn only_what_is_over_is_forgotten(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    let calls = ["logged", "open", "ready", "dead"].map(|call| ended("acme", call, 0));
    fixture
        .append(
            calls
                .into_iter()
                .chain([started("acme", "ringing")])
                .collect(),
        )
        .await;
    let begun = fixture.begin("acme", "logged", 0).await;
    fixture
        .record(&fixture.outcome(&begun, 0, created()).await)
        .await;
    fixture.begin("acme", "open", 0).await;
    let given_up = Outcome::Dead {
        reason: DeadReason::Bug,
        failure: None,
    };
    let row = fixture.unsent("acme", "dead", given_up).await;
    assert_eq!(fixture.record(&row).await, Written::Yes);
    assert_eq!(
        fixture.store.forget(at(0), 100).await.expect("forget"),
        0,
        "none is so old"
    );
    assert_eq!(
        fixture.store.forget(far_ahead(), 1).await.expect("forget"),
        1,
        "the limit"
    );
    assert_eq!(
        fixture
            .store
            .forget(far_ahead(), 100)
            .await
            .expect("forget"),
        1
    );
    while fixture
        .store
        .drop_bodies(chrono::NaiveDate::MAX)
        .await
        .expect("drop_bodies")
    {}
    let ids = ["logged", "open", "ready", "dead", "ringing"].map(|call| call_id("acme", call));
    let kept = fixture.store.calls(&ids).await.expect("calls");
    let kept: Vec<_> = kept
        .iter()
        .map(|c| (c.id.interaction.as_str(), c.ended.is_some()))
        .collect();
    assert_eq!(kept, [("open", true), ("ready", true), ("dead", true)]);
}
