//! Compressing chunks anew: like with like in frames of 1 MiB, each leaning on the frame that it is most like.
//!
//! - Frames come as they were written, so that keys come before what leans on them. One that stands alone and is like
//!   nothing known stays whole, beside others of its grain; if that is no smaller than it was, it stays as it was.
//! - Of all others each chunk goes behind the frame that it shares anchors with, else behind what it leaned on before.
//! - A frame leans on the one that it continues, one deeper each time. Where that gets too deep, the key at the bottom
//!   of the chain takes its place, as in exports: [`MAX_DELTA_DEPTH`] bounds what a read decodes.
//! - One thread reads and sorts, all cores compress, and frames are appended in the order in which they lean on each
//!   other. Each is unpacked and compared before it is appended. After an error nothing more is appended.
//! - Memory: [`MAX_OPEN_LEN`] of frames being filled, [`MAX_RECENT_LEN`] of those filled last, a few jobs for each
//!   core, two generations of anchors, and about 100 bytes for each chunk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::anchors::anchors;
use super::appender::Appender;
use super::pool::{Pool, Priority};
use super::reader::FrameCache;
use super::{Live, StoreError};
use crate::format::FormatError;
use crate::format::pack::{
    BaseSpan, Check, Codec, DeltaBase, FRAME_TARGET_LEN, Frame, FrameHeader, FrameKey, Grain, MAX_BASE_LEN,
    MAX_DELTA_DEPTH, MAX_FRAME_BASES, MAX_NOISE_LEN, PackHeader, grain_of,
};
use crate::id::ChunkId;

/// Bytes of frames being filled at once.
const MAX_OPEN_LEN: usize = 32 * 1024 * 1024;
/// Bytes of the frames filled last, which the next ones are likely to lean on.
const MAX_RECENT_LEN: usize = 16 * 1024 * 1024;
/// Anchors of one generation: of 512 MiB of chunks, in 20 MB. The generation before is known too.
const MAX_ANCHORS: usize = 512 * 1024;
/// Length of the stretches of something large whose versions are kept apart.
const STRETCH_LEN: usize = 256 * 1024;
/// Frames with more chunks than this lend only those that are wanted.
const MAX_DENSE_KEYS: usize = 64;
/// Frames between two syncs: what a crash costs at most.
const FRAMES_PER_COMMIT: u32 = 32;

/// A frame, and the numbers of some of its chunks.
type Part = (u32, HashSet<u16>);

/// A frame that chunks may be like.
#[derive(Default)]
struct Known {
    /// At most this deep.
    depth: u8,
    /// Empty while it is being filled.
    keys: Vec<FrameKey>,
    /// What the chain that it ends starts with; `None` if it stands alone.
    bottom: Option<Part>,
    /// It is something large: versions of its stretches are kept apart, so that what is behind it leans on little of
    /// it.
    is_split: bool,
}

/// Where the next chunk of a kind goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// What is like nothing known.
    Fresh(Grain),
    /// Chunks that are like a stretch of a frame.
    Behind(u32, usize),
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
    /// The frames that it is made of, where it is whole frames that stand alone.
    sources: Option<Vec<Frame>>,
}

/// What a frame is going to lean on.
#[derive(Default)]
struct Lean {
    base: DeltaBase,
    /// Keys of chains took the place of frames that are nearer.
    is_far: bool,
    bottom: Option<Part>,
}

/// What a thread compresses.
struct Job {
    keys: Vec<FrameKey>,
    raw: Arc<Vec<u8>>,
    base: DeltaBase,
    is_far: bool,
    repeats: bool,
    sources: Vec<Frame>,
    level: i32,
}

type Encoded = Result<Vec<Frame>, StoreError>;

