//! Links, their grants, and the journal of token refreshes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use super::grants::{Grant, RefreshClaim, RefreshResult, RefreshWish};
use super::outbox::OutboxRow;
use super::{Fence, Result, Sealed, Written};
use crate::domain::ids::{
    AccountId, AuthorizationId, Generation, OrgId, Sequence, ShardId, TokenSequence, UserId,
};
use crate::domain::link::{Actor, App, Health, LinkReason, LinkState, LinkStatus, LinkedOrg};

/// A Link or Relink to be stored.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// The account.
    pub account: AccountId,
    /// The sequence that the decision was based on; the new one is the next.
    pub expected: Sequence,
    /// Linked or Legacy.
    pub status: LinkStatus,
    /// Why.
    pub reason: LinkReason,
    /// Healthy or at risk.
    pub health: Health,
    /// The org and the API user.
    pub org: LinkedOrg,
    /// Where tokens are refreshed: the login host that issued them.
    pub login_url: String,
    /// Which app the tokens were given to.
    pub app: App,
    /// The sealed tokens, at token sequence 1 of the next generation.
    pub tokens: Sealed,
    /// Who caused it.
    pub actor: Actor,
    /// The authorization that ends with it, in the same transaction.
    pub authorization: Option<AuthorizationId>,
    /// `link.statuschanged.v1`.
    pub event: OutboxRow,
    /// When.
    pub at: DateTime<Utc>,
}

/// A change of health (or an Unlink) to be stored.
#[derive(Clone, Debug)]
pub struct LinkChange {
    /// The account.
    pub account: AccountId,
    /// The sequence that the decision was based on; the new one is the next.
    pub expected: Sequence,
    /// The generation that it is about; `Unlinked` makes the next.
    pub generation: Generation,
    /// As it shall be.
    pub status: LinkStatus,
    /// As it shall be.
    pub health: Health,
    /// Why.
    pub reason: LinkReason,
    /// By whom: the owner of the account's shard decides about health; `None`: a person, who owns
    /// nothing.
    pub fence: Option<Fence>,
    /// Who caused it.
    pub actor: Actor,
    /// `link.statuschanged.v1`.
    pub event: OutboxRow,
    /// When.
    pub at: DateTime<Utc>,
}

impl NewLink {
    /// The account's link, once this is stored.
    pub(super) fn after(&self, before: &LinkState) -> LinkState {
        LinkState {
            account: self.account.clone(),
            shard: ShardId::of(&self.account, Some(&self.org.org)),
            status: self.status,
            health: self.health,
            reason: Some(self.reason),
            since: self.at,
            generation: before.generation.next(),
            sequence: before.sequence.next(),
            org: Some(self.org.clone()),
        }
    }
}

impl LinkChange {
    /// The account's link, once this is stored. Unlink makes the next generation, and takes the
    /// account to its own shard.
    pub(super) fn after(&self, before: &LinkState) -> LinkState {
        let after = LinkState {
            status: self.status,
            health: self.health,
            reason: Some(self.reason),
            since: self.at,
            sequence: before.sequence.next(),
            ..before.clone()
        };
        if self.status != LinkStatus::Unlinked {
            return after;
        }
        LinkState {
            generation: before.generation.next(),
            shard: ShardId::of(&self.account, None),
            org: None,
            ..after
        }
    }
}

/// What an org says of itself and its API user, to be stored.
#[derive(Clone, Debug)]
pub struct ProfileRead {
    /// The account.
    pub account: AccountId,
    /// The sequence that the decision was based on.
    pub expected: Sequence,
    /// The generation that was asked.
    pub generation: Generation,
    /// As in [`LinkChange::fence`].
    pub fence: Option<Fence>,
    /// As it shall be; but where it answers requests, which the tokens tell.
    pub org: LinkedOrg,
    /// What is published of it, where that changes; the sequence is the next then.
    pub news: Option<ProfileNews>,
    /// When it was asked.
    pub at: DateTime<Utc>,
}

impl ProfileRead {
    /// The link as it is once this is stored.
    pub fn after(&self, before: &LinkState) -> LinkState {
        let mut after = before.clone();
        let address = before.org.as_ref().map(|org| org.instance_url.clone());
        after.org = Some(LinkedOrg {
            instance_url: address.unwrap_or_else(|| self.org.instance_url.clone()),
            ..self.org.clone()
        });
        if let Some(news) = &self.news {
            after.sequence = before.sequence.next();
            if (before.health, before.reason) != (news.health, Some(news.reason)) {
                after.health = news.health;
                after.reason = Some(news.reason);
                after.since = self.at;
            }
        }
        after
    }
}

/// What changes for those who watch a link, once its org was asked.
#[derive(Clone, Debug)]
pub struct ProfileNews {
    /// As it shall be.
    pub health: Health,
    /// Why.
    pub reason: LinkReason,
    /// Who caused it.
    pub actor: Actor,
    /// `link.statuschanged.v1`.
    pub event: OutboxRow,
}

/// A link's state as its shard's new owner tells it again.
#[derive(Clone, Debug)]
pub struct Restated {
    /// The account.
    pub account: AccountId,
    /// The sequence that is told.
    pub sequence: Sequence,
    /// `link.statuschanged.v1`.
    pub event: OutboxRow,
}

/// What became of a compare-and-set on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkWrite {
    /// Stored; this is the link now.
    Stored(LinkState),
    /// Somebody was first, or the authorization is over; this is the link now. Decide again.
    Changed(LinkState),
    /// The lease is gone, or the account lies in another shard: the decision is its owner's now.
    Stale,
    /// The API user already serves as many accounts as Salesforce keeps approvals.
    ApiUserFull {
        /// The accounts that it serves.
        accounts: Vec<AccountId>,
    },
}

