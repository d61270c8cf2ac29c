//! Reading contents back: ranges, requests, damage.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::support::*;
use super::*;
use crate::backend::FaultBackend;
use crate::error::Error;
use crate::format::snapshot::Snapshot;

fn pushed(exports: &[(&str, Vec<u8>)]) -> (Arc<MemoryBackend>, Store, Snapshot) {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, exports);
    push_tags(&open(&place), &store, &[tag]).expect("pushes");
    let snapshot = open(&place).snapshot_of_tag("v1").expect("reads").expect("is there").1;
    (place, store, snapshot)
}

#[test]
fn a_range_costs_one_request_and_a_scan_few() {
    let bytes = noise(1, 300 * CHUNK);
    let (place, _, snapshot) = pushed(&[("Sales", bytes.clone())]);
    let remote = open_uncreated(&place);
    let mut content = remote.open_content(&snapshot.data, &ContentDigest::of(&bytes)).expect("opens");
    assert_eq!((remote.requests(), content.len()), (0, bytes.len() as u64));
    content.seek(SeekFrom::End(-7)).expect("seeks");
    let mut tail = [0; 7];
    content.read_exact(&mut tail).expect("reads");
    assert_eq!((tail.as_slice(), remote.requests()), (&bytes[bytes.len() - 7..], 1));
    content.seek(SeekFrom::Start(0)).expect("seeks");
    let mut all = vec![];
    content.read_to_end(&mut all).expect("reads");
    assert!(all == bytes);
    assert!(remote.requests() < 12, "{}", remote.requests());
    assert!(content.seek(SeekFrom::Current(-1 - i64::try_from(bytes.len()).expect("short"))).is_err());
}

/// A place whose request of this number, counted from 0, is not answered before another one has come; and whether one
/// came.
fn meeting(place: &Arc<MemoryBackend>, request: u64) -> (Arc<dyn Backend>, Arc<AtomicBool>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let met = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&met);
    // The one that waits has not come as far as the inner count.
    let inner =
        FaultBackend::meanwhile(Arc::clone(place), request, Box::new(move || sender.send(()).expect("is waited for")));
    let waits = move || noted.store(receiver.recv_timeout(Duration::from_mins(1)).is_ok(), Ordering::SeqCst);
    (Arc::new(FaultBackend::meanwhile(inner, request, Box::new(waits))), met)
}

/// Whoever asks only when it has what it asked for waits for round trips and not for the line.
#[test]
fn who_reads_on_and_who_fetches_ask_for_more_before_they_have_all() {
    let bytes = noise(1, 30 << 20);
    let (there, store, snapshot) = pushed(&[("Sales", bytes.clone())]);
    let digest = ContentDigest::of(&bytes);
    let (place, met) = meeting(&there, 1);
    let remote = Remote::open(Box::new(place), RemoteOptions::default());
    let mut all = vec![0; bytes.len()];
    let mut content = remote.open_content(&snapshot.data, &digest).expect("opens");
    content.read_exact(&mut all).expect("reads");
    assert!(all == bytes && met.load(Ordering::SeqCst));
    let requests = remote.requests();
    assert!(requests < 9, "{requests}");

    let (place, met) = meeting(&there, 0);
    let remote = Remote::open(Box::new(place), RemoteOptions::default());
    let mut sink = Store::default();
    let report = fetch(&remote, &snapshot.data, &[digest], &mut sink, &mut |_| {}).expect("fetches");
    assert!(met.load(Ordering::SeqCst) && report.contents == 1);
    assert_eq!(sink.contents.get(&digest).map(|_| ()), store.contents.get(&digest).map(|_| ()));
}

/// A column of a table is such a range: what lies behind it is another column.
#[test]
fn a_long_range_that_is_read_piece_by_piece_fetches_nothing_behind_it() {
    let bytes = noise(1, 300 * CHUNK);
    let (place, _, snapshot) = pushed(&[("Sales", bytes.clone())]);
    let read = |len: usize, piece: usize| {
        let remote = open_uncreated(&place);
        let mut content = remote.open_content(&snapshot.data, &ContentDigest::of(&bytes)).expect("opens");
        content.seek(SeekFrom::Start(100)).expect("seeks");
        let mut column = vec![0; len];
        for part in column.chunks_mut(piece) {
            content.read_exact(part).expect("reads");
        }
        assert!(column == bytes[100..100 + len]);
        let fetched = content.fetched.iter().map(|(_, frame)| frame.header().frame_len()).sum::<u64>();
        (remote.requests(), fetched)
    };
    assert_eq!(read(200 * CHUNK, 200 * CHUNK), (1, 0));
    // Who asks for one piece after the other gets more ahead.
    let (requests, left) = read(110 * CHUNK, CHUNK);
    assert!(requests < 6 && left > 0, "{requests} {left}");
}

