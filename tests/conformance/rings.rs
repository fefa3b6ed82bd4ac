//! Sealed values of every kind, and the keys that seal them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vcc_link::crypto::{self, Context, Key};
use vcc_link::domain::ids::{CallId, Generation, TokenSequence};
use vcc_link::domain::key_head::LONGEST;
use vcc_link::sealing::Sealer;
use vcc_link::sealing::rotation::{Counts, Rotation};
use vcc_link::sealing::vault::Vault;
use vcc_link::store::inbox::{IngestBatch, Partition, QuarantineRow, StoredCall};
use vcc_link::store::links::{NewLink, RefreshClaim, RefreshResult, RefreshWish};
use vcc_link::store::rings::{Replacement, RingKind, SealedKind, SealedRow};
use vcc_link::store::{Fence, Sealed, Store, Written};

use super::Harness;
use super::authorizations::begun;
use super::contacts::{add, add_sealed, contact_id};
use super::fixture::*;
use super::folding::call_ended;

/// All values of a kind, read in pages of two.
async fn all(store: &dyn Store, kind: SealedKind, current: &[u8]) -> Vec<SealedRow> {
    let mut rows: Vec<SealedRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| &row.place);
        let page = store.sealed(kind, after, current, 2).await.expect("a page");
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

/// A record that is no valid event.
fn quarantined(offset: i64, body: &[u8]) -> QuarantineRow {
    QuarantineRow {
        partition: Partition {
            topic: "vcc.calls".to_owned(),
            partition: 0,
        },
        offset,
        received_at: at(0),
        reason: "not JSON".to_owned(),
        body: Sealed(body.to_vec()),
    }
}

/// Five values of each kind.
async fn fill(fixture: &Fixture) {
    for n in 0..5 {
        fixture.link(&format!("account-{n}")).await;
        let call = format!("call-{n}");
        let account = format!("account-{n}");
        let mut too_old = ended(&account, "too-old", 0);
        too_old.too_old = vec![call_event(&account, &format!("told-{n}"))];
        fixture
            .append(vec![ended(&account, &call, 0), too_old])
            .await;
        let secret = Sealed(format!("secret {n}").into_bytes());
        let authorization = begun(&format!("authorization-{n}"));
        let noted = fixture.store.begin_authorization(&authorization, &secret);
        noted.await.expect("begun");
        add(&*fixture.store, &format!("account-{n}"), "ops", 0).await;
        let batch = IngestBatch {
            quarantined: vec![quarantined(n, format!("no event {n}").as_bytes())],
            ..IngestBatch::default()
        };
        fixture.store.append(&batch).await.expect("append");
    }
}

/// Every value of every kind comes once, whatever the page; the whole of it where it is wanted.
pub(crate) async fn every_sealed_value_is_paged(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fill(&fixture).await;
    let by_ring = RingKind::ALL.map(SealedKind::ByRing);
    for kind in [SealedKind::Bodies, SealedKind::CallEvents]
        .into_iter()
        .chain(by_ring)
    {
        let heads = all(&*fixture.store, kind, b"").await;
        assert_eq!(heads.len(), 5, "{kind:?}");
        assert!(heads.iter().all(|row| row.sealed.is_none()), "{kind:?}");
        let others = all(&*fixture.store, kind, b"?").await;
        for (head, row) in heads.iter().zip(&others) {
            assert_eq!(head.place, row.place);
            let sealed = &row.sealed.as_ref().expect("begins otherwise").0;
            assert_eq!(head.head, sealed[..sealed.len().min(LONGEST)]);
        }
        let current = &others[2].sealed.as_ref().expect("begins otherwise").0;
        let but_one = all(&*fixture.store, kind, current).await;
        let left_out = but_one.iter().filter(|row| row.sealed.is_none());
        let same = others.iter().filter(|row| {
            row.sealed
                .as_ref()
                .is_some_and(|s| s.0.starts_with(current))
        });
        assert_eq!(left_out.count(), same.count(), "{kind:?}");
    }
}

