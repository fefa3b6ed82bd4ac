//! What the engine makes of tokens: refreshes ahead of need, links that die together, refreshes in
//! doubt, and links at risk that work again.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use vcc_link::domain::ids::{AccountId, CallId, Epoch, Generation, Revision, Sequence, ShardId};
use vcc_link::domain::link::{
    Environment, Health, LinkReason, LinkState, LinkStatus, LinkedOrg, Username,
};
use vcc_link::domain::outcome::{Failure, FailureClass, FailureScope};
use vcc_link::domain::pause::Paused;
use vcc_link::domain::preflight::{Check, Found, Point};
use vcc_link::domain::task::KeyMode;
use vcc_link::domain::work::{Due, Lane};
use vcc_link::engine::{BatchId, Command, Config, Engine, Input, Refreshed};

/// The only generation.
const FIRST: Generation = Generation(1);

/// An engine that owns every shard, and the links as they were marked.
struct World {
    engine: Engine,
    rng: StdRng,
    now: DateTime<Utc>,
    links: Vec<LinkState>,
    /// Refreshes that were asked for and are not over, each with whether it is ahead of need.
    asked: Vec<(AccountId, bool)>,
    /// The lookup that is under way.
    lookup: Option<BatchId>,
}

impl World {
    /// With so many healthy links.
    fn new(links: usize) -> Self {
        let now = Utc
            .with_ymd_and_hms(2026, 11, 23, 9, 0, 0)
            .single()
            .expect("a time");
        let mut world = Self {
            engine: Engine::new(Config::default()),
            rng: StdRng::seed_from_u64(7),
            now,
            links: (0..links).map(|n| link(n, now)).collect(),
            asked: Vec::new(),
            lookup: None,
        };
        let owned = (0..256).map(|n| (ShardId(n), Epoch(1))).collect();
        world.hear(Input::Leases { owned, replicas: 1 });
        world.hear(Input::Paused(Paused::default()));
        let links = world.links.clone();
        world.hear(Input::Links(links));
        for shard in (0..256).map(ShardId) {
            let attempts = Vec::new();
            world.hear(Input::OpenAttempts { shard, attempts });
        }
        world
    }

    /// Tells the engine, and carries out what it asks for.
    fn hear(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for command in self.engine.handle(self.now, &mut self.rng, input) {
                match command {
                    Command::RefreshToken { account, ahead, .. } => {
                        self.asked.push((account, ahead));
                    }
                    Command::Lookup { batch, .. } => self.lookup = Some(batch),
                    Command::MarkLink {
                        account,
                        health,
                        reason,
                        ..
                    } => {
                        let marked = self.links.iter_mut().find(|link| link.account == account);
                        let link = marked.expect("a link");
                        (link.health, link.reason) = (health, Some(reason));
                        link.sequence = link.sequence.next();
                        inputs.push(Input::Links(vec![link.clone()]));
                    }
                    _ => {}
                }
            }
        }
    }

    /// The tokens of these links are old.
    fn grow_old(&mut self) {
        let stale = self.links.iter().map(|link| (link.account.clone(), FIRST));
        let stale = stale.collect();
        self.hear(Input::Tokens {
            stale,
            doubtful: Vec::new(),
        });
    }

    /// Answers the refresh that was asked for first; false if none was.
    fn answer(&mut self, result: &Refreshed) -> bool {
        if self.asked.is_empty() {
            return false;
        }
        let (account, ahead) = self.asked.remove(0);
        self.hear(Input::Refreshed {
            account,
            generation: FIRST,
            ahead,
            result: result.clone(),
        });
        true
    }

    /// A caller of the first link's account rings, who is to be looked up.
    fn ring(&mut self) {
        let link = &self.links[0];
        let due = Due {
            call: CallId {
                account: link.account.clone(),
                interaction: "c".parse().expect("an interaction"),
            },
            shard: link.shard,
            lane: Lane::Lookup,
            due_at: self.now,
            lookup_deadline: Some(self.now + TimeDelta::hours(1)),
            looked_up: false,
            ended_at: None,
            revision: Revision(0),
            skip: None,
            attempts: 0,
            degraded: BTreeSet::new(),
            batch_limit: None,
            hidden: None,
        };
        self.hear(Input::Due {
            page: None,
            calls: vec![due],
            more: false,
        });
    }

    /// The lookup under way fails.
    fn fail_lookup(&mut self, failure: &Failure) {
        let batch = self.lookup.take().expect("a lookup under way");
        self.hear(Input::LookedUp {
            batch,
            answered: Vec::new(),
            failure: Some(failure.clone()),
            usage: None,
        });
    }

    /// The lookup under way finds its caller.
    fn serve_lookup(&mut self) {
        let batch = self.lookup.take().expect("a lookup under way");
        let call = CallId {
            account: self.links[0].account.clone(),
            interaction: "c".parse().expect("an interaction"),
        };
        self.hear(Input::LookedUp {
            batch,
            answered: vec![call],
            failure: None,
            usage: None,
        });
    }

    /// Time passes, with the engine's wakes.
    fn pass(&mut self, time: Duration) {
        self.now += TimeDelta::from_std(time).expect("in range");
        self.hear(Input::Tick);
    }

    /// How many links are healthy, at risk and broken.
    fn healths(&self) -> (usize, usize, usize) {
        let count = |health| self.links.iter().filter(|l| l.health == health).count();
        (
            count(Health::Healthy),
            count(Health::AtRisk),
            count(Health::Broken),
        )
    }
}

