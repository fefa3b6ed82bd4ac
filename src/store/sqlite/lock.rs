//! One worker for one file.
//!
//! SQLite itself lets several processes write, so commands work beside the worker. A second
//! *worker* is another matter: leases run by the machine's clock, and a file that is shared between
//! machines has several. So the worker holds a lock of the operating system beside the file, which
//! goes with its process however that ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::errors::of_file;
use crate::store::Result;

/// No other process works on the file while this is held.
#[derive(Debug)]
pub struct Alone {
    /// Locked until it is closed.
    _file: File,
}

impl Alone {
    /// Takes the lock of a database's file; it lies beside it, as `NAME-worker`.
    pub(super) fn on(path: &Path) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push("-worker");
        let opened = File::options().create(true).append(true).open(&name);
        let file = opened.map_err(|error| of_file(Path::new(&name), &error.to_string()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let advice = "a worker has it already. Is another vcc-link running on this folder? \
                              Stop it, or set store.url to another file";
                Err(of_file(path, advice))
            }
            Err(TryLockError::Error(error)) => {
                let advice = format!("cannot be locked, which wants a local disk: {error}");
                Err(of_file(Path::new(&name), &advice))
            }
        }
    }
}
