//! Events to publish, written in the transaction of what they tell of.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Fence, Result, Sealed, Written};
use crate::domain::event::Topic;
use crate::domain::ids::{AccountId, CallId, EventId, ShardId};

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Deterministic: writing the same fact again changes nothing.
    pub id: EventId,
    /// Whose relay publishes it.
    pub shard: ShardId,
    /// Where it goes.
    pub topic: Topic,
    /// The sealed [`Published`](crate::domain::event::Published).
    pub body: Sealed,
}

/// A written event, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// Its place in the shard's order.
    pub position: i64,
    /// The event.
    pub row: OutboxRow,
}

/// An event in the place that the transaction gives it.
pub(super) struct Publish<'a> {
    /// The event.
    pub(super) row: &'a OutboxRow,
    /// Whose relay publishes it: where its account lies now, whatever the writer thought.
    pub(super) shard: ShardId,
    /// Whose event it is.
    pub(super) account: &'a AccountId,
    /// Which call's.
    pub(super) call: Option<&'a CallId>,
}

impl<'a> Publish<'a> {
    /// An event of a call.
    pub(super) const fn of_call(row: &'a OutboxRow, call: &'a CallId, shard: ShardId) -> Self {
        Self {
            row,
            shard,
            account: &call.account,
            call: Some(call),
        }
    }

    /// An event of an account's link.
    pub(super) const fn of_link(
        row: &'a OutboxRow,
        account: &'a AccountId,
        shard: ShardId,
    ) -> Self {
        Self {
            row,
            shard,
            account,
            call: None,
        }
    }
}

/// The relay's room.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Up to `limit` unpublished events of the shards behind this position, in order of position;
    /// 0 is before all. Reads by state, so an event that commits after its neighbour is found by
    /// whoever begins at 0 again.
    async fn unpublished(
        &self,
        shards: &[ShardId],
        after: i64,
        limit: u32,
    ) -> Result<Vec<Unpublished>>;

    /// Marks events as published, if the shard is still the writer's. Events published and not
    /// marked are published again, with the same id.
    async fn mark_published(&self, fence: Fence, positions: &[i64]) -> Result<Written>;

    /// Drops events that were published before `before`, at most `limit`; tells how many.
    async fn forget_published(&self, before: DateTime<Utc>, limit: u32) -> Result<u64>;
}
