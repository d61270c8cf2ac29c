//! Reading ahead: of a content that is read in order, threads decode what comes next.
//!
//! - What they meet that is wrong is no error yet: whoever reads meets it at its place, on the usual way.
//! - A few readers of an open store do so at a time; however many there are, threads and memory have a limit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Live;
use super::pool::{Pool, Priority};
use super::reader::{ChunkBytes, FrameCache};
use super::shelf::Wanted;
use crate::format::recipe::ChunkRef;

/// Bytes read in a row after which more of them are expected.
pub(super) const RUN_LEN: u64 = 2 * 1024 * 1024;
/// Raw bytes after which a task ends with the frame that it is in. What frames nearby lean on is decoded once in it.
const TASK_LEN: usize = 2 * 1024 * 1024;
/// Where it ends in any case.
const MAX_TASK_LEN: usize = 2 * TASK_LEN;
/// Threads that decode: whoever takes what they make copies about as fast.
const MAX_THREADS: usize = 4;
/// Tasks under way at first. There is one more for each that was used, until all threads have two.
const FIRST_TASKS: usize = 2;
/// Readers of an open store that read ahead at the same time.
const MAX_READERS: usize = 2;

#[cfg(test)]
thread_local! {
    /// How many chunks this thread was handed out.
    pub(super) static HANDED_OUT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

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
    /// Tasks of which chunks were handed out.
    used: usize,
    /// Nobody waits for the rest of what was begun.
    ended: Arc<AtomicBool>,
    _place: Place,
}

/// One of the places for readers that read ahead.
struct Place(Arc<Live>);

impl Place {
    fn take(live: &Arc<Live>) -> Option<Self> {
        let more = |taken| (taken < MAX_READERS).then_some(taken + 1);
        live.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(live)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.ahead.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Ahead {
    /// Starts at a position where a chunk starts; `None` where enough others read ahead or there are no more threads.
    pub(super) fn start(live: &Arc<Live>, position: u64) -> Option<Self> {
        let place = Place::take(live)?;
        Some(Self {
            pool: Pool::spawn(MAX_THREADS, Priority::Usual).ok()?,
            ready: VecDeque::new(),
            position,
            given: position,
            used: 0,
            ended: Arc::default(),
            _place: place,
        })
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
        while self.pool.len() < (FIRST_TASKS + self.used).min(2 * self.pool.threads()) {
            let chunks = gather(live, self.given, &mut locate);
            if chunks.is_empty() {
                break;
            }
            self.given += chunks.iter().map(|chunk| u64::from(chunk.len)).sum::<u64>();
            let (live, ended) = (Arc::clone(live), Arc::clone(&self.ended));
            self.pool.give(move |cache| decode(&live, &chunks, cache, &ended)).ok()?;
        }
        if self.ready.is_empty() {
            self.used += 1;
            self.ready.extend(self.pool.take().ok()??.into_iter().flatten());
        }
        let chunk = self.ready.pop_front()?;
        self.position += chunk.as_slice().len() as u64;
        #[cfg(test)]
        HANDED_OUT.set(HANDED_OUT.get() + 1);
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

/// Reads chunks. They share the frames that they come from up to the length of a task; of a frame beyond that only what
/// is wanted is kept.
fn decode(live: &Live, chunks: &[ChunkRef], cache: &mut FrameCache, ended: &AtomicBool) -> Decoded {
    let (mut decoded, mut held_len): (Vec<ChunkBytes>, usize) = (Vec::with_capacity(chunks.len()), 0);
    for chunk in chunks {
        if ended.load(Ordering::Relaxed) {
            return None;
        }
        let bytes = live.chunk(&chunk.id, cache).ok()?;
        if bytes.as_slice().len() != chunk.len as usize {
            return None;
        }
        let is_held = decoded.last().is_some_and(|last| last.shares_frame_with(&bytes));
        if !is_held {
            held_len += bytes.frame_len();
        }
        decoded.push(if is_held || held_len <= MAX_TASK_LEN { bytes } else { bytes.alone() });
    }
    Some(decoded)
}
