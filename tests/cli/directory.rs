//! Directories as exports.

use std::path::Path;

use crate::support::{Sandbox, is_on_local_disk};

/// A folder with what folders have.
fn fill(sandbox: &Sandbox) {
    sandbox.write("model/weights/0.bin", &vec![7; 300_000]);
    sandbox.write("model/weights/1.bin", &[8; 10]);
    sandbox.write("model/config.json", b"{}");
    sandbox.write("model/run.sh", b"#!/bin/sh\n");
    onenb::fs::set_executable(&sandbox.in_repo("model/run.sh")).expect("chmod");
    onenb::fs::create_dir_all(&sandbox.in_repo("model/empty/inner")).expect("a folder");
    link(sandbox, "weights/1.bin", "model/latest");
}

fn link(sandbox: &Sandbox, target: &str, at: &str) {
    std::os::unix::fs::symlink(target, sandbox.in_repo(at)).expect("a link");
}

/// Makes files look as if they were written long ago, so that a stat is enough to know them.
fn age(root: &Path) {
    for entry in std::fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("metadata");
        if metadata.is_dir() {
            age(&path);
        } else if metadata.is_file() {
            age_file(&path);
        }
    }
}

fn age_file(path: &Path) {
    let file = std::fs::File::open(path).expect("a file");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    file.set_modified(long_ago).expect("sets the time");
}

fn assert_restored(root: &Path) {
    let read = |below: &str| std::fs::read(root.join(below)).expect(below);
    assert_eq!(read("weights/0.bin"), vec![7; 300_000]);
    assert_eq!(read("latest"), vec![8; 10]);
    assert_eq!(std::fs::read_link(root.join("latest")).expect("a link"), Path::new("weights/1.bin"));
    assert!(root.join("empty/inner").is_dir());
    let mode = |below: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(root.join(below)).expect(below).permissions().mode() & 0o100
    };
    assert_eq!((mode("run.sh"), mode("config.json")), (0o100, 0));
}

#[test]
fn a_directory_comes_back_from_the_store_and_from_the_remote_alone() {
    let sandbox = Sandbox::ready();
    fill(&sandbox);
    let json = sandbox.onenb(&["export", "Model", "model", "--json"]).ok().json();
    assert_eq!(json["exports"][0]["suffix"], ".dir");
    assert_eq!(json["exports"][0]["media_type"], "application/vnd.onenb.directory");
    assert_eq!(json["exports"][0]["size"], 300_022);
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push", "v1"]).ok();
    sandbox.onenb(&["get", "v1:Model", "-o", "here"]).ok();
    assert_restored(&sandbox.in_repo("here"));
    sandbox.onenb(&["verify"]).ok();

    // Another machine: a clone without the store.
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let clone = sandbox.path("clone").to_string_lossy().into_owned();
    let out = sandbox.path("elsewhere");
    sandbox.onenb(&["-C", &clone, "get", "v1:Model", "-o", &out.to_string_lossy()]).ok();
    assert_restored(&out);
    let member = sandbox.onenb(&["-C", &clone, "cat", "v1:Model", "--member", "weights/1.bin"]).ok();
    assert_eq!(member.stdout, [8; 10]);
    // After a pull, the remote is not needed any more.
    sandbox.onenb(&["-C", &clone, "pull", "v1"]).ok();
    onenb::fs::remove_folder(&sandbox.path("remote")).expect("removes");
    sandbox.onenb(&["-C", &clone, "get", "v1:Model", "-o", &sandbox.path("third").to_string_lossy()]).ok();
    assert_restored(&sandbox.path("third"));
    assert_eq!(sandbox.onenb(&["-C", &clone, "verify", "--json"]).ok().json()["damaged"], serde_json::json!([]));
}

#[test]
fn members_that_did_not_change_for_long_are_not_read_again() {
    let sandbox = Sandbox::ready();
    // Nobody can set when a file was changed last, so these are older than this test.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/design");
    if !is_on_local_disk(folder) {
        return;
    }
    let count = std::fs::read_dir(folder).expect("a folder").count();
    let first = sandbox.onenb(&["export", "Notes", folder]).ok();
    assert!(first.stderr.contains(&format!("{count} of {count} members read")), "{first}");
    let digest = sandbox.onenb(&["resolve", "working:Notes"]).ok().text();
    let again = sandbox.onenb(&["export", "Notes", folder]).ok();
    assert!(again.stderr.contains(&format!("0 of {count} members read")), "{again}");
    assert_eq!(sandbox.onenb(&["resolve", "working:Notes"]).ok().text(), digest);
}

#[test]
fn a_time_of_modification_that_was_set_back_hides_no_change() {
    let sandbox = Sandbox::ready();
    fill(&sandbox);
    age(&sandbox.in_repo("model"));
    sandbox.onenb(&["export", "Model", "model"]).ok();
    let digest = sandbox.onenb(&["resolve", "working:Model"]).ok().text();
    let again = sandbox.onenb(&["export", "Model", "model"]).ok();
    assert!(again.stderr.contains("4 of 6 members read"), "{again}");
    assert_eq!(sandbox.onenb(&["resolve", "working:Model"]).ok().text(), digest);
    let path = sandbox.in_repo("model/config.json");
    onenb::fs::write_atomic(&path, b"[]").expect("writes");
    age_file(&path);
    let changed = sandbox.onenb(&["export", "Model", "model"]).ok();
    assert!(changed.stderr.contains("4 of 6 members read"), "{changed}");
    assert_ne!(sandbox.onenb(&["resolve", "working:Model"]).ok().text(), digest);
    assert_eq!(sandbox.onenb(&["cat", "working:Model", "--member", "config.json"]).ok().stdout, b"[]");
}

