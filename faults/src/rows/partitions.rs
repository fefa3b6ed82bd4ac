//! Workers that stand still, or are cut off from one side only.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use rand::Rng as _;
use rustix::process::Signal;

use super::moment;
use crate::proxy::Way;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, PATIENCE, Setup, World, tick};

pub(super) const ROWS: [Row; 4] = [
    Row::new(
        "frozen",
        "SIGSTOP of a worker past its lease, then on",
        200,
        |world, trial| frozen(world, trial).boxed(),
    ),
    Row::new(
        "cut-database",
        "worker cut from PostgreSQL, not from Salesforce",
        100,
        |world, trial| cut_database(world, trial).boxed(),
    )
    .in_worlds(Setup {
        workers: 1,
        ..Setup::USUAL
    }),
    Row::new(
        "cut-salesforce",
        "workers cut from Salesforce, not from PostgreSQL",
        100,
        |world, trial| cut_salesforce(world, trial).boxed(),
    ),
    Row::new(
        "forgotten",
        "the network forgets all connections to PostgreSQL, and tells nobody",
        100,
        |world, trial| forgotten(world, trial).boxed(),
    )
    .in_worlds(Setup {
        environment: &[("VCC_LINK_STORE__STATEMENT_TIMEOUT", "1s")],
        ..Setup::USUAL
    })
    .long(),
];

/// Every shard.
const SHARDS: u64 = 256;

/// A worker stands still until the other has all its accounts, and then goes on where it was.
async fn frozen(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let place = trial.chance.random_range(0..2);
    world.workers[place].signal(Signal::STOP);
    let deadline = Instant::now() + PATIENCE;
    let mut taken_over = false;
    while !taken_over && Instant::now() < deadline {
        taken_over = world.workers[1 - place].shards().await == Some(SHARDS);
        tick().await;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.workers[place].signal(Signal::CONT);
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(u64::from(taken_over))
}

/// Closed or silent, as chance will.
fn closed(trial: &mut Trial) -> Way {
    if trial.chance.random() {
        Way::Cut
    } else {
        Way::Silent
    }
}

/// One of two workers loses its database for up to two lengths of a lease.
async fn cut_database(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let through_proxy = world.through_proxy();
    let place = world.spawn(&through_proxy)?;
    world.ready().await?;
    let before = world.postgres.struck();
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.postgres.set(closed(trial));
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    moment(&mut trial.chance, Duration::from_secs(6)).await;
    world.postgres.set(Way::Open);
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.settled(PATIENCE).await?;
    world.dismiss(place).await?;
    Ok(world.postgres.struck() - before)
}

/// Nobody reaches Salesforce for some seconds, and all reach each other.
async fn cut_salesforce(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let before = world.salesforce.struck();
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.salesforce.set(closed(trial));
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    moment(&mut trial.chance, Duration::from_secs(6)).await;
    world.salesforce.set(Way::Open);
    Ok(world.salesforce.struck() - before)
}

/// What the workers had asked PostgreSQL is never answered, and no connection of theirs ends; new ones
/// are well after some seconds.
async fn forgotten(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.all_through_proxy().await?;
    let before = world.postgres.struck();
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.postgres.set(Way::Forgotten);
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    moment(&mut trial.chance, Duration::from_secs(3)).await;
    world.postgres.set(Way::Open);
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(world.postgres.struck() - before)
}
