//! Whether bytes are worth compressing, judged by a small sample, so that a frame holds only bytes of one answer.

use std::ops::Range;

use super::codec::{LIGHTEST_LEVEL, PROBE_LEN, compress_all};
use super::{FrameKey, filter};

/// How much of a chunk is tried, in bytes.
const SAMPLE_LEN: usize = 4 * 1024;
/// Chunks shorter than this join the run before them.
const MIN_LEN: usize = 1024;

/// Chunks that do not compress are joined up to this many bytes. They gain nothing by it but a shorter index, and who
/// wants a few bytes of a frame fetches all of it.
pub const MAX_NOISE_LEN: u64 = 256 * 1024;

/// What bytes are to a compressor, so that like lies with like in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// They do not compress.
    Noise,
    /// They compress as they are.
    Plain,
    /// Elements of that many bytes, which compress better shuffled.
    Elements(u8),
}

/// Says what bytes are, by samples of them.
#[must_use]
pub fn grain_of(raw: &[u8]) -> Grain {
    let mut compressor = zstd::bulk::Compressor::new(1).ok();
    match filter::choose(raw) {
        Some(size) => Grain::Elements(size),
        None if compressor.as_mut().is_none_or(|compressor| pays(compressor, raw)) => Grain::Plain,
        None => Grain::Noise,
    }
}

/// Says about how long bytes will be in a frame that stands alone, judged by a sample of their middle. Long ones become
/// shorter than that, because a sample shows little of what they repeat.
#[must_use]
pub fn packed_len_estimate(raw: &[u8]) -> u64 {
    let start = raw.len().saturating_sub(PROBE_LEN) / 2;
    let sample = raw.get(start..raw.len().min(start + PROBE_LEN)).unwrap_or_default();
    let packed = match filter::choose(raw) {
        Some(size) => compress_all(&filter::shuffle(sample, size), LIGHTEST_LEVEL),
        None => compress_all(sample, LIGHTEST_LEVEL),
    };
    let packed_len = packed.map_or(sample.len(), |packed| packed.len());
    raw.len() as u64 * packed_len as u64 / (sample.len() as u64).max(1)
}

/// Cuts consecutive chunks into runs that compress and runs that do not. Each run is a range of keys.
///
/// Noise beside text would otherwise hide what the text saves, because a frame is stored raw as a whole where
/// compressing it as a whole does not pay.
#[must_use]
pub fn split_by_worth(keys: &[FrameKey], raw: &[u8]) -> Vec<Range<usize>> {
    let mut compressor = zstd::bulk::Compressor::new(1).ok();
    let mut runs: Vec<(bool, Range<usize>)> = vec![];
    let mut run_len = 0;
    let mut rest = raw;
    for (at, key) in keys.iter().enumerate() {
        let (bytes, after) = rest.split_at_checked(key.len as usize).unwrap_or((rest, &[]));
        rest = after;
        // The last bytes of a content are too few to tell.
        let answer = match runs.last() {
            Some((last, _)) if bytes.len() < MIN_LEN => *last,
            _ => compressor.as_mut().is_none_or(|compressor| pays(compressor, bytes)),
        };
        match runs.last_mut() {
            Some((last, run)) if *last == answer && (answer || run_len + u64::from(key.len) <= MAX_NOISE_LEN) => {
                run.end = at + 1;
                run_len += u64::from(key.len);
            }
            _ => {
                runs.push((answer, at..at + 1));
                run_len = u64::from(key.len);
            }
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

/// Returns whether a sample of the middle compresses.
fn pays(compressor: &mut zstd::bulk::Compressor<'_>, bytes: &[u8]) -> bool {
    let start = (bytes.len().saturating_sub(SAMPLE_LEN)) / 2;
    let sample = bytes.get(start..).unwrap_or_default();
    let sample = sample.get(..SAMPLE_LEN).unwrap_or(sample);
    let packed = compressor.compress(sample).ok();
    packed.is_none_or(|packed| packed.len() + sample.len() / 32 < sample.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn runs_end_where_the_answer_changes_and_cover_all_chunks() {
        let text = b"2023-01-01,some,row,of,a,table\n".repeat(2000);
        let parts = [text.clone(), text.clone(), random(1, 60_000), random(2, 10), random(3, 50_000), text];
        let keys: Vec<_> =
            parts.iter().map(|part| FrameKey { id: [0; 32], len: u32::try_from(part.len()).unwrap() }).collect();
        assert_eq!(split_by_worth(&keys, &parts.concat()), [0..2, 2..5, 5..6]);
        assert!(split_by_worth(&[], &[]).is_empty());
        let parts: Vec<_> = (0..6).map(|seed| random(seed, 100_000)).collect();
        let keys = [FrameKey { id: [0; 32], len: 100_000 }; 6];
        assert_eq!(split_by_worth(&keys, &parts.concat()), [0..2, 2..4, 4..6]);
    }

    #[test]
    fn the_grain_of_bytes_is_told() {
        let doubles: Vec<u8> = random(4, 40_000)
            .chunks_exact(2)
            .flat_map(|pair| (20.0 + f64::from(u16::from_le_bytes([pair[0], pair[1]])) / 64.0).to_le_bytes())
            .collect();
        assert_eq!(grain_of(&random(5, 60_000)), Grain::Noise);
        assert_eq!(grain_of(&b"2023-01-01,some,row,of,a,table\n".repeat(2000)), Grain::Plain);
        assert_eq!(grain_of(&doubles), Grain::Elements(8));
    }
}
