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
    sandbox.onenb(&["push", "nosuch"]).fails(3, &["nosuch"]);
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

/// Records a run whose export does not name the parameter that its notebook has.
fn undeclared(sandbox: &Sandbox) {
    let text = crate::support::notebook(sandbox, "Bad", b"bad", "01JCWZ4Z8Q4X2V5D9E7T1R3K6M");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let cell = serde_json::json!({"cell_type": "code", "id": "p", "execution_count": 1, "outputs": [],
        "metadata": {"tags": ["parameters"]}, "source": ["year = 2023\n", "zone = 1\n"]});
    json["cells"].as_array_mut().expect("cells").insert(0, cell);
    json["cells"][1]["outputs"][0]["data"]["application/vnd.onenb.receipt+json"]["params"] =
        serde_json::json!({"year": 2023});
    sandbox.write("bad.ipynb", json.to_string().as_bytes());
    sandbox.git(&["add", "bad.ipynb"]).ok();
    sandbox.commit_and_tag("bad");
}

#[test]
fn a_tag_that_cannot_be_pushed_does_not_keep_the_others_back() {
    let sandbox = Sandbox::tagged();
    undeclared(&sandbox);
    sandbox.onenb(&["push", "bad"]).fails(1, &["zone", "bad.ipynb"]);
    let run = sandbox.onenb(&["push", "--json"]);
    assert_eq!(run.code, 1, "{run}");
    let outcomes = |run: &crate::support::Run| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let json = run.json();
        let revs = json["revs"].as_array().expect("a list").iter();
        revs.map(|rev| (text(&rev["rev"]), text(&rev["outcome"]))).collect()
    };
    assert_eq!(outcomes(&run), [("v1".into(), "pushed".into()), ("bad".into(), "refused".into())]);
    assert_eq!(sandbox.onenb(&["push", "v1", "--json"]).ok().json()["requests"], 2);
    sandbox.onenb(&["push"]).fails(1, &["bad.ipynb", "`zone`"]);
    // The run is history once its record is gone.
    sandbox.git(&["rm", "--quiet", "-r", ".1nb/runs"]).ok();
    sandbox.commit_and_tag("good");
    sandbox.onenb(&["push", "good"]).ok();
}

#[test]
fn a_conflict_comes_after_what_could_be_pushed() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["tag", "moved"]).ok();
    sandbox.onenb(&["push", "moved"]).ok();
    sandbox.export("Sales", b"other", &[]);
    sandbox.git(&["tag", "--delete", "moved"]).ok();
    sandbox.commit_and_tag("moved");
    sandbox.git(&["tag", "zz"]).ok();
    sandbox.onenb(&["push", "moved", "v1", "zz"]).fails(1, &["moved", "--force"]);
    for tag in ["v1", "zz"] {
        let json = sandbox.onenb(&["push", tag, "--json"]).ok().json();
        assert_eq!(json["revs"][0]["outcome"], "already_there", "{json}");
    }
}

#[test]
fn branches_are_warned_about_verified_or_uploaded_as_the_user_says() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    let push = |policy: &str| {
        sandbox.git(&["config", "onenb.prePush", policy]).ok();
        sandbox.git(&["push", "--quiet", "origin", "main"])
    };
    let run = push("verify");
    assert!(run.code != 0 && run.stderr.contains("`onenb push main`"), "{run}");
    assert_eq!(sandbox.git(&["ls-remote", "origin"]).ok().text(), "");
    let run = push("auto").ok();
    assert!(run.stderr.contains("onenb: `main` has 3 exports"), "{run}");
    sandbox.write("x.txt", b"x");
    sandbox.git(&["add", "x.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "x"]).ok();
    push("upload").ok();
    let url = sandbox.path("remote").display().to_string();
    let commit = sandbox.git(&["rev-parse", "main"]).ok().text();
    assert_eq!(sandbox.onenb(&["cat", &format!("{url}@{}:Sales", commit.trim())]).ok().text(), "a,b\n1,2\n");
}

#[test]
fn a_branch_whose_exports_a_pushed_tag_has_is_pushed_in_silence() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.onenb(&["push", "v1"]).ok();
    sandbox.write("x.txt", b"x");
    sandbox.git(&["add", "x.txt"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "x"]).ok();
    for policy in ["auto", "verify"] {
        sandbox.git(&["config", "onenb.prePush", policy]).ok();
        let run = sandbox.git(&["push", "--quiet", "origin", "main"]).ok();
        assert_eq!(run.stderr, "", "{policy}");
        sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]).ok();
    }
}

