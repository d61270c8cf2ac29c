//! Settings: they reach every writer, and change nothing but how bytes lie in packs.

use super::*;
use crate::format::encoding::{Encoding, Encodings};
use crate::format::kind::ContentKind;
use crate::format::pack::{FrameHeader, MAX_FRAME_LEN, ScanDepth, ScanStart, scan};

/// Returns the headers of all frames of chunks in a store, in the order in which they were written.
fn data_frames(root: &Path) -> Vec<FrameHeader> {
    let dir = root.join("packs/data");
    let packs = files(&dir, ".open");
    assert_eq!(packs.len(), 1);
    let bytes = std::fs::read(&packs[0]).unwrap();
    let read = |offset: u64, len: usize| {
        let start = usize::try_from(offset).unwrap();
        Ok::<_, StoreError>(bytes[start..start + len].to_vec())
    };
    let scanned = scan(ScanStart::FIRST, bytes.len() as u64, ScanDepth::Headers, read).unwrap();
    scanned.frames.into_iter().map(|placed| placed.header).collect()
}

/// Makes a table whose later rows are other ones.
fn table(seed: u64, rows: usize) -> Vec<u8> {
    let noise = random(seed, rows * 4);
    let row = |(number, bytes): (usize, &[u8])| format!("{number},{},{}\n", bytes[0], u16::from(bytes[1]) * 7 % 900);
    noise.chunks_exact(4).enumerate().flat_map(|pair| row(pair).into_bytes()).collect()
}

/// Makes an array as `numpy.save` would, of numbers that byte shuffle likes.
fn array(seed: u64, len: usize) -> Vec<u8> {
    let numbers = random(seed, len * 2);
    let doubles = numbers.chunks_exact(2).map(|pair| 20.0 + f64::from(u16::from_le_bytes([pair[0], pair[1]])) / 64.0);
    let mut bytes = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}".to_vec();
    bytes.extend(doubles.flat_map(f64::to_le_bytes));
    bytes
}

fn settings(of: &[(ContentKind, Encoding)]) -> Encodings {
    let mut encodings = Encodings::default();
    for (kind, encoding) in of {
        encodings.set(*kind, *encoding).unwrap();
    }
    encodings
}

#[test]
fn each_kind_is_written_by_its_own_settings_and_by_its_bytes_alone() {
    let small_frames = Encoding { frame_len: 65_536, ..Encoding::default() };
    let plain = Encoding { shuffle: false, ..Encoding::default() };
    let (table, array) = (table(1, 40_000), array(2, 60_000));
    let write = |encodings: Encodings| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.set_encodings(&encodings).unwrap();
        put(&store, &table);
        let of_table = data_frames(dir.path());
        put(&store, &array);
        (of_table.len(), data_frames(dir.path()).split_off(of_table.len()))
    };
    let (table_frames, array_frames) = write(Encodings::default());
    assert_eq!(table_frames, 1);
    assert!(array_frames.iter().any(FrameHeader::is_shuffled));

    let (table_frames, array_frames) = write(settings(&[(ContentKind::Csv, small_frames), (ContentKind::Npy, plain)]));
    assert!(table_frames > 3, "{table_frames}");
    assert!(!array_frames.iter().any(FrameHeader::is_shuffled));
    assert!(array_frames.iter().all(|header| header.raw_len() as usize <= MAX_FRAME_LEN));
    assert_eq!(array_frames.len(), 1);
}

#[test]
fn without_deltas_frames_stand_alone() {
    let (before, mut after) = (table(3, 40_000), table(3, 40_000));
    after.splice(200_000..200_100, random(4, 100));
    for delta in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.set_encodings(&settings(&[(ContentKind::Csv, Encoding { delta, ..Encoding::default() })])).unwrap();
        let parents = vec![put(&store, &before).digest];
        let stored = store.put_content(&after, &WriteOptions { parents, ..WriteOptions::default() }).unwrap();
        assert_eq!(get(&store, &stored.digest).unwrap(), after);
        let leans = data_frames(dir.path()).iter().any(|header| !header.bases().is_empty());
        assert_eq!(leans, delta);
    }
}

