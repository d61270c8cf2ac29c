//! `onenb export --batch`.

use crate::support::Sandbox;

#[test]
fn a_list_of_files_is_exported_at_once() {
    let sandbox = Sandbox::ready();
    sandbox.write("a.csv", b"1,2\n");
    sandbox.write("b.csv", &b"3,4\n".repeat(5000));
    let list = "Sales\ta.csv\nReport?year=2023\tb.csv\r\n\nReport?year=2024\tb.csv\n";
    let run = sandbox.onenb_with(&["export", "--batch", "-", "--json"], list.as_bytes()).ok();
    let json = run.json();
    let names: Vec<_> = json["exports"].as_array().expect("rows").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["Sales", "Report", "Report"]);
    assert!(json["stored"].as_u64().is_some_and(|stored| stored > 0 && stored < 5000), "{json}");
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"1,2\n");
    assert_eq!(sandbox.onenb(&["cat", "working:Report?year=2024"]).ok().stdout, b"3,4\n".repeat(5000));
    sandbox.commit_and_tag("v1");
    sandbox.onenb(&["push", "v1"]).ok();
    assert_eq!(sandbox.onenb(&["cat", "v1:Report?year=2023"]).ok().stdout.len(), 20_000);
    sandbox.onenb(&["verify"]).ok();
    assert!(sandbox.store_files(".json").is_empty(), "a journal stayed");
}

#[test]
fn a_bad_line_is_named_and_nothing_is_exported() {
    let sandbox = Sandbox::ready();
    sandbox.write("a.csv", b"1\n");
    let cases: [(&str, i32, &str); 6] = [
        ("Sales\ta.csv\nno tab", 2, "line 2"),
        ("Sales\ta.csv\n_bad\ta.csv", 2, "line 2"),
        ("Sales\ta.csv\nOther\tmissing.csv", 3, "missing.csv"),
        ("Sales\ta.csv\nOther\t.", 2, "line 2"),
        ("Sales\ta.csv\nsales\ta.csv", 2, "only in case"),
        ("Sales\ta.csv\nOther?x=\u{0}\ta.csv\nThird\tx", 2, "line 3"),
    ];
    for (list, code, word) in cases {
        sandbox.onenb_with(&["export", "--batch", "-"], list.as_bytes()).fails(code, &[word]);
        assert_eq!(sandbox.onenb(&["ls", "working", "--json"]).ok().json()["exports"], serde_json::json!([]), "{list}");
    }
}

#[test]
fn a_batch_takes_no_name_and_an_export_needs_one() {
    let sandbox = Sandbox::ready();
    assert_eq!(sandbox.onenb(&["export", "Sales", "--batch", "-"]).code, 2);
    assert_eq!(sandbox.onenb(&["export"]).code, 2);
}

#[test]
fn a_batch_that_died_before_its_records_is_finished_by_the_next_command() {
    let sandbox = Sandbox::ready();
    let (one, two) = (sandbox.write("a.csv", b"first\n"), sandbox.write("b.csv", b"second\n"));
    let list = format!("Sales\t{}\nReport\t{}\n", one.display(), two.display());
    sandbox.onenb_with(&["export", "--batch", "-"], list.as_bytes()).ok();
    // What the journal of a killed process looks like: both records, of which one was written.
    let records = [".1nb/exports/Report", ".1nb/exports/Sales"].map(|folder| {
        let entry = std::fs::read_dir(sandbox.in_repo(folder)).expect("a folder").next().expect("a record");
        entry.expect("a record").path()
    });
    let mut journal = b"1nbbat1\n".to_vec();
    for record in &records {
        let bytes = std::fs::read(record).expect("a record");
        journal.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        journal.extend_from_slice(&bytes);
    }
    onenb::fs::remove_file(&records[1]).expect("removes");
    sandbox.onenb(&["cat", "working:Sales"]).fails(3, &[]);
    let path = sandbox.in_repo(".git/onenb/batches/01JZ7K3QYV8M2N4P6R8T0W2Y4A.json");
    onenb::fs::write_atomic(&path, &journal).expect("writes");
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"first\n");
    assert!(!path.exists());
}
