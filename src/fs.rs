//! The only raw writes and locks of the program.
//!
//! - What is published under a final name is written, synced, renamed, and its directory synced ([`write_atomic`]).
//! - After a failed sync an [`AppendFile`] is poisoned: the kernel may have dropped the bytes, so nothing more is
//!   acknowledged.
//! - Locks are advisory, belong to an open file, are never upgraded, and are released only by the process that took
//!   them.
//! - Platform calls have named twins here and nowhere else (`sync_file`, `sync_dir`, `read_exact_at`).
//! - Tests stop the machine at any write step ([`fault`]); without that the hooks cost one relaxed load.

#![expect(clippy::disallowed_methods, reason = "this module is where raw writes live")]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::Builder;

use fs2::FileExt as _;

mod folder;

pub use folder::{FolderFile, PendingFolder, remove_folder};

/// Simulated crashes for tests: after a chosen number of write steps every further step fails.
pub mod fault {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    /// Steps left before the simulated crash; negative means that no crash is planned.
    static STEPS_LEFT: AtomicI64 = AtomicI64::new(i64::MAX);
    /// Only the next failure is simulated.
    static FAIL_ONCE: AtomicBool = AtomicBool::new(false);

    /// Lets `steps` more write steps (write, sync, rename, remove, create) succeed; all later ones fail.
    pub fn crash_after(steps: u32) {
        STEPS_LEFT.store(i64::from(steps), Ordering::SeqCst);
    }

    /// Lets `steps` more write steps succeed; the one behind them fails, and all later ones succeed again.
    pub fn fail_once_after(steps: u32) {
        FAIL_ONCE.store(true, Ordering::SeqCst);
        STEPS_LEFT.store(i64::from(steps), Ordering::SeqCst);
    }

    /// Ends the simulation.
    pub fn heal() {
        FAIL_ONCE.store(false, Ordering::SeqCst);
        STEPS_LEFT.store(i64::MAX, Ordering::SeqCst);
    }

    /// Returns whether the simulated crash has happened.
    #[must_use]
    pub fn crashed() -> bool {
        STEPS_LEFT.load(Ordering::SeqCst) < 0
    }

    pub(super) fn step() -> io::Result<()> {
        if STEPS_LEFT.load(Ordering::Relaxed) == i64::MAX {
            return Ok(());
        }
        if STEPS_LEFT.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        let after = if FAIL_ONCE.swap(false, Ordering::SeqCst) { i64::MAX } else { -1 };
        STEPS_LEFT.store(after, Ordering::SeqCst);
        Err(io::Error::other("the machine stopped here (simulated)"))
    }
}

/// How many threads publish many files; they mostly wait for the disk.
const SYNCING_THREADS: usize = 16;
/// As many items as one thread takes before another one is worth it.
const ALONE: usize = 32;

/// Hidden file that serialises create-only writes in a directory of a file system without hard links.
const CREATE_LOCK: &str = ".onenb.lock";

/// Lets a thread that has much to compute give way to everything else. Where that is refused, it goes on as it is.
pub fn lower_priority() {
    let _ = thread_priority::set_current_thread_priority(thread_priority::ThreadPriority::Min);
}

/// Makes the bytes of a file durable.
///
/// # Errors
/// The operating system's error; the caller must treat the bytes as lost.
pub fn sync_file(file: &File) -> io::Result<()> {
    fault::step()?;
    // On macOS `File::sync_data` already issues F_FULLFSYNC.
    file.sync_data()
}

/// Makes the names in a directory durable. Windows has no such call and needs none.
///
/// # Errors
/// The operating system's error.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    fault::step()?;
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Creates a directory and its missing parents, durably.
///
/// # Errors
/// The operating system's error.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_dir_all(parent)?;
    fault::step()?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(parent),
    }
}

/// Publishes `bytes` under `path`: the old content or the new one, never a mixture, and durable on return.
///
/// # Errors
/// The operating system's error; `path` is then unchanged.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = PendingFile::create(path)?;
    file.write_all(bytes)?;
    file.publish()
}

/// Publishes bytes that only save work: whole or not at all to other processes, but a power cut may take or empty them.
/// Whoever reads them must be able to tell.
///
/// # Errors
/// The operating system's error; `path` is then unchanged.
pub fn write_hint(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = PendingFile::create(path)?;
    file.write_all(bytes)?;
    drop(file.file.take());
    fault::step()?;
    fs::rename(&file.temporary, &file.target)
}

