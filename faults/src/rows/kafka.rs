//! Kafka that dies, stands still, shares its partitions out anew, gets more of them, or forgets how far it
//! was read.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use rand::Rng as _;
use rdkafka::admin::AdminOptions;
use rustix::process::Signal;

use super::moment;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, Own, PATIENCE, Setup, World, admin, tick};

pub(super) const ROWS: [Row; 8] = [
    Row::new(
        "kafka-killed",
        "Kafka's broker killed and started again",
        50,
        |world, trial| broker(world, trial).boxed(),
    )
    .alone(),
    Row::new(
        "kafka-frozen",
        "SIGSTOP of Kafka's broker for 2 to 15 s, then on",
        50,
        |world, trial| frozen(world, trial).boxed(),
    )
    .alone()
    .long(),
    Row::new(
        "kafka-slow",
        "Kafka's broker stands still for most of the time, a fifth of a second each time",
        20,
        |world, trial| slow(world, trial).boxed(),
    )
    .alone()
    .long(),
    Row::new(
        "partitions-added",
        "the topic of the calls gets more partitions",
        20,
        |world, trial| partitions(world, trial).boxed(),
    )
    .long(),
    Row::new(
        "results-deleted",
        "the topic of the results is deleted, and made anew some seconds later",
        20,
        |world, trial| results(world, trial).boxed(),
    )
    .long(),
    Row::new(
        "rebalance",
        "replicas 1-3-1; 20 s a trial",
        90,
        |world, trial| rebalance(world, trial).boxed(),
    )
    .in_worlds(Setup {
        workers: 1,
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "offsets-lost",
        "Kafka forgets the group's offsets",
        50,
        |world, trial| offsets(world, trial, false).boxed(),
    ),
    Row::new(
        "reread",
        "the topic is read again from its start",
        50,
        |world, trial| offsets(world, trial, true).boxed(),
    ),
];

/// The broker is gone for some seconds; what the platform sends meanwhile comes later.
async fn broker(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    let services = std::sync::Arc::clone(&world.services);
    services.kill(Service::Kafka).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    services.again(Service::Kafka).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.flushed().await?;
    Ok(1)
}

/// The broker stands still, past the members' sessions or not.
async fn frozen(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    world.services.signal(Service::Kafka, Signal::STOP)?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    let still = trial.chance.random_range(2_000..15_000);
    tokio::time::sleep(Duration::from_millis(still)).await;
    let waited = world.waits();
    world.services.signal(Service::Kafka, Signal::CONT)?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.flushed().await?;
    Ok(u64::from(waited))
}

/// Every answer of the broker comes late, for five to fifteen seconds.
async fn slow(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    let until = Instant::now() + Duration::from_millis(trial.chance.random_range(5_000..15_000));
    let mut times = 0;
    while Instant::now() < until {
        if times % 5 == 0 {
            world.load(&mut trial.chance, &ACCOUNTS, 2)?;
        }
        times += 1;
        world.services.signal(Service::Kafka, Signal::STOP)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.services.signal(Service::Kafka, Signal::CONT)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.flushed().await?;
    Ok(times)
}

/// Calls come to new partitions before any worker has heard of them.
async fn partitions(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let known = world.partitions().await?;
    world.add_partitions(known + 2).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 60)?;
    world.flushed().await?;
    world.settled(PATIENCE).await?;
    // How far they were read is told to Kafka a little later.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read = world.read_in(known..known + 2).await?;
        if read > 0 || Instant::now() > deadline {
            return Ok(read);
        }
        tick().await;
    }
}

/// What was told and not read yet is gone with the topic: that is why all is told before.
async fn results(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.settled(PATIENCE).await?;
    world.delete_results().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(8)).await;
    let waited = world.waits();
    world.make_results().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(u64::from(waited))
}

/// Two more workers come, and go again, while calls come all the time.
async fn rebalance(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let mut new = Vec::new();
    for _ in 0..2 {
        new.push(world.spawn(&Own::default())?);
    }
    let mut had_work = [false; 2];
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (had, place) in had_work.iter_mut().zip(&new) {
            *had |= world.workers[*place].shards().await.unwrap_or_default() > 0;
        }
    }
    for place in &new {
        world.workers[*place].signal(Signal::TERM);
    }
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for place in new.into_iter().rev() {
        world.dismiss(place).await?;
    }
    Ok(u64::from(had_work == [true; 2]))
}

/// While no worker runs, Kafka loses the group's offsets; `all`: the database loses them too.
async fn offsets(world: &mut World, trial: &mut Trial, all: bool) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    for worker in &mut world.workers {
        worker.kill().await?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.flushed().await?;
    forget_group(world).await?;
    if all {
        // What a table that was lost, or restored from before the first call, looks like.
        world.sql("delete from offsets").await?;
    }
    world.staffed().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(1)
}

/// Deletes the consumer group once Kafka has noticed that its members are gone.
async fn forget_group(world: &World) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + crate::world::PATIENCE;
    let admin = admin(&world.services.kafka)?;
    loop {
        let deleted = admin
            .delete_groups(&[&world.name], &AdminOptions::new())
            .await?;
        match deleted.into_iter().next() {
            Some(Err((group, code))) if std::time::Instant::now() > deadline => {
                anyhow::bail!("the group {group} cannot be deleted: {code}")
            }
            Some(Err(_)) => tokio::time::sleep(Duration::from_millis(300)).await,
            _ => return Ok(()),
        }
    }
}
