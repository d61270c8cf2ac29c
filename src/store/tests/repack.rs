//! Repacking: every content stays as it is, in less room, whoever writes or reads beside it.

use std::collections::HashSet;

use super::*;
use crate::format::pack::{FrameKind, MAX_DELTA_DEPTH};
use crate::id::PackId;
use crate::store::inventory::{FirstSight, Inventory};
use crate::store::reader::FrameCache;

/// All contents are named.
fn all(store: &Store) -> HashSet<ContentDigest> {
    store.live().meta.refresh().unwrap();
    let mut meta = Inventory::new(PackClass::Meta);
    meta.look(store.live(), FirstSight::Later).unwrap();
    let recipe = FrameKind::Object(ObjectKind::RECIPE.to_byte());
    let mut digests = HashSet::new();
    for frame in meta.frames.iter().filter(|frame| frame.kind == recipe) {
        let search = store.live().meta.find(&frame.key.unwrap(), crate::store::shelf::Wanted::All).unwrap();
        let alias = search.found.first().unwrap().header.keys().get(1).unwrap().id;
        digests.insert(ContentDigest::from_bytes(alias));
    }
    digests
}

fn repack_with(store: &Store, options: RepackOptions) -> RepackReport {
    store.repack(&options, &mut || Ok(all(store)), &mut |_| true).unwrap()
}

fn repack(store: &Store) -> RepackReport {
    repack_with(store, RepackOptions::default())
}

/// Runs to where the old packs would go, but for an export that does not end; returns what is stored then.
fn kept_from_dropping(dir: &Path, options: RepackOptions) -> u64 {
    let (store, other) = (open(dir), open(dir));
    let hold = other.hold().unwrap();
    let error = store.repack(&options, &mut || Ok(all(&store)), &mut |_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let stored = stored_bytes(&store);
    drop(hold);
    stored
}

fn put_after(store: &Store, bytes: &[u8], parent: Option<ContentDigest>) -> StoredContent {
    store
        .put_content(bytes, &WriteOptions { parents: parent.into_iter().collect(), ..WriteOptions::default() })
        .unwrap()
}

/// A later version of some rows: some changed, some more.
fn version(number: u64) -> Vec<u8> {
    let row = |row: u64| {
        let changed = if (row + number).is_multiple_of(7) { number } else { 0 };
        format!("{row};{};{}\n", blake3::hash(&row.to_le_bytes()).to_hex(), row * 7 + changed)
    };
    (0..1_500 + 40 * number).map(row).collect::<String>().into_bytes()
}

/// A table of about that many bytes of which a few rows change from version to version.
fn table(seed: u64, len: usize, number: u64) -> Vec<u8> {
    let rows = len as u64 / 60;
    let digit = |row: u64, salt: u64| blake3::hash(&[seed, row, salt].map(u64::to_le_bytes).concat()).to_hex();
    let row = |row: u64| {
        // The last version that touched the row.
        let touched = (1..=number).rev().find(|number| (row * 7 + number * 13).is_multiple_of(401)).unwrap_or(0);
        let digits = digit(row, touched);
        format!("{row},2024-03-{:02},{},{}.{}\n", row % 28 + 1, &digits[..24], row * 7 % 1000, &digits[24..28])
    };
    (0..rows).map(row).collect::<String>().into_bytes()
}

/// Exports versions one over the other and some noise.
fn fill(store: &Store, versions: u64) -> Vec<(ContentDigest, Vec<u8>)> {
    let mut stored: Vec<(ContentDigest, Vec<u8>)> = vec![];
    for number in 0..versions {
        let parent = stored.last().map(|(digest, _)| *digest);
        let bytes = version(number);
        stored.push((put_after(store, &bytes, parent).digest, bytes));
    }
    for seed in 0..2 {
        let bytes = random(seed, 70_000);
        stored.insert(0, (put(store, &bytes).digest, bytes));
    }
    stored.insert(0, (put(store, b"inline").digest, b"inline".to_vec()));
    stored
}

fn assert_all_read(store: &Store, stored: &[(ContentDigest, Vec<u8>)]) {
    for (digest, bytes) in stored {
        assert!(get(store, digest).unwrap() == *bytes, "{digest}");
    }
    assert_sound(store);
}

fn stored_bytes(store: &Store) -> u64 {
    store.stats().unwrap().0.stored_bytes
}

/// Checks that every frame that can be found leans on frames of less depth, within the bound.
fn assert_depths(store: &Store) {
    let live = store.live();
    live.data.refresh().unwrap();
    let mut data = Inventory::new(PackClass::Data);
    data.look(live, FirstSight::Later).unwrap();
    for frame in data.frames.iter().filter(|frame| frame.kind == FrameKind::Chunks) {
        let mut bases = HashMap::new();
        for base in &frame.bases {
            let places = data.places_of(base.as_bytes(), frame.depth);
            let place = *places.first().expect("every base is in a shallower frame");
            bases.insert(place, 1 + data.frames[place].depth);
        }
        assert!(frame.depth <= MAX_DELTA_DEPTH);
        assert!(bases.into_values().sum::<u8>() <= frame.depth);
    }
}

#[test]
fn versions_take_less_room_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let stored = fill(&store, 20);
    let before = stored_bytes(&store);
    let planned = store.plan_repack(&RepackOptions::default(), &all(&store), &mut |_| true).unwrap().report();
    assert_eq!((planned.before_bytes, stored_bytes(&store)), (before, before));
    let report = repack(&store);
    assert_eq!((report.packs, report.contents, report.before_bytes), (planned.packs, 23, before));
    assert_eq!(report.after_bytes, stored_bytes(&store));
    let noise = 140_000;
    assert!((report.after_bytes - noise) * 4 < (before - noise) * 3, "{before} before, {} after", report.after_bytes);
    for store in [&store, &open(dir.path())] {
        assert_all_read(store, &stored);
        assert_depths(store);
    }
    let again = repack(&store);
    assert_eq!((again.packs, again.chunks, again.kept_packs), (0, 0, 1));
    assert_eq!(again.after_bytes, report.after_bytes);
}

