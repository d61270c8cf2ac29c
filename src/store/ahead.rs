//! Reading ahead: of a content that is read in order, threads decode what comes next.
//!
//! What they meet that is wrong is no error yet: whoever reads meets it at its place, on the usual way.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pool::{Pool, Priority};
use super::reader::{ChunkBytes, FrameCache};
use super::shelf::Wanted;
use super::{Live, StoreError};
use crate::format::recipe::ChunkRef;

/// Bytes read in a row after which more of them are expected.
pub(super) const RUN_LEN: u64 = 2 * 1024 * 1024;
/// Raw bytes after which a task ends with the frame that it is in. What frames nearby lean on is decoded once in it.
const TASK_LEN: usize = 2 * 1024 * 1024;
/// Where it ends in any case.
const MAX_TASK_LEN: usize = 2 * TASK_LEN;
/// Threads that decode: whoever takes what they make copies about as fast.
const MAX_THREADS: usize = 4;

/// The chunks of a task, if all of them are sound.
type Decoded = Option<Vec<ChunkBytes>>;

/// What is decoded before it is asked for.
pub(super) struct Ahead {
    pool: Pool<FrameCache, Decoded>,
    ready: VecDeque<ChunkBytes>,
    /// Position in the content, in bytes, of the chunk that is handed out next.
    position: u64,
    /// Position up to where tasks were given.
    given: u64,
}

impl Ahead {
    /// Starts at a position where a chunk starts.
    pub(super) fn start(position: u64) -> Result<Self, StoreError> {
        let pool = Pool::spawn(MAX_THREADS, Priority::Usual)?;
        Ok(Self { pool, ready: VecDeque::new(), position, given: position })
    }

    /// Returns the position of the chunk that comes next.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Hands the next chunk out; `None` if that takes reading it in the usual way. `locate` says which chunk starts at
    /// a position, `None` at the end.
    pub(super) fn next(
        &mut self,
        live: &Arc<Live>,
        mut locate: impl FnMut(u64) -> Option<ChunkRef>,
    ) -> Option<ChunkBytes> {
        while !self.pool.is_full() {
            let chunks = gather(live, self.given, &mut locate);
            if chunks.is_empty() {
                break;
            }
            self.given += chunks.iter().map(|chunk| u64::from(chunk.len)).sum::<u64>();
            let live = Arc::clone(live);
            self.pool.give(move |cache| decode(&live, &chunks, cache)).ok()?;
        }
        if self.ready.is_empty() {
            self.ready.extend(self.pool.take().ok()??.into_iter().flatten());
        }
        let chunk = self.ready.pop_front()?;
        self.position += chunk.as_slice().len() as u64;
        Some(chunk)
    }
}

/// Returns the chunks of the next task.
fn gather(live: &Live, from: u64, locate: &mut impl FnMut(u64) -> Option<ChunkRef>) -> Vec<ChunkRef> {
    let (mut chunks, mut len, mut frame) = (vec![], 0, None);
    while let Some(chunk) = locate(from + len as u64) {
        if len >= TASK_LEN {
            let search = live.data.find(chunk.id.as_bytes(), Wanted::First).unwrap_or_default();
            let next = search.found.first().map(|found| (found.pack, found.offset));
            if frame.is_some_and(|frame| next != frame) || len >= MAX_TASK_LEN {
                break;
            }
            frame = Some(next);
        }
        len += chunk.len as usize;
        chunks.push(chunk);
    }
    chunks
}

fn decode(live: &Live, chunks: &[ChunkRef], cache: &mut FrameCache) -> Decoded {
    let sound = |chunk: &ChunkRef| {
        let bytes = live.chunk(&chunk.id, cache).ok()?;
        Some(bytes).filter(|bytes| bytes.as_slice().len() == chunk.len as usize)
    };
    chunks.iter().map(sound).collect()
}
