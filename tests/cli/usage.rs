//! Wrong usage: exit code 2, nothing on stdout, and what to do instead.

use crate::support::Sandbox;

#[test]
fn wrong_words_are_refused_with_exit_code_two() {
    let sandbox = Sandbox::empty();
    for words in [
        &["frobnicate"][..],
        &["ls", "--frobnicate"],
        &["ls", "a", "b"],
        &["cat"],
        &["cat", "v1:Sales", "--range", "5-2"],
        &["cat", "v1:Sales", "--range", "x"],
        &["cat-object", "1234"],
        &["push", "v1", "--all"],
        &["-q", "-v", "ls"],
        &["--color", "sometimes", "ls"],
        &["remote", "set"],
        &["completions", "tcsh"],
    ] {
        sandbox.onenb(words).fails(2, &[]);
    }
}

#[test]
fn no_command_shows_the_help_and_fails() {
    let run = Sandbox::empty().onenb(&[]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stdout.is_empty() && run.stderr.contains("Usage: onenb"), "{run}");
}

#[test]
fn names_suffixes_and_parameters_are_checked_before_anything_is_opened() {
    let sandbox = Sandbox::empty();
    for words in [
        &["export", "_p1", "x.csv"][..],
        &["export", "a/b", "x.csv"],
        &["export", "Sales", "x.csv", "--suffix", "csv"],
        &["export", "Sales", "x.csv", "-p", "year"],
        &["export", "Sales", "x.csv", "-p", "a=1", "-p", "a=1"],
        &["export", "Sales", "no-suffix"],
        &["unbind", "HEAD", "Sales?a=1", "-p", "a=1"],
        &["log", "../x"],
        &["nb", "get", "v1"],
    ] {
        sandbox.onenb(words).fails(2, &[]);
    }
}

#[test]
fn a_misspelt_command_is_guessed() {
    insta::assert_snapshot!(Sandbox::empty().onenb(&["statsu"]), @r#"
    exit 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'statsu'

      tip: some similar subcommands exist: 'status', 'stats'

    Usage: onenb [OPTIONS] <COMMAND>

    For more information, try '--help'.
    "#);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    Sandbox::empty().onenb(&["-C", "nowhere", "ls"]).fails(1, &["could not change to `nowhere`", "caused by: "]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let sandbox = Sandbox::empty();
    let mut command = sandbox.command("sh");
    // `true` reads nothing, so the script has nowhere to go once the pipe is full.
    command.args(["-c", "{ \"$ONENB\" completions bash; echo \"code $?\" >&2; } | true"]);
    command.env("ONENB", env!("CARGO_BIN_EXE_onenb"));
    let run = crate::support::finish(command, b"");
    assert_eq!(run.stderr, "code 0\n", "{run}");
}