#[test]
fn a_file_written_just_now_is_read_again_because_it_may_change_unseen() {
    let sandbox = Sandbox::ready();
    fill(&sandbox);
    sandbox.onenb(&["export", "Model", "model"]).ok();
    let future = std::time::SystemTime::now() + std::time::Duration::from_hours(1);
    let file = std::fs::File::open(sandbox.in_repo("model/config.json")).expect("a file");
    file.set_modified(future).expect("sets the time");
    sandbox.onenb(&["export", "Model", "model"]).ok();
    let again = sandbox.onenb(&["export", "Model", "model"]).ok();
    assert!(!again.stderr.contains("0 of 6"), "{again}");
}

#[test]
fn members_are_listed_and_read_one_by_one_also_through_links() {
    let sandbox = Sandbox::ready();
    fill(&sandbox);
    sandbox.onenb(&["export", "Model", "model"]).ok();
    let json = sandbox.onenb(&["show", "working:Model", "--members", "--json"]).ok().json();
    let paths: Vec<_> = json["members"].as_array().expect("rows").iter().map(|row| row["path"].clone()).collect();
    assert_eq!(paths, ["config.json", "empty/inner", "latest", "run.sh", "weights/0.bin", "weights/1.bin"]);
    assert_eq!(json["members"][2]["target"], "weights/1.bin");
    let cat = |member: &str| sandbox.onenb(&["cat", "working:Model", "--member", member]);
    assert_eq!(cat("latest").ok().stdout, [8; 10]);
    let range = ["cat", "working:Model", "--member", "weights/0.bin", "--range", "0-2"];
    assert_eq!(sandbox.onenb(&range).ok().stdout, [7; 3]);
    cat("weights/2.bin").fails(3, &["weights/2.bin", "did you mean"]);
    cat("weights").fails(3, &[]);
    sandbox.onenb(&["cat", "working:Model"]).fails(2, &["is a directory", "--member"]);
    sandbox.export("Sales", b"1", &[]);
    sandbox.onenb(&["cat", "working:Sales", "--member", "x"]).fails(2, &["one file"]);
}

#[test]
fn nothing_is_followed_out_of_the_directory_and_odd_things_are_refused_by_name() {
    let sandbox = Sandbox::ready();
    sandbox.write("secret", b"secret");
    for (target, at) in [("../secret", "out"), ("/etc/passwd", "absolute"), ("sub/../../secret", "sly")] {
        let folder = format!("bad-{at}");
        sandbox.write(&format!("{folder}/file"), b"x");
        link(&sandbox, target, &format!("{folder}/{at}"));
        sandbox.onenb(&["export", "Bad", &folder]).fails(2, &[at, "out of the directory"]);
    }
    sandbox.write("git/.git/config", b"[core]\n");
    sandbox.onenb(&["export", "Bad", "git"]).fails(2, &["Git directory"]);
    onenb::fs::create_dir_all(&sandbox.in_repo("odd")).expect("a folder");
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    onenb::fs::write_atomic(&sandbox.in_repo("odd").join(name), b"x").expect("a file");
    sandbox.onenb(&["export", "Bad", "odd"]).fails(2, &["not UTF-8"]);
    assert_eq!(sandbox.onenb(&["ls", "working", "--json"]).ok().json()["exports"], serde_json::json!([]));
}

#[test]
fn a_folder_is_never_replaced_and_a_file_never_called_one() {
    let sandbox = Sandbox::ready();
    fill(&sandbox);
    sandbox.onenb(&["export", "Model", "model", "--suffix", ".zarr"]).ok();
    sandbox.onenb(&["get", "working:Model"]).ok();
    assert_restored(&sandbox.in_repo("Model.zarr"));
    for more in [&[][..], &["--force"][..]] {
        let run = sandbox.onenb(&[&["get", "working:Model"], more].concat());
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("never replaced"), "{run}");
    }
    sandbox.onenb_with(&["export", "File", "-", "--suffix", ".dir"], b"x").fails(2, &["kept for directories"]);
    sandbox.onenb(&["get", "working:Model", "-o", "-"]).fails(2, &["stdout"]);
}

#[test]
fn verify_names_the_member_that_is_damaged_and_a_new_export_heals_it() {
    let sandbox = Sandbox::ready();
    fill(&sandbox);
    age(&sandbox.in_repo("model"));
    sandbox.onenb(&["export", "Model", "model"]).ok();
    sandbox.commit_and_tag("v1");
    for path in sandbox.packs().iter().filter(|path| path.to_string_lossy().contains("packs/data")) {
        let mut bytes = std::fs::read(path).expect("a pack");
        let marker = bytes.windows(5).position(|found| found == b"1nbf\x03").expect("a marker");
        bytes[marker - 1] ^= 1;
        onenb::fs::write_atomic(path, &bytes).expect("a pack can be replaced");
    }
    let run = sandbox.onenb(&["verify", "--json"]);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.text().contains("v1:Model/weights/0.bin"), "{run}");
    sandbox.onenb(&["export", "Model", "model"]).ok();
    sandbox.onenb(&["verify"]).ok();
    sandbox.onenb(&["get", "v1:Model", "-o", "here"]).ok();
    assert_restored(&sandbox.in_repo("here"));
}
