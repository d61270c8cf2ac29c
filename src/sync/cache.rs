//! The cache of one remote on this machine: deletable at any time, and never able to fail a command.

use std::path::PathBuf;

use crate::fs;

/// Reads a cached object; `None` if there is none.
pub(super) fn read(dir: Option<&PathBuf>, name: &str, max_len: u64) -> Option<Vec<u8>> {
    fs::read_bounded(&dir?.join(name), max_len).ok()
}

/// Drops an object.
pub(super) fn remove(dir: Option<&PathBuf>, name: &str) {
    if let Some(dir) = dir {
        let _ = fs::remove_file(&dir.join(name));
    }
}

/// Keeps an object. A cache that cannot be written costs requests later and nothing else, so errors are dropped.
pub(super) fn write(dir: Option<&PathBuf>, name: &str, bytes: &[u8]) {
    if let Some(dir) = dir {
        let _ = fs::write_atomic(&dir.join(name), bytes);
    }
}
