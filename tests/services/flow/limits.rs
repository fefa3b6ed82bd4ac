//! An org's limits: the daily one stops all of its accounts together, the one on requests at once only
//! slows them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use salesforce_simulator::{Entry, RequestFilter};
use serde_json::{Map, Value, json};

use super::calls::Call;
use super::results::Published;
use super::world::{End, KNOWN, World};

/// Accounts of one org.
const SHARING: [&str; 2] = ["acme", "acme-two"];

/// How often the org is asked whether its limit is free.
const PROBE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_an_org_wait_together_for_its_daily_limit() {
    let mut world = World::start("daily_limit").await;
    let probe = format!("[engine.pacing]\nquota_probe = \"{}s\"", PROBE.as_secs());
    world.rewrite("[engine.pacing]", &probe);
    world.link("acme", "api@acme.example");
    world.link("acme-two", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(1).await;
    world.load(&["acme", "acme-two", "beta"], 1);
    world.settled().await;

    let before = requests(&world, 0).last().expect("requests").seq;
    limit(&world, json!({"daily_limit": 1}));
    let first = Call::new("acme", KNOWN[0]);
    world.end(&first, 0, End::Logged);
    world.flush();
    world
        .until("one request finds out", |w| {
            let asked = requests(w, before);
            asked.iter().any(|r| r.status == Some(403)).then_some(())
        })
        .await;

    // Callers whom nobody knows yet hear at once that Salesforce cannot be asked; the Tasks of both
    // accounts wait.
    let mut calls = Vec::new();
    for (account, number) in SHARING
        .iter()
        .flat_map(|a| KNOWN[1..].iter().map(move |n| (a, n)))
    {
        let call = Call::new(account, number);
        world.ring(&call);
        world.end(&call, 0, End::Logged);
        calls.push(call);
    }
    world.flush();
    for call in &calls {
        let answer = world
            .until("an answer about the caller", |w| answer(w, call))
            .await;
        assert_eq!(answer["match"]["result"], "throttled", "{answer}");
    }
    let others = world.load(&["beta"], 5);
    world
        .until("another org's calls are logged meanwhile", |w| {
            let is_over = |call| w.of(call).iter().any(Published::is_terminal);
            others.iter().all(is_over).then_some(())
        })
        .await;
    world
        .until("two more requests ask whether it is free", |w| {
            (requests(w, before).len() >= 3).then_some(())
        })
        .await;
    let asked = requests(&world, before);
    limit(&world, json!({"daily_limit": 100_000}));
    let times: Vec<DateTime<Utc>> = asked.iter().map(|r| time(&r.time)).collect();
    let apart = times.windows(2).all(|two| two[1] >= two[0] + PROBE);
    assert!(apart, "one request, then one at each probe: {times:?}");
    let told = calls.iter().chain([&first]).flat_map(|call| world.of(call));
    assert!(
        !told.into_iter().any(|p| p.is_terminal()),
        "none may end yet"
    );
    world.finish().await;
}

/// With the pauses of production for the daily limit: a call that waited for it would not end in time.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_at_once_slow_an_org_and_park_nothing() {
    let mut world = World::start("concurrent_limit").await;
    world.link("acme", "api@acme.example");
    world.link("acme-two", "api@acme.example");
    let text = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
    let refuse = json!({
        "type": "status", "status": 403, "errorCode": "REQUEST_LIMIT_EXCEEDED", "message": text,
    });
    world.fault(json!({"kind": "collections", "times": 3, "action": refuse}));
    world.work(1).await;
    let calls = world.load(&SHARING, 5);
    world.settled().await;
    let fired: u64 = world.control().faults().iter().map(|f| f.fired).sum();
    assert_eq!(fired, 3, "requests were refused");
    let told = calls.iter().flat_map(|call| world.of(call));
    let parked = told.filter(|p| p.kind() == "calllog.deferred.v1").count();
    assert_eq!(parked, 0, "none is parked");
    world.finish().await;
}

/// Changes the limits of the shared org.
fn limit(world: &World, limits: Value) {
    let limits: Map<String, Value> = limits.as_object().cloned().expect("a map");
    world.control().patch_org("Acme", limits).expect("changed");
}

/// What the shared org was asked for its calls behind this request: searches and Tasks.
fn requests(world: &World, since: u64) -> Vec<Entry> {
    let filter = RequestFilter {
        org: Some("Acme".to_owned()),
        since,
    };
    let mut asked = world.control().requests(&filter).expect("the requests");
    asked.retain(|request| request.path.contains("/search") || request.path.contains("/composite"));
    asked
}

/// What the platform was told about who calls.
fn answer(world: &World, call: &Call) -> Option<Value> {
    let mut told = world.of(call);
    told.retain(|p| p.kind() == "call.lookedup.v1");
    told.pop().map(|p| p.data)
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}
