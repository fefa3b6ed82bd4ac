//! Calls that were given up, and bytes that could not be read, are put back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vcc_link::domain::ids::CallId;
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::domain::outcome::{DeadReason, LoggedAs, Outcome, ParkReason, SkipReason};
use vcc_link::domain::replay::{Stand, Why};
use vcc_link::store::inbox::{IngestBatch, Partition, QuarantineRow};
use vcc_link::store::replays::{QuarantineFilter, ReplayId, ReplayPage, Replayed};
use vcc_link::store::reports::{CallFilter, CallState};
use vcc_link::store::{Sealed, Written};

use super::Harness;
use super::fixture::{
    Fixture, NEVER_LINKED, ORG, OTHER_ORG, account_id, at, call_id, ended, failure, org_id, task_id,
};

/// Given up.
fn dead(reason: DeadReason) -> Outcome {
    Outcome::Dead {
        reason,
        failure: Some(failure()),
    }
}

/// All that can be put back of an account, at most so many.
fn filter(account: &str, limit: u32) -> CallFilter {
    CallFilter {
        account: Some(account_id(account)),
        limit,
        ..CallFilter::default()
    }
}

impl Fixture {
    /// A call that was sent once and given up.
    async fn give_up(&self, account: &str, call: &str, reason: DeadReason) {
        self.append(vec![ended(account, call, 0)]).await;
        let begun = self.begin(account, call, 0).await;
        let row = self.outcome(&begun, 0, dead(reason)).await;
        assert_eq!(self.record(&row).await, Written::Yes);
    }

    /// A replay.
    async fn replay_of(&self, filter: &str) -> ReplayId {
        let begun = self.store.begin_replay("ann", filter).await;
        begun.expect("begin_replay")
    }

    /// One page of a replay of its own.
    async fn put_back(&self, filter: CallFilter, certain: bool) -> Replayed {
        let page = ReplayPage {
            replay: self.replay_of("all").await,
            filter,
            after: None,
            certain,
        };
        self.store.replay(&page).await.expect("replay")
    }

    /// How often a call was put back.
    async fn replays_of(&self, call: &CallId) -> u32 {
        let calls = self.store.calls(std::slice::from_ref(call)).await;
        calls.expect("calls")[0].replays
    }
}

/// A revived call is due as if it had just ended, and whoever decides by what was before is stale.
pub(crate) async fn a_dead_call_is_put_back_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.give_up("acme", "c", DeadReason::Bug).await;
    let late = fixture
        .unsent("acme", "c", dead(DeadReason::RetriesExhausted))
        .await;

    let page = fixture.put_back(filter("acme", 10), false).await;
    assert_eq!((page.sent, page.looked_for), (1, 0));
    let due = fixture.due("acme").await;
    assert_eq!((due.len(), due[0].attempts), (1, 0));
    let id = call_id("acme", "c");
    assert_eq!(fixture.replays_of(&id).await, 1);
    let again = fixture.put_back(filter("acme", 10), false).await;
    assert_eq!((again.sent, again.last), (0, None));

    // An outcome of before, whose event would have the id of the one that is published.
    let mut row = late;
    row.replay = Some(0);
    assert_eq!(fixture.record(&row).await, Written::Stale);
    row.replay = Some(1);
    assert_eq!(fixture.record(&row).await, Written::Yes);
    let back = fixture.put_back(filter("acme", 10), false).await;
    assert_eq!(back.sent, 1);
    assert_eq!(fixture.replays_of(&id).await, 2);
}

