//! Parked calls: made due again, page by page, while the org takes them; and ended once they have
//! waited too long.
//!
//! The parked calls of an account that was unlinked wait for it to be linked again, for a grace time
//! (`engine.links.unlink_grace`); then all of them are made due, to end as skipped.
//!
//! Else an account's parked calls are gone through in three phases. First those beyond their age: they
//! are tried once more where the link works, and end as *expired* where they would be parked
//! again. Then what waited for the link, the budget or the end of a pause. While an account's Tasks are
//! paused, only the first phase is gone through. Last what the org had refused: an admin
//! mends a setting without telling anybody, so some of these are tried every hour, and all of them
//! once the org takes one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::Rng;

use super::Command;
use super::brakes::Brake;
use super::machine::{Engine, Planned, Turn};
use crate::domain::ids::{AccountId, CallId};
use crate::domain::link::{LinkState, LinkStatus};
use crate::domain::outcome::{Failure, Outcome, ParkReason, SkipReason};
use crate::domain::work::{Lane, ParkedCursor, ParkedPage, Unparked};

/// How far an account's parked calls are made due again.
#[derive(Debug, Default)]
pub(super) struct Unparking {
    /// When the next page is asked for.
    next: Option<DateTime<Utc>>,
    /// A page is asked for.
    asked: bool,
    phase: Phase,
    /// Where the refused calls go on; kept from one hour to the next, so that calls which are
    /// always refused do not hide those behind them.
    after: Option<ParkedCursor>,
    /// A page of refused calls has gone out, and this one follows it.
    follows: bool,
    /// What the org did with the last page.
    heard: Heard,
}

/// What an org did with calls that it had refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Heard {
    /// It has not answered yet.
    #[default]
    Nothing,
    /// It refused some, and took none.
    Refused,
    /// It took some.
    Taken,
}

impl Unparking {
    /// The next page of an account that is unlinked: whatever waits.
    fn page_of_unlinked(limit: u32) -> ParkedPage {
        ParkedPage {
            reasons: vec![
                ParkReason::LinkBroken,
                ParkReason::OrgRefuses,
                ParkReason::Quota,
                ParkReason::Paused,
                ParkReason::Unlinked,
            ],
            received_before: None,
            after: None,
            limit,
        }
    }

    /// The next page of its phase.
    fn page(&self, limit: u32, oldest: DateTime<Utc>) -> ParkedPage {
        let mut page = ParkedPage {
            reasons: vec![
                ParkReason::LinkBroken,
                ParkReason::Quota,
                ParkReason::Paused,
                ParkReason::Unlinked,
            ],
            received_before: None,
            after: None,
            limit,
        };
        match self.phase {
            Phase::Expired => {
                page.reasons.push(ParkReason::OrgRefuses);
                page.received_before = Some(oldest);
            }
            Phase::Waiting => {}
            Phase::Refused => {
                page.reasons = vec![ParkReason::OrgRefuses];
                page.after.clone_from(&self.after);
            }
        }
        page
    }
}

/// Which of the parked calls are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Those beyond their age.
    #[default]
    Expired,
    /// Those that waited for the link, for a new one, for the budget, or for the end of a pause.
    Waiting,
    /// Those that the org had refused.
    Refused,
}

/// What becomes of a call that cannot be sent: it is parked, unless it has waited long enough.
pub(super) fn park(
    at_most: Duration,
    now: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    reason: ParkReason,
    failure: Option<Failure>,
) -> Outcome {
    let until = ended_at.map(|ended| ended + at_most);
    if until.is_some_and(|until| now >= until) {
        let reason = SkipReason::Expired;
        return Outcome::Skipped { reason };
    }
    Outcome::Parked {
        reason,
        failure,
        until,
    }
}

