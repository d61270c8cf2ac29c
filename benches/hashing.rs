//! Cutting and hashing: what every byte that comes in costs at the least.

use criterion::{BenchmarkId, Criterion, Throughput};
use onenb::id::{ChunkId, ContentDigest};
use onenb::store::{Rest, next_cut};

use crate::data::{Random, table};

const LEN: usize = 8 << 20;

pub fn benches(criterion: &mut Criterion) {
    let inputs = [("noise", Random::default().noise(LEN)), ("table", table(LEN)), ("zeros", vec![0; LEN])];
    let mut group = criterion.benchmark_group("chunker");
    for (name, bytes) in &inputs {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), bytes, |bencher, bytes| {
            bencher.iter(|| cuts(bytes));
        });
    }
    group.finish();

    let noise = &inputs[0].1;
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(LEN as u64));
    group.bench_function("chunks of 64 KiB", |bencher| {
        bencher.iter(|| {
            noise.chunks(64 << 10).map(|chunk| ChunkId::of(chunk).as_bytes()[0]).fold(0, |all, one| all ^ one)
        });
    });
    group.bench_function("content of 8 MiB", |bencher| bencher.iter(|| ContentDigest::of(noise)));
    group.finish();
}

fn cuts(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((len, _)) = next_cut(bytes, Rest::End) {
        bytes = &bytes[len..];
        count += 1;
    }
    count
}
