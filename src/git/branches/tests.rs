//! Tests of where branches come from, against real repositories.

use crate::git::BranchBirth;
use crate::git::testing::TestRepo;

#[test]
fn a_branch_knows_where_it_began_as_long_as_its_reflog_does() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    test.git(&["switch", "--quiet", "--create", "topic"]);
    let repo = test.open();
    let birth = repo.branch_birth("topic").unwrap();
    assert_eq!((birth.commit, birth.from.as_str(), birth.is_new), (first, "HEAD", true));
    assert_eq!(repo.checked_out_before("topic", &birth), Some("main".to_owned()));
    let later = BranchBirth { time_s: birth.time_s + 1, ..birth.clone() };
    assert_eq!(repo.checked_out_before("topic", &later), None);
    test.commit("a", "2");
    assert!(!repo.branch_birth("topic").unwrap().is_new);
    test.git(&["branch", "from-topic", "topic"]);
    assert_eq!(repo.branch_birth("from-topic").unwrap().from, "topic");
    assert_eq!((repo.branch_birth("none"), repo.checked_out_before("none", &birth)), (None, None));
    test.git(&["reflog", "expire", "--expire=all", "--all"]);
    assert_eq!((repo.branch_birth("topic"), repo.checked_out_before("topic", &birth)), (None, None));
}

#[test]
fn without_a_reflog_tracking_gits_own_rule_and_the_default_branch_tell() {
    let test = TestRepo::new();
    test.commit("a", "1");
    test.git(&["branch", "old"]);
    test.commit("a", "2");
    test.git(&["switch", "--quiet", "--create", "topic"]);
    test.commit("a", "3");
    let repo = test.open();
    assert_eq!(repo.base_branch("topic"), Some("main".to_owned()));
    assert_eq!(repo.default_branch(), Some("main".to_owned()));
    assert_eq!(repo.upstream_branch("topic"), None);
    test.git(&["branch", "--set-upstream-to=old", "topic"]);
    assert_eq!(test.open().upstream_branch("topic"), Some("old".to_owned()));
    assert_eq!((repo.branch_named("refs/heads/old"), repo.branch_named("x/old")), (Some("old".to_owned()), None));
}

#[test]
fn the_names_of_a_file_follow_renames() {
    let test = TestRepo::new();
    let body = "one\ntwo\nthree\nfour\nfive\nsix\n";
    test.commit("first name", body);
    test.git(&["mv", "first name", "größer"]);
    test.git(&["commit", "--quiet", "--message=rename"]);
    test.commit("größer", &format!("{body}seven\n"));
    test.git(&["mv", "größer", "third"]);
    test.git(&["commit", "--quiet", "--message=again"]);
    assert_eq!(test.open().names_of("third").unwrap(), ["third", "größer", "first name"]);
    assert_eq!(test.open().names_of("none").unwrap(), ["none"]);
}
