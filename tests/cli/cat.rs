//! `onenb cat`.

use crate::support::Sandbox;

#[test]
fn parameters_stand_in_the_specification_or_behind_p() {
    let sandbox = Sandbox::tagged();
    assert_eq!(sandbox.onenb(&["cat", "v1:Report?year=2023"]).ok().stdout, b"2023\n");
    assert_eq!(sandbox.onenb(&["cat", "v1:Report", "-p", "year=2024"]).ok().stdout, b"2024\n");
    sandbox.onenb(&["cat", "v1:Report?year=2023", "-p", "year=2023"]).fails(2, &["year"]);
}

#[test]
fn ranges_are_inclusive() {
    let sandbox = Sandbox::tagged();
    for (range, expected) in [("0-2", "a,b"), ("4-", "1,2\n"), ("-2", "2\n"), ("6-100", "2\n")] {
        assert_eq!(sandbox.onenb(&["cat", "v1:Sales", "--range", range]).ok().text(), expected, "{range}");
    }
    sandbox.onenb(&["cat", "v1:Sales", "--range", "8-"]).fails(2, &["8 bytes"]);
}

#[test]
fn an_empty_export_is_empty() {
    let sandbox = Sandbox::ready();
    sandbox.export("Empty", b"", &[]);
    sandbox.commit_and_tag("v1");
    assert_eq!(sandbox.onenb(&["cat", "v1:Empty"]).ok().stdout, b"");
}