/// A healthy link to an org of its own.
fn link(n: usize, now: DateTime<Utc>) -> LinkState {
    let account: AccountId = format!("account-{n}").parse().expect("an id");
    let org = LinkedOrg {
        org: format!("00D{n:012}").parse().expect("an org id"),
        user: format!("005{n:012}").parse().expect("a user id"),
        name: None,
        username: Username::default(),
        environment: Environment::Production,
        instance_url: String::new(),
        key_mode: KeyMode::CallObject { sees_all: true },
        time_zone: None,
        default_country: None,
        closed_status: None,
        preflight: Vec::new(),
        asked_at: None,
    };
    LinkState {
        shard: ShardId::of(&account, Some(&org.org)),
        account,
        status: LinkStatus::Linked,
        health: Health::Healthy,
        reason: Some(LinkReason::UserLinked),
        since: now,
        generation: FIRST,
        sequence: Sequence(1),
        org: Some(org),
    }
}

fn failure(class: FailureClass, scope: FailureScope) -> Failure {
    Failure::new(class, scope, "code")
}

fn dead() -> Refreshed {
    let failure = failure(FailureClass::Link, FailureScope::Request);
    Refreshed::Dead(LinkReason::TokenRevoked, failure)
}

#[test]
fn old_tokens_are_refreshed_a_few_at_once() {
    let mut world = World::new(20);
    world.grow_old();
    assert_eq!(world.asked.len(), 4);
    assert!(world.asked.iter().all(|(_, ahead)| *ahead));
    let mut refreshed = 0;
    while world.answer(&Refreshed::Fresh) {
        refreshed += 1;
        assert!(world.asked.len() <= 4);
    }
    assert_eq!((refreshed, world.healths()), (20, (20, 0, 0)));
    assert!(world.engine.is_idle());
}

#[test]
fn links_that_die_together_are_held_and_come_back() {
    let mut world = World::new(50);
    world.grow_old();
    let mut refused = 0;
    while world.answer(&dead()) {
        refused += 1;
    }
    // The fifth is no coincidence; only what was under way then is refused too.
    assert!((5..=8).contains(&refused), "{refused} were tried");
    let (healthy, held, broken) = world.healths();
    assert_eq!((broken, held, healthy), (4, refused - 4, 50 - refused));
    world.grow_old();
    assert_eq!(world.asked, [], "refreshing stops");

    // We have mended it: all that were held work again, and the others were never touched.
    world.pass(Duration::from_mins(10));
    world.grow_old();
    while world.answer(&Refreshed::Fresh) {}
    assert_eq!(world.healths(), (46, 0, 4));
    assert!(world.links.iter().all(|link| {
        link.health == Health::Broken
            || matches!(
                link.reason,
                Some(LinkReason::Recovered | LinkReason::UserLinked)
            )
    }));
}

#[test]
fn what_is_wrong_for_everybody_stops_refreshing_and_harms_no_link() {
    let mut world = World::new(50);
    world.grow_old();
    let ours = Refreshed::Later(failure(FailureClass::Bug, FailureScope::Everyone));
    let mut refused = 0;
    while world.answer(&ours) {
        refused += 1;
    }
    assert_eq!((refused, world.healths()), (4, (50, 0, 0)));
    world.grow_old();
    assert_eq!(world.asked, []);
    world.pass(Duration::from_mins(10));
    world.grow_old();
    assert_eq!(world.asked.len(), 4, "tried again");
}

#[test]
fn a_refresh_in_doubt_puts_its_link_at_risk_until_one_succeeds() {
    let mut world = World::new(2);
    world.grow_old();
    let lost = failure(FailureClass::Ambiguous, FailureScope::Request);
    world.answer(&Refreshed::InDoubt(lost.clone()));
    assert_eq!(world.healths(), (1, 1, 0));
    let reason = Some(LinkReason::RefreshInDoubt);
    assert_eq!(world.links[0].reason, reason);
    // The other was claimed by somebody who has died.
    let busy = failure(FailureClass::Transient, FailureScope::Request);
    world.answer(&Refreshed::Later(busy));
    let doubtful = vec![(world.links[1].account.clone(), FIRST)];
    let stale = Vec::new();
    world.hear(Input::Tokens { stale, doubtful });
    assert_eq!(
        (world.healths(), world.links[1].reason),
        ((0, 2, 0), reason)
    );
    let sequences: Vec<_> = world.links.iter().map(|link| link.sequence).collect();

    world.grow_old();
    world.answer(&Refreshed::InDoubt(lost));
    let again: Vec<_> = world.links.iter().map(|link| link.sequence).collect();
    assert_eq!(again, sequences, "said once");
    world.grow_old();
    while world.answer(&Refreshed::Fresh) {}
    assert_eq!(world.healths(), (2, 0, 0));
}

