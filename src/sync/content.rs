//! Reading one content from a remote: ranged, coalesced, every chunk verified.
//!
//! - Only frames that hold asked bytes are fetched; a read that begins where the last one ended fetches further ahead,
//!   doubling up to [`MAX_REQUEST_LEN`], as long as the next frames lie behind each other in one pack. What is
//!   certainly wanted next, or likely after a long way, is asked for while this is decoded, so that a reader waits for
//!   the line and not for round trips.
//! - Frames that were read come from the cache next time, verified like all others; what fails there is fetched.
//! - If a pack is gone, the content is looked for once more, wherever the remote has it by now: its tag may have been
//!   moved and its old data collected since it was opened.
//! - At most three requests' frames and a few decoded ones are kept, so memory does not grow with the content.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::SyncError;
use super::read_cache::{CacheName, ReadCache};
use super::remote::{Remote, named};
use crate::backend::{Backend, Key};
use crate::error::Error;
use crate::format::pack::{Check, Frame, FrameHeader, FrameKind};
use crate::format::tables::{DataTables, LocatedChunk, TableContent};
use crate::id::ContentDigest;

/// Most bytes of one ranged request.
pub(super) const MAX_REQUEST_LEN: u64 = 8 * 1024 * 1024;
/// Requests under way for a reader that goes on, beside the one that it is at.
const REQUESTS_AHEAD: usize = 2;
/// Frames that are kept decoded, at most 2 MiB each.
const DECODED_FRAMES: usize = 4;

/// Where a frame is.
pub(super) type FramePlace = (Arc<str>, u64);

/// Frames that lie behind each other in one pack.
#[derive(Debug, Clone, Default)]
struct Run {
    pack: Arc<str>,
    /// Position and length of each.
    frames: Vec<(u64, u32)>,
    /// The chunk that they begin with, and the one behind them.
    first: usize,
    next: usize,
}

/// A run that was asked for before anybody needs it.
struct Coming {
    /// A forked child has no such thread.
    process: u32,
    run: Run,
    frames: Receiver<Result<Vec<Frame>, SyncError>>,
}

/// A content of a snapshot, read from the remote.
pub struct RemoteContent {
    backend: Arc<dyn Backend>,
    digest: ContentDigest,
    cache: Option<Arc<ReadCache>>,
    /// Whom to ask where the content is now; `None` after that was done, and for who wants to know what is wrong.
    again: Option<Remote>,
    len: u64,
    position: u64,
    inline: Vec<u8>,
    chunks: Vec<LocatedChunk>,
    /// Where each chunk starts in the content, in bytes.
    starts: Vec<u64>,
    pub(super) fetched: VecDeque<(FramePlace, Frame)>,
    coming: VecDeque<Coming>,
    decoded: VecDeque<(FramePlace, FrameHeader, Vec<u8>)>,
    /// Chunk behind the last run that was fetched.
    next_chunk: usize,
    /// Where the bytes end that the caller asked for last, and those it got.
    asked_until: u64,
    read_until: u64,
    /// Whether the caller reads on where it stopped, so that what lies behind is likely wanted.
    is_stream: bool,
    ahead: u64,
}

impl std::fmt::Debug for RemoteContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteContent")
            .field("len", &self.len)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// Opens a content of a snapshot or segment. Nothing is requested before the first read.
    ///
    /// # Errors
    /// [`SyncError::NoContent`].
    pub fn open_content(&self, data: &DataTables, digest: &ContentDigest) -> Result<RemoteContent, SyncError> {
        let mut content = RemoteContent::new(self.shared_backend(), data, digest)?;
        content.cache.clone_from(&self.reads);
        content.again = Some(self.clone());
        Ok(content)
    }

    /// As [`Remote::open_content`], but everything read comes from where these tables say: neither a cache nor another
    /// copy covers damage up.
    pub(super) fn open_plain(&self, data: &DataTables, digest: &ContentDigest) -> Result<RemoteContent, SyncError> {
        RemoteContent::new(self.shared_backend(), data, digest)
    }
}

