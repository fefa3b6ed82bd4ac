//! Tokens that end, break and get lost, and links that change under way.

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use rand::Rng as _;
use serde_json::json;

use super::moment;
use crate::row::{Row, Trial};
use crate::world::{ACCOUNTS, PATIENCE, Setup, World, api_user, tick};

/// Three workers; each refresh replaces the refresh token.
const THREE: Setup = Setup {
    workers: 3,
    ..Setup::USUAL
};

pub(super) const ROWS: [Row; 5] = [
    Row::new(
        "expired",
        "access tokens end mid-batch; three workers, rotation on",
        500,
        |world, trial| expired(world, trial).boxed(),
    )
    .in_worlds(THREE),
    Row::new(
        "refused-sessions",
        "every second request is refused as unauthorized, with a good token; three workers",
        100,
        |world, trial| refused(world, trial).boxed(),
    )
    .in_worlds(THREE)
    .long(),
    Row::new(
        "revoked",
        "tokens revoked, then linked again; three workers",
        200,
        |world, trial| revoked(world, trial).boxed(),
    )
    .in_worlds(THREE),
    Row::new(
        "refresh-lost",
        "answer of a refresh lost after the rotation; three workers",
        300,
        |world, trial| refresh_lost(world, trial).boxed(),
    )
    .in_worlds(THREE),
    Row::new(
        "relink",
        "relink to another org, and unlink, with open attempts",
        500,
        |world, trial| relink(world, trial).boxed(),
    )
    .in_worlds(Setup {
        reasons: &["unlinked", "unresolved_in_previous_org", "unknown"],
        ..Setup::USUAL
    }),
];

/// A refresh helps with none of it; Salesforce is said to do this while an org moves.
async fn refused(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let unauthorized = json!({"type": "status", "status": 401, "errorCode": "INVALID_SESSION_ID",
        "message": "Session expired or invalid"});
    for kind in ["collections", "query", "search"] {
        world.fault(json!({"kind": kind, "probability": 0.5, "action": unauthorized}))?;
    }
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    moment(&mut trial.chance, Duration::from_secs(3)).await;
    world.faults_fired()
}

async fn expired(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let mut ended = 0;
    for _ in 0..3 {
        world.load(&mut trial.chance, &ACCOUNTS, 15)?;
        moment(&mut trial.chance, Duration::from_secs(1)).await;
        ended += world.control().expire_sessions(None)?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(u64::try_from(ended)?)
}

/// Links the accounts of an org again, as their admins would.
async fn link_again(world: &World, org: &str) -> anyhow::Result<()> {
    for account in ACCOUNTS.iter().filter(|account| account.starts_with(org)) {
        world.link(account, &api_user(account)).await?;
    }
    Ok(())
}

async fn revoked(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let org = if trial.chance.random() {
        "acme"
    } else {
        "beta"
    };
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.change_user(org, json!({"revoke_tokens": true}))?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    moment(&mut trial.chance, Duration::from_secs(3)).await;
    let waited = world.waits();
    link_again(world, org).await?;
    Ok(u64::from(waited))
}

/// The refresh token was replaced, and nobody has the new one: the old one is tried once more, and
/// then only an admin helps.
async fn refresh_lost(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let org = if trial.chance.random() {
        "acme"
    } else {
        "beta"
    };
    world.fault(json!({
        "kind": "token", "times": 1, "action": {"type": "token_drop_after_rotate"},
    }))?;
    world.reuse_allowed += 1;
    let control = world.control();
    control.expire_sessions(Some(org))?;
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    let deadline = Instant::now() + PATIENCE / 4;
    while control.faults().iter().all(|rule| rule.fired == 0) && Instant::now() < deadline {
        tick().await;
    }
    moment(&mut trial.chance, Duration::from_secs(8)).await;
    let fired = world.faults_fired()?;
    link_again(world, org).await?;
    Ok(fired)
}

/// Some requests' answers are lost, so that attempts are open when the link changes.
async fn relink(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.fault(json!({
        "kind": "collections", "probability": 0.4, "action": {"type": "commit_then_drop"},
    }))?;
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(2)).await;
    if trial.chance.random() {
        world.link("acme", &api_user("beta")).await?;
    } else {
        let unlink = ["links", "unlink", "acme", "--yes"];
        world.program.call(&unlink, "").await?;
    }
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    moment(&mut trial.chance, Duration::from_secs(3)).await;
    world.faults_fired()?;
    world.link("acme", &api_user("acme")).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(1)
}
