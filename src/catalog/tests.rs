//! Tests of the catalog as a whole: its model, its company, and its damage.
#![expect(clippy::disallowed_methods, reason = "tests build damaged files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::error::{Classify as _, ErrorKind};
use crate::format::binding::{BranchStart, Pending, PushLog};
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;
use crate::format::record::{ExportKey, ExportRecord, Producer};
use crate::format::run::{RunExport, RunRecord};
use crate::id::{CodeIdentity, CommitId, ContentDigest, ObjectId};

fn commit(number: u32) -> CommitId {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    CommitId::from_slice(&bytes).expect("20 bytes")
}

fn name(text: &str) -> ExportName {
    ExportName::parse(text).expect("good")
}

fn record(name_text: &str, year: u32, content: u32) -> ExportRecord {
    ExportRecord {
        name: name(name_text),
        params: Params::from_assignments([format!("year={year}").as_str()]).expect("good"),
        digest: ContentDigest::of(&content.to_le_bytes()),
        size: 4,
        suffix: Suffix::parse(".csv").expect("good"),
        media_type: "text/csv".to_owned(),
        producer: Producer::default(),
        inputs: vec![],
        value: None,
    }
}

fn bound(name: &str, year: u32, content: u32) -> Bound {
    Bound { record: record(name, year, content), commit: commit(content) }
}

fn change(bound: Bound) -> Change {
    (bound.record.key(), Some(bound))
}

fn run_record(path: &str, year: u32, exports: &[&str]) -> RunRecord {
    let params = record("x", year, 0).params;
    let export = |text: &&str| RunExport {
        name: name(text),
        params: params.clone(),
        digest: ContentDigest::of(text.as_bytes()),
    };
    RunRecord {
        path: path.to_owned(),
        original: None,
        exports: exports.iter().map(export).collect(),
        params,
        notebook: ContentDigest::of(b"notebook"),
        size: 8,
        code_identity: CodeIdentity::from_bytes([7; 32]),
        runs: vec![],
        inputs: vec![],
    }
}

fn commit_row(number: u32, generation: u64, time_unix: i64, parents: &[u32]) -> CommitRow {
    CommitRow { id: commit(number), time_unix, generation, parents: parents.iter().map(|n| commit(*n)).collect() }
}

fn write<T>(catalog: &Catalog, work: impl FnOnce(&WriteTransaction) -> Result<T, CatalogError>) -> T {
    catalog.write(work).expect("the write succeeds")
}

fn read<T>(catalog: &Catalog, work: impl FnOnce(&ReadTransaction) -> Result<T, CatalogError>) -> T {
    catalog.read(work).expect("the read succeeds")
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("onenb/catalog.sqlite");
    (dir, path)
}

fn open(path: &Path) -> Catalog {
    Catalog::open(path, OpenOptions::default()).expect("opens")
}

#[test]
fn a_snapshot_answers_by_key_name_and_as_a_whole() {
    let catalog = Catalog::in_memory().expect("memory");
    let changes = [bound("Sales", 2, 1), bound("Report", 9, 2), bound("Sales", 1, 3)].map(change);
    let snapshot = write(&catalog, |tx| tx.derive(None, &changes));
    let mut expected = changes.iter().filter_map(|(_, bound)| bound.clone()).collect::<Vec<_>>();
    expected.sort_by_key(|bound| bound.record.key());
    assert_eq!(read(&catalog, |view| view.entries(snapshot)), expected);
    assert_eq!(read(&catalog, |view| view.names(snapshot)), [name("Report"), name("Sales")]);
    let sets = read(&catalog, |view| view.parameter_sets(snapshot, &name("Sales")));
    let of_sales = expected.iter().filter(|bound| bound.record.name == name("Sales"));
    assert_eq!(sets, of_sales.map(|bound| bound.record.params.clone()).collect::<Vec<_>>());
    let missing = record("Sales", 77, 0).key();
    assert_eq!(read(&catalog, |view| view.entry(snapshot, &missing)), None);
}

