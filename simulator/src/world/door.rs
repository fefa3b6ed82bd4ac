//! Who may log in: the right password, from the right place, at the right time.

use std::net::IpAddr;

use chrono::Timelike as _;

use super::World;
use super::org::{Org, User};
use super::tokens::Caller;
use crate::clock::Timestamp;
use crate::seed::AddressRange;

/// Why somebody may not log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No such user here, a wrong password, or a user who is frozen or deactivated: Salesforce does
    /// not tell these apart.
    Credentials,
    /// The password is right, but the security token is missing behind it.
    SecurityToken,
    Address,
    Hours,
}

/// How somebody logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// A person in a browser.
    Page,
    /// A program with password and security token in one.
    Program,
}

impl World {
    /// Whose username and password these are, if they may log in at this host now.
    pub(crate) fn log_in_by_password(
        &self,
        now: Timestamp,
        (base_url, address): (&str, IpAddr),
        (username, password): (&str, &str),
        means: Means,
    ) -> Result<Caller, Denied> {
        let caller = self.find_user(username).ok_or(Denied::Credentials)?;
        let (org, user) = self.named(caller).ok_or(Denied::Credentials)?;
        let known = user.settings.username.eq_ignore_ascii_case(username);
        if !known || !user.is_live() || !self.serves(base_url, org) {
            return Err(Denied::Credentials);
        }
        let token = user.settings.security_token.as_deref();
        let token = token.filter(|_| means == Means::Program);
        let rest = password
            .strip_prefix(&user.settings.password)
            .ok_or(Denied::Credentials)?;
        if rest != token.unwrap_or_default() {
            let forgotten = rest.is_empty();
            return Err(if forgotten {
                Denied::SecurityToken
            } else {
                Denied::Credentials
            });
        }
        user.may_log_in(now, address).map(|()| caller)
    }

    /// Whether an org's users log in at a host: `login` is for production and `test` for sandboxes,
    /// an org's own host for itself, and any other host for all.
    pub(crate) fn serves(&self, base_url: &str, org: &Org) -> bool {
        if let Some(own) = self.org_of_host(base_url) {
            return own.id == org.id;
        }
        match host_label(base_url).as_deref() {
            Some("login") => !org.switches.sandbox,
            Some("test") => org.switches.sandbox,
            _ => true,
        }
    }

    /// An org and its user.
    pub(crate) fn named(&self, caller: Caller) -> Option<(&Org, &User)> {
        let org = self.orgs.get(&caller.org)?;
        Some((org, org.users.get(&caller.user)?))
    }
}

/// The first label of a host such as `login.localhost`.
pub(crate) fn host_label(base_url: &str) -> Option<String> {
    let url = url::Url::parse(base_url).ok()?;
    let (label, _) = url.host_str()?.split_once('.')?;
    Some(label.to_owned())
}

impl User {
    /// Neither frozen nor deactivated.
    pub(crate) fn is_live(&self) -> bool {
        self.settings.active && !self.settings.frozen
    }

    /// Whether login address ranges and login hours let the user in.
    pub(crate) fn may_log_in(&self, now: Timestamp, address: IpAddr) -> Result<(), Denied> {
        if !AddressRange::any_holds(&self.settings.login_addresses, address) {
            return Err(Denied::Address);
        }
        match self.settings.login_hours {
            Some(hours) if !hours.hold(now.hour()) => Err(Denied::Hours),
            _ => Ok(()),
        }
    }
}
