//! `onenb export`.

use crate::support::Sandbox;

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
