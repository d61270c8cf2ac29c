//! `onenb export`.

use crate::support::{Sandbox, is_on_local_disk};

#[test]
fn a_file_gives_the_suffix_and_json_gives_the_row() {
    let sandbox = Sandbox::ready();
    sandbox.write("sales.tar.gz", b"abc");
    let json = sandbox.onenb(&["export", "Sales", "sales.tar.gz", "-p", "year=2023", "--json"]).ok().json();
    assert_eq!(json["version"], 1);
    let row = &json["exports"][0];
    assert_eq!(row["name"], "Sales");
    assert_eq!(row["suffix"], ".tar.gz");
    assert_eq!(row["size"], 3);
    assert_eq!(row["params"], serde_json::json!({"year": 2023}));
    assert_eq!(row["digest"], onenb::id::ContentDigest::of(b"abc").to_string());
    assert!(row["commit"].is_null());
}

#[test]
fn working_has_it_before_and_after_the_commit() {
    let sandbox = Sandbox::ready();
    sandbox.export("Sales", b"one", &[]);
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"one");
    sandbox.commit_and_tag("v1");
    sandbox.export("Sales", b"two", &[]);
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"two");
    assert_eq!(sandbox.onenb(&["cat", "v1:Sales"]).ok().stdout, b"one");
}

#[test]
fn the_same_bytes_again_are_unchanged() {
    let sandbox = Sandbox::tagged();
    let run = sandbox.export("Sales", b"a,b\n1,2\n", &[]);
    assert!(run.stderr.contains("unchanged since v1"), "{run}");
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
}

#[test]
fn a_file_that_did_not_change_for_long_is_not_read_again() {
    let sandbox = Sandbox::ready();
    // Nobody can set when a file was changed last, so this one is older than this test.
    let found = std::process::Command::new("git").arg("--exec-path").output().expect("git runs").stdout;
    let file = std::path::Path::new(String::from_utf8_lossy(&found).trim()).join("git");
    let file = file.to_string_lossy();
    if !is_on_local_disk(&file) {
        return;
    }
    let first = sandbox.onenb(&["export", "Tool", &file, "--suffix", ".bin"]).ok();
    assert!(!first.stderr.contains("not read"), "{first}");
    let digest = sandbox.onenb(&["resolve", "working:Tool"]).ok().text();
    for name in ["Tool", "Other"] {
        let again = sandbox.onenb(&["export", name, &file, "--suffix", ".bin"]).ok();
        assert!(again.stderr.contains("not read again"), "{again}");
        assert_eq!(sandbox.onenb(&["resolve", &format!("working:{name}")]).ok().text(), digest);
    }
    assert!(sandbox.onenb(&["cat", "working:Other"]).ok().stdout == std::fs::read(&*file).expect("the file"));
    // Without the data there is nothing to go by.
    for class in ["data", "meta"] {
        onenb::fs::remove_folder(&sandbox.in_repo(&format!(".git/onenb/packs/{class}"))).expect("removes");
    }
    onenb::fs::remove_folder(&sandbox.in_repo(".git/onenb/index")).expect("removes");
    let anew = sandbox.onenb(&["export", "Tool", &file, "--suffix", ".bin"]).ok();
    assert!(!anew.stderr.contains("not read"), "{anew}");
    assert!(sandbox.onenb(&["cat", "working:Tool"]).ok().stdout == std::fs::read(&*file).expect("the file"));
}
