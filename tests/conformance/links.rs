//! The linking's and the token refresh's room.

use std::sync::Arc;

use vcc_link::domain::ids::{Generation, Sequence, ShardId, TokenSequence};
use vcc_link::domain::link::{Actor, Health, LinkReason, LinkState, LinkStatus, LinkedOrg};
use vcc_link::domain::outcome::{Outcome, ParkReason, SkipReason};
use vcc_link::domain::work::{Lane, ParkedPage};
use vcc_link::store::links::{LinkChange, LinkWrite, ProfileNews, ProfileRead, Restated};
use vcc_link::store::{Fence, Written};

use super::Harness;
use super::fixture::*;

/// Link, a change of health, and Unlink: a compare-and-set each, with its event.
pub(crate) async fn a_link_is_stored_and_changed(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let never = fixture.link_of("acme").await;
    assert_eq!(
        (never.status, never.generation),
        (LinkStatus::Unlinked, NEVER_LINKED)
    );
    let linked = fixture.link("acme").await;
    assert_eq!(
        (linked.generation, linked.sequence),
        (Generation(1), Sequence(1))
    );
    assert_eq!(
        linked.shard,
        ShardId::of(&linked.account, Some(&org_id(ORG)))
    );
    assert_eq!(fixture.link_of("acme").await, linked);
    let late = fixture
        .store
        .save_link(&new_link("acme", ORG, Sequence(0)), 5)
        .await;
    assert_eq!(late.expect("save_link"), LinkWrite::Changed(linked.clone()));

    let LinkWrite::Stored(broken) = fixture
        .change("acme", LinkStatus::Linked, Health::Broken)
        .await
    else {
        panic!("nobody else changes it")
    };
    assert_eq!(
        (broken.generation, broken.sequence),
        (Generation(1), Sequence(2))
    );
    assert_eq!(
        (broken.health, broken.reason),
        (Health::Broken, Some(LinkReason::Unknown))
    );
    assert_eq!((broken.since, &broken.org), (at(100), &linked.org));
    fixture
        .change("acme", LinkStatus::Unlinked, Health::Healthy)
        .await;
    let unlinked = fixture.link_of("acme").await;
    assert_eq!(
        (unlinked.generation, unlinked.sequence),
        (Generation(2), Sequence(3))
    );
    assert_eq!((unlinked.org, unlinked.shard), (None, never.shard));
    let events: Vec<_> = fixture.unpublished().await;
    let own = ["link/acme/1", "link/acme/2", "link/acme/3"].map(|id| (never.shard, id.to_owned()));
    assert_eq!(events, own, "in order, where the account lies now");
    let all = fixture.store.all_links(None, 10).await.expect("all_links");
    assert_eq!(all.len(), 1);
    let behind = fixture
        .store
        .all_links(Some(&all[0].account), 10)
        .await
        .expect("all_links");
    assert!(behind.is_empty());
}

/// The account's work moves with it: due calls, open attempts, events.
pub(crate) async fn work_moves_with_its_account(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let first = fixture.link("acme").await;
    let calls = ["done", "open", "parked", "ready"].map(|call| ended("acme", call, 0));
    fixture.append(calls.to_vec()).await;
    fixture.append(vec![started("acme", "ringing")]).await;
    fixture.log("acme", "done").await;
    fixture.begin("acme", "open", 0).await;
    fixture.park("acme", "parked", ParkReason::LinkBroken).await;

    let second = fixture.link_to("acme", OTHER_ORG).await;
    assert_ne!(first.shard, second.shard);
    assert_eq!(fixture.open_attempts(first.shard).await, []);
    let open = fixture.open_attempts(second.shard).await;
    assert_eq!((open.len(), open[0].shard), (1, second.shard));
    assert_eq!(
        (&open[0].org, open[0].generation),
        (&org_id(ORG), Generation(1))
    );
    assert_eq!(fixture.due("acme").await[0].call, call_id("acme", "ready"));
    assert_eq!(fixture.due_in("acme", Lane::Lookup).await.len(), 1);
    let events = fixture.unpublished().await;
    assert!(
        events.iter().all(|(shard, _)| *shard == second.shard),
        "{events:?}"
    );
    for call in ["parked", "ringing", "ready"] {
        let story = fixture
            .store
            .story(&call_id("acme", call))
            .await
            .expect("story");
        assert_eq!(story.map(|story| story.shard), Some(second.shard), "{call}");
    }
    let revised = fixture.append(vec![ended("acme", "done", 1)]).await.due;
    assert_eq!(
        revised[0].shard, second.shard,
        "what was over follows when it is revived"
    );
}