#[test]
fn what_was_repacked_is_left_alone_unless_asked_or_at_a_higher_level() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let stored = fill(&store, 8);
    repack(&store);
    let packs = || files(&dir.path().join("packs/data"), "");
    let first = packs();
    repack(&store);
    assert_eq!(packs(), first);
    let harder = RepackOptions { level: 15, all: false };
    assert_eq!(repack_with(&store, harder).kept_packs, 0);
    let second = packs();
    assert_ne!(second, first);
    assert_eq!(repack(&store).chunks, 0);
    // Everything anew comes to the same, which is no reason to change anything.
    let anew = RepackOptions { all: true, ..harder };
    let report = repack_with(&store, anew);
    assert!(report.chunks > 0 && report.no_gain, "{report:?}");
    assert_eq!(packs(), second);
    assert_all_read(&open(dir.path()), &stored);
}

#[test]
fn a_later_export_leans_on_what_was_repacked_and_is_repacked_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut stored = fill(&store, 6);
    repack(&store);
    for number in 6..12 {
        let parent = stored.last().map(|(digest, _)| *digest);
        let bytes = version(number);
        let new = put_after(&store, &bytes, parent);
        assert!(new.stored_bytes * 2 < bytes.len() as u64 / 2, "{} of {}", new.stored_bytes, bytes.len());
        stored.push((new.digest, bytes));
    }
    let before = stored_bytes(&store);
    let report = repack(&store);
    assert!(report.kept_packs == 1 && report.after_bytes < before, "{report:?}, {before} before");
    assert_all_read(&open(dir.path()), &stored);
    assert_depths(&store);
}

#[test]
fn what_a_busy_process_leans_on_stays_where_it_can_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut stored = {
        let store = open_small(dir.path());
        fill(&store, 5)
    };
    // Something else, that there is something to gain by.
    for number in 0..12 {
        let bytes = table(40, 120_000, number);
        let digest = put(&open_small(dir.path()), &bytes).digest;
        stored.insert(0, (digest, bytes));
    }
    let busy = open_small(dir.path());
    let bytes = version(5);
    let parent = stored.last().map(|(digest, _)| *digest);
    stored.push((put_after(&busy, &bytes, parent).digest, bytes));
    let store = open_small(dir.path());
    let report = repack(&store);
    assert!(report.packs > 0 && report.busy_packs > 0, "{report:?}");
    for store in [&store, &busy, &open_small(dir.path())] {
        assert_all_read(store, &stored);
        assert_depths(store);
    }
    let bytes = version(6);
    let parent = stored.last().map(|(digest, _)| *digest);
    stored.push((put_after(&busy, &bytes, parent).digest, bytes));
    drop(busy);
    assert_eq!(repack(&store).busy_packs, 0);
    assert_all_read(&open_small(dir.path()), &stored);
    assert_depths(&store);
}

