//! Tokens: access tokens that are refused or grow old, refreshes and what their end means, and
//! links at risk that work again.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::machine::{Engine, Flight, Turn};
use super::pacing::Gate;
use super::{Command, Refreshed};
use crate::domain::ids::{AccountId, Generation};
use crate::domain::link::{Health, LinkReason};
use crate::domain::outcome::{Failure, FailureScope};

/// Refreshes ahead of need that run at once: few, so that a fault of our own is seen before many
/// links have met it.
const AHEAD: usize = 4;

/// An account's access token, as far as requests show it.
#[derive(Debug, Default)]
pub(super) struct Token {
    pub(super) state: TokenState,
    /// When the last refresh brought fresh tokens.
    fresh_at: Option<DateTime<Utc>>,
    /// When a refresh was last asked for to learn where the org is.
    moved_at: Option<DateTime<Utc>>,
    /// Fresh tokens in a row that were refused, or refreshes that failed.
    failures: u32,
    /// Since when fresh tokens are refused and none is served.
    rejected_since: Option<DateTime<Utc>>,
    /// A refresh ahead of need is under way. Another one beside it would use up what it brings.
    ahead: bool,
    /// Since when refreshes are refused in a way that may pass.
    refused_since: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TokenState {
    /// It may be used.
    #[default]
    Good,
    /// It is dead, and is to be refreshed, not before this.
    Dead(DateTime<Utc>),
    /// A refresh is under way.
    Refreshing,
}

impl Token {
    pub(super) fn is_refreshing(&self) -> bool {
        self.state == TokenState::Refreshing
    }
}

impl Engine {
    /// Whether the account's token may be used; starts the refresh of a dead one.
    pub(super) fn token_gate(&mut self, turn: &mut Turn<'_>, id: &AccountId) -> Gate {
        let Some(account) = self.accounts.get_mut(id) else {
            return Gate::Busy;
        };
        let Some(link) = account.link.as_ref().filter(|_| !account.marking) else {
            return Gate::Busy;
        };
        match account.token.state {
            TokenState::Good => Gate::Open,
            TokenState::Refreshing => Gate::Busy,
            TokenState::Dead(at) if turn.now < at => Gate::Until(at, false),
            TokenState::Dead(_) if account.token.ahead => Gate::Busy,
            TokenState::Dead(_) => {
                account.token.state = TokenState::Refreshing;
                self.errands += 1;
                let (account, generation) = (id.clone(), link.generation);
                turn.out.push(Command::RefreshToken {
                    account,
                    generation,
                    ahead: false,
                    moved: false,
                });
                Gate::Busy
            }
        }
    }

    /// A request was served: the token works.
    pub(super) fn served(&mut self, turn: &mut Turn<'_>, flight: &Flight) {
        self.everyone.clear();
        let Some(account) = self.accounts.get_mut(&flight.account) else {
            return;
        };
        (account.token.failures, account.token.rejected_since) = (0, None);
        let died = self.deaths.get(&flight.account);
        if died.is_none_or(|died| flight.opened_at > *died) {
            self.recovered(turn, (&flight.account, flight.generation), false);
        }
    }

    /// A link at risk works again, unless what it is at risk for is still so: a request that is
    /// served says nothing about a refresh token in doubt, and nothing here about permissions.
    fn recovered(
        &mut self,
        turn: &mut Turn<'_>,
        (id, generation): (&AccountId, Generation),
        refreshed: bool,
    ) {
        let Some(account) = self.accounts.get_mut(id).filter(|a| !a.marking) else {
            return;
        };
        let at_risk = account
            .link
            .as_ref()
            .filter(|link| link.generation == generation && link.health == Health::AtRisk);
        let Some(link) = at_risk else {
            return;
        };
        match link.reason {
            Some(LinkReason::PermissionMissing | LinkReason::ApiDisabled) => return,
            Some(LinkReason::RefreshInDoubt) if !refreshed => return,
            // A refresh that succeeds says nothing of a token that is refused though fresh.
            Some(LinkReason::Unknown) if account.token.rejected_since.is_some() => return,
            _ => {}
        }
        let lacks = link
            .org
            .as_ref()
            .is_some_and(|org| !org.missing().is_empty());
        let (health, reason) = if lacks {
            (Health::AtRisk, LinkReason::PermissionMissing)
        } else {
            (Health::Healthy, LinkReason::Recovered)
        };
        self.deaths.remove(id);
        self.mark(turn, (id, generation), (health, reason), None);
    }

