//! Approvals, refresh tokens and sessions of the connected app.
//!
//! An approval is one user's consent to the app. It has one living refresh token, and with rotation
//! each refresh replaces it. A dead token that is used again betrays a theft or a race, and takes the
//! whole approval with it: the living refresh token and every access token.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::id::Id;
use crate::clock::Timestamp;

/// Characters of tokens.
const TOKEN_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

/// A refusal of the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
}

/// What Salesforce says of every refresh token that does not live.
pub(crate) const EXPIRED: OAuthError = OAuthError {
    error: "invalid_grant",
    description: "expired access/refresh token",
};

/// What Salesforce says while another refresh with the same token is under way.
pub(crate) const IN_FLIGHT: OAuthError = OAuthError {
    error: "invalid_grant",
    description: "token request is already being processed",
};

/// One user's consent to the app.
#[derive(Debug)]
struct Approval {
    org: Id,
    user: Id,
    /// The refresh token that works.
    living: String,
    revoked: bool,
    /// The refresh token of the refresh that is under way.
    refreshing: Option<String>,
}

/// One access token.
#[derive(Debug)]
struct Session {
    org: Id,
    user: Id,
    /// The approval it came from; `None` for a session that was seeded.
    approval: Option<u64>,
    /// When it dies unless it is used before.
    expires: Timestamp,
}

/// Who an access token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) org: Id,
    pub(crate) user: Id,
}

