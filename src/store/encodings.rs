//! The store's settings for new chunks, and scratch stores on the same disk to measure others in.

use std::path::{Path, PathBuf};

use super::{Store, StoreError, StoreOptions};
use crate::format::encoding::Encodings;
use crate::fs::{self, FileLock, Sharing};
use crate::id::fresh_ulid;

/// A folder for scratch stores. One process at a time has it; it and what is in it vanish when it is dropped, and what
/// a killed process left vanishes when the next one begins.
pub struct Scratch {
    dir: PathBuf,
    _lock: FileLock,
}

impl Store {
    /// Returns how new chunks are encoded. Writers that meet an error here use the defaults: settings never keep
    /// anybody from storing data.
    ///
    /// # Errors
    /// [`StoreError::Settings`] for a file that is newer or was changed by hand and not well, [`StoreError::Io`].
    pub fn encodings(&self) -> Result<Encodings, StoreError> {
        self.layout.encodings()
    }

    /// Sets how contents are encoded that are begun from now on, by any process.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn set_encodings(&self, encodings: &Encodings) -> Result<(), StoreError> {
        self.layout.set_encodings(encodings)
    }

    /// Makes the folder for scratch stores; `None` while another process has it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn scratch(&self) -> Result<Option<Scratch>, StoreError> {
        self.layout.require_writable()?;
        let dir = self.layout.scratch_dir();
        let lock_path = self.layout.lock_path("scratch.lock");
        let locks_dir = lock_path.parent().unwrap_or(&lock_path);
        fs::create_dir_all(locks_dir).map_err(|error| StoreError::io("create", locks_dir, error))?;
        let lock = FileLock::try_acquire(&lock_path, Sharing::Exclusive);
        let Some(lock) = lock.map_err(|error| StoreError::io("lock", &lock_path, error))? else { return Ok(None) };
        fs::remove_folder(&dir).map_err(|error| StoreError::io("remove", &dir, error))?;
        fs::create_dir_all(&dir).map_err(|error| StoreError::io("create", &dir, error))?;
        Ok(Some(Scratch { dir, _lock: lock }))
    }

    /// Removes scratch stores that a killed process left; those of a living one stay.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn clear_scratch(&self) -> Result<(), StoreError> {
        if self.layout.scratch_dir().exists() {
            drop(self.scratch()?);
        }
        Ok(())
    }
}

impl Scratch {
    /// Makes an empty store. Whoever is done with it removes it with [`Scratch::remove`].
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn store(&self) -> Result<(PathBuf, Store), StoreError> {
        let root = self.dir.join(fresh_ulid().to_string());
        fs::create_dir_all(&root).map_err(|error| StoreError::io("create", &root, error))?;
        let store = Store::open(&root, &StoreOptions::default())?;
        Ok((root, store))
    }

    /// Removes a store that [`Scratch::store`] made.
    pub fn remove(&self, root: &Path) {
        if root.parent() == Some(self.dir.as_path()) {
            // What stays goes with the folder.
            let _ = fs::remove_folder(root);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_folder(&self.dir);
    }
}
