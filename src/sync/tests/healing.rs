//! What is lost on a remote besides data, found and put back.

use super::support::*;
use super::*;
use crate::backend::MemoryBackend;

fn cached(place: &Arc<MemoryBackend>, dir: &std::path::Path) -> Remote {
    let options = RemoteOptions { cache_dir: Some(dir.to_path_buf()), ..RemoteOptions::default() };
    Remote::open(Box::new(Arc::clone(place)), options)
}

fn lose(place: &MemoryBackend, folder: &str) -> (Key, Vec<u8>) {
    let name = names(place).into_iter().find(|name| name.starts_with(folder)).expect("it is there");
    let key = Key::parse(&name).expect("a key");
    let bytes = place.get(&key, u64::MAX).expect("is there");
    place.delete(&key).expect("deletes");
    (key, bytes)
}

/// A remote with two tags, the first of which was pushed by who has this cache.
fn two_tags(cache: &std::path::Path) -> (Arc<MemoryBackend>, Store, [TagToPush; 2]) {
    let place = Arc::new(MemoryBackend::new());
    let mut store = Store::default();
    let big = noise(1, 4 * CHUNK);
    let first = store.tag("v1", 1, &[("Big", big.clone()), ("Small", b"x".to_vec())]);
    let second = store.tag("v2", 2, &[("Big", big), ("Small", b"x".to_vec()), ("More", noise(2, 2 * CHUNK))]);
    open(&place);
    push_tags(&cached(&place, cache), &store, std::slice::from_ref(&first)).expect("pushes");
    (place, store, [first, second])
}

fn is_listed(place: &Arc<MemoryBackend>, tags: &[TagToPush]) -> bool {
    let mut needs = tags.iter().flat_map(|tag| tag.exports.iter().map(|export| export.digest));
    needs.all(|digest| open_uncreated(place).data_with(&digest).expect("reads").is_some())
}

/// Whoever had the segment in the cache took for listed what nobody else found.
#[test]
fn a_forced_push_lists_what_a_lost_segment_listed_though_it_is_cached() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let (place, store, [first, second]) = two_tags(cache.path());
    lose(&place, "index/");
    let forced = TagToPush { force: true, ..first.clone() };
    push_tags(&cached(&place, cache.path()), &store, &[forced]).expect("pushes");
    assert!(is_listed(&place, std::slice::from_ref(&first)));
    assert_same(&open(&place), &store, &[first]);
    // Nor is it built on later.
    push_tags(&cached(&place, cache.path()), &store, std::slice::from_ref(&second)).expect("pushes");
    assert!(is_listed(&place, &[second]));
}

#[test]
fn a_lost_segment_is_put_back_from_the_cache_as_it_was() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let (place, ..) = two_tags(cache.path());
    let (key, bytes) = lose(&place, "index/");
    assert_eq!(open(&place).bad_segments().expect("asks").len(), 1);
    cached(&place, cache.path()).repair_segments().expect("repairs");
    assert_eq!(place.get(&key, u64::MAX).expect("is there"), bytes);
}

#[test]
fn without_a_cache_a_lost_segment_is_made_of_the_snapshots_that_stay() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let (place, store, tags) = two_tags(cache.path());
    push_tags(&open(&place), &store, &tags[1..]).expect("pushes");
    lose(&place, "index/");
    lose(&place, "index/");
    open(&place).repair_segments().expect("repairs");
    assert_eq!(open(&place).bad_segments().expect("asks").len(), 0);
    assert!(is_listed(&place, &tags));
    assert_eq!(gc(&open(&place), &GcOptions::default()).expect("collects"), GcReport::default());
    let again = push_tags(&open(&place), &store, &[store.retag(&tags[1], "v3", 3)]).expect("pushes");
    assert_eq!((again.outcomes, again.packs), (vec![TagOutcome::Pushed], 0));
    let elsewhere = TagToPush { runs: vec![], ..store.retag(&tags[0], "v4", 4) };
    let report = push_tags(&open(&place), &Store::default(), &[elsewhere]).expect("pushes");
    assert_eq!(report.outcomes, [TagOutcome::Pushed]);
}

/// A collection refused to go on for what no command named or mended.
#[test]
fn what_keeps_a_collection_from_going_on_is_named_with_a_way_out() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let (place, mut store, [first, _]) = two_tags(cache.path());
    let moved = TagToPush { force: true, ..store.tag("v1", 7, &[("Big", noise(7, 2 * CHUNK))]) };
    push_tags(&open(&place), &store, &[moved]).expect("pushes");
    let upload = TagToPush { tag: None, ..store.tag("", 8, &[("Big", noise(8, 2 * CHUNK))]) };
    push_tags(&open(&place), &store, std::slice::from_ref(&upload)).expect("pushes");
    let stuck = |words: &[&str]| {
        let error = gc(&open(&place), &GcOptions::default()).expect_err("keeps everything");
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(error.kind() == ErrorKind::Damaged && words.iter().all(|word| text.contains(word)), "{text}");
    };
    assert_eq!(open(&place).roots().expect("reads").len(), 3);
    let folder = format!("snapshots/{}", first.commit);
    lose(&place, &folder);
    stuck(&["what tag `v1` named before", "`onenb push --forget-history v1`"]);
    open(&place).forget_history("v1").expect("forgets");
    gc(&open(&place), &GcOptions::default()).expect("goes on");
    lose(&place, &format!("snapshots/{}", upload.commit));
    stuck(&["uploaded without a tag", &format!("`onenb push --force {}`", upload.commit)]);
    push_tags(&open(&place), &store, &[TagToPush { force: true, ..upload }]).expect("sends it again");
    gc(&open(&place), &GcOptions::default()).expect("goes on");
    let [tag, other] = open(&place).roots().expect("reads").try_into().expect("two roots");
    assert_eq!((tag.owner, other.owner), (RootOwner::Tag("v1".to_owned()), RootOwner::Upload(commit(8))));
}

#[test]
fn lost_tag_records_are_named_and_written_again() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let (place, store, [first, _]) = two_tags(cache.path());
    lose(&place, "tags/");
    assert_eq!(open(&place).tags_without_record().expect("asks"), ["v1"]);
    assert_eq!(open(&place).snapshot_of_tag("v1").expect("reads"), None);
    open(&place).complete_tag_records().expect("repairs");
    assert_eq!(open(&place).tags_without_record().expect("asks"), [""; 0]);
    assert_same(&open(&place), &store, &[first]);
}
