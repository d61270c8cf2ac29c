//! Whose word counts when Git's own hooks run: the index that Git names, later exports, records in the tree.

use crate::support::{Sandbox, notebook, read};

const RUNS: [&str; 4] = [
    "01JCWZ4Z8Q4X2V5D9E7T1R3K6M",
    "01JCWZ4Z8Q4X2V5D9E7T1R3K6N",
    "01JCWZ4Z8Q4X2V5D9E7T1R3K6P",
    "01JCWZ4Z8Q4X2V5D9E7T1R3K6Q",
];

/// Saves a notebook that exported `text` under `name`.
fn executed(sandbox: &Sandbox, path: &str, name: &str, text: &str, run: usize) {
    let saved = notebook(sandbox, name, text.as_bytes(), RUNS[run]);
    sandbox.write(path, saved.as_bytes());
}

/// Exports without tracking the record.
fn late(sandbox: &Sandbox, name: &str, text: &str) {
    sandbox.export(name, text.as_bytes(), &[]);
}

fn commit(sandbox: &Sandbox, file: &str, message: &str) {
    let old = std::fs::read_to_string(sandbox.in_repo(file)).unwrap_or_default();
    sandbox.write(file, format!("{old}{message}\n").as_bytes());
    sandbox.git(&["add", file]).ok();
    sandbox.git(&["commit", "--quiet", "--message", message]).ok();
}

fn status(sandbox: &Sandbox) -> String {
    sandbox.git(&["status", "--porcelain"]).ok().text()
}

#[test]
fn commit_all_takes_the_records_of_a_notebook_that_ran_again() {
    let sandbox = Sandbox::ready();
    executed(&sandbox, "r.ipynb", "Old", "one", 0);
    sandbox.git(&["add", "r.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "0"]).ok();
    executed(&sandbox, "r.ipynb", "New", "two", 1);
    sandbox.git(&["commit", "--quiet", "--all", "--message", "1"]).ok();
    let files = sandbox.git(&["show", "--name-only", "--format=", "HEAD"]).ok().text();
    assert!(files.contains(".1nb/exports/New/") && files.contains(".1nb/runs/r.ipynb/"), "{files}");
    assert_eq!(status(&sandbox), "");
    assert_eq!(read(&sandbox, "HEAD:New"), "two");
}

#[test]
fn a_commit_of_paths_leaves_staged_notebooks_and_locks_alone() {
    let sandbox = Sandbox::ready();
    executed(&sandbox, "a.ipynb", "A", "a", 0);
    sandbox.write("b", b"1\n");
    sandbox.git(&["add", "a.ipynb", "b"]).ok();
    let run = sandbox.git(&["commit", "--quiet", "--message", "only b", "b"]).ok();
    assert_eq!(run.stderr, "", "{run}");
    assert_eq!(status(&sandbox), "A  a.ipynb\n");
}

#[test]
fn an_index_that_the_user_names_is_the_one_that_records_are_staged_in() {
    let sandbox = Sandbox::ready();
    executed(&sandbox, "a.ipynb", "A", "a", 0);
    for arguments in [&["add", "--all"][..], &["commit", "--quiet", "--message", "by another index"]] {
        let mut git = sandbox.command("git");
        git.args(arguments).current_dir(sandbox.in_repo("")).env("GIT_INDEX_FILE", ".git/other-index");
        assert!(git.status().expect("git runs").success());
    }
    let files = sandbox.git(&["show", "--name-only", "--format=", "HEAD"]).ok().text();
    assert!(files.contains(".1nb/exports/A/"), "{files}");
}

#[test]
fn a_pick_that_commit_all_finishes_carries_late_bindings() {
    let sandbox = Sandbox::ready();
    commit(&sandbox, "f", "base");
    sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
    late(&sandbox, "L", "a");
    sandbox.write("f", b"side\n");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "side"]).ok();
    sandbox.git(&["clean", "--quiet", "-fd"]).ok();
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    sandbox.write("f", b"main\n");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "main"]).ok();
    assert_ne!(sandbox.git(&["cherry-pick", "side"]).code, 0);
    sandbox.write("f", b"both\n");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "picked"]).ok();
    assert_eq!(read(&sandbox, "HEAD:L"), "a");
}

