//! PostgreSQL that stops at once, or loses its connections.

use std::time::Duration;

use futures::FutureExt as _;

use super::moment;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, World};

pub(super) const ROWS: [Row; 2] = [
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
];

async fn stop(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let services = std::sync::Arc::clone(&world.services);
    services.kill(Service::Postgres).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    services.again(Service::Postgres).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
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