/// Removes a file of which nobody minds if it comes back after a power cut.
///
/// # Errors
/// The operating system's error.
pub fn remove_unsynced(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Says that a file was used just now. One that cannot be marked stays as it is.
pub fn touch(path: &Path) {
    if let Ok(file) = OpenOptions::new().append(true).open(path) {
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

/// Replaces the bytes of an existing file as [`write_atomic`] does; its permission bits stay.
///
/// # Errors
/// The operating system's error; `path` is then unchanged.
pub fn write_atomic_keeping_mode(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let mut file = PendingFile::create(path)?;
    file.write_all(bytes)?;
    fs::set_permissions(file.path(), permissions)?;
    file.publish()
}

/// Publishes many files as [`write_atomic`] does, each of them whole, all of them durable on return. Each directory is
/// synced once. Many go at a time, because syncs that wait together are one commit of the file system's journal.
///
/// # Errors
/// The operating system's error; some of the files may then be published.
pub fn write_many(files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    let changed = side_by_side(files, publish_all)?;
    let changed: Vec<PathBuf> = changed.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    side_by_side(&changed, |part| part.iter().try_for_each(|dir| sync_dir(dir)))?;
    Ok(())
}

/// Publishes files as [`PendingFile::publish`] does, or, if nothing is to be replaced, as [`PendingFile::publish_new`];
/// returns where something was. All are durable on return, many at a time as in [`write_many`].
///
/// # Errors
/// The operating system's error with the path before it; some of the files may then be published.
pub fn publish_many(files: &[PendingFile], replace: bool) -> io::Result<Vec<PathBuf>> {
    let publish = |file: &PendingFile| -> io::Result<Option<PathBuf>> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", file.target.display()));
        file.sync().map_err(named)?;
        if replace {
            file.replace_target().map_err(named)?;
            return Ok(None);
        }
        Ok((!file.take_target().map_err(named)?).then(|| file.target.clone()))
    };
    let parts = side_by_side(files, |part| part.iter().map(publish).collect::<io::Result<Vec<_>>>())?;
    let dirs: BTreeSet<&Path> = files.iter().map(|file| parent_of(&file.target)).collect();
    dirs.into_iter().try_for_each(sync_dir)?;
    Ok(parts.into_iter().flatten().flatten().collect())
}

/// Publishes files without making their names durable; returns the directories that changed.
fn publish_all(files: &[(PathBuf, Vec<u8>)]) -> io::Result<BTreeSet<PathBuf>> {
    let mut changed = BTreeSet::new();
    for (path, bytes) in files {
        let parent = parent_of(path);
        let mut missing = parent;
        while !missing.as_os_str().is_empty() && !missing.is_dir() {
            missing = parent_of(missing);
            changed.insert(missing.to_path_buf());
        }
        fault::step()?;
        fs::create_dir_all(parent)?;
        let mut file = PendingFile::create(path)?;
        file.write_all(bytes)?;
        file.close()?;
        file.replace_target()?;
        changed.insert(parent.to_path_buf());
    }
    Ok(changed)
}

/// Does `work` to parts of some items in threads of their own, if there are more than a few, and returns what it gave
/// for each part.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> io::Result<R> + Sync) -> io::Result<Vec<R>> {
    let part = items.len().div_ceil(SYNCING_THREADS).max(ALONE);
    if items.len() <= part {
        return Ok(vec![work(items)?]);
    }
    std::thread::scope(|scope| {
        let work = &work;
        let spawn = |part| (part, Builder::new().spawn_scoped(scope, move || work(part)));
        let threads: Vec<_> = items.chunks(part).map(spawn).collect();
        let done = threads.into_iter().map(|(part, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // There may be no more threads; it is done all the same.
            Err(_) => work(part),
        });
        // All are over before an error is looked at.
        done.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Publishes `bytes` under `path` only if nothing is there; `false` means that something was.
///
/// # Errors
/// The operating system's error.
pub fn create_exclusive(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = PendingFile::create(path)?;
    file.write_all(bytes)?;
    file.publish_new()
}

/// Removes a file; a file that is already gone is fine.
///
/// # Errors
/// The operating system's error.
pub fn remove_file(path: &Path) -> io::Result<()> {
    fault::step()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a directory if it is empty or absent; a full one stays.
///
/// # Errors
/// The operating system's error, other than "not empty" and "not found".
pub fn remove_dir_if_empty(path: &Path) -> io::Result<()> {
    fault::step()?;
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        other => other,
    }
}

/// Renames durably. The bytes under `from` must be synced already.
///
/// # Errors
/// The operating system's error.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fault::step()?;
    fs::rename(from, to)?;
    sync_dir(parent_of(to))
}

/// Copies permission bits, so that a rewritten file stays executable.
///
/// # Errors
/// The operating system's error.
pub fn set_executable(path: &Path) -> io::Result<()> {
    fault::step()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o111))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Refuses a path below `root` that goes through a symbolic link, which a hostile repository may have put there.
///
/// # Errors
/// `InvalidInput` naming the link, or the operating system's error.
pub fn refuse_links(root: &Path, below: &str) -> io::Result<()> {
    let mut path = root.to_path_buf();
    for part in below.split('/') {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_symlink() => {
                let message = format!("`{}` is a symbolic link, which nothing of ours is", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads at most `limit` bytes of a whole file; a longer file is an error, so hostile files cannot fill the memory.
///
/// # Errors
/// The operating system's error, or `FileTooLarge`.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // A pipe or a device would never end, or never begin.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// Fills `buffer` from `offset` without moving a shared file position.
///
/// # Errors
/// The operating system's error, or `UnexpectedEof`.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
    }
    #[cfg(windows)]
    {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match std::os::windows::fs::FileExt::seek_read(file, rest, offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }
}

/// A file being written beside its final name; dropped without [`PendingFile::publish`], it vanishes.
pub struct PendingFile {
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl PendingFile {
    /// Starts a file that will be published as `target`. Missing parent directories are created.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn create(target: &Path) -> io::Result<Self> {
        let parent = parent_of(target);
        create_dir_all(parent)?;
        fault::step()?;
        let name = target.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", crate::id::fresh_ulid()));
        let temporary = target.with_file_name(hidden);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
        Ok(Self { file: Some(file), temporary, target: target.to_path_buf() })
    }

    /// Returns the temporary path, for libraries that insist on one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Syncs the bytes and puts them under the final name, replacing what was there.
    ///
    /// # Errors
    /// The operating system's error; the final name is then unchanged.
    pub fn publish(mut self) -> io::Result<()> {
        self.close()?;
        self.replace_target()?;
        sync_dir(parent_of(&self.target))
    }

    fn close(&mut self) -> io::Result<()> {
        let synced = self.sync();
        self.file = None;
        synced
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), sync_file)
    }

    /// Gives the file its final name, which is durable when the directory is synced.
    fn replace_target(&self) -> io::Result<()> {
        fault::step()?;
        fs::rename(&self.temporary, &self.target)
    }

    /// Syncs the bytes and puts them under the final name unless that exists; `false` means that it does.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn publish_new(mut self) -> io::Result<bool> {
        self.close()?;
        let is_new = self.take_target()?;
        if is_new {
            sync_dir(parent_of(&self.target))?;
        }
        Ok(is_new)
    }

    /// Gives the file its final name unless that exists. The name is durable when the directory is synced.
    fn take_target(&self) -> io::Result<bool> {
        fault::step()?;
        // A hard link is create-only on every file system that has one; the temporary name goes with `self`.
        match fs::hard_link(&self.temporary, &self.target) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // What else may be wrong, no space or no permission, shows again there.
            Err(_) => self.publish_new_without_links(),
        }
    }

    /// For file systems without hard links (exFAT, some network mounts): whoever holds a lock of the directory looks
    /// and renames. A crash leaves the whole file or none, where an empty placeholder under the final name might stay.
    fn publish_new_without_links(&self) -> io::Result<bool> {
        let _lock = FileLock::acquire(&self.target.with_file_name(CREATE_LOCK), Sharing::Exclusive)?;
        match fs::symlink_metadata(&self.target) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                rename(&self.temporary, &self.target)?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::step()?;
        self.file.as_mut().ok_or_else(closed)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().ok_or_else(closed)?.flush()
    }
}

impl Seek for PendingFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.as_mut().ok_or_else(closed)?.seek(position)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        // A simulated crash leaves the file behind, as a real one would.
        if !fault::crashed() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A file that only grows: the body of a pack that is being written.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    len: u64,
    poisoned: bool,
}

