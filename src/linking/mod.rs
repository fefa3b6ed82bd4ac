//! Links and their tokens: adding a link, giving out access tokens, refreshing them once and
//! safely, and marking a link's health.
//!
//! - [`Linking`]: adding a link, and changing its health;
//! - [`tokens`]: access tokens, and refreshing them by rule 11; [`sealed`]: their stored form;
//! - [`retired`]: giving up the tokens of links that were replaced.

mod config;
mod retired;
mod sealed;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use secrecy::SecretString;
use tokio::sync::watch;

pub use self::config::Config;
use self::sealed::{Cached, Tokens};
use crate::clock;
use crate::domain::event::{LinkStatusChanged, Published};
use crate::domain::ids::{AccountId, Generation, ShardId, TokenSequence};
use crate::domain::link::{
    Actor, Environment, Health, LinkReason, LinkState, LinkStatus, LinkedOrg,
};
use crate::domain::outcome::Failure;
use crate::salesforce::{ApiUser, Client, SendBy, Session};
use crate::sealing::Sealer;
use crate::store::links::{LinkChange, LinkWrite, NewLink};
use crate::store::{self, Fence, Store};
use crate::telemetry::Metrics;

/// What a link is made from when no browser is at hand.
pub struct Bootstrap {
    /// The account.
    pub account: AccountId,
    /// Where the API user logs in.
    pub environment: Environment,
    /// The address of that.
    pub login_url: String,
    /// A refresh token that the app was given; it is redeemed at once.
    pub refresh_token: SecretString,
    /// Who does it.
    pub actor: Actor,
    /// What Tasks' Status shall be (`tasks.status`), if the org has it as a closed one.
    pub task_status: String,
}

