//! Garbage collection: what goes, what stays, and what happens at the same time.

use std::collections::BTreeMap;

use super::support::*;
use super::*;
use crate::backend::{Fault, FaultBackend};

const EVERYTHING: GcOptions = GcOptions { dry_run: false, give_up_before_ms: u64::MAX };

/// A remote whose packs hold two chunks each.
fn small_packs<B: Backend + 'static>(place: &Arc<B>) -> Remote {
    let remote =
        Remote::open(Box::new(Arc::clone(place)), RemoteOptions { pack_len: 2 * CHUNK, ..RemoteOptions::default() });
    remote.create().expect("creates");
    remote
}

fn count(place: &MemoryBackend, folder: &str) -> usize {
    names(place).iter().filter(|name| name.starts_with(folder)).count()
}

#[test]
fn what_no_tag_names_goes_pack_by_pack_and_the_rest_stays() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let shared = noise(7, 4 * CHUNK);
    let tags = [
        store.tag("v1", 1, &[("Sales", noise(1, 8 * CHUNK)), ("Both", shared.clone())]),
        store.tag("v2", 2, &[("Sales", noise(2, 8 * CHUNK)), ("Both", shared)]),
    ];
    push_tags(&small_packs(&place), &store, &tags).expect("pushes");
    let idle = gc(&open(&place), &EVERYTHING).expect("collects");
    assert_eq!(idle, GcReport::default());
    open(&place).delete_tag("v1").expect("deletes");
    let before = names(place.as_ref());
    let planned = gc(&open(&place), &GcOptions { dry_run: true, ..EVERYTHING }).expect("plans");
    assert_eq!(names(place.as_ref()), before, "a dry run changes nothing");
    let report = gc(&open(&place), &EVERYTHING).expect("collects");
    assert_eq!(report, planned);
    assert!(report.packs >= 7 && report.pushes == 0, "{report:?}");
    assert_same(&open(&place), &store, &tags[1..]);
    assert_eq!(open(&place).snapshot_of_commit(&commit(1)).expect("reads"), None);
    // What is gone is sent again, and what stayed is not.
    let back = push_tags(&small_packs(&place), &store, &tags[..1]).expect("pushes");
    assert!(back.bytes_reused >= 4 * CHUNK as u64 && back.packs >= 4, "{back:?}");
    assert_same(&open(&place), &store, &tags);
    open(&place).delete_tag("v1").expect("deletes");
    open(&place).delete_tag("v2").expect("deletes");
    gc(&open(&place), &EVERYTHING).expect("collects");
    assert_eq!((count(&place, "packs/"), count(&place, "index/"), count(&place, "snapshots/")), (0, 0, 0));
}

/// Its chunks came back with other contents, so nothing was sent, and the listing that led to the packs that are gone
/// was taken for good. Who has the content by the remote alone did not find it.
#[test]
fn a_content_whose_chunks_came_back_with_another_is_listed_anew() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let (big, small) = (noise(1, 8 * CHUNK), noise(2, 8 * CHUNK));
    let longer = [big.clone(), noise(3, 2 * CHUNK)].concat();
    let tags = [
        store.tag("v1", 1, &[("Big", big.clone())]),
        store.tag("v2", 2, &[("Small", small)]),
        store.tag("v3", 3, &[("Longer", longer)]),
        store.tag("v4", 4, &[("Big", big.clone())]),
    ];
    push_tags(&small_packs(&place), &store, &tags[..2]).expect("pushes");
    open(&place).delete_tag("v1").expect("deletes");
    assert!(gc(&open(&place), &EVERYTHING).expect("collects").packs > 0);
    push_tags(&small_packs(&place), &store, &tags[2..3]).expect("pushes");
    let again = push_tags(&small_packs(&place), &store, &tags[3..]).expect("pushes");
    assert!(again.bytes_reused >= 8 * CHUNK as u64, "nothing of it is sent: {again:?}");
    let digest = ContentDigest::of(&big);
    assert!(open(&place).data_with(&digest).expect("reads").is_some_and(|data| data.content_len(&digest).is_some()));
    let child = TagToPush { tag: Some("v5".to_owned()), commit: commit(5), ..tags[3].clone() };
    let pushed = push_tags(&open(&place), &Store::default(), std::slice::from_ref(&child)).expect("pushes");
    assert_eq!(pushed.outcomes, [TagOutcome::Pushed], "by a machine that does not have it");
    assert_same(&open(&place), &store, &[&tags[1..], &[child]].concat());
}

