//! Tests of finding repositories: work trees, bare and linked ones, hooks' environments.

use super::*;
use crate::error::{Classify as _, ErrorKind};
use crate::git::testing::{TestRepo, open};

#[test]
fn a_directory_below_the_top_finds_the_repository() {
    let test = TestRepo::new();
    test.commit("deep/er/file", "1");
    let repo = open(&test.path.join("deep/er"));
    assert_eq!(repo.work_dir(), Some(test.path.as_path()));
    assert_eq!(repo.git_dir(), test.path.join(".git"));
    assert_eq!(repo.common_dir(), test.path.join(".git"));
    assert_eq!((repo.is_bare(), repo.is_shallow().unwrap(), repo.object_format_len()), (false, false, 20));
    assert_eq!(repo.worktree_id(), "main");
}

#[test]
fn outside_of_every_repository_is_a_kind_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let error = GitRepo::discover(dir.path(), Environment::Ignored).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotARepository);
    assert!(error.hint().unwrap().contains("`git init`"));
    let missing = GitRepo::discover(&dir.path().join("no/such"), Environment::Ignored).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotARepository);
}

#[test]
fn bare_repositories_have_no_work_tree() {
    let test = TestRepo::with(&["--bare"]);
    let repo = test.open();
    assert!(repo.is_bare());
    assert_eq!(repo.work_dir(), None);
    assert!(matches!(repo.require_work_dir(), Err(GitError::NoWorkTree { .. })));
    assert_eq!(repo.to_relative(&test.path.join("HEAD")), None);
}

#[test]
fn reftable_is_refused_by_name() {
    let test = TestRepo::with(&["--ref-format=reftable"]);
    let error = GitRepo::discover(&test.path, Environment::Ignored).unwrap_err();
    assert!(matches!(error, GitError::Reftable { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("git refs migrate"));
}

#[test]
fn a_linked_work_tree_has_its_own_name_and_shares_the_rest() {
    let test = TestRepo::new();
    let commit = test.commit("a", "1");
    let linked = test.outside().join("übung 1");
    test.git(&["worktree", "add", "--quiet", "-b", "other", linked.to_str().unwrap()]);
    let repo = open(&linked);
    assert_eq!(repo.work_dir(), Some(linked.as_path()));
    assert_eq!(repo.common_dir(), test.path.join(".git"));
    assert!(repo.git_dir().starts_with(test.path.join(".git/worktrees")));
    assert!(repo.worktree_id().starts_with("linked-"));
    assert!(repo.worktree_id().chars().all(|c| c.is_ascii_alphanumeric() || "-_.%".contains(c)));
    assert_eq!(repo.head().unwrap(), Some(commit));
    assert_eq!(repo.head_branch().unwrap().as_deref(), Some("other"));
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let inner = TestRepo::new();
    let commit = inner.commit("a", "1");
    let outer = TestRepo::new();
    let url = inner.path.to_str().unwrap();
    outer.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]);
    let repo = open(&outer.path.join("sub"));
    assert_eq!(repo.work_dir(), Some(outer.path.join("sub").as_path()));
    assert_eq!(repo.git_dir(), outer.path.join(".git/modules/sub"));
    assert_eq!(repo.head().unwrap(), Some(commit));
    assert_eq!(repo.worktree_id(), "main");
}

#[cfg(unix)]
#[test]
fn a_repository_of_another_user_is_refused_with_the_way_out() {
    let test = TestRepo::new();
    // Only root may give files away; elsewhere the owner cannot differ and there is nothing to see.
    if std::os::unix::fs::chown(test.path.join(".git"), Some(12345), None).is_err() {
        return;
    }
    let error = GitRepo::discover(&test.path, Environment::Ignored).unwrap_err();
    assert!(matches!(error, GitError::Unsafe { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("safe.directory"));
}

#[test]
fn paths_are_seen_from_the_top_with_links_followed_but_the_last() {
    let test = TestRepo::new();
    test.write("data/sub/file", "1");
    let repo = test.open();
    assert_eq!(repo.to_relative(&test.path.join("data/sub/file")).as_deref(), Some("data/sub/file"));
    assert_eq!(repo.to_relative(&test.path.join("data/not/yet")).as_deref(), Some("data/not/yet"));
    assert_eq!(repo.to_relative(&test.path).as_deref(), Some(""));
    assert_eq!(repo.to_relative(&test.outside().join("elsewhere")), None);
    assert_eq!(repo.to_relative(&test.path.join("data/../../elsewhere")), None);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(test.path.join("data"), test.outside().join("link")).unwrap();
        std::os::unix::fs::symlink("sub/file", test.path.join("data/alias")).unwrap();
        assert_eq!(repo.to_relative(&test.outside().join("link/sub/file")).as_deref(), Some("data/sub/file"));
        assert_eq!(repo.to_relative(&test.outside().join("link/alias")).as_deref(), Some("data/alias"));
    }
}

#[test]
fn configuration_of_the_repository_is_read() {
    let test = TestRepo::new();
    test.git(&["config", "onenb.prePush", "verify"]);
    test.git(&["config", "onenb.quiet", "on"]);
    test.git(&["remote", "add", "upstream", "https://example.org/x.git"]);
    let repo = test.open();
    assert_eq!(repo.config_string("onenb.prePush").as_deref(), Some("verify"));
    assert_eq!(repo.config_string("onenb.absent"), None);
    assert_eq!(repo.config_bool("onenb.quiet"), Some(true));
    assert_eq!(repo.config_bool("onenb.prePush"), None);
    assert_eq!(repo.remote_url("upstream").as_deref(), Some("https://example.org/x.git"));
    assert_eq!(repo.remote_url("origin"), None);
}

/// Variables belong to a process, so this test runs itself again inside a real hook.
#[test]
fn in_a_hook_the_variables_of_git_decide() {
    if std::env::var_os("ONENB_TEST_IN_HOOK").is_some() {
        let here = std::env::current_dir().unwrap();
        let hook = GitRepo::discover(&here, Environment::Hook).unwrap();
        let staged: Vec<String> = hook.staged_changes(&|_| true).unwrap().into_iter().map(|c| c.path).collect();
        let ignored = GitRepo::discover(&here, Environment::Ignored).unwrap();
        let really: Vec<String> = ignored.staged_changes(&|_| true).unwrap().into_iter().map(|c| c.path).collect();
        let report = format!("{} {staged:?} {really:?}", hook.is_partial_commit());
        crate::fs::write_atomic(&here.join("report"), report.as_bytes()).unwrap();
        return;
    }
    let test = TestRepo::new();
    test.commit("first", "1");
    test.write("named", "1");
    test.write("other", "1");
    test.git(&["add", "named", "other"]);
    let this = std::env::current_exe().unwrap();
    let name = "git::discover::tests::in_a_hook_the_variables_of_git_decide";
    let script = format!("#!/bin/sh\nONENB_TEST_IN_HOOK=1 '{}' --exact {name} >/dev/null\n", this.display());
    test.write(".git/hooks/pre-commit", &script);
    crate::fs::set_executable(&test.path.join(".git/hooks/pre-commit")).unwrap();
    test.git(&["commit", "--quiet", "--message", "x", "--", "named"]);
    let report = std::fs::read_to_string(test.path.join("report")).unwrap();
    assert_eq!(report, r#"true ["named"] ["named", "other"]"#);
}
