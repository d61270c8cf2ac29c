//! Compressing chunks anew: like with like in frames of 1 MiB, each leaning on the frame that it is most like.
//!
//! - Chunks come newest version first. One that shares anchors with a frame joins the frame being filled behind it, or
//!   that frame itself while it is being filled; one that shares none starts something new, beside others of its grain.
//! - A frame leans on the one that it continues, one deeper each time, and after [`MAX_DELTA_DEPTH`] a new key begins. Where
//!   its anchors are spread, it leans on the frames that have most of them, within the same bound on what a read decodes.
//! - One thread reads and sorts, all cores compress, and frames are appended in the order in which they lean on each
//!   other. Each is unpacked and compared before it is appended.
//! - Memory is bounded: [`MAX_OPEN_LEN`] of frames being filled, a few jobs for each core, and two generations of anchors.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::anchors::anchors;
use super::appender::Appender;
use super::reader::FrameCache;
use super::{Live, StoreError};
use crate::format::FormatError;
use crate::format::pack::{
    BaseSpan, Check, Codec, DeltaBase, FRAME_TARGET_LEN, Frame, FrameKey, Grain, MAX_BASE_LEN, MAX_DELTA_DEPTH,
    MAX_FRAME_BASES, MAX_NOISE_LEN, PackHeader, grain_of,
};
use crate::fs;
use crate::id::ChunkId;

/// Bytes of frames being filled at once.
const MAX_OPEN_LEN: usize = 32 * 1024 * 1024;
/// Anchors of one generation: of 512 MiB of chunks, in 20 MB. The generation before is known too.
const MAX_ANCHORS: usize = 512 * 1024;
/// Frames with more chunks than this lend only those that are wanted.
const MAX_DENSE_KEYS: usize = 64;
/// Jobs under way for each thread.
const JOBS_PER_THREAD: u64 = 3;
/// Frames between two syncs: what a crash costs at most.
const FRAMES_PER_COMMIT: u64 = 32;

/// A frame that chunks may be like.
struct Known {
    depth: u8,
    /// Empty while it is being filled.
    keys: Vec<FrameKey>,
}

/// Where the next chunk of a kind goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// Chunks that are like nothing known.
    Fresh(Grain),
    /// Chunks that are like a frame.
    Behind(u32),
}

/// A frame being filled.
struct Bin {
    slot: Slot,
    keys: Vec<FrameKey>,
    raw: Vec<u8>,
    /// Anchors in common with each other frame, and the numbers of its chunks that have them.
    votes: HashMap<u32, (u32, HashSet<u16>)>,
    /// Some of its chunks have anchors in common.
    repeats: bool,
}

/// What a thread compresses.
struct Job {
    keys: Vec<FrameKey>,
    raw: Vec<u8>,
    base: DeltaBase,
    repeats: bool,
    level: i32,
}

type Encoded = (u64, Result<Frame, StoreError>);

/// Threads of low priority that compress.
struct Workers {
    jobs: Option<SyncSender<(u64, Job)>>,
    done: Receiver<Encoded>,
    threads: Vec<JoinHandle<()>>,
    sent: u64,
    appended: u64,
    /// Frames whose predecessors are not done yet.
    waiting: BTreeMap<u64, Frame>,
}

/// Writes chunks anew. What it appended stays readable whatever happens to the rest.
pub(super) struct Recoder<'a> {
    live: &'a Live,
    level: i32,
    appender: Option<Appender>,
    workers: Workers,
    frames: Vec<Known>,
    recent_anchors: HashMap<u64, (u32, u16)>,
    older_anchors: HashMap<u64, (u32, u16)>,
    bins: BTreeMap<u32, Bin>,
    slots: BTreeMap<Slot, u32>,
    open_len: usize,
    /// Where the chunk before went.
    last: Option<u32>,
    cache: FrameCache,
    /// Every frame so far was appended.
    is_whole: bool,
}

impl<'a> Recoder<'a> {
    /// Starts with an appender whose packs carry the mark of this level.
    pub(super) fn new(live: &'a Live, level: i32, appender: Appender) -> Result<Self, StoreError> {
        Ok(Self {
            live,
            level,
            appender: Some(appender),
            workers: Workers::spawn()?,
            frames: vec![],
            recent_anchors: HashMap::new(),
            older_anchors: HashMap::new(),
            bins: BTreeMap::new(),
            slots: BTreeMap::new(),
            open_len: 0,
            last: None,
            cache: FrameCache::default(),
            is_whole: true,
        })
    }

    /// Returns an appender for packs that are repacked at a level.
    pub(super) fn appender(level: i32) -> Appender {
        Appender::with_features(PackHeader::repacked(level))
    }

