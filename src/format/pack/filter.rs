//! Byte shuffle: the first bytes of all elements, then the second bytes, and so on, so that what numbers of an array
//! have in common lies side by side.
//!
//! - Whether it helps is decided by the bytes alone, on a sample; what kind of file they come from does not matter, and
//!   an array that starts anywhere in an element is as good.
//! - Text is told by its bytes and costs nothing.

use std::cmp::Reverse;

/// Element sizes that are tried, in bytes.
const ELEMENT_SIZES: [u8; 3] = [8, 4, 2];
/// How much is tried first, in bytes.
const SAMPLE_LEN: usize = 16 * 1024;
/// How much is tried of what looked promising: rows that repeat only show in a longer stretch, and are better left
/// alone.
const LONG_SAMPLE_LEN: usize = 128 * 1024;

/// Returns the element size with which bytes should be shuffled; `None` where that would gain less than a tenth. A
/// short sample shows only half of the gain.
pub(super) fn choose(raw: &[u8]) -> Option<u8> {
    let sample = middle(raw, SAMPLE_LEN);
    // Arrays of numbers are full of bytes that no text has.
    let binary = sample.iter().filter(|byte| **byte == 0 || **byte >= 0x80).count();
    if sample.len() < SAMPLE_LEN / 4 || binary * 10 < sample.len() {
        return None;
    }
    let mut compressor = zstd::bulk::Compressor::new(1).ok()?;
    let mut gain = |sample: &[u8], size: u8, least: usize| {
        let plain = compressor.compress(sample).ok()?.len().min(sample.len());
        let shuffled = compressor.compress(&shuffle(sample, size)).ok()?.len();
        (shuffled * 100 < plain * (100 - least)).then_some(Reverse(shuffled))
    };
    let best = ELEMENT_SIZES.into_iter().filter_map(|size| Some((gain(sample, size, 5)?, size))).max()?.1;
    if raw.len() > SAMPLE_LEN {
        gain(middle(raw, LONG_SAMPLE_LEN), best, 10)?;
    }
    Some(best)
}

fn middle(raw: &[u8], len: usize) -> &[u8] {
    let start = raw.len().saturating_sub(len) / 2;
    raw.get(start..raw.len().min(start + len)).unwrap_or_default()
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
        let mut noise = vec![0; 64_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let numbers = || noise.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let doubles: Vec<u8> = numbers().flat_map(|number| (20.0 + f64::from(number) / 64.0).to_le_bytes()).collect();
        let counts: Vec<u8> = numbers().flat_map(|number| (70_000 + u32::from(number)).to_le_bytes()).collect();
        let text = b"2023-01-01,north,12.5\n".repeat(3000);
        let rows = noise[..6000].repeat(12);
        assert_eq!(choose(&doubles), Some(8));
        assert_eq!(choose(&doubles[3..]), Some(8));
        assert!(matches!(choose(&counts), Some(4 | 8)));
        assert_eq!([choose(&text), choose(&noise), choose(&rows), choose(&doubles[..100])], [None; 4]);
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