/// Unlinking takes parked calls along as they are; they can be made due where the account lies then.
pub(crate) async fn unlinking_leaves_calls_parked(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    let reasons = [
        ParkReason::LinkBroken,
        ParkReason::OrgRefuses,
        ParkReason::Quota,
    ];
    let mut calls = Vec::new();
    for (n, reason) in reasons.into_iter().enumerate() {
        let call = format!("call-{n}");
        fixture.append(vec![ended("acme", &call, 0)]).await;
        fixture.park("acme", &call, reason).await;
        calls.push(call_id("acme", &call));
    }
    let acme = account_id("acme");
    let mut wakes = fixture.store.listen().await.expect("listen");
    fixture
        .change("acme", LinkStatus::Unlinked, Health::Healthy)
        .await;
    let unlinked = fixture.link_of("acme").await;
    assert!(unlinked.shard == ShardId::of(&acme, None));
    let wake = wakes.next(std::time::Duration::from_secs(20)).await;
    assert!(wake.shards.contains(&unlinked.shard));
    let left = fixture.store.left_org(&acme).await;
    assert_eq!(left.expect("left_org"), Some(org_id(ORG)));
    let parked = fixture.store.parked_calls(&acme).await;
    assert_eq!(parked.expect("parked_calls"), 3);
    assert!(fixture.due("acme").await.is_empty());

    fixture.append(vec![ended("acme", "call-3", 0)]).await;
    fixture.park("acme", "call-3", ParkReason::Unlinked).await;
    calls.push(call_id("acme", "call-3"));
    let page = ParkedPage {
        reasons: [&reasons[..], &[ParkReason::Unlinked]].concat(),
        received_before: None,
        after: None,
        limit: 10,
    };
    let fence = fixture.fence(unlinked.shard);
    let unparked = fixture.store.unpark(&acme, fence, &page).await;
    assert_eq!(unparked.expect("unpark").calls, 4);
    let mut due: Vec<_> = fixture.due("acme").await;
    due.sort_by(|a, b| a.call.cmp(&b.call));
    let due: Vec<_> = due.into_iter().map(|due| due.call).collect();
    assert_eq!(due, calls);
    let skipped = Outcome::Skipped {
        reason: SkipReason::Unlinked,
    };
    let row = fixture.unsent("acme", "call-0", skipped).await;
    assert_eq!(fixture.record(&row).await, Written::Yes);
}

/// A worker that lost its lease, or never had the shard, changes no link's health.
pub(crate) async fn health_is_changed_by_the_owner(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let linked = fixture.link("acme").await;
    let fence = fixture.fence(linked.shard);
    let old = Fence {
        epoch: fence.epoch.next(),
        ..fence
    };
    let elsewhere = fixture.fence(ShardId(fence.shard.0 ^ 1));
    let change = |fence| LinkChange {
        account: linked.account.clone(),
        expected: linked.sequence,
        generation: linked.generation,
        status: LinkStatus::Linked,
        health: Health::Broken,
        reason: LinkReason::TokenRevoked,
        fence: Some(fence),
        actor: Actor::System,
        event: link_event("acme", linked.sequence.next()),
        at: at(100),
    };
    for fence in [old, elsewhere] {
        let written = fixture.store.change_link(&change(fence)).await;
        assert_eq!(written.expect("change_link"), LinkWrite::Stale);
    }
    assert_eq!(fixture.link_of("acme").await, linked);
    let written = fixture.store.change_link(&change(fence)).await;
    assert!(matches!(written, Ok(LinkWrite::Stored(_))), "{written:?}");
}

