//! Byte shuffle: the first bytes of all elements, then the second bytes, and so on, so that what numbers of an array have
//! in common lies side by side.
//!
//! - Whether it helps is decided by the bytes alone, on a sample; what kind of file they come from does not matter, and an
//!   array that starts anywhere in an element is as good.
//! - Text is told by its bytes and costs nothing.

/// Element sizes that are tried, in bytes.
const ELEMENT_SIZES: [u8; 3] = [8, 4, 2];
/// How much is tried, in bytes.
const SAMPLE_LEN: usize = 16 * 1024;

/// Returns the element size with which bytes should be shuffled; `None` where that would gain less than a tenth.
pub(super) fn choose(raw: &[u8]) -> Option<u8> {
    let start = raw.len().saturating_sub(SAMPLE_LEN) / 2;
    let sample = raw.get(start..raw.len().min(start + SAMPLE_LEN)).filter(|sample| sample.len() >= SAMPLE_LEN / 4)?;
    // Arrays of numbers are full of bytes that no text has.
    let binary = sample.iter().filter(|byte| **byte == 0 || **byte >= 0x80).count();
    if binary * 10 < sample.len() {
        return None;
    }
    let mut compressor = zstd::bulk::Compressor::new(1).ok()?;
    let plain = compressor.compress(sample).ok()?.len();
    let mut tried = ELEMENT_SIZES.iter().filter_map(|size| {
        let len = compressor.compress(&shuffle(sample, *size)).ok()?.len();
        Some((len, *size))
    });
    let best = tried.by_ref().min()?;
    (best.0 * 10 < plain.min(sample.len()) * 9).then_some(best.1)
}

/// Returns the bytes lane by lane. What is left behind the last whole element stays at the end.
pub(super) fn shuffle(raw: &[u8], element_size: u8) -> Vec<u8> {
    let size = usize::from(element_size.max(1));
    let (whole, rest) = raw.split_at(raw.len() - raw.len() % size);
    let mut shuffled = Vec::with_capacity(raw.len());
    for lane in 0..size {
        shuffled.extend(whole.iter().skip(lane).step_by(size));
    }
    shuffled.extend_from_slice(rest);
    shuffled
}

/// Undoes [`shuffle`].
pub(super) fn unshuffle(shuffled: &[u8], element_size: u8) -> Vec<u8> {
    let size = usize::from(element_size.max(1));
    let (whole, rest) = shuffled.split_at(shuffled.len() - shuffled.len() % size);
    let mut raw = vec![0; whole.len()];
    let lanes = whole.chunks_exact((whole.len() / size).max(1));
    for (lane, bytes) in lanes.enumerate() {
        for (slot, byte) in raw.iter_mut().skip(lane).step_by(size).zip(bytes) {
            *slot = *byte;
        }
    }
    raw.extend_from_slice(rest);
    raw
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrays_are_told_from_text_and_noise() {
        let doubles: Vec<u8> = (0..8000).flat_map(|step| (20.0 + f64::from(step % 977) / 64.0).to_le_bytes()).collect();
        let counts: Vec<u8> = (0..16_000_u32).flat_map(|step| (70_000 + step * step % 50_000).to_le_bytes()).collect();
        let text = b"2023-01-01,north,12.5\n".repeat(3000);
        let mut noise = vec![0; 64_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(choose(&doubles), Some(8));
        assert_eq!(choose(&doubles[3..]), Some(8));
        assert_eq!(choose(&counts), Some(4));
        assert_eq!([choose(&text), choose(&noise), choose(&doubles[..100])], [None; 3]);
    }

    #[test]
    fn lanes_lie_behind_each_other() {
        assert_eq!(shuffle(b"a1b2c3d", 2), b"abc123d");
        assert_eq!(unshuffle(b"abc123d", 2), b"a1b2c3d");
    }

    proptest! {
        #[test]
        fn unshuffling_undoes_shuffling(raw in prop::collection::vec(any::<u8>(), 0..300), size in 1..20_u8) {
            prop_assert_eq!(unshuffle(&shuffle(&raw, size), size), raw);
        }
    }
}
