//! What the API does for those who may use it.

use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use vcc_link::http::sidecar::Config;
use vcc_link::http::sidecar::session::Role;
use vcc_link::linking::Back;

use super::world::{API_USER, Browser, PERSON, SHARED_KEY, World, heard, listen};

/// Begins a login and takes it to Salesforce and back; gives its id.
pub(super) async fn come_back(world: &World, browser: &Browser, username: &str) -> String {
    let wish = json!({ "login": "production" });
    let request = world
        .api(Method::POST, "acme", "authorizations")
        .json(&wish);
    let answer = browser.changes(request).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let begun: Value = answer.json().await.expect("JSON");
    let authorize = begun["authorizeUrl"].as_str().expect("an address");
    let back = world.log_in(authorize, username).await;
    let parameter = |name: &str| {
        let found = back.query_pairs().find(|(key, _)| key == name);
        SecretString::from(found.expect(name).1.into_owned())
    };
    let (state, code) = (parameter("state"), Back::Code(parameter("code")));
    let returned = world.linking.returned(&state, &browser.id, code).await;
    let returned = returned.expect("returned");
    assert_eq!(returned.id.as_str(), begun["id"]);
    returned.id.to_string()
}

/// An answer's status and JSON.
pub(super) async fn told(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn an_admin_links_looks_and_unlinks() {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    let link = || world.api(Method::GET, "acme", "link");
    let (_, before) = told(browser.reads(link())).await;
    assert_eq!(before["status"], "unlinked");

    let id = come_back(&world, &browser, API_USER).await;
    let path = format!("authorizations/{id}");
    let (_, progress) = told(browser.reads(world.api(Method::GET, "acme", &path))).await;
    assert_eq!(
        (&progress["stage"], &progress["fault"]),
        (&json!("linked"), &Value::Null)
    );
    let answer = browser.reads(link()).send().await.expect("an answer");
    let etag = answer.headers()["etag"].clone();
    let linked: Value = answer.json().await.expect("JSON");
    assert_eq!(linked["status"], "linked");
    assert_eq!(linked["org"]["username"], API_USER);
    let same = browser.reads(link()).header("if-none-match", &etag);
    assert_eq!(same.send().await.expect("an answer").status(), 304);
    let (_, slots) = told(browser.reads(world.api(Method::GET, "acme", "slots"))).await;
    assert_eq!(slots, json!({ "used": 1, "of": 5, "accounts": ["acme"] }));

    let unlink = || browser.changes(world.api(Method::DELETE, "acme", "link"));
    assert_eq!(told(unlink()).await.0, 428);
    let stale = unlink().header("if-match", "\"0-0\"");
    assert_eq!(told(stale).await.0, 412);
    let (status, unlinked) = told(unlink().header("if-match", &etag)).await;
    assert_eq!(
        (status.as_u16(), &unlinked["status"]),
        (200, &json!("unlinked"))
    );

    let (_, history) = told(browser.reads(world.api(Method::GET, "acme", "history?limit=1"))).await;
    let change = &history["changes"][0];
    assert_eq!(
        (&change["by"], &change["name"]),
        (&json!("admin"), &json!("ann@vcc.example"))
    );
    assert_eq!(
        (&change["reason"], &history["next"]),
        (&json!("user_unlinked"), &json!(2))
    );
    let (_, rest) = told(browser.reads(world.api(Method::GET, "acme", "history?before=2"))).await;
    assert_eq!(rest["changes"][0]["reason"], "user_linked");
    assert_eq!(rest["next"], Value::Null);
    world.stop().await;
}

#[tokio::test]
async fn what_looks_wrong_is_asked_and_may_be_given_up() {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    for (answer, stage, status) in [
        ("cancel", "failed", "unlinked"),
        ("confirm", "linked", "linked"),
    ] {
        let id = come_back(&world, &browser, PERSON).await;
        let path = format!("authorizations/{id}");
        let (_, progress) = told(browser.reads(world.api(Method::GET, "acme", &path))).await;
        assert_eq!(progress["doubts"], json!(["not_api_only"]));
        let path = format!("authorizations/{id}/{answer}");
        let request = browser.changes(world.api(Method::POST, "acme", &path));
        let (_, progress) = told(request).await;
        assert_eq!(progress["stage"], stage);
        let (_, link) = told(browser.reads(world.api(Method::GET, "acme", "link"))).await;
        assert_eq!(link["status"], status);
    }
    world.stop().await;
}

#[tokio::test]
async fn no_secret_is_logged_or_told() {
    listen();
    let world = World::start().await;
    let token = world.token("acme", Role::Admin);
    let answer = world.enter(&token).await;
    let browser = super::world::browser_of(&answer);
    world.enter(&token).await;
    let id = come_back(&world, &browser, PERSON).await;
    let path = format!("authorizations/{id}/confirm");
    let request = browser.changes(world.api(Method::POST, "acme", &path));
    let (_, confirmed) = told(request).await;
    let wrong = world
        .api(Method::GET, "acme", "link")
        .bearer_auth("canary-bearer");
    let (_, refused) = told(wrong).await;
    let text = format!("{}{confirmed}{refused}", heard());
    let (_, sealed) = browser.cookie.split_once('=').expect("a value");
    for secret in [
        &token,
        sealed,
        &browser.csrf,
        "canary-bearer",
        "ann@vcc.example",
        // What the simulator's codes, refresh tokens and access tokens begin with or hold.
        "aPrx",
        "5Aep861",
        "00000001!",
        SHARED_KEY,
        "sim-client-secret",
    ] {
        assert!(!text.contains(secret), "{secret} is in:\n{text}");
    }
    assert!(
        text.contains("linked by an admin"),
        "the log is heard: {text}"
    );
    world.stop().await;
}

#[tokio::test]
async fn an_org_is_asked_anew_and_never_too_often() {
    let few = |config| Config {
        questions_per_minute: 3,
        ..config
    };
    let world = World::with(few, None).await;
    let browser = world.browser("acme", Role::Admin).await;
    let read = || told(browser.reads(world.api(Method::GET, "acme", "preflight")));
    let ask = || told(browser.changes(world.api(Method::POST, "acme", "preflight")));
    assert_eq!(ask().await.0, 409, "there is nobody to ask");
    assert_eq!(read().await.1["askedAt"], Value::Null);
    come_back(&world, &browser, API_USER).await;
    let (_, before) = read().await;
    assert_eq!(before["missing"], json!([]));

    let less = json!({ "edit_tasks": false });
    let less = less.as_object().expect("an object").clone();
    let patched = world.simulator.control().patch_user(API_USER, less);
    patched.expect("patched");
    let (status, after) = ask().await;
    assert_eq!(
        (status.as_u16(), &after["missing"]),
        (200, &json!(["create Task"]))
    );
    assert_ne!(after["askedAt"], before["askedAt"]);
    let checks = after["checks"].as_array().expect("checks");
    let lacking = checks.iter().find(|check| check["name"] == "create Task");
    let lacking = lacking.expect("it is told");
    assert_eq!(
        (&lacking["found"], &lacking["needed"]),
        (&json!("no"), &json!(true))
    );
    let address = lacking["address"].as_str().expect("an address");
    assert!(
        address.ends_with("/lightning/setup/PermSets/home"),
        "{address}"
    );
    let (_, link) = told(browser.reads(world.api(Method::GET, "acme", "link"))).await;
    assert_eq!(link["health"], "at_risk");

    let refused = loop {
        let answer = browser.changes(world.api(Method::POST, "acme", "preflight"));
        let answer = answer.send().await.expect("an answer");
        if answer.status() != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "60");
    world.stop().await;
}

#[tokio::test]
async fn an_access_token_that_has_run_out_is_wanted_anew_from_its_owner() {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    come_back(&world, &browser, API_USER).await;
    let expired = world.simulator.control().expire_sessions(None);
    expired.expect("expired");
    let ask = browser.changes(world.api(Method::POST, "acme", "preflight"));
    let (status, problem) = told(ask).await;
    assert_eq!(
        (status.as_u16(), &problem["type"]),
        (502, &json!("urn:vcc-link:problem:salesforce"))
    );
    let account = "acme".parse().expect("an account");
    let shard = world.linking.link(&account).await.expect("a link").shard;
    let long_ago = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1);
    let stale = world.store.stale_grants(&[shard], long_ago, 9).await;
    assert_eq!(stale.expect("stale_grants").len(), 1);
    world.stop().await;
}
