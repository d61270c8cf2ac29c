//! `gc`, `pin`, `restore` and `log --working`: what is named stays, what is not goes, and earlier exports come back.

use crate::support::{Sandbox, notebook, read};

/// Collects at once and returns what it came to.
fn collect(sandbox: &Sandbox) -> serde_json::Value {
    let done = sandbox.onenb(&["gc", "--prune", "now", "--json"]).ok().json();
    let report = sandbox.onenb(&["verify", "--json"]).ok().json();
    assert_eq!(report["damaged"], serde_json::json!([]));
    done
}

fn bytes(seed: &str) -> String {
    blake3::hash(seed.as_bytes()).to_hex().repeat(200)
}

fn export(sandbox: &Sandbox, name: &str, seed: &str) -> String {
    sandbox.export(name, bytes(seed).as_bytes(), &[]);
    blake3::hash(bytes(seed).as_bytes()).to_hex().to_string()
}

fn is_here(sandbox: &Sandbox, digest: &str) -> bool {
    match sandbox.onenb(&["cat-object", digest]) {
        run if run.code == 0 => true,
        run => {
            assert_eq!(run.code, 3, "{run}");
            false
        }
    }
}

#[test]
fn whatever_git_can_still_reach_stays() {
    let sandbox = Sandbox::tagged();
    let tagged = export(&sandbox, "Sales", "tagged");
    sandbox.commit_and_tag("v2");
    let reset = export(&sandbox, "Sales", "reset");
    sandbox.commit_and_tag("gone");
    sandbox.git(&["tag", "--delete", "gone"]).ok();
    sandbox.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    let stashed = export(&sandbox, "Sales", "stashed");
    sandbox.git(&["stash", "--quiet"]).ok();
    let late = export(&sandbox, "Late", "late");
    sandbox.write("file", b"x");
    sandbox.git(&["add", "file"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "late"]).ok();
    sandbox.git(&["clean", "--quiet", "-fd", ".1nb"]).ok();
    let staged = export(&sandbox, "Staged", "staged");
    sandbox.git(&["add", ".1nb"]).ok();
    export(&sandbox, "Staged", "on top of what is staged");
    let linked = sandbox.path("linked");
    sandbox.git(&["worktree", "add", "--quiet", "--detach", &linked.to_string_lossy()]).ok();
    let other = blake3::hash(bytes("linked").as_bytes()).to_hex().to_string();
    sandbox
        .onenb_with(
            &["-C", &linked.to_string_lossy(), "export", "Linked", "-", "--suffix", ".csv"],
            bytes("linked").as_bytes(),
        )
        .ok();
    let superseded = export(&sandbox, "Loose", "superseded");
    let working = export(&sandbox, "Loose", "working");
    let named = [&tagged, &reset, &stashed, &late, &staged, &other, &working];
    assert_eq!(sandbox.onenb(&["gc", "--json"]).ok().json()["dropped_contents"], 0);
    assert!(is_here(&sandbox, &superseded));
    assert_eq!(collect(&sandbox)["dropped_contents"], 1);
    assert!(!is_here(&sandbox, &superseded));
    for digest in named {
        assert!(is_here(&sandbox, digest), "{digest}");
    }
    assert_eq!(read(&sandbox, "v1:Report?year=2023"), "2023\n");
    sandbox.git(&["reflog", "expire", "--expire=now", "--all"]).ok();
    sandbox.git(&["stash", "clear"]).ok();
    sandbox.git(&["worktree", "remove", "--force", &linked.to_string_lossy()]).ok();
    collect(&sandbox);
    for (digest, stays) in [(&tagged, true), (&late, true), (&working, true), (&other, false), (&stashed, false)] {
        assert_eq!(is_here(&sandbox, digest), stays, "{digest}");
    }
    // Git's own leftovers may still name it.
    sandbox.onenb(&["reindex"]).ok();
    assert_eq!(read(&sandbox, "v2:Sales"), bytes("tagged"));
    assert_eq!(read(&sandbox, "HEAD:Late"), bytes("late"));
}

