//! What readers fetched from remotes, kept on this machine: one file for each frame, snapshot and tag record.
//!
//! - A file is its checksum and its bytes, under the hash of what it holds. It is checked whenever it is read, frames
//!   besides chunk by chunk as everywhere; what does not match is removed and fetched again.
//! - Files appear whole, by rename, and are not synced: a lost one costs a request. Any of them, or the folder, may
//!   vanish at any time, also while it is in use. Nothing here can fail a command.
//! - Processes share the folder without locks. Each measures it before it first writes and again after every eighth of
//!   the limit that it wrote; above seven eighths the files that were not read for longest go.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs;
use crate::id::ContentDigest;

/// What the checksum before the bytes takes.
const CHECKSUM_LEN: usize = 32;
/// The least that a file takes on a disk.
const BLOCK_LEN: u64 = 4096;
/// Longest single file as a part of the limit, and how much is written between two looks at the folder.
const PARTS: u64 = 8;

/// A cache of one remote, inside a folder that all remotes of this user share.
#[derive(Debug)]
pub struct ReadCache {
    dir: PathBuf,
    max_len: u64,
    /// Tells remotes apart: what one says never answers for another.
    scope: String,
    /// Bytes that may be written before the folder is measured again.
    room: Mutex<u64>,
}

/// The name of a cached thing, and of its file.
#[derive(Debug)]
pub(super) struct CacheName(String);

impl ReadCache {
    /// Uses a folder, which need not exist, for at most `max_len` bytes.
    #[must_use]
    pub fn new(dir: PathBuf, max_len: u64, scope: &str) -> Self {
        Self { dir, max_len, scope: scope.to_owned(), room: Mutex::new(0) }
    }

    /// Makes a name out of the kind of a thing and what tells it from others of its kind.
    pub(super) fn name(&self, kind: &str, what: &str) -> CacheName {
        CacheName(ContentDigest::of(format!("{}\0{kind}\0{what}", self.scope).as_bytes()).to_string())
    }

    /// Returns what was kept, if it is there and sound.
    pub(super) fn get(&self, name: &CacheName) -> Option<Vec<u8>> {
        let path = self.dir.join(&name.0);
        let mut file = File::open(&path).ok()?;
        let mut bytes = vec![];
        (&mut file).take(self.max_file_len().saturating_add(1)).read_to_end(&mut bytes).ok()?;
        let body = bytes.split_off(bytes.len().min(CHECKSUM_LEN));
        if ContentDigest::of(&body).as_bytes().as_slice() != bytes {
            self.remove(name);
            return None;
        }
        fs::touch(&path);
        Some(body)
    }

    /// Keeps bytes, unless there are too many of them.
    pub(super) fn put(&self, name: &CacheName, bytes: &[u8]) {
        let len = size_on_disk((bytes.len() + CHECKSUM_LEN) as u64);
        if len > self.max_file_len() {
            return;
        }
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if *room < len {
            *room = self.make_room();
        }
        *room = room.saturating_sub(len);
        drop(room);
        let mut file = ContentDigest::of(bytes).as_bytes().to_vec();
        file.extend_from_slice(bytes);
        let _ = fs::write_hint(&self.dir.join(&name.0), &file);
    }

    /// Drops what turned out to be wrong or outdated.
    pub(super) fn remove(&self, name: &CacheName) {
        let _ = fs::remove_unsynced(&self.dir.join(&name.0));
    }

    fn max_file_len(&self) -> u64 {
        self.max_len / PARTS
    }

    /// Deletes the files that were not read for longest until seven eighths of the limit are left; returns the eighth.
    fn make_room(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return self.max_file_len() };
        let measured = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let found = entry.metadata().ok()?;
            found.is_file().then(|| Some((found.modified().ok()?, size_on_disk(found.len()), entry.path())))?
        });
        let mut files: Vec<_> = measured.collect();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        let target = self.max_len - self.max_file_len();
        if total > target {
            files.sort_unstable();
        }
        for (_, len, path) in files {
            if total <= target {
                break;
            }
            // Another process may have been faster.
            let _ = fs::remove_unsynced(&path);
            total -= len;
        }
        self.max_file_len()
    }
}

fn size_on_disk(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_LEN)
}

/// Whether a remote could not be reached and the cache answered instead, for the front end to tell once.
#[derive(Debug, Clone, Default)]
pub struct OfflineNote(Arc<Mutex<Option<String>>>);

impl OfflineNote {
    pub(super) fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// Returns the note, if there is one that was not told yet.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
