//! A wall clock of one process, which can be set while the process runs: Debian's libfaketime.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

/// A clock. Only the wall clock: what measures spans of time goes on as ever.
pub(crate) struct Clock {
    /// What the library reads the offset from, each time that it is asked.
    file: PathBuf,
}

impl Clock {
    /// Whether the library is there.
    pub(crate) fn may_be_had() -> bool {
        library().is_some()
    }

    /// A clock that is right.
    pub(crate) fn new(file: PathBuf) -> anyhow::Result<Self> {
        let clock = Self {
            file: std::path::absolute(file)?,
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// Lets a process go by it.
    pub(crate) fn give(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library().unwrap_or_default())
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Sets it so many seconds ahead, or back.
    pub(crate) fn set(&self, seconds: i32) -> anyhow::Result<()> {
        // As a whole: it may be read at any time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| std::fs::rename(&new, &self.file))
            .context("the clock cannot be set")
    }
}

/// Where Debian has it, on whatever kind of processor.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir(Path::new("/usr/lib"))
        .into_iter()
        .flatten();
    let files = folders.filter_map(|entry| {
        let path = entry.ok()?.path();
        Some(path.join("faketime/libfaketimeMT.so.1"))
    });
    files.into_iter().find(|path| path.exists())
}
