//! Collection of garbage: what is named reads back, what is not is gone, whoever writes or reads beside it.

use std::collections::HashSet;

use super::*;

fn roots(of: &[&StoredContent]) -> HashSet<ContentDigest> {
    of.iter().map(|stored| stored.digest).collect()
}

fn collect(store: &Store, roots: &HashSet<ContentDigest>) -> Result<GcReport, crate::Error> {
    store.gc(&mut || Ok(roots.clone()), &mut |_| true)
}

fn put_after(store: &Store, bytes: &[u8], parent: ContentDigest) -> StoredContent {
    store.put_content(bytes, &WriteOptions { parents: vec![parent], ..WriteOptions::default() }).unwrap()
}

/// A later version of some rows: some changed, some more.
fn version(number: u64) -> Vec<u8> {
    let row = |row: u64| {
        let changed = if row % 97 < number { number } else { 0 };
        format!("{row};{};{}\n", blake3::hash(&row.to_le_bytes()).to_hex(), row * 7 + changed)
    };
    (0..2_000 + 300 * number).map(row).collect::<String>().into_bytes()
}

fn on_disk(root: &Path) -> u64 {
    let dirs = ["data", "meta"].map(|class| root.join("packs").join(class));
    let paths = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten());
    paths.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn what_nobody_names_is_gone_and_the_rest_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let contents: Vec<Vec<u8>> =
        (0_u8..8).map(|seed| random(seed.into(), 20_000 + 60_000 * usize::from(seed % 4))).collect();
    let stored: Vec<StoredContent> = contents.iter().map(|bytes| put(&store, bytes)).collect();
    let inline = put(&store, b"small");
    let keep = roots(&[&stored[1], &stored[6]]);
    let before = on_disk(dir.path());
    let report = collect(&store, &keep).unwrap();
    assert_eq!((report.contents, report.dropped_contents), (2, 7));
    let after = on_disk(dir.path());
    assert!(after < contents[1].len() as u64 + contents[6].len() as u64 + 4_000, "{after} bytes are left of {before}");
    assert!(report.freed_bytes > 300_000);
    for store in [&store, &open_small(dir.path())] {
        for (at, stored) in stored.iter().enumerate() {
            if keep.contains(&stored.digest) {
                assert_eq!(get(store, &stored.digest).unwrap(), contents[at]);
            } else {
                assert_eq!(store.contains(&stored.digest).unwrap(), None);
            }
        }
        assert_eq!(store.contains(&inline.digest).unwrap(), None);
        assert_sound(store);
    }
    let again = collect(&store, &keep).unwrap();
    assert_eq!((again.packs, again.freed_bytes), (0, 0));
}

#[test]
fn what_frames_lean_on_stays_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut stored = vec![put(&store, &version(0))];
    for number in 1..5 {
        stored.push(put_after(&store, &version(number), stored.last().unwrap().digest));
    }
    let last = stored.pop().unwrap();
    let lone = put(&store, &random(1, 400_000));
    let report = collect(&store, &roots(&[&last])).unwrap();
    assert!(report.packs > 0);
    let store = open(dir.path());
    assert_eq!(get(&store, &last.digest).unwrap(), version(4));
    for gone in stored.iter().chain([&lone]) {
        assert_eq!(store.contains(&gone.digest).unwrap(), None);
    }
    assert_sound(&store);
}

#[test]
fn a_dry_run_changes_nothing_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let one = put(&store, &random(1, 200_000));
    put(&store, &random(2, 200_000));
    let before = on_disk(dir.path());
    let planned = store.plan_gc(&roots(&[&one]), &mut |_| true).unwrap().report();
    assert_eq!(on_disk(dir.path()), before);
    assert_eq!(collect(&store, &roots(&[&one])).unwrap(), planned);
}

#[test]
fn a_pack_that_another_process_writes_to_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, collector) = (open(dir.path()), open(dir.path()));
    let bytes = random(1, 100_000);
    let stored = put(&writer, &bytes);
    let report = collect(&collector, &HashSet::new()).unwrap();
    assert_eq!((report.packs, report.busy_packs), (0, 2));
    assert_eq!(get(&collector, &stored.digest).unwrap(), bytes);
    assert_sound(&collector);
    drop(writer);
    assert_eq!(collect(&collector, &HashSet::new()).unwrap().packs, 2);
    assert_eq!(collector.contains(&stored.digest).unwrap(), None);
}