#[test]
fn what_a_tag_named_before_stays_until_it_is_forgotten() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let old = store.tag("v1", 1, &[("Sales", noise(1, 4 * CHUNK))]);
    let mut new = store.tag("v1", 2, &[("Sales", noise(2, 4 * CHUNK))]);
    new.force = true;
    push_tags(&open(&place), &store, &[old]).expect("pushes");
    push_tags(&open(&place), &store, std::slice::from_ref(&new)).expect("pushes");
    gc(&open(&place), &EVERYTHING).expect("collects");
    assert!(open(&place).snapshot_of_commit(&commit(1)).expect("reads").is_some());
    open(&place).forget_history("v1").expect("forgets");
    assert!(matches!(open(&place).forget_history("v9"), Err(SyncError::NoTag { .. })));
    assert_eq!(gc(&open(&place), &EVERYTHING).expect("collects").pushes, 1);
    assert_eq!(open(&place).snapshot_of_commit(&commit(1)).expect("reads"), None);
    assert_same(&open(&place), &store, &[new]);
}

/// The push that brought a small content first was void once its own tag was gone, and with it went the only listing of
/// what later tags still had.
#[test]
fn what_a_kept_tag_has_stays_listed_also_if_another_push_brought_it() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let small = b"inherited".to_vec();
    let first = store.tag("v1", 1, &[("Sales", small.clone())]);
    let second = store.tag("v2", 2, &[("Sales", small.clone()), ("Big", noise(2, 4 * CHUNK))]);
    push_tags(&open(&place), &store, &[first]).expect("pushes");
    push_tags(&open(&place), &store, std::slice::from_ref(&second)).expect("pushes");
    open(&place).delete_tag("v1").expect("deletes");
    gc(&open(&place), &EVERYTHING).expect("collects");
    assert_eq!(open(&place).snapshot_of_commit(&commit(1)).expect("reads"), None);
    let digest = ContentDigest::of(&small);
    assert!(open(&place).data_with(&digest).expect("reads").is_some());
    // A machine that has nothing pushes a tag that inherits it.
    let third = TagToPush { exports: vec![second.exports[0].clone()], runs: vec![], ..store.retag(&second, "v3", 3) };
    let report = push_tags(&open(&place), &Store::default(), &[third]).expect("pushes");
    assert_eq!(report.outcomes, [TagOutcome::Pushed]);
    for tag in ["v2", "v3"] {
        open(&place).delete_tag(tag).expect("deletes");
    }
    gc(&open(&place), &EVERYTHING).expect("collects");
    assert_eq!(count(&place, "index/"), 0);
}

/// A push left a content out of its segment because an earlier one listed it; when a collection voided that one
/// meanwhile, nothing listed the content any more, and a clone without the data could not push what inherits it.
#[test]
fn what_a_push_takes_for_listed_is_listed_also_after_a_collection_meanwhile() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let small = b"inherited".to_vec();
    let first = store.tag("v1", 1, &[("Small", small.clone())]);
    let second = store.tag("v2", 2, &[("Small", small.clone()), ("Big", noise(2, 4 * CHUNK))]);
    push_tags(&open(&place), &store, &[first]).expect("pushes");
    let collect = || {
        open(&place).delete_tag("v1").expect("deletes");
        gc(&open(&place), &GcOptions::default()).expect("collects");
    };
    let pushed = push_tags(&open(&place), &Meddling { store: &store, act: &collect }, std::slice::from_ref(&second));
    assert_eq!(pushed.expect("starts over").outcomes, [TagOutcome::Pushed]);
    assert!(open(&place).data_with(&ContentDigest::of(&small)).expect("reads").is_some());
    let third = TagToPush { exports: vec![second.exports[0].clone()], runs: vec![], ..store.retag(&second, "v3", 3) };
    let report = push_tags(&open(&place), &Store::default(), &[third]).expect("pushes");
    assert_eq!(report.outcomes, [TagOutcome::Pushed]);
}

