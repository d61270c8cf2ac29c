//! Git as people use it, with the hooks that `init` installed and no onenb command in between.

use std::io::Write as _;

use onenb::ExportOptions;
use onenb::format::name::{ExportName, Suffix};
use onenb::format::params::Params;

use crate::support::{Run, Sandbox, notebook, read};

const RUN_1: &str = "01JCWZ4Z8Q4X2V5D9E7T1R3K6M";
const RUN_2: &str = "01JCWZ4Z8Q4X2V5D9E7T1R3K6N";

/// Exports as the Python package does inside a script.
fn export_from_script(sandbox: &Sandbox, name: &str, script: &str, bytes: &[u8]) {
    let repo = onenb::Repo::open(&sandbox.in_repo("")).expect("the repository opens");
    let options = ExportOptions {
        name: ExportName::parse(name).expect("a name"),
        params: Params::empty(),
        suffix: Suffix::parse(".csv").expect("a suffix"),
        producer: Some(sandbox.in_repo(script)),
        inputs: vec![],
        run: None,
        cell_source: None,
    };
    let mut writer = repo.export(options).expect("an export starts");
    writer.write_all(bytes).expect("it is written");
    writer.finish().expect("it ends");
}

fn commit_all(sandbox: &Sandbox, message: &str) -> Run {
    sandbox.git(&["add", "--all"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", message]).ok()
}

fn assert_clean(sandbox: &Sandbox) {
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
}

/// Turns the hooks off, as in a client that runs none.
fn without_hooks(sandbox: &Sandbox) {
    sandbox.git(&["config", "core.hooksPath", "/dev/null"]).ok();
}

#[test]
fn a_plain_commit_of_a_notebook_binds_its_exports_and_leaves_a_clean_tree() {
    let sandbox = Sandbox::ready();
    sandbox.write("report.ipynb", notebook(&sandbox, "Sales", b"one", RUN_1).as_bytes());
    sandbox.git(&["add", "report.ipynb"]).ok();
    let run = sandbox.git(&["commit", "--quiet", "--message", "report"]).ok();
    assert!(run.stderr.contains("onenb: bound Sales to "), "{run}");
    assert_clean(&sandbox);
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    let files = sandbox.git(&["show", "--name-only", "--format=", "HEAD"]).ok().text();
    assert!(files.contains(".1nb/exports/Sales/") && files.contains(".1nb/runs/report.ipynb/"), "{files}");
}

#[test]
fn without_hooks_the_receipts_in_the_tree_bind() {
    let sandbox = Sandbox::ready();
    without_hooks(&sandbox);
    sandbox.write("report.ipynb", notebook(&sandbox, "Sales", b"one", RUN_1).as_bytes());
    commit_all(&sandbox, "report");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.write("copy.ipynb", notebook(&sandbox, "Sales", b"one", RUN_1).as_bytes());
    sandbox.write("report.ipynb", notebook(&sandbox, "Sales", b"two", RUN_2).as_bytes());
    commit_all(&sandbox, "again, and a copy of the old one");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "two");
    assert_eq!(read(&sandbox, "HEAD~1:Sales"), "one");
}

#[test]
fn two_new_receipts_for_one_export_bind_nothing_and_status_names_both() {
    let sandbox = Sandbox::ready();
    without_hooks(&sandbox);
    sandbox.write("a.ipynb", notebook(&sandbox, "Sales", b"one", RUN_1).as_bytes());
    sandbox.write("b.ipynb", notebook(&sandbox, "Sales", b"two", RUN_2).as_bytes());
    commit_all(&sandbox, "both");
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
    let run = sandbox.onenb(&["status"]).ok();
    let said = run.text() + &run.stderr;
    assert!(said.contains("a.ipynb") && said.contains("b.ipynb"), "{said}");
}

#[test]
fn an_export_of_a_script_is_staged_with_its_script() {
    let sandbox = Sandbox::ready();
    sandbox.write("make.py", b"print(1)\n");
    export_from_script(&sandbox, "Sales", "make.py", b"one");
    sandbox.git(&["add", "make.py"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "script"]).ok();
    assert_clean(&sandbox);
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
}

#[test]
fn an_unstaged_export_is_bound_late_while_its_script_is_unchanged() {
    let sandbox = Sandbox::ready();
    sandbox.write("make.py", b"print(1)\n");
    commit_all(&sandbox, "script");
    export_from_script(&sandbox, "Sales", "make.py", b"one");
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "ran it"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.onenb(&["cat", "HEAD~1:Sales"]).fails(3, &[]);
    export_from_script(&sandbox, "Sales", "make.py", b"two");
    sandbox.write("make.py", b"print(2)\n");
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "the script moved on"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
}

#[test]
fn late_bindings_follow_amend_and_rebase() {
    let sandbox = Sandbox::ready();
    sandbox.export("Sales", b"one", &[]);
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "late"]).ok();
    sandbox.git(&["commit", "--quiet", "--amend", "--allow-empty", "--message", "amended"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]).ok();
    // Pending exports of the work tree are no matter of this test.
    sandbox.git(&["clean", "--quiet", "-fd", ".1nb"]).ok();
    sandbox.write("other.txt", b"x");
    commit_all(&sandbox, "other");
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox.git(&["rebase", "--quiet", "--keep-empty", "--force-rebase", "side"]).ok();
    assert_eq!(sandbox.git(&["log", "--format=%s", "-2"]).ok().text(), "amended\nother\n");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.onenb(&["cat", "HEAD~1:Sales"]).fails(3, &[]);
}

