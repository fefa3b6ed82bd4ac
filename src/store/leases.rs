//! Who owns which shard.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Fence, Result};
use crate::domain::ids::{ReplicaId, ShardId};

/// How far a worker's clock and the database's may differ. Beyond, the worker owns nothing, and none of
/// its writes passes: it would take a request for over that may still take effect. By default
/// `engine.reconcile.clock_margin` allows for as much.
pub const CLOCKS_DIFFER_AT_MOST: TimeDelta = TimeDelta::seconds(30);

/// They differ by more.
#[derive(Debug, thiserror::Error)]
#[error(
    "the clocks of this machine and of the database differ by more than 30 s: set both by a time server"
)]
pub struct ClocksDiffer;

/// How far beyond its time to live a lease may reach.
pub(super) const TOO_FAR: Duration = Duration::from_mins(10);

/// What one heartbeat found and did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Beat {
    /// The shards that this replica owns now, each with its epoch.
    pub owned: Vec<Fence>,
    /// Replicas alive, this one included.
    pub replicas: u32,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// The room of ownership. Expiry runs on the database's clock at the moment asked, and a lease that
/// reaches more than ten minutes beyond its time to live is none: it was made while that clock was
/// wrong. A file has no clock but its machine's, which is its one worker's too.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Says that the replica lives, extends its leases by `ttl` from now, and takes up to
    /// `claim` shards that are free or expired, each with a new epoch. A lease that expired in
    /// the meantime and was taken by nobody is extended with its epoch kept.
    async fn beat(&self, replica: &ReplicaId, ttl: Duration, claim: u32) -> Result<Beat>;

    /// A heartbeat of a replica that is leaving: takes it off the list, so that the others' shares
    /// count it no more, and extends the leases that it still has, as [`Leases::beat`] does. Takes
    /// none.
    async fn retire(&self, replica: &ReplicaId, ttl: Duration) -> Result<Beat>;

    /// Gives shards up at once, if they are still the replica's, and wakes those who may want
    /// them. Giving up again does nothing.
    async fn release(&self, replica: &ReplicaId, shards: &[ShardId]) -> Result<()>;

    /// Takes the replica off the list and gives up all it has: the last act of a drain.
    async fn leave(&self, replica: &ReplicaId) -> Result<()>;
}
