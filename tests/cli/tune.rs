//! `onenb tune`. No assertion depends on a clock: only bytes count for `--for size`, and there is time for every
//! setting.

use serde_json::{Value, json};

use crate::support::{Run, Sandbox};

const BY_SIZE: [&str; 5] = ["tune", "--for", "size", "--time", "3600"];

/// Makes a table whose rows differ a little from version to version, and which better compression makes smaller.
fn table(seed: u64, version: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let rows = (0..2500_u64).map(|number| {
        let changed = if number % 30 == version { version * 7 } else { 0 };
        format!("{number},team {},{},{}\n", next() % 20, next() % 300 + changed, next() % 100_000)
    });
    rows.collect::<String>().into_bytes()
}

/// Makes a repository where one table was exported in a few versions.
fn with_versions() -> Sandbox {
    let sandbox = Sandbox::ready();
    for version in 0..6 {
        sandbox.export("Sales", &table(1, version), &[]);
    }
    sandbox
}

fn tune(sandbox: &Sandbox, more: &[&str]) -> Run {
    let arguments: Vec<&str> = BY_SIZE.iter().chain(more).copied().collect();
    sandbox.onenb(&arguments).ok()
}

/// Exports new data and returns what the store grew by.
fn stored(sandbox: &Sandbox, name: &str, seed: u64) -> u64 {
    let bytes = || sandbox.onenb(&["stats", "--json"]).ok().json()["stored"].as_u64().expect("a number");
    let before = bytes();
    sandbox.export(name, &table(seed, 0), &[]);
    bytes() - before
}

fn settings(sandbox: &Sandbox) -> Option<String> {
    std::fs::read_to_string(sandbox.in_repo(".git/onenb/encoding.toml")).ok()
}

#[test]
fn what_is_applied_is_how_new_data_is_written_until_it_is_undone() {
    let (sandbox, untouched) = (with_versions(), with_versions());
    let said = tune(&sandbox, &[]);
    assert!(said.text().contains("is best for size. On the data held out, against the present setting: -"), "{said}");
    assert!(said.stderr.contains("`onenb tune --for size --apply`"), "{said}");
    assert_eq!(settings(&sandbox), None);

    let applied = tune(&sandbox, &["--apply"]);
    assert!(applied.stderr.contains("`onenb tune --undo`"), "{applied}");
    assert!(settings(&sandbox).expect("settings").contains("[csv]"));
    let shown = sandbox.onenb(&["tune", "--show"]).ok().text();
    assert!(shown.starts_with("csv: level ") && shown.contains("\nall else: level 3, frames of 1024 KiB\n"), "{shown}");
    let json = sandbox.onenb(&["tune", "--show", "--json"]).ok().json();
    assert!(json["settings"]["csv"]["level"].is_u64(), "{json}");
    assert_eq!(sandbox.onenb(&["stats", "--json"]).ok().json()["settings"], json["settings"]);
    assert!(sandbox.onenb(&["doctor"]).text().contains("csv: level "));
    let (tuned, by_default) = (stored(&sandbox, "Fresh", 2), stored(&untouched, "Fresh", 2));
    assert!(tuned < by_default * 98 / 100, "{tuned} {by_default}");
    let batch = sandbox.write("batch.csv", &table(3, 0));
    let list = format!("Batched\t{}\n", batch.display());
    for sandbox in [&sandbox, &untouched] {
        sandbox.onenb_with(&["export", "--batch", "-"], list.as_bytes()).ok();
    }
    let share = |sandbox: &Sandbox| {
        let rows = sandbox.onenb(&["stats", "--json"]).ok().json()["exports"].as_array().expect("rows").clone();
        let row = rows.into_iter().find(|row| row["name"] == "Batched").expect("the export");
        row["stored"].as_u64().expect("a number")
    };
    assert!(share(&sandbox) < share(&untouched) * 98 / 100);

    // Another setting, the same data under the same names.
    for spec in ["working:Fresh", "working:Batched"] {
        let show =
            |sandbox: &Sandbox| sandbox.onenb(&["show", spec, "--json"]).ok().json()["exports"][0]["digest"].clone();
        assert_eq!(show(&sandbox), show(&untouched));
    }
    assert_eq!(sandbox.onenb(&["cat", "working:Fresh"]).ok().stdout, table(2, 0));
    sandbox.onenb(&["verify"]).ok();

    let undone = sandbox.onenb(&["tune", "--undo"]).ok();
    assert_eq!(undone.stderr, "new data is written with the defaults again\n");
    assert_eq!(settings(&sandbox), None);
    // What else is stored with an export holds times, which compress to a few bytes more or less.
    let (undone, by_default) = (stored(&sandbox, "Later", 4), stored(&untouched, "Later", 4));
    assert!(undone.abs_diff(by_default) < 100, "{undone} {by_default}");
    assert_eq!(sandbox.onenb(&["tune", "--reset"]).ok().stderr, "there are no settings to undo\n");
    let json = sandbox.onenb(&["tune", "--undo", "--json"]).ok().json();
    assert_eq!(json, json!({"version": 1, "had_settings": false}));
}

