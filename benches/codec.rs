//! Frames of 1 MiB: alone and against an earlier version, there and back.

use criterion::{Criterion, Throughput};
use onenb::format::pack::{BaseSpan, Check, DeltaBase, Frame, FrameKey};
use onenb::id::ChunkId;

use crate::data::{Random, edited, table};

const LEN: usize = 1 << 20;
const LEVEL: i32 = 3;

pub fn benches(criterion: &mut Criterion) {
    let old = table(LEN);
    let mut new = edited(&old, 50);
    new.truncate(LEN);
    let (keys, noise) = (keys_of(&new), Random::default().noise(LEN));
    let noise_keys = keys_of(&noise);
    let span = BaseSpan { chunk: ChunkId::of(&old), offset: 0, len: u32::try_from(LEN).unwrap() };
    let base = DeltaBase { spans: vec![span], bytes: old[..LEN].to_vec(), depth: 1 };

    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(30);
    group.bench_function("encode table", |bencher| {
        bencher.iter(|| Frame::chunks_joined(keys.clone(), new.clone(), LEVEL));
    });
    group.bench_function("encode noise", |bencher| {
        bencher.iter(|| Frame::chunks_joined(noise_keys.clone(), noise.clone(), LEVEL));
    });
    group.bench_function("encode table against its version before", |bencher| {
        bencher.iter(|| Frame::chunks_against(&keys, &new, &base, LEVEL).unwrap());
    });
    let (alone, delta) = (
        Frame::chunks_joined(keys.clone(), new.clone(), LEVEL),
        Frame::chunks_against(&keys, &new, &base, LEVEL).unwrap(),
    );
    println!(
        "frame of {} bytes: alone {} bytes, delta {} bytes",
        new.len(),
        alone.payload().len(),
        delta.payload().len()
    );
    group.bench_function("decode table", |bencher| bencher.iter(|| alone.decode(Check::Chunks).unwrap()));
    group.bench_function("decode table against its version before", |bencher| {
        bencher.iter(|| delta.decode_on(&base.bytes, Check::Chunks).unwrap());
    });
    group.finish();
}

fn keys_of(bytes: &[u8]) -> Vec<FrameKey> {
    let key = |chunk: &[u8]| FrameKey { id: *ChunkId::of(chunk).as_bytes(), len: u32::try_from(chunk.len()).unwrap() };
    bytes.chunks(64 << 10).map(key).collect()
}
