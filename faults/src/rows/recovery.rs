//! A database that comes back from the past.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use serde_json::Value;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Own, PATIENCE, Setup, World, tick};

pub(super) const ROWS: [Row; 1] = [Row::new(
    "restored",
    "the database replaced by its backup; calls went out since",
    50,
    |world, trial| restored(world, trial).boxed(),
)
.in_worlds(Setup {
    forgets: true,
    ..Setup::USUAL
})
.long()];

/// The backup is made, and put back, at moments at which calls are under way. A person then says
/// that it may go on, while what was lost is still read again.
async fn restored(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let longest = std::time::Duration::from_secs(4);
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, longest).await;
    world.backed_up().await?;
    world.staffed().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, longest).await;
    world.restored().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    for place in 0..world.workers.len() {
        world.respawn(place, &Own::default())?;
    }
    let deadline = Instant::now() + PATIENCE;
    while recovery(world, &["--dry-run"]).await?["recovering"] != true {
        ensure!(Instant::now() < deadline, "the backup is not recognised");
        tick().await;
    }
    moment(&mut trial.chance, longest).await;
    let lifted = recovery(world, &[]).await?["lifted"] == true;
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(u64::from(lifted))
}

/// `vcc-link recover`, and what it tells.
async fn recovery(world: &World, arguments: &[&str]) -> anyhow::Result<Value> {
    let command = [&["recover", "--json"], arguments].concat();
    let told = world.program.call(&command, "").await?;
    serde_json::from_str(&told).context("vcc-link recover tells no JSON")
}
