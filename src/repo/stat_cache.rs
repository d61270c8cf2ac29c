//! What files looked like when their content was stored, so that an unchanged file costs a `stat` the next time.
//!
//! - An entry counts only if length, times, inode and device are the same as when the file was read.
//! - Git's rule against races: a file that was changed less than two seconds before it was read may change again
//!   without looking different, so no entry is kept for it.
//! - A store through a memory map moves the times only when it makes a clean page dirty, so what is noted was synced
//!   before it was read. File systems that do not write pages back, keep attributes for a while or cannot sync get no
//!   notes: memory, networks, what programs make up.
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
/// Says by its time when old notes were looked for.
const LOOKED_FILE: &str = "looked";
/// A month.
const OLD_SECONDS: u64 = 30 * 24 * 60 * 60;
const MAX_MOUNTS_LEN: u64 = 16 * 1024 * 1024;
const MAX_LEN: u64 = 1024 * 1024 * 1024;
/// Coarsest time stamps that file systems keep.
const GRANULARITY_NS: u64 = 2_000_000_000;

/// File systems on local disks, on which every change of a file's bytes shows once it was synced. An overlay is none,
/// because it may lie on memory.
const TRUSTED: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs"];

/// Returns whether how a file looks says that it did not change; `place` is canonical. Not where that is unknown, which
/// costs reading the file.
pub(super) fn shows_every_change(place: &Path) -> bool {
    let mounts = fs::read_bounded(Path::new("/proc/self/mountinfo"), MAX_MOUNTS_LEN).unwrap_or_default();
    file_system_of(place, &String::from_utf8_lossy(&mounts)).is_some_and(|kind| TRUSTED.contains(&kind))
}

/// Finds the type of the file system that a path is on; see `proc_pid_mountinfo(5)`. Odd characters are escaped there:
/// a mount point with one counts for all that starts as it does up to there, and is not trusted.
fn file_system_of<'a>(place: &Path, mounts: &'a str) -> Option<&'a str> {
    let mut nearest = None;
    for line in mounts.lines() {
        let (mount, file_system) = line.split_once(" - ")?;
        let at = mount.split(' ').nth(4)?;
        let (at, is_odd) = at.split_once('\\').map_or((at, false), |(start, _)| (start, true));
        let holds = if is_odd { place.to_str()?.starts_with(at) } else { place.starts_with(at) };
        // The last one mounted at a place hides the others.
        if holds && nearest.is_none_or(|(len, _)| len <= at.len()) {
            nearest = Some((at.len(), if is_odd { "" } else { file_system.split(' ').next()? }));
        }
    }
    nearest.map(|(_, kind)| kind)
}

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
        if self.files.is_empty() {
            return;
        }
        forget_old(&repo.store_dir().join(STAT_DIR));
        if let Ok(bytes) = serde_json::to_vec(&self) {
            let _ = fs::write_hint(&file_of(repo, path), &bytes);
        }
    }
}

fn file_of(repo: &Repo, path: &Path) -> PathBuf {
    let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    repo.store_dir().join(STAT_DIR).join(name.get(..32).unwrap_or_default())
}

/// Removes notes about what was not read for long; much of that is gone. Looks once a day.
fn forget_old(dir: &Path) {
    let age = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok()?.elapsed().ok();
    let looked = dir.join(LOOKED_FILE);
    if age(&looked).is_some_and(|age| age.as_secs() < OLD_SECONDS / 30) {
        return;
    }
    let _ = fs::write_hint(&looked, b"");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if age(&entry.path()).is_some_and(|age| age.as_secs() > OLD_SECONDS) {
            let _ = fs::remove_file(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn notes_count_where_every_change_shows() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            23 22 0:5 / /dev/shm rw - tmpfs tmpfs rw\n\
            24 22 0:30 / /data rw - nfs4 host:/data rw\n\
            25 24 8:1 / /data/own rw shared:2 master:1 - xfs /dev/sda1 rw\n\
            26 22 0:31 / /odd\\040name rw - ext4 /dev/sdb rw\n\
            27 22 0:32 / /twice rw - ext4 /dev/sdc rw\n\
            28 27 0:33 / /twice rw - tmpfs tmpfs rw\n";
        for (place, kind) in [
            ("/home/a", "ext4"),
            ("/dev/shm/a", "tmpfs"),
            ("/dev/shmem", "ext4"),
            ("/data/a", "nfs4"),
            ("/data/own/a", "xfs"),
            ("/odd name/a", ""),
            ("/twice/a", "tmpfs"),
        ] {
            assert_eq!(file_system_of(Path::new(place), mounts), Some(kind), "{place}");
        }
        assert_eq!(file_system_of(Path::new("/a"), ""), None);
        assert!(!shows_every_change(Path::new("/proc/self/maps")));
    }

    #[test]
    fn a_file_that_looks_different_in_any_way_is_not_known() {
        let stamp = Stamp { size: 1, modified_ns: 2, changed_ns: 3, inode: 4, device: 5 };
        let mut cache = StatCache::default();
        cache.note("a", stamp, ContentDigest::of(b"x"), SystemTime::now());
        assert!(cache.find("a", &stamp).is_some() && cache.find("b", &stamp).is_none());
        for other in [
            Stamp { size: 0, ..stamp },
            Stamp { modified_ns: 0, ..stamp },
            Stamp { changed_ns: 0, ..stamp },
            Stamp { inode: 0, ..stamp },
            Stamp { device: 0, ..stamp },
        ] {
            assert!(cache.find("a", &other).is_none(), "{other:?}");
        }
    }

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
