//! Parent branches, revisions of notebooks, conflicts and differences.

use crate::support::{Sandbox, notebook, read};

const RUNS: [&str; 3] = ["01JCWZ4Z8Q4X2V5D9E7T1R3K6M", "01JCWZ4Z8Q4X2V5D9E7T1R3K6N", "01JCWZ4Z8Q4X2V5D9E7T1R3K6P"];

fn commit_notebook(sandbox: &Sandbox, path: &str, bytes: &[u8], run: &str) {
    sandbox.write(path, notebook(sandbox, "Sales", bytes, run).as_bytes());
    sandbox.git(&["add", path]).ok();
    sandbox.git(&["commit", "--quiet", "--message", path]).ok();
}

/// Returns path, parent branch and method of each run of a notebook.
fn revisions(sandbox: &Sandbox, notebook: &str) -> Vec<(String, String, String)> {
    let json = sandbox.onenb(&["log", "--nb", notebook, "--json"]).ok().json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let row = |run: &serde_json::Value| (text(&run["path"]), text(&run["parent_branch"]), text(&run["parent_method"]));
    json["runs"].as_array().expect("runs").iter().map(row).collect()
}

fn revision(path: &str, branch: &str, method: &str) -> (String, String, String) {
    (path.to_owned(), branch.to_owned(), method.to_owned())
}

