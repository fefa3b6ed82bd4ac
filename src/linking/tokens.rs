//! Access tokens, and refreshing them.
//!
//! **A refresh is journalled** (rule 11). Refresh-token rotation makes each refresh token good for
//! one use, and using a used one kills the link. So: claim in the store (a compare-and-set, fenced
//! by the shard's lease), one request that is never repeated, then the new tokens are durable
//! before anybody uses them. A claim whose answer was lost leaves the refresh *in doubt*: the
//! access token still stored goes on being used, and the old refresh token is tried exactly once
//! more as the last step, when that access token is refused.
//!
//! What is to be refreshed and what its end means for the link is the engine's to decide, ahead of
//! need too: only it sees when so many links die that it is probably us (rule 12).

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::Linking;
use super::sealed::{Tokens, kept};
use crate::clock;
use crate::domain::ids::{AccountId, Generation, ShardId};
use crate::domain::link::LinkReason;
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::engine::{Input, Refreshed};
use crate::salesforce::oauth::{RefreshError, TokenSet};
use crate::salesforce::{SendBy, Session};
use crate::store::links::{Grant, RefreshClaim, RefreshResult, RefreshWish};
use crate::store::{self, Written};
use crate::telemetry::metrics::Refresh;
use crate::telemetry::names::field;

/// A claim that was granted.
struct Claim {
    /// The tokens as of the claim.
    grant: Grant,
    /// Names it.
    send_by: DateTime<Utc>,
    /// An earlier claim is in doubt.
    last_step: bool,
}

/// Tokens told to the engine at once; the rest follows with the next look.
const PAGE: u32 = 100;

impl Linking {
    /// What requests of this account and generation are made with: the stored access token. It
    /// may have died; then Salesforce says so, and the engine asks for a refresh.
    pub async fn session(
        &self,
        account: &AccountId,
        generation: Generation,
    ) -> Result<Session, Failure> {
        let key = (account.clone(), generation);
        if let Some(cached) = self.sessions.get(&key) {
            return Ok(cached.session);
        }
        let grant = self
            .store
            .grant(account, generation)
            .await
            .map_err(|e| store_failure(&e))?;
        let grant = grant.ok_or_else(|| {
            let mut failure = Failure::new(FailureClass::Link, FailureScope::Request, "no_grant");
            failure.hint = "the link was given up; link the account again".into();
            failure
        })?;
        let cached = self.open(&grant).map_err(|e| sealing_failure(&e))?;
        self.sessions.insert(key, cached.clone());
        Ok(cached.session)
    }

    /// Refreshes the access token of a link, once, whoever else tries at the same time. However young
    /// it is, where the org has `moved`. `ahead` of
    /// need, it leaves a refresh token in doubt alone.
    pub async fn refresh(
        &self,
        account: &AccountId,
        generation: Generation,
        ahead: bool,
        moved: bool,
    ) -> Refreshed {
        let key = (account.clone(), generation);
        let grant = match self.store.grant(account, generation).await {
            Ok(Some(grant)) => grant,
            Ok(None) => return dead(LinkReason::TokenRevoked, "no_grant"),
            Err(error) => return Refreshed::Later(store_failure(&error)),
        };
        // Somebody refreshed since the session that failed was opened, or since it was looked over.
        let used = self.sessions.get(&key).map(|cached| cached.sequence);
        self.sessions.invalidate(&key);
        let done = if ahead && !moved {
            !grant.suspected && grant.issued_at >= self.stale_before(clock::now())
        } else {
            used.is_some_and(|used| used < grant.token_sequence)
        };
        if done {
            return Refreshed::Fresh;
        }
        self.claim_and_refresh(&grant, ahead).await
    }

