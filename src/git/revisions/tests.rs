//! Tests of revisions against `git rev-parse`.

use super::*;
use crate::error::{Classify as _, ErrorKind};
use crate::git::testing::{TestRepo, open};

fn tag(name: &str) -> RevisionKind {
    RevisionKind::Tag { name: name.to_owned() }
}

fn branch(name: &str) -> RevisionKind {
    RevisionKind::Branch { name: name.to_owned() }
}

fn resolve(repo: &GitRepo, rev: &str) -> (CommitId, RevisionKind) {
    let found = repo.resolve(rev).unwrap_or_else(|error| panic!("{rev}: {error:?}"));
    (found.commit, found.kind)
}

#[test]
fn a_tag_beats_a_branch_beats_a_commit_and_full_names_force() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    let second = test.commit("a", "2");
    let third = test.commit("a", "3");
    test.git(&["tag", "both", &first.to_string()]);
    test.git(&["branch", "both", &second.to_string()]);
    // A branch that looks like an abbreviated id of another commit.
    let looks_like_third = third.short();
    test.git(&["branch", &looks_like_third, &second.to_string()]);
    let repo = test.open();
    assert_eq!(resolve(&repo, "both"), (first, tag("both")));
    assert_eq!(resolve(&repo, "tags/both"), (first, tag("both")));
    assert_eq!(resolve(&repo, "refs/heads/both"), (second, branch("both")));
    assert_eq!(resolve(&repo, "heads/both"), (second, branch("both")));
    assert_eq!(resolve(&repo, &looks_like_third), (second, branch(&looks_like_third)));
    assert_eq!(resolve(&repo, &third.to_string()), (third, RevisionKind::Commit));
    assert_eq!(resolve(&repo, &first.short()), (first, RevisionKind::Commit));
}

#[test]
fn the_grammar_of_rev_parse_is_understood() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    let second = test.commit("a", "2");
    test.git(&["tag", "pkg@1.0"]);
    test.git(&["tag", "daten/größe", &first.to_string()]);
    test.git(&["tag", "--annotate", "--message", "m", "v1", &first.to_string()]);
    test.git(&["tag", "--annotate", "--message", "m", "nested", "v1"]);
    let repo = test.open();
    let cases = [
        ("HEAD", second, RevisionKind::Commit),
        ("@", second, RevisionKind::Commit),
        ("main", second, branch("main")),
        ("HEAD~1", first, RevisionKind::Commit),
        ("@^", first, RevisionKind::Commit),
        ("main@{1}", first, RevisionKind::Commit),
        ("main@{0}", second, RevisionKind::Commit),
        ("pkg@1.0", second, tag("pkg@1.0")),
        ("pkg@1.0~1", first, RevisionKind::Commit),
        ("daten/größe", first, tag("daten/größe")),
        ("v1", first, tag("v1")),
        ("nested", first, tag("nested")),
        ("v1^{commit}", first, RevisionKind::Commit),
        ("v1^0", first, RevisionKind::Commit),
        (":/change", second, RevisionKind::Commit),
        ("main@{1 second ago}", second, RevisionKind::Commit),
    ];
    for (rev, commit, kind) in cases {
        assert_eq!(resolve(&repo, rev), (commit, kind), "{rev}");
    }
    assert_eq!(repo.tag_commit("nested").unwrap(), Some(first));
    assert_eq!(repo.tag_commit("absent").unwrap(), None);
}