#[test]
fn what_is_stored_while_it_runs_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open_small(dir.path()), open_small(dir.path()));
    let mut stored = fill(&store, 5);
    let parent = stored.last().map(|(digest, _)| *digest);
    let mut written = None;
    store
        .repack(&RepackOptions::default(), &mut || Ok(all(&store)), &mut |step| {
            if step.doing == "repacking" && step.done * 2 > step.total && written.is_none() {
                // It leans on what is about to go.
                written = Some((put_after(&other, &version(9), parent).digest, version(9)));
            }
            true
        })
        .unwrap();
    stored.push(written.expect("there was a step in the middle"));
    for store in [&store, &other, &open_small(dir.path())] {
        assert_all_read(store, &stored);
        assert_depths(store);
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open_small(dir.path()), 45);
    let store = open_small(dir.path());
    let error = store.repack(&RepackOptions::default(), &mut || Ok(all(&store)), &mut |step| {
        step.doing != "repacking" || step.done * 3 < step.total * 2
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Interrupted);
    assert_all_read(&store, &stored);
    let whole = store
        .plan_repack(&RepackOptions { all: true, ..RepackOptions::default() }, &all(&store), &mut |_| true)
        .unwrap();
    let rest = store.plan_repack(&RepackOptions::default(), &all(&store), &mut |_| true).unwrap().report();
    assert!(rest.chunks > 0 && rest.chunks < whole.report().chunks, "{rest:?}");
    repack(&store);
    assert_all_read(&open_small(dir.path()), &stored);
    assert_depths(&store);
    assert_eq!(repack(&store).packs, 0);
}

/// Repacks once and once more, and checks that nothing got larger and nothing is left to do.
fn assert_no_larger(dir: &Path, stored: &[(ContentDigest, Vec<u8>)]) -> (u64, u64) {
    let before = stored_bytes(&open(dir));
    repack(&open(dir));
    let after = stored_bytes(&open(dir));
    assert!(after <= before, "{before} before, {after} after");
    assert_all_read(&open(dir), stored);
    assert_depths(&open(dir));
    // A writer that comes later vouches for the last frames by a marker, once.
    let again = || {
        let report = repack(&open(dir));
        assert!(report.chunks == 0 || report.no_gain, "{report:?}");
        stored_bytes(&open(dir))
    };
    assert!(again() <= after + 80 && again() <= after + 80);
    (before, after)
}

#[test]
fn many_versions_of_something_large_do_not_grow() {
    // Where a chain got too deep, the next frame was a key again: stores of many versions became two to three times
    // larger.
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut stored: Vec<(ContentDigest, Vec<u8>)> = vec![];
    for number in 0..20 {
        let bytes = table(1, 5_500_000, number);
        let parent = stored.last().map(|(digest, _)| *digest);
        stored.push((put_after(&store, &bytes, parent).digest, bytes));
    }
    drop(store);
    let (before, after) = assert_no_larger(dir.path(), &stored);
    assert!(after < before, "{before} before, {after} after");
}

#[test]
fn versions_of_noise_do_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut stored: Vec<(ContentDigest, Vec<u8>)> = vec![];
    let mut bytes = random(1, 2_000_000);
    for number in 0..10_usize {
        for place in (number * 997..bytes.len()).step_by(20_011) {
            bytes[place] ^= 1;
        }
        let parent = stored.last().map(|(digest, _)| *digest);
        stored.push((put_after(&store, &bytes, parent).digest, bytes.clone()));
    }
    drop(store);
    assert_no_larger(dir.path(), &stored);
}

