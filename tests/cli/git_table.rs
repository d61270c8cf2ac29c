//! Every row of `docs/git.md`, run with the machine's own Git.
//!
//! Each test is a row: it starts from a repository with a tag `v1`, does what the row says, and checks what the row
//! promises. Afterwards, of every row: `git fsck --strict` has nothing to say, `v1` reads as before, and the answers
//! about every branch and tag are the same from a rebuilt catalog.

use std::collections::BTreeSet;

use crate::support::{Run, Sandbox, notebook, read};

const RUN_1: &str = "01JCWZ4Z8Q4X2V5D9E7T1R3K6M";
const RUN_2: &str = "01JCWZ4Z8Q4X2V5D9E7T1R3K6N";

/// Declares the rows: a test for each, and the list of all.
macro_rules! rows {
    ($($row:ident)*) => {
        const ROWS: &[&str] = &[$(stringify!($row)),*];
        $(#[test]
        fn $row() {
            check_row(scenario::$row);
        })*
    };
}

rows! {
    commit commit_all commit_paths commit_no_verify commit_without_hooks amend rebase rebase_onto_conflict fixup squash_commits
    reorder drop_commit cherry_pick revert merge_fast_forward merge_commit merge_squash merge_conflict merge_ours
    reset_soft reset_hard checkout_files stash annotated_tag moved_tag tag_of_a_blob detached_head unborn_branch branch_and_tag_of_one_name
    worktree submodule clone bare_clone partial_clone shallow_clone clean gc filter_branch replace sha256 reftable hooks_path husky
    other_hooks git_lfs dead_program push_tag push_nothing_of_ours push_by_id push_delete push_no_verify
}

#[test]
fn the_page_and_the_tests_have_the_same_rows() {
    let page = include_str!("../../docs/git.md");
    let named: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(row, _)| row.replace('-', "_"))
        .collect();
    assert_eq!(named, ROWS.iter().map(|row| (*row).to_owned()).collect());
}

/// A tag `v1` with `Sales` in a record and `Late` bound by the hook alone; stands on `main`, which is at `v1`.
fn start() -> Sandbox {
    let sandbox = Sandbox::ready();
    record(&sandbox, "Sales", "one");
    late(&sandbox, "Late", "late");
    sandbox.git(&["tag", "v1"]).ok();
    sandbox
}

fn check_row(scenario: fn(&Sandbox)) {
    let sandbox = start();
    let before = sandbox.onenb(&["ls", "v1", "--json"]).ok().text();
    scenario(&sandbox);
    if !sandbox.in_repo(".git").exists() || sandbox.git(&["rev-parse", "--quiet", "--verify", "refs/tags/v1"]).code != 0
    {
        return;
    }
    let fsck = sandbox.git(&["fsck", "--strict"]).ok();
    assert!(!fsck.stderr.contains("error") && !fsck.text().contains("missing"), "{fsck}");
    let rewritten = sandbox.in_repo("rewritten").exists();
    if !rewritten {
        assert_eq!(sandbox.onenb(&["ls", "v1", "--json"]).ok().text(), before);
    }
    assert_eq!((read(&sandbox, "v1:Sales"), read(&sandbox, "v1:Late")), ("one".into(), "late".into()));
    let now = answers(&sandbox);
    sandbox.onenb(&["reindex"]).ok();
    assert_eq!(answers(&sandbox), now);
}

fn answers(sandbox: &Sandbox) -> Vec<(String, String)> {
    let refs = sandbox.git(&["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags"]).ok().text();
    let list = |name: &str| (name.to_owned(), sandbox.onenb(&["ls", name, "--json"]).text());
    refs.lines().map(list).collect()
}

/// Exports and commits with the record.
fn record(sandbox: &Sandbox, name: &str, bytes: &str) -> Run {
    sandbox.export(name, bytes.as_bytes(), &[]);
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", &format!("{name} {bytes}")]).ok()
}

/// Exports and commits without the record, which is removed: only the late binding knows.
fn late(sandbox: &Sandbox, name: &str, bytes: &str) {
    sandbox.export(name, bytes.as_bytes(), &[]);
    sandbox.write(&format!("{name}.txt"), bytes.as_bytes());
    sandbox.git(&["add", &format!("{name}.txt")]).ok();
    sandbox.git(&["commit", "--quiet", "--message", &format!("{name} {bytes}")]).ok();
    sandbox.git(&["clean", "--quiet", "-fd", ".1nb"]).ok();
}

fn file(sandbox: &Sandbox, name: &str) {
    sandbox.write(name, name.as_bytes());
    sandbox.git(&["add", name]).ok();
    sandbox.git(&["commit", "--quiet", "--message", name]).ok();
}

fn assert_clean(sandbox: &Sandbox) {
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
}

