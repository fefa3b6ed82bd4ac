//! Events that are no calls, that come again too late, or that share a Task.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::TimeDelta;
use futures::FutureExt as _;
use rand::Rng as _;
use serde_json::json;

use crate::row::{Row, Trial};
use crate::world::call::{Call, Event, now};
use crate::world::{ACCOUNTS, PATIENCE, Setup, World, tick};

pub(super) const ROWS: [Row; 3] = [
    Row::new(
        "poison",
        "10 poison events among 1,000; one such thousand a trial",
        1_000,
        |world, trial| poison(world, trial).boxed(),
    ),
    Row::new(
        "purged",
        "events come again when their calls are forgotten",
        50,
        |world, trial| purged(world, trial).boxed(),
    )
    .in_worlds(Setup {
        environment: &[
            ("VCC_LINK_INGEST__DEDUPE_HORIZON", "1day"),
            ("VCC_LINK_WATCHDOG__ENDS_WITHIN", "12h"),
            ("VCC_LINK_KAFKA__CREATE__CALLS_RETENTION", "1h"),
        ],
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "dialled",
        "two calls dialled from one Task",
        100,
        |world, trial| async move { dialled(world, trial) }.boxed(),
    ),
];

/// Bytes that are no event.
pub(super) fn spoilt(chance: &mut rand::rngs::StdRng) -> Event {
    let mut event = World::call(chance, "acme").ended();
    event.value = match chance.random_range(0..6) {
        0 => Vec::new(),
        1 => b"\xff\xfe\x00 no JSON".to_vec(),
        2 => b"{\"accountId\": 7}".to_vec(),
        3 => vec![b'x'; chance.random_range(1..200_000)],
        4 => event.value[..event.value.len() / 2].to_vec(),
        _ => b"[]".to_vec(),
    };
    event
}

async fn poison(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let before = world.quarantined();
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 25)?;
        world.produce(&spoilt(&mut trial.chance))?;
        world.load(&mut trial.chance, &ACCOUNTS, 25)?;
    }
    let deadline = Instant::now() + PATIENCE;
    while world.quarantined() < before + 10 {
        ensure!(Instant::now() < deadline, "not all poison is quarantined");
        tick().await;
    }
    Ok(10)
}

/// The platform repeats the ends of calls that nobody remembers any more: they are just within the
/// horizon when they come first, and beyond it when they come again.
async fn purged(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let began = now() - TimeDelta::days(1) + TimeDelta::seconds(15);
    let calls: Vec<Call> = (0..10)
        .map(|n| World::call(&mut trial.chance, ACCOUNTS[n % ACCOUNTS.len()]).begun(began))
        .collect();
    for call in &calls {
        world.end(call)?;
    }
    world.settled(PATIENCE).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    // What is forgotten goes by when it came, and that was long ago now.
    world
        .sql("update calls set received_at = received_at - interval '40 days'")
        .await?;
    let deadline = Instant::now() + PATIENCE * 2;
    let first = &calls[0];
    let why = ["calls", "why", &first.account, &first.id, "--json"];
    while world.program.call(&why, "").await.is_ok() {
        ensure!(Instant::now() < deadline, "the calls are not forgotten");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    // All of them, and beyond the horizon.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for call in &calls {
        world.produce(&call.ended())?;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ok(u64::try_from(calls.len())?)
}

/// One of the two becomes that Task; the other gets one of its own.
fn dialled(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let mut pairs = 0;
    for _ in 0..5 {
        let account = ACCOUNTS[trial.chance.random_range(0..ACCOUNTS.len())];
        let org = if account.starts_with("acme") {
            "Acme"
        } else {
            "Beta"
        };
        let task = json!({"type": "Task", "Subject": "Call back", "Status": "Not Started"});
        let task = task.as_object().cloned().unwrap_or_default();
        let ids = world.control().add_records(org, vec![task])?;
        let task = ids.first().context("a Task to dial from")?.to_string();
        for _ in 0..2 {
            let call = World::call(&mut trial.chance, account)
                .with("direction", json!("outbound"))
                .with("crm", json!({"existingTaskId": task}));
            world.end(&call)?;
        }
        pairs += 1;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(pairs)
}