#[test]
fn what_already_is_the_best_is_not_applied_again() {
    let sandbox = with_versions();
    tune(&sandbox, &["--apply"]);
    let before = settings(&sandbox);
    let json = tune(&sandbox, &["--apply", "--json"]).json();
    assert_eq!((&json["applied"], &json["kinds"][0]["verdict"]), (&json!(false), &json!("present-is-best")));
    assert_eq!(settings(&sandbox), before);
}

#[test]
fn the_document_has_every_setting_with_its_figures() {
    let sandbox = with_versions();
    sandbox.onenb_with(&["export", "Note", "-", "--suffix", ".txt"], &b"some words\n".repeat(20_000)).ok();
    let svg = sandbox.path("tune.svg");
    let json = tune(&sandbox, &["--json", "--apply", "--svg", &svg.to_string_lossy()]).json();
    assert_eq!((&json["version"], &json["objective"], &json["applied"]), (&json!(1), &json!("size"), &json!(true)));
    // Nobody asks the remote where it does not matter how far away it is.
    assert_eq!(json["remote_latency_ms"], Value::Null);
    let kinds = json["kinds"].as_array().expect("kinds");
    let names: Vec<&Value> = kinds.iter().map(|kind| &kind["kind"]).collect();
    assert_eq!(names, [&json!("csv"), &json!("text")]);
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let page = include_str!("../../docs/json.md");
    let example =
        page.split("```json\n").find(|text| text.contains("\"objective\"")).and_then(|text| text.split("```").next());
    let example: Value = serde_json::from_str(example.expect("an example")).expect("JSON");
    let csv = &kinds[0];
    assert_eq!(keys(&json), keys(&example));
    assert_eq!(keys(csv), keys(&example["kinds"][0]));
    assert_eq!(keys(&csv["settings"][0]), keys(&example["kinds"][0]["settings"][0]));
    assert_eq!(keys(&csv["held_out"]), keys(&example["kinds"][0]["held_out"]));
    assert_eq!(keys(&csv["held_out"]["present"]), keys(&example["kinds"][0]["held_out"]["present"]));
    assert_eq!(csv["present"], json!({"level": 3, "frame_len": 1_048_576, "shuffle": true, "delta": true}));
    assert_eq!(csv["settings"][0]["encoding"], csv["present"]);
    assert_eq!((&csv["settings"][0]["score"], &csv["complete"]), (&json!(1.0), &json!(true)));
    // One export of one version: there is nothing to check a choice on.
    assert!(["nothing-held-out", "present-is-best"].map(Value::from).contains(&kinds[1]["verdict"]), "{json}");
    let drawn = std::fs::read_to_string(svg).expect("a picture");
    assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"));
    assert!(sandbox.store_files("").iter().all(|path| !path.to_string_lossy().contains("/scratch/")));
}

#[test]
fn what_cannot_be_drawn_is_refused_before_anything_is_measured_or_applied() {
    let sandbox = with_versions();
    let head = sandbox.in_repo(".git/HEAD");
    let before = std::fs::read(&head).expect("HEAD");
    let folder = sandbox.in_repo("");
    for (target, reason) in [(&head, "Git keeps its data there"), (&folder, "it is a folder")] {
        let target = target.to_string_lossy();
        for arguments in [&["tune", "--apply", "--svg", &target][..], &["tune", "--apply", "--force", "--svg", &target]]
        {
            sandbox.onenb(arguments).fails(1, &[reason, "`--svg FILE`"]);
        }
    }
    assert_eq!(std::fs::read(&head).expect("HEAD"), before);
    let mine = sandbox.write("notes.svg", b"<svg>mine</svg>");
    sandbox.onenb(&["tune", "--apply", "--svg", &mine.to_string_lossy()]).fails(1, &["not a picture", "`--force`"]);
    assert_eq!(settings(&sandbox), None);
}

#[test]
fn a_folder_or_a_huge_file_in_place_of_the_settings_is_named_and_undone() {
    let sandbox = with_versions();
    let path = sandbox.in_repo(".git/onenb/encoding.toml");
    for reason in ["it is a folder", "is longer than 65536 bytes"] {
        if reason.contains("folder") {
            onenb::fs::create_dir_all(&path).expect("a folder");
        } else {
            onenb::fs::write_atomic(&path, &vec![b'#'; 70_000]).expect("a file");
        }
        sandbox.onenb(&["tune", "--show"]).fails(1, &[reason, "`onenb tune --undo`"]);
        sandbox.onenb(&["tune", "--undo"]).ok();
        assert!(sandbox.onenb(&["tune", "--show"]).ok().text().starts_with("all data: level 3"));
    }
}

