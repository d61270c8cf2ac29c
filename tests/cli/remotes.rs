//! What a remote says counts, also when it says something else than last time.

use crate::support::Sandbox;

fn outcomes(json: &serde_json::Value) -> Vec<String> {
    let revs = json["revs"].as_array().expect("a list");
    revs.iter().map(|row| format!("{} {}", row["rev"], row["outcome"]).replace('"', "")).collect()
}

#[test]
fn a_plain_push_asks_the_remote_what_it_still_has() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    assert_eq!(outcomes(&sandbox.onenb(&["push", "--json"]).ok().json()), Vec::<String>::new());
    sandbox.onenb(&["push", "--delete", "v1"]).ok();
    assert_eq!(sandbox.onenb(&["status", "--json"]).ok().json()["unpushed"], serde_json::json!(["v1"]));
    assert_eq!(outcomes(&sandbox.onenb(&["push", "--json"]).ok().json()), ["v1 pushed"]);
    onenb::fs::rename(&sandbox.path("remote"), &sandbox.path("lost")).expect("the disk is gone");
    let again = sandbox.onenb(&["push", "--json"]).ok().json();
    assert_eq!((outcomes(&again), again["packs"].as_u64()), (vec!["v1 pushed".to_owned()], Some(0)));
    sandbox.onenb(&["cat", &format!("{}@v1:Sales", sandbox.path("remote").display())]).ok();
}

#[test]
fn a_remote_belongs_to_one_repository() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    let other = sandbox.path("other");
    onenb::fs::create_dir_all(&other).expect("a folder");
    let at = other.to_string_lossy().into_owned();
    sandbox.git(&["init", "--quiet", &at]).ok();
    sandbox.git(&["-C", &at, "commit", "--quiet", "--allow-empty", "--message=another beginning"]).ok();
    sandbox.onenb(&["-C", &at, "init", "--name", "stranger", "dir", &sandbox.path("remote").to_string_lossy()]).ok();
    sandbox.onenb_with(&["-C", &at, "export", "Sales", "-", "--suffix", ".csv"], b"theirs").ok();
    sandbox.git(&["-C", &at, "add", ".1nb"]).ok();
    sandbox.git(&["-C", &at, "commit", "--quiet", "--message=theirs"]).ok();
    sandbox.git(&["-C", &at, "tag", "v2"]).ok();
    sandbox.onenb(&["-C", &at, "push"]).fails(1, &["demo", "stranger", "`onenb remote set"]);
}

#[test]
fn a_fresh_clone_notices_that_a_tag_moved_on_the_remote() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    sandbox.export("Sales", b"other", &[]);
    sandbox.git(&["tag", "--delete", "v1"]).ok();
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push", "v1", "--force"]).ok();
    // The data of the clone is nowhere but on the remote.
    onenb::fs::rename(&sandbox.path("repo"), &sandbox.path("gone")).expect("moves");
    onenb::fs::create_dir_all(&sandbox.path("repo")).expect("a folder to stand in");
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    let run = sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).ok();
    assert_eq!(run.stdout, b"a,b\n1,2\n", "the local tag is read");
    assert!(run.stderr.contains("warning: tag `v1` is"), "{run}");
    let status = sandbox.onenb(&["-C", &at, "status", "--json"]).ok().json();
    assert_eq!(status["moved"][0]["tag"], "v1");
    assert_ne!(status["moved"][0]["local"], status["moved"][0]["remote"]);
    let conflict = sandbox.onenb(&["-C", &at, "push"]);
    assert!(conflict.code == 1 && conflict.stderr.contains("--force v1"), "{conflict}");
}

#[test]
fn a_prefix_is_approved_part_by_part() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    onenb::fs::rename(&sandbox.path("repo"), &sandbox.path("gone")).expect("moves");
    onenb::fs::rename(&sandbox.path("home"), &sandbox.path("old home")).expect("another user");
    onenb::fs::create_dir_all(&sandbox.path("repo")).expect("a folder to stand in");
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).fails(4, &["`onenb remote approve "]);
    let half = sandbox.path("rem").to_string_lossy().into_owned();
    sandbox.onenb(&["remote", "approve", "--prefix", &half]).ok();
    sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).fails(4, &[]);
    sandbox.onenb(&["remote", "approve", "--prefix", "/"]).fails(2, &["everything"]);
    sandbox.onenb(&["remote", "approve", "--prefix", &sandbox.path("").join("x/..").to_string_lossy()]).fails(2, &[]);
    let whole = sandbox.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let approved = sandbox.onenb(&["remote", "approve", "--prefix", &whole]).ok();
    assert!(approved.stderr.contains("everything below"), "{approved}");
    assert_eq!(sandbox.onenb(&["-C", &at, "cat", "v1:Sales"]).ok().stdout, b"a,b\n1,2\n");
}

#[test]
fn the_remote_is_verified_collected_and_repaired() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["verify", "--remote"]).fails(3, &["onenb push --create"]);
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(400_000)
    .collect();
    sandbox.export("Big", &noise, &[]);
    sandbox.commit_and_tag("v2");
    sandbox.onenb(&["push"]).ok();
    let verified = sandbox.onenb(&["verify", "--remote", "v2", "--sample", "2", "--json"]).ok().json();
    assert_eq!((verified["contents"].as_u64(), verified["damaged"].as_array().map(Vec::len)), (Some(4), Some(0)));
    sandbox.onenb(&["verify", "--remote", "--sample", "1"]).ok();
    let mut packs = vec![];
    crate::support::collect(&sandbox.path("remote/packs"), ".pack", &mut packs);
    onenb::fs::remove_file(&packs[0]).expect("a pack is lost");
    let lost = sandbox.onenb(&["verify", "--remote"]);
    assert!(
        lost.code == 3 && lost.text().contains("v2:Big") && lost.text().contains("`onenb verify --remote --repair`"),
        "{lost}"
    );
    sandbox.onenb(&["push", "--force", "v2"]).ok();
    sandbox.onenb(&["verify", "--remote"]).ok();
    sandbox.onenb(&["push", "--delete", "v2"]).ok();
    let planned = sandbox.onenb(&["gc", "--remote", "--dry-run", "--json"]).ok().json();
    let done = sandbox.onenb(&["gc", "--remote", "--json"]).ok().json();
    assert_eq!((&planned["packs"], &planned["bytes"]), (&done["packs"], &done["bytes"]));
    assert!(done["bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{done}");
    sandbox.onenb(&["verify", "--remote"]).ok();
    let gone = sandbox.onenb(&["verify", "--remote", "v2"]);
    assert!(gone.code == 3 && gone.text().contains("Big"), "{gone}");
    sandbox.onenb(&["push", "--forget-history", "v1"]).ok();
}

#[test]
fn pull_all_brings_every_tag() {
    let sandbox = Sandbox::tagged();
    sandbox.export("Sales", b"second", &[]);
    sandbox.commit_and_tag("v2");
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let at = sandbox.path("clone").to_string_lossy().into_owned();
    let pulled = sandbox.onenb(&["-C", &at, "pull", "--all", "--json"]).ok().json();
    assert_eq!((pulled["exports"].as_u64(), pulled["fetched"].as_u64()), (Some(6), Some(4)));
    onenb::fs::rename(&sandbox.path("remote"), &sandbox.path("offline")).expect("moves");
    assert_eq!(sandbox.onenb(&["-C", &at, "cat", "v2:Sales"]).ok().stdout, b"second");
}