fn has(sandbox: &Sandbox, rev: &str, expected: &[(&str, &str)]) {
    for (name, bytes) in expected {
        assert_eq!(read(sandbox, &format!("{rev}:{name}")), *bytes, "{rev}:{name}");
    }
}

fn has_not(sandbox: &Sandbox, rev: &str, name: &str) {
    sandbox.onenb(&["cat", &format!("{rev}:{name}")]).fails(3, &[]);
}

/// Runs `git rebase -i` with these edits (of `sed`) to its list.
fn rebase_list(sandbox: &Sandbox, edits: &str, base: &str) {
    sandbox.script("edit.sh", &format!("sed -i -e '{edits}' \"$1\"\n"));
    let editor = format!("sequence.editor={}", sandbox.path("edit.sh").display());
    sandbox.git(&["-c", &editor, "-c", "core.editor=true", "rebase", "--quiet", "-i", base]).ok();
}

fn subject_of_remote(sandbox: &Sandbox, spec: &str) -> Run {
    let url = sandbox.path("remote").display().to_string();
    sandbox.onenb(&["cat", &format!("{url}@{spec}")])
}

mod scenario {
    use super::*;

    pub(super) fn commit(s: &Sandbox) {
        s.write("report.ipynb", notebook(s, "Report", b"r", RUN_1).as_bytes());
        s.git(&["add", "report.ipynb"]).ok();
        let run = s.git(&["commit", "--quiet", "--message", "report"]).ok();
        assert!(run.stderr.contains("onenb: bound Report to "), "{run}");
        has(s, "HEAD", &[("Report", "r"), ("Sales", "one"), ("Late", "late")]);
        assert_clean(s);
    }

    pub(super) fn commit_all(s: &Sandbox) {
        s.export("Sales", b"two", &[]);
        s.git(&["commit", "--quiet", "--all", "--message", "all"]).ok();
        has(s, "HEAD", &[("Sales", "two"), ("Late", "late")]);
        assert_clean(s);
        for (name, run) in [("First", RUN_1), ("Second", RUN_2)] {
            s.write("report.ipynb", notebook(s, name, b"r", run).as_bytes());
            s.git(&["add", "--intent-to-add", "report.ipynb"]).ok();
            s.git(&["commit", "--quiet", "--all", "--message", name]).ok();
            has(s, "HEAD", &[(name, "r")]);
            assert_clean(s);
        }
    }

    pub(super) fn commit_paths(s: &Sandbox) {
        s.write("report.ipynb", notebook(s, "Report", b"r", RUN_1).as_bytes());
        s.write("other.txt", b"x");
        s.git(&["add", "report.ipynb", "other.txt"]).ok();
        s.git(&["commit", "--quiet", "--message", "one path", "report.ipynb"]).ok();
        has(s, "HEAD", &[("Report", "r"), ("Sales", "one")]);
        assert_eq!(s.git(&["diff", "--cached", "--name-only"]).ok().text(), "other.txt\n");
        s.onenb(&["addnb", "report.ipynb"]).ok();
        s.git(&["commit", "--quiet", "--message", "its records"]).ok();
        s.write("report.ipynb", notebook(s, "Report", b"again", RUN_2).as_bytes());
        let run = s.git(&["commit", "--quiet", "--message", "again", "report.ipynb"]).ok();
        assert!(run.stderr.contains("`onenb addnb report.ipynb`"), "{run}");
        has(s, "HEAD", &[("Report", "r")]);
        s.onenb(&["addnb", "report.ipynb"]).ok();
        s.git(&["commit", "--quiet", "--message", "its records"]).ok();
        has(s, "HEAD", &[("Report", "again")]);
    }

    pub(super) fn commit_no_verify(s: &Sandbox) {
        s.write("report.ipynb", notebook(s, "Report", b"r", RUN_1).as_bytes());
        s.git(&["add", "report.ipynb"]).ok();
        s.git(&["commit", "--quiet", "--no-verify", "--message", "report"]).ok();
        has(s, "HEAD", &[("Report", "r"), ("Sales", "one")]);
    }

    pub(super) fn commit_without_hooks(s: &Sandbox) {
        s.git(&["config", "core.hooksPath", "/dev/null"]).ok();
        s.write("report.ipynb", notebook(s, "Report", b"r", RUN_1).as_bytes());
        s.git(&["add", "report.ipynb"]).ok();
        s.git(&["commit", "--quiet", "--message", "report"]).ok();
        has(s, "HEAD", &[("Report", "r"), ("Sales", "one"), ("Late", "late")]);
    }

