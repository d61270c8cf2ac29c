//! What holds for remotes, shown with a store in memory on both sides.

mod caching;
mod collecting;
mod faults;
mod healing;
mod reading;
mod resuming;
mod support;

use super::*;
use crate::backend::{Backend, Key, LocalBackend, MemoryBackend};
use crate::format::remote_log::LogOp;
use std::sync::Arc;
use support::*;

#[test]
fn a_pushed_tag_is_read_cold_with_three_requests_before_its_data() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 900_000)), ("Small", b"x".to_vec()), ("Empty", vec![])]);
    let report = push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    assert_eq!(report.outcomes, [TagOutcome::Pushed]);
    assert_eq!(report.packs, 1);

    let cold = open_uncreated(&place);
    let (named, snapshot) = cold.snapshot_of_tag("v1").expect("reads").expect("is there");
    assert_eq!(cold.requests(), 3);
    assert_eq!(named, RemoteTag { tag: "v1".to_owned(), commit: commit(1) });
    assert_eq!((snapshot.repo_name.as_str(), snapshot.exports.len()), ("demo", 3));
    for export in &snapshot.exports {
        assert_eq!(Some(&read_all(&cold, &snapshot, &export.digest)), store.contents.get(&export.digest));
    }
    assert_eq!(cold.snapshot_of_commit(&commit(1)).expect("reads"), Some(snapshot));
    assert_eq!(cold.snapshot_of_commit(&commit(2)).expect("reads"), None);
}

#[test]
fn a_repeated_push_takes_two_requests() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 100_000))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let again = open_uncreated(&place);
    let report = push_tags(&again, &Store::default(), &[tag]).expect("pushes");
    assert_eq!((report.outcomes, report.requests), (vec![TagOutcome::AlreadyThere], 2));
}

#[test]
fn another_repository_is_refused_by_name() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", b"x".to_vec())]);
    let mine = |root, tag: &TagToPush| PushRequest { repo: repo(root), tags: vec![tag.clone()], dry_run: false };
    push(&open(&place), &mine(2, &tag), &store, &mut |_| ()).expect("pushes");
    let before = names(place.as_ref());
    let request = PushRequest { repo: repo(9), tags: vec![store.retag(&tag, "v2", 2)], dry_run: false };
    let refused = push(&open(&place), &request, &store, &mut |_| ()).expect_err("tags would mix");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("0202020") && refused.to_string().contains("0909090"), "{refused}");
    assert_eq!(names(place.as_ref()), before, "nothing was written");
    // Histories that begin several times are one repository, whichever branch was pushed first.
    let ours = Arc::new(MemoryBackend::new());
    push(&open(&ours), &mine(1, &tag), &store, &mut |_| ()).expect("pushes");
    push(&open(&ours), &mine(9, &store.retag(&tag, "v2", 2)), &store, &mut |_| ())
        .expect("it has the first commit there");
    assert_eq!(open(&ours).tags().expect("lists").len(), 2);
}

#[test]
fn a_remote_that_was_emptied_or_restored_is_noticed_despite_the_cache() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let cached = |place: &Arc<MemoryBackend>| {
        let options = RemoteOptions { cache_dir: Some(cache.path().to_path_buf()), ..RemoteOptions::default() };
        Remote::open(Box::new(Arc::clone(place)), options)
    };
    let tags_of = |remote: &Remote| remote.tag_words().expect("reads").into_keys().collect::<Vec<_>>();
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tags = [
        store.tag("v1", 1, &[("Sales", b"one".to_vec())]),
        store.tag("v2", 2, &[("Sales", b"two".to_vec())]),
        store.tag("v3", 3, &[("Sales", b"three".to_vec())]),
    ];
    push_tags(&open(&place), &store, &tags[..1]).expect("pushes");
    let backup = copy_of(&place);
    let remote = cached(&place);
    push_tags(&remote, &store, &tags[1..2]).expect("pushes");
    let again = cached(&place);
    assert_eq!((tags_of(&again), again.requests()), (vec!["v1".to_owned(), "v2".to_owned()], 2));
    // The backup goes on with as many entries as the cache knows, and then with more.
    push_tags(&open(&backup), &store, &tags[2..]).expect("pushes");
    assert_eq!(tags_of(&cached(&backup)), ["v1", "v3"]);
    assert_eq!(tags_of(&cached(&place)), ["v1", "v2"]);
    push_tags(&open(&backup), &store, &[store.retag(&tags[0], "v4", 4)]).expect("pushes");
    assert_eq!(tags_of(&cached(&backup)), ["v1", "v3", "v4"]);
    let emptied = Arc::new(MemoryBackend::new());
    assert!(matches!(cached(&emptied).tag_words(), Err(SyncError::NotCreated)));
}

