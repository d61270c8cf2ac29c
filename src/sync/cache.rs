//! The cache of one remote on this machine: deletable at any time, and never able to fail a command.

use std::path::PathBuf;

use crate::fs;

/// Reads a cached object; `None` if there is none.
pub(super) fn read(dir: Option<&PathBuf>, name: &str, max_len: u64) -> Option<Vec<u8>> {
    fs::read_bounded(&dir?.join(name), max_len).ok()
}

/// Keeps an object. A cache that cannot be written costs requests later and nothing else, so errors are dropped.
pub(super) fn write(dir: Option<&PathBuf>, name: &str, bytes: &[u8]) {
    if let Some(dir) = dir {
        let _ = fs::write_atomic(&dir.join(name), bytes);
    }
}
