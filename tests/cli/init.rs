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

/// A clone that was set up before the first commit had no root commit to be known by.
#[test]
fn a_second_clone_of_what_was_set_up_before_its_first_commit_is_the_same_repository() {
    let sandbox = Sandbox::empty();
    sandbox.git(&["init", "--quiet", "--initial-branch=main"]).ok();
    sandbox.onenb(&["init", "--name", "demo"]).ok();
    sandbox.git(&["commit", "--quiet", "--message=start"]).ok();
    let clone = sandbox.path("clone").display().to_string();
    sandbox.git(&["clone", "--quiet", ".", &clone]).ok();
    sandbox.onenb(&["-C", &clone, "init"]).ok();
}

#[test]
fn setting_up_again_and_another_remote_keep_keys_of_newer_versions() {
    let sandbox = Sandbox::ready();
    let path = sandbox.in_repo(".1nb/config.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let text = format!("# ours\ncolour = \"red\"\n{text}zone = 2\n");
    sandbox.write(".1nb/config.toml", text.as_bytes());
    sandbox.onenb(&["init"]).ok();
    assert_eq!(std::fs::read_to_string(&path).expect("a configuration"), text);
    sandbox.onenb(&["remote", "set", &sandbox.path("elsewhere").display().to_string()]).ok();
    let text = std::fs::read_to_string(&path).expect("a configuration");
    for part in ["elsewhere", "colour = \"red\"", "zone = 2"] {
        assert!(text.contains(part), "{text}");
    }
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
