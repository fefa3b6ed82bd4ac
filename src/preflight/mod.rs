//! Before the start: do the services answer that the settings name, and are they as they must be?
//!
//! Only asks. Every question is asked even if another has a bad answer, so that all faults are
//! told at once.

mod sidecar;

use std::time::Duration;

use crate::config::Config;
use crate::domain::link::Environment;
use crate::kafka::topics::{self, Planned};
use crate::linking::check_keys;
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::store::Database;
use crate::store::postgres::Postgres;
use crate::store::postgres::durability::{Durability, Lack};
use crate::store::recovery::Standing;

/// The oldest PostgreSQL that will do.
const OLDEST: i32 = 150_000;

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was asked about: `database`, `topic vcc.calls`.
    pub about: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// How it is; where it is not ok, what to do.
    pub says: String,
}

impl Finding {
    /// All is well.
    fn ok(about: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            ok: true,
            says: says.into(),
        }
    }

    /// Something must be done.
    fn bad(about: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            ok: false,
            says: says.into(),
        }
    }
}

/// Asks everybody. `production` also refuses what is fit for tests only.
pub async fn findings(config: &Config, production: bool) -> Vec<Finding> {
    let (database, kafka, salesforce, pages) = tokio::join!(
        database(config, production),
        kafka(config, production),
        salesforce(config),
        sidecar::findings(config, production)
    );
    let mut findings = [database, kafka, salesforce, pages].concat();
    if production {
        findings.extend(build(config));
    }
    findings
}

/// The database: reachable, at this version's schema, and in production one that forgets nothing.
async fn database(config: &Config, production: bool) -> Vec<Finding> {
    const ABOUT: &str = "database";
    let store = match Database::open(&config.store).await {
        Ok(store) => store,
        Err(error) => {
            let advice = format!("cannot be reached by store.url: {}", chain(&error));
            return vec![Finding::bad(ABOUT, advice)];
        }
    };
    let mut findings = vec![match store.check().await {
        Ok(()) => Finding::ok(ABOUT, "answers, and its schema is this version's"),
        Err(error) => Finding::bad(ABOUT, chain(&error)),
    }];
    if findings.iter().all(|finding| finding.ok) {
        findings.push(keys(config, &store).await);
        findings.push(past(&store).await);
    }
    if production {
        findings.extend(match &store {
            Database::Postgres(server) => durability(server, config).await,
            Database::Sqlite(_) => vec![Finding::bad(
                "database's durability",
                "is a SQLite file, for one worker, and lost with its disk: set store.url to a \
                 PostgreSQL with a standby",
            )],
        });
    }
    store.close().await;
    findings
}

/// Whether the keys are those that sealed what is stored.
async fn keys(config: &Config, store: &Database) -> Finding {
    const ABOUT: &str = "keys";
    let sealer = match Sealer::of(&config.crypto) {
        Ok(sealer) => sealer,
        Err(error) => return Finding::bad(ABOUT, chain(&error)),
    };
    match check_keys(&*store.store(), &sealer).await {
        Ok(()) => Finding::ok(
            ABOUT,
            "open the tokens and the accounts' keys that are stored",
        ),
        Err(error) => Finding::bad(ABOUT, chain(&error)),
    }
}

/// Whether the database came back from the past. One that no worker looked at yet is no fault.
async fn past(store: &Database) -> Finding {
    const ABOUT: &str = "database's past";
    match store.store().standing().await {
        Err(error) => Finding::bad(ABOUT, chain(&error)),
        Ok(Standing::Recovering { reason, .. }) => {
            Finding::bad(ABOUT, format!("{}: run `vcc-link recover`", reason.says()))
        }
        Ok(Standing::Recognised) => Finding::ok(ABOUT, "is as workers left it"),
        Ok(Standing::Unrecognised) => {
            Finding::ok(ABOUT, "is looked at by the first worker that starts")
        }
    }
}

/// Whether the database keeps what it confirmed, and tells the time that we tell.
async fn durability(store: &Postgres, config: &Config) -> Vec<Finding> {
    match store.durability().await {
        Err(error) => vec![Finding::bad("database's durability", chain(&error))],
        Ok(kept) => vec![
            kept_safe(&kept),
            same_clock(&kept, config.engine.reconcile.clock_margin),
        ],
    }
}

/// Whether what is confirmed is kept, whatever breaks.
fn kept_safe(kept: &Durability) -> Finding {
    if kept.version < OLDEST {
        return Finding::bad(
            "database's durability",
            "is older than PostgreSQL 15: upgrade it",
        );
    }
    let advice = match kept.lacks.first() {
        None => return Finding::ok("database's durability", "on disk, and on a standby"),
        Some(Lack::OnDisk) => "set fsync = on: a crash loses calls",
        Some(Lack::WholePages) => "set full_page_writes = on: a crash breaks pages",
        Some(Lack::Waits) => {
            "synchronous_commit is off in our sessions, so something between us and the server drops what they set: set it to on for the database"
        }
        Some(Lack::OnStandby) => {
            "set synchronous_standby_names: a failover forgets what only the lost server had, and is to be recovered from by hand"
        }
    };
    Finding::bad("database's durability", advice)
}

/// Whether the clocks are as near to each other as reconciling counts on.
fn same_clock(kept: &Durability, margin: Duration) -> Finding {
    let seconds = kept.clock_ahead.as_seconds_f64();
    let says = format!("is {seconds:+.1} s ahead of this machine's");
    if seconds.abs() <= margin.as_secs_f64() {
        return Finding::ok("database's clock", says);
    }
    let advice = "set both by a time server: engine.reconcile.clock_margin is less";
    Finding::bad("database's clock", format!("{says}; {advice}"))
}

