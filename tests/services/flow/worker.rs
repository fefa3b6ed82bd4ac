//! A worker process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running `vcc-link worker`, killed when dropped.
pub(super) struct Worker {
    child: Child,
    log: PathBuf,
    http: reqwest::Client,
}

/// The program.
pub(super) fn vcc_link(settings: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vcc-link"));
    command.arg("--config").arg(settings);
    command
}

impl Worker {
    /// Starts one that writes this log. `failpoints`: where it shall crash.
    pub(super) fn spawn(settings: &Path, log: &Path, failpoints: &str) -> Self {
        let output = File::create(log).expect("a log file");
        let child = vcc_link(settings)
            .arg("worker")
            .env("FAILPOINTS", failpoints)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the worker starts");
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .build()
            .expect("a client");
        Self {
            child,
            log: log.to_owned(),
            http,
        }
    }

    /// The address that it says it serves its pages at.
    fn address(&self) -> Option<String> {
        let log = std::fs::read_to_string(&self.log).ok()?;
        log.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let found = line["fields"]["address"]
                .as_str()
                .or_else(|| line["address"].as_str());
            found.map(str::to_owned)
        })
    }

    /// Whether it says that it is ready.
    pub(super) async fn is_ready(&self) -> bool {
        let Some(address) = self.address() else {
            return false;
        };
        let answer = self
            .http
            .get(format!("http://{address}/readyz"))
            .send()
            .await;
        answer.is_ok_and(|a| a.status().is_success())
    }

    /// What it tells of itself in numbers.
    pub(super) async fn metrics(&self) -> Option<String> {
        let url = format!("http://{}/metrics", self.address()?);
        self.http.get(url).send().await.ok()?.text().await.ok()
    }

    /// How many shards it says it owns.
    pub(super) async fn shards(&self) -> Option<u32> {
        let text = self.metrics().await?;
        let line = text
            .lines()
            .find(|l| l.starts_with("vcc_link_leases_owned"))?;
        let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
        format!("{value:.0}").parse().ok()
    }

    /// Sends it a signal: `TERM`, `KILL`, `STOP`, `CONT`.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name}");
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state")
    }

    /// What it wrote.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