    /// An access token was refused. Those that were sent before the last refresh say nothing
    /// about the fresh one.
    pub(super) fn session_died(&mut self, turn: &mut Turn<'_>, flight: &Flight) {
        let (refresh, most) = (self.config.links.refresh, self.config.links.refused_tokens);
        let patience = self.config.links.refused_for;
        let Some(account) = self.accounts.get_mut(&flight.account) else {
            return;
        };
        let current = account.link.as_ref().map(|link| link.generation);
        let old = account
            .token
            .fresh_at
            .is_some_and(|fresh| flight.opened_at < fresh);
        if current != Some(flight.generation) {
            // A query in an org that the account has left; its looks are far apart.
            self.errands += 1;
            let (account, generation) = (flight.account.clone(), flight.generation);
            turn.out.push(Command::RefreshToken {
                account,
                generation,
                ahead: false,
                moved: false,
            });
            return;
        }
        if old || account.token.state != TokenState::Good {
            return;
        }
        let mut since = turn.now;
        if account.token.fresh_at.is_some() {
            account.token.failures += 1;
            since = *account.token.rejected_since.get_or_insert(turn.now);
        }
        let failures = account.token.failures;
        let healthy = account
            .link
            .as_ref()
            .is_some_and(|link| link.health == Health::Healthy);
        let (id, generation, reason) = (&flight.account, flight.generation, LinkReason::Unknown);
        if failures > most && turn.now >= since + patience {
            self.link_died(turn, id, generation, reason, None);
            return;
        }
        let wait = if failures > 1 {
            refresh.half(failures, turn.rng)
        } else {
            Duration::ZERO
        };
        account.token.state = TokenState::Dead(turn.now + wait);
        if failures > most && healthy {
            self.at_risk(turn, id, generation, reason, None);
        }
        self.stir(id);
    }

    /// The org answers no more where it was: a refresh tells its address, as it is by then. The
    /// access token was not refused, so a refresh token in doubt is left alone, as ahead of need.
    pub(super) fn org_moved(&mut self, turn: &mut Turn<'_>, flight: &Flight) {
        let lately = turn.now - self.config.links.refresh.longest;
        let Some(account) = self.accounts.get_mut(&flight.account) else {
            return;
        };
        let current = account.link.as_ref().map(|link| link.generation);
        let token = &mut account.token;
        let told = [token.fresh_at, token.moved_at];
        let told = told.into_iter().flatten().any(|at| at > lately);
        if current != Some(flight.generation)
            || told
            || token.ahead
            || token.state != TokenState::Good
        {
            return;
        }
        (token.moved_at, token.ahead) = (Some(turn.now), true);
        self.ahead += 1;
        self.errands += 1;
        turn.out.push(Command::RefreshToken {
            account: flight.account.clone(),
            generation: flight.generation,
            ahead: true,
            moved: true,
        });
    }

    /// Takes in which tokens need a look. Those that were to be refreshed before and are not
    /// among them are fresh, or not ours any more.
    pub(super) fn on_tokens(
        &mut self,
        turn: &mut Turn<'_>,
        stale: Vec<(AccountId, Generation)>,
        doubtful: Vec<(AccountId, Generation)>,
    ) {
        self.stale = VecDeque::from(stale);
        for (id, generation) in doubtful {
            self.at_risk(turn, &id, generation, LinkReason::RefreshInDoubt, None);
        }
    }

