//! `onenb is-ancestor`, and histories that are not as their commits say: cut off, or replaced.

use crate::support::{Sandbox, read};

/// Makes a commit with an export and tags it.
fn step(sandbox: &Sandbox, tag: &str) {
    sandbox.export("Sales", tag.as_bytes(), &[]);
    sandbox.commit_and_tag(tag);
}

/// Asks about every pair of revisions what `git merge-base --is-ancestor` says of it.
fn agrees_with_git(sandbox: &Sandbox, revs: &[&str]) {
    for one in revs {
        for two in revs {
            let git = sandbox.git(&["merge-base", "--is-ancestor", one, two]);
            let run = sandbox.onenb(&["is-ancestor", one, two]);
            assert_eq!(run.code, git.code, "is {one} an ancestor of {two}? {run}");
            assert_eq!((run.text().as_str(), run.stderr.as_str()), ("", ""));
        }
    }
}

/// Two lines of history with a merge, a branch that was never merged, and one with no common commit.
fn forked() -> Sandbox {
    let sandbox = Sandbox::ready();
    step(&sandbox, "v1");
    sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
    sandbox.export("Side", b"side", &[]);
    sandbox.commit_and_tag("side1");
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    step(&sandbox, "v2");
    sandbox.git(&["merge", "--quiet", "--no-edit", "side1"]).ok();
    sandbox.git(&["tag", "merged"]).ok();
    sandbox.git(&["switch", "--quiet", "side"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "beyond"]).ok();
    sandbox.git(&["switch", "--quiet", "--orphan", "alone"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "alone"]).ok();
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    step(&sandbox, "v3");
    sandbox
}

const REVS: [&str; 8] = ["v1", "side1", "v2", "merged", "v3", "side", "alone", "main~3"];

#[test]
fn the_exit_code_says_whether_one_revision_comes_before_another() {
    let sandbox = forked();
    // Before anything is indexed Git's own graph answers, afterwards the catalog.
    agrees_with_git(&sandbox, &REVS);
    sandbox.onenb(&["reindex"]).ok();
    agrees_with_git(&sandbox, &REVS);
    sandbox.git(&["commit-graph", "write", "--reachable"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "one more"]).ok();
    agrees_with_git(&sandbox, &["v1", "v3", "HEAD", "side"]);
    sandbox.onenb(&["is-ancestor", "v1", "nowhere"]).fails(3, &["nowhere"]);
    sandbox.onenb(&["is-ancestor", "v1"]).fails(2, &[]);
}

#[test]
fn a_shallow_clone_says_yes_where_it_can_see_and_otherwise_that_it_cannot_tell() {
    let sandbox = forked();
    let (url, clone) =
        (format!("file://{}", sandbox.in_repo("").display()), sandbox.path("clone").display().to_string());
    sandbox.git(&["clone", "--quiet", "--depth=2", &url, &clone]).ok();
    sandbox.git(&["-C", &clone, "fetch", "--quiet", "--depth=1", "origin", "tag", "v1", "tag", "side1"]).ok();
    let asked = |one: &str, two: &str| sandbox.onenb(&["-C", &clone, "is-ancestor", one, two]);
    assert_eq!(asked("HEAD~1", "HEAD").code, 0);
    // Both are in this clone, and the way from one to the other is not.
    for _ in 0..2 {
        asked("v1", "HEAD").fails(3, &["shallow", "`git fetch --unshallow`"]);
        asked("HEAD", "v1").fails(3, &["shallow"]);
    }
    // A "no" of the shallow clone must not have been remembered anywhere.
    sandbox.git(&["-C", &clone, "fetch", "--quiet", "--unshallow", "--tags"]).ok();
    assert_eq!(asked("v1", "HEAD").code, 0);
    assert_eq!(asked("HEAD", "v1").code, 1);
    assert_eq!(sandbox.onenb(&["-C", &clone, "ls", "side1"]).ok().text().lines().count(), 2);
}

