//! PostgreSQL is slow.

use serde_json::Value;
use vcc_link::domain::ids::SHARDS;

use super::crashes::owns;
use super::world::World;

const CALLS: usize = 20;

/// What a worker reads of each shard that it takes hangs. It takes all the same, keeps them, and
/// stores what comes; then it does its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_reads_hang_keeps_its_shards_and_stores_calls() {
    let mut world = World::start("slow").await;
    world.link("acme", "api@acme.example");
    let lock = world.lock("attempts").await;
    world.spawn("");
    owns(&world, 0, SHARDS.into()).await;

    world.load(&["acme"], CALLS);
    world
        .until("all calls are stored", |world| {
            let calls = world.cli(&["calls", "list", "--json"], "");
            let calls: Vec<Value> = serde_json::from_str(&calls).expect("JSON");
            (calls.len() == CALLS).then_some(())
        })
        .await;
    let results = world.results.all();
    let ended = results.iter().filter(|p| p.is_terminal()).count();
    assert_eq!(ended, 0, "nothing can have ended");
    assert_eq!(world.workers[0].shards().await, Some(SHARDS.into()));
    drop(lock);
    world.finish().await;
}