impl RemoteContent {
    fn new(backend: Arc<dyn Backend>, data: &DataTables, digest: &ContentDigest) -> Result<Self, SyncError> {
        let mut content = Self {
            backend,
            digest: *digest,
            cache: None,
            again: None,
            len: 0,
            position: 0,
            inline: vec![],
            chunks: vec![],
            starts: vec![],
            fetched: VecDeque::new(),
            coming: VecDeque::new(),
            decoded: VecDeque::new(),
            next_chunk: usize::MAX,
            asked_until: 0,
            read_until: 0,
            is_stream: false,
            ahead: 0,
        };
        content.locate(data)?;
        Ok(content)
    }

    /// Takes from tables where the content is.
    fn locate(&mut self, data: &DataTables) -> Result<(), SyncError> {
        let missing = || SyncError::NoContent { digest: self.digest };
        self.len = data.content_len(&self.digest).ok_or_else(missing)?;
        (self.inline, self.chunks) = match data.content(&self.digest).ok_or_else(missing)? {
            TableContent::Inline(bytes) => (bytes.to_vec(), vec![]),
            TableContent::Chunks { chunks, .. } => (vec![], chunks.into_iter().map(|(chunk, _)| chunk).collect()),
        };
        let mut next = 0;
        let start_of = |chunk: &LocatedChunk| {
            next += u64::from(chunk.len);
            next - u64::from(chunk.len)
        };
        self.starts = self.chunks.iter().map(start_of).collect();
        self.fetched.clear();
        self.coming.clear();
        self.next_chunk = usize::MAX;
        Ok(())
    }

    /// Finds out, once, whether the remote has the content elsewhere by now.
    fn locate_again(&mut self) -> Result<bool, SyncError> {
        let Some(remote) = self.again.take() else { return Ok(false) };
        let len = self.len;
        let Some(data) = remote.data_with(&self.digest)?.filter(|data| data.content_len(&self.digest) == Some(len))
        else {
            return Ok(false);
        };
        self.locate(&data)?;
        Ok(true)
    }

    /// Returns the length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the content has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes from one chunk, or from the inline bytes, into the buffer.
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, SyncError> {
        if self.position >= self.len || buffer.is_empty() {
            return Ok(0);
        }
        // A large buffer is filled by several calls, which all end at the same byte.
        let until = self.position + buffer.len() as u64;
        if until != self.asked_until {
            self.is_stream = self.position == self.read_until;
            self.asked_until = until;
        }
        let count = self.read_piece(buffer)?;
        self.read_until = self.position;
        Ok(count)
    }

    fn read_piece(&mut self, buffer: &mut [u8]) -> Result<usize, SyncError> {
        if self.chunks.is_empty() {
            let rest = usize::try_from(self.position).ok().and_then(|start| self.inline.get(start..));
            let count = copy(rest.unwrap_or_default(), buffer);
            self.position += count as u64;
            return Ok(count);
        }
        let number = self.starts.partition_point(|start| *start <= self.position).saturating_sub(1);
        let Some((chunk, start)) = self.chunks.get(number).cloned().zip(self.starts.get(number).copied()) else {
            return Ok(0);
        };
        let place = (Arc::clone(&chunk.pack), chunk.offset);
        match self.load(number, &chunk, &place) {
            Err(absent @ SyncError::Absent { .. }) => {
                return if self.locate_again()? { self.read_piece(buffer) } else { Err(absent) };
            }
            other => other?,
        }
        let wrong = || SyncError::WrongObject {
            key: chunk.pack.to_string(),
            reason: "a frame does not hold the chunk that is named there",
        };
        let (_, header, raw) = self.decoded.iter().find(|(key, ..)| *key == place).ok_or_else(wrong)?;
        let (offset, len) =
            header.find_chunk(&chunk.id).filter(|(_, len)| *len == chunk.len as usize).ok_or_else(wrong)?;
        let skip = usize::try_from(self.position - start).map_err(|_| wrong())?;
        let bytes = raw.get(offset..offset + len).and_then(|bytes| bytes.get(skip..)).ok_or_else(wrong)?;
        let count = copy(bytes, buffer);
        self.position += count as u64;
        Ok(count)
    }

