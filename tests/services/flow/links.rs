//! A link that breaks and is made anew; and bytes that are no calls.

use serde_json::{Value, json};

use super::calls::{Call, Event};
use super::world::{End, KNOWN, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_link_parks_calls_and_a_new_one_sends_them() {
    broken_and_made_anew(World::start("broken").await, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_link_parks_calls_and_a_new_one_sends_them_on_a_file() {
    broken_and_made_anew(World::start_on_file("broken_file").await, 1).await;
}

/// A link breaks under so many workers, and is made anew beside them.
async fn broken_and_made_anew(mut world: World, workers: usize) {
    world.link("acme", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(workers).await;
    world.load(&["acme", "beta"], 3);
    world.settled().await;

    let revoke = json!({"revoke_tokens": true})
        .as_object()
        .cloned()
        .expect("a map");
    world
        .control()
        .patch_user("api@beta.example", revoke)
        .expect("revoked");
    let parked: Vec<Call> = (0..5).map(|n| Call::new("beta", KNOWN[n % 4])).collect();
    for call in &parked {
        world.end(call, 0, End::Logged);
    }
    world.flush();
    let health = |w: &World, health: &str| {
        let all = w.results.all();
        all.iter()
            .rfind(|p| p.kind() == "link.statuschanged.v1" && p.data["accountId"] == "beta")
            .and_then(|p| (p.data["health"] == health).then_some(()))
    };
    world
        .until("the link's health is published", |w| health(w, "broken"))
        .await;
    world
        .until("every call is deferred", |w| {
            let deferred = |c: &Call| w.of(c).iter().any(|p| p.kind() == "calllog.deferred.v1");
            parked.iter().all(deferred).then_some(())
        })
        .await;
    let listed = world.cli(
        &[
            "calls",
            "list",
            "--account",
            "beta",
            "--state",
            "parked",
            "--json",
        ],
        "",
    );
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed.len(), parked.len());
    world.load(&["acme"], 3);

    world.link("beta", "api@beta.example");
    world
        .until("the link's recovery is published", |w| health(w, "healthy"))
        .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_calls_harm_nobody() {
    let mut world = World::start("poison").await;
    world.link("acme", "api@acme.example");
    world.work(1).await;
    let good = || Call::new("acme", KNOWN[0]);
    let raw = |value: &[u8]| Event {
        value: value.to_vec(),
        ..good().ended(0)
    };
    let wrong = good().ending("outcome", json!(null));
    let bad = [
        raw(b"\xff\xfe\x00 no JSON"),
        raw(b""),
        raw(b"{\"accountId\": 7}"),
        raw(&vec![b'x'; 600_000]),
        good().with("accountId", json!("not an id!")).ended(0),
        good().with("interactionId", json!("nul\u{0}")).ended(0),
        good()
            .with("startedAt", json!("2126-01-01T00:00:00Z"))
            .ended(0),
        wrong.ended(0),
        Event {
            headers: Vec::new(),
            ..good().ended(0)
        },
    ];
    world.load(&["acme"], 3);
    for event in &bad {
        world.send(event);
    }
    let mut unknown = good().ended(0);
    for (name, value) in &mut unknown.headers {
        if name == "ce_type" {
            *value = "call.sneezed.v1".to_owned();
        }
    }
    world.send(&unknown);
    let old = good()
        .with("startedAt", json!("2020-01-01T00:00:00Z"))
        .ending("endedAt", json!("2020-01-01T00:01:00Z"));
    world.end(&old, 0, End::Skipped("too_old"));
    let nul = good().ending("notes", json!("canary-note \u{0}\u{1}"));
    world.end(&nul, 0, End::Logged);
    world.load(&["acme"], 3);
    let quarantined = |w: &World| {
        let all = w.results.all();
        let all: Vec<_> = all
            .into_iter()
            .filter(|p| p.topic.ends_with(".quarantine"))
            .collect();
        (all.len() >= bad.len()).then_some(all)
    };
    let records = world.until("all is quarantined", quarantined).await;
    assert_eq!(records.len(), bad.len());
    for record in records {
        println!("{}", record.header("vcc-link-reason"));
        assert!(!record.header("vcc-link-reason").is_empty());
    }
    why_they_are_not_stored(&world, &wrong, &old).await;
    world.finish().await;
}

/// Neither a quarantined call nor one that is too old is stored, and what is known of each is told.
async fn why_they_are_not_stored(world: &World, wrong: &Call, old: &Call) {
    let ended = |w: &World| (!w.of(old).is_empty()).then_some(());
    world.until("the old call's end is published", ended).await;
    let (told, error) = world.failing(&["calls", "why", "acme", &wrong.id, "--json"]);
    let known = (&told["known"], &told["published"]);
    assert_eq!(known, (&json!(false), &json!(0)));
    let reason = told["quarantined"][0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("outcome: write one of"), "{told}");
    assert!(error["error"].to_string().contains(reason), "{error}");

    let (told, _) = world.failing(&["calls", "why", "acme", &old.id, "--json"]);
    let events = told["published"].as_u64().zip(told["unpublished"].as_u64());
    let events = events.map(|(published, waiting)| published + waiting);
    assert_eq!((&told["quarantined"], events), (&json!([]), Some(1)));
}