/// What becomes of a call whose account is unlinked: it is parked while that may be undone.
pub(super) fn unlinked(now: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Outcome {
    match until {
        Some(end) if now < end => Outcome::Parked {
            reason: ParkReason::Unlinked,
            failure: None,
            until,
        },
        _ => Outcome::Skipped {
            reason: SkipReason::Unlinked,
        },
    }
}

impl Engine {
    /// A link came to be known, or works again: its parked calls are gone through.
    pub(super) fn link_has_parked(
        &mut self,
        turn: &mut Turn<'_>,
        link: &LinkState,
        before: Option<&LinkState>,
    ) {
        let renewed = before.is_none_or(|old| old.generation != link.generation);
        if let Some(end) = link.calls_wait_until(self.config.links.unlink_grace) {
            if renewed || !self.is_gone_through(&link.account) {
                // What was decided at the last moment is parked by then.
                self.plan_unpark(&link.account, end + self.config.links.unpark_every);
            }
            return;
        }
        let revived = link.is_live() && !before.is_some_and(LinkState::is_live);
        // Accounts that become known together, at a start, do not all ask together.
        let spread = if revived || (renewed && link.is_live()) {
            before.map_or(self.config.memory.poll, |_| Duration::ZERO)
        } else if link.status != LinkStatus::Unlinked && !self.is_gone_through(&link.account) {
            // Known from before, but nobody here has gone through its parked calls.
            self.config.links.refused_every
        } else {
            return;
        };
        let at = turn.now + spread.mul_f64(turn.rng.random_range(0.0..=1.0));
        self.unpark_from(&link.account, at);
    }

    /// Whether the next page of an account's parked calls is planned or asked for.
    fn is_gone_through(&self, id: &AccountId) -> bool {
        let account = self.accounts.get(id);
        account.is_some_and(|a| a.unparking.next.is_some() || a.unparking.asked)
    }

    /// Makes due again what waited for the link or the budget, and then the rest.
    pub(super) fn unpark_from(&mut self, id: &AccountId, at: DateTime<Utc>) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.unparking.phase = Phase::Waiting;
            account.unparking.follows = false;
            self.plan_unpark(id, at);
        }
    }

    /// The org refuses a call still, or takes one.
    pub(super) fn note_taken(&mut self, call: &CallId, outcome: &Outcome) {
        let Some(account) = self.accounts.get_mut(&call.account) else {
            return;
        };
        match outcome {
            Outcome::Logged { .. } => account.unparking.heard = Heard::Taken,
            Outcome::Parked {
                reason: ParkReason::OrgRefuses,
                ..
            }
            | Outcome::Skipped {
                reason: SkipReason::Expired,
            } => {
                let heard = &mut account.unparking.heard;
                if *heard == Heard::Nothing {
                    *heard = Heard::Refused;
                }
            }
            _ => {}
        }
    }

    /// Plans the next page of parked calls.
    fn plan_unpark(&mut self, id: &AccountId, at: DateTime<Utc>) {
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        if let Some(before) = account.unparking.next.replace(at) {
            self.unparks.remove(&(before, id.clone()));
        }
        self.unparks.insert((at, id.clone()));
    }

    /// Asks for the pages that are due.
    pub(super) fn unpark_due(&mut self, turn: &mut Turn<'_>) {
        while let Some((_, id)) = self.unparks.pop_first_due(turn.now) {
            self.ask_for_parked(turn, id);
        }
    }

    fn ask_for_parked(&mut self, turn: &mut Turn<'_>, id: AccountId) {
        let links = &self.config.links;
        let (retry, next_round) = (
            turn.now + links.unpark_every,
            turn.now + links.refused_every,
        );
        let (limit, oldest) = (links.unpark_page, turn.now - links.parked_at_most);
        let brake = self.brake(&id, Lane::Task);
        if brake == Brake::Unknown {
            self.plan_unpark(&id, retry);
            return;
        }
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let unparking = &mut account.unparking;
        unparking.next = None;
        let Some(link) = &account.link else {
            return;
        };
        let (shard, is_live) = (link.shard, link.is_live());
        let unlinked = link.status == LinkStatus::Unlinked;
        if !is_live || brake == Brake::On {
            unparking.phase = Phase::Expired;
        }
        let hopeless = unparking.follows && unparking.heard == Heard::Refused;
        if unparking.phase == Phase::Refused && hopeless {
            unparking.phase = Phase::Expired;
            self.plan_unpark(&id, next_round);
            return;
        }
        let asked = unparking.asked;
        let Some(epoch) = self.working_epoch(shard).filter(|_| !asked) else {
            if self.shards.contains_key(&shard) {
                self.plan_unpark(&id, retry);
            }
            return;
        };
        let unparking = &mut self.accounts.get_mut(&id).expect("read above").unparking;
        (unparking.asked, unparking.heard) = (true, Heard::Nothing);
        let page = if unlinked {
            Unparking::page_of_unlinked(limit)
        } else {
            unparking.page(limit, oldest)
        };
        turn.out.push(Command::Unpark {
            account: id,
            shard,
            epoch,
            page,
        });
    }

    /// Goes on with the parked calls.
    pub(super) fn on_unparked(&mut self, turn: &mut Turn<'_>, id: &AccountId, page: Unparked) {
        let links = &self.config.links;
        let full = page.calls >= u64::from(links.unpark_page);
        let (soon, next_round) = (
            turn.now + links.unpark_every,
            turn.now + links.refused_every,
        );
        let brake = self.brake(id, Lane::Task);
        let Some(account) = self.accounts.get_mut(id) else {
            return;
        };
        let live = account.is_live() && brake == Brake::Off;
        let unparking = &mut account.unparking;
        unparking.asked = false;
        let Some((shard, status)) = account.link.as_ref().map(|link| (link.shard, link.status))
        else {
            return;
        };
        if status == LinkStatus::Unlinked && page.calls == 0 {
            // Nothing waits any more, and nothing is parked from now on.
            return;
        }
        let (phase, at) = match unparking.phase {
            phase @ (Phase::Expired | Phase::Waiting) if full => (phase, soon),
            Phase::Expired if live => (Phase::Waiting, soon),
            Phase::Expired => (Phase::Expired, next_round),
            Phase::Waiting => (Phase::Refused, soon),
            Phase::Refused if full => {
                unparking.after = page.last;
                (Phase::Refused, soon)
            }
            Phase::Refused => {
                unparking.after = None;
                (Phase::Expired, next_round)
            }
        };
        unparking.follows = unparking.phase == Phase::Refused && phase == Phase::Refused;
        unparking.phase = phase;
        if page.calls > 0 {
            self.want_sweep(shard, Lane::Task, turn.now);
        }
        self.plan_unpark(id, at);
    }
}
