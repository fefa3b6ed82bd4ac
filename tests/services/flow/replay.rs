//! What was given up is put back; what is paused waits, and goes on.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::Call;
use super::world::{End, KNOWN, World};

/// A command's result.
fn told(world: &World, args: &[&str]) -> Value {
    serde_json::from_str(&world.cli(args, "")).expect("one JSON document")
}

/// A setting of the simulated org.
fn map(name: &str, value: bool) -> serde_json::Map<String, Value> {
    std::iter::once((name.to_owned(), json!(value))).collect()
}

/// Waits until a terminal event of this type and replay is published of each of the calls.
async fn ended(world: &World, calls: &[Call], kind: &str, replay: u64) {
    let has = |w: &World, call: &Call| {
        w.of(call)
            .iter()
            .any(|p| p.kind() == kind && p.data["replay"].as_u64().unwrap_or_default() == replay)
    };
    let all = |w: &World| calls.iter().all(|call| has(w, call)).then_some(());
    world.until(kind, all).await;
}

/// Calls that Salesforce failed on go out once it does not; those whose Task is there all along are
/// found, and get no second one.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_were_given_up_are_put_back() {
    let mut world = World::start("replay").await;
    world.link("acme", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(2).await;
    let failing: Vec<Call> = (0..3).map(|_| Call::new("acme", KNOWN[0])).collect();
    for call in &failing {
        world.fault(json!({
            "kind": "collections", "match": {"field": "CallObject", "contains": call.id},
            "action": {"type": "constant_500"},
        }));
        world.send(&call.ended(0));
    }
    // The answer is lost, and the org hides the Task from who made it.
    let private = world
        .control()
        .patch_org("Beta", map("private_tasks", true));
    private.expect("patched");
    let see = |world: &World, all: bool| {
        let patch = map("view_all_data", all);
        let patched = world.control().patch_user("api@beta.example", patch);
        patched.expect("patched");
    };
    see(&world, false);
    world.fault(json!({
        "org": "Beta", "kind": "collections", "times": 1,
        "action": {"type": "commit_then_drop"},
    }));
    let hidden = vec![Call::new("beta", KNOWN[1])];
    world.send(&hidden[0].ended(0));
    world.flush();
    ended(&world, &failing, "calllog.failed.v1", 0).await;
    ended(&world, &hidden, "calllog.failed.v1", 0).await;

    let dead = [
        "calls", "replay", "--state", "dead", "--by", "ann", "--json",
    ];
    let plan = told(&world, &[&dead[..], &["--dry-run"]].concat());
    assert_eq!((&plan["sent"], &plan["lookedFor"]), (&json!(3), &json!(1)));
    assert_eq!(plan["accounts"], json!({"acme": 3, "beta": 1}));
    world.control().remove_faults(None).expect("removed");
    see(&world, true);
    let done = told(&world, &[&dead[..], &["--rate", "2"]].concat());
    assert_eq!((&done["sent"], &done["lookedFor"]), (&json!(3), &json!(1)));
    let again = told(&world, &dead);
    assert_eq!(
        (&again["sent"], &again["lookedFor"]),
        (&json!(0), &json!(0))
    );

    for call in failing.iter().chain(&hidden) {
        world.expect(call, 0, End::Logged);
    }
    ended(&world, &failing, "calllog.succeeded.v1", 1).await;
    ended(&world, &hidden, "calllog.succeeded.v1", 1).await;
    let replays = told(&world, &["calls", "replays", "--json"]);
    assert_eq!(replays.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&replays[0]["by"], &replays[0]["sent"]),
        (&json!("ann"), &json!(3))
    );
    assert!(replays[0]["endedAt"].is_string(), "{replays}");
    world.finish().await;
}