#[test]
fn a_commit_without_changes_shares_its_parents_snapshot() {
    let catalog = Catalog::in_memory().expect("memory");
    let (first, second) = write(&catalog, |tx| {
        let first = tx.derive(None, &[change(bound("Sales", 1, 1))])?;
        let second = tx.derive(Some(first), &[])?;
        tx.put_commit(&commit_row(1, 1, 100, &[]), first)?;
        tx.put_commit(&commit_row(2, 2, 200, &[1, 7]), second)?;
        Ok((first, second))
    });
    assert_eq!(first, second);
    assert_eq!(read(&catalog, |view| view.snapshot_of(&commit(2))), Some(first));
    assert_eq!(read(&catalog, |view| view.snapshot_of(&commit(3))), None);
    assert_eq!(read(&catalog, |view| view.commit(&commit(2))), Some(commit_row(2, 2, 200, &[1, 7])));
}

#[test]
fn ids_of_sha256_repositories_come_back() {
    let catalog = Catalog::in_memory().expect("memory");
    let id = |byte: u8| CommitId::from_slice(&[byte; 32]).expect("32 bytes");
    let row = CommitRow { id: id(1), time_unix: -5, generation: 3, parents: vec![id(2), id(3)] };
    write(&catalog, |tx| {
        let snapshot = tx.derive(None, &[])?;
        tx.put_commit(&row, snapshot)
    });
    assert_eq!(read(&catalog, |view| view.commit(&id(1))), Some(row));
}

type Model = BTreeMap<ExportKey, Bound>;

/// Which earlier snapshot to derive from, counted from the newest, and the changes: a key, and a content or its
/// removal.
type Step = (usize, Vec<(u8, Option<u32>)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = prop::collection::vec((0..12_u8, prop::option::weighted(0.7, any::<u32>())), 0..4);
    let parent = prop_oneof![9 => Just(0_usize), 1 => 0..20_usize];
    prop::collection::vec((parent, changes), 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chains_of_derivations_behave_like_maps(steps in steps()) {
        let catalog = Catalog::in_memory().expect("memory");
        let mut states: Vec<(SnapshotNo, Model)> = Vec::new();
        for (back, changes) in steps {
            let parent = states.iter().rev().nth(back).cloned();
            let mut model = parent.as_ref().map(|(_, model)| model.clone()).unwrap_or_default();
            let changes: Vec<Change> = changes
                .into_iter()
                .map(|(key, content)| {
                    let some = bound(["A", "B", "C"][usize::from(key % 3)], u32::from(key), content.unwrap_or(0));
                    (some.record.key(), content.map(|_| some))
                })
                .collect();
            for (key, bound) in &changes {
                match bound {
                    Some(bound) => model.insert(key.clone(), bound.clone()),
                    None => model.remove(key),
                };
            }
            let snapshot = write(&catalog, |tx| tx.derive(parent.map(|(number, _)| number), &changes));
            states.push((snapshot, model));
        }
        for (snapshot, model) in states {
            prop_assert_eq!(read(&catalog, |view| view.entries(snapshot)), model.values().cloned().collect::<Vec<_>>());
            for key in 0..12_u8 {
                let key = record(["A", "B", "C"][usize::from(key % 3)], u32::from(key), 0).key();
                prop_assert_eq!(read(&catalog, |view| view.entry(snapshot, &key)), model.get(&key).cloned());
            }
        }
    }
}

#[test]
fn a_long_chain_keeps_few_rows_and_short_ways() {
    let catalog = Catalog::in_memory().expect("memory");
    let count = 1024_u32;
    write(&catalog, |tx| {
        let mut snapshot = tx.derive(None, &[])?;
        for number in 1..=count {
            snapshot = tx.derive(Some(snapshot), &[change(bound("Sales", number, number))])?;
        }
        Ok(())
    });
    let number = |sql: &'static str| -> i64 {
        read(&catalog, |view| view.one(sql, [], |row| transaction::column(row, 0))).expect("a row")
    };
    // Every change is on its own in one overlay and at most log2(1024) times in a merged one, half of that on average.
    assert_eq!(number("SELECT count(*) FROM entries"), i64::from(count) * 10 / 2 + i64::from(count));
    let longest = "WITH RECURSIVE way (id, length) AS (SELECT id, 1 FROM snapshots WHERE base IS NULL UNION ALL \
                   SELECT s.id, length + 1 FROM way JOIN snapshots AS s ON s.base = way.id) \
                   SELECT max(length) FROM way";
    assert_eq!(number(longest), 11);
}

