//! What readers keep of a remote on this machine, and what they do when the remote changes or is gone meanwhile.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::*;
use super::*;
use crate::backend::{BackendError, Created, Entry, FaultBackend};
use crate::error::Error;
use crate::format::snapshot::Snapshot;

const LIMIT: u64 = 1 << 24;
const EVERYTHING: GcOptions = GcOptions { dry_run: false, give_up_before_ms: u64::MAX };

/// A place that nobody can reach while it is down.
struct Reachable {
    inner: Arc<MemoryBackend>,
    down: AtomicBool,
}

impl Reachable {
    fn ask(&self, key: &Key) -> std::result::Result<&MemoryBackend, BackendError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(BackendError::Unreachable { doing: "read", key: key.clone(), reason: "it is dark".to_owned() });
        }
        Ok(&self.inner)
    }
}

impl Backend for Reachable {
    fn get(&self, key: &Key, max_len: u64) -> std::result::Result<Vec<u8>, BackendError> {
        self.ask(key)?.get(key, max_len)
    }
    fn get_range(&self, key: &Key, range: Range<u64>) -> std::result::Result<Vec<u8>, BackendError> {
        self.ask(key)?.get_range(key, range)
    }
    fn put(&self, key: &Key, bytes: Vec<u8>) -> std::result::Result<(), BackendError> {
        self.ask(key)?.put(key, bytes)
    }
    fn create(&self, key: &Key, bytes: &[u8]) -> std::result::Result<Created, BackendError> {
        self.ask(key)?.create(key, bytes)
    }
    fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> std::result::Result<Vec<Entry>, BackendError> {
        self.ask(folder)?.list(folder, after, limit)
    }
    fn delete(&self, key: &Key) -> std::result::Result<(), BackendError> {
        self.ask(key)?.delete(key)
    }
    fn head(&self, key: &Key) -> std::result::Result<Option<u64>, BackendError> {
        self.ask(key)?.head(key)
    }
}

/// A process that keeps what it reads in a folder.
fn reader_with<B: Backend + 'static>(place: &Arc<B>, dir: &Path, limit: u64) -> Remote {
    let reads = Some(Arc::new(ReadCache::new(dir.to_path_buf(), limit, "demo")));
    Remote::open(Box::new(Arc::clone(place)), RemoteOptions { reads, ..RemoteOptions::default() })
}

fn reader<B: Backend + 'static>(place: &Arc<B>, dir: &Path) -> Remote {
    reader_with(place, dir, LIMIT)
}

fn pushed(number: u8, len: usize) -> (Arc<MemoryBackend>, Store, TagToPush) {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", number, &[("Sales", noise(number.into(), len))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    (place, store, tag)
}

fn snapshot_of(remote: &Remote) -> Arc<Snapshot> {
    remote.read_tag("v1").expect("reads").expect("is there").1
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).map(|all| all.map(|entry| entry.expect("lists").path()).collect()).unwrap_or_default()
}

fn total_len(dir: &Path) -> u64 {
    files(dir).iter().map(|path| path.metadata().map_or(0, |found| found.len().next_multiple_of(4096))).sum()
}

#[test]
fn what_was_read_is_not_fetched_again_by_any_process() {
    let (place, store, tag) = pushed(1, 20 * CHUNK);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let digest = tag.exports[0].digest;
    let cold = reader(&place, dir.path());
    assert_eq!(read_all(&cold, &snapshot_of(&cold), &digest), store.contents[&digest]);
    assert!(cold.requests() > 3);
    let warm = reader(&place, dir.path());
    assert_eq!(read_all(&warm, &snapshot_of(&warm), &digest), store.contents[&digest]);
    assert_eq!(warm.requests(), 2, "only what the tag names is asked");
    assert_eq!(snapshot_of(&warm), snapshot_of(&cold));
    // Who checks what is there asks for it.
    let before = warm.requests();
    warm.snapshot_of_tag("v1").expect("reads").expect("is there");
    assert_eq!(warm.requests(), before + 3);
    assert_eq!(warm.offline.take(), None);
    let stranger = Remote::open(
        Box::new(Arc::clone(&place)),
        RemoteOptions {
            reads: Some(Arc::new(ReadCache::new(dir.path().to_path_buf(), LIMIT, "another remote"))),
            ..RemoteOptions::default()
        },
    );
    read_all(&stranger, &snapshot_of(&stranger), &digest);
    assert!(stranger.requests() > 3, "one remote never answers for another");
}

/// Changes the bytes of a file somewhere.
type Damage = fn(&[u8], usize) -> Vec<u8>;