/// What an org says of itself is asked for links whose time has come, and stored by the owner.
pub(crate) async fn a_profile_is_kept(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let linked = fixture.link("acme").await;
    fixture.link("broken").await;
    fixture
        .change("broken", LinkStatus::Linked, Health::Broken)
        .await;
    let stale = async |before| {
        let shards = fixture.shards();
        let stale = fixture.store.stale_profiles(&shards, at(before), 9).await;
        stale.expect("stale_profiles")
    };
    assert_eq!(stale(0).await, std::slice::from_ref(&linked));

    let fence = fixture.fence(linked.shard);
    let mut read = profile_read(
        &linked,
        Fence {
            epoch: fence.epoch.next(),
            ..fence
        },
    );
    let record = async |read: &ProfileRead| {
        let written = fixture.store.record_profile(read).await;
        written.expect("record_profile")
    };
    assert_eq!(record(&read).await, LinkWrite::Stale);
    read.fence = Some(fence);
    let LinkWrite::Stored(quiet) = record(&read).await else {
        panic!("it is the owner's")
    };
    assert_eq!(fixture.link_of("acme").await, quiet);
    assert_eq!(
        (quiet.sequence, quiet.since),
        (linked.sequence, linked.since)
    );
    let (before, now) = (linked.org.expect("linked"), quiet.org.expect("linked"));
    let zone = Some("Asia/Tokyo".to_owned());
    // Where the org answers is told by its tokens, which may have been refreshed meanwhile.
    assert_eq!(
        (now.time_zone, now.instance_url),
        (zone, before.instance_url)
    );
    assert_eq!((stale(50).await.len(), stale(51).await.len()), (0, 1));

    let relinked = fixture.link("acme").await;
    assert_eq!(
        stale(0).await,
        [relinked],
        "another org may allow other things"
    );
}

/// What an org says of itself is an event only where there is news.
pub(crate) async fn only_news_of_a_profile_is_told(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let linked = fixture.link("acme").await;
    let mut read = profile_read(&linked, fixture.fence(linked.shard));
    let record = async |read: &ProfileRead| {
        let written = fixture.store.record_profile(read).await;
        written.expect("record_profile")
    };
    record(&read).await;
    read.news = Some(ProfileNews {
        health: Health::AtRisk,
        reason: LinkReason::PermissionMissing,
        actor: Actor::Salesforce,
        event: link_event("acme", linked.sequence.next()),
    });
    let LinkWrite::Stored(news) = record(&read).await else {
        panic!("nobody else changed it")
    };
    assert_eq!(news.sequence, linked.sequence.next());
    assert_eq!((news.health, news.since), (Health::AtRisk, at(50)));
    assert_eq!(record(&read).await, LinkWrite::Changed(news), "read again");
    let events = fixture.store.unpublished(&[linked.shard], 0, 9).await;
    let ids = events.expect("unpublished").into_iter().map(|e| e.row.id);
    let ours = ids.filter(|id| id.as_str().starts_with("link/acme/"));
    assert_eq!(ours.count(), 2, "of the link, and of the news");
}

/// The org says that it is in another time zone and, nonsense, elsewhere.
fn profile_read(linked: &LinkState, fence: Fence) -> ProfileRead {
    let org = linked.org.clone().expect("linked");
    ProfileRead {
        account: linked.account.clone(),
        expected: linked.sequence,
        generation: linked.generation,
        fence: Some(fence),
        org: LinkedOrg {
            time_zone: Some("Asia/Tokyo".to_owned()),
            instance_url: "https://elsewhere.example".to_owned(),
            ..org
        },
        news: None,
        at: at(50),
    }
}

/// A new owner tells the states of its links again: those that still stand, in their shard.
pub(crate) async fn only_what_stands_is_told_again(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let linked = fixture.link("acme").await;
    let fence = fixture.fence(linked.shard);
    let told = |sequence: Sequence, event: &str| Restated {
        account: linked.account.clone(),
        sequence,
        event: call_event("acme", event),
    };
    let restate = async |fence, link: Restated| {
        let written = fixture.store.restate_links(fence, &[link]).await;
        written.expect("restate_links")
    };
    let later = linked.sequence.next();
    let old = Fence {
        epoch: fence.epoch.next(),
        ..fence
    };
    let elsewhere = fixture.fence(ShardId(fence.shard.0 ^ 1));
    assert_eq!(
        restate(old, told(linked.sequence, "old")).await,
        Written::Stale
    );
    restate(elsewhere, told(linked.sequence, "elsewhere")).await;
    restate(fence, told(later, "later")).await;
    for _ in 0..2 {
        let written = restate(fence, told(linked.sequence, "again")).await;
        assert_eq!(written, Written::Yes);
    }
    let events = fixture.store.unpublished(&fixture.shards(), 0, 9).await;
    let events: Vec<_> = events
        .expect("unpublished")
        .into_iter()
        .map(|e| e.row)
        .collect();
    let ids: Vec<&str> = events.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["link/acme/1", "again"]);
    assert!(events.iter().all(|row| row.shard == linked.shard));
}

