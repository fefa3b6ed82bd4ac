//! People at work: who pause calls, put calls back, link and unlink, and change the key, several of them at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::FutureExt as _;
use rand::Rng as _;
use serde_json::{Value, json};

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, Keys, Own, PATIENCE, Setup, Twice, World, api_user, tick};

pub(super) const ROWS: [Row; 4] = [
    Row::new(
        "paused",
        "Tasks of an account, or of everybody, paused under way and resumed",
        100,
        |world, trial| paused(world, trial).boxed(),
    )
    .long(),
    Row::new(
        "put-back",
        "calls that may have a Task put back by two people at once, one of them killed",
        100,
        |world, trial| put_back(world, trial).boxed(),
    )
    .in_worlds(Setup {
        sees_all: false,
        twice: Twice::PutBack,
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "linked-by-three",
        "three people at once link and unlink the same accounts to and from two orgs, under way",
        100,
        |world, trial| linked_by_three(world, trial).boxed(),
    )
    .in_worlds(Setup {
        reasons: &["unlinked", "unresolved_in_previous_org", "unknown"],
        ..Setup::USUAL
    })
    .long(),
    Row::new(
        "key-changed",
        "the key is changed under way, and the rotation killed, again and again",
        100,
        |world, trial| key_changed(world, trial).boxed(),
    )
    .long(),
];

async fn paused(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let all = trial.chance.random();
    let account = ACCOUNTS[trial.chance.random_range(0..ACCOUNTS.len())];
    let scope = if all { "--all" } else { account };
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let pause = ["links", "pause", scope, "--tasks", "--reason", "a test"];
    world.program.call(&pause, "").await?;
    // The workers obey within seconds.
    let deadline = Instant::now() + PATIENCE;
    while in_state(world, "parked").await? == 0 {
        ensure!(Instant::now() < deadline, "the pause is not obeyed");
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(4)).await;
    let waiting = in_state(world, "parked").await?;
    let resume = ["links", "resume", scope];
    world.program.call(&resume, "").await?;
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(waiting)
}

/// Writes are lost, some of them after they were done, and nobody may see which. Then somebody may.
async fn put_back(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    see(world, false)?;
    for action in ["commit_then_drop", "drop_before_commit"] {
        world.fault(json!({
            "kind": "collections", "probability": 0.4, "action": {"type": action},
        }))?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 40)?;
    world.settled(PATIENCE).await?;
    world.faults_fired()?;
    let given_up = in_state(world, "dead").await?;
    see(world, true)?;
    let replay = [
        "calls", "replay", "--reason", "unknown", "--rate", "100", "--json",
    ];
    let one = world.program.call(&replay, "");
    let other = world.program.call(&replay, "");
    let killed = tokio::time::timeout(
        Duration::from_millis(trial.chance.random_range(0..500)),
        world.program.call(&replay, ""),
    );
    let (one, other, _) = tokio::join!(one, other, killed);
    one?;
    other?;
    let deadline = Instant::now() + PATIENCE;
    while in_state(world, "dead").await? > 0 || world.reasons() > 0 {
        ensure!(Instant::now() < deadline, "calls are given up again");
        world.program.call(&replay, "").await?;
        tick().await;
    }
    Ok(given_up)
}

/// They undo what the others do, and are told so at most.
async fn linked_by_three(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let accounts = ["acme", "beta"];
    let mut changes = 0;
    for _ in 0..5 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        let chance = &mut trial.chance;
        let [first, second, third] = std::array::from_fn(|_| {
            let account = accounts[chance.random_range(0..2)];
            let org = chance
                .random_bool(0.7)
                .then(|| accounts[chance.random_range(0..2)]);
            change_link(world, account, org)
        });
        let (first, second, third) = tokio::join!(first, second, third);
        changes += [first, second, third].iter().flatten().count();
        moment(&mut trial.chance, Duration::from_millis(800)).await;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    for account in accounts {
        world.link(account, &api_user(account)).await?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(u64::try_from(changes)?)
}

/// Links an account to this org, or unlinks it.
async fn change_link(world: &World, account: &str, org: Option<&str>) -> anyhow::Result<()> {
    if let Some(org) = org {
        return world.link(account, &api_user(org)).await;
    }
    let unlink = ["links", "unlink", account, "--yes"];
    world.program.call(&unlink, "").await?;
    Ok(())
}

/// As `vcc-link keys --help` tells it.
async fn key_changed(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let old = world.program.keys.primary;
    let new = (old + 1) % 2;
    for keys in [
        Keys {
            primary: old,
            other: Some(new),
        },
        Keys {
            primary: new,
            other: Some(old),
        },
    ] {
        world.program.keys = keys;
        for place in 0..world.workers.len() {
            world.load(&mut trial.chance, &ACCOUNTS, 10)?;
            world.workers[place].kill().await?;
            world.respawn(place, &Own::default())?;
        }
    }
    world.ready().await?;
    let mut killed = 0;
    for _ in 0..4 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        let rotate = world.program.call(&["keys", "rotate"], "");
        let within = Duration::from_millis(trial.chance.random_range(10..400));
        killed += u64::from(tokio::time::timeout(within, rotate).await.is_err());
    }
    world.program.call(&["keys", "rotate"], "").await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    // Nothing that is still needed is sealed by the old one.
    world.program.keys = Keys::only(new);
    world.restart_all(&Own::default()).await?;
    world.ready().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.control().expire_sessions(None)?;
    Ok(killed)
}

/// The API users may see the Tasks that they make for others, or may not.
fn see(world: &World, all: bool) -> anyhow::Result<()> {
    for org in ["acme", "beta"] {
        world.change_user(org, json!({ "view_all_data": all }))?;
    }
    Ok(())
}

/// How many calls are in a state.
async fn in_state(world: &World, state: &str) -> anyhow::Result<u64> {
    let list = [
        "calls", "list", "--state", state, "--limit", "200", "--json",
    ];
    let told = world.program.call(&list, "").await?;
    let told: Value = serde_json::from_str(&told)?;
    let calls = told.as_array().map_or(0, Vec::len);
    Ok(u64::try_from(calls)?)
}
