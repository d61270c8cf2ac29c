//! `onenb hook` and the hooks that Git runs.

use crate::support::{Sandbox, read};

#[test]
fn outside_of_a_repository_a_hook_is_silent_and_fine() {
    let run = Sandbox::empty().onenb(&["hook", "post-commit"]);
    assert_eq!((run.code, run.stderr.as_str(), run.text().as_str()), (0, "", ""));
}

#[test]
fn before_init_a_hook_is_silent_and_fine() {
    let run = Sandbox::git_only().onenb(&["hook", "pre-push", "origin", "url"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn an_unknown_event_or_a_missing_one_never_stops_git() {
    let sandbox = Sandbox::ready();
    for words in [&["hook"][..], &["hook", "of-the-future", "--x"], &["hook", "--frobnicate"]] {
        let run = sandbox.onenb(words);
        assert_eq!(run.code, 0, "{run}");
        assert!(run.stderr.lines().all(|line| line.starts_with("onenb: ")), "{run}");
    }
}

#[test]
fn installing_twice_and_uninstalling_restores_the_file() {
    let sandbox = Sandbox::git_only();
    let hook = sandbox.write(".git/hooks/post-commit", b"#!/bin/sh\necho theirs\n");
    onenb::fs::set_executable(&hook).expect("the mode can be set");
    sandbox.onenb(&["init"]).ok();
    sandbox.onenb(&["hooks", "install"]).ok();
    assert_eq!(sandbox.onenb(&["hooks", "status"]).code, 0);
    sandbox.onenb(&["hooks", "uninstall"]).ok();
    assert_eq!(std::fs::read(&hook).expect("the hook"), b"#!/bin/sh\necho theirs\n");
    assert_eq!(sandbox.onenb(&["hooks", "status"]).code, 1);
}

#[test]
fn pushing_a_small_tag_uploads_its_data() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["push", "--quiet", "origin", "main", "v1"]).ok();
    let status = sandbox.onenb(&["status", "--json"]).ok().json();
    assert_eq!(status["unpushed"], serde_json::json!([]));
}

/// Who opens the catalog and finds no log beside it makes one.
#[test]
fn a_commit_with_nothing_of_ours_opens_no_catalog_and_the_next_export_is_noticed() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "now the hooks know"]).ok();
    let log = sandbox.in_repo(".git/onenb/catalog.sqlite-wal");
    for ending in ["", "-wal", "-shm"] {
        let _ = onenb::fs::remove_file(&sandbox.in_repo(&format!(".git/onenb/catalog.sqlite{ending}")));
    }
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "nothing"]).ok();
    sandbox.write("code.py", b"print(1)\n");
    sandbox.git(&["add", "code.py"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "code"]).ok();
    assert!(!log.exists(), "a hook opened the catalog");
    sandbox.export("Late", b"late", &[]);
    let run = sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "something"]).ok();
    assert!(run.stderr.contains("onenb: bound Late to "), "{run}");
    assert!(log.exists());
    assert_eq!(read(&sandbox, "HEAD:Late"), "late");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "a,b\n1,2\n");
}

/// What the hooks leave for each other is a hint: without it, or with nonsense in it, they look for themselves.
#[test]
fn a_note_of_the_hooks_that_is_damaged_or_of_the_future_counts_for_nothing() {
    let sandbox = Sandbox::tagged();
    let path = sandbox.in_repo(".git/onenb-quiet");
    let note = std::fs::read_to_string(&path).expect("the hooks left a note");
    let future = note.replace("onenb quiet 1", "onenb quiet 2");
    let cut = note.strip_suffix("end\n").expect("it has an end").to_owned();
    for (number, text) in [String::new(), future, cut, "\0".repeat(note.len())].iter().enumerate() {
        let name = format!("Late{number}");
        sandbox.export(&name, name.as_bytes(), &[]);
        onenb::fs::write_atomic(&path, text.as_bytes()).expect("the note can be replaced");
        sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", &name]).ok();
        assert_eq!(read(&sandbox, &format!("HEAD:{name}")), name);
    }
}

/// A script that made an export is known to the hooks, so that its record is staged with it also much later.
#[test]
fn a_script_that_exported_before_is_looked_at_when_it_is_committed() {
    let sandbox = Sandbox::ready();
    sandbox.write("make.py", b"print(1)\n");
    let repo = onenb::Repo::open(&sandbox.in_repo("")).expect("the repository opens");
    let options = onenb::ExportOptions {
        name: onenb::format::name::ExportName::parse("Made").expect("a name"),
        params: onenb::format::params::Params::empty(),
        suffix: onenb::format::name::Suffix::parse(".csv").expect("a suffix"),
        producer: Some(sandbox.in_repo("make.py")),
        inputs: vec![],
        run: None,
        cell_source: None,
    };
    repo.export(options).expect("an export starts").finish().expect("it ends");
    // Bound late to this commit and settled, but in no tree.
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "ran it"]).ok();
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "nothing"]).ok();
    sandbox.git(&["add", "make.py"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "the script"]).ok();
    let files = sandbox.git(&["show", "--name-only", "--format=", "HEAD"]).ok().text();
    assert!(files.contains("make.py") && files.contains(".1nb/exports/Made/"), "{files}");
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
}

/// Whatever went wrong inside onenb stopped every push, also of branches that it only warns about, and named no way
/// out.
#[test]
fn a_fault_of_ours_stops_only_who_wants_to_be_sure_and_names_the_way_out() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    onenb::fs::write_atomic(&sandbox.in_repo(".git/onenb/format"), b"nonsense").expect("the store can be damaged");
    let push = |policy: &str, what: &[&str]| {
        sandbox.git(&["config", "onenb.prePush", policy]).ok();
        let run = sandbox.git(&[&["push", "--quiet", "origin"], what].concat());
        assert!(run.stderr.contains("`git push --no-verify`"), "{policy}: {run}");
        let lines = run.stderr.lines().filter(|line| line.starts_with("onenb: ")).count();
        assert_eq!(lines, 1, "{policy}: {run}");
        run.code == 0
    };
    assert!(!push("auto", &["v1"]));
    assert!(!push("auto", &["main", "v1"]));
    assert!(!push("verify", &["main"]));
    assert!(!push("upload", &["main"]));
    assert!(push("auto", &["main"]));
    sandbox.git(&["push", "--quiet", "--no-verify", "origin", "v1"]).ok();
    // What is deleted has no data.
    sandbox.git(&["push", "--quiet", "origin", ":v1"]).ok();
}
