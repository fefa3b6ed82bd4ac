//! Writes whose answer is lost, and commits that come late.

use std::time::Duration;

use futures::FutureExt as _;
use rand::Rng as _;
use serde_json::{Value, json};

use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, PATIENCE, Setup, World};

/// Calls of a trial: half of them in an org with a unique field, half in one without.
const WRITES: usize = 100;

/// The API users do not see the Tasks that they make for agents. What cannot be known is said.
const HIDDEN: Setup = Setup {
    sees_all: false,
    reasons: &["unknown"],
    ..Setup::USUAL
};

pub(super) const ROWS: [Row; 6] = [
    Row::new(
        "lost-answer",
        "answer lost after commit; 100 writes a trial, both key modes",
        200,
        |world, trial| lost(world, trial).boxed(),
    ),
    Row::new(
        "late-commit",
        "commit that comes late, time scaled; 100 writes a trial",
        200,
        |world, trial| late(world, trial).boxed(),
    ),
    Row::new(
        "hidden-lost",
        "answer lost, and the Task hidden by sharing; 100 writes a trial",
        200,
        |world, trial| lost(world, trial).boxed(),
    )
    .in_worlds(HIDDEN),
    Row::new(
        "hidden-late",
        "commit late, and the Task hidden by sharing; 100 writes a trial",
        200,
        |world, trial| late(world, trial).boxed(),
    )
    .in_worlds(HIDDEN)
    .long(),
    Row::new(
        "constant-500",
        "constant 500 on one record of many",
        100,
        |world, trial| constant(world, trial).boxed(),
    )
    .in_worlds(Setup {
        environment: &[
            ("VCC_LINK_ENGINE__RETRY__ATTEMPTS", "4"),
            ("VCC_LINK_ENGINE__RETRY__AT_LEAST_FOR", "2s"),
            (
                "VCC_LINK_ENGINE__RETRY__TASKS",
                "{ first = \"100ms\", longest = \"400ms\" }",
            ),
        ],
        ..Setup::USUAL
    }),
    Row::new(
        "trigger",
        "a trigger fails the whole batch",
        100,
        |world, trial| trigger(world, trial).boxed(),
    ),
];

/// Every second request that creates Tasks meets this.
async fn every_second(world: &mut World, trial: &mut Trial, action: Value) -> anyhow::Result<u64> {
    world.fault(json!({"kind": "collections", "probability": 0.5, "action": action}))?;
    // In parts, so that there are many requests to strike.
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, WRITES / 10)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // Until then it strikes: a slow machine sends later.
    world.settled(PATIENCE).await?;
    world.faults_fired()
}

async fn lost(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    every_second(world, trial, json!({"type": "commit_then_drop"})).await
}

/// Up to two thirds of the time that is waited before "no Task" is believed.
async fn late(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let ms = trial.chance.random_range(200..2_000);
    every_second(world, trial, json!({"type": "commit_late", "ms": ms})).await
}

/// The one record is given up, and none of its neighbours.
async fn constant(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let account = ACCOUNTS[trial.chance.random_range(0..ACCOUNTS.len())];
    let doomed = World::call(&mut trial.chance, account);
    world.fault(json!({
        "kind": "collections", "match": {"field": "CallObject", "contains": doomed.id},
        "action": {"type": "constant_500"},
    }))?;
    world.load(&mut trial.chance, &[account], 15)?;
    world.end(&doomed)?;
    world.allow(&doomed, &["retries_exhausted"]);
    world.load(&mut trial.chance, &[account], 15)?;
    world.settled(PATIENCE).await?;
    world.faults_fired()
}

async fn trigger(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let times = trial.chance.random_range(1..4);
    world.fault(json!({
        "kind": "collections", "times": times, "action": {
            "type": "whole_chunk_failure", "statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "message": "VccTrigger: execution of AfterInsert",
        },
    }))?;
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    world.settled(PATIENCE).await?;
    world.faults_fired()
}
