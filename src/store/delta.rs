//! Delta frames: new chunks compressed against the chunks of the version before that share anchors with them.
//!
//! - The anchors of the parent are made from its bytes, in a window that moves along with the content and grows where
//!   nothing is found; none are stored. What is read of the parent is verified, so damage there only costs space.
//! - The depth of a frame is the number of other frames that decoding it takes, at most [`MAX_DELTA_DEPTH`]. So chunks
//!   that lean on different frames go into different frames, and only what is spread over several leans on several.
//! - Where bases would go deeper, the frames at the bottom of their chains take their place. Those are further from the
//!   new bytes, so the result has to be clearly smaller than a frame that stands alone, which else becomes the new
//!   bottom.
//! - The figures behind these rules: `docs/design/0006-delta-frames.md`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::Live;
use super::anchors::anchors;
use super::ingest::plain_frames;
use super::parent::Parent;
use super::reader::FrameCache;
use super::shelf::{Found, Wanted};
use crate::format::encoding::Encoding;
use crate::format::pack::{
    BaseSpan, DeltaBase, Frame, FrameKey, MAX_BASE_LEN, MAX_DELTA_DEPTH, MAX_FRAME_BASES, packed_len_estimate,
};
use crate::id::{ChunkId, PackId};

/// Bytes of the parent on both sides of the expected place that are looked at first.
const CLOSE_LEN: u64 = 128 * 1024;
/// The same where these hold less than half of what is looked for.
const NEAR_LEN: u64 = 1024 * 1024;
/// The same where little was found near by.
const FAR_LEN: u64 = 16 * 1024 * 1024;
/// Bytes of the parent whose anchors are kept at most.
const MAX_WINDOW_LEN: u64 = 64 * 1024 * 1024;
/// After this many stretches in a row that found nothing far away, the search stays near.
const MAX_MISSES: u32 = 2;
/// After this many batches in a row without any anchor in common, most are not looked at.
const MAX_FRUITLESS: u32 = 4;
/// After this many bytes in a row that had better stand alone, most batches are not looked at.
const MAX_LOSSES: u64 = 4 * 1024 * 1024;
/// Of batches that are mostly not looked at, one in this many is.
pub(super) const LOOK_EVERY: u32 = 8;
/// Frames that one frame leans on at most.
const MAX_BASE_FRAMES: usize = MAX_DELTA_DEPTH as usize;
/// Frames with more chunks than this lend only those that are wanted.
const MAX_DENSE_KEYS: usize = 64;
/// Marks an anchor that several chunks of the parent have.
const AMBIGUOUS: u32 = u32::MAX;

/// New chunks in a row that will be one or more frames.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) keys: Vec<FrameKey>,
    pub(super) raw: Vec<u8>,
    /// For each chunk, where in the parent it is expected, in bytes.
    pub(super) expected: Vec<u64>,
    pub(super) encoding: Encoding,
}

/// A frame that some new chunks resemble.
#[derive(Clone)]
struct Candidate {
    found: Found,
    /// The parts of it to lean on.
    spans: Vec<BaseSpan>,
    /// Anchors in common.
    votes: u32,
}

type Candidates = BTreeMap<(PackId, u64), Candidate>;

/// New chunks in a row that lean on the same frames.
pub(super) struct Group {
    numbers: Range<usize>,
    bytes: Range<usize>,
    bases: Candidates,
}

/// What a group leans on.
pub(super) struct Lean {
    bases: Vec<Found>,
    base: DeltaBase,
    /// The frames at the bottom took the place of nearer ones.
    is_far: bool,
}

/// New chunks in a row to compress, and all that it takes.
pub(super) struct Job {
    batch: Arc<Batch>,
    numbers: Range<usize>,
    bytes: Range<usize>,
    lean: Option<Lean>,
}

