//! Links: what a change means for an account's calls; links that break; parked calls that go on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Command;
use super::backoff::Backoff;
use super::machine::{Engine, Flight, Planned, Turn};
use super::pacing::Org;
use super::tokens::{Token, TokenState};
use crate::domain::fault::Fault;
use crate::domain::ids::{AccountId, Generation, OrgId};
use crate::domain::link::{Health, LinkReason, LinkState};
use crate::domain::outcome::{Failure, FailureClass, FailureScope, ParkReason};
use crate::domain::work::Lane;

/// Section `engine.links` of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Waits between the refreshes of one token.
    pub refresh: Backoff,
    /// Fresh tokens in a row that may be refused before the link counts as broken.
    pub refused_tokens: u32,
    /// How long refreshes may be refused in a way that may pass before the link counts as broken.
    #[serde(with = "humantime_serde")]
    pub refused_for: Duration,
    /// So many links that die within [`Config::storm_window`] are no coincidence: it is probably
    /// us (rule 12). They are held at risk, and all sending pauses.
    pub storm_links: usize,
    /// See [`Config::storm_links`].
    #[serde(with = "humantime_serde")]
    pub storm_window: Duration,
    /// Parked calls that are made due again at once.
    pub unpark_page: u32,
    /// The wait between such pages, so that a backfill does not use up the org's budget at once.
    #[serde(with = "humantime_serde")]
    pub unpark_every: Duration,
    /// How often some of the calls are tried that an org refused: an admin mends a setting
    /// without telling anybody.
    #[serde(with = "humantime_serde")]
    pub refused_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            refresh: Backoff::new(Duration::from_secs(2), Duration::from_mins(5)),
            refused_tokens: 3,
            refused_for: Duration::from_mins(30),
            storm_links: 5,
            storm_window: Duration::from_mins(5),
            unpark_page: 200,
            unpark_every: Duration::from_secs(5),
            refused_every: Duration::from_hours(1),
        }
    }
}

impl Config {
    pub(super) fn validate(&self, faults: &mut Vec<Fault>) {
        self.refresh.validate("engine.links.refresh", faults);
        let mut check = |ok: bool, setting: &str, advice: &str| {
            if !ok {
                faults.push(Fault::new(format!("engine.links.{setting}"), advice));
            }
        };
        check(
            self.refused_tokens >= 1,
            "refused_tokens",
            "must be at least 1",
        );
        check(
            !self.refused_for.is_zero(),
            "refused_for",
            "must be longer than 0s",
        );
        check(
            self.storm_links >= 2,
            "storm_links",
            "must be at least 2, or no link ever breaks",
        );
        check(self.unpark_page >= 1, "unpark_page", "must be at least 1");
        check(
            !self.unpark_every.is_zero(),
            "unpark_every",
            "must be longer than 0s",
        );
        check(
            self.refused_every >= self.unpark_every,
            "refused_every",
            "must not be shorter than engine.links.unpark_every",
        );
    }
}

/// How far an account's parked calls are made due again.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and they occur in any combination"
)]
pub(super) struct Unparking {
    /// When the next page is asked for.
    next: Option<DateTime<Utc>>,
    /// A page is asked for.
    asked: bool,
    /// What waited for the link or the budget is through: now what the org had refused.
    refusals: bool,
    /// Another page of those follows, if the org takes this one.
    goes_on: bool,
    /// The org refused a call since the last page.
    pub(super) refused: bool,
}

impl Engine {
    /// Takes links in as they are now.
    pub(super) fn on_links(&mut self, turn: &mut Turn<'_>, links: Vec<LinkState>) {
        for link in links {
            self.on_link(turn, link);
        }
    }

