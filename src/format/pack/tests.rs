//! Tests of packs: frames, footers, scans of torn packs, the worked example, hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::id::ChunkId;

fn chunk_frame(parts: &[&[u8]]) -> Frame {
    let chunks: Vec<_> = parts.iter().map(|bytes| (ChunkId::of(bytes), *bytes)).collect();
    Frame::chunks(&chunks, 3)
}

/// Appends frames as a writer would; a `None` puts a commit marker there.
fn build_body(frames: &[Option<Frame>]) -> Vec<u8> {
    let header = PackHeader::new(PackClass::Data, PackId::from_bytes([7; 16]));
    let mut bytes = header.to_bytes().to_vec();
    let mut sequence = 0;
    for frame in frames {
        let position = bytes.len() as u64;
        if let Some(frame) = frame {
            bytes.extend_from_slice(&frame.to_bytes());
        } else {
            sequence += 1;
            bytes.extend_from_slice(&Frame::marker(Marker { sequence, position }).to_bytes());
        }
    }
    bytes
}

fn scan_bytes(bytes: &[u8], depth: ScanDepth) -> Scan {
    let read = |offset: u64, len: usize| {
        let from = usize::try_from(offset).unwrap();
        Ok::<_, std::convert::Infallible>(bytes[from..from + len].to_vec())
    };
    scan(ScanStart::FIRST, bytes.len() as u64, depth, read).unwrap()
}

fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let frames = scan_bytes(&body, ScanDepth::TailPayloads).frames;
    let digest = *blake3::hash(&body).as_bytes();
    let tail = Footer { frames }.to_bytes(body.len() as u64, digest);
    body.extend_from_slice(&tail);
    body
}

fn read_sealed(bytes: &[u8]) -> Result<Vec<Vec<u8>>, FormatError> {
    PackHeader::from_bytes(bytes)?;
    let tail = bytes.len().checked_sub(TRAILER_LEN).and_then(|at| bytes.get(at..)).unwrap_or_default();
    let trailer = Trailer::from_bytes(tail, bytes.len() as u64)?;
    let at = usize::try_from(trailer.footer_offset).unwrap();
    let footer = Footer::from_bytes(&bytes[at..bytes.len() - TRAILER_LEN], &trailer)?;
    let frames = footer.frames.iter().map(|placed| {
        let frame = Frame::decode_prefix(&bytes[usize::try_from(placed.offset).unwrap()..at])?;
        if frame.header() != &placed.header {
            return Err(FormatError::malformed("frame", "differs from the directory"));
        }
        frame.decode(Check::Chunks)
    });
    frames.collect()
}

#[test]
fn a_pack_header_comes_back_and_any_flipped_bit_is_noticed() {
    let header = PackHeader { version: 1, class: PackClass::Meta, pack: PackId::from_bytes([9; 16]), compat: 5 };
    let bytes = header.to_bytes();
    assert_eq!(PackHeader::from_bytes(&bytes), Ok(header));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(PackHeader::from_bytes(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(PackHeader::from_bytes(&bytes[..len]).is_err());
    }
}

#[test]
fn packs_of_the_future_are_refused_by_name() {
    let reseal = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = PackHeader::new(PackClass::Data, PackId::from_bytes([9; 16])).to_bytes();
        change(&mut bytes);
        let checksum = checksum16(&[&bytes[..48]]);
        bytes[48..].copy_from_slice(&checksum);
        PackHeader::from_bytes(&bytes)
    };
    assert!(matches!(reseal(&|bytes| bytes[8] = 3), Err(FormatError::TooNew { found: 3, .. })));
    assert!(reseal(&|bytes| bytes[8] = 1).is_ok());
    assert!(matches!(reseal(&|bytes| bytes[16] = 1), Err(FormatError::Unsupported { .. })));
    assert!(matches!(reseal(&|bytes| bytes[12] = 9), Err(FormatError::Malformed { .. })));
}

