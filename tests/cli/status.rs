//! `onenb status`.

use crate::support::Sandbox;

#[test]
fn each_step_names_the_next_command() {
    let sandbox = Sandbox::ready();
    sandbox.export("Sales", b"1", &[]);
    let text = sandbox.onenb(&["status"]).ok().text();
    assert!(text.contains("not committed") && text.contains("Sales") && text.contains("`git commit`"), "{text}");
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message=data"]).ok();
    let text = sandbox.onenb(&["status"]).ok().text();
    assert!(text.contains("in no tag") && text.contains("`git tag NAME`"), "{text}");
    sandbox.git(&["tag", "v1"]).ok();
    let text = sandbox.onenb(&["status"]).ok().text();
    assert!(text.contains("not pushed") && text.contains("`onenb push`"), "{text}");
    sandbox.onenb(&["push"]).ok();
    let text = sandbox.onenb(&["status"]).ok().text();
    assert_eq!(text, "repository demo\nevery export is committed, tagged and pushed\nhooks: installed\n");
}

#[test]
fn json_has_every_list() {
    let json = Sandbox::ready().onenb(&["--json", "status"]).ok().json();
    for key in ["uncommitted", "untagged", "unpushed", "stale", "moved", "conflicts", "disputed", "problems"] {
        assert_eq!(json[key], serde_json::json!([]), "{key}");
    }
    assert_eq!(json["hooks"]["current"], true);
}
