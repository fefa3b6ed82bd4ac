//! Sealed values of every kind, and the keys that seal them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vcc_link::crypto::{self, Context, Key};
use vcc_link::domain::ids::{Generation, Revision, TokenSequence};
use vcc_link::sealing::Sealer;
use vcc_link::sealing::rotation::{Counts, Rotation};
use vcc_link::store::inbox::{IngestBatch, IngestCall, Partition, QuarantineRow};
use vcc_link::store::links::{NewLink, RefreshClaim, RefreshResult, RefreshWish};
use vcc_link::store::rings::{BodyKind, HEAD, Place, Replacement, SealedKind, SealedRow};
use vcc_link::store::{Fence, Sealed, Store, Written};

use super::Harness;
use super::authorizations::begun;
use super::contacts::{add, add_sealed, contact_id};
use super::fixture::*;

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

/// Five values of each kind, and of each kind but one the events that tell of links.
async fn fill(fixture: &Fixture) {
    for n in 0..5 {
        fixture.link(&format!("account-{n}")).await;
        let call = format!("call-{n}");
        fixture.append(vec![ended("account-0", &call, 0)]).await;
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
    for kind in SealedKind::ALL {
        let heads = all(&*fixture.store, kind, b"").await;
        assert_eq!(heads.len(), 5, "{kind:?}");
        assert!(heads.iter().all(|row| row.sealed.is_none()), "{kind:?}");
        let others = all(&*fixture.store, kind, b"?").await;
        for (head, row) in heads.iter().zip(&others) {
            assert_eq!(head.place, row.place);
            let sealed = &row.sealed.as_ref().expect("begins otherwise").0;
            assert_eq!(head.head, sealed[..sealed.len().min(HEAD)]);
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
    for kind in SealedKind::ALL {
        let rows = all(&*fixture.store, kind, b"?").await;
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
        assert_eq!(all(&*fixture.store, kind, b"?").await, wanted);
    }
}

/// Who writes while the keys are rotated, by the old key, as a process does that has its settings
/// still.
struct Writer {
    store: Arc<dyn Store>,
    sealer: Sealer,
    fence: Fence,
}

/// Rounds of a writer.
const ROUNDS: i32 = 60;

/// What a value says.
type Said = (i32, String);

impl Writer {
    /// A call's body, which says which revision it is of.
    fn ended(&self, call: &str, revision: i32) -> IngestCall {
        let mut row = ended("acme", call, revision);
        let context = body_of(call);
        let end = row.ended.as_mut().expect("an end");
        end.body = self.sealer.seal(&context, &(revision, call.to_owned()));
        row
    }

    /// Tokens, which say where they are in their sequence.
    fn tokens(&self, sequence: i64) -> Sealed {
        self.sealer.seal(&tokens_of(sequence), &sequence)
    }

    /// A call more each round, and a revision of one before; a refresh of the tokens.
    async fn write(&self) {
        for round in 0..ROUNDS {
            let calls = vec![
                self.ended(&format!("call-{round}"), 0),
                self.ended(&format!("call-{}", round / 2), round + 1),
            ];
            // One after the other, so that the revision finds its call.
            for call in calls {
                let batch = IngestBatch {
                    calls: vec![call],
                    ..IngestBatch::default()
                };
                self.store.append(&batch).await.expect("append");
            }
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

fn body_of(call: &str) -> Context {
    Context::Body {
        call: call_id("acme", call),
        kind: BodyKind::Ended.as_str(),
    }
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
    let mut writer = Writer {
        store: Arc::clone(&fixture.store),
        sealer: sealer(&[&old, &new]),
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
    let rounds = u64::try_from(ROUNDS).expect("few");
    let wanted = Counts::from([
        (SealedKind::Tokens, 1),
        (SealedKind::Bodies, rounds),
        (SealedKind::Outbox, 1),
        (SealedKind::Contacts, 1),
    ]);
    assert_eq!(census.keys, BTreeMap::from([("new".to_owned(), wanted)]));
    assert!(census.unreadable.is_empty());
    everything_stands(&*fixture.store, &sealer(&[&new])).await;
}

/// The last that was written stands in each place, and opens.
async fn everything_stands(store: &dyn Store, sealer: &Sealer) {
    for row in all(store, SealedKind::Bodies, b"?").await {
        let Place::Body { call, .. } = &row.place else {
            panic!("{row:?}");
        };
        let call = call.interaction.as_str();
        let number: i32 = call.trim_start_matches("call-").parse().expect("a number");
        let sealed = row.sealed.expect("read");
        let said: Said = sealer.open(&body_of(call), &sealed, "body").expect("opens");
        // The later of the two rounds that revised it.
        let last = 2 * number + 1;
        let revision = if last < ROUNDS {
            last + 1
        } else if last - 1 < ROUNDS {
            last
        } else {
            0
        };
        assert_eq!(said, (Revision(revision).0, call.to_owned()));
    }
    let tokens = all(store, SealedKind::Tokens, b"?").await.remove(0);
    let sequence = i64::from(ROUNDS) + 1;
    let sealed = tokens.sealed.expect("read");
    let found: i64 = sealer
        .open(&tokens_of(sequence), &sealed, "token pair")
        .expect("opens");
    assert_eq!(found, sequence);
    let contact = all(store, SealedKind::Contacts, b"?").await.remove(0);
    let sealed = contact.sealed.expect("read");
    let found: String = sealer
        .open(&contact_of("ops"), &sealed, "contact")
        .expect("opens");
    assert_eq!(found, "ops@acme.example");
}