#[test]
fn a_setting_on_the_command_line_of_git_reaches_the_hook() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["-c", "onenb.prePush=off", "push", "--quiet", "origin", "v1"]).ok();
    let unpushed = || sandbox.onenb(&["status", "--json"]).ok().json()["unpushed"].clone();
    assert_ne!(unpushed(), serde_json::json!([]));
    sandbox.git(&["-c", "onenb.prePush=verify", "push", "--quiet", "--delete", "origin", "v1"]).ok();
    let run = sandbox.git(&["-c", "onenb.prePush=verify", "push", "--quiet", "origin", "v1"]);
    assert!(run.code != 0 && run.stderr.contains("`onenb push v1`"), "{run}");
}

#[test]
fn data_that_some_commit_has_late_binds_again_when_it_is_exported_again() {
    let sandbox = Sandbox::ready();
    for (text, message) in [("a", "1"), ("b", "2"), ("a", "3")] {
        late(&sandbox, "L", text);
        commit(&sandbox, "f", message);
    }
    assert_eq!(read(&sandbox, "HEAD:L"), "a");
    sandbox.git(&["reset", "--quiet", "--hard", "HEAD~2"]).ok();
    late(&sandbox, "L", "b");
    commit(&sandbox, "f", "2 again");
    assert_eq!(read(&sandbox, "HEAD:L"), "b");
    sandbox.onenb(&["reindex"]).ok();
    commit(&sandbox, "f", "nothing new");
    assert_eq!(read(&sandbox, "HEAD:L"), "b");
    let log = sandbox.onenb(&["log", "L", "--json"]).ok().json();
    assert_eq!(log["runs"].as_array().map(Vec::len), Some(2), "{log}");
}

#[test]
fn an_export_made_before_an_amend_is_what_the_amended_commit_has() {
    let sandbox = Sandbox::ready();
    late(&sandbox, "L", "a");
    commit(&sandbox, "f", "1");
    late(&sandbox, "L", "b");
    sandbox.git(&["commit", "--quiet", "--amend", "--allow-empty", "--message", "amended"]).ok();
    assert_eq!(read(&sandbox, "HEAD:L"), "b");
}

#[test]
fn a_record_that_a_fixup_brings_counts_more_than_an_older_binding() {
    let sandbox = Sandbox::ready();
    commit(&sandbox, "f", "base");
    commit(&sandbox, "f", "a");
    let bound = sandbox.write("x.csv", b"x");
    sandbox.onenb(&["bind", "HEAD", &bound.to_string_lossy(), "--name", "Sales"]).ok();
    onenb::fs::remove_file(&bound).expect("it was written");
    late(&sandbox, "Sales", "y");
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "b"]).ok();
    sandbox.git(&["-c", "sequence.editor=sed -i 2s/^pick/fixup/", "rebase", "--quiet", "-i", "HEAD~2"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "y");
}

#[test]
fn a_binding_stays_where_only_the_branch_below_has_another_record() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["switch", "--quiet", "--create", "topic"]).ok();
    commit(&sandbox, "t", "topic");
    let bound = sandbox.path("x.csv");
    onenb::fs::write_atomic(&bound, b"x").expect("the sandbox is writable");
    sandbox.onenb(&["bind", "HEAD", &bound.to_string_lossy(), "--name", "Sales"]).ok();
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    late(&sandbox, "Sales", "newer");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "newer"]).ok();
    sandbox.git(&["switch", "--quiet", "topic"]).ok();
    sandbox.git(&["rebase", "--quiet", "main"]).ok();
    assert_eq!(read(&sandbox, "HEAD~1:Sales"), "newer");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "x");
}

