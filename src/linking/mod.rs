//! Links and their tokens: adding a link, giving out access tokens, refreshing them once and
//! safely, and marking a link's health.
//!
//! - [`Linking`]: changing a link's health; [`adding`]: adding a link; [`legacy`]: those
//!   of the older method;
//! - [`authorizing`], [`returning`], [`concluding`]: linking by an admin's login; [`making`]: the
//!   rows of all links;
//! - [`inviting`]: letting somebody log in whom the portal does not know;
//! - [`profiles`]: what the linked orgs allow, asked at first and daily;
//! - [`tokens`]: access tokens, and refreshing them by rule 11; [`sealed`]: their stored form;
//! - [`asking`]: reading from an org on a person's behalf;
//! - [`announcing`]: telling of a change at once, beside the relay;
//! - [`openable`]: whether the keys are those that sealed what is stored;
//! - [`vetting`]: whether access tokens still work, after a restore;
//! - [`retired`]: giving up the tokens of links that were replaced;
//! - [`restating`]: telling the state of links again, as the new owner of their shard (rule 13).

mod adding;
mod announcing;
mod asking;
mod authorizing;
mod concluding;
mod config;
mod faults;
mod inviting;
pub mod legacy;
mod making;
mod openable;
mod profiles;
mod restating;
mod retired;
mod returning;
mod sealed;
mod tokens;
mod vetting;

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use moka::sync::Cache;
use tokio::sync::watch;

pub use self::adding::{Added, Bootstrap};
pub use self::announcing::{Announcements, Announcer};
pub use self::authorizing::{Begin, Error as AuthorizationError, LoginChoice};
pub use self::concluding::Onlooker;
pub use self::config::Config;
pub use self::openable::{Unusable, check_keys};
pub use self::returning::Back;
use self::sealed::Cached;
pub use self::vetting::Vetted;
use crate::clock;
use crate::domain::event::{LinkStatusChanged, Published};
use crate::domain::ids::{AccountId, Generation, ShardId};
use crate::domain::link::{Actor, Health, LinkReason, LinkState};
use crate::domain::outcome::{Failure, FailureClass};
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::store::links::{LinkChange, LinkWrite};
use crate::store::{self, Fence, Store};
use crate::telemetry::Metrics;
use crate::telemetry::names::field;

/// Why a link could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Salesforce refuses the refresh token, or did not answer: nothing is stored.
    #[error("Salesforce did not accept the refresh token: {} ({}). {}", .0.code, .0.class.as_str(), advice(.0))]
    Salesforce(Box<Failure>),
    /// The org does not tell what it allows.
    #[error("the org could not be asked now: {} ({}). {}", .0.code, .0.class.as_str(), .0.hint)]
    Unasked(Box<Failure>),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The tokens cannot be opened.
    #[error(transparent)]
    Sealing(#[from] crate::sealing::Error),
    /// Somebody else changed the link meanwhile.
    #[error(
        "the link of this account was changed by somebody else meanwhile: look at it, then try again"
    )]
    Changed,
    /// Salesforce keeps five approvals per user and app.
    #[error("this API user already serves {} accounts ({}), the most that Salesforce allows: create another API user, and use a refresh token of that one. Salesforce may have revoked the oldest approval of these for it: each is looked at now, and `links list` tells which one is broken", .accounts.len(), list(.accounts))]
    ApiUserFull {
        /// The accounts that it serves.
        accounts: Vec<AccountId>,
    },
}

/// What to do where a refresh token that was given is not taken.
fn advice(failure: &Failure) -> &str {
    match failure.class {
        FailureClass::Link => "Get a new refresh token from Salesforce, and try again with that.",
        _ => &failure.hint,
    }
}

