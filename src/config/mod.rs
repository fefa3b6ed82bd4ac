//! Settings: defaults, then the TOML file, then the environment; validated as a whole.
//!
//! - [`layers`]: what the file and the environment say, and which of them said it;
//! - [`form`]: names and types, every fault at once;
//! - [`listing`]: the settings as they are in effect, for people.
//!
//! Each module owns its section's type, with defaults and its own checks. Here they are put
//! together, and checked against each other.

mod form;
mod layers;
mod listing;

use std::fmt;
use std::path::Path;
use std::time::Duration;

pub use layers::Origin;
pub use listing::Line;
use serde::{Deserialize, Serialize};

use crate::domain::fault::Fault;
use crate::domain::{policy, task};
use crate::{
    crypto, engine, http, kafka, linking, notices, pipeline, salesforce, store, telemetry,
};

/// The settings file that documents every setting, with its default. A test holds it to the types.
pub const EXAMPLE: &str = include_str!("../../deploy/vcc-link.example.toml");

/// Salesforce ends a REST request after ten minutes (Salesforce Developer Limits, API).
const SALESFORCES_LONGEST_REQUEST: Duration = Duration::from_mins(10);

/// What the names of the environment's settings begin with: `VCC_LINK_SECTION__FIELD`.
pub const PREFIX: &str = "VCC_LINK_";

/// Declares the sections: each is a field of the settings, and each is validated.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident: $config:ty,)*) => {
        /// All settings.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            $($(#[$doc])* pub $name: $config,)*
        }

        impl Config {
            /// Collects what is wrong within each section.
            fn validate_sections(&self, faults: &mut Vec<Fault>) {
                $(self.$name.validate(faults);)*
            }
        }
    };
}

sections! {
    /// The database.
    store: store::Config,
    /// Kafka.
    kafka: kafka::Config,
    /// Salesforce.
    salesforce: salesforce::Config,
    /// The keys that seal bodies and tokens.
    crypto: crypto::Config,
    /// How events are taken in.
    ingest: pipeline::ingest::Config,
    /// How long what is stored is kept.
    retention: pipeline::retention::Config,
    /// Which calls earn a Task.
    policy: policy::Policy,
    /// How callers are looked up.
    lookup: pipeline::lookup::Config,
    /// What Tasks look like.
    tasks: task::Config,
    /// How Tasks are sent.
    dispatch: pipeline::dispatch::Config,
    /// What is sent when: batches, retries, pacing.
    engine: engine::Config,
    /// From which age on a call is told of as forgotten.
    watchdog: pipeline::watchdog::Config,
    /// How workers share the accounts.
    leases: pipeline::leases::Config,
    /// Links and their tokens.
    linking: linking::Config,
    /// The operations pages.
    http: http::Config,
    /// The pages where admins link their accounts.
    sidecar: http::sidecar::Config,
    /// How contacts are told of their account's link.
    notices: notices::Config,
    /// Logs, traces and metrics.
    telemetry: telemetry::Config,
}

