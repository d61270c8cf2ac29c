//! The index: which chunks and contents the remote has already.
//!
//! Every complete push left a segment. They are read newest first, from the cache where possible, and only what was asked
//! for is kept, so memory follows the push and not the remote. A place counts only while the push that wrote its pack
//! is complete and not revoked.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::log::LogState;
use super::remote::Remote;
use super::{SyncError, cache};
use crate::backend::Key;
use crate::format::recipe::Cut;
use crate::format::snapshot::{MAX_SNAPSHOT_LEN, Segment};
use crate::format::tables::{DataTables, LocatedChunk, TableContent};
use crate::id::{ChunkId, ContentDigest, SessionId};

/// What a push asks the index for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Chunks that might be there already.
    pub(super) chunks: HashSet<ChunkId>,
    /// Contents that the local store has; only whether the index lists them matters.
    pub(super) local: HashSet<ContentDigest>,
    /// Contents that the local store lacks.
    pub(super) absent: HashSet<ContentDigest>,
}

/// A content that the remote has.
#[derive(Debug, Clone)]
pub(super) enum RemoteBody {
    Inline(Vec<u8>),
    Chunks { chunker: u8, chunks: Vec<(LocatedChunk, Cut)> },
}

/// What the index knows of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Chunks with their places.
    pub(super) chunks: HashMap<ChunkId, LocatedChunk>,
    /// Which of the wanted contents are listed.
    pub(super) listed: HashSet<ContentDigest>,
    /// Contents that the local store lacks, whole.
    pub(super) contents: HashMap<ContentDigest, RemoteBody>,
}

impl Found {
    /// Forgets whatever lies in packs that are gone, too short, or known to be damaged, so that it is sent again.
    pub(super) fn forget_lost(&mut self, remote: &Remote, distrusted: &BTreeSet<String>) -> Result<(), SyncError> {
        let of_contents = self.contents.values().flat_map(|body| match body {
            RemoteBody::Inline(_) => &[],
            RemoteBody::Chunks { chunks, .. } => chunks.as_slice(),
        });
        let chunks = self.chunks.values().chain(of_contents.map(|(chunk, _)| chunk)).cloned();
        let bad = remote.bad_packs(chunks)?;
        let is_sound = |pack: &str| !bad.contains_key(pack) && !distrusted.contains(pack);
        self.chunks.retain(|_, chunk| is_sound(&chunk.pack));
        self.contents.retain(|_, body| match body {
            RemoteBody::Inline(_) => true,
            RemoteBody::Chunks { chunks, .. } => chunks.iter().all(|(chunk, _)| is_sound(&chunk.pack)),
        });
        Ok(())
    }
}

/// Returns the push that wrote a pack.
pub(super) fn session_of_pack(key: &str) -> Option<SessionId> {
    key.strip_prefix("packs/")?.split_once('/')?.0.parse().ok()
}

/// Returns the push that a snapshot or segment is of; its name starts with it.
pub(super) fn session_of_name(name: &str) -> Option<SessionId> {
    name.split('.').next()?.parse().ok()
}

impl Remote {
    /// Looks wanted chunks and contents up in the segments of all complete pushes.
    pub(super) fn look_up(&self, state: &LogState, wanted: &Wanted) -> Result<Found, SyncError> {
        let mut found = Found::default();
        for (session, key) in state.committed.iter().rev() {
            let segment = self.segment(*session, key)?;
            collect(&segment, state, wanted, &mut found);
        }
        Ok(found)
    }

    /// Returns where a content is, whichever push brought it; `None` if no complete push did.
    ///
    /// # Errors
    /// [`SyncError::NotCreated`], [`SyncError::Backend`], or [`SyncError::Damaged`] and its like if the remote is.
    pub fn data_with(&self, digest: &ContentDigest) -> Result<Option<DataTables>, SyncError> {
        let state = self.refresh()?;
        for (session, key) in state.committed.iter().rev() {
            let data = self.segment(*session, key)?.data;
            let whole = match data.content(digest) {
                Some(TableContent::Inline(_)) => true,
                Some(TableContent::Chunks { chunks, .. }) => chunks.iter().all(|(chunk, _)| state.is_live(&chunk.pack)),
                None => false,
            };
            if whole {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    fn segment(&self, session: SessionId, key: &str) -> Result<Segment, SyncError> {
        let name = format!("index/{session}.seg");
        let cached = cache::read(self.cache_dir.as_ref(), &name, MAX_SNAPSHOT_LEN)
            .and_then(|bytes| Segment::from_bytes(&bytes).ok())
            .filter(|segment| segment.session == session);
        if let Some(segment) = cached {
            return Ok(segment);
        }
        let bytes = self.get_named(&Key::parse(key)?, MAX_SNAPSHOT_LEN)?;
        let segment =
            Segment::from_bytes(&bytes).map_err(|source| SyncError::Damaged { key: key.to_owned(), source })?;
        if segment.session != session {
            return Err(SyncError::WrongObject { key: key.to_owned(), reason: "it is of another push" });
        }
        cache::write(self.cache_dir.as_ref(), &name, &bytes);
        Ok(segment)
    }
}

fn collect(segment: &Segment, state: &LogState, wanted: &Wanted, found: &mut Found) {
    let data = &segment.data;
    // Packs are few and chunks are many, so the question is asked once for each pack.
    let live: HashSet<&str> = data.packs().iter().map(AsRef::as_ref).filter(|pack| state.is_live(pack)).collect();
    for chunk in data.chunks() {
        if wanted.chunks.contains(&chunk.id) && live.contains(&*chunk.pack) {
            found.chunks.entry(chunk.id).or_insert(chunk);
        }
    }
    for digest in data.digests() {
        if wanted.local.contains(digest) {
            found.listed.insert(*digest);
        }
        if !wanted.absent.contains(digest) || found.contents.contains_key(digest) {
            continue;
        }
        let body = match data.content(digest) {
            Some(TableContent::Inline(bytes)) => RemoteBody::Inline(bytes.to_vec()),
            Some(TableContent::Chunks { chunker, chunks })
                if chunks.iter().all(|(chunk, _)| live.contains(&*chunk.pack)) =>
            {
                RemoteBody::Chunks { chunker, chunks }
            }
            _ => continue,
        };
        found.listed.insert(*digest);
        found.contents.insert(*digest, body);
    }
}
