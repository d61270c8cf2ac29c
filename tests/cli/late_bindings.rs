//! Late bindings follow whatever Git makes of a commit.

use crate::support::{Sandbox, read};

/// Makes a commit on `main` and a branch `side` where `Sales` is bound late; stands on `main`.
fn side_with_late_sales() -> Sandbox {
    let sandbox = Sandbox::ready();
    sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
    late(&sandbox, "Sales", "one", "side.txt");
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox
}

/// Exports, commits a file and leaves the record out, so that only the late binding tells.
fn late(sandbox: &Sandbox, name: &str, bytes: &str, file: &str) {
    sandbox.export(name, bytes.as_bytes(), &[]);
    sandbox.write(file, bytes.as_bytes());
    sandbox.git(&["add", file]).ok();
    sandbox.git(&["commit", "--quiet", "--message", file]).ok();
    sandbox.git(&["clean", "--quiet", "-fd", ".1nb"]).ok();
    assert_eq!(read(sandbox, &format!("HEAD:{name}")), bytes);
}

fn commit_file(sandbox: &Sandbox, file: &str, text: &str) {
    sandbox.write(file, text.as_bytes());
    sandbox.git(&["add", file]).ok();
    sandbox.git(&["commit", "--quiet", "--message", file]).ok();
}

#[test]
fn a_squash_merge_takes_them_along_whatever_the_message() {
    for message in [&["--no-edit"][..], &["--message", "squashed"]] {
        let sandbox = side_with_late_sales();
        sandbox.git(&["checkout", "--quiet", "side"]).ok();
        late(&sandbox, "Sales", "two", "more.txt");
        sandbox.git(&["checkout", "--quiet", "main"]).ok();
        commit_file(&sandbox, "main.txt", "x");
        sandbox.git(&["merge", "--quiet", "--squash", "side"]).ok();
        sandbox.git(&[&["commit", "--quiet"], message].concat()).ok();
        assert_eq!(read(&sandbox, "HEAD:Sales"), "two", "{message:?}");
        sandbox.onenb(&["cat", "HEAD~1:Sales"]).fails(3, &[]);
        assert_eq!(sandbox.git(&["rev-list", "--count", "HEAD^2"]).code, 128, "it is no merge");
    }
}

/// Only the order of the parents decided between the two sides, and nothing said so.
#[test]
fn a_merge_of_two_late_bindings_is_named_until_somebody_decides() {
    let both = || {
        let sandbox = Sandbox::ready();
        late(&sandbox, "Sales", "old", "start.txt");
        sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
        late(&sandbox, "Sales", "theirs", "side.txt");
        late(&sandbox, "Other", "other", "other.txt");
        sandbox.git(&["checkout", "--quiet", "main"]).ok();
        late(&sandbox, "Sales", "ours", "main.txt");
        late(&sandbox, "Mine", "mine", "mine.txt");
        sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).ok();
        assert_eq!(read(&sandbox, "HEAD:Sales"), "ours");
        sandbox
    };
    let disputed = |sandbox: &Sandbox| sandbox.onenb(&["status", "--json"]).ok().json()["disputed"].clone();
    for (side, wanted) in [("HEAD^2", "theirs"), ("HEAD^1", "ours")] {
        let sandbox = both();
        let list = disputed(&sandbox);
        assert_eq!((list.as_array().map(Vec::len), &list[0]["export"]), (Some(1), &"Sales".into()), "{list}");
        let merge = sandbox.git(&["rev-parse", "HEAD"]).ok().text();
        assert_eq!(list[0]["merge"], merge.trim());
        let fix = list[0]["fix"].as_str().expect("a command").to_owned();
        let text = sandbox.onenb(&["status"]).ok().text();
        assert!(text.contains("on each side of a merge") && text.contains(&fix), "{text}");
        // Also when history goes on.
        sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]).ok();
        assert_eq!(disputed(&sandbox), list);
        if wanted == "theirs" {
            let words: Vec<&str> = fix.split(' ').skip(1).map(|word| word.trim_matches('\'')).collect();
            sandbox.onenb(&words).ok();
        } else {
            let side = side.replace("HEAD", merge.trim());
            sandbox.onenb(&["bind", merge.trim(), &format!("{side}:Sales")]).ok();
        }
        assert_eq!(disputed(&sandbox), serde_json::json!([]));
        assert_eq!(read(&sandbox, "HEAD:Sales"), wanted);
    }
    // What was exported anew is no question any more, nor what a tag has settled.
    let sandbox = both();
    late(&sandbox, "Sales", "newer", "newer.txt");
    assert_eq!(disputed(&sandbox), serde_json::json!([]));
    let sandbox = both();
    sandbox.git(&["tag", "v1"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]).ok();
    assert_eq!(disputed(&sandbox), serde_json::json!([]));
}