#[test]
fn forgotten_snapshots_are_stale_and_their_numbers_are_not_given_again() {
    let catalog = Catalog::in_memory().expect("memory");
    let old = write(&catalog, |tx| {
        let old = tx.derive(None, &[change(bound("Sales", 1, 1))])?;
        tx.put_commit(&commit_row(1, 1, 100, &[]), old)?;
        tx.put_runs(&commit(1), &[run_record("a.ipynb", 1, &["Sales"])])?;
        tx.set_cursor(b"here")?;
        Ok(old)
    });
    let new = write(&catalog, |tx| {
        tx.forget_commits()?;
        tx.derive(None, &[])
    });
    assert_ne!(old, new);
    let key = record("Sales", 1, 1).key();
    assert!(matches!(catalog.read(|view| view.entry(old, &key)), Err(CatalogError::StaleSnapshot { .. })));
    assert!(matches!(catalog.read(|view| view.entries(old)), Err(CatalogError::StaleSnapshot { .. })));
    assert!(matches!(
        catalog.write(|tx| tx.derive(Some(old), &[change(bound("Sales", 1, 1))])),
        Err(CatalogError::StaleSnapshot { .. })
    ));
    assert_eq!(read(&catalog, ReadTransaction::all_runs), []);
    assert_eq!(read(&catalog, ReadTransaction::cursor), Some(b"here".to_vec()));
    write(&catalog, WriteTransaction::clear);
    assert_eq!(read(&catalog, ReadTransaction::cursor), None);
}

#[test]
fn a_failed_write_changes_nothing() {
    let catalog = Catalog::in_memory().expect("memory");
    let failed: Result<(), CatalogError> = catalog.write(|tx| {
        tx.set_cursor(b"never")?;
        tx.put_runs(&commit(9), &[])?;
        Err(CatalogError::ForkedInUse)
    });
    assert!(matches!(failed, Err(CatalogError::ForkedInUse)));
    assert_eq!(read(&catalog, ReadTransaction::cursor), None);
}

#[test]
fn runs_of_an_unknown_commit_are_refused() {
    let catalog = Catalog::in_memory().expect("memory");
    let runs = [run_record("a.ipynb", 1, &[])];
    let refused: Result<(), CatalogError> = catalog.write(|tx| tx.put_runs(&commit(9), &runs));
    assert!(matches!(refused, Err(CatalogError::Failed { .. })), "{refused:?}");
    assert_eq!(read(&catalog, ReadTransaction::all_runs), []);
}

#[test]
fn runs_come_topologically_newest_first() {
    let catalog = Catalog::in_memory().expect("memory");
    let entry = |path: &str, exports: &[&str]| run_record(path, 1, exports);
    write(&catalog, |tx| {
        let snapshot = tx.derive(None, &[])?;
        for row in [commit_row(1, 1, 900, &[]), commit_row(2, 2, 100, &[1]), commit_row(3, 2, 200, &[1])] {
            tx.put_commit(&row, snapshot)?;
        }
        tx.put_runs(&commit(1), &[entry("old.ipynb", &["Gone"])])?;
        tx.put_runs(&commit(1), &[entry("b.ipynb", &["Sales"]), entry("a.ipynb", &["Report", "Sales"])])?;
        tx.put_runs(&commit(2), &[entry("a.ipynb", &["Sales"])])?;
        tx.put_runs(&commit(3), &[entry("a.ipynb", &[])])
    });
    let short = |runs: Vec<CommittedRun>| -> Vec<(CommitId, String)> {
        runs.into_iter().map(|run| (run.commit, run.record.path)).collect()
    };
    let (a, b) = ("a.ipynb".to_owned(), "b.ipynb".to_owned());
    let all = [(commit(3), a.clone()), (commit(2), a.clone()), (commit(1), a.clone()), (commit(1), b.clone())];
    assert_eq!(short(read(&catalog, ReadTransaction::all_runs)), all);
    assert_eq!(short(read(&catalog, |view| view.runs_of_notebook("a.ipynb"))), all[..3]);
    assert_eq!(short(read(&catalog, |view| view.runs_with_export(&name("Sales")))), all[1..]);
    assert_eq!(read(&catalog, |view| view.runs_with_export(&name("Gone"))), []);
    let runs = read(&catalog, |view| view.runs_of(&commit(2)));
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].record, run_record("a.ipynb", 1, &["Sales"]));
    assert_eq!((runs[0].generation, runs[0].time_unix), (2, 100));
}

