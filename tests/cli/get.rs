//! `onenb get`.

use crate::support::Sandbox;

#[test]
fn the_file_is_named_after_the_export_and_never_overwritten() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["get", "v1:Sales"]).ok();
    let path = sandbox.in_repo("Sales.csv");
    assert_eq!(std::fs::read(&path).expect("the file"), b"a,b\n1,2\n");
    sandbox.write("Sales.csv", b"mine");
    sandbox.onenb(&["get", "v1:Sales"]).fails(1, &["`Sales.csv` exists", "hint: ", "`--force`"]);
    assert_eq!(std::fs::read(&path).expect("the file"), b"mine");
    sandbox.onenb(&["get", "v1:Sales", "--force"]).ok();
    assert_eq!(std::fs::read(&path).expect("the file"), b"a,b\n1,2\n");
}

#[test]
fn the_output_is_a_file_a_directory_or_stdout() {
    let sandbox = Sandbox::tagged();
    let json = sandbox.onenb(&["get", "v1:Sales", "-o", "deep/out.csv", "--json"]).ok().json();
    assert_eq!(json["files"], serde_json::json!([{"path": "deep/out.csv", "size": 8}]));
    sandbox.onenb(&["get", "v1:Sales", "-o", "deep"]).ok();
    assert!(sandbox.in_repo("deep/Sales.csv").exists());
    assert_eq!(sandbox.onenb(&["get", "v1:Sales", "-o", "-"]).ok().stdout, b"a,b\n1,2\n");
}
