//! The data keys of accounts.

use std::collections::BTreeSet;
use std::sync::Arc;

use vcc_link::crypto::{self, Key};
use vcc_link::domain::ids::{AccountId, Generation};
use vcc_link::domain::key_head;
use vcc_link::domain::link::{Health, LinkStatus};
use vcc_link::domain::outcome::{Outcome, SkipReason};
use vcc_link::sealing::Sealer;
use vcc_link::sealing::vault::Vault;
use vcc_link::store::account_keys::{AccountKey, KeyEnd};
use vcc_link::store::inbox::{Advance, IngestBatch, IngestCall, LookupRow, Partition, StoredCall};
use vcc_link::store::outbox::OutboxRow;
use vcc_link::store::{Error, Result, Sealed, Store, Written};

use super::Harness;
use super::fixture::*;
use super::folding::call_ended;

/// A key that no account has.
fn another(account: &str) -> AccountKey {
    AccountKey {
        id: format!("another-of-{account}").parse().expect("key"),
        ..key_of(account)
    }
}

/// A value under that key.
fn under_another(account: &str) -> Sealed {
    let head = key_head::of(&another(account).id);
    Sealed([head.as_slice(), b"sealed"].concat())
}

/// The accounts whose keys a write misses.
fn missed<T: std::fmt::Debug>(written: Result<T>) -> Vec<String> {
    match written {
        Err(Error::KeyGone { accounts }) => accounts.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn accounts(names: &[&str]) -> BTreeSet<AccountId> {
    names.iter().map(|name| account_id(name)).collect()
}

/// Two processes meet new accounts at once: each account gets one key, and both know it.
pub(crate) async fn of_two_makers_of_a_key_one_wins(harness: Arc<dyn Harness>) {
    let (one, other) = (harness.store(), harness.other().await);
    let names: Vec<String> = (0..20).map(|n| format!("account-{n}")).collect();
    let made: Vec<AccountKey> = names.iter().map(|name| key_of(name)).collect();
    let rivals: Vec<AccountKey> = names.iter().rev().map(|name| another(name)).collect();
    let (of_one, of_other) = tokio::join!(one.keep_keys(&made), other.keep_keys(&rivals));
    let sorted = |keys: Result<Vec<AccountKey>>| {
        let mut keys = keys.expect("keys");
        keys.sort_by(|a, b| a.account.cmp(&b.account));
        keys
    };
    let kept = sorted(of_one);
    assert_eq!(kept.len(), names.len());
    assert_eq!(kept, sorted(of_other));
    let all = made.iter().map(|key| key.account.clone()).collect();
    assert_eq!(sorted(one.current_keys(&all).await), kept);
    let ids = made.iter().chain(&rivals).map(|key| key.id.clone());
    assert_eq!(sorted(one.keys_by_id(&ids.collect()).await), kept);
}

/// Calls that another key sealed than their account has are refused with all that comes with them.
pub(crate) async fn no_call_is_taken_in_under_a_key_that_is_gone(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &*fixture.store;
    fixture.append(vec![ended("acme", "first", 0)]).await;

    let partition = Partition {
        topic: "vcc.calls".to_owned(),
        partition: 0,
    };
    let batch = |call: IngestCall| IngestBatch {
        calls: vec![ended("acme", "beside", 0), call],
        offsets: vec![Advance {
            partition: partition.clone(),
            from: None,
            next: 7,
        }],
        ..IngestBatch::default()
    };
    let mut by_another = ended("acme", "d", 0);
    by_another.ended.as_mut().expect("an end").body = under_another("acme");
    let mut too_old = ended("acme", "e", 0);
    too_old.too_old = vec![call_event("acme", "told")];
    too_old.too_old[0].body = under_another("acme");
    for call in [by_another, too_old] {
        assert_eq!(missed(store.append(&batch(call)).await), ["acme"]);
    }
    let keyless = store.append(&batch(ended("nobody", "c", 0))).await;
    assert_eq!(missed(keyless), ["nobody"]);
    let offsets = store.offsets(std::slice::from_ref(&partition)).await;
    assert_eq!(offsets.expect("offsets"), [None]);
    let calls = store.calls(&[call_id("acme", "beside")]).await;
    assert_eq!(calls.expect("calls"), []);
}

/// The same is true of answers, and of the events that tell of calls.
pub(crate) async fn nothing_is_told_under_a_key_that_is_gone(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &*fixture.store;
    fixture.link("acme").await;
    fixture
        .append(vec![started("acme", "c"), ended("acme", "logged", 0)])
        .await;
    let fence = fixture.fence_of("acme").await;
    let answer = |answer: Sealed, event: Sealed| LookupRow {
        id: call_id("acme", "c"),
        fence,
        generation: Generation(1),
        answer,
        event: Some(OutboxRow {
            body: event,
            ..call_event("acme", "answered")
        }),
    };
    let (ours, gone) = (under_key("acme", "sealed"), under_another("acme"));
    for row in [
        answer(gone.clone(), ours.clone()),
        answer(ours.clone(), gone.clone()),
    ] {
        assert_eq!(missed(store.record_lookups(&[row]).await), ["acme"]);
    }

    let begun = fixture.begin("acme", "logged", 0).await;
    let mut row = fixture.outcome(&begun, 0, created()).await;
    row.event = Some(call_event("acme", "logged"));
    row.event.as_mut().expect("an event").body = gone;
    let written = store.record_outcomes(std::slice::from_ref(&row)).await;
    assert_eq!(missed(written), ["acme"]);
    let told = fixture.unpublished().await;
    assert!(
        told.iter().all(|(_, id)| id.starts_with("link/")),
        "{told:?}"
    );
    row.event = Some(call_event("acme", "logged"));
    assert_eq!(fixture.record(&row).await, Written::Yes);
}

/// A key stays while its account is linked, has content, or has something to tell; then it is gone,
/// and the account gets another one.
pub(crate) async fn a_key_is_destroyed_once_nothing_needs_it(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &*fixture.store;
    let acme = account_id("acme");
    let destroy = async || store.destroy_key(&acme).await.expect("destroy_key");
    fixture.link("acme").await;
    fixture.append(vec![ended("acme", "c", 0)]).await;
    fixture.append(vec![ended("beta", "c", 0)]).await;
    assert_eq!(destroy().await, KeyEnd::Linked);
    fixture
        .change("acme", LinkStatus::Unlinked, Health::Healthy)
        .await;
    assert_eq!(destroy().await, KeyEnd::InUse, "the call is not over");
    let skipped = Outcome::Skipped {
        reason: SkipReason::Unlinked,
    };
    let mut row = fixture.unsent("acme", "c", skipped).await;
    row.event = Some(call_event("acme", "skipped"));
    assert_eq!(fixture.record(&row).await, Written::Yes);
    assert_eq!(destroy().await, KeyEnd::InUse, "it has content");
    let erased = store.erase_calls(&[call_id("acme", "c")]).await;
    assert_eq!(erased.expect("erased").len(), 1);
    assert_eq!(destroy().await, KeyEnd::InUse, "an event waits");
    let fence = fixture.fence_of("acme").await;
    let waiting = store.unpublished(&[fence.shard], 0, 9).await;
    let waiting: Vec<i64> = waiting
        .expect("events")
        .iter()
        .map(|e| e.position)
        .collect();
    let marked = store.mark_published(fence, &waiting).await;
    assert_eq!(marked.expect("marked"), Written::Yes);
    assert_eq!(destroy().await, KeyEnd::Destroyed);
    assert_eq!(destroy().await, KeyEnd::Destroyed, "there is none");

    let both = [key_of("acme").id, key_of("beta").id].into();
    let left = store.keys_by_id(&both).await.expect("keys");
    assert_eq!(left, [key_of("beta")], "another account keeps its own");
    let batch = IngestBatch {
        calls: vec![ended("acme", "d", 0)],
        ..IngestBatch::default()
    };
    assert_eq!(missed(store.append(&batch).await), ["acme"]);
    let next = store.keep_keys(&[another("acme")]).await.expect("kept");
    assert_eq!(next, [another("acme")]);
    assert_eq!(
        missed(store.append(&batch).await),
        ["acme"],
        "not by the old"
    );
    let found = store.current_keys(&accounts(&["acme"])).await;
    assert_eq!(found.expect("keys"), next);
}

/// Appends an end that is sealed by a vault.
async fn seal_end(vault: &Vault, store: &dyn Store, call: &str) -> StoredCall {
    let id = call_id("acme", call);
    let end = call_ended(&id, 0);
    let acme = accounts(&["acme"]);
    let appended = vault.seal(&acme, |keys| {
        let mut row = ended("acme", call, 0);
        row.ended.as_mut().expect("an end").body = keys.ended(&end);
        let batch = IngestBatch {
            calls: vec![row],
            ..IngestBatch::default()
        };
        async move { store.append(&batch).await }
    });
    appended.await.expect("append");
    let stored = store.calls(std::slice::from_ref(&id)).await;
    stored.expect("calls").remove(0)
}

/// Whether a stored call has its end, for one who opens it.
async fn has_end(vault: &Vault, stored: &StoredCall) -> bool {
    let keys = vault.open(stored.keys().collect()).await.expect("keys");
    keys.call(stored).expect("opens").ended.is_some()
}

/// An account is erased and comes back while a worker still holds the key that was destroyed: its
/// next call is sealed by the new key, and what the old one sealed opens nowhere, wherever it lies.
pub(crate) async fn what_a_destroyed_key_sealed_opens_nowhere(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let ring = Key::random("ring".to_owned());
    let sealer = Sealer::of(&crypto::Config {
        primary: "ring".to_owned(),
        keys: vec![ring],
    });
    let sealer = sealer.expect("a ring");
    let vault = |store: &Arc<dyn Store>| Vault::new(Arc::clone(store), sealer.clone());
    let (worker, other) = (vault(&fixture.store), vault(&harness.other().await));
    let copied = seal_end(&worker, &*fixture.store, "before").await;
    assert!(has_end(&other, &copied).await, "two processes, one key");

    let skipped = Outcome::Skipped {
        reason: SkipReason::Unlinked,
    };
    let row = fixture.unsent("acme", "before", skipped).await;
    assert_eq!(fixture.record(&row).await, Written::Yes);
    let store = harness.other().await;
    let erased = store.erase_calls(&[call_id("acme", "before")]).await;
    assert_eq!(erased.expect("erased").len(), 1);
    let end = store.destroy_key(&account_id("acme")).await;
    assert_eq!(end.expect("destroyed"), KeyEnd::Destroyed);

    let again = seal_end(&worker, &*fixture.store, "after").await;
    for one in [&worker, &other, &vault(&store)] {
        assert!(has_end(one, &again).await, "no call is lost");
    }
    for one in [&worker, &vault(&store)] {
        assert!(!has_end(one, &copied).await, "its key is gone");
    }
}