/// Accounts, separated by commas.
fn list(accounts: &[AccountId]) -> String {
    accounts
        .iter()
        .map(AccountId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Links and tokens, for the shells and the pages.
pub struct Linking {
    /// The durable state.
    store: Arc<dyn Store>,
    /// Seals tokens and events.
    sealer: Sealer,
    /// Refreshes.
    salesforce: Client,
    /// Settings.
    config: Config,
    /// What Tasks' Status shall be (`tasks.status`), if an org has it as a closed one.
    task_status: String,
    /// The shards that are ours: only an owner refreshes.
    owned: watch::Receiver<Vec<Fence>>,
    /// What is counted; nothing where nobody looks.
    metrics: Option<Metrics>,
    /// Where changes are told at once; nowhere where the relay of this process suffices.
    announcements: Option<Announcements>,
    /// Sessions in use, so that not each request opens a sealed row. Entries are short-lived:
    /// another process may have stored newer tokens.
    sessions: Cache<(AccountId, Generation), Cached>,
}

/// How long a session is used without looking at the store.
const SESSION_CACHE: Duration = Duration::from_secs(30);

/// Sessions kept at most; each is under 2 kB.
const SESSIONS: u64 = 100_000;

impl Linking {
    /// Links on this store and this Salesforce.
    pub fn new(
        store: Arc<dyn Store>,
        sealer: Sealer,
        salesforce: Client,
        config: Config,
        task_status: String,
        owned: watch::Receiver<Vec<Fence>>,
    ) -> Self {
        let sessions = Cache::builder()
            .max_capacity(SESSIONS)
            .time_to_live(SESSION_CACHE)
            .build();
        Self {
            store,
            sealer,
            salesforce,
            config,
            task_status,
            owned,
            metrics: None,
            announcements: None,
            sessions,
        }
    }

    /// Counts refreshes there.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Accounts that may share one API user.
    pub const fn accounts_per_api_user(&self) -> u32 {
        self.config.accounts_per_api_user
    }

    /// Until when links of the older method are to be made anew, if that is set.
    pub const fn legacy_until(&self) -> Option<NaiveDate> {
        self.config.legacy_until
    }

    /// Our fence of a shard, if it is ours.
    fn fence(&self, shard: ShardId) -> Option<Fence> {
        let owned = self.owned.borrow();
        owned.iter().find(|fence| fence.shard == shard).copied()
    }

    /// Changes a link's health, with its event, if it is still at that generation and its account
    /// in a shard of ours; returns the link as it is then, if its account is known. Fenced by the
    /// shard's lease: a worker that stood still must not undo what the next owner has found since.
    pub async fn mark(
        &self,
        account: &AccountId,
        generation: Generation,
        health: Health,
        reason: LinkReason,
        failure: Option<Failure>,
    ) -> store::Result<Option<LinkState>> {
        loop {
            let links = self.store.links(std::slice::from_ref(account)).await?;
            let Some(state) = links.into_iter().next() else {
                return Ok(None);
            };
            let known = (state.health, state.reason) == (health, Some(reason));
            let Some(fence) = self.fence(state.shard).filter(|_| !known) else {
                return Ok(Some(state));
            };
            if state.generation != generation {
                return Ok(Some(state));
            }
            let change = self
                .change(&state, fence, health, reason, failure.clone())
                .await;
            match self.store.change_link(&change).await? {
                LinkWrite::Stored(state) => {
                    tracing::info!({ field::ACCOUNT } = %account, ?health, ?reason, "link health changed");
                    return Ok(Some(state));
                }
                LinkWrite::Changed(_) => {}
                LinkWrite::Stale | LinkWrite::ApiUserFull { .. } => return Ok(Some(state)),
            }
        }
    }

    /// The change of a link's health, with its event.
    async fn change(
        &self,
        state: &LinkState,
        fence: Fence,
        health: Health,
        reason: LinkReason,
        failure: Option<Failure>,
    ) -> LinkChange {
        let at = clock::now();
        let parked = self
            .store
            .parked_calls(&state.account)
            .await
            .unwrap_or_default();
        let next = LinkState {
            health,
            reason: Some(reason),
            since: at,
            ..state.clone()
        };
        let event = changed(state, &next, reason, Actor::System, (parked, failure));
        LinkChange {
            account: state.account.clone(),
            expected: state.sequence,
            generation: state.generation,
            status: state.status,
            health,
            reason,
            fence: Some(fence),
            actor: Actor::System,
            event: self.sealer.event(state.shard, &event),
            at,
        }
    }
}

/// The event of a change from one state to the next, with the calls that wait and what failed.
fn changed(
    before: &LinkState,
    after: &LinkState,
    reason: LinkReason,
    actor: Actor,
    (parked_calls, failure): (u64, Option<Failure>),
) -> Published {
    let org = after.org.as_ref();
    Published::LinkStatusChanged(Box::new(LinkStatusChanged {
        account: after.account.clone(),
        previous_status: before.status,
        status: after.status,
        previous_health: before.health,
        health: after.health,
        reason,
        generation: after.generation,
        sequence: before.sequence.next(),
        org: org.map(|o| o.org.clone()),
        environment: org.map(|o| o.environment),
        instance_url: org.map(|o| o.instance_url.clone()),
        username_masked: org
            .map(|o| &o.username)
            .filter(|name| !name.is_empty())
            .map(ToString::to_string),
        actor,
        parked_calls,
        failure,
        effective_at: after.since,
        broken_since: after.broken_since(before),
        restated: None,
    }))
}
