//! `onenb ls`.

use crate::support::Sandbox;

#[test]
fn a_revision_is_listed_in_columns() {
    let sandbox = Sandbox::tagged();
    let commit = sandbox.git(&["rev-parse", "--short=7", "v1"]).ok().text();
    let row = |label: &str, bytes: &[u8]| {
        let digest = onenb::id::ContentDigest::of(bytes).short();
        format!("{label:<17}  {} B  .csv  {digest}  {}\n", bytes.len(), commit.trim())
    };
    let expected =
        row("Report{year=2023}", b"2023\n") + &row("Report{year=2024}", b"2024\n") + &row("Sales", b"a,b\n1,2\n");
    assert_eq!(sandbox.onenb(&["ls", "v1"]).ok().text(), expected);
}

#[test]
fn json_has_every_field_of_a_row() {
    let sandbox = Sandbox::tagged();
    let json = sandbox.onenb(&["ls", "--json"]).ok().json();
    assert_eq!(json["version"], 1);
    let rows = json["exports"].as_array().expect("a list");
    assert_eq!(rows.iter().map(|row| &row["name"]).collect::<Vec<_>>(), ["Report", "Report", "Sales"]);
    let mut keys: Vec<_> = rows[0].as_object().expect("a row").keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = "commit digest inputs media_type name params params_hash producer size suffix";
    assert_eq!(keys.join(" "), expected);
    assert_eq!(rows[0]["commit"], sandbox.git(&["rev-parse", "v1"]).ok().text().trim());
}

#[test]
fn nothing_exported_is_an_empty_list_and_a_word_on_stderr() {
    let sandbox = Sandbox::ready();
    let run = sandbox.onenb(&["ls"]).ok();
    assert!(run.stdout.is_empty() && run.stderr.contains("no exports in `HEAD`"), "{run}");
    assert_eq!(sandbox.onenb(&["ls", "--json"]).ok().json()["exports"], serde_json::json!([]));
}

#[test]
fn another_repository_is_listed_by_name() {
    let sandbox = Sandbox::tagged();
    assert!(sandbox.onenb(&["-C", "/", "ls", "demo@v1"]).ok().text().contains("Report{year=2023}"));
}