#[test]
fn a_damaged_cache_file_is_fetched_again_and_never_read() {
    let (place, store, tag) = pushed(1, 5 * CHUNK);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let digest = tag.exports[0].digest;
    let cold = reader(&place, dir.path());
    read_all(&cold, &snapshot_of(&cold), &digest);
    let sound: Vec<_> =
        files(dir.path()).into_iter().map(|path| (std::fs::read(&path).expect("reads"), path)).collect();
    assert!(sound.len() >= 7, "a tag, a snapshot and five frames: {}", sound.len());
    let damages: [Damage; 4] = [
        |bytes, at| {
            let mut bytes = bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1;
            bytes
        },
        |bytes, at| bytes[..at % bytes.len()].to_vec(),
        |_, _| vec![],
        |bytes, _| vec![0; bytes.len()],
    ];
    for damage in damages {
        for at in [0, 31, 32, 33, 100, 5_000] {
            for (bytes, path) in &sound {
                crate::fs::write_hint(path, &damage(bytes, at)).expect("writes");
            }
            let remote = reader(&place, dir.path());
            assert_eq!(read_all(&remote, &snapshot_of(&remote), &digest), store.contents[&digest]);
            assert!(remote.requests() > 3, "it was fetched");
        }
    }
    // A sound file of another frame under the name of this one is the wrong frame.
    let frames: Vec<_> = sound.iter().filter(|(bytes, _)| bytes.len() > 9_000).collect();
    for (index, (_, path)) in frames.iter().enumerate() {
        let (other, _) = frames[(index + 1) % frames.len()];
        crate::fs::write_hint(path, other).expect("writes");
    }
    let remote = reader(&place, dir.path());
    assert_eq!(read_all(&remote, &snapshot_of(&remote), &digest), store.contents[&digest]);
}

#[test]
fn the_cache_may_vanish_while_it_is_in_use() {
    let (place, store, tag) = pushed(1, 40 * CHUNK);
    let root = tempfile::tempdir().expect("a temporary directory");
    let dir = root.path().join("reads");
    let digest = tag.exports[0].digest;
    let expected = &store.contents[&digest];
    let done = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::SeqCst) {
                for path in files(&dir) {
                    let _ = crate::fs::remove_unsynced(&path);
                }
                let _ = crate::fs::remove_dir_if_empty(&dir);
                rounds += 1;
            }
            rounds
        });
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let remote = reader(&place, &dir);
                        assert!(&read_all(&remote, &snapshot_of(&remote), &digest) == expected);
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.join().expect("no panic");
        }
        done.store(true, Ordering::SeqCst);
        remover.join().expect("no panic")
    });
    assert!(rounds > 0);
    let unwritable = root.path().join("a file");
    crate::fs::write_atomic(&unwritable, b"x").expect("writes");
    let remote = reader(&place, &unwritable.join("reads"));
    assert!(&read_all(&remote, &snapshot_of(&remote), &digest) == expected, "no cache is no failure");
}

#[test]
fn the_limit_holds_and_what_was_read_lately_stays() {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let tag = store.tag("v1", 1, &[("Old", noise(1, CHUNK)), ("New", noise(2, 60 * CHUNK))]);
    push_tags(&open(&place), &store, std::slice::from_ref(&tag)).expect("pushes");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let limit = 30 * 12_288;
    let digest_of = |name: &str| tag.exports.iter().find(|it| it.name.as_str() == name).expect("is there").digest;
    let remote = reader_with(&place, dir.path(), limit);
    let snapshot = snapshot_of(&remote);
    let mut new = remote.open_content(&snapshot.data, &digest_of("New")).expect("opens");
    let mut piece = vec![0; CHUNK];
    for number in 0..60 {
        new.seek(SeekFrom::Start(number * CHUNK as u64)).expect("seeks");
        new.read_exact(&mut piece).expect("reads");
        // Read again and again, so it is never the one that was not read for longest.
        read_all(&remote, &snapshot, &digest_of("Old"));
        assert!(total_len(dir.path()) <= limit, "{} after {number}", total_len(dir.path()));
    }
    assert!(total_len(dir.path()) > limit / 2, "it is used");
    let before = remote.requests();
    read_all(&remote, &snapshot, &digest_of("Old"));
    assert_eq!(remote.requests(), before, "still there");
    let none = tempfile::tempdir().expect("a temporary directory");
    let remote = reader_with(&place, none.path(), 0);
    read_all(&remote, &snapshot_of(&remote), &digest_of("Old"));
    assert_eq!(files(none.path()).len(), 0, "a limit of nothing keeps nothing");
}

