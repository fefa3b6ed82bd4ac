//! vcc-link as processes of its own: this program, started again under another name.
//!
//! So there is one thing to build, and what runs is the real command line, with its settings from a
//! file and its end by a signal.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser as _;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;
use vcc_link::cli::{self, Cli};

/// The first argument that makes this program vcc-link.
const NAME: &str = "vcc-link";

/// Plays vcc-link, if the arguments say so.
pub(crate) async fn play_if_told(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.skip(1).peekable();
    if arguments.peek().is_none_or(|first| first != NAME) {
        return None;
    }
    let arguments: Vec<OsString> = arguments.collect();
    if arguments.last().is_some_and(|last| last == "run") {
        std::thread::spawn(end_with_the_parent);
    }
    Some(cli::run(Cli::parse_from(arguments)).await)
}

/// Ends this process in good order when whoever started it is gone: standard input is a pipe that
/// the parent holds, and never writes to.
fn end_with_the_parent() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let _ = kill_process(getpid(), Signal::TERM);
}

/// vcc-link with its settings.
pub(crate) struct House {
    program: PathBuf,
    settings: PathBuf,
}

impl House {
    /// vcc-link with this settings file.
    pub(crate) fn new(settings: PathBuf) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        Ok(Self { program, settings })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // The settings are the file's, not those that somebody has for another vcc-link.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VCC_LINK_") {
                command.env_remove(name);
            }
        }
        command.arg(NAME).arg("--config").arg(&self.settings);
        // Ctrl-C is for us: vcc-link hears of it when its turn has come.
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
        ensure!(
            output.status.success(),
            "vcc-link {shown}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts worker and sidecar. They write to this log, and serve their pages on this port.
    pub(crate) fn start(&self, log: PathBuf, port: u16) -> anyhow::Result<Process> {
        let output = File::create(&log)
            .with_context(|| format!("the log {} cannot be written", log.display()))?;
        let mut child = self
            .command()
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("vcc-link run cannot start")?;
        // Out of the child, which would close it when it is waited for.
        let stdin = child.stdin.take();
        Ok(Process {
            child,
            _stdin: stdin,
            log,
            port,
        })
    }
}

/// Running worker and sidecar; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Open as long as we live, which is what it tells.
    _stdin: Option<ChildStdin>,
    log: PathBuf,
    port: u16,
}

impl Process {
    /// Waits until it is ready. An error if it ends instead, or takes too long.
    pub(crate) async fn ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .build()?;
        let page = format!("http://127.0.0.1:{}/readyz", self.port);
        loop {
            let answer = http.get(&page).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.death(status));
            }
            ensure!(
                Instant::now() < deadline,
                "vcc-link is not ready after {} s.\n{}",
                patience.as_secs(),
                self.last_lines()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Tells it to finish what is under way and to end.
    pub(crate) fn drain(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(id, Signal::TERM);
        }
    }

    /// Ends it at once.
    pub(crate) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// What to say when it has ended by itself.
    pub(crate) fn death(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!(
            "vcc-link ended by itself ({status}).\n{}",
            self.last_lines()
        )
    }

    /// The end of its log, with its place.
    fn last_lines(&self) -> String {
        let lines = tail(&self.log, 15);
        format!("The end of its log, {}:\n{lines}", self.log.display())
    }
}

/// The last lines of a file.
fn tail(path: &Path, count: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(count);
    lines[last..]
        .iter()
        .fold(String::new(), |text, line| text + "  " + line + "\n")
}
