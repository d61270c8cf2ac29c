//! Folders that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{create_dir_all, fault, parent_of, set_executable, sync_dir, sync_file};

/// A folder being filled beside its final name; dropped without [`PendingFolder::publish_new`], it vanishes.
pub struct PendingFolder {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

/// A file being written into a [`PendingFolder`].
pub struct FolderFile {
    file: File,
    path: PathBuf,
}

impl PendingFolder {
    /// Starts a folder that will be published as `target`. Missing parent directories are created.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn create(target: &Path) -> io::Result<Self> {
        create_dir_all(parent_of(target))?;
        let name = target.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", crate::id::fresh_ulid()));
        let temporary = target.with_file_name(hidden);
        fault::step()?;
        fs::create_dir(&temporary)?;
        Ok(Self { temporary, target: target.to_path_buf(), published: false })
    }

    /// Creates a folder and those around it. `below` is a relative path that the caller has checked.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn create_folder(&self, below: &Path) -> io::Result<()> {
        fault::step()?;
        fs::create_dir_all(self.temporary.join(below))
    }

    /// Creates a file and the folders around it; nothing may be there yet.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn create_file(&self, below: &Path) -> io::Result<FolderFile> {
        self.create_folder(parent_of(below))?;
        let path = self.temporary.join(below);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(FolderFile { file, path })
    }

    /// Creates a symbolic link and the folders around it. Links come last, so that nothing is written through one.
    ///
    /// # Errors
    /// The operating system's error; `Unsupported` where there are no links.
    pub fn create_link(&self, below: &Path, target: &str) -> io::Result<()> {
        self.create_folder(parent_of(below))?;
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(target, self.temporary.join(below))
        }
        #[cfg(not(unix))]
        {
            let _ = target;
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }
    }

    /// Puts the folder under its final name unless something is there; `false` means that something is.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn publish_new(mut self) -> io::Result<bool> {
        sync_tree(&self.temporary)?;
        fault::step()?;
        // An empty folder would be replaced by the rename; anything else makes it fail.
        if self.target.symlink_metadata().is_ok() {
            return Ok(false);
        }
        fs::rename(&self.temporary, &self.target)?;
        self.published = true;
        sync_dir(parent_of(&self.target))?;
        Ok(true)
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        if !self.published && !fault::crashed() {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

impl FolderFile {
    /// Sets the mode, and syncs it with the bytes.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn finish(self, executable: bool) -> io::Result<()> {
        if executable {
            set_executable(&self.path)?;
        }
        sync_file(&self.file)
    }
}

impl Write for FolderFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::step()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes the names in a folder and all folders below it durable.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(dir)
}

/// Removes a folder of ours with all that is in it; one that is gone is fine. Links are removed, not followed.
///
/// # Errors
/// The operating system's error.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    fault::step()?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_or_not_at_all_and_replaces_nothing() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let target = dir.path().join("a/folder");
        let folder = PendingFolder::create(&target)?;
        let mut file = folder.create_file(Path::new("x/y/file"))?;
        file.write_all(b"bytes")?;
        file.finish(true)?;
        folder.create_folder(Path::new("empty"))?;
        assert!(folder.create_file(Path::new("x/y/file")).is_err());
        assert!(!target.exists());
        assert!(folder.publish_new()?);
        assert_eq!(fs::read(target.join("x/y/file"))?, b"bytes");
        assert!(!PendingFolder::create(&target)?.publish_new()?);
        drop(PendingFolder::create(&dir.path().join("a/other"))?);
        assert_eq!(fs::read_dir(dir.path().join("a"))?.count(), 1);
        Ok(())
    }
}