#[test]
fn what_is_stored_while_packs_are_copied_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let (old, kept) = (version(0), random(9, 90_000));
    // One pack holds both, so that something is copied while the other content is still there to rely on.
    let options = WriteOptions::default();
    let mut batch = store.batch(&options).unwrap();
    let mut add = |bytes: &[u8]| {
        let mut writer = batch.writer(vec![]);
        writer.push(bytes).unwrap();
        batch.add(writer).unwrap()
    };
    let (old_stored, kept_stored) = (add(&old), add(&kept));
    batch.commit().unwrap();
    drop(store);
    let (collector, other) = (open_small(dir.path()), open_small(dir.path()));
    let mut written = vec![];
    let report = collector.gc(&mut || Ok(roots(&[&kept_stored])), &mut |step| {
        if step.doing == "rewriting" && written.is_empty() {
            // A new version leans on what is about to go, and its name comes too late for the caller.
            written.push(put_after(&other, &version(1), old_stored.digest));
        }
        true
    });
    let report = report.unwrap();
    assert_eq!(written.len(), 1);
    for store in [&collector, &other, &open_small(dir.path())] {
        assert_eq!(get(store, &written[0].digest).unwrap(), version(1));
        assert_eq!(get(store, &kept_stored.digest).unwrap(), kept);
        assert_sound(store);
    }
    drop((collector, other));
    let store = open_small(dir.path());
    assert!(collect(&store, &roots(&[&kept_stored])).unwrap().freed_bytes > report.freed_bytes);
    assert_eq!(store.contains(&written[0].digest).unwrap(), None);
    assert_sound(&store);
}

#[test]
fn a_content_named_again_while_collection_runs_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let bytes = random(1, 200_000);
    let stored = put(&store, &bytes);
    put(&store, &random(2, 200_000));
    let mut asked = 0;
    let report = store.gc(
        &mut || {
            asked += 1;
            Ok(if asked == 1 { HashSet::new() } else { roots(&[&stored]) })
        },
        &mut |_| true,
    );
    report.unwrap();
    assert_eq!(asked, 2);
    assert_eq!(get(&store, &stored.digest).unwrap(), bytes);
    assert_sound(&store);
}

#[test]
fn a_write_under_way_is_waited_for_and_then_refuses_collection() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    put(&store, &random(1, 200_000));
    let other = open_small(dir.path());
    let hold = other.hold().unwrap();
    let error = collect(&store, &HashSet::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Whoever writes within a write is not kept waiting.
    put(&other, &random(3, 1000));
    drop((hold, other));
    assert!(collect(&store, &HashSet::new()).unwrap().packs > 0);
}

#[test]
fn a_reader_that_began_before_reads_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    let bytes: Vec<Vec<u8>> = (0..3).map(|seed| random(seed, 500_000)).collect();
    let stored: Vec<StoredContent> = bytes.iter().map(|bytes| put(&store, bytes)).collect();
    let reading = open_small(dir.path());
    let mut reader = reading.open_content(&stored[1].digest).unwrap();
    let mut start = vec![0; 1000];
    reader.read_exact(&mut start).unwrap();
    let mut rest = vec![];
    collect(&store, &roots(&[&stored[1]])).unwrap();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!([start, rest].concat(), bytes[1]);
    // And a writer of that process stores anew what is gone.
    assert_eq!(put(&reading, &bytes[0]).new_chunk_bytes, 500_000);
    assert_eq!(get(&open_small(dir.path()), &stored[0].digest).unwrap(), bytes[0]);
}

#[test]
fn where_a_recipe_is_damaged_nothing_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let stored = put(&store, &random(1, 50_000));
    put(&store, &random(2, 50_000));
    drop(store);
    let path = files(&dir.path().join("packs/meta"), ".open").remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    // In the payload of the first recipe, so that its frame is still found.
    bytes[64 + 64 + 2 * 36 + 20] ^= 1;
    crate::fs::write_atomic(&path, &bytes).unwrap();
    let before = on_disk(dir.path());
    let error = collect(&open(dir.path()), &roots(&[&stored])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("nothing was deleted"), "{error}");
    assert_eq!(on_disk(dir.path()), before);
}

#[test]
fn damage_of_a_copy_is_never_cut_as_if_it_were_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let kept: Vec<_> = (0..3).map(|seed| put(&open(dir.path()), &random(seed, 60_000))).collect();
    put(&open(dir.path()), &random(7, 400_000));
    let before = files(&dir.path().join("packs/data"), "");
    let store = open(dir.path());
    collect(&store, &roots(&kept.iter().collect::<Vec<_>>())).unwrap();
    drop(store);
    let pack = files(&dir.path().join("packs/data"), ".open").remove(0);
    assert!(!before.contains(&pack));
    let mut bytes = std::fs::read(&pack).unwrap();
    let len = bytes.len();
    bytes[len / 3] ^= 1;
    crate::fs::write_atomic(&pack, &bytes).unwrap();
    let readable = |store: &Store| kept.iter().filter(|stored| get(store, &stored.digest).is_ok()).count();
    assert_eq!(readable(&open(dir.path())), 2);
    put(&open(dir.path()), &random(9, 5_000));
    assert_eq!(readable(&open(dir.path())), 2);
    assert!(std::fs::metadata(&pack).unwrap().len() >= len as u64);
}