/// New chunks in a row, compressed.
pub(super) struct Encoded {
    pub(super) frames: Vec<Frame>,
    /// The frames that these lean on.
    pub(super) bases: Vec<Found>,
    /// Whether leaning on others was worth it; `None` where there was nothing to lean on.
    pub(super) won: Option<bool>,
}

/// Finds bases in a parent.
pub(super) struct DeltaSearch {
    parent: Arc<Parent>,
    /// Numbers of the parent's chunks whose anchors are known.
    window: Range<usize>,
    window_len: u64,
    anchors: HashMap<u64, u32>,
    cache: FrameCache,
    misses: u32,
    looks: Looks,
}

/// Says which batches to look at. New data all through, or sorted so that its pieces come from everywhere: looking at
/// one batch in [`LOOK_EVERY`] is enough to notice where that ends.
#[derive(Default)]
pub(super) struct Looks {
    /// Batches in a row that were looked at and share no anchor with the parent.
    fruitless: u32,
    /// Bytes in a row that had better stand alone.
    losses: u64,
    /// Batches since the last one that was looked at.
    passed: u32,
}

impl Looks {
    /// Returns whether to look at the next batch.
    pub(super) fn is_due(&mut self) -> bool {
        let is_promising = self.fruitless <= MAX_FRUITLESS && self.losses < MAX_LOSSES;
        let is_due = is_promising || self.passed + 1 >= LOOK_EVERY;
        self.passed = if is_due { 0 } else { self.passed + 1 };
        is_due
    }

    /// Takes in whether a batch that was looked at has anchors in common.
    pub(super) fn note_look(&mut self, has_matches: bool) {
        self.fruitless = if has_matches { 0 } else { self.fruitless + 1 };
    }

    /// Takes in whether leaning on others was worth it for that many bytes.
    pub(super) fn note_outcome(&mut self, won: bool, len: u64) {
        self.losses = if won { 0 } else { self.losses + len };
    }
}

impl DeltaSearch {
    pub(super) fn new(parent: Arc<Parent>) -> Self {
        let cache = FrameCache::default();
        Self { parent, window: 0..0, window_len: 0, anchors: HashMap::new(), cache, misses: 0, looks: Looks::default() }
    }

    /// Splits a batch into what is compressed against the same frames. A pack that cannot be read is no base, and no
    /// reason to fail.
    pub(super) fn plan(&mut self, live: &Live, batch: &Batch) -> Vec<Group> {
        if !self.looks.is_due() {
            return vec![Group::whole(batch)];
        }
        let votes = self.votes(live, batch);
        self.looks.note_look(matched(&votes) > 0);
        self.group(live, batch, &votes)
    }

    /// Takes in what became of some chunks.
    pub(super) fn note(&mut self, encoded: &Encoded, keys: &[FrameKey]) {
        if let Some(won) = encoded.won {
            self.looks.note_outcome(won, keys.iter().map(|key| u64::from(key.len)).sum());
        }
    }

    /// Counts, for each chunk of the batch, the anchors that it shares with chunks of the parent.
    fn votes(&mut self, live: &Live, batch: &Batch) -> Vec<HashMap<u32, u32>> {
        let mut rest = batch.raw.as_slice();
        let mut samples = Vec::with_capacity(batch.keys.len());
        for key in &batch.keys {
            let Some((bytes, after)) = rest.split_at_checked(key.len as usize) else { break };
            samples.push(anchors(bytes));
            rest = after;
        }
        let (mut votes, mut samples) = (vec![], samples.as_slice());
        for expected in batch.expected.chunk_by(|one, next| one.abs_diff(*next) <= NEAR_LEN) {
            let Some((now, later)) = samples.split_at_checked(expected.len()) else { break };
            votes.extend(self.votes_near(live, expected, now));
            samples = later;
        }
        votes
    }

