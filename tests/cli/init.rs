//! `onenb init`.

use crate::support::Sandbox;

#[test]
fn options_stand_before_or_after_the_backend() {
    for words in [
        &["init", "--name", "x", "--no-hooks", "dir", "data"][..],
        &["init", "dir", "data", "--no-hooks", "--name", "x"],
    ] {
        let sandbox = Sandbox::git_only();
        let run = sandbox.onenb(&[&["--json"], words].concat()).ok();
        assert_eq!(run.json()["name"], "x");
        assert_eq!(run.json()["hooks"], serde_json::json!([]));
        let config = std::fs::read_to_string(sandbox.in_repo(".1nb/config.toml")).expect("the file is there");
        assert!(config.contains(&*sandbox.in_repo("data").to_string_lossy()), "{config}");
    }
}

#[test]
fn what_it_writes_is_staged_and_committed_cleanly() {
    let sandbox = Sandbox::git_only();
    sandbox.onenb(&["init"]).ok();
    assert!(sandbox.git(&["diff", "--cached", "--name-only"]).ok().text().contains(".1nb/config.toml"));
    sandbox.git(&["commit", "--quiet", "--message=x"]).ok();
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
    assert_eq!(sandbox.onenb(&["hooks", "status"]).code, 0);
}

#[test]
fn the_name_is_the_folders() {
    let sandbox = Sandbox::git_only();
    assert_eq!(sandbox.onenb(&["init", "--json"]).ok().json()["name"], "repo");
}

#[test]
fn cloud_without_a_bucket_waits_for_the_hub() {
    let sandbox = Sandbox::git_only();
    let run = sandbox.onenb(&["init", "cloud", "s3"]);
    insta::assert_snapshot!(run, @r#"
    exit 2
    --- stdout
    --- stderr
    error: managed storage comes with the hub; give --bucket
    hint: see `onenb init --help`
    "#);
    assert!(!sandbox.in_repo(".1nb").exists());
}

#[test]
fn cloud_with_a_bucket_says_what_works_today() {
    for words in [&["init", "cloud", "--bucket", "b", "gcp"][..], &["init", "--bucket", "b", "cloud", "azure"]] {
        Sandbox::git_only().onenb(words).fails(1, &["cloud", "hint: ", "`onenb init dir PATH`"]);
    }
}

#[test]
fn combinations_that_mean_nothing_are_refused() {
    for words in [
        &["init", "dir"][..],
        &["init", "local", "place"],
        &["init", "dir", "x", "--bucket", "b"],
        &["init", "local", "--region", "r"],
        &["init", "cloud", "--bucket", "b", "ftp"],
        &["init", "cloud", "--bucket", "b"],
        &["init", "--name", "a/b"],
    ] {
        Sandbox::git_only().onenb(words).fails(2, &[]);
    }
}
