//! What is damaged is named, never read wrongly, and healed by storing it again.

use super::*;

/// Flips one byte in the payload of the first frame of every data pack.
fn flip_first_frames(root: &Path) {
    for path in files(&root.join("packs/data"), "") {
        let mut bytes = std::fs::read(&path).unwrap();
        let header = crate::format::pack::FrameHeader::decode(&bytes[64..]).unwrap();
        bytes[64 + header.encoded_len()] ^= 1;
        crate::fs::write_atomic(&path, &bytes).unwrap();
    }
}

fn notes(root: &Path) -> usize {
    std::fs::read_dir(root.join("damaged")).map_or(0, Iterator::count)
}

#[test]
fn what_verify_found_damaged_is_healed_by_storing_it_again_for_every_later_process() {
    for opener in [open as fn(&Path) -> Store, open_small] {
        let dir = tempfile::tempdir().unwrap();
        let content = random(1, 400_000);
        let digest = put(&opener(dir.path()), &content).digest;
        flip_first_frames(dir.path());
        let report = open(dir.path()).verify(&mut |_, _| {}).unwrap();
        assert!(report.damaged.iter().all(|damage| damage.contents == [digest]) && !report.damaged.is_empty());

        let again = put(&opener(dir.path()), &content);
        assert!(again.was_known && again.new_chunk_bytes > 0, "{again:?}");
        let store = opener(dir.path());
        assert_eq!(get(&store, &digest).unwrap(), content);
        assert_sound(&store);
        assert_eq!(put(&store, &content).new_chunk_bytes, 0, "stored a third time");
        store.rebuild_index().unwrap();
        assert_eq!(get(&open(dir.path()), &digest).unwrap(), content);
        assert_sound(&open(dir.path()));
    }
}

#[test]
fn a_failed_read_is_enough_for_this_and_other_processes_to_store_anew() {
    let dir = tempfile::tempdir().unwrap();
    let content = random(1, 400_000);
    let (reading, writing) = (open(dir.path()), open(dir.path()));
    let digest = put(&open(dir.path()), &content).digest;
    flip_first_frames(dir.path());
    assert_eq!(get(&reading, &digest).err().unwrap().kind(), ErrorKind::Damaged);
    assert!(!reading.is_complete(&digest).unwrap());
    assert!(notes(dir.path()) > 0);
    assert!(put(&writing, &content).new_chunk_bytes > 0);
    assert!(reading.is_complete(&digest).unwrap());
    assert_eq!(get(&reading, &digest).unwrap(), content);
}

#[test]
fn frames_from_elsewhere_heal_as_well() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, other) = (open(dir.path()), open(elsewhere.path()));
    let content = random(1, 2_000_000);
    let digest = put(&store, &content).digest;
    put(&other, &content);
    flip_first_frames(dir.path());
    let store = open(dir.path());
    assert!(!store.verify(&mut |_, _| {}).unwrap().damaged.is_empty());
    let frames = other.chunks_of(&digest).unwrap().into_iter().map(|chunk| other.frame_with(&chunk.id).unwrap());
    assert!(store.insert_frames(frames).unwrap().frames > 0);
    assert_eq!(get(&store, &digest).unwrap(), content);
    assert_sound(&store);
}

#[test]
fn a_wrong_note_hides_nothing_and_verify_takes_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let content = random(1, 100_000);
    let digest = put(&open(dir.path()), &content).digest;
    let pack = files(&dir.path().join("packs/data"), "").pop().unwrap();
    let note = dir.path().join("damaged").join(format!("{}-64", pack.file_stem().unwrap().to_str().unwrap()));
    crate::fs::write_atomic(&note, b"").unwrap();
    crate::fs::write_atomic(&dir.path().join("damaged/no note"), b"").unwrap();
    let store = open(dir.path());
    assert_eq!(get(&store, &digest).unwrap(), content);
    assert!(!store.is_complete(&digest).unwrap());
    assert_sound(&store);
    assert!(store.is_complete(&digest).unwrap() && !note.exists());
}

#[test]
fn a_store_opened_for_reading_leaves_no_notes() {
    let dir = tempfile::tempdir().unwrap();
    let digest = put(&open(dir.path()), &random(1, 100_000)).digest;
    flip_first_frames(dir.path());
    let store = Store::open(dir.path(), &StoreOptions { read_only: true, ..StoreOptions::default() }).unwrap();
    assert!(get(&store, &digest).is_err() && !store.verify(&mut |_, _| {}).unwrap().damaged.is_empty());
    assert_eq!(notes(dir.path()), 0);
}

