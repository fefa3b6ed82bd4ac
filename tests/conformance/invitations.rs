//! The room of invitations.

use std::sync::Arc;

use vcc_link::domain::authorization::{Authorization, AuthorizationFault, Stage};
use vcc_link::domain::ids::Sequence;
use vcc_link::domain::invitation::{Fate, Invitation, Step};
use vcc_link::domain::link::{Actor, LinkStatus};
use vcc_link::store::authorizations::Happened;
use vcc_link::store::invitations::InviteWrite;
use vcc_link::store::links::{LinkWrite, NewLink};
use vcc_link::store::{Sealed, Store, Written};

use super::Harness;
use super::authorizations::begun;
use super::fixture::*;

/// By ann at 0, to be over at 1000.
fn invitation(id: &str) -> Invitation {
    let who = (account_id("acme"), Actor::Admin("ann".to_owned()));
    let lasts = std::time::Duration::from_secs(1000);
    Invitation::new(id.parse().expect("an id"), who, at(0), lasts)
}

async fn invite(store: &dyn Store, id: &str) -> InviteWrite {
    store.invite(&invitation(id), 2).await.expect("invite")
}

/// A login by an invitation, as it is once its tokens are here; to be confirmed until 5000.
async fn logged_in(store: &dyn Store, id: &str, invitation: &str) -> Authorization {
    let begun = Authorization {
        invitation: invitation.parse().ok(),
        ..begun(id)
    };
    let secret = Sealed(id.as_bytes().to_vec());
    let noted = store.begin_authorization(&begun, &secret).await;
    noted.expect("begun");
    let redeemed = Authorization {
        stage: Stage::Redeemed,
        ..begun
    };
    let moved = store
        .move_authorization(Stage::Begun, &redeemed, None)
        .await;
    assert_eq!(moved.expect("moved"), Written::Yes);
    Authorization {
        expires_at: at(5000),
        ..redeemed
    }
}

/// The steps in the account's history, the first first, each with its actor's name.
async fn steps(store: &dyn Store) -> Vec<(Step, String)> {
    let lines = store.history(&account_id("acme"), None, 99).await;
    let lines = lines.expect("history").into_iter().rev();
    lines
        .filter_map(|line| match (line.what, line.actor) {
            (Happened::Invitation(step), Actor::Admin(name)) => Some((step, name)),
            _ => None,
        })
        .collect()
}

fn step(step: Step, name: &str) -> (Step, String) {
    (step, name.to_owned())
}

/// So many are open at a time, however they are asked for; one that is over makes room.
pub(crate) async fn only_so_many_invitations_are_open(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let (store, other) = (&fixture.store, harness.other().await);
    assert_eq!(invite(&**store, "one").await, InviteWrite::Stored);
    assert_eq!(invite(&**store, "one").await, InviteWrite::Stored, "again");
    let (here, there) = tokio::join!(invite(&**store, "two"), invite(&*other, "three"));
    assert_ne!(here, there, "one of them was too many");
    let late = Invitation {
        invited_at: at(1000),
        expires_at: at(2000),
        ..invitation("late")
    };
    let stored = store.invite(&late, 2).await.expect("invite");
    assert_eq!(stored, InviteWrite::Stored, "the others have expired");
    let all = store.invitations(&account_id("acme"), 9).await;
    let all = all.expect("invitations");
    assert_eq!((all.len(), &all[0]), (3, &late));
    let others = store.invitations(&account_id("other"), 9).await;
    assert_eq!(others.expect("invitations"), []);
    assert_eq!(store.forget_invitations(at(1001)).await.expect("done"), 2);
    let gone = store.invitation(&invitation("one").id).await;
    assert_eq!(gone.expect("read"), None);
    assert_eq!(steps(&**store).await.len(), 3, "each once");
}

