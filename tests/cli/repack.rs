//! `repack`: the same data in less room, in words and as a document.

use serde_json::{Value as Json, json};

use crate::support::{Sandbox, read};

/// A table whose every version differs in some rows.
fn table(version: u64) -> String {
    let row = |row: u64| {
        let changed = if row % 7 < version { version } else { 0 };
        let hash = blake3::hash(&row.to_le_bytes());
        let [city, shop, state, ..] = *hash.as_bytes();
        format!("{row};city {};shop {};{changed};state {}\n", city % 30, shop % 100, state % 50)
    };
    (0..5_000).map(row).collect()
}

fn keys(json: &Json) -> Vec<&str> {
    json.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn versions_take_less_room_and_every_tag_reads_as_before() {
    let sandbox = Sandbox::tagged();
    for version in 0..6 {
        sandbox.export("Table", table(version).as_bytes(), &[]);
        sandbox.commit_and_tag(&format!("t{version}"));
    }
    let stored = || sandbox.onenb(&["stats", "--json"]).ok().json()["stored"].clone();
    let before = stored();
    let planned = sandbox.onenb(&["repack", "--dry-run", "--json"]).ok().json();
    assert_eq!((&planned["before"], &planned["after"], &stored()), (&before, &Json::Null, &before));
    let done = sandbox.onenb(&["repack", "--json"]).ok().json();
    let page = include_str!("../../docs/json.md");
    let mut examples = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = examples.find(|text| text.contains("kept_packs"));
    let example: Json = serde_json::from_str(example.unwrap()).unwrap();
    assert_eq!([keys(&done), keys(&planned)], [keys(&example), keys(&example)]);
    assert_eq!((&done["before"], &done["after"], &done["packs"]), (&before, &stored(), &planned["packs"]));
    assert!(done["after"].as_u64() < before.as_u64(), "{done}");
    for version in 0..6 {
        assert_eq!(read(&sandbox, &format!("t{version}:Table")), table(version));
    }
    assert_eq!(read(&sandbox, "v1:Report?year=2023"), "2023\n");
    assert_eq!(sandbox.onenb(&["verify", "--json"]).ok().json()["damaged"], json!([]));
    let again = sandbox.onenb(&["repack"]).ok();
    assert!(again.stderr.contains("nothing to repack") && again.stderr.contains("1 pack repacked before"), "{again}");
    sandbox.onenb(&["gc"]).ok();
    assert_eq!(read(&sandbox, "t3:Table"), table(3));
}

#[test]
fn levels_that_there_are_not_are_refused() {
    let sandbox = Sandbox::tagged();
    for level in ["0", "20", "best"] {
        assert_eq!(sandbox.onenb(&["repack", "--level", level]).code, 2, "{level}");
    }
}

#[test]
fn a_damaged_pack_stays_and_is_told() {
    let sandbox = Sandbox::tagged();
    for version in 0..4 {
        sandbox.export("Table", table(version).as_bytes(), &[]);
    }
    for path in sandbox.packs().into_iter().filter(|path| path.to_string_lossy().contains("/data/")) {
        let mut bytes = std::fs::read(&path).expect("a pack");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        onenb::fs::write_atomic(&path, &bytes).expect("a pack can be replaced");
    }
    let before = sandbox.onenb(&["stats", "--json"]).ok().json()["stored"].clone();
    let run = sandbox.onenb(&["repack", "--json"]);
    assert_eq!((run.code, &run.json()["damaged_packs"], &run.json()["after"]), (5, &json!(1), &before), "{run}");
    let run = sandbox.onenb(&["repack"]);
    assert!(run.code == 5 && run.stderr.contains("could not repack") && run.stderr.contains("onenb verify"), "{run}");
}

#[test]
fn settings_that_repacking_does_not_follow_are_named() {
    let sandbox = Sandbox::tagged();
    let settings = b"version = 1\n[csv]\nlevel = 19\nframe_len = 65536\nshuffle = true\ndelta = true\n";
    onenb::fs::write_atomic(&sandbox.in_repo(".git/onenb/encoding.toml"), settings).expect("a file");
    let said = |arguments: &[&str]| sandbox.onenb(arguments).ok().stderr;
    let planned = said(&["repack", "--dry-run"]);
    assert!(planned.contains("frames of up to 1 MiB") && planned.contains("`--level 19`"), "{planned}");
    assert!(!said(&["repack", "--dry-run", "--level", "19"]).contains("`--level 19`"));
    said(&["tune", "--undo"]);
    assert!(!said(&["repack", "--dry-run"]).contains("onenb tune"));
}
