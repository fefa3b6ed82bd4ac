//! Erasing what is about people, by wish and by age.

use std::sync::Arc;

use chrono::NaiveDate;
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::domain::outcome::{DeadReason, Outcome, ParkReason};
use vcc_link::store::inbox::{IngestBatch, Partition, QuarantineRow};
use vcc_link::store::privacy::{ErasureNote, Subject};
use vcc_link::store::{Sealed, Written};

use super::Harness;
use super::contacts;
use super::fixture::*;

/// A quarantined record.
fn record(offset: i64) -> QuarantineRow {
    QuarantineRow {
        partition: partition(),
        offset,
        received_at: at(offset),
        reason: "not JSON".to_owned(),
        body: Sealed(b"bytes".to_vec()),
    }
}

/// Where records stand.
fn partition() -> Partition {
    Partition {
        topic: "vcc.calls".to_owned(),
        partition: 0,
    }
}

impl Fixture {
    /// Calls in every state that content may be in: logged, dead, parked, open, ready.
    async fn calls_in_all_states(&self) {
        let calls = ["logged", "dead", "parked", "open", "ready"];
        self.append(calls.map(|call| ended("acme", call, 0)).to_vec())
            .await;
        self.log("acme", "logged").await;
        let given_up = Outcome::Dead {
            reason: DeadReason::Bug,
            failure: None,
        };
        let row = self.unsent("acme", "dead", given_up).await;
        assert_eq!(self.record(&row).await, Written::Yes);
        self.park("acme", "parked", ParkReason::LinkBroken).await;
        self.begin("acme", "open", 0).await;
    }

    /// Which of those calls have their content.
    async fn with_content(&self) -> Vec<String> {
        let ids = ["logged", "dead", "parked", "open", "ready"].map(|call| call_id("acme", call));
        let stored = self.store.calls(&ids).await.expect("calls");
        assert_eq!(stored.len(), ids.len(), "every key stays");
        let whole = stored.into_iter().filter(|call| call.ended.is_some());
        whole.map(|call| call.id.interaction.to_string()).collect()
    }
}

/// Content goes at a wish once nothing is to be sent of it, and the key stays: the same events make
/// no second Task.
pub(crate) async fn only_what_is_over_is_erased(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.calls_in_all_states().await;
    let calls = fixture.store.calls_of(&account_id("acme"), None, 9).await;
    let calls = calls.expect("calls");
    assert_eq!(calls.len(), 5);
    let behind = fixture
        .store
        .calls_of(&account_id("acme"), Some(&calls[3].interaction), 9)
        .await;
    assert_eq!(behind.expect("calls"), calls[4..]);

    let looked = fixture.store.erasable(&calls).await.expect("erasable");
    assert_eq!(fixture.with_content().await.len(), 5, "only looked at");
    let erased = fixture.store.erase_calls(&calls).await.expect("erased");
    assert_eq!(erased.len(), looked.len());
    let gone: Vec<_> = erased.iter().filter(|found| found.may_go()).collect();
    assert_eq!(gone.len(), 2);
    assert!(gone.iter().any(|found| found.task == Some(task_id())));
    assert_eq!(fixture.with_content().await, ["parked", "open", "ready"]);
    let again = fixture.append(vec![ended("acme", "logged", 0)]).await;
    assert_eq!((again.new_calls, again.due.len()), (0, 0));
}

/// By age, content goes once its call was logged or skipped; what waits for something keeps it.
pub(crate) async fn bodies_outlive_no_call_that_is_over(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.calls_in_all_states().await;
    let age_out = async |before| {
        fixture.store.strip(before, 100).await.expect("strip");
        while fixture
            .store
            .drop_bodies(NaiveDate::MAX)
            .await
            .expect("drop_bodies")
        {}
    };
    age_out(far_ahead()).await;
    let kept = ["dead", "parked", "open", "ready"];
    assert_eq!(fixture.with_content().await, kept);
    fixture.log("acme", "ready").await;
    age_out(at(0)).await;
    assert_eq!(fixture.with_content().await, kept, "it is not so old");
    age_out(far_ahead()).await;
    assert_eq!(fixture.with_content().await, kept[..3]);
}

/// An account's history goes with it, never beneath a link; that it went is noted.
pub(crate) async fn an_accounts_history_goes_once_it_is_unlinked(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    let account = account_id("acme");
    let erase = async || {
        let erased = fixture.store.erase_history(&account).await;
        erased.expect("erase_history")
    };
    let history = async || {
        let lines = fixture.store.history(&account, None, 9).await;
        lines.expect("history").len()
    };
    contacts::add(&*fixture.store, "acme", "ops", 0).await;
    assert_eq!(erase().await, Written::Stale);
    fixture
        .change("acme", LinkStatus::Unlinked, Health::Healthy)
        .await;
    assert_eq!(history().await, 2);
    assert_eq!(erase().await, Written::Yes);
    assert_eq!(history().await, 0);
    let told = fixture.store.contacts(&account).await.expect("contacts");
    assert_eq!((told.version, told.contacts.len()), (0, 0));
    let note = ErasureNote {
        at: at(9),
        by: "ann".to_owned(),
        subject: Subject::Account,
        account: Some(account.clone()),
        calls: 3,
        kept: 2,
        records: 1,
    };
    fixture.store.note_erasure(&note).await.expect("noted");
    let notes = fixture.store.erasures(9).await.expect("erasures");
    assert_eq!(notes, [note]);
}

/// Quarantined bytes go by their own age, and at a wish.
pub(crate) async fn quarantined_bytes_have_an_age_of_their_own(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let batch = IngestBatch {
        quarantined: (0..4).map(record).collect(),
        ..IngestBatch::default()
    };
    fixture.store.append(&batch).await.expect("append");
    let forget = async |before| {
        let forgotten = fixture.store.forget_quarantined(before, 9).await;
        forgotten.expect("forget")
    };
    assert_eq!(forget(at(1)).await, 1);
    let records = [(partition(), 1), (partition(), 2), (partition(), 99)];
    let erased = fixture.store.erase_records(&records).await;
    assert_eq!(erased.expect("erased"), 2);
    assert_eq!(forget(far_ahead()).await, 1);
}
