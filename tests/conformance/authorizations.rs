//! The sidecar's room.

use std::collections::BTreeSet;
use std::sync::Arc;

use vcc_link::domain::authorization::{Authorization, AuthorizationFault, Stage};
use vcc_link::domain::ids::{Generation, Sequence};
use vcc_link::domain::link::{Actor, Environment, Health, LinkReason, LinkStatus};
use vcc_link::store::authorizations::{Happened, RedeemClaim};
use vcc_link::store::links::{LinkWrite, NewLink};
use vcc_link::store::{Sealed, Written};

use super::Harness;
use super::fixture::*;

/// Begun at 0, to be over at 900.
pub(crate) fn begun(id: &str) -> Authorization {
    Authorization {
        id: id.parse().expect("an id"),
        account: account_id("acme"),
        session: "session".to_owned(),
        stage: Stage::Begun,
        generation: Generation(0),
        environment: Environment::Production,
        login_url: "https://login.salesforce.com".to_owned(),
        actor: Actor::Admin("ann".to_owned()),
        invitation: None,
        begun_at: at(0),
        expires_at: at(900),
        org: None,
        doubts: BTreeSet::new(),
        fault: None,
    }
}

fn secret(text: &str) -> Sealed {
    Sealed(text.as_bytes().to_vec())
}

/// Of many callbacks of one authorization one redeems its code; none from elsewhere, none too late.
pub(crate) async fn a_code_is_redeemed_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let (store, other) = (&fixture.store, harness.other().await);
    let begun = begun("one");
    for _ in 0..2 {
        let noted = store.begin_authorization(&begun, &secret("verifier")).await;
        noted.expect("begun");
    }
    let known = store.authorization(&begun.id).await.expect("read");
    assert_eq!(known.as_ref(), Some(&begun));
    let last = async |session| store.last_authorization(session).await.expect("read");
    assert_eq!(last("session").await.as_ref(), Some(&begun));
    assert_eq!(last("another's").await, None);
    let claim = async |session, now| {
        let claim = store.claim_redeem(&begun.id, session, at(now)).await;
        claim.expect("claim_redeem")
    };
    assert_eq!(claim("another's", 10).await, RedeemClaim::Unknown);
    assert_eq!(claim("session", 900).await, RedeemClaim::Unknown);

    let (here, there) = tokio::join!(
        store.claim_redeem(&begun.id, "session", at(10)),
        other.claim_redeem(&begun.id, "session", at(10)),
    );
    let redeeming = Authorization {
        stage: Stage::Redeeming,
        ..begun.clone()
    };
    let granted = RedeemClaim::Granted(Box::new(redeeming.clone()), secret("verifier"));
    let used = RedeemClaim::Used(Box::new(redeeming));
    let claims = [here.expect("a claim"), there.expect("a claim")];
    assert!(
        claims.contains(&granted) && claims.contains(&used),
        "{claims:?}"
    );
}

/// An authorization goes on from the stage that its mover saw, and ends in the link's transaction.
pub(crate) async fn an_authorization_ends_with_its_link(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &fixture.store;
    let begun = begun("one");
    let noted = store.begin_authorization(&begun, &secret("verifier")).await;
    noted.expect("begun");
    let link = NewLink {
        authorization: Some(begun.id.clone()),
        ..new_link("acme", ORG, Sequence(0))
    };
    let early = store.save_link(&link, 5).await.expect("save_link");
    assert!(matches!(early, LinkWrite::Changed(_)), "it has no tokens");
    assert_eq!(fixture.link_of("acme").await.status, LinkStatus::Unlinked);

    let redeemed = Authorization {
        stage: Stage::Redeemed,
        org: Some(link.org.clone()),
        ..begun.clone()
    };
    let tokens = secret("tokens");
    for (from, expected) in [
        (Stage::Redeeming, Written::Stale),
        (Stage::Begun, Written::Yes),
        (Stage::Begun, Written::Stale),
    ] {
        let moved = store
            .move_authorization(from, &redeemed, Some(&tokens))
            .await;
        assert_eq!(moved.expect("moved"), expected, "{from:?}");
    }
    let kept = store.authorization_secret(&begun.id).await.expect("read");
    assert_eq!(kept, Some(tokens));

    let written = store.save_link(&link, 5).await.expect("save_link");
    assert!(matches!(written, LinkWrite::Stored(_)), "{written:?}");
    let last = store.authorization(&begun.id).await.expect("read");
    assert_eq!(last.expect("known").stage, Stage::Linked);
    let gone = store.authorization_secret(&begun.id).await.expect("read");
    assert_eq!(gone, None, "the link has the tokens");
    let loose = store.loose_authorizations(at(10_000), 9).await;
    assert_eq!(loose.expect("loose"), []);
}