/// Writes chunks anew. What it appended stays readable whatever happens to the rest.
pub(super) struct Recoder<'a> {
    live: &'a Live,
    level: i32,
    appender: Appender,
    /// What is compressed, in the order in which it is appended.
    pool: Pool<(), (u32, Encoded)>,
    frames: Vec<Known>,
    /// Which frame has a chunk, and as which of its chunks.
    homes: HashMap<[u8; 32], (u32, u16)>,
    recent_anchors: HashMap<u64, (u32, u16)>,
    older_anchors: HashMap<u64, (u32, u16)>,
    bins: BTreeMap<u32, Bin>,
    slots: BTreeMap<Slot, u32>,
    open_len: usize,
    /// The frames filled last, newest first.
    recent: VecDeque<(u32, Arc<Vec<u8>>)>,
    /// Where the chunk before went.
    last: Option<u32>,
    cache: FrameCache,
    uncommitted: u32,
    /// Every frame so far was appended.
    is_whole: bool,
}

/// A chunk of an old frame.
struct Taken<'a> {
    key: FrameKey,
    bytes: &'a [u8],
    anchors: Vec<u64>,
}

impl<'a> Recoder<'a> {
    /// Starts new packs that carry the mark of a level.
    pub(super) fn new(live: &'a Live, level: i32) -> Result<Self, StoreError> {
        Ok(Self {
            live,
            level,
            appender: Appender::beside(PackHeader::repacked(level)),
            pool: Pool::spawn(usize::MAX, Priority::Low)?,
            frames: vec![],
            homes: HashMap::new(),
            recent_anchors: HashMap::new(),
            older_anchors: HashMap::new(),
            bins: BTreeMap::new(),
            slots: BTreeMap::new(),
            open_len: 0,
            recent: VecDeque::new(),
            last: None,
            cache: FrameCache::default(),
            uncommitted: 0,
            is_whole: true,
        })
    }

    /// Makes a frame known that stays where it is, so that chunks may lean on it; those that it leans on come first.
    /// One whose bases are not known is passed over: nothing could take its place where a chain gets too deep.
    pub(super) fn know(&mut self, header: &FrameHeader, raw: &[u8]) {
        let bases: Vec<_> = header.bases().iter().filter_map(|base| self.homes.get(base.chunk.as_bytes())).collect();
        let bottom = bases.first().map(|(first, _)| {
            let own = || (*first, bases.iter().filter(|(frame, _)| frame == first).map(|(_, key)| *key).collect());
            self.frames.get(*first as usize).and_then(|known| known.bottom.clone()).unwrap_or_else(own)
        });
        if bottom.is_none() && !header.bases().is_empty() {
            return;
        }
        let (depth, keys) = (header.delta_depth(), header.keys().to_vec());
        let number = self.add_known(Known { depth, keys, is_split: bottom.is_none(), bottom });
        for (at, chunk) in (0..).zip(split(header.keys(), raw)) {
            self.remember(&chunk, number, at);
        }
    }

    /// Takes the wanted chunks of an old frame into new ones.
    ///
    /// # Errors
    /// What appending meets. After that it is only to be dropped.
    pub(super) fn take(
        &mut self,
        frame: Frame,
        raw: &[u8],
        is_wanted: impl Fn(&FrameKey) -> bool,
    ) -> Result<(), StoreError> {
        let mut chunks = split(frame.header().keys(), raw);
        let count = chunks.len();
        chunks.retain(|chunk| is_wanted(&chunk.key));
        let sampled: usize = chunks.iter().map(|chunk| chunk.anchors.len()).sum();
        let known = chunks.iter().flat_map(|chunk| &chunk.anchors).filter(|anchor| self.place_of(**anchor).is_some());
        if chunks.len() == count && frame.header().bases().is_empty() && known.count() * 8 <= sampled {
            self.take_whole(frame, raw, &chunks)?;
        } else {
            for chunk in &chunks {
                self.take_chunk(chunk, frame.header().bases())?;
            }
        }
        while self.open_len > MAX_OPEN_LEN
            && let Some(largest) = self.bins.iter().max_by_key(|(_, bin)| bin.raw.len()).map(|(number, _)| *number)
        {
            self.close(largest)?;
        }
        Ok(())
    }

