//! Push, fetch, deletion and collection, each stopped at any of its requests by any fault.

use super::support::*;
use super::*;
use crate::backend::{Fault, FaultBackend};
use crate::error::Result;
use crate::format::remote_log::{TagRecord, unseal};
use crate::format::snapshot::{Segment, Snapshot};
use crate::format::tables::TableContent;

/// Every fault. What arrives late does so during the same command, at the start of its rerun, or deep inside it.
const FAULTS: [Fault; 8] = [
    Fault::Before,
    Fault::After,
    Fault::Retried,
    Fault::Truncated,
    Fault::Late(1),
    Fault::Late(4),
    Fault::Late(9),
    Fault::Late(16),
];
const PACK_LEN: usize = 2 * CHUNK;
const EVERYTHING: GcOptions = GcOptions { dry_run: false, give_up_before_ms: u64::MAX };

/// Reads everything that anything on the remote names and counts, and fails if something is not there.
fn nothing_named_is_absent(place: &MemoryBackend) {
    let get = |name: &str| {
        place.get(&Key::parse(name).expect("a key"), u64::MAX).unwrap_or_else(|_| panic!("{name} is absent"))
    };
    let remote = open_uncreated(&copy_of(place));
    let state = remote.refresh().expect("reads");
    let roots = state.tags.values().flat_map(|named| named.snapshot.iter().chain(&named.history));
    roots.chain(state.uploads.values()).for_each(|root| drop(get(&root.key)));
    let counts = |name: &str| super::index::session_of_name(name).is_some_and(|id| state.committed.contains_key(&id));
    for name in names(place) {
        let (folder, file) = (name.split('/').next().expect("a part"), name.rsplit('/').next().expect("a part"));
        match folder {
            "tags" => {
                let record: TagRecord = unseal("tag record", &get(&name)).expect("decodes");
                record.snapshot.iter().for_each(|snapshot| drop(get(&snapshot.key)));
            }
            "snapshots" if counts(file) => {
                let snapshot = Snapshot::from_bytes(&get(&name)).expect("decodes");
                snapshot.data.packs().iter().for_each(|pack| drop(get(pack)));
            }
            "index" if counts(file) => {
                let segment = Segment::from_bytes(&get(&name)).expect("decodes");
                segment.data.packs().iter().filter(|pack| state.is_live(pack)).for_each(|pack| drop(get(pack)));
            }
            _ => {}
        }
    }
    state.committed.values().for_each(|committed| drop(get(&committed.index)));
    for tag in remote.tags().expect("lists") {
        assert_eq!(verify_tag(&remote, &tag.tag, VerifyDepth::Everything).expect("reads"), []);
    }
}

/// A remote of a machine with a cache of its own.
fn machine<B: Backend + 'static>(place: &Arc<B>, cache: &std::path::Path) -> Remote {
    let options =
        RemoteOptions { cache_dir: Some(cache.to_path_buf()), pack_len: PACK_LEN, ..RemoteOptions::default() };
    Remote::open(Box::new(Arc::clone(place)), options)
}

/// What is on the remote before, what is done, and what must be true after a rerun.
struct Setting<'a> {
    name: &'a str,
    prepare: &'a dyn Fn(&Arc<MemoryBackend>),
    /// Does it, in this process with this cache. Called again after a failure.
    act: &'a dyn Fn(&Remote) -> Result<()>,
    check: &'a dyn Fn(&Arc<MemoryBackend>),
    /// Most packs that the remote may have in the end.
    max_packs: usize,
}

/// Runs one command once for each fault and request, and prints how many stopped.
fn at_every_request(setting: &Setting<'_>) {
    let (mut runs, mut stopped, mut most) = (0, 0, 0);
    for fault in FAULTS {
        for request in 0.. {
            let place = Arc::new(MemoryBackend::new());
            let cache = tempfile::tempdir().expect("a temporary directory");
            (setting.prepare)(&place);
            let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), request, fault));
            let end = (setting.act)(&machine(&faulty, cache.path()));
            let reached = faulty.requests() > request;
            assert!(end.is_ok() || fault != Fault::Retried, "{}: a lost answer is no failure: {end:?}", setting.name);
            nothing_named_is_absent(&place);
            if let Err(error) = end {
                stopped += 1;
                assert!(reached, "{error}");
                let again = (setting.act)(&machine(&faulty, cache.path()));
                again.unwrap_or_else(|error| panic!("{} at {request}, {fault:?}: {error}", setting.name));
            }
            // What is still under way arrives now.
            for _ in 0..20 {
                let _ = faulty.head(&Key::parse("nothing").expect("a key"));
            }
            nothing_named_is_absent(&place);
            (setting.check)(&place);
            most = most.max(names(place.as_ref()).iter().filter(|name| name.starts_with("packs/")).count());
            runs += 1;
            if !reached {
                break;
            }
        }
    }
    println!(
        "{}: {} faults, {runs} runs, {stopped} stopped and rerun, at most {most} packs",
        setting.name,
        FAULTS.len()
    );
    assert!(stopped > FAULTS.len() && most <= setting.max_packs, "{stopped} stopped, {most} packs");
}

