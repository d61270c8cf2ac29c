//! A backend in a directory: one file for each object, durable on return.
//!
//! A key is a path below the root. Hidden names are temporary files, which no key can name and no listing shows.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Backend, BackendError, Created, Entry, Key, Leftovers};
use crate::fs;
use crate::id::SessionId;

/// A directory as a backend. It is created by the first write and may be read-only for readers.
#[derive(Debug, Clone)]
pub struct LocalBackend {
    root: PathBuf,
}

impl LocalBackend {
    /// Uses the directory `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Maps a key to its path and refuses links and special files on the way, so that nothing leaves the root.
    fn path_of(&self, key: &Key, doing: &'static str) -> Result<PathBuf, BackendError> {
        let mut path = self.root.clone();
        for segment in key.segments() {
            path.push(segment);
            match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() || found.is_file() => {}
                Ok(_) => return Err(BackendError::Special { path: path.display().to_string() }),
                Err(error) if is_absent(&error) => {}
                Err(source) => return Err(failed(doing, key)(source)),
            }
        }
        Ok(path)
    }

    fn open(&self, key: &Key) -> Result<(File, u64), BackendError> {
        let path = self.path_of(key, "read")?;
        let file = File::open(path).map_err(failed("read", key))?;
        let found = file.metadata().map_err(failed("read", key))?;
        if found.is_dir() {
            return Err(BackendError::NotFound { key: key.clone() });
        }
        Ok((file, found.len()))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(doing: &'static str, key: &Key) -> impl FnOnce(io::Error) -> BackendError {
    let key = key.clone();
    move |source| {
        if is_absent(&source) { BackendError::NotFound { key } } else { BackendError::Io { doing, key, source } }
    }
}

/// Collects the keys below a directory, without the hidden names.
fn walk(directory: &Path, prefix: &str, keys: &mut Vec<Key>) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        // A name that is no key was not put there by us: a temporary file, or a stranger's.
        let Some(key) = name.to_str().and_then(|name| Key::parse(&format!("{prefix}/{name}")).ok()) else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), key.as_str(), keys)?;
        } else if kind.is_file() {
            keys.push(key);
        }
    }
    Ok(())
}

/// Returns when a temporary file was begun, in milliseconds since 1970: `fs` ends its name with a ULID and `.tmp`.
fn begun_ms(name: &str) -> Option<u64> {
    let (_, ulid) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    ulid.parse().ok().map(SessionId::time_ms)
}

/// Collects the temporary files directly in a directory and, below names that are keys, in those inside.
fn temporary_files(directory: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let Some(name) = name.to_str() else { continue };
        if kind.is_dir() && Key::parse(name).is_ok() {
            temporary_files(&entry.path(), files)?;
        } else if let Some(begun_ms) = begun_ms(name).filter(|_| kind.is_file()) {
            files.push((entry.path(), begun_ms));
        }
    }
    Ok(())
}

