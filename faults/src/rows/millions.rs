//! A million calls at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::calls::spoilt;
use crate::row::{Row, Trial};
use crate::world::{PATIENCE, World, tick};

/// A full trial.
const CALLS: u32 = 1_000_000;

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "poison-million",
        "a million events, one in a hundred of them poison",
        1,
        |world, trial| poison(world, trial).boxed(),
    )
    .of_calls(CALLS)
    .long(),
    Row::new(
        "flood-million",
        "a million calls while Salesforce is down",
        1,
        |world, trial| flood(world, trial).boxed(),
    )
    .of_calls(CALLS)
    .long(),
];

/// What a worker may have resident, whatever waits: what `deploy/kubernetes/worker.yaml` requests for
/// one. By default it holds at most 100,000 calls of 500 bytes, and the rest stays in the database.
const MEMORY: u64 = 256 << 20;

/// How long a number of calls may take: a hundred each second, on a slow machine.
fn patience(calls: u32) -> Duration {
    PATIENCE * 10 + Duration::from_secs(u64::from(calls / 100))
}

async fn poison(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let before = world.quarantined();
    let good = trial.calls - trial.calls / 100;
    let poison = world.flood(&mut trial.chance, good, Some(spoilt)).await?;
    let all = before + usize::try_from(poison)?;
    world.settled(patience(trial.calls)).await?;
    let deadline = Instant::now() + PATIENCE;
    while world.quarantined() < all {
        ensure!(Instant::now() < deadline, "not all poison is quarantined");
        tick().await;
    }
    is_flat(world)?;
    Ok(u64::from(poison))
}

/// Nothing goes out until all has been taken in.
async fn flood(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    down(world, json!(503))?;
    world.flood(&mut trial.chance, trial.calls, None).await?;
    let deadline = Instant::now() + patience(trial.calls);
    while world.lag().await? > 0 {
        ensure!(
            Instant::now() < deadline,
            "the topic is not read to its end"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let waited = world.waits();
    is_flat(world)?;
    down(world, Value::Null)?;
    world.settled(patience(trial.calls)).await?;
    is_flat(world)?;
    Ok(u64::from(waited))
}

fn down(world: &World, maintenance: Value) -> anyhow::Result<()> {
    for org in ["Acme", "Beta"] {
        world.switch(org, json!({"maintenance": maintenance}))?;
    }
    Ok(())
}

/// Fails if a worker had more memory than it may.
fn is_flat(world: &mut World) -> anyhow::Result<()> {
    let peak = world.peak();
    ensure!(
        peak <= MEMORY,
        "a worker had {} MiB, and may have {}",
        peak >> 20,
        MEMORY >> 20
    );
    Ok(())
}