/// A push that goes on with the session of an earlier attempt was as old as its first attempt.
#[test]
fn an_unfinished_push_is_as_old_as_the_last_pack_that_it_sent() {
    let place = Arc::new(MemoryBackend::new());
    open(&place);
    let at = |time: u8| SessionId::from_bytes([0, 0, 0, 0, time, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let session = at(1);
    open(&place).append(|_| Ok(Some(LogOp::Begin { session }))).map(drop).expect("begins");
    for time in [1, 5] {
        place
            .put(&Key::parse(&format!("packs/{session}/{}.pack", at(time))).expect("a key"), b"x".to_vec())
            .expect("puts");
    }
    let collect = |time: u8| {
        let give_up_before_ms = at(time).time_ms();
        gc(&open(&place), &GcOptions { dry_run: false, give_up_before_ms }).expect("collects").pushes
    };
    assert_eq!((collect(3), count(&place, "packs/")), (0, 2));
    assert_eq!((collect(6), count(&place, "packs/")), (1, 0));
}

/// `min_writer` of a newer program was looked at by whoever appends to the log only.
#[test]
fn a_remote_of_a_newer_program_is_neither_collected_nor_completed() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 2 * CHUNK))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let record = names(place.as_ref()).into_iter().find(|name| name.starts_with("tags/")).expect("a record");
    place.delete(&Key::parse(&record).expect("a key")).expect("deletes");
    let marker = Key::parse("onenb.json").expect("a key");
    let newer = String::from_utf8(place.get(&marker, 1000).expect("is there")).expect("text");
    place.put(&marker, newer.replace("\"min_writer\": 3", "\"min_writer\": 4").into_bytes()).expect("puts");
    let before = names(place.as_ref());
    assert_eq!(gc(&open_uncreated(&place), &EVERYTHING).expect_err("refused").kind(), ErrorKind::TooNew);
    let push = push_tags(&open_uncreated(&place), &store, &[tag]).expect_err("refused");
    assert_eq!((push.kind(), names(place.as_ref())), (ErrorKind::TooNew, before));
    gc(&open_uncreated(&place), &GcOptions { dry_run: true, ..EVERYTHING }).expect("looking is allowed");
}

#[test]
fn what_a_killed_push_left_half_written_in_a_directory_goes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = Arc::new(LocalBackend::new(dir.path()));
    open(&place);
    let at = |time: u8| SessionId::from_bytes([0, 0, 0, 0, time, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let file = |time: u8| dir.path().join(format!("packs/{}/.{}.pack.{}.tmp", at(1), at(1), at(time)));
    for time in [1, 5] {
        crate::fs::write_atomic(&file(time), b"half").expect("writes");
    }
    let options = |dry_run| GcOptions { dry_run, give_up_before_ms: at(3).time_ms() };
    let planned = gc(&open(&place), &options(true)).expect("plans");
    assert_eq!((planned.objects, planned.bytes, file(1).exists()), (1, 4, true));
    assert_eq!(gc(&open(&place), &options(false)).expect("collects"), planned);
    assert_eq!((file(1).exists(), file(5).exists()), (false, true));
}

#[test]
fn the_index_segment_of_an_earlier_attempt_goes() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 2 * CHUNK))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let segment = names(place.as_ref()).into_iter().find(|name| name.starts_with("index/")).expect("a segment");
    let attempt = segment.replace(".seg", &format!(".{}.seg", SessionId::from_bytes([1; 16])));
    place.put(&Key::parse(&attempt).expect("a key"), b"x".to_vec()).expect("puts");
    assert_eq!(gc(&open(&place), &EVERYTHING).expect("collects").objects, 1);
    assert_eq!(count(&place, "index/"), 1);
    assert_same(&open(&place), &store, &[tag]);
}

