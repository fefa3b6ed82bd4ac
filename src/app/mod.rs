//! Builds the adapters from the settings, runs the stages, and drains them in order.
//!
//! The order of a drain is the order of the flow: nothing new is read, what is in flight comes to
//! its end, and what came of it is published. Shards of which nothing is in flight are given up at
//! once, the others as they come to rest. What does not end within the grace time is left to the
//! next owner, who finds it in the journal.
//!
//! A stage that ends by itself, by a panic or a return, makes the process drain and fail, so that
//! whatever watches over it starts it again.

mod sidecar;
mod stages;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::sidecar::Sidecar;
use self::worker::Worker;
use crate::clock;
use crate::config::Config;
use crate::http;
use crate::linking::check_keys;
use crate::readiness::Readiness;
use crate::sealing::Sealer;
use crate::store::Database;
use crate::telemetry::Telemetry;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls become Tasks.
    Worker,
    /// The admin's page.
    Sidecar,
    /// Both.
    Both,
}

impl Role {
    /// The subcommand.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Sidecar => "sidecar",
            Self::Both => "run",
        }
    }

    const fn works(self) -> bool {
        matches!(self, Self::Worker | Self::Both)
    }

    const fn has_pages(self) -> bool {
        matches!(self, Self::Sidecar | Self::Both)
    }
}

/// Runs a role until `stop` resolves or a stage ends by itself, then drains. The latter is an
/// error, once drained.
pub async fn run(config: Config, role: Role, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let telemetry = Telemetry::new(&config.telemetry)?;
    telemetry.install()?;
    let metrics = telemetry.metrics(role.as_str());
    let readiness = Readiness::default();
    let database = readiness.component("database");
    let listener = bind("http.listen", config.http.listen).await?;
    tracing::info!(role = role.as_str(), address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "starting");
    let store = usable_database(&config).await?;
    database.ready();
    let sidecar = if role.has_pages() {
        Sidecar::start(&config, store.store(), &metrics, &readiness).await?
    } else {
        None
    };
    let mut held = None;
    let worker = if role.works() {
        held = store.for_work().context("store.url")?;
        let worker = Worker::start(&config, store.store(), &metrics, &readiness)?;
        Some(worker)
    } else {
        None
    };
    let pages = http::operations::router(readiness, telemetry.registry());
    let pages = http::with_limits(pages, &config.http, metrics);
    let closing = CancellationToken::new();
    let served = tokio::task::spawn_blocking({
        let closing = closing.clone();
        let handle = tokio::runtime::Handle::current();
        move || handle.block_on(http::serve(listener, pages, closing.cancelled_owned()))
    });
    let broken = tokio::select! {
        () = stop => None,
        stage = ended(worker.as_ref(), sidecar.as_ref()) => Some(stage),
        () = clock::set_back() => Some("clock"),
    };
    tracing::info!("draining");
    if let Some(sidecar) = sidecar {
        sidecar.drain().await;
    }
    if let Some(worker) = worker {
        worker.drain().await;
    }
    drop(held);
    closing.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(2), served).await;
    tracing::info!("stopped");
    telemetry.shutdown().await;
    match broken {
        Some(stage) => anyhow::bail!("the stage {stage} ended by itself; the log says why"),
        None => Ok(()),
    }
}

/// Waits for a stage that ends by itself.
async fn ended(worker: Option<&Worker>, sidecar: Option<&Sidecar>) -> &'static str {
    let worker = async {
        match worker {
            Some(worker) => worker.broken().await,
            None => std::future::pending().await,
        }
    };
    let sidecar = async {
        match sidecar {
            Some(sidecar) => sidecar.broken().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        stage = worker => stage,
        stage = sidecar => stage,
    }
}

/// Listens at the address of a setting.
async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{setting}: {address} cannot be used; is another process on it?"))
}

/// The database, once it is known to be one that this process can work with.
async fn usable_database(config: &Config) -> anyhow::Result<Database> {
    let database = Database::open(&config.store)
        .await
        .context("store.url: the database cannot be reached")?;
    let checked = database.check().await;
    checked.context("the database cannot be used")?;
    let sealer = Sealer::of(&config.crypto)?;
    let opened = check_keys(&*database.store(), &sealer).await;
    opened.context("the database cannot be used with these keys")?;
    Ok(database)
}
