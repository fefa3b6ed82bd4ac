//! Settings of the sidecar.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::session::Role;
use crate::domain::fault::Fault;
use crate::domain::ids::AccountId;
use crate::domain::private::masked;

/// Where Salesforce sends an admin's browser back to, below the public address.
pub const CALLBACK: &str = "/callback";

/// The shortest key for HS256: as long as its hash (RFC 7518, 3.2).
const SHORTEST_KEY: usize = 32;

/// Settings of the sidecar: the pages where an account's admin links it, and their API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the pages are served; apart from the operations pages, as these are for browsers.
    pub listen: SocketAddr,
    /// Where browsers find them: `https://links.example`, without a path. Empty: there are no pages.
    pub public_url: String,
    /// Whose pages may show these in a frame: `https://portal.example`. Empty: nobody's.
    pub portal_origin: String,
    /// Whose pages may send their users over, by posting the portal's token to `/enter`:
    /// `https://portal.example`. Those pages must not have the referrer policy `no-referrer`, with
    /// which browsers hide where a form comes from. Empty: those of `portal_origin`.
    pub entry_origin: String,
    /// The pages' title.
    pub title: String,
    /// Where people without rights are sent: an address of mail or of a page. Empty: none is named.
    pub support: String,
    /// The addresses that Salesforce sees us come from, for the admins' checklist.
    pub egress_addresses: Vec<String>,
    /// How long an admin may go on after coming from the portal.
    #[serde(with = "humantime_serde")]
    pub session_for: Duration,
    /// Reverse proxies in front that each append to `X-Forwarded-For`. 0: who connects is the client.
    pub proxies: u8,
    /// Requests per minute of one session or machine, and four times as many of one address.
    pub requests_per_minute: u32,
    /// How often within a minute an account's admins may ask its org something: a preflight, a test.
    /// Each time takes API requests from what the org has for the day.
    pub questions_per_minute: u32,
    /// How the portal hands its users over.
    pub portal: Portal,
    /// Programs that may use the API.
    pub machines: Vec<Machine>,
}

/// How the portal hands its users over: by a JSON Web Token that it signs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Portal {
    /// Who signs: the token's `iss`.
    pub issuer: String,
    /// Who we are: the token's `aud`.
    pub audience: String,
    /// Where its public keys are (RFC 7517), for RS256 and ES256. Empty: `shared_key` is used.
    pub jwks_url: String,
    /// How soon they are looked at again for a key that is not among them: whoever makes up names of
    /// keys must not make us ask the portal each time.
    #[serde(with = "humantime_serde")]
    pub keys_again: Duration,
    /// The key that both know, for HS256: 32 characters or more. Empty: `jwks_url` is used.
    #[serde(serialize_with = "masked")]
    pub shared_key: SecretString,
}

/// A program that may use the API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Names it in histories.
    pub name: String,
    /// SHA-256 of its token, in hexadecimal: `printf %s "$TOKEN" | sha256sum`.
    pub sha256: String,
    /// What it may do.
    pub role: Role,
    /// The accounts that it may see; `["*"]`: all.
    pub accounts: Vec<String>,
    /// Whether it may also begin logins at Salesforce, for somebody's browser, and confirm them.
    #[serde(default)]
    pub may_link: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: String::new(),
            portal_origin: String::new(),
            entry_origin: String::new(),
            title: "Salesforce".to_owned(),
            support: String::new(),
            egress_addresses: Vec::new(),
            session_for: Duration::from_hours(8),
            proxies: 0,
            requests_per_minute: 120,
            questions_per_minute: 20,
            portal: Portal::default(),
            machines: Vec::new(),
        }
    }
}

impl Default for Portal {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: "vcc-link".to_owned(),
            jwks_url: String::new(),
            keys_again: Duration::from_secs(30),
            shared_key: SecretString::default(),
        }
    }
}

impl Portal {
    /// Whether the shared key is used.
    pub fn shares_a_key(&self) -> bool {
        !self.shared_key.expose_secret().is_empty()
    }
}

impl Machine {
    /// Whether it may see an account.
    pub fn may_see(&self, account: &AccountId) -> bool {
        let sees = |allowed: &String| allowed == "*" || allowed == account.as_str();
        self.accounts.iter().any(sees)
    }
}

impl Config {
    /// Whether there are pages.
    pub const fn is_on(&self) -> bool {
        !self.public_url.is_empty()
    }

    /// Whether browsers come by http: on this machine only.
    pub fn is_plain(&self) -> bool {
        self.public_url.starts_with("http:")
    }

