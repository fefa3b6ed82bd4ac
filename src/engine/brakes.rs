//! Brakes: what an operator paused. Paused Tasks park, and go on oldest first, page by page, once
//! they may; callers are told at once that nobody looks them up.
//!
//! Until it is known what is paused, nothing is sent: a worker that was just started may otherwise
//! do what it was told not to.

use rand::Rng;

use super::machine::{Engine, Turn};
use crate::domain::ids::AccountId;
use crate::domain::pause::Paused;
use crate::domain::work::Lane;

/// How a brake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brake {
    /// It is not known yet.
    Unknown,
    /// Nothing is paused.
    Off,
    /// It is paused.
    On,
}

impl Engine {
    /// How an account's brake stands in a lane.
    pub(super) fn brake(&self, id: &AccountId, lane: Lane) -> Brake {
        match &self.paused {
            None => Brake::Unknown,
            Some(paused) if self.is_covered(paused, id, lane) => Brake::On,
            Some(_) => Brake::Off,
        }
    }

    fn is_covered(&self, paused: &Paused, id: &AccountId, lane: Lane) -> bool {
        let link = self.accounts.get(id).and_then(|a| a.link.as_ref());
        let org = link.and_then(|link| link.org.as_ref()).map(|org| &org.org);
        paused.covers(lane, id, org)
    }

    /// Takes in what is paused now.
    pub(super) fn on_paused(&mut self, turn: &mut Turn<'_>, paused: Paused) {
        let Some(before) = self.paused.replace(paused.clone()) else {
            let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
            for account in &accounts {
                self.stir(account);
            }
            return;
        };
        if before == paused {
            return;
        }
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in &accounts {
            let was = self.is_covered(&before, account, Lane::Task);
            if was && !self.is_covered(&paused, account, Lane::Task) {
                // Not at once: what was decided at the last moment is parked by then. And not all
                // accounts together.
                let spread = turn.rng.random_range(1.0..=2.0);
                let wait = self.config.links.unpark_every.mul_f64(spread);
                self.unpark_from(account, turn.now + wait);
            }
            self.stir(account);
        }
    }
}