#[test]
fn a_push_that_stops_anywhere_names_nothing_absent_and_a_rerun_sends_the_rest() {
    let mut store = Store::default();
    let base = store.tag("base", 1, &[("Sales", noise(1, 6 * CHUNK))]);
    let tags = [
        store.tag("v1", 2, &[("Sales", noise(2, 12 * CHUNK)), ("Small", b"x".to_vec())]),
        store.tag("v2", 3, &[("Sales", noise(1, 6 * CHUNK)), ("More", noise(3, 5 * CHUNK))]),
    ];
    let everything = [base.clone(), tags[0].clone(), tags[1].clone()];
    let prepare = |place: &Arc<MemoryBackend>| {
        open(place);
        let cache = tempfile::tempdir().expect("a temporary directory");
        push_tags(&machine(place, cache.path()), &store, std::slice::from_ref(&base)).expect("pushes");
    };
    let whole = Arc::new(MemoryBackend::new());
    prepare(&whole);
    let cache = tempfile::tempdir().expect("a temporary directory");
    push_tags(&machine(&whole, cache.path()), &store, &tags).expect("pushes");
    let packs = names(whole.as_ref()).iter().filter(|name| name.starts_with("packs/")).count();
    at_every_request(&Setting {
        name: "push",
        prepare: &prepare,
        act: &|remote| push_tags(remote, &store, &tags).map(drop),
        check: &|place| assert_same(&open_uncreated(place), &store, &everything),
        // The one in flight is sent twice; chunks are regrouped, so both halves may end with a short pack.
        max_packs: packs + 2,
    });
}

#[test]
fn a_forced_move_that_stops_anywhere_is_completed_by_a_rerun() {
    let mut store = Store::default();
    let old = store.tag("v1", 1, &[("Sales", noise(1, 6 * CHUNK))]);
    let mut new = store.tag("v1", 2, &[("Sales", noise(2, 6 * CHUNK))]);
    new.force = true;
    at_every_request(&Setting {
        name: "push --force",
        prepare: &|place| drop(push_tags(&open(place), &store, std::slice::from_ref(&old)).expect("pushes")),
        act: &|remote| push_tags(remote, &store, std::slice::from_ref(&new)).map(drop),
        check: &|place| assert_same(&open_uncreated(place), &store, std::slice::from_ref(&new)),
        max_packs: 8,
    });
}

#[test]
fn a_collection_that_stops_anywhere_names_nothing_absent_and_a_rerun_ends_it() {
    let mut store = Store::default();
    let tags = [
        store.tag("gone", 1, &[("Sales", noise(1, 6 * CHUNK)), ("Both", noise(3, 2 * CHUNK))]),
        store.tag("keep", 2, &[("Sales", noise(2, 6 * CHUNK)), ("Both", noise(3, 2 * CHUNK))]),
    ];
    let prepare = |place: &Arc<MemoryBackend>| {
        let cache = tempfile::tempdir().expect("a temporary directory");
        open(place);
        push_tags(&machine(place, cache.path()), &store, &tags).expect("pushes");
        open(place).delete_tag("gone").expect("deletes");
    };
    at_every_request(&Setting {
        name: "gc --remote",
        prepare: &prepare,
        act: &|remote| Ok(gc(remote, &EVERYTHING).map(drop)?),
        check: &|place| {
            assert_same(&open_uncreated(place), &store, &tags[1..]);
            assert_eq!(gc(&open_uncreated(place), &EVERYTHING).expect("plans"), GcReport::default(), "nothing is left");
        },
        max_packs: 8,
    });
}

