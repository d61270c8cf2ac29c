//! A push that stops at any of its requests.

use super::support::*;
use super::*;
use crate::backend::{Fault, FaultBackend};
use crate::format::remote_log::{LogEntry, TagRecord, unseal};
use crate::format::snapshot::{Segment, Snapshot};
use crate::format::tables::TableContent;

/// Reads everything that anything on the remote names, and fails if something is not there.
fn nothing_named_is_absent(place: &MemoryBackend) {
    let get = |name: &str| {
        place.get(&Key::parse(name).expect("a key"), u64::MAX).unwrap_or_else(|_| panic!("{name} is absent"))
    };
    for name in names(place) {
        let bytes = get(&name);
        match name.split('/').next() {
            Some("log") => {
                let entry: LogEntry = unseal("log entry", &bytes).expect("decodes");
                if let LogOp::Commit { tags, packs, index, .. } = entry.op {
                    packs
                        .iter()
                        .chain([&index])
                        .chain(tags.iter().map(|tag| &tag.snapshot.key))
                        .for_each(|key| drop(get(key)));
                }
            }
            Some("tags") => {
                let record: TagRecord = unseal("tag record", &bytes).expect("decodes");
                drop(get(&record.snapshot.expect("not deleted").key));
            }
            Some("snapshots") => {
                let snapshot = Snapshot::from_bytes(&bytes).expect("decodes");
                snapshot.data.packs().iter().for_each(|pack| drop(get(pack)));
            }
            Some("index") => {
                let segment = Segment::from_bytes(&bytes).expect("decodes");
                segment.data.packs().iter().for_each(|pack| drop(get(pack)));
            }
            _ => {}
        }
    }
    let remote = open_uncreated(&copy_of(place));
    for tag in remote.tags().expect("lists") {
        assert_eq!(verify_tag(&remote, &tag.tag, VerifyDepth::Everything).expect("reads"), []);
    }
}

#[test]
fn a_push_that_stops_anywhere_names_nothing_absent_and_a_rerun_completes_it() {
    let mut store = Store::default();
    let base = store.tag("base", 1, &[("Sales", noise(1, 60_000))]);
    let tags = [
        store.tag("v1", 2, &[("Sales", noise(2, 60_000)), ("Small", b"x".to_vec())]),
        store.tag("v2", 3, &[("Sales", noise(1, 60_000)), ("More", noise(3, 25_000))]),
    ];
    let everything = [base.clone(), tags[0].clone(), tags[1].clone()];
    let mut stopped = 0;
    for fault in [Fault::Before, Fault::After, Fault::Retried] {
        for request in 0.. {
            let place = Arc::new(MemoryBackend::new());
            push_tags(&open(&place), &store, std::slice::from_ref(&base)).expect("pushes");
            let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), request, fault));
            let end = push_tags(&open_uncreated(&faulty), &store, &tags);
            assert!(end.is_ok() || fault != Fault::Retried, "a lost answer is no failure: {end:?}");
            nothing_named_is_absent(&place);
            if let Err(error) = end {
                stopped += 1;
                assert!(error.to_string().contains("simulated"), "{error}");
                push_tags(&open_uncreated(&place), &store, &tags).expect("the rerun completes");
            }
            nothing_named_is_absent(&place);
            assert_same(&open_uncreated(&place), &store, &everything);
            if faulty.requests() <= request {
                break;
            }
        }
    }
    assert!(stopped > 20, "{stopped}");
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
    for fault in [Fault::Before, Fault::After] {
        for request in 0.. {
            let place = Arc::new(MemoryBackend::new());
            push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
            let faulty = Arc::new(FaultBackend::failing(Arc::clone(&place), request, fault));
            if open_uncreated(&faulty).delete_tag("v1").is_err() {
                open_uncreated(&place).delete_tag("v1").expect("the rerun completes");
            }
            assert_eq!(open_uncreated(&place).snapshot_of_tag("v1").expect("reads"), None);
            if faulty.requests() <= request {
                break;
            }
        }
    }
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
    place.put(&pack, &bytes).expect("puts");
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
