//! Tests of reading commits, trees and blobs, hostile ones among them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use proptest::prelude::*;

use super::*;
use crate::git::testing::TestRepo;

#[test]
fn a_commit_tells_its_parents_time_and_subject() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    test.git(&["commit", "--quiet", "--allow-empty", "--message", "größer\n\nbody"]);
    let repo = test.open();
    let info = repo.commit_info(test.id("HEAD")).unwrap();
    assert_eq!(info.parents, [first]);
    assert_eq!(info.tree, test.id("HEAD^{tree}"));
    assert_eq!((info.time_unix, info.subject.as_str(), info.is_cut_off), (1_700_000_000, "größer", false));
    assert_eq!(repo.commit_info(first).unwrap().parents, []);
}

#[test]
fn files_are_read_up_to_the_limit_and_links_are_no_files() {
    let test = TestRepo::new();
    test.write("dir/run.sh", "12345");
    crate::fs::set_executable(&test.path.join("dir/run.sh")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("run.sh", test.path.join("dir/link")).unwrap();
    test.git(&["add", "."]);
    let commit = test.commit("top", "1");
    let repo = test.open();
    assert_eq!(repo.read_file_at(commit, "dir/run.sh", 5).unwrap().as_deref(), Some(b"12345".as_slice()));
    assert!(matches!(repo.read_file_at(commit, "dir/run.sh", 4), Err(GitError::TooLarge { limit: 4, .. })));
    for absent in ["dir", "dir/link", "none", "top/x", "dir/run.sh/x", "../top", ""] {
        assert_eq!(repo.read_file_at(commit, absent, 100).unwrap(), None, "{absent}");
    }
    let files = repo.files_under(commit, "").unwrap();
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["dir/run.sh", "top"]);
    assert_eq!(repo.blob_len(files[0].blob).unwrap(), 5);
    assert_eq!(repo.files_under(commit, "dir/").unwrap().len(), 1);
    assert_eq!(repo.files_under(commit, "top").unwrap(), []);
    assert_eq!(repo.tree_id_at(commit, "dir").unwrap(), Some(test.id("HEAD:dir")));
    assert_eq!(repo.tree_id_at(commit, "absent").unwrap(), None);
}

#[test]
fn objects_of_the_wrong_kind_and_absent_ones_are_typed_errors() {
    let test = TestRepo::new();
    let commit = test.commit("a", "1");
    let (tree, blob) = (test.id("HEAD^{tree}"), test.id("HEAD:a"));
    let repo = test.open();
    assert!(matches!(repo.commit_info(tree), Err(GitError::NotACommit { found: "tree", .. })));
    assert!(matches!(repo.read_blob(commit, 1000), Err(GitError::Damaged { .. })));
    let absent = CommitId::from_slice(&[9; 20]).unwrap();
    assert!(matches!(repo.read_blob(absent, 1000), Err(GitError::MissingObject { id }) if id == absent));
    let loose = test.path.join(".git/objects").join(&blob.to_string()[..2]).join(&blob.to_string()[2..]);
    crate::fs::remove_file(&loose).unwrap();
    crate::fs::write_atomic(&loose, b"garbage").unwrap();
    assert!(matches!(test.open().read_blob(blob, 1000), Err(GitError::Damaged { .. })));
}

