//! The store as its users see it; crashes are in `tests/store_crash.rs`.

mod ahead;
mod batch;
mod damage;
mod encodings;
mod gc;
mod repack;

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

mod delta;

use super::*;
use crate::error::{Classify as _, ErrorKind};
use crate::format::pack::{Check, Frame, PackClass, PackHeader};
use crate::id::ChunkId;
use crate::testing::random;

fn open(root: &Path) -> Store {
    Store::open(root, &StoreOptions::default()).unwrap()
}

/// Seals packs early, so that a few hundred kilobytes make many.
fn open_small(root: &Path) -> Store {
    let limits = PackLimits { data_len: 150_000, data_frames: 1024, meta_len: 8 * 1024, meta_frames: 16 };
    Store::open(root, &StoreOptions { read_only: false, limits }).unwrap()
}

fn put(store: &Store, bytes: &[u8]) -> StoredContent {
    store.put_content(bytes, &WriteOptions::default()).unwrap()
}

fn get(store: &Store, digest: &ContentDigest) -> Result<Vec<u8>, crate::Error> {
    let mut bytes = vec![];
    store.open_content(digest)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    paths.sort();
    paths
}

fn assert_sound(store: &Store) {
    let report = store.verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.damaged, []);
}

#[test]
fn contents_of_every_shape_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let contents: Vec<Vec<u8>> =
        [0, 1, 1024, 1025, 16_384, 300_000, 3_000_000].iter().map(|len| random(7, *len)).collect();
    let store = open(dir.path());
    for content in &contents {
        let stored = put(&store, content);
        assert_eq!((stored.digest, stored.len), (ContentDigest::of(content), content.len() as u64));
        assert!(!stored.was_known);
        assert_eq!(store.contains(&stored.digest).unwrap(), Some(content.len() as u64));
        assert_eq!(store.recipe_id(&stored.digest).unwrap(), Some(stored.recipe));
    }
    drop(store);
    let store = open(dir.path());
    for content in &contents {
        assert_eq!(&get(&store, &ContentDigest::of(content)).unwrap(), content);
    }
    assert_sound(&store);
}

#[test]
fn a_tree_recipe_reads_at_any_position() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Equal chunks: more of them than a flat recipe holds, in little space.
    let content = vec![b'x'; 256 * 1024 * 1100 + 77];
    let stored = put(&store, &content);
    assert!(stored.new_chunk_bytes < 1_000_000);
    assert_eq!(store.chunks_of(&stored.digest).unwrap().len(), 1101);
    let (recipe, nodes) = store.recipe_of(&stored.digest).unwrap();
    assert!(matches!(recipe.body(), crate::format::recipe::RecipeBody::Tree(_)) && !nodes.is_empty());
    let mut reader = store.open_content(&stored.digest).unwrap();
    for position in [0, 256 * 1024 * 1100, content.len() as u64 - 1, 12_345] {
        reader.seek(SeekFrom::Start(position)).unwrap();
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
    reader.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), content.len() as u64);
}

#[test]
fn equal_chunks_are_stored_once_within_and_across_contents() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let content = random(1, 2_000_000);
    let first = put(&store, &content);
    assert_eq!(first.new_chunk_bytes, 2_000_000);
    let again = put(&store, &content);
    assert!(again.was_known && again.new_chunk_bytes == 0 && again.stored_bytes == 0);
    let twice = put(&store, &[content.clone(), content.clone()].concat());
    assert!(twice.new_chunk_bytes < 600_000, "{}", twice.new_chunk_bytes);
    let (stats, costs) = store.stats().unwrap();
    assert_eq!((stats.contents, stats.raw_bytes), (2, 6_000_000));
    assert!(stats.unique_bytes < 2_700_000 && stats.stored_bytes < 2_800_000);
    assert!(costs.len() as u64 == stats.chunks && costs.values().sum::<u64>() <= stats.stored_bytes);
}

#[test]
fn a_dropped_writer_leaves_nothing_visible_and_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, &random(1, 500_000));
    let size = || {
        files(&dir.path().join("packs/data"), ".open").iter().map(|path| path.metadata().unwrap().len()).sum::<u64>()
    };
    let before = size();
    let content = random(2, 6_000_000);
    let mut writer = store.writer(&WriteOptions::default()).unwrap();
    writer.write_all(&content).unwrap();
    drop(writer);
    assert_eq!(size(), before);
    assert_eq!(store.contains(&ContentDigest::of(&content)).unwrap(), None);
    assert_eq!(get(&store, &put(&store, &content).digest).unwrap(), content);
    assert_sound(&store);
}

