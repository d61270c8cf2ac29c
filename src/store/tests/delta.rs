//! Writing a version over the one before.
#![expect(clippy::disallowed_methods, reason = "tests damage packs")]

use super::super::delta::{LOOK_EVERY, Looks};
use super::*;
use crate::format::pack::MAX_DELTA_DEPTH;

/// A table of rows that look alike, some hundred bytes each.
fn table(seed: u64, rows: usize) -> Vec<Vec<u8>> {
    let noise = random(seed, rows * 16);
    let row = |(number, noise): (usize, &[u8])| {
        let cells: Vec<String> = noise.iter().map(|byte| format!("{}", u32::from(*byte) * 37)).collect();
        format!("{number},player {number},{}\n", cells.join(",")).into_bytes()
    };
    noise.chunks(16).enumerate().map(row).collect()
}

/// Changes one cell in every third row.
fn edit(rows: &mut [Vec<u8>], round: usize) {
    for row in rows.iter_mut().skip(round % 3).step_by(3) {
        let end = row.len() - 1;
        row.truncate(end);
        row.extend_from_slice(format!(",{round}\n").as_bytes());
    }
}

fn over(parents: &[ContentDigest]) -> WriteOptions {
    WriteOptions { parents: parents.to_vec(), ..WriteOptions::default() }
}

/// Returns the deepest delta that reading a content meets, and checks that depths say what decoding takes.
fn depth_of(store: &Store, digest: &ContentDigest) -> u8 {
    let live = store.live();
    let chunks = store.chunks_of(digest).unwrap();
    let depth = |id: &ChunkId| {
        let found = live.data.find_fresh(id.as_bytes()).unwrap().found;
        let header = &found.first().unwrap().header;
        let bases: HashMap<_, _> = header
            .bases()
            .iter()
            .map(|base| {
                let found = &live.data.find_fresh(base.chunk.as_bytes()).unwrap().found[0];
                ((found.pack, found.offset), 1 + found.header.delta_depth())
            })
            .collect();
        assert_eq!(bases.into_values().sum::<u8>(), header.delta_depth());
        header.delta_depth()
    };
    chunks.iter().map(|chunk| depth(&chunk.id)).max().unwrap_or(0)
}

#[test]
fn a_changed_version_costs_little_and_reads_back() {
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rows = table(1, 30_000);
    let first = rows.concat();
    edit(&mut rows, 1);
    rows.splice(9000..9000, table(2, 400));
    rows.drain(20_000..20_300);
    let second = rows.concat();
    let alone = {
        let store = open(without.path());
        put(&store, &first);
        let stored = put(&store, &second);
        (stored, store.chunks_of(&stored.digest).unwrap())
    };
    let store = open(with.path());
    let parent = put(&store, &first);
    let stored = store.put_content(&second, &over(&[parent.digest])).unwrap();
    assert_eq!((stored.recipe, stored.new_chunk_bytes), (alone.0.recipe, alone.0.new_chunk_bytes));
    assert_eq!(store.chunks_of(&stored.digest).unwrap(), alone.1);
    assert!(stored.stored_bytes * 3 < alone.0.stored_bytes, "{} against {}", stored.stored_bytes, alone.0.stored_bytes);
    assert_eq!(depth_of(&store, &stored.digest), 1);
    drop(store);
    let store = open(with.path());
    assert!(get(&store, &stored.digest).unwrap() == second);
    assert_sound(&store);
}

#[test]
fn what_comes_from_everywhere_stands_alone_and_the_next_version_leans_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut rows = table(7, 200_000);
    let parent = put(&store, &rows.concat());
    rows.sort_by_key(|row| *blake3::hash(row).as_bytes());
    let sorted = store.put_content(&rows.concat(), &over(&[parent.digest])).unwrap();
    assert_eq!(depth_of(&store, &sorted.digest), 0);
    for row in rows.iter_mut().step_by(2000) {
        row.splice(0..1, *b"1");
    }
    let edited = store.put_content(&rows.concat(), &over(&[sorted.digest])).unwrap();
    assert_eq!(depth_of(&store, &edited.digest), 1);
    assert!(edited.stored_bytes * 50 < sorted.stored_bytes, "{edited:?} {sorted:?}");
    assert!(get(&store, &edited.digest).unwrap() == rows.concat());
}

