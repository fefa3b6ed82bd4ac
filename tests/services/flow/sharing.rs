//! Two workers share the accounts, and one leaves.

use std::time::Instant;

use super::crashes::{ended, everything, owns};
use super::world::World;

const ACCOUNTS: [&str; 3] = ["acme", "acme-two", "beta"];

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_dies_is_replaced_in_time() {
    let mut world = World::start_alone("sharing").await;
    world.link("acme", "api@acme.example");
    world.link("acme-two", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(2).await;
    let all = everything(&world).await;

    world.load(&ACCOUNTS, 20);
    let told = Instant::now();
    world.workers[0].signal("TERM");
    owns(&world, 1, all).await;
    let took = told.elapsed();
    println!("SIGTERM: all {all} shards taken over after {took:?}");
    // Given up and not run out. How long it takes is no test's business on a busy machine.
    let ttl = vcc_link::pipeline::leases::Config::default().ttl;
    assert!(took < ttl, "{took:?}");
    ended(&mut world, 0).await;
    world.settled().await;

    world.restart(0);
    assert_eq!(everything(&world).await, all);
    world.load(&ACCOUNTS, 20);
    let killed = Instant::now();
    world.workers[1].signal("KILL");
    owns(&world, 0, all).await;
    let took = killed.elapsed();
    println!("SIGKILL: all {all} shards taken over after {took:?}");
    world.load(&ACCOUNTS, 5);
    world.finish().await;
}
