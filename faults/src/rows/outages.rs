//! Salesforce that is down, and orgs whose daily limit is used up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::moment;
use crate::proxy::{Proxy, Way};
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Own, PATIENCE, Setup, World};

pub(super) const ROWS: [Row; 7] = [
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
    Row::new(
        "slow-org",
        "one org takes 3 s for each answer and has ten times the calls; the other's may not wait for it",
        100,
        |world, trial| slow_org(world, trial).boxed(),
    )
    .alone()
    .long(),
    Row::new(
        "collector-hangs",
        "the collector of traces and metrics takes connections and never answers",
        20,
        |world, trial| collector(world, trial).boxed(),
    )
    .in_worlds(Setup {
        environment: &[
            ("VCC_LINK_TELEMETRY__OTLP_INTERVAL", "1s"),
            ("VCC_LINK_TELEMETRY__TRACE_SHARE", "1"),
        ],
        ..Setup::USUAL
    })
    .long(),
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

/// All calls of both orgs come to the same workers.
async fn slow_org(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let (quick, slow) = ACCOUNTS.split_at(2);
    world.fault(json!({"org": "Beta", "action": {"type": "delay", "ms": 3_000}}))?;
    let (mut of_quick, mut of_slow) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        of_slow.extend(world.load(&mut trial.chance, slow, 50)?);
        of_quick.extend(world.load(&mut trial.chance, quick, 5)?);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    world.settled(PATIENCE * 2).await?;
    let delayed = world.faults_fired()?;
    let quick = world.longest(&of_quick);
    let slow = world.longest(&of_slow);
    let (quick, slow) = quick.zip(slow).context("calls have no end")?;
    trial.measured = Some(("the quick org's calls ended", quick));
    ensure!(
        quick * 2 < slow,
        "calls of the quick org waited {quick:?}, and those of the slow one {slow:?}"
    );
    Ok(delayed)
}

/// Neither work nor the end of a worker waits for it.
async fn collector(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let nowhere = Proxy::to("127.0.0.1:9".to_owned()).await?;
    nowhere.set(Way::Silent);
    let own = Own {
        collector: Some(format!("http://{}", nowhere.address)),
        ..Own::default()
    };
    world.restart_all(&own).await?;
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 20)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.settled(PATIENCE).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    let ending = Instant::now();
    world.dismiss(1).await?;
    trial.measured = Some(("ended", ending.elapsed()));
    let met = nowhere.struck();
    world.restart_all(&Own::default()).await?;
    world.staffed().await?;
    Ok(met)
}