#[test]
fn only_the_latest_export_of_a_key_is_pending() {
    let catalog = Catalog::in_memory().expect("memory");
    let pending = |worktree: &str, content: u32| Pending {
        worktree: worktree.to_owned(),
        record: record("Sales", 1, content),
        script: Some(CodeIdentity::from_bytes([9; 32])),
        time_us: i64::from(content),
    };
    write(&catalog, |tx| {
        tx.put_pending(&pending("/w", 1), &object(1))?;
        tx.put_pending(&pending("/other", 9), &object(2))?;
        tx.put_pending(&pending("/w", 2), &object(3))
    });
    assert_eq!(read(&catalog, |view| view.pending_of("/w")), [pending("/w", 2)]);
    assert_eq!(read(&catalog, |view| view.pending_of("/other")).len(), 1);
}

/// Year, content or none, time.
type Fact = (u32, Option<u32>, i64);

fn object(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 32])
}

fn late(year: u32, content: Option<u32>, time_us: i64, number: u8) -> LateRow {
    LateRow {
        commit: commit(1),
        key: record("Sales", year, 0).key(),
        record: content.map(|content| record("Sales", year, content)),
        explicit: content.is_none(),
        time_us,
        object: object(number),
    }
}

proptest! {
    #[test]
    fn facts_answer_the_same_in_whatever_order_they_are_read(
        facts in prop::collection::vec((0..3_u32, prop::option::of(0..4_u32), 0..3_i64), 1..12)
            .prop_map(|facts| facts.into_iter().enumerate().collect::<Vec<_>>()),
        seed in any::<u64>(),
    ) {
        let answers = |facts: &[(usize, Fact)]| {
            let catalog = Catalog::in_memory().expect("memory");
            write(&catalog, |tx| {
                for (number, (year, content, time_us)) in facts {
                    let object = object(u8::try_from(*number).expect("few facts"));
                    let (record, content) = (record("Sales", *year, content.unwrap_or(9)), *content);
                    let pending = Pending { worktree: "/w".to_owned(), record, script: None, time_us: *time_us };
                    tx.put_pending(&pending, &object)?;
                    tx.put_late_binding(&LateRow { object, ..late(*year, content, *time_us, 0) })?;
                }
                Ok(())
            });
            read(&catalog, |view| Ok((view.pending_of("/w")?, view.late_bindings_of(&commit(1))?)))
        };
        let mut shuffled = facts.clone();
        shuffled.sort_by_key(|(number, _)| blake3::hash(&(seed ^ *number as u64).to_le_bytes()).as_bytes().to_vec());
        prop_assert_eq!(answers(&facts), answers(&shuffled));
    }
}

#[test]
fn the_last_late_binding_of_a_key_counts() {
    let catalog = Catalog::in_memory().expect("memory");
    assert!(!read(&catalog, ReadTransaction::has_late_bindings));
    let (first, second) = (late(1, Some(1), 10, 1), late(1, None, 11, 2));
    write(&catalog, |tx| tx.put_late_binding(&first));
    assert_eq!(read(&catalog, |view| view.late_bindings_of(&commit(1))), [first]);
    write(&catalog, |tx| tx.put_late_binding(&second));
    assert_eq!(read(&catalog, |view| view.late_bindings_of(&commit(1))), [second]);
    assert_eq!(read(&catalog, ReadTransaction::latest_late_binding), Some(11));
    assert_eq!(read(&catalog, |view| view.late_bindings_of(&commit(2))), []);
    assert!(read(&catalog, ReadTransaction::has_late_bindings));
}

