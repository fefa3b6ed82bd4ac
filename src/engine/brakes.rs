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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::domain::ids::{CallId, Epoch, Revision, ShardId};
    use crate::domain::link::{Environment, LinkState, LinkStatus, LinkedOrg, Username};
    use crate::domain::matching::LookupResult;
    use crate::domain::outcome::{Outcome, ParkReason};
    use crate::domain::pause::{Pause, Scope};
    use crate::domain::task::KeyMode;
    use crate::domain::work::Due;
    use crate::engine::{Command, Config, Input};

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    /// A healthy link of the one account.
    fn link() -> LinkState {
        let mut link = LinkState::unlinked("acme".parse().expect("an account"), NOW);
        (link.status, link.shard) = (LinkStatus::Linked, ShardId(0));
        link.org = Some(LinkedOrg {
            org: "00D000000000001".parse().expect("an org id"),
            user: "005000000000001".parse().expect("a user id"),
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
        });
        link
    }

    /// Something due of a call, in a lane.
    fn due(call: &str, lane: Lane) -> Due {
        Due {
            call: CallId {
                account: "acme".parse().expect("an account"),
                interaction: call.parse().expect("an interaction"),
            },
            shard: ShardId(0),
            lane,
            due_at: NOW,
            lookup_deadline: (lane == Lane::Lookup).then(|| NOW + Duration::from_hours(1)),
            looked_up: lane == Lane::Task,
            ended_at: Some(NOW),
            revision: Revision(0),
            skip: None,
            attempts: 0,
            degraded: BTreeSet::new(),
            batch_limit: None,
            hidden: None,
        }
    }

    /// A lane of everybody, or of nobody.
    fn paused(lanes: &[Lane]) -> Input {
        let pause = |lane: &Lane| Pause {
            scope: Scope::All,
            lane: *lane,
            reason: String::new(),
            by: String::new(),
            since: NOW,
            until: None,
        };
        let pauses: Vec<Pause> = lanes.iter().map(pause).collect();
        Input::Paused(Paused::by(&pauses))
    }

    #[test]
    fn nothing_is_sent_before_it_is_known_what_is_paused_nor_what_is() {
        let mut engine = Engine::with_shards(Config::default(), 1);
        let mut rng = StdRng::seed_from_u64(1);
        let mut hear = |input| engine.handle(NOW + Duration::from_mins(1), &mut rng, input);
        let sends = |commands: &[Command]| {
            let sent =
                |c: &&Command| matches!(c, Command::Dispatch { .. } | Command::Lookup { .. });
            commands.iter().filter(sent).count()
        };
        hear(Input::Leases {
            owned: vec![(ShardId(0), Epoch(1))],
            replicas: 1,
        });
        hear(Input::OpenAttempts {
            shard: ShardId(0),
            attempts: Vec::new(),
        });
        hear(Input::Links(vec![link()]));
        let calls = vec![due("a", Lane::Task), due("b", Lane::Lookup)];
        let arrive = |calls| Input::Due {
            page: None,
            calls,
            more: false,
        };
        assert_eq!(sends(&hear(arrive(calls))), 0);

        let both = hear(paused(&[Lane::Lookup, Lane::Task]));
        assert_eq!(sends(&both), 0);
        let parked = both.iter().any(|command| {
            let Command::Record { decisions } = command else {
                return false;
            };
            let outcome = &decisions[0].outcome;
            matches!(
                outcome,
                Outcome::Parked {
                    reason: ParkReason::Paused,
                    ..
                }
            )
        });
        assert!(parked, "{both:?}");
        let answered = both.iter().any(|command| {
            let throttled = LookupResult::Throttled;
            matches!(command, Command::AnswerLookups { result, .. } if *result == throttled)
        });
        assert!(answered, "{both:?}");

        hear(paused(&[]));
        let calls = vec![due("c", Lane::Task), due("d", Lane::Lookup)];
        assert_eq!(sends(&hear(arrive(calls))), 2);
    }

    #[test]
    fn a_call_whose_lookup_is_paused_goes_unmatched_though_it_is_read_again_and_again() {
        let config = Config::default();
        let (poll, patience) = (config.memory.poll, config.batching.unmatched_after);
        assert!(poll < patience);
        let mut engine = Engine::with_shards(config, 1);
        let mut rng = StdRng::seed_from_u64(1);
        let mut hear = |at, input| engine.handle(at, &mut rng, input);
        let owned = vec![(ShardId(0), Epoch(1))];
        hear(NOW, Input::Leases { owned, replicas: 1 });
        let (shard, attempts) = (ShardId(0), Vec::new());
        hear(NOW, Input::OpenAttempts { shard, attempts });
        hear(NOW, Input::Links(vec![link()]));
        hear(NOW, paused(&[Lane::Lookup]));

        let mut call = due("a", Lane::Task);
        call.looked_up = false;
        let mut sent_after = None;
        for polls in 0..10 {
            let (page, more, calls) = (None, false, vec![call.clone()]);
            let commands = hear(NOW + poll * polls, Input::Due { page, calls, more });
            let goes = |command: &Command| matches!(command, Command::Dispatch { .. });
            if commands.iter().any(goes) {
                sent_after = Some(poll * polls);
                break;
            }
        }
        let sent_after = sent_after.expect("it waits for ever");
        assert!(sent_after >= patience && sent_after <= patience + 2 * poll);
    }
}
