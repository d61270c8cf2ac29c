//! The machine stops at every write step in turn: what was acknowledged is there afterwards, the rest is whole or
//! absent.
//!
//! The fault switch is one for the whole process, so these tests have a program of their own and take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onenb::fs::fault;
use onenb::id::{ContentDigest, ObjectId};
use onenb::store::{NewObject, ObjectKind, PackLimits, Store, StoreOptions, WriteOptions};

static TURN: Mutex<()> = Mutex::new(());

/// Small packs, so that a few contents take every path: create, append, commit, seal, index.
fn options() -> StoreOptions {
    let limits = PackLimits { data_len: 120_000, data_frames: 3, meta_len: 4096, meta_frames: 3 };
    StoreOptions { limits, ..StoreOptions::default() }
}

fn content(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn object(seed: u8) -> NewObject {
    NewObject { kind: ObjectKind::PENDING, bytes: vec![seed; 500], aliases: vec![] }
}

#[derive(Default)]
struct Acknowledged {
    contents: Vec<Vec<u8>>,
    objects: Vec<ObjectId>,
}

/// A table whose every version differs a little from the one before all over, so that the later ones are deltas.
fn version(number: usize) -> Vec<u8> {
    let noise = content(200, 4_000);
    let row = |(at, noise): (usize, &[u8])| {
        let edits: Vec<_> = (1..=number).filter(|edit| (at + edit) % 3 == 0).collect();
        format!("{at},{noise:?},{edits:?}\n").into_bytes()
    };
    noise.chunks(16).enumerate().flat_map(row).collect()
}

/// Writes until the machine stops, and remembers what was acknowledged. Returns whether it came to the end.
fn write_all(root: &Path, done: &mut Acknowledged) -> bool {
    let Ok(store) = Store::open(root, &options()) else { return false };
    for seed in 0..5 {
        let bytes = content(seed, 35_000 * usize::from(seed));
        match store.put_content(&bytes, &WriteOptions::default()) {
            Ok(stored) => {
                assert_eq!(stored.digest, ContentDigest::of(&bytes));
                done.contents.push(bytes);
            }
            Err(_) => return false,
        }
        match store.put_objects(&[object(seed)]) {
            Ok(ids) => done.objects.extend(ids),
            Err(_) => return false,
        }
    }
    let (mut parents, mut first) = (vec![], 0);
    for number in 0..3 {
        let bytes = version(number);
        let Ok(stored) = store.put_content(&bytes, &WriteOptions { parents, ..WriteOptions::default() }) else {
            return false;
        };
        first = if number == 0 { stored.stored_bytes } else { first };
        assert!(number == 0 || first == 0 || stored.stored_bytes * 2 < first, "no delta: {stored:?}");
        done.contents.push(bytes);
        parents = vec![stored.digest];
    }
    true
}

fn read(store: &Store, digest: &ContentDigest) -> Vec<u8> {
    let mut bytes = vec![];
    store.open_content(digest).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn check(root: &Path, done: &Acknowledged, step: u32) {
    let store = Store::open(root, &options()).unwrap();
    for bytes in &done.contents {
        assert_eq!(&read(&store, &ContentDigest::of(bytes)), bytes, "stopped at step {step}");
    }
    for id in &done.objects {
        assert!(store.get_object(id).is_ok(), "stopped at step {step}");
    }
    let versions = (0..3).map(version);
    for bytes in (0..5).map(|seed| content(seed, 35_000 * usize::from(seed))).chain(versions) {
        if store.contains(&ContentDigest::of(&bytes)).unwrap().is_some() {
            assert_eq!(read(&store, &ContentDigest::of(&bytes)), bytes, "stopped at step {step}");
        }
    }
    let report = store.verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.damaged, [], "stopped at step {step}");
}

#[test]
fn stopping_at_any_write_step_loses_nothing_acknowledged() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut step = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let mut done = Acknowledged::default();
        fault::crash_after(step);
        let finished = write_all(dir.path(), &mut done);
        let stopped = fault::crashed();
        fault::heal();
        check(dir.path(), &done, step);
        // The next process goes on as if nothing had happened, and comes to the same end.
        let mut rest = Acknowledged::default();
        assert!(write_all(dir.path(), &mut rest), "after a stop at step {step}");
        check(dir.path(), &rest, step);
        if finished && !stopped {
            break;
        }
        step += 1;
    }
    assert!(step > 80, "only {step} steps were tried");
}

#[test]
fn stopping_twice_in_a_row_loses_nothing_acknowledged() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for step in (0..100).step_by(9) {
        for second in [1, 5, 12] {
            let dir = tempfile::tempdir().unwrap();
            let mut done = Acknowledged::default();
            fault::crash_after(step);
            write_all(dir.path(), &mut done);
            fault::heal();
            fault::crash_after(second);
            write_all(dir.path(), &mut done);
            fault::heal();
            check(dir.path(), &done, step);
        }
    }
}

/// Writes in one process that goes on after a failure, and returns what was acknowledged and how many calls failed.
fn write_on(root: &Path, done: &mut Acknowledged) -> usize {
    let mut failed = 0;
    let store = loop {
        match Store::open(root, &options()) {
            Ok(store) => break store,
            Err(_) => failed += 1,
        }
    };
    for seed in 0..5 {
        let bytes = content(seed, 35_000 * usize::from(seed));
        while store.put_content(&bytes, &WriteOptions::default()).is_err() {
            failed += 1;
        }
        done.contents.push(bytes);
        let ids = loop {
            match store.put_objects(&[object(seed)]) {
                Ok(ids) => break ids,
                Err(_) => failed += 1,
            }
        };
        done.objects.extend(ids);
    }
    failed
}

