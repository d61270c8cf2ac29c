//! Tests of snapshots and segments: round trips, the worked example, hostile bytes.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::name::{ExportName, Suffix};
use super::super::params::Params;
use super::super::recipe::Cut;
use super::super::record::Producer;
use super::super::tables::{LocatedChunk, TableContent, TablesBuilder};
use super::*;
use crate::id::ChunkId;

fn chunk(seed: u8, len: u32, pack: &str, offset: u64) -> LocatedChunk {
    LocatedChunk { id: ChunkId::of(&[seed]), len, pack: Arc::from(pack), offset, stored_len: 500 }
}

fn sample() -> Snapshot {
    let mut tables = TablesBuilder::new();
    let pack = "packs/01ARZ3NDEKTSV4RRFFQ69G5FAV/01ARZ3NDEKTSV4RRFFQ69G5FAW.pack";
    let digest = ContentDigest::of(b"long");
    tables.add_inline(ContentDigest::of(b"short"), b"short");
    let chunks = [(chunk(1, 300, pack, 64), Cut::Content), (chunk(2, 30, pack, 564), Cut::End)];
    tables.add_chunked(digest, 1, chunks);
    let export = ExportRecord {
        name: ExportName::parse("Sales").expect("a good name"),
        params: Params::empty(),
        digest,
        size: 330,
        suffix: Suffix::parse(".csv").expect("a good suffix"),
        media_type: "text/csv".to_owned(),
        producer: Producer::default(),
        inputs: vec![],
        value: None,
    };
    Snapshot {
        repo_name: "demo".to_owned(),
        commit: CommitId::from_slice(&[0xab; 20]).expect("20 bytes"),
        exports: vec![export],
        runs: vec![],
        data: tables.finish(),
    }
}

#[test]
fn a_snapshot_comes_back_with_the_places_of_its_contents() {
    let snapshot = sample();
    let back = Snapshot::from_bytes(&snapshot.to_bytes()).expect("decodes");
    assert_eq!(back, snapshot);
    assert_eq!(back.data.content(&ContentDigest::of(b"short")), Some(TableContent::Inline(b"short")));
    let Some(TableContent::Chunks { chunker: 1, chunks }) = back.data.content(&ContentDigest::of(b"long")) else {
        panic!("the content is in chunks");
    };
    assert_eq!(
        chunks.iter().map(|(chunk, cut)| (chunk.offset, *cut)).collect::<Vec<_>>(),
        [(64, Cut::Content), (564, Cut::End)]
    );
}

#[test]
fn a_changed_or_missing_byte_anywhere_is_found() {
    let bytes = sample().to_bytes();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        assert!(matches!(Snapshot::from_bytes(&damaged), Err(FormatError::Malformed { .. })), "{position}");
        assert!(matches!(Snapshot::from_bytes(&bytes[..position]), Err(FormatError::Malformed { .. })), "{position}");
    }
}

/// Wraps a body as the encoder would, so that only the body can be at fault.
fn decode_plain(plain: &[u8]) -> Result<Segment, FormatError> {
    Segment::from_bytes(&wrap(SEGMENT_MAGIC, plain))
}

#[test]
fn numbers_that_point_nowhere_are_refused_behind_a_right_checksum() {
    let segment = Segment { session: SessionId::from_bytes([1; 16]), data: sample().data };
    let mut plain = segment.session.to_bytes().to_vec();
    segment.data.write(&mut plain);
    assert_eq!(decode_plain(&plain), Ok(segment));
    let mut refused = 0;
    for position in 16..plain.len() {
        let mut hostile = plain.clone();
        hostile[position] = 0xff;
        // A changed id or offset cannot be told from another one here; a changed count, index or length must be.
        refused += usize::from(decode_plain(&hostile).is_err());
        assert!(decode_plain(&plain[..position]).is_err());
    }
    assert!(refused > 60, "{refused}");
    plain.push(0);
    assert!(decode_plain(&plain).is_err());
}

#[test]
fn newer_versions_unknown_features_and_bombs_are_refused() {
    let bytes = sample().to_bytes();
    let with = |position: usize, value: &[u8]| {
        let mut bytes = bytes[..bytes.len() - CHECKSUM_LEN].to_vec();
        bytes[position..position + value.len()].copy_from_slice(value);
        bytes.extend_from_slice(blake3::hash(&bytes.clone()).as_bytes());
        Snapshot::from_bytes(&bytes)
    };
    assert!(with(0, b"1nbsnap\n").is_ok());
    assert!(matches!(with(8, &[2]), Err(FormatError::TooNew { found: 2, .. })));
    assert!(matches!(with(12, &[4]), Err(FormatError::Unsupported { .. })));
    assert!(matches!(with(16, &[0xff; 6]), Err(FormatError::Malformed { .. })));
    assert!(matches!(with(0, b"1nbsegm\n"), Err(FormatError::Malformed { .. })));
}

#[test]
fn the_page_about_remotes_shows_a_segment_that_decodes() {
    let page = include_str!("../../../docs/format/remote.md");
    let example = page.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has an example");
    let hex: String =
        example.lines().filter_map(|line| line.split("  ").next()).flat_map(str::split_whitespace).collect();
    let plain = crate::id::from_hex(&hex).expect("hex");
    let segment = decode_plain(&plain).expect("the example decodes");
    assert_eq!(segment.data.content(&ContentDigest::of(b"hello")), Some(TableContent::Inline(b"hello")));
    assert_eq!(
        segment.data.chunks().map(|chunk| (chunk.len, chunk.offset, chunk.stored_len)).collect::<Vec<_>>(),
        [(300, 64, 200)]
    );
    assert_eq!(&*segment.data.packs()[0], "packs/S/P.pack");
}

prop_compose! {
    fn some_chunk()(seed in any::<u8>(), pack in 0..4_u8, frame in 0..8_u64, cut in 0..3_u8) -> (LocatedChunk, Cut) {
        let cut = [Cut::Content, Cut::Max, Cut::End][usize::from(cut)];
        (chunk(seed, u32::from(seed) + 1, &format!("packs/{pack}/x.pack"), 64 + frame * 500), cut)
    }
}

proptest! {
    #[test]
    fn segments_round_trip(
        lists in prop::collection::vec(prop::collection::vec(some_chunk(), 0..20), 0..6),
        inline in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
    ) {
        let mut tables = TablesBuilder::new();
        for (number, list) in lists.iter().enumerate() {
            tables.add_chunked(ContentDigest::of(&number.to_le_bytes()), 1, list.clone());
        }
        for bytes in &inline {
            tables.add_inline(ContentDigest::of(bytes), bytes);
        }
        let segment = Segment { session: SessionId::from_bytes([9; 16]), data: tables.finish() };
        prop_assert_eq!(Segment::from_bytes(&segment.to_bytes()), Ok(segment.clone()));
        for (number, list) in lists.iter().enumerate() {
            let digest = ContentDigest::of(&number.to_le_bytes());
            let Some(TableContent::Chunks { chunks, .. }) = segment.data.content(&digest) else {
                prop_assert!(false, "a chunked content");
                continue;
            };
            let ids = |list: &[(LocatedChunk, Cut)]| list.iter().map(|(chunk, cut)| (chunk.id, *cut)).collect::<Vec<_>>();
            prop_assert_eq!(ids(&chunks), ids(list));
        }
    }

    #[test]
    fn hostile_bodies_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_plain(&bytes);
        let _ = Snapshot::from_bytes(&wrap(SNAPSHOT_MAGIC, &bytes));
    }
}