    /// Makes a frame known that stays where it is, so that chunks may lean on it.
    pub(super) fn know(&mut self, depth: u8, keys: &[FrameKey], raw: &[u8]) {
        let number = self.add_known(Known { depth, keys: keys.to_vec() });
        let mut rest = raw;
        for (at, key) in (0..).zip(keys) {
            let Some((bytes, after)) = rest.split_at_checked(key.len as usize) else { break };
            self.remember(&anchors(bytes), number, at);
            rest = after;
        }
    }

    /// Reads a chunk where it is now and takes it into a frame.
    ///
    /// # Errors
    /// An error of kind `Damaged` if the chunk cannot be read, which leaves everything else as it was, and else what
    /// appending meets.
    pub(super) fn take(&mut self, id: &ChunkId) -> Result<(), StoreError> {
        let bytes = self.live.chunk(id, &mut self.cache)?;
        let bytes = bytes.as_slice();
        let sampled = anchors(bytes);
        let mut votes: HashMap<u32, u32> = HashMap::new();
        let places: Vec<(u32, u16)> = sampled.iter().filter_map(|anchor| self.place_of(*anchor)).collect();
        for (frame, _) in &places {
            *votes.entry(*frame).or_default() += 1;
        }
        let best = votes.iter().max_by_key(|(frame, votes)| (**votes, **frame)).map(|(frame, votes)| (*frame, *votes));
        // Spread thinly over everything, it is like nothing in particular.
        let is_like = |votes: u32| votes as usize * 8 >= places.len() && places.len() * 8 >= sampled.len();
        let slot = match (best, self.last) {
            (Some((frame, votes)), _) if is_like(votes) => Slot::Behind(frame),
            (_, Some(last)) if sampled.is_empty() && self.bins.contains_key(&last) => Slot::Behind(last),
            _ => match (grain_of(bytes), best) {
                // Of what does not compress, the little that is known is all there is to save.
                (Grain::Noise, Some((frame, votes))) if votes > 1 => Slot::Behind(frame),
                (grain, _) => Slot::Fresh(grain),
            },
        };
        let number = self.bin_for(slot, bytes.len())?;
        let Some(bin) = self.bins.get_mut(&number) else { return Ok(()) };
        let len = u32::try_from(bytes.len()).expect("a chunk is at most 1 MiB long");
        let at = u16::try_from(bin.keys.len()).expect("a frame has at most as many chunks as bases");
        bin.keys.push(FrameKey { id: *id.as_bytes(), len });
        bin.raw.extend_from_slice(bytes);
        for (frame, key) in places {
            if frame == number {
                bin.repeats = true;
                continue;
            }
            let votes = bin.votes.entry(frame).or_default();
            votes.0 += 1;
            votes.1.insert(key);
        }
        self.open_len += bytes.len();
        self.remember(&sampled, number, at);
        self.last = Some(number);
        if self.open_len > MAX_OPEN_LEN
            && let Some(largest) = self.bins.iter().max_by_key(|(_, bin)| bin.raw.len()).map(|(number, _)| *number)
        {
            self.close(largest)?;
        }
        Ok(())
    }