/// The catalog was asked where it does not go, and its "no" counted: also of two commits from before `init`.
#[test]
fn history_from_before_init_counts() {
    let sandbox = Sandbox::git_only();
    sandbox.git(&["tag", "v0"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]).ok();
    sandbox.git(&["tag", "v0.1"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "still more"]).ok();
    sandbox.onenb(&["init"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "init"]).ok();
    step(&sandbox, "v1");
    step(&sandbox, "v2");
    let revs = ["v0", "v0.1", "v1", "v2"];
    agrees_with_git(&sandbox, &revs);
    sandbox.onenb(&["status"]).ok();
    agrees_with_git(&sandbox, &revs);
    sandbox.onenb(&["reindex"]).ok();
    agrees_with_git(&sandbox, &revs);
}

/// A commit without `.1nb` was taken for the time before `init`, and what lies behind it was lost.
#[test]
fn history_goes_on_behind_commits_that_took_everything_away() {
    let sandbox = Sandbox::git_only();
    sandbox.git(&["tag", "v0"]).ok();
    sandbox.onenb(&["init"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "init"]).ok();
    step(&sandbox, "v1");
    sandbox.git(&["rm", "-r", "--quiet", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "without"]).ok();
    sandbox.git(&["tag", "mid"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "still without"]).ok();
    sandbox.git(&["revert", "--no-edit", "mid"]).ok();
    let revs = ["v0", "v1", "mid", "HEAD~1", "HEAD"];
    for tag in ["mid", "no-tag"] {
        sandbox.onenb(&["reindex"]).ok();
        agrees_with_git(&sandbox, &revs[..if tag == "mid" { 5 } else { 2 }]);
        let log = sandbox.onenb(&["log", "Sales", "--json"]).ok().json();
        let v1 = sandbox.git(&["rev-parse", "v1"]).ok().text();
        let commits: Vec<_> = log["runs"].as_array().expect("runs").iter().map(|run| run["commit"].clone()).collect();
        assert!(commits.contains(&v1.trim().into()), "{log}");
        assert_eq!((read(&sandbox, "HEAD:Sales"), read(&sandbox, "v1:Sales")), ("v1".to_owned(), "v1".to_owned()));
        sandbox.onenb(&["cat", "HEAD~1:Sales"]).fails(3, &[]);
        let _ = sandbox.git(&["tag", "--delete", "mid"]);
    }
}

/// A tag that only the remote has was read by `ls` and `cat`, and unknown here.
#[test]
fn a_tag_of_the_remote_counts_in_a_clone_without_tags() {
    let sandbox = forked();
    sandbox.onenb(&["push"]).ok();
    let url = format!("file://{}", sandbox.in_repo("").display());
    let clone = |name: &str, more: &[&str]| {
        let path = sandbox.path(name).display().to_string();
        sandbox.git(&[&["clone", "--quiet", "--no-tags"], more, &[&url, &path]].concat()).ok();
        path
    };
    let shallow = clone("shallow", &["--depth=1"]);
    let in_shallow = |arguments: &[&str]| sandbox.onenb(&[&["-C", &shallow], arguments].concat());
    let changes = in_shallow(&["diff", "v1", "HEAD", "--json"]).ok().json()["changes"].clone();
    assert_eq!((&changes[0]["name"], &changes[0]["state"]), (&"Sales".into(), &"changed".into()), "{changes}");
    for pair in [["v1", "HEAD"], ["HEAD", "v1"]] {
        in_shallow(&["is-ancestor", pair[0], pair[1]]).fails(3, &["shallow", "`git fetch --unshallow`"]);
    }
    assert_eq!(in_shallow(&["is-ancestor", "v3", "HEAD"]).code, 0);
    in_shallow(&["diff", "v1", "v9"]).fails(3, &["v9"]);
    let all = clone("all", &["--single-branch"]);
    let in_all = |one: &str, two: &str| sandbox.onenb(&["-C", &all, "is-ancestor", one, two]);
    assert_eq!((in_all("v1", "HEAD").code, in_all("side1", "HEAD").code, in_all("HEAD", "v1").code), (0, 0, 1));
}

