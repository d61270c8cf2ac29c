//! `onenb verify --repair`: what is damaged on one side and sound on the other.

use std::path::{Path, PathBuf};

use crate::support::{Sandbox, collect};

/// Bytes that do not compress, others for every seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_862_933_555_777_941_757) | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A repository whose tag `v1` is on the remote, with one big export, and `v2`, which shares it and has another.
fn pushed() -> Sandbox {
    let sandbox = Sandbox::tagged();
    sandbox.export("Big", &noise(1, 400_000), &[]);
    sandbox.commit_and_tag("v2");
    sandbox.export("More", &noise(2, 300_000), &[]);
    sandbox.commit_and_tag("v3");
    sandbox.onenb(&["push"]).ok();
    sandbox
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    collect(folder, end, &mut found);
    assert!(!found.is_empty(), "{} has no {end}", folder.display());
    found
}

fn change(paths: &[PathBuf], change: impl Fn(&mut Vec<u8>)) {
    for path in paths {
        let mut bytes = std::fs::read(path).expect("a file");
        change(&mut bytes);
        onenb::fs::write_atomic(path, &bytes).expect("can be replaced");
    }
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn assert_whole(sandbox: &Sandbox, repo: &str) {
    assert!(sandbox.onenb(&["cat", &format!("{repo}v2:Big")]).ok().stdout == noise(1, 400_000));
    assert!(sandbox.onenb(&["cat", &format!("{repo}v3:More")]).ok().stdout == noise(2, 300_000));
    assert_eq!(sandbox.onenb(&["cat", &format!("{repo}v1:Sales")]).ok().stdout, b"a,b\n1,2\n");
}

fn texts(json: &serde_json::Value) -> String {
    json.as_array().expect("a list").iter().map(ToString::to_string).collect()
}

#[test]
fn damaged_and_missing_data_of_the_store_comes_from_the_remote() {
    for lose in ["data", "meta"] {
        let sandbox = pushed();
        let packs = files(&sandbox.path("repo/.git/onenb/packs").join(lose), "");
        change(&packs, |bytes| flip(bytes));
        assert_eq!(sandbox.onenb(&["verify"]).code, 5);
        let run = sandbox.onenb(&["verify", "--repair", "--json"]);
        if lose == "data" {
            let json = run.ok().json();
            assert!(texts(&json["repaired"]).contains("chunk"), "{json}");
            assert_eq!(json["damaged"], serde_json::json!([]));
            sandbox.onenb(&["verify"]).ok();
        }
        assert_whole(&sandbox, "");
        for pack in packs.iter().filter(|_| lose == "data") {
            onenb::fs::remove_file(pack).expect("a disk loses it");
        }
        let again = sandbox.onenb(&["verify", "--repair"]);
        assert!(lose == "meta" || again.code == 0, "{again}");
        assert_whole(&sandbox, "");
    }
}

#[test]
fn what_was_never_pushed_stays_damaged_and_the_rest_is_repaired() {
    let sandbox = pushed();
    sandbox.export("Local", &noise(3, 300_000), &[]);
    change(&files(&sandbox.path("repo/.git/onenb/packs/data"), ""), |bytes| bytes.truncate(200));
    let run = sandbox.onenb(&["verify", "--repair", "--json"]);
    assert_eq!(run.code, 5, "{run}");
    let json = run.json();
    assert!(texts(&json["damaged"]).contains("Local"), "{json}");
    assert!(!texts(&json["damaged"]).contains("Big") && !texts(&json["damaged"]).contains("More"), "{json}");
    assert_whole(&sandbox, "");
}

#[test]
fn a_store_without_a_remote_is_only_verified() {
    let sandbox = Sandbox::git_only();
    sandbox.onenb(&["init", "--name", "demo", "local"]).ok();
    sandbox.onenb(&["verify", "--repair"]).ok();
    sandbox.onenb(&["verify", "--remote", "--repair"]).fails(1, &["`onenb verify`"]);
}

#[test]
fn a_damaged_remote_is_healed_from_a_clone_that_has_the_data() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("flipped packs", |remote| change(&files(&remote.join("packs"), ".pack"), |bytes| flip(bytes))),
        ("a lost pack", |remote| {
            let packs = files(&remote.join("packs"), ".pack");
            onenb::fs::remove_file(
                packs.iter().max_by_key(|pack| pack.metadata().expect("is there").len()).expect("one"),
            )
            .expect("removes");
        }),
        ("short packs", |remote| change(&files(&remote.join("packs"), ".pack"), |bytes| bytes.truncate(1000))),
        ("damaged snapshots", |remote| change(&files(&remote.join("snapshots"), ""), |bytes| flip(bytes))),
    ];
    for (name, harm) in harms {
        let sandbox = pushed();
        let remote = sandbox.path("remote");
        harm(&remote);
        let found = sandbox.onenb(&["verify", "--remote", "--sample", "100", "--json"]);
        assert_eq!(found.code, 3, "{name}: {found}");
        // A clone without the data can do nothing about packs, and says so; what snapshots say Git knows as well.
        sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
        let clone = sandbox.path("clone").to_string_lossy().into_owned();
        if name != "damaged snapshots" {
            let helpless = sandbox.onenb(&["-C", &clone, "verify", "--remote", "--repair"]);
            assert_eq!(helpless.code, 3, "{name}: {helpless}");
        }
        let healed = sandbox.onenb(&["verify", "--remote", "--repair", "--json"]);
        assert_eq!(healed.code, 0, "{name}: {healed}");
        assert!(!texts(&healed.json()["repaired"]).is_empty(), "{name}");
        sandbox.onenb(&["verify", "--remote"]).ok();
        assert_eq!(texts(&sandbox.onenb(&["verify", "--remote", "--repair", "--json"]).ok().json()["repaired"]), "");
        assert_whole(&sandbox, &format!("{}@", remote.display()));
        sandbox.onenb(&["gc", "--remote", "--prune=now"]).ok();
        assert_whole(&sandbox, &format!("{}@", remote.display()));
        onenb::fs::rename(&sandbox.path("clone"), &sandbox.path("old clone")).expect("moves");
    }
}

#[test]
fn one_tag_is_healed_by_name() {
    let sandbox = pushed();
    change(&files(&sandbox.path("remote/packs"), ".pack"), |bytes| flip(bytes));
    sandbox.onenb(&["verify", "--remote", "v3", "--repair"]).ok();
    let at = format!("{}@v3:More", sandbox.path("remote").display());
    assert!(sandbox.onenb(&["cat", &at]).ok().stdout == noise(2, 300_000));
}
