//! A disk that is full whenever somebody wants it to be.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// A small file system of its own, in memory; gone when dropped.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Whether this process may mount one: as root, and not in a container that forbids it.
    pub(crate) fn may_be_mounted() -> bool {
        let tried = tempfile::tempdir().context("no folder");
        tried.is_ok_and(|folder| Self::mount(folder.path().join("try"), 1 << 20, false).is_ok())
    }

    /// Mounts one of so many bytes. `postgres`: it is that user's.
    pub(crate) fn mount(at: PathBuf, bytes: u64, postgres: bool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&at)?;
        let owner = if postgres {
            ",uid=postgres,gid=postgres"
        } else {
            ""
        };
        let options = format!("size={bytes},mode=0700{owner}");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], &at)?;
        Ok(Self { at })
    }

    /// Takes all the room that there is.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::create(self.ballast())?;
        loop {
            match ballast.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.ballast()).context("the disk is not full")
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: who used it is being killed.
        if let Err(error) = run("umount", &["--lazy"], &self.at) {
            eprintln!("{error:#}");
        }
    }
}

fn run(command: &str, arguments: &[&str], at: &Path) -> anyhow::Result<()> {
    let status = Command::new(command)
        .args(arguments)
        .arg(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("{command} cannot run"))?;
    ensure!(status.success(), "{command} {}: {status}", at.display());
    Ok(())
}