#[test]
fn late_bindings_follow_a_cherry_pick() {
    let sandbox = Sandbox::ready();
    sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
    sandbox.export("Sales", b"one", &[]);
    sandbox.write("other.txt", b"x");
    sandbox.git(&["add", "other.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "late"]).ok();
    assert_eq!(read(&sandbox, "side:Sales"), "one");
    sandbox.git(&["clean", "--quiet", "-fd", ".1nb"]).ok();
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox.write("main.txt", b"x");
    sandbox.git(&["add", "main.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "main goes on"]).ok();
    sandbox.git(&["cherry-pick", "side"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.onenb(&["cat", "HEAD~1:Sales"]).fails(3, &[]);
}

#[test]
fn where_hooks_are_switched_off_init_and_status_work() {
    let sandbox = Sandbox::git_only();
    without_hooks(&sandbox);
    let run = sandbox.onenb(&["init", "--json"]).ok();
    assert_eq!(run.json()["hooks"], serde_json::json!([]), "{run}");
    assert_eq!(sandbox.onenb(&["hooks", "status"]).code, 1);
    sandbox.onenb(&["status"]).ok();
}

#[test]
fn records_survive_amend_rebase_and_cherry_pick() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["checkout", "--quiet", "-b", "side", "v1~1"]).ok();
    sandbox.export("Other", b"other", &[]);
    commit_all(&sandbox, "other");
    sandbox.git(&["commit", "--quiet", "--amend", "--message", "amended"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Other"), "other");
    sandbox.git(&["rebase", "--quiet", "main"]).ok();
    assert_eq!((read(&sandbox, "HEAD:Other"), read(&sandbox, "HEAD:Sales")), ("other".into(), "a,b\n1,2\n".into()));
    sandbox.onenb(&["cat", "v1:Other"]).fails(3, &[]);
    sandbox.git(&["checkout", "--quiet", "-b", "picked", "v1~1"]).ok();
    sandbox.git(&["cherry-pick", "side"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Other"), "other");
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
    assert_clean(&sandbox);
}

#[test]
fn a_merge_has_the_exports_of_both_sides_also_without_records() {
    let sandbox = Sandbox::ready();
    sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
    sandbox.write("side.ipynb", notebook(&sandbox, "Side", b"side", RUN_1).as_bytes());
    commit_all(&sandbox, "side");
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    without_hooks(&sandbox);
    sandbox.write("main.ipynb", notebook(&sandbox, "Main", b"main", RUN_2).as_bytes());
    commit_all(&sandbox, "main");
    sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).ok();
    assert_eq!((read(&sandbox, "HEAD:Side"), read(&sandbox, "HEAD:Main")), ("side".into(), "main".into()));
    sandbox.onenb(&["cat", "HEAD^1:Side"]).fails(3, &[]);
    sandbox.onenb(&["cat", "HEAD^2:Main"]).fails(3, &[]);
}

#[test]
fn merge_ours_keeps_our_version_and_nothing_of_theirs() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
    sandbox.export("Sales", b"theirs", &[]);
    sandbox.export("Theirs", b"theirs", &[]);
    commit_all(&sandbox, "side");
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox.write("x.txt", b"x");
    commit_all(&sandbox, "x");
    sandbox.git(&["merge", "--quiet", "--no-edit", "--strategy=ours", "side"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "a,b\n1,2\n");
    sandbox.onenb(&["cat", "HEAD:Theirs"]).fails(3, &[]);
    assert_eq!(read(&sandbox, "HEAD^2:Theirs"), "theirs");
}

#[test]
fn both_sides_changing_one_export_is_a_conflict_that_the_tree_decides() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
    sandbox.export("Sales", b"theirs", &[]);
    commit_all(&sandbox, "side");
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox.export("Sales", b"ours", &[]);
    commit_all(&sandbox, "main");
    assert_ne!(sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).code, 0);
    sandbox.git(&["checkout", "--theirs", "--", ".1nb"]).ok();
    commit_all(&sandbox, "theirs is right");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "theirs");
    assert_eq!(read(&sandbox, "HEAD^1:Sales"), "ours");
}

#[test]
fn a_revert_takes_back_only_what_its_commit_bound() {
    let sandbox = Sandbox::tagged();
    sandbox.export("Sales", b"worse", &[]);
    commit_all(&sandbox, "worse");
    sandbox.export("Other", b"other", &[]);
    commit_all(&sandbox, "other");
    sandbox.git(&["revert", "--no-edit", "HEAD~1"]).ok();
    assert_eq!((read(&sandbox, "HEAD:Sales"), read(&sandbox, "HEAD:Other")), ("a,b\n1,2\n".into(), "other".into()));
    assert_clean(&sandbox);
}

#[test]
fn a_pushed_tag_takes_its_data_along_and_a_shallow_clone_reads_it() {
    let sandbox = Sandbox::tagged();
    let origin = sandbox.add_origin();
    sandbox.git(&["push", "--quiet", "origin", "main", "v1"]).ok();
    sandbox.write("later.txt", b"x");
    commit_all(&sandbox, "later");
    sandbox.git(&["push", "--quiet", "origin", "main"]).ok();
    let (url, clone) = (format!("file://{origin}"), sandbox.path("shallow").to_string_lossy().into_owned());
    sandbox.git(&["clone", "--quiet", "--depth=1", "--branch=v1", &url, &clone]).ok();
    let moved = sandbox.path("moved");
    onenb::fs::rename(&sandbox.path("repo"), &moved).expect("the first folder moves away");
    onenb::fs::create_dir_all(&sandbox.path("repo")).expect("a folder to stand in");
    let run = sandbox.onenb(&["-C", &clone, "cat", "v1:Sales"]).ok();
    assert_eq!(run.text(), "a,b\n1,2\n");
}

#[test]
fn a_push_that_would_be_too_large_is_stopped_with_the_command_to_run() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["config", "onenb.prePushLimit", "4"]).ok();
    let run = sandbox.git(&["push", "--quiet", "origin", "v1"]);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("`onenb push v1`") && run.stderr.contains("`git push --no-verify`"), "{run}");
    assert_eq!(sandbox.git(&["ls-remote", "--tags", "origin"]).ok().text(), "");
    sandbox.onenb(&["push", "v1"]).ok();
    sandbox.git(&["push", "--quiet", "origin", "v1"]).ok();
}
