//! A database that comes back from the past.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Own, OwnService, PATIENCE, Setup, Twice, World, tick};

pub(super) const ROWS: [Row; 3] = [
    Row::new(
        "restored",
        "the database replaced by its backup; calls went out since",
        50,
        |world, trial| restored(world, trial).boxed(),
    )
    .in_worlds(Setup {
        twice: Twice::Forgotten,
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "standby-promoted",
        "PostgreSQL killed, and its synchronous standby promoted",
        10,
        |world, trial| promoted(world, trial).boxed(),
    )
    .in_worlds(Setup {
        own: OwnService::Postgres,
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "standby-behind",
        "PostgreSQL killed, and a standby promoted that lacks the last seconds",
        10,
        |world, trial| behind(world, trial).boxed(),
    )
    .in_worlds(Setup {
        own: OwnService::Postgres,
        twice: Twice::Forgotten,
        ..Setup::USUAL
    })
    .long(),
];

/// The longest time between two steps.
const LONGEST: Duration = Duration::from_secs(4);

/// The backup is made, and put back, at moments at which calls are under way. A person then says
/// that it may go on, while what was lost is still read again.
async fn restored(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, LONGEST).await;
    world.backed_up().await?;
    world.staffed().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, LONGEST).await;
    world.restored().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    for place in 0..world.workers.len() {
        world.respawn(place, &Own::default())?;
    }
    let lifted = recovered(world, trial).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(u64::from(lifted))
}

/// Nothing that was confirmed is lost: the workers go on by themselves.
async fn promoted(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let standby = world.followed(true).await?;
    // Once these are through, a worker has noticed that there is a standby.
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.settled(PATIENCE).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    world.failed_over(standby).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(1)
}

/// The standby hears no more while calls go out. A person then says that it may go on.
async fn behind(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let standby = world.followed(false).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, LONGEST).await;
    for statement in [
        "alter system set primary_conninfo = ''",
        "select pg_reload_conf()",
    ] {
        standby.administer(statement.to_owned()).await?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, LONGEST).await;
    world.failed_over(standby).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    let lifted = recovered(world, trial).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(u64::from(lifted))
}

/// Waits until a worker has seen that the database went back in time, and lets the workers go on, as
/// a person would: as two would, who do not know of each other.
async fn recovered(world: &World, trial: &mut Trial) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while recovery(world, &["--dry-run"]).await?["recovering"] != true {
        ensure!(Instant::now() < deadline, "the past is not recognised");
        tick().await;
    }
    moment(&mut trial.chance, LONGEST).await;
    let (one, other) = tokio::try_join!(recovery(world, &[]), recovery(world, &[]))?;
    Ok(one["lifted"] == true || other["lifted"] == true)
}

/// `vcc-link recover`, and what it tells.
async fn recovery(world: &World, arguments: &[&str]) -> anyhow::Result<Value> {
    let command = [&["recover", "--json"], arguments].concat();
    let told = world.program.call(&command, "").await?;
    serde_json::from_str(&told).context("vcc-link recover tells no JSON")
}
