//! A push that goes on where it stopped, and several threads that send.

use super::support::*;
use super::*;
use crate::backend::{Fault, FaultBackend};

const PACK_LEN: usize = 2 * CHUNK;

fn cached<B: Backend + 'static>(place: &Arc<B>, dir: &std::path::Path) -> Remote {
    let options = RemoteOptions { cache_dir: Some(dir.to_path_buf()), pack_len: PACK_LEN, ..RemoteOptions::default() };
    Remote::open(Box::new(Arc::clone(place)), options)
}

fn packs(place: &MemoryBackend) -> usize {
    names(place).iter().filter(|name| name.starts_with("packs/")).count()
}

#[test]
fn an_interrupted_push_sends_only_what_did_not_arrive() {
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 40 * CHUNK))]);
    let whole = Arc::new(MemoryBackend::new());
    let cache = tempfile::tempdir().expect("a temporary directory");
    open(&whole);
    let full = push_tags(&cached(&whole, cache.path()), &store, std::slice::from_ref(&tag)).expect("pushes");
    assert!(full.packs > 30, "{full:?}");
    let (mut stops, mut spared) = (0, 0);
    for request in 0..full.requests {
        let place = Arc::new(MemoryBackend::new());
        let cache = tempfile::tempdir().expect("a temporary directory");
        open(&place);
        let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), request, Fault::Before));
        if push_tags(&cached(&faulty, cache.path()), &store, std::slice::from_ref(&tag)).is_err() {
            stops += 1;
        }
        let arrived = packs(&place) as u64;
        let rest = push_tags(&cached(&place, cache.path()), &store, std::slice::from_ref(&tag)).expect("completes");
        spared += arrived;
        // Chunks are regrouped into other packs, so the last of each half may be a short one.
        assert!(rest.packs + arrived <= full.packs + 2, "{} and {arrived} of {}", rest.packs, full.packs);
        assert_same(&open_uncreated(&place), &store, std::slice::from_ref(&tag));
    }
    println!("{stops} interrupted pushes; {spared} packs were not sent again");
    assert!(stops > 30 && spared > 100, "{stops} {spared}");
}

#[test]
fn a_session_that_was_given_up_is_not_gone_on_with() {
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 10 * CHUNK))]);
    let place = Arc::new(MemoryBackend::new());
    let cache = tempfile::tempdir().expect("a temporary directory");
    open(&place);
    let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), 12, Fault::Before));
    push_tags(&cached(&faulty, cache.path()), &store, std::slice::from_ref(&tag)).expect_err("stops");
    assert!(packs(&place) > 0);
    gc(&open(&place), &GcOptions { dry_run: false, give_up_before_ms: u64::MAX }).expect("collects");
    assert_eq!(packs(&place), 0);
    push_tags(&cached(&place, cache.path()), &store, std::slice::from_ref(&tag)).expect("starts over");
    assert_same(&open_uncreated(&place), &store, &[tag]);
}

#[test]
fn a_dry_run_tells_the_requests_of_the_push() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 400_000))]);
    open(&place);
    let request = |dry_run| PushRequest { repo: repo(1), tags: vec![tag.clone()], dry_run };
    let options = || RemoteOptions { pack_len: PACK_LEN, ..RemoteOptions::default() };
    let remote = || Remote::open(Box::new(Arc::clone(&place)), options());
    let planned = push(&remote(), &request(true), &store, &mut |_| ()).expect("plans");
    let real = push(&remote(), &request(false), &store, &mut |_| ()).expect("pushes");
    assert!(planned.packs.abs_diff(real.packs) * 10 <= real.packs * 10, "{planned:?} {real:?}");
    assert_eq!(planned.requests - planned.packs, real.requests - real.packs, "{planned:?} {real:?}");
}

#[test]
fn a_fetch_that_stops_anywhere_goes_on_where_it_stopped() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 40 * CHUNK)), ("Small", b"x".to_vec())]);
    let options = RemoteOptions { pack_len: 4 * CHUNK, ..RemoteOptions::default() };
    let remote = Remote::open(Box::new(Arc::clone(&place)), options);
    remote.create().expect("creates");
    push_tags(&remote, &store, &[tag]).expect("pushes");
    let snapshot = open(&place).snapshot_of_tag("v1").expect("reads").expect("is there").1;
    let digests: Vec<_> = snapshot.needs().map(|(digest, _)| digest).collect();
    let whole = fetch(&open(&place), &snapshot.data, &digests, &mut Store::default(), &mut |_| ()).expect("fetches");
    let mut stops = 0;
    for fault in [Fault::Before, Fault::After] {
        for request in 0.. {
            let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), request, fault));
            let mut copy = Store::default();
            let remote = open_uncreated(&faulty);
            let first = fetch(&remote, &snapshot.data, &digests, &mut copy, &mut |_| ());
            if first.is_ok() {
                assert_eq!(copy.contents, store.contents);
                break;
            }
            stops += 1;
            let arrived = copy.chunks.len() as u64;
            let rest =
                fetch(&open_uncreated(&place), &snapshot.data, &digests, &mut copy, &mut |_| ()).expect("goes on");
            assert_eq!(rest.frames + arrived, whole.frames, "one chunk is one frame here");
            assert_eq!(copy.contents, store.contents);
        }
    }
    println!("{stops} interrupted fetches");
    assert!(stops > 8, "{stops}");
}
