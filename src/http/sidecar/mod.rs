//! The sidecar: the pages where an account's admin links it to Salesforce, and their API.
//!
//! It keeps nothing in memory that the next request needs, so any number of replicas may stand
//! behind one address: sessions are kept by the browsers ([`session`]), all else by the store.
//!
//! - [`session`]: who somebody is, for one account; [`access`]: the answer to those without rights;
//! - [`pages`]: what an admin sees;
//! - [`csrf`], [`headers`]: what browsers must prove, and what they are told.
//!
//! Architecture invariant: only [`crate::linking`] changes a link; here requests become its calls.

pub mod access;
mod config;
pub mod csrf;
mod headers;
mod pages;
pub mod session;

use std::sync::Arc;

use axum::{Router, middleware};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::config::{CALLBACK, Config, Machine, Portal};
use self::headers::Told;
use crate::domain::link::Environment;
use crate::linking::Linking;
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::store::Store;

/// What the pages stand on.
pub struct Sidecar {
    /// Settings.
    pub config: Config,
    /// Changes links.
    pub linking: Arc<Linking>,
    /// The durable state, to be read.
    pub store: Arc<dyn Store>,
    /// Seals sessions.
    pub sealer: Sealer,
    /// Answers that go on and on end when this is cancelled, as the process drains.
    pub closing: CancellationToken,
    /// Work that goes on when a browser does not wait for it.
    pub work: TaskTracker,
    /// What browsers are told.
    told: Told,
}

/// What a sidecar is made of.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// Changes links.
    pub linking: Arc<Linking>,
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Seals sessions.
    pub sealer: Sealer,
    /// Knows where admins log in.
    pub salesforce: Client,
    /// Cancelled as the process drains.
    pub closing: CancellationToken,
    /// Work that goes on when a browser does not wait for it.
    pub work: TaskTracker,
}

impl Sidecar {
    /// A sidecar of its parts.
    pub fn new(parts: Parts) -> Self {
        let mut logins = vec!["https://*.salesforce.com".to_owned()];
        for environment in [Environment::Production, Environment::Sandbox] {
            let address = parts.salesforce.login_url(environment);
            logins.extend(url::Url::parse(&address).map(|url| url.origin().ascii_serialization()));
        }
        let config = parts.config;
        Self {
            told: Told::new(&config.portal_origin, &logins, config.is_plain()),
            config,
            linking: parts.linking,
            store: parts.store,
            sealer: parts.sealer,
            closing: parts.closing,
            work: parts.work,
        }
    }
}

/// The pages and the API.
pub fn router(sidecar: &Arc<Sidecar>) -> Router {
    let ours = middleware::from_fn_with_state(Arc::clone(sidecar), csrf::ours_alone);
    let told = middleware::from_fn_with_state(Arc::clone(sidecar), headers::tell);
    pages::router()
        .layer(ours)
        .layer(told)
        .with_state(Arc::clone(sidecar))
}
