//! The contract of [`Backend`] as a test that every backend passes, on an empty place.

use super::{Backend, BackendError, Created, Key};

fn key(text: &str) -> Key {
    Key::parse(text).expect("a good key")
}

/// Runs every claim of the contract.
pub(crate) fn run(backend: &dyn Backend) {
    absent_objects_are_not_found(backend);
    whole_objects_and_ranges_come_back(backend);
    one_creator_wins(backend);
    listings_are_ordered_and_paged(backend);
    odd_characters_stay_what_they_are(backend);
    deleting_is_idempotent(backend);
    racing_creators_have_one_winner(backend);
}

fn absent_objects_are_not_found(backend: &dyn Backend) {
    let absent = key("absent/x");
    assert!(matches!(backend.get(&absent, 1), Err(BackendError::NotFound { key }) if key == absent));
    assert!(matches!(backend.get_range(&absent, 0..1), Err(BackendError::NotFound { .. })));
    assert_eq!(backend.head(&absent).expect("answers"), None);
    assert_eq!(backend.list(&key("absent"), None, 10).expect("answers"), []);
}

fn whole_objects_and_ranges_come_back(backend: &dyn Backend) {
    let object = key("objects/a.pack");
    backend.put(&object, b"0123456789".to_vec()).expect("puts");
    backend.put(&object, b"0123456789".to_vec()).expect("puts equal bytes again");
    assert_eq!(backend.get(&object, 10).expect("gets"), b"0123456789");
    assert!(matches!(backend.get(&object, 9), Err(BackendError::TooLong { max_len: 9, .. })));
    assert_eq!(backend.get_range(&object, 2..5).expect("gets"), b"234");
    assert_eq!(backend.get_range(&object, 10..10).expect("gets"), b"");
    assert!(matches!(backend.get_range(&object, 8..11), Err(BackendError::Truncated { end: 11, .. })));
    assert_eq!(backend.head(&object).expect("answers"), Some(10));
    assert_eq!(backend.head(&key("objects")).expect("answers"), None, "a folder is no object");
    assert!(matches!(backend.get(&key("objects"), 10), Err(BackendError::NotFound { .. })));
    let empty = key("objects/empty");
    backend.put(&empty, b"".to_vec()).expect("puts nothing");
    assert_eq!(backend.get(&empty, 0).expect("gets"), b"");
}

fn one_creator_wins(backend: &dyn Backend) {
    let object = key("created/x");
    assert_eq!(backend.create(&object, b"first").expect("creates"), Created::Created);
    assert_eq!(backend.create(&object, b"second").expect("answers"), Created::AlreadyExists);
    assert_eq!(backend.get(&object, 10).expect("gets"), b"first");
}

fn odd_characters_stay_what_they_are(backend: &dyn Backend) {
    for (name, other) in
        [("odd/a%2Fb", "odd/a/b"), ("odd/%41", "odd/A"), ("odd/~x", "odd/%7Ex"), ("odd/a.b", "odd/a_b")]
    {
        backend.put(&key(name), name.as_bytes().to_vec()).expect("puts");
        assert_eq!(backend.head(&key(other)).expect("answers"), None, "{name} is not {other}");
        assert_eq!(backend.get(&key(name), 99).expect("gets"), name.as_bytes());
    }
}

fn listings_are_ordered_and_paged(backend: &dyn Backend) {
    // `-` sorts before `/`, so a walk by folders alone would give the wrong order.
    let names = ["list/%41", "list/a-b", "list/a/x", "list/a/y", "list/b", "list/c/d/e", "list/~f"];
    for name in names.iter().rev() {
        backend.put(&key(name), name.as_bytes().to_vec()).expect("puts");
    }
    backend.put(&key("list2"), b"".to_vec()).expect("puts");
    backend.put(&key("list-2/x"), b"".to_vec()).expect("puts");
    let folder = key("list");
    let all = backend.list(&folder, None, 100).expect("lists");
    assert_eq!(all.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), names);
    assert!(all.iter().all(|entry| entry.len == entry.key.as_str().len() as u64));
    let page = backend.list(&folder, Some(&key("list/a/x")), 2).expect("lists");
    assert_eq!(page.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["list/a/y", "list/b"]);
    assert_eq!(
        backend.list(&folder, Some(&key("list/a0")), 1).expect("lists").first().map(|e| e.key.clone()),
        Some(key("list/b"))
    );
    assert_eq!(backend.list(&folder, Some(&key("list/~z")), 9).expect("lists"), []);
}

fn deleting_is_idempotent(backend: &dyn Backend) {
    let object = key("deleted/x");
    backend.put(&object, b"x".to_vec()).expect("puts");
    backend.delete(&object).expect("deletes");
    backend.delete(&object).expect("deletes what is gone");
    assert_eq!(backend.head(&object).expect("answers"), None);
    assert_eq!(backend.create(&object, b"y").expect("creates"), Created::Created);
}

fn racing_creators_have_one_winner(backend: &dyn Backend) {
    for round in 0..10 {
        let object = key(&format!("race/{round}"));
        let won: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4u8)
                .map(|racer| {
                    let object = &object;
                    scope.spawn(move || backend.create(object, &[racer; 64]).expect("answers") == Created::Created)
                })
                .collect();
            racers.into_iter().map(|racer| usize::from(racer.join().expect("no panic"))).sum()
        });
        assert_eq!(won, 1);
        let bytes = backend.get(&object, 64).expect("gets");
        assert!(bytes.len() == 64 && bytes.windows(2).all(|pair| pair[0] == pair[1]), "whole objects only");
    }
}
