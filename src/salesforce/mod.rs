//! Salesforce: one client method for each resource, and what each answer means.
//!
//! - `client`: the one place where a request is made: trusted hosts, deadlines, bounded answers;
//! - [`oauth`]: refresh and revoke;
//! - [`search`]: who has these numbers (SOSL), and `query`: SOQL reads;
//! - [`tasks`]: creating, changing and finding Tasks; [`undoing`]: deleting one; `duplicates`: what exists already;
//! - [`profile`]: what an org and its API user allow; `preflight`: whether that is as it must be;
//! - `soql`: text of SOQL and SOSL: escaping, bounds, splitting;
//! - `trust`: which hosts may be told a token;
//! - `error`: HTTP status × error code → `FailureClass`, by the one table in `error_table`.
//!
//! Architecture invariant: nothing outside this module names an HTTP status of Salesforce or one
//! of its error codes.

mod client;
mod duplicates;
mod error;
mod error_table;
pub mod login;
pub mod oauth;
mod preflight;
pub mod profile;
mod query;
pub mod search;
mod send_by;
mod soql;
pub mod tasks;
mod trust;
pub mod undoing;

use std::time::Duration;

pub use client::{ApiUser, Client, Session};
pub use error_table::{Row as ErrorRow, TABLE as ERRORS};
use secrecy::{ExposeSecret, SecretString};
pub use send_by::SendBy;
use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;
use crate::domain::link::{App, Environment};
use crate::domain::outcome::Failure;
use crate::domain::private::masked;
use crate::domain::work::ApiUsage;

/// The REST API version that every request names. All production orgs have it, and Salesforce
/// keeps a version for at least three years.
pub const API_VERSION: &str = "v66.0";

/// Settings of the Salesforce client.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Consumer key of the app that accounts link through.
    pub client_id: String,
    /// Consumer secret of that app.
    #[serde(serialize_with = "masked")]
    pub client_secret: SecretString,
    /// Consumer key of the app of the older method, for links that were imported from it. Empty:
    /// there are none.
    pub legacy_client_id: String,
    /// Consumer secret of that app.
    #[serde(serialize_with = "masked")]
    pub legacy_client_secret: SecretString,
    /// Login host of production orgs.
    pub production_url: String,
    /// Login host of sandboxes.
    pub sandbox_url: String,
    /// Hosts (`name` or `name:port`) trusted beyond Salesforce's own, also without TLS. Empty in
    /// production: whoever controls such a host receives tokens.
    pub trusted_hosts: Vec<String>,
    /// API name of the unique external-id field on Task, if the org has it: with it Salesforce
    /// itself refuses a second Task for a call.
    pub task_key_field: String,
    /// How long a connection may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long an answer may take, from the first byte of the request to the last of the answer.
    /// Salesforce limits how many requests of 20 s and more run at once.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long a token answer may take: longer than others, as one that is lost endangers the
    /// link.
    #[serde(with = "humantime_serde")]
    pub token_timeout: Duration,
    /// The longest answer that is read, in bytes after decompression.
    pub max_answer_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            client_secret: SecretString::default(),
            legacy_client_id: String::new(),
            legacy_client_secret: SecretString::default(),
            production_url: "https://login.salesforce.com".into(),
            sandbox_url: "https://test.salesforce.com".into(),
            trusted_hosts: Vec::new(),
            task_key_field: "VCC_Call_Key__c".into(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            token_timeout: Duration::from_mins(1),
            max_answer_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Where an API user of this environment logs in.
    pub fn login_url(&self, environment: Environment) -> &str {
        match environment {
            Environment::Production => &self.production_url,
            Environment::Sandbox => &self.sandbox_url,
        }
    }

    /// Key and secret of an app.
    fn app(&self, app: App) -> (&str, &SecretString) {
        match app {
            App::Own => (&self.client_id, &self.client_secret),
            App::Legacy => (&self.legacy_client_id, &self.legacy_client_secret),
        }
    }

    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.client_id.trim().is_empty() {
            let advice = "write the consumer key of your Salesforce app";
            faults.push(Fault::new("salesforce.client_id", advice));
        }
        if self.client_secret.expose_secret().is_empty() {
            let advice = "write the consumer secret of your Salesforce app; best by the environment, VCC_LINK_SALESFORCE__CLIENT_SECRET";
            faults.push(Fault::new("salesforce.client_secret", advice));
        }
        let legacy_secret = self.legacy_client_secret.expose_secret();
        if self.legacy_client_id.is_empty() != legacy_secret.is_empty() {
            let advice = "write both salesforce.legacy_client_id and salesforce.legacy_client_secret, or none of them";
            faults.push(Fault::new("salesforce.legacy_client_id", advice));
        }
        let urls = [
            ("production_url", &self.production_url),
            ("sandbox_url", &self.sandbox_url),
        ];
        for (name, url) in urls {
            if trust::trusted(url, &self.trusted_hosts).is_none() {
                let advice = "write an https address of Salesforce, or add its host to salesforce.trusted_hosts";
                faults.push(Fault::new(format!("salesforce.{name}"), advice));
            }
        }
        if !is_field_name(&self.task_key_field) {
            let advice = "write the API name of a field, like VCC_Call_Key__c";
            faults.push(Fault::new("salesforce.task_key_field", advice));
        }
        if self.connect_timeout.is_zero() || self.connect_timeout > self.request_timeout {
            let advice = "write at least 1s, and at most salesforce.request_timeout";
            faults.push(Fault::new("salesforce.connect_timeout", advice));
        }
        if self.token_timeout < self.request_timeout {
            let advice = "write at least salesforce.request_timeout: a token answer that is lost endangers the link";
            faults.push(Fault::new("salesforce.token_timeout", advice));
        }
        if self.max_answer_bytes < 64 * 1024 {
            faults.push(Fault::new(
                "salesforce.max_answer_bytes",
                "write at least 65536",
            ));
        }
    }
}