    pub(super) fn amend(s: &Sandbox) {
        late(s, "More", "more");
        s.export("Sales", b"two", &[]);
        s.git(&["add", ".1nb"]).ok();
        s.git(&["commit", "--quiet", "--amend", "--message", "amended"]).ok();
        has(s, "HEAD", &[("Sales", "two"), ("More", "more"), ("Late", "late")]);
        has(s, "HEAD~1", &[("Sales", "one")]);
        assert_clean(s);
    }

    pub(super) fn rebase(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Topic", "t");
        late(s, "More", "more");
        s.git(&["switch", "--quiet", "main"]).ok();
        record(s, "Sales", "two");
        s.git(&["rebase", "--quiet", "main", "topic"]).ok();
        has(s, "HEAD", &[("Topic", "t"), ("More", "more"), ("Sales", "two"), ("Late", "late")]);
        has_not(s, "HEAD~1", "More");
        assert_clean(s);
    }

    pub(super) fn rebase_onto_conflict(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Sales", "topic");
        late(s, "More", "more");
        s.git(&["switch", "--quiet", "main"]).ok();
        record(s, "Sales", "main");
        assert_ne!(s.git(&["rebase", "--quiet", "main", "topic"]).code, 0);
        s.onenb(&["take", "--theirs", "Sales"]).ok();
        s.git(&["-c", "core.editor=true", "rebase", "--continue"]).ok();
        has(s, "topic", &[("Sales", "topic"), ("More", "more")]);
        has(s, "topic~2", &[("Sales", "main")]);
    }

    pub(super) fn fixup(s: &Sandbox) {
        late(s, "More", "a");
        late(s, "More", "b");
        rebase_list(s, "2s/^pick/fixup/", "HEAD~2");
        has(s, "HEAD", &[("More", "b"), ("Sales", "one")]);
        has_not(s, "HEAD~1", "More");
    }

    pub(super) fn squash_commits(s: &Sandbox) {
        record(s, "Sales", "two");
        late(s, "More", "more");
        record(s, "Sales", "three");
        rebase_list(s, "2,3s/^pick/squash/", "HEAD~3");
        has(s, "HEAD", &[("Sales", "three"), ("More", "more")]);
        has(s, "HEAD~1", &[("Sales", "one")]);
    }

    pub(super) fn reorder(s: &Sandbox) {
        late(s, "A", "a");
        late(s, "B", "b");
        rebase_list(s, "1{h;d};2{G}", "HEAD~2");
        assert_eq!(s.git(&["log", "--format=%s", "-2"]).ok().text(), "A a\nB b\n");
        has(s, "HEAD", &[("A", "a"), ("B", "b")]);
        has(s, "HEAD~1", &[("B", "b")]);
        has_not(s, "HEAD~1", "A");
    }

    pub(super) fn drop_commit(s: &Sandbox) {
        late(s, "Gone", "gone");
        record(s, "Sales", "two");
        late(s, "More", "more");
        rebase_list(s, "1s/^pick/drop/", "HEAD~3");
        has(s, "HEAD", &[("Sales", "two"), ("More", "more")]);
        has_not(s, "HEAD", "Gone");
    }

    pub(super) fn cherry_pick(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Topic", "t");
        late(s, "More", "more");
        s.git(&["switch", "--quiet", "main"]).ok();
        file(s, "x.txt");
        s.git(&["cherry-pick", "topic~1", "topic"]).ok();
        has(s, "HEAD", &[("Topic", "t"), ("More", "more"), ("Sales", "one")]);
        has_not(s, "HEAD~1", "More");
    }

    pub(super) fn revert(s: &Sandbox) {
        record(s, "Sales", "two");
        late(s, "Late", "later");
        record(s, "Other", "o");
        s.git(&["revert", "--no-edit", "HEAD~2"]).ok();
        has(s, "HEAD", &[("Sales", "one"), ("Late", "later"), ("Other", "o")]);
        s.git(&["revert", "--no-edit", "HEAD~2"]).ok();
        has(s, "HEAD", &[("Sales", "one"), ("Late", "late"), ("Other", "o")]);
    }

    pub(super) fn merge_fast_forward(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        late(s, "More", "more");
        s.git(&["switch", "--quiet", "main"]).ok();
        s.git(&["merge", "--quiet", "--ff-only", "topic"]).ok();
        has(s, "main", &[("More", "more"), ("Sales", "one")]);
    }

    pub(super) fn merge_commit(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Topic", "t");
        late(s, "More", "more");
        s.git(&["switch", "--quiet", "main"]).ok();
        record(s, "Sales", "two");
        s.git(&["merge", "--quiet", "--no-edit", "topic"]).ok();
        has(s, "HEAD", &[("Topic", "t"), ("More", "more"), ("Sales", "two"), ("Late", "late")]);
        has_not(s, "HEAD^1", "Topic");
        has(s, "HEAD^2", &[("Sales", "one")]);
        assert_clean(s);
    }