#[test]
fn an_unfinished_push_is_given_up_only_when_asked() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 8 * CHUNK))]);
    open(&place);
    let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), 12, Fault::Before));
    let options = RemoteOptions { pack_len: 2 * CHUNK, ..RemoteOptions::default() };
    push_tags(&Remote::open(Box::new(faulty), options), &store, &[tag]).expect_err("stops");
    let packs = count(&place, "packs/");
    assert!(packs > 0);
    gc(&open(&place), &GcOptions { dry_run: false, give_up_before_ms: 0 }).expect("collects");
    assert_eq!(count(&place, "packs/"), packs);
    gc(&open(&place), &EVERYTHING).expect("collects");
    assert_eq!(count(&place, "packs/"), 0);
}

#[test]
fn a_push_and_a_collection_at_once_leave_every_tag_whole_at_every_request() {
    let (mut ran, mut told) = (0, 0);
    for request in 0.. {
        let place = Arc::new(MemoryBackend::new());
        let mut store = Store::default();
        let old = store.tag("old", 1, &[("Sales", noise(1, 6 * CHUNK))]);
        let new = store.retag(&old, "new", 2);
        push_tags(&small_packs(&place), &store, &[old]).expect("pushes");
        open(&place).delete_tag("old").expect("deletes");
        // The push builds on data that nothing names, which a whole collection takes at this very request.
        let collector = Arc::clone(&place);
        let collect = move || {
            let _ = gc(&open_uncreated(&collector), &EVERYTHING).expect("collects");
        };
        let busy = Arc::new(FaultBackend::meanwhile(Arc::clone(&place), request, Box::new(collect)));
        if let Err(error) = push_tags(&open_uncreated(&busy), &store, std::slice::from_ref(&new)) {
            told += 1;
            assert!(error.to_string().contains("revoked") || error.kind() == ErrorKind::Damaged, "{error}");
            push_tags(&open_uncreated(&place), &store, std::slice::from_ref(&new)).expect("the rerun completes");
        }
        ran += 1;
        assert_same(&open_uncreated(&place), &store, std::slice::from_ref(&new));
        gc(&open(&place), &EVERYTHING).expect("collects");
        assert_same(&open_uncreated(&place), &store, std::slice::from_ref(&new));
        if busy.requests() <= request {
            break;
        }
    }
    println!("a collection at each of {ran} requests of a push; {told} pushes had to be repeated");
    assert!(ran > 10 && told > 0, "{ran} {told}");
}

#[test]
fn a_collection_that_stops_or_is_met_by_a_push_anywhere_is_completed_by_the_next() {
    let mut ran = 0;
    for fault in [Some(Fault::Before), Some(Fault::After), Some(Fault::Retried), None] {
        for request in 0.. {
            let place = Arc::new(MemoryBackend::new());
            let mut store = Store::default();
            let old = store.tag("old", 1, &[("Sales", noise(1, 6 * CHUNK))]);
            let keep = store.tag("keep", 2, &[("Sales", noise(2, 6 * CHUNK))]);
            let new = store.retag(&old, "new", 3);
            push_tags(&small_packs(&place), &store, &[old, keep.clone()]).expect("pushes");
            open(&place).delete_tag("old").expect("deletes");
            let mut expected = vec![keep];
            let backend = if let Some(fault) = fault {
                FaultBackend::failing(Arc::clone(&place), request, fault)
            } else {
                let (pusher, store, tag) = (Arc::clone(&place), store.clone(), new.clone());
                let push = move || drop(push_tags(&open_uncreated(&pusher), &store, &[tag]).expect("pushes"));
                FaultBackend::meanwhile(Arc::clone(&place), request, Box::new(push))
            };
            let backend = Arc::new(backend);
            let end = gc(&open_uncreated(&backend), &EVERYTHING);
            assert!(end.is_ok() || fault.is_some_and(|fault| fault != Fault::Retried), "{end:?}");
            if fault.is_none() && backend.requests() > request {
                expected.push(new);
            }
            assert_same(&open_uncreated(&place), &store, &expected);
            gc(&open_uncreated(&place), &EVERYTHING).expect("the rerun completes");
            assert_same(&open_uncreated(&place), &store, &expected);
            ran += 1;
            if backend.requests() <= request {
                break;
            }
        }
    }
    println!("{ran} stopped or crossed collections");
    assert!(ran > 40, "{ran}");
}

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the tags should be, as far as the failures so far leave it certain.
type Model = BTreeMap<String, Vec<Option<TagToPush>>>;

