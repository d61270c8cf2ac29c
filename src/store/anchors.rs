//! Anchors: a sparse, content-defined sample of a stretch of bytes, by which a changed stretch finds its earlier self.
//!
//! A place is sampled where the Gear hash of the last [`WINDOW_LEN`] bytes has some bits clear, once in 1 KiB on random
//! bytes; its key is a hash of these bytes. So inserted and deleted rows move anchors along, and a changed cell costs
//! only the anchors that cover it. Anchors are never stored: an index of them can be made from the bytes at any time.

use super::chunker::gear;

/// Bytes that an anchor covers: short enough that rows with many changed cells still keep some.
const WINDOW_LEN: usize = 24;
/// Bits of the hash that depend on the last [`WINDOW_LEN`] bytes, and only on them.
const ANCHOR_MASK: u64 = 0x3ff << (WINDOW_LEN - 10);

/// Returns the keys of all anchors of `bytes`, in order.
pub(super) fn anchors(bytes: &[u8]) -> Vec<u64> {
    let gear = gear();
    let mut keys = Vec::with_capacity(bytes.len() / 768);
    let mut hash = 0_u64;
    for (position, byte) in bytes.iter().enumerate() {
        hash = (hash << 1).wrapping_add(gear.get(usize::from(*byte)).copied().unwrap_or_default());
        if hash & ANCHOR_MASK == 0
            && let Some(start) = (position + 1).checked_sub(WINDOW_LEN)
            && let Some(window) = bytes.get(start..=position)
        {
            keys.push(key_of(window));
        }
    }
    keys
}

/// Mixes the window with the multiply and rotate steps of `FxHash`; nothing depends on the values but this process.
fn key_of(window: &[u8]) -> u64 {
    window
        .as_chunks::<8>()
        .0
        .iter()
        .fold(0, |key: u64, word| (key.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::random;

    #[test]
    fn anchors_are_sparse_and_move_with_the_bytes() {
        let before = random(1, 1 << 20);
        let mut after = before.clone();
        after.splice(500..500, *b"an inserted row");
        after.splice(600_000..600_010, []);
        let (old, new) = (anchors(&before), anchors(&after));
        assert!((700..1400).contains(&old.len()), "{} anchors in 1 MiB", old.len());
        let old: HashSet<_> = old.into_iter().collect();
        let lost = new.iter().filter(|key| !old.contains(*key)).count();
        assert!(lost <= 2, "{lost} anchors changed");
    }

    #[test]
    fn other_bytes_have_other_anchors() {
        let old: HashSet<_> = anchors(&random(2, 1 << 20)).into_iter().collect();
        assert!(anchors(&random(3, 1 << 20)).iter().all(|key| !old.contains(key)));
        assert!(anchors(&[]).is_empty());
    }
}
