//! Compression of payloads: zstd, alone or against a prefix that the reader has too.

use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use super::FormatError;

/// Longer inputs are first tried on a sample of this many bytes.
const PROBE_LEN: usize = 32 * 1024;
/// Lowest level for a payload with a prefix: the fast strategies below it keep too little of a long prefix in their
/// tables to find much in it.
const MIN_PREFIX_LEVEL: i32 = 9;

/// Compresses, or returns `None` where less than 1/32 would be saved. Long inputs are judged by a sample of their
/// middle first, so that data compressed already costs next to nothing.
pub(super) fn compress(raw: &[u8], level: i32) -> Option<Vec<u8>> {
    if raw.len() > 4 * PROBE_LEN {
        let middle = raw.len() / 2;
        let sample = raw.get(middle..middle + PROBE_LEN)?;
        zstd::bulk::compress(sample, 1).ok().filter(|packed| pays(packed, sample))?;
    }
    compress_all(raw, level)
}

/// Compresses what a sample promised to pay for; `None` where less than 1/32 would be saved all the same.
pub(super) fn compress_all(raw: &[u8], level: i32) -> Option<Vec<u8>> {
    zstd::bulk::compress(raw, level).ok().filter(|packed| pays(packed, raw))
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