    /// Starts refreshes ahead of need, a few at once, while nothing is wrong with all of them.
    pub(super) fn refresh_ahead(&mut self, turn: &mut Turn<'_>) {
        while self.ahead < AHEAD && self.everyone.paused(turn.now).is_none() {
            let Some((id, generation)) = self.stale.pop_front() else {
                return;
            };
            let Some(account) = self.accounts.get_mut(&id) else {
                continue;
            };
            let current = account.link.as_ref().map(|link| link.generation);
            let may = !account.marking && !account.token.ahead && account.is_live();
            if current != Some(generation) || !may {
                continue;
            }
            let ahead = match account.token.state {
                TokenState::Good => true,
                // Nobody sends for it now, who would find that it is time.
                TokenState::Dead(at) if at <= turn.now => false,
                TokenState::Dead(_) | TokenState::Refreshing => continue,
            };
            if ahead {
                self.ahead += 1;
                account.token.ahead = true;
            } else {
                account.token.state = TokenState::Refreshing;
            }
            self.errands += 1;
            turn.out.push(Command::RefreshToken {
                account: id,
                generation,
                ahead,
                moved: false,
            });
        }
    }

    /// Takes the end of a refresh in.
    pub(super) fn on_refreshed(
        &mut self,
        turn: &mut Turn<'_>,
        (id, generation): (&AccountId, Generation),
        ahead: bool,
        result: Refreshed,
    ) {
        self.errands = self.errands.saturating_sub(1);
        self.ahead -= usize::from(ahead && self.ahead > 0);
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        let current = account.link.as_ref().map(|link| link.generation);
        let expected = ahead || account.token.is_refreshing();
        if current != Some(generation) || !expected {
            self.let_go(id);
            return;
        }
        if ahead {
            account.token.ahead = false;
        } else {
            account.token.state = TokenState::Good;
        }
        match result {
            Refreshed::Fresh => self.on_fresh(turn, id, generation),
            Refreshed::Later(failure) => self.put_off(turn, id, ahead, &failure),
            Refreshed::InDoubt(failure) => {
                self.put_off(turn, id, ahead, &failure);
                // The link works as long as its access token does (rule 11).
                let reason = LinkReason::RefreshInDoubt;
                self.at_risk(turn, id, generation, reason, Some(failure));
            }
            Refreshed::Refused(reason, failure) => {
                let patience = self.config.links.refused_for;
                let since = *account.token.refused_since.get_or_insert(turn.now);
                if turn.now >= since + patience {
                    self.link_died(turn, id, generation, reason, Some(failure));
                } else {
                    self.put_off(turn, id, ahead, &failure);
                }
            }
            Refreshed::Dead(_, failure) if failure.scope == FailureScope::Everyone => {
                self.put_off(turn, id, ahead, &failure);
            }
            Refreshed::Dead(reason, failure) => {
                self.link_died(turn, id, generation, reason, Some(failure));
            }
        }
        self.stir(id);
        self.let_go(id);
    }

    /// There are fresh tokens.
    fn on_fresh(&mut self, turn: &mut Turn<'_>, id: &AccountId, generation: Generation) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        account.token.fresh_at = Some(turn.now);
        account.token.refused_since = None;
        if !account.token.is_refreshing() {
            account.token.state = TokenState::Good;
        }
        self.recovered(turn, (id, generation), true);
    }

    /// A refresh brought nothing yet. Ahead of need the access token goes on being used, and the
    /// next look finds it again; what fails for everybody stops all of them.
    fn put_off(&mut self, turn: &mut Turn<'_>, id: &AccountId, ahead: bool, failure: &Failure) {
        let mut at = turn.now;
        if failure.scope == FailureScope::Everyone {
            self.stale.clear();
            at = self.everyone.pause(turn.now, turn.rng, &self.config.pacing);
        }
        let refresh = self.config.links.refresh;
        if let Some(account) = self.accounts.get_mut(id).filter(|_| !ahead) {
            account.token.failures += 1;
            let wait = refresh.half(account.token.failures, turn.rng);
            account.token.state = TokenState::Dead(at.max(turn.now + wait));
        }
    }

    /// Has it said that a link may break soon, and why, if that is news.
    fn at_risk(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AccountId,
        generation: Generation,
        reason: LinkReason,
        failure: Option<Failure>,
    ) {
        let unmarked = self.accounts.get(id).filter(|account| !account.marking);
        let link = unmarked.and_then(|account| account.link.as_ref());
        let unsaid = link.is_some_and(|link| {
            link.is_live() && link.generation == generation && link.reason != Some(reason)
        });
        if unsaid {
            let state = (Health::AtRisk, reason);
            self.mark(turn, (id, generation), state, failure);
        }
    }
}
