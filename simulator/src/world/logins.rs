//! What is under way in browsers: logins, consents, and the codes that come of them.

use std::collections::HashMap;

use chrono::TimeDelta;
use rand::rngs::StdRng;

use super::scope::Scope;
use super::tokens::{Caller, OAuthError, random_text};
use crate::clock::Timestamp;

/// How long an authorization code can be exchanged.
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// What an app asked for by sending a browser to the authorization endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) scope: Scope,
    /// The PKCE challenge (S256).
    pub(crate) challenge: Option<String>,
    pub(crate) login_hint: Option<String>,
    /// `prompt=login`: whoever is logged in has to do so again.
    pub(crate) fresh_login: bool,
    /// `prompt=consent`: who has approved the app is asked again.
    pub(crate) fresh_consent: bool,
}

/// An authorization code.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) asked: Asked,
    pub(crate) caller: Caller,
    issued: Timestamp,
    used: bool,
}

/// Somebody between the password and the verification code.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    pub(crate) caller: Caller,
    /// The authorization that the login is for.
    pub(crate) source: Option<String>,
}

/// All that is under way. Everything goes by names that nobody guesses.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    authorizations: HashMap<String, Asked>,
    challenges: HashMap<String, Challenge>,
    browsers: HashMap<String, (Caller, Timestamp)>,
    codes: HashMap<String, Code>,
}

impl Logins {
    /// Notes what an app asked for, and names it.
    pub(crate) fn begin(&mut self, asked: Asked, rng: &mut StdRng) -> String {
        let source = random_text(rng, 40);
        self.authorizations.insert(source.clone(), asked);
        source
    }

    pub(crate) fn asked(&self, source: &str) -> Option<&Asked> {
        self.authorizations.get(source)
    }

    /// Notes that somebody has logged in for an authorization.
    pub(crate) fn logged_in(&mut self, source: &str) {
        if let Some(asked) = self.authorizations.get_mut(source) {
            asked.fresh_login = false;
        }
    }

    /// Ends an authorization.
    pub(crate) fn end(&mut self, source: &str) -> Option<Asked> {
        self.authorizations.remove(source)
    }

    /// Asks for a verification code.
    pub(crate) fn challenge(&mut self, challenge: Challenge, rng: &mut StdRng) -> String {
        let name = random_text(rng, 40);
        self.challenges.insert(name.clone(), challenge);
        name
    }

    pub(crate) fn challenged(&self, name: &str) -> Option<&Challenge> {
        self.challenges.get(name)
    }

    pub(crate) fn end_challenge(&mut self, name: &str) {
        self.challenges.remove(name);
    }

    /// Logs a browser in and returns its cookie.
    pub(crate) fn open_browser(
        &mut self,
        caller: Caller,
        expires: Timestamp,
        rng: &mut StdRng,
    ) -> String {
        let cookie = random_text(rng, 40);
        self.browsers.insert(cookie.clone(), (caller, expires));
        cookie
    }

    /// Who is logged in in a browser; looking keeps them so.
    pub(crate) fn browser(
        &mut self,
        cookie: &str,
        now: Timestamp,
        timeout: TimeDelta,
    ) -> Option<Caller> {
        let (caller, expires) = self.browsers.get_mut(cookie)?;
        if *expires <= now {
            return None;
        }
        *expires = now + timeout;
        Some(*caller)
    }

    /// Issues a code for what was asked and granted.
    pub(crate) fn issue_code(
        &mut self,
        asked: Asked,
        caller: Caller,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> String {
        let code = format!("aPrx{}==", random_text(rng, 84));
        let issued = Code {
            asked,
            caller,
            issued: now,
            used: false,
        };
        self.codes.insert(code.clone(), issued);
        code
    }

    /// Who a code was issued for, whether it is still good or not.
    pub(crate) fn code_of(&self, code: &str) -> Option<Caller> {
        self.codes.get(code).map(|code| code.caller)
    }

    /// Takes a code: it is used up, whatever comes of it.
    pub(crate) fn take_code(&mut self, code: &str, now: Timestamp) -> Result<&Code, OAuthError> {
        let code = self.codes.get_mut(code).ok_or(OAuthError::new(
            "invalid_grant",
            "invalid authorization code",
        ))?;
        if code.used || now - code.issued >= CODE_LIFETIME {
            let text = "expired authorization code";
            return Err(OAuthError::new("invalid_grant", text));
        }
        code.used = true;
        Ok(code)
    }
}