#[test]
fn many_small_contents_do_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut stored: Vec<(ContentDigest, Vec<u8>)> = vec![];
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    for seed in 0..400 {
        let digits = |part: u64| blake3::hash(&[seed, part].map(u64::to_le_bytes).concat()).to_hex().to_string();
        let hex = || (0..120).map(digits).collect::<String>().into_bytes();
        let bytes = if seed % 2 == 0 { table(seed, 6_000, 0) } else { hex() };
        let mut writer = batch.writer(vec![]);
        writer.push(&bytes).unwrap();
        batch.add(writer).unwrap();
        stored.push((ContentDigest::of(&bytes), bytes));
    }
    batch.commit().unwrap();
    drop(store);
    assert_no_larger(dir.path(), &stored);
}

#[test]
fn what_would_not_be_smaller_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = random(1, 700_000);
    let stored = [(put(&open(dir.path()), &bytes).digest, bytes)];
    let packs = || files(&dir.path().join("packs/data"), "");
    let before = packs();
    for _ in 0..2 {
        let report = repack(&open(dir.path()));
        assert!(report.no_gain && report.packs == 0, "{report:?}");
        assert_eq!((report.before_bytes, packs()), (report.after_bytes, before.clone()));
    }
    assert_all_read(&open(dir.path()), &stored);
}

#[test]
fn what_a_write_kept_from_going_goes_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open(dir.path()), 20);
    let before = stored_bytes(&open(dir.path()));
    assert!(kept_from_dropping(dir.path(), RepackOptions::default()) > before);
    let report = repack(&open(dir.path()));
    assert!(report.chunks == 0 && report.packs > 0, "{report:?}");
    assert!(report.after_bytes * 10 < before * 9, "{before} before, {report:?}");
    assert_eq!(repack(&open(dir.path())).packs, 0);
    assert_all_read(&open(dir.path()), &stored);
}

#[test]
fn a_run_at_a_higher_level_that_was_kept_from_dropping_is_ended_by_one_at_a_lower() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open(dir.path()), 20);
    let before = repack(&open(dir.path())).after_bytes;
    kept_from_dropping(dir.path(), RepackOptions { level: 16, all: false });
    assert!(repack(&open(dir.path())).after_bytes <= before);
    assert_all_read(&open(dir.path()), &stored);
}

#[test]
fn copies_that_are_no_gain_go_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = random(1, 900_000);
    let stored = [(put(&open(dir.path()), &bytes).digest, bytes)];
    let before = stored_bytes(&open(dir.path()));
    assert!(kept_from_dropping(dir.path(), RepackOptions::default()) > before);
    assert!(repack(&open(dir.path())).no_gain);
    assert_eq!(stored_bytes(&open(dir.path())), before);
    assert_all_read(&open(dir.path()), &stored);
}

#[test]
fn everything_anew_that_was_kept_from_dropping_is_ended_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open(dir.path()), 20);
    let before = repack(&open(dir.path())).after_bytes;
    let anew = RepackOptions { all: true, ..RepackOptions::default() };
    assert!(kept_from_dropping(dir.path(), anew) > before);
    let report = repack(&open(dir.path()));
    assert!(report.chunks == 0 && stored_bytes(&open(dir.path())) <= before, "{before} before, {report:?}");
    assert_all_read(&open(dir.path()), &stored);
    assert_eq!(repack(&open(dir.path())).packs, 0);
}

/// Makes a pack of a level without a frame, as a run leaves it that is killed early or meets a full disk.
fn leave_blank(dir: &Path, level: i32) -> PathBuf {
    let id = PackId::generate();
    let path = dir.join(format!("packs/data/{id}.open"));
    let header = PackHeader { compat: PackHeader::repacked(level), ..PackHeader::new(PackClass::Data, id) };
    crate::fs::write_atomic(&path, &header.to_bytes()).unwrap();
    path
}

