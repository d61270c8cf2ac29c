//! A remote: a backend with onenb's layout on it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SyncError;
use super::log::LogState;
use super::read_cache::{OfflineNote, ReadCache};
use crate::backend::{Backend, BackendError, Created, Entry, FaultBackend, Key};
use crate::format::remote_log::{MAX_SEALED_LEN, RemoteMarker, SnapshotRef, TagRecord, unseal};
use crate::format::snapshot::{MAX_SNAPSHOT_LEN, Snapshot};
use crate::id::{CommitId, ContentDigest, fresh_ulid};

const MARKER_KEY: &str = "onenb.json";
const MAX_MARKER_LEN: u64 = 64 * 1024;

/// How a remote is used.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// A directory of this remote alone for what need not be fetched twice; may be deleted at any time.
    pub cache_dir: Option<PathBuf>,
    /// Where readers keep what they fetched; `None` keeps nothing.
    pub reads: Option<Arc<ReadCache>>,
    /// Where it is written that the cache answered for a remote that did not.
    pub offline: OfflineNote,
    /// Length at which a pack is sent, in bytes. Packs are built in memory, and several are under way at once.
    pub pack_len: usize,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self { cache_dir: None, reads: None, offline: OfflineNote::default(), pack_len: 16 * 1024 * 1024 }
    }
}

/// A snapshot and its digest.
type LastRead = (ContentDigest, Arc<Snapshot>);

/// A place that others read from. Copies share everything.
#[derive(Clone)]
pub struct Remote {
    backend: Arc<FaultBackend<Arc<dyn Backend>>>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) reads: Option<Arc<ReadCache>>,
    pub(super) offline: OfflineNote,
    pub(super) pack_len: usize,
    /// The snapshot that was read last, by its digest: programs ask for one export of a tag after the other.
    last_read: Arc<Mutex<Option<LastRead>>>,
    marker: Arc<Mutex<Option<RemoteMarker>>>,
    state: Arc<Mutex<Option<LogState>>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("cache_dir", &self.cache_dir).finish_non_exhaustive()
    }
}

impl Remote {
    /// Uses a backend as a remote. Nothing is requested yet, so that a cold read by tag takes three round trips.
    #[must_use]
    pub fn open(backend: Box<dyn Backend>, options: RemoteOptions) -> Self {
        // The wrapper only counts here; reports and tests name the number of requests.
        let backend = Arc::new(FaultBackend::counting(Arc::from(backend)));
        let RemoteOptions { cache_dir, reads, offline, pack_len } = options;
        let (last_read, marker, state) = (Arc::default(), Arc::default(), Arc::default());
        Self { backend, cache_dir, reads, offline, pack_len, last_read, marker, state }
    }

    /// Returns the same remote for who wants to know what is there: nothing that was read before answers for it.
    #[must_use]
    pub fn uncached(&self) -> Self {
        Self { reads: None, last_read: Arc::default(), ..self.clone() }
    }

    /// Makes the place a remote; one that is a remote already stays as it is.
    ///
    /// # Errors
    /// [`SyncError::Backend`], or [`SyncError::Format`] if a newer program made it.
    pub fn create(&self) -> Result<(), SyncError> {
        let key = Key::parse(MARKER_KEY)?;
        let marker = RemoteMarker::new(fresh_ulid().to_string());
        match self.backend.create(&key, &marker.to_bytes())? {
            Created::Created => *lock(&self.marker) = Some(marker),
            Created::AlreadyExists => drop(self.marker()?),
        }
        Ok(())
    }