#[test]
fn a_notebooks_revisions_are_a_chain_across_branches_and_renames() {
    let sandbox = Sandbox::ready();
    commit_notebook(&sandbox, "old name.ipynb", b"one", RUNS[0]);
    sandbox.git(&["switch", "--quiet", "--create", "topic"]).ok();
    sandbox.git(&["mv", "old name.ipynb", "report.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "rename"]).ok();
    commit_notebook(&sandbox, "report.ipynb", b"two", RUNS[1]);
    sandbox.git(&["switch", "--quiet", "--create", "deeper"]).ok();
    commit_notebook(&sandbox, "report.ipynb", b"three", RUNS[2]);
    commit_notebook(&sandbox, "other.ipynb", b"four", "01JCWZ4Z8Q4X2V5D9E7T1R3K6Q");
    let expected = [
        revision("report.ipynb", "topic", "captured"),
        revision("report.ipynb", "main", "captured"),
        revision("old name.ipynb", "-", "-"),
    ];
    let found = revisions(&sandbox, "report.ipynb");
    // The commit that only renames records a run under the new name too.
    let chain: Vec<_> = expected.iter().filter(|row| found.contains(row)).cloned().collect();
    assert_eq!(chain, expected, "{found:?}");
    assert!(found.iter().all(|(path, _, _)| path != "other.ipynb"), "{found:?}");
    sandbox.git(&["branch", "--quiet", "-D", "topic"]).ok();
    sandbox.git(&["reflog", "expire", "--expire=all", "--all"]).ok();
    sandbox.onenb(&["reindex"]).ok();
    assert_eq!(revisions(&sandbox, "report.ipynb"), found);
}

#[test]
fn what_the_user_says_beats_what_was_seen() {
    let sandbox = Sandbox::ready();
    sandbox.git(&["switch", "--quiet", "--create", "topic"]).ok();
    sandbox.git(&["config", "branch.topic.onenbParent", "release"]).ok();
    commit_notebook(&sandbox, "report.ipynb", b"one", RUNS[0]);
    assert_eq!(revisions(&sandbox, "report.ipynb"), [revision("report.ipynb", "release", "config")]);
}

#[test]
fn without_hooks_the_parent_branch_is_found_out_when_asked() {
    let sandbox = Sandbox::ready();
    sandbox.git(&["config", "core.hooksPath", "/dev/null"]).ok();
    sandbox.git(&["switch", "--quiet", "--create", "topic"]).ok();
    sandbox.write("report.ipynb", notebook(&sandbox, "Sales", b"one", RUNS[0]).as_bytes());
    sandbox.onenb(&["addnb", "report.ipynb"]).ok();
    sandbox.git(&["add", "report.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "report"]).ok();
    assert_eq!(revisions(&sandbox, "report.ipynb"), [revision("report.ipynb", "main", "reflog")]);
    sandbox.git(&["reflog", "expire", "--expire=all", "--all"]).ok();
    assert_eq!(revisions(&sandbox, "report.ipynb"), [revision("report.ipynb", "main", "is-base")]);
}

/// The oldest checkout of the name counted, which was of a branch that is gone, and it was called captured.
#[test]
fn a_branch_name_that_is_used_again_has_the_parent_of_the_new_branch() {
    for (own_commit, hooks, method) in
        [(false, true, "captured"), (true, true, "captured"), (false, false, "reflog"), (true, false, "reflog")]
    {
        let sandbox = Sandbox::ready();
        if !hooks {
            sandbox.git(&["config", "core.hooksPath", "/dev/null"]).ok();
        }
        sandbox.git(&["switch", "--quiet", "--create", "topic"]).ok();
        sandbox.git(&["switch", "--quiet", "--create", "dev", "main"]).ok();
        if own_commit {
            sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "dev"]).ok();
        }
        sandbox.git(&["branch", "--quiet", "-D", "topic"]).ok();
        sandbox.git(&["switch", "--quiet", "--create", "topic"]).ok();
        if hooks {
            // Being elsewhere in between changes nothing.
            sandbox.git(&["switch", "--quiet", "main"]).ok();
            sandbox.git(&["switch", "--quiet", "topic"]).ok();
        }
        commit_notebook(&sandbox, "report.ipynb", b"one", RUNS[0]);
        assert_eq!(revisions(&sandbox, "report.ipynb"), [revision("report.ipynb", "dev", method)], "{own_commit}");
    }
}

#[test]
fn a_conflict_is_explained_and_taken_with_the_runs_behind_it() {
    for (side, bytes) in [("--ours", "ours"), ("--theirs", "theirs")] {
        let sandbox = Sandbox::ready();
        sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
        commit_notebook(&sandbox, "report.ipynb", b"theirs", RUNS[0]);
        sandbox.git(&["switch", "--quiet", "main"]).ok();
        commit_notebook(&sandbox, "report.ipynb", b"ours", RUNS[1]);
        assert_ne!(sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).code, 0);
        let run = sandbox.onenb(&["status"]).ok();
        assert!(run.text().contains("changed on both sides") && run.text().contains("`onenb take --ours"), "{run}");
        let json = sandbox.onenb(&["status", "--json"]).ok().json();
        assert_eq!((&json["conflicts"][0]["export"], &json["problems"]), (&"Sales".into(), &serde_json::json!([])));
        sandbox.onenb(&["take", side, "Other"]).fails(3, &["`Sales`"]);
        sandbox.onenb(&["take", side, "Sales"]).ok();
        let conflicted = sandbox.git(&["diff", "--name-only", "--diff-filter=U"]).ok().text();
        assert_eq!(conflicted, "report.ipynb\n");
        sandbox.git(&["checkout", side, "--", "report.ipynb"]).ok();
        sandbox.git(&["add", "report.ipynb"]).ok();
        sandbox.git(&["commit", "--quiet", "--no-edit"]).ok();
        assert_eq!(read(&sandbox, "HEAD:Sales"), bytes);
        assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
    }
}

/// What was in conflict was also listed as removed, and the next command would have committed the conflict's marks.
#[test]
fn what_is_in_conflict_is_not_called_uncommitted_and_its_marks_are_noticed() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
    sandbox.export("Sales", b"theirs", &[]);
    sandbox.commit_and_tag("v2");
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    sandbox.export("Sales", b"ours", &[]);
    sandbox.commit_and_tag("v3");
    assert_ne!(sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).code, 0);
    let run = sandbox.onenb(&["status"]).ok();
    assert!(run.text().contains("onenb take") && !run.text().contains("not committed"), "{run}");
    assert_eq!(sandbox.onenb(&["status", "--json"]).ok().json()["uncommitted"], serde_json::json!([]));
    sandbox.git(&["add", ".1nb"]).ok();
    let json = sandbox.onenb(&["status", "--json"]).ok().json();
    assert_eq!((&json["uncommitted"], json["problems"].as_array().map(Vec::len)), (&serde_json::json!([]), Some(1)));
    let run = sandbox.git(&["commit", "--quiet", "--no-edit"]).ok();
    let lines: Vec<_> = run.stderr.lines().filter(|line| line.contains("conflict markers")).collect();
    assert!(matches!(lines.as_slice(), [line] if line.starts_with("onenb: ") && line.contains("`git commit --amend`")));
}