#[test]
fn packs_without_frames_go_and_count_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open(dir.path()), 8);
    let after = repack(&open(dir.path())).after_bytes;
    let blank: Vec<PathBuf> = (0..9).map(|_| leave_blank(dir.path(), 9)).collect();
    let report = repack(&open(dir.path()));
    assert_eq!((report.chunks, report.packs, report.no_gain), (0, 0, false), "{report:?}");
    assert!(blank.iter().all(|path| !path.exists()));
    assert_eq!(report.after_bytes, after, "{report:?}");
    // Collection does the same, also where the file is empty; a pack that somebody has just begun stays.
    let (left, empty, begun) = (leave_blank(dir.path(), 9), leave_blank(dir.path(), 9), leave_blank(dir.path(), 9));
    crate::fs::write_atomic(&empty, b"").unwrap();
    let lock = crate::store::appender::lock_existing(&begun).unwrap().unwrap();
    let store = open(dir.path());
    store.gc(&mut || Ok(all(&store)), &mut |_| true).unwrap();
    assert_eq!([&left, &empty, &begun].map(|path| path.exists()), [false, false, true]);
    drop(lock);
    assert_all_read(&store, &stored);
}

#[test]
fn what_is_exported_again_while_copies_are_taken_back_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (random(1, 700_000), random(2, 60_000));
    let (busy, other) = (open(dir.path()), open(dir.path()));
    let kept = put(&busy, &first).digest;
    let dropped = put(&other, &second).digest;
    drop((busy, other));
    let old = files(&dir.path().join("packs/data"), "");
    // Both are copied, and the copies neither take the place of the packs before nor go.
    kept_from_dropping(dir.path(), RepackOptions::default());
    let copies: Vec<PathBuf> =
        files(&dir.path().join("packs/data"), "").into_iter().filter(|path| !old.contains(path)).collect();
    assert_eq!((old.len(), copies.len()), (2, 1));
    // Then one of them goes, but not out of the copies.
    let len = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let large = old.iter().max_by_key(|path| len(path)).unwrap();
    let locks = [large, &copies[0]].map(|path| crate::store::appender::lock_existing(path).unwrap().unwrap());
    open(dir.path()).gc(&mut || Ok(HashSet::from([kept])), &mut |_| true).unwrap();
    drop(locks);
    assert!(large.exists() && copies[0].exists());
    assert!(get(&open(dir.path()), &dropped).is_err());
    // It is exported anew, and found in the copies, while they turn out to be no gain.
    let (store, other) = (open(dir.path()), open(dir.path()));
    let mut written = false;
    let report = store.repack(&RepackOptions::default(), &mut || Ok(HashSet::from([kept])), &mut |step| {
        if step.doing == "repacking" && !written {
            assert_eq!(put(&other, &second).new_chunk_bytes, 0);
            written = true;
        }
        true
    });
    assert!(written && report.unwrap().no_gain);
    assert_all_read(&open(dir.path()), &[(kept, first), (dropped, second)]);
}

#[test]
fn what_leans_on_frames_that_are_not_known_is_not_leant_on_too_deeply() {
    use crate::format::pack::{BaseSpan, DeltaBase, FrameKey};
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = |bytes: &[u8]| FrameKey { id: *ChunkId::of(bytes).as_bytes(), len: u32::try_from(bytes.len()).unwrap() };
    // The header of a frame of some depth; nothing else of it is looked at.
    let deep = |bytes: &[u8], base: &[u8], depth: u8| {
        let span = BaseSpan { chunk: ChunkId::of(base), offset: 0, len: u32::try_from(base.len()).unwrap() };
        let base = DeltaBase { spans: vec![span], bytes: base.to_vec(), depth };
        Frame::chunks_against(&[key(bytes)], bytes, &base, 3).unwrap()
    };
    store.live().data.begin_writing().unwrap();
    let mut recoder = crate::store::recode::Recoder::new(store.live(), 3).unwrap();
    let mut mixed = vec![];
    for seed in 0..3 {
        let lower = random(seed, 60_000);
        let upper = [lower.as_slice(), &[1]].concat();
        let stored = Frame::chunks_joined(vec![key(&lower)], lower.clone(), 3);
        store.live().data.append(&[stored]).unwrap();
        recoder.know(deep(&lower, &[lower.as_slice(), &[2]].concat(), 3).header(), &lower);
        recoder.know(deep(&upper, &lower, 4).header(), &upper);
        mixed.extend_from_slice(&upper[..50_000]);
    }
    store.live().data.commit(0).unwrap();
    let frame = Frame::chunks_joined(vec![key(&mixed)], mixed.clone(), 3);
    recoder.take(frame, &mixed, |_| true).unwrap();
    recoder.end_part().unwrap();
    drop(recoder);
    assert_depths(&store);
    assert_eq!(store.live().chunk(&ChunkId::of(&mixed), &mut FrameCache::default()).unwrap().as_slice(), mixed);
}

