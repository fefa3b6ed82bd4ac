//! What nobody can forge, each thing tried many times: none is accepted.

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use reqwest::header::{COOKIE, ORIGIN};
use secrecy::SecretString;
use serde_json::json;
use vcc_link::domain::authorization::{AuthorizationFault, Stage};
use vcc_link::domain::link::{Actor, LinkStatus};
use vcc_link::http::sidecar::session::Role;
use vcc_link::linking::{AuthorizationError, Back, Begin, LoginChoice};

use super::world::{API_USER, SHARED_KEY, World};

/// How often each is tried.
pub(super) const MANY: usize = 2_000;

/// A text with one character changed, cut or doubled.
pub(super) fn damaged(rng: &mut StdRng, text: &str) -> String {
    let place = rng.random_range(0..text.len());
    let mut bytes = text.as_bytes().to_vec();
    match rng.random_range(0..3) {
        0 => bytes.truncate(place),
        1 => bytes.insert(place, bytes[place]),
        _ => bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' },
    }
    String::from_utf8(bytes).expect("ASCII stays ASCII")
}

#[tokio::test]
async fn no_damaged_token_or_session_gets_in() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(1);
    let token = world.token("acme", Role::Admin);
    let browser = world.browser("acme", Role::Admin).await;
    let (name, sealed) = browser.cookie.split_once('=').expect("a value");
    for _ in 0..MANY {
        let forged = damaged(&mut rng, &token);
        assert_ne!(world.enter(&forged).await.status(), 303, "{forged}");
        let cookie = format!("{name}={}", damaged(&mut rng, sealed));
        let request = world
            .api(Method::GET, "acme", "link")
            .header(COOKIE, &cookie);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{cookie}");
    }
    assert_eq!(world.enter(&token).await.status(), 303, "whole, it gets in");
    world.stop().await;
}

#[tokio::test]
async fn no_token_with_another_claim_gets_in() {
    let world = World::start().await;
    let now = vcc_link::clock::now().timestamp();
    let good = json!({
        "iss": "https://portal.example", "aud": "vcc-link", "sub": "ann", "exp": now + 60,
        "account": "acme", "role": "admin", "jti": "0",
    });
    let sign = |claims: &serde_json::Value, key: &str| {
        let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        jsonwebtoken::encode(&header, claims, &key).expect("signed")
    };
    for (claim, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("another")),
        ("exp", json!(now - 60)),
        ("exp", json!(now + 3600)),
        ("nbf", json!(now + 3600)),
        ("role", json!("owner")),
        ("account", json!("no account!")),
        ("jti", json!("")),
        ("sub", json!("")),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        let answer = world.enter(&sign(&claims, SHARED_KEY)).await;
        assert_eq!(answer.status(), 403, "{claims}");
    }
    for claim in ["iss", "aud", "exp", "sub", "jti", "account", "role"] {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(claim);
        let answer = world.enter(&sign(&claims, SHARED_KEY)).await;
        assert_eq!(answer.status(), 403, "without {claim}");
    }
    assert_eq!(world.enter(&sign(&good, "another key")).await.status(), 403);
    let [head, claims, _] = sign(&good, SHARED_KEY)
        .split('.')
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .try_into()
        .expect("three parts");
    assert_eq!(
        world.enter(&format!("{head}.{claims}.")).await.status(),
        403
    );
    // {"alg":"none"}
    let none = format!("eyJhbGciOiJub25lIn0.{claims}.");
    assert_eq!(world.enter(&none).await.status(), 403);
    assert_eq!(world.enter(&sign(&good, SHARED_KEY)).await.status(), 303);
    world.stop().await;
}

#[tokio::test]
async fn no_change_comes_from_elsewhere() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(2);
    let browser = world.browser("acme", Role::Admin).await;
    let other = world.browser("acme", Role::Admin).await;
    let viewer = world.browser("acme", Role::Viewer).await;
    let begin = || {
        let wish = json!({ "login": "production" });
        world
            .api(Method::POST, "acme", "authorizations")
            .json(&wish)
    };
    for n in 0..MANY {
        let request = browser.reads(begin());
        let request = match n % 5 {
            0 => request,
            1 => request.header("x-csrf-token", damaged(&mut rng, &browser.csrf)),
            2 => request.header("x-csrf-token", &other.csrf),
            3 => browser
                .changes(begin())
                .header(ORIGIN, "https://evil.example"),
            _ => viewer.changes(begin()),
        };
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 403, "{}", n % 5);
        let form = &answer.headers()["content-type"];
        assert_eq!(form, "application/problem+json");
    }
    let answer = browser.changes(begin()).header(ORIGIN, &world.base);
    assert_eq!(answer.send().await.expect("an answer").status(), 201);
    world.stop().await;
}

