//! Roots in real repositories: all of them, or an error.

use super::super::testing::{TestRepo, open};
use super::*;
use crate::error::{Classify as _, ErrorKind};

fn paths(new: &NewFiles) -> Vec<&str> {
    let mut paths: Vec<&str> = new.files.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn everything_that_git_keeps_is_a_root() {
    let repo = TestRepo::new();
    let first = repo.commit("a", "1");
    let dropped = repo.commit("a", "2");
    repo.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repo.write("a", "stashed");
    repo.git(&["stash", "--quiet"]);
    let stash = repo.id("refs/stash");
    repo.write("a", "stashed earlier now");
    repo.git(&["stash", "--quiet"]);
    repo.git(&["tag", "--annotate", "--message", "t", "v1"]);
    let linked = repo.outside().join("linked");
    repo.git(&["worktree", "add", "--quiet", "--detach", linked.to_str().unwrap()]);
    repo.git_in(&linked, &["commit", "--quiet", "--allow-empty", "--message", "detached"]);
    let detached = repo.git_in(&linked, &["rev-parse", "HEAD"]).parse().unwrap();
    // `v1` and an id that no object has: neither a root nor an error.
    repo.write(".git/FETCH_HEAD", &format!("{dropped}\tbranch\n{}\n", "1".repeat(40)));
    for place in [open(&repo.path), open(&linked)] {
        let roots = place.root_commits().unwrap();
        for commit in [first, dropped, stash, repo.id("refs/stash"), detached] {
            assert!(roots.contains(&commit), "{commit} is missing");
        }
        let ids: Vec<String> = place.work_trees().unwrap().into_iter().map(|tree| tree.id).collect();
        assert_eq!(ids, ["main", "linked-linked"]);
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_skipped() {
    let repo = TestRepo::new();
    repo.commit("a", "1");
    repo.write(".git/refs/heads/broken", "no id at all\n");
    assert_eq!(repo.open().root_commits().unwrap_err().kind(), ErrorKind::Damaged);
    repo.write(".git/refs/heads/broken", &format!("{}\n", "1".repeat(40)));
    assert_eq!(repo.open().root_commits().unwrap_err().kind(), ErrorKind::Damaged);
    crate::fs::remove_file(&repo.path.join(".git/refs/heads/broken")).unwrap();
    // The branch that a remote's HEAD named may be gone.
    repo.write(".git/refs/remotes/origin/HEAD", "ref: refs/remotes/origin/gone\n");
    assert_eq!(repo.open().root_commits().unwrap(), [repo.id("HEAD")]);
    repo.write(".git/index", "no index");
    let tips = [repo.id("HEAD")];
    assert!(repo.open().files_of_all_commits(&tips, ".1nb", &mut SeenHistory::default()).is_err());
}

#[test]
fn every_version_of_a_file_is_found_once() {
    let repo = TestRepo::new();
    repo.commit(".1nb/exports/A/x.json", "1");
    let with = repo.commit(".1nb/exports/A/x.json", "2");
    repo.git(&["rm", "--quiet", "-r", ".1nb"]);
    repo.git(&["commit", "--quiet", "--message", "without"]);
    repo.commit("other", "1");
    let git = repo.open();
    let mut seen = SeenHistory::default();
    let new = git.files_of_all_commits(&[repo.id("HEAD")], ".1nb", &mut seen).unwrap();
    assert_eq!(paths(&new), [".1nb/exports/A/x.json"; 2]);
    assert_eq!(new.last_with, [with]);
    repo.write(".1nb/exports/B/y.json", "staged");
    repo.git(&["add", ".1nb"]);
    repo.write(".1nb/exports/C/z.json", "announced");
    repo.git(&["add", "--intent-to-add", ".1nb"]);
    let new = git.files_of_all_commits(&[repo.id("HEAD")], ".1nb", &mut seen).unwrap();
    assert_eq!(paths(&new), [".1nb/exports/B/y.json"]);
    assert!(git.files_of_all_commits(&[repo.id("HEAD")], ".1nb", &mut seen).unwrap().files.is_empty());
}
