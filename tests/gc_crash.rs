//! The machine stops at every write step of a collection in turn: what is named reads back, nothing names what is not
//! there, and the next collection comes to the same end.
//!
//! The fault switch is one for the whole process, so this test has a program of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;

use onenb::fs::fault;
use onenb::id::ContentDigest;
use onenb::store::{NewObject, ObjectKind, PackLimits, Store, StoreOptions, WriteOptions};

/// Small packs, so that a few contents fill several of each class.
fn open(root: &Path) -> Store {
    let limits = PackLimits { data_len: 120_000, data_frames: 3, meta_len: 4096, meta_frames: 4 };
    Store::open(root, &StoreOptions { limits, ..StoreOptions::default() }).unwrap()
}

/// Rows of which some change from version to version, so that later ones lean on earlier ones.
fn version(number: u64) -> Vec<u8> {
    let row = |row: u64| {
        let changed = if row % 53 < number { number } else { 0 };
        format!("{row};{};{}\n", blake3::hash(&row.to_le_bytes()).to_hex(), row * 7 + changed)
    };
    (0..900).map(row).collect::<String>().into_bytes()
}

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn collect(store: &Store, roots: &HashSet<ContentDigest>) -> onenb::Result<()> {
    store.gc(&mut || Ok(roots.clone()), &mut |_| true).map(drop)
}

struct Filled {
    kept: Vec<Vec<u8>>,
    gone: Vec<Vec<u8>>,
    facts: usize,
}

impl Filled {
    fn roots(&self) -> HashSet<ContentDigest> {
        self.kept.iter().map(|bytes| ContentDigest::of(bytes)).collect()
    }

    fn check(&self, root: &Path, step: u32) {
        let store = open(root);
        for bytes in &self.kept {
            let mut read = vec![];
            store.open_content(&ContentDigest::of(bytes)).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(&read, bytes, "stopped at step {step}");
        }
        assert_eq!(store.all_objects().unwrap().len(), self.facts, "stopped at step {step}");
        let report = store.verify(&mut |_, _| {}).unwrap();
        assert_eq!(report.damaged, [], "stopped at step {step}");
    }
}

/// Stores contents of which every second one is to go, and facts between them.
fn fill(root: &Path) -> Filled {
    let store = open(root);
    let mut filled = Filled { kept: vec![], gone: vec![], facts: 0 };
    let mut parent = None;
    for number in 0..6_u8 {
        let versioned = version(u64::from(number));
        let options = WriteOptions { parents: parent.into_iter().collect(), ..WriteOptions::default() };
        parent = Some(store.put_content(&versioned, &options).unwrap().digest);
        let lone = noise(number, 30_000);
        store.put_content(&lone, &WriteOptions::default()).unwrap();
        let fact = NewObject { kind: ObjectKind::PENDING, bytes: vec![number; 300], aliases: vec![] };
        filled.facts += store.put_objects(&[fact]).unwrap().len();
        let (one, other) = if number % 2 == 0 { (versioned, lone) } else { (lone, versioned) };
        filled.kept.push(one);
        filled.gone.push(other);
    }
    filled
}

#[test]
fn stopping_at_any_write_step_loses_nothing_that_is_named() {
    let mut step = 0;
    let mut dropped = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let filled = fill(dir.path());
        let roots = filled.roots();
        let store = open(dir.path());
        fault::crash_after(step);
        let finished = collect(&store, &roots).is_ok();
        let stopped = fault::crashed();
        drop(store);
        fault::heal();
        filled.check(dir.path(), step);
        // A writer that comes before the next collection finds what it relies on.
        let store = open(dir.path());
        store.put_content(&filled.gone[1], &WriteOptions::default()).unwrap();
        let mut read = vec![];
        store.open_content(&ContentDigest::of(&filled.gone[1])).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, filled.gone[1], "stopped at step {step}");
        collect(&store, &roots).unwrap();
        drop(store);
        filled.check(dir.path(), step);
        let store = open(dir.path());
        for gone in &filled.gone {
            assert_eq!(store.contains(&ContentDigest::of(gone)).unwrap(), None, "stopped at step {step}");
        }
        assert_eq!(store.plan_gc(&roots, &mut |_| true).unwrap().report().packs, 0, "stopped at step {step}");
        dropped += u32::from(!finished);
        if finished && !stopped {
            break;
        }
        step += 1;
    }
    assert!(step > 30 && dropped > 25, "only {step} steps were tried, {dropped} of them noticed");
}