#[test]
fn unknown_contents_are_not_found_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path()).open_content(&ContentDigest::of(b"nothing")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("`onenb pull`"));
}

#[test]
fn two_hundred_processes_in_turn_share_one_open_pack() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..200 {
        put(&open(dir.path()), &random(number, 5_000));
    }
    assert_eq!(files(&dir.path().join("packs/data"), "").len(), 1);
    assert_eq!(files(&dir.path().join("packs/meta"), "").len(), 1);
    let store = open(dir.path());
    for number in 0..200 {
        let content = random(number, 5_000);
        assert_eq!(get(&store, &ContentDigest::of(&content)).unwrap(), content);
    }
    assert_sound(&store);
}

#[test]
fn two_stores_on_one_directory_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open_small(dir.path()), open_small(dir.path()));
    for number in 0..30 {
        let content = random(number, 40_000);
        let (writer, reader) = if number.is_multiple_of(2) { (&one, &two) } else { (&two, &one) };
        let digest = put(writer, &content).digest;
        assert_eq!(get(reader, &digest).unwrap(), content);
        let again = put(reader, &content);
        assert!(again.was_known && again.new_chunk_bytes == 0);
    }
    assert!(files(&dir.path().join("packs/data"), ".pack").len() > 3);
    assert_sound(&one);
    assert_sound(&two);
}

#[test]
fn four_threads_export_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25_u64 {
                    // Half of the contents are the same in all threads.
                    let seed = if number.is_multiple_of(2) { number } else { thread * 1000 + number };
                    let content = random(seed, 30_000 + usize::try_from(number).unwrap() * 1000);
                    let digest = put(store, &content).digest;
                    assert_eq!(get(store, &digest).unwrap(), content);
                }
            });
        }
    });
    assert_sound(&store);
    assert_eq!(store.stats().unwrap().0.contents, 13 + 4 * 12);
    assert_sound(&open(dir.path()));
}

#[test]
fn a_read_only_store_reads_and_refuses_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let content = random(1, 100_000);
    let digest = put(&open(dir.path()), &content).digest;
    let count = files(dir.path(), "").len();
    let store = Store::open(dir.path(), &StoreOptions { read_only: true, ..StoreOptions::default() }).unwrap();
    assert!(store.is_read_only());
    assert_eq!(get(&store, &digest).unwrap(), content);
    let error = store.writer(&WriteOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    assert_eq!(files(dir.path(), "").len(), count);

    let missing = dir.path().join("missing");
    let store = Store::open(&missing, &StoreOptions { read_only: true, ..StoreOptions::default() }).unwrap();
    assert_eq!(store.contains(&digest).unwrap(), None);
    assert!(!missing.exists());
}

#[test]
fn newer_stores_are_refused_or_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let digest = put(&open(dir.path()), b"old").digest;
    crate::fs::write_atomic(&dir.path().join("format"), b"onenb store 2\nmin_reader 1\nmin_writer 2\n").unwrap();
    let store = open(dir.path());
    assert_eq!(get(&store, &digest).unwrap(), b"old");
    assert_eq!(store.writer(&WriteOptions::default()).err().unwrap().kind(), ErrorKind::ReadOnly);
    crate::fs::write_atomic(&dir.path().join("format"), b"onenb store 2\nmin_reader 2\nmin_writer 2\n").unwrap();
    let error = Store::open(dir.path(), &StoreOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::TooNew);
    crate::fs::write_atomic(&dir.path().join("format"), b"something else").unwrap();
    assert!(matches!(Store::open(dir.path(), &StoreOptions::default()), Err(StoreError::NotAStore { .. })));
}