/// The hook gave the bare name of the branch to `push`, which took it for the tag that is called alike.
#[test]
fn a_branch_never_names_the_data_of_a_tag_that_is_called_alike() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["tag", "rel"]).ok();
    sandbox.git(&["checkout", "--quiet", "-b", "rel"]).ok();
    sandbox.export("Sales", b"of the branch", &[]);
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "more"]).ok();
    sandbox.git(&["config", "onenb.prePush", "upload"]).ok();
    sandbox.git(&["push", "--quiet", "origin", "refs/heads/rel"]).ok();
    let there = |rev: &str| sandbox.onenb(&["cat", &format!("{}@{rev}:Sales", sandbox.path("remote").display())]);
    there("rel").fails(3, &["no tag `rel`"]);
    let commit = sandbox.git(&["rev-parse", "refs/heads/rel"]).ok().text();
    assert_eq!(there(commit.trim()).ok().text(), "of the branch");
    sandbox.onenb(&["push", "refs/heads/rel", "rel"]).ok();
    assert_eq!(there("rel").ok().text(), "a,b\n1,2\n");
    sandbox.git(&["push", "--quiet", "origin", "refs/heads/rel:refs/tags/from-branch"]).ok();
    assert_eq!(there("from-branch").ok().text(), "of the branch");
}

/// Only commits were compared, so what was bound to a pushed tag afterwards never got there, and nobody was told.
#[test]
fn what_was_bound_to_a_pushed_tag_is_not_called_already_there() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let file = sandbox.write("Late.csv", b"late");
    sandbox.onenb(&["bind", "v1", &file.to_string_lossy(), "--force"]).ok();
    sandbox.onenb(&["push", "v1"]).fails(1, &["lacks `Late`", "`onenb push --force v1`"]);
    let plain = sandbox.onenb(&["push"]);
    assert!(plain.code == 1 && plain.stderr.contains("lacks `Late`"), "{plain}");
    sandbox.onenb(&["push", "--force", "v1"]).ok();
    let there = |name: &str| sandbox.onenb(&["cat", &format!("{}@v1:{name}", sandbox.path("remote").display())]);
    assert_eq!(there("Late").ok().text(), "late");
    assert_eq!(sandbox.onenb(&["push", "v1", "--json"]).ok().json()["requests"], 2);
    sandbox.onenb(&["unbind", "v1", "Late", "--force"]).ok();
    sandbox.onenb(&["push", "v1"]).fails(1, &["still has `Late`"]);
    sandbox.onenb(&["push", "--force", "v1"]).ok();
    there("Late").fails(3, &[]);
}

/// A clone that has pushed nothing yet counted everything that its tag inherits.
#[test]
fn a_fresh_clone_pushes_a_tag_whose_data_is_there_whatever_the_limit() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["push", "--quiet", "origin", "main", "v1"]).ok();
    let clone = sandbox.path("clone").to_string_lossy().into_owned();
    sandbox.git(&["clone", "--quiet", "--branch=main", &sandbox.path("origin.git").to_string_lossy(), &clone]).ok();
    sandbox.onenb(&["-C", &clone, "hooks", "install"]).ok();
    sandbox.git(&["-C", &clone, "config", "onenb.prePushLimit", "4"]).ok();
    sandbox.git(&["-C", &clone, "commit", "--quiet", "--allow-empty", "--message=more"]).ok();
    sandbox.git(&["-C", &clone, "tag", "v2"]).ok();
    let run = sandbox.git(&["-C", &clone, "push", "--quiet", "origin", "v2"]).ok();
    assert!(run.stderr.contains("pushed the data of v2"), "{run}");
    sandbox.onenb(&["cat", &format!("{}@v2:Sales", sandbox.path("remote").display())]).ok();
}

#[test]
fn a_malformed_remote_stops_new_tags_and_no_branch() {
    let sandbox = Sandbox::tagged();
    sandbox.add_origin();
    sandbox.git(&["config", "onenb.remote", "nonsense://x"]).ok();
    let run = sandbox.git(&["push", "--quiet", "origin", "main"]).ok();
    assert!(run.stderr.starts_with("onenb: ") && run.stderr.lines().count() == 1, "{run}");
    let run = sandbox.git(&["push", "--quiet", "origin", "v1"]);
    assert!(run.code != 0 && run.stderr.contains("nonsense"), "{run}");
}