    /// Does so for chunks that are expected close to each other, looking further away only where that finds too little.
    fn votes_near(&mut self, live: &Live, expected: &[u64], samples: &[Vec<u64>]) -> Vec<HashMap<u32, u32>> {
        let first = expected.iter().min().copied().unwrap_or_default();
        let last = expected.iter().max().copied().unwrap_or_default();
        let around = |len: u64| first.saturating_sub(len)..last + len;
        let total: usize = samples.iter().map(Vec::len).sum();
        self.look_at(live, around(CLOSE_LEN));
        let mut votes = self.count(samples);
        if matched(&votes) * 2 < total {
            self.look_at(live, around(NEAR_LEN));
            votes = self.count(samples);
        }
        if matched(&votes) * 4 < total && self.misses < MAX_MISSES {
            self.look_at(live, around(FAR_LEN));
            votes = self.count(samples);
            self.misses = if matched(&votes) * 8 < total { self.misses + 1 } else { 0 };
        }
        votes
    }

    fn count(&self, samples: &[Vec<u64>]) -> Vec<HashMap<u32, u32>> {
        let count_one = |sample: &Vec<u64>| {
            let mut votes = HashMap::new();
            for number in sample.iter().filter_map(|key| self.anchors.get(key)).filter(|number| **number != AMBIGUOUS) {
                *votes.entry(*number).or_insert(0) += 1;
            }
            votes
        };
        samples.iter().map(count_one).collect()
    }

    /// Makes the anchors of a stretch of the parent known.
    fn look_at(&mut self, live: &Live, bytes: Range<u64>) {
        if self.parent.len() == 0 {
            return;
        }
        let wanted = self.parent.number_at(bytes.start)..self.parent.number_at(bytes.end) + 1;
        if wanted.start > self.window.end || wanted.end < self.window.start || self.window_len > MAX_WINDOW_LEN {
            self.anchors.clear();
            self.window = wanted.start..wanted.start;
            self.window_len = 0;
        }
        let before = wanted.start..self.window.start;
        let behind = self.window.end..wanted.end;
        self.window = wanted.start.min(self.window.start)..wanted.end.max(self.window.end);
        for number in before.chain(behind) {
            let Some(chunk) = self.parent.chunk(number).copied() else { continue };
            self.window_len += u64::from(chunk.len);
            // Damaged or missing: the parent's loss, not this version's.
            let Ok(bytes) = live.chunk(&chunk.id, &mut self.cache) else { continue };
            let number = u32::try_from(number).unwrap_or(AMBIGUOUS);
            for key in anchors(bytes.as_slice()) {
                let known = self.anchors.entry(key).or_insert(number);
                if *known != number {
                    *known = AMBIGUOUS;
                }
            }
        }
    }

    /// Cuts a batch where the frames to lean on change. A chunk without anchors goes with the ones before.
    fn group(&self, live: &Live, batch: &Batch, votes: &[HashMap<u32, u32>]) -> Vec<Group> {
        let mut groups = vec![];
        let (mut first, mut start, mut end) = (0, 0, 0);
        let mut bases = Candidates::new();
        for (number, key) in batch.keys.iter().enumerate() {
            let next = match votes.get(number) {
                Some(votes) => self.candidates(live, votes),
                None => Candidates::new(),
            };
            let added = next.keys().filter(|place| !bases.contains_key(*place)).count();
            // One frame after the other: a cut between them. Several at a time: together, as long as they are few.
            let joins = added == 0 || bases.is_empty() || (next.len() > 1 && bases.len() + added <= MAX_BASE_FRAMES);
            if !joins {
                let bases = std::mem::take(&mut bases);
                groups.push(Group { numbers: first..number, bytes: start..end, bases });
                (first, start) = (number, end);
            }
            for (place, candidate) in next {
                match bases.get_mut(&place) {
                    Some(known) => known.take_in(candidate),
                    None => drop(bases.insert(place, candidate)),
                }
            }
            end += key.len as usize;
        }
        groups.push(Group { numbers: first..batch.keys.len(), bytes: start..end, bases });
        groups.retain(|group| !group.numbers.is_empty());
        groups
    }

