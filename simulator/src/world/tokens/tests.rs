//! How tokens live and die.

use super::*;
use chrono::DateTime;
use rand::SeedableRng as _;

struct Desk {
    tokens: Tokens,
    rng: StdRng,
    caller: Caller,
    now: Timestamp,
    rules: RefreshRules,
}

impl Desk {
    fn new() -> Self {
        let caller = Caller {
            org: Id::generate(*b"00D", 0, 1),
            user: Id::generate(*b"005", 0, 2),
        };
        let mut desk = Self {
            tokens: Tokens::default(),
            rng: StdRng::seed_from_u64(1),
            caller,
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            rules: RefreshRules {
                rotation: true,
                idle_s: None,
                policy: RefreshTokenPolicy::UntilRevoked,
            },
        };
        desk.approve("first");
        desk
    }

    fn approve(&mut self, token: &str) {
        let consent = Consent {
            caller: self.caller,
            scope: Scope::parse("api refresh_token"),
        };
        self.tokens.approve(consent, token.to_owned(), 5, self.now);
    }

    fn refresh(&mut self, token: &str) -> Result<Redeemed, OAuthError> {
        self.tokens
            .redeem(token, &self.rules, self.now, &mut self.rng)
    }

    /// An access token for what a refresh gave.
    fn open(&mut self, redeemed: &Redeemed, lifetime: Lifetime) -> String {
        let token = new_access_token(self.caller.org, &mut self.rng);
        let (consent, times) = (redeemed.consent.clone(), (self.now, lifetime));
        self.tokens
            .open_session(token.clone(), consent, redeemed.approval, times);
        token
    }

    fn authenticate(&mut self, token: &str) -> Option<Caller> {
        self.tokens
            .authenticate(token, self.now)
            .map(|session| session.consent.caller)
    }
}

#[test]
fn reuse_of_a_rotated_token_revokes_the_family() {
    let mut desk = Desk::new();
    let granted = desk.refresh("first").unwrap();
    let access_token = desk.open(&granted, Lifetime::Idle(TimeDelta::hours(2)));
    let second = granted.refresh_token.unwrap();
    assert_eq!(desk.authenticate(&access_token), Some(desk.caller));

    assert_eq!(desk.refresh("first").unwrap_err(), EXPIRED);
    assert_eq!(desk.authenticate(&access_token), None);
    assert_eq!(desk.refresh(&second).unwrap_err(), EXPIRED);
    assert_eq!(desk.tokens.reuse_detected[&desk.caller.org], 1);
}

#[test]
fn a_second_refresh_in_flight_is_refused_and_harmless() {
    let mut desk = Desk::new();
    desk.tokens.begin_refresh("first").unwrap();
    assert_eq!(desk.tokens.begin_refresh("first"), Err(IN_FLIGHT));
    desk.tokens.end_refresh("another");
    assert_eq!(desk.tokens.begin_refresh("first"), Err(IN_FLIGHT));
    let granted = desk.refresh("first").unwrap();
    desk.tokens.end_refresh("first");
    assert!(desk.refresh(&granted.refresh_token.unwrap()).is_ok());
}

#[test]
fn the_sixth_approval_displaces_the_oldest() {
    let mut desk = Desk::new();
    for n in 2..=6 {
        desk.approve(&format!("approval {n}"));
    }
    assert_eq!(desk.tokens.approvals_of(desk.caller.user), 5);
    assert_eq!(desk.refresh("first").unwrap_err(), EXPIRED);
    assert!(desk.refresh("approval 2").is_ok());
}

#[test]
fn a_session_slides_with_use_unless_its_lifetime_is_fixed() {
    let mut desk = Desk::new();
    let granted = desk.refresh("first").unwrap();
    let sliding = desk.open(&granted, Lifetime::Idle(TimeDelta::hours(2)));
    let fixed = desk.open(&granted, Lifetime::Fixed(TimeDelta::hours(2)));
    desk.now += TimeDelta::minutes(119);
    assert!(desk.authenticate(&sliding).is_some() && desk.authenticate(&fixed).is_some());
    desk.now += TimeDelta::minutes(119);
    assert!(desk.authenticate(&sliding).is_some() && desk.authenticate(&fixed).is_none());
    desk.now += TimeDelta::minutes(120);
    assert!(desk.authenticate(&sliding).is_none());
}

#[test]
fn an_unused_refresh_token_dies_and_each_use_puts_that_off() {
    let mut desk = Desk::new();
    desk.rules.rotation = false;
    desk.rules.idle_s = Some(30 * 86_400);
    desk.now += TimeDelta::days(29);
    assert!(desk.refresh("first").is_ok());
    desk.now += TimeDelta::days(29);
    assert!(desk.refresh("first").is_ok());
    desk.now += TimeDelta::days(30);
    assert_eq!(desk.refresh("first").unwrap_err(), EXPIRED);
}

#[test]
fn the_admins_policy_limits_how_long_a_refresh_token_lives() {
    const DAY: u64 = 86_400;
    for (policy, works_daily_for) in [
        (RefreshTokenPolicy::UntilRevoked, 9),
        (RefreshTokenPolicy::Immediately, 0),
        (RefreshTokenPolicy::UnusedForS(2 * DAY), 9),
        (RefreshTokenPolicy::UnusedForS(DAY), 0),
        (RefreshTokenPolicy::LifetimeS(5 * DAY), 4),
    ] {
        let mut desk = Desk::new();
        desk.rules.rotation = false;
        desk.rules.policy = policy;
        let works = |_: &i32| {
            desk.now += TimeDelta::days(1);
            desk.refresh("first").is_ok()
        };
        assert_eq!((0..9).filter(works).count(), works_daily_for, "{policy:?}");
    }
}
