//! Settings of the store.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;
use crate::domain::private::masked;

/// Settings of the store; section `store`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the database is, with user and password:
    /// `postgres://user:password@host:5432/name?sslmode=verify-full`.
    #[serde(serialize_with = "masked")]
    pub url: SecretString,
    /// Connections of this process, one more for wakes not counted. Transactions are short and
    /// batched, so a few per core of the database suffice for all replicas together.
    pub max_connections: u32,
    /// How long a transaction waits for a connection before the database counts as away.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// A statement that takes longer is cancelled by the database. Migrations are exempt.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// A transaction whose client is silent for longer is ended by the database, so that a
    /// process that stands still holds no lock: its shards and calls cannot be taken over before.
    #[serde(with = "humantime_serde")]
    pub idle_in_transaction_timeout: Duration,
    /// How long after a token refresh's `send_by` its answer may still arrive. A claim without a
    /// result is in doubt only after that; longer than `salesforce.token_timeout`.
    #[serde(with = "humantime_serde")]
    pub refresh_answer_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(3),
            refresh_answer_timeout: Duration::from_secs(90),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        let scheme = self
            .url
            .expose_secret()
            .split_once("://")
            .map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("postgres" | "postgresql")) {
            faults.push(Fault::new(
                "store.url",
                "write postgres://user:password@host:5432/name",
            ));
        }
        if self.max_connections < 2 {
            faults.push(Fault::new("store.max_connections", "write at least 2"));
        }
        let second = Duration::from_secs(1);
        for (setting, value) in [
            ("store.acquire_timeout", self.acquire_timeout),
            ("store.statement_timeout", self.statement_timeout),
            (
                "store.idle_in_transaction_timeout",
                self.idle_in_transaction_timeout,
            ),
            ("store.refresh_answer_timeout", self.refresh_answer_timeout),
        ] {
            if value < second {
                faults.push(Fault::new(setting, "write at least 1s"));
            }
        }
    }
}
