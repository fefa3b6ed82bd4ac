//! Approvals, refresh tokens and sessions of the connected app.
//!
//! An approval is one user's consent to the app. It has one living refresh token, and with rotation
//! each refresh replaces it. A dead token that is used again betrays a theft or a race, and takes the
//! whole approval with it: the living refresh token and every access token.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::id::Id;
use super::scope::Scope;
use crate::clock::Timestamp;
use crate::seed::RefreshTokenPolicy;

/// Characters of tokens.
const TOKEN_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

/// A refusal of the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
}

impl OAuthError {
    pub(crate) const fn new(error: &'static str, description: &'static str) -> Self {
        Self { error, description }
    }
}

/// What Salesforce says of every refresh token that does not live.
pub(crate) const EXPIRED: OAuthError =
    OAuthError::new("invalid_grant", "expired access/refresh token");

/// What Salesforce says while another refresh with the same token is under way.
pub(crate) const IN_FLIGHT: OAuthError =
    OAuthError::new("invalid_grant", "token request is already being processed");

/// One user's consent to the app.
#[derive(Debug)]
struct Approval {
    consent: Consent,
    /// When the user consented.
    since: Timestamp,
    /// When its refresh token was last used.
    used: Timestamp,
    /// The refresh token that works.
    living: String,
    revoked: bool,
    /// The refresh token of the refresh that is under way.
    refreshing: Option<String>,
}

impl Approval {
    fn is_stale(&self, rules: &RefreshRules, now: Timestamp) -> bool {
        let past = |from: Timestamp, seconds: u64| now - from >= seconds_of(seconds);
        let by_policy = match rules.policy {
            RefreshTokenPolicy::UntilRevoked => false,
            RefreshTokenPolicy::Immediately => true,
            RefreshTokenPolicy::UnusedForS(seconds) => past(self.used, seconds),
            RefreshTokenPolicy::LifetimeS(seconds) => past(self.since, seconds),
        };
        by_policy || rules.idle_s.is_some_and(|seconds| past(self.used, seconds))
    }
}

/// A number of seconds that came from outside, which may be out of all proportion.
fn seconds_of(seconds: u64) -> TimeDelta {
    i64::try_from(seconds)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .unwrap_or(TimeDelta::MAX)
}

/// One access token.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) consent: Consent,
    /// The approval it came from; `None` for a session that no refresh token belongs to.
    approval: Option<u64>,
    pub(crate) issued: Timestamp,
    /// When it dies unless it is used before.
    pub(crate) expires: Timestamp,
    lifetime: Lifetime,
}

/// Who an access token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) org: Id,
    pub(crate) user: Id,
}

/// What a user lets a token do.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    pub(crate) caller: Caller,
    pub(crate) scope: Scope,
}

/// What an approval gives: once when it is made, and again for each refresh.
#[derive(Debug)]
pub(crate) struct Redeemed {
    pub(crate) consent: Consent,
    /// The approval; `None` where the consent includes no refresh token.
    pub(crate) approval: Option<u64>,
    /// A first refresh token; or with rotation, the one that replaces the one used.
    pub(crate) refresh_token: Option<String>,
}

/// How long a session lives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lifetime {
    /// Until it has not been used for so long.
    Idle(TimeDelta),
    /// For so long, used or not.
    Fixed(TimeDelta),
}

/// How refresh tokens live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefreshRules {
    pub(crate) rotation: bool,
    /// The app's own limit on unused refresh tokens.
    pub(crate) idle_s: Option<u64>,
    /// What the org's admin decided.
    pub(crate) policy: RefreshTokenPolicy,
}

/// A living token, as introspection tells of it.
#[derive(Debug)]
pub(crate) enum Living {
    Access(Session),
    Refresh(Consent),
}

