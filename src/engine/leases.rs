//! Who owns what: the fair share of shards, how many to claim, which to give up.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::machine::{Engine, Turn};
use super::paging::Shard;
use super::{Command, Place};
use crate::domain::fault::Fault;
use crate::domain::ids::{Epoch, SHARDS, ShardId};

/// Section `engine.leases` of the settings. The lease's own times are the lease shell's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Shards claimed with one heartbeat, so that a restarted worker does not load all at once.
    pub claims_per_beat: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            claims_per_beat: 64,
        }
    }
}

impl Config {
    pub(super) fn validate(&self, faults: &mut Vec<Fault>) {
        if self.claims_per_beat == 0 {
            faults.push(Fault::new(
                "engine.leases.claims_per_beat",
                "must be at least 1",
            ));
        }
    }
}

/// How many of `shards` one of `replicas` should own: the shares cover all of them, and differ
/// from an even split by less than one.
pub const fn fair_share(shards: u16, replicas: u32) -> u32 {
    if replicas == 0 {
        0
    } else {
        (shards as u32).div_ceil(replicas)
    }
}

/// How many shards to claim with the next heartbeat. `replicas` is what the last one told; 0
/// before the first, which therefore claims nothing and only learns how many share.
pub fn claim_limit(config: &Config, owned: usize, replicas: u32) -> u32 {
    let owned = u32::try_from(owned).unwrap_or(u32::MAX);
    fair_share(SHARDS, replicas)
        .saturating_sub(owned)
        .min(config.claims_per_beat)
}

impl Engine {
    /// Takes the leases of the last heartbeat over: forgets what is lost, loads what is new.
    pub(super) fn on_leases(
        &mut self,
        turn: &mut Turn<'_>,
        owned: Vec<(ShardId, Epoch)>,
        replicas: u32,
    ) {
        let owned: std::collections::BTreeMap<_, _> = owned.into_iter().collect();
        let lost: Vec<ShardId> = self
            .shards
            .iter()
            .filter(|(id, shard)| owned.get(id) != Some(&shard.epoch))
            .map(|(id, _)| *id)
            .collect();
        for shard in lost {
            self.forget_shard(shard);
        }
        for (id, epoch) in owned {
            if let std::collections::btree_map::Entry::Vacant(e) = self.shards.entry(id) {
                e.insert(Shard::new(epoch));
                self.want_attempts(turn, id);
                turn.out.push(Command::LoadShardLinks { shard: id });
            }
        }
        self.choose_surplus(replicas);
        self.release_idle(turn, true);
    }

    /// Starts nothing new, and gives every shard up once nothing of it is in flight.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        for shard in self.shards.values_mut() {
            shard.giving_up = true;
        }
    }

    /// Marks the shards beyond the fair share: those with the least work in memory.
    fn choose_surplus(&mut self, replicas: u32) {
        if self.draining {
            return self.drain();
        }
        let share = fair_share(self.shard_count, replicas.max(1)) as usize;
        let surplus = self.shards.len().saturating_sub(share);
        let mut load: std::collections::BTreeMap<ShardId, usize> =
            std::collections::BTreeMap::new();
        for call in self
            .accounts
            .values()
            .flat_map(|account| account.calls.values())
        {
            *load.entry(call.shard).or_default() += 1;
        }
        let mut order: Vec<_> = self
            .shards
            .iter()
            // What was released already stays given up, whatever the share is now.
            .map(|(id, shard)| (!shard.released, load.get(id).copied().unwrap_or(0), *id))
            .collect();
        order.sort_unstable();
        for (place, (kept, _, id)) in order.into_iter().enumerate() {
            let give_up = place < surplus || !kept;
            let shard = self.shards.get_mut(&id).expect("listed from the same map");
            let resumed = shard.giving_up && !give_up;
            shard.giving_up = give_up;
            if resumed {
                self.resume_shard(id);
            }
        }
    }

    /// Releases shards that are to be given up and have nothing in flight. With `again`, also
    /// those whose release has been asked for and which still are this replica's.
    pub(super) fn release_idle(&mut self, turn: &mut Turn<'_>, again: bool) {
        let mut idle: BTreeSet<ShardId> = self
            .shards
            .iter()
            .filter(|(_, shard)| shard.giving_up && (again || !shard.released))
            .map(|(id, _)| *id)
            .collect();
        if idle.is_empty() {
            return;
        }
        for busy in self.in_flight() {
            idle.remove(&busy);
        }
        for id in &idle {
            let shard = self.shards.get_mut(id).expect("listed from the same map");
            shard.released = true;
        }
        if !idle.is_empty() {
            let shards = idle.into_iter().collect();
            turn.out.push(Command::Release { shards });
        }
    }

    /// The shards of which a request or a record of a call is under way.
    fn in_flight(&self) -> BTreeSet<ShardId> {
        let flying = |place: Place| matches!(place, Place::Flying | Place::Recording);
        let calls = self
            .accounts
            .values()
            .flat_map(|account| account.calls.values())
            .filter(|call| flying(call.lookup) || flying(call.task))
            .map(|call| call.shard);
        let recorded = self.recording.values().map(|pending| pending.shard);
        calls.chain(recorded).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Input;

    proptest! {
        #[test]
        fn shares_cover_all_shards_and_no_replica_hoards(replicas in 1_u32..=300) {
            let share = fair_share(SHARDS, replicas);
            prop_assert!(share * replicas >= u32::from(SHARDS));
            prop_assert!((share - 1) * replicas < u32::from(SHARDS));
        }
    }

    #[test]
    fn a_first_heartbeat_claims_nothing() {
        let config = Config::default();
        assert_eq!(claim_limit(&config, 0, 0), 0);
        assert_eq!(claim_limit(&config, 0, 1), 64);
        assert_eq!(claim_limit(&config, 100, 2), 28);
        assert_eq!(claim_limit(&config, 130, 2), 0);
    }

    /// What a turn asks to give up.
    fn released(commands: &[Command]) -> Vec<ShardId> {
        let shards = commands.iter().filter_map(|command| match command {
            Command::Release { shards } => Some(shards.clone()),
            _ => None,
        });
        shards.flatten().collect()
    }

    #[test]
    fn a_drain_gives_idle_shards_up_at_once_and_takes_none() {
        let mut engine = Engine::with_shards(crate::engine::Config::default(), 4);
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
        let now = chrono::DateTime::UNIX_EPOCH;
        let leases = |shards: &[u16]| Input::Leases {
            owned: shards.iter().map(|s| (ShardId(*s), Epoch(1))).collect(),
            replicas: 1,
        };
        engine.handle(now, &mut rng, leases(&[0, 1, 2]));
        let drained = engine.handle(now, &mut rng, Input::Drain);
        assert_eq!(released(&drained), [ShardId(0), ShardId(1), ShardId(2)]);
        assert!(engine.is_idle());
        let quiet = engine.handle(now, &mut rng, Input::Tick);
        assert_eq!(quiet, [], "once is enough");
        let more = engine.handle(now, &mut rng, leases(&[2, 3]));
        assert_eq!(
            released(&more),
            [ShardId(2), ShardId(3)],
            "still ours, or late"
        );
    }
}