#[test]
fn only_what_changed_is_sent_even_out_of_big_frames() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let old = noise(1, 20 * CHUNK);
    let mut new = old.clone();
    new[10 * CHUNK] ^= 1;
    let tags = [store.tag("v1", 1, &[("Sales", old)]), store.tag("v2", 2, &[("Sales", new)])];
    push_tags(&open(&place), &store, &tags[..1]).expect("pushes");
    store.frames_of_all();
    let report = push_tags(&open(&place), &store, &tags[1..]).expect("pushes");
    assert_eq!(report.bytes_reused, 19 * CHUNK as u64);
    assert!(report.bytes_sent < 2 * CHUNK as u64, "{}", report.bytes_sent);
    assert_same(&open(&place), &store, &tags);
    let third = push_tags(&open(&place), &store, &[store.retag(&tags[1], "v3", 3)]).expect("pushes");
    assert_eq!((third.packs, third.bytes_sent), (0, 0));
}

#[test]
fn a_dry_run_plans_and_writes_nothing() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 100_000))]);
    let remote = open(&place);
    let request = PushRequest { repo: repo(1), tags: vec![tag], dry_run: true };
    let report = push(&remote, &request, &store, &mut |_| ()).expect("plans");
    assert_eq!((report.bytes_sent, report.outcomes), (103_000, vec![TagOutcome::Pushed]));
    assert_eq!(names(place.as_ref()), ["onenb.json"]);
}

#[test]
fn moving_a_tag_is_refused_without_force_and_stays_in_the_log_with_it() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let first = store.tag("v1", 1, &[("Sales", b"one".to_vec())]);
    let mut second = store.tag("v1", 2, &[("Sales", b"two".to_vec())]);
    push_tags(&open(&place), &store, std::slice::from_ref(&first)).expect("pushes");
    let refused = push_tags(&open(&place), &store, std::slice::from_ref(&second)).expect("answers");
    assert_eq!(refused.outcomes, [TagOutcome::Conflict { remote_commit: commit(1) }]);
    assert_same(&open(&place), &store, &[first]);
    second.force = true;
    let forced = push_tags(&open(&place), &store, std::slice::from_ref(&second)).expect("pushes");
    assert_eq!(forced.outcomes, [TagOutcome::Pushed]);
    assert_same(&open(&place), &store, &[second]);
    let log: Vec<_> = names(place.as_ref()).into_iter().filter(|name| name.starts_with("log/")).collect();
    assert_eq!(log.len(), 4, "two pushes, each with its begin and commit");
}

#[test]
fn a_forced_push_sends_again_what_the_remote_lost() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let mut tag = store.tag("v1", 1, &[("Sales", noise(1, 60_000))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let pack = names(place.as_ref()).into_iter().find(|name| name.starts_with("packs/")).expect("a pack");
    place.delete(&Key::parse(&pack).expect("a key")).expect("deletes");
    tag.force = true;
    let report = push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    assert_eq!((report.outcomes, report.packs), (vec![TagOutcome::Pushed], 1));
    assert_same(&open(&place), &store, std::slice::from_ref(&tag));
    let digest = tag.exports[0].digest;
    let data = open(&place).data_with(&digest).expect("reads").expect("is listed");
    let sound =
        data.packs().iter().all(|pack| place.head(&Key::parse(pack).expect("a key")).expect("answers").is_some());
    assert!(sound, "the index leads to the new pack");
}

#[test]
fn a_deleted_tag_is_hidden_and_can_be_pushed_again() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", b"one".to_vec())]);
    let moved = store.tag("v1", 2, &[("Sales", b"two".to_vec())]);
    push_tags(&open(&place), &store, &[tag]).expect("pushes");
    let remote = open(&place);
    remote.delete_tag("v1").expect("deletes");
    remote.delete_tag("v1").expect("deletes again");
    assert!(matches!(remote.delete_tag("v2"), Err(SyncError::NoTag { .. })));
    assert_eq!(open(&place).tags().expect("lists"), []);
    assert_eq!(open(&place).snapshot_of_tag("v1").expect("reads"), None);
    push_tags(&open(&place), &store, std::slice::from_ref(&moved)).expect("a hidden tag is free");
    assert_same(&open(&place), &store, &[moved]);
}

