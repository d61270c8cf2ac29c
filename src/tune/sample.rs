//! The sample: a bounded part of somebody's contents, the same at every run over the same exports.
//!
//! - Exports are taken in an order that a fixed seed gives, one of each suffix in turn, so that neither the largest nor the most
//!   numerous ones stand for all.
//! - Of an export a few versions in a row are taken. The earlier ones are chosen on, the later ones held out; exports of
//!   one version go to one side or the other.
//! - Long contents are sampled by their first bytes.

use std::collections::BTreeMap;
use std::io::Read;

use super::MIN_SAMPLE_LEN;
use crate::error::{Error, ErrorKind, Result};
use crate::format::kind::ContentKind;
use crate::id::ContentDigest;

/// Versions of one export that are taken at most, besides the one before them.
const MAX_VERSIONS: usize = 8;
/// Exports that are looked at, at most.
const MAX_SOURCES: usize = 1000;
/// Changing this gives another sample.
const SEED: &[u8] = b"onenb tune sample 1";

/// One export, or one file of a directory export.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it is called; decides its turn.
    pub name: String,
    /// Its suffix. Each suffix has its turn.
    pub suffix: String,
    /// Its contents, the oldest first.
    pub versions: Vec<ContentDigest>,
}

/// Opens a content. Contents that are not here are passed over.
pub type Open<'a> = &'a dyn Fn(&ContentDigest) -> Result<Box<dyn Read>>;

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
}

impl KindSample {
    pub(super) fn chosen_on_len(&self) -> u64 {
        self.chosen_on.iter().map(Series::len).sum()
    }

    pub(super) fn held_out_len(&self) -> u64 {
        self.held_out.iter().map(Series::len).sum()
    }

    /// Returns whether there is enough to measure anything.
    pub(super) fn is_enough(&self) -> bool {
        self.chosen_on_len() >= MIN_SAMPLE_LEN
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
}

/// Takes a sample of at most about `limit` bytes. `go_on` returns `false` to interrupt.
pub(super) fn take(
    sources: &[Source],
    open: Open<'_>,
    limit: u64,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<KindSample>> {
    let mut kinds: BTreeMap<ContentKind, KindSample> = BTreeMap::new();
    let (of_kind, of_source) = (limit / 2, limit / 8);
    let mut left = limit;
    for source in in_turn(sources).into_iter().take(MAX_SOURCES) {
        if !go_on() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        let Some((before, versions)) = read_source(source, open, of_source.min(left))? else { continue };
        let kind = ContentKind::of(versions.first().map(Vec::as_slice).unwrap_or_default());
        let empty = KindSample { kind, exports: 0, chosen_on: vec![], held_out: vec![] };
        let sample = kinds.entry(kind).or_insert(empty);
        if sample.chosen_on_len() + sample.held_out_len() >= of_kind {
            continue;
        }
        left = left.saturating_sub(versions.iter().map(|bytes| bytes.len() as u64).sum());
        sample.add(before, versions);
        if left < of_source.min(MIN_SAMPLE_LEN) {
            break;
        }
    }
    Ok(kinds.into_values().filter(|sample| sample.exports > 0).collect())
}

/// Orders sources by the seed, one of each suffix in turn.
fn in_turn(sources: &[Source]) -> Vec<&Source> {
    let mut groups: BTreeMap<&str, Vec<(u64, &Source)>> = BTreeMap::new();
    for source in sources {
        groups.entry(&source.suffix).or_default().push((number_of(&source.name), source));
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

/// Reads some versions in a row, and the one before them; `None` if none of them is here and not empty.
fn read_source(source: &Source, open: Open<'_>, limit: u64) -> Result<Option<Versions>> {
    let Some(newest) = source.versions.last() else { return Ok(None) };
    // Two of a long content: a part of each, so that both sides have one.
    let part_len = limit / 2;
    let newest_len = read(newest, open, part_len)?.map_or(0, |bytes| bytes.len() as u64);
    let fit = usize::try_from(limit / newest_len.max(1)).unwrap_or(usize::MAX);
    let count = fit.clamp(1, MAX_VERSIONS).min(source.versions.len());
    let starts = (source.versions.len() - count + 1) as u64;
    let start = usize::try_from(number_of(&source.name) % starts).unwrap_or_default();
    let wanted = source.versions.iter().skip(start).take(count);
    let mut versions = vec![];
    for digest in wanted {
        versions.extend(read(digest, open, part_len)?.filter(|bytes| !bytes.is_empty()));
    }
    let before = match start.checked_sub(1).and_then(|at| source.versions.get(at)) {
        Some(digest) => read(digest, open, part_len)?,
        None => None,
    };
    Ok(Some((before, versions)).filter(|(_, versions)| !versions.is_empty()))
}

/// Reads the start of a content; `None` if it is not here or damaged, which is nobody's business now.
fn read(digest: &ContentDigest, open: Open<'_>, limit: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = vec![];
    let reader = match open(digest) {
        Ok(reader) => reader,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => return Ok(None),
        Err(error) => return Err(error),
    };
    match reader.take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => match Error::from(error) {
            error if error.kind() == ErrorKind::Damaged => Ok(None),
            error => Err(error),
        },
    }
}