/// A call whose Task may exist gets an open attempt like its last, and its owner is woken.
pub(crate) async fn a_call_that_may_have_a_task_is_looked_for(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.give_up("acme", "c", DeadReason::Unknown).await;
    let story = async || {
        let story = fixture.store.story(&call_id("acme", "c")).await;
        story.expect("story").expect("known")
    };
    let sent = story().await.attempts.remove(0);

    fixture.link_to("acme", OTHER_ORG).await;
    let page = fixture.put_back(filter("acme", 10), false).await;
    assert_eq!(page.left, BTreeMap::from([(Why::OtherOrg, 1)]));
    let groups = fixture.store.replay_groups(&filter("acme", 1)).await;
    let group = groups.expect("replay_groups").remove(0);
    assert_eq!(group.stand, Stand::Dead(DeadReason::Unknown));
    assert_eq!((group.sent_to, group.calls), (Some(org_id(ORG)), 1));

    fixture.link_to("acme", ORG).await;
    let mut listener = fixture.store.listen().await.expect("listen");
    let other = harness.other().await;
    let page = ReplayPage {
        replay: fixture.replay_of("all").await,
        filter: filter("acme", 10),
        after: None,
        certain: false,
    };
    let page = other.replay(&page).await.expect("replay");
    assert_eq!((page.sent, page.looked_for), (0, 1));
    let wake = listener.next(Duration::from_secs(30)).await;
    let fence = fixture.fence_of("acme").await;
    assert_eq!(wake.shards, [fence.shard]);
    assert_eq!(wake.accounts, [account_id("acme")]);

    assert_eq!(story().await.line.state, CallState::InDoubt);
    let open = fixture.open_attempts(fence.shard).await;
    assert_eq!(open.len(), 1);
    assert_eq!(
        (&open[0].org, open[0].send_by),
        (&org_id(ORG), sent.send_by)
    );
    assert_eq!((open[0].attempts, open[0].answered), (0, false));
    let mut found = fixture.unsent("acme", "c", dead(DeadReason::Bug)).await;
    found.attempt = Some(open[0].attempt);
    found.outcome = Outcome::Logged {
        how: LoggedAs::Adopted,
        task: task_id(),
    };
    assert_eq!(fixture.record(&found).await, Written::Yes);
    assert_eq!(fixture.replays_of(&call_id("acme", "c")).await, 1);

    fixture.give_up("acme", "d", DeadReason::Unknown).await;
    fixture.link_to("acme", OTHER_ORG).await;
    let page = fixture.put_back(filter("acme", 10), true).await;
    assert_eq!((page.sent, page.looked_for), (1, 0), "somebody has looked");
}

/// What waits for something else, and what earns no Task, stays as it is; nothing is put back where
/// nothing can be sent.
pub(crate) async fn what_cannot_be_put_back_stays(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    let calls = ["logged", "paused", "broken", "refused", "policy", "expired"];
    let calls = calls.map(|call| ended("acme", call, 0));
    fixture.append(calls.to_vec()).await;
    fixture.log("acme", "logged").await;
    fixture.park("acme", "paused", ParkReason::Paused).await;
    fixture.park("acme", "broken", ParkReason::LinkBroken).await;
    fixture
        .park("acme", "refused", ParkReason::OrgRefuses)
        .await;
    for (call, reason) in [
        ("policy", SkipReason::Policy),
        ("expired", SkipReason::Expired),
    ] {
        let row = fixture.unsent("acme", call, Outcome::Skipped { reason });
        assert_eq!(fixture.record(&row.await).await, Written::Yes);
    }
    let only = CallFilter {
        states: vec![CallState::Parked],
        reason: Some("org_refuses".to_owned()),
        ..filter("acme", 10)
    };
    let page = fixture.put_back(only, false).await;
    assert_eq!(
        (page.sent, page.left.len()),
        (1, 0),
        "only what is asked for"
    );
    assert_eq!(
        fixture.replays_of(&call_id("acme", "refused")).await,
        0,
        "it never came to its end"
    );
    let page = fixture.put_back(filter("acme", 10), false).await;
    let left = [
        (Why::GoesByItself, 1),
        (Why::Paused, 1),
        (Why::NoTaskEarned, 1),
    ];
    assert_eq!((page.sent, page.left), (1, BTreeMap::from(left)));
    assert_eq!(fixture.due("acme").await.len(), 2);

    fixture.link("beta").await;
    fixture.give_up("beta", "c", DeadReason::Bug).await;
    fixture
        .change("beta", LinkStatus::Linked, Health::Broken)
        .await;
    let page = fixture.put_back(filter("beta", 10), true).await;
    assert_eq!(page.left, BTreeMap::from([(Why::NoWorkingLink, 1)]));
    assert_ne!(fixture.link_of("beta").await.generation, NEVER_LINKED);
}