#[test]
fn data_that_only_the_remote_has_is_fine_and_data_that_nobody_has_is_named() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let bytes = noise(1, 200_000);
    let tag = store.tag("v1", 1, &[("Sales", bytes.clone()), ("Small", b"x".to_vec())]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let mut elsewhere = Store::default();
    let lost = store.tag("v3", 3, &[("Sales", bytes), ("Lost", noise(9, 5_000))]);
    let fine = elsewhere.tag("v4", 4, &[("New", noise(4, 5_000))]);
    let tags = [store.retag(&tag, "v2", 2), lost, fine.clone()];
    let report = push_tags(&open(&place), &elsewhere, &tags).expect("pushes the rest");
    let missing = TagOutcome::MissingLocally(vec!["Lost".to_owned(), "a/report.ipynb".to_owned()]);
    assert_eq!(report.outcomes, [TagOutcome::Pushed, missing, TagOutcome::Pushed]);
    store.contents.extend(elsewhere.contents.clone());
    assert_same(&open(&place), &store, &[tag, tags[0].clone(), fine]);
}

#[test]
fn commits_without_a_tag_are_uploaded_and_read_by_commit() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let mut upload = store.tag("", 1, &[("Sales", noise(1, 50_000))]);
    upload.tag = None;
    let first = push_tags(&open(&place), &store, std::slice::from_ref(&upload)).expect("pushes");
    let second = push_tags(&open(&place), &store, std::slice::from_ref(&upload)).expect("pushes");
    assert_eq!((first.outcomes, second.outcomes), (vec![TagOutcome::Pushed], vec![TagOutcome::AlreadyThere]));
    assert_eq!(open(&place).tags().expect("lists"), []);
    let snapshot = open(&place).snapshot_of_commit(&commit(1)).expect("reads").expect("is there");
    assert_eq!(snapshot.exports, upload.exports);
}

#[test]
fn a_place_that_is_no_remote_says_so_and_newer_remotes_are_not_written() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", b"x".to_vec())]);
    let remote = open_uncreated(&place);
    assert!(!remote.exists().expect("answers"));
    let error = push_tags(&remote, &store, std::slice::from_ref(&tag)).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().is_some_and(|hint| hint.contains("--create")));
    assert!(matches!(remote.snapshot_of_tag("v1"), Err(SyncError::NotCreated)));
    remote.create().expect("creates");
    let marker = Key::parse("onenb.json").expect("a key");
    let before = place.get(&marker, 1000).expect("is there");
    open_uncreated(&place).create().expect("creates again");
    assert_eq!(place.get(&marker, 1000).expect("is there"), before);
    let newer = String::from_utf8(before).expect("text").replace("\"min_writer\": 3", "\"min_writer\": 4");
    place.put(&marker, newer.into_bytes()).expect("puts");
    let error = push_tags(&open_uncreated(&place), &store, &[tag]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::TooNew);
    assert_eq!(open_uncreated(&place).tags().expect("reading is fine"), []);
}

#[test]
fn two_pushers_at_once_both_succeed_in_memory() {
    race(&Arc::new(MemoryBackend::new()));
}

#[test]
fn two_pushers_at_once_both_succeed_in_a_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    race(&Arc::new(LocalBackend::new(dir.path())));
}

/// Two pushers with twenty tags each, one tag a push; one shared tag goes to whoever was first.
fn race<B: Backend + 'static>(place: &Arc<B>) {
    open(place);
    let mut store = Store::default();
    let lists: Vec<Vec<_>> = (0..2_u8)
        .map(|pusher| {
            let tag = |number: u8| {
                let seed = pusher * 100 + number;
                store.tag(&format!("p{pusher}-{number}"), seed, &[("Sales", noise(u64::from(number), 30_000))])
            };
            (0..20).map(tag).collect()
        })
        .collect();
    let shared: Vec<_> =
        lists.iter().map(|list| store.retag(&list[0], "shared", list[0].commit.as_slice()[0])).collect();
    let store = &store;
    let ends: Vec<_> = std::thread::scope(|scope| {
        let pushers: Vec<_> = lists
            .iter()
            .zip(&shared)
            .map(|(list, shared)| {
                scope.spawn(move || {
                    let remote = open(place);
                    for tag in list {
                        let report = push_tags(&remote, store, std::slice::from_ref(tag)).expect("pushes");
                        assert_eq!(report.outcomes, [TagOutcome::Pushed]);
                    }
                    push_tags(&remote, store, std::slice::from_ref(shared)).expect("answers").outcomes
                })
            })
            .collect();
        pushers.into_iter().map(|pusher| pusher.join().expect("no panic")).collect()
    });
    let mut all: Vec<_> = lists.concat();
    let winner = ends.iter().position(|end| *end == [TagOutcome::Pushed]).expect("one won");
    assert!(matches!(ends[1 - winner].as_slice(), [TagOutcome::Conflict { .. }]), "{ends:?}");
    all.push(shared[winner].clone());
    assert_same(&open(place), store, &all);
}

