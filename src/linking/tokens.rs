//! Access tokens, and refreshing them.
//!
//! **A refresh is journalled** (rule 11). Refresh-token rotation makes each refresh token good for
//! one use, and using a used one kills the link. So: claim in the store (a compare-and-set, fenced
//! by the shard's lease), one request that is never repeated, then the new tokens are durable
//! before anybody uses them. A claim whose answer was lost leaves the refresh *in doubt*: the
//! access token still stored goes on being used, and the old refresh token is tried exactly once
//! more as the last step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Linking;
use crate::clock;
use crate::crypto::Context;
use crate::domain::ids::{AccountId, Generation, ShardId, TokenSequence};
use crate::domain::link::{Health, LinkReason};
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::engine::Refreshed;
use crate::salesforce::oauth::{RefreshError, TokenSet};
use crate::salesforce::{ApiUser, SendBy, Session};
use crate::store::links::{Grant, RefreshClaim, RefreshResult};
use crate::store::{self, Sealed, Written};
use crate::telemetry::metrics::Refresh;

/// The stored form of a link's tokens. It exists in the clear only between opening and use.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// The access token.
    access: String,
    /// The refresh token.
    pub(super) refresh: String,
}

/// A session with the tokens' place in their sequence.
#[derive(Clone)]
pub(super) struct Cached {
    /// What requests are made with.
    session: Session,
    /// Which tokens these are.
    sequence: TokenSequence,
}

