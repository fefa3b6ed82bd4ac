//! Clocks that jump.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;
use rand::Rng as _;
use serde_json::json;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Own, OwnService, PATIENCE, Setup, World, tick};

pub(super) const ROWS: [Row; 3] = [
    Row::new(
        "clock",
        "Salesforce's clock jumps an hour ahead; answers lost, and commits late",
        50,
        |world, trial| salesforces(world, trial).boxed(),
    ),
    Row::new(
        "worker-clock",
        "a worker's clock jumps an hour ahead or back, and returns; answers lost, and commits late",
        50,
        |world, trial| workers(world, trial).boxed(),
    )
    .in_worlds(Setup {
        clocks: true,
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "database-clock",
        "PostgreSQL's clock jumps an hour ahead or back, and returns; answers lost, and commits late",
        50,
        |world, trial| postgres(world, trial).boxed(),
    )
    .in_worlds(Setup {
        own: OwnService::PostgresWithClock,
        ..Setup::USUAL
    })
    .long(),
];

/// Most of the requests that create Tasks are carried out, half of them late, and nobody is told.
fn lose_answers(world: &World) -> anyhow::Result<()> {
    let late = json!({"type": "commit_late", "ms": 2_000});
    for action in [json!({"type": "commit_then_drop"}), late] {
        world.fault(json!({"kind": "collections", "probability": 0.4, "action": action}))?;
    }
    Ok(())
}

async fn salesforces(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    lose_answers(world)?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    world.control().advance(Duration::from_hours(1));
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    world.settled(PATIENCE).await?;
    world.faults_fired()
}

/// One of two workers has the wrong time for a while; what it did meanwhile keeps nobody waiting.
async fn workers(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    lose_answers(world)?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let place = trial.chance.random_range(0..world.workers.len());
    let ahead = trial.chance.random();
    world.workers[place].set_clock(if ahead { 3600 } else { -3600 })?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    // Longer than from one look at the clock to the next.
    tokio::time::sleep(Duration::from_secs(2)).await;
    moment(&mut trial.chance, Duration::from_secs(4)).await;
    world.workers[place].set_clock(0)?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    // Its clock was set back, at first or now: it ends, and whoever started it does so again.
    let deadline = Instant::now() + PATIENCE;
    while world.workers[place].death()?.is_none() {
        ensure!(Instant::now() < deadline, "it does not notice its clock");
        tick().await;
    }
    world.respawn(place, &Own::default())?;
    world.settled(PATIENCE).await?;
    world.faults_fired()
}

/// Whose leases end, and what is due, goes by the database's clock.
async fn postgres(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    lose_answers(world)?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let ahead = trial.chance.random();
    world.services.set_clock(if ahead { 3600 } else { -3600 })?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(6)).await;
    world.services.set_clock(0)?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    world.settled(PATIENCE).await?;
    world.faults_fired()
}
