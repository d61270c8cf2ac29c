//! What files looked like when their content was stored, so that an unchanged file costs a `stat` the next time.
//!
//! - An entry counts only if length, times, inode and device are the same as when the file was read.
//! - Git's rule against races: a file that was changed less than two seconds before it was read may change again
//!   without looking different, so no entry is kept for it.
//! - A store through a memory map moves the times only when it makes a clean page dirty, so what is noted was synced
//!   before it was read.
//! - One file for each exported path, in the store's directory. Derived: deleting it costs reading the files once more.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Repo;
use crate::fs;
use crate::id::ContentDigest;

const VERSION: u32 = 1;
const STAT_DIR: &str = "stat";
/// A month.
const OLD_SECONDS: u64 = 30 * 24 * 60 * 60;
const MAX_LEN: u64 = 1024 * 1024 * 1024;
/// Coarsest time stamps that file systems keep.
const GRANULARITY_NS: u64 = 2_000_000_000;

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    modified_ns: u64,
    /// When anything about the file changed last; nobody can set this. 0 where the system does not tell.
    changed_ns: u64,
    inode: u64,
    device: u64,
}

/// The files below one path by their path from there, with what they looked like and which content they had.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StatCache {
    version: u32,
    files: BTreeMap<String, (Stamp, ContentDigest)>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified_ns = metadata.modified().map_or(0, nanoseconds);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let (seconds, rest) = (u64::try_from(metadata.ctime()), u64::try_from(metadata.ctime_nsec()));
            let changed_ns = seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(rest.unwrap_or(0));
            Self { size: metadata.len(), modified_ns, changed_ns, inode: metadata.ino(), device: metadata.dev() }
        }
        #[cfg(not(unix))]
        Self { size: metadata.len(), modified_ns, changed_ns: 0, inode: 0, device: 0 }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Returns whether any later change will show. The time of modification alone says little: copies keep that of
    /// another file.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        self.modified_ns.max(self.changed_ns).saturating_add(GRANULARITY_NS) <= nanoseconds(now)
    }
}

/// Returns the time as nanoseconds since 1970; 0 for what was before.
fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

impl StatCache {
    /// Reads what was kept for a path; nothing if that is missing, damaged or of another version.
    pub(super) fn load(repo: &Repo, path: &Path) -> Self {
        let bytes = fs::read_bounded(&file_of(repo, path), MAX_LEN).ok();
        let cache: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        cache.filter(|cache| cache.version == VERSION).unwrap_or_default()
    }

    /// Returns the content that a file had when it looked like this.
    pub(super) fn find(&self, below: &str, stamp: &Stamp) -> Option<ContentDigest> {
        self.files.get(below).filter(|(known, _)| known == stamp).map(|(_, digest)| *digest)
    }

    /// Notes what a file looked like when it was read, unless it was changed just before `read_at`.
    pub(super) fn note(&mut self, below: &str, stamp: Stamp, digest: ContentDigest, read_at: SystemTime) {
        if stamp.is_settled(read_at) {
            self.files.insert(below.to_owned(), (stamp, digest));
        }
    }

    /// Keeps the notes for the next export. What cannot be kept is read again.
    pub(super) fn save(mut self, repo: &Repo, path: &Path) {
        self.version = VERSION;
        forget_old(&repo.store_dir().join(STAT_DIR));
        if self.files.is_empty() {
            return;
        }
        if let Ok(bytes) = serde_json::to_vec(&self) {
            let _ = fs::write_atomic(&file_of(repo, path), &bytes);
        }
    }
}

fn file_of(repo: &Repo, path: &Path) -> PathBuf {
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    repo.store_dir().join(STAT_DIR).join(name.get(..32).unwrap_or_default())
}

/// Removes notes about folders that were not exported for long; many of those are gone.
fn forget_old(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age.as_secs() > OLD_SECONDS) {
            let _ = fs::remove_file(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_changed_just_now_is_not_noted_whatever_its_time_of_modification() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds_ago: u64| nanoseconds(now) - seconds_ago * 1_000_000_000;
        let digest = ContentDigest::of(b"x");
        for (modified, changed, is_noted) in [(9, 9, true), (1, 9, false), (9, 1, false), (9, 2, true)] {
            let stamp = Stamp { size: 1, modified_ns: at(modified), changed_ns: at(changed), inode: 1, device: 1 };
            let mut cache = StatCache::default();
            cache.note("a", stamp, digest, now);
            assert_eq!(cache.find("a", &stamp).is_some(), is_noted, "{modified} {changed}");
        }
    }
}
