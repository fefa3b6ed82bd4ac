//! Settings of the store.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;
use crate::domain::private::masked;

/// What a file's address begins with.
const FILE: &str = "sqlite:";

/// Settings of the store; section `store`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the database is: `postgres://user:password@host:5432/name?sslmode=verify-full`, or
    /// `sqlite:PATH`, a file of this machine for one worker.
    #[serde(serialize_with = "masked")]
    pub url: SecretString,
    /// Connections of this process, not counting one for wakes and up to three for leases.
    /// Transactions are short and batched, so a few per core of the database suffice for all
    /// replicas together. Half of them at most look through shards. A file's are for reading; one
    /// more writes.
    pub max_connections: u32,
    /// How long a transaction waits for a connection before the database counts as away.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// A statement that takes longer is cancelled by the database. Migrations are exempt. Not for a
    /// file.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// A transaction whose client is silent for longer is ended by the database, so that a
    /// process that stands still holds no lock: its shards and calls cannot be taken over before.
    /// Not for a file.
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

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the URL.
    Server,
    /// In this file.
    File(PathBuf),
}

impl Config {
    /// Where the database is.
    pub(super) fn place(&self) -> Place {
        let path = self.url.expose_secret().strip_prefix(FILE);
        path.map_or(Place::Server, |path| Place::File(path.into()))
    }

    /// What to write as the URL, if it is wrong.
    fn wrong_url(&self) -> Option<&'static str> {
        let url = self.url.expose_secret();
        if let Some(path) = url.strip_prefix(FILE) {
            // These mean something else to those who know SQLite's own addresses.
            let is_path =
                !path.is_empty() && !path.starts_with([':', '?']) && !path.starts_with("//");
            return (!is_path)
                .then_some("write sqlite:PATH, as in sqlite:/var/lib/vcc-link/calls.db");
        }
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let known = matches!(scheme, Some("postgres" | "postgresql"));
        (!known).then_some("write postgres://user:password@host:5432/name, or sqlite:PATH")
    }

    /// How many transactions may look through shards at a time: half of the connections, as there
    /// are hundreds of shards, and the calls that were found want to be worked on meanwhile.
    pub fn sweeps(&self) -> usize {
        usize::try_from(self.max_connections / 2).map_or(1, |half| half.max(1))
    }

    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if let Some(advice) = self.wrong_url() {
            faults.push(Fault::new("store.url", advice));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server_or_a_file() {
        let place = |url: &str| {
            let url = SecretString::from(url);
            let config = Config {
                url,
                ..Config::default()
            };
            config.wrong_url().is_none().then(|| config.place())
        };
        let file = |path: &str| Some(Place::File(path.into()));
        assert_eq!(place("postgres://vcc@localhost/vcc"), Some(Place::Server));
        assert_eq!(place("sqlite:/var/lib/calls.db"), file("/var/lib/calls.db"));
        assert_eq!(place("sqlite:calls.db"), file("calls.db"));
        for wrong in [
            "",
            "calls.db",
            "mysql://localhost/vcc",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:///calls.db",
            "sqlite:?mode=memory",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