#[test]
fn compressible_chunks_shrink_and_random_ones_stay_raw() {
    let text = b"2023-01-01,north,12.5\n".repeat(4000);
    let frame = chunk_frame(&[&text]);
    assert_eq!(frame.header().codec(), Codec::Zstd);
    assert!(frame.payload().len() < text.len() / 10);
    assert_eq!(frame.decode(Check::Chunks).unwrap(), text);

    let mut random = vec![0; 300_000];
    blake3::Hasher::new().finalize_xof().fill(&mut random);
    let frame = chunk_frame(&[&random]);
    assert_eq!(frame.header().codec(), Codec::Raw);
    assert_eq!(frame.decode(Check::Chunks).unwrap(), random);
}

#[test]
fn a_frame_finds_its_chunks() {
    let frame = chunk_frame(&[b"one", b"three", b"seven"]);
    assert_eq!(frame.header().find_chunk(&ChunkId::of(b"three")), Some((3, 5)));
    assert_eq!(frame.header().find_chunk(&ChunkId::of(b"two")), None);
}

#[test]
fn a_chunk_under_a_wrong_id_is_refused() {
    let frame = Frame::chunks(&[(ChunkId::of(b"one"), b"two")], 3);
    assert!(frame.decode(Check::Payload).is_ok());
    assert!(matches!(frame.decode(Check::Chunks), Err(FormatError::Malformed { .. })));
}

#[test]
fn a_frame_with_an_unknown_filter_is_listed_and_copied_but_not_decoded() {
    let mut bytes = chunk_frame(&[b"numbers"]).to_bytes();
    bytes[6] = 3;
    let checksum = checksum16(&[&bytes[..48], &bytes[64..100]]);
    bytes[48..64].copy_from_slice(&checksum);
    let frame = Frame::decode_prefix(&bytes).unwrap();
    assert_eq!(frame.to_bytes(), bytes);
    assert!(matches!(frame.decode(Check::Payload), Err(FormatError::Unsupported { .. })));
}

