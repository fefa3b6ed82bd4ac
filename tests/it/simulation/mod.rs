//! The engine in deterministic simulation: many worlds with several replicas, a model store and a
//! model Salesforce, in which everything goes wrong that the design knows of. After it calms
//! down, every call must have come to its one end.
//!
//! `make simulate SEEDS=1000000` lives through more worlds, on all cores; `FIRST=1000000` goes on
//! behind those. `make simulate SEED=7` lives through one and tells its story.

mod many;
mod salesforce;
mod store;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;
use vcc_link::domain::call::{
    Agent, CallEnded, CallEvent, CallFacts, CallOutcome, CallStarted, CrmContext, Direction,
    Durations, EventMeta, Party, Service,
};
use vcc_link::domain::ids::{AccountId, CallId, OrgId, RecordId, Revision};
use vcc_link::domain::link::{Environment, LinkedOrg, Username};
use vcc_link::domain::outcome::{DeadReason, LoggedAs, Outcome};
use vcc_link::domain::pause::Scope;
use vcc_link::domain::task::KeyMode;
use vcc_link::domain::work::Lane;
use vcc_link::engine::Config;
use vcc_link::engine::backoff::Backoff;

use salesforce::Spoils;
use world::{Event, World};

/// Worlds in a plain test run.
const SEEDS: u64 = 500;

/// How long an account's calls wait after an Unlink.
const GRACE: Duration = Duration::from_mins(5);

/// What must have happened to some call in some of them.
const EVERYTHING: [&str; 33] = [
    "Created",
    "Updated",
    "Adopted",
    "Unlinked",
    "parked: Unlinked",
    "linked again in time",
    "Expired",
    "Unknown",
    "UnresolvedInPreviousOrg",
    "Refused",
    "RetriesExhausted",
    "LinkBroken",
    "OrgRefuses",
    "Quota",
    "Paused",
    "replayed: Send",
    "replayed: Look",
    "retried",
    "not sent",
    "in doubt",
    "stale",
    "Task taken",
    "looked up: None",
    "looked up: Timeout",
    "looked up: Throttled",
    "looked up: NotLinked",
    "committed unheard",
    "not committed",
    "begun late",
    "begun meanwhile",
    "AtRisk: RefreshInDoubt",
    "Healthy: Recovered",
    "Broken: RefreshInDoubt",
];

