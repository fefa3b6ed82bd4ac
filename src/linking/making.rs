//! Making a link of tokens, and ending it: the rows, with their events.

use super::authorizing::Error;
use super::sealed::Tokens;
use super::{Linking, changed};
use crate::clock;
use crate::domain::ids::{AccountId, AuthorizationId, Generation, ShardId, TokenSequence};
use crate::domain::link::{Actor, App, Health, LinkReason, LinkState, LinkStatus, LinkedOrg};
use crate::store;
use crate::store::links::{LinkChange, LinkWrite, NewLink};

/// Where the tokens of a new generation begin.
const FIRST_TOKENS: TokenSequence = TokenSequence(1);

/// What a link is made of.
pub(super) struct Made<'a> {
    /// The org and the API user, as far as they are known.
    pub(super) org: LinkedOrg,
    /// Linked, or Legacy.
    pub(super) status: LinkStatus,
    /// Where its tokens are refreshed.
    pub(super) login_url: String,
    /// Which app they were given to.
    pub(super) app: App,
    /// Its tokens.
    pub(super) tokens: &'a Tokens,
    /// Who made it.
    pub(super) actor: Actor,
    /// The authorization that it came by.
    pub(super) authorization: Option<AuthorizationId>,
}

impl Linking {
    /// The row of a new link, with its event.
    pub(super) async fn new_link(&self, before: &LinkState, made: Made<'_>) -> NewLink {
        let at = clock::now();
        let reason = match before.status {
            LinkStatus::Unlinked => LinkReason::UserLinked,
            LinkStatus::Linked | LinkStatus::Legacy => LinkReason::UserRelinked,
        };
        let (health, reason) = if made.org.missing().is_empty() {
            (Health::Healthy, reason)
        } else {
            (Health::AtRisk, LinkReason::PermissionMissing)
        };
        let next = LinkState {
            status: made.status,
            health,
            reason: Some(reason),
            since: at,
            generation: before.generation.next(),
            shard: ShardId::of(&before.account, Some(&made.org.org)),
            org: Some(made.org.clone()),
            ..before.clone()
        };
        // A number for those who watch: no reason to lose tokens for.
        let parked = self.store.parked_calls(&before.account).await;
        let parked = parked.unwrap_or_default();
        let event = changed(before, &next, reason, made.actor.clone(), (parked, None));
        NewLink {
            account: before.account.clone(),
            expected: before.sequence,
            status: made.status,
            reason,
            health,
            org: made.org,
            login_url: made.login_url,
            app: made.app,
            tokens: self.seal(&before.account, next.generation, FIRST_TOKENS, made.tokens),
            actor: made.actor,
            authorization: made.authorization,
            event: self.sealer.event(next.shard, &event),
            at,
        }
    }

    /// Unlinks an account, as its admin wishes who saw the link at this generation. Its calls are
    /// not logged from then on, and its tokens are given up by the worker.
    pub async fn unlink(
        &self,
        account: &AccountId,
        generation: Generation,
        actor: &Actor,
    ) -> Result<LinkState, Error> {
        loop {
            let before = self.link(account).await?;
            if before.generation != generation || before.status == LinkStatus::Unlinked {
                return Ok(before);
            }
            let at = clock::now();
            let reason = LinkReason::UserUnlinked;
            let next = LinkState {
                status: LinkStatus::Unlinked,
                health: Health::Healthy,
                reason: Some(reason),
                since: at,
                generation: before.generation.next(),
                shard: ShardId::of(account, None),
                org: None,
                ..before.clone()
            };
            let parked = self.store.parked_calls(account).await?;
            let event = changed(&before, &next, reason, actor.clone(), (parked, None));
            let change = LinkChange {
                account: account.clone(),
                expected: before.sequence,
                generation,
                status: next.status,
                health: next.health,
                reason,
                fence: None,
                actor: actor.clone(),
                event: self.sealer.event(next.shard, &event),
                at,
            };
            match self.store.change_link(&change).await? {
                LinkWrite::Stored(state) => {
                    self.announce(&change.event);
                    return Ok(state);
                }
                LinkWrite::Changed(_) | LinkWrite::Stale | LinkWrite::ApiUserFull { .. } => {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// The link of an account as it is; one that is not known is unlinked.
    pub async fn link(&self, account: &AccountId) -> store::Result<LinkState> {
        let states = self.store.links(std::slice::from_ref(account)).await?;
        let state = states.into_iter().next();
        Ok(state.unwrap_or_else(|| LinkState::unlinked(account.clone(), clock::now())))
    }
}