    /// Returns the frame that has most of the votes of a chunk; several where no single one has.
    fn candidates(&self, live: &Live, votes: &HashMap<u32, u32>) -> Candidates {
        let mut frames: HashMap<(PackId, u64), (Found, HashSet<ChunkId>, u32)> = HashMap::new();
        for (number, count) in votes {
            let Some(chunk) = self.parent.chunk(*number as usize) else { continue };
            let found =
                live.data.find(chunk.id.as_bytes(), Wanted::First).ok().and_then(|mut search| search.found.pop());
            let Some(found) = found else { continue };
            let entry = frames.entry(place(&found)).or_insert_with(|| (found, HashSet::new(), 0));
            entry.1.insert(chunk.id);
            entry.2 += count;
        }
        let total: u32 = frames.values().map(|(.., votes)| votes).sum();
        let mut ranked: Vec<_> = frames.into_iter().collect();
        ranked.sort_by_key(|(place, (.., votes))| (Reverse(*votes), *place));
        let strong = |(_, (.., votes)): &(_, (_, _, u32))| votes * 8 >= total;
        let mut count = ranked.iter().take(MAX_BASE_FRAMES).take_while(|frame| strong(frame)).count();
        // A chunk across the border of two frames does with the one that it has more of.
        if count == 2 || ranked.first().is_some_and(|(_, (.., votes))| votes * 2 > total) {
            count = 1;
        }
        let to_candidate = |(place, (found, chunks, votes))| {
            let spans = spans_of(&found, &chunks);
            (place, Candidate { found, spans, votes })
        };
        ranked.into_iter().take(count).map(to_candidate).collect()
    }

    /// Reads what a group leans on; `None` if that is nothing.
    pub(super) fn lean(&mut self, live: &Live, group: &Group) -> Option<Lean> {
        let cost = |bases: &[Candidate]| bases.iter().map(|base| 1 + base.found.header.delta_depth()).sum::<u8>();
        let mut bases: Vec<Candidate> = group.bases.values().cloned().collect();
        let is_far = cost(&bases) > MAX_DELTA_DEPTH;
        if is_far {
            bases = bottoms(live, bases);
        }
        if bases.is_empty() {
            return None;
        }
        let base = self.read_base(live, &bases, cost(&bases))?;
        Some(Lean { bases: bases.into_iter().map(|base| base.found).collect(), base, is_far })
    }

    /// Reads the bases, as far as they fit; `None` if one of them is damaged.
    fn read_base(&mut self, live: &Live, bases: &[Candidate], depth: u8) -> Option<DeltaBase> {
        let mut base = DeltaBase { spans: vec![], bytes: vec![], depth };
        for span in bases.iter().flat_map(|base| &base.spans) {
            // By the rule that readers follow: a sound twin at a greater depth would not help them.
            let chunk = live.chunk_below(&span.chunk, depth, &mut self.cache).ok()?;
            let part = chunk.as_slice().get(span.offset as usize..).and_then(|rest| rest.get(..span.len as usize));
            let fits =
                |part: &&[u8]| base.bytes.len() + part.len() <= MAX_BASE_LEN && base.spans.len() < MAX_FRAME_BASES;
            let Some(part) = part.filter(fits) else { continue };
            base.bytes.extend_from_slice(part);
            base.spans.push(*span);
        }
        Some(base).filter(|base| !base.spans.is_empty())
    }
}

impl Group {
    /// All of a batch, which leans on nothing.
    pub(super) fn whole(batch: &Batch) -> Self {
        Self { numbers: 0..batch.keys.len(), bytes: 0..batch.raw.len(), bases: Candidates::new() }
    }
}

impl Job {
    pub(super) fn new(batch: &Arc<Batch>, group: Group, lean: Option<Lean>) -> Self {
        Self { batch: Arc::clone(batch), numbers: group.numbers, bytes: group.bytes, lean }
    }

