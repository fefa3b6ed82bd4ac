//! The way back by the browser, however long Salesforce takes.

use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::LOCATION;
use salesforce_simulator::Rule;
use serde_json::{Value, json};
use vcc_link::http::sidecar::session::Role;

use super::world::{API_USER, World};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_page_follows_a_login_that_takes_longer_than_an_answer_may() {
    let world = World::start().await;
    let browser = world.browser("acme", Role::Admin).await;
    let wish = json!({ "login": "production" });
    let begin = world
        .api(Method::POST, "acme", "authorizations")
        .json(&wish);
    let begun = browser.changes(begin).send().await.expect("an answer");
    let begun: Value = begun.json().await.expect("JSON");
    let authorize = begun["authorizeUrl"].as_str().expect("an address");
    let back = world.log_in(authorize, API_USER).await;
    let slow = json!({"kind": "token", "times": 1, "action": {"type": "delay", "ms": 3000}});
    let slow: Rule = serde_json::from_value(slow).expect("a rule");
    world.simulator.control().add_fault(slow);

    let asked = Instant::now();
    let answer = browser.reads(world.client.get(back)).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 303);
    assert!(asked.elapsed() < Duration::from_secs(3), "it waited");
    let at = answer.headers()[LOCATION]
        .to_str()
        .expect("text")
        .to_owned();
    let id = begun["id"].as_str().expect("an id");
    assert_eq!(at, format!("/authorizations/{id}?returned=yes"));
    let page = world.client.get(format!("{}{at}", world.base));
    let page = browser.reads(page).send().await.expect("an answer");
    let page = page.text().await.expect("a page");
    assert!(
        page.contains("Salesforce is asked who the API user is"),
        "{page}"
    );

    let path = format!("authorizations/{id}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let progress = browser.reads(world.api(Method::GET, "acme", &path));
        let progress = progress.send().await.expect("an answer");
        let progress: Value = progress.json().await.expect("JSON");
        if progress["stage"] == "linked" {
            break;
        }
        assert!(Instant::now() < deadline, "{progress}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.stop().await;
}
