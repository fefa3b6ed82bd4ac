//! Settings of notices.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::mail;
use crate::domain::fault::Fault;
use crate::domain::ids::AccountId;
use crate::domain::private::masked;

/// What stands for the account in `page_url`.
const ACCOUNT: &str = "{account}";

/// Settings of notices: how an account's contacts are told of its link.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where an admin finds the account's page, in the portal; `{account}` stands for the account.
    /// Empty: notices name no address.
    pub page_url: String,
    /// How long a link must stand so before it is told.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How many changes of an account are told within an hour.
    pub per_hour: u32,
    /// Hosts, as `host` or `host:port`, that webhooks may go to though they are not public, and by
    /// http.
    pub trusted_hosts: Vec<String>,
    /// The mail server.
    pub smtp: Smtp,
}

/// The mail server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// Its name. Empty: no mails are sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Who logs in there. Empty: nobody does.
    pub username: String,
    /// The password.
    #[serde(serialize_with = "masked")]
    pub password: SecretString,
    /// Whom mails come from.
    pub from: String,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// By TLS from the first byte, mostly on port 465.
    Implicit,
    /// By STARTTLS, mostly on port 587; without it nothing is sent.
    Starttls,
    /// Not at all: on this machine only.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            page_url: String::new(),
            settle: Duration::from_mins(2),
            per_hour: 6,
            trusted_hosts: Vec::new(),
            smtp: Smtp::default(),
        }
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 465,
            tls: Tls::Implicit,
            username: String::new(),
            password: SecretString::default(),
            from: String::new(),
        }
    }
}

impl Smtp {
    /// Whether mails are sent.
    pub const fn is_on(&self) -> bool {
        !self.host.is_empty()
    }

    /// Collects what is wrong with these settings.
    fn validate(&self, faults: &mut Vec<Fault>) {
        if !self.is_on() {
            return;
        }
        let mut fault = |setting: &str, advice: &str| {
            faults.push(Fault::new(format!("notices.smtp.{setting}"), advice));
        };
        if mail::sender(&self.from).is_none() {
            let advice = "write whom mails come from: \"Contact centre <noreply@vcc.example>\"";
            fault("from", advice);
        }
        let logs_in = !self.username.is_empty();
        if logs_in == self.password.expose_secret().is_empty() {
            let advice = "write username and password, or neither";
            fault(if logs_in { "password" } else { "username" }, advice);
        }
        let here = matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if self.tls == Tls::None && !here {
            let advice = "write \"implicit\" or \"starttls\": without TLS anybody on the way reads mails and password";
            fault("tls", advice);
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if !self.page_url.is_empty() {
            let sample = self.page_url.replace(ACCOUNT, "acme");
            let web = Url::parse(&sample).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
            if !web {
                let advice = "write the address of the account's page in the portal: \"https://portal.example/accounts/{account}/salesforce\"";
                faults.push(Fault::new("notices.page_url", advice));
            }
        }
        if self.per_hour == 0 {
            faults.push(Fault::new("notices.per_hour", "write at least 1"));
        }
        self.smtp.validate(faults);
    }

    /// Where an admin finds an account's page.
    pub(super) fn page(&self, account: &AccountId) -> Option<String> {
        let page = self.page_url.replace(ACCOUNT, account.as_str());
        (!page.is_empty()).then_some(page)
    }
}
