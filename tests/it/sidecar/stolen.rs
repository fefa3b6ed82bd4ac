//! What is stolen from somebody or prepared for somebody, each tried many times: a way back in
//! another browser, a code that is not Salesforce's, a session that somebody else knows.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::header::{COOKIE, LOCATION};
use secrecy::SecretString;
use url::Url;
use vcc_link::domain::authorization::{AuthorizationFault, Stage};
use vcc_link::domain::link::{Actor, LinkStatus};
use vcc_link::http::sidecar::session::Role;
use vcc_link::linking::{Back, Begin, LoginChoice};

use super::forgery::{MANY, damaged};
use super::world::{API_USER, Browser, World, browser_of};

/// Begins a login of `acme` in this session; gives where the browser is to go.
async fn begin(world: &World, browser: &Browser) -> Url {
    let begin = Begin {
        account: "acme".parse().expect("an account"),
        choice: LoginChoice::Production,
        session: browser.id.clone(),
        actor: Actor::Admin("ann".to_owned()),
        give_up_first: false,
    };
    world.linking.begin(begin).await.expect("begun").1
}

/// Whether `acme` is linked.
async fn is_linked(world: &World) -> bool {
    let account = "acme".parse().expect("an account");
    let link = world.linking.link(&account).await.expect("read");
    link.status == LinkStatus::Linked
}

#[tokio::test]
async fn no_other_browser_takes_a_way_back() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(6);
    let browser = world.browser("acme", Role::Admin).await;
    let others = [
        world.browser("acme", Role::Admin).await,
        world.browser("acme", Role::Viewer).await,
        world.browser("beta", Role::Admin).await,
    ];
    let url = begin(&world, &browser).await;
    let back = world.log_in(url.as_str(), API_USER).await;
    let (name, sealed) = browser.cookie.split_once('=').expect("a value");
    for n in 0..MANY {
        let request = world.client.get(back.clone());
        let (request, status) = match n % 6 {
            0 => (request, 403),
            1 => {
                let cookie = format!("{name}={}", damaged(&mut rng, sealed));
                (request.header(COOKIE, cookie), 403)
            }
            // The right browser with another state, or without one.
            2 => {
                let state = back.query_pairs().find(|(key, _)| key == "state");
                let state = damaged(&mut rng, &state.expect("a state").1);
                let mut forged = back.clone();
                let mut query = forged.query_pairs_mut();
                query.clear().append_pair("code", "aPrx");
                query.append_pair("state", &state).finish();
                drop(query);
                (browser.reads(world.client.get(forged)), 404)
            }
            other => (others[other - 3].reads(request), 404),
        };
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{}", n % 6);
    }
    assert!(!is_linked(&world).await);
    let answer = browser.reads(world.client.get(back)).send().await;
    let answer = answer.expect("an answer");
    let to = answer.headers()[LOCATION].to_str().expect("text");
    assert!(to.starts_with("/authorizations/"), "{to}");
    assert!(is_linked(&world).await, "the right one does");
    world.stop().await;
}

#[tokio::test]
async fn no_code_is_taken_that_is_not_salesforces() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(7);
    let browser = world.browser("acme", Role::Admin).await;
    for n in 0..MANY {
        let url = begin(&world, &browser).await;
        let state = url.query_pairs().find(|(key, _)| key == "state");
        let state = SecretString::from(state.expect("a state").1.into_owned());
        // Made up; and now and then that of another login of ours, for which the verifier is wrong.
        let (code, fault) = if n % 500 == 0 {
            let other = begin(&world, &browser).await;
            let back = world.log_in(other.as_str(), API_USER).await;
            let code = back.query_pairs().find(|(key, _)| key == "code");
            let code = code.expect("a code").1.into_owned();
            (code, AuthorizationFault::OurCredentials)
        } else {
            let code = format!("aPrx{:032x}", rng.random::<u128>());
            (code, AuthorizationFault::CodeRefused)
        };
        let back = Back::Code(SecretString::from(code));
        let taken = world.linking.returned(&state, &browser.id, back).await;
        let taken = taken.expect("told");
        assert_eq!(
            (taken.stage, taken.fault),
            (Stage::Failed, Some(fault)),
            "{n}"
        );
    }
    assert!(!is_linked(&world).await);
    let url = begin(&world, &browser).await;
    let back = world.log_in(url.as_str(), API_USER).await;
    let answer = browser.reads(world.client.get(back)).send().await;
    assert_eq!(answer.expect("an answer").status(), 303);
    assert!(is_linked(&world).await, "its own code is taken");
    world.stop().await;
}

#[tokio::test]
async fn no_session_is_one_that_somebody_prepared() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(8);
    let prepared = world.browser("acme", Role::Admin).await;
    let (name, _) = prepared.cookie.split_once('=').expect("a value");
    let mut known: BTreeSet<String> = [prepared.id.clone(), prepared.csrf.clone()].into();
    for n in 0..MANY {
        let token = world.token("acme", Role::Admin);
        let chosen = format!("{:032x}", rng.random::<u128>());
        let cookie = match n % 3 {
            0 => prepared.cookie.clone(),
            1 => format!("{name}={chosen}"),
            _ => format!("{name}={chosen}; {}", prepared.cookie),
        };
        let form = [
            ("token", token.as_str()),
            ("id", &chosen),
            ("csrf", &prepared.csrf),
        ];
        let request = world.client.post(format!("{}/enter", world.base));
        let answer = request.header(COOKIE, cookie).form(&form).send().await;
        let entered = browser_of(&answer.expect("an answer"));
        assert!(known.insert(entered.id), "{n}");
        assert!(known.insert(entered.csrf), "{n}");
        assert!(!known.contains(&chosen), "{n}");
    }
    world.stop().await;
}