#[test]
fn objects_are_stored_once_and_listed_from_a_cursor_that_survives_sealing() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open_small(dir.path()), open_small(dir.path()));
    let object = |number: u32| NewObject {
        kind: if number.is_multiple_of(2) { ObjectKind::PENDING } else { ObjectKind::PUSH_LOG },
        bytes: number.to_le_bytes().to_vec(),
        aliases: vec![],
    };
    let mut cursor = ObjectCursor::default();
    let mut seen = vec![];
    for round in 0..12_u32 {
        let store = if round % 2 == 0 { &one } else { &two };
        let fresh: Vec<_> = (round * 5..round * 5 + 5).map(object).collect();
        let ids = store.put_objects(&fresh).unwrap();
        assert_eq!(store.put_objects(&fresh).unwrap(), ids);
        put(store, &round.to_le_bytes());
        let (listed, next) = one.objects_since(&ObjectCursor::from_bytes(&cursor.to_bytes()).unwrap()).unwrap();
        let mut listed_ids: Vec<_> = listed.iter().map(|object| object.id).collect();
        listed_ids.sort();
        let mut wanted = ids.clone();
        wanted.sort();
        assert_eq!(listed_ids, wanted, "round {round}");
        assert_eq!(two.get_object(&ids[0]).unwrap().bytes, fresh[0].bytes);
        seen.extend(listed);
        cursor = next;
    }
    assert!(files(&dir.path().join("packs/meta"), ".pack").len() > 2);
    let (mut all, _) = two.objects_since(&ObjectCursor::default()).unwrap();
    let key = |object: &StoredObject| object.id;
    all.sort_by_key(key);
    seen.sort_by_key(key);
    assert_eq!(all, seen);
    assert_eq!(one.objects_since(&cursor).unwrap().0, []);
}

#[test]
fn a_content_travels_by_frames_and_is_visible_only_when_whole() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (open(from.path()), open(to.path()));
    let content = random(3, 3_000_000);
    let digest = put(&from, &content).digest;
    let (recipe, nodes) = from.recipe_of(&digest).unwrap();
    assert!(matches!(to.insert_recipe(&recipe, &nodes), Err(StoreError::Incomplete { .. })));
    assert_eq!(to.contains(&digest).unwrap(), None);

    let frames =
        from.chunks_of(&digest).unwrap().iter().map(|chunk| from.frame_with(&chunk.id).unwrap()).collect::<Vec<_>>();
    let inserted = to.insert_frames(frames.clone()).unwrap();
    assert!(inserted.frames >= 3 && inserted.frames < frames.len() as u64);
    assert_eq!(to.insert_frames(frames).unwrap(), Inserted::default());
    assert_eq!(to.insert_recipe(&recipe, &nodes).unwrap(), recipe.id());
    assert_eq!(get(&to, &digest).unwrap(), content);
    assert_sound(&to);

    let lie = Frame::chunks(&[(ChunkId::of(b"truth"), b"fiction")], 3);
    assert!(matches!(to.insert_frames([lie]), Err(StoreError::Refused { .. })));
}

#[test]
fn many_packs_make_few_segments_and_any_segment_may_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let contents: Vec<_> = (0..60).map(|seed| random(seed, 160_000)).collect();
    for content in &contents {
        put(&store, content);
    }
    let packs = files(&dir.path().join("packs/data"), ".pack").len();
    let segments = files(&dir.path().join("index/data"), ".seg");
    assert!(packs >= 50 && segments.len() < 16, "{packs} packs, {} segments", segments.len());
    for round in 0..3 {
        let store = open(dir.path());
        for content in &contents {
            assert_eq!(&get(&store, &ContentDigest::of(content)).unwrap(), content);
        }
        match round {
            0 => segments.iter().for_each(|path| crate::fs::remove_file(path).unwrap()),
            _ => store.rebuild_index().unwrap(),
        }
    }
    let segments = files(&dir.path().join("index/data"), ".seg");
    assert_eq!(segments.len(), 1);
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    crate::fs::write_atomic(&segments[0], &bytes).unwrap();
    let store = open(dir.path());
    for content in &contents {
        assert_eq!(&get(&store, &ContentDigest::of(content)).unwrap(), content);
    }
}

/// One content of a few chunks in sealed packs, small enough to damage byte by byte.
fn small_sealed(root: &Path) -> (Vec<u8>, ContentDigest) {
    let limits = PackLimits { data_len: 1, data_frames: 1, meta_len: 1, meta_frames: 1 };
    let store = Store::open(root, &StoreOptions { read_only: false, limits }).unwrap();
    let content = b"year,value\n2023,1\n".repeat(80);
    let digest = put(&store, &content).digest;
    (content, digest)
}

fn damage_each_byte(dir: &str, step: usize) -> usize {
    let root = tempfile::tempdir().unwrap();
    let (content, digest) = small_sealed(root.path());
    let path = files(&root.path().join(dir), "").pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    let mut variants: Vec<Vec<u8>> = (0..whole.len()).step_by(step).map(|len| whole[..len].to_vec()).collect();
    for at in (0..whole.len()).step_by(step) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x41;
        variants.push(flipped);
    }
    for bytes in variants {
        crate::fs::write_atomic(&path, &bytes).unwrap();
        let store = Store::open(root.path(), &StoreOptions { read_only: true, ..StoreOptions::default() }).unwrap();
        match get(&store, &digest) {
            Ok(found) => assert_eq!(found, content),
            Err(error) => {
                refused += 1;
                assert!(
                    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotFound | ErrorKind::TooNew),
                    "{error:?}"
                );
                assert!(!dir.contains("packs") || !store.verify(&mut |_, _| {}).unwrap().damaged.is_empty());
            }
        }
    }
    refused
}