#[test]
fn fetching_fills_a_store_once_and_in_few_requests() {
    let bytes = noise(1, 300 * CHUNK);
    let (place, store, snapshot) = pushed(&[("Sales", bytes), ("Small", b"x".to_vec())]);
    let remote = open_uncreated(&place);
    let digests: Vec<_> = snapshot.needs().map(|(digest, _)| digest).collect();
    let mut copy = Store::default();
    let report = fetch(&remote, &snapshot.data, &digests, &mut copy, &mut |_| ()).expect("fetches");
    assert_eq!(copy.contents, store.contents);
    assert_eq!((report.contents, remote.requests()), (3, 1));
    let again = fetch(&remote, &snapshot.data, &digests, &mut copy, &mut |_| ()).expect("fetches");
    assert_eq!((again, remote.requests()), (FetchReport::default(), 1));
    let unknown = [ContentDigest::of(b"unknown")];
    let error = fetch(&remote, &snapshot.data, &unknown, &mut copy, &mut |_| ()).expect_err("is not in the snapshot");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_changed_byte_anywhere_in_a_pack_is_found_or_does_not_matter() {
    let bytes = noise(1, 2_500);
    let (place, _, snapshot) = pushed(&[("Sales", bytes.clone())]);
    let pack = Key::parse(&snapshot.data.packs()[0]).expect("a key");
    let sound = place.get(&pack, u64::MAX).expect("is there");
    let mut found = 0;
    for position in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[position] ^= 0x40;
        place.put(&pack, damaged).expect("puts");
        let mut read = vec![];
        match open_uncreated(&place)
            .open_content(&snapshot.data, &ContentDigest::of(&bytes))
            .expect("opens")
            .read_to_end(&mut read)
        {
            Ok(_) => assert!(read == bytes),
            Err(error) => {
                found += 1;
                let kind = Error::from(error).kind();
                assert!(matches!(kind, ErrorKind::Damaged | ErrorKind::TooNew), "{kind:?} at {position}");
            }
        }
    }
    assert!(found >= bytes.len(), "{found}");
}

#[test]
fn a_changed_byte_anywhere_in_a_named_text_is_found() {
    let (place, _, _) = pushed(&[("Sales", noise(1, 2_500))]);
    for name in names(place.as_ref()).iter().filter(|name| name.starts_with("tags/") || name.starts_with("log/")) {
        let key = Key::parse(name).expect("a key");
        let sound = place.get(&key, u64::MAX).expect("is there");
        for position in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[position] ^= 1;
            place.put(&key, damaged).expect("puts");
            let remote = open_uncreated(&place);
            let end = if name.starts_with("tags/") {
                remote.snapshot_of_tag("v1").map(drop)
            } else {
                remote.tags().map(drop)
            };
            assert!(end.is_err_and(|error| error.kind() == ErrorKind::Damaged), "{name} at {position}");
        }
        place.put(&key, sound).expect("puts");
    }
}

#[test]
fn verifying_names_the_exports_whose_packs_are_gone_short_or_changed() {
    let (place, _, snapshot) = pushed(&[("Sales", noise(1, 25_000)), ("Small", b"x".to_vec())]);
    let pack = Key::parse(&snapshot.data.packs()[0]).expect("a key");
    let sound = place.get(&pack, u64::MAX).expect("is there");
    let verify = |depth| {
        let findings = verify_tag(&open_uncreated(&place), "v1", depth).expect("reads");
        findings.into_iter().map(|finding| (finding.labels.join(","), finding.problem)).collect::<Vec<_>>()
    };
    assert_eq!(verify(VerifyDepth::Everything), []);
    place.put(&pack, sound[..5_000].to_vec()).expect("puts");
    let both = |problem| [("Sales".to_owned(), problem), ("a/report.ipynb".to_owned(), problem)];
    let sorted = |mut found: Vec<(String, Problem)>| {
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    assert_eq!(sorted(verify(VerifyDepth::Presence)), both(Problem::Damaged));
    let mut changed = sound.clone();
    changed[300] ^= 1;
    place.put(&pack, changed).expect("puts");
    assert_eq!(verify(VerifyDepth::Presence), []);
    assert_eq!(verify(VerifyDepth::Everything).len(), 1);
    place.delete(&pack).expect("deletes");
    assert_eq!(sorted(verify(VerifyDepth::Presence)), both(Problem::Missing));
    let error = open_uncreated(&place);
    let mut content = error.open_content(&snapshot.data, &ContentDigest::of(&noise(1, 25_000))).expect("opens");
    let absent = Error::from(content.read(&mut [0; 10]).expect_err("the pack is gone"));
    assert_eq!(absent.kind(), ErrorKind::Damaged);
    assert!(
        matches!(verify_tag(&error, "v9", VerifyDepth::Presence), Err(error) if error.kind() == ErrorKind::NotFound)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_range_reads_as_in_the_original(len in 0..80_000_usize, reads in prop::collection::vec((0..90_000_u64, 1..30_000_usize), 1..12)) {
        let bytes = noise(5, len);
        let (place, _, snapshot) = pushed(&[("Sales", bytes.clone())]);
        let remote = open_uncreated(&place);
        let mut content = remote.open_content(&snapshot.data, &ContentDigest::of(&bytes)).expect("opens");
        for (start, count) in reads {
            content.seek(SeekFrom::Start(start)).expect("seeks");
            let mut read = vec![];
            (&mut content).take(count as u64).read_to_end(&mut read).expect("reads");
            let from = usize::try_from(start).expect("short").min(len);
            prop_assert!(read == bytes[from..(from + count).min(len)]);
        }
    }
}