#[test]
fn a_damaged_recipe_is_healed_by_storing_the_content_again() {
    let dir = tempfile::tempdir().unwrap();
    let content = random(1, 100_000);
    let digest = put(&open(dir.path()), &content).digest;
    let path = files(&dir.path().join("packs/meta"), "").pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let header = crate::format::pack::FrameHeader::decode(&bytes[64..]).unwrap();
    bytes[64 + header.encoded_len() + 9] ^= 1;
    crate::fs::write_atomic(&path, &bytes).unwrap();
    let store = open(dir.path());
    assert!(!store.is_complete(&digest).unwrap());
    put(&store, &content);
    assert_eq!(get(&store, &digest).unwrap(), content);
    assert_sound(&store);
    assert_sound(&open(dir.path()));
}

#[test]
fn one_bad_byte_in_an_open_pack_hides_no_other_content() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let contents: Vec<_> = (0..6).map(|seed| random(seed, 40_000)).collect();
    for content in &contents {
        put(&store, content);
    }
    drop(store);
    let path = files(&dir.path().join("packs/data"), ".open").pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The magic of the second frame, which follows the first and its marker.
    let second = (1..bytes.len()).filter(|at| bytes[*at..].starts_with(b"1nbf\x01")).nth(1).unwrap();
    bytes[second] ^= 1;
    let len = bytes.len() as u64;
    crate::fs::write_atomic(&path, &bytes).unwrap();
    let store = open(dir.path());
    for (number, content) in contents.iter().enumerate() {
        assert_eq!(get(&store, &ContentDigest::of(content)).is_ok(), number != 1, "content {number}");
    }
    let report = store.verify(&mut |_, _| {}).unwrap();
    assert!(report.damaged.iter().any(|damage| damage.contents == [ContentDigest::of(&contents[1])]), "{report:?}");
    assert!(report.damaged.iter().any(|damage| damage.object.contains("bytes")), "{report:?}");
    // Nobody writes on in such a pack, and what was lost is stored anew.
    assert!(put(&open(dir.path()), &contents[1]).new_chunk_bytes > 0);
    assert_eq!(path.metadata().unwrap().len(), len);
    assert_eq!(get(&open(dir.path()), &ContentDigest::of(&contents[1])).unwrap(), contents[1]);
}

#[test]
fn packs_are_adopted_while_others_write_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let root = dir.path();
            scope.spawn(move || {
                for round in 0..12 {
                    let store = if round % 3 == 0 { open_small(root) } else { open(root) };
                    for number in 0..2 {
                        let content = random(thread * 1000 + round * 10 + number, 30_000);
                        assert_eq!(get(&store, &put(&store, &content).digest).unwrap(), content);
                    }
                }
            });
        }
    });
    let store = open(dir.path());
    for thread in 0..3 {
        for round in 0..12 {
            for number in 0..2 {
                let content = random(thread * 1000 + round * 10 + number, 30_000);
                assert_eq!(get(&store, &ContentDigest::of(&content)).unwrap(), content);
            }
        }
    }
    assert_sound(&store);
}

#[test]
fn noise_beside_text_does_not_cost_the_text_its_compression() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let text: Vec<u8> = (0..200_000_u32).flat_map(|row| format!("{row},{},text\n", row % 97).into_bytes()).collect();
    let parts = text.chunks(500_000).take(4).zip(0..);
    let content: Vec<u8> = parts.flat_map(|(text, seed)| [random(seed, 500_000), text.to_vec()].concat()).collect();
    let stored = put(&store, &content);
    // The noise stays as it is. A frame that holds both in like parts would be stored raw as a whole.
    assert!(stored.new_chunk_bytes == 4_000_000 && stored.stored_bytes < 3_200_000, "{stored:?}");
    assert_eq!(get(&store, &stored.digest).unwrap(), content);
}

#[test]
fn what_is_stored_while_everything_is_read_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    // Each has packs of its own that it goes on with.
    put(&store, &random(0, 60_000));
    put(&other, &random(1, 60_000));
    let mut seed = 1;
    let report = store.verify(&mut |_, _| {
        // Behind each pack that was read, of recipes as well as of chunks.
        seed += 1;
        put(&other, &random(seed, 60_000));
    });
    assert_eq!(report.unwrap().damaged, []);
    assert!(seed > 2);
    assert_sound(&store);
}
