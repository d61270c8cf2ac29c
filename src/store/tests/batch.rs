//! Batches: shared frames, few syncs, nothing visible before the commit.

use super::*;

#[test]
fn a_batch_is_invisible_until_committed_and_shares_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    let contents: Vec<Vec<u8>> = (0..300_usize)
        .map(|number| format!("{number},some,row,of,a,table\n").repeat(number % 400).into_bytes())
        .collect();
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    let mut stored = vec![];
    for content in &contents {
        let mut writer = batch.writer(vec![]);
        writer.push(content).unwrap();
        stored.push(batch.add(writer).unwrap());
    }
    let long = contents.iter().filter(|content| content.len() > 1024);
    assert!(long.clone().all(|content| other.contains(&ContentDigest::of(content)).unwrap().is_none()));
    assert!(batch.commit().unwrap() > 0);
    for (content, stored) in contents.iter().zip(stored) {
        assert_eq!(stored.digest, ContentDigest::of(content));
        assert_eq!(&get(&other, &stored.digest).unwrap(), content);
    }
    let pack = files(&dir.path().join("packs/data"), ".open").pop().unwrap();
    let frames = std::fs::read(pack).unwrap().windows(5).filter(|bytes| *bytes == b"1nbf\x01").count();
    assert!(frames < 5, "{frames} frames for {} contents", long.count());
    assert_sound(&other);
}

#[test]
fn who_reads_the_next_content_of_a_frame_need_not_decode_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let contents = [random(1, 5000), random(2, 5000)];
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    for content in &contents {
        let mut writer = batch.writer(vec![]);
        writer.push(content).unwrap();
        batch.add(writer).unwrap();
    }
    batch.commit().unwrap();
    let [first, second] = contents.each_ref().map(|content| ContentDigest::of(content));
    assert!(get(&store, &first).unwrap() == contents[0]);
    // What is gone from the disk can only come from what was decoded for the first.
    super::delta::flip_at(dir.path(), 64);
    assert!(get(&store, &second).unwrap() == contents[1]);
    drop(store);
    assert!(get(&open(dir.path()), &second).is_err());
}

#[test]
fn a_dropped_batch_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, &random(1, 5_000));
    let size = || files(&dir.path().join("packs/data"), "")[0].metadata().unwrap().len();
    let before = size();
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    let content = random(2, 3_000_000);
    let mut writer = batch.writer(vec![]);
    writer.push(&content).unwrap();
    batch.add(writer).unwrap();
    let mut unended = batch.writer(vec![]);
    unended.push(&content).unwrap();
    drop(batch);
    drop(unended);
    assert_eq!(size(), before);
    assert_eq!(store.contains(&ContentDigest::of(&content)).unwrap(), None);
    assert_sound(&store);
}

#[test]
fn equal_contents_and_writers_side_by_side_store_each_chunk_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let content = random(1, 200_000);
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    let mut writers: Vec<_> = (0..3).map(|_| batch.writer(vec![])).collect();
    for half in content.chunks(100_000) {
        for writer in &mut writers {
            writer.push(half).unwrap();
        }
    }
    let digests: Vec<_> = writers.into_iter().map(|writer| batch.add(writer).unwrap().digest).collect();
    assert!(batch.commit().unwrap() < 210_000);
    assert!(digests.iter().all(|digest| get(&store, digest).unwrap() == content));
    assert_eq!(store.stats().unwrap().0.contents, 1);
    assert_sound(&open(dir.path()));
}

#[test]
fn a_content_of_a_batch_leans_on_the_version_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rows = |from: u32| (from..from + 9000).flat_map(|row| blake3::hash(&row.to_le_bytes()).as_bytes().to_vec());
    let before: Vec<u8> = rows(0).collect();
    let parent = put(&store, &before).digest;
    // Every chunk is another one, and nearly every byte is the same.
    let after: Vec<u8> = before.chunks(1000).flat_map(|part| [part, b"x"].concat()).collect();
    let mut batch = store.batch(&WriteOptions::default()).unwrap();
    let mut writer = batch.writer(vec![parent]);
    writer.push(&after).unwrap();
    let stored = batch.add(writer).unwrap();
    let grown = batch.commit().unwrap();
    assert!(stored.new_chunk_bytes > 200_000 && grown < 60_000, "{stored:?}, {grown} bytes");
    assert_eq!(get(&store, &stored.digest).unwrap(), after);
    assert_sound(&store);
}
