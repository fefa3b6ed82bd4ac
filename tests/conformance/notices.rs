//! From the change of a link to the notices that are sent.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use vcc_link::clock;
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::domain::notice::{DeliveryFault, Notice, NoticeKind, Told};
use vcc_link::store::contacts::NoticeState;
use vcc_link::store::notices::{ClaimedNotice, Decision, NewNotice, NoticeEnd, Settled, Verdict};
use vcc_link::store::{Store, Written};

use super::Harness;
use super::contacts::{add, contact_id};
use super::fixture::*;

/// A notice of this kind to a contact.
fn notice(id: &str, contact: &str, kind: NoticeKind) -> NewNotice {
    NewNotice {
        id: id.parse().expect("an id"),
        contact: contact_id(contact),
        notice: Notice {
            kind,
            reason: None,
            missing: Vec::new(),
            waiting: 0,
            since: at(0),
        },
    }
}

/// What has stood since before then, looked at at 1000.
async fn settled(store: &dyn Store, before: DateTime<Utc>) -> Vec<Settled> {
    let settled = store.settled(before, at(0), at(1000), 9).await;
    settled.expect("settled")
}

/// Later than the database's clock, by which changes are noted.
fn soon() -> DateTime<Utc> {
    clock::now() + TimeDelta::minutes(1)
}

fn told() -> Told {
    Told {
        broken: true,
        at: Some(at(1000)),
        ..Told::default()
    }
}

/// A decision to tell a contact.
fn tell(settled: &Settled, notices: Vec<NewNotice>) -> Decision {
    Decision {
        account: settled.state.account.clone(),
        change: settled.change,
        verdict: Verdict::Tell(told(), notices),
        at: at(1000),
    }
}

/// A link that stands otherwise than before is looked at once it has stood so, and one decides.
pub(crate) async fn a_change_of_a_link_is_looked_at_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let (store, other) = (&*fixture.store, harness.other().await);
    add(store, "acme", "ops", 0).await;
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "call", 0)]).await;
    fixture
        .change("acme", LinkStatus::Linked, Health::Broken)
        .await;
    let long_ago = clock::now() - TimeDelta::minutes(5);
    assert!(settled(store, long_ago).await.is_empty());
    let found = settled(store, soon()).await.remove(0);
    assert_eq!(
        (found.told.clone(), found.told_lately),
        (Told::default(), 0)
    );
    assert_eq!(found.state.health, Health::Broken);

    // It changes before anybody decides: nothing is decided of what was.
    fixture
        .change("acme", LinkStatus::Linked, Health::Healthy)
        .await;
    fixture
        .change("acme", LinkStatus::Linked, Health::Broken)
        .await;
    let late = tell(&found, vec![notice("n0", "ops", NoticeKind::Broken)]);
    assert_eq!(store.decide(&late).await.expect("decide"), Written::Stale);
    let found = settled(store, soon()).await.remove(0);
    let notices = vec![
        notice("n1", "ops", NoticeKind::Broken),
        notice("n2", "gone", NoticeKind::Broken),
    ];
    let decision = tell(&found, notices);
    let (here, there) = tokio::join!(store.decide(&decision), other.decide(&decision));
    let written = [here.expect("decide"), there.expect("decide")];
    assert!(written.contains(&Written::Yes), "{written:?}");
    assert!(written.contains(&Written::Stale), "{written:?}");
    assert!(settled(store, soon()).await.is_empty());

    // What was told is there when it changes again; a reason alone is no change.
    fixture
        .change("acme", LinkStatus::Linked, Health::Broken)
        .await;
    assert!(settled(store, soon()).await.is_empty());
    fixture
        .change("acme", LinkStatus::Linked, Health::Healthy)
        .await;
    let again = settled(store, soon()).await.remove(0);
    assert_eq!((again.told, again.told_lately), (told(), 1));
    let claimed = claim(store, 1000, 1100).await;
    let ids: Vec<&str> = claimed.iter().map(|notice| notice.id.as_str()).collect();
    assert_eq!(ids, ["n1"]);
}

/// What is held comes again at its time.
pub(crate) async fn what_is_held_is_looked_at_later(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &*fixture.store;
    fixture.link("acme").await;
    let found = settled(store, soon()).await.remove(0);
    let hold = |until| Decision {
        verdict: Verdict::Hold(at(until)),
        ..tell(&found, Vec::new())
    };
    let held = store.decide(&hold(1001)).await;
    assert_eq!(held.expect("decide"), Written::Yes);
    assert!(settled(store, soon()).await.is_empty());
    let held = store.decide(&hold(1000)).await;
    assert_eq!(held.expect("decide"), Written::Yes);
    assert_eq!(settled(store, soon()).await[0].change, found.change);
}

