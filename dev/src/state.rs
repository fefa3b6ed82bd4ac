//! The folder that holds everything of a run: database, settings, key, log.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The file that says that a folder is ours, and that is locked while a run uses it.
const MARKER: &str = "made-by-make-run";

/// What the marker tells whoever finds it.
const TOLD: &str = "`make run` keeps its database, settings and log in this folder. Delete the \
                    folder when you no longer need them.\n";

/// The folder of one run at a time.
pub(crate) struct State {
    folder: PathBuf,
    /// Locked as long as it is open.
    _marker: File,
}

impl State {
    /// Takes a folder: a new one, an empty one, or one that an earlier run left. `fresh` empties
    /// it. A folder with other people's files is refused, and so is one that is in use.
    pub(crate) fn open(folder: &Path, fresh: bool) -> anyhow::Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder)
            .with_context(|| format!("{shown} cannot be made; choose a folder with --state"))?;
        let folder = folder
            .canonicalize()
            .with_context(|| format!("{shown} cannot be found"))?;
        let marker = folder.join(MARKER);
        if !marker.exists() {
            let mut entries = fs::read_dir(&folder)
                .with_context(|| format!("{shown} cannot be read; choose a folder with --state"))?;
            ensure!(
                entries.next().is_none(),
                "{shown} holds files that are not of `make run`; choose an empty folder with --state"
            );
        }
        let marker = lock(&marker).with_context(|| format!("{shown} cannot be used"))?;
        let state = Self {
            folder,
            _marker: marker,
        };
        if fresh {
            state
                .empty()
                .with_context(|| format!("{shown} cannot be emptied; delete it yourself"))?;
        }
        Ok(state)
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The key that seals what is in the database: made once, in base64.
    pub(crate) fn key(&self) -> anyhow::Result<String> {
        let path = self.file("key");
        if let Ok(key) = fs::read_to_string(&path) {
            return Ok(key);
        }
        let key = BASE64_STANDARD.encode(rand::random::<[u8; 32]>());
        self.write_private("key", &key)?;
        Ok(key)
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.file(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// Deletes all but the marker.
    fn empty(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() == MARKER {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Locks the marker, and makes it where there is none.
fn lock(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut marker = options
        .open(path)
        .context("it is not writable; choose a folder with --state")?;
    match marker.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another `make run` uses it: end that one, or choose a folder with --state")
        }
        Err(TryLockError::Error(error)) => return Err(error).context("it cannot be locked"),
    }
    let mut text = String::new();
    marker.read_to_string(&mut text)?;
    if text.is_empty() {
        marker.write_all(TOLD.as_bytes())?;
    }
    Ok(marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(folder: &Path, fresh: bool) -> String {
        let refused = State::open(folder, fresh).err().expect("a refusal");
        format!("{refused:#}")
    }

    #[test]
    fn a_folder_is_taken_again_and_emptied_only_when_told() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new/state");
        let key = State::open(&folder, false).unwrap().key().unwrap();
        let again = State::open(&folder, false).unwrap();
        assert_eq!(again.key().unwrap(), key);
        fs::create_dir(again.file("deeper")).unwrap();
        drop(again);
        let emptied = State::open(&folder, true).unwrap();
        assert!(!emptied.file("deeper").exists());
        assert_ne!(emptied.key().unwrap(), key);
    }

    #[test]
    fn a_folder_of_others_or_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("thesis.txt");
        fs::write(&theirs, "years of work").unwrap();
        assert!(refusal(folder.path(), true).contains("choose an empty folder"));
        assert!(theirs.exists());
        fs::remove_file(theirs).unwrap();
        let used = State::open(folder.path(), false).unwrap();
        assert!(refusal(folder.path(), true).contains("another `make run`"));
        drop(used);
        State::open(folder.path(), false).unwrap();
        assert!(refusal(Path::new("/proc/nothing"), false).contains("--state"));
    }
}
