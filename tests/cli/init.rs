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
fn cloud_writes_url_endpoint_and_region_and_asks_nobody() {
    for (words, url) in [
        (
            &["init", "cloud", "--bucket", "b", "--key-prefix", "/p/q/", "--region", "eu-west-1", "gcp"][..],
            "gs://b/p/q",
        ),
        (&["init", "--bucket", "b", "--endpoint-url", "https://acme.blob.example", "cloud", "azure"], "az://b"),
        (&["init", "cloud", "--bucket", "b", "--profile", "team", "s3"], "s3://b"),
    ] {
        let sandbox = Sandbox::git_only();
        sandbox.onenb(words).ok();
        let shown = sandbox.onenb(&["remote", "show", "--json"]).ok().json();
        assert_eq!(shown["remotes"][0]["url"], url);
        assert_eq!(shown["remotes"][0]["approved"], true);
        let tracked = std::fs::read_to_string(sandbox.in_repo(".1nb/config.toml")).expect("is written");
        assert!(!tracked.contains("team"), "profiles are the user's own: {tracked}");
    }
    let insecure = ["init", "cloud", "--bucket", "b", "--endpoint-url", "http://minio.example", "s3"];
    Sandbox::git_only().onenb(&insecure).fails(2, &["in the clear", "allow_http"]);
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