#[test]
fn a_missing_permission_outlives_a_refresh() {
    let mut world = World::new(2);
    for link in &mut world.links {
        link.health = Health::AtRisk;
        link.sequence = link.sequence.next();
        let org = link.org.as_mut().expect("linked");
        org.preflight = vec![Check {
            point: Point::EditTasks,
            found: Found::No,
        }];
    }
    world.links[0].reason = Some(LinkReason::PermissionMissing);
    world.links[1].reason = Some(LinkReason::RefreshInDoubt);
    let links = world.links.clone();
    world.hear(Input::Links(links));
    world.grow_old();
    while world.answer(&Refreshed::Fresh) {}
    assert_eq!(world.healths(), (0, 2, 0));
    let reason = Some(LinkReason::PermissionMissing);
    assert!(world.links.iter().all(|link| link.reason == reason));
}

#[test]
fn a_refusal_that_may_pass_is_not_waited_for_for_ever() {
    let mut world = World::new(1);
    let refusal = failure(FailureClass::Transient, FailureScope::Request);
    let refused = Refreshed::Refused(LinkReason::TokenRevoked, refusal);
    let begun = world.now;
    while world.healths() == (1, 0, 0) {
        world.grow_old();
        world.answer(&refused);
        world.pass(Duration::from_mins(1));
        assert!(world.now < begun + Duration::from_hours(1));
    }
    assert!(world.now > begun + Duration::from_mins(30));
    assert_eq!(world.healths(), (0, 0, 1));

    let mut passes = World::new(1);
    for _ in 0..100 {
        passes.grow_old();
        passes.answer(&refused);
        passes.pass(Duration::from_mins(29));
        passes.grow_old();
        passes.answer(&Refreshed::Fresh);
        passes.pass(Duration::from_mins(29));
    }
    assert_eq!(passes.healths(), (1, 0, 0));
}

#[test]
fn an_org_that_moved_is_found_by_a_refresh_which_is_not_repeated_for_each_failure() {
    let mut world = World::new(1);
    let moved = Failure {
        moved: true,
        ..failure(FailureClass::Transient, FailureScope::Org)
    };
    world.ring();
    world.fail_lookup(&moved);
    // The access token was not refused: a refresh token in doubt is not to be spent on this.
    assert_eq!(world.asked, [(world.links[0].account.clone(), true)]);
    world.answer(&Refreshed::Fresh);
    // What goes out next is answered so too: there is nothing newer to learn.
    world.pass(Duration::from_mins(1));
    world.fail_lookup(&moved);
    world.pass(Duration::from_mins(1));
    assert_eq!(world.asked, []);
    assert_eq!(world.healths(), (1, 0, 0));
}

/// Whoever refreshes for a refused token while a refresh ahead of need is under way uses up the token
/// that the other one brings.
#[test]
fn a_refused_token_waits_for_the_refresh_that_is_under_way() {
    let mut world = World::new(1);
    let refused = failure(FailureClass::Session, FailureScope::Request);
    let account = world.links[0].account.clone();
    world.ring();
    world.grow_old();
    world.fail_lookup(&refused);
    world.grow_old();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.asked, [(account.clone(), true)]);
    // The fresh token is used, and none is asked for.
    world.answer(&Refreshed::Fresh);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.asked, []);

    // One that brings nothing is followed by the one that is needed.
    world.grow_old();
    world.fail_lookup(&refused);
    let later = failure(FailureClass::Transient, FailureScope::Request);
    world.answer(&Refreshed::Later(later));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.asked, [(account, false)]);
}

#[test]
fn a_link_whose_fresh_tokens_are_refused_is_at_risk_before_it_is_broken() {
    let refused = failure(FailureClass::Session, FailureScope::Request);
    let refuse = |world: &mut World| {
        if world.lookup.is_some() {
            world.fail_lookup(&refused);
        }
        world.answer(&Refreshed::Fresh);
        world.pass(Duration::from_secs(10));
    };
    let mut world = World::new(1);
    let begun = world.now;
    world.ring();
    while world.healths() == (1, 0, 0) {
        refuse(&mut world);
        assert!(world.now < begun + Duration::from_mins(5));
    }
    assert_eq!(world.healths(), (0, 1, 0));
    let mut broken = world;

    // One request that is served is enough.
    let mut world = World::new(1);
    world.ring();
    for _ in 0..100 {
        while world.healths() == (1, 0, 0) {
            refuse(&mut world);
        }
        while world.lookup.is_none() {
            world.answer(&Refreshed::Fresh);
            world.pass(Duration::from_secs(10));
        }
        world.serve_lookup();
        assert_eq!(world.healths(), (1, 0, 0));
        world.ring();
    }

    while broken.healths() == (0, 1, 0) {
        refuse(&mut broken);
        assert!(broken.now < begun + Duration::from_hours(1));
    }
    assert!(broken.now > begun + Duration::from_mins(30));
    assert_eq!(broken.healths(), (0, 0, 1));
}