/// Whether a text can be a field's API name, so that it may stand in a query.
fn is_field_name(name: &str) -> bool {
    name.len() <= 80
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// An answer, with what its headers told of the org's daily limit.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The org's usage.
    pub usage: Option<ApiUsage>,
}

impl<T> Answered<T> {
    /// The same answer with another value.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Answered<U> {
        Answered {
            value: f(self.value),
            usage: self.usage,
        }
    }
}

/// A request that failed, with its class.
#[derive(Clone, Debug, thiserror::Error)]
#[error("Salesforce: {} ({})", .failure.code, .failure.class.as_str())]
pub struct Error {
    /// What it means.
    pub failure: Failure,
    /// The org's usage, where the answer told it.
    pub usage: Option<ApiUsage>,
    /// No byte of the request's body was written: it cannot have been carried out.
    pub not_sent: bool,
}

impl Error {
    /// A request that was answered, or may have been carried out.
    pub(crate) const fn answered(failure: Failure) -> Self {
        Self {
            failure,
            usage: None,
            not_sent: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_faults_name_their_path() {
        let faults = |config: &Config| {
            let mut faults = Vec::new();
            config.validate(&mut faults);
            faults
                .into_iter()
                .map(|fault| fault.setting)
                .collect::<Vec<_>>()
        };
        let good = Config {
            client_id: "id".into(),
            client_secret: "secret".to_owned().into(),
            ..Config::default()
        };
        assert_eq!(faults(&good), Vec::<String>::new());
        assert_eq!(
            faults(&Config::default()),
            ["salesforce.client_id", "salesforce.client_secret"]
        );
        let bad = Config {
            sandbox_url: "http://test.salesforce.com".into(),
            task_key_field: "x' OR Id != '".into(),
            connect_timeout: Duration::ZERO,
            max_answer_bytes: 1,
            ..good
        };
        assert_eq!(
            faults(&bad),
            [
                "salesforce.sandbox_url",
                "salesforce.task_key_field",
                "salesforce.connect_timeout",
                "salesforce.max_answer_bytes"
            ]
        );
    }
}
