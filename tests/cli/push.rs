//! `onenb push` and reading elsewhere.

use crate::support::Sandbox;

#[test]
fn a_pushed_tag_is_read_by_a_clone_and_a_second_push_sends_nothing() {
    let sandbox = Sandbox::tagged();
    let json = sandbox.onenb(&["push", "--json"]).ok().json();
    assert_eq!(json["revs"], serde_json::json!([{"rev": "v1", "outcome": "pushed", "missing": []}]));
    assert_eq!(sandbox.onenb(&["push", "v1", "--json"]).ok().json()["bytes_sent"], 0);
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let clone = sandbox.path("clone");
    let moved = sandbox.path("moved");
    onenb::fs::rename(&sandbox.path("repo"), &moved).expect("the first folder moves away");
    onenb::fs::create_dir_all(&sandbox.path("repo")).expect("a folder to stand in");
    let run = sandbox.onenb(&["-C", &clone.to_string_lossy(), "cat", "v1:Report?year=2024"]).ok();
    assert_eq!(run.stdout, b"2024\n");
}

#[test]
fn local_storage_has_nothing_to_send() {
    let sandbox = Sandbox::git_only();
    sandbox.onenb(&["init", "local"]).ok();
    let run = sandbox.onenb(&["push"]).ok();
    assert!(run.stderr.contains("storage is local: nothing to send") && run.stderr.contains("`onenb remote set`"));
}

#[test]
fn a_tag_that_moved_is_refused_without_force() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push", "v1"]).ok();
    sandbox.export("Sales", b"other", &[]);
    sandbox.git(&["tag", "--delete", "v1"]).ok();
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push", "v1"]).fails(1, &["v1", "--force"]);
    sandbox.onenb(&["push", "v1", "--force"]).ok();
}

#[test]
fn a_tag_on_a_commit_without_exports_can_be_pushed() {
    let sandbox = Sandbox::ready();
    sandbox.git(&["tag", "empty"]).ok();
    sandbox.onenb(&["push", "empty"]).ok();
    assert_eq!(sandbox.onenb(&["ls", "empty", "--json"]).ok().json()["exports"], serde_json::json!([]));
    sandbox.onenb(&["cat", "empty:Sales"]).fails(3, &[]);
}