/// A paused account's callers are told at once, its Tasks wait, and others do not; a worker that
/// starts meanwhile obeys too. Resumed, all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_waits_and_goes_on() {
    let mut world = World::start("paused").await;
    world.link("acme", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(1).await;
    let pause = ["links", "pause", "acme", "--reason", "a test", "--json"];
    let paused = told(&world, &pause);
    assert_eq!(paused.as_array().map(Vec::len), Some(2), "both lanes");
    let said = told(&world, &["links", "list", "--json"]);
    assert_eq!(said[0]["paused"][0]["reason"], "a test");
    assert_eq!(said[1]["paused"], json!([]));
    // It obeys within ten seconds; one that starts now, at once.
    world.workers[0].signal("KILL");
    super::crashes::ended(&mut world, 0).await;
    world.restart(0);

    let calls = world.load(&["acme"], 4);
    world.load(&["beta"], 4);
    let deferred = |w: &World| {
        let waits = |call: &Call| {
            let of = w.of(call);
            let deferred = of
                .iter()
                .any(|p| p.kind() == "calllog.deferred.v1" && p.data["reason"] == "paused");
            let throttled = of.iter().any(|p| p.data["match"]["result"] == "throttled");
            deferred && throttled && !of.iter().any(super::results::Published::is_terminal)
        };
        calls.iter().all(waits).then_some(())
    };
    world.until("all of acme's calls wait", deferred).await;

    let resumed = told(&world, &["links", "resume", "acme", "--tasks", "--json"]);
    assert_eq!(resumed.as_array().map(Vec::len), Some(1));
    world.settled().await;
    let until = [
        "links", "pause", "--all", "--tasks", "--reason", "a while", "--until", "3s",
    ];
    world.cli(&until, "");
    tokio::time::timeout(Duration::from_mins(1), async {
        world.load(&["acme", "beta"], 2);
        world.settled().await;
    })
    .await
    .expect("it ends at its time");
    world.finish().await;
}

/// Bytes that could not be read stay where they are while they cannot, and what can is sent once.
#[tokio::test(flavor = "multi_thread")]
async fn quarantined_bytes_are_sent_again_once_they_can_be_read() {
    let mut world = World::start("resent").await;
    world.link("acme", "api@acme.example");
    // As if an earlier version had not believed it: this one is told to believe tomorrow.
    let early = Call::new("acme", KNOWN[0])
        .with("startedAt", tomorrow(30))
        .ending("endedAt", tomorrow(90));
    let strict = std::fs::read_to_string(&world.settings).expect("settings");
    let careful = format!("{strict}\n[ingest]\nfuture_tolerance = \"1min\"\n");
    std::fs::write(&world.settings, careful).expect("written");
    world.work(1).await;
    world.send(&early.ended(0));
    let mut broken = early.ended(0);
    broken.value = b"no JSON".to_vec();
    world.send(&broken);
    world.flush();
    let list = ["quarantine", "list", "--unsent", "--json"];
    let two = |w: &World| {
        let listed = told(w, &list);
        (listed.as_array().map(Vec::len) == Some(2)).then_some(listed)
    };
    let listed = world.until("both are quarantined", two).await;
    let place = listed[0]["place"].as_str().expect("a place").to_owned();
    let shown = world.cli(&["quarantine", "show", &place], "");
    assert!(shown.contains("ce_type: call.ended.v1"), "{shown}");
    assert!(!shown.contains(super::calls::NOTE), "{shown}");

    std::fs::write(&world.settings, strict).expect("written");
    world.workers[0].signal("TERM");
    super::crashes::ended(&mut world, 0).await;
    world.restart(0);
    let replay = ["quarantine", "replay", "--all", "--by", "ann", "--json"];
    let plan = told(&world, &[&replay[..], &["--dry-run"]].concat());
    assert_eq!(
        (&plan["sent"], &plan["wouldBeSent"]),
        (&json!(0), &json!(1))
    );
    let done = told(&world, &replay);
    assert_eq!(
        (&done["sent"], done["left"].as_array().map(Vec::len)),
        (&json!(1), Some(1))
    );
    world.expect(&early, 0, End::Logged);
    world.settled().await;
    assert_eq!(told(&world, &list).as_array().map(Vec::len), Some(1));
    world.finish().await;
}

/// A time of tomorrow, by hours and seconds from now.
fn tomorrow(seconds: i64) -> Value {
    let at = vcc_link::clock::now() + chrono::TimeDelta::hours(12);
    json!((at + chrono::TimeDelta::seconds(seconds)).to_rfc3339())
}
