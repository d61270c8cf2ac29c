//! Cutting a content into chunks by what it holds.
//!
//! - Gear hash, one mask, reset at each cut; the shape of the content alone decides, never how it was written or its
//!   length.
//! - The table and the lengths are part of the format, version 1: `docs/format/recipe.md`. A change is a new version.

use std::sync::LazyLock;

use crate::format::recipe::Cut;

/// Version of the chunker, as recipes name it.
pub const CHUNKER_VERSION: u8 = 1;
/// Shortest chunk in bytes, but for the last one.
pub const MIN_CHUNK_SIZE: usize = 16 * 1024;
/// Longest chunk in bytes.
pub const MAX_CHUNK_SIZE: usize = 256 * 1024;

/// Older bytes have been shifted out of the hash.
const WINDOW_LEN: usize = 64;
/// A cut falls where these bits of the hash are clear: once in 64 KiB on random bytes.
const CUT_MASK: u64 = 0xffff << 48;

static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut bytes = [0; 2048];
    blake3::Hasher::new().update(b"onenb gear v1").finalize_xof().fill(&mut bytes);
    let mut table = [0; 256];
    for (slot, chunk) in table.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *slot = u64::from_le_bytes(*chunk);
    }
    table
});

/// Returns the table of the hash.
pub(super) fn gear() -> &'static [u64; 256] {
    &GEAR
}

/// What follows the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Perhaps more.
    More,
    /// Nothing: the content ends here.
    End,
}

/// Returns the length of the first chunk of `bytes` and why it ends there; `None` if that takes more bytes than are at
/// hand, or if there are none at all.
///
/// The answer for given content never depends on how much of it is at hand.
#[must_use]
pub fn next_cut(bytes: &[u8], rest: Rest) -> Option<(usize, Cut)> {
    let bytes = bytes.get(..MAX_CHUNK_SIZE).unwrap_or(bytes);
    if let Some(len) = content_cut(bytes) {
        return Some((len, Cut::Content));
    }
    match (bytes.len(), rest) {
        (MAX_CHUNK_SIZE, _) => Some((MAX_CHUNK_SIZE, Cut::Max)),
        (0, _) | (_, Rest::More) => None,
        (len, Rest::End) => Some((len, Cut::End)),
    }
}

#[expect(clippy::indexing_slicing, reason = "a byte cannot leave a table of 256")]
fn content_cut(bytes: &[u8]) -> Option<usize> {
    let gear = &*GEAR;
    let (warm_up, searched) = bytes.split_at_checked(MIN_CHUNK_SIZE)?;
    let step = |hash: u64, byte: u8| (hash << 1).wrapping_add(gear[usize::from(byte)]);
    let mut hash = warm_up.iter().skip(MIN_CHUNK_SIZE - WINDOW_LEN).fold(0, |hash, byte| step(hash, *byte));
    for (position, byte) in searched.iter().enumerate() {
        hash = step(hash, *byte);
        if hash & CUT_MASK == 0 {
            return Some(MIN_CHUNK_SIZE + position + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::random;

    fn cut_all(mut bytes: &[u8]) -> Vec<(usize, Cut)> {
        let mut cuts = vec![];
        while let Some((len, cut)) = next_cut(bytes, Rest::End) {
            cuts.push((len, cut));
            bytes = &bytes[len..];
        }
        cuts
    }

    #[test]
    fn the_gear_table_is_the_one_on_the_page() {
        let bytes: Vec<u8> = GEAR.iter().flat_map(|value| value.to_le_bytes()).collect();
        let digest = blake3::hash(&bytes).to_string();
        assert_eq!(digest, "b86c054c77c9dca245e40c8dce870920c96941be02cff7c20eef1f111e3f81a3");
        assert!(include_str!("../../docs/format/recipe.md").contains(&digest));
    }

    #[test]
    fn cuts_of_version_one_never_move() {
        let lens: Vec<_> = cut_all(&random(1, 600_000)).into_iter().map(|(len, _)| len).collect();
        assert_eq!(lens, GOLDEN);
    }

    #[test]
    fn equal_bytes_are_cut_at_the_longest_length() {
        let cuts = cut_all(&vec![0; MAX_CHUNK_SIZE * 2 + 5]);
        assert_eq!(cuts, [(MAX_CHUNK_SIZE, Cut::Max), (MAX_CHUNK_SIZE, Cut::Max), (5, Cut::End)]);
        assert_eq!(next_cut(&[], Rest::End), None);
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_around_it() {
        let before = random(2, 4_000_000);
        let mut after = before.clone();
        after.splice(1_000_000..1_000_000, *b"inserted");
        let ends = |bytes: &[u8]| {
            let mut from_end = bytes.len();
            cut_all(bytes)
                .into_iter()
                .map(|(len, _)| {
                    from_end -= len;
                    from_end
                })
                .collect::<std::collections::HashSet<_>>()
        };
        let (before, after) = (ends(&before), ends(&after));
        assert!(before.len() > 30 && before.intersection(&after).filter(|end| **end < 3_000_000).count() > 25);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn more_bytes_at_hand_never_move_a_cut(seed in any::<u64>(), len in 0_usize..700_000, shown in any::<prop::sample::Index>()) {
            let bytes = random(seed, len);
            let shown = &bytes[..shown.index(len + 1)];
            if let Some(cut) = next_cut(shown, Rest::More) {
                prop_assert_eq!(next_cut(&bytes, Rest::End), Some(cut));
            }
            let cuts = cut_all(&bytes);
            prop_assert_eq!(cuts.iter().map(|(len, _)| len).sum::<usize>(), len);
            let inner = cuts.split_last().map_or(&[][..], |(_, inner)| inner);
            prop_assert!(inner.iter().all(|(len, _)| (MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(len)));
        }
    }

    const GOLDEN: [usize; 9] = [114_540, 34_177, 19_401, 38_944, 45_992, 228_680, 20_636, 54_350, 43_280];
}
