//! PostgreSQL that stops at once, loses its connections, or can only be read.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;

use super::moment;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, PATIENCE, World, tick};

pub(super) const ROWS: [Row; 3] = [
    Row::new(
        "postgres-stopped",
        "PostgreSQL stopped at once and started again",
        50,
        |world, trial| stop(world, trial).boxed(),
    )
    .alone(),
    Row::new(
        "connections-cut",
        "database connections cut, 2/s; 10 s a trial",
        60,
        |world, trial| cut(world, trial).boxed(),
    ),
    Row::new(
        "read-only",
        "new connections meet a PostgreSQL that is read-only for some seconds",
        100,
        |world, trial| read_only(world, trial).boxed(),
    )
    .long(),
];

/// How long after PostgreSQL's return the first offsets may be committed.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);

/// While PostgreSQL is away partitions wait, and no worker loses its place in the group.
async fn stop(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let before = world.membership().await?;
    let services = std::sync::Arc::clone(&world.services);
    services.kill(Service::Postgres).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let committed = world.committed().await?;
    services.again(Service::Postgres).await?;
    let back = Instant::now();
    while world.committed().await? <= committed {
        ensure!(
            back.elapsed() < RESUMES_WITHIN,
            "no offset is committed within {RESUMES_WITHIN:?} of PostgreSQL's return"
        );
        tick().await;
    }
    trial.measured = Some(("resumed", back.elapsed()));
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.settled(PATIENCE).await?;
    let after = world.membership().await?;
    ensure!(
        after == before,
        "the group changed: {before:?}, then {after:?}"
    );
    Ok(1)
}

async fn cut(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let mut cut = 0;
    for _ in 0..20 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        cut += world.services.cut_connection(&world.name).await?;
    }
    Ok(cut)
}

/// As behind an address that leads to a standby for a while. The connections made meanwhile are not
/// cut when it is over.
async fn read_only(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let name = world.name.clone();
    let set = |state| format!("alter database {name} set default_transaction_read_only = {state}");
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.services.administer(set("on")).await?;
    world
        .services
        .administer(format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        ))
        .await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    moment(&mut trial.chance, Duration::from_secs(4)).await;
    let waited = world.waits();
    world.services.administer(set("off")).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(u64::from(waited))
}