    /// Writes what is left and makes all of it durable.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        while let Some(number) = self.bins.keys().next().copied() {
            self.close(number)?;
        }
        while self.workers.appended < self.workers.sent {
            self.append_next()?;
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        match &mut self.appender {
            Some(appender) => self.live.data.commit_by(appender, 0),
            None => Ok(()),
        }
    }

    fn place_of(&self, anchor: u64) -> Option<(u32, u16)> {
        self.recent_anchors.get(&anchor).or_else(|| self.older_anchors.get(&anchor)).copied()
    }

    fn remember(&mut self, anchors: &[u64], frame: u32, key: u16) {
        if self.recent_anchors.len() + anchors.len() > MAX_ANCHORS {
            self.older_anchors = std::mem::take(&mut self.recent_anchors);
        }
        self.recent_anchors.extend(anchors.iter().map(|anchor| (*anchor, (frame, key))));
    }

    fn add_known(&mut self, known: Known) -> u32 {
        self.frames.push(known);
        u32::try_from(self.frames.len() - 1).expect("a store has fewer than 2^32 frames")
    }

    /// Returns the frame being filled for a slot that has room.
    fn bin_for(&mut self, slot: Slot, len: usize) -> Result<u32, StoreError> {
        let mut slot = slot;
        loop {
            let number = match slot {
                // The frame itself, as long as it is being filled.
                Slot::Behind(frame) if self.bins.contains_key(&frame) => Some(frame),
                _ => self.slots.get(&slot).copied(),
            };
            let Some(number) = number else {
                let number = self.add_known(Known { depth: 0, keys: vec![] });
                let bin = Bin { slot, keys: vec![], raw: vec![], votes: HashMap::new(), repeats: false };
                self.bins.insert(number, bin);
                self.slots.insert(slot, number);
                return Ok(number);
            };
            let has_room = |bin: &Bin| {
                let most = match bin.slot {
                    Slot::Fresh(Grain::Noise) => usize::try_from(MAX_NOISE_LEN).unwrap_or(FRAME_TARGET_LEN),
                    _ => FRAME_TARGET_LEN,
                };
                bin.raw.len() + len <= most && bin.keys.len() < MAX_FRAME_BASES
            };
            if self.bins.get(&number).is_some_and(has_room) {
                return Ok(number);
            }
            self.close(number)?;
            if matches!(slot, Slot::Behind(_)) {
                slot = Slot::Behind(number);
            }
        }
    }

    /// Hands a frame that is filled to the threads.
    fn close(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(bin) = self.bins.remove(&number) else { return Ok(()) };
        self.open_len -= bin.raw.len();
        self.slots.remove(&bin.slot);
        let base = self.base_of(&bin);
        if let Some(known) = self.frames.get_mut(number as usize) {
            *known = Known { depth: base.depth, keys: bin.keys.clone() };
        }
        let limit = JOBS_PER_THREAD * self.workers.threads.len() as u64;
        while self.workers.sent - self.workers.appended >= limit {
            self.append_next()?;
        }
        self.workers.send(Job { keys: bin.keys, raw: bin.raw, base, repeats: bin.repeats, level: self.level })
    }

    /// Appends the next frame in order. Where that fails, nothing more is appended: what comes after may lean on it.
    fn append_next(&mut self) -> Result<(), StoreError> {
        let done = if self.is_whole { self.append_one() } else { Err(StoreError::Unsynced) };
        self.is_whole &= done.is_ok();
        done
    }

    fn append_one(&mut self) -> Result<(), StoreError> {
        let frame = self.workers.next()?;
        let Some(appender) = &mut self.appender else { return Ok(()) };
        self.live.data.append_by(appender, &[frame])?;
        if self.workers.appended.is_multiple_of(FRAMES_PER_COMMIT) { self.commit() } else { Ok(()) }
    }

    /// Reads what a frame leans on; empty where nothing.
    fn base_of(&mut self, bin: &Bin) -> DeltaBase {
        let mut base = DeltaBase::default();
        for frame in self.choose_bases(bin) {
            let Some(known) = self.frames.get(frame as usize) else { continue };
            let wanted = bin.votes.get(&frame).map(|(_, keys)| keys);
            let spans = spans_of(&known.keys, wanted);
            let len: usize = spans.iter().map(|span| span.len as usize).sum();
            if base.bytes.len() + len > MAX_BASE_LEN || base.spans.len() + spans.len() > MAX_FRAME_BASES {
                continue;
            }
            let start = base.bytes.len();
            let is_read = spans.iter().all(|span| {
                let bytes = self.live.chunk(&span.chunk, &mut self.cache);
                bytes.is_ok_and(|bytes| {
                    base.bytes.extend_from_slice(bytes.as_slice());
                    true
                })
            });
            if !is_read || spans.is_empty() {
                // Damaged where it was: nothing new leans on it.
                base.bytes.truncate(start);
                continue;
            }
            base.spans.extend(spans);
            base.depth += 1 + known.depth;
        }
        base
    }

    /// Chooses the frame that a frame continues; where that has less than half of the anchors, those that have most. Together
    /// they take no more than the frames that a read may decode.
    fn choose_bases(&self, bin: &Bin) -> Vec<u32> {
        let Slot::Behind(before) = bin.slot else { return vec![] };
        let depth_of = |frame: u32| self.frames.get(frame as usize).map_or(MAX_DELTA_DEPTH, |known| known.depth);
        if depth_of(before) >= MAX_DELTA_DEPTH {
            return vec![];
        }
        let total: u32 = bin.votes.values().map(|(votes, _)| votes).sum();
        let votes_of = |frame: u32| bin.votes.get(&frame).map_or(0, |(votes, _)| *votes);
        if votes_of(before) * 2 >= total {
            return vec![before];
        }
        let mut ranked: Vec<u32> = bin.votes.keys().copied().filter(|frame| votes_of(*frame) * 16 >= total).collect();
        ranked.sort_by_key(|frame| (Reverse(votes_of(*frame)), *frame));
        let mut left = MAX_DELTA_DEPTH;
        ranked.retain(|frame| {
            let is_closed = !self.bins.contains_key(frame);
            let cost = 1 + depth_of(*frame);
            let fits = is_closed && cost <= left;
            left -= if fits { cost } else { 0 };
            fits
        });
        ranked
    }
}

