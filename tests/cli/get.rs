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

#[test]
fn many_exports_are_written_by_one_command() {
    let sandbox = Sandbox::tagged();
    sandbox.write("model/a.txt", b"a");
    let files: Vec<_> = (0..600).map(|number| (format!("Part{number}"), format!("{number}\n").repeat(400))).collect();
    let export = |(name, text): &(String, String)| {
        format!("{name}\t{}", sandbox.write(&format!("{name}.txt"), text.as_bytes()).display())
    };
    let list = files.iter().map(export).collect::<Vec<_>>().join("\n");
    sandbox.onenb_with(&["export", "--batch", "-"], list.as_bytes()).ok();
    sandbox.onenb(&["export", "Model", "model"]).ok();
    let restore = |(name, _): &(String, String)| format!("working:{name}\tout/{name}.txt");
    let mut list = files.iter().map(restore).collect::<Vec<_>>().join("\n");
    list.push_str("\n\nv1:Sales\tout/deep/sales.csv\nworking:Model\tout/model\n");
    let run = sandbox.onenb_with(&["get", "--batch", "-", "--json"], list.as_bytes()).ok();
    assert_eq!(run.json()["files"].as_array().expect("rows").len(), 602);
    let read = |path: &str| std::fs::read(sandbox.in_repo(path)).expect("a file");
    for (name, text) in &files {
        assert!(read(&format!("out/{name}.txt")) == text.as_bytes(), "{name}");
    }
    sandbox.onenb_with(&["get", "--batch", "-"], b"v1:Sales\n").ok();
    for path in ["out/deep/sales.csv", "Sales.csv"] {
        assert_eq!(read(path), b"a,b\n1,2\n");
    }
    assert_eq!(read("out/model/a.txt"), b"a");
    assert_eq!(std::fs::read_dir(sandbox.in_repo("out")).expect("a folder").count(), 602);

    let again = "v1:Sales\tnew.csv\nworking:Part1\tout/Part1.txt\n";
    sandbox.write("out/Part1.txt", b"mine");
    let refused = sandbox.onenb_with(&["get", "--batch", "-"], again.as_bytes());
    refused.fails(1, &["line 2", "`out/Part1.txt` exists", "`--force`"]);
    assert!(read("out/Part1.txt") == b"mine" && !sandbox.in_repo("new.csv").exists());
    let run = sandbox.onenb_with(&["get", "--batch", "-", "--force"], again.as_bytes()).ok();
    assert!(run.stderr.contains("wrote 2 exports"), "{run}");
    assert!(read("out/Part1.txt") == files[1].1.as_bytes() && read("new.csv") == b"a,b\n1,2\n");
}

#[test]
fn a_bad_line_of_a_list_is_named_and_nothing_is_written() {
    let sandbox = Sandbox::tagged();
    for (line, code, word) in [
        ("Sales", 2, "line 2"),
        ("v1:Nothing\tb.csv", 3, "line 2"),
        ("v9:Sales\tb.csv", 3, "line 2"),
        ("v1:Sales\ta.csv", 2, "line 2"),
        ("v1:Sales\t./a.csv", 2, "another line"),
        ("v1:Sales\t../repo/sub/../a.csv", 2, "line 2"),
        ("v1:Sales\ta.csv/b.csv", 2, "another line"),
        ("v1:Sales\t", 2, "line 2"),
        ("v1:Sales\t-", 2, "no name of a file"),
        ("v1:Sales\tnew/..", 2, "line 2"),
    ] {
        let list = format!("v1:Sales\ta.csv\n{line}\n");
        sandbox.onenb_with(&["get", "--batch", "-"], list.as_bytes()).fails(code, &[word]);
        assert!(!sandbox.in_repo("a.csv").exists(), "{line}");
    }
    assert_eq!(sandbox.onenb(&["get", "v1:Sales", "--batch", "-"]).code, 2);
    assert_eq!(sandbox.onenb(&["get"]).code, 2);
}