    /// Returns the chunks.
    pub(super) fn keys(&self) -> &[FrameKey] {
        self.batch.keys.get(self.numbers.clone()).unwrap_or_default()
    }

    /// Compresses the chunks against what they lean on, unless they had better stand alone.
    pub(super) fn encode(&self) -> Encoded {
        let (keys, raw) = (self.keys(), self.batch.raw.get(self.bytes.clone()).unwrap_or_default());
        let encoding = self.batch.encoding;
        let alone = || plain_frames(keys, raw, encoding);
        let Some(lean) = &self.lean else { return Encoded { frames: alone(), bases: vec![], won: None } };
        let lost = |frames| Encoded { frames, bases: vec![], won: Some(false) };
        let Some(delta) = Frame::chunks_against(keys, raw, &lean.base, encoding.level) else { return lost(alone()) };
        let delta_len = delta.header().frame_len();
        if lean.is_far || delta_len * 2 > packed_len_estimate(raw) {
            let frames = alone();
            let without: u64 = frames.iter().map(|frame| frame.header().frame_len()).sum();
            if delta_len * 5 > without * 4 {
                return lost(frames);
            }
        }
        Encoded { frames: vec![delta], bases: lean.bases.clone(), won: Some(true) }
    }
}

impl Candidate {
    fn take_in(&mut self, other: Self) {
        self.votes += other.votes;
        for span in other.spans {
            if !self.spans.contains(&span) {
                self.spans.push(span);
            }
        }
    }
}

/// Replaces frames that lean on others by the ones at the bottom, those that matter most first, as many as may be.
fn bottoms(live: &Live, bases: Vec<Candidate>) -> Vec<Candidate> {
    let mut bottoms = Candidates::new();
    let mut left = bases;
    while let Some(base) = left.pop() {
        let depth = base.found.header.delta_depth();
        if depth == 0 {
            match bottoms.get_mut(&place(&base.found)) {
                Some(known) => known.take_in(base),
                None => drop(bottoms.insert(place(&base.found), base)),
            }
            continue;
        }
        let mut below = Candidates::new();
        for span in base.found.header.bases() {
            let Ok(search) = live.data.find(span.chunk.as_bytes(), Wanted::All) else { continue };
            let found = search.found.into_iter().find(|found| found.header.delta_depth() < depth);
            let Some(found) = found else { continue };
            let next = Candidate { found, spans: vec![*span], votes: base.votes };
            match below.get_mut(&place(&next.found)) {
                Some(known) => known.spans.push(*span),
                None => drop(below.insert(place(&next.found), next)),
            }
        }
        left.extend(below.into_values());
    }
    let mut bottoms: Vec<_> = bottoms.into_values().collect();
    bottoms.sort_by_key(|base| Reverse(base.votes));
    bottoms.truncate(MAX_BASE_FRAMES);
    bottoms
}

fn place(found: &Found) -> (PackId, u64) {
    (found.pack, found.offset)
}

fn matched(votes: &[HashMap<u32, u32>]) -> usize {
    votes.iter().flat_map(HashMap::values).sum::<u32>() as usize
}

/// Returns the wanted chunks of a frame, and the ones between them where chunks are not tiny: these have likely changed
/// so much that no anchor is left.
fn spans_of(found: &Found, wanted: &HashSet<ChunkId>) -> Vec<BaseSpan> {
    let is_wanted = |key: &FrameKey| wanted.contains(&ChunkId::from_bytes(key.id));
    let keys = found.header.keys();
    let first = keys.iter().position(is_wanted).unwrap_or(0);
    let last = keys.iter().rposition(is_wanted).map_or(0, |last| last + 1);
    let is_dense = keys.len() <= MAX_DENSE_KEYS;
    let span = |key: &FrameKey| BaseSpan { chunk: ChunkId::from_bytes(key.id), offset: 0, len: key.len };
    let between = keys.get(first..last).unwrap_or_default().iter();
    between.filter(|key| is_dense || is_wanted(key)).map(span).collect()
}
