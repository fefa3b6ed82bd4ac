//! Where the partitions stand that ingest reads, and what follows where the store's offsets are moved
//! by others than itself. Pure: no store, no client.

use std::collections::BTreeMap;

use crate::kafka::consumer::{Partition as Read, Received};
use crate::store::inbox::{Advance, Partition};

/// Where partitions stand.
#[derive(Default)]
pub(super) struct Places {
    /// Those that are stopped, each with the offset that Kafka does not have.
    stopped: BTreeMap<Read, i64>,
    /// How far each was stored, since it was assigned last.
    stored: BTreeMap<Read, i64>,
}

/// What to do where others moved offsets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The store knows of fewer events than were read: all partitions are to be read again.
    Back,
    /// These stopped ones go on here.
    On(Vec<(Read, Option<i64>)>),
}

impl Places {
    /// Partitions begin anew.
    pub(super) fn begin(&mut self, partitions: &[Read]) {
        self.stopped.retain(|p, _| !partitions.contains(p));
        self.stored.retain(|p, _| !partitions.contains(p));
    }

    /// A partition is stopped, as Kafka does not have this offset.
    pub(super) fn stop(&mut self, partition: Read, wanted: i64) {
        self.stopped.insert(partition, wanted);
    }

    /// Partitions were stored up to these.
    pub(super) fn store(&mut self, next: &[(Read, i64)]) {
        self.stored.extend(next.iter().cloned());
    }

    /// The partitions to ask the store about.
    pub(super) fn asked(&self) -> Vec<Partition> {
        let all = self.stopped.keys().chain(self.stored.keys());
        all.map(stored_name).collect()
    }

    /// What follows from the store's offsets of those, in their order. Partitions that go on are no
    /// longer stopped.
    pub(super) fn follow(&mut self, offsets: &[Option<i64>]) -> Moved {
        let (of_stopped, of_stored) = offsets.split_at(self.stopped.len().min(offsets.len()));
        let mut stored = self.stored.values().zip(of_stored);
        if stored.any(|(stored, now)| *now < Some(*stored)) {
            *self = Self::default();
            return Moved::Back;
        }
        let moved: Vec<_> = self
            .stopped
            .iter()
            .zip(of_stopped)
            .filter(|((_, wanted), now)| now.is_some_and(|now| now != **wanted))
            .map(|((partition, _), now)| (partition.clone(), *now))
            .collect();
        self.stopped
            .retain(|partition, _| !moved.iter().any(|(p, _)| p == partition));
        Moved::On(moved)
    }
}

/// A partition as the store names it.
pub(super) fn stored_name(partition: &Read) -> Partition {
    Partition {
        topic: partition.0.clone(),
        partition: partition.1,
    }
}

/// The next offset of each partition of a batch.
pub(super) fn next_offsets(records: &[Received]) -> Vec<(Read, i64)> {
    let mut next: BTreeMap<Read, i64> = BTreeMap::new();
    for record in records {
        let entry = next.entry(record.partition.clone()).or_default();
        *entry = (*entry).max(record.offset + 1);
    }
    next.into_iter().collect()
}

/// How far a batch brings each partition, and from where.
pub(super) fn advances(from: &BTreeMap<Read, Option<i64>>, next: &[(Read, i64)]) -> Vec<Advance> {
    let advance = |(partition, next): &(Read, i64)| Advance {
        partition: stored_name(partition),
        from: from.get(partition).copied().flatten(),
        next: *next,
    };
    next.iter().map(advance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(partition: i32) -> Read {
        ("calls".into(), partition)
    }

    #[test]
    fn a_stopped_partition_goes_on_where_somebody_moved_it() {
        let mut places = Places::default();
        places.stop(calls(0), 7);
        places.stop(calls(1), 7);
        places.store(&[(calls(2), 20)]);
        let moved = places.follow(&[Some(7), Some(30), Some(25)]);
        assert_eq!(moved, Moved::On(vec![(calls(1), Some(30))]));
        assert_eq!(places.asked().len(), 2, "one is stopped still");
    }

    #[test]
    fn a_store_that_knows_less_than_was_read_is_read_to_again() {
        for now in [Some(19), None] {
            let mut places = Places::default();
            places.stop(calls(0), 7);
            places.store(&[(calls(1), 20)]);
            assert_eq!(places.follow(&[Some(7), now]), Moved::Back);
            assert!(places.asked().is_empty(), "all begin anew");
        }
        let mut places = Places::default();
        places.store(&[(calls(1), 20)]);
        places.begin(&[calls(1)]);
        assert_eq!(places.follow(&[]), Moved::On(vec![]), "assigned since");
    }
}
