//! The store as a whole: writing packs, finding contents, restoring them. Every write is durable when it returns.

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput};
use onenb::id::ContentDigest;
use onenb::store::{Store, StoreOptions, WriteOptions};

use crate::data::{Random, edited, table, versions};

const LEN: usize = 16 << 20;
const CONTENTS: u32 = 10_000;

pub fn benches(criterion: &mut Criterion) {
    ingest(criterion);
    restore(criterion);
    lookup(criterion);
    real_versions(criterion);
}

fn open(dir: &Path) -> Store {
    Store::open(dir, &StoreOptions::default()).unwrap()
}

fn after(parent: ContentDigest) -> WriteOptions {
    WriteOptions { parents: vec![parent], ..WriteOptions::default() }
}

fn ingest(criterion: &mut Criterion) {
    let (plain, noise, table) = (WriteOptions::default(), Random::default().noise(LEN), table(LEN));
    let changed = edited(&table, 5000);
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(10);
    for (name, bytes) in [("noise", &noise), ("table", &table)] {
        group.bench_function(format!("{name}, new"), |bencher| {
            let empty = || tempfile::tempdir().unwrap();
            let write = |dir: tempfile::TempDir| {
                open(dir.path()).put_content(bytes, &plain).unwrap();
                dir
            };
            bencher.iter_batched(empty, write, BatchSize::PerIteration);
        });
    }
    let holding_table = || {
        let dir = tempfile::tempdir().unwrap();
        let digest = open(dir.path()).put_content(&table, &plain).unwrap().digest;
        (dir, digest)
    };
    for (name, bytes) in [("table, a line in 5000 edited", &changed), ("table, the same again", &table)] {
        group.bench_function(name, |bencher| {
            let write = |(dir, digest): (tempfile::TempDir, ContentDigest)| {
                open(dir.path()).put_content(bytes, &after(digest)).unwrap();
                dir
            };
            bencher.iter_batched(holding_table, write, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn restore(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = table(LEN);
    let first_digest = store.put_content(&first, &WriteOptions::default()).unwrap().digest;
    let delta_digest = store.put_content(&edited(&first, 500), &after(first_digest)).unwrap().digest;
    let mut group = criterion.benchmark_group("restore");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(10);
    for (name, digest) in [("table", first_digest), ("table stored as a delta", delta_digest)] {
        group.bench_function(name, |bencher| bencher.iter(|| read(&open(dir.path()), &digest)));
    }
    group.finish();
}

fn lookup(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    for number in 0..CONTENTS {
        let mut writer = batch.writer(vec![]);
        writer.push(&number.to_le_bytes()).unwrap();
        batch.add(writer).unwrap();
    }
    batch.commit().unwrap();
    let (known, unknown) = (ContentDigest::of(&7_u32.to_le_bytes()), ContentDigest::of(b"not here"));
    let mut group = criterion.benchmark_group("index of 10,000 contents");
    group.bench_function("known, open store", |bencher| bencher.iter(|| store.contains(&known).unwrap().unwrap()));
    group.bench_function("unknown, open store", |bencher| bencher.iter(|| store.contains(&unknown).unwrap()));
    group.bench_function("known, store opened for it", |bencher| {
        bencher.iter(|| open(dir.path()).contains(&known).unwrap().unwrap());
    });
    group.finish();
}

fn real_versions(criterion: &mut Criterion) {
    let states = versions("players");
    if states.is_empty() {
        return;
    }
    let mut group = criterion.benchmark_group("versions/players");
    group.throughput(Throughput::Bytes(states.iter().map(|state| state.len() as u64).sum())).sample_size(10);
    group.bench_function("ingest all", |bencher| {
        let empty = || tempfile::tempdir().unwrap();
        let write = |dir: tempfile::TempDir| {
            write_all(&open(dir.path()), &states);
            dir
        };
        bencher.iter_batched(empty, write, BatchSize::PerIteration);
    });
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let digests = write_all(&store, &states);
    group.bench_function("restore all", |bencher| {
        bencher.iter(|| digests.iter().map(|one| read(&store, one)).sum::<u64>());
    });
    group.finish();
}

fn write_all(store: &Store, states: &[Vec<u8>]) -> Vec<ContentDigest> {
    let mut digests: Vec<ContentDigest> = vec![];
    for state in states {
        let options = digests.last().copied().map_or_else(WriteOptions::default, after);
        digests.push(store.put_content(state, &options).unwrap().digest);
    }
    digests
}

fn read(store: &Store, digest: &ContentDigest) -> u64 {
    std::io::copy(&mut store.open_content(digest).unwrap(), &mut std::io::sink()).unwrap()
}