    /// Returns whether the place is a remote.
    ///
    /// # Errors
    /// [`SyncError::Backend`], or [`SyncError::Format`] if only a newer program can read it.
    pub fn exists(&self) -> Result<bool, SyncError> {
        match self.marker() {
            Ok(_) => Ok(true),
            Err(SyncError::NotCreated) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns how many requests were made so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.backend.requests()
    }

    /// Returns the newest snapshot of a commit that was pushed, with or without a tag.
    ///
    /// # Errors
    /// [`SyncError::Backend`], or [`SyncError::Damaged`] and its like if the remote is.
    pub fn snapshot_of_commit(&self, commit: &CommitId) -> Result<Option<Snapshot>, SyncError> {
        // An unfinished push may never be complete, and a place without a log holds nothing that is.
        let state = match self.refresh() {
            Err(SyncError::NotCreated) => return Ok(None),
            other => other?,
        };
        let place_of = |place: &SnapshotRef| Some((state.age_of(&Key::parse(&place.key).ok()?)?, place.clone()));
        let named = state.tags.values().filter_map(|tag| tag.snapshot.as_ref()).chain(state.uploads.values());
        let newest = named.filter(|place| place.commit == *commit).filter_map(place_of).max_by_key(|(age, _)| *age);
        if let Some((_, place)) = newest {
            return self.snapshot(&place).map(Some);
        }
        // What a tag named before it was moved or deleted may still be there.
        let folder = Key::parse(&format!("snapshots/{commit}"))?;
        let found = self.list_all(&folder)?.into_iter().map(|entry| entry.key);
        let complete = found.filter_map(|key| Some((state.age_of(&key)?, key)));
        let Some((_, entry)) = complete.max_by_key(|(age, _)| *age) else { return Ok(None) };
        let entry = &entry;
        let bytes = self.get_named(entry, MAX_SNAPSHOT_LEN)?;
        decode_snapshot(entry, &bytes, commit).map(Some)
    }

    pub(super) fn snapshot(&self, place: &SnapshotRef) -> Result<Snapshot, SyncError> {
        place_holds(place, &self.get_named(&Key::parse(&place.key)?, MAX_SNAPSHOT_LEN)?)
    }

    /// As [`Remote::snapshot`], but one that was read before, by its digest, is not fetched again.
    pub(super) fn snapshot_kept(&self, place: &SnapshotRef) -> Result<Arc<Snapshot>, SyncError> {
        if let Some((_, snapshot)) = lock(&self.last_read).as_ref().filter(|(digest, _)| *digest == place.digest) {
            return Ok(Arc::clone(snapshot));
        }
        let named = |reads: &ReadCache| reads.name("snapshot", &place.digest.to_string());
        let kept = self.reads.as_ref().and_then(|reads| place_holds(place, &reads.get(&named(reads))?).ok());
        let snapshot = if let Some(snapshot) = kept {
            snapshot
        } else {
            let bytes = self.get_named(&Key::parse(&place.key)?, MAX_SNAPSHOT_LEN)?;
            let snapshot = place_holds(place, &bytes)?;
            if let Some(reads) = &self.reads {
                reads.put(&named(reads), &bytes);
            }
            snapshot
        };
        let snapshot = Arc::new(snapshot);
        *lock(&self.last_read) = Some((place.digest, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    pub(super) fn note_offline(&self) {
        self.offline
            .set("the remote cannot be reached; this is read from the cache, as it was last seen there".to_owned());
    }

    /// Reads the marker, once.
    pub(super) fn marker(&self) -> Result<RemoteMarker, SyncError> {
        if let Some(marker) = lock(&self.marker).clone() {
            return Ok(marker);
        }
        let bytes = match self.backend.get(&Key::parse(MARKER_KEY)?, MAX_MARKER_LEN) {
            Err(BackendError::NotFound { .. }) => return Err(SyncError::NotCreated),
            other => other?,
        };
        let marker = RemoteMarker::from_bytes(&bytes).map_err(SyncError::Format)?;
        *lock(&self.marker) = Some(marker.clone());
        Ok(marker)
    }

    /// Returns whether the marker was read.
    pub(super) fn knows_marker(&self) -> bool {
        lock(&self.marker).is_some()
    }

    /// Refuses a remote that only a newer program may write. Asks only once.
    pub(super) fn check_writable(&self) -> Result<(), SyncError> {
        self.marker()?.check_writable().map_err(SyncError::Format)
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.backend.as_ref()
    }

    pub(super) fn shared_backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend) as Arc<dyn Backend>
    }

    /// The log as last seen by this value.
    pub(super) fn state(&self) -> MutexGuard<'_, Option<LogState>> {
        lock(&self.state)
    }

    /// Gets an object that the remote names, so that its absence is damage.
    pub(super) fn get_named(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, SyncError> {
        self.backend.get(key, max_len).map_err(|error| named(error, key))
    }

    pub(super) fn get_tag_record(&self, key: &Key) -> Result<TagRecord, SyncError> {
        let bytes = self.get_named(key, MAX_SEALED_LEN)?;
        unseal("tag record", &bytes).map_err(|source| SyncError::Damaged { key: key.to_string(), source })
    }

    /// Lists a whole folder, page by page.
    pub(super) fn list_all(&self, folder: &Key) -> Result<Vec<Entry>, SyncError> {
        const PAGE: usize = 1000;
        let mut all: Vec<Entry> = vec![];
        loop {
            let page = self.backend.list(folder, all.last().map(|entry| &entry.key), PAGE)?;
            let full = page.len() == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }
}

/// Turns "not found" into damage, for objects that something names.
pub(super) fn named(error: BackendError, key: &Key) -> SyncError {
    match error {
        BackendError::NotFound { .. } => SyncError::Absent { key: key.to_string() },
        other => other.into(),
    }
}

/// Checks that bytes are the snapshot that something names.
fn place_holds(place: &SnapshotRef, bytes: &[u8]) -> Result<Snapshot, SyncError> {
    if ContentDigest::of(bytes) != place.digest {
        return Err(SyncError::WrongObject { key: place.key.clone(), reason: "it has another digest" });
    }
    decode_snapshot(&Key::parse(&place.key)?, bytes, &place.commit)
}

fn decode_snapshot(key: &Key, bytes: &[u8], commit: &CommitId) -> Result<Snapshot, SyncError> {
    let snapshot = Snapshot::from_bytes(bytes).map_err(|source| SyncError::Damaged { key: key.to_string(), source })?;
    if snapshot.commit != *commit {
        return Err(SyncError::WrongObject { key: key.to_string(), reason: "it is of another commit" });
    }
    Ok(snapshot)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept under these locks is replaced as a whole, so a panic leaves it sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