#[test]
fn files_of_directories_are_sampled_with_their_versions() {
    let sandbox = Sandbox::ready();
    for version in 0..4 {
        for seed in [1, 2] {
            sandbox.write(&format!("data/part{seed}.csv"), &table(seed, version));
        }
        sandbox.onenb(&["export", "Parts", "data"]).ok();
    }
    let csv = tune(&sandbox, &["--json"]).json()["kinds"][0].clone();
    assert_eq!((&csv["kind"], &csv["exports"], &csv["verdict"]), (&json!("csv"), &json!(2), &json!("better")), "{csv}");
}

#[test]
fn gc_removes_what_a_killed_run_left() {
    let sandbox = with_versions();
    let left = sandbox.in_repo(".git/onenb/scratch/01/packs/data");
    onenb::fs::create_dir_all(&left).expect("a folder");
    sandbox.onenb(&["gc", "--dry-run"]).ok();
    assert!(left.exists());
    sandbox.onenb(&["gc"]).ok();
    assert!(!sandbox.in_repo(".git/onenb/scratch").exists());
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, table(1, 5));
}

#[test]
fn the_remote_is_asked_where_that_matters() {
    let ask = ["tune", "--for", "speed", "--time", "1", "--json"];
    let sandbox = Sandbox::ready();
    sandbox.export("Sales", &table(1, 0), &[]);
    let run = sandbox.onenb(&ask).ok();
    assert!(run.json()["remote_latency_ms"].as_f64().is_some_and(|latency| latency >= 0.0), "{run}");
    assert!(run.stderr.contains("asking the remote"), "{run}");
    let sandbox = Sandbox::git_only();
    sandbox.onenb(&["init", "--name", "demo", "local"]).ok();
    sandbox.export("Sales", &table(1, 0), &[]);
    assert_eq!(sandbox.onenb(&ask).ok().json()["remote_latency_ms"], Value::Null);
}

#[test]
fn an_empty_store_says_what_to_do() {
    let sandbox = Sandbox::ready();
    sandbox.onenb(&BY_SIZE).fails(1, &["nothing is stored here", "`onenb export NAME FILE`", "`onenb pull --all`"]);
    // A little is not enough.
    sandbox.export("Sales", b"a,b\n1,2\n", &[]);
    let said = tune(&sandbox, &[]);
    assert!(said.text().contains("Too little data to measure"), "{said}");
    assert!(said.stderr.contains("too little data to measure, so there is nothing to apply"), "{said}");
}

#[test]
fn bad_values_are_wrong_usage() {
    let sandbox = Sandbox::ready();
    for arguments in [
        &["tune", "--for", "beauty"][..],
        &["tune", "--sample", "0"],
        &["tune", "--sample", "much"],
        &["tune", "--time", "0"],
        &["tune", "--undo", "--apply"],
        &["tune", "--undo", "--for", "size"],
        &["tune", "--svg"],
        &["tune", "--force"],
        &["tune", "--show", "--undo"],
        &["tune", "--show", "--for", "size"],
    ] {
        assert_eq!(sandbox.onenb(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named_and_keep_nobody_from_exporting() {
    let sandbox = with_versions();
    for text in [
        "version = 2\n",
        "level = 3",
        "version = 1\n[csv]\nlevel = 99\nframe_len = 65536\nshuffle = true\ndelta = true\n",
    ] {
        onenb::fs::write_atomic(&sandbox.in_repo(".git/onenb/encoding.toml"), text.as_bytes()).expect("a file");
        let hint = if text == "version = 2\n" { "`pip install --upgrade onenb`" } else { "`onenb tune --undo`" };
        sandbox.onenb(&["tune", "--apply"]).fails(1, &["encoding.toml", hint]);
        assert_eq!(settings(&sandbox).as_deref(), Some(text));
        let doctor = sandbox.onenb(&["doctor"]);
        assert!(doctor.code == 1 && doctor.text().contains("encoding.toml"), "{doctor}");
        let said = sandbox.onenb_with(&["export", "Fresh", "-", "--suffix", ".csv"], &table(9, 0)).ok();
        assert_eq!(said.stderr.matches("new data is written with the default settings").count(), 1, "{said}");
        sandbox.onenb(&["tune", "--undo"]).ok();
        assert_eq!(settings(&sandbox), None);
        assert!(!sandbox.onenb(&["doctor"]).text().contains("encoding.toml"));
    }
}
