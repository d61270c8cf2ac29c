//! Bad input gets a clear error and loses nothing: one test per case.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Run, Sandbox, finish};

/// Returns bytes that no compression makes shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

/// Runs a shell script with mounts of its own, as a user who may mount; `None` where the machine allows no such thing.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Run> {
    let mut allowed = Command::new("unshare");
    allowed.args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]);
    if !allowed.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped 1 check: this machine allows no mounts");
        return None;
    }
    let mut command = sandbox.command("unshare");
    command.args(["--mount", "sh", "-ec", script]).env("ONENB", env!("CARGO_BIN_EXE_onenb"));
    Some(finish(command, b""))
}

/// Returns how many bytes the packs of the store take.
fn packed(sandbox: &Sandbox) -> u64 {
    sandbox.packs().iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum()
}

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
    // NUL cannot stand in an argument of a program; it comes percent-encoded in a specification.
    sandbox.onenb(&["cat", "working:a%00b"]).fails(2, &["export name"]);
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

/// Space that killed exports took is taken again: the store does not grow with every one that dies.
#[test]
fn killed_exports_leave_no_space_behind() {
    let sandbox = Sandbox::tagged();
    let before = packed(&sandbox);
    for _ in 0..4 {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_onenb"));
        command.args(["export", "Sales", "-", "--suffix", ".csv"]).stderr(Stdio::null());
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        let pipe = child.stdin.as_mut().expect("stdin is a pipe");
        pipe.write_all(&noise(8_000_000)).expect("the program reads");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    sandbox.export("Sales", &noise(300_000), &[]);
    let after = packed(&sandbox);
    assert!(after < before + 1_000_000, "the packs grew from {before} to {after} bytes");
    sandbox.onenb(&["verify"]).ok();
}

#[test]
fn a_file_system_without_space_keeps_the_previous_version() {
    let sandbox = Sandbox::tagged();
    let bytes = sandbox.path("noise");
    onenb::fs::write_atomic(&bytes, &noise(12_000_000)).expect("a file");
    let script = r#"mount -t tmpfs -o size=6m none /mnt
        cp -a . /mnt/repo && cd /mnt/repo
        code=0; "$ONENB" export Sales ../../"$NOISE" --suffix .csv 2>&1 || code=$?
        echo "code $code"
        "$ONENB" cat working:Sales && "$ONENB" verify
        echo small | "$ONENB" export Small --suffix .csv && "$ONENB" cat working:Small"#;
    let script = script.replace(r#"../../"$NOISE""#, &format!("'{}'", bytes.display()));
    let Some(run) = with_mounts(&sandbox, &script) else { return };
    let said = run.ok().text();
    assert!(said.contains("error: ") && said.contains("code 1"), "{said}");
    assert!(said.contains("a,b\n1,2\n") && said.ends_with("small\n"), "{said}");
}

#[test]
fn a_read_only_repository_is_read_and_refuses_exports() {
    let sandbox = Sandbox::tagged();
    let script = r#"mount --bind . /mnt && mount -o remount,ro,bind /mnt && cd /mnt
        "$ONENB" cat v1:Sales; "$ONENB" cat working:Sales; "$ONENB" ls v1 >&2; "$ONENB" verify >&2
        code=0; echo x | "$ONENB" export Sales --suffix .csv || code=$?
        echo "code $code""#;
    let Some(run) = with_mounts(&sandbox, script) else { return };
    let run = run.ok();
    assert_eq!(run.text(), "a,b\n1,2\na,b\n1,2\ncode 1\n", "{run}");
    assert!(run.stderr.contains("error: "), "{run}");
}

/// The answers must not depend on whether the catalog could be written before.
#[test]
fn a_read_only_clone_without_a_store_is_read_from_the_remote() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["push"]).ok();
    sandbox.git(&["clone", "--quiet", ".", "../clone"]).ok();
    let script = r#"mount --bind ../clone /mnt && mount -o remount,ro,bind /mnt && cd /mnt
        "$ONENB" cat v1:Sales"#;
    let Some(run) = with_mounts(&sandbox, script) else { return };
    assert_eq!(run.ok().text(), "a,b\n1,2\n");
}

