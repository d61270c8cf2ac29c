//! The machine stops at every write step in turn: what was acknowledged is there afterwards, the rest is whole or absent.
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
    for seed in 0..5 {
        let bytes = content(seed, 35_000 * usize::from(seed));
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