/// All tokens of the app.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    approvals: BTreeMap<u64, Approval>,
    /// Every refresh token ever issued, living or dead.
    refresh: HashMap<String, u64>,
    sessions: HashMap<String, Session>,
    last_approval: u64,
    /// How often a dead refresh token was used again.
    pub(crate) reuse_detected: BTreeMap<Id, u64>,
}

impl Tokens {
    /// Records a consent and returns its number. More than `most` of one user revoke the oldest.
    pub(crate) fn approve(
        &mut self,
        consent: Consent,
        refresh_token: String,
        most: usize,
        now: Timestamp,
    ) -> u64 {
        let mine: Vec<u64> = self
            .approvals
            .iter()
            .filter(|(_, approval)| approval.consent.caller == consent.caller && !approval.revoked)
            .map(|(&number, _)| number)
            .collect();
        let surplus = (mine.len() + 1).saturating_sub(most.max(1));
        for number in mine.into_iter().take(surplus) {
            self.revoke_approval(number);
        }
        self.last_approval += 1;
        self.refresh
            .insert(refresh_token.clone(), self.last_approval);
        let approval = Approval {
            consent,
            since: now,
            used: now,
            living: refresh_token,
            revoked: false,
            refreshing: None,
        };
        self.approvals.insert(self.last_approval, approval);
        self.last_approval
    }

    /// Whose refresh token this is or was.
    pub(crate) fn owner(&self, refresh_token: &str) -> Option<Caller> {
        let approval = self.approvals.get(self.refresh.get(refresh_token)?)?;
        Some(approval.consent.caller)
    }