#[test]
fn a_fetch_that_stops_anywhere_stores_nothing_wrong_and_a_rerun_fetches_the_rest() {
    let (mut runs, mut stopped, mut twice) = (0, 0, 0);
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 20 * CHUNK)), ("Small", b"x".to_vec())]);
    let place = Arc::new(MemoryBackend::new());
    let cache = tempfile::tempdir().expect("a temporary directory");
    open(&place);
    push_tags(&machine(&place, cache.path()), &store, std::slice::from_ref(&tag)).expect("pushes");
    let pull = |remote: &Remote, copy: &mut Store| -> Result<FetchReport> {
        let (_, snapshot) = remote.snapshot_of_tag("v1")?.expect("is there");
        let digests: Vec<_> = snapshot.needs().map(|(digest, _)| digest).collect();
        fetch(remote, &snapshot.data, &digests, copy, &mut |_| ())
    };
    let whole = pull(&open_uncreated(&place), &mut Store::default()).expect("fetches").bytes_received;
    for fault in FAULTS {
        for request in 0.. {
            let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), request, fault));
            let mut copy = Store::default();
            let end = pull(&open_uncreated(&faulty), &mut copy);
            assert!(end.is_ok() || fault != Fault::Retried, "{end:?}");
            assert!(copy.contents.iter().all(|(digest, bytes)| ContentDigest::of(bytes) == *digest));
            if end.is_err() {
                stopped += 1;
                let kept = copy.chunks.values().map(|bytes| bytes.len() as u64).sum::<u64>();
                let rest = pull(&open_uncreated(&faulty), &mut copy).expect("the rerun completes").bytes_received;
                twice = twice.max((rest + kept).saturating_sub(whole));
            }
            assert_eq!(copy.contents, store.contents);
            runs += 1;
            if faulty.requests() <= request {
                break;
            }
        }
    }
    println!("fetch: {} faults, {runs} runs, {stopped} stopped and rerun, at most {twice} bytes twice", FAULTS.len());
    assert!(stopped > FAULTS.len() && twice == 0, "{stopped} {twice}");
}

#[test]
fn a_rerun_of_one_tag_writes_the_record_that_is_missing() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 2, &[("Sales", noise(2, 60_000))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let record = names(place.as_ref()).into_iter().find(|name| name.starts_with("tags/")).expect("a record");
    place.delete(&Key::parse(&record).expect("a key")).expect("deletes");
    assert_eq!(open(&place).snapshot_of_tag("v1").expect("reads"), None);
    assert_eq!(open(&place).tags().expect("lists"), []);
    let report = push_tags(&open(&place), &Store::default(), std::slice::from_ref(&tag)).expect("completes");
    assert_eq!((report.outcomes, report.packs), (vec![TagOutcome::AlreadyThere], 0));
    assert_same(&open(&place), &store, &[tag]);
}

#[test]
fn a_delete_that_stops_anywhere_is_completed_by_a_rerun() {
    let mut store = Store::default();
    let tag = store.tag("v1", 2, &[("Sales", b"x".to_vec())]);
    at_every_request(&Setting {
        name: "push --delete",
        prepare: &|place| drop(push_tags(&open(place), &store, std::slice::from_ref(&tag)).expect("pushes")),
        act: &|remote| Ok(remote.delete_tag("v1").map(drop)?),
        check: &|place| assert_eq!(open_uncreated(place).snapshot_of_tag("v1").expect("reads"), None),
        max_packs: 1,
    });
}

/// `--force` is the named repair, and asked only whether packs were there and long enough.
#[test]
fn a_forced_push_replaces_what_is_damaged_and_nothing_else() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let (sick, well) = (noise(1, 4 * CHUNK), noise(2, 4 * CHUNK));
    let first = store.tag("v1", 1, &[("Sales", sick)]);
    let mut second = TagToPush { runs: vec![], ..store.tag("v2", 2, &[("Report", well)]) };
    second.exports.extend(first.exports.clone());
    second.force = true;
    push_tags(&open(&place), &store, std::slice::from_ref(&first)).expect("pushes");
    let snapshot = open(&place).snapshot_of_tag("v1").expect("reads").expect("is there").1;
    let place_of = |digest| match snapshot.data.content(digest).expect("is there") {
        TableContent::Chunks { chunks, .. } => chunks[0].0.clone(),
        TableContent::Inline(_) => panic!("it is too long for that"),
    };
    let chunk = place_of(&first.exports[0].digest);
    let pack = Key::parse(&chunk.pack).expect("a key");
    push_tags(&open(&place), &store, std::slice::from_ref(&second)).expect("pushes");
    let mut bytes = place.get(&pack, u64::MAX).expect("is there");
    bytes[usize::try_from(chunk.offset).expect("small") + chunk.stored_len as usize - 1] ^= 1;
    place.put(&pack, bytes).expect("puts");
    let findings = |tag: &str| verify_tag(&open(&place), tag, VerifyDepth::Everything).expect("reads").len();
    assert_eq!((findings("v1"), findings("v2")), (1, 1));
    // Who lacks the data is told, and damages nothing more.
    let lost = push_tags(&open(&place), &Store::default(), std::slice::from_ref(&second)).expect("answers");
    assert!(matches!(lost.outcomes.as_slice(), [TagOutcome::MissingLocally(labels)] if labels == &["Sales"]));
    let report = push_tags(&open(&place), &store, std::slice::from_ref(&second)).expect("pushes");
    assert_eq!((report.outcomes, report.bytes_reused), (vec![TagOutcome::Pushed], 4 * CHUNK as u64));
    assert_eq!(findings("v2"), 0);
    push_tags(&open(&place), &store, &[TagToPush { force: true, ..first }]).expect("pushes");
    assert_eq!(findings("v1"), 0);
}