#[test]
fn what_receipts_bind_and_what_folders_hold_stays() {
    let sandbox = Sandbox::ready();
    sandbox.write(
        "a.ipynb",
        notebook(&sandbox, "Sales", bytes("receipt").as_bytes(), "01JCWZ4Z8Q4X2V5D9E7T1R3K6M").as_bytes(),
    );
    sandbox.git(&["add", "a.ipynb"]).ok();
    sandbox.git(&["commit", "--quiet", "--no-verify", "--message", "notebook"]).ok();
    sandbox.write("model/weights.bin", bytes("weights").as_bytes());
    sandbox.onenb(&["export", "Model", "model"]).ok();
    sandbox.git(&["add", ".1nb"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "model"]).ok();
    sandbox.onenb_with(&["write-object", "-"], bytes("nobody's").as_bytes()).ok();
    assert_eq!(collect(&sandbox)["dropped_contents"], 1);
    assert_eq!(read(&sandbox, "HEAD:Sales"), bytes("receipt"));
    assert_eq!(sandbox.onenb(&["cat", "HEAD:Model", "--member", "weights.bin"]).ok().text(), bytes("weights"));
}

#[test]
fn where_not_everything_can_be_told_nothing_is_deleted() {
    let sandbox = Sandbox::tagged();
    let loose = export(&sandbox, "Loose", "1");
    export(&sandbox, "Loose", "2");
    let refuses = |words: &[&str]| {
        let run = sandbox.onenb(&["gc", "--prune", "now"]);
        assert_ne!(run.code, 0, "{run}");
        let code = run.code;
        run.fails(code, &[&["nothing was deleted"], words].concat());
        assert!(is_here(&sandbox, &loose));
    };
    sandbox.write(".git/refs/heads/broken", b"garbage\n");
    refuses(&[]);
    sandbox.write(".git/refs/heads/broken", format!("{}\n", "1".repeat(40)).as_bytes());
    refuses(&["refs/heads/broken"]);
    onenb::fs::remove_file(&sandbox.in_repo(".git/refs/heads/broken")).unwrap();
    sandbox.write(".git/onenb/batches/01JCWZ4Z8Q4X2V5D9E7T1R3K6M.json", b"no journal");
    refuses(&[]);
    onenb::fs::remove_file(&sandbox.in_repo(".git/onenb/batches/01JCWZ4Z8Q4X2V5D9E7T1R3K6M.json")).unwrap();
    collect(&sandbox);
    assert!(!is_here(&sandbox, &loose));
}

#[test]
fn a_record_in_conflict_names_both_sides() {
    let sandbox = Sandbox::ready();
    let (one, two) = (export(&sandbox, "Sales", "1"), export(&sandbox, "Sales", "2"));
    let record = sandbox.store_files(".json").into_iter().next();
    assert!(record.is_none(), "records lie in the work tree");
    let path = std::fs::read_dir(sandbox.in_repo(".1nb/exports/Sales")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&path).unwrap();
    let sides = format!("<<<<<<<\n{text}=======\n{}>>>>>>>\n", text.replace(&two, &one));
    onenb::fs::write_atomic(&path, sides.as_bytes()).unwrap();
    collect(&sandbox);
    assert!(is_here(&sandbox, &one) && is_here(&sandbox, &two));
}

#[test]
fn a_shared_store_keeps_what_any_repository_names() {
    let sandbox = Sandbox::ready();
    let (shared, second) = (sandbox.path("shared"), sandbox.path("second"));
    let (shared, second) = (shared.to_string_lossy().into_owned(), second.to_string_lossy().into_owned());
    sandbox.git(&["config", "onenb.store", &shared]).ok();
    sandbox.git(&["clone", "--quiet", ".", &second]).ok();
    sandbox.git(&["-C", &second, "config", "onenb.store", &shared]).ok();
    export(&sandbox, "Sales", "first");
    sandbox.onenb_with(&["-C", &second, "export", "Sales", "-", "--suffix", ".csv"], bytes("second").as_bytes()).ok();
    collect(&sandbox);
    assert_eq!(sandbox.onenb(&["-C", &second, "cat", "working:Sales"]).ok().text(), bytes("second"));
    onenb::fs::rename(std::path::Path::new(&second), &sandbox.path("moved")).unwrap();
    sandbox.onenb(&["gc", "--prune", "now"]).fails(1, &["second", "`rm "]);
}