    /// Makes sure that the frame of a chunk is decoded.
    fn load(&mut self, number: usize, chunk: &LocatedChunk, place: &FramePlace) -> Result<(), SyncError> {
        if self.decoded.iter().any(|(key, ..)| key == place) {
            return Ok(());
        }
        if !self.fetched.iter().any(|(key, _)| key == place) {
            if let Some((header, raw)) = self.cached_frame(chunk) {
                self.next_chunk =
                    number + self.chunks.iter().skip(number).take_while(|it| same_frame(it, chunk)).count();
                self.keep_decoded(place, header, raw);
                return Ok(());
            }
            self.fetch_run(number)?;
        }
        let Some(at) = self.fetched.iter().position(|(key, _)| key == place) else {
            return Err(SyncError::Absent { key: chunk.pack.to_string() });
        };
        if let Some((key, frame)) = self.fetched.remove(at) {
            let raw = decode(&chunk.pack, &frame)?;
            if let Some(cache) = &self.cache {
                cache.put(&name_of(cache, chunk), &frame.to_bytes());
            }
            self.keep_decoded(&key, frame.header().clone(), raw);
        }
        Ok(())
    }

    fn keep_decoded(&mut self, place: &FramePlace, header: FrameHeader, raw: Vec<u8>) {
        self.decoded.push_back((place.clone(), header, raw));
        while self.decoded.len() > DECODED_FRAMES {
            self.decoded.pop_front();
        }
    }

    /// Returns the frame of a chunk from the cache; one that is not sound or not the right one is no frame.
    fn cached_frame(&self, chunk: &LocatedChunk) -> Option<(FrameHeader, Vec<u8>)> {
        let cache = self.cache.as_ref()?;
        let name = name_of(cache, chunk);
        let frame = Frame::decode_prefix(&cache.get(&name)?).ok();
        let right = |frame: &Frame| {
            let header = frame.header();
            let found = header.find_chunk(&chunk.id).is_some_and(|(_, len)| len == chunk.len as usize);
            found && header.kind() == FrameKind::Chunks && header.frame_len() == u64::from(chunk.stored_len)
        };
        let frame = frame.filter(right);
        let sound = frame.and_then(|frame| Some((frame.header().clone(), decode(&chunk.pack, &frame).ok()?)));
        if sound.is_none() {
            cache.remove(&name);
        }
        sound
    }

    /// Fetches the frame of a chunk, and the frames behind it as far as they are likely wanted.
    fn fetch_run(&mut self, number: usize) -> Result<(), SyncError> {
        let reads_on = self.is_stream && number == self.next_chunk;
        self.ahead = if reads_on { (self.ahead * 2).clamp(1024 * 1024, MAX_REQUEST_LEN) } else { 0 };
        if self.coming.front().is_some_and(|coming| coming.process != std::process::id()) {
            std::mem::forget(std::mem::take(&mut self.coming));
        }
        let coming = self.coming.pop_front().filter(|coming| coming.run.first == number);
        if coming.is_none() {
            self.coming.clear();
        }
        let (run, frames) = match coming {
            // A thread that ended without an answer says nothing about the remote.
            Some(Coming { run, frames, .. }) => (run, frames.recv().ok()),
            None => (self.run_from(number), None),
        };
        if run.frames.is_empty() {
            return Ok(());
        }
        let frames = frames.unwrap_or_else(|| fetch_frames(self.backend.as_ref(), &run.pack, &run.frames))?;
        self.fetched = run.frames.iter().map(|(offset, _)| (Arc::clone(&run.pack), *offset)).zip(frames).collect();
        self.next_chunk = run.next;
        let is_long_way = reads_on && self.ahead == MAX_REQUEST_LEN;
        while self.coming.len() < REQUESTS_AHEAD {
            let next = self.coming.back().map_or(self.next_chunk, |coming| coming.run.next);
            let is_asked_for = self.starts.get(next).is_some_and(|start| *start < self.asked_until);
            if !(is_asked_for || is_long_way) || !self.ask_for(next) {
                break;
            }
        }
        Ok(())
    }