#[test]
fn the_last_word_on_a_tag_of_a_remote_counts() {
    let catalog = Catalog::in_memory().expect("memory");
    let word = |time_us: i64, commit: Option<CommitId>| PushLog {
        tag: "v1".to_owned(),
        commit,
        remote: "/srv".to_owned(),
        time_us,
    };
    let push = |time_us: i64| word(time_us, Some(commit(1)));
    let confirmed = |tag: &str, number: u32| read(&catalog, |view| view.is_confirmed(tag, &commit(number), "/srv"));
    assert!(!confirmed("v1", 1));
    write(&catalog, |tx| tx.put_push(&push(2)));
    write(&catalog, |tx| tx.put_push(&push(2)));
    assert!(confirmed("v1", 1));
    assert!(!confirmed("v1", 2) && !confirmed("v2", 1));
    assert_eq!(read(&catalog, |view| view.pushes_of("/srv")), [push(2)]);
    assert_eq!(read(&catalog, |view| view.confirmed_commits("/srv")), BTreeSet::from([commit(1)]));
    assert_eq!(read(&catalog, |view| view.pushes_of("/else")), []);
    write(&catalog, |tx| tx.put_push(&word(1, None)));
    assert!(confirmed("v1", 1), "an older word heard later changes nothing");
    write(&catalog, |tx| tx.put_push(&word(3, None)));
    assert!(!confirmed("v1", 1), "the tag is gone");
    assert_eq!(read(&catalog, |view| view.confirmed_commits("/srv")), BTreeSet::new());
    write(&catalog, |tx| tx.put_push(&word(4, Some(commit(2)))));
    assert!(confirmed("v1", 2) && !confirmed("v1", 1), "a moved tag is where it was last seen");
}

#[test]
fn the_newest_start_of_a_branch_comes_first() {
    let catalog = Catalog::in_memory().expect("memory");
    let start = |number: u32, time_us: i64, parent: Option<&str>| BranchStart {
        branch: "topic".to_owned(),
        commit: commit(number),
        parent_branch: parent.map(str::to_owned),
        time_us,
    };
    let (old, new) = (start(1, 10, None), start(2, 20, Some("main")));
    write(&catalog, |tx| [&new, &old, &new].into_iter().try_for_each(|start| tx.put_branch_start(start)));
    assert_eq!(read(&catalog, |view| view.branch_starts_of("topic")), [new, old]);
}

#[test]
fn a_catalog_is_created_then_found_with_its_rows() {
    let (_dir, path) = temporary();
    let catalog = open(&path);
    assert_eq!(catalog.origin(), Origin::Created);
    write(&catalog, |tx| tx.set_cursor(b"1"));
    drop(catalog);
    let catalog = open(&path);
    assert_eq!(catalog.origin(), Origin::Found);
    assert_eq!(read(&catalog, ReadTransaction::cursor), Some(b"1".to_vec()));
    drop(catalog);
    let catalog = Catalog::open_empty(&path, OpenOptions::default()).expect("opens");
    assert_eq!(catalog.origin(), Origin::Rebuilt);
    assert_eq!(read(&catalog, ReadTransaction::cursor), None);
}

/// Every kind of file that is no catalog, by name.
fn garbage(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut future = good.to_vec();
    future[63] = 99; // the last byte of user_version
    let mut foreign = good.to_vec();
    foreign[71] ^= 1; // the last byte of application_id
    let mut broken_schema = good.to_vec();
    broken_schema[100..200].fill(0xff);
    vec![
        ("text", b"this is no database".to_vec()),
        ("zeros", vec![0; 10_000]),
        (
            "noise",
            (0..70_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).expect("8 bits")).collect(),
        ),
        ("a header alone", good[..100].to_vec()),
        ("a broken schema", broken_schema),
        ("another version", future),
        ("another program", foreign),
    ]
}