#[test]
fn changes_see_what_differs_and_a_mode_is_no_difference() {
    let test = TestRepo::new();
    test.write("keep/a", "1");
    test.write("swap", "1");
    test.write("gone/deep/x", "1");
    test.write("run", "1");
    test.git(&["add", "."]);
    let old = test.commit("edit", "1");
    crate::fs::remove_file(&test.path.join("swap")).unwrap();
    test.write("swap/inside", "1");
    test.git(&["rm", "-r", "--quiet", "gone"]);
    crate::fs::set_executable(&test.path.join("run")).unwrap();
    test.git(&["add", "--all"]);
    let new = test.commit("edit", "2");
    let repo = test.open();
    let list = |changes: Vec<Change>| -> Vec<String> {
        let sign = |change: &Change| match (change.old, change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        changes.iter().map(|change| format!("{}{}", sign(change), change.path)).collect()
    };
    let all = list(repo.changes(Some(old), new, &|_| true).unwrap());
    assert_eq!(all, ["~edit", "-gone/deep/x", "-swap", "+swap/inside"]);
    assert_eq!(
        list(repo.changes(Some(old), new, &|path| path.starts_with("swap")).unwrap()),
        ["-swap", "+swap/inside"]
    );
    assert_eq!(repo.changes(None, new, &|_| true).unwrap().len(), 4);
    assert_eq!(repo.changes(Some(new), new, &|_| true).unwrap(), []);
}

/// Writes an object that `git` itself would not make.
fn write_raw(test: &TestRepo, kind: &str, bytes: &[u8]) -> CommitId {
    let mut command = test.command_in(&test.path);
    command.args(["hash-object", "--literally", "-w", "-t", kind, "--stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn entry(mode: &str, name: &[u8], id: &CommitId) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, b"\0", id.as_slice()].concat()
}

fn commit_of(test: &TestRepo, tree: &CommitId) -> CommitId {
    test.git(&["commit-tree", "-m", "x", &tree.to_string()]).parse().unwrap()
}

#[test]
fn a_tree_that_multiplies_itself_is_refused_and_hostile_names_are_skipped() {
    let test = TestRepo::new();
    let blob = write_raw(&test, "blob", b"x");
    let names: [&[u8]; 6] = [b"..", b".", b"a/b", b"\xff", b"ok", b""];
    let listed: Vec<u8> = names.iter().flat_map(|name| entry("100644", name, &blob)).collect();
    let tree = write_raw(&test, "tree", &listed);
    let repo = test.open();
    let files = repo.files_under(commit_of(&test, &tree), "").unwrap();
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["ok"]);

    // 30 levels of 30 names each: 30^30 files in a few kilobytes.
    let mut level = tree;
    for _ in 0..30 {
        let wide: Vec<u8> = (0..30).flat_map(|n| entry("40000", format!("d{n:02}").as_bytes(), &level)).collect();
        level = write_raw(&test, "tree", &wide);
    }
    let bomb = commit_of(&test, &level);
    assert!(matches!(repo.files_under(bomb, ""), Err(GitError::TooLarge { .. })));
    assert!(matches!(repo.changes(None, bomb, &|_| true), Err(GitError::TooLarge { .. })));
    let cut = write_raw(&test, "tree", b"100644 cut\0only");
    assert!(matches!(repo.files_under(commit_of(&test, &cut), ""), Err(GitError::Damaged { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn changes_and_staged_changes_agree_with_git(
        old in prop::collection::btree_map("[abc](/[abc]){0,2}", "[xy]", 0..6),
        new in prop::collection::btree_map("[abc](/[abc]){0,2}", "[xy]", 0..6),
    ) {
        let test = TestRepo::new();
        let put = |files: &BTreeMap<String, String>| {
            test.git(&["rm", "-r", "--quiet", "--force", "--ignore-unmatch", "."]);
            let mut taken: Vec<&String> = Vec::new();
            for (path, text) in files {
                // A path cannot be a file and a directory at once.
                if taken.iter().all(|other| !path.starts_with(&format!("{other}/")) && !other.starts_with(&format!("{path}/"))) {
                    test.write(path, text);
                    taken.push(path);
                }
            }
            test.git(&["add", "--all"]);
        };
        put(&old);
        test.git(&["commit", "--quiet", "--allow-empty", "--message", "old"]);
        let before = test.id("HEAD");
        put(&new);
        let expected: Vec<String> = test.git(&["diff", "--cached", "--name-only", "--no-renames"]).lines().map(str::to_owned).collect();
        let repo = test.open();
        let paths = |changes: Vec<Change>| changes.into_iter().map(|change| change.path).collect::<Vec<_>>();
        prop_assert_eq!(paths(repo.staged_changes(&|_| true).unwrap()), expected.clone());
        test.git(&["commit", "--quiet", "--allow-empty", "--message", "new"]);
        prop_assert_eq!(paths(repo.changes(Some(before), test.id("HEAD"), &|_| true).unwrap()), expected);
        prop_assert_eq!(repo.staged_changes(&|_| true).unwrap(), Vec::new());
    }
}