    /// Returns what one request brings that begins with the frame of a chunk.
    fn run_from(&self, first: usize) -> Run {
        let mut run = Run { first, next: first, ..Run::default() };
        let (mut end, mut total) = (0, 0);
        for (chunk, start) in self.chunks.iter().zip(&self.starts).skip(first) {
            let is_wanted = *start < self.asked_until || total < self.ahead;
            match run.frames.last() {
                Some((offset, _)) if run.pack == chunk.pack && *offset == chunk.offset => {}
                Some(_) if run.pack != chunk.pack || chunk.offset != end || !is_wanted => break,
                _ if total + u64::from(chunk.stored_len) > MAX_REQUEST_LEN && !run.frames.is_empty() => break,
                _ => {
                    run.pack = Arc::clone(&chunk.pack);
                    run.frames.push((chunk.offset, chunk.stored_len));
                    end = chunk.offset + u64::from(chunk.stored_len);
                    total += u64::from(chunk.stored_len);
                }
            }
            run.next += 1;
        }
        run
    }

    /// Asks for what a later [`Self::fetch_run`] wants; `false` at the end, and where no thread can be had.
    fn ask_for(&mut self, first: usize) -> bool {
        let run = self.run_from(first);
        if run.frames.is_empty() {
            return false;
        }
        let (sender, frames) = sync_channel(1);
        let (backend, asked) = (Arc::clone(&self.backend), run.clone());
        let asking = std::thread::Builder::new().name("onenb-ahead".to_owned()).spawn(move || {
            // The reader may be gone.
            let _ = sender.send(fetch_frames(backend.as_ref(), &asked.pack, &asked.frames));
        });
        if asking.is_ok() {
            self.coming.push_back(Coming { process: std::process::id(), run, frames });
        }
        asking.is_ok()
    }
}

fn name_of(cache: &ReadCache, chunk: &LocatedChunk) -> CacheName {
    cache.name("frame", &format!("{} {}", chunk.pack, chunk.offset))
}

fn same_frame(a: &LocatedChunk, b: &LocatedChunk) -> bool {
    a.pack == b.pack && a.offset == b.offset
}

fn copy(from: &[u8], buffer: &mut [u8]) -> usize {
    let count = from.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..count), from.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

/// Fetches frames that lie behind each other in one pack, in one request.
pub(super) fn fetch_frames(backend: &dyn Backend, pack: &str, run: &[(u64, u32)]) -> Result<Vec<Frame>, SyncError> {
    let (Some((start, _)), Some((last, last_len))) = (run.first(), run.last()) else { return Ok(vec![]) };
    let key = Key::parse(pack)?;
    let bytes = backend.get_range(&key, *start..last + u64::from(*last_len)).map_err(|error| named(error, &key))?;
    let damaged = |source| SyncError::Damaged { key: pack.to_owned(), source };
    let wrong = || SyncError::WrongObject { key: pack.to_owned(), reason: "a frame has another length there" };
    let mut rest = bytes.as_slice();
    let mut frames = Vec::with_capacity(run.len());
    for (_, stored_len) in run {
        let (bytes, after) = rest.split_at_checked(*stored_len as usize).ok_or_else(wrong)?;
        rest = after;
        let frame = Frame::decode_prefix(bytes).map_err(damaged)?;
        if frame.header().frame_len() != u64::from(*stored_len) || frame.header().kind() != FrameKind::Chunks {
            return Err(wrong());
        }
        frames.push(frame);
    }
    Ok(frames)
}

/// Unpacks a frame and verifies all its chunks.
pub(super) fn decode(pack: &str, frame: &Frame) -> Result<Vec<u8>, SyncError> {
    frame.decode(Check::Chunks).map_err(|source| SyncError::Damaged { key: pack.to_owned(), source })
}

impl Read for RemoteContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer).map_err(|error| Error::from(error).into())
    }
}

impl Seek for RemoteContent {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let target = match position {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, SyncError::BadSeek))?;
        Ok(self.position)
    }
}