/// `git replace` changes history under commits that the catalog knows already; so does taking the replacement back.
#[test]
fn replaced_history_counts_at_once_and_so_does_its_end() {
    let sandbox = forked();
    sandbox.onenb(&["reindex"]).ok();
    let before = sandbox.onenb(&["ls", "v3", "--json"]).ok().text();
    let bound_by = || sandbox.onenb(&["resolve", "v3:Side"]).ok().text().split(' ').next().map(str::to_owned);
    let id = |rev: &str| Some(sandbox.git(&["rev-parse", rev]).ok().text().trim().to_owned());
    assert_eq!(bound_by(), id("side1"));
    sandbox.git(&["replace", "--graft", "v3", "v2"]).ok();
    agrees_with_git(&sandbox, &REVS);
    // As Git shows it now, it is this commit that brings the file.
    assert_eq!(bound_by(), id("v3"));
    assert_eq!((read(&sandbox, "v3:Sales"), read(&sandbox, "v3:Side")), ("v3".to_owned(), "side".to_owned()));
    sandbox.git(&["pack-refs", "--all"]).ok();
    agrees_with_git(&sandbox, &["side1", "v3"]);
    let v3 = sandbox.git(&["rev-parse", "v3"]).ok().text();
    sandbox.git(&["replace", "--delete", v3.trim()]).ok();
    agrees_with_git(&sandbox, &REVS);
    assert_eq!(sandbox.onenb(&["ls", "v3", "--json"]).ok().text(), before);
}

/// The older way to the same: a file that Git still reads.
#[test]
fn grafted_history_counts_at_once_and_so_does_its_end() {
    let sandbox = forked();
    sandbox.git(&["config", "advice.graftFileDeprecated", "false"]).ok();
    sandbox.onenb(&["reindex"]).ok();
    let id = |rev: &str| sandbox.git(&["rev-parse", rev]).ok().text().trim().to_owned();
    let (v1, v2, v3, side) = (id("v1"), id("v2"), id("v3"), id("side1"));
    // v3 has two parents, and v2 none, whatever they say themselves.
    sandbox.write(".git/info/grafts", format!("# old\n{v3} {v2} {side}\n{v2}\n").as_bytes());
    agrees_with_git(&sandbox, &["v1", "side1", "v2", "merged", "v3", "side", "v3^2", "v3~1"]);
    assert_eq!((read(&sandbox, "v3:Sales"), read(&sandbox, "v3:Side")), ("v3".to_owned(), "side".to_owned()));
    assert_eq!(read(&sandbox, "v3^2:Side"), "side");
    assert_eq!(sandbox.onenb(&["is-ancestor", &v1, "v2"]).code, 1);
    onenb::fs::remove_file(&sandbox.in_repo(".git/info/grafts")).expect("the file can go");
    agrees_with_git(&sandbox, &REVS);
    assert_eq!(sandbox.onenb(&["is-ancestor", &v1, "v2"]).code, 0);
}

#[test]
fn a_repository_with_long_object_ids_answers_alike() {
    let sandbox = Sandbox::ready();
    let long = sandbox.path("long").display().to_string();
    sandbox.git(&["init", "--quiet", "--object-format=sha256", "--initial-branch=main", &long]).ok();
    for number in 1..=3 {
        sandbox.git(&["-C", &long, "commit", "--quiet", "--allow-empty", "--message", "x"]).ok();
        sandbox.git(&["-C", &long, "tag", &format!("v{number}")]).ok();
        if number == 1 {
            sandbox.onenb(&["-C", &long, "init", "--name", "long", "local"]).ok();
        }
    }
    assert_eq!(sandbox.onenb(&["-C", &long, "is-ancestor", "v2", "v3"]).code, 0);
    assert_eq!(sandbox.onenb(&["-C", &long, "is-ancestor", "v3", "v2"]).code, 1);
    sandbox.onenb(&["-C", &long, "reindex"]).ok();
    assert_eq!(sandbox.onenb(&["-C", &long, "is-ancestor", "v2", "v3"]).code, 0);
    assert_eq!(sandbox.onenb(&["-C", &long, "is-ancestor", "v3", "v2"]).code, 1);
}