/// Both sides ran the notebook again with the same result: only the run record is in conflict, and nothing named it.
#[test]
fn a_conflict_of_runs_alone_is_named_and_taken_too() {
    let sandbox = Sandbox::ready();
    let write = |bytes: &[u8], run: &str, note: &str| {
        sandbox.export("Sales", bytes, &[]);
        let text = notebook(&sandbox, "Sales", bytes, run).replace("import Sales", &format!("import Sales  # {note}"));
        sandbox.write("report.ipynb", text.as_bytes());
        sandbox.git(&["add", "report.ipynb"]).ok();
        sandbox.git(&["commit", "--quiet", "--message", note]).ok();
    };
    write(b"one", RUNS[0], "first");
    sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
    write(b"two", RUNS[1], "again");
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    write(b"two", RUNS[2], "again");
    assert_ne!(sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).code, 0);
    let run = sandbox.onenb(&["status"]).ok();
    assert!(run.text().contains("changed on both sides") && run.text().contains("report.ipynb"), "{run}");
    let conflicts = sandbox.onenb(&["status", "--json"]).ok().json()["conflicts"].clone();
    assert_eq!(conflicts[0]["run"], serde_json::json!({"label": "report.ipynb", "exports": ["Sales"]}), "{conflicts}");
    assert_eq!((conflicts.as_array().map(Vec::len), &conflicts[0]["export"]), (Some(1), &serde_json::Value::Null));
    sandbox.onenb(&["take", "--ours", "Other"]).fails(3, &["`Sales`"]);
    sandbox.onenb(&["take", "--ours", "Sales"]).ok();
    assert_eq!(sandbox.git(&["diff", "--name-only", "--diff-filter=U"]).ok().text(), "report.ipynb\n");
    sandbox.git(&["checkout", "--ours", "--", "report.ipynb"]).ok();
    sandbox.git(&["add", "report.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--no-edit"]).ok();
    assert_eq!(read(&sandbox, "HEAD:Sales"), "two");
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
}

#[test]
fn an_export_that_one_side_removed_can_be_taken_away() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["switch", "--quiet", "--create", "side"]).ok();
    sandbox.onenb(&["rm", "HEAD:Sales"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "removed"]).ok();
    sandbox.git(&["switch", "--quiet", "main"]).ok();
    sandbox.export("Sales", b"ours", &[]);
    sandbox.commit_and_tag("v2");
    assert_ne!(sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).code, 0);
    sandbox.onenb(&["take", "--theirs", "Sales"]).ok();
    sandbox.git(&["commit", "--quiet", "--no-edit"]).ok();
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
    assert_eq!(read(&sandbox, "HEAD:Report?year=2023"), "2023\n");
}

#[test]
fn a_difference_names_what_came_went_and_changed() {
    let sandbox = Sandbox::tagged();
    let lines: Vec<String> = (0..40_000).map(|line| format!("{line},{}\n", line * 7919)).collect();
    let big = lines.concat();
    sandbox.export("Big", format!("a,b\n{big}").as_bytes(), &[]);
    sandbox.commit_and_tag("v2");
    sandbox.export("Big", format!("a,c\n{big}1,2\n").as_bytes(), &[]);
    sandbox.export("Sales", b"a,b\n1,2\n", &[]);
    sandbox.onenb(&["rm", "HEAD:Report", "-p", "year=2024"]).ok();
    sandbox.commit_and_tag("v3");
    let json = sandbox.onenb(&["diff", "v1", "v3", "--json"]).ok().json();
    let states: Vec<_> = json["changes"].as_array().expect("a list").iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, ["added", "removed"]);
    let json = sandbox.onenb(&["diff", "v2", "v3", "--json"]).ok().json();
    let row = &json["changes"][0];
    assert_eq!(
        (&row["state"], &row["old"]["rows"], &row["new"]["rows"]),
        (&"changed".into(), &40_000.into(), &40_001.into())
    );
    assert_eq!(row["new"]["columns"], serde_json::json!(["a", "c"]));
    let (shared, size) = (row["shared"].as_u64().expect("known"), row["new"]["size"].as_u64().expect("known"));
    assert!(shared > size / 3 && shared < size, "{json}");
    let text = sandbox.onenb(&["diff", "v2", "working"]).ok().text();
    assert!(text.contains("40000 rows to 40001 rows") && text.contains("+c -b"), "{text}");
    assert_eq!(sandbox.onenb(&["diff", "v1", "v1", "--json"]).ok().json()["changes"], serde_json::json!([]));
    sandbox.onenb(&["diff", "v1", "v9"]).fails(3, &["v9"]);
}