impl AppendFile {
    /// Creates a new file; an existing one is an error.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn create(path: &Path) -> io::Result<Self> {
        fault::step()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Self { file, len: 0, poisoned: false })
    }

    /// Opens an existing file for appending.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len, poisoned: false })
    }

    /// Tries to lock the file for this process alone.
    ///
    /// # Errors
    /// The operating system's error, other than "locked by somebody else".
    pub fn try_lock(&self) -> io::Result<bool> {
        try_lock(&self.file, Sharing::Exclusive)
    }

    /// Returns how many bytes were appended so far, synced or not.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether nothing was appended yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the file for positioned reads.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Appends bytes. They are durable only after [`AppendFile::sync`].
    ///
    /// # Errors
    /// The operating system's error; the torn tail is cut by the next append or by recovery.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        fault::step()?;
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// The operating system's error; the file is then poisoned, because the kernel may have dropped the bytes.
    pub fn sync(&mut self) -> io::Result<()> {
        self.check()?;
        sync_file(&self.file).inspect_err(|_| self.poisoned = true)
    }

    /// Cuts everything from `len` on.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.check()?;
        fault::step()?;
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        if self.poisoned {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        Ok(())
    }
}

/// Who else may hold the same lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Other shared holders, but no exclusive one.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A held advisory lock on a file of its own; dropping it releases it.
///
/// Locks belong to the open file description, which a fork shares: a child must not drop its parent's lock, so the
/// owner's process id is kept and a foreign drop only closes the descriptor.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    owner: u32,
}