/// A value is replaced in its place alone, and only if it is as it was.
pub(crate) async fn only_an_unchanged_value_is_replaced(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fill(&fixture).await;
    for kind in RingKind::ALL {
        let of = SealedKind::ByRing(kind);
        let rows = all(&*fixture.store, of, b"?").await;
        let replacement = |row: &SealedRow, before: &[u8], after: &[u8]| Replacement {
            place: row.place.clone(),
            before: Sealed(before.to_vec()),
            after: Sealed(after.to_vec()),
        };
        let values = [
            replacement(&rows[1], b"something else", b"lost"),
            replacement(&rows[3], &rows[3].sealed.as_ref().expect("read").0, b"anew"),
        ];
        let replaced = fixture.store.replace_sealed(kind, &values).await;
        assert_eq!(replaced.expect("replace_sealed"), 1, "{kind:?}");
        let mut wanted = rows;
        wanted[3].sealed = Some(Sealed(b"anew".to_vec()));
        wanted[3].head = b"anew".to_vec();
        assert_eq!(all(&*fixture.store, of, b"?").await, wanted);
    }
}

/// Who writes while the keys are rotated, by the old key, as a process does that has its settings
/// still: tokens, and the keys of accounts that it meets.
struct Writer {
    store: Arc<dyn Store>,
    sealer: Sealer,
    vault: Vault,
    fence: Fence,
}

/// Rounds of a writer.
const ROUNDS: i32 = 60;

impl Writer {
    /// Appends a call's end, which says which revision it is of.
    async fn append(&self, id: &CallId, revision: i32) {
        let end = call_ended(id, revision);
        let (account, call) = (id.account.as_str(), id.interaction.as_str());
        let accounts = [id.account.clone()].into();
        let appended = self.vault.seal(&accounts, |keys| {
            let mut row = ended(account, call, revision);
            row.ended.as_mut().expect("an end").body = keys.ended(&end);
            let batch = IngestBatch {
                calls: vec![row],
                ..IngestBatch::default()
            };
            async move { self.store.append(&batch).await }
        });
        appended.await.expect("append");
    }

    /// Tokens, which say where they are in their sequence.
    fn tokens(&self, sequence: i64) -> Sealed {
        self.sealer.seal(&tokens_of(sequence), &sequence)
    }

    /// A call more each round, of a new account now and then, and a revision of one before; a refresh of
    /// the tokens.
    async fn write(&self) {
        for round in 0..ROUNDS {
            self.append(&call_of(round), 0).await;
            // Behind it, so that the revision finds its call.
            self.append(&call_of(round / 2), round + 1).await;
            self.refresh(i64::from(round) + 1).await;
        }
    }

    /// Claims and refreshes the tokens that are now.
    async fn refresh(&self, seen: i64) {
        let wish = RefreshWish {
            account: account_id("acme"),
            generation: Generation(1),
            seen: TokenSequence(seen),
            fence: self.fence,
            send_within: Duration::from_mins(5),
            last_step: true,
        };
        let claim = self.store.claim_refresh(&wish).await.expect("claim");
        let RefreshClaim::Granted { grant, send_by, .. } = claim else {
            panic!("{claim:?}");
        };
        let found: i64 = self
            .sealer
            .open(&tokens_of(seen), &grant.tokens, "token pair")
            .expect("opens");
        assert_eq!(found, seen);
        let result = RefreshResult::Refreshed {
            tokens: self.tokens(seen + 1),
            issued_at: at(0),
            instance_url: grant.instance_url,
        };
        let (account, generation) = (&grant.account, grant.generation);
        let written = self
            .store
            .record_refresh(account, generation, TokenSequence(seen), send_by, &result)
            .await;
        assert_eq!(written.expect("recorded"), Written::Yes);
    }
}

/// The call of a round; each ten rounds have an account of their own.
fn call_of(round: i32) -> CallId {
    call_id(&format!("account-{}", round / 10), &format!("call-{round}"))
}

fn tokens_of(sequence: i64) -> Context {
    Context::Tokens {
        account: account_id("acme"),
        generation: Generation(1),
        token_sequence: TokenSequence(sequence),
    }
}

fn contact_of(id: &str) -> Context {
    Context::Contact {
        account: account_id("acme"),
        id: contact_id(id),
    }
}

