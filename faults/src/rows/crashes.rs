//! Workers that die.

use std::time::Duration;

use futures::FutureExt as _;
use rand::Rng as _;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Own, Setup, World};

/// One worker of the row's own; the trial starts the one that crashes.
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
    let place = trial.chance.random_range(0..world.workers.len());
    let under_way = !world.missing().is_empty();
    world.workers[place].kill().await?;
    world.respawn(place, &Own::default())?;
    Ok(u64::from(under_way))
}

/// One of two workers crashes at a point that half of all passages survive; the other takes over.
async fn crash(world: &mut World, trial: &mut Trial, point: &str) -> anyhow::Result<u64> {
    let place = world.spawn(&Own {
        failpoints: format!("{point}=50%return"),
        ..Own::default()
    })?;
    world.ready().await?;
    let mut crashed = false;
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        crashed = world.aborted(place, Duration::from_secs(2)).await?;
        if crashed {
            break;
        }
    }
    world.dismiss(place).await?;
    Ok(u64::from(crashed))
}
