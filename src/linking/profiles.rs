//! What the linked orgs allow: asked once they are linked, and daily from then on, as an admin may
//! add the unique field or take a permission away without telling anybody.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::tokens::store_failure;
use super::{Error, Linking, changed};
use crate::clock;
use crate::domain::ids::{AccountId, ShardId};
use crate::domain::link::{Actor, Health, LinkReason, LinkState, LinkedOrg};
use crate::domain::outcome::Failure;
use crate::salesforce::Session;
use crate::salesforce::profile::Profile;
use crate::store::links::{LinkWrite, ProfileNews, ProfileRead};
use crate::store::{self, Fence};
use crate::telemetry::names::field;

/// Profiles asked in one step, one after the other.
const PAGE: u32 = 20;

/// How long an org that could not be asked is left alone.
const AGAIN: Duration = Duration::from_mins(10);

impl Linking {
    /// Asks the orgs of our shards what they allow, when it is time, until cancelled.
    pub async fn keep_profiles(&self, cancel: CancellationToken) {
        let mut tried = HashMap::new();
        let mut owned = self.owned.clone();
        while !cancel.is_cancelled() {
            if let Err(error) = self.ask_profiles(&mut tried, clock::now()).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what the linked orgs allow could not be looked over");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                // A link that was added while nobody worked is not to wait on.
                changed = owned.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(self.config.refresh_check) => {}
            }
        }
    }

    /// Asks those whose time has come; `tried` tells which of them failed lately.
    async fn ask_profiles(
        &self,
        tried: &mut HashMap<AccountId, DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> store::Result<()> {
        let owned = self.owned.borrow().clone();
        let shards: Vec<ShardId> = owned.iter().map(|fence| fence.shard).collect();
        if shards.is_empty() {
            return Ok(());
        }
        tried.retain(|_, at| now < *at + AGAIN);
        let limit = PAGE + u32::try_from(tried.len()).unwrap_or(PAGE);
        let before = now - self.config.profile_every;
        for state in self.store.stale_profiles(&shards, before, limit).await? {
            let fence = owned.iter().find(|fence| fence.shard == state.shard);
            if fence.is_none() || tried.contains_key(&state.account) {
                continue;
            }
            if let Err(failure) = self.ask_profile(&state, fence.copied()).await {
                let (code, hint) = (failure.code, failure.hint);
                tracing::warn!({ field::ACCOUNT } = %state.account, code, hint, "what the org allows could not be asked");
                tried.insert(state.account, now);
            }
        }
        Ok(())
    }

    /// Asks an account's org anew what it allows, as a person wishes; the link as it is then.
    pub async fn preflight(&self, account: &AccountId) -> Result<LinkState, Error> {
        let state = self.link(account).await?;
        let asked = self.ask_profile(&state, None).await;
        asked.map_err(|failure| Error::Unasked(Box::new(failure)))
    }

    /// Asks a link's org what it allows, and stores it.
    pub(super) async fn ask_profile(
        &self,
        state: &LinkState,
        fence: Option<Fence>,
    ) -> Result<LinkState, Failure> {
        let (account, generation) = (&state.account, state.generation);
        let Some(linked) = &state.org else {
            return Ok(state.clone());
        };
        let ask = move |session: Session| async move { self.salesforce.profile(&session).await };
        let profile = self.asking(account, generation, ask).await?.value;
        let mut read = ProfileRead {
            account: account.clone(),
            expected: state.sequence,
            generation,
            fence,
            org: self.with_profile(linked, profile),
            news: None,
            at: clock::now(),
        };
        read.news = self.news(state, &read).await;
        match self.store.record_profile(&read).await {
            Ok(LinkWrite::Stored(state) | LinkWrite::Changed(state)) => Ok(state),
            Ok(LinkWrite::Stale | LinkWrite::ApiUserFull { .. }) => Ok(state.clone()),
            Err(error) => Err(store_failure(&error)),
        }
    }

    /// The org with what it says of itself now.
    pub(super) fn with_profile(&self, linked: &LinkedOrg, profile: Profile) -> LinkedOrg {
        LinkedOrg {
            closed_status: profile.closed_status(&self.task_status),
            name: profile.org_name,
            username: profile.username,
            key_mode: profile.key_mode,
            time_zone: profile.time_zone,
            default_country: profile.default_country,
            preflight: profile.preflight,
            asked_at: Some(clock::now()),
            ..linked.clone()
        }
    }

    /// What is to be published of it: another health, or the API user's name.
    async fn news(&self, state: &LinkState, read: &ProfileRead) -> Option<ProfileNews> {
        let lacks = !read.org.missing().is_empty();
        let lacked =
            state.health == Health::AtRisk && state.reason == Some(LinkReason::PermissionMissing);
        let named = state.org.as_ref().map(|org| &org.username);
        let (health, reason) = match (lacks, state.health) {
            (true, Health::Healthy) => (Health::AtRisk, LinkReason::PermissionMissing),
            (false, Health::AtRisk) if lacked => (Health::Healthy, LinkReason::Recovered),
            (_, health) if named != Some(&read.org.username) => {
                (health, state.reason.unwrap_or(LinkReason::Unknown))
            }
            _ => return None,
        };
        let mut next = read.after(state);
        if (health, Some(reason)) != (state.health, state.reason) {
            (next.health, next.reason, next.since) = (health, Some(reason), read.at);
        }
        let parked = self.store.parked_calls(&state.account).await;
        let parked = parked.unwrap_or_default();
        let event = changed(state, &next, reason, Actor::Salesforce, (parked, None));
        Some(ProfileNews {
            health,
            reason,
            actor: Actor::Salesforce,
            event: self.sealer.event(state.shard, &event),
        })
    }
}
