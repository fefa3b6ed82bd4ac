//! Salesforce at its worst: each fault strikes while calls go out to both kinds of org.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::Call;
use super::world::{End, KNOWN, World};

const ACCOUNTS: [&str; 2] = ["acme", "beta"];

async fn linked(scenario: &str) -> World {
    let mut world = World::start(scenario).await;
    world.link("acme", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(2).await;
    world
}

/// Whatever becomes of a request that creates Tasks, there is one Task per call in the end.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_write_ends_in_one_task() {
    let mut world = linked("faults").await;
    let mut actions = vec![
        json!({"type": "commit_then_drop"}),
        json!({"type": "drop_before_commit"}),
        json!({"type": "commit_late", "ms": 2000}),
        json!({"type": "lock_rows"}),
        json!({"type": "html", "status": 200}),
        json!({"type": "html", "status": 503}),
        json!({"type": "html", "status": 503, "commit": true}),
        json!({"type": "truncated"}),
        json!({"type": "oversized", "bytes": 20_000_000}),
        json!({"type": "wrong_array_length"}),
        json!({"type": "bad_json"}),
    ];
    actions.push(json!({
        "type": "whole_chunk_failure", "statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "message": "a trigger",
    }));
    for action in actions {
        println!("{}", action["type"]);
        for org in ["Acme", "Beta"] {
            world.fault(json!({
                "id": org, "org": org, "kind": "collections", "times": 1, "action": action,
            }));
        }
        world.load(&ACCOUNTS, 5);
        world.settled().await;
    }
    world.finish().await;
}

/// A record that Salesforce fails on, always, takes none of its neighbours with it.
#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_always_fails_is_given_up_alone() {
    let mut world = linked("poisoned").await;
    let mut doomed = Vec::new();
    for account in ACCOUNTS {
        let call = Call::new(account, KNOWN[0]);
        world.fault(json!({
            "kind": "collections", "match": {"field": "CallObject", "contains": call.id},
            "action": {"type": "constant_500"},
        }));
        doomed.push(call);
    }
    for call in &doomed {
        world.end(call, 0, End::Dead("retries_exhausted"));
    }
    world.load(&ACCOUNTS, 20);
    world.finish().await;
}

/// Another host gets no token, whatever Salesforce answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_takes_no_token_to_another_host() {
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let location = format!("http://{}/", stranger.local_addr().expect("an address"));
    let mut world = linked("redirect").await;
    for org in ["Acme", "Beta"] {
        world.fault(json!({
            "org": org, "times": 3, "action": {"type": "redirect", "location": location},
        }));
    }
    world.load(&ACCOUNTS, 5);
    world.finish().await;
    let visit = tokio::time::timeout(Duration::from_millis(10), stranger.accept()).await;
    assert!(visit.is_err(), "somebody went to the other host");
}

/// Sessions end under load: each link's token is refreshed, and no refresh token used twice.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_are_renewed_once() {
    let mut world = linked("sessions").await;
    for _ in 0..5 {
        world.load(&ACCOUNTS, 5);
        world.control().expire_sessions(None).expect("expired");
        world.load(&ACCOUNTS, 5);
        world.settled().await;
    }
    world.finish().await;
}

/// A locked row is tried again, and the command line tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_calls_story_tells_of_its_retry() {
    let mut world = linked("story").await;
    let call = Call::new("acme", KNOWN[0]);
    world.fault(json!({"kind": "collections", "times": 1, "action": {"type": "lock_rows"}}));
    world.ring(&call);
    world.end(&call, 0, End::Logged);
    world.flush();
    world.settled().await;
    let told = world.cli(&["calls", "why", "acme", &call.id, "--json"], "");
    let story: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(story["state"], "logged", "{told}");
    assert!(
        story["attempts"].to_string().contains("UNABLE_TO_LOCK_ROW"),
        "{told}"
    );
    assert!(
        !told.contains("2079460") && !told.contains(super::calls::NOTE),
        "{told}"
    );
    world.finish().await;
}