#[test]
fn a_batch_writes_each_kind_by_its_settings_and_shares_frames_within_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let plain = Encoding { shuffle: false, ..Encoding::default() };
    store.set_encodings(&settings(&[(ContentKind::Npy, plain)])).unwrap();
    let contents: Vec<Vec<u8>> =
        (0..20).map(|seed| if seed % 2 == 0 { table(seed, 400) } else { array(seed, 900) }).collect();
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    let mut digests = vec![];
    for content in &contents {
        let mut writer = batch.writer(vec![]);
        writer.push(content).unwrap();
        digests.push(batch.add(writer).unwrap().digest);
    }
    // Written by the settings that were there when the batch began.
    store.set_encodings(&Encodings::default()).unwrap();
    batch.commit().unwrap();
    let frames = data_frames(dir.path());
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|header| header.keys().len() == 10 && !header.is_shuffled()));
    for (digest, content) in digests.iter().zip(&contents) {
        assert_eq!(&get(&store, digest).unwrap(), content);
    }
}

#[test]
fn settings_that_cannot_be_used_keep_nobody_from_writing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let content = table(5, 30_000);
    for (text, kind, hint) in [
        ("version = 9\n", ErrorKind::TooNew, "`pip install --upgrade onenb`"),
        ("level?", ErrorKind::Failed, "`onenb tune --undo`"),
    ] {
        crate::fs::write_atomic(&dir.path().join("encoding.toml"), text.as_bytes()).unwrap();
        let refusal = crate::Error::from(store.encodings().unwrap_err());
        assert_eq!(refusal.kind(), kind);
        assert!(refusal.hint().unwrap().contains(hint));
        let stored = put(&store, &content);
        assert_eq!(get(&store, &stored.digest).unwrap(), content);
    }
    store.set_encodings(&Encodings::default()).unwrap();
    assert!(store.encodings().unwrap().is_empty());
    assert!(!dir.path().join("encoding.toml").exists());
}

#[test]
fn scratch_stores_belong_to_one_process_and_vanish() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, b"kept");
    crate::fs::create_dir_all(&dir.path().join("scratch/left/by/a/killed/one")).unwrap();
    let scratch = store.scratch().unwrap().unwrap();
    assert!(store.scratch().unwrap().is_none());
    let (root, inner) = scratch.store().unwrap();
    let digest = put(&inner, &table(6, 10_000)).digest;
    assert!(store.contains(&digest).unwrap().is_none());
    scratch.remove(&root);
    assert!(!root.exists());
    scratch.remove(dir.path());
    assert!(dir.path().join("format").exists());
    drop(scratch);
    assert!(!dir.path().join("scratch").exists());
    assert!(store.scratch().unwrap().is_some());
}

fn any_encoding() -> impl Strategy<Value = Encoding> {
    (1..=12_i32, 16_384..=1_048_576_u32, any::<bool>(), any::<bool>())
        .prop_map(|(level, frame_len, shuffle, delta)| Encoding { level, frame_len, shuffle, delta })
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    (0..4_u8, 0..9_u64, 0..700_usize).prop_map(|(kind, seed, hundreds)| match kind {
        0 => table(seed, hundreds * 60),
        1 => array(seed, hundreds * 50),
        2 => random(seed, hundreds * 800),
        _ => vec![b'x'; hundreds * 1000],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_settings_chunks_and_recipes_are_the_same(
        encoding in any_encoding(), first in any_content(), second in any_content(), cut in 0..100_000_usize,
    ) {
        let mut edited = first.clone();
        edited.splice(cut.min(first.len())..first.len(), second.iter().copied());
        let write = |encodings: &Encodings| {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            store.set_encodings(encodings).unwrap();
            let before = put(&store, &first);
            let options = WriteOptions { parents: vec![before.digest], ..WriteOptions::default() };
            let after = store.put_content(&edited, &options).unwrap();
            let chunks = store.chunks_of(&after.digest).unwrap();
            let read = get(&open(dir.path()), &after.digest).unwrap();
            assert_sound(&store);
            (before.recipe, after.recipe, after.new_chunk_bytes, chunks, read)
        };
        let by_default = write(&Encodings::default());
        let all: Vec<_> = ContentKind::ALL.into_iter().map(|kind| (kind, encoding)).collect();
        let by_settings = write(&settings(&all));
        prop_assert_eq!(&by_default.4, &edited);
        prop_assert_eq!(by_default, by_settings);
    }
}