/// The linking's and the token refresh's room.
#[async_trait]
pub trait Links: Send + Sync {
    /// The state of these accounts' links, in the order asked; unlinked where nothing is known.
    async fn links(&self, accounts: &[AccountId]) -> Result<Vec<LinkState>>;

    /// The accounts that are linked to this API user.
    async fn accounts_of_api_user(&self, org: &OrgId, user: &UserId) -> Result<Vec<AccountId>>;

    /// The links of a shard's accounts that were ever linked.
    async fn links_of_shard(&self, shard: ShardId) -> Result<Vec<LinkState>>;

    /// Every account that was ever linked, was refused a link or had a call, in order of id, after the
    /// cursor.
    async fn all_links(&self, after: Option<&AccountId>, limit: u32) -> Result<Vec<LinkState>>;

    /// Stores a Link or Relink: the account's state, the new generation's grant, the event, and
    /// the account's move to its org's shard with all its open calls and attempts; all or nothing.
    /// Refused when `max_accounts` other accounts are linked to the API user (counted under a
    /// lock, so two at the same moment cannot both be the last). The tokens that those have of the
    /// same app are suspected then, and the owners of their shards woken: at Salesforce, the approval
    /// that is refused here may have displaced theirs.
    async fn save_link(&self, link: &NewLink, max_accounts: u32) -> Result<LinkWrite>;

    /// Stores a change of status or health with its event. Unlink makes the next generation, and
    /// moves the account to its own shard; its parked calls stay parked, until it is linked again or
    /// somebody makes them due to end.
    async fn change_link(&self, change: &LinkChange) -> Result<LinkWrite>;

    /// Links of these shards whose org was not asked what it allows since `before`, those never
    /// asked first. Broken ones are left out: nothing can be asked there.
    async fn stale_profiles(
        &self,
        shards: &[ShardId],
        before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<LinkState>>;

    /// Stores what an org says of itself and its API user, with its event where there is news.
    async fn record_profile(&self, read: &ProfileRead) -> Result<LinkWrite>;

    /// Writes the events of links whose state is still the one they tell, for the owner of their
    /// shard; others are left out, as their own event is on its way.
    async fn restate_links(&self, fence: Fence, links: &[Restated]) -> Result<Written>;

    /// The org that an account was linked to before it was last unlinked, if it ever was: the calls
    /// that wait since then were for it.
    async fn left_org(&self, account: &AccountId) -> Result<Option<OrgId>>;

    /// How many calls of an account are parked.
    async fn parked_calls(&self, account: &AccountId) -> Result<u64>;

    /// The tokens of one generation; `None` once they are given up. Those of a generation that is
    /// over stay until then, for reconciling what it sent and for revoking them.
    async fn grant(&self, account: &AccountId, generation: Generation) -> Result<Option<Grant>>;

    /// Current grants of the shards whose tokens were issued before `issued_before`, the oldest
    /// first. Those of broken links are left out: refreshing cannot mend them. So are those with a
    /// claim, open or expired, and those in doubt: their access token is used to its end first.
    async fn stale_grants(
        &self,
        shards: &[ShardId],
        issued_before: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Grant>>;

    /// Current grants of the shards whose approval may have been displaced, those suspected longest
    /// first: a refresh tells, and ends the suspicion. Left out are the same as of
    /// [`Self::stale_grants`].
    async fn suspected_grants(&self, shards: &[ShardId], limit: u32) -> Result<Vec<Grant>>;

    /// Current grants of the shards that are in doubt, or whose claim expired without a result, in
    /// order of account. Left out are broken links, and those whose reason says so already.
    async fn doubtful_grants(&self, shards: &[ShardId], limit: u32) -> Result<Vec<Grant>>;

    /// Lets a grant count as issued long ago, if its tokens are still those that were seen: the owner
    /// of its account's shard renews them when it looks next. `Stale` otherwise, or while a refresh
    /// runs.
    async fn want_refresh(
        &self,
        account: &AccountId,
        generation: Generation,
        seen: TokenSequence,
    ) -> Result<Written>;

    /// Claims the refresh of a grant, as the owner of its account's shard. At most one claim is
    /// open at a time; see [`RefreshClaim`] for the rest of rule 11.
    async fn claim_refresh(&self, wish: &RefreshWish) -> Result<RefreshClaim>;

    /// Ends the claim that was granted with `send_by`.
    ///
    /// New tokens are taken whoever's claim is open by then, by a compare-and-set on the token
    /// sequence: they are the right ones. They are durable when this returns, and only then used.
    /// `Already` when the same tokens are stored, `Stale` when the sequence has moved otherwise.
    ///
    /// `Untouched` ends this one claim and gives its last step back, as it was not taken; it is
    /// `Stale` when the claim is over and perhaps another one open, which stays as it is.
    async fn record_refresh(
        &self,
        account: &AccountId,
        generation: Generation,
        seen: TokenSequence,
        send_by: DateTime<Utc>,
        result: &RefreshResult,
    ) -> Result<Written>;

    /// Grants of generations that are over, none of whose attempts is open: to be revoked at
    /// Salesforce, and then given up. Of these shards, the longest retired first.
    async fn retired_grants(&self, shards: &[ShardId], limit: u32) -> Result<Vec<Grant>>;

    /// Drops a retired grant for good, once its token is revoked or no longer known to Salesforce.
    /// The current generation's grant stays: that is `Stale`; one that is gone is `Already`.
    async fn give_up_grant(&self, account: &AccountId, generation: Generation) -> Result<Written>;
}