#[test]
fn what_comes_after_sorted_and_new_rows_is_found_again() {
    let (mut rows, mut moved) = (table(8, 300_000), table(9, 120_000));
    let before = [moved.concat(), rows.concat()].concat();
    moved.sort_by_key(|row| *blake3::hash(row).as_bytes());
    for row in rows.iter_mut().step_by(5000) {
        row.splice(0..1, *b"1");
    }
    let strange = [moved.concat(), random(3, 7_000_000)].concat();
    let stored = |bytes: &[u8], has_parent: bool| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let parent = has_parent.then(|| put(&store, &before).digest);
        store.put_content(bytes, &over(&parent.into_iter().collect::<Vec<_>>())).unwrap().stored_bytes
    };
    let late = stored(&[strange.clone(), rows.concat()].concat(), true) - stored(&strange, true);
    let alone = stored(&rows.concat(), false);
    assert!(late * 2 < alone, "{late} {alone}");
}

#[test]
fn rows_that_moved_far_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut rows = table(3, 60_000);
    let parent = put(&store, &rows.concat());
    rows.rotate_left(31_234);
    edit(&mut rows, 2);
    let stored = store.put_content(&rows.concat(), &over(&[parent.digest])).unwrap();
    assert!(stored.stored_bytes * 3 < parent.stored_bytes, "{} against {}", stored.stored_bytes, parent.stored_bytes);
    assert!(get(&store, &stored.digest).unwrap() == rows.concat());
}

#[test]
fn chains_end_at_the_greatest_depth_and_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let mut rows = table(4, 4000);
    let mut versions = vec![put(&store, &rows.concat())];
    let mut depths = vec![0];
    for round in 0..12 {
        edit(&mut rows, round);
        let parent = versions.last().unwrap().digest;
        let stored = store.put_content(&rows.concat(), &over(&[parent])).unwrap();
        depths.push(depth_of(&store, &stored.digest));
        assert!(get(&store, &stored.digest).unwrap() == rows.concat());
        versions.push(stored);
    }
    assert_eq!(depths.iter().max(), Some(&MAX_DELTA_DEPTH));
    assert!(depths[5..].contains(&1), "{depths:?}");
    assert_sound(&store);
}

#[test]
fn a_damaged_or_missing_parent_is_not_leaned_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = table(5, 8000);
    let parent = put(&open(dir.path()), &rows.concat());
    let pack = files(&dir.path().join("packs/data"), ".open").remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    edit(&mut rows, 0);
    edit(&mut rows, 1);
    edit(&mut rows, 2);
    let store = open(dir.path());
    let missing = ContentDigest::of(b"never stored");
    for parents in [vec![parent.digest], vec![missing], vec![missing, parent.digest]] {
        rows.reverse();
        let stored = store.put_content(&rows.concat(), &over(&parents)).unwrap();
        assert!(get(&store, &stored.digest).unwrap() == rows.concat());
    }
}

/// A chunk whose shallow copy is damaged and whose deep copy is sound can be read, but nothing may lean on it: readers
/// look for bases in shallower frames only.
#[test]
fn a_base_that_only_a_deep_twin_still_holds_is_not_leaned_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = table(7, 4000);
    let first = open(dir.path());
    let earlier = put(&first, &rows.concat());
    edit(&mut rows, 1);
    let version = rows.concat();
    let deep = first.put_content(&version, &over(&[earlier.digest])).unwrap();
    assert_eq!(depth_of(&first, &deep.digest), 1);
    let chunks = first.chunks_of(&deep.digest).unwrap();
    let last = chunks.last().unwrap().id;
    let shallow = Frame::chunks(&[(last, &first.read_chunk(&last).unwrap())], 3);
    assert!(chunks.len() > 1, "the deep frame is read for another chunk first");
    drop(first);
    // As two processes leave it that store the same content at the same time.
    let store = open(dir.path());
    let live = store.live();
    live.data.begin_writing().unwrap();
    let failures = live.data.failures();
    live.data.append(std::slice::from_ref(&shallow)).unwrap();
    live.data.commit(failures).unwrap();
    put(&store, &random(8, 9000));
    drop(store);
    let pack = files(&dir.path().join("packs/data"), ".open").remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    let encoded = shallow.to_bytes();
    let at = bytes.windows(encoded.len()).rposition(|window| window == encoded).unwrap();
    bytes[at + encoded.len() - 9] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let store = open(dir.path());
    edit(&mut rows, 2);
    let stored = store.put_content(&rows.concat(), &over(&[deep.digest])).unwrap();
    drop(store);
    // Alone: whoever reads on from the start has the deep twin at hand.
    for chunk in open(dir.path()).chunks_of(&stored.digest).unwrap() {
        open(dir.path()).read_chunk(&chunk.id).unwrap();
    }
    assert!(get(&open(dir.path()), &stored.digest).unwrap() == rows.concat());
}