    /// Tells the engine which tokens need a look, until cancelled; at once when `told` of links
    /// of which some may have been displaced.
    pub async fn look_over(
        &self,
        inputs: mpsc::Sender<Input>,
        told: &Notify,
        cancel: CancellationToken,
    ) {
        let mut hurried = false;
        while !cancel.is_cancelled() {
            match self.in_need(clock::now(), hurried).await {
                // Without a driver nobody is left to tell.
                Ok(Some(input)) => drop(inputs.send(input).await),
                Ok(None) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the tokens could not be looked over");
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = told.notified() => hurried = true,
                () = tokio::time::sleep(self.config.refresh_check) => hurried = false,
            }
        }
    }

    /// The tokens of our shards whose approval may have been displaced, those that are older than the
    /// setting says, and those in doubt. `hurried`, only the first are a reason to look.
    async fn in_need(&self, now: DateTime<Utc>, hurried: bool) -> store::Result<Option<Input>> {
        let shards: Vec<ShardId> = self.owned.borrow().iter().map(|f| f.shard).collect();
        if shards.is_empty() {
            return Ok(None);
        }
        let before = self.stale_before(now);
        let mut stale = self.store.suspected_grants(&shards, PAGE).await?;
        if hurried && stale.is_empty() {
            return Ok(None);
        }
        stale.extend(self.store.stale_grants(&shards, before, PAGE).await?);
        let doubtful = self.store.doubtful_grants(&shards, PAGE).await?;
        let names = |grants: Vec<Grant>| {
            let name = |grant: Grant| (grant.account, grant.generation);
            grants.into_iter().map(name).collect()
        };
        Ok(Some(Input::Tokens {
            stale: names(stale),
            doubtful: names(doubtful),
        }))
    }

    /// Tokens that were issued before this are to be refreshed.
    fn stale_before(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.config.refresh_after
    }

    /// Claim, send once, record; and count.
    async fn claim_and_refresh(&self, grant: &Grant, ahead: bool) -> Refreshed {
        let refreshed = self.refresh_once(grant, ahead).await;
        if let Some(metrics) = &self.metrics {
            metrics.token_refreshed(match refreshed {
                Refreshed::Fresh => Refresh::Fresh,
                Refreshed::Later(_) | Refreshed::Refused(..) | Refreshed::InDoubt(_) => {
                    Refresh::Later
                }
                Refreshed::Dead(..) => Refresh::Dead,
            });
        }
        refreshed
    }

    /// Claim, send once, record.
    async fn refresh_once(&self, grant: &Grant, ahead: bool) -> Refreshed {
        let Some(fence) = self.fence(grant.shard) else {
            return Refreshed::Later(later("not_owner"));
        };
        let within = self.config.refresh_send_within;
        // Taken before the claim: the claim's own deadline can only be later.
        let by = SendBy::after(within);
        let wish = RefreshWish {
            account: grant.account.clone(),
            generation: grant.generation,
            seen: grant.token_sequence,
            fence,
            send_within: within,
            last_step: !ahead,
        };
        match self.store.claim_refresh(&wish).await {
            Ok(RefreshClaim::Granted {
                grant,
                send_by,
                last_step,
            }) => {
                let claim = Claim {
                    grant,
                    send_by,
                    last_step,
                };
                self.send_refresh(&claim, by).await
            }
            Ok(RefreshClaim::Busy { .. }) => Refreshed::Later(later("refresh_running")),
            Ok(RefreshClaim::Newer(_)) => Refreshed::Fresh,
            Ok(RefreshClaim::InDoubt) => Refreshed::InDoubt(later("refresh_in_doubt")),
            Ok(RefreshClaim::Exhausted) => dead(LinkReason::RefreshInDoubt, "refresh_in_doubt"),
            Ok(RefreshClaim::Stale) => Refreshed::Later(later("not_owner")),
            Err(error) => Refreshed::Later(store_failure(&error)),
        }
    }