    fn on_link(&mut self, turn: &mut Turn<'_>, link: LinkState) {
        let id = link.account.clone();
        let ours = self.shards.contains_key(&link.shard);
        if !ours && !self.accounts.contains_key(&id) {
            return;
        }
        let account = self.accounts.entry(id.clone()).or_default();
        account.marking = false;
        // An older state may arrive after a newer one; only published changes count up.
        if account
            .link
            .as_ref()
            .is_some_and(|known| known.sequence > link.sequence)
        {
            self.stir(&id);
            return;
        }
        let before = account.link.replace(link.clone());
        let was = |f: fn(&LinkState) -> bool| before.as_ref().is_some_and(f);
        let revived = link.is_live() && !was(LinkState::is_live);
        let renewed = before
            .as_ref()
            .is_none_or(|old| old.generation != link.generation);
        if renewed {
            account.token = Token::default();
        }
        self.move_account(turn, before.as_ref(), &link);
        if revived || (renewed && link.is_live()) {
            // Accounts that become known together, at a start, do not all ask together.
            let spread = if before.is_none() {
                self.config.memory.poll
            } else {
                Duration::ZERO
            };
            let at = turn.now + spread.mul_f64(turn.rng.random_range(0.0..=1.0));
            self.plan_unpark(&id, at, false);
        }
        if revived || renewed {
            self.look_now(turn, &id);
        }
        self.stir(&id);
        self.let_go(&id);
    }

    /// Follows an account to its org and its shard.
    fn move_account(&mut self, turn: &mut Turn<'_>, before: Option<&LinkState>, link: &LinkState) {
        let id = &link.account;
        let org = |link: &LinkState| link.org.as_ref().map(|linked| linked.org.clone());
        let old = before.and_then(org);
        if let Some(old) = old.filter(|old| Some(old) != org(link).as_ref()) {
            self.leave_org(&old, id);
        }
        if let Some(org) = org(link) {
            let (pacing, batching) = (&self.config.pacing, &self.config.batching);
            let org = self
                .orgs
                .entry(org)
                .or_insert_with(|| Org::new(pacing, batching));
            org.accounts.insert(id.clone());
        }
        let account = self.accounts.get(id).expect("linked above");
        let strays: std::collections::BTreeSet<_> = account
            .calls
            .values()
            .map(|call| call.shard)
            .filter(|shard| *shard != link.shard)
            .collect();
        let moved = before.is_some_and(|old| old.shard != link.shard) || !strays.is_empty();
        for shard in strays {
            self.forget_calls(id, shard);
        }
        self.move_doubts(link);
        if moved && self.shards.contains_key(&link.shard) {
            // What lies in this shard now came without an owner who knew it.
            self.want_attempts(turn, link.shard);
            for lane in super::machine::LANES {
                self.want_sweep(link.shard, lane, turn.now);
            }
        }
    }

    /// An org that nobody here is linked to any more is forgotten once it is quiet.
    pub(super) fn leave_org(&mut self, id: &OrgId, account: &AccountId) {
        let Some(org) = self.orgs.get_mut(id) else {
            return;
        };
        org.accounts.remove(account);
        if org.accounts.is_empty() && org.open == [0; 2] {
            self.orgs.remove(id);
        }
    }

    /// What a failure means beyond its calls: for the token, the link, or everybody. Tells
    /// whether the link is dead and held so.
    pub(super) fn trouble(
        &mut self,
        turn: &mut Turn<'_>,
        flight: &Flight,
        failure: &Failure,
    ) -> bool {
        if failure.scope == FailureScope::Everyone {
            self.everyone.pause(turn.now, turn.rng, &self.config.pacing);
            return false;
        }
        match failure.class {
            FailureClass::Session => {
                self.session_died(turn, flight);
                false
            }
            FailureClass::Link => {
                let (id, generation) = (&flight.account, flight.generation);
                self.link_died(
                    turn,
                    id,
                    generation,
                    LinkReason::Unknown,
                    Some(failure.clone()),
                )
            }
            _ => false,
        }
    }