#[test]
fn what_is_copied_elsewhere_stands_alone() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(here.path());
    let mut rows = table(6, 8000);
    let parent = put(&store, &rows.concat());
    edit(&mut rows, 0);
    let stored = store.put_content(&rows.concat(), &over(&[parent.digest])).unwrap();
    assert_eq!(depth_of(&store, &stored.digest), 1);
    let other = open(there.path());
    for chunk in store.chunks_of(&stored.digest).unwrap() {
        let frame = store.frame_with(&chunk.id).unwrap();
        assert_eq!(frame.header().bases(), []);
        other.insert_frames([frame]).unwrap();
    }
    let (recipe, nodes) = store.recipe_of(&stored.digest).unwrap();
    other.insert_recipe(&recipe, &nodes).unwrap();
    assert!(get(&other, &stored.digest).unwrap() == rows.concat());
}

#[derive(Debug, Clone)]
enum Change {
    Edit(usize),
    Insert(prop::sample::Index, usize),
    Remove(prop::sample::Index, usize),
    Noise(prop::sample::Index, usize),
    Reverse,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        any::<usize>().prop_map(Change::Edit),
        (any::<prop::sample::Index>(), 1..500_usize).prop_map(|(at, len)| Change::Insert(at, len)),
        (any::<prop::sample::Index>(), 1..500_usize).prop_map(|(at, len)| Change::Remove(at, len)),
        (any::<prop::sample::Index>(), 1..200_000_usize).prop_map(|(at, len)| Change::Noise(at, len)),
        Just(Change::Reverse),
    ];
    prop::collection::vec(change, 0..4)
}

fn apply(rows: &mut Vec<Vec<u8>>, change: &Change) {
    let count = rows.len();
    match change {
        Change::Edit(round) => edit(rows, *round),
        Change::Insert(at, len) => drop(rows.splice(at.index(count + 1)..at.index(count + 1), table(99, *len))),
        Change::Remove(at, len) => drop(rows.drain(at.index(count + 1)..count.min(at.index(count + 1) + len))),
        Change::Noise(at, len) => rows.insert(at.index(count + 1), random(*len as u64, *len)),
        Change::Reverse => rows.reverse(),
    }
}