#[test]
fn where_nothing_is_copied_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open_small(dir.path()));
    let kept = put(&one, &random(1, 60_000));
    let pack = files(&dir.path().join("packs/data"), ".open").remove(0);
    put(&two, &random(2, 400_000));
    drop((one, two));
    let len = std::fs::metadata(&pack).unwrap().len();
    assert!(collect(&open(dir.path()), &roots(&[&kept])).unwrap().freed_bytes > 300_000);
    // On a full disk that would keep it from making room.
    assert_eq!(std::fs::metadata(&pack).unwrap().len(), len);
}

#[test]
fn of_two_copies_the_sound_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    // Two processes that do not see each other's pack in time store the same chunk.
    let bytes = random(1, 60_000);
    let (one, two) = (open(dir.path()), open(dir.path()));
    let mut first = one.writer(&WriteOptions::default()).unwrap();
    let mut second = two.writer(&WriteOptions::default()).unwrap();
    for writer in [&mut first, &mut second] {
        writer.push(&bytes).unwrap();
    }
    let stored = first.finish().unwrap();
    second.finish().unwrap();
    drop((one, two));
    let packs = files(&dir.path().join("packs/data"), ".open");
    assert_eq!(packs.len(), 2);
    for damaged in &packs {
        let copy = tempfile::tempdir().unwrap();
        for class in ["data", "meta"] {
            crate::fs::create_dir_all(&copy.path().join("packs").join(class)).unwrap();
            for path in files(&dir.path().join("packs").join(class), ".open") {
                let mut bytes = std::fs::read(&path).unwrap();
                if path == *damaged {
                    // Behind a second marker, so that nobody takes it for a torn tail.
                    bytes[5_000] ^= 1;
                }
                let to = copy.path().join("packs").join(class).join(path.file_name().unwrap());
                crate::fs::write_atomic(&to, &bytes).unwrap();
            }
        }
        let store = open(copy.path());
        if get(&store, &stored.digest).is_err() {
            // The tail was cut as torn; the other copy is the only one then.
            continue;
        }
        collect(&store, &roots(&[&stored])).unwrap();
        assert_eq!(get(&open(copy.path()), &stored.digest).unwrap(), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_set_of_roots_reads_back_and_nothing_else_is_left(
        steps in prop::collection::vec((0_u8..6, prop::option::of(0_usize..8), 0_usize..3), 1..14),
        kept in prop::collection::vec(any::<bool>(), 14),
        reopen in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open_small(dir.path());
        let mut stored: Vec<(StoredContent, Vec<u8>)> = vec![];
        for (seed, parent, shape) in steps {
            let bytes = match shape {
                0 => version(seed.into()),
                1 => random(seed.into(), 30_000 * (usize::from(seed) + 1)),
                _ => [version(seed.into()), random(seed.into(), 5_000)].concat(),
            };
            let parent = parent.and_then(|at| stored.get(at)).map(|(stored, _)| stored.digest);
            let options = WriteOptions { parents: parent.into_iter().collect(), ..WriteOptions::default() };
            stored.push((store.put_content(&bytes, &options).unwrap(), bytes));
            if reopen {
                store = open_small(dir.path());
            }
        }
        let live: HashSet<ContentDigest> =
            stored.iter().zip(&kept).filter(|(_, kept)| **kept).map(|((stored, _), _)| stored.digest).collect();
        store.gc(&mut || Ok(live.clone()), &mut |_| true).unwrap();
        for store in [&store, &open_small(dir.path())] {
            for (stored, bytes) in &stored {
                if live.contains(&stored.digest) {
                    prop_assert_eq!(&get(store, &stored.digest).unwrap(), bytes);
                } else {
                    prop_assert_eq!(store.contains(&stored.digest).unwrap(), None);
                }
            }
            assert_sound(store);
            prop_assert_eq!(store.stats().unwrap().0.contents, live.len() as u64);
        }
        let left = store.plan_gc(&live, &mut |_| true).unwrap().report();
        prop_assert_eq!(left.packs, 0);
        if live.is_empty() {
            prop_assert_eq!(store.stats().unwrap().0.chunks, 0);
        }
    }
}