impl Config {
    /// Collects all that is wrong with the settings, within the sections and across them.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        self.validate_sections(faults);
        if self.salesforce.trusted_hosts.is_empty()
            && self.engine.reconcile.final_after < SALESFORCES_LONGEST_REQUEST
        {
            let advice = "write at least 10m: so long may Salesforce work on a request that nobody waits for";
            faults.push(Fault::new("engine.reconcile.final_after", advice));
        }
        if self.kafka.delivery_timeout >= self.leases.ttl {
            let advice = "write less than leases.ttl: a relay that lost its shard must have nothing left on the way";
            faults.push(Fault::new("kafka.delivery_timeout", advice));
        }
        if self.kafka.create.calls_retention >= self.ingest.dedupe_horizon {
            let advice = "write more than kafka.create.calls_retention: what the topic may repeat must be remembered";
            faults.push(Fault::new("ingest.dedupe_horizon", advice));
        }
        // An event may be that old, and both ways run ahead of the clock.
        if self.retention.ledger < self.ingest.dedupe_horizon + self.ingest.future_tolerance * 2 {
            let advice = "write at least ingest.dedupe_horizon and twice ingest.future_tolerance: a call whose event may come again must be remembered";
            faults.push(Fault::new("retention.ledger", advice));
        }
        if self.engine.links.parked_at_most <= self.ingest.dedupe_horizon {
            let advice = "write more than ingest.dedupe_horizon: a call that comes late must have time to wait";
            faults.push(Fault::new("engine.links.parked_at_most", advice));
        }
        if self.watchdog.ends_within >= self.ingest.dedupe_horizon {
            let advice = "write less than ingest.dedupe_horizon: beyond that a call is forgotten";
            faults.push(Fault::new("watchdog.ends_within", advice));
        }
        if self.watchdog.stuck_after <= self.engine.reconcile.previous_org_patience {
            let advice = "write more than engine.reconcile.previous_org_patience: so long may an attempt be looked for";
            faults.push(Fault::new("watchdog.stuck_after", advice));
        }
        if self.watchdog.expiry_notice >= self.engine.links.parked_at_most {
            let advice =
                "write less than engine.links.parked_at_most: calls are told of before they end";
            faults.push(Fault::new("watchdog.expiry_notice", advice));
        }
        if self.store.refresh_answer_timeout <= self.salesforce.token_timeout {
            let advice = "write more than salesforce.token_timeout: an answer that may still come is not yet in doubt";
            faults.push(Fault::new("store.refresh_answer_timeout", advice));
        }
        if let Some(wanted) = self.sidecar.callback_url()
            && self.linking.callback_url != wanted
        {
            let advice = format!(
                "write \"{wanted}\", and the same in the app at Salesforce: there the sidecar takes browsers back"
            );
            faults.push(Fault::new("linking.callback_url", advice));
        }
    }

    /// Every setting by name, without secrets, and without a word on where it came from.
    pub fn lines(&self) -> Vec<Line> {
        listing::lines(self, &layers::Origins::default())
    }

    /// The settings of a TOML text alone. Looks at names and types only, not at the values'
    /// meaning.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let tree = layers::parse_toml(text).unwrap_or_else(|fault| {
            faults.push(fault);
            layers::Tree::new()
        });
        let (config, _) = form::read(tree, &mut faults);
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(faults)
        }
    }
}

/// Valid settings, with where each came from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings.
    pub config: Config,
    /// What did not come from the defaults.
    origins: layers::Origins,
}

impl Settings {
    /// Every setting in effect, by name, without secrets.
    pub fn lines(&self) -> Vec<Line> {
        listing::lines(&self.config, &self.origins)
    }
}

/// Reads and validates the settings.
///
/// `environment` are the process's variables; those that do not begin with [`PREFIX`] are left
/// alone. On failure every fault is told, not only the first.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, Faults> {
    load_sections(file, environment, &[])
}

/// As [`load`], for a command that needs some sections only (`kafka`, `store`): what the others
/// hold, or lack, does not matter. No sections: all of them.
pub fn load_sections(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    sections: &[&str],
) -> Result<Settings, Faults> {
    let mut faults = Vec::new();
    let layers = layers::read(file, environment, &listing::names(), &mut faults);
    let (config, doubtful) = form::read(layers.tree, &mut faults);
    let mut meant = Vec::new();
    config.validate(&mut meant);
    // A file that cannot be read, or a name that is no setting, matters to every command.
    if !sections.is_empty() {
        let needed = |setting: &str| sections.iter().any(|section| overlap(section, setting));
        meant.retain(|fault| needed(&fault.setting));
    }
    // A value that could not be read was replaced by its default: to complain of that would send
    // the reader the wrong way.
    faults.extend(
        meant
            .into_iter()
            .filter(|f| !doubtful.iter().any(|d| overlap(d, &f.setting))),
    );
    if faults.is_empty() {
        return Ok(Settings {
            config,
            origins: layers.origins,
        });
    }
    let told = |fault: Fault| (layers.origins.of(&fault.setting).cloned(), fault);
    Err(Faults(faults.into_iter().map(told).collect()))
}

/// Whether one of two settings is the other or lies within it.
fn overlap(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(a, b) || within(b, a)
}

/// Everything that is wrong with the settings, each with where it was set.
#[derive(Clone, Debug)]
pub struct Faults(Vec<(Option<Origin>, Fault)>);

impl Faults {
    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().map(|(_, fault)| fault)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 {
            "setting is"
        } else {
            "settings are"
        };
        write!(f, "{} {plural} wrong:", self.0.len())?;
        for (origin, fault) in &self.0 {
            write!(f, "\n  {fault}")?;
            if let Some(origin) = origin {
                write!(f, " (set by {origin})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