    /// The one request of a claim, and its record.
    async fn send_refresh(&self, claim: &Claim, by: SendBy) -> Refreshed {
        let grant = &claim.grant;
        let tokens = match self.tokens(grant) {
            Ok(tokens) => tokens,
            Err(error) => {
                self.end_claim(claim).await;
                return Refreshed::Later(sealing_failure(&error));
            }
        };
        crate::crash_point("refresh.claimed");
        let old = SecretString::from(tokens.refresh.clone());
        let answer = self
            .salesforce
            .refresh(grant.app, &grant.login_url, &old, by)
            .await;
        crate::crash_point("refresh.answered");
        match answer {
            Ok(new) => self.record_tokens(claim, &tokens, &new).await,
            // The claim stays open and expires in doubt: nobody may use the token before that.
            Err(RefreshError::Ambiguous(failure)) => Refreshed::InDoubt(failure),
            Err(RefreshError::Later(failure)) => {
                self.end_claim(claim).await;
                Refreshed::Later(failure)
            }
            Err(RefreshError::Refused(reason, failure)) => {
                self.end_claim(claim).await;
                Refreshed::Refused(reason, failure)
            }
            // The token is refused, and was used up by the answer that was lost: the last step is
            // spent. Other refusals say nothing about the token.
            Err(RefreshError::Dead(LinkReason::TokenRevoked | LinkReason::Unknown, failure))
                if claim.last_step =>
            {
                Refreshed::Dead(LinkReason::RefreshInDoubt, failure)
            }
            Err(RefreshError::Dead(reason, failure)) => {
                self.end_claim(claim).await;
                let displaced = grant.suspected && reason == LinkReason::TokenRevoked;
                let reason = if displaced {
                    LinkReason::ApprovalDisplaced
                } else {
                    reason
                };
                Refreshed::Dead(reason, failure)
            }
        }
    }

    /// Makes new tokens durable. Only then may they be used.
    async fn record_tokens(&self, claim: &Claim, old: &Tokens, new: &TokenSet) -> Refreshed {
        let grant = &claim.grant;
        let sequence = grant.token_sequence.next();
        let tokens = old.followed_by(new);
        let result = RefreshResult::Refreshed {
            tokens: self.seal(&grant.account, grant.generation, sequence, &tokens),
            issued_at: new.issued_at,
            instance_url: new.instance_url.clone(),
        };
        let record = || {
            self.store.record_refresh(
                &grant.account,
                grant.generation,
                grant.token_sequence,
                claim.send_by,
                &result,
            )
        };
        match kept(record).await {
            Ok(Written::Yes | Written::Already) => Refreshed::Fresh,
            Ok(Written::Stale) => Refreshed::Later(later("tokens_moved")),
            Err(error) => Refreshed::Later(store_failure(&error)),
        }
    }

    /// Ends a claim whose request was answered without new tokens.
    async fn end_claim(&self, claim: &Claim) {
        let Claim { grant, send_by, .. } = claim;
        let account = &grant.account;
        let ended = self.store.record_refresh(
            account,
            grant.generation,
            grant.token_sequence,
            *send_by,
            &RefreshResult::Untouched,
        );
        if let Err(error) = ended.await {
            // It expires by itself, at the price of one last step.
            let error = &error as &dyn std::error::Error;
            tracing::warn!({ field::ACCOUNT } = %account, error, "a refresh claim could not be ended");
        }
    }
}

/// A passing failure of our own.
fn later(code: &str) -> Failure {
    Failure::new(FailureClass::Transient, FailureScope::Request, code)
}

/// A dead link, found by ourselves.
fn dead(reason: LinkReason, code: &str) -> Refreshed {
    let mut failure = Failure::new(FailureClass::Link, FailureScope::Request, code);
    failure.hint = "link the account again".into();
    Refreshed::Dead(reason, failure)
}

/// The store is away: nothing was sent.
pub(super) fn store_failure(error: &store::Error) -> Failure {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "a token could not be read"
    );
    later("store_unavailable")
}

/// The tokens cannot be opened: a key is missing from the settings.
fn sealing_failure(error: &crate::sealing::Error) -> Failure {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a token cannot be opened"
    );
    let mut failure = Failure::new(FailureClass::Bug, FailureScope::Request, "token_unreadable");
    failure.class = FailureClass::Transient;
    failure.hint = "put the key that sealed the tokens back into crypto.keys".into();
    failure
}
