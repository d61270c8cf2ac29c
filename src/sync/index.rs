//! The index: which chunks and contents the remote has already.
//!
//! Every complete push left a segment. They are read newest first in the order of the log, from the cache where
//! possible, and only what was asked for is kept, so memory follows the push and not the remote. A place counts only
//! while the push that wrote its pack is complete and not revoked.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::log::LogState;
use super::remote::Remote;
use super::{SyncError, cache};
use crate::backend::Key;
use crate::error::{Classify as _, ErrorKind};
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
    /// Which of the wanted contents are listed, each with the newest push that lists it.
    pub(super) listed: HashMap<ContentDigest, SessionId>,
    /// Contents that the local store lacks, whole.
    pub(super) contents: HashMap<ContentDigest, RemoteBody>,
}

impl Found {
    /// Forgets whatever lies in packs that are gone, too short or damaged where it matters, so that it is sent again.
    /// Everything that would be built on is read.
    pub(super) fn forget_lost(&mut self, remote: &Remote) -> Result<(), SyncError> {
        let of_contents = self.contents.values().flat_map(|body| match body {
            RemoteBody::Inline(_) => &[],
            RemoteBody::Chunks { chunks, .. } => chunks.as_slice(),
        });
        let chunks: Vec<_> = self.chunks.values().chain(of_contents.map(|(chunk, _)| chunk)).cloned().collect();
        let mut bad: BTreeSet<_> = remote.bad_packs(chunks.iter().cloned())?.into_keys().collect();
        let rest = chunks.into_iter().filter(|chunk| !bad.contains(&chunk.pack)).collect::<Vec<_>>();
        bad.extend(remote.unreadable_packs(&rest)?);
        self.chunks.retain(|_, chunk| !bad.contains(&chunk.pack));
        self.contents.retain(|_, body| match body {
            RemoteBody::Inline(_) => true,
            RemoteBody::Chunks { chunks, .. } => chunks.iter().all(|(chunk, _)| !bad.contains(&chunk.pack)),
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
    /// Looks wanted chunks and contents up in the segments of all complete pushes. Who doubts what is there is not
    /// answered from the cache.
    pub(super) fn look_up(&self, state: &LogState, wanted: &Wanted, doubts: bool) -> Result<Found, SyncError> {
        let mut found = Found::default();
        for (session, key) in state.newest_first() {
            if doubts {
                cache::remove(self.cache_dir.as_ref(), &cached_name(session));
            }
            if let Some(segment) = self.sound_segment(session, key)? {
                collect(&segment, state, wanted, &mut found);
            }
        }
        Ok(found)
    }

    /// Returns where a content is, whichever push brought it; `None` if no complete push did.
    ///
    /// # Errors
    /// [`SyncError::NotCreated`], [`SyncError::Backend`], or [`SyncError::Damaged`] and its like if the remote is.
    pub fn data_with(&self, digest: &ContentDigest) -> Result<Option<DataTables>, SyncError> {
        let state = self.refresh()?;
        for (session, key) in state.newest_first() {
            let Some(Segment { data, .. }) = self.sound_segment(session, key)? else { continue };
            if is_whole(&data, digest, &live_packs(&data, &state)) {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Returns the segments of complete pushes that are lost or damaged, by key with the reason. Asks the place itself.
    ///
    /// # Errors
    /// [`SyncError::NotCreated`], [`SyncError::Backend`].
    pub fn bad_segments(&self) -> Result<Vec<(String, SyncError)>, SyncError> {
        let mut bad = vec![];
        for (session, key) in self.refresh()?.newest_first() {
            match self.fetch_segment(session, key) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Damaged => bad.push((key.to_owned(), error)),
                Err(error) => return Err(error),
            }
        }
        Ok(bad)
    }

    /// Reads a segment. One that is lost or damaged lists nothing: what it listed is sent again by who needs it.
    pub(super) fn sound_segment(&self, session: SessionId, key: &str) -> Result<Option<Segment>, SyncError> {
        if let Some((segment, _)) = self.cached_segment(session) {
            return Ok(Some(segment));
        }
        let is_damaged = |error: &SyncError| error.kind() == ErrorKind::Damaged;
        // An answer that broke off looks like damage; asked once more, only damage still does.
        let again = |error| if is_damaged(&error) { self.fetch_segment(session, key) } else { Err(error) };
        match self.fetch_segment(session, key).or_else(again) {
            Ok((segment, bytes)) => {
                cache::write(self.cache_dir.as_ref(), &cached_name(session), &bytes);
                Ok(Some(segment))
            }
            Err(error) if is_damaged(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a segment out of the cache, with its bytes.
    pub(super) fn cached_segment(&self, session: SessionId) -> Option<(Segment, Vec<u8>)> {
        let bytes = cache::read(self.cache_dir.as_ref(), &cached_name(session), MAX_SNAPSHOT_LEN)?;
        let segment = Segment::from_bytes(&bytes).ok().filter(|segment| segment.session == session)?;
        Some((segment, bytes))
    }

    fn fetch_segment(&self, session: SessionId, key: &str) -> Result<(Segment, Vec<u8>), SyncError> {
        let bytes = self.get_named(&Key::parse(key)?, MAX_SNAPSHOT_LEN)?;
        let segment =
            Segment::from_bytes(&bytes).map_err(|source| SyncError::Damaged { key: key.to_owned(), source })?;
        if segment.session != session {
            return Err(SyncError::WrongObject { key: key.to_owned(), reason: "it is of another push" });
        }
        Ok((segment, bytes))
    }
}

fn cached_name(session: SessionId) -> String {
    format!("index/{session}.seg")
}

/// Returns which packs of some tables count. Packs are few and chunks are many, so the question is asked once for each
/// pack.
fn live_packs<'a>(data: &'a DataTables, state: &LogState) -> HashSet<&'a str> {
    data.packs().iter().map(AsRef::as_ref).filter(|pack| state.is_live(pack)).collect()
}

/// Returns whether tables list a content all of which is where they say. A collection takes single packs from a push
/// that stays, and with them the truth of its listing, whatever brings the same chunks again.
fn is_whole(data: &DataTables, digest: &ContentDigest, live: &HashSet<&str>) -> bool {
    match data.content(digest) {
        Some(TableContent::Inline(_)) => true,
        Some(TableContent::Chunks { chunks, .. }) => chunks.iter().all(|(chunk, _)| live.contains(&*chunk.pack)),
        None => false,
    }
}

/// Returns the contents that tables list and that are where they say.
pub(super) fn whole_contents<'a>(data: &'a DataTables, state: &LogState) -> impl Iterator<Item = &'a ContentDigest> {
    let live = live_packs(data, state);
    data.digests().filter(move |digest| is_whole(data, digest, &live))
}

fn collect(segment: &Segment, state: &LogState, wanted: &Wanted, found: &mut Found) {
    let data = &segment.data;
    let live = live_packs(data, state);
    for chunk in data.chunks() {
        if wanted.chunks.contains(&chunk.id) && live.contains(&*chunk.pack) {
            found.chunks.entry(chunk.id).or_insert(chunk);
        }
    }
    for digest in data.digests() {
        if wanted.local.contains(digest) && !found.listed.contains_key(digest) && is_whole(data, digest, &live) {
            found.listed.insert(*digest, segment.session);
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
        found.listed.insert(*digest, segment.session);
        found.contents.insert(*digest, body);
    }
}
