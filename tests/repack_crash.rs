//! The machine stops at every write step of a repacking in turn: every content reads back, writers and collection go
//! on, and the next run comes to the same end. The same where a step only fails, as on a full disk.
//!
//! The fault switch is one for the whole process, so these tests have a program of their own and take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onenb::fs::fault;
use onenb::id::ContentDigest;
use onenb::store::{NewObject, ObjectKind, PackLimits, RepackOptions, Store, StoreOptions, WriteOptions};

/// So many steps in a row at which nothing was noticed lie behind the last one.
const QUIET_STEPS: u32 = 8;

static TURN: Mutex<()> = Mutex::new(());

/// Small packs, so that a few contents fill several of each class.
fn open(root: &Path) -> Store {
    let limits = PackLimits { data_len: 120_000, data_frames: 3, meta_len: 4096, meta_frames: 4 };
    Store::open(root, &StoreOptions { limits, ..StoreOptions::default() }).unwrap()
}

/// Rows of which some change from version to version, so that they lean on each other.
fn version(number: u64) -> Vec<u8> {
    let row = |row: u64| {
        let changed = if row % 53 < number { number } else { 0 };
        format!("{row};{};{}\n", blake3::hash(&row.to_le_bytes()).to_hex(), row * 7 + changed)
    };
    (0..2_500).map(row).collect::<String>().into_bytes()
}

fn repack(store: &Store, contents: &[Vec<u8>]) -> onenb::Result<u64> {
    repack_with(store, contents, RepackOptions::default())
}

fn repack_with(store: &Store, contents: &[Vec<u8>], options: RepackOptions) -> onenb::Result<u64> {
    let roots: HashSet<ContentDigest> = contents.iter().map(|bytes| ContentDigest::of(bytes)).collect();
    let done = store.repack(&options, &mut || Ok(roots.clone()), &mut |_| true);
    done.map(|report| report.packs)
}

fn put_after(store: &Store, bytes: &[u8], parent: Option<&Vec<u8>>) {
    let parents = parent.iter().map(|bytes| ContentDigest::of(bytes)).collect();
    store.put_content(bytes, &WriteOptions { parents, ..WriteOptions::default() }).unwrap();
}

/// Stores versions, noise and facts between them.
fn fill(root: &Path) -> Vec<Vec<u8>> {
    let mut contents: Vec<Vec<u8>> = vec![];
    for number in 0..6_u8 {
        // Each by a process of its own, so that small packs are left behind.
        let store = open(root);
        let bytes = version(u64::from(number));
        put_after(&store, &bytes, contents.last());
        contents.push(bytes);
        store
            .put_objects(&[NewObject { kind: ObjectKind::PENDING, bytes: vec![number; 300], aliases: vec![] }])
            .unwrap();
    }
    let mut noise = vec![0; 200_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    put_after(&open(root), &noise, None);
    contents.insert(0, noise);
    contents
}

fn check(root: &Path, contents: &[Vec<u8>], step: u32) {
    let store = open(root);
    for bytes in contents {
        let mut read = vec![];
        store.open_content(&ContentDigest::of(bytes)).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == *bytes, "stopped at step {step}");
    }
    assert_eq!(store.all_objects().unwrap().len(), 6, "stopped at step {step}");
    assert_eq!(store.verify(&mut |_, _| {}).unwrap().damaged, [], "stopped at step {step}");
}

/// Runs with a fault at each step in turn; returns how many steps there were, and in how many runs it was noticed.
fn at_every_step(plan: fn(u32)) -> (u32, u32) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut step, mut noticed, mut quiet) = (0, 0, 0);
    loop {
        let dir = tempfile::tempdir().unwrap();
        let mut contents = fill(dir.path());
        let before = open(dir.path()).stats().unwrap().0.stored_bytes;
        let store = open(dir.path());
        plan(step);
        let finished = repack(&store, &contents).is_ok();
        let stopped = fault::crashed();
        drop(store);
        fault::heal();
        check(dir.path(), &contents, step);
        // A writer that comes before the next run leans on whatever it finds.
        let next = version(7);
        put_after(&open(dir.path()), &next, contents.last());
        contents.push(next);
        if step % 3 == 0 {
            let roots: HashSet<ContentDigest> = contents.iter().map(|bytes| ContentDigest::of(bytes)).collect();
            open(dir.path()).gc(&mut || Ok(roots.clone()), &mut |_| true).unwrap();
            check(dir.path(), &contents, step);
        }
        repack(&open(dir.path()), &contents).unwrap();
        check(dir.path(), &contents, step);
        assert_eq!(repack(&open(dir.path()), &contents).unwrap(), 0, "stopped at step {step}");
        let after = open(dir.path()).stats().unwrap().0.stored_bytes;
        assert!(after < before, "stopped at step {step}: {before} bytes before, {after} after");
        noticed += u32::from(!finished);
        // What fails may be something derived, which the next writer makes up for: only several in a row are the end.
        quiet = if finished && !stopped { quiet + 1 } else { 0 };
        if quiet == QUIET_STEPS {
            return (step, noticed);
        }
        step += 1;
    }
}

/// Stops a run over everything, in a store that was repacked, at every step: a plain one brings it to its end.
#[test]
fn everything_anew_that_stops_at_any_write_step_is_no_larger_after_the_next_run() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let anew = RepackOptions { all: true, ..RepackOptions::default() };
    let (mut step, mut noticed, mut quiet) = (0, 0, 0);
    while quiet < QUIET_STEPS {
        let dir = tempfile::tempdir().unwrap();
        let contents = fill(dir.path());
        repack(&open(dir.path()), &contents).unwrap();
        let before = open(dir.path()).stats().unwrap().0.stored_bytes;
        let store = open(dir.path());
        fault::crash_after(step);
        let finished = repack_with(&store, &contents, anew).is_ok();
        let stopped = fault::crashed();
        drop(store);
        fault::heal();
        check(dir.path(), &contents, step);
        repack(&open(dir.path()), &contents).unwrap();
        check(dir.path(), &contents, step);
        assert_eq!(repack(&open(dir.path()), &contents).unwrap(), 0, "stopped at step {step}");
        let after = open(dir.path()).stats().unwrap().0.stored_bytes;
        // Writers that come later vouch for the last frames of open packs by markers.
        assert!(after <= before + 160, "stopped at step {step}: {before} bytes before, {after} after");
        noticed += u32::from(!finished);
        quiet = if finished && !stopped { quiet + 1 } else { 0 };
        step += 1;
    }
    assert!(step > 25 && noticed > 15, "only {step} steps were tried, {noticed} of them noticed");
}

#[test]
fn stopping_at_any_write_step_loses_nothing() {
    let (steps, noticed) = at_every_step(fault::crash_after);
    assert!(steps > 25 && noticed > 15, "only {steps} steps were tried, {noticed} of them noticed");
}

#[test]
fn a_full_disk_at_any_write_step_loses_nothing() {
    let (steps, noticed) = at_every_step(fault::fail_once_after);
    assert!(steps > 25 && noticed > 15, "only {steps} steps were tried, {noticed} of them noticed");
}
