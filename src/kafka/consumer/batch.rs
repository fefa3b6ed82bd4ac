//! The batch that grows, and where each partition stands. Pure: no client, no clock.

use std::collections::BTreeMap;

use super::{Batch, Partition, Received};

/// Where a partition stands.
struct Position {
    /// The next offset as its owner knows it; `None`: nothing of it was ever read.
    known: Option<i64>,
    /// The next offset.
    next: i64,
}

/// The batch that grows.
pub(super) struct Growing {
    /// Its records, in order within each partition.
    records: Vec<Received>,
    /// What they take in memory.
    bytes: usize,
    /// Records and bytes that fill it.
    bounds: (usize, usize),
    /// Of each of their partitions where they begin.
    from: BTreeMap<Partition, Option<i64>>,
    /// Where each partition stands that runs: that was told where to go on.
    positions: BTreeMap<Partition, Position>,
}

impl Growing {
    /// An empty one.
    pub(super) const fn new(bounds: (usize, usize)) -> Self {
        Self {
            records: Vec::new(),
            from: BTreeMap::new(),
            bytes: 0,
            bounds,
            positions: BTreeMap::new(),
        }
    }

    /// From here on a partition's records are taken. `known` is what its owner said; a partition that
    /// runs already keeps that.
    pub(super) fn begin(&mut self, partition: Partition, known: Option<i64>, next: i64) {
        let position = self.positions.entry(partition);
        let position = position.or_insert(Position { known, next });
        position.next = next;
    }

    /// A partition is no longer read. What it gave stays, where it is still ours.
    pub(super) fn end(&mut self, partition: &Partition) {
        self.positions.remove(partition);
    }

    /// Forgets partitions and what they gave: another worker reads it, or it is read again.
    pub(super) fn drop_partitions(&mut self, gone: &[Partition]) {
        self.positions
            .retain(|partition, _| !gone.contains(partition));
        self.records.retain(|r| !gone.contains(&r.partition));
        self.from.retain(|partition, _| !gone.contains(partition));
        self.bytes = self.records.iter().map(Received::bytes).sum();
    }

    /// Where a partition stands, if it runs.
    pub(super) fn position(&self, partition: &Partition) -> Option<i64> {
        self.positions.get(partition).map(|position| position.next)
    }

    /// The partitions that run.
    pub(super) fn running(&self) -> impl Iterator<Item = &Partition> {
        self.positions.keys()
    }

    /// Takes a record in, unless its partition does not run or stands behind it already.
    pub(super) fn push(&mut self, record: Received) {
        let Some(position) = self.positions.get_mut(&record.partition) else {
            return;
        };
        if record.offset >= position.next {
            if !self.from.contains_key(&record.partition) {
                self.from.insert(record.partition.clone(), position.known);
            }
            position.next = record.offset + 1;
            position.known = Some(position.next);
            self.bytes += record.bytes();
            self.records.push(record);
        }
    }

    /// Whether there is nothing to hand over.
    pub(super) const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether no more should be read into it.
    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= self.bounds.0 || self.bytes >= self.bounds.1
    }

    /// The batch; an empty one grows in its place.
    pub(super) fn take(&mut self) -> Batch {
        self.bytes = 0;
        Batch {
            records: std::mem::take(&mut self.records),
            from: std::mem::take(&mut self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> Received {
        Received {
            partition: ("calls".into(), partition),
            offset,
            timestamp_ms: None,
            key: None,
            headers: Vec::new(),
            unreadable_headers: 0,
            value: Some(vec![0; 100]),
        }
    }

    fn offsets(batch: &Batch) -> Vec<(i32, i64)> {
        batch
            .records
            .iter()
            .map(|r| (r.partition.1, r.offset))
            .collect()
    }

    #[test]
    fn only_running_partitions_are_read_and_nothing_twice() {
        let mut growing = Growing::new((10, 10_000));
        growing.push(record(0, 5));
        assert!(growing.is_empty(), "not told where to go on yet");
        growing.begin(("calls".into(), 0), Some(7), 7);
        for offset in [5, 6, 7, 7, 9, 8] {
            growing.push(record(0, offset));
        }
        assert_eq!(growing.position(&("calls".into(), 0)), Some(10));
        assert_eq!(offsets(&growing.take()), [(0, 7), (0, 9)]);
        assert!(growing.is_empty());
    }

    #[test]
    fn what_went_to_another_worker_is_dropped() {
        let mut growing = Growing::new((3, 10_000));
        for partition in [0, 1] {
            growing.begin(("calls".into(), partition), None, 0);
            growing.push(record(partition, 0));
        }
        growing.drop_partitions(&[("calls".into(), 0)]);
        growing.push(record(0, 1));
        assert_eq!(offsets(&growing.take()), [(1, 0)]);
        assert_eq!(growing.running().count(), 1);
    }

    #[test]
    fn each_batch_says_where_it_begins() {
        let from = |batch: Batch| batch.from.into_values().collect::<Vec<_>>();
        let partition: Partition = ("calls".into(), 0);
        let mut growing = Growing::new((10, 10_000));
        growing.begin(partition.clone(), None, 3);
        growing.push(record(0, 4));
        growing.push(record(0, 5));
        assert_eq!(from(growing.take()), [None], "nothing was known of it");
        growing.push(record(0, 9));
        growing.end(&partition);
        assert_eq!(from(growing.take()), [Some(6)], "where the last one ended");
        growing.begin(partition.clone(), Some(2), 2);
        growing.push(record(0, 2));
        growing.drop_partitions(&[partition]);
        assert_eq!(from(growing.take()), []);
    }

    #[test]
    fn records_or_bytes_fill_it() {
        let mut growing = Growing::new((2, 1_000_000));
        growing.begin(("calls".into(), 0), None, 0);
        growing.push(record(0, 0));
        assert!(!growing.is_full());
        growing.push(record(0, 1));
        assert!(growing.is_full());
        let mut growing = Growing::new((100, 500));
        growing.begin(("calls".into(), 0), None, 0);
        growing.push(record(0, 0));
        growing.push(record(0, 1));
        assert!(growing.is_full(), "two of 260 bytes");
    }
}