/// One life of a remote: pushes, moves, deletions and collections, some of which stop or meet a collection.
fn live(seed: u64) {
    let mut dice = Dice(seed);
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let long = (0..4).map(|number| noise(number, 3 * CHUNK));
    let contents: Vec<Vec<u8>> = long.chain((0..2).map(|number| vec![number; 9])).collect();
    small_packs(&place);
    let mut model = Model::new();
    for step in 0..8_u8 {
        let name = format!("t{}", dice.roll(3));
        let (request, kind) = (dice.roll(14), dice.roll(4));
        let fault = [Fault::Before, Fault::After, Fault::Retried].get(usize::try_from(kind).expect("small")).copied();
        let act = dice.roll(6);
        let other = Arc::clone(&place);
        // A collection met may give up the push under way, or leave it alone.
        let options = if dice.roll(2) == 0 { EVERYTHING } else { GcOptions::default() };
        let backend = match fault {
            Some(fault) => FaultBackend::failing(Arc::clone(&place), request, fault),
            None => FaultBackend::meanwhile(
                Arc::clone(&place),
                request,
                Box::new(move || drop(gc(&open_uncreated(&other), &options))),
            ),
        };
        let options = RemoteOptions { pack_len: 2 * CHUNK, ..RemoteOptions::default() };
        let remote = Remote::open(Box::new(Arc::new(backend)), options);
        let known = model.entry(name.clone()).or_insert_with(|| vec![None]);
        match act {
            0..=2 => {
                let pick = |dice: &mut Dice| contents[usize::try_from(dice.roll(6)).expect("small")].clone();
                let mut tag = store.tag(&name, step + 1, &[("A", pick(&mut dice)), ("B", pick(&mut dice))]);
                tag.force = dice.roll(2) == 0;
                match push_tags(&remote, &store, std::slice::from_ref(&tag)).map(|report| report.outcomes) {
                    Ok(outcomes) if outcomes == [TagOutcome::Pushed] => *known = vec![Some(tag)],
                    Ok(_) => {}
                    Err(_) => known.push(Some(tag)),
                }
            }
            3 => match remote.delete_tag(&name) {
                Ok(_) => *known = vec![None],
                Err(_) => known.push(None),
            },
            4 => drop(remote.forget_history(&name)),
            _ => drop(gc(&remote, &EVERYTHING)),
        }
        check(&place, &store, &mut model, seed);
    }
}

fn check(place: &Arc<MemoryBackend>, store: &Store, model: &mut Model, seed: u64) {
    let remote = open_uncreated(place);
    let named = remote.tag_words().expect("reads");
    for (name, possible) in model {
        possible.retain(|tag| tag.as_ref().map(|tag| tag.commit) == named.get(name).copied().flatten());
        assert!(!possible.is_empty(), "seed {seed}: `{name}` names what nobody pushed");
        if let Some((found, snapshot)) = remote.snapshot_of_tag(name).expect("reads") {
            let is_current = named.get(name).copied().flatten() == Some(found.commit);
            // An interrupted move may leave the record before it, whose data must be there as well.
            for (digest, label) in snapshot.needs() {
                let bytes = read_all(&remote, &snapshot, &digest);
                assert_eq!(Some(&bytes), store.contents.get(&digest), "seed {seed}: {name}:{label} {found:?}");
                let is_listed = remote.data_with(&digest).expect("reads").is_some();
                assert!(is_listed || !is_current, "seed {seed}: {name}:{label} is in no segment");
            }
        }
    }
}

#[test]
fn no_life_of_a_remote_loses_what_a_tag_names() {
    let lives = if cfg!(feature = "slow") { 10_000 } else { 300 };
    for seed in 0..lives {
        live(seed);
    }
    println!("{lives} lives of 8 steps");
}