/// Contents of which every other one is named, in a store where they share frames.
fn half_named(dir: &Path) -> (Vec<(ContentDigest, Vec<u8>)>, HashSet<ContentDigest>) {
    let mut stored: Vec<(ContentDigest, Vec<u8>)> = vec![];
    for number in 0..30 {
        let bytes = table(number, 60_000, 0);
        stored.push((put(&open(dir), &bytes).digest, bytes));
    }
    let named = stored.iter().step_by(2).map(|(digest, _)| *digest).collect();
    (stored, named)
}

#[test]
fn collection_frees_what_it_would_have_freed_before() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut left = vec![];
    for (dir, repacks) in dirs.iter().zip(0..) {
        let (stored, named) = half_named(dir.path());
        let store = open(dir.path());
        if repacks == 2 {
            // First while all is named: some share frames with others, which is found out later.
            repack(&store);
        }
        if repacks > 0 {
            store.repack(&RepackOptions::default(), &mut || Ok(named.clone()), &mut |_| true).unwrap();
            assert_all_read(&store, &stored);
        }
        store.gc(&mut || Ok(named.clone()), &mut |_| true).unwrap();
        let kept: Vec<_> = stored.into_iter().filter(|(digest, _)| named.contains(digest)).collect();
        assert_all_read(&store, &kept);
        left.push(stored_bytes(&store));
    }
    assert!(left.iter().all(|bytes| *bytes <= left[0]), "{left:?}");
}

#[test]
fn one_damaged_frame_costs_no_room_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open(dir.path()), 8);
    let victim = files(&dir.path().join("packs/data"), "").remove(0);
    let mut bytes = std::fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    crate::fs::write_atomic(&victim, &bytes).unwrap();
    let before = stored_bytes(&open(dir.path()));
    for _ in 0..2 {
        let report = repack(&open(dir.path()));
        assert_eq!((report.packs, report.damaged_packs), (0, 1), "{report:?}");
        assert_eq!(stored_bytes(&open(dir.path())), before);
    }
    let store = open(dir.path());
    let readable = stored.iter().filter(|(digest, _)| get(&store, digest).is_ok()).count();
    assert!(readable > 0 && readable < stored.len(), "{readable} of {}", stored.len());
}

#[test]
fn damage_stays_where_it_is_and_takes_nothing_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open_small(dir.path()), 3);
    let victim = files(&dir.path().join("packs/data"), ".pack").remove(0);
    let mut bytes = std::fs::read(&victim).unwrap();
    bytes[3_000] ^= 1;
    crate::fs::write_atomic(&victim, &bytes).unwrap();
    let store = open_small(dir.path());
    let readable: Vec<_> =
        stored.into_iter().filter(|(digest, bytes)| get(&store, digest).is_ok_and(|read| read == *bytes)).collect();
    repack(&store);
    assert!(victim.exists());
    let store = open_small(dir.path());
    for (digest, bytes) in &readable {
        assert!(get(&store, digest).unwrap() == *bytes);
    }
    assert!(!store.verify(&mut |_, _| {}).unwrap().damaged.is_empty());
}

/// Flips a bit of a pack.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    crate::fs::write_atomic(path, &bytes).unwrap();
}

#[test]
fn damage_of_new_packs_is_never_cut_as_if_it_were_a_torn_tail() {
    for percent in [30, 97] {
        let dir = tempfile::tempdir().unwrap();
        let stored = fill(&open(dir.path()), 8);
        assert!(repack(&open(dir.path())).packs > 0);
        let pack = files(&dir.path().join("packs/data"), "").remove(0);
        let len = std::fs::metadata(&pack).unwrap().len();
        flip(&pack, usize::try_from(len * percent / 100).unwrap());
        let readable: Vec<_> =
            stored.iter().filter(|(digest, _)| get(&open(dir.path()), digest).is_ok()).cloned().collect();
        put(&open(dir.path()), &random(9, 5_000));
        repack(&open(dir.path()));
        assert!(std::fs::metadata(&pack).unwrap().len() >= len);
        for (digest, bytes) in &readable {
            assert!(get(&open(dir.path()), digest).unwrap() == *bytes);
        }
        assert!(!open(dir.path()).verify(&mut |_, _| {}).unwrap().damaged.is_empty());
    }
}

