//! Scratch.
#![allow(warnings, clippy::all, clippy::pedantic, clippy::restriction)]
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use rand::Rng as _;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use super::moment;
use crate::proxy::Way;
use crate::row::{Row, Trial};
use crate::services::Service;
use crate::world::{ACCOUNTS, Own, PATIENCE, Setup, World, admin, api_user, tick};

fn reasons(r: &'static [&'static str]) -> Setup {
    Setup { reasons: r, ..Setup::USUAL }
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("x-locked", "x", 1, |w, t| locked(w, t, 8).boxed()),
        Row::new("x-locked-minute", "x", 1, |w, t| locked(w, t, 60).boxed()),
        Row::new("x-full", "x", 1, |w, t| full(w, t).boxed()).alone(),
        Row::new("x-readonly", "x", 1, |w, t| readonly(w, t).boxed()),
        Row::new("x-slow200", "x", 1, |w, t| slow(w, t, 100).boxed()),
        Row::new("x-slow2000", "x", 1, |w, t| slow(w, t, 1000).boxed()),
        Row::new("x-dead", "x", 1, |w, t| dead(w, t, false).boxed()),
        Row::new("x-dead-sf", "x", 1, |w, t| dead(w, t, true).boxed()),
        Row::new("x-commitcut", "x", 1, |w, t| commitcut(w, t).boxed()),
        Row::new("x-chaos", "x", 1, |w, t| chaos(w, t, false).boxed()),
        Row::new("x-chaos-commit", "x", 1, |w, t| chaos(w, t, true).boxed()),
        Row::new("x-listen", "x", 1, |w, t| listen(w, t).boxed()),
        Row::new("x-cancel", "x", 1, |w, t| cancel(w, t).boxed()),
        Row::new("x-hostile", "x", 1, |w, t| hostile(w, t).boxed()).in_worlds(reasons(&["refused", "unknown"])),
        Row::new("x-401", "x", 1, |w, t| every_second(w, t).boxed()),
        Row::new("x-slow-org", "x", 1, |w, t| slow_org(w, t).boxed()),
        Row::new("x-fds", "x", 1, |w, t| limited(w, t, "ulimit -n 48").boxed()),
        Row::new("x-fds-few", "x", 1, |w, t| limited(w, t, "ulimit -n 30").boxed()),
        Row::new("x-stdout", "x", 1, |w, t| limited(w, t, "exec > >(sleep 100) 2>&1; ulimit -n 1024").boxed()),
        Row::new("x-stopped", "x", 1, |w, t| stopped(w, t).boxed()),
        Row::new("x-termkill", "x", 1, |w, t| termkill(w, t).boxed()),
        Row::new("x-fifty", "x", 1, |w, t| fifty(w, t).boxed()),
        Row::new("x-links", "x", 1, |w, t| links(w, t).boxed()).in_worlds(reasons(&["unlinked", "unresolved_in_previous_org", "unknown"])),
        Row::new("x-pause", "x", 1, |w, t| pause(w, t).boxed()),
        Row::new("x-migrate", "x", 1, |w, t| migrate(w, t).boxed()),
        Row::new("x-replay", "x", 1, |w, t| replay(w, t).boxed()).in_worlds(Setup { reasons: &["retries_exhausted", "refused", "unknown"], forgets: true, ..Setup::USUAL }),
        Row::new("x-rotate", "x", 1, |w, t| rotate(w, t).boxed()),
        Row::new("x-kafka-frozen", "x", 1, |w, t| frozen(w, t, 30).boxed()).alone(),
        Row::new("x-kafka-frozen90", "x", 1, |w, t| frozen(w, t, 90).boxed()).alone(),
        Row::new("x-partitions", "x", 1, |w, t| partitions(w, t).boxed()),
        Row::new("x-out-deleted", "x", 1, |w, t| out_deleted(w, t).boxed()),
        Row::new("x-out-small", "x", 1, |w, t| out_small(w, t).boxed()),
    ]
}

async fn secs(n: u64) { tokio::time::sleep(Duration::from_secs(n)).await }
async fn ms(n: u64) { tokio::time::sleep(Duration::from_millis(n)).await }