    /// Takes a frame that stands alone and is like nothing known.
    fn take_whole(&mut self, frame: Frame, raw: &[u8], chunks: &[Taken<'_>]) -> Result<(), StoreError> {
        let grain = if frame.header().codec() == Codec::Raw { Grain::Noise } else { grain_of(raw) };
        let number = self.bin_for(Slot::Fresh(grain), raw.len(), chunks.len())?;
        for chunk in chunks {
            self.add(number, chunk, &[]);
        }
        if let Some(sources) = self.bins.get_mut(&number).and_then(|bin| bin.sources.as_mut()) {
            sources.push(frame);
        }
        self.last = Some(number);
        Ok(())
    }

    fn take_chunk(&mut self, chunk: &Taken<'_>, bases: &[BaseSpan]) -> Result<(), StoreError> {
        let mut votes: HashMap<u32, u32> = HashMap::new();
        let mut places: Vec<(u32, u16)> = chunk.anchors.iter().filter_map(|anchor| self.place_of(*anchor)).collect();
        for (frame, _) in &places {
            *votes.entry(*frame).or_default() += 1;
        }
        let best = votes.iter().max_by_key(|(frame, votes)| (**votes, **frame)).map(|(frame, votes)| (*frame, *votes));
        // Spread thinly over everything, it is like nothing in particular.
        let is_like = |votes: u32| votes as usize * 8 >= places.len() && places.len() * 8 >= chunk.anchors.len();
        let before = bases.iter().take(MAX_DENSE_KEYS).filter_map(|base| self.homes.get(base.chunk.as_bytes()));
        let before: Vec<(u32, u16)> = before.copied().collect();
        let slot = match (best, before.first(), self.last) {
            (Some((frame, votes)), ..) if is_like(votes) => self.behind(frame, &places),
            (_, Some((frame, _)), _) => {
                let slot = self.behind(*frame, &before);
                places.extend(before);
                slot
            }
            (.., Some(last)) if chunk.anchors.is_empty() && self.bins.contains_key(&last) => Slot::Behind(last, 0),
            _ => match (grain_of(chunk.bytes), best) {
                // Of what does not compress, the little that is known is all there is to save.
                (Grain::Noise, Some((frame, votes))) if votes > 1 => self.behind(frame, &places),
                (grain, _) => Slot::Fresh(grain),
            },
        };
        let number = self.bin_for(slot, chunk.bytes.len(), 1)?;
        self.add(number, chunk, &places);
        if let Some(bin) = self.bins.get_mut(&number) {
            bin.sources = None;
        }
        self.last = Some(number);
        Ok(())
    }

    /// Returns where goes what is like a frame in some places.
    fn behind(&self, frame: u32, places: &[(u32, u16)]) -> Slot {
        let Some(known) = self.frames.get(frame as usize).filter(|known| known.is_split) else {
            return Slot::Behind(frame, 0);
        };
        let first = places.iter().find(|(place, _)| *place == frame).map_or(0, |(_, key)| usize::from(*key));
        let offset: usize = known.keys.iter().take(first).map(|key| key.len as usize).sum();
        Slot::Behind(frame, offset / STRETCH_LEN)
    }

    /// Adds a chunk to a frame being filled.
    fn add(&mut self, number: u32, chunk: &Taken<'_>, places: &[(u32, u16)]) {
        let Some(bin) = self.bins.get_mut(&number) else { return };
        let at = u16::try_from(bin.keys.len()).expect("a frame has at most 16384 chunks");
        bin.keys.push(chunk.key);
        bin.raw.extend_from_slice(chunk.bytes);
        for (frame, key) in places {
            if *frame == number {
                bin.repeats = true;
                continue;
            }
            let votes = bin.votes.entry(*frame).or_default();
            votes.0 += 1;
            votes.1.insert(*key);
        }
        self.open_len += chunk.bytes.len();
        self.remember(chunk, number, at);
    }

    /// Writes what is left and ends the packs, so that what comes next lies in others. It may lean on what is there.
    pub(super) fn end_part(&mut self) -> Result<(), StoreError> {
        while let Some(number) = self.bins.keys().next().copied() {
            self.close(number)?;
        }
        while !self.pool.is_empty() {
            self.append_next()?;
        }
        self.last = None;
        self.uncommitted = 0;
        self.live.data.commit_for_good_by(&mut self.appender, 0)?;
        let next = Appender::beside(PackHeader::repacked(self.level));
        self.live.data.retire(std::mem::replace(&mut self.appender, next));
        Ok(())
    }

    fn place_of(&self, anchor: u64) -> Option<(u32, u16)> {
        self.recent_anchors.get(&anchor).or_else(|| self.older_anchors.get(&anchor)).copied()
    }

    fn remember(&mut self, chunk: &Taken<'_>, frame: u32, at: u16) {
        if self.recent_anchors.len() + chunk.anchors.len() > MAX_ANCHORS {
            self.older_anchors = std::mem::take(&mut self.recent_anchors);
        }
        self.recent_anchors.extend(chunk.anchors.iter().map(|anchor| (*anchor, (frame, at))));
        self.homes.insert(chunk.key.id, (frame, at));
    }

    fn add_known(&mut self, known: Known) -> u32 {
        self.frames.push(known);
        u32::try_from(self.frames.len() - 1).expect("a store has fewer than 2^32 frames")
    }

    /// Returns the frame being filled for a slot that has room.
    fn bin_for(&mut self, slot: Slot, len: usize, count: usize) -> Result<u32, StoreError> {
        let mut slot = slot;
        loop {
            let number = match slot {
                // The frame itself, as long as it is being filled.
                Slot::Behind(frame, _) if self.bins.contains_key(&frame) => Some(frame),
                _ => self.slots.get(&slot).copied(),
            };
            let Some(number) = number else {
                let number = self.add_known(Known::default());
                let sources = matches!(slot, Slot::Fresh(_)).then(Vec::new);
                let bin = Bin { slot, keys: vec![], raw: vec![], votes: HashMap::new(), repeats: false, sources };
                self.bins.insert(number, bin);
                self.slots.insert(slot, number);
                return Ok(number);
            };
            let has_room = |bin: &Bin| {
                let most = match bin.slot {
                    Slot::Fresh(Grain::Noise) => usize::try_from(MAX_NOISE_LEN).unwrap_or(FRAME_TARGET_LEN),
                    _ => FRAME_TARGET_LEN,
                };
                bin.raw.len() + len <= most && bin.keys.len() + count <= MAX_FRAME_BASES
            };
            if self.bins.get(&number).is_some_and(has_room) {
                return Ok(number);
            }
            self.close(number)?;
            if matches!(slot, Slot::Behind(..)) {
                slot = Slot::Behind(number, 0);
            }
        }
    }

    /// Hands a frame that is filled to the threads.
    fn close(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(bin) = self.bins.remove(&number) else { return Ok(()) };
        self.open_len -= bin.raw.len();
        self.slots.remove(&bin.slot);
        let Lean { base, is_far, bottom } = self.lean(&bin);
        if let Some(known) = self.frames.get_mut(number as usize) {
            *known = Known { depth: base.depth, keys: bin.keys.clone(), bottom, is_split: bin.sources.is_some() };
        }
        let raw = Arc::new(bin.raw);
        self.recent.push_front((number, Arc::clone(&raw)));
        while self.recent.len() > 1 && self.recent.iter().map(|(_, raw)| raw.len()).sum::<usize>() > MAX_RECENT_LEN {
            self.recent.pop_back();
        }
        while self.pool.is_full() {
            self.append_next()?;
        }
        let (keys, repeats, sources) = (bin.keys, bin.repeats, bin.sources.unwrap_or_default());
        let job = Job { keys, raw, base, is_far, repeats, sources, level: self.level };
        self.pool.give(move |()| (number, job.encode()))
    }

    /// Appends the next frame in order. Where that fails, nothing more is appended: what comes after may lean on it.
    fn append_next(&mut self) -> Result<(), StoreError> {
        let done = if self.is_whole { self.append_one() } else { Err(StoreError::Unsynced) };
        self.is_whole &= done.is_ok();
        done
    }

    fn append_one(&mut self) -> Result<(), StoreError> {
        let Some((number, frames)) = self.pool.take()? else { return Ok(()) };
        let frames = frames?;
        if let Some(known) = self.frames.get_mut(number as usize)
            && frames.iter().all(|frame| frame.header().bases().is_empty())
        {
            known.depth = 0;
            known.bottom = None;
        }
        self.live.data.append_by(&mut self.appender, &frames)?;
        self.uncommitted += 1;
        if self.uncommitted < FRAMES_PER_COMMIT {
            return Ok(());
        }
        self.uncommitted = 0;
        self.live.data.commit_by(&mut self.appender, 0)
    }

    /// Reads what a frame is going to lean on; nothing where it stands alone.
    fn lean(&mut self, bin: &Bin) -> Lean {
        let (chosen, is_far) = self.choose_bases(bin);
        let mut lean = Lean { is_far, ..Lean::default() };
        let base = &mut lean.base;
        for (frame, wanted) in chosen {
            let Some(known) = self.frames.get(frame as usize) else { continue };
            let spans = spans_of(&known.keys, &wanted);
            let added: usize = spans.iter().map(|(_, span)| span.len as usize).sum();
            let is_too_deep = base.depth + 1 + known.depth > MAX_DELTA_DEPTH;
            debug_assert!(!is_too_deep, "what was chosen takes no more frames than a read may decode");
            let is_long = base.bytes.len() + added > MAX_BASE_LEN;
            if is_long || base.spans.len() + spans.len() > MAX_FRAME_BASES || is_too_deep {
                continue;
            }
            let start = base.bytes.len();
            let recent = self.recent.iter().find(|(number, _)| *number == frame).map(|(_, raw)| raw);
            let is_read = spans.iter().all(|(offset, span)| {
                if let Some(bytes) = recent.and_then(|raw| raw.get(*offset..offset + span.len as usize)) {
                    base.bytes.extend_from_slice(bytes);
                    return true;
                }
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
            base.spans.extend(spans.into_iter().map(|(_, span)| span));
            base.depth += 1 + known.depth;
            lean.bottom = lean.bottom.or_else(|| Some(known.bottom.clone().unwrap_or((frame, wanted))));
        }
        lean
    }

    /// Chooses the frame that a frame continues; where that has less than half of the anchors, those that have most.
    /// Together they take no more than the frames that a read may decode: for one that is too deep, the key that its
    /// chain starts with.
    fn choose_bases(&self, bin: &Bin) -> (Vec<Part>, bool) {
        let Slot::Behind(before, _) = bin.slot else { return (vec![], false) };
        let total: u32 = bin.votes.values().map(|(votes, _)| votes).sum();
        let votes_of = |frame: u32| bin.votes.get(&frame).map_or(0, |(votes, _)| *votes);
        let mut ranked = vec![before];
        if votes_of(before) * 2 < total {
            ranked = bin.votes.keys().copied().filter(|frame| votes_of(*frame) * 16 >= total).collect();
            ranked.sort_by_key(|frame| (Reverse(votes_of(*frame)), *frame));
        }
        let (mut chosen, mut left, mut is_far) = (Vec::<Part>::new(), MAX_DELTA_DEPTH, false);
        for frame in ranked {
            let Some(known) = self.frames.get(frame as usize).filter(|known| !known.keys.is_empty()) else { continue };
            let wanted = bin.votes.get(&frame).map(|(_, keys)| keys.clone()).unwrap_or_default();
            let (part, cost) = match &known.bottom {
                Some(bottom) if known.depth >= left => {
                    is_far = true;
                    (bottom.clone(), 1 + self.frames.get(bottom.0 as usize).map_or(0, |bottom| bottom.depth))
                }
                _ => ((frame, wanted), 1 + known.depth),
            };
            if let Some((_, keys)) = chosen.iter_mut().find(|(chosen, _)| *chosen == part.0) {
                keys.extend(part.1);
            } else if cost <= left {
                left -= cost;
                chosen.push(part);
            }
        }
        (chosen, is_far)
    }
}

impl Drop for Recoder<'_> {
    fn drop(&mut self) {
        // What is whole is what the next run goes on with: of what is under way, only what was begun already.
        self.pool.stop();
        while !self.pool.is_empty() && self.append_next().is_ok() {}
        let _ = self.live.data.commit_by(&mut self.appender, 0);
        self.live.data.retire(std::mem::take(&mut self.appender));
    }
}

impl Job {
    /// Compresses, and makes sure that the result unpacks to the same bytes. What it is made of stays as it was where
    /// that takes no more room.
    fn encode(self) -> Encoded {
        if let [source] = self.sources.as_slice()
            && source.header().codec() == Codec::Raw
        {
            return Ok(self.sources);
        }
        let frame = self.smallest();
        let base = if frame.header().bases().is_empty() { &[] } else { self.base.bytes.as_slice() };
        match frame.decode_on(base, Check::Payload) {
            Ok(raw) if raw == *self.raw => {}
            Ok(_) => {
                let source = FormatError::malformed("frame", "it does not unpack to what was packed");
                return Err(StoreError::Refused { source });
            }
            Err(source) => return Err(StoreError::Refused { source }),
        }
        let before: u64 = self.sources.iter().map(|source| source.header().frame_len()).sum();
        if before > 0 && before <= frame.header().frame_len() { Ok(self.sources) } else { Ok(vec![frame]) }
    }

    fn smallest(&self) -> Frame {
        let len = |frame: &Frame| frame.header().frame_len();
        let leans = !self.base.spans.is_empty();
        let delta = leans.then(|| Frame::chunks_against(&self.keys, &self.raw, &self.base, self.level)).flatten();
        match delta {
            Some(delta) if !self.is_far && delta.header().stored_len() * 2 <= delta.header().raw_len() => delta,
            Some(delta) => {
                let alone = self.alone();
                // As the new bottom of what follows, one that stands alone is worth a little more.
                let is_worth = if self.is_far { len(&delta) * 5 <= len(&alone) * 4 } else { len(&delta) < len(&alone) };
                if is_worth { delta } else { alone }
            }
            None => self.alone(),
        }
    }

    fn alone(&self) -> Frame {
        let frame = Frame::chunks_joined(self.keys.clone(), self.raw.to_vec(), self.level);
        // Noise or numbers that come twice: a sample of them does not show it.
        let is_judged = self.repeats && (frame.header().codec() == Codec::Raw || frame.header().is_filtered());
        let plain = is_judged.then(|| Frame::chunks_repeating(&self.keys, &self.raw, self.level)).flatten();
        plain.filter(|plain| plain.header().frame_len() < frame.header().frame_len()).unwrap_or(frame)
    }
}

/// Splits a frame into its chunks.
fn split<'a>(keys: &[FrameKey], raw: &'a [u8]) -> Vec<Taken<'a>> {
    let mut rest = raw;
    let mut chunks = Vec::with_capacity(keys.len());
    for key in keys {
        let Some((bytes, after)) = rest.split_at_checked(key.len as usize) else { break };
        chunks.push(Taken { key: *key, bytes, anchors: anchors(bytes) });
        rest = after;
    }
    chunks
}

/// Returns the chunks of a frame that are wanted, and where they are not tiny those between them; for each its
/// position.
fn spans_of(keys: &[FrameKey], wanted: &HashSet<u16>) -> Vec<(usize, BaseSpan)> {
    let first = wanted.iter().min().copied().unwrap_or_default();
    let last = wanted.iter().max().copied().unwrap_or(u16::MAX);
    let is_dense = keys.len() <= MAX_DENSE_KEYS;
    let (mut spans, mut offset) = (vec![], 0);
    for (at, key) in (0_u16..).zip(keys) {
        let is_near = (first..=last).contains(&at) && (is_dense || wanted.is_empty());
        if (is_near || wanted.contains(&at)) && (!wanted.is_empty() || spans.len() < MAX_DENSE_KEYS) {
            spans.push((offset, BaseSpan { chunk: ChunkId::from_bytes(key.id), offset: 0, len: key.len }));
        }
        offset += key.len as usize;
    }
    spans
}
