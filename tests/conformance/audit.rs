//! The ledger's room.

use std::sync::Arc;

use chrono::DateTime;
use vcc_link::domain::event::terminal_id;
use vcc_link::domain::ids::{AccountId, Revision};
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::store::audit::{LedgerPage, LedgerRow, Stuck};
use vcc_link::store::outbox::OutboxRow;
use vcc_link::store::reports::CallState;

use super::Harness;
use super::fixture::*;
use super::reports::one_of_each;

/// The first page, of so many.
fn page(limit: u32) -> LedgerPage {
    LedgerPage {
        account: None,
        since: DateTime::UNIX_EPOCH,
        until: far_ahead(),
        after: None,
        told_since: DateTime::UNIX_EPOCH,
        limit,
    }
}

/// All calls of a page and those behind it.
async fn read(fixture: &Fixture, mut page: LedgerPage) -> Vec<LedgerRow> {
    let mut all: Vec<LedgerRow> = Vec::new();
    loop {
        let rows = fixture.store.ledger(&page).await.expect("ledger");
        assert!(rows.len() <= page.limit as usize);
        let Some(last) = rows.last() else {
            return all;
        };
        page.after = Some((last.received_at, last.id.clone()));
        all.extend(rows);
    }
}

/// The counts of what is stuck, due or open since before any time, parked since before any time.
async fn stuck(fixture: &Fixture) -> Vec<(Stuck, u64)> {
    let counts = fixture.store.stuck(far_ahead(), far_ahead()).await;
    let mut counts: Vec<_> = counts
        .expect("stuck")
        .iter()
        .map(|count| (count.reason, count.calls))
        .collect();
    counts.sort();
    counts
}

/// Each call is met once, page by page, with what accounts for it.
pub(crate) async fn each_call_is_in_the_ledger_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    one_of_each(&fixture).await;
    let told = |row: &LedgerRow| row.told.as_ref().map(Vec::len);
    let rows = read(&fixture, page(3)).await;
    let calls: Vec<_> = rows
        .iter()
        .map(|row| {
            let due = row.due_at.is_some();
            let sends = (row.sends, row.send_by.is_some());
            (row.id.interaction.as_str(), due, sends, told(row))
        })
        .collect();
    let (open, none) = ((true, true), (false, false));
    let expected = [
        ("dead", false, none, Some(1)),
        ("in_doubt", false, open, None),
        ("logged", false, none, Some(1)),
        ("parked", false, none, None),
        ("ready", true, none, None),
        ("retry_at", true, none, None),
        ("ringing", false, none, None),
        ("sending", false, open, None),
    ];
    assert_eq!(calls, expected);
    assert!(
        rows.iter()
            .all(|row| !row.has_stray_attempt && !row.link_broken)
    );
    let ringing = &rows[6];
    assert!(ringing.state == CallState::Ringing && ringing.unanswered_since.is_some());

    let with = |change: fn(&mut LedgerPage)| {
        let mut page = page(100);
        change(&mut page);
        read(&fixture, page)
    };
    let nobody = with(|page| page.account = Some(account_id("nobody"))).await;
    assert_eq!(nobody, []);
    assert_eq!(
        with(|page| page.account = Some(account_id("acme")))
            .await
            .len(),
        8
    );
    assert_eq!(with(|page| page.until = DateTime::UNIX_EPOCH).await, []);
    assert_eq!(with(|page| page.since = far_ahead()).await, []);
    let forgotten = with(|page| page.told_since = far_ahead()).await;
    assert!(forgotten.iter().all(|row| row.told.is_none()));
}

/// The event that tells of a call's end is found by its id.
pub(crate) async fn a_calls_end_is_found_among_its_events(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture
        .append(vec![ended("acme", "a", 0), ended("acme", "b", 0)])
        .await;
    let begun = fixture.begin("acme", "a", 0).await;
    let mut row = fixture.outcome(&begun, 0, created()).await;
    let id = terminal_id(&call_id("acme", "a"), Revision(0));
    row.event = Some(OutboxRow {
        id: id.clone(),
        ..call_event("acme", "e")
    });
    fixture.record(&row).await;
    fixture.log("acme", "b").await;
    let rows = read(&fixture, page(10)).await;
    assert_eq!(rows[0].told, Some(vec![id]));
    assert_eq!(rows[1].told, Some(vec![]), "nothing tells of it");
}

/// A call that does not end is closed once, and counts as open no more; its end is logged when it
/// comes after all.
pub(crate) async fn a_call_that_does_not_end_is_closed_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture
        .append(vec![
            started("acme", "a"),
            started("acme", "b"),
            started("other", "c"),
            ended("acme", "d", 0),
        ])
        .await;
    let close = async |before, limit| -> Vec<(AccountId, u64)> {
        let closed = fixture.store.close_unended(before, limit).await;
        closed.expect("close_unended")
    };
    assert_eq!(close(DateTime::UNIX_EPOCH, 10).await, []);
    let all = [(account_id("acme"), 2), (account_id("other"), 1)];
    assert_eq!(close(far_ahead(), 2).await, all[..1]);
    assert_eq!(close(far_ahead(), 2).await, all[1..]);
    assert_eq!(close(far_ahead(), 2).await, []);
    let open = fixture.store.open_counts().await.expect("open_counts");
    assert!(
        open.iter().all(|count| count.state != CallState::Ringing),
        "{open:?}"
    );

    fixture.append(vec![ended("acme", "a", 0)]).await;
    let rows = read(&fixture, page(10)).await;
    let state = |call: &str| {
        let row = rows.iter().find(|row| row.id.interaction.as_str() == call);
        row.map(|row| (row.state, row.never_ended_at.is_some()))
    };
    assert_eq!(state("a"), Some((CallState::Ready, true)));
    assert_eq!(state("b"), Some((CallState::Ringing, true)));
    assert_eq!(state("d"), Some((CallState::Ready, false)));
    fixture.log("acme", "a").await;
}

/// What needs a look is counted by reason; an attempt waits while the link is broken.
pub(crate) async fn what_does_not_go_on_is_counted(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    one_of_each(&fixture).await;
    let all = [
        (Stuck::Overdue, 2),
        (Stuck::Unresolved, 2),
        (Stuck::Expiring, 1),
    ];
    assert_eq!(stuck(&fixture).await, all);
    fixture
        .change("acme", LinkStatus::Linked, Health::Broken)
        .await;
    assert_eq!(stuck(&fixture).await[1], (Stuck::Unresolved, 0));
    let before = DateTime::UNIX_EPOCH;
    let none = fixture.store.stuck(before, before).await.expect("stuck");
    assert!(none.iter().all(|count| count.calls == 0), "{none:?}");
}
