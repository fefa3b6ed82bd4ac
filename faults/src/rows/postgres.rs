//! PostgreSQL that stops at once, loses its connections, can only be read, is slow, or keeps a table locked.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;
use rand::Rng as _;
use sqlx::Connection as _;

use super::moment;
use crate::proxy::Way;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, PATIENCE, World, tick};

pub(super) const ROWS: [Row; 6] = [
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
    Row::new(
        "slow-database",
        "each of PostgreSQL's answers comes 0.2 to 2 s late, for some seconds",
        100,
        |world, trial| slow(world, trial).boxed(),
    )
    .long(),
    Row::new(
        "commit-lost",
        "a database connection breaks at each third commit, which is done; 10 s a trial",
        100,
        |world, trial| commit_lost(world, trial).boxed(),
    ),
    Row::new(
        "locked",
        "somebody keeps a table locked for up to 12 s",
        100,
        |world, trial| locked(world, trial).boxed(),
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

/// Leases last 3 s here: behind the longest of these delays they all run out, and nobody works until it
/// is over.
async fn slow(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.all_through_proxy().await?;
    let before = world.postgres.struck();
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let delay = Duration::from_millis(trial.chance.random_range(200..2_000));
    world.postgres.set(Way::Slow(delay));
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    tokio::time::sleep(delay * 3).await;
    moment(&mut trial.chance, Duration::from_secs(6)).await;
    world.postgres.set(Way::Open);
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(world.postgres.struck() - before)
}

/// What was written, and whether, is not known to whom wrote it.
async fn commit_lost(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.all_through_proxy().await?;
    let before = world.postgres.struck();
    world.postgres.set(Way::CommitLost);
    for _ in 0..20 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.postgres.set(Way::Open);
    Ok(world.postgres.struck() - before)
}

/// Tables that somebody may lock, as a migration by hand or a dump does.
const TABLES: [&str; 6] = [
    "accounts",
    "attempts",
    "calls",
    "call_bodies",
    "leases",
    "outbox",
];

/// For longer than a statement may take, or shorter.
async fn locked(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let table = TABLES[trial.chance.random_range(0..TABLES.len())];
    let lock = world.lock(table).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    moment(&mut trial.chance, Duration::from_secs(10)).await;
    let waited = world.waits();
    lock.close().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(u64::from(waited))
}
