//! The sidecar: the admins' pages, and what must be looked after beside them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stages::Alarm;
use crate::callers::Callers;
use crate::clock;
use crate::config::Config;
use crate::http::{self, sidecar};
use crate::kafka::producer::Producer;
use crate::kafka::wire::encode::Encoder;
use crate::linking::{Announcer, Linking};
use crate::notices::{Notices, Teller};
use crate::readiness::Readiness;
use crate::salesforce::Client;
use crate::sealing::Sealer;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::trial::Trial;

/// How often logins that came to nothing are ended.
const EVERY: Duration = Duration::from_mins(1);

/// How long logins are remembered once they are over, for those who come back to them.
const REMEMBERED: Duration = Duration::from_hours(24 * 30);

/// How long requests under way may take once the process drains. Kubernetes kills after 30 s.
const GRACE: Duration = Duration::from_secs(20);

/// The admins' pages, being served.
pub(super) struct Sidecar {
    /// Who ended too soon.
    alarm: Alarm,
    /// The stages run on it.
    stages: TaskTracker,
    /// Tells them to end.
    closing: CancellationToken,
    /// The announcer runs on it, as long as there may be something to tell.
    last: TaskTracker,
    /// Tells it to end.
    announcing: CancellationToken,
}

impl Sidecar {
    /// Serves the pages, if the settings say where they are.
    pub(super) async fn start(
        config: &Config,
        store: Arc<dyn Store>,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> anyhow::Result<Option<Self>> {
        if !config.sidecar.is_on() {
            return Ok(None);
        }
        let component = readiness.component("sidecar");
        let listener = super::bind("sidecar.listen", config.sidecar.listen).await?;
        tracing::info!(address = %listener.local_addr()?, public_url = config.sidecar.public_url, "the admins' pages are served");
        let sealer = Sealer::of(&config.crypto)?;
        let salesforce =
            Client::new(config.salesforce.clone()).context("salesforce cannot be used")?;
        let salesforce = salesforce.with_metrics(metrics.clone());
        let adapters = (Arc::clone(&store), sealer.clone(), salesforce.clone());
        let (linking, announcer) = linking(config, adapters, metrics)?;
        let started = Self {
            alarm: Alarm::default(),
            stages: TaskTracker::new(),
            closing: CancellationToken::new(),
            last: TaskTracker::new(),
            announcing: CancellationToken::new(),
        };
        let pages = Arc::new(sidecar::Sidecar::new(sidecar::Parts {
            config: config.sidecar.clone(),
            linking: Arc::clone(&linking),
            notices: Notices::new(Arc::clone(&store), sealer.clone(), config.notices.clone()),
            store: Arc::clone(&store),
            sealer: sealer.clone(),
            trial: Trial {
                store: Arc::clone(&store),
                linking: Arc::clone(&linking),
                callers: Callers::new(salesforce.clone(), &config.lookup.own_numbers),
                salesforce: salesforce.clone(),
                tasks: config.tasks.clone(),
            },
            unlink_grace: config.engine.links.unlink_grace,
            salesforce,
            closing: started.closing.clone(),
            tasks: started.stages.clone(),
            request_timeout: config.http.request_timeout,
        })?);
        let router = http::with_limits(sidecar::router(&pages), &config.http, metrics.clone());
        let closing = started.closing.clone().cancelled_owned();
        started.watch("pages", served(http::serve(listener, router, closing)));
        let teller = Teller::new(Arc::clone(&store), sealer, config.notices.clone());
        let teller = teller.context("notices cannot be sent by these settings")?;
        let teller = teller.with_metrics(metrics.clone());
        started.watch("notices", teller.run(started.closing.clone()));
        let closing = started.closing.clone();
        started.watch("logins", look_after_logins(linking, store, closing));
        let closing = started.announcing.clone();
        let announcer = announcer.run(closing.clone());
        started
            .alarm
            .watch(&started.last, "announcer", &closing, announcer);
        started.stages.close();
        started.last.close();
        component.ready();
        Ok(Some(started))
    }

    /// Runs a stage.
    fn watch(&self, name: &'static str, stage: impl Future<Output = ()> + Send + 'static) {
        self.alarm.watch(&self.stages, name, &self.closing, stage);
    }

    /// Waits for a stage that ends by itself.
    pub(super) async fn broken(&self) -> &'static str {
        self.alarm.raised().await
    }

    /// Takes no more requests, and waits for those under way.
    pub(super) async fn drain(self) {
        self.closing.cancel();
        let drained = async {
            self.stages.wait().await;
            self.announcing.cancel();
            self.last.wait().await;
        };
        let _ = tokio::time::timeout(GRACE, drained).await;
    }
}

/// Waits until the pages are served no more; says why, where nobody wished it.
async fn served(pages: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = pages.await {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "the admins' pages cannot be served");
    }
}

/// What changes links, and what tells of it.
fn linking(
    config: &Config,
    (store, sealer, salesforce): (Arc<dyn Store>, Sealer, Client),
    metrics: &Metrics,
) -> anyhow::Result<(Arc<Linking>, Announcer)> {
    // Nothing is owned here: tokens of links are refreshed by the owners of their shards alone.
    let (_, owned) = watch::channel(Vec::new());
    let (settings, task_status) = (config.linking.clone(), config.tasks.status.clone());
    let linking = Linking::new(store, sealer, salesforce, settings, task_status, owned);
    let producer = Producer::new(&config.kafka)?;
    let encoder = Encoder::new(config.kafka.encoding);
    let (announcements, announcer) = Announcer::new(encoder, producer);
    let linking = linking.with_announcements(announcements);
    Ok((Arc::new(linking.with_metrics(metrics.clone())), announcer))
}

/// Ends logins that came to nothing, and forgets old ones and old invitations, until told to stop.
async fn look_after_logins(
    linking: Arc<Linking>,
    store: Arc<dyn Store>,
    closing: CancellationToken,
) {
    loop {
        let before = clock::now() - REMEMBERED;
        let done = async {
            linking.end_loose().await?;
            store.forget_authorizations(before).await?;
            store.forget_invitations(before).await
        };
        if let Err(error) = done.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "logins that came to nothing could not be ended yet");
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
