//! Compression of payloads: zstd, alone or against a prefix that the reader has too.

use std::cell::RefCell;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use super::FormatError;

/// Longer inputs are first tried on a sample of this many bytes.
pub(super) const PROBE_LEN: usize = 32 * 1024;
/// Shorter inputs are recipes of few chunks, which are hashes for the most part.
const MIN_LEN: usize = 128;
/// The level that is used by default.
const USUAL_LEVEL: i32 = 3;
/// Takes about half of the time of the usual level. What it loses depends on the data: more than a third of the room
/// for floating point numbers as they are, nothing for digits at random.
pub(super) const LIGHTEST_LEVEL: i32 = 1;
/// Lowest level for a payload with a prefix: the fast strategies below it keep too little of a long prefix in their
/// tables to find much in it.
const MIN_PREFIX_LEVEL: i32 = 9;

thread_local! {
    /// For short inputs, for which making a context takes longer than using it. One that was used for long ones or at a
    /// high level would hold megabytes.
    static OF_SHORT_ONES: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses, or returns `None` where less than 1/32 would be saved. Long inputs are judged by a sample of their
/// middle first, so that data compressed already costs next to nothing, and so that a level up to [`USUAL_LEVEL`] costs
/// half where the lightest one does as well.
pub(super) fn compress(raw: &[u8], level: i32) -> Option<Vec<u8>> {
    if raw.len() < MIN_LEN {
        return None;
    }
    if raw.len() <= 4 * PROBE_LEN {
        return compress_all(raw, level);
    }
    let middle = raw.len() / 2;
    let sample = raw.get(middle..middle + PROBE_LEN)?;
    let light = compress_all(sample, LIGHTEST_LEVEL)?.len();
    let is_lighter_as_good = (LIGHTEST_LEVEL + 1..=USUAL_LEVEL).contains(&level)
        && compress_all(sample, level).is_none_or(|packed| light <= packed.len() + packed.len() / 256);
    compress_all(raw, if is_lighter_as_good { LIGHTEST_LEVEL } else { level })
}

/// Compresses what was shuffled; `None` where less than 1/32 would be saved. Its lanes are either noise or the same
/// over and over, so that a level up to [`USUAL_LEVEL`] finds no more than the lightest one.
pub(super) fn compress_shuffled(shuffled: &[u8], level: i32) -> Option<Vec<u8>> {
    compress_all(shuffled, if level <= USUAL_LEVEL { LIGHTEST_LEVEL } else { level })
}

/// Compresses what a sample promised to pay for; `None` where less than 1/32 would be saved all the same.
pub(super) fn compress_all(raw: &[u8], level: i32) -> Option<Vec<u8>> {
    let packed = if raw.len() <= PROBE_LEN && level <= MIN_PREFIX_LEVEL {
        OF_SHORT_ONES.with_borrow_mut(|slot| {
            let compressor = match slot {
                Some(compressor) => compressor,
                None => slot.insert(Compressor::new(level).ok()?),
            };
            compressor.set_compression_level(level).ok()?;
            compressor.compress(raw).ok()
        })
    } else {
        zstd::bulk::compress(raw, level).ok()
    };
    packed.filter(|packed| pays(packed, raw))
}

/// Compresses against a prefix; `None` where less than 1/32 would be saved.
pub(super) fn compress_against(raw: &[u8], prefix: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut context = CCtx::try_create()?;
    let window = (raw.len() + prefix.len()).next_power_of_two().trailing_zeros().clamp(10, 27);
    context.set_parameter(CParameter::CompressionLevel(level.max(MIN_PREFIX_LEVEL))).ok()?;
    context.set_parameter(CParameter::WindowLog(window)).ok()?;
    context.ref_prefix(prefix).ok()?;
    let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
    context.compress2(&mut packed, raw).ok()?;
    packed.shrink_to_fit();
    Some(packed).filter(|packed| pays(packed, raw))
}

/// Unpacks what was compressed against `prefix`, which is empty for a payload that stands alone.
pub(super) fn decompress(payload: &[u8], prefix: &[u8], raw_len: usize) -> Result<Vec<u8>, FormatError> {
    let fault = |reason: &str| FormatError::malformed("frame", format!("it does not unpack: {reason}"));
    if prefix.is_empty() {
        return zstd::bulk::decompress(payload, raw_len).map_err(|error| fault(&error.to_string()));
    }
    let mut context = DCtx::try_create().ok_or_else(|| fault("no memory"))?;
    let named = |code| fault(zstd::zstd_safe::get_error_name(code));
    context.ref_prefix(prefix).map_err(named)?;
    let mut raw = Vec::with_capacity(raw_len);
    context.decompress(&mut raw, payload).map_err(named)?;
    Ok(raw)
}

fn pays(packed: &[u8], raw: &[u8]) -> bool {
    packed.len() + raw.len() / 32 < raw.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn the_usual_level_is_the_lightest_one_where_that_does_as_well() {
        let noise = random(1, 200_000);
        let digits: Vec<u8> = noise.iter().map(|byte| b'0' + byte % 10).collect();
        // Phrases of a text of which some parts are quoted more often than others.
        let word = |pair: &[u8]| format!("w{}", u16::from_le_bytes([pair[0], pair[1]]) % 3000);
        let text: Vec<String> = noise.chunks_exact(2).map(word).collect();
        let phrase = |bytes: &[u8]| {
            let start = bytes.iter().take(3).map(|byte| usize::from(*byte)).product::<usize>() / 5600;
            text[start..][..2 + usize::from(bytes[3] % 7)].join(" ")
        };
        let words = noise.chunks_exact(4).map(phrase).collect::<Vec<_>>().join(" ").into_bytes();
        let level_of = |raw: &[u8], level| {
            let packed = compress(raw, level).unwrap();
            (1..=9).find(|level| compress_all(raw, *level).unwrap() == packed)
        };
        assert_eq!(level_of(&digits, 3), Some(1));
        assert_eq!(level_of(&words, 3), Some(3));
        assert_eq!(level_of(&words, 9), Some(9));
        assert!(compress(&noise, 3).is_none());
    }
}
