//! `path()`: a verified local file with the right suffix, for libraries that insist on one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Workspace;
use super::directory::digest_of_directory;
use super::types::ResolvedExport;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, FileLock, PendingFile, Sharing};
use crate::id::ContentDigest;

/// Held while a directory is put into its folder of the cache.
const LOCK_FILE: &str = ".lock";
/// Says by its time when the folder was used last.
const MARK_FILE: &str = ".used";
/// A file that was not asked for as long as this is deleted.
const MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// Bytes that are copied at once.
const COPY_LEN: usize = 1024 * 1024;

impl Workspace {
    /// Writes a resolved export's content into the cache, unless it is there already, and returns the file.
    ///
    /// The file is named by the content's digest and checked against it each time, so that a file somebody changed is
    /// never handed out again.
    ///
    /// # Errors
    /// As [`Workspace::read`]; `Failed` where there is no cache directory.
    pub fn materialise(&self, export: &ResolvedExport) -> Result<PathBuf> {
        let cache = self.environment().cache_dir.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Failed, "there is no cache directory").with_hint("set `HOME` or `XDG_CACHE_HOME`")
        })?;
        let record = &export.export.record;
        let digest = record.digest.to_string();
        let files = cache.join("files");
        let folder = files.join(digest.get(..2).unwrap_or("00")).join(&digest);
        let mark = folder.join(MARK_FILE);
        if mark.exists() {
            fs::touch(&mark);
        } else if fs::create_dir_all(&folder).and_then(|()| fs::write_hint(&mark, b"")).is_ok() {
            // Only whoever makes a new one pays for looking at the old ones.
            forget_unused(&files);
        }
        if record.suffix.is_directory() {
            let path = folder.join(format!("{}{}", record.name.to_component(), record.suffix.folder_suffix()));
            let is_whole = || path.is_dir() && digest_of_directory(&path).is_ok_and(|found| found == record.digest);
            if !is_whole() {
                // One at a time: nobody may take away what another just put there and handed out.
                let _lock = FileLock::acquire(&folder.join(LOCK_FILE), Sharing::Exclusive)?;
                if !is_whole() {
                    fs::remove_folder(&path)?;
                    self.restore_directory(export, &path, &mut |_| true)?;
                }
            }
            return Ok(path);
        }
        let path = folder.join(format!("{}{}", record.name.to_component(), record.suffix));
        if path.is_file() && digest_of(&path)? == record.digest {
            return Ok(path);
        }
        let mut reader = self.read(export)?;
        let mut file = PendingFile::create(&path)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; COPY_LEN];
        loop {
            let count = reader.read(&mut buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            std::io::Write::write_all(&mut file, bytes)?;
        }
        if ContentDigest::from_bytes(*hasher.finalize().as_bytes()) != record.digest {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("the content of `{}` does not have its digest", record.label()),
            )
            .with_hint("list all damage with `onenb verify`"));
        }
        file.publish()?;
        Ok(path)
    }
}

/// Deletes what nobody asked for in [`MAX_AGE`]. A program may hold on to a path for long, so no limit of size cuts it
/// short.
fn forget_unused(files: &Path) {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in entries(files).flat_map(|letters| entries(&letters).collect::<Vec<_>>()) {
        let time_of = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        let used = time_of(&folder.join(MARK_FILE)).or_else(|| time_of(&folder));
        if used.and_then(|used| used.elapsed().ok()).is_some_and(|age| age > MAX_AGE) {
            // Whoever is faster, it is only a cache.
            let _ = fs::remove_folder(&folder);
        }
    }
}

fn digest_of(path: &Path) -> Result<ContentDigest> {
    let (digest, _) = super::hash_reader(&mut std::fs::File::open(path)?)?;
    Ok(digest)
}
