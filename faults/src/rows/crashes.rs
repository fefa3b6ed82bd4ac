//! Workers that die.

use std::time::Duration;

use futures::FutureExt as _;
use rand::Rng as _;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Own, Setup, World};

const ONE: Setup = Setup {
    workers: 1,
    ..Setup::USUAL
};

/// A row that crashes a worker at a point.
macro_rules! point {
    ($name:literal, $fault:literal, $point:literal) => {
        Row::new($name, $fault, 200, |world, trial| {
            crash(world, trial, $point).boxed()
        })
        .in_worlds(ONE)
    };
}

pub(super) const ROWS: [Row; 8] = [
    Row::new(
        "kill",
        "kill -9 of a worker at a random moment",
        1_000,
        |world, trial| kill(world, trial).boxed(),
    ),
    point!(
        "insert-commit",
        "crash between insert and commit",
        "ingest.inserted"
    ),
    point!(
        "commit-offset",
        "crash between commit and offset",
        "ingest.appended"
    ),
    point!(
        "attempt-post",
        "crash between attempt and POST",
        "dispatch.begun"
    ),
    point!(
        "post-answer",
        "crash between POST and answer",
        "dispatch.sent"
    ),
    point!(
        "answer-outcome",
        "crash between answer and outcome",
        "dispatch.answered"
    ),
    point!(
        "outcome-publish",
        "crash between outcome and publish",
        "record.stored"
    ),
    point!(
        "publish-mark",
        "crash between publish and its mark",
        "relay.published"
    ),
];

/// Calls come, and at some moment while they are under way one of two workers is gone.
async fn kill(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 40)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    if !world.waits() {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        moment(&mut trial.chance, Duration::from_millis(300)).await;
    }
    let under_way = world.waits();
    let place = trial.chance.random_range(0..world.workers.len());
    world.workers[place].kill().await?;
    world.respawn(place, &Own::default())?;
    Ok(u64::from(under_way))
}

/// The one worker that there is crashes at a point that half of all passages survive, and another
/// begins where it left.
async fn crash(world: &mut World, trial: &mut Trial, point: &str) -> anyhow::Result<u64> {
    world.dismiss(0).await?;
    world.spawn(&Own {
        failpoints: format!("{point}=50%return"),
        ..Own::default()
    })?;
    let mut crashed = false;
    for _ in 0..20 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        crashed = world.aborted(0, Duration::from_secs(1)).await?;
        if crashed {
            break;
        }
    }
    world.workers[0].kill().await?;
    world.respawn(0, &Own::default())?;
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(u64::from(crashed))
}