/// Only its own account revokes an invitation, once; no login by it counts from then on.
pub(crate) async fn a_revoked_invitation_is_not_used(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &fixture.store;
    invite(&**store, "one").await;
    let complete = logged_in(&**store, "login", "one").await;
    let (id, bob) = (invitation("one").id, Actor::Admin("bob".to_owned()));
    let revoke = async |account: &str| {
        let account = account_id(account);
        let revoked = store.revoke_invitation(&account, &id, &bob, at(5)).await;
        revoked.expect("revoke")
    };
    assert_eq!(revoke("other").await, None);
    for _ in 0..2 {
        assert_eq!(revoke("acme").await.expect("known").fate, Fate::Revoked);
    }
    for _ in 0..2 {
        let settled = store.use_invitation(&complete, at(6)).await;
        let settled = settled.expect("settled").expect("known");
        assert_eq!(settled.stage, Stage::Failed);
        assert_eq!(settled.fault, Some(AuthorizationFault::InvitationOver));
    }
    let loose = store.loose_authorizations(at(6), 9).await.expect("loose");
    assert!(loose[0].1.is_some(), "its tokens are there to be revoked");
    let waiting = store.to_confirm(&account_id("acme"), at(6)).await;
    assert_eq!(waiting.expect("read"), []);
    let told = [step(Step::Invited, "ann"), step(Step::Revoked, "bob")];
    assert_eq!(steps(&**store).await, told);
}

/// Of two logins by one invitation, and of a login and a revocation, one comes first.
pub(crate) async fn an_invitation_is_used_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let (store, other) = (&fixture.store, harness.other().await);
    invite(&**store, "one").await;
    let one = logged_in(&**store, "login-1", "one").await;
    let two = logged_in(&**store, "login-2", "one").await;
    let (here, there) = tokio::join!(
        store.use_invitation(&one, at(5)),
        other.use_invitation(&two, at(5)),
    );
    let settled = [here, there].map(|settled| settled.expect("settled").expect("known").stage);
    assert!(settled.contains(&Stage::ToConfirm), "{settled:?}");
    assert!(settled.contains(&Stage::Failed), "{settled:?}");

    invite(&**store, "two").await;
    let three = logged_in(&**store, "login-3", "two").await;
    let (account, id) = (account_id("acme"), invitation("two").id);
    let bob = Actor::Admin("bob".to_owned());
    let (used, revoked) = tokio::join!(
        store.use_invitation(&three, at(5)),
        other.revoke_invitation(&account, &id, &bob, at(5)),
    );
    let used = used.expect("settled").expect("known").stage == Stage::ToConfirm;
    let fate = revoked.expect("revoked").expect("known").fate;
    assert_eq!(fate, if used { Fate::Used } else { Fate::Revoked });
}

/// A login by invitation waits for the account's admin, and becomes the link, or does not.
pub(crate) async fn a_login_by_invitation_waits_for_an_admin(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &fixture.store;
    let (account, bob) = (account_id("acme"), Actor::Admin("bob".to_owned()));
    for id in ["one", "two"] {
        invite(&**store, id).await;
        let complete = logged_in(&**store, &format!("login-{id}"), id).await;
        store.use_invitation(&complete, at(5)).await.expect("used");
    }
    let waiting = async |now| {
        let waiting = store.to_confirm(&account, at(now)).await;
        waiting.expect("read")
    };
    assert_eq!(waiting(4999).await.len(), 2, "longer than the login lasted");
    assert_eq!(waiting(5000).await, []);
    let loose = async |now| store.loose_authorizations(at(now), 9).await.expect("loose");
    assert_eq!(loose(4999).await.len(), 0);

    let first = waiting(10).await.remove(0);
    let discarded = first.failed(AuthorizationFault::Discarded);
    for expected in [Written::Yes, Written::Stale] {
        let written = store.discard_login(&discarded, &bob, at(6)).await;
        assert_eq!(written.expect("written"), expected);
    }
    assert_eq!(loose(10).await.len(), 1, "its tokens are to be revoked");
    let second = waiting(10).await.remove(0);
    let link = NewLink {
        authorization: Some(second.id.clone()),
        ..new_link("acme", ORG, Sequence(0))
    };
    let written = store.save_link(&link, 5).await.expect("save_link");
    assert!(matches!(written, LinkWrite::Stored(_)), "{written:?}");
    assert_eq!(fixture.link_of("acme").await.status, LinkStatus::Linked);
    assert_eq!(waiting(10).await, []);
    let late = second.failed(AuthorizationFault::Discarded);
    let written = store.discard_login(&late, &bob, at(7)).await;
    assert_eq!(written.expect("written"), Written::Stale);

    let lines = store.history(&account, None, 99).await.expect("history");
    let numbers: Vec<i64> = lines.iter().rev().map(|line| line.line).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(lines[0].sequence, Sequence(1), "the link's own");
    assert_eq!(lines[1].what, Happened::Invitation(Step::Discarded));
    assert_eq!(
        (lines[1].from, lines[1].sequence),
        (lines[1].to, Sequence(0))
    );
    assert_eq!(steps(&**store).await[1], step(Step::Used, "ann"));
}