    /// Starts a refresh, unless one with the same token is under way.
    pub(crate) fn begin_refresh(&mut self, refresh_token: &str) -> Result<(), OAuthError> {
        match self.approval_mut(refresh_token) {
            Some(approval) if approval.living == refresh_token => {
                if approval.refreshing.is_some() {
                    return Err(IN_FLIGHT);
                }
                approval.refreshing = Some(refresh_token.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends a refresh that `begin_refresh` started, whatever became of it.
    pub(crate) fn end_refresh(&mut self, refresh_token: &str) {
        let begun =
            |approval: &&mut Approval| approval.refreshing.as_deref() == Some(refresh_token);
        if let Some(approval) = self.approval_mut(refresh_token).filter(begun) {
            approval.refreshing = None;
        }
    }

    /// Takes a refresh token, and with rotation replaces it.
    pub(crate) fn redeem(
        &mut self,
        refresh_token: &str,
        rules: &RefreshRules,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Redeemed, OAuthError> {
        let number = *self.refresh.get(refresh_token).ok_or(EXPIRED)?;
        let approval = self.approvals.get_mut(&number).ok_or(EXPIRED)?;
        if approval.revoked {
            return Err(EXPIRED);
        }
        let consent = approval.consent.clone();
        if approval.living != refresh_token {
            self.revoke_approval(number);
            *self.reuse_detected.entry(consent.caller.org).or_default() += 1;
            return Err(EXPIRED);
        }
        if approval.is_stale(rules, now) {
            return Err(EXPIRED);
        }
        approval.used = now;
        let next = rules.rotation.then(|| new_refresh_token(rng));
        if let Some(next) = &next {
            approval.living.clone_from(next);
            self.refresh.insert(next.clone(), number);
        }
        Ok(Redeemed {
            consent,
            approval: Some(number),
            refresh_token: next,
        })
    }

    /// Makes an access token known. With an approval it dies when that is revoked.
    pub(crate) fn open_session(
        &mut self,
        access_token: String,
        consent: Consent,
        approval: Option<u64>,
        (issued, lifetime): (Timestamp, Lifetime),
    ) {
        let (Lifetime::Idle(time) | Lifetime::Fixed(time)) = lifetime;
        let session = Session {
            consent,
            approval,
            issued,
            expires: issued + time,
            lifetime,
        };
        self.sessions.insert(access_token, session);
    }

    /// Who an access token speaks for. Using it keeps it alive, unless its lifetime is fixed.
    pub(crate) fn authenticate(&mut self, access_token: &str, now: Timestamp) -> Option<&Session> {
        if self.sessions.get(access_token)?.expires <= now {
            self.sessions.remove(access_token);
            return None;
        }
        let session = self.sessions.get_mut(access_token)?;
        if let Lifetime::Idle(time) = session.lifetime {
            session.expires = now + time;
        }
        Some(session)
    }

    /// A living token of either sort. Asking does not keep it alive.
    pub(crate) fn living(&self, token: &str, now: Timestamp) -> Option<Living> {
        if let Some(session) = self.sessions.get(token) {
            return (session.expires > now).then(|| Living::Access(session.clone()));
        }
        let approval = self.approvals.get(self.refresh.get(token)?)?;
        (!approval.revoked && approval.living == token)
            .then(|| Living::Refresh(approval.consent.clone()))
    }

    /// Whose token this is or was, of either sort. Asking does not keep a session alive.
    pub(crate) fn bearer_of(&self, token: &str) -> Option<Caller> {
        let session = self
            .sessions
            .get(token)
            .map(|session| session.consent.caller);
        session.or_else(|| self.owner(token))
    }

    /// Revokes a token. A refresh token takes its access tokens along; an access token only itself.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        if self.sessions.remove(token).is_some() {
            return true;
        }
        let Some(&number) = self.refresh.get(token) else {
            return false;
        };
        let alive = self
            .approvals
            .get(&number)
            .is_some_and(|approval| !approval.revoked && approval.living == token);
        if alive {
            self.revoke_approval(number);
        }
        alive
    }

    /// Revokes everything a user has, as freezing the user does.
    pub(crate) fn revoke_user(&mut self, user: Id) {
        for approval in self.approvals.values_mut() {
            approval.revoked |= approval.consent.caller.user == user;
        }
        self.sessions
            .retain(|_, session| session.consent.caller.user != user);
    }

    /// Ends all sessions, or those of one org; refresh tokens stay.
    pub(crate) fn expire_sessions(&mut self, org: Option<Id>) -> usize {
        let before = self.sessions.len();
        self.sessions
            .retain(|_, session| org.is_some_and(|org| org != session.consent.caller.org));
        before - self.sessions.len()
    }

    /// Living approvals of a user.
    pub(crate) fn approvals_of(&self, user: Id) -> usize {
        self.scopes_of(user).count()
    }

    /// What a user has approved.
    pub(crate) fn scopes_of(&self, user: Id) -> impl Iterator<Item = &Scope> {
        self.approvals
            .values()
            .filter(move |approval| approval.consent.caller.user == user && !approval.revoked)
            .map(|approval| &approval.consent.scope)
    }

    fn revoke_approval(&mut self, number: u64) {
        if let Some(approval) = self.approvals.get_mut(&number) {
            approval.revoked = true;
        }
        self.sessions
            .retain(|_, session| session.approval != Some(number));
    }

    fn approval_mut(&mut self, refresh_token: &str) -> Option<&mut Approval> {
        self.approvals.get_mut(self.refresh.get(refresh_token)?)
    }
}

/// A refresh token in the shape of Salesforce's.
pub(crate) fn new_refresh_token(rng: &mut StdRng) -> String {
    format!("5Aep861{}==", random_text(rng, 76))
}

/// An opaque access token: the org's id, an exclamation mark, and noise.
pub(crate) fn new_access_token(org: Id, rng: &mut StdRng) -> String {
    let org = org.to_string();
    format!("{}!{}", &org[..15], random_text(rng, 96))
}

/// Letters and digits that nobody guesses.
pub(crate) fn random_text(rng: &mut StdRng, length: usize) -> String {
    (0..length)
        .map(|_| char::from(TOKEN_ALPHABET[rng.random_range(0..TOKEN_ALPHABET.len())]))
        .collect()
}
