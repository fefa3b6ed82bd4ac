//! `vcc-link worker` and `run`, and `sidecar` without a subcommand: the processes that serve.

use tokio::signal::unix::{SignalKind, signal};

use super::Global;
use crate::app::{self, Role};

/// Consume calls from Kafka, look callers up, and log ended calls as Tasks.
///
/// Any number of workers may run beside each other: they share the accounts by leases in the
/// database. On SIGTERM or SIGINT a worker starts nothing more, finishes what is under way within
/// the grace time, and gives its accounts back. A second signal ends it at once; nothing is lost
/// by that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  vcc-link worker --config /etc/vcc-link.toml

Pages (http.listen): /healthz, /readyz, /metrics, /version")]
pub struct Args {}

/// Run worker and sidecar in one process: for one machine, or to try it out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  vcc-link run --config vcc-link.toml

Pages (http.listen): /healthz, /readyz, /metrics, /version")]
pub struct RunArgs {}

/// Runs a role until SIGTERM or SIGINT, then drains. A second signal ends the process at once.
pub async fn run(global: &Global, role: Role) -> anyhow::Result<()> {
    let settings = global.settings()?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let (first, stop) = tokio::sync::oneshot::channel::<()>();
    let twice = async move {
        let mut next = async || {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        next().await;
        let _ = first.send(());
        next().await;
    };
    let stop = async move {
        let _ = stop.await;
    };
    tokio::select! {
        done = app::run(settings.config, role, stop) => done,
        () = twice => anyhow::bail!("ended by a second signal, without a drain; the next owner takes over what is left"),
    }
}