#[test]
fn runs_over_everything_that_are_stopped_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let stored = fill(&open(dir.path()), 20);
    let highest = RepackOptions { level: 19, all: false };
    let before = repack_with(&open(dir.path()), highest).after_bytes;
    let mut most = 0;
    for round in 0..4 {
        let store = open(dir.path());
        let other = open(dir.path());
        // Ended by a person, half way, when threads have written something or not yet, or by an export that does not
        // end, behind everything. The last one leaves a copy of everything in any case.
        let hold = (round % 2 == 1).then(|| other.hold().unwrap());
        let mut left = 3;
        let anew = RepackOptions { all: true, ..highest };
        store
            .repack(&anew, &mut || Ok(all(&store)), &mut |step| {
                left -= i32::from(step.doing == "repacking");
                round % 2 == 1 || left > 0
            })
            .unwrap_err();
        drop((hold, store));
        most = most.max(stored_bytes(&open(dir.path())));
    }
    assert!(most < before * 5 / 2, "{before} bytes before, {most} after stopped runs");
    let report = repack(&open(dir.path()));
    assert!(report.after_bytes <= before, "{before} bytes before, {report:?}");
    assert!(report.before_bytes > report.after_bytes, "{report:?}");
    assert_all_read(&open(dir.path()), &stored);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_store_reads_back_after_any_order_of_repacking_and_collection(
        steps in prop::collection::vec((0_u8..8, prop::option::of(0_usize..8), 0_usize..4), 1..14),
        kept in prop::collection::vec(any::<bool>(), 14),
        (reopen, collect_first, twice, level) in (any::<bool>(), any::<bool>(), any::<bool>(), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open_small(dir.path());
        let mut stored: Vec<(ContentDigest, Vec<u8>)> = vec![];
        for (seed, parent, shape) in steps {
            let bytes = match shape {
                0 | 1 => version(seed.into()),
                2 => random(seed.into(), 30_000 * (usize::from(seed) + 1)),
                _ => [version(seed.into()), random(seed.into(), 5_000)].concat(),
            };
            let parent = parent.and_then(|at| stored.get(at)).map(|(digest, _)| *digest);
            stored.push((put_after(&store, &bytes, parent).digest, bytes));
            if reopen {
                store = open_small(dir.path());
            }
        }
        let named: Vec<_> =
            stored.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(stored, _)| stored.clone()).collect();
        let roots: HashSet<ContentDigest> = named.iter().map(|(digest, _)| *digest).collect();
        let collect = |store: &Store| store.gc(&mut || Ok(roots.clone()), &mut |_| true).unwrap();
        let options = RepackOptions { level, all: false };
        let identities = |store: &Store| -> Vec<_> {
            named.iter().map(|(digest, _)| (store.recipe_id(digest).unwrap(), store.chunks_of(digest).unwrap())).collect()
        };
        let before = identities(&store);
        if collect_first {
            collect(&store);
        }
        repack_with(&store, options);
        assert_all_read(&open_small(dir.path()), if collect_first { &named } else { &stored });
        assert_depths(&store);
        if twice {
            let parent = named.last().map(|(digest, _)| *digest);
            let late = put_after(&store, &version(11), parent);
            prop_assert_eq!(get(&store, &late.digest).unwrap(), version(11));
            repack_with(&store, options);
        }
        collect(&store);
        for store in [&store, &open_small(dir.path())] {
            assert_all_read(store, &named);
            assert_depths(store);
            prop_assert_eq!(identities(store), before.clone());
            prop_assert_eq!(store.stats().unwrap().0.contents, roots.len() as u64);
        }
        repack_with(&store, options);
        assert_all_read(&open_small(dir.path()), &named);
    }
}