#[test]
fn garbage_foreign_and_newer_files_are_emptied_and_say_so() {
    let (_dir, path) = temporary();
    drop(open(&path));
    let (_clean_dir, clean) = temporary();
    write(&Catalog::open_empty(&clean, OpenOptions::default()).expect("opens"), |tx| tx.set_cursor(b"x"));
    rusqlite::Connection::open(&clean)
        .and_then(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .expect("checkpoint");
    let good = std::fs::read(&clean).expect("reads");
    let log = path.with_file_name("catalog.sqlite-wal");
    for (what, bytes) in garbage(&good) {
        for with_old_log in [true, false] {
            if !with_old_log {
                crate::fs::remove_file(&log).expect("removes");
            }
            std::fs::write(&path, &bytes).expect("writes");
            let catalog = open(&path);
            // An old log may hold the whole of a good database, and then nothing was lost.
            if !with_old_log {
                assert_eq!(catalog.origin(), Origin::Rebuilt, "{what}: {:?}", catalog.fallback_reason());
                assert_eq!(read(&catalog, ReadTransaction::cursor), None, "{what}");
            }
            write(&catalog, |tx| tx.set_cursor(b"new"));
            drop(catalog);
            let again = open(&path);
            assert_eq!(again.origin(), Origin::Found, "{what}");
            assert_eq!(read(&again, ReadTransaction::cursor), Some(b"new".to_vec()), "{what}");
        }
    }
}

#[test]
fn the_log_stays_short_however_much_is_written_and_by_however_many() {
    let (_dir, path) = temporary();
    let log_len = || std::fs::metadata(path.with_file_name("catalog.sqlite-wal")).expect("there").len();
    write(&open(&path), |tx| {
        let many: Vec<_> = (0..3_000).map(|n| change(bound("Sales", n, n))).collect();
        tx.derive(None, &many)
    });
    assert_eq!(log_len(), 0, "one large transaction");
    let (mut longest, mut emptied) = (0, 0);
    for number in 0..100_u8 {
        write(&open(&path), |tx| tx.set_cursor(&[number; 10_000]));
        longest = longest.max(log_len());
        emptied += u32::from(log_len() == 0);
    }
    assert!(longest <= 512 * 1024 && emptied > 0, "{longest} bytes at most, emptied {emptied} times");
    assert_eq!(read(&open(&path), ReadTransaction::cursor), Some(vec![99; 10_000]));
}

#[test]
fn damage_found_later_is_named_and_can_be_emptied() {
    let (_dir, path) = temporary();
    let catalog = open(&path);
    let snapshot = write(&catalog, |tx| {
        let many: Vec<_> = (0..500).map(|n| change(bound("Sales", n, n))).collect();
        tx.derive(None, &many)
    });
    drop(catalog);
    rusqlite::Connection::open(&path)
        .and_then(|c| c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .expect("checkpoint");
    let mut bytes = std::fs::read(&path).expect("reads");
    // Behind the roots of all tables, which are looked at when the file is opened.
    let middle = 4096 * 45;
    bytes[middle..].fill(0xaa);
    std::fs::write(&path, bytes).expect("writes");
    let catalog = open(&path);
    let error = catalog.read(|view| view.entries(snapshot)).expect_err("the rows are gone");
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`onenb reindex`")));
    drop(catalog);
    let catalog = Catalog::open_empty(&path, OpenOptions::default()).expect("opens");
    assert_eq!(catalog.origin(), Origin::Rebuilt);
    write(&catalog, |tx| tx.set_cursor(b"new"));
}

#[test]
fn a_place_that_cannot_be_used_gives_memory_with_the_reason() {
    let (dir, path) = temporary();
    let read_only = OpenOptions { access: Access::ReadOnly, ..OpenOptions::default() };
    let absent = Catalog::open(&path, read_only.clone()).expect("opens");
    assert_eq!(absent.origin(), Origin::Memory);
    assert!(absent.fallback_reason().is_some());
    assert!(!path.exists());
    let blocked = open(dir.path());
    assert_eq!(blocked.origin(), Origin::Memory);
    write(&blocked, |tx| tx.set_cursor(b"x"));
    write(&open(&path), |tx| tx.set_cursor(b"kept"));
    let found = Catalog::open(&path, read_only).expect("opens");
    assert_eq!(found.origin(), Origin::Found);
    assert_eq!(read(&found, ReadTransaction::cursor), Some(b"kept".to_vec()));
    let refused: Result<(), CatalogError> = found.write(|tx| tx.set_cursor(b"y"));
    assert!(refused.is_err_and(|error| error.kind() == ErrorKind::ReadOnly));
}

const WRITERS: u32 = 8;
const WRITES: u32 = 200;

/// What one of many writers does: four catalogs in turn, so that creation, opening and closing also meet each other.
fn write_share(path: &Path, writer: u32) {
    for part in 0..4 {
        let catalog = open(path);
        assert_ne!(catalog.origin(), Origin::Memory, "{:?}", catalog.fallback_reason());
        for number in 0..WRITES / 4 {
            let number = writer * WRITES + part * WRITES / 4 + number;
            write(&catalog, |tx| {
                let snapshot = tx.derive(None, &[change(bound("Sales", number, number))])?;
                tx.put_commit(&commit_row(number, 1, 0, &[]), snapshot)
            });
        }
    }
}

fn assert_every_share_is_there(path: &Path) {
    let catalog = open(path);
    for number in 0..WRITERS * WRITES {
        let found = read(&catalog, |view| {
            let snapshot = view.snapshot_of(&commit(number))?.expect("every commit was put");
            view.entry(snapshot, &record("Sales", number, number).key())
        });
        assert_eq!(found, Some(bound("Sales", number, number)));
    }
}

#[test]
fn many_threads_with_a_connection_each_never_find_it_locked() {
    let (_dir, path) = temporary();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let path = &path;
            scope.spawn(move || write_share(path, writer));
        }
    });
    assert_every_share_is_there(&path);
}