impl Tokens {
    /// What a refresh brought; the refresh token that was redeemed stays where no next one came.
    pub(super) fn of(new: &TokenSet, redeemed: &SecretString) -> Self {
        let refresh = new.refresh.as_ref().unwrap_or(redeemed);
        Self {
            access: new.access.expose_secret().to_owned(),
            refresh: refresh.expose_secret().to_owned(),
        }
    }
}

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

    /// Refreshes the access token of a link, once, whoever else tries at the same time.
    pub async fn refresh(&self, account: &AccountId, generation: Generation) -> Refreshed {
        let key = (account.clone(), generation);
        let grant = match self.store.grant(account, generation).await {
            Ok(Some(grant)) => grant,
            Ok(None) => return dead(LinkReason::TokenRevoked, "no_grant"),
            Err(error) => return Refreshed::Later(store_failure(&error)),
        };
        // Somebody refreshed since the session that failed was opened.
        let used = self.sessions.get(&key).map(|cached| cached.sequence);
        self.sessions.invalidate(&key);
        if used.is_some_and(|used| used < grant.token_sequence) {
            return Refreshed::Fresh;
        }
        self.claim_and_refresh(&grant).await
    }

    /// Refreshes ahead of need, until cancelled.
    pub async fn keep_fresh(&self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.refresh_stale(clock::now(), &cancel).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the tokens could not be looked over");
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(self.config.refresh_check) => {}
            }
        }
    }

    /// Refreshes the tokens of our shards that are older than the setting says. A link that turns
    /// out dead is marked; returns how many were refreshed. Told to stop, it begins no other.
    pub async fn refresh_stale(
        &self,
        now: DateTime<Utc>,
        cancel: &CancellationToken,
    ) -> store::Result<usize> {
        let shards: Vec<ShardId> = self.owned.borrow().iter().map(|f| f.shard).collect();
        if shards.is_empty() {
            return Ok(0);
        }
        let before = now - self.config.refresh_after;
        let mut fresh = 0;
        for grant in self.store.stale_grants(&shards, before, 100).await? {
            if cancel.is_cancelled() {
                break;
            }
            match self.claim_and_refresh(&grant).await {
                Refreshed::Fresh => fresh += 1,
                Refreshed::Later(failure) => {
                    tracing::info!(account = %grant.account, code = failure.code, "a refresh is put off");
                }
                Refreshed::Dead(reason, failure) => {
                    let (account, generation) = (&grant.account, grant.generation);
                    self.mark(account, generation, Health::Broken, reason, Some(failure))
                        .await;
                }
            }
        }
        Ok(fresh)
    }

    /// Claim, send once, record; and count.
    async fn claim_and_refresh(&self, grant: &Grant) -> Refreshed {
        let refreshed = self.refresh_once(grant).await;
        if let Some(metrics) = &self.metrics {
            metrics.token_refreshed(match refreshed {
                Refreshed::Fresh => Refresh::Fresh,
                Refreshed::Later(_) => Refresh::Later,
                Refreshed::Dead(..) => Refresh::Dead,
            });
        }
        refreshed
    }

    /// Claim, send once, record.
    async fn refresh_once(&self, grant: &Grant) -> Refreshed {
        let (account, generation) = (&grant.account, grant.generation);
        let shard = ShardId::of(account, Some(&grant.org));
        let Some(fence) = self
            .owned
            .borrow()
            .iter()
            .find(|f| f.shard == shard)
            .copied()
        else {
            return Refreshed::Later(later("not_owner"));
        };
        let within = self.config.refresh_send_within;
        // Taken before the claim: the claim's own deadline can only be later.
        let send_by = SendBy::after(within);
        let claim = self
            .store
            .claim_refresh(account, generation, grant.token_sequence, fence, within)
            .await;
        match claim {
            Ok(RefreshClaim::Granted {
                grant, last_step, ..
            }) => self.send_refresh(&grant, send_by, last_step).await,
            Ok(RefreshClaim::Busy { .. }) => Refreshed::Later(later("refresh_running")),
            Ok(RefreshClaim::Newer(_)) => Refreshed::Fresh,
            Ok(RefreshClaim::Exhausted) => dead(LinkReason::RefreshInDoubt, "refresh_in_doubt"),
            Ok(RefreshClaim::Stale) => Refreshed::Later(later("not_owner")),
            Err(error) => Refreshed::Later(store_failure(&error)),
        }
    }

    /// The one request of a claim, and its record.
    async fn send_refresh(&self, grant: &Grant, send_by: SendBy, last_step: bool) -> Refreshed {
        let tokens = match self.tokens(grant) {
            Ok(tokens) => tokens,
            Err(error) => return Refreshed::Later(sealing_failure(&error)),
        };
        crate::crash_point("refresh.claimed");
        let old = SecretString::from(tokens.refresh);
        let answer = self
            .salesforce
            .refresh(&grant.login_url, &old, send_by)
            .await;
        crate::crash_point("refresh.answered");
        match answer {
            Ok(new) => self.record_tokens(grant, &old, &new).await,
            // The claim stays open and expires in doubt: nobody may use the token before that.
            Err(RefreshError::Ambiguous(failure)) => Refreshed::Later(failure),
            Err(RefreshError::Later(failure)) => {
                self.end_claim(grant).await;
                Refreshed::Later(failure)
            }
            Err(RefreshError::Dead(reason, failure)) => {
                self.end_claim(grant).await;
                let reason = if last_step {
                    LinkReason::RefreshInDoubt
                } else {
                    reason
                };
                Refreshed::Dead(reason, failure)
            }
        }
    }

    /// Makes new tokens durable. Only then may they be used.
    async fn record_tokens(&self, grant: &Grant, old: &SecretString, new: &TokenSet) -> Refreshed {
        let sequence = grant.token_sequence.next();
        let tokens = Tokens::of(new, old);
        let result = RefreshResult::Refreshed {
            tokens: self.seal(&grant.account, grant.generation, sequence, &tokens),
            issued_at: new.issued_at,
            instance_url: new.instance_url.clone(),
        };
        // The new tokens exist only here until they are stored: never given up on.
        let mut wait = Duration::from_millis(50);
        loop {
            let record = self.store.record_refresh(
                &grant.account,
                grant.generation,
                grant.token_sequence,
                &result,
            );
            match record.await {
                Ok(Written::Yes | Written::Already) => return Refreshed::Fresh,
                Ok(Written::Stale) => return Refreshed::Later(later("tokens_moved")),
                Err(error) => {
                    let source = &error as &dyn std::error::Error;
                    tracing::error!(account = %grant.account, error = source, "new tokens are not stored yet, trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    /// Ends a claim whose request was answered without new tokens.
    async fn end_claim(&self, grant: &Grant) {
        let result = RefreshResult::Untouched;
        let (account, generation) = (&grant.account, grant.generation);
        let ended = self
            .store
            .record_refresh(account, generation, grant.token_sequence, &result)
            .await;
        if let Err(error) = ended {
            // It expires by itself, at the price of one last step.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(account = %account, error, "a refresh claim could not be ended");
        }
    }

    /// Opens a grant's tokens for use.
    fn open(&self, grant: &Grant) -> Result<Cached, crate::sealing::Error> {
        let tokens = self.tokens(grant)?;
        let access = SecretString::from(tokens.access);
        let api_user = ApiUser {
            org: grant.org.clone(),
            user: grant.user.clone(),
        };
        let session = Session::new(grant.instance_url.clone(), access, api_user);
        Ok(Cached {
            session,
            sequence: grant.token_sequence,
        })
    }

    /// Opens a grant's tokens.
    pub(super) fn tokens(&self, grant: &Grant) -> Result<Tokens, crate::sealing::Error> {
        let context = context(&grant.account, grant.generation, grant.token_sequence);
        self.sealer.open(&context, &grant.tokens, "token pair")
    }

    /// Seals tokens in their place.
    pub(super) fn seal(
        &self,
        account: &AccountId,
        generation: Generation,
        sequence: TokenSequence,
        tokens: &Tokens,
    ) -> Sealed {
        self.sealer
            .seal(&context(account, generation, sequence), tokens)
    }
}

/// What binds tokens to their place.
fn context(account: &AccountId, generation: Generation, sequence: TokenSequence) -> Context {
    Context::Tokens {
        account: account.clone(),
        generation,
        token_sequence: sequence,
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
fn store_failure(error: &store::Error) -> Failure {
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