#[tokio::test]
async fn a_foreign_account_is_as_one_that_does_not_exist() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(3);
    let browser = world.browser("acme", Role::Admin).await;
    let mut answers = std::collections::BTreeSet::new();
    for n in 0..MANY {
        let account = match n % 4 {
            0 => "beta".to_owned(),
            1 => format!("a{}", rng.random::<u64>()),
            2 => "acme%2f..%2fbeta".to_owned(),
            _ => "ACME".to_owned(),
        };
        let path = ["link", "slots", "history", "calls/1"][n % 4];
        let request = browser.reads(world.api(Method::GET, &account, path));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 403, "{account}");
        answers.insert(answer.text().await.expect("text"));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    world.stop().await;
}

#[tokio::test]
async fn no_host_but_salesforces_is_sent_to() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(4);
    let hosts = [
        "evil.example",
        "acme.my.salesforce.com.evil.example",
        "evil.example/acme.my.salesforce.com",
        "evil.example#.my.salesforce.com",
        "user@evil.example",
        "acme.my.salesforce.com@evil.example",
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "localhost",
        "salesforce.com.",
        "http://acme.my.salesforce.com",
        "javascript:alert(1)",
        "\\\\evil.example\\acme.my.salesforce.com",
    ];
    for n in 0..MANY {
        let typed = format!(
            "{}{}",
            hosts[n % hosts.len()],
            if n % 2 == 0 {
                String::new()
            } else {
                format!(":{}", rng.random_range(1..65_535_u16))
            }
        );
        let begin = Begin {
            account: "acme".parse().expect("an account"),
            choice: LoginChoice::MyDomain(typed.clone()),
            session: "s".to_owned(),
            actor: Actor::Admin("ann".to_owned()),
            give_up_first: false,
        };
        let begun = world.linking.begin(begin).await;
        assert!(
            matches!(begun, Err(AuthorizationError::NoSuchDomain)),
            "{typed}: {:?}",
            begun.map(|(_, url)| url)
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn no_way_back_is_taken_that_was_not_begun_here() {
    let world = World::start().await;
    let mut rng = StdRng::seed_from_u64(5);
    let browser = world.browser("acme", Role::Admin).await;
    let begin = || Begin {
        account: "acme".parse().expect("an account"),
        choice: LoginChoice::Production,
        session: browser.id.clone(),
        actor: Actor::Admin("ann".to_owned()),
        give_up_first: false,
    };
    let (_, url) = world.linking.begin(begin()).await.expect("begun");
    let back = world.log_in(url.as_str(), API_USER).await;
    let parameter = |name: &str| {
        let found = back.query_pairs().find(|(key, _)| key == name);
        found.expect(name).1.into_owned()
    };
    let (state, code) = (parameter("state"), parameter("code"));
    let returned = async |state: String, session: &str, code: &str| {
        let back = Back::Code(SecretString::from(code.to_owned()));
        world.linking.returned(&state.into(), session, back).await
    };
    for n in 0..MANY {
        let (state, session) = if n % 2 == 0 {
            (damaged(&mut rng, &state), browser.id.clone())
        } else {
            (state.clone(), damaged(&mut rng, &browser.id))
        };
        let taken = returned(state, &session, &code).await;
        assert!(matches!(taken, Err(AuthorizationError::Unknown)), "{n}");
    }
    // The right one, many times at once: its code is redeemed once.
    let many = (0..50).map(|_| returned(state.clone(), &browser.id, &code));
    let taken = join_all(many).await;
    assert!(taken.iter().all(Result::is_ok));
    let account = "acme".parse().expect("an account");
    let link = world.linking.link(&account).await.expect("read");
    assert_eq!((link.status, link.generation.0), (LinkStatus::Linked, 1));
    let again = returned(state, &browser.id, &code).await.expect("told");
    assert_eq!(
        again.stage,
        Stage::Linked,
        "a replay tells what became of it"
    );

    // A code that is not Salesforce's comes to nothing, and the link stays.
    let (begun, url) = world.linking.begin(begin()).await.expect("begun");
    let state = url.query_pairs().find(|(key, _)| key == "state");
    let state = state.expect("a state").1.into_owned();
    let forged = returned(state, &browser.id, "a-code-of-mine").await;
    let forged = forged.expect("told");
    assert_eq!((forged.id, forged.stage), (begun.id, Stage::Failed));
    assert_eq!(forged.fault, Some(AuthorizationFault::CodeRefused));
    let link = world.linking.link(&account).await.expect("read");
    assert_eq!((link.status, link.generation.0), (LinkStatus::Linked, 1));
    world.stop().await;
}