#[test]
fn a_commit_has_what_its_notebook_made_and_the_work_tree_keeps_what_was_made_since() {
    let sandbox = Sandbox::ready();
    executed(&sandbox, "r.ipynb", "Sales", "one", 0);
    sandbox.git(&["add", "r.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "0"]).ok();
    executed(&sandbox, "r.ipynb", "Sales", "two", 1);
    sandbox.git(&["add", "r.ipynb"]).ok();
    executed(&sandbox, "r.ipynb", "Sales", "three", 2);
    late(&sandbox, "Sales", "three");
    sandbox.git(&["commit", "--quiet", "--message", "2"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "two");
    assert_eq!(read(&sandbox, "working:Sales"), "three");
    // Saved notebooks from elsewhere find the record of before in the work tree.
    sandbox.git(&["reset", "--quiet", "--hard"]).ok();
    executed(&sandbox, "r.ipynb", "Sales", "four", 3);
    sandbox.git(&["add", "r.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "3"]).ok();
    assert_eq!((read(&sandbox, "HEAD:Sales"), status(&sandbox)), ("four".to_owned(), String::new()));
}

#[test]
fn an_old_receipt_does_not_overrule_a_newer_export_of_something_else() {
    let sandbox = Sandbox::ready();
    executed(&sandbox, "r.ipynb", "Sales", "one", 0);
    sandbox.git(&["add", "r.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "0"]).ok();
    late(&sandbox, "Sales", "newer");
    let edited =
        std::fs::read_to_string(sandbox.in_repo("r.ipynb")).expect("the notebook").replace("import", "import ");
    sandbox.write("r.ipynb", edited.as_bytes());
    sandbox.git(&["commit", "--quiet", "--all", "--message", "1"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "newer");
}

/// The framework takes away what is not staged while hooks run, and applies it again afterwards.
#[test]
fn the_pre_commit_framework_finds_the_work_tree_as_it_left_it() {
    let sandbox = Sandbox::ready();
    executed(&sandbox, "r.ipynb", "Sales", "one", 0);
    sandbox.git(&["add", "r.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "0"]).ok();
    executed(&sandbox, "r.ipynb", "Sales", "two", 1);
    sandbox.git(&["add", "r.ipynb"]).ok();
    let mut hook = sandbox.command(env!("CARGO_BIN_EXE_onenb"));
    hook.args(["hook", "pre-commit"]).current_dir(sandbox.in_repo("")).env("PRE_COMMIT", "1");
    assert!(hook.status().expect("it runs").success());
    assert_eq!(read(&sandbox, "working:Sales"), "one");
    sandbox.git(&["commit", "--quiet", "--no-verify", "--message", "1"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "two");
}

#[test]
fn a_record_of_a_newer_version_hides_what_was_there_before_and_is_not_pushed_or_overwritten() {
    let sandbox = Sandbox::tagged();
    late(&sandbox, "More", "more");
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "more"]).ok();
    let mut records = Vec::new();
    crate::support::collect(&sandbox.in_repo(".1nb/exports/Sales"), ".json", &mut records);
    let text = std::fs::read_to_string(&records[0]).expect("the record");
    let newer = text.replace("\"format\": 1", "\"format\": 2");
    onenb::fs::write_atomic(&records[0], newer.as_bytes()).expect("it can be written");
    sandbox.git(&["commit", "--quiet", "--all", "--no-verify", "--message", "from the future"]).ok();
    sandbox.git(&["tag", "v2"]).ok();
    sandbox.onenb(&["cat", "v2:Sales"]).fails(1, &[".1nb/exports/Sales/", "newer"]);
    assert_eq!(read(&sandbox, "v2:More"), "more");
    assert_eq!(read(&sandbox, "v1:Sales"), "a,b\n1,2\n");
    sandbox.onenb(&["push", "v2"]).fails(1, &[".1nb/exports/Sales/"]);
    let data = sandbox.write("new.csv", b"new");
    sandbox.onenb(&["export", "Sales", &data.to_string_lossy()]).fails(1, &[".1nb/exports/Sales/"]);
    assert!(std::fs::read_to_string(&records[0]).expect("the record").contains("\"format\": 2"));
}

#[test]
fn a_branch_whose_data_was_pushed_may_go() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["config", "onenb.prePush", "verify"]).ok();
    late(&sandbox, "Sales", "newer");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "newer"]).ok();
    let run = sandbox.git(&["push", "--quiet", "origin", "main"]);
    assert!(run.code != 0 && run.stderr.contains("`onenb push main`"), "{run}");
    sandbox.onenb(&["push", "--create", "main"]).ok();
    let run = sandbox.git(&["push", "--quiet", "origin", "main"]).ok();
    assert_eq!(run.stderr, "", "{run}");
}

#[test]
fn a_moved_tag_is_stopped_with_the_command_that_helps() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["push", "--quiet", "origin", "v1"]).ok();
    late(&sandbox, "Sales", "newer");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "newer"]).ok();
    sandbox.git(&["tag", "--force", "v1"]).ok();
    let run = sandbox.git(&["push", "--quiet", "--force", "origin", "v1"]);
    assert!(run.code != 0 && run.stderr.contains("`onenb push --force v1`"), "{run}");
}

/// Git takes any bytes for a name but a few.
#[cfg(target_os = "linux")]
#[test]
fn tags_that_are_no_text_pass_without_data_and_never_under_another_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    for name in [&b"r\xff"[..], b"r\xfe"] {
        for command in [&["tag"][..], &["push", "--quiet", "origin"]] {
            let mut git = sandbox.command("git");
            git.args(command).arg(std::ffi::OsStr::from_bytes(name)).current_dir(sandbox.in_repo(""));
            let output = git.output().expect("git runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        late(&sandbox, "Sales", &format!("{name:?}"));
        sandbox.git(&["commit", "--quiet", "--all", "--message", "more"]).ok();
    }
}

#[test]
fn reverts_are_known_by_what_git_did_not_by_what_a_message_quotes() {
    let sandbox = Sandbox::ready();
    commit(&sandbox, "f", "base");
    late(&sandbox, "L", "a");
    commit(&sandbox, "f", "1");
    let bound = sandbox.git(&["rev-parse", "HEAD"]).ok().text();
    sandbox.git(&["clean", "--quiet", "-fd"]).ok();
    let quoting = format!("notes\n\nThis reverts commit {}, but that was wrong.", bound.trim());
    commit(&sandbox, "g", &quoting);
    assert_eq!(read(&sandbox, "HEAD:L"), "a");
    sandbox.git(&["-c", "revert.reference=true", "revert", "--no-edit", bound.trim()]).ok();
    sandbox.onenb(&["cat", "HEAD:L"]).fails(3, &["has no export `L`"]);
}

/// A merge brings notebooks whose runs are new here, and what was chosen among the records is not theirs to change.
#[test]
fn what_was_taken_in_a_conflict_stays_taken() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
    executed(&sandbox, "r.ipynb", "Sales", "theirs", 0);
    late(&sandbox, "Sales", "theirs");
    sandbox.git(&["add", "."]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "theirs"]).ok();
    for squash in [false, true] {
        sandbox.git(&["switch", "--quiet", "main"]).ok();
        sandbox.git(&["switch", "--quiet", "--create", &format!("ours-{squash}")]).ok();
        late(&sandbox, "Sales", "ours");
        sandbox.git(&["commit", "--quiet", "--all", "--message", "ours"]).ok();
        let how = if squash { "--squash" } else { "--no-ff" };
        assert_ne!(sandbox.git(&["merge", "--quiet", how, "side"]).code, 0);
        sandbox.onenb(&["take", "--ours", "Sales"]).ok();
        sandbox.git(&["commit", "--quiet", "--message", "merged"]).ok();
        assert_eq!(read(&sandbox, "HEAD:Sales"), "ours", "{how}");
    }
}