/// An outcome is taken by its attempt, whatever the link is by then, from the shard's owner.
pub(crate) async fn an_outcome_is_taken_after_a_relink(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    let before = fixture.outcome(&begun, 0, created()).await;
    fixture.link_to("acme", OTHER_ORG).await;
    assert_eq!(
        fixture.record(&before).await,
        Written::Stale,
        "the old shard's owner"
    );
    let after = fixture.outcome(&begun, 0, created()).await;
    assert_eq!(fixture.record(&after).await, Written::Yes);
}

/// Calls that are appended while their account moves are never left behind.
pub(crate) async fn no_call_is_left_behind_by_a_move(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let moving = async {
        for turn in 0..40 {
            // Always on to another shard: one that comes back would pick up what it left.
            fixture.link_to("acme", &format!("00D{turn:012}")).await;
        }
    };
    let append = |writer: usize| {
        let fixture = &fixture;
        async move {
            for n in 0..40 {
                let call = format!("call-{writer}-{n}");
                fixture
                    .append(vec![ended("acme", &call, 0), ended("other", &call, 0)])
                    .await;
            }
        }
    };
    tokio::join!(moving, append(0), append(1));
    assert_eq!(fixture.due("acme").await.len(), 80);
    assert_eq!(fixture.due("other").await.len(), 80);
}

/// Two accounts that link at once cannot both be the API user's last.
pub(crate) async fn an_api_user_serves_only_so_many(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    for round in 0..20 {
        let org = format!("00D{round:012}");
        let first = format!("first-{round}");
        fixture.link_to(&first, &org).await;
        let links = ["second", "third"]
            .map(|account| new_link(&format!("{account}-{round}"), &org, Sequence(0)));
        let save = |link| fixture.store.save_link(link, 2);
        let (one, two) = tokio::join!(save(&links[0]), save(&links[1]));
        let full: Vec<_> = [one, two]
            .into_iter()
            .filter_map(|written| match written.expect("save_link") {
                LinkWrite::ApiUserFull { accounts } => Some(accounts),
                _ => None,
            })
            .collect();
        assert_eq!(full.len(), 1, "one of them is refused");
        assert_eq!(full[0].len(), 2);
        let again = fixture
            .store
            .save_link(&new_link(&first, &org, Sequence(1)), 2)
            .await;
        let again = again.expect("save_link");
        assert!(
            matches!(again, LinkWrite::Stored(_)),
            "the account itself does not count"
        );
    }
}

/// A grant outlives its generation until its attempts are closed and it is given up.
pub(crate) async fn a_grant_is_kept_until_it_is_given_up(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let linked = fixture.link("acme").await;
    let (account, first) = (linked.account.clone(), linked.generation);
    fixture.append(vec![ended("acme", "c", 0)]).await;
    let begun = fixture.begin("acme", "c", 0).await;
    let give_up = |generation| fixture.store.give_up_grant(&account, generation);
    assert_eq!(
        give_up(first).await.expect("give_up"),
        Written::Stale,
        "it is in use"
    );
    let second = fixture.link_to("acme", OTHER_ORG).await;
    let retired = || async {
        fixture
            .store
            .retired_grants(&[second.shard], 9)
            .await
            .expect("retired_grants")
    };
    assert_eq!(retired().await, [], "its attempt is open");
    let grant = fixture
        .store
        .grant(&account, first)
        .await
        .expect("grant")
        .expect("kept");
    assert_eq!(
        (&grant.org, grant.token_sequence),
        (&org_id(ORG), TokenSequence(1))
    );
    fixture
        .record(&fixture.outcome(&begun, 0, created()).await)
        .await;
    assert_eq!(retired().await, [grant]);
    assert_eq!(give_up(first).await.expect("give_up"), Written::Yes);
    assert_eq!(give_up(first).await.expect("give_up"), Written::Already);
    assert_eq!(
        fixture.store.grant(&account, first).await.expect("grant"),
        None
    );
    assert_eq!(
        give_up(second.generation).await.expect("give_up"),
        Written::Stale
    );

    let stale = |before| {
        fixture
            .store
            .stale_grants(std::slice::from_ref(&second.shard), before, 9)
    };
    assert_eq!(stale(at(0)).await.expect("stale_grants"), []);
    let old = stale(at(1)).await.expect("stale_grants");
    assert_eq!((old.len(), old[0].generation), (1, second.generation));
}