async fn locked(world: &mut World, trial: &mut Trial, length: u64) -> anyhow::Result<u64> {
    for table in ["calls", "attempts", "leases", "outbox", "links"] {
        if length > 20 && table != "calls" { continue }
        world.load(&mut trial.chance, &ACCOUNTS, 20)?;
        moment(&mut trial.chance, Duration::from_secs(1)).await;
        let mut c = world.direct().await?;
        c.execute("begin").await?;
        c.execute(sqlx::AssertSqlSafe(format!("lock table {table} in access exclusive mode"))).await.context(table)?;
        for _ in 0..length {
            world.load(&mut trial.chance, &ACCOUNTS, 4)?;
            secs(1).await;
        }
        c.execute("rollback").await?;
        let healed = Instant::now();
        world.load(&mut trial.chance, &ACCOUNTS, 4)?;
        world.settled(PATIENCE).await?;
        eprintln!("x-locked {table} {length}: healed after {:?}", healed.elapsed());
    }
    Ok(1)
}

async fn full(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let url = world.services.database.to_string();
    let name = world.name.clone();
    let mut admin = world.direct().await?;
    let mut hogs = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    let mut refused = 0;
    while Instant::now() < end {
        admin.execute(sqlx::AssertSqlSafe(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"))).await?;
        loop {
            match sqlx::PgConnection::connect(&url).await {
                Ok(c) => hogs.push(c),
                Err(_) => { refused += 1; break }
            }
        }
        world.load(&mut trial.chance, &ACCOUNTS, 2)?;
        ms(200).await;
    }
    eprintln!("x-full: {} hogs, refused {refused}", hogs.len());
    drop(hogs);
    let healed = Instant::now();
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    world.settled(PATIENCE).await?;
    eprintln!("x-full healed after {:?}", healed.elapsed());
    Ok(refused)
}

async fn readonly(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let name = world.name.clone();
    world.load(&mut trial.chance, &ACCOUNTS, 30)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    world.exec(format!("alter database {name} set default_transaction_read_only = on")).await?;
    world.services.administer(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await?;
    for _ in 0..12 {
        world.load(&mut trial.chance, &ACCOUNTS, 2)?;
        ms(500).await;
    }
    let waited = !world.missing().is_empty();
    world.services.administer(format!("alter database {name} set default_transaction_read_only = off")).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    let healed = Instant::now();
    world.settled(PATIENCE).await?;
    eprintln!("x-readonly healed after {:?}, missing {}", healed.elapsed(), world.missing().len());
    Ok(u64::from(waited))
}

async fn proxied(world: &mut World) -> anyhow::Result<()> {
    world.postgres.set(Way::Open);
    let own = world.through_proxy();
    for place in 0..world.workers.len() {
        world.workers[place].kill().await?;
        world.respawn(place, &own)?;
    }
    world.ready().await
}

async fn slow(world: &mut World, trial: &mut Trial, each: u64) -> anyhow::Result<u64> {
    proxied(world).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    let before = world.postgres.struck();
    world.postgres.set(Way::Slow(each));
    let began = Instant::now();
    for _ in 0..20 {
        world.load(&mut trial.chance, &ACCOUNTS, 2)?;
        secs(1).await;
    }
    let still = world.missing().len();
    world.settled(PATIENCE).await?;
    eprintln!("x-slow {each}: missing in it {still}, all settled while slow: {} after {:?}", world.missing().len(), began.elapsed());
    let struck = world.postgres.struck() - before;
    world.postgres.set(Way::Open);
    let healed = Instant::now();
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    world.settled(PATIENCE).await?;
    eprintln!("x-slow healed after {:?}", healed.elapsed());
    Ok(struck)
}

async fn dead(world: &mut World, trial: &mut Trial, salesforce: bool) -> anyhow::Result<u64> {
    if !salesforce { proxied(world).await?; }
    let mut n = 0;
    for _ in 0..3 {
        world.load(&mut trial.chance, &ACCOUNTS, 20)?;
        moment(&mut trial.chance, Duration::from_secs(1)).await;
        let proxy = if salesforce { &world.salesforce } else { &world.postgres };
        let before = proxy.struck();
        proxy.set(Way::Dead);
        let length = trial.chance.random_range(300..4000);
        ms(length).await;
        let proxy = if salesforce { &world.salesforce } else { &world.postgres };
        proxy.set(Way::Open);
        n += proxy.struck() - before;
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        let healed = Instant::now();
        world.settled(Duration::from_secs(150)).await?;
        eprintln!("x-dead sf={salesforce} {length} healed after {:?}, missing {}", healed.elapsed(), world.missing().len());
    }
    Ok(n)
}

async fn commitcut(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    proxied(world).await?;
    let before = world.postgres.struck();
    world.postgres.set(Way::CommitCut(30));
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 8)?;
        ms(700).await;
    }
    let struck = world.postgres.struck() - before;
    world.postgres.set(Way::Open);
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    Ok(struck)
}

async fn chaos(world: &mut World, trial: &mut Trial, at_commit: bool) -> anyhow::Result<u64> {
    world.exec("create sequence if not exists chaos_seq".into()).await?;
    world.exec("create or replace function chaos() returns trigger language plpgsql as $$ begin
        if random() < 0.25 then
          raise exception 'chaos' using errcode = (array['40001','40P01','57014','53100','53200','58030','55P03','08006'])[1 + floor(random()*8)::int];
        end if; return coalesce(new, old); end $$".into()).await?;
    let when = if at_commit { "constraint trigger chaos after insert or update" } else { "trigger chaos before insert or update" };
    let how = if at_commit { "deferrable initially deferred for each row" } else { "for each statement" };
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    world.exec(format!("do $$ declare t text; begin for t in select tablename from pg_tables where schemaname = 'public' and tablename not like '\\_%' loop
        execute format('create {when} on %I {how} execute function chaos()', t); end loop; end $$")).await?;
    for _ in 0..16 {
        world.load(&mut trial.chance, &ACCOUNTS, 4)?;
        ms(500).await;
    }
    world.exec("drop function chaos() cascade".into()).await?;
    let healed = Instant::now();
    world.load(&mut trial.chance, &ACCOUNTS, 5)?;
    world.settled(PATIENCE).await?;
    eprintln!("x-chaos commit={at_commit} healed after {:?}", healed.elapsed());
    Ok(1)
}

async fn listen(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let name = world.name.clone();
    for _ in 0..30 {
        world.load(&mut trial.chance, &ACCOUNTS, 3)?;
        world.services.administer(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and query ilike 'listen%'")).await?;
        ms(250).await;
    }
    Ok(1)
}

async fn cancel(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let name = world.name.clone();
    let mut c = world.direct().await?;
    for _ in 0..100 {
        world.load(&mut trial.chance, &ACCOUNTS, 1)?;
        for _ in 0..5 {
            c.execute(sqlx::AssertSqlSafe(format!("select pg_cancel_backend(pid) from pg_stat_activity where datname = '{name}' and state <> 'idle' and pid <> pg_backend_pid()"))).await?;
            ms(15).await;
        }
    }
    Ok(1)
}

async fn hostile(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let mut least = u64::MAX;
    for kind in 0..crate::proxy::HOSTILE {
        let before = world.salesforce.struck();
        world.salesforce.set(Way::Hostile(kind));
        let began = Instant::now();
        for _ in 0..4 {
            world.load(&mut trial.chance, &ACCOUNTS, 5)?;
            ms(500).await;
        }
        world.settled(Duration::from_secs(5)).await?;
        let during = world.missing().len();
        let struck = world.salesforce.struck() - before;
        world.salesforce.set(Way::Open);
        let healed = Instant::now();
        world.settled(PATIENCE).await?;
        let v = world.judge()?;
        eprintln!("x-hostile {kind}: struck {struck}, during {during}, healed {:?}, missing {}, faults {:?} reasons {} memory {} MiB", healed.elapsed(), world.missing().len(), v.faults().collect::<Vec<_>>(), v.reasons, v.memory >> 20);
        least = least.min(struck);
    }
    Ok(least)
}

async fn every_second(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    for kind in ["collections", "search", "query"] {
        world.fault(json!({"id": kind, "kind": kind, "probability": 0.5, "action": {"type": "status", "status": 401, "errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}}))?;
    }
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        ms(500).await;
    }
    world.settled(PATIENCE / 3).await?;
    eprintln!("x-401: missing during {}", world.missing().len());
    world.faults_fired()
}

async fn slow_org(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let began = Instant::now();
    for _ in 0..10 { world.load(&mut trial.chance, &["beta", "beta-two"], 4)?; ms(500).await; }
    world.settled(PATIENCE).await?;
    eprintln!("x-slow-org: beta before {:?}", world.slowest("beta", began));
    world.fault(json!({"id": "slow", "org": "Acme", "action": {"type": "delay", "ms": 3900}}))?;
    let began = Instant::now();
    for _ in 0..20 {
        world.load(&mut trial.chance, &["acme", "acme-two"], 300)?;
        world.load(&mut trial.chance, &["beta", "beta-two"], 4)?;
        ms(500).await;
    }
    eprintln!("x-slow-org: beta during {:?}, acme {:?}", world.slowest("beta", began), world.slowest("acme", began));
    let f = world.faults_fired()?;
    Ok(f)
}

async fn limited(world: &mut World, trial: &mut Trial, before: &'static str) -> anyhow::Result<u64> {
    for place in 0..world.workers.len() {
        world.workers[place].kill().await?;
        world.respawn(place, &Own { before, ..Own::default() })?;
    }
    for _ in 0..16 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        ms(500).await;
    }
    world.settled(PATIENCE / 2).await?;
    let mut dead = 0;
    for w in &mut world.workers { if let Some(d) = w.death()? { eprintln!("died {d:?}"); dead += 1 } }
    eprintln!("x-limited {before}: missing {} dead {dead}", world.missing().len());
    for place in 0..world.workers.len() {
        world.workers[place].kill().await?;
        world.respawn(place, &Own::default())?;
    }
    Ok(1)
}

async fn stopped(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        let place = trial.chance.random_range(0..2);
        world.workers[place].signal(Signal::STOP);
        ms(trial.chance.random_range(500..4000)).await;
        world.workers[place].signal(Signal::CONT);
        ms(trial.chance.random_range(0..300)).await;
    }
    Ok(1)
}

async fn termkill(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    for _ in 0..4 {
        world.load(&mut trial.chance, &ACCOUNTS, 20)?;
        moment(&mut trial.chance, Duration::from_secs(1)).await;
        let place = trial.chance.random_range(0..2);
        world.workers[place].signal(Signal::TERM);
        ms(trial.chance.random_range(0..1000)).await;
        world.workers[place].kill().await?;
        world.load(&mut trial.chance, &ACCOUNTS, 5)?;
        world.respawn(place, &Own::default())?;
        ms(trial.chance.random_range(0..1500)).await;
    }
    Ok(1)
}

async fn fifty(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    for n in 0..25 {
        world.load(&mut trial.chance, &ACCOUNTS, 3)?;
        for place in 0..2 {
            if trial.chance.random() { world.workers[place].signal(Signal::TERM); }
            ms(trial.chance.random_range(0..800)).await;
            world.workers[place].kill().await?;
            world.respawn(place, &Own::default())?;
        }
    }
    Ok(1)
}

async fn links(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.fault(json!({"kind": "collections", "probability": 0.3, "action": {"type": "commit_then_drop"}}))?;
    for _ in 0..8 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        let unlink = ["links", "unlink", "acme", "--yes"];
        let user = api_user(if trial.chance.random() { "acme" } else { "beta" });
        let (a, b, c) = tokio::join!(world.program.call(&unlink, ""), world.link("acme", &user), world.link("acme", "api@acme.example"));
        for r in [a.map(|_| ()), b, c] { if let Err(e) = r { eprintln!("x-links: {e:#}"); } }
    }
    world.faults_fired()?;
    world.link("acme", "api@acme.example").await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    Ok(1)
}

async fn pause(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.fault(json!({"kind": "collections", "probability": 0.3, "action": {"type": "commit_then_drop"}}))?;
    for _ in 0..3 {
        world.load(&mut trial.chance, &ACCOUNTS, 20)?;
        moment(&mut trial.chance, Duration::from_millis(800)).await;
        let r = world.program.call(&["links", "pause", "acme", "--tasks", "--reason", "try"], "").await;
        if let Err(e) = &r { eprintln!("x-pause: {e:#}"); }
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        secs(4).await;
        let replay = ["calls", "replay", "--state", "parked", "--account", "acme"];
        let (a, b) = tokio::join!(world.program.call(&replay, ""), world.program.call(&replay, ""));
        for r in [a, b] { match r { Err(e) => eprintln!("x-pause replay: {e:#}"), Ok(t) => eprintln!("x-pause: {t}") } }
        secs(1).await;
        let r = world.program.call(&["links", "resume", "acme"], "").await;
        if let Err(e) = &r { eprintln!("x-pause: {e:#}"); }
    }
    world.faults_fired()
}

async fn migrate(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    for w in &mut world.workers { w.kill().await?; }
    world.exec("drop schema public cascade; create schema public".into()).await?;
    let all = futures::future::join_all((0..6).map(|_| world.program.call(&["migrate"], ""))).await;
    for r in all { if let Err(e) = r { eprintln!("x-migrate: {e:#}"); return Ok(0) } }
    Ok(1)
}

async fn replay(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    Ok(1)
}

async fn rotate(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    let keys = "[{ id = \"faults\", key = \"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\" }, { id = \"new\", key = \"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDI=\" }]".to_owned();
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    // One worker seals by the new key, the other knows only the old.
    world.workers[1].kill().await?;
    let own = Own { environment: vec![("VCC_LINK_CRYPTO__KEYS", keys.clone()), ("VCC_LINK_CRYPTO__PRIMARY", "new".into())], ..Own::default() };
    world.respawn(1, &own)?;
    for _ in 0..10 {
        world.load(&mut trial.chance, &ACCOUNTS, 10)?;
        ms(500).await;
    }
    world.settled(PATIENCE / 2).await?;
    eprintln!("x-rotate: with a lacking ring missing {}", world.missing().len());
    world.workers[0].kill().await?;
    world.respawn(0, &own)?;
    world.settled(PATIENCE).await?;
    eprintln!("x-rotate: missing {}", world.missing().len());
    // back for the next trial
    world.workers[1].kill().await?;
    world.respawn(1, &own)?;
    Ok(1)
}

async fn pid_of_kafka(world: &World) -> anyhow::Result<String> {
    let out = std::process::Command::new("pgrep").args(["-f", "kafka.Kafka .*vcc-link-faults"]).output()?;
    let text = String::from_utf8(out.stdout)?;
    for p in text.lines() {
        let cmd = std::fs::read(format!("/proc/{p}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&cmd).contains(&world.services.folder().display().to_string()) { return Ok(p.to_owned()) }
    }
    anyhow::bail!("no kafka")
}

async fn frozen(world: &mut World, trial: &mut Trial, length: u64) -> anyhow::Result<u64> {
    let pid = pid_of_kafka(world).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 40)?;
    moment(&mut trial.chance, Duration::from_secs(1)).await;
    std::process::Command::new("kill").args(["-STOP", &pid]).status()?;
    for _ in 0..length { world.load(&mut trial.chance, &ACCOUNTS, 2)?; secs(1).await; }
    std::process::Command::new("kill").args(["-CONT", &pid]).status()?;
    let healed = Instant::now();
    world.flushed().await?;
    world.load(&mut trial.chance, &ACCOUNTS, 10)?;
    world.settled(PATIENCE).await?;
    eprintln!("x-frozen {length} healed after {:?}", healed.elapsed());
    Ok(1)
}

async fn partitions(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    use rdkafka::admin::{AdminOptions, NewPartitions};
    let topic = format!("{}.calls", world.name);
    for count in [7 + 4 * trial.number as usize, 9 + 4 * trial.number as usize] {
        world.load(&mut trial.chance, &ACCOUNTS, 20)?;
        let calls: Vec<_> = (0..20).map(|_| World::call(&mut trial.chance, "acme")).collect();
        for c in &calls { world.ring(c)?; }
        world.flushed().await?;
        admin(&world.services.kafka)?.create_partitions(&[NewPartitions::new(&topic, count)], &AdminOptions::new()).await?;
        for c in &calls { world.end(c)?; }
        let began = Instant::now();
        for _ in 0..20 { world.load(&mut trial.chance, &ACCOUNTS, 4)?; secs(1).await; }
        world.settled(Duration::from_secs(400)).await?;
        eprintln!("x-partitions {count}: slowest {:?}", world.slowest("", began));
    }
    Ok(1)
}

async fn out_deleted(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    world.settled(PATIENCE).await?;
    let topic = format!("{}.logs", world.name);
    let a = admin(&world.services.kafka)?;
    a.delete_topics(&[&topic], &AdminOptions::new()).await?;
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    secs(6).await;
    for r in a.create_topics(&[NewTopic::new(&topic, 3, TopicReplication::Fixed(1))], &AdminOptions::new()).await? { if let Err(e) = r { eprintln!("x-out-deleted: {e:?}"); } }
    world.load(&mut trial.chance, &ACCOUNTS, 20)?;
    let healed = Instant::now();
    world.settled(PATIENCE).await?;
    eprintln!("x-out-deleted healed after {:?} missing {}", healed.elapsed(), world.missing().len());
    Ok(1)
}

async fn out_small(world: &mut World, trial: &mut Trial) -> anyhow::Result<u64> {
    use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
    let topic = format!("{}.logs", world.name);
    let a = admin(&world.services.kafka)?;
    let set = |v: &'static str| AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", v);
    a.alter_configs([&set("700")], &AdminOptions::new()).await?;
    for _ in 0..10 { world.load(&mut trial.chance, &ACCOUNTS, 5)?; secs(1).await; }
    let missing = world.missing().len();
    a.alter_configs([&set("1048588")], &AdminOptions::new()).await?;
    let healed = Instant::now();
    world.settled(PATIENCE).await?;
    eprintln!("x-out-small: during {missing}, healed after {:?} missing {}", healed.elapsed(), world.missing().len());
    Ok(missing as u64)
}