#[test]
fn one_failed_write_or_sync_fails_one_call_and_the_process_goes_on() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut failures = 0;
    for step in 0..120 {
        let dir = tempfile::tempdir().unwrap();
        let mut done = Acknowledged::default();
        fault::fail_once_after(step);
        let failed = write_on(dir.path(), &mut done);
        fault::heal();
        // What is derived, such as a segment, may fail without anybody being told.
        assert!(failed <= 1, "step {step}: {failed} calls failed");
        failures += failed;
        check(dir.path(), &done, step);
    }
    assert!(failures > 30, "only {failures} failures were simulated");
}

/// Writes in pieces and drops what a failed call says, as buffering wrappers do. Returns what was acknowledged.
fn write_heedlessly(root: &Path, in_batch: bool, failed: &mut usize) -> Vec<(ContentDigest, Option<Vec<u8>>)> {
    let store = Store::open(root, &StoreOptions::default()).unwrap();
    let mut acknowledged = vec![];
    let mut batch = store.batch(&WriteOptions::default()).ok().filter(|_| in_batch);
    for seed in 0..3 {
        let bytes = content(seed, 1_500_000);
        let writer = match &batch {
            Some(batch) => Ok(batch.writer(vec![])),
            None => store.writer(&WriteOptions::default()),
        };
        let Ok(mut writer) = writer else { continue };
        for piece in bytes.chunks(400_000) {
            *failed += usize::from(writer.push(piece).is_err());
        }
        let stored = match &mut batch {
            Some(batch) => batch.add(writer),
            None => writer.finish(),
        };
        match stored {
            Ok(stored) => acknowledged
                .push((stored.digest, Some(bytes).filter(|bytes| stored.digest == ContentDigest::of(bytes)))),
            Err(_) => *failed += 1,
        }
    }
    match batch.map(onenb::store::ContentBatch::commit) {
        Some(Err(_)) => vec![],
        _ => acknowledged,
    }
}

#[test]
fn what_failed_once_is_never_acknowledged_without_its_bytes() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut failed = 0;
    for in_batch in [true, false] {
        for step in 0..30 {
            let dir = tempfile::tempdir().unwrap();
            drop(Store::open(dir.path(), &StoreOptions::default()).unwrap());
            fault::fail_once_after(step);
            let acknowledged = write_heedlessly(dir.path(), in_batch, &mut failed);
            fault::heal();
            let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
            for (digest, bytes) in acknowledged {
                assert_eq!(Some(read(&store, &digest)), bytes, "step {step}");
            }
        }
    }
    assert!(failed > 20, "only {failed} failures were simulated");
}

fn packs(root: &Path, class: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root.join("packs").join(class)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn total_len(root: &Path, class: &str) -> u64 {
    packs(root, class).iter().map(|path| path.metadata().unwrap().len()).sum()
}

/// What a power cut may leave of bytes that were written and never synced.
fn lose(tail: &mut Vec<u8>, how: usize) {
    let half = tail.len() / 2;
    match how {
        0 => tail.clear(),
        1 => tail.truncate(half),
        2 => tail.fill(0),
        3 => tail.iter_mut().take(half).for_each(|byte| *byte = 0),
        4 => tail.iter_mut().skip(half).take(40).for_each(|byte| *byte = 0),
        _ => tail.iter_mut().for_each(|byte| *byte ^= 0x5a),
    }
}

#[test]
fn a_power_cut_between_the_marker_and_its_sync_loses_nothing_acknowledged() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let options = StoreOptions::default();
    let (kept, fresh) = (content(1, 50_000), content(2, 90_000));
    let mut cuts = 0;
    for step in 0..24 {
        for how in 0..6 {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), &options).unwrap();
            store.put_content(&kept, &WriteOptions::default()).unwrap();
            store.put_content(&content(3, 2_000), &WriteOptions::default()).unwrap();
            drop(store);
            let before = [total_len(dir.path(), "data"), total_len(dir.path(), "meta")];
            let store = Store::open(dir.path(), &options).unwrap();
            fault::crash_after(step);
            let acknowledged = store.put_content(&fresh, &WriteOptions::default()).is_ok();
            drop(store);
            fault::heal();
            // Metadata is appended only when the data was synced, so only the pack that was written last can lose
            // bytes.
            let grown = |at: usize, class| total_len(dir.path(), class) > before[at];
            let hit = if grown(1, "meta") { Some((1, "meta")) } else { grown(0, "data").then_some((0, "data")) };
            if let Some((at, class)) = hit.filter(|_| !acknowledged) {
                let path = packs(dir.path(), class).remove(0);
                let mut bytes = std::fs::read(&path).unwrap();
                let mut tail = bytes.split_off(usize::try_from(before[at]).unwrap());
                lose(&mut tail, how);
                bytes.extend_from_slice(&tail);
                onenb::fs::write_atomic(&path, &bytes).unwrap();
                cuts += 1;
            }
            for _ in 0..2 {
                let store = Store::open(dir.path(), &options).unwrap();
                assert_eq!(read(&store, &ContentDigest::of(&kept)), kept, "step {step}, loss {how}");
                store.put_content(&fresh, &WriteOptions::default()).unwrap();
                assert_eq!(read(&store, &ContentDigest::of(&fresh)), fresh, "step {step}, loss {how}");
                assert_eq!(store.verify(&mut |_, _| {}).unwrap().damaged, [], "step {step}, loss {how}");
            }
        }
    }
    assert!(cuts > 12, "only {cuts} power cuts were simulated");
}