#[test]
fn pins_keep_what_nothing_else_names() {
    let sandbox = Sandbox::ready();
    let digest = export(&sandbox, "Sales", "1");
    sandbox.onenb(&["pin", "working:Sales"]).ok();
    export(&sandbox, "Sales", "2");
    collect(&sandbox);
    let pins = sandbox.onenb(&["pin", "--json"]).ok().json();
    assert_eq!((&pins["pins"][0]["digest"], pins["pins"].as_array().unwrap().len()), (&digest.clone().into(), 1));
    assert!(is_here(&sandbox, &digest));
    sandbox.onenb(&["unpin", "abcdef"]).fails(3, &["onenb pin"]);
    sandbox.onenb(&["unpin", &digest[..12]]).ok();
    sandbox.onenb(&["unpin", &digest[..12]]).fails(3, &[]);
    collect(&sandbox);
    assert!(!is_here(&sandbox, &digest));
    assert_eq!(sandbox.onenb(&["pin", "--json"]).ok().json()["pins"], serde_json::json!([]));
}

#[test]
fn earlier_exports_are_listed_and_come_back() {
    let sandbox = Sandbox::ready();
    let digests = ["1", "2", "3"].map(|seed| export(&sandbox, "Sales", seed));
    let log = |sandbox: &Sandbox| sandbox.onenb(&["log", "Sales", "--working", "--json"]).ok().json();
    let listed = log(&sandbox);
    let rows = listed["working"].as_array().unwrap();
    let shown: Vec<&str> = rows.iter().map(|row| row["digest"].as_str().unwrap()).collect();
    assert_eq!(shown, [&digests[2], &digests[1], &digests[0]]);
    assert_eq!((rows[0]["current"].clone(), rows[1]["current"].clone()), (true.into(), false.into()));
    sandbox.onenb(&["restore", "Sales"]).ok();
    assert_eq!(read(&sandbox, "working:Sales"), bytes("2"));
    sandbox.onenb(&["restore", "Sales"]).ok();
    assert_eq!(read(&sandbox, "working:Sales"), bytes("3"));
    sandbox.onenb(&["restore", "Sales", "--digest", &digests[0][..10]]).ok();
    assert_eq!(read(&sandbox, "working:Sales"), bytes("1"));
    sandbox.onenb(&["restore", "Sales", "--digest", "0000"]).fails(3, &["onenb log Sales --working"]);
    sandbox.onenb(&["restore", "Sales", "-p", "year=1"]).fails(3, &[]);
    collect(&sandbox);
    assert_eq!(log(&sandbox)["working"].as_array().unwrap().len(), 2, "the same content, listed each time");
    sandbox.commit_and_tag("v1");
    assert_eq!(read(&sandbox, "v1:Sales"), bytes("1"));
    sandbox.onenb(&["log", "--working"]).fails(2, &[]);
}

#[test]
fn ages_and_dry_runs() {
    let sandbox = Sandbox::ready();
    let old = export(&sandbox, "Sales", "1");
    export(&sandbox, "Sales", "2");
    let planned = sandbox.onenb(&["gc", "-n", "--prune", "now", "--json"]).ok().json();
    assert_eq!((&planned["dry_run"], &planned["dropped_contents"]), (&true.into(), &1.into()));
    assert!(is_here(&sandbox, &old));
    sandbox.onenb(&["gc", "--prune", "1h"]).ok();
    assert!(is_here(&sandbox, &old));
    sandbox.onenb(&["gc", "--prune", "soon"]).fails(2, &["14d"]);
    sandbox.onenb(&["gc", "--remote", "--prune", "2d"]).fails(2, &["now"]);
    collect(&sandbox);
    assert!(!is_here(&sandbox, &old));
}

#[test]
fn exports_beside_collections_lose_nothing() {
    let sandbox = Sandbox::ready();
    let rows = |seed: usize| {
        (0..4_000).map(|row| format!("{row},{}\n", row * 31 + (row % 7) * seed)).collect::<Vec<_>>().concat()
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let sandbox = &sandbox;
                scope.spawn(move || {
                    for round in 0..6 {
                        // What another writer made garbage a moment ago is exported again.
                        sandbox.export(&format!("Part{writer}"), rows((writer + round) % 4).as_bytes(), &[]);
                        assert_eq!(read(sandbox, &format!("working:Part{writer}")), rows((writer + round) % 4));
                    }
                })
            })
            .collect();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let run = sandbox.onenb(&["gc", "--prune", "now"]);
            assert!(run.code == 0 || run.stderr.contains("does not end"), "{run}");
        }
    });
    for writer in 0..3 {
        assert_eq!(read(&sandbox, &format!("working:Part{writer}")), rows((writer + 5) % 4));
    }
    collect(&sandbox);
}
