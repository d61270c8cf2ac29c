//! `onenb hook` and the hooks that Git runs.

use crate::support::Sandbox;

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
    let origin = sandbox.path("origin.git");
    sandbox.git(&["init", "--quiet", "--bare", &origin.to_string_lossy()]).ok();
    sandbox.git(&["remote", "add", "origin", &origin.to_string_lossy()]).ok();
    sandbox.git(&["push", "--quiet", "origin", "main", "v1"]).ok();
    let status = sandbox.onenb(&["status", "--json"]).ok().json();
    assert_eq!(status["unpushed"], serde_json::json!([]));
}