#[test]
fn a_data_pack_damaged_anywhere_gives_the_right_bytes_or_an_error() {
    assert!(damage_each_byte("packs/data", 1) > 20);
}

#[test]
fn a_metadata_pack_damaged_anywhere_gives_the_right_bytes_or_an_error() {
    assert!(damage_each_byte("packs/meta", 1) > 20);
}

#[test]
fn a_damaged_segment_costs_nothing_but_time() {
    assert_eq!(damage_each_byte("index/data", 1), 0);
    assert_eq!(damage_each_byte("index/meta", 1), 0);
}

#[test]
fn verify_names_every_content_that_a_missing_pack_takes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let shared = random(1, 160_000);
    let one = put(&store, &shared).digest;
    let two = put(&store, &[shared, random(2, 160_000)].concat()).digest;
    let safe = put(&store, &random(3, 160_000)).digest;
    crate::fs::remove_file(&files(&dir.path().join("packs/data"), ".pack")[0]).unwrap();
    let store = open(dir.path());
    let report = store.verify(&mut |_, _| {}).unwrap();
    let hit: std::collections::BTreeSet<_> = report.damaged.iter().flat_map(|damage| damage.contents.clone()).collect();
    assert!(hit.contains(&one) && hit.contains(&two) && !hit.contains(&safe));
    let error = get(&store, &one).err().unwrap();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Damaged, Some("list all damage with `onenb verify`")));
}

#[test]
fn a_damaged_content_is_healed_by_storing_it_again_after_its_pack_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let content = random(1, 400_000);
    let digest = put(&open_small(dir.path()), &content).digest;
    for path in files(&dir.path().join("packs/data"), "") {
        crate::fs::remove_file(&path).unwrap();
    }
    let store = open(dir.path());
    assert!(get(&store, &digest).is_err());
    let again = put(&store, &content);
    assert!(again.was_known && again.new_chunk_bytes == 400_000);
    assert_eq!(get(&store, &digest).unwrap(), content);
    assert_sound(&store);
}

#[test]
fn a_torn_tail_of_an_orphan_is_cut_and_its_pack_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let kept = put(&open(dir.path()), &random(1, 50_000));
    let path = files(&dir.path().join("packs/data"), ".open").pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    bytes.extend_from_slice(&Frame::chunks(&[(ChunkId::of(b"torn"), b"torn")], 3).to_bytes()[..70]);
    crate::fs::write_atomic(&path, &bytes).unwrap();
    let store = open(dir.path());
    let content = random(2, 50_000);
    let fresh = put(&store, &content);
    assert_eq!(files(&dir.path().join("packs/data"), "").len(), 1);
    assert!(std::fs::read(&path).unwrap()[len..].starts_with(b"1nbf"));
    assert_eq!(get(&store, &fresh.digest).unwrap(), content);
    assert!(get(&store, &kept.digest).is_ok());
    assert_eq!(
        store.frame_with(&store.chunks_of(&kept.digest).unwrap()[0].id).unwrap().decode(Check::Chunks).unwrap().len(),
        50_000
    );
    assert_sound(&store);
}

#[test]
fn an_orphan_of_an_older_version_is_read_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (random(1, 30_000), random(2, 30_000));
    let old = put(&open(dir.path()), &before).digest;
    let pack = files(&dir.path().join("packs/data"), ".open").remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    let id = pack.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let header = PackHeader { version: 1, ..PackHeader::new(PackClass::Data, id) };
    bytes[..64].copy_from_slice(&header.to_bytes());
    crate::fs::write_atomic(&pack, &bytes).unwrap();
    let new = put(&open(dir.path()), &after).digest;
    assert_eq!(files(&dir.path().join("packs/data"), ".open").len(), 2);
    assert!(std::fs::read(&pack).unwrap().len() < bytes.len() + 1000, "frames of today in a pack of an older version");
    let store = open(dir.path());
    assert!((get(&store, &old).unwrap(), get(&store, &new).unwrap()) == (before, after));
    assert_sound(&store);
}