#[test]
fn a_squash_that_was_given_up_binds_nothing_to_the_next_commit() {
    let sandbox = side_with_late_sales();
    sandbox.git(&["merge", "--quiet", "--squash", "side"]).ok();
    // The editor gives no message, so Git gives the commit up after pre-commit.
    assert_ne!(sandbox.git(&["-c", "core.editor=true", "commit", "--quiet", "--cleanup=strip", "-m", ""]).code, 0);
    sandbox.git(&["reset", "--quiet", "--hard"]).ok();
    sandbox.write("other.txt", b"x");
    sandbox.git(&["add", "other.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--no-verify", "--message", "other"]).ok();
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
}

/// Git keeps its list of the squashed commits until the next commit, whatever that is.
#[test]
fn a_squash_whose_files_were_put_back_binds_nothing_to_the_next_commit() {
    let sandbox = side_with_late_sales();
    sandbox.git(&["merge", "--quiet", "--squash", "side"]).ok();
    sandbox.git(&["restore", "--staged", "--worktree", "."]).ok();
    commit_file(&sandbox, "other.txt", "x");
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
    // Nor if the person kept what Git proposes as message.
    sandbox.git(&["merge", "--quiet", "--squash", "side"]).ok();
    sandbox.git(&["restore", "--staged", "--worktree", "."]).ok();
    sandbox.write("more.txt", b"x");
    sandbox.git(&["add", "more.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--no-verify", "--no-edit"]).ok();
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
}

/// The commits have files of their own, which come to nothing here.
#[test]
fn a_squash_that_brings_no_file_takes_them_along() {
    let undone = |sandbox: &Sandbox| {
        sandbox.git(&["checkout", "--quiet", "side"]).ok();
        sandbox.git(&["rm", "--quiet", "side.txt"]).ok();
        sandbox.git(&["commit", "--quiet", "--message", "undone"]).ok();
        sandbox.git(&["checkout", "--quiet", "main"]).ok();
        commit_file(sandbox, "main.txt", "x");
    };
    for prepare in [&undone as &dyn Fn(&Sandbox), &|sandbox| commit_file(sandbox, "side.txt", "one")] {
        let sandbox = side_with_late_sales();
        prepare(&sandbox);
        sandbox.git(&["merge", "--quiet", "--squash", "side"]).ok();
        sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "squashed"]).ok();
        assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    }
}