proptest! {
    #[test]
    fn whatever_became_of_batches_one_in_eight_is_looked_at(
        batches in prop::collection::vec((any::<bool>(), prop::option::of((prop::bool::weighted(0.1), 1..3_000_000_u64))), 1..200),
    ) {
        let (mut looks, mut passed) = (Looks::default(), 0);
        for (has_matches, outcome) in batches {
            // What became of an earlier batch.
            if let Some((won, len)) = outcome {
                looks.note_outcome(won, len);
            }
            if looks.is_due() {
                looks.note_look(has_matches);
                passed = 0;
            } else {
                passed += 1;
            }
            prop_assert!(passed < LOOK_EVERY);
        }
        looks.note_look(true);
        looks.note_outcome(true, 1);
        prop_assert!(looks.is_due() && looks.is_due());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_parent_changes_nothing_but_the_space(
        seed in any::<u64>(),
        rows in 0..9000_usize,
        rounds in prop::collection::vec(changes(), 1..7),
        piece in 1..300_000_usize,
        range in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, plain) = (open_small(with.path()), open(without.path()));
        let mut rows = table(seed, rows);
        let mut parent = put(&store, &rows.concat());
        for changes in rounds {
            for change in &changes {
                apply(&mut rows, change);
            }
            let content = rows.concat();
            let mut writer = store.writer(&over(&[parent.digest])).unwrap();
            content.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
            let stored = writer.finish().unwrap();
            prop_assert_eq!(stored.recipe, put(&plain, &content).recipe);
            let mut reader = store.open_content(&stored.digest).unwrap();
            let (a, b) = (range.0.index(content.len() + 1), range.1.index(content.len() + 1));
            let mut part = vec![0; a.max(b) - a.min(b)];
            reader.seek(SeekFrom::Start(a.min(b) as u64)).unwrap();
            reader.read_exact(&mut part).unwrap();
            prop_assert!(part == content[a.min(b)..a.max(b)]);
            prop_assert!(get(&store, &stored.digest).unwrap() == content);
            prop_assert!(depth_of(&store, &stored.digest) <= MAX_DELTA_DEPTH);
            parent = stored;
        }
        assert_sound(&store);
    }
}

#[test]
fn nothing_relies_on_a_sound_frame_whose_base_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = table(9, 3000);
    let first = put(&open(dir.path()), &rows.concat());
    edit(&mut rows, 1);
    let second = rows.concat();
    let stored = open(dir.path()).put_content(&second, &over(&[first.digest])).unwrap();
    assert_eq!(depth_of(&open(dir.path()), &stored.digest), 1);
    flip_at(dir.path(), 64);
    let store = open(dir.path());
    assert!(get(&store, &first.digest).is_err());
    assert!(!store.is_complete(&stored.digest).unwrap());
    // The same bytes again, as after a pull or a rerun: they must not count as known.
    let again = store.put_content(&second, &over(&[first.digest])).unwrap();
    assert_eq!(again.digest, stored.digest);
    assert!(get(&open(dir.path()), &again.digest).unwrap() == second);
    assert!(store.is_complete(&stored.digest).unwrap());
}

#[test]
fn a_damaged_base_that_is_stored_again_heals_what_leans_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = table(10, 3000);
    let before = rows.concat();
    let unrelated = put(&open(dir.path()), &random(77, 40_000));
    let first = put(&open(dir.path()), &before);
    edit(&mut rows, 1);
    let second = open(dir.path()).put_content(&rows.concat(), &over(&[first.digest])).unwrap();
    edit(&mut rows, 2);
    let third = open(dir.path()).put_content(&rows.concat(), &over(&[second.digest])).unwrap();
    assert_eq!(depth_of(&open(dir.path()), &third.digest), 2);
    let frame = frame_of(&open(dir.path()), &first.digest);
    flip_at(dir.path(), frame);
    let store = open(dir.path());
    assert!(get(&store, &first.digest).is_err());
    let mut near = table(10, 3000);
    edit(&mut near, 0);
    // A sound relative, so that there is something to lean on.
    let near = store.put_content(&near.concat(), &over(&[unrelated.digest])).unwrap();
    let again = store.put_content(&before, &over(&[near.digest])).unwrap();
    assert_eq!(again.digest, first.digest);
    for digest in [first.digest, second.digest, third.digest] {
        assert!(get(&open(dir.path()), &digest).is_ok(), "not healed");
    }
}

/// Returns where the first chunk of a content lies.
fn frame_of(store: &Store, digest: &ContentDigest) -> u64 {
    let chunk = store.chunks_of(digest).unwrap()[0].id;
    store.live().data.find_fresh(chunk.as_bytes()).unwrap().found[0].offset
}

/// Flips a byte in the payload of the frame at a position of the open pack.
pub(super) fn flip_at(root: &Path, offset: u64) {
    let pack = files(&root.join("packs/data"), ".open").remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    let at = usize::try_from(offset).unwrap();
    let header = crate::format::pack::FrameHeader::decode(&bytes[at..]).unwrap();
    bytes[at + header.encoded_len()] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
}
