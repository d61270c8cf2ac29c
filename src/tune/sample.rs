//! The sample: a bounded part of somebody's contents, the same at every run over the same exports.
//!
//! - Exports are taken in an order that a fixed seed gives, one of each group in turn, so that neither the largest nor
//!   the most numerous ones stand for all.
//! - Of an export a few versions in a row are taken. The earlier ones are chosen on, the later ones held out; exports
//!   of one version go to one side or the other. What is held out and mostly known from the other side is left out.
//! - Long contents are sampled by whole chunks: from the start, from the end and from where versions differ. A chunk
//!   that the version before has is taken only if it is in the sample of that one too, so that nothing is new that was
//!   not new.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::time::Instant;

use super::MIN_SAMPLE_LEN;
use crate::error::{Error, ErrorKind, Result};
use crate::format::kind::{ContentKind, SNIFF_LEN};
use crate::format::recipe::ChunkRef;
use crate::id::{ChunkId, ContentDigest};
use crate::store::{Rest, next_cut};

/// Versions of one export that are taken at most, besides the one before them.
const MAX_VERSIONS: usize = 8;
/// Exports that are taken, at most.
const MAX_SOURCES: usize = 1000;
/// Changing this gives another sample.
const SEED: &[u8] = b"onenb tune sample 1";

/// One export, or one file of a directory export.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it is called; decides its turn.
    pub name: String,
    /// What it takes turns with: the exports of one suffix, or the files of one directory export.
    pub group: String,
    /// Its contents, the oldest first.
    pub versions: Vec<ContentDigest>,
}

/// A content that is here.
pub struct Content {
    /// Its chunks; none if it is so short that it has none.
    pub chunks: Vec<ChunkRef>,
    /// Its bytes.
    pub reader: Box<dyn ReadSeek>,
}

/// Bytes that can be read anywhere.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Opens a content. Contents that are not here are passed over.
pub type Open<'a> = &'a dyn Fn(&ContentDigest) -> Result<Content>;

/// Versions in a row, each the parent of the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Series {
    /// The version before them, which is not measured.
    pub(super) before: Option<Vec<u8>>,
    pub(super) versions: Vec<Vec<u8>>,
}

impl Series {
    pub(super) fn len(&self) -> u64 {
        self.versions.iter().map(|bytes| bytes.len() as u64).sum()
    }
}

/// What was sampled of one kind.
#[derive(Debug)]
pub(super) struct KindSample {
    pub(super) kind: ContentKind,
    pub(super) exports: usize,
    pub(super) chosen_on: Vec<Series>,
    pub(super) held_out: Vec<Series>,
    /// Bytes of chunks to choose on that no version before has.
    pub(super) chosen_on_new: u64,
    /// Bytes of chunks held out that neither a version before nor the other side has.
    pub(super) held_out_new: u64,
}

impl KindSample {
    fn new(kind: ContentKind) -> Self {
        Self { kind, exports: 0, chosen_on: vec![], held_out: vec![], chosen_on_new: 0, held_out_new: 0 }
    }

    pub(super) fn chosen_on_len(&self) -> u64 {
        self.chosen_on.iter().map(Series::len).sum()
    }

    pub(super) fn held_out_len(&self) -> u64 {
        self.held_out.iter().map(Series::len).sum()
    }

    /// Returns whether there is enough to measure anything: bytes that are here already are not written again.
    pub(super) fn is_enough(&self) -> bool {
        self.chosen_on_new >= MIN_SAMPLE_LEN
    }

    /// Returns whether anything has a version before it.
    pub(super) fn has_versions(&self) -> bool {
        self.chosen_on.iter().any(|series| series.before.is_some() || series.versions.len() > 1)
    }

    fn add(&mut self, before: Option<Vec<u8>>, mut versions: Vec<Vec<u8>>) {
        self.exports += 1;
        if versions.len() > 1 {
            let later = versions.split_off(versions.len().div_ceil(2));
            let last = versions.last().cloned();
            self.chosen_on.push(Series { before, versions });
            self.held_out.push(Series { before: last, versions: later });
        } else if self.chosen_on_len() <= self.held_out_len() {
            self.chosen_on.push(Series { before, versions });
        } else {
            self.held_out.push(Series { before, versions });
        }
    }