/// Every call is looked at once, the longest known first, and the replay's note counts them.
pub(crate) async fn a_replay_goes_page_by_page_and_is_noted(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    for call in ["z", "y", "x"] {
        fixture.give_up("acme", call, DeadReason::Bug).await;
    }
    let replay = fixture.replay_of("dead, account acme").await;
    let (mut after, mut sent) = (None, Vec::new());
    loop {
        let page = ReplayPage {
            replay,
            filter: filter("acme", 2),
            after,
            certain: false,
        };
        let page = fixture.store.replay(&page).await.expect("replay");
        let Some((_, last)) = &page.last else { break };
        sent.push((page.sent, last.interaction.to_string()));
        // One comes to its end again meanwhile: this replay has passed it.
        let again = fixture.unsent("acme", "z", dead(DeadReason::Bug)).await;
        fixture.record(&again).await;
        after = page.last;
    }
    assert_eq!(sent, [(2, "y".to_owned()), (1, "x".to_owned())]);
    fixture.store.end_replay(replay).await.expect("end_replay");
    let lines = fixture.store.replays(5).await.expect("replays");
    let line = &lines[0];
    assert_eq!((line.replay, line.actor.as_str()), (replay, "ann"));
    assert_eq!(line.filter, "dead, account acme");
    assert_eq!((line.sent, line.looked_for, line.left), (3, 0, 0));
    assert!(line.ended_at.is_some());

    let none = CallFilter {
        until: Some(at(-1)),
        ..filter("acme", 10)
    };
    assert_eq!(fixture.put_back(none, false).await.last, None);
}

/// Quarantined bytes are found again, and marked once they are sent.
pub(crate) async fn quarantined_bytes_are_sent_again_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let partition = Partition {
        topic: "vcc.calls".to_owned(),
        partition: 3,
    };
    let row = |offset| QuarantineRow {
        partition: partition.clone(),
        offset,
        received_at: at(offset),
        reason: "not JSON".to_owned(),
        body: Sealed(vec![7]),
    };
    let batch = IngestBatch {
        quarantined: vec![row(1), row(2), row(3)],
        ..IngestBatch::default()
    };
    fixture.store.append(&batch).await.expect("append");
    let mark = async |offset, actor| {
        let marked = fixture.store.mark_resent(&partition, offset, actor).await;
        marked.expect("mark_resent")
    };
    assert_eq!(mark(2, "ann").await, Written::Yes);
    assert_eq!(mark(2, "bob").await, Written::Already);
    assert_eq!(mark(9, "bob").await, Written::Stale);
    let offsets = async |filter: &QuarantineFilter| {
        let found = fixture.store.quarantined(filter).await;
        let found = found.expect("quarantined");
        found.iter().map(|line| line.row.offset).collect::<Vec<_>>()
    };
    let all = QuarantineFilter {
        limit: 10,
        ..QuarantineFilter::default()
    };
    assert_eq!(offsets(&all).await, [3, 2, 1]);
    let behind = QuarantineFilter {
        after: Some((at(3), partition.clone(), 3)),
        ..all.clone()
    };
    assert_eq!(offsets(&behind).await, [2, 1]);
    let some = QuarantineFilter {
        topic: Some("vcc.calls".to_owned()),
        since: Some(at(1)),
        until: Some(at(3)),
        unsent: true,
        ..all.clone()
    };
    assert_eq!(offsets(&some).await, [1]);
    let other = QuarantineFilter {
        topic: Some("other".to_owned()),
        ..all
    };
    assert_eq!(offsets(&other).await, [0_i64; 0]);
    let found = fixture.store.quarantined_at(&partition, 2).await;
    let found = found.expect("quarantined_at").expect("known");
    assert_eq!(found.row.reason, "not JSON");
    assert_eq!(found.resent.expect("marked").1, "ann");
}
