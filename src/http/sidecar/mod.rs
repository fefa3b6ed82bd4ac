//! The sidecar: the pages where an account's admin links it to Salesforce, and their API.
//!
//! It keeps nothing in memory that the next request needs, so any number of replicas may stand
//! behind one address: sessions are kept by the browsers ([`session`]), all else by the store.
//!
//! - [`session`]: who somebody is, for one account; [`access`]: the answer to those without rights;
//! - [`pages`]: what an admin sees;
//! - [`portal`], [`entry`]: how the portal hands its users over;
//! - [`invitation`], [`guest`]: how somebody gets in whom the portal does not know;
//! - [`api`]: what the pages can do, for programs; [`problem`]: where it does not;
//! - [`csrf`], [`headers`], [`limits`]: what browsers must prove, what they are told, how much they
//!   may ask.
//!
//! Architecture invariant: only [`crate::linking`] changes a link; here requests become its calls.

pub mod access;
pub mod api;
mod config;
pub mod csrf;
mod entry;
mod guest;
mod headers;
mod invitation;
mod limits;
mod pages;
pub mod portal;
mod problem;
pub mod session;

use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::{Router, middleware};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::config::{CALLBACK, Config, Machine, Portal};
use self::headers::Told;
use self::limits::Limits;
use self::portal::Verifier;
use crate::domain::link::Environment;
use crate::linking::Linking;
use crate::notices::Notices;
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::sealing::vault::Vault;
use crate::store::Store;
use crate::trial::Trial;

/// What the pages stand on.
pub struct Sidecar {
    /// Settings.
    pub config: Config,
    /// Changes links.
    pub linking: Arc<Linking>,
    /// Changes who is told of them.
    pub notices: Notices,
    /// The durable state, to be read.
    pub store: Arc<dyn Store>,
    /// Seals sessions.
    pub sealer: Sealer,
    /// Opens calls.
    pub vault: Vault,
    /// Tests a link as an admin wishes.
    pub trial: Arc<Trial>,
    /// How long the calls of an unlinked account wait for it to be linked again.
    pub unlink_grace: Duration,
    /// Answers that go on and on end when this is cancelled, as the process drains.
    pub closing: CancellationToken,
    /// What must come to its end runs on it.
    tasks: TaskTracker,
    /// How long a page waits for Salesforce; then it says that it goes on, and follows.
    answer_within: Duration,
    /// Verifies the portal's tokens.
    verifier: Verifier,
    /// Counts requests.
    limits: Limits,
    /// What browsers are told.
    told: Told,
}

/// What a sidecar is made of.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// Changes links.
    pub linking: Arc<Linking>,
    /// Changes who is told of them.
    pub notices: Notices,
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Seals sessions.
    pub sealer: Sealer,
    /// Knows where admins log in.
    pub salesforce: Client,
    /// Tests a link.
    pub trial: Trial,
    /// How long the calls of an unlinked account wait.
    pub unlink_grace: Duration,
    /// Cancelled as the process drains.
    pub closing: CancellationToken,
    /// What must come to its end runs on it; a drain waits for it.
    pub tasks: TaskTracker,
    /// How long an answer may take before it is given up (`http.request_timeout`).
    pub request_timeout: Duration,
}

impl Sidecar {
    /// A sidecar of its parts.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let own = ["salesforce.com", "my.salesforce.mil", "my.sfcrmproducts.cn"];
        let mut logins: Vec<String> = own.map(|domain| format!("https://*.{domain}")).into();
        for environment in [Environment::Production, Environment::Sandbox] {
            let address = parts.salesforce.login_url(environment);
            logins.extend(url::Url::parse(&address).map(|url| url.origin().ascii_serialization()));
        }
        let config = parts.config;
        Ok(Self {
            verifier: Verifier::new(config.portal.clone())?,
            limits: Limits::new(),
            told: Told::new(&config.portal_origin, &logins, config.is_plain()),
            config,
            linking: parts.linking,
            notices: parts.notices,
            vault: Vault::new(Arc::clone(&parts.store), parts.sealer.clone()),
            store: parts.store,
            sealer: parts.sealer,
            trial: Arc::new(parts.trial),
            unlink_grace: parts.unlink_grace,
            closing: parts.closing,
            tasks: parts.tasks,
            answer_within: parts.request_timeout / 2,
        })
    }

    /// Runs a change to its end, even if the browser that asked for it goes away meanwhile: a code
    /// is redeemed once, and the tokens that it brings are nowhere else.
    pub async fn whole<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let ended = self.tasks.spawn(change).await;
        ended.expect("a change neither panics nor is cancelled")
    }

    /// The same, as far as a page waits for it: `None` where it goes on.
    async fn whole_in_time<T: Send + 'static>(
        &self,
        change: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let ended = tokio::time::timeout(self.answer_within, self.whole(change));
        ended.await.ok()
    }
}

/// The pages and the API.
pub fn router(sidecar: &Arc<Sidecar>) -> Router {
    let state = || Arc::clone(sidecar);
    let invitations = Router::new()
        .route(invitation::PAGE, post(invitation::enter))
        .layer(middleware::from_fn_with_state(
            state(),
            limits::limit_guesses,
        ));
    pages::router()
        .merge(api::router())
        .layer(middleware::from_fn_with_state(state(), csrf::ours_alone))
        // Its page hides where it is, even from us.
        .merge(invitations)
        // From here on other sites may send browsers here.
        .route("/enter", post(entry::enter))
        .layer(middleware::from_fn_with_state(state(), limits::limit))
        .layer(middleware::from_fn_with_state(state(), headers::tell))
        .with_state(state())
}