    /// Counts what is new on either side. What is held out and mostly known from the other side, as a copy under
    /// another name is, would check a choice on what it was made on, and is left out.
    fn settle(mut self) -> Self {
        let mut known = HashSet::new();
        for series in &self.chosen_on {
            known.extend(series.before.iter().flat_map(|bytes| chunks(bytes)).map(|(id, _)| id));
            for (id, len) in series.versions.iter().flat_map(|bytes| chunks(bytes)) {
                self.chosen_on_new += if known.insert(id) { len } else { 0 };
            }
        }
        let mut counted = HashSet::new();
        for series in &mut self.held_out {
            let mut before: HashSet<ChunkId> =
                series.before.iter().flat_map(|bytes| chunks(bytes)).map(|(id, _)| id).collect();
            series.versions.retain(|bytes| {
                let added: Vec<_> = chunks(bytes).filter(|(id, _)| before.insert(*id)).collect();
                let len_where = |is: &dyn Fn(&ChunkId) -> bool| -> u64 {
                    added.iter().filter(|(id, _)| is(id)).map(|(_, len)| len).sum()
                };
                let is_copy = len_where(&|id| known.contains(id)) * 2 > len_where(&|_| true);
                if !is_copy {
                    let fresh = added.iter().filter(|(id, _)| !known.contains(id) && counted.insert(*id));
                    self.held_out_new += fresh.map(|(_, len)| len).sum::<u64>();
                }
                !is_copy
            });
        }
        self.held_out.retain(|series| !series.versions.is_empty());
        self
    }
}

/// Cuts bytes as the store does. Whole chunks of a content, one after the other, are cut where they were.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (ChunkId, u64)> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, _) = next_cut(rest, Rest::End)?;
        let (chunk, later) = rest.split_at_checked(len)?;
        rest = later;
        Some((ChunkId::of(chunk), len as u64))
    })
}

/// What was sampled of all kinds.
#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) kinds: Vec<KindSample>,
    /// Something was passed over because it is damaged.
    pub(super) met_damage: bool,
}

/// Takes a sample of at most about `limit` bytes; what takes longer than `deadline` is left out. `go_on` returns
/// `false` to interrupt.
pub(super) fn take(
    sources: &[Source],
    open: Open<'_>,
    limit: u64,
    deadline: Option<Instant>,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Sampled> {
    let mut kinds: BTreeMap<ContentKind, KindSample> = BTreeMap::new();
    let (of_kind, of_source) = (limit / 2, limit / 8);
    let mut left = limit;
    let mut taken = 0;
    let mut reader = Sampler { open, met_damage: false };
    for source in in_turn(sources) {
        if !go_on() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_late || taken == MAX_SOURCES || left < of_source.min(MIN_SAMPLE_LEN) {
            break;
        }
        let Some((kind, newest_len)) = reader.look_at(source)? else { continue };
        let sample = kinds.entry(kind).or_insert_with(|| KindSample::new(kind));
        if sample.chosen_on_len() + sample.held_out_len() >= of_kind {
            continue;
        }
        let (before, versions) = reader.read_source(source, newest_len, of_source.min(left))?;
        if versions.is_empty() {
            continue;
        }
        taken += 1;
        left = left.saturating_sub(versions.iter().map(|bytes| bytes.len() as u64).sum());
        sample.add(before, versions);
    }
    let kinds = kinds.into_values().filter(|sample| sample.exports > 0).map(KindSample::settle).collect();
    Ok(Sampled { kinds, met_damage: reader.met_damage })
}

/// Orders sources by the seed, one of each group in turn.
fn in_turn(sources: &[Source]) -> Vec<&Source> {
    let mut groups: BTreeMap<&str, Vec<(u64, &Source)>> = BTreeMap::new();
    for source in sources {
        groups.entry(&source.group).or_default().push((number_of(&source.name), source));
    }
    let mut turns = vec![];
    for group in groups.values_mut() {
        group.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        turns.extend(group.iter().enumerate().map(|(turn, (_, source))| (turn, *source)));
    }
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, source)| source).collect()
}

/// Returns a number that depends on the seed and a name alone.
pub(super) fn number_of(name: &str) -> u64 {
    let mut number = [0; 8];
    blake3::Hasher::new().update(SEED).update(name.as_bytes()).finalize_xof().fill(&mut number);
    u64::from_le_bytes(number)
}

type Versions = (Option<Vec<u8>>, Vec<Vec<u8>>);

struct Sampler<'a> {
    open: Open<'a>,
    met_damage: bool,
}