    pub(super) fn merge_squash(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Topic", "t");
        late(s, "More", "more");
        s.git(&["switch", "--quiet", "main"]).ok();
        file(s, "x.txt");
        s.git(&["merge", "--quiet", "--squash", "topic"]).ok();
        s.git(&["commit", "--quiet", "--message", "squashed"]).ok();
        has(s, "HEAD", &[("Topic", "t"), ("More", "more")]);
        has_not(s, "HEAD~1", "More");
    }

    pub(super) fn merge_conflict(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Sales", "theirs");
        s.git(&["switch", "--quiet", "main"]).ok();
        record(s, "Sales", "ours");
        assert_ne!(s.git(&["merge", "--quiet", "--no-edit", "topic"]).code, 0);
        assert!(s.onenb(&["status"]).ok().text().contains("`onenb take --ours NAME`"));
        s.onenb(&["take", "--theirs", "Sales"]).ok();
        s.git(&["commit", "--quiet", "--no-edit"]).ok();
        has(s, "HEAD", &[("Sales", "theirs")]);
        has(s, "HEAD^1", &[("Sales", "ours")]);
        assert_clean(s);
    }

    pub(super) fn merge_ours(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "topic"]).ok();
        record(s, "Sales", "theirs");
        s.git(&["switch", "--quiet", "main"]).ok();
        file(s, "x.txt");
        s.git(&["merge", "--quiet", "--no-edit", "--strategy=ours", "topic"]).ok();
        has(s, "HEAD", &[("Sales", "one")]);
        has(s, "HEAD^2", &[("Sales", "theirs")]);
    }

    pub(super) fn reset_soft(s: &Sandbox) {
        for how in ["--soft", "--mixed"] {
            late(s, "One", how);
            late(s, "Two", how);
            s.git(&["reset", "--quiet", how, "HEAD~2"]).ok();
            s.git(&["add", "--all"]).ok();
            s.git(&["reset", "--quiet", "--", ".1nb"]).ok();
            s.git(&["commit", "--quiet", "--allow-empty", "--message", "one"]).ok();
            has(s, "HEAD", &[("One", how), ("Two", how), ("Sales", "one"), ("Late", "late")]);
        }
        // What was thrown away does not come back.
        late(s, "Three", "three");
        s.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
        s.write("other", b"other");
        s.git(&["add", "other"]).ok();
        s.git(&["commit", "--quiet", "--message", "other"]).ok();
        has_not(s, "HEAD", "Three");
    }

    pub(super) fn reset_hard(s: &Sandbox) {
        record(s, "Sales", "two");
        let gone = s.git(&["rev-parse", "HEAD"]).ok().text();
        s.git(&["reset", "--quiet", "--hard", "v1"]).ok();
        has(s, "HEAD", &[("Sales", "one")]);
        has(s, "working", &[("Sales", "one")]);
        has(s, gone.trim(), &[("Sales", "two")]);
        has(s, "HEAD@{1}", &[("Sales", "two")]);
    }

    pub(super) fn checkout_files(s: &Sandbox) {
        record(s, "Sales", "two");
        s.git(&["checkout", "--quiet", "v1", "--", ".1nb"]).ok();
        has(s, "working", &[("Sales", "one")]);
        has(s, "HEAD", &[("Sales", "two")]);
        s.git(&["commit", "--quiet", "--message", "back"]).ok();
        has(s, "HEAD", &[("Sales", "one")]);
    }

    pub(super) fn stash(s: &Sandbox) {
        s.export("Sales", b"two", &[]);
        s.git(&["stash", "push", "--quiet"]).ok();
        has(s, "working", &[("Sales", "one")]);
        has(s, "stash@{0}", &[("Sales", "two")]);
        file(s, "x.txt");
        s.git(&["stash", "pop", "--quiet"]).ok();
        has(s, "working", &[("Sales", "two")]);
        has(s, "HEAD", &[("Sales", "one")]);
    }

    pub(super) fn annotated_tag(s: &Sandbox) {
        record(s, "Sales", "two");
        s.git(&["tag", "--annotate", "--message", "second", "v2"]).ok();
        s.git(&["tag", "v2-again", "v2"]).ok();
        has(s, "v2", &[("Sales", "two")]);
        has(s, "v2-again", &[("Sales", "two")]);
    }

    pub(super) fn moved_tag(s: &Sandbox) {
        s.git(&["tag", "moving"]).ok();
        s.onenb(&["push", "moving"]).ok();
        record(s, "Sales", "two");
        s.git(&["tag", "--force", "moving"]).ok();
        has(s, "moving", &[("Sales", "two")]);
        s.onenb(&["push", "moving"]).fails(1, &["--force"]);
        let json = s.onenb(&["status", "--json"]).ok().json();
        assert_eq!(json["moved"][0]["tag"], "moving");
        assert_eq!(subject_of_remote(s, "moving:Sales").ok().text(), "one");
    }

    pub(super) fn tag_of_a_blob(s: &Sandbox) {
        let blob = s.git(&["rev-parse", "HEAD:Late.txt"]).ok().text();
        s.git(&["tag", "blob", blob.trim()]).ok();
        s.git(&["tag", "tree", "HEAD^{tree}"]).ok();
        s.onenb(&["ls", "blob"]).fails(3, &["blob"]);
        s.onenb(&["ls", "tree"]).fails(3, &["tree"]);
        s.onenb(&["status"]).ok();
        s.onenb(&["push"]).ok();
    }

    pub(super) fn detached_head(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--detach"]).ok();
        record(s, "Sales", "two");
        has(s, "HEAD", &[("Sales", "two"), ("Late", "late")]);
        s.git(&["switch", "--quiet", "main"]).ok();
        has(s, "HEAD", &[("Sales", "one")]);
    }

    pub(super) fn unborn_branch(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--orphan", "fresh"]).ok();
        s.onenb(&["ls"]).fails(1, &["not set up"]);
        s.git(&["checkout", "--quiet", "v1", "--", ".1nb/config.toml", ".1nb/.gitattributes"]).ok();
        s.onenb(&["ls"]).fails(3, &["fresh"]);
        s.onenb(&["status"]).ok();
        record(s, "Fresh", "f");
        has(s, "HEAD", &[("Fresh", "f")]);
        has_not(s, "HEAD", "Sales");
        s.git(&["switch", "--quiet", "main"]).ok();
    }

    pub(super) fn branch_and_tag_of_one_name(s: &Sandbox) {
        s.git(&["switch", "--quiet", "--create", "both"]).ok();
        record(s, "Sales", "branch");
        s.git(&["tag", "both", "v1"]).ok();
        has(s, "both", &[("Sales", "one")]);
        has(s, "refs/heads/both", &[("Sales", "branch")]);
        s.git(&["switch", "--quiet", "--create", "größe/mit-#zeichen"]).ok();
        record(s, "Sales", "odd");
        has(s, "größe/mit-#zeichen", &[("Sales", "odd")]);
        s.git(&["switch", "--quiet", "main"]).ok();
    }

    pub(super) fn worktree(s: &Sandbox) {
        let tree = s.path("tree").display().to_string();
        s.git(&["worktree", "add", "--quiet", "-b", "other", &tree]).ok();
        s.onenb_with(&["-C", &tree, "export", "Sales", "-", "--suffix", ".csv"], b"two").ok();
        has(s, "working", &[("Sales", "one")]);
        s.git(&["-C", &tree, "add", ".1nb"]).ok();
        s.git(&["-C", &tree, "commit", "--quiet", "--message", "there"]).ok();
        has(s, "other", &[("Sales", "two"), ("Late", "late")]);
        s.git(&["worktree", "remove", "--force", &tree]).ok();
        has(s, "other", &[("Sales", "two")]);
        assert_clean(s);
    }

    pub(super) fn submodule(s: &Sandbox) {
        let module = s.path("module").display().to_string();
        s.git(&["clone", "--quiet", ".", &module]).ok();
        s.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &module, "sub"]).ok();
        s.git(&["commit", "--quiet", "--message", "module"]).ok();
        has(s, "HEAD", &[("Sales", "one"), ("Late", "late")]);
        s.onenb_with(&["-C", "sub", "export", "Inner", "-", "--suffix", ".csv"], b"inner").ok();
        s.git(&["-C", "sub", "add", ".1nb"]).ok();
        s.git(&["-C", "sub", "commit", "--quiet", "--message", "inner"]).ok();
        assert_eq!(s.onenb(&["-C", "sub", "cat", "HEAD:Inner"]).ok().text(), "inner");
        has_not(s, "HEAD", "Inner");
        s.onenb(&["cat", "working:Inner"]).fails(3, &[]);
    }

    pub(super) fn clone(s: &Sandbox) {
        s.onenb(&["push", "v1"]).ok();
        let clone = s.path("clone").display().to_string();
        s.git(&["clone", "--quiet", ".", &clone]).ok();
        for (name, bytes) in [("Sales", "one"), ("Late", "late")] {
            assert_eq!(s.onenb(&["-C", &clone, "cat", &format!("v1:{name}")]).ok().text(), bytes);
        }
    }

    pub(super) fn bare_clone(s: &Sandbox) {
        s.onenb(&["push", "v1"]).ok();
        let clone = s.path("bare.git").display().to_string();
        s.git(&["clone", "--quiet", "--bare", ".", &clone]).ok();
        for (name, bytes) in [("Sales", "one"), ("Late", "late")] {
            assert_eq!(s.onenb(&["-C", &clone, "cat", &format!("v1:{name}")]).ok().text(), bytes);
        }
        s.onenb_with(&["-C", &clone, "export", "X", "-", "--suffix", ".csv"], b"x").fails(1, &["work tree"]);
    }

    pub(super) fn partial_clone(s: &Sandbox) {
        record(s, "Sales", "two");
        s.onenb(&["push", "v1"]).ok();
        s.git(&["config", "uploadpack.allowFilter", "true"]).ok();
        s.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]).ok();
        let (url, clone) = (format!("file://{}", s.path("repo").display()), s.path("partial").display().to_string());
        s.git(&["clone", "--quiet", "--filter=blob:none", &url, &clone]).ok();
        assert_eq!(s.onenb(&["-C", &clone, "cat", "v1:Sales"]).ok().text(), "one");
        let treeless = s.path("treeless").display().to_string();
        s.git(&["clone", "--quiet", "--filter=tree:0", &url, &treeless]).ok();
        s.onenb(&["-C", &treeless, "cat", "v1:Sales"])
            .fails(1, &["left out", "git fetch --refetch --filter=blob:none"]);
        s.git(&["-C", &treeless, "fetch", "--quiet", "--refetch", "--filter=blob:none"]).ok();
        assert_eq!(s.onenb(&["-C", &treeless, "cat", "v1:Sales"]).ok().text(), "one");
    }

    pub(super) fn shallow_clone(s: &Sandbox) {
        record(s, "Sales", "two");
        s.git(&["tag", "v2"]).ok();
        s.onenb(&["push"]).ok();
        let (url, clone) = (format!("file://{}", s.path("repo").display()), s.path("shallow").display().to_string());
        s.git(&["clone", "--quiet", "--depth=1", "--no-tags", "--branch=main", &url, &clone]).ok();
        assert_eq!(s.onenb(&["-C", &clone, "cat", "HEAD:Sales"]).ok().text(), "two");
        assert_eq!(s.onenb(&["-C", &clone, "cat", "HEAD:Late"]).ok().text(), "late");
        assert_eq!(s.onenb(&["-C", &clone, "cat", "v1:Sales"]).ok().text(), "one");
    }

    pub(super) fn clean(s: &Sandbox) {
        s.export("Fresh", b"fresh", &[]);
        s.git(&["clean", "--quiet", "-ffdx"]).ok();
        has(s, "HEAD", &[("Sales", "one"), ("Late", "late")]);
        has_not(s, "working", "Fresh");
        assert_clean(s);
    }

    pub(super) fn gc(s: &Sandbox) {
        record(s, "Sales", "two");
        s.git(&["reset", "--quiet", "--hard", "v1"]).ok();
        s.git(&["reflog", "expire", "--expire=all", "--all"]).ok();
        s.git(&["gc", "--quiet", "--prune=now"]).ok();
        s.git(&["pack-refs", "--all"]).ok();
        has(s, "HEAD", &[("Sales", "one"), ("Late", "late")]);
        s.onenb(&["verify"]).ok();
    }

    pub(super) fn filter_branch(s: &Sandbox) {
        file(s, "secret.txt");
        record(s, "Sales", "two");
        s.git(&["tag", "v2"]).ok();
        let mut command = s.command("git");
        command.env("FILTER_BRANCH_SQUELCH_WARNING", "1");
        let filter = "git rm --quiet --cached --ignore-unmatch secret.txt";
        command.args(["filter-branch", "--force", "--index-filter", filter, "--tag-name-filter", "cat", "--", "v2"]);
        crate::support::finish(command, b"").ok();
        has(s, "v2", &[("Sales", "two"), ("Late", "late")]);
        has(s, "refs/original/refs/tags/v2", &[("Sales", "two")]);
        s.git(&["checkout", "--quiet", "--force", "main"]).ok();
    }

    pub(super) fn replace(s: &Sandbox) {
        record(s, "Sales", "two");
        record(s, "Sales", "three");
        s.git(&["replace", "--graft", "HEAD", "v1"]).ok();
        has(s, "HEAD", &[("Sales", "three")]);
        has(s, "HEAD~1", &[("Sales", "one")]);
    }

    pub(super) fn sha256(s: &Sandbox) {
        let other = s.path("long").display().to_string();
        s.git(&["init", "--quiet", "--object-format=sha256", "--initial-branch=main", &other]).ok();
        s.onenb(&["-C", &other, "init", "--name", "long"]).ok();
        s.onenb_with(&["-C", &other, "export", "Sales", "-", "--suffix", ".csv"], b"long").ok();
        s.git(&["-C", &other, "add", ".1nb"]).ok();
        s.git(&["-C", &other, "commit", "--quiet", "--message", "first"]).ok();
        s.git(&["-C", &other, "tag", "v1"]).ok();
        assert_eq!(s.onenb(&["-C", &other, "cat", "v1:Sales"]).ok().text(), "long");
        s.git(&["-C", &other, "fsck", "--strict"]).ok();
    }

    pub(super) fn reftable(s: &Sandbox) {
        let other = s.path("table").display().to_string();
        if s.git(&["init", "--quiet", "--ref-format=reftable", &other]).code != 0 {
            return;
        }
        s.onenb(&["-C", &other, "init"]).fails(1, &["reftable"]);
    }

    pub(super) fn hooks_path(s: &Sandbox) {
        s.git(&["config", "core.hooksPath", "tools/hooks"]).ok();
        s.script("log.sh", "");
        s.write("tools/hooks/pre-commit", b"#!/bin/sh\necho theirs >> \"$(git rev-parse --git-dir)/ran\"\n");
        onenb::fs::set_executable(&s.in_repo("tools/hooks/pre-commit")).expect("executable");
        s.onenb(&["hooks", "install"]).ok();
        s.export("Sales", b"two", &[]);
        s.git(&["add", ".1nb"]).ok();
        let run = s.git(&["commit", "--quiet", "--message", "two"]).ok();
        assert!(run.stderr.contains("bound Sales"), "{run}");
        assert_eq!(std::fs::read_to_string(s.in_repo(".git/ran")).expect("their hook ran"), "theirs\n");
        s.onenb(&["hooks", "uninstall"]).ok();
        let left = std::fs::read_to_string(s.in_repo("tools/hooks/pre-commit")).expect("their hook");
        assert_eq!(left, "#!/bin/sh\necho theirs >> \"$(git rev-parse --git-dir)/ran\"\n");
    }

    pub(super) fn husky(s: &Sandbox) {
        // What husky 9 makes: `_` with a wrapper for each hook that sources `h`, which runs the tracked file beside.
        s.write(".husky/_/h", b"#!/usr/bin/env sh\nn=$(basename \"$0\")\ns=$(dirname \"$(dirname \"$0\")\")/$n\n[ ! -f \"$s\" ] && exit 0\nsh -e \"$s\" \"$@\"\n");
        for event in ["pre-commit", "post-commit", "pre-push"] {
            let path = format!(".husky/_/{event}");
            s.write(&path, b"#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"\n");
            onenb::fs::set_executable(&s.in_repo(&path)).expect("executable");
        }
        s.write(".husky/pre-commit", b"echo theirs >&2\n");
        s.git(&["config", "core.hooksPath", ".husky/_"]).ok();
        s.onenb(&["hooks", "install"]).ok();
        let text = std::fs::read_to_string(s.in_repo(".husky/pre-commit")).expect("the tracked hook");
        assert!(text.contains("onenb hook pre-commit") || text.contains("hook pre-commit"), "{text}");
        assert!(!text.contains(&s.path("").display().to_string()), "no path of this machine: {text}");
        s.export("Sales", b"two", &[]);
        s.git(&["add", ".1nb"]).ok();
        let run = s.git(&["commit", "--quiet", "--message", "two"]).ok();
        assert!(run.stderr.contains("theirs"), "{run}");
        has(s, "HEAD", &[("Sales", "two")]);
    }

    pub(super) fn other_hooks(s: &Sandbox) {
        // A hook in Python, as the pre-commit framework writes it, is no shell script: it is moved beside and still
        // runs.
        s.onenb(&["hooks", "uninstall"]).ok();
        let theirs = b"#!/usr/bin/env -S sh -e\necho \"theirs $0\" >> .git/ran\n";
        s.write(".git/hooks/pre-commit", theirs);
        s.write(".git/hooks/pre-push", b"#!/bin/sh\ncat >> .git/refs-pushed\n");
        for hook in ["pre-commit", "pre-push"] {
            onenb::fs::set_executable(&s.in_repo(&format!(".git/hooks/{hook}"))).expect("executable");
        }
        s.onenb(&["hooks", "install"]).ok();
        record(s, "Sales", "two");
        assert!(std::fs::read_to_string(s.in_repo(".git/ran")).expect("it ran").starts_with("theirs"));
        s.add_origin();
        s.git(&["push", "--quiet", "origin", "v1"]).ok();
        let pushed = std::fs::read_to_string(s.in_repo(".git/refs-pushed")).expect("it ran");
        assert!(pushed.starts_with("refs/tags/v1 "), "{pushed}");
        s.onenb(&["hooks", "uninstall"]).ok();
        assert_eq!(std::fs::read(s.in_repo(".git/hooks/pre-commit")).expect("theirs"), theirs);
    }

    pub(super) fn git_lfs(s: &Sandbox) {
        // The hooks that git-lfs installs, with a program in its place that notes how it was called.
        s.onenb(&["hooks", "uninstall"]).ok();
        s.script("git-lfs", "echo \"$1\" >> .git/lfs-calls\ncat > /dev/null\n");
        let lfs = s.path("git-lfs").display().to_string();
        for hook in ["post-checkout", "post-commit", "post-merge", "pre-push"] {
            let path = format!(".git/hooks/{hook}");
            s.write(
                &path,
                format!("#!/bin/sh\ncommand -v {lfs} >/dev/null 2>&1 || exit 2\n{lfs} {hook} \"$@\"\n").as_bytes(),
            );
            onenb::fs::set_executable(&s.in_repo(&path)).expect("executable");
        }
        s.onenb(&["hooks", "install"]).ok();
        let run = record(s, "Sales", "two");
        assert!(run.stderr.contains("bound Sales"), "{run}");
        s.add_origin();
        s.git(&["push", "--quiet", "origin", "v1"]).ok();
        let calls = std::fs::read_to_string(s.in_repo(".git/lfs-calls")).expect("it was called");
        assert_eq!(calls, "post-commit\npre-push\n");
        assert_eq!(subject_of_remote(s, "v1:Sales").ok().text(), "one");
    }

    pub(super) fn dead_program(s: &Sandbox) {
        for hook in ["pre-commit", "post-commit", "pre-push"] {
            let path = s.in_repo(&format!(".git/hooks/{hook}"));
            let text = std::fs::read_to_string(&path).expect("a hook");
            let dead = text.lines().map(|line| match line.strip_prefix("onenb_program=") {
                Some(_) => "onenb_program='/nowhere/onenb'\n".to_owned(),
                None => format!("{line}\n"),
            });
            onenb::fs::write_atomic_keeping_mode(&path, dead.collect::<String>().as_bytes()).expect("rewritten");
        }
        let run = record(s, "Sales", "two");
        assert!(run.stderr.contains("`onenb hooks install`"), "{run}");
        has(s, "HEAD", &[("Sales", "two"), ("Late", "late")]);
        assert_eq!(s.onenb(&["hooks", "status"]).code, 1);
        assert!(s.onenb(&["status"]).ok().text().contains("/nowhere/onenb"));
    }

    pub(super) fn push_tag(s: &Sandbox) {
        s.add_origin();
        s.git(&["push", "--quiet", "origin", "v1"]).ok();
        assert_eq!(subject_of_remote(s, "v1:Sales").ok().text(), "one");
        assert_eq!(subject_of_remote(s, "v1:Late").ok().text(), "late");
        let run = s.git(&["push", "--quiet", "origin", "v1:refs/tags/other-name"]).ok();
        assert!(run.stderr.contains("other-name"), "{run}");
    }

    pub(super) fn push_nothing_of_ours(s: &Sandbox) {
        s.add_origin();
        s.onenb(&["push"]).ok();
        file(s, "x.txt");
        let run = s.git(&["push", "--quiet", "origin", "main"]).ok();
        assert_eq!(run.stderr, "");
        assert_eq!(s.git(&["push", "--quiet", "origin", "main"]).ok().stderr, "");
    }

    pub(super) fn push_by_id(s: &Sandbox) {
        s.add_origin();
        let id = s.git(&["rev-parse", "HEAD"]).ok().text();
        s.git(&["push", "--quiet", "origin", &format!("{}:refs/tags/by-id", id.trim())]).ok();
        s.git(&["push", "--quiet", &s.path("origin.git").display().to_string(), "HEAD:refs/heads/by-url"]).ok();
        for rev in ["by-id", id.trim()] {
            assert_eq!(subject_of_remote(s, &format!("{rev}:Sales")).ok().text(), "one");
        }
    }

    pub(super) fn push_delete(s: &Sandbox) {
        s.add_origin();
        s.git(&["push", "--quiet", "origin", "v1"]).ok();
        s.git(&["push", "--quiet", "origin", "--delete", "v1"]).ok();
        assert_eq!(subject_of_remote(s, "v1:Sales").ok().text(), "one");
    }

    pub(super) fn push_no_verify(s: &Sandbox) {
        s.add_origin();
        s.git(&["config", "onenb.prePush", "verify"]).ok();
        let run = s.git(&["push", "--quiet", "origin", "v1"]);
        assert!(run.code != 0 && run.stderr.contains("`onenb push v1`"), "{run}");
        s.git(&["push", "--quiet", "--no-verify", "origin", "v1"]).ok();
        subject_of_remote(s, "v1:Sales").fails(3, &[]);
        assert_eq!(s.onenb(&["status", "--json"]).ok().json()["unpushed"], serde_json::json!(["v1"]));
    }
}