#[test]
fn orphans_that_nobody_adopts_do_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..4).map(|_| open(dir.path())).collect();
    for (seed, store) in (0..).zip(&stores) {
        put(store, &random(seed, 5_000));
    }
    drop(stores);
    let lens = || {
        let packs = files(&dir.path().join("packs/data"), ".open");
        packs.iter().map(|path| path.metadata().unwrap().len()).collect::<Vec<_>>()
    };
    put(&open(dir.path()), &random(10, 5_000));
    let before = lens();
    assert_eq!(before.len(), 4);
    for seed in 11..15 {
        put(&open(dir.path()), &random(seed, 5_000));
    }
    let grown = before.iter().zip(lens()).filter(|(before, after)| *before != after).count();
    assert_eq!(grown, 1);
    assert_sound(&open(dir.path()));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, usize),
    Abandon(u8, usize),
    Object(u8),
    Reopen,
    Rebuild,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12_u8, 0..120_000_usize).prop_map(|(seed, len)| Step::Put(seed, len)),
        1 => (0..12_u8, 0..120_000_usize).prop_map(|(seed, len)| Step::Abandon(seed, len)),
        2 => any::<u8>().prop_map(Step::Object),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_behaves_like_a_map(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open_small(dir.path());
        let mut model = HashMap::new();
        let mut objects = HashMap::new();
        for step in steps {
            match step {
                Step::Put(seed, len) => {
                    let content = random(seed.into(), len);
                    let stored = put(&store, &content);
                    prop_assert_eq!(stored.was_known, model.contains_key(&stored.digest));
                    model.insert(stored.digest, content);
                }
                Step::Abandon(seed, len) => {
                    let mut writer = store.writer(&WriteOptions::default()).unwrap();
                    writer.write_all(&random(seed.into(), len)).unwrap();
                }
                Step::Object(byte) => {
                    let object = NewObject { kind: ObjectKind::PENDING, bytes: vec![byte; 300], aliases: vec![] };
                    let ids = store.put_objects(std::slice::from_ref(&object)).unwrap();
                    objects.insert(ids[0], object.bytes);
                }
                Step::Reopen => { drop(store); store = open_small(dir.path()); }
                Step::Rebuild => store.rebuild_index().unwrap(),
            }
        }
        for (digest, content) in &model {
            prop_assert_eq!(&get(&store, digest).unwrap(), content);
        }
        let (listed, _) = store.objects_since(&ObjectCursor::default()).unwrap();
        prop_assert_eq!(listed.into_iter().map(|object| (object.id, object.bytes)).collect::<HashMap<_, _>>(), objects);
        let report = store.verify(&mut |_, _| {}).unwrap();
        prop_assert_eq!(report.contents, model.len() as u64);
        prop_assert_eq!(report.damaged, vec![]);
    }

    #[test]
    fn any_pieces_give_the_same_content_and_any_range_the_same_bytes(
        seed in any::<u64>(),
        len in 0_usize..900_000,
        pieces in prop::collection::vec(1_usize..200_000, 1..8),
        ranges in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..300_000), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let content = random(seed, len);
        let mut writer = store.writer(&WriteOptions::default()).unwrap();
        let mut rest = content.as_slice();
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            writer.write_all(now).unwrap();
            rest = later;
            if rest.is_empty() { break; }
        }
        let stored = writer.finish().unwrap();
        let whole = put(&store, &content);
        prop_assert_eq!((whole.recipe, whole.was_known), (stored.recipe, true));
        let mut reader = store.open_content(&stored.digest).unwrap();
        for (from, count) in ranges {
            let from = from.index(len + 1);
            let to = (from + count).min(len);
            reader.seek(SeekFrom::Start(from as u64)).unwrap();
            let mut found = vec![0; to - from];
            reader.read_exact(&mut found).unwrap();
            prop_assert_eq!(&found, &content[from..to]);
        }
    }
}

#[test]
fn damage_in_the_middle_of_an_open_pack_is_not_cut_off_as_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
    for number in 0..6_u8 {
        store
            .put_objects(&[NewObject { kind: ObjectKind::PENDING, bytes: vec![number; 50], aliases: vec![] }])
            .unwrap();
    }
    drop(store);
    let packs = dir.path().join("packs/meta");
    let path = std::fs::read_dir(&packs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[len / 3] ^= 0xff;
    crate::fs::write_atomic(&path, &bytes).unwrap();
    let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
    store.put_objects(&[NewObject { kind: ObjectKind::PENDING, bytes: vec![9; 50], aliases: vec![] }]).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), len as u64, "acknowledged bytes were cut off");
    assert!(!store.verify(&mut |_, _| ()).unwrap().damaged.is_empty());
}
