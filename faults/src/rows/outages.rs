//! Salesforce that is down, and orgs whose daily limit is used up.

use std::time::Duration;

use futures::FutureExt as _;
use serde_json::json;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Setup, World};

pub(super) const ROWS: [Row; 5] = [
    Row::new(
        "org-down",
        "Salesforce down for one org, an hour scaled to 12 s",
        100,
        |world, trial| down(world, trial, &["Beta"], Duration::from_secs(12)).boxed(),
    ),
    Row::new(
        "salesforce-down",
        "Salesforce down for all, an hour scaled to 12 s",
        100,
        |world, trial| down(world, trial, &["Acme", "Beta"], Duration::from_secs(12)).boxed(),
    )
    .long(),
    Row {
        patience: Duration::from_mins(15),
        ..Row::new(
            "ten-minutes-down",
            "Salesforce down for all, ten minutes, production's waits",
            1,
            |world, trial| down(world, trial, &["Acme", "Beta"], Duration::from_mins(10)).boxed(),
        )
        .in_worlds(PRODUCTIONS_WAITS)
        .long()
    },
    Row {
        patience: Duration::from_mins(10),
        ..Row::new(
            "flood",
            "10,000 calls a trial while Salesforce is down",
            100,
            |world, trial| flood(world, trial).boxed(),
        )
        .long()
    },
    Row::new(
        "daily-limit",
        "daily limit reached, and free again",
        100,
        |world, trial| limit(world, trial).boxed(),
    ),
];

const PRODUCTIONS_WAITS: Setup = Setup {
    environment: &[
        (
            "VCC_LINK_ENGINE__RETRY__TASKS",
            "{ first = \"5s\", longest = \"1h\" }",
        ),
        ("VCC_LINK_ENGINE__RETRY__ATTEMPTS", "30"),
        ("VCC_LINK_ENGINE__RETRY__AT_LEAST_FOR", "2days"),
        (
            "VCC_LINK_ENGINE__PACING__BREAKER",
            "{ first = \"1s\", longest = \"5m\" }",
        ),
    ],
    ..Setup::USUAL
};

/// Orgs answer with the maintenance page; calls come all the time.
async fn down(
    world: &mut World,
    trial: &mut Trial,
    orgs: &[&str],
    length: Duration,
) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    for org in orgs {
        world.switch(org, json!({"maintenance": 503}))?;
    }
    for _ in 0..12 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        tokio::time::sleep(length / 12).await;
    }
    let waited = world.waits();
    for org in orgs {
        world.switch(org, json!({"maintenance": null}))?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(u64::from(waited))
}

async fn limit(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.switch(
        "Acme",
        json!({"daily_limit": 100_000, "used_today": 100_000}),
    )?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    moment(&mut trial.chance, Duration::from_secs(4)).await;
    let waited = world.waits();
    world.switch("Acme", json!({"used_today": 0}))?;
    Ok(u64::from(waited))
}

/// Calls arrive as fast as Kafka takes them, and none can go out: consumption goes on, and memory
/// stays flat.
async fn flood(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    for org in ["Acme", "Beta"] {
        world.switch(org, json!({"maintenance": 503}))?;
    }
    for _ in 0..20 {
        world.load(&mut trial.chance, &ACCOUNTS, 500)?;
        world.flushed().await?;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let waited = world.waits();
    for org in ["Acme", "Beta"] {
        world.switch(org, json!({"maintenance": null}))?;
    }
    Ok(u64::from(waited))
}