#[test]
fn a_full_disk_keeps_the_previous_version() {
    let sandbox = Sandbox::tagged();
    let mut command = sandbox.command("sh");
    // A limit on file sizes fails as a full disk does; blocks of 512 bytes.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$ONENB\" export Sales --suffix .csv"]);
    command.env("ONENB", env!("CARGO_BIN_EXE_onenb"));
    finish(command, &noise(4_000_000)).fails(1, &[]);
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
fn a_missing_data_pack_names_the_exports_that_need_it() {
    let sandbox = Sandbox::tagged();
    sandbox.export("Large", &noise(400_000), &[]);
    let large =
        sandbox.store_files(".pack").into_iter().max_by_key(|path| path.metadata().map_or(0, |data| data.len()));
    onenb::fs::remove_file(&large.expect("a pack")).expect("a pack can be removed");
    sandbox.onenb(&["cat", "working:Large"]).fails(5, &["Large", "hint: "]);
    let run = sandbox.onenb(&["verify", "--json"]);
    assert_eq!(run.code, 5, "{run}");
    assert!(run.json()["damaged"].to_string().contains("Large"), "{run}");
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
    sandbox.write("new.ipynb", br#"{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}"#);
    for file in ["bad.ipynb", "new.ipynb", "absent.ipynb"] {
        let run = sandbox.onenb(&["addnb", file]);
        assert_ne!(run.code, 0, "{run}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(file), "{run}");
    }
    assert_eq!(sandbox.git(&["diff", "--cached", "--name-only"]).ok().text(), "");
}

#[test]
fn a_notebook_of_format_3_is_read_like_any_other() {
    let sandbox = Sandbox::ready();
    let old = br#"{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [
        {"cell_type": "code", "input": ["x = 1"], "language": "python", "outputs": [], "prompt_number": 1}]}]}"#;
    sandbox.write("old.ipynb", old);
    let json = sandbox.onenb(&["addnb", "old.ipynb", "--json"]).ok().json();
    assert_eq!(json["notebooks"][0]["params"], serde_json::json!({}));
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

#[test]
fn a_notebook_of_500_megabytes_is_refused_before_it_is_read() {
    let sandbox = Sandbox::ready();
    let path = sandbox.write("huge.ipynb", b"{");
    grow(&path, 500_000_000);
    sandbox.onenb(&["addnb", "huge.ipynb"]).fails(1, &["huge.ipynb"]);
    assert_eq!(sandbox.git(&["diff", "--cached", "--name-only"]).ok().text(), "");
}

/// Makes a file longer without writing what is in between.
fn grow(path: &Path, len: u64) {
    let file = File::options().append(true).open(path).expect("the file opens");
    file.set_len(len).expect("it can be made longer");
}

#[test]
fn parameters_that_the_import_does_not_declare_stop_a_push_and_are_named() {
    let sandbox = Sandbox::ready();
    let stored = sandbox.onenb_with(&["write-object", "-", "--json"], b"report").ok().json();
    let receipt = serde_json::json!({
        "v": 1, "run": "01JCWZ4Z8Q4X2V5D9E7T1R3K6M", "export": "Report", "params": {"year": 2023},
        "digest": stored["objects"][0]["digest"], "size": 6, "suffix": ".csv", "cell_source_digest": null, "inputs": []
    });
    let notebook = serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {"tags": ["parameters"]}, "outputs": [],
         "source": ["year = 2023\n", "region = 'north'"]},
        {"cell_type": "code", "id": "b", "execution_count": 2, "metadata": {}, "outputs": [
            {"output_type": "display_data", "metadata": {},
             "data": {"application/vnd.onenb.receipt+json": receipt, "text/plain": ["exported"]}}],
         "source": ["p1 = dict(year=year)\n", "from OneNB.exports._p1 import Report"]}]});
    sandbox.write("report.ipynb", notebook.to_string().as_bytes());
    sandbox.onenb(&["addnb", "report.ipynb"]).ok();
    sandbox.commit_and_tag("v1");
    let run = sandbox.onenb(&["push"]);
    run.fails(1, &["report.ipynb", "`region`", "hint: "]);
    assert_eq!(sandbox.onenb(&["status", "--json"]).ok().json()["unpushed"], serde_json::json!(["v1"]));
}
