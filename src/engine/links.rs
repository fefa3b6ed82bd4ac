//! Links: what a change means for an account's calls; links that break; parked calls that go on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Command;
use super::backoff::Backoff;
use super::machine::{Engine, Flight, Turn};
use super::pacing::Org;
use super::tokens::{Token, TokenState};
use crate::domain::fault::Fault;
use crate::domain::ids::{AccountId, Generation, OrgId};
use crate::domain::link::{Health, LinkReason, LinkState};
use crate::domain::outcome::{Failure, FailureClass, FailureScope};

/// Section `engine.links` of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Waits between the refreshes of one token.
    pub refresh: Backoff,
    /// Fresh tokens in a row that may be refused before the link is at risk. It counts as broken
    /// when none was served for [`Config::refused_for`].
    pub refused_tokens: u32,
    /// How long refreshes may be refused in a way that may pass, or fresh tokens be refused, before
    /// the link counts as broken.
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
    /// How long the calls of an account that was unlinked wait for it to be linked again. Then they
    /// end as skipped *unlinked*.
    #[serde(with = "humantime_serde")]
    pub unlink_grace: Duration,
    /// How long after its end a call stays parked. Then it is tried once more, if its link works,
    /// and ends as skipped *expired*. Longer than `ingest.dedupe_horizon`.
    #[serde(with = "humantime_serde")]
    pub parked_at_most: Duration,
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
            unlink_grace: Duration::from_mins(10),
            parked_at_most: Duration::from_hours(30 * 24),
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
        let was_live = before.as_ref().is_some_and(LinkState::is_live);
        let renewed = before
            .as_ref()
            .is_none_or(|old| old.generation != link.generation);
        if renewed {
            account.token = Token::default();
        }
        self.move_account(turn, before.as_ref(), &link);
        self.link_has_parked(turn, &link, before.as_ref());
        if renewed || (link.is_live() && !was_live) {
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
        if failure.moved {
            self.org_moved(turn, flight);
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
        self.mark(turn, (id, generation), (health, reason), failure);
        !storm
    }

    /// Has a change of a link's health stored.
    pub(super) fn mark(
        &mut self,
        turn: &mut Turn<'_>,
        (id, generation): (&AccountId, Generation),
        (health, reason): (Health, LinkReason),
        failure: Option<Failure>,
    ) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.marking = true;
        }
        turn.out.push(Command::MarkLink {
            account: id.clone(),
            generation,
            health,
            reason,
            failure,
        });
    }
}