/// Why a link could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Salesforce refuses the refresh token, or did not answer.
    #[error("Salesforce did not accept the refresh token: {} ({}). {}", .0.code, .0.class.as_str(), .0.hint)]
    Salesforce(Box<Failure>),
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
    #[error("this API user already serves {} accounts ({}), the most that Salesforce allows: create another API user", .accounts.len(), list(.accounts))]
    ApiUserFull {
        /// The accounts that it serves.
        accounts: Vec<AccountId>,
    },
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
    /// The shards that are ours: only an owner refreshes.
    owned: watch::Receiver<Vec<Fence>>,
    /// What is counted; nothing where nobody looks.
    metrics: Option<Metrics>,
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
            owned,
            metrics: None,
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

    /// Our fence of a shard, if it is ours.
    fn fence(&self, shard: ShardId) -> Option<Fence> {
        let owned = self.owned.borrow();
        owned.iter().find(|fence| fence.shard == shard).copied()
    }

    /// Changes a link's health, with its event, if it is still at that generation and its account
    /// in a shard of ours; returns the link as it is then. Fenced by the shard's lease: a worker
    /// that stood still must not undo what the next owner has found since.
    pub async fn mark(
        &self,
        account: &AccountId,
        generation: Generation,
        health: Health,
        reason: LinkReason,
        failure: Option<Failure>,
    ) -> Option<LinkState> {
        loop {
            let links = self.store.links(std::slice::from_ref(account)).await;
            let state = match links {
                Ok(links) => links.into_iter().next()?,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(account = %account, error, "a link's health could not be changed");
                    return None;
                }
            };
            let known = (state.health, state.reason) == (health, Some(reason));
            let Some(fence) = self.fence(state.shard).filter(|_| !known) else {
                return Some(state);
            };
            if state.generation != generation {
                return Some(state);
            }
            let change = self
                .change(&state, fence, health, reason, failure.clone())
                .await;
            match self.store.change_link(&change).await {
                Ok(LinkWrite::Stored(state)) => {
                    tracing::info!(account = %account, ?health, ?reason, "link health changed");
                    return Some(state);
                }
                Ok(LinkWrite::Changed(_)) => {}
                Ok(LinkWrite::Stale | LinkWrite::ApiUserFull { .. }) => return Some(state),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(account = %account, error, "a link's health could not be changed");
                    return None;
                }
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
            event: self.sealer.event(state.shard, &event),
            at,
        }
    }

    /// Links an account by a refresh token of the app's, for bootstrap: redeems it once, asks the
    /// org who the API user is, and stores the link with its event. An account that is linked
    /// already is relinked.
    pub async fn add(&self, bootstrap: Bootstrap) -> Result<LinkState, Error> {
        let Bootstrap {
            account,
            environment,
            login_url,
            refresh_token,
            actor,
            task_status,
        } = bootstrap;
        let send_by = SendBy::after(self.config.refresh_send_within);
        let redeemed = self
            .salesforce
            .refresh(&login_url, &refresh_token, send_by)
            .await;
        let redeemed =
            redeemed.map_err(|error| Error::Salesforce(Box::new(error.into_failure())))?;
        let api_user = ApiUser {
            org: redeemed.org.clone(),
            user: redeemed.user.clone(),
        };
        let (host, access) = (redeemed.instance_url.clone(), redeemed.access.clone());
        let session = Session::new(host, access, api_user);
        let profile = self.salesforce.profile(&session).await;
        let profile = profile
            .map_err(|error| Error::Salesforce(Box::new(error.failure)))?
            .value;
        let org = LinkedOrg {
            org: redeemed.org.clone(),
            user: redeemed.user.clone(),
            closed_status: profile.closed_status(&task_status),
            username_masked: profile.username_masked,
            environment,
            instance_url: redeemed.instance_url.clone(),
            key_mode: profile.key_mode,
            time_zone: profile.time_zone,
            default_country: profile.default_country,
            missing: profile.missing,
        };
        let states = self.store.links(std::slice::from_ref(&account)).await?;
        let state = states.into_iter().next();
        let state = state.unwrap_or_else(|| LinkState::unlinked(account, clock::now()));
        let tokens = Tokens::of(&redeemed, &refresh_token);
        let link = self
            .new_link(&state, org, login_url, &tokens, actor)
            .await?;
        match self
            .store
            .save_link(&link, self.config.accounts_per_api_user)
            .await?
        {
            LinkWrite::Stored(state) => Ok(state),
            LinkWrite::Changed(_) | LinkWrite::Stale => Err(Error::Changed),
            LinkWrite::ApiUserFull { accounts } => Err(Error::ApiUserFull { accounts }),
        }
    }

    /// The row of a new link, with its event.
    async fn new_link(
        &self,
        state: &LinkState,
        org: LinkedOrg,
        login_url: String,
        tokens: &Tokens,
        actor: Actor,
    ) -> Result<NewLink, Error> {
        let at = clock::now();
        let relinked = state.status != LinkStatus::Unlinked;
        let (health, reason) = if !org.missing.is_empty() {
            (Health::AtRisk, LinkReason::PermissionMissing)
        } else if relinked {
            (Health::Healthy, LinkReason::UserRelinked)
        } else {
            (Health::Healthy, LinkReason::UserLinked)
        };
        let next = LinkState {
            status: LinkStatus::Linked,
            health,
            reason: Some(reason),
            since: at,
            generation: state.generation.next(),
            shard: ShardId::of(&state.account, Some(&org.org)),
            org: Some(org.clone()),
            ..state.clone()
        };
        let parked = self.store.parked_calls(&state.account).await?;
        let event = changed(state, &next, reason, actor, (parked, None));
        Ok(NewLink {
            account: state.account.clone(),
            expected: state.sequence,
            status: LinkStatus::Linked,
            reason,
            health,
            org,
            login_url,
            tokens: self.seal(&state.account, next.generation, FIRST_TOKENS, tokens),
            event: self.sealer.event(next.shard, &event),
            at,
        })
    }
}

/// Where the tokens of a new generation begin.
const FIRST_TOKENS: TokenSequence = TokenSequence(1);

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
        username_masked: org.map(|o| o.username_masked.clone()),
        actor,
        parked_calls,
        failure,
        effective_at: after.since,
        broken_since: after.broken_since(before),
    }))
}