impl Backend for LocalBackend {
    fn sweep_leftovers(&self, begun_before_ms: u64, delete: bool) -> Result<Leftovers, BackendError> {
        let (mut files, mut found) = (vec![], Leftovers::default());
        // What else lies in this directory is no concern of ours.
        for folder in ["packs", "index", "snapshots", "log", "checkpoints", "tags"] {
            let key = Key::parse(folder)?;
            temporary_files(&self.path_of(&key, "list")?, &mut files).map_err(failed("list", &key))?;
        }
        for (path, _) in files.into_iter().filter(|(_, begun_ms)| *begun_ms < begun_before_ms) {
            // One that its writer finishes just now is gone, and none of ours.
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if delete && fs::remove_file(&path).is_err() {
                continue;
            }
            found.files += 1;
            found.bytes += metadata.len();
        }
        Ok(found)
    }

    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError> {
        let (file, len) = self.open(key)?;
        if len > max_len {
            return Err(BackendError::TooLong { key: key.clone(), max_len });
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        fs::read_exact_at(&file, &mut bytes, 0).map_err(failed("read", key))?;
        Ok(bytes)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError> {
        let (file, len) = self.open(key)?;
        if range.end > len || range.start > range.end {
            return Err(BackendError::Truncated { key: key.clone(), end: range.end });
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        fs::read_exact_at(&file, &mut bytes, range.start).map_err(failed("read", key))?;
        Ok(bytes)
    }

    fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), BackendError> {
        let path = self.path_of(key, "write")?;
        fs::write_atomic(&path, &bytes).map_err(|source| BackendError::Io { doing: "write", key: key.clone(), source })
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError> {
        let path = self.path_of(key, "create")?;
        let made = fs::create_exclusive(&path, bytes).map_err(|source| BackendError::Io {
            doing: "create",
            key: key.clone(),
            source,
        })?;
        Ok(if made { Created::Created } else { Created::AlreadyExists })
    }

    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError> {
        let path = self.path_of(folder, "list")?;
        let mut keys = Vec::new();
        walk(&path, folder.as_str(), &mut keys).map_err(failed("list", folder))?;
        keys.retain(|key| start_after.is_none_or(|after| key > after));
        keys.sort_unstable();
        let mut entries = Vec::new();
        for key in keys {
            if entries.len() == limit {
                break;
            }
            // An object deleted since the walk is no longer part of the answer.
            if let Some(len) = self.head(&key)? {
                entries.push(Entry { key, len });
            }
        }
        Ok(entries)
    }

    fn delete(&self, key: &Key) -> Result<(), BackendError> {
        let path = self.path_of(key, "delete")?;
        fs::remove_file(&path).map_err(|source| BackendError::Io { doing: "delete", key: key.clone(), source })
    }

    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError> {
        let path = self.path_of(key, "read")?;
        match std::fs::symlink_metadata(path) {
            Ok(found) => Ok(found.is_file().then_some(found.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(BackendError::Io { doing: "read", key: key.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Classify as _, ErrorKind};

    #[test]
    fn a_directory_keeps_the_contract() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        super::super::conformance::run(&LocalBackend::new(dir.path().join("not/there/yet")));
    }

    #[test]
    fn temporary_files_are_invisible() -> Result<(), BackendError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let backend = LocalBackend::new(dir.path());
        let pending = fs::PendingFile::create(&dir.path().join("log/x")).expect("creates");
        backend.put(&Key::parse("log/y")?, b"y".to_vec())?;
        let names: Vec<_> = backend.list(&Key::parse("log")?, None, 9)?.into_iter().map(|entry| entry.key).collect();
        assert_eq!(names, [Key::parse("log/y")?]);
        drop(pending);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_the_root() -> Result<(), BackendError> {
        let outside = tempfile::tempdir().expect("a temporary directory");
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write_atomic(&outside.path().join("secret"), b"secret").expect("writes");
        std::os::unix::fs::symlink(outside.path(), dir.path().join("packs")).expect("links");
        let backend = LocalBackend::new(dir.path());
        let key = Key::parse("packs/secret")?;
        assert!(backend.get(&key, 100).is_err_and(|error| error.kind() == ErrorKind::Damaged));
        assert!(backend.put(&key, b"x".to_vec()).is_err());
        assert!(backend.delete(&key).is_err());
        assert!(backend.list(&Key::parse("packs")?, None, 9).is_err());
        assert_eq!(std::fs::read(outside.path().join("secret")).expect("still there"), b"secret");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_directory_can_be_read() -> Result<(), BackendError> {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let backend = LocalBackend::new(dir.path());
        let key = Key::parse("a/b")?;
        backend.put(&key, b"x".to_vec())?;
        let mode = |bits| {
            std::fs::set_permissions(dir.path().join("a"), std::fs::Permissions::from_mode(bits)).expect("chmod");
        };
        mode(0o555);
        let (read, listed, written) = (
            backend.get(&key, 9),
            backend.list(&Key::parse("a")?, None, 9),
            backend.put(&Key::parse("a/c")?, b"y".to_vec()),
        );
        mode(0o755);
        assert_eq!(read?, b"x");
        assert_eq!(listed?.len(), 1);
        // The superuser may write anywhere, so only the kind of a refusal is claimed.
        if let Err(error) = written {
            assert_eq!(error.kind(), ErrorKind::ReadOnly);
        }
        Ok(())
    }
}