#[test]
fn a_checkpoint_spares_cold_machines_the_old_entries() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tags: Vec<_> =
        (0..50).map(|number| store.tag(&format!("v{number}"), number, &[("Sales", vec![number; 9])])).collect();
    let remote = open(&place);
    for tag in &tags {
        push_tags(&remote, &store, std::slice::from_ref(tag)).expect("pushes");
    }
    assert!(names(place.as_ref()).iter().any(|name| name.starts_with("checkpoints/")));
    let cold = open_uncreated(&place);
    assert_eq!(cold.tags().expect("lists").len(), tags.len());
    assert!(cold.requests() < 45, "{}", cold.requests());
    let mut replayed = super::log::LogState::empty(cold.marker().expect("reads").id);
    let folded = cold.refresh().expect("reads");
    while replayed.next < folded.next {
        let entry = cold.get_entry(replayed.next).expect("reads");
        replayed.apply(&entry);
    }
    assert_eq!(replayed, folded);
}

#[test]
fn a_cache_spares_requests_and_survives_damage_and_a_replaced_remote() {
    let place = Arc::new(MemoryBackend::new());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = || RemoteOptions { cache_dir: Some(dir.path().to_path_buf()), ..RemoteOptions::default() };
    let cached = |place: &Arc<MemoryBackend>| Remote::open(Box::new(Arc::clone(place)), options());
    let mut store = Store::default();
    let tags: Vec<_> = (0..10)
        .map(|number| store.tag(&format!("v{number}"), number, &[("Sales", noise(number.into(), 5_000))]))
        .collect();
    open(&place);
    for tag in &tags {
        push_tags(&cached(&place), &store, std::slice::from_ref(tag)).expect("pushes");
    }
    let warm = push_tags(&cached(&place), &store, &[store.retag(&tags[0], "w1", 77)]).expect("pushes");
    let cold = push_tags(&open(&place), &store, &[store.retag(&tags[0], "w2", 78)]).expect("pushes");
    assert!(warm.requests + 10 < cold.requests, "{} {}", warm.requests, cold.requests);
    crate::fs::write_atomic(&dir.path().join("state"), b"garbage").expect("writes");
    for session in std::fs::read_dir(dir.path().join("index")).expect("lists") {
        crate::fs::write_atomic(&session.expect("lists").path(), b"garbage").expect("writes");
    }
    push_tags(&cached(&place), &store, &[store.retag(&tags[0], "w3", 79)]).expect("pushes");
    assert_eq!(cached(&place).tags().expect("lists").len(), 13);
    let other = Arc::new(MemoryBackend::new());
    open(&other);
    push_tags(&cached(&other), &store, &tags[..2]).expect("pushes");
    assert_same(&cached(&other), &store, &tags[..2]);
}

#[test]
fn a_push_builds_on_nothing_that_was_revoked_meanwhile() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let bytes = noise(1, 40_000);
    let old = store.tag("old", 1, &[("Sales", bytes.clone())]);
    push_tags(&open(&place), &store, &[old]).expect("pushes");
    let collector = open(&place);
    let first = *collector.refresh().expect("reads").committed.keys().next().expect("one push");
    let new = store.tag("new", 2, &[("Sales", bytes), ("More", noise(2, 40_000))]);
    // Garbage collection revokes the first push while the second one is sending.
    let revoke = || {
        let op = |state: &super::log::LogState| {
            let op = LogOp::Revoke { sessions: vec![first], packs: vec![] };
            Ok((!state.revoked.contains(&first)).then_some(op))
        };
        collector.append(op).expect("appends");
    };
    let report = push_tags(&open(&place), &Meddling { store: &store, act: &revoke }, std::slice::from_ref(&new))
        .expect("starts over");
    assert_eq!(report.outcomes, [TagOutcome::Pushed]);
    for name in names(place.as_ref()).iter().filter(|name| name.contains(&first.to_string())) {
        place.delete(&Key::parse(name).expect("a key")).expect("deletes");
    }
    let snapshot = open(&place).snapshot_of_tag("new").expect("reads").expect("is there").1;
    for export in &snapshot.exports {
        assert_eq!(Some(&read_all(&open(&place), &snapshot, &export.digest)), store.contents.get(&export.digest));
    }
}