    /// Whose pages may send their users over; empty on this machine alone, where any may.
    pub fn entry_origin(&self) -> &str {
        match self.entry_origin.as_str() {
            "" => &self.portal_origin,
            own => own,
        }
    }

    /// Where Salesforce must send browsers back to, if there are pages.
    pub fn callback_url(&self) -> Option<String> {
        Some(origin(&self.public_url)? + CALLBACK)
    }

    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        let mut fault = |setting: &str, advice: &str| {
            faults.push(Fault::new(format!("sidecar.{setting}"), advice));
        };
        if self.session_for < Duration::from_mins(1) {
            fault("session_for", "write at least \"1m\"");
        }
        if self.requests_per_minute == 0 {
            fault("requests_per_minute", "write at least 1");
        }
        if self.questions_per_minute == 0 {
            fault("questions_per_minute", "write at least 1");
        }
        if self.is_on() && origin(&self.public_url).is_none() {
            let advice = "write where browsers find the pages, without a path: \"https://links.example\", or http on this machine";
            fault("public_url", advice);
        }
        if !self.portal_origin.is_empty() && origin(&self.portal_origin).is_none() {
            let advice = "write the portal's origin, without a path: \"https://portal.example\"";
            fault("portal_origin", advice);
        }
        if !self.entry_origin.is_empty() && origin(&self.entry_origin).is_none() {
            let advice = "write the origin of the page that sends users over, without a path: \"https://portal.example\"";
            fault("entry_origin", advice);
        }
        if self.is_on() && !self.is_plain() && self.entry_origin().is_empty() {
            let advice = "write the origin of the page that sends users over, like \"https://portal.example\": any page could otherwise put a visitor into a session that is not theirs";
            fault("entry_origin", advice);
        }
        for (n, machine) in self.machines.iter().enumerate() {
            if machine.name.is_empty() || self.machines[..n].iter().any(|m| m.name == machine.name)
            {
                fault(&format!("machines[{n}].name"), "give each its own name");
            }
            let is_hash =
                machine.sha256.len() == 64 && machine.sha256.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_hash {
                let advice = "write the SHA-256 of the token, 64 hexadecimal digits: `printf %s \"$TOKEN\" | sha256sum`";
                fault(&format!("machines[{n}].sha256"), advice);
            }
            let is_known =
                |account: &String| account == "*" || account.parse::<AccountId>().is_ok();
            if machine.accounts.is_empty() || !machine.accounts.iter().all(is_known) {
                let advice = "write the accounts that it may see, or [\"*\"]";
                fault(&format!("machines[{n}].accounts"), advice);
            }
            if machine.may_link && machine.role != Role::Admin {
                let advice = "linking is changing: give it the role admin too";
                fault(&format!("machines[{n}].may_link"), advice);
            }
        }
        if self.is_on() {
            self.portal.validate(faults);
        }
    }
}

impl Portal {
    /// Collects what is wrong with these settings, where there are pages.
    fn validate(&self, faults: &mut Vec<Fault>) {
        let mut fault = |setting: &str, advice: &str| {
            faults.push(Fault::new(format!("sidecar.portal.{setting}"), advice));
        };
        if self.issuer.is_empty() {
            fault("issuer", "write the `iss` of the portal's tokens");
        }
        if self.audience.is_empty() {
            fault("audience", "write the `aud` of the portal's tokens");
        }
        if self.keys_again < Duration::from_secs(1) {
            fault("keys_again", "write at least \"1s\"");
        }
        match (self.jwks_url.is_empty(), self.shares_a_key()) {
            (true, false) => fault(
                "jwks_url",
                "write where the portal's public keys are, or a shared_key of 32 characters or more: nobody can enter otherwise",
            ),
            (false, true) => fault("shared_key", "leave it out where jwks_url is set"),
            (false, false) if web(&self.jwks_url).is_none() => {
                fault(
                    "jwks_url",
                    "write an https address, or http on this machine",
                );
            }
            (true, true) if self.shared_key.expose_secret().len() < SHORTEST_KEY => {
                fault(
                    "shared_key",
                    "write 32 characters or more: `openssl rand -base64 32`",
                );
            }
            _ => {}
        }
    }
}

/// An address of the web: https, or this machine.
fn web(address: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let here = url.host().is_some_and(|host| match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    });
    (url.scheme() == "https" || (url.scheme() == "http" && here)).then_some(url)
}

/// The origin that an address without a path is, as browsers write it.
pub(super) fn origin(address: &str) -> Option<String> {
    let url = web(address)?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    (bare && nobody).then(|| url.origin().ascii_serialization())
}
