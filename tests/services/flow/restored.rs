//! A backup that is restored: what was sent since is not sent again.

use serde_json::Value;

use super::world::World;

const ACCOUNTS: [&str; 2] = ["acme", "beta"];

/// Calls were logged after the backup, in an org with a unique field and in one without; the restored
/// database knows nothing of their Tasks. Nothing is sent until a person has seen to it, and then each
/// is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_loses_and_doubles_nothing() {
    let mut world = World::start("restored").await;
    for account in ACCOUNTS {
        world.link(account, &format!("api@{account}.example"));
    }
    world.work(1).await;
    world.load(&ACCOUNTS, 4);
    world.settled().await;
    world.back_up().await;
    world.work(1).await;
    world.load(&ACCOUNTS, 4);
    world.settled().await;
    world.restore().await;

    world.spawn("");
    let recovery = |world: &World, args: &[&str]| -> Value {
        let told = world.cli(&[&["recover", "--json"], args].concat(), "");
        serde_json::from_str(&told).expect("JSON")
    };
    let states = |world: &World| -> Vec<String> {
        let calls = world.cli(&["calls", "list", "--limit", "1000", "--json"], "");
        let calls: Vec<Value> = serde_json::from_str(&calls).expect("JSON");
        let state = |call: &Value| call["state"].as_str().expect("a word").to_owned();
        calls.iter().map(state).collect()
    };
    // As many calls again, which the platform sends while nothing goes out.
    world.load(&ACCOUNTS, 4);
    let ready = |world: &World| states(world).iter().filter(|s| *s == "ready").count();
    world
        .until("all that was lost is read again", |w| {
            (ready(w) == 2 * 2 * 4).then_some(())
        })
        .await;
    let seen = world
        .until("it is recognised", |w| {
            let seen = recovery(w, &["--dry-run"]);
            (seen["recovering"] == true).then_some(seen)
        })
        .await;
    assert_eq!(seen["relink"], serde_json::json!([]), "{seen}");
    assert!(!world.workers[0].is_ready().await);
    let lifted = recovery(&world, &[]);
    assert_eq!(
        (&lifted["lifted"], &lifted["working"]),
        (&true.into(), &2.into())
    );
    world
        .until("all are logged", |w| {
            states(w).iter().all(|s| s == "logged").then_some(())
        })
        .await;
    let again = recovery(&world, &[]);
    assert_eq!(again["lifted"], false, "there is nothing to recover");
    world.finish_restored().await;
}