#[test]
fn a_revoked_push_cannot_be_committed() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", noise(1, 40_000))]);
    let collector = open(&place);
    let revoke = || {
        let all = |state: &super::log::LogState| {
            let op = |session: &SessionId| LogOp::Revoke { sessions: vec![*session], packs: vec![] };
            Ok(state.open.first().map(op))
        };
        collector.append(all).expect("appends");
    };
    let error = push_tags(&open(&place), &Meddling { store: &store, act: &revoke }, std::slice::from_ref(&tag))
        .expect_err("revoked");
    assert!(error.to_string().contains("revoked"), "{error}");
    assert_eq!(open(&place).tags().expect("lists"), []);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("a repeated push succeeds");
    assert_same(&open(&place), &store, &[tag]);
}

/// "Newest" went by the time in the id of a push, so a machine whose clock was ahead decided for good.
#[test]
fn which_snapshot_is_the_newest_says_the_log_and_no_clock() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let fast = SessionId::from_bytes([0x7f; 16]);
    let first = store.tag("v1", 1, &[("Sales", b"first".to_vec())]);
    // A push from the future: its own, under an id that sorts behind all that come.
    push_tags(&open(&place), &store, std::slice::from_ref(&first)).expect("pushes");
    let remote = open(&place);
    let state = remote.refresh().expect("reads");
    let old = state.tag("v1").expect("is there").clone();
    let key = format!("snapshots/{}/{fast}", commit(1));
    let copy = |from: &str, to: &str| {
        let bytes = place.get(&Key::parse(from).expect("a key"), u64::MAX).expect("is there");
        place.put(&Key::parse(to).expect("a key"), bytes).expect("puts");
    };
    copy(&old.key, &key);
    let index = format!("index/{fast}.seg");
    let segment =
        crate::format::snapshot::Segment { session: fast, data: crate::format::tables::DataTables::default() };
    place.put(&Key::parse(&index).expect("a key"), segment.to_bytes()).expect("puts");
    remote.append(|_| Ok(Some(LogOp::Begin { session: fast }))).map(drop).expect("begins");
    let snapshot = crate::format::remote_log::SnapshotRef { key, ..old };
    let moved = crate::format::remote_log::TagMove { tag: Some("v1".to_owned()), snapshot, force: true };
    remote
        .append(|_| {
            let (tags, packs, index) = (vec![moved.clone()], vec![], index.clone());
            Ok(Some(LogOp::Commit { session: fast, repo: repo(1), tags, packs, index }))
        })
        .map(drop)
        .expect("commits");
    let mut second = store.tag("v1", 1, &[("Sales", b"second".to_vec())]);
    second.force = true;
    push_tags(&open(&place), &store, std::slice::from_ref(&second)).expect("pushes");
    let newest = |remote: &Remote| remote.snapshot_of_commit(&commit(1)).expect("reads").expect("is there").exports;
    assert_eq!(newest(&open(&place)), second.exports);
    assert_ne!(open(&place).refresh().expect("reads").newest_first()[0].0, fast);
    open(&place).delete_tag("v1").expect("deletes");
    assert_eq!(newest(&open(&place)), second.exports, "also of what no tag names any more");
}

#[test]
fn checkpoints_of_the_format_before_are_still_read() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Sales", b"x".to_vec())]);
    push_tags(&open(&place), &store, &[tag]).expect("pushes");
    let state = open(&place).refresh().expect("reads");
    let mut text = serde_json::to_value(&state).expect("JSON");
    text["format"] = 2.into();
    for push in text["committed"].as_object_mut().expect("an object").values_mut() {
        *push = push["index"].clone();
    }
    let read: super::log::LogState =
        crate::format::remote_log::unseal("checkpoint", &crate::format::remote_log::seal(&text)).expect("reads");
    let keys = |state: &super::log::LogState| {
        state.newest_first().into_iter().map(|(id, index)| (id, index.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(keys(&read), keys(&state));
}