#[test]
fn arrays_are_shuffled_and_come_back() {
    let mut noise = vec![0; 80_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let numbers = noise.chunks_exact(2).map(|pair| f64::from(u16::from_le_bytes([pair[0], pair[1]])));
    let raw: Vec<u8> = numbers.flat_map(|number| (20.0 + number / 64.0).to_le_bytes()).collect();
    let frame = chunk_frame(&[&raw[..100_001], &raw[100_001..]]);
    let plain = zstd::bulk::compress(&raw, 3).unwrap();
    assert!(frame.payload().len() * 10 < plain.len() * 9, "{} against {}", frame.payload().len(), plain.len());
    assert_eq!(frame.to_bytes()[6..8], [1, 8]);
    assert_eq!(Frame::decode_prefix(&frame.to_bytes()).unwrap().decode(Check::Chunks).unwrap(), raw);
}

fn delta_frame() -> (Frame, Vec<u8>) {
    let base: Vec<u8> = (0..20_000_u32).flat_map(|number| (number * number).to_le_bytes()).collect();
    let raw = [&base[..30_000], b"new", &base[30_000..]].concat();
    let span = |offset: usize, len: usize| BaseSpan {
        chunk: ChunkId::of(&base),
        offset: u32::try_from(offset).unwrap(),
        len: u32::try_from(len).unwrap(),
    };
    let spans = vec![span(0, 50_000), span(50_000, 30_000)];
    let keys = [FrameKey { id: *ChunkId::of(&raw).as_bytes(), len: 80_003 }];
    let base = DeltaBase { spans, bytes: base, depth: 4 };
    (Frame::chunks_against(&keys, &raw, &base, 3).unwrap(), base.bytes)
}

#[test]
fn a_delta_frame_decodes_on_its_base_only() {
    let (frame, base) = delta_frame();
    assert!(frame.header().stored_len() < 1000, "{} bytes", frame.header().stored_len());
    let back = Frame::decode_prefix(&frame.to_bytes()).unwrap();
    assert_eq!((back.header().delta_depth(), back.header().bases().len()), (4, 2));
    let raw = back.decode_on(&base, Check::Chunks).unwrap();
    assert_eq!((raw.len(), &raw[30_000..30_003]), (80_003, &b"new"[..]));
    assert!(matches!(back.decode(Check::Chunks), Err(FormatError::Unsupported { .. })));
    let mut other = base;
    other[70] ^= 1;
    assert!(matches!(back.decode_on(&other, Check::Chunks), Err(FormatError::Malformed { .. })));
}

#[test]
fn impossible_bases_are_refused() {
    let reseal = |at: usize, value: u8| {
        let mut bytes = delta_frame().0.to_bytes();
        bytes[at] = value;
        let checksum = checksum16(&[&bytes[..48], &bytes[64..64 + 36 + 80]]);
        bytes[48..64].copy_from_slice(&checksum);
        FrameHeader::decode(&bytes)
    };
    let (depth, codec, span_len) = (12, 5, 64 + 36 + 36);
    assert!(reseal(depth, 4).is_ok());
    assert!(matches!(reseal(depth, 0), Err(FormatError::Malformed { .. })));
    assert!(matches!(reseal(depth, 5), Err(FormatError::Malformed { .. })));
    assert!(matches!(reseal(codec, 0), Err(FormatError::Malformed { .. })));
    assert!(matches!(reseal(span_len + 3, 0xff), Err(FormatError::Malformed { .. })));
}

#[test]
fn a_scan_stops_at_the_last_marker_wherever_the_tail_is_torn() {
    let body = build_body(&[
        Some(chunk_frame(&[b"one"])),
        None,
        Some(chunk_frame(&[b"two"])),
        None,
        Some(chunk_frame(&[b"three"])),
    ]);
    let ends: Vec<_> = [1, 2].iter().map(|count| build_body(&marked(*count)).len()).collect();
    for len in PACK_HEADER_LEN..=body.len() {
        let found = scan_bytes(&body[..len], ScanDepth::TailPayloads);
        let whole = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(found.frames.len(), whole, "cut at {len}");
        assert_eq!(found.sequence, whole as u64);
        assert_eq!(found.end, ends[..whole].last().map_or(64, |end| *end as u64));
    }
}

fn marked(count: usize) -> Vec<Option<Frame>> {
    let parts: [&[u8]; 2] = [b"one", b"two"];
    parts[..count].iter().flat_map(|part| [Some(chunk_frame(&[part])), None]).collect()
}

#[test]
fn a_torn_payload_under_the_last_marker_takes_the_marker_with_it() {
    let mut body = build_body(&marked(2));
    let second = scan_bytes(&body, ScanDepth::TailPayloads).frames[1].clone();
    let payload = usize::try_from(second.offset).unwrap() + second.header.encoded_len();
    body[payload] ^= 1;
    let found = scan_bytes(&body, ScanDepth::TailPayloads);
    assert_eq!((found.frames.len(), found.sequence, found.end), (1, 1, found.durable_end));
    assert_eq!(scan_bytes(&body, ScanDepth::Headers).frames.len(), 2);
}

#[test]
fn one_bad_byte_hides_one_frame_and_nothing_behind_it() {
    let parts: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
    let whole = build_body(&parts.iter().flat_map(|part| [Some(chunk_frame(&[part])), None]).collect::<Vec<_>>());
    let placed = scan_bytes(&whole, ScanDepth::Headers).frames;
    for at in PACK_HEADER_LEN..whole.len() {
        let mut body = whole.clone();
        body[at] ^= 1;
        for depth in [ScanDepth::Headers, ScanDepth::TailPayloads] {
            let found = scan_bytes(&body, depth);
            // What only the last marker vouches for is a torn tail, and so is everything from a bad last marker but
            // one.
            let sure = placed.iter().filter(|frame| {
                let end = frame.offset + frame.header.frame_len();
                end <= at as u64 || (frame.offset > at as u64 && at < usize::try_from(placed[2].offset).unwrap())
            });
            for frame in sure.filter(|frame| frame.offset < placed[3].offset) {
                assert!(found.frames.contains(frame), "byte {at} hides the frame at {}", frame.offset);
            }
            assert!(found.frames.iter().all(|frame| placed.contains(frame)), "byte {at}");
            assert!(found.gaps.iter().all(|gap| gap.contains(&(at as u64))), "byte {at}: {:?}", found.gaps);
        }
    }
}

#[test]
fn a_hole_in_the_tail_of_the_last_commit_is_torn_and_no_gap() {
    let frames =
        [Some(chunk_frame(&[b"one"])), None, Some(chunk_frame(&[b"two"])), Some(chunk_frame(&[b"three"])), None];
    let whole = build_body(&frames);
    let placed = scan_bytes(&whole, ScanDepth::Headers).frames;
    let mut body = whole.clone();
    body[usize::try_from(placed[1].offset).unwrap() + 5] ^= 1;
    let found = scan_bytes(&body, ScanDepth::Headers);
    assert_eq!((found.frames.len(), found.sequence, found.gaps.len()), (1, 1, 0));
}

#[test]
fn every_flipped_byte_of_a_sealed_pack_is_an_error_or_harmless() {
    let whole = seal(build_body(&marked(2)));
    let expected = read_sealed(&whole).unwrap();
    assert_eq!(expected, [b"one".to_vec(), b"two".to_vec()]);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        if let Ok(found) = read_sealed(&bytes) {
            assert_eq!(found, expected, "byte {at}");
        }
        assert!(read_sealed(&whole[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn the_page_about_packs_shows_a_pack_that_decodes() {
    let page = include_str!("../../../docs/format/pack.md");
    let bytes = crate::format::bytes::hex_of_page(page);
    assert_eq!(bytes, seal(build_body(&[Some(chunk_frame(&[b"onenb\n"])), None])));
    assert_eq!(read_sealed(&bytes).unwrap(), [b"onenb\n".to_vec()]);
}

proptest! {
    #[test]
    fn frames_come_back(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..600), 1..8), level in 1..5) {
        let chunks: Vec<_> = parts.iter().map(|bytes| (ChunkId::of(bytes), bytes.as_slice())).collect();
        let frame = Frame::chunks(&chunks, level);
        let bytes = frame.to_bytes();
        prop_assert_eq!(bytes.len() as u64, frame.header().frame_len());
        let back = Frame::decode_prefix(&bytes).unwrap();
        prop_assert_eq!(back.decode(Check::Chunks).unwrap(), parts.concat());
        prop_assert_eq!(back, frame);
    }

    #[test]
    fn objects_come_back(bytes in prop::collection::vec(any::<u8>(), 0..2000), aliases in prop::collection::vec(any::<[u8; 32]>(), 0..3)) {
        let frame = Frame::object(5, [3; 32], &aliases, bytes.clone(), 3);
        let back = Frame::decode_prefix(&frame.to_bytes()).unwrap();
        prop_assert_eq!(back.header().kind(), FrameKind::Object(5));
        prop_assert_eq!(back.header().keys().len(), 1 + aliases.len());
        prop_assert_eq!(back.decode(Check::Payload).unwrap(), bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic {
            bytes.splice(0..bytes.len().min(4), *b"1nbf");
        }
        let _ = Frame::decode_prefix(&bytes);
        let _ = PackHeader::from_bytes(&bytes);
        let _ = Trailer::from_bytes(&bytes, bytes.len() as u64);
        if bytes.len() >= PACK_HEADER_LEN {
            scan_bytes(&bytes, ScanDepth::TailPayloads);
        }
    }
}