/// Kafka: the brokers answer, and each topic is there and keeps its events as it must.
async fn kafka(config: &Config, production: bool) -> Vec<Finding> {
    match topics::plan(&config.kafka).await {
        Err(error) => vec![Finding::bad(
            "kafka",
            format!("kafka.brokers: {}", chain(&error)),
        )],
        Ok(plan) => plan
            .iter()
            .map(|topic| self::topic(topic, config, production))
            .collect(),
    }
}

/// One topic. Of what may differ from the plan, only that counts which loses or repeats events.
fn topic(topic: &Planned, config: &Config, production: bool) -> Finding {
    let about = format!("topic {}", topic.wanted.name);
    if !topic.exists {
        return Finding::bad(about, "is missing: run `vcc-link topics apply`");
    }
    let is = |what: &str| {
        let difference = topic.differences.iter().find(|d| d.what == what);
        difference.map(|difference| difference.is.as_str())
    };
    if let Some(policy) = is("cleanup.policy") {
        let wanted = &topic.wanted.settings["cleanup.policy"];
        return Finding::bad(
            about,
            format!("set cleanup.policy = {wanted}, not {policy}"),
        );
    }
    if config.kafka.topics.calls.contains(&topic.wanted.name)
        && let Some(kept) = is("retention.ms")
        && !kept
            .parse()
            .is_ok_and(|ms| Duration::from_millis(ms) < config.ingest.dedupe_horizon)
    {
        let advice = format!(
            "keeps events for {kept} ms: set retention.ms below ingest.dedupe_horizon, or the \
             horizon above it; what the topic repeats must be remembered"
        );
        return Finding::bad(about, advice);
    }
    match is("replication factor") {
        Some("1") if production => {
            Finding::bad(about, "has one copy: the loss of a broker loses its events")
        }
        _ => Finding::ok(about, "is there, and keeps its events as it must"),
    }
}

/// Salesforce: the hosts where API users log in answer.
async fn salesforce(config: &Config) -> Vec<Finding> {
    let client = match Client::new(config.salesforce.clone()) {
        Ok(client) => client,
        Err(error) => return vec![Finding::bad("salesforce", chain(&error))],
    };
    let mut findings = Vec::new();
    for environment in [Environment::Production, Environment::Sandbox] {
        let about = format!("salesforce at {}", config.salesforce.login_url(environment));
        findings.push(match client.reach(environment).await {
            Ok(()) => Finding::ok(about, "answers"),
            Err(failure) => Finding::bad(about, format!("{}: {}", failure.code, failure.hint)),
        });
    }
    findings
}

/// What is fit for tests only, in the binary and in the settings.
fn build(config: &Config) -> Vec<Finding> {
    let binary = if cfg!(feature = "failpoints") {
        Finding::bad(
            "binary",
            "has crash points: build it without the feature `failpoints`",
        )
    } else {
        Finding::ok("binary", "has no crash points")
    };
    let hosts = if config.salesforce.trusted_hosts.is_empty() {
        Finding::ok(
            "salesforce.trusted_hosts",
            "is empty: tokens go to Salesforce only",
        )
    } else {
        let advice = "take every host out: whoever controls one receives tokens";
        Finding::bad("salesforce.trusted_hosts", advice)
    };
    vec![binary, hosts]
}

/// An error with its causes, in one line; a cause that was told already is not told again.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .fold(String::new(), |told, cause| {
            if told.is_empty() {
                cause
            } else if told.contains(&cause) {
                told
            } else {
                format!("{told}: {cause}")
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::topics::{Found, compare, wanted};

    #[test]
    fn a_database_that_may_forget_is_refused() {
        let safe = Durability {
            version: 150_004,
            lacks: vec![],
            clock_ahead: chrono::TimeDelta::seconds(-2),
        };
        assert!(kept_safe(&safe).ok);
        let old = Durability {
            version: 140_011,
            ..safe.clone()
        };
        assert!(!kept_safe(&old).ok);
        for lack in [Lack::OnDisk, Lack::WholePages, Lack::Waits, Lack::OnStandby] {
            let weak = Durability {
                lacks: vec![lack],
                ..safe.clone()
            };
            assert!(!kept_safe(&weak).ok, "{lack:?}");
        }
        let margin = Duration::from_secs(30);
        assert!(same_clock(&safe, margin).ok);
        let late = Durability {
            clock_ahead: chrono::TimeDelta::seconds(-31),
            ..safe
        };
        assert!(!same_clock(&late, margin).ok);
    }

    /// How the first topic of calls is found, with one setting or number changed.
    fn found(change: impl FnOnce(&mut Found)) -> Finding {
        let config = Config::default();
        let wanted = wanted(&config.kafka).remove(0);
        let mut found = Found {
            partitions: 12,
            copies: 3,
            settings: wanted
                .settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        };
        change(&mut found);
        topic(&compare(wanted, Some(&found)), &config, true)
    }

    #[test]
    fn a_topic_may_differ_where_nothing_is_lost_or_repeated() {
        let set = |name: &'static str, value: &'static str| {
            found(|found| drop(found.settings.insert(name.into(), value.into())))
        };
        assert!(found(|_| {}).ok);
        assert!(found(|found| found.partitions = 48).ok);
        assert!(set("retention.ms", "3600000").ok);
        assert!(!set("retention.ms", "-1").ok, "kept for ever");
        assert!(!set("retention.ms", "9999999999").ok, "beyond the horizon");
        assert!(!set("cleanup.policy", "compact").ok);
        assert!(!found(|found| found.copies = 1).ok);
    }
}
