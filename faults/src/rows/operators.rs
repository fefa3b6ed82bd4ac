//! People who pause calls, and who put calls back, several of them at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;
use rand::Rng as _;
use serde_json::{Value, json};

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, PATIENCE, Setup, Twice, World, tick};

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "paused",
        "Tasks of an account, or of everybody, paused under way and resumed",
        100,
        |world, trial| paused(world, trial).boxed(),
    )
    .long(),
    Row::new(
        "put-back",
        "calls that may have a Task put back by two people at once, one of them killed",
        100,
        |world, trial| put_back(world, trial).boxed(),
    )
    .in_worlds(Setup {
        sees_all: false,
        twice: Twice::PutBack,
        ..Setup::USUAL
    })
    .long(),
];

async fn paused(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let all = trial.chance.random();
    let account = ACCOUNTS[trial.chance.random_range(0..ACCOUNTS.len())];
    let scope = if all { "--all" } else { account };
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let pause = ["links", "pause", scope, "--tasks", "--reason", "a test"];
    world.program.call(&pause, "").await?;
    // The workers obey within seconds.
    let deadline = Instant::now() + PATIENCE;
    while in_state(world, "parked").await? == 0 {
        ensure!(Instant::now() < deadline, "the pause is not obeyed");
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(4)).await;
    let waiting = in_state(world, "parked").await?;
    let resume = ["links", "resume", scope];
    world.program.call(&resume, "").await?;
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(waiting)
}

/// Writes are lost, some of them after they were done, and nobody may see which. Then somebody may.
async fn put_back(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    see(world, false)?;
    for action in ["commit_then_drop", "drop_before_commit"] {
        world.fault(json!({
            "kind": "collections", "probability": 0.4, "action": {"type": action},
        }))?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 40)?;
    world.settled(PATIENCE).await?;
    world.faults_fired()?;
    let given_up = in_state(world, "dead").await?;
    see(world, true)?;
    let replay = [
        "calls", "replay", "--reason", "unknown", "--rate", "100", "--json",
    ];
    let one = world.program.call(&replay, "");
    let other = world.program.call(&replay, "");
    let killed = tokio::time::timeout(
        Duration::from_millis(trial.chance.random_range(0..500)),
        world.program.call(&replay, ""),
    );
    let (one, other, _) = tokio::join!(one, other, killed);
    one?;
    other?;
    let deadline = Instant::now() + PATIENCE;
    while in_state(world, "dead").await? > 0 || world.reasons() > 0 {
        ensure!(Instant::now() < deadline, "calls are given up again");
        world.program.call(&replay, "").await?;
        tick().await;
    }
    Ok(given_up)
}

/// The API users may see the Tasks that they make for others, or may not.
fn see(world: &World, all: bool) -> anyhow::Result<()> {
    for org in ["acme", "beta"] {
        world.change_user(org, json!({ "view_all_data": all }))?;
    }
    Ok(())
}

/// How many calls are in a state.
async fn in_state(world: &World, state: &str) -> anyhow::Result<u64> {
    let list = [
        "calls", "list", "--state", state, "--limit", "200", "--json",
    ];
    let told = world.program.call(&list, "").await?;
    let told: Value = serde_json::from_str(&told)?;
    let calls = told.as_array().map_or(0, Vec::len);
    Ok(u64::try_from(calls)?)
}