impl Drop for Recoder<'_> {
    fn drop(&mut self) {
        // What is whole is kept for the next run, after an error too.
        while self.workers.appended < self.workers.sent && self.append_next().is_ok() {}
        let _ = self.commit();
        if let Some(appender) = self.appender.take() {
            self.live.data.retire(appender);
        }
    }
}

impl Workers {
    fn spawn() -> Result<Self, StoreError> {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (jobs, incoming) = sync_channel(count);
        let (outgoing, done) = channel();
        let incoming = Arc::new(Mutex::new(incoming));
        let mut threads = vec![];
        for _ in 0..count {
            let (incoming, outgoing) = (Arc::clone(&incoming), outgoing.clone());
            let thread = std::thread::Builder::new()
                .name("onenb-repack".to_owned())
                .spawn(move || work(&incoming, &outgoing))
                .map_err(|source| StoreError::Io { doing: "start a thread for", path: "the store".into(), source })?;
            threads.push(thread);
        }
        Ok(Self { jobs: Some(jobs), done, threads, sent: 0, appended: 0, waiting: BTreeMap::new() })
    }

    fn send(&mut self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Unsynced)?;
        jobs.send((self.sent, job)).map_err(|_| StoreError::Unsynced)?;
        self.sent += 1;
        Ok(())
    }

    /// Waits for the frame that comes next.
    fn next(&mut self) -> Result<Frame, StoreError> {
        loop {
            if let Some(frame) = self.waiting.remove(&self.appended) {
                self.appended += 1;
                return Ok(frame);
            }
            let (number, frame) = self.done.recv().map_err(|_| StoreError::Unsynced)?;
            self.waiting.insert(number, frame?);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(incoming: &Mutex<Receiver<(u64, Job)>>, outgoing: &Sender<Encoded>) {
    fs::lower_priority();
    loop {
        let job = incoming.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, job)) = job else { return };
        if outgoing.send((number, job.encode())).is_err() {
            return;
        }
    }
}

impl Job {
    /// Compresses, and makes sure that the result unpacks to the same bytes.
    fn encode(self) -> Result<Frame, StoreError> {
        let leans = !self.base.spans.is_empty();
        let against = leans.then(|| Frame::chunks_against(&self.keys, &self.raw, &self.base, self.level)).flatten();
        let alone = || {
            let frame = Frame::chunks_joined(self.keys.clone(), self.raw.clone(), self.level);
            // Noise or numbers that come twice: a sample of them does not show it.
            let is_judged = self.repeats && (frame.header().codec() == Codec::Raw || frame.header().is_filtered());
            let plain = is_judged.then(|| Frame::chunks_repeating(&self.keys, &self.raw, self.level)).flatten();
            plain.filter(|plain| plain.header().frame_len() < frame.header().frame_len()).unwrap_or(frame)
        };
        let frame = match against {
            Some(delta) if delta.header().stored_len() * 2 <= delta.header().raw_len() => delta,
            Some(delta) => {
                let alone = alone();
                if alone.header().frame_len() <= delta.header().frame_len() { alone } else { delta }
            }
            None => alone(),
        };
        let base = if frame.header().bases().is_empty() { &[] } else { self.base.bytes.as_slice() };
        match frame.decode_on(base, Check::Payload) {
            Ok(raw) if raw == self.raw => Ok(frame),
            Ok(_) => Err(FormatError::malformed("frame", "it does not unpack to what was packed")),
            Err(error) => Err(error),
        }
        .map_err(|source| StoreError::Refused { source })
    }
}

/// Returns the chunks of a frame that are wanted, and where they are not tiny those between them.
fn spans_of(keys: &[FrameKey], wanted: Option<&HashSet<u16>>) -> Vec<BaseSpan> {
    let span = |key: &FrameKey| BaseSpan { chunk: ChunkId::from_bytes(key.id), offset: 0, len: key.len };
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return keys.iter().take(MAX_DENSE_KEYS).map(span).collect();
    };
    let first = wanted.iter().min().copied().unwrap_or_default();
    let last = wanted.iter().max().copied().unwrap_or_default();
    let is_dense = keys.len() <= MAX_DENSE_KEYS;
    let numbered = (0_u16..).zip(keys).filter(|(at, _)| (first..=last).contains(at));
    numbered.filter(|(at, _)| is_dense || wanted.contains(at)).map(|(_, key)| span(key)).collect()
}