/// What a refresh gives.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) caller: Caller,
    pub(crate) access_token: String,
    /// With rotation, the refresh token that replaces the one used.
    pub(crate) refresh_token: Option<String>,
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
    /// Records a consent. More than `most` of one user revoke the oldest.
    pub(crate) fn approve(&mut self, caller: Caller, refresh_token: String, most: usize) {
        let mine: Vec<u64> = self
            .approvals
            .iter()
            .filter(|(_, approval)| approval.user == caller.user && !approval.revoked)
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
            org: caller.org,
            user: caller.user,
            living: refresh_token,
            revoked: false,
            refreshing: None,
        };
        self.approvals.insert(self.last_approval, approval);
    }

    /// Whose refresh token this is or was.
    pub(crate) fn owner(&self, refresh_token: &str) -> Option<Caller> {
        let approval = self.approvals.get(self.refresh.get(refresh_token)?)?;
        Some(Caller {
            org: approval.org,
            user: approval.user,
        })
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

    /// Issues an access token for a refresh token, and with rotation a new refresh token.
    pub(crate) fn refresh(
        &mut self,
        refresh_token: &str,
        rotation: bool,
        expires: Timestamp,
        rng: &mut StdRng,
    ) -> Result<Granted, OAuthError> {
        let number = *self.refresh.get(refresh_token).ok_or(EXPIRED)?;
        let approval = self.approvals.get_mut(&number).ok_or(EXPIRED)?;
        if approval.revoked {
            return Err(EXPIRED);
        }
        if approval.living != refresh_token {
            let org = approval.org;
            self.revoke_approval(number);
            *self.reuse_detected.entry(org).or_default() += 1;
            return Err(EXPIRED);
        }
        let caller = Caller {
            org: approval.org,
            user: approval.user,
        };
        let next = rotation.then(|| new_refresh_token(rng));
        if let Some(next) = &next {
            approval.living.clone_from(next);
            self.refresh.insert(next.clone(), number);
        }
        let access_token = new_access_token(caller.org, rng);
        self.open_session(access_token.clone(), caller, Some(number), expires);
        Ok(Granted {
            caller,
            access_token,
            refresh_token: next,
        })
    }

    /// Makes an access token known.
    pub(crate) fn open_session(
        &mut self,
        access_token: String,
        caller: Caller,
        approval: Option<u64>,
        expires: Timestamp,
    ) {
        let session = Session {
            org: caller.org,
            user: caller.user,
            approval,
            expires,
        };
        self.sessions.insert(access_token, session);
    }

    /// Who an access token speaks for. Using it keeps it alive for another `timeout`.
    pub(crate) fn authenticate(
        &mut self,
        access_token: &str,
        now: Timestamp,
        timeout: TimeDelta,
    ) -> Option<Caller> {
        let session = self.sessions.get_mut(access_token)?;
        if session.expires <= now {
            self.sessions.remove(access_token);
            return None;
        }
        session.expires = now + timeout;
        Some(Caller {
            org: session.org,
            user: session.user,
        })
    }

    /// Whose token this is or was, of either sort. Asking does not keep a session alive.
    pub(crate) fn bearer_of(&self, token: &str) -> Option<Caller> {
        let session = self.sessions.get(token).map(|session| Caller {
            org: session.org,
            user: session.user,
        });
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
            approval.revoked |= approval.user == user;
        }
        self.sessions.retain(|_, session| session.user != user);
    }

    /// Ends all sessions, or those of one org; refresh tokens stay.
    pub(crate) fn expire_sessions(&mut self, org: Option<Id>) -> usize {
        let before = self.sessions.len();
        self.sessions
            .retain(|_, session| org.is_some_and(|org| org != session.org));
        before - self.sessions.len()
    }

    /// Living approvals of a user.
    pub(crate) fn approvals_of(&self, user: Id) -> usize {
        self.approvals
            .values()
            .filter(|approval| approval.user == user && !approval.revoked)
            .count()
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

fn random_text(rng: &mut StdRng, length: usize) -> String {
    (0..length)
        .map(|_| char::from(TOKEN_ALPHABET[rng.random_range(0..TOKEN_ALPHABET.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use rand::SeedableRng as _;

    struct Desk {
        tokens: Tokens,
        rng: StdRng,
        caller: Caller,
        now: Timestamp,
    }

    impl Desk {
        fn new() -> Self {
            let caller = Caller {
                org: Id::generate(*b"00D", 0, 1),
                user: Id::generate(*b"005", 0, 2),
            };
            let mut desk = Self {
                tokens: Tokens::default(),
                rng: StdRng::seed_from_u64(1),
                caller,
                now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            };
            desk.tokens.approve(caller, "first".to_owned(), 5);
            desk
        }

        fn refresh(&mut self, token: &str) -> Result<Granted, OAuthError> {
            let expires = self.now + TimeDelta::hours(2);
            self.tokens.refresh(token, true, expires, &mut self.rng)
        }

        fn authenticate(&mut self, token: &str) -> Option<Caller> {
            self.tokens
                .authenticate(token, self.now, TimeDelta::hours(2))
        }
    }

    #[test]
    fn reuse_of_a_rotated_token_revokes_the_family() {
        let mut desk = Desk::new();
        let granted = desk.refresh("first").unwrap();
        let second = granted.refresh_token.unwrap();
        assert_eq!(desk.authenticate(&granted.access_token), Some(desk.caller));

        assert_eq!(desk.refresh("first").unwrap_err(), EXPIRED);
        assert_eq!(desk.authenticate(&granted.access_token), None);
        assert_eq!(desk.refresh(&second).unwrap_err(), EXPIRED);
        assert_eq!(desk.tokens.reuse_detected[&desk.caller.org], 1);
    }

    #[test]
    fn a_second_refresh_in_flight_is_refused_and_harmless() {
        let mut desk = Desk::new();
        desk.tokens.begin_refresh("first").unwrap();
        assert_eq!(desk.tokens.begin_refresh("first"), Err(IN_FLIGHT));
        desk.tokens.end_refresh("another");
        assert_eq!(desk.tokens.begin_refresh("first"), Err(IN_FLIGHT));
        let granted = desk.refresh("first").unwrap();
        desk.tokens.end_refresh("first");
        assert!(desk.refresh(&granted.refresh_token.unwrap()).is_ok());
    }

    #[test]
    fn the_sixth_approval_displaces_the_oldest() {
        let mut desk = Desk::new();
        for n in 2..=6 {
            desk.tokens.approve(desk.caller, format!("approval {n}"), 5);
        }
        assert_eq!(desk.tokens.approvals_of(desk.caller.user), 5);
        assert_eq!(desk.refresh("first").unwrap_err(), EXPIRED);
        assert!(desk.refresh("approval 2").is_ok());
    }

    #[test]
    fn a_session_slides_with_use_and_dies_without() {
        let mut desk = Desk::new();
        let granted = desk.refresh("first").unwrap();
        desk.now += TimeDelta::minutes(119);
        assert!(desk.authenticate(&granted.access_token).is_some());
        desk.now += TimeDelta::minutes(119);
        assert!(desk.authenticate(&granted.access_token).is_some());
        desk.now += TimeDelta::minutes(120);
        assert!(desk.authenticate(&granted.access_token).is_none());
    }
}