#[test]
fn what_names_no_commit_is_not_found_and_says_what_it_is() {
    let test = TestRepo::new();
    test.commit("a", "1");
    test.git(&["tag", "blob", "HEAD:a"]);
    test.git(&["tag", "--annotate", "--message", "m", "tree", "HEAD^{tree}"]);
    let repo = test.open();
    for (rev, expected) in [("blob", "blob"), ("tree", "tree"), ("HEAD:a", "blob"), ("HEAD..HEAD", "range")] {
        let error = repo.resolve(rev).unwrap_err();
        assert!(matches!(&error, GitError::NotACommit { found, .. } if *found == expected), "{rev}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(repo.tag_commit("blob").unwrap(), None);
    assert_eq!(repo.tags().unwrap(), []);
}

#[test]
fn a_miss_names_the_nearest_tags_and_branches() {
    let test = TestRepo::new();
    test.commit("a", "1");
    test.git(&["tag", "v1.0"]);
    test.git(&["branch", "feature/sales"]);
    let repo = test.open();
    for (rev, near) in [("v1.O", "v1.0"), ("v1.O~2", "v1.0"), ("feature/slaes", "feature/sales"), ("mian", "main")] {
        let error = repo.resolve(rev).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(matches!(&error, GitError::UnknownRevision { nearest, .. } if nearest == &[near]), "{rev}: {error:?}");
        assert!(error.hint().unwrap().contains(near));
    }
}

#[test]
fn hostile_revisions_are_only_unknown() {
    let test = TestRepo::new();
    test.commit("a", "1");
    let repo = test.open();
    let long = "x".repeat(5000);
    let deep = "HEAD".to_owned() + &"^".repeat(900);
    let hostile =
        ["", "-n", "--all", "a\0b", "a\nb", "../../etc", "refs/heads/../x", "@{", "^", "~", ":", "::", "@{-1}"];
    for rev in hostile.into_iter().chain([long.as_str(), deep.as_str(), "0000000000000000000000000000000000000000"]) {
        let error = repo.resolve(rev).expect_err(rev);
        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged), "{rev}: {error:?}");
    }
}

#[test]
fn before_the_first_commit_head_is_unborn_and_not_damaged() {
    let test = TestRepo::new();
    let repo = test.open();
    assert_eq!(repo.head().unwrap(), None);
    assert_eq!(repo.head_branch().unwrap().as_deref(), Some("main"));
    for rev in ["HEAD", "@", "HEAD~1"] {
        assert!(matches!(repo.resolve(rev), Err(GitError::Unborn { branch }) if branch == "main"), "{rev}");
    }
    assert_eq!((repo.tags().unwrap(), repo.branches().unwrap(), repo.root_commit().unwrap()), (vec![], vec![], None));
}

#[test]
fn a_detached_head_has_a_commit_and_no_branch() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    test.commit("a", "2");
    test.git(&["checkout", "--quiet", "--detach", &first.to_string()]);
    let repo = test.open();
    assert_eq!(repo.head().unwrap(), Some(first));
    assert_eq!(repo.head_branch().unwrap(), None);
}

#[test]
fn tags_and_branches_are_listed_packed_and_loose_alike() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    test.git(&["tag", "--annotate", "--message", "m", "annotated"]);
    test.git(&["tag", "plain"]);
    test.git(&["tag", "no-commit", "HEAD:a"]);
    test.git(&["pack-refs", "--all"]);
    let second = test.commit("a", "2");
    test.git(&["tag", "loose/ö"]);
    test.git(&["tag", "--annotate", "--message", "m", "loose-annotated"]);
    let repo = test.open();
    let expected = [("annotated", first), ("loose-annotated", second), ("loose/ö", second), ("plain", first)];
    assert_eq!(repo.tags().unwrap(), expected.map(|(name, id)| (name.to_owned(), id)));
    assert_eq!(repo.branches().unwrap(), [("main".to_owned(), second)]);
}

#[test]
fn repositories_with_sha256_read_the_same() {
    let test = TestRepo::with(&["--object-format=sha256", "--initial-branch=main"]);
    let first = test.commit("dir/a", "1");
    test.commit("dir/a", "2");
    test.git(&["tag", "--annotate", "--message", "m", "v1", "HEAD~1"]);
    let repo = open(&test.path);
    assert_eq!(repo.object_format_len(), 32);
    assert_eq!(resolve(&repo, "v1"), (first, tag("v1")));
    assert_eq!(resolve(&repo, &first.short()), (first, RevisionKind::Commit));
    assert_eq!(repo.read_file_at(first, "dir/a", 10).unwrap().as_deref(), Some(b"1".as_slice()));
    assert_eq!(repo.root_commit().unwrap(), Some(first));
    let foreign = CommitId::from_slice(&[7; 20]).unwrap();
    assert!(matches!(repo.commit_info(foreign), Err(GitError::MissingObject { .. })));
}
