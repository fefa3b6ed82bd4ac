//! Several faults at once, and everything gone at once.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::moment;
use crate::proxy::Way;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, Own, World};

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "power-cut",
        "all workers, Kafka and PostgreSQL killed at once, and started again",
        100,
        |world, trial| power_cut(world, trial).boxed(),
    )
    .alone()
    .long(),
    Row::new(
        "three-at-once",
        "three of six things go wrong at once: a worker, PostgreSQL, Kafka, the way to Salesforce, its answers, its tokens",
        500,
        |world, trial| at_once(world, trial).boxed(),
    )
    .alone()
    .long(),
];

/// The workers come again before what they need, or behind it.
async fn power_cut(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, Duration::from_millis(300)).await;
    let under_way = world.waits();
    let services = Arc::clone(&world.services);
    tokio::try_join!(
        world.kill_all(),
        services.kill(Service::Kafka),
        services.kill(Service::Postgres),
    )?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    if trial.chance.random() {
        world.restart_all(&Own::default()).await?;
    }
    let mut order = [Service::Kafka, Service::Postgres];
    if trial.chance.random() {
        order.reverse();
    }
    for service in order {
        services.again(service).await?;
        moment(&mut trial.chance, Duration::from_secs(4)).await;
    }
    world.staffed().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.flushed().await?;
    Ok(u64::from(under_way))
}

/// Where something may go wrong, whatever goes wrong elsewhere.
#[derive(Clone, Copy)]
enum Place {
    Worker,
    Database,
    Kafka,
    WayToSalesforce,
    Answers,
    Tokens,
}

impl Place {
    const ALL: [Self; 6] = [
        Self::Worker,
        Self::Database,
        Self::Kafka,
        Self::WayToSalesforce,
        Self::Answers,
        Self::Tokens,
    ];

    /// Something goes wrong here.
    async fn begin(self, world: &mut World, trial: &mut Trial) -> anyhow::Result<()> {
        let chance = &mut trial.chance;
        match self {
            Self::Worker if chance.random() => world.workers[0].signal(Signal::STOP),
            Self::Worker => {
                world.workers[0].kill().await?;
                world.respawn(0, &world.through_proxy())?;
            }
            Self::Database if chance.random_bool(0.25) => world.postgres.set(Way::CommitLost),
            Self::Database => world.postgres.set(trouble(trial)),
            Self::Kafka => world.services.signal(Service::Kafka, Signal::STOP)?,
            Self::WayToSalesforce => world.salesforce.set(trouble(trial)),
            Self::Answers => {
                let action = ANSWERS
                    .choose(chance)
                    .map_or(Value::Null, |answer| answer());
                world
                    .fault(json!({"kind": "collections", "probability": 0.5, "action": action}))?;
            }
            Self::Tokens => {
                world.control().expire_sessions(None)?;
            }
        }
        Ok(())
    }

    /// It is well again.
    fn end(self, world: &World) -> anyhow::Result<()> {
        match self {
            Self::Worker => world.workers[0].signal(Signal::CONT),
            Self::Database => world.postgres.set(Way::Open),
            Self::Kafka => world.services.signal(Service::Kafka, Signal::CONT)?,
            Self::WayToSalesforce => world.salesforce.set(Way::Open),
            Self::Answers => {
                world.faults_fired()?;
            }
            Self::Tokens => {}
        }
        Ok(())
    }
}

/// What becomes of a connection.
fn trouble(trial: &mut Trial) -> Way {
    let slow = Duration::from_millis(trial.chance.random_range(200..2_000));
    let ways = [Way::Cut, Way::Silent, Way::Slow(slow)];
    ways[trial.chance.random_range(0..ways.len())]
}

/// What becomes of the answers to Tasks that are made. Late commits are within what Salesforce may work on
/// a request, time scaled.
const ANSWERS: [fn() -> Value; 6] = [
    || json!({"type": "commit_then_drop"}),
    || json!({"type": "drop_before_commit"}),
    || json!({"type": "commit_late", "ms": 1_500}),
    || json!({"type": "constant_500"}),
    || json!({"type": "html", "status": 503, "commit": true}),
    || json!({"type": "truncated"}),
];

/// They begin and end each at a moment of its own, in an order of their own.
async fn at_once(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.all_through_proxy().await?;
    let places = Place::ALL.choose_multiple(&mut trial.chance, 3);
    let begin: Vec<Place> = places.copied().collect();
    for place in &begin {
        world.load(&mut trial.chance, &ACCOUNTS, 15)?;
        moment(&mut trial.chance, Duration::from_millis(1_500)).await;
        place.begin(world, trial).await?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 15)?;
    moment(&mut trial.chance, Duration::from_secs(6)).await;
    let under_way = world.waits();
    let mut end = begin.clone();
    end.rotate_left(trial.chance.random_range(0..begin.len()));
    for place in &end {
        place.end(world)?;
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        moment(&mut trial.chance, Duration::from_secs(3)).await;
    }
    world.flushed().await?;
    Ok(if under_way {
        u64::try_from(begin.len())?
    } else {
        0
    })
}