#[test]
fn what_is_cached_reads_without_the_remote_and_says_so() {
    let (inner, store, tag) = pushed(1, 5 * CHUNK);
    let place = Arc::new(Reachable { inner: Arc::clone(&inner), down: AtomicBool::new(false) });
    let dir = tempfile::tempdir().expect("a temporary directory");
    let digest = tag.exports[0].digest;
    let online = reader(&place, dir.path());
    read_all(&online, &snapshot_of(&online), &digest);
    place.down.store(true, Ordering::SeqCst);
    let offline = reader(&place, dir.path());
    assert_eq!(read_all(&offline, &snapshot_of(&offline), &digest), store.contents[&digest]);
    assert!(offline.offline.take().is_some_and(|note| note.contains("cannot be reached")));
    assert!(
        matches!(offline.read_tag("v2"), Err(SyncError::Backend(BackendError::Unreachable { .. }))),
        "what was never seen is not made up"
    );
    let cold = tempfile::tempdir().expect("a temporary directory");
    assert!(reader(&place, cold.path()).read_tag("v1").is_err());
    // Pushes never rely on what was.
    assert!(offline.is_current("v1", &tag.commit).is_err());
    // As soon as somebody answers, what the remote says counts: moved, then deleted.
    place.down.store(false, Ordering::SeqCst);
    let mut more = store.clone();
    let mut moved = more.tag("v1", 9, &[("Sales", noise(9, CHUNK))]);
    moved.force = true;
    push_tags(&open(&inner), &more, std::slice::from_ref(&moved)).expect("pushes");
    let online = reader(&place, dir.path());
    assert_eq!(snapshot_of(&online).commit, moved.commit);
    assert_eq!(online.offline.take(), None);
    open(&inner).delete_tag("v1").expect("deletes");
    assert_eq!(reader(&place, dir.path()).read_tag("v1").expect("reads"), None);
    place.down.store(true, Ordering::SeqCst);
    assert!(reader(&place, dir.path()).read_tag("v1").is_err(), "a deleted tag does not come back");
}

/// Moves `v1` to other data and collects what it named, but for a copy of the old data under another tag.
fn move_and_collect(place: &Arc<MemoryBackend>, store: &Store, old: &TagToPush, keep: bool) -> TagToPush {
    let mut store = store.clone();
    let mut new = store.tag("v1", 9, &[("Sales", noise(9, 4 * CHUNK))]);
    new.force = true;
    push_tags(&open(place), &store, std::slice::from_ref(&new)).expect("pushes");
    open(place).forget_history("v1").expect("forgets");
    let _ = gc(&open(place), &EVERYTHING).expect("collects");
    if keep {
        push_tags(&open(place), &store, &[store.retag(old, "again", 8)]).expect("pushes");
    }
    new
}

#[test]
fn a_tag_that_moves_and_is_collected_between_two_requests_is_asked_for_once_more() {
    for request in 0..3 {
        let (place, store, old) = pushed(1, 4 * CHUNK);
        let (there, with) = (Arc::clone(&place), store.clone());
        let act = Box::new(move || drop(move_and_collect(&there, &with, &old, false)));
        let busy = Arc::new(FaultBackend::meanwhile(Arc::clone(&place), request, act));
        let snapshot = snapshot_of(&open_uncreated(&busy));
        assert_eq!(snapshot.commit, commit(9), "at request {request}");
    }
}

#[test]
fn a_reader_whose_pack_was_collected_finds_the_content_where_it_is_now() {
    let (place, store, old) = pushed(1, 12 * CHUNK);
    let digest = old.exports[0].digest;
    let remote = open_uncreated(&place);
    let snapshot = snapshot_of(&remote);
    let mut content = remote.open_content(&snapshot.data, &digest).expect("opens");
    let mut read = vec![0; CHUNK];
    content.read_exact(&mut read).expect("reads");
    move_and_collect(&place, &store, &old, true);
    content.seek(SeekFrom::Start(10 * CHUNK as u64)).expect("seeks");
    let mut end = vec![];
    content.read_to_end(&mut end).expect("is found again");
    assert!(end == store.contents[&digest][10 * CHUNK..]);
    // The same for who fetches.
    let mut copy = Store::default();
    let digests: Vec<_> = snapshot.needs().map(|(digest, _)| digest).collect();
    fetch(&remote, &snapshot.data, &digests, &mut copy, &mut |_| ()).expect("fetches");
    assert_eq!(copy.contents, store.contents);
}

#[test]
fn a_reader_whose_data_is_gone_for_good_is_told() {
    let (place, store, old) = pushed(1, 4 * CHUNK);
    let digest = old.exports[0].digest;
    let remote = open_uncreated(&place);
    let snapshot = snapshot_of(&remote);
    move_and_collect(&place, &store, &old, false);
    let mut content = remote.open_content(&snapshot.data, &digest).expect("opens");
    let error = Error::from(content.read(&mut [0; 10]).expect_err("nobody has it"));
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let error = fetch(&remote, &snapshot.data, &[digest], &mut Store::default(), &mut |_| ()).expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::Damaged);
}