#[test]
fn a_cherry_pick_that_a_person_finished_takes_them_along() {
    let sandbox = side_with_late_sales();
    commit_file(&sandbox, "side.txt", "ours");
    assert_ne!(sandbox.git(&["cherry-pick", "side"]).code, 0);
    sandbox.write("side.txt", b"settled");
    sandbox.git(&["add", "side.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "picked"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.onenb(&["cat", "HEAD~1:Sales"]).fails(3, &[]);
}

#[test]
fn a_revert_takes_back_what_its_commit_was_bound_late() {
    let sandbox = side_with_late_sales();
    sandbox.git(&["checkout", "--quiet", "side"]).ok();
    late(&sandbox, "Sales", "worse", "more.txt");
    late(&sandbox, "Other", "other", "other.txt");
    // Sales changed since that commit, so taking it back takes nothing of Sales back.
    sandbox.git(&["revert", "--no-edit", "HEAD~2"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "worse");
    sandbox.git(&["revert", "--no-edit", "HEAD~2"]).ok();
    assert_eq!((read(&sandbox, "HEAD:Sales"), read(&sandbox, "HEAD:Other")), ("one".into(), "other".into()));
    assert_eq!(read(&sandbox, "HEAD~1:Sales"), "worse");
    sandbox.git(&["revert", "--no-edit", "HEAD~2"]).ok();
    sandbox.onenb(&["cat", "HEAD:Other"]).fails(3, &[]);
}

#[test]
fn of_two_commits_that_become_one_the_later_counts_and_nothing_is_left_of_a_dropped_one() {
    let sandbox = Sandbox::ready();
    late(&sandbox, "Sales", "one", "a.txt");
    late(&sandbox, "Sales", "two", "b.txt");
    late(&sandbox, "Gone", "gone", "c.txt");
    late(&sandbox, "Kept", "kept", "d.txt");
    sandbox.script("edit.sh", "sed -i -e '2s/^pick/fixup/' -e '3s/^pick/drop/' \"$1\"\n");
    let editor = sandbox.path("edit.sh").display().to_string();
    sandbox.git(&["-c", &format!("sequence.editor={editor}"), "rebase", "--quiet", "-i", "HEAD~4"]).ok();
    assert_eq!(sandbox.git(&["log", "--format=%s", "-2"]).ok().text(), "d.txt\na.txt\n");
    assert_eq!((read(&sandbox, "HEAD~1:Sales"), read(&sandbox, "HEAD:Kept")), ("two".into(), "kept".into()));
    sandbox.onenb(&["cat", "HEAD:Gone"]).fails(3, &[]);
}

#[test]
fn binding_again_within_a_second_counts_also_after_a_reindex() {
    let sandbox = Sandbox::tagged();
    sandbox.export("Sales", b"new", &[]);
    sandbox.commit_and_tag("v2");
    for spec in ["v2:Sales", "v1:Sales", "v2:Sales"] {
        sandbox.onenb(&["bind", "v1", spec]).ok();
        let now = read(&sandbox, "v1:Sales");
        sandbox.onenb(&["reindex"]).ok();
        assert_eq!(read(&sandbox, "v1:Sales"), now);
        sandbox.onenb(&["bind", "HEAD", "v1:Sales"]).ok();
        assert_eq!(read(&sandbox, "HEAD:Sales"), now);
    }
    assert_eq!(read(&sandbox, "v1:Sales"), read(&sandbox, "v2:Sales"));
}

/// Makes a clone beside the repository that has pushed `v1` with `Sales` bound late; returns its path.
fn clone_of_pushed(sandbox: &Sandbox, more: &[&str]) -> String {
    late(sandbox, "Sales", "one", "sales.txt");
    sandbox.git(&["tag", "v1"]).ok();
    sandbox.onenb(&["push"]).ok();
    let (url, clone) = (format!("file://{}", sandbox.path("repo").display()), sandbox.path("clone"));
    let clone = clone.to_string_lossy().into_owned();
    sandbox.git(&[&["clone", "--quiet"], more, &[&url, &clone]].concat()).ok();
    clone
}

fn there(sandbox: &Sandbox, spec: &str) -> crate::support::Run {
    sandbox.onenb(&["cat", &format!("{}@{spec}", sandbox.path("remote").display())])
}

/// Late bindings stayed on the machine that made them: a clone pushed the next tag without them and said "pushed".
#[test]
fn a_clone_reads_and_hands_on_what_others_bound_late() {
    let sandbox = Sandbox::ready();
    let clone = clone_of_pushed(&sandbox, &[]);
    sandbox.git(&["-C", &clone, "commit", "--quiet", "--allow-empty", "--message=more"]).ok();
    sandbox.git(&["-C", &clone, "tag", "v2"]).ok();
    sandbox.onenb(&["-C", &clone, "push", "v2"]).ok();
    assert_eq!(there(&sandbox, "v2:Sales").ok().text(), "one");
    sandbox.onenb(&["-C", &clone, "reindex"]).ok();
    for rev in ["v1", "v2", "HEAD"] {
        assert_eq!(sandbox.onenb(&["-C", &clone, "cat", &format!("{rev}:Sales")]).ok().text(), "one");
    }
    // What the clone takes away stays away.
    sandbox.onenb(&["-C", &clone, "unbind", "HEAD", "Sales", "--force"]).ok();
    sandbox.onenb(&["-C", &clone, "cat", "HEAD:Sales"]).fails(3, &[]);
    sandbox.git(&["-C", &clone, "commit", "--quiet", "--allow-empty", "--message=less"]).ok();
    sandbox.git(&["-C", &clone, "tag", "v3"]).ok();
    sandbox.onenb(&["-C", &clone, "push", "v3"]).ok();
    there(&sandbox, "v3:Sales").fails(3, &[]);
    assert_eq!(there(&sandbox, "v1:Sales").ok().text(), "one");
}

#[test]
fn a_shallow_clone_says_that_late_bindings_may_be_left_out() {
    let sandbox = Sandbox::ready();
    late(&sandbox, "Other", "x", "other.txt");
    let clone = clone_of_pushed(&sandbox, &["--depth=1"]);
    commit_file(&sandbox, "later.txt", "x");
    sandbox.git(&["-C", &clone, "fetch", "--quiet", "--depth=1", "origin", "main"]).ok();
    sandbox.git(&["-C", &clone, "tag", "v2", "FETCH_HEAD"]).ok();
    let run = sandbox.onenb(&["-C", &clone, "push", "v2"]).ok();
    assert!(run.stderr.contains("history is cut off") && run.stderr.contains("`git fetch --unshallow`"), "{run}");
}