/// What is left lying about is found until it is closed, and then forgotten.
pub(crate) async fn loose_authorizations_are_found_until_closed(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let store = &fixture.store;
    for id in ["late", "failed", "open"] {
        let mut begun = begun(id);
        if id == "open" {
            begun.expires_at = at(5000);
        }
        let noted = store.begin_authorization(&begun, &secret(id)).await;
        noted.expect("begun");
    }
    let failed = Authorization {
        stage: Stage::Failed,
        fault: Some(AuthorizationFault::Cancelled),
        ..begun("failed")
    };
    let moved = store.move_authorization(Stage::Begun, &failed, None).await;
    assert_eq!(moved.expect("moved"), Written::Yes);
    let loose = async |now| -> Vec<String> {
        let loose = store.loose_authorizations(at(now), 9).await;
        let loose = loose.expect("loose").into_iter();
        loose.map(|(found, _)| found.id.to_string()).collect()
    };
    assert_eq!(loose(899).await, ["failed"]);
    assert_eq!(loose(900).await.len(), 2);
    store.close_authorization(&failed).await.expect("closed");
    assert_eq!(loose(900).await, ["late"]);
    let forgotten = store.forget_authorizations(at(1)).await;
    assert_eq!(
        forgotten.expect("forgotten"),
        1,
        "the others are not closed"
    );
    let gone = store.authorization(&failed.id).await.expect("read");
    assert_eq!(gone, None);
}

/// Of a portal's token that comes many times, one is taken; one that no longer holds is forgotten.
pub(crate) async fn a_portals_token_is_taken_once(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    let (store, other) = (&fixture.store, harness.other().await);
    let (here, there) = tokio::join!(
        store.enter_once("one", at(300), at(0)),
        other.enter_once("one", at(300), at(0)),
    );
    let taken = [here.expect("answered"), there.expect("answered")];
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    let again = async |id, now| {
        store
            .enter_once(id, at(300), at(now))
            .await
            .expect("answered")
    };
    assert!(!again("one", 300).await, "it holds until then");
    assert!(again("another", 0).await);
    assert!(again("one", 301).await, "it was forgotten");
}

/// Every published change of a link is in its history.
pub(crate) async fn changes_of_a_link_are_its_history(harness: Arc<dyn Harness>) {
    let fixture = Fixture::new(&*harness).await;
    fixture.link("acme").await;
    fixture.link("other").await;
    fixture
        .change("acme", LinkStatus::Linked, Health::Broken)
        .await;
    fixture
        .change("acme", LinkStatus::Unlinked, Health::Healthy)
        .await;
    let account = account_id("acme");
    let history = async |before, limit| {
        let history = fixture.store.history(&account, before, limit).await;
        history.expect("history")
    };
    let all = history(None, 9).await;
    let linked = (LinkStatus::Linked, Health::Healthy);
    let broken = (LinkStatus::Linked, Health::Broken);
    let unlinked = (LinkStatus::Unlinked, Health::Healthy);
    let changes: Vec<_> = all.iter().map(|line| (line.from, line.to)).collect();
    assert_eq!(
        changes,
        [(broken, unlinked), (linked, broken), (unlinked, linked)]
    );
    let first = all.last().expect("three");
    assert_eq!(first.actor, Actor::Operator("ann".to_owned()));
    let linked = Happened::Link(LinkReason::UserLinked);
    assert_eq!((first.at, first.what), (at(0), linked));
    assert_eq!(
        (first.line, first.sequence, first.generation),
        (1, Sequence(1), Generation(1))
    );
    assert_eq!(history(Some(3), 1).await, [all[1].clone()]);
}