impl Sampler<'_> {
    /// Makes nothing of a content that is not here or damaged, which is nobody's business now.
    fn if_here<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Ok(None),
                ErrorKind::Damaged => {
                    self.met_damage = true;
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Tells kind and length of the newest version that is here.
    fn look_at(&mut self, source: &Source) -> Result<Option<(ContentKind, u64)>> {
        for digest in source.versions.iter().rev().take(MAX_VERSIONS) {
            let looked = (self.open)(digest).and_then(|mut content| {
                let mut start = vec![];
                content.reader.by_ref().take(SNIFF_LEN as u64).read_to_end(&mut start)?;
                Ok((ContentKind::of(&start), content.reader.seek(SeekFrom::End(0))?))
            });
            if let Some((kind, len)) = self.if_here(looked)?.filter(|(_, len)| *len > 0) {
                return Ok(Some((kind, len)));
            }
        }
        Ok(None)
    }

    /// Reads some versions in a row, and the one before them.
    fn read_source(&mut self, source: &Source, newest_len: u64, limit: u64) -> Result<Versions> {
        // Two of a long content: a part of each, so that both sides have one.
        let part_len = limit / 2;
        let fit = usize::try_from(limit / newest_len.min(part_len).max(1)).unwrap_or(usize::MAX);
        let count = fit.clamp(1, MAX_VERSIONS).min(source.versions.len());
        let starts = (source.versions.len() - count + 1) as u64;
        let start = usize::try_from(number_of(&source.name) % starts).unwrap_or_default();
        let mut contents = vec![];
        for (at, digest) in source.versions.iter().enumerate().take(start + count).skip(start.saturating_sub(1)) {
            let opened = (self.open)(digest);
            contents.extend(self.if_here(opened)?.map(|content| (at < start, content)));
        }
        let recipes: Vec<&[ChunkRef]> = contents.iter().map(|(_, content)| content.chunks.as_slice()).collect();
        let parts = parts(&recipes, part_len);
        let (mut before, mut versions) = (None, vec![]);
        for ((is_before, content), parts) in contents.into_iter().zip(parts) {
            let Some(bytes) = self.if_here(read(content, &parts))?.filter(|bytes| !bytes.is_empty()) else { continue };
            if is_before {
                before = Some(bytes);
            } else {
                versions.push(bytes);
            }
        }
        Ok((before, versions))
    }
}

/// Where a chunk lies in its content.
#[derive(Debug, Clone, Copy)]
struct Part {
    id: ChunkId,
    start: u64,
    end: u64,
}

fn placed(chunks: &[ChunkRef]) -> Vec<Part> {
    let mut end = 0;
    let place = |chunk: &ChunkRef| {
        let start = end;
        end += u64::from(chunk.len);
        Part { id: chunk.id, start, end }
    };
    chunks.iter().map(place).collect()
}

/// Returns the chunks to sample of each of some versions in a row: all of a content of at most `len` bytes; of a longer
/// one about a quarter of that from the start, a quarter from the end, and the rest from where versions begin to
/// differ.
fn parts(versions: &[&[ChunkRef]], len: u64) -> Vec<Vec<Part>> {
    let versions: Vec<Vec<Part>> = versions.iter().map(|chunks| placed(chunks)).collect();
    let mut differ: Vec<u64> = versions.windows(2).filter_map(first_difference).collect();
    differ.sort_unstable();
    differ.dedup();
    let window = len / 2 / (differ.len() as u64).max(1);
    let mut taken: Vec<Vec<Part>> = vec![];
    for (number, all) in versions.iter().enumerate() {
        let total = all.last().map_or(0, |part| part.end);
        let is_wanted = |part: &Part| {
            total <= len
                || part.start < len / 4
                || part.end + len / 4 > total
                || differ.iter().any(|at| part.end > *at && part.start < at + window)
        };
        let before = number.checked_sub(1).and_then(|before| Some((versions.get(before)?, taken.get(before)?)));
        let ids = |parts: &[Part]| parts.iter().map(|part| part.id).collect::<HashSet<_>>();
        let (there, in_sample) = before.map(|(there, in_sample)| (ids(there), ids(in_sample))).unwrap_or_default();
        let is_real = |part: &Part| !there.contains(&part.id) || in_sample.contains(&part.id);
        taken.push(all.iter().filter(|part| is_wanted(part) && is_real(part)).copied().collect());
    }
    taken
}

/// Returns where a version begins to differ from the one before it.
fn first_difference(pair: &[Vec<Part>]) -> Option<u64> {
    let [before, after] = pair else { return None };
    let mut before = before.iter().map(|part| part.id);
    after.iter().find(|part| before.next() != Some(part.id)).map(|part| part.start)
}

/// Reads the chunks of a content, or all of one that has none.
fn read(mut content: Content, parts: &[Part]) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    if content.chunks.is_empty() {
        content.reader.read_to_end(&mut bytes)?;
    }
    for part in parts {
        content.reader.seek(SeekFrom::Start(part.start))?;
        content.reader.by_ref().take(part.end - part.start).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