#[test]
fn every_call_comes_to_one_end_whatever_goes_wrong() {
    if let Some(seed) = number("VCC_LINK_SIMULATION_SEED") {
        live(seed, true);
        return;
    }
    let first = number("VCC_LINK_SIMULATION_FIRST").unwrap_or(0);
    let seeds = number("VCC_LINK_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let seen = many::live_all(first, seeds, |seed| live(seed, false));
    // Worlds in which nothing went wrong would prove nothing; so few may miss what is rare.
    let unseen: Vec<_> = EVERYTHING
        .iter()
        .filter(|what| seeds >= SEEDS && !seen.contains(**what))
        .collect();
    assert!(
        unseen.is_empty(),
        "never happened: {unseen:?}; it did: {seen:?}"
    );
}

/// A number from the environment, where it is set.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// One world, from its troubles to its end. Tells what happened to its calls.
fn live(seed: u64, tell: bool) -> BTreeSet<String> {
    let mut world = World::new(
        seed,
        config(seed),
        1 + usize::try_from(seed % 3).expect("small"),
        tell,
    );
    let troubles = Duration::from_secs(world.rng.random_range(300..1_800));
    let calm = world.now + troubles;
    let orgs = orgs(&mut world);
    let accounts: Vec<AccountId> = (0..world.rng.random_range(1..=4))
        .map(|n| format!("account-{n}").parse().expect("an id"))
        .collect();
    plan_links(&mut world, &accounts, &orgs, calm);
    // Several calls may be dialled from each.
    let planned: Vec<RecordId> = (0..4)
        .map(|n| world.salesforce.plan_task(&orgs[n % orgs.len()].org))
        .collect();
    plan_calls(&mut world, &accounts, &planned, troubles);
    plan_accidents(&mut world, calm);
    plan_orders(&mut world, &accounts, &orgs, calm);
    world.plan(calm, Event::Calm);
    world.run(calm, |_| false);

    mend_links(&mut world, &accounts, &orgs);
    let end = world.now + Duration::from_hours(4);
    world.run(end, |world| {
        world.calm && world.unfinished().all(|(_, right)| right)
    });
    check(&world);
    put_back(&mut world);
    let end = world.now + Duration::from_hours(4);
    world.run(end, |world| world.unfinished().all(|(_, right)| right));
    check(&world);
    let settled = world.awake_at() + Duration::from_mins(2);
    world.run(settled, |_| false);
    assert!(world.is_balanced(), "shards are not shared fairly");
    world.store.happened
}

/// The defaults, with waits that fit into an afternoon.
fn config(seed: u64) -> Config {
    let mut config = Config::default();
    // Where a wake is lost, half of the worlds wait for long until they look by themselves.
    config.memory.poll = Duration::from_mins([1, 5][usize::from(seed.is_multiple_of(2))]);
    config.memory.page = 7;
    config.memory.calls = 40;
    config.memory.calls_per_account = 12;
    config.batching.tasks = 6;
    config.batching.lookups = 4;
    config.retry.tasks = Backoff::new(Duration::from_secs(5), Duration::from_mins(5));
    // Longer than all troubles, so that only what always fails is given up.
    config.retry.at_least_for = Duration::from_hours(2);
    config.pacing.quota_park_after = Duration::from_mins(10);
    config.reconcile.previous_org_patience = Duration::from_mins(15);
    config.links.storm_window = Duration::from_mins(1);
    config.links.unpark_page = 5;
    config.links.refused_every = Duration::from_mins(10);
    config.links.unlink_grace = GRACE;
    config.links.parked_at_most = Duration::from_hours(3);
    config
}

/// How Tasks are found again by a link that is made; what its user sees is asked then.
fn key_mode(world: &mut World) -> KeyMode {
    if world.rng.random_bool(0.6) {
        return KeyMode::CallObject { sees_all: true };
    }
    KeyMode::UniqueField {
        field: "VccKey__c".to_owned(),
    }
}

fn orgs(world: &mut World) -> Vec<LinkedOrg> {
    (0..3)
        .map(|n| LinkedOrg {
            org: format!("00D{n:012}").parse::<OrgId>().expect("an org id"),
            user: format!("005{n:012}").parse().expect("a user id"),
            name: None,
            username: Username::default(),
            environment: Environment::Production,
            instance_url: String::new(),
            key_mode: key_mode(world),
            time_zone: None,
            default_country: None,
            closed_status: None,
            preflight: vec![],
            asked_at: None,
        })
        .collect()
}

fn plan_links(world: &mut World, accounts: &[AccountId], orgs: &[LinkedOrg], calm: DateTime<Utc>) {
    let span = (calm - world.now)
        .to_std()
        .expect("calm comes later")
        .as_secs();
    for account in accounts {
        let pick = |world: &mut World| {
            let mut org = orgs[world.rng.random_range(0..orgs.len())].clone();
            // The field may have come or gone since another link was made.
            if world.rng.random_bool(0.2) {
                org.key_mode = key_mode(world);
            }
            org
        };
        if world.rng.random_bool(0.9) {
            let org = pick(world);
            world.plan(world.now, Event::Link(account.clone(), Some(org)));
        }
        for _ in 0..world.rng.random_range(0..3) {
            let at = world.now + Duration::from_secs(world.rng.random_range(0..span));
            let event = match world.rng.random_range(0..6) {
                0 => {
                    if world.rng.random_bool(0.5) {
                        let again = world.rng.random_range(0..2 * GRACE.as_secs());
                        let again = at + Duration::from_secs(again);
                        let link = Event::Link(account.clone(), Some(pick(world)));
                        world.plan(again.min(calm), link);
                    }
                    Event::Link(account.clone(), None)
                }
                1 | 2 => Event::Link(account.clone(), Some(pick(world))),
                3 => Event::Revoke(account.clone()),
                _ => Event::Expire(account.clone()),
            };
            world.plan(at, event);
        }
    }
    for linked in orgs {
        let until = |world: &mut World, odds| {
            let at = world.now + Duration::from_secs(world.rng.random_range(0..span));
            world.rng.random_bool(odds).then_some(at)
        };
        let trouble = salesforce::Troubles {
            down_until: until(world, 0.2),
            quota_until: until(world, 0.2),
            refuses_until: until(world, 0.2),
            keyless_until: until(world, 0.2),
        };
        world
            .salesforce
            .troubles
            .insert(linked.org.clone(), trouble);
        if world.rng.random_bool(0.3) {
            world.salesforce.see(&linked.org, false);
        }
        if let Some(at) = until(world, 0.3) {
            let sees = world.rng.random_bool(0.3);
            world.plan(at, Event::Sees(linked.org.clone(), sees));
        }
    }
}

/// Links that broke are mended by their admins, or not.
fn mend_links(world: &mut World, accounts: &[AccountId], orgs: &[LinkedOrg]) {
    for account in accounts {
        let link = world.store.link(account, world.now);
        if link.org.is_some() && world.rng.random_bool(0.8) {
            let other = orgs[world.rng.random_range(0..orgs.len())].clone();
            let same = link.org.clone().filter(|_| world.rng.random_bool(0.7));
            let at = world.now + Duration::from_secs(world.rng.random_range(1..300));
            world.plan(
                at,
                Event::Link(account.clone(), Some(same.unwrap_or(other))),
            );
        }
    }
}

fn plan_calls(world: &mut World, accounts: &[AccountId], planned: &[RecordId], troubles: Duration) {
    for n in 0..world.rng.random_range(5..40) {
        let account = accounts[world.rng.random_range(0..accounts.len())].clone();
        let id = CallId {
            account,
            interaction: format!("call-{n}").parse().expect("an id"),
        };
        let began = world.now + Duration::from_secs(world.rng.random_range(0..troubles.as_secs()));
        let ended = began + Duration::from_secs(world.rng.random_range(1..300));
        if world.rng.random_bool(0.02) {
            // What was written before, unseen and unanswered, is there all the same.
            let since = ended + Duration::from_secs(world.rng.random_range(0..600));
            let how = [Spoils::Request, Spoils::Row][world.rng.random_range(0..2)];
            world.salesforce.spoilers.insert(id.clone(), (since, how));
        }
        let dialled = world.rng.random_bool(0.2);
        let task = planned[world.rng.random_range(0..planned.len())].clone();
        let task = dialled.then_some(task);
        let mut events = Vec::new();
        if world.rng.random_bool(0.8) {
            // Now and then a begin comes only when the call is over.
            let heard = [began, ended][usize::from(world.rng.random_bool(0.05))];
            events.push((heard, started(&id, began)));
        }
        let revisions = [0, 1, 1, 1, 2, 3][world.rng.random_range(0..6)];
        for revision in 0..revisions {
            let at = ended + Duration::from_secs(u64::try_from(revision).expect("small") * 40);
            let mut end = end(&id, began, ended, Revision(revision));
            end.facts.crm.existing_task.clone_from(&task);
            events.push((at, CallEvent::Ended(Box::new(end))));
        }
        for (at, event) in events {
            let late = if world.rng.random_bool(0.2) {
                200_000
            } else {
                500
            };
            for _ in 0..=u32::from(world.rng.random_bool(0.1)) {
                let at = at + Duration::from_millis(world.rng.random_range(0..late));
                world.plan(at, Event::Call(Box::new(event.clone())));
            }
        }
    }
}

fn plan_accidents(world: &mut World, calm: DateTime<Utc>) {
    let span = (calm - world.now)
        .to_std()
        .expect("calm comes later")
        .as_secs();
    let replicas = world.replicas();
    for _ in 0..world.rng.random_range(0..4) {
        let at = world.now + Duration::from_secs(world.rng.random_range(0..span));
        let replica = world.rng.random_range(0..replicas);
        let event = if world.rng.random_bool(0.5) {
            Event::Crash(replica)
        } else {
            let stands = Duration::from_secs(world.rng.random_range(1..120));
            Event::Pause(replica, at + stands)
        };
        world.plan(at, event);
    }
}

/// Operators pause accounts, orgs and everybody, and want calls back, at any moment.
fn plan_orders(world: &mut World, accounts: &[AccountId], orgs: &[LinkedOrg], calm: DateTime<Utc>) {
    let span = (calm - world.now)
        .to_std()
        .expect("calm comes later")
        .as_secs();
    for _ in 0..world.rng.random_range(0..3) {
        let scope = match world.rng.random_range(0..4) {
            0 => Scope::All,
            1 => Scope::Org(orgs[world.rng.random_range(0..orgs.len())].org.clone()),
            _ => Scope::Account(accounts[world.rng.random_range(0..accounts.len())].clone()),
        };
        let lane = [Lane::Task, Lane::Lookup][world.rng.random_range(0..2)];
        let from = world.now + Duration::from_secs(world.rng.random_range(0..span));
        let until = from + Duration::from_secs(world.rng.random_range(1..600));
        world.plan(from, Event::Brake(scope.clone(), lane, true));
        world.plan(until.min(calm), Event::Brake(scope, lane, false));
    }
    for n in 0..world.rng.random_range(0..20) {
        for account in accounts {
            let call = CallId {
                account: account.clone(),
                interaction: format!("call-{n}").parse().expect("an id"),
            };
            let at = world.now + Duration::from_secs(world.rng.random_range(0..span));
            world.plan(at, Event::Replay(call));
        }
    }
}

/// Whatever was given up is put back once the world is calm.
fn put_back(world: &mut World) {
    let calls: Vec<CallId> = world.store.calls.keys().cloned().collect();
    for call in calls {
        if world.rng.random_bool(0.5) {
            let at = world.now + Duration::from_millis(world.rng.random_range(1..5_000));
            world.plan(at, Event::Replay(call));
        }
    }
}

fn meta(id: &CallId, what: &str, time: DateTime<Utc>) -> EventMeta {
    EventMeta {
        id: format!("{}-{what}", id.interaction).parse().expect("an id"),
        time,
        traceparent: None,
    }
}

fn facts(id: &CallId, started_at: DateTime<Utc>) -> CallFacts {
    CallFacts {
        id: id.clone(),
        conversation_id: None,
        direction: Direction::Inbound,
        started_at,
        from: Party::default(),
        to: Party::default(),
        customer_side: None,
        service: Service::default(),
        agent: Agent::default(),
        crm: CrmContext::default(),
        attributes: BTreeMap::new(),
        test: true,
    }
}

fn started(id: &CallId, at: DateTime<Utc>) -> CallEvent {
    CallEvent::Started(Box::new(CallStarted {
        meta: meta(id, "started", at),
        facts: facts(id, at),
        expires_at: None,
    }))
}

fn end(id: &CallId, began: DateTime<Utc>, at: DateTime<Utc>, revision: Revision) -> CallEnded {
    CallEnded {
        meta: meta(id, &format!("ended-{revision}"), at),
        facts: facts(id, began),
        ended_at: at,
        durations: Durations::default(),
        outcome: CallOutcome::Answered,
        ended_by: None,
        handled_by: None,
        legs: Vec::new(),
        disposition: None,
        notes: None,
        recording: None,
        voicemail: None,
        revision,
        last: false,
    }
}

/// The promises, once the world is calm.
fn check(world: &World) {
    let open: Vec<_> = world
        .unfinished()
        .filter(|(_, right)| !right)
        .map(|(id, _)| &world.store.calls[id])
        .collect();
    assert!(open.is_empty(), "calls without an end: {open:#?}");
    let robbed = &world.salesforce.robbed;
    assert!(robbed.is_empty(), "lost their Task to another: {robbed:?}");
    for (id, row) in &world.store.calls {
        assert_eq!(
            world.store.looked_up.contains_key(id),
            row.call.started.is_some(),
            "{id}: one lookup answer for each begun call"
        );
        let mut ends = world
            .store
            .ended
            .iter()
            .filter(|((call, ..), _)| call == id);
        if let Some(((_, _, revision), last)) = ends.next_back().filter(|_| row.is_done()) {
            check_end(world, id, *revision, last);
        }
    }
}

fn check_end(world: &World, id: &CallId, revision: Revision, last: &Outcome) {
    let tasks = world
        .salesforce
        .tasks
        .get(id)
        .map_or(&[][..], Vec::as_slice);
    let logged = world
        .store
        .ended
        .iter()
        .any(|((call, ..), outcome)| call == id && matches!(outcome, Outcome::Logged { .. }));
    match last {
        Outcome::Logged { how, task } => {
            // An adopted Task may hold what an earlier attempt said.
            let says = |t: &salesforce::Task| *how == LoggedAs::Adopted || t.revision == revision;
            assert!(
                tasks.iter().any(|t| &t.id == task && says(t)),
                "{id} is logged as {task} at revision {revision}: {tasks:?}"
            );
        }
        Outcome::Skipped { .. } => {
            assert!(
                logged || tasks.is_empty(),
                "{id} is skipped and has {tasks:?}"
            );
        }
        Outcome::Dead { reason, .. } => {
            let right = match reason {
                DeadReason::Unknown | DeadReason::UnresolvedInPreviousOrg => true,
                DeadReason::Refused => logged,
                DeadReason::RetriesExhausted => {
                    let spoilt = world.salesforce.spoilers.contains_key(id);
                    spoilt && (logged || tasks.is_empty())
                }
                DeadReason::Bug => false,
            };
            assert!(right, "{id} is given up: {reason:?}, and has {tasks:?}");
        }
        other => panic!("{id} ended with {other:?}"),
    }
}