/// What is claimed at a time, until another.
async fn claim(store: &dyn Store, now: i64, until: i64) -> Vec<ClaimedNotice> {
    let claimed = store.claim_notices(at(now), at(until), 9).await;
    claimed.expect("claimed")
}

/// A test notice to the one contact of an account, made at 10.
async fn one_waits(store: &dyn Store) -> NewNotice {
    add(store, "acme", "ops", 0).await;
    let new = notice("n1", "ops", NoticeKind::Test);
    let added = store
        .add_notice(&account_id("acme"), &new, at(0), at(10))
        .await;
    assert_eq!(added.expect("added"), Written::Yes);
    new
}

/// One process has a notice at a time; it comes again when that one is silent.
pub(crate) async fn a_notice_is_claimed_by_one(harness: Arc<dyn Harness>) {
    let (here, other) = (harness.store(), harness.other().await);
    let store = &*here;
    let new = one_waits(store).await;
    assert!(claim(store, 9, 60).await.is_empty(), "not due");
    let (ours, theirs) = tokio::join!(claim(store, 10, 60), claim(&*other, 10, 60));
    let mut claimed = [ours, theirs].concat();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    let claimed = claimed.remove(0);
    assert_eq!((claimed.notice, claimed.attempts), (new.notice, 0));
    assert_eq!(claimed.target.0, b"sealed ops");
    assert!(claim(&*other, 59, 99).await.is_empty(), "it is another's");
    assert_eq!(claim(&*other, 60, 99).await.len(), 1);
}

/// A notice that did not arrive comes again at its time, until it is over. What became of it stands
/// with the contact.
pub(crate) async fn a_notice_comes_again_until_it_is_over(harness: Arc<dyn Harness>) {
    let here = harness.store();
    let store = &*here;
    let new = one_waits(store).await;
    let last = async || {
        let contacts = store.contacts(&account_id("acme")).await.expect("read");
        let (_, last) = contacts.contacts.into_iter().next().expect("a contact");
        let last = last.expect("a notice");
        (last.state, last.fault, last.at)
    };
    let end = async |end, when| {
        let ended = store.end_notice(&new.id, end, at(when)).await;
        ended.expect("ended")
    };
    assert_eq!(last().await, (NoticeState::Waiting, None, at(10)));
    let refused = DeliveryFault::Refused {
        code: 503,
        for_good: false,
    };
    let again = NoticeEnd::Retry(at(200), refused);
    assert_eq!(end(again, 70).await, Written::Yes);
    let waits = (NoticeState::Waiting, Some(refused), at(10));
    assert_eq!(last().await, waits);
    assert!(claim(store, 199, 299).await.is_empty());
    assert_eq!(claim(store, 200, 299).await[0].attempts, 1);
    let fault = DeliveryFault::TimedOut;
    assert_eq!(end(NoticeEnd::GivenUp(fault), 210).await, Written::Yes);
    assert_eq!(end(NoticeEnd::Sent, 211).await, Written::Already);
    let over = (NoticeState::GivenUp, Some(fault), at(210));
    assert_eq!(last().await, over);
    assert!(claim(store, 900, 999).await.is_empty());
    assert_eq!(store.forget_notices(at(210)).await.expect("forget"), 0);
    assert_eq!(store.forget_notices(at(211)).await.expect("forget"), 1);
}

/// A test is added unless one waits or was just made, and to who is a contact.
pub(crate) async fn a_test_is_added_once(harness: Arc<dyn Harness>) {
    let store = harness.store();
    add(&*store, "acme", "ops", 0).await;
    let account = account_id("acme");
    let test = async |id, contact, since| {
        let new = notice(id, contact, NoticeKind::Test);
        let added = store.add_notice(&account, &new, at(since), at(since + 60));
        added.await.expect("added")
    };
    assert_eq!(test("n1", "nobody", 0).await, Written::Stale);
    assert_eq!(test("n2", "ops", 0).await, Written::Yes);
    assert_eq!(test("n3", "ops", 100).await, Written::Already, "one waits");
    let id = "n2".parse().expect("an id");
    let ended = store.end_notice(&id, NoticeEnd::Sent, at(61)).await;
    assert_eq!(ended.expect("ended"), Written::Yes);
    assert_eq!(test("n4", "ops", 59).await, Written::Already, "just made");
    assert_eq!(test("n5", "ops", 60).await, Written::Yes);
}