/// A sealer with these keys, the first of them primary.
fn sealer(keys: &[&Key]) -> Sealer {
    let config = crypto::Config {
        primary: keys[0].id.clone(),
        keys: keys.iter().map(|key| (*key).clone()).collect(),
    };
    Sealer::of(&config).expect("keys")
}

/// A key is replaced while writers go on with the old one: none of their writes is lost, and when
/// they have stopped, nothing needs the old key any more.
pub(crate) async fn keys_are_rotated_under_load(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let [old, new] = ["old", "new"].map(|id| Key::random(id.to_owned()));
    let by_old = sealer(&[&old, &new]);
    let mut writer = Writer {
        store: Arc::clone(&fixture.store),
        vault: Vault::new(Arc::clone(&fixture.store), by_old.clone()),
        sealer: by_old,
        fence: fixture.fence_of("acme").await,
    };
    let expected = fixture.link_of("acme").await.sequence;
    let mut link: NewLink = new_link("acme", ORG, expected);
    link.tokens = writer.tokens(1);
    let event = writer.sealer.seal(
        &Context::Event {
            id: link.event.id.clone(),
        },
        &"told",
    );
    link.event.body = event;
    fixture.store.save_link(&link, 5).await.expect("linked");
    writer.fence = fixture.fence_of("acme").await;
    let target = writer.sealer.seal(&contact_of("ops"), &"ops@acme.example");
    add_sealed(&*fixture.store, "acme", ("ops", target), 0).await;

    let rotation = Rotation::new(harness.other().await, sealer(&[&new, &old]));
    let ((), resealed) = tokio::join!(writer.write(), async {
        let done = rotation.rotate(|_| {}).await;
        done.expect("rotated").resealed
    });
    assert!(resealed > 0);
    let last = rotation.rotate(|_| {}).await.expect("rotated");
    assert_eq!((last.left, last.unreadable), (0, 0));
    let again = rotation.rotate(|_| {}).await.expect("rotated");
    assert_eq!(again.resealed, 0, "nothing is left to do");

    let census = rotation.census(|_| {}).await.expect("counted");
    let accounts = u64::try_from(ROUNDS / 10).expect("few");
    let wanted = Counts::from([
        (RingKind::Tokens, 1),
        (RingKind::AccountKeys, accounts),
        (RingKind::LinkEvents, 1),
        (RingKind::Contacts, 1),
    ]);
    let new_id = "new".parse().expect("an id");
    assert_eq!(census.keys, BTreeMap::from([(new_id, wanted)]));
    assert!(census.unreadable.is_empty());
    everything_stands(&fixture.store, &sealer(&[&new])).await;
}

/// The last that was written stands in each place, and opens.
async fn everything_stands(store: &Arc<dyn Store>, sealer: &Sealer) {
    let calls: Vec<CallId> = (0..ROUNDS).map(call_of).collect();
    let stored = store.calls(&calls).await.expect("calls");
    assert_eq!(stored.len(), calls.len());
    let keys = Vault::new(Arc::clone(store), sealer.clone());
    let keys = keys
        .open(stored.iter().flat_map(StoredCall::keys).collect())
        .await;
    let keys = keys.expect("keys");
    for (number, stored) in (0..ROUNDS).zip(&stored) {
        let ended = keys.call(stored).expect("opens").ended.expect("an end");
        // The later of the two rounds that revised it.
        let last = 2 * number + 1;
        let revision = if last < ROUNDS {
            last + 1
        } else if last - 1 < ROUNDS {
            last
        } else {
            0
        };
        assert_eq!(
            (ended.facts.id, ended.revision.0),
            (call_of(number), revision)
        );
    }
    let of = |kind| all(&**store, SealedKind::ByRing(kind), b"?");
    let tokens = of(RingKind::Tokens).await.remove(0);
    let sequence = i64::from(ROUNDS) + 1;
    let sealed = tokens.sealed.expect("read");
    let found: i64 = sealer
        .open(&tokens_of(sequence), &sealed, "token pair")
        .expect("opens");
    assert_eq!(found, sequence);
    let contact = of(RingKind::Contacts).await.remove(0);
    let sealed = contact.sealed.expect("read");
    let found: String = sealer
        .open(&contact_of("ops"), &sealed, "contact")
        .expect("opens");
    assert_eq!(found, "ops@acme.example");
}
