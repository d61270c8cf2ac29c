//! `onenb verify` and `stats`.

use crate::support::{Sandbox, collect};

/// The packs with data, not those with recipes and snapshots, are the ones that hold this line.
const LINE: &[u8] = b"one line that repeats and says nothing at all\n";

fn with_data() -> Sandbox {
    let sandbox = Sandbox::ready();
    sandbox.export("Sales", &LINE.repeat(100_000), &[]);
    sandbox.commit_and_tag("v1");
    sandbox
}

/// Changes every pack of the store.
fn damage(sandbox: &Sandbox, change: impl Fn(&mut Vec<u8>)) {
    let packs = sandbox.packs();
    assert!(!packs.is_empty());
    for path in packs {
        let mut bytes = std::fs::read(&path).expect("a pack");
        change(&mut bytes);
        onenb::fs::write_atomic(&path, &bytes).expect("a pack can be replaced");
    }
}

#[test]
fn a_healthy_store_has_no_damage() {
    let sandbox = with_data();
    let json = sandbox.onenb(&["verify", "--json"]).ok().json();
    assert_eq!(json["damaged"], serde_json::json!([]));
    assert!(json["contents"].as_u64().is_some_and(|contents| contents >= 1));
}

#[test]
fn flipped_bits_are_named_with_the_exports_they_hit() {
    let sandbox = with_data();
    damage(&sandbox, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let run = sandbox.onenb(&["verify", "--json"]);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.json()["damaged"].to_string().contains("Sales"), "{run}");
    assert_eq!(sandbox.onenb(&["cat", "v1:Sales"]).code, 5);
}

#[test]
fn truncated_packs_are_damage() {
    let sandbox = with_data();
    damage(&sandbox, |bytes| bytes.truncate(bytes.len() / 2));
    let run = sandbox.onenb(&["verify", "--json"]);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.json()["damaged"].to_string().contains("Sales"), "{run}");
    let run = sandbox.onenb(&["cat", "v1:Sales"]);
    assert!(matches!(run.code, 3 | 5) && run.stdout.is_empty(), "{run}");
}

#[test]
fn stats_add_up() {
    let sandbox = with_data();
    sandbox.export("Twin", &LINE.repeat(100_000), &[]);
    let json = sandbox.onenb(&["stats", "--json"]).ok().json();
    let bytes = |value: &serde_json::Value| value.as_i64().expect("bytes");
    let saved = &json["saved"];
    let sum = bytes(&saved["dedup"]) + bytes(&saved["delta"]) + bytes(&saved["compression"]);
    assert_eq!(bytes(&json["raw"]) - bytes(&json["stored"]), sum);
    assert!(bytes(&json["stored"]) < bytes(&json["raw"]) / 2);
    // Sales and Twin are the same bytes, and share them.
    let names = json["exports"].as_array().expect("a list");
    let of = |name: &str| names.iter().find(|one| one["name"] == name).expect("it was exported").clone();
    assert_eq!(of("Sales")["stored"], of("Twin")["stored"]);
    assert!(names.iter().map(|one| bytes(&one["stored"])).sum::<i64>() <= bytes(&json["stored"]), "{json}");
    let text = sandbox.onenb(&["stats"]).ok().text();
    assert!(text.lines().any(|line| line.starts_with("Sales ") && line.ends_with('█')), "{text}");
}

#[test]
fn an_export_or_a_pull_heals_what_verify_found() {
    let heals: [&dyn Fn(&Sandbox); 2] =
        [&|sandbox| assert_eq!(sandbox.export("Sales", &LINE.repeat(100_000), &[]).code, 0), &|sandbox| {
            drop(sandbox.onenb(&["pull", "v1"]).ok());
        }];
    for heal in heals {
        let sandbox = with_data();
        sandbox.onenb(&["push", "v1"]).ok();
        for path in sandbox.packs().iter().filter(|path| path.to_string_lossy().contains("packs/data")) {
            let mut bytes = std::fs::read(path).expect("a pack");
            // The last byte of the first frame, which the first marker follows.
            let marker = bytes.windows(5).position(|found| found == b"1nbf\x03").expect("a marker");
            bytes[marker - 1] ^= 1;
            onenb::fs::write_atomic(path, &bytes).expect("a pack can be replaced");
        }
        let run = sandbox.onenb(&["verify"]);
        assert_eq!(run.code, 5, "{run}");
        assert!(run.text().contains("`onenb verify --repair`"), "{run}");
        assert_eq!(sandbox.onenb(&["cat", "v1:Sales"]).code, 5);
        heal(&sandbox);
        sandbox.onenb(&["verify"]).ok();
        assert_eq!(sandbox.onenb(&["cat", "v1:Sales"]).ok().stdout, LINE.repeat(100_000));
    }
}

/// The check for pull requests: what a commit exports must be readable by who has the remote alone.
#[test]
fn a_revision_is_checked_against_the_remote() {
    let sandbox = Sandbox::tagged();
    // Too much to stand in the snapshot itself.
    let noise: Vec<u8> = (0..400_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    sandbox.export("Large", &noise, &[]);
    sandbox.commit_and_tag("large");
    let run = sandbox.onenb(&["verify", "--remote", "HEAD", "--json"]);
    assert_eq!(run.code, 3, "{run}");
    let damaged = run.json()["damaged"].to_string();
    assert!(damaged.contains("Sales") && damaged.contains("Report"), "{run}");
    sandbox.onenb(&["push", "large"]).ok();
    let run = sandbox.onenb(&["verify", "--remote", "HEAD"]).ok();
    assert!(run.text().contains("every pack is there"), "{run}");
    let (url, clone) =
        (format!("file://{}", sandbox.in_repo("").display()), sandbox.path("clone").display().to_string());
    sandbox.git(&["clone", "--quiet", "--depth=1", "--no-tags", &url, &clone]).ok();
    sandbox.onenb(&["-C", &clone, "verify", "--remote", "HEAD"]).ok();
    sandbox.export("Sales", b"newer, and not sent", &[]);
    sandbox.commit_and_tag("v2");
    let run = sandbox.onenb(&["verify", "--remote", "v2"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.text().contains("Sales") && !run.text().contains("Report"), "{run}");
    assert!(run.text().contains("`onenb push v2`"), "{run}");
    sandbox.onenb(&["verify", "--remote", "large"]).ok();
    sandbox.onenb(&["verify", "--remote", "nowhere"]).fails(3, &["nowhere"]);
    let mut packs = Vec::new();
    collect(&sandbox.path("remote"), ".pack", &mut packs);
    assert!(!packs.is_empty());
    for pack in packs {
        onenb::fs::remove_file(&pack).expect("a pack of the remote can go");
    }
    let run = sandbox.onenb(&["verify", "--remote", "large"]);
    assert!(run.code == 3 && run.text().contains("Large"), "{run}");
}