impl FileLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn acquire(path: &Path, sharing: Sharing) -> io::Result<Self> {
        let file = Self::open(path)?;
        match sharing {
            Sharing::Shared => fs2::FileExt::lock_shared(&file)?,
            Sharing::Exclusive => fs2::FileExt::lock_exclusive(&file)?,
        }
        Ok(Self { file, owner: std::process::id() })
    }

    /// Takes the lock if it is free; `None` if it is not.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn try_acquire(path: &Path, sharing: Sharing) -> io::Result<Option<Self>> {
        let file = Self::open(path)?;
        Ok(try_lock(&file, sharing)?.then(|| Self { file, owner: std::process::id() }))
    }

    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            let _ = fs2::FileExt::unlock(&self.file);
        }
    }
}

fn try_lock(file: &File, sharing: Sharing) -> io::Result<bool> {
    let taken = match sharing {
        Sharing::Shared => fs2::FileExt::try_lock_shared(file),
        Sharing::Exclusive => file.try_lock_exclusive(),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

fn parent_of(path: &Path) -> &Path {
    // A bare file name lies in the current directory.
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn closed() -> io::Error {
    io::Error::other("the file was published already")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_replaces_whole_files_and_leaves_no_temporary() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a/b/file");
        write_atomic(&path, b"one")?;
        write_atomic(&path, b"two")?;
        assert_eq!(fs::read(&path)?, b"two");
        drop(PendingFile::create(&path)?);
        assert_eq!(fs::read_dir(dir.path().join("a/b"))?.count(), 1);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_file_rewritten_with_its_mode_stays_private_and_executable() -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        write_atomic(&path, b"one")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o710))?;
        write_atomic_keeping_mode(&path, b"two")?;
        assert_eq!(fs::read(&path)?, b"two");
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o7777, 0o710);
        Ok(())
    }

    #[test]
    fn create_exclusive_never_replaces() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        assert!(create_exclusive(&path, b"one")?);
        assert!(!create_exclusive(&path, b"two")?);
        assert_eq!(fs::read(&path)?, b"one");
        Ok(())
    }

    #[test]
    fn without_hard_links_creation_is_exclusive_too() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        let create = |bytes: &[u8]| {
            let mut file = PendingFile::create(&path)?;
            file.write_all(bytes)?;
            file.publish_new_without_links()
        };
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8).map(|byte| scope.spawn(move || (byte, create(&[byte; 100])))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
        });
        let winners: Vec<u8> =
            made.into_iter().filter_map(|(byte, made)| made.is_ok_and(|made| made).then_some(byte)).collect();
        let [winner] = winners[..] else { panic!("{winners:?} all made the file") };
        assert_eq!(fs::read(&path)?, [winner; 100]);
        assert!(!create(b"later")?);
        assert_eq!(fs::read_dir(dir.path())?.count(), 2, "the file and the lock, no temporary files");
        Ok(())
    }

    #[test]
    fn an_exclusive_lock_keeps_others_out_until_dropped() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, Sharing::Exclusive)?;
        assert!(FileLock::try_acquire(&path, Sharing::Shared)?.is_none());
        drop(held);
        assert!(FileLock::try_acquire(&path, Sharing::Shared)?.is_some());
        Ok(())
    }

    #[test]
    fn bounded_reads_refuse_longer_files() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        write_atomic(&path, b"12345")?;
        assert_eq!(read_bounded(&path, 5)?, b"12345");
        assert!(read_bounded(&path, 4).is_err());
        Ok(())
    }
}
