//! Contents read in order, which threads decode ahead of the reader.

use std::io::{Seek as _, SeekFrom};
use std::sync::atomic::Ordering;

use super::super::ahead::HANDED_OUT;
use super::*;

/// Long enough for many tasks: rows, with noise and zeros between them.
fn long(seed: u64) -> Vec<u8> {
    let noise = random(seed, 400_000);
    let rows = || noise.chunks(7).flat_map(|bytes| format!("{bytes:?};").into_bytes());
    (0..4)
        .flat_map(|part| rows().skip(part * 1000).chain(noise.iter().copied()).chain(std::iter::repeat_n(0, 300_000)))
        .collect()
}

/// Stores a content and a version of it, so that most frames of the latter lean on others.
fn fill(store: &Store) -> (Vec<u8>, ContentDigest) {
    let mut bytes = long(1);
    let parent = put(store, &bytes).digest;
    for at in (0..bytes.len()).step_by(9973) {
        bytes[at] ^= 1;
    }
    let options = WriteOptions { parents: vec![parent], ..WriteOptions::default() };
    (bytes.clone(), store.put_content(&bytes, &options).unwrap().digest)
}

#[test]
fn reading_on_and_seeking_meet_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (bytes, digest) = fill(&store);
    assert!(bytes.len() > 10_000_000);
    let mut reader = store.open_content(&digest).unwrap();
    let mut read = |from: usize, len: usize| {
        let mut buffer = vec![0; len.min(bytes.len() - from)];
        reader.seek(SeekFrom::Start(from as u64)).unwrap();
        for part in buffer.chunks_mut(77_777) {
            reader.read_exact(part).unwrap();
        }
        assert!(buffer == bytes[from..][..buffer.len()], "{from} {len}");
    };
    read(0, usize::MAX);
    assert!(HANDED_OUT.get() > 50, "{}", HANDED_OUT.get());
    read(1_000_000, 6_000_000);
    read(7_000_000, 10);
    read(7_000_010, 3_000_000);
    read(5, 5_000_000);
    read(bytes.len() - 4_500_000, usize::MAX);
}

#[test]
fn many_readers_at_once_read_the_same_with_threads_or_without() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (bytes, digest) = fill(&store);
    let mut readers: Vec<_> = (0..6).map(|_| store.open_content(&digest).unwrap()).collect();
    let (mut buffer, mut most) = (vec![0; 500_000], 0);
    for part in bytes.chunks(buffer.len()) {
        for reader in &mut readers {
            let buffer = &mut buffer[..part.len()];
            reader.read_exact(buffer).unwrap();
            assert!(buffer == part);
        }
        most = most.max(store.live().ahead.load(Ordering::Relaxed));
    }
    assert_eq!((most, store.live().ahead.load(Ordering::Relaxed)), (2, 0));
    assert!(readers.iter_mut().all(|reader| reader.read(&mut [0; 10]).unwrap() == 0));
}

#[test]
fn damage_ahead_is_met_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, digest) = fill(&open(dir.path()));
    let store = open(dir.path());
    let chunks = store.chunks_of(&digest).unwrap();
    let victim = &chunks[chunks.len() / 2];
    let found = store.live().data.find_fresh(victim.id.as_bytes()).unwrap().found.remove(0);
    let path = files(&dir.path().join("packs/data"), "").remove(0);
    let mut pack = std::fs::read(&path).unwrap();
    pack[usize::try_from(found.end()).unwrap() - 1] ^= 1;
    crate::fs::write_atomic(&path, &pack).unwrap();

    let mut read = vec![];
    let mut reader = open(dir.path()).open_content(&digest).unwrap();
    let error = crate::Error::from(reader.read_to_end(&mut read).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(HANDED_OUT.get() > 10, "{}", HANDED_OUT.get());
    assert!(read.len() > 4_000_000 && read == bytes[..read.len()], "{} of {}", read.len(), bytes.len());
    // All before the first chunk of the damaged frame was handed out.
    let header = &found.header;
    let first = chunks.iter().position(|chunk| header.find_chunk(&chunk.id).is_some()).unwrap();
    let sound: usize = chunks[..first].iter().map(|chunk| chunk.len as usize).sum();
    assert_eq!(read.len(), sound);
    assert!(reader.read(&mut [0; 10]).is_err(), "it goes on behind what it could not read");
    reader.seek(SeekFrom::Start(0)).unwrap();
    let mut again = vec![0; 3_000_000];
    reader.read_exact(&mut again).unwrap();
    assert!(again == bytes[..again.len()]);
}
