//! Going on with an interrupted push: its packs are on the remote already, under a session that is still open.
//!
//! The cache remembers the session's id, under a lock that the pushing process holds, so that two pushes at once never
//! share one. Which packs arrived the remote says itself: they are listed and their directories read. A lost cache or a
//! session that garbage collection revoked costs nothing but sending again.

use std::collections::HashMap;
use std::sync::Arc;

use super::log::LogState;
use super::remote::Remote;
use super::{SyncError, cache};
use crate::backend::{Entry, Key};
use crate::format::pack::{Footer, FrameKind, MAX_FOOTER_LEN, TRAILER_LEN, Trailer};
use crate::format::remote_log::LogOp;
use crate::format::tables::LocatedChunk;
use crate::fs::{self, FileLock, Sharing};
use crate::id::{ChunkId, SessionId, fresh_ulid};

const SESSION: &str = "session";
const SESSION_LOCK: &str = "session.lock";
/// Most packs of one push whose directories are read; one of more starts over from there.
const MAX_PACKS: usize = 100_000;
/// Bytes at the end of a pack that nearly always hold its whole directory.
const TAIL_LEN: u64 = 64 * 1024;

/// The session of one push, begun in the log.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// What its index segment and snapshots are called: its id, and behind that in a repeated attempt something fresh,
    /// so that what the earlier attempt wrote, perhaps only now arriving, is never in the way.
    pub(super) name: String,
    /// Chunks that an earlier attempt sent.
    pub(super) places: HashMap<ChunkId, LocatedChunk>,
    /// Held while this process uses the remembered session; `None` if another process does.
    lock: Option<FileLock>,
}

impl Session {
    /// Goes on with the session of an interrupted push, or begins a new one.
    pub(super) fn start(remote: &Remote, state: &LogState) -> Result<Self, SyncError> {
        let lock = lock(remote);
        if lock.is_some()
            && let Some(id) = remembered(remote).filter(|id| state.open.contains(id))
        {
            let name = format!("{id}.{}", fresh_ulid());
            return Ok(Self { id, name, places: places_of(remote, id)?, lock });
        }
        let id = SessionId::generate();
        remote.append(|_| Ok(Some(LogOp::Begin { session: id })))?;
        if lock.is_some() {
            cache::write(remote.cache_dir.as_ref(), SESSION, id.to_string().as_bytes());
        }
        Ok(Self { id, name: id.to_string(), places: HashMap::new(), lock })
    }

    /// Forgets the session, which is committed.
    pub(super) fn end(self, remote: &Remote) {
        if let (Some(_), Some(dir)) = (&self.lock, &remote.cache_dir) {
            // A session left behind is no longer open, and so of no use to anybody.
            let _ = fs::remove_file(&dir.join(SESSION));
        }
    }
}

fn lock(remote: &Remote) -> Option<FileLock> {
    let dir = remote.cache_dir.as_ref()?;
    fs::create_dir_all(dir).ok()?;
    FileLock::try_acquire(&dir.join(SESSION_LOCK), Sharing::Exclusive).ok().flatten()
}

fn remembered(remote: &Remote) -> Option<SessionId> {
    String::from_utf8(cache::read(remote.cache_dir.as_ref(), SESSION, 64)?).ok()?.parse().ok()
}

/// Reads which chunks the packs of a session hold.
fn places_of(remote: &Remote, session: SessionId) -> Result<HashMap<ChunkId, LocatedChunk>, SyncError> {
    let mut places = HashMap::new();
    for entry in remote.backend().list(&Key::parse(&format!("packs/{session}"))?, None, MAX_PACKS)? {
        // A pack that cannot be read is sent again under another name.
        let Ok(footer) = footer_of(remote, &entry) else { continue };
        let pack: Arc<str> = Arc::from(entry.key.as_str());
        for frame in footer.frames.iter().filter(|frame| frame.header.kind() == FrameKind::Chunks) {
            let Ok(stored_len) = u32::try_from(frame.header.frame_len()) else { continue };
            for key in frame.header.keys() {
                let id = ChunkId::from_bytes(key.id);
                let place =
                    LocatedChunk { id, len: key.len, pack: Arc::clone(&pack), offset: frame.offset, stored_len };
                places.entry(id).or_insert(place);
            }
        }
    }
    Ok(places)
}

/// Reads the directory at the end of a pack, usually in one request.
pub(super) fn footer_of(remote: &Remote, entry: &Entry) -> Result<Footer, SyncError> {
    let damaged = |source| SyncError::Damaged { key: entry.key.to_string(), source };
    let short = || SyncError::WrongObject { key: entry.key.to_string(), reason: "it is too short for a pack" };
    let read = |len: u64| remote.backend().get_range(&entry.key, entry.len.saturating_sub(len)..entry.len);
    let mut tail = read(TAIL_LEN)?;
    let trailer_at = tail.len().checked_sub(TRAILER_LEN).ok_or_else(short)?;
    let trailer = Trailer::from_bytes(tail.get(trailer_at..).ok_or_else(short)?, entry.len).map_err(damaged)?;
    let wanted = trailer.footer_len.saturating_add(TRAILER_LEN as u64);
    if wanted > tail.len() as u64 {
        if trailer.footer_len > MAX_FOOTER_LEN as u64 {
            return Err(SyncError::WrongObject { key: entry.key.to_string(), reason: "its directory is too long" });
        }
        tail = read(wanted)?;
    }
    let start = usize::try_from(wanted).ok().and_then(|wanted| tail.len().checked_sub(wanted)).ok_or_else(short)?;
    let directory = tail.get(start..tail.len() - TRAILER_LEN).ok_or_else(short)?;
    Footer::from_bytes(directory, &trailer).map_err(damaged)
}
