//! vcc-link as processes: workers, and commands.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::Keys;
use crate::clock::Clock;

/// vcc-link with its settings.
pub(crate) struct Program {
    pub(crate) file: PathBuf,
    pub(crate) settings: PathBuf,
    /// The keys that seal what it stores.
    pub(crate) keys: Keys,
    /// Settings of this row, by their names in the environment.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Whether each worker has a clock of its own.
    pub(crate) clocks: bool,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        // The settings are the file's, not those that somebody has for another vcc-link.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VCC_LINK_") {
                command.env_remove(name);
            }
        }
        command.arg("--config").arg(&self.settings);
        command.envs(self.keys.environment());
        command.envs(self.environment.iter().copied());
        // Ctrl-C is for us: what we started, we end.
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// Runs a subcommand to its end; gives what it writes.
    pub(crate) async fn call(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let shown = arguments.join(" ");
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("vcc-link {shown} cannot start"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Where it ends before it has read all, its exit code tells.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "vcc-link {shown}: {}",
            errors.trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts a worker that writes this log.
    pub(crate) fn worker(&self, log: PathBuf, own: &Own) -> anyhow::Result<Worker> {
        let written = if own.no_log {
            Path::new("/dev/full")
        } else {
            &log
        };
        let output = File::create(written)
            .with_context(|| format!("the log {} cannot be written", log.display()))?;
        let mut command = self.command();
        if let Some(database) = &own.database {
            command.env("VCC_LINK_STORE__URL", database);
        }
        if let Some(collector) = &own.collector {
            command.env("VCC_LINK_TELEMETRY__OTLP_ENDPOINT", collector);
        }
        let clock = self.clocks.then(|| Clock::new(log.with_extension("clock")));
        let clock = clock.transpose()?;
        if let Some(clock) = &clock {
            clock.give(&mut command);
        }
        let child = command
            .arg("worker")
            .env("FAILPOINTS", &own.failpoints)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("vcc-link worker cannot start")?;
        Ok(Worker {
            child,
            log,
            clock,
            peak: 0,
        })
    }
}

/// What one worker has of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// Where it crashes: `dispatch.begun=50%return`.
    pub(crate) failpoints: String,
    /// Another way to the database.
    pub(crate) database: Option<String>,
    /// Where it sends its traces and metrics.
    pub(crate) collector: Option<String>,
    /// Whether its log is on a disk without any room.
    pub(crate) no_log: bool,
}

/// A running worker; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
    clock: Option<Clock>,
    /// The most memory that it had, in bytes, as of the last look.
    peak: u64,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// At a crash point.
    Aborted,
    /// Otherwise.
    Ended(ExitStatus),
}

impl Worker {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(id, signal);
        }
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.look();
        Ok(self.child.kill().await?)
    }

    /// Sets its clock so many seconds ahead of ours, or back.
    pub(crate) fn set_clock(&self, seconds: i32) -> anyhow::Result<()> {
        let clock = self.clock.as_ref().context("it has no clock of its own")?;
        clock.set(seconds)
    }

    /// How it ended, if it has.
    pub(crate) fn death(&mut self) -> anyhow::Result<Option<Death>> {
        let status = self.child.try_wait()?;
        let abort = Some(Signal::ABORT.as_raw());
        Ok(status.map(|status| {
            if status.signal() == abort {
                Death::Aborted
            } else {
                Death::Ended(status)
            }
        }))
    }

    /// Reads how much memory it had at most, and tells it.
    pub(crate) fn look(&mut self) -> u64 {
        if let Some(id) = self.child.id() {
            self.peak = self.peak.max(peak_of(id).unwrap_or_default());
        }
        self.peak
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        self.page("readyz").await.is_some()
    }

    /// How many shards it says it owns.
    pub(crate) async fn shards(&self) -> Option<u64> {
        self.metric("vcc_link_leases_owned").await
    }

    /// How often it says that its share of the partitions changed.
    pub(crate) async fn rebalances(&self) -> Option<u64> {
        self.metric("vcc_link_consumer_rebalances").await
    }

    /// The value of a metric that has one line.
    async fn metric(&self, name: &str) -> Option<u64> {
        let text = self.page("metrics").await?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
        format!("{value:.0}").parse().ok()
    }

    async fn page(&self, page: &str) -> Option<String> {
        let address = address(&self.log)?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .build()
            .ok()?;
        let answer = http
            .get(format!("http://{address}/{page}"))
            .send()
            .await
            .ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }
}

/// The address that a worker says it serves its pages at.
fn address(log: &Path) -> Option<String> {
    let log = std::fs::read_to_string(log).ok()?;
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let found = line["fields"]["address"]
            .as_str()
            .or_else(|| line["address"].as_str());
        found.map(str::to_owned)
    })
}

/// The most memory that a process had resident so far, in bytes.
fn peak_of(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
