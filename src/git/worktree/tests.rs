//! Tests of staging and of operations in progress.

use super::*;
use crate::git::testing::TestRepo;

fn staged(repo: &GitRepo) -> Vec<String> {
    repo.staged_changes(&|_| true).unwrap().into_iter().map(|change| change.path).collect()
}

#[test]
fn staging_takes_ignored_files_odd_names_and_removals() {
    let test = TestRepo::new();
    test.write(".gitignore", "*.json\n.1nb/\n");
    test.commit("gone", "1");
    let repo = test.open();
    let odd = ".1nb/exports/[*] ö\n\"x.json";
    test.write(odd, "{}");
    test.write("other", "1");
    crate::fs::remove_file(&test.path.join("gone")).unwrap();
    repo.stage(&[odd, "gone", "never-there"]).unwrap();
    assert_eq!(staged(&repo), [odd, "gone"]);
    assert_eq!(repo.staged_blob(odd).unwrap().unwrap().to_string(), test.git(&["hash-object", odd]));
    assert_eq!(repo.staged_blob("other").unwrap(), None);
    repo.remove_from_index(&[odd]).unwrap();
    assert_eq!(staged(&repo), ["gone"]);
    assert!(test.path.join(odd).exists());
    repo.stage(&[]).unwrap();
}

#[test]
fn a_path_outside_the_work_tree_is_refused_by_git() {
    let test = TestRepo::new();
    crate::fs::write_atomic(&test.outside().join("secret"), b"1").unwrap();
    let repo = test.open();
    for path in ["../secret", ".git/config"] {
        // Git skips or refuses such a path; it never enters the index.
        let _ = repo.stage(&[path]);
        assert_eq!(staged(&repo), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn staged_changes_work_without_a_commit_and_without_an_index() {
    let test = TestRepo::new();
    let repo = test.open();
    assert_eq!(staged(&repo), Vec::<String>::new());
    test.write("dir/a", "1");
    test.git(&["add", "dir/a"]);
    let changes = repo.staged_changes(&|_| true).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].path.as_str(), changes[0].old), ("dir/a", None));
    test.commit("dir/a", "2");
    crate::fs::remove_file(&test.path.join(".git/index")).unwrap();
    let changes = repo.staged_changes(&|_| true).unwrap();
    assert_eq!((changes[0].path.as_str(), changes[0].new), ("dir/a", None));
}

#[test]
fn two_changes_within_one_clock_tick_are_both_seen() {
    let test = TestRepo::new();
    let repo = test.open();
    for number in 0..5 {
        let path = format!("f{number}");
        test.write(&path, "1");
        repo.stage(&[&path]).unwrap();
        assert_eq!(staged(&repo).len(), number + 1);
    }
}

#[test]
fn announced_files_links_and_conflicts_are_treated_as_git_does() {
    let test = TestRepo::new();
    test.commit("both", "base\n");
    test.write("announced", "1");
    test.git(&["add", "--intent-to-add", "announced"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("both", test.path.join("link")).unwrap();
        test.git(&["add", "link"]);
    }
    let repo = test.open();
    assert_eq!(staged(&repo), Vec::<String>::new());
    test.git(&["reset", "--quiet", "--hard"]);
    test.git(&["checkout", "--quiet", "-b", "side"]);
    test.commit("both", "side\n");
    test.git(&["checkout", "--quiet", "main"]);
    test.commit("both", "main\n");
    let status = test.command_in(&test.path).args(["merge", "--quiet", "side"]).output().unwrap().status;
    assert!(!status.success());
    assert_eq!(staged(&repo), ["both"]);
    assert_eq!(repo.staged_blob("both").unwrap(), None);
    assert_eq!(repo.operation_in_progress(), Some(Operation::Merge));
    assert_eq!(repo.pseudo_ref("MERGE_HEAD").unwrap(), Some(test.id("side")));
    test.git(&["merge", "--abort"]);
    assert_eq!(repo.operation_in_progress(), None);
    assert_eq!(repo.pseudo_ref("MERGE_HEAD").unwrap(), None);
}

#[test]
fn operations_in_progress_are_told_apart() {
    let test = TestRepo::new();
    test.commit("f", "base\n");
    test.git(&["checkout", "--quiet", "-b", "side"]);
    let side = test.commit("f", "side\n");
    test.git(&["checkout", "--quiet", "main"]);
    test.commit("f", "main\n");
    let repo = test.open();
    let cases: [(&[&str], &[&str], Operation); 4] = [
        (&["cherry-pick", "side"], &["cherry-pick", "--abort"], Operation::CherryPick),
        (&["revert", "--no-edit", "side"], &["revert", "--abort"], Operation::Revert),
        (&["rebase", "side"], &["rebase", "--abort"], Operation::Rebase),
        (&["bisect", "start"], &["bisect", "reset"], Operation::Bisect),
    ];
    for (start, abort, expected) in cases {
        let _ = test.command_in(&test.path).args(start).output().unwrap();
        assert_eq!(repo.operation_in_progress(), Some(expected), "{start:?}");
        let _ = test.command_in(&test.path).args(abort).output().unwrap();
        assert_eq!(repo.operation_in_progress(), None, "{abort:?}");
    }
    let _ = test.command_in(&test.path).args(["cherry-pick", "side"]).output().unwrap();
    assert_eq!(repo.pseudo_ref("CHERRY_PICK_HEAD").unwrap(), Some(side));
    test.git(&["cherry-pick", "--abort"]);
    assert_eq!(repo.state_file("SQUASH_MSG").unwrap(), None);
    test.write(".git/SQUASH_MSG", "Squashed commit\n");
    assert_eq!(repo.state_file("SQUASH_MSG").unwrap().as_deref(), Some("Squashed commit\n"));
}

#[test]
fn records_keep_their_bytes_under_our_attributes() {
    let test = TestRepo::new();
    test.git(&["config", "core.autocrlf", "true"]);
    test.write(".1nb/.gitattributes", crate::git::ATTRIBUTES_TEXT);
    test.write(".1nb/exports/a.json", "{\r\n}\n");
    let repo = test.open();
    repo.stage(&[".1nb/exports/a.json"]).unwrap();
    let blob = repo.staged_blob(".1nb/exports/a.json").unwrap().unwrap();
    assert_eq!(repo.read_blob(blob, 100).unwrap(), b"{\r\n}\n");
}
