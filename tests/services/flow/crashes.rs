//! Workers that die: at every crash point, at any moment, and those that only seem dead.

use salesforce_simulator::Control;

use super::world::{PATIENCE, World, tick};
use std::time::Instant;

const ACCOUNTS: [&str; 4] = ["acme", "acme-two", "beta", "beta-two"];

async fn linked(scenario: &str) -> World {
    with_links(World::start(scenario).await)
}

fn with_links(mut world: World) -> World {
    for account in ACCOUNTS {
        let org = account.split('-').next().unwrap_or(account);
        world.link(account, &format!("api@{org}.example"));
    }
    world
}

/// The one worker there is crashes at a point, and another begins where it left.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_loses_and_doubles_nothing() {
    let mut world = linked("points").await;
    let points = [
        "ingest.inserted",
        "ingest.appended",
        "dispatch.begun",
        "dispatch.sent",
        "dispatch.answered",
        "record.stored",
        "relay.published",
    ];
    for point in points {
        let place = world.spawn(&format!("{point}=1*return"));
        world.load(&ACCOUNTS, 5);
        crashed(&mut world, place, point).await;
        world.restart(place);
        world.settled().await;
        world.workers[place].signal("KILL");
        ended(&mut world, place).await;
        world.workers.remove(place);
    }
    world.work(1).await;
    world.finish().await;
}

/// A token was claimed, or came, and nobody was left to use it.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_a_refresh_uses_no_token_twice() {
    let mut world = linked("refresh").await;
    for point in ["refresh.claimed"] {
        expire(&world.control());
        let place = world.spawn(&format!("{point}=1*return"));
        world.load(&ACCOUNTS, 3);
        crashed(&mut world, place, point).await;
        world.restart(place);
        world.settled().await;
        world.workers[place].signal("KILL");
        ended(&mut world, place).await;
        world.workers.remove(place);
    }
    world.work(1).await;
    world.finish().await;
}

/// Two workers, one of them killed under load, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_and_double_nothing() {
    let mut world = linked("kills").await;
    world.work(2).await;
    for round in 0..6_usize {
        let calls = world.load(&ACCOUNTS, 8);
        // Another moment each time: once so many of this round's calls are answered.
        let enough = round * 5;
        world
            .until("some of the calls", |w| {
                let told = calls.iter().filter(|c| !w.of(c).is_empty()).count();
                (told >= enough).then_some(())
            })
            .await;
        let place = round % 2;
        world.workers[place].signal("KILL");
        ended(&mut world, place).await;
        world.restart(place);
    }
    world.finish().await;
}

/// The one worker that a file may have, killed under load, again and again; another is refused
/// meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_and_double_nothing_on_a_file() {
    let mut world = with_links(World::start_on_file("kills_file").await);
    world.work(1).await;
    let second = world.spawn("");
    ended(&mut world, second).await;
    assert!(
        world.workers[second]
            .log()
            .contains("a worker has it already")
    );
    world.workers.remove(second);
    for round in 0..4_usize {
        let calls = world.load(&ACCOUNTS, 8);
        // Another moment each time: once so many of this round's calls are answered.
        let enough = round * 8;
        world
            .until("some of the calls", |w| {
                let told = calls.iter().filter(|c| !w.of(c).is_empty()).count();
                (told >= enough).then_some(())
            })
            .await;
        world.workers[0].signal("KILL");
        ended(&mut world, 0).await;
        world.restart(0);
    }
    world.finish().await;
}

/// A worker that stands still beyond its lease does no harm when it wakes.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_does_nothing_twice() {
    let mut world = linked("frozen").await;
    world.work(2).await;
    for round in 0..3_usize {
        world.load(&ACCOUNTS, 10);
        let (frozen, other) = (round % 2, (round + 1) % 2);
        let all = everything(&world).await;
        world.workers[frozen].signal("STOP");
        owns(&world, other, all).await;
        world.workers[frozen].signal("CONT");
        world.load(&ACCOUNTS, 5);
        world.settled().await;
    }
    world.finish().await;
}

/// Waits until all shards are owned, each worker having some; tells how many they are.
pub(super) async fn everything(world: &World) -> u32 {
    let all = u32::from(vcc_link::domain::ids::SHARDS);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut sum = 0;
        let mut each = true;
        for worker in &world.workers {
            let shards = worker.shards().await.unwrap_or_default();
            each &= shards > 0;
            sum += shards;
        }
        if each && sum == all {
            return all;
        }
        assert!(
            Instant::now() < deadline,
            "the shards are not shared out: {sum}"
        );
        tick().await;
    }
}

/// Waits until a worker owns so many shards.
pub(super) async fn owns(world: &World, place: usize, shards: u32) {
    let deadline = Instant::now() + PATIENCE;
    while world.workers[place].shards().await != Some(shards) {
        assert!(Instant::now() < deadline, "not all shards are taken over");
        tick().await;
    }
}

pub(super) async fn ended(world: &mut World, place: usize) {
    let deadline = Instant::now() + PATIENCE;
    while world.workers[place].ended().is_none() {
        assert!(Instant::now() < deadline, "the worker does not end");
        tick().await;
    }
}

async fn crashed(world: &mut World, place: usize, point: &str) {
    let deadline = Instant::now() + PATIENCE;
    while world.workers[place].ended().is_none() {
        assert!(Instant::now() < deadline, "no crash at {point}");
        tick().await;
    }
}

fn expire(control: &Control) {
    control.expire_sessions(None).expect("expired");
}
