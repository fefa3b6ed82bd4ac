//! Questions about attempts in doubt: which of them share a query, and whether it may open now.

use chrono::{DateTime, Utc};

use super::Command;
use super::machine::{Engine, Load, Turn};
use super::pacing::Gate;
use super::reconcile::after_failure;
use crate::domain::ids::{AccountId, CallId, Generation, OrgId};
use crate::domain::task::KeyMode;

/// Attempts that one query can ask for: it is made with one link's token, in one org, by one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) account: AccountId,
    pub(super) generation: Generation,
    pub(super) org: OrgId,
    pub(super) mode: KeyMode,
}

impl Engine {
    /// Asks for these attempts, in as few queries as may be.
    pub(super) fn ask_for(&mut self, turn: &mut Turn<'_>, group: &Group, calls: &[CallId]) {
        let mut left = calls;
        while !left.is_empty() {
            let own = |id| self.doubts.get(id).and_then(|doubt| doubt.limit);
            let size = shared(left.iter().map(own), self.config.reconcile.batch);
            let (calls, rest) = left.split_at(size);
            self.ask(turn, group, calls);
            left = rest;
        }
    }

    /// Opens one query, or puts it off while the org is left alone.
    fn ask(&mut self, turn: &mut Turn<'_>, group: &Group, calls: &[CallId]) {
        let Group {
            account,
            generation,
            org,
            ..
        } = group.clone();
        if let Some(at) = self.query_gate(turn, &account, generation, &org) {
            for id in calls {
                self.look_at(id, at);
            }
            return;
        }
        let mut attempts = Vec::with_capacity(calls.len());
        for id in calls {
            let doubt = self.doubts.get_mut(id).expect("grouped from the same map");
            attempts.push(doubt.ask());
        }
        let asked = attempts
            .iter()
            .map(|a| (a.attempt, a.call.clone()))
            .collect();
        let is_final = |attempt| turn.now >= self.config.reconcile.final_at(attempt);
        let prove = attempts.iter().any(is_final);
        let load = Load::Doubts(asked);
        let batch = self.open(turn.now, &account, generation, Some(org.clone()), load);
        turn.out.push(Command::Reconcile {
            batch,
            account,
            generation,
            org,
            attempts,
            prove,
        });
    }

    /// When to try again, if no query may open now.
    fn query_gate(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountId,
        generation: Generation,
        org: &OrgId,
    ) -> Option<DateTime<Utc>> {
        let repeat = after_failure(&self.config.reconcile, turn.now);
        if self.requests.iter().sum::<usize>() + self.queries >= self.config.memory.requests {
            return Some(repeat);
        }
        if let Some(until) = self.everyone.paused(turn.now) {
            return Some(until);
        }
        let link = self
            .accounts
            .get(account)
            .and_then(|account| account.link.as_ref());
        if link.is_some_and(|link| link.generation == generation) {
            match self.token_gate(turn, account) {
                Gate::Open => {}
                Gate::Until(at, _) => return Some(at),
                Gate::Busy | Gate::Crowded => return Some(repeat),
            }
        }
        let stop = self.orgs.get(org).and_then(|org| org.stop);
        stop.filter(|stop| turn.now < stop.until)
            .map(|stop| stop.until)
    }
}

/// How many, from the first on, may share a request, by the most that each allows.
pub(super) fn shared(own: impl Iterator<Item = Option<u32>>, most: usize) -> usize {
    let (mut most, mut size) = (most, 0);
    for own in own {
        most = own.map_or(most, |own| most.min(own as usize));
        if size >= most {
            break;
        }
        size += 1;
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_as_large_as_each_of_its_attempts_allows() {
        let size = |own: &[Option<u32>]| shared(own.iter().copied(), 3);
        assert_eq!(size(&[None, None]), 2);
        assert_eq!(size(&[None; 5]), 3);
        assert_eq!(size(&[Some(2), Some(2), Some(2)]), 2);
        assert_eq!(size(&[Some(1), None]), 1);
        assert_eq!(size(&[None, None, Some(1), None]), 2, "it goes by itself");
    }
}
