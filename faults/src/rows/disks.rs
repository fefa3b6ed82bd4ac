//! Services whose disk is full.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;

use super::moment;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, Own, OwnService, PATIENCE, Setup, World, tick};

const POSTGRES: Setup = Setup {
    own: OwnService::OnSmallDisk(Service::Postgres),
    ..Setup::USUAL
};

pub(super) const ROWS: [Row; 4] = [
    Row::new(
        "disk-full",
        "PostgreSQL's disk full: statements fail",
        20,
        |world, trial| statements(world, trial).boxed(),
    )
    .in_worlds(POSTGRES)
    .long(),
    Row::new(
        "wal-full",
        "PostgreSQL's disk full: its log cannot be written, and it stops",
        20,
        |world, trial| wal(world, trial).boxed(),
    )
    .in_worlds(POSTGRES)
    .long(),
    Row::new(
        "log-full",
        "the disk full that the workers write their logs to",
        20,
        |world, trial| logs(world, trial).boxed(),
    )
    .long(),
    Row::new(
        "kafka-full",
        "Kafka's disk full: the broker gives up, and is started again",
        20,
        |world, trial| kafka(world, trial).boxed(),
    )
    .in_worlds(Setup {
        own: OwnService::OnSmallDisk(Service::Kafka),
        ..Setup::USUAL
    })
    .long(),
];

/// Calls come until a statement found no room, and for a while after.
async fn statements(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    full(world, trial, Service::Postgres, "No space left on device").await
}

/// A transaction of nobody's uses up the log's room as well.
async fn wal(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    full(world, trial, Service::Postgres, "PANIC").await
}

/// Not a line of their logs finds room.
async fn logs(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let no_log = Own {
        no_log: true,
        ..Own::default()
    };
    world.restart_all(&no_log).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    world.settled(PATIENCE).await?;
    for worker in &mut world.workers {
        ensure!(worker.death()?.is_none(), "a worker ended by itself");
    }
    // Those of the next trial are others, and may say what they do.
    world.restart_all(&Own::default()).await?;
    Ok(u64::try_from(world.workers.len())?)
}

/// Neither calls nor results find room.
async fn kafka(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    full(world, trial, Service::Kafka, "No space left on device").await
}

/// The disk is filled under load, and has room again some time after the service has said these words.
async fn full(
    world: &mut World,
    trial: &mut Trial,
    service: Service,
    words: &'static str,
) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let services = std::sync::Arc::clone(&world.services);
    let before = services.said(service, words)?;
    services.disk()?.fill()?;
    let deadline = Instant::now() + PATIENCE;
    let mut times = before;
    while times == before && Instant::now() < deadline {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        if words == "PANIC" {
            // Where the server has no room for it, that is what was wanted.
            let _ = services
                .administer("select pg_logical_emit_message(true, '', repeat('x', 4000000))".into())
                .await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        times = services.said(service, words)?;
    }
    moment(&mut trial.chance, Duration::from_secs(3)).await;
    services.disk()?.free()?;
    let deadline = Instant::now() + PATIENCE;
    // It comes back by itself, or has ended and is started again.
    loop {
        if !services.listens(service).await {
            services.again(service).await?;
        }
        if service == Service::Kafka || services.ask("select true").await.is_ok() {
            break;
        }
        ensure!(Instant::now() < deadline, "{service:?} does not come back");
        tick().await;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(u64::try_from(times - before)?)
}
