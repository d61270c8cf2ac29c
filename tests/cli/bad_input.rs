//! Bad input gets a clear error and loses nothing: one test per case.

use std::process::Stdio;

use crate::support::{Sandbox, finish};

#[test]
fn outside_of_git_the_error_says_so() {
    Sandbox::empty().onenb(&["status"]).fails(1, &["hint: "]);
}

#[test]
fn before_init_the_hint_is_init() {
    let sandbox = Sandbox::git_only();
    for words in [&["status"][..], &["export", "Sales", "--suffix", ".csv"], &["push"]] {
        sandbox.onenb(words).fails(1, &["hint: ", "`onenb init`"]);
    }
}

#[test]
fn a_missing_tag_is_not_found_and_near_ones_are_named() {
    Sandbox::tagged().onenb(&["cat", "v2:Sales"]).fails(3, &["v2", "hint: ", "v1"]);
}

#[test]
fn a_missing_export_is_not_found_and_near_ones_are_named() {
    Sandbox::tagged().onenb(&["cat", "v1:Sale"]).fails(3, &["Sale", "hint: ", "Sales"]);
}

#[test]
fn missing_parameters_list_the_sets() {
    Sandbox::tagged().onenb(&["cat", "v1:Report"]).fails(3, &["year=2023", "year=2024"]);
}

#[test]
fn a_parameter_of_another_number_type_is_guessed() {
    Sandbox::tagged().onenb(&["cat", "v1:Report?year=2023.0"]).fails(3, &["year=2023 (int)?"]);
}

#[test]
fn data_from_stdin_needs_a_suffix() {
    Sandbox::ready().onenb_with(&["export", "Sales"], b"1").fails(2, &["--suffix"]);
}

#[test]
fn bad_names_are_refused_and_leave_nothing() {
    let sandbox = Sandbox::ready();
    let long = "x".repeat(300);
    for name in ["a/b", "..", "_p1", "CON", "a b", "", &long] {
        sandbox.onenb_with(&["export", "--suffix", ".csv", "--", name], b"1").fails(2, &["export name"]);
    }
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
}

#[test]
fn names_that_differ_only_in_case_are_refused() {
    let sandbox = Sandbox::tagged();
    let run = sandbox.onenb_with(&["export", "SALES", "--suffix", ".csv"], b"1");
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("Sales"), "{run}");
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"a,b\n1,2\n");
}

#[test]
fn an_empty_export_is_valid() {
    let sandbox = Sandbox::ready();
    sandbox.export("Empty", b"", &[]);
    assert_eq!(sandbox.onenb(&["ls", "working", "--json"]).ok().json()["exports"][0]["size"], 0);
}

#[test]
#[ignore = "slow: `make test-slow`"]
fn a_stream_of_five_gigabytes_comes_back() {
    let sandbox = Sandbox::ready();
    let script = "head -c 5000000000 /dev/zero | \"$ONENB\" export Big --suffix .bin \
                  && \"$ONENB\" cat working:Big | cmp -n 5000000000 - /dev/zero";
    let mut command = sandbox.command("sh");
    command.args(["-c", script]).env("ONENB", env!("CARGO_BIN_EXE_onenb"));
    finish(command, b"").ok();
}

#[test]
fn an_export_killed_while_writing_is_invisible_and_the_next_one_works() {
    let sandbox = Sandbox::tagged();
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_onenb"));
    command.args(["export", "Sales", "-", "--suffix", ".csv"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let pipe = child.stdin.as_mut().expect("stdin is a pipe");
    // More than any buffer between us, so that it is being stored when the program dies.
    std::io::Write::write_all(pipe, &vec![7; 8_000_000]).expect("the program reads");
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"a,b\n1,2\n");
    sandbox.export("Sales", b"next", &[]);
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"next");
    sandbox.onenb(&["verify"]).ok();
}

#[test]
fn a_full_disk_keeps_the_previous_version() {
    let sandbox = Sandbox::tagged();
    let mut command = sandbox.command("sh");
    // A limit on file sizes fails as a full disk does; blocks of 512 bytes.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$ONENB\" export Sales --suffix .csv"]);
    command.env("ONENB", env!("CARGO_BIN_EXE_onenb"));
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(4_000_000)
    .collect();
    finish(command, &noise).fails(1, &[]);
    assert_eq!(sandbox.onenb(&["cat", "working:Sales"]).ok().stdout, b"a,b\n1,2\n");
}

#[test]
fn a_deleted_store_is_not_found_here_and_read_from_the_remote() {
    let sandbox = Sandbox::tagged();
    onenb::fs::rename(&sandbox.in_repo(".git/onenb"), &sandbox.path("lost")).expect("the store goes");
    let run = sandbox.onenb(&["cat", "v1:Sales"]);
    assert_eq!(run.code, 3, "{run}");
    // The answers were looked up in a new catalog.
    std::fs::remove_dir_all(sandbox.in_repo(".git/onenb")).expect("the new store goes");
    onenb::fs::rename(&sandbox.path("lost"), &sandbox.in_repo(".git/onenb")).expect("the store comes back");
    sandbox.onenb(&["push"]).ok();
    onenb::fs::rename(&sandbox.in_repo(".git/onenb"), &sandbox.path("lost")).expect("the store goes again");
    assert_eq!(sandbox.onenb(&["cat", "v1:Sales"]).ok().stdout, b"a,b\n1,2\n");
}

#[test]
fn missing_packs_are_named_with_the_next_command() {
    let sandbox = Sandbox::tagged();
    for pack in sandbox.packs() {
        onenb::fs::remove_file(&pack).expect("a pack can be removed");
    }
    let run = sandbox.onenb(&["cat", "v1:Sales"]);
    assert!(matches!(run.code, 3 | 5), "{run}");
    assert!(run.stdout.is_empty() && run.stderr.contains("hint: "), "{run}");
}

#[test]
fn what_is_no_notebook_is_refused() {
    let sandbox = Sandbox::ready();
    sandbox.write("bad.ipynb", b"not json");
    sandbox.write("old.ipynb", br#"{"nbformat": 2, "nbformat_minor": 0, "metadata": {}, "worksheets": []}"#);
    for file in ["bad.ipynb", "old.ipynb", "absent.ipynb"] {
        let run = sandbox.onenb(&["addnb", file]);
        assert_ne!(run.code, 0, "{run}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(file), "{run}");
    }
    assert_eq!(sandbox.git(&["diff", "--cached", "--name-only"]).ok().text(), "");
}

#[test]
fn a_notebook_without_a_parameters_cell_has_no_parameters() {
    let sandbox = Sandbox::ready();
    let notebook = br#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "outputs": [], "source": ["x = 1"]}]}"#;
    sandbox.write("plain.ipynb", notebook);
    let json = sandbox.onenb(&["addnb", "plain.ipynb", "--json"]).ok().json();
    assert_eq!(json["notebooks"][0]["params"], serde_json::json!({}));
}

#[test]
fn parameters_that_are_no_literals_are_named() {
    let sandbox = Sandbox::ready();
    let notebook = br#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {"tags": ["parameters"]}, "outputs": [],
         "source": ["year = 2023\n", "when = now()"]}]}"#;
    sandbox.write("odd.ipynb", notebook);
    let run = sandbox.onenb(&["addnb", "odd.ipynb"]);
    assert!(run.stderr.contains("when"), "{run}");
}
