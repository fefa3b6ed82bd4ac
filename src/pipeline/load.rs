//! Loading: what the engine asks of the store without a request to Salesforce.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::ids::{AccountId, CallId, ReplicaId, ShardId};
use crate::domain::work::Lane;
use crate::domain::work::ParkedPage;
use crate::engine::{Command, Input};
use crate::store::until_stored;
use crate::store::{Fence, Store};

/// How far ahead due calls are loaded, so that the engine's own clock decides the moment.
const AHEAD: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// Asks the store.
pub struct Loader {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Who we are among the leases.
    pub replica: ReplicaId,
    /// How many shards are looked through at a time. A worker takes dozens of shards with one
    /// heartbeat, and hundreds when it is alone: the others wait here, in order and without a
    /// time-out, and not in front of the store, where they would be in the way of the calls
    /// themselves, time out and come again.
    pub sweeps: Semaphore,
    /// Ends the waiting for a store that is away.
    pub cancel: CancellationToken,
}

impl Loader {
    /// Carries out what needs the store alone; other commands are not its own, and bring nothing.
    pub async fn carry_out(&self, command: Command) -> Option<Input> {
        match command {
            Command::LoadDue {
                shard,
                lane,
                after,
                limit,
            } => self.due(shard, lane, after, limit).await,
            Command::LoadAttempts { shard } => self.attempts(shard).await,
            Command::LoadLinks { accounts } => self.links(accounts).await,
            Command::LoadShardLinks { shard } => self.links_of_shard(shard).await,
            Command::Unpark {
                account,
                shard,
                epoch,
                page,
            } => self.unpark(account, Fence { shard, epoch }, page).await,
            Command::Release { shards } => self.release(&shards).await,
            Command::Lookup { .. }
            | Command::AnswerLookups { .. }
            | Command::Dispatch { .. }
            | Command::Record { .. }
            | Command::Reconcile { .. }
            | Command::RefreshToken { .. }
            | Command::MarkLink { .. } => None,
        }
    }

    /// A turn to look through a shard, kept while the store is away; `None` when told to stop
    /// meanwhile.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            permit = self.sweeps.acquire() => permit.ok(),
        }
    }

    /// A page of due calls.
    async fn due(
        &self,
        shard: ShardId,
        lane: Lane,
        after: Option<(DateTime<Utc>, CallId)>,
        limit: u32,
    ) -> Option<Input> {
        let _turn = self.turn().await?;
        let calls = until_stored(&self.cancel, "due", || {
            self.store
                .due(shard, lane, clock::now() + AHEAD, after.clone(), limit)
        })
        .await?;
        let calls = or_empty(calls, "due");
        let more = calls.len() >= limit as usize;
        Some(Input::Due {
            page: Some((shard, lane)),
            calls,
            more,
        })
    }

    /// A shard's open attempts.
    async fn attempts(&self, shard: ShardId) -> Option<Input> {
        let _turn = self.turn().await?;
        let attempts = until_stored(&self.cancel, "open_attempts", || {
            self.store.open_attempts(shard)
        })
        .await?;
        Some(Input::OpenAttempts {
            shard,
            attempts: or_empty(attempts, "open_attempts"),
        })
    }

    /// Links as they are now.
    async fn links(&self, accounts: Vec<AccountId>) -> Option<Input> {
        let links = until_stored(&self.cancel, "links", || self.store.links(&accounts)).await?;
        Some(Input::Links(or_empty(links, "links")))
    }

    /// The links of a shard's linked accounts.
    async fn links_of_shard(&self, shard: ShardId) -> Option<Input> {
        let _turn = self.turn().await?;
        let links = until_stored(&self.cancel, "links_of_shard", || {
            self.store.links_of_shard(shard)
        })
        .await?;
        Some(Input::Links(or_empty(links, "links_of_shard")))
    }

    /// Makes parked calls due again.
    async fn unpark(&self, account: AccountId, fence: Fence, page: ParkedPage) -> Option<Input> {
        let calls = until_stored(&self.cancel, "unpark", || {
            self.store.unpark(&account, fence, &page)
        })
        .await?;
        Some(Input::Unparked {
            account,
            calls: or_empty(calls, "unpark"),
        })
    }

    /// Gives shards up. The next heartbeat tells the engine.
    async fn release(&self, shards: &[ShardId]) -> Option<Input> {
        until_stored(&self.cancel, "release", || {
            self.store.release(&self.replica, shards)
        })
        .await;
        None
    }
}

/// What the database refuses for good: a broken invariant, said once and loudly. The engine asks
/// again at its next poll.
pub(super) fn or_empty<T: Default>(answer: crate::store::Result<T>, what: &'static str) -> T {
    answer.unwrap_or_else(|error| {
        tracing::error!(
            what,
            error = &error as &dyn std::error::Error,
            "the store refuses to answer"
        );
        T::default()
    })
}