    /// A link is dead, unless so many die at once that it is probably us (rule 12); tells which.
    pub(super) fn link_died(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AccountId,
        generation: Generation,
        reason: LinkReason,
        failure: Option<Failure>,
    ) -> bool {
        let Some(account) = self.accounts.get_mut(id) else {
            return true;
        };
        let current = account.link.as_ref().map(|link| link.generation);
        if current != Some(generation) {
            return false;
        }
        if account.marking || !account.is_live() {
            return true;
        }
        let since = turn.now - self.config.links.storm_window;
        self.deaths.retain(|_, at| *at > since);
        self.deaths.insert(id.clone(), turn.now);
        let storm = self.deaths.len() >= self.config.links.storm_links;
        let health = if storm {
            Health::AtRisk
        } else {
            Health::Broken
        };
        if storm {
            self.stale.clear();
            let until = self.everyone.pause(turn.now, turn.rng, &self.config.pacing);
            let until = until.max(turn.now + self.config.links.storm_window);
            account.token.state = TokenState::Dead(until);
            let known = account
                .link
                .as_ref()
                .is_some_and(|link| link.health == Health::AtRisk);
            if known {
                return false;
            }
        }
        account.marking = true;
        let account = id.clone();
        turn.out.push(Command::MarkLink {
            account,
            generation,
            health,
            reason,
            failure,
        });
        !storm
    }

    /// Plans the next page of parked calls.
    pub(super) fn plan_unpark(&mut self, id: &AccountId, at: DateTime<Utc>, refusals: bool) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.unparking.refusals = refusals;
        if let Some(before) = account.unparking.next.replace(at) {
            self.unparks.remove(&(before, id.clone()));
        }
        self.unparks.insert((at, id.clone()));
    }

    /// Asks for the pages that are due.
    pub(super) fn unpark_due(&mut self, turn: &mut Turn<'_>) {
        while let Some((_, id)) = self.unparks.pop_first_due(turn.now) {
            let limit = self.config.links.unpark_page;
            let retry = turn.now + self.config.links.unpark_every;
            let Some(account) = self.accounts.get_mut(&id) else {
                continue;
            };
            account.unparking.next = None;
            if std::mem::take(&mut account.unparking.goes_on) && account.unparking.refused {
                let at = turn.now + self.config.links.refused_every;
                self.plan_unpark(&id, at, false);
                continue;
            }
            let Some(link) = account.link.as_ref().filter(|link| link.is_live()) else {
                continue;
            };
            let shard = link.shard;
            let asked = account.unparking.asked;
            let Some(epoch) = self.working_epoch(shard).filter(|_| !asked) else {
                if self.shards.contains_key(&shard) {
                    let refusals = self.accounts[&id].unparking.refusals;
                    self.plan_unpark(&id, retry, refusals);
                }
                continue;
            };
            let account = self.accounts.get_mut(&id).expect("looked up above");
            account.unparking.asked = true;
            account.unparking.refused = false;
            let reasons = if account.unparking.refusals {
                vec![ParkReason::OrgRefuses]
            } else {
                vec![ParkReason::LinkBroken, ParkReason::Quota]
            };
            turn.out.push(Command::Unpark {
                account: id,
                shard,
                epoch,
                reasons,
                limit,
            });
        }
    }

    /// Goes on with the parked calls: page by page while the org takes them.
    pub(super) fn on_unparked(&mut self, turn: &mut Turn<'_>, id: &AccountId, calls: u64) {
        let (page, every) = (
            self.config.links.unpark_page,
            self.config.links.unpark_every,
        );
        let refused_every = self.config.links.refused_every;
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.unparking.asked = false;
        let Some(shard) = account.link.as_ref().map(|link| link.shard) else {
            return;
        };
        let (full, refusals) = (calls >= u64::from(page), account.unparking.refusals);
        account.unparking.goes_on = full && refusals;
        if calls > 0 {
            self.want_sweep(shard, Lane::Task, turn.now);
        }
        match (full, refusals) {
            (true, _) => self.plan_unpark(id, turn.now + every, refusals),
            (false, false) => self.plan_unpark(id, turn.now + every, true),
            (false, true) => self.plan_unpark(id, turn.now + refused_every, false),
        }
    }
}