#[test]
fn many_processes_never_find_it_locked() {
    let (_dir, path) = temporary();
    let program = std::env::current_exe().expect("this test has a file");
    let children: Vec<_> = (0..WRITERS)
        .map(|writer| {
            std::process::Command::new(&program)
                .args(["--exact", "catalog::tests::one_process_of_many", "--quiet"])
                .env("ONENB_TEST_CATALOG", &path)
                .env("ONENB_TEST_WRITER", writer.to_string())
                .stdout(std::process::Stdio::null())
                .spawn()
                .expect("starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("ends").success());
    }
    assert_every_share_is_there(&path);
}

#[test]
fn one_process_of_many() {
    if let (Some(path), Ok(writer)) = (std::env::var_os("ONENB_TEST_CATALOG"), std::env::var("ONENB_TEST_WRITER")) {
        write_share(Path::new(&path), writer.parse().expect("a number"));
    }
}

#[test]
fn a_reader_keeps_its_view_while_others_write() {
    let (_dir, path) = temporary();
    let (reader, writer) = (open(&path), open(&path));
    write(&writer, |tx| tx.set_cursor(b"1"));
    let seen = read(&reader, |view| {
        let before = view.cursor()?;
        write(&writer, |tx| tx.set_cursor(b"2"));
        Ok((before, view.cursor()?))
    });
    assert_eq!(seen, (Some(b"1".to_vec()), Some(b"1".to_vec())));
    assert_eq!(read(&reader, ReadTransaction::cursor), Some(b"2".to_vec()));
}

#[test]
fn a_writer_that_waits_too_long_says_for_how_long() {
    let (_dir, path) = temporary();
    let holder = open(&path);
    let impatient = Catalog::open(&path, OpenOptions { busy_timeout_ms: 1, ..OpenOptions::default() }).expect("opens");
    let refused: Result<(), CatalogError> = write(&holder, |_| Ok(impatient.write(|tx| tx.set_cursor(b"x"))));
    assert!(matches!(refused, Err(CatalogError::Busy { waited_ms: 1.. })), "{refused:?}");
}

#[test]
fn the_page_about_the_catalog_shows_these_tables_and_numbers() {
    let page = include_str!("../../docs/format/catalog.md");
    let sql = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has the tables");
    assert_eq!(sql, schema::TABLES);
    assert!(page.contains(&format!("`application_id` {}", schema::APPLICATION_ID)));
    assert!(page.contains(&format!("`user_version` {}", schema::VERSION)));
}
