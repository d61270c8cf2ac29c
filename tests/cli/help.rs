//! Help and version.

use crate::support::Sandbox;

#[test]
fn the_help_is_this() {
    insta::assert_snapshot!(Sandbox::empty().onenb(&["--help"]), @r#"
    exit 0
    --- stdout
    Keeps notebook data in step with Git: export it, tag it, read it back by tag anywhere

    Usage: onenb [OPTIONS] <COMMAND>

    Commands:
      init         Set this Git repository up: write and stage .1nb, install the hooks
      export       Export a file, a directory, or stdin, under a name
      addnb        Record executed notebooks with their parameters and exports
      push         Send the data of tags to the remote
      pull         Fetch data from the remote into the local store
      get          Write an export into a file
      cat          Write an export to stdout
      ls           List the exports of a revision
      show         Show what is known of an export: content, producer, inputs
      resolve      Print commit and content digest of an export
      log          List recorded runs, newest first
      diff         List the exports that two revisions have otherwise, with sizes and shared bytes
      status       Show what is not committed, tagged or pushed, and the next commands
      deps         Show what an export was made from, and what changed since
      rm           Remove an export's record and stage that
      bind         Bind an export or a file to a commit afterwards
      unbind       Take an export away from a commit afterwards
      take         End a merge conflict of an export by taking one side's version
      restore      Make an earlier export the working one again
      pin          Keep an export's data whatever `gc` finds; without SPEC, list what is kept
      unpin        Let `gc` delete what was pinned, unless something else names it
      verify       Read all data back and report damage
      gc           Delete local data that nothing names any more; --remote: on the remote
      repack       Compress all local versions anew, so that they take less room
      stats        Show how much is stored, what saved the rest, and which exports need it
      tune         Measure how your data is best stored here; --apply writes with that from now on
      reindex      Rebuild the catalog from Git and the packs
      doctor       Check repository, store, hooks and configuration
      remote       Show, set or approve where data is pushed
      hooks        Install, remove or show Git's hooks
      config       Show the configuration in force
      nb           Read recorded notebooks back
      completions  Print a completion script for a shell

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
      -C <DIR>            Run as if started in DIR
          --json          Print one JSON document instead of text
      -q, --quiet         Print only data, warnings and errors
      -v, --verbose       Say more
          --no-progress   Do not show progress
          --color <WHEN>  Colour the talk on stderr: auto, always or never

    SPEC is [REPO@]REV:NAME[?k=v&k2=v2]; REV is a tag, a branch, a commit or `working`. Quote it: the
    shell reads ? and &.

    Plumbing, for scripts: hash-object, write-object, cat-object, ls-chunks, show-pack, verify-pack,
    params-hash, is-ancestor, hook.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not authorised, 5 damaged data, 130
    interrupted.

    Examples:
      onenb init dir /srv/data
      onenb export Sales sales.csv
      onenb push
      onenb cat 'v1:Report?year=2023'
    --- stderr
    "#);
}

#[test]
fn the_help_of_a_command_is_like_this() {
    insta::assert_snapshot!(Sandbox::empty().onenb(&["cat", "--help"]), @r#"
    exit 0
    --- stdout
    Write an export to stdout

    Prints the exported bytes and nothing else, also with --json.

    Usage: onenb cat [OPTIONS] <SPEC>

    Arguments:
      <SPEC>
              The export, [REPO@]REV:NAME[?k=v&k2=v2]

    Options:
      -p, --param <NAME=VALUE>
              Parameter: a JSON literal if VALUE parses as one, else a text; repeatable

          --member <PATH>
              One file of a directory

          --range <A-B>
              Only these bytes, as in HTTP: A-B with both ends, A- from A on, -N the last N

      -h, --help
              Print help (see a summary with '-h')

    Global options:
      -C <DIR>
              Run as if started in DIR

          --json
              Print one JSON document instead of text

      -q, --quiet
              Print only data, warnings and errors

      -v, --verbose
              Say more

          --no-progress
              Do not show progress

          --color <WHEN>
              Colour the talk on stderr: auto, always or never

    Examples:
      onenb cat 'v1:Report?year=2023&foo=bar' > report.csv
      onenb cat v1:Sales --range 0-99
      onenb cat v1:Model --member weights/0.bin > 0.bin
    --- stderr
    "#);
}

#[test]
fn every_command_of_the_help_has_help_of_its_own() {
    let sandbox = Sandbox::empty();
    let help = sandbox.onenb(&["--help"]).ok().text();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let text = sandbox.onenb(&[command, "--help"]).ok().text();
        assert!(text.contains("Usage: onenb") && text.contains("\nExamples:\n  onenb "), "{command}: {text}");
    }
}

#[test]
fn the_version_is_one_line() {
    insta::assert_snapshot!(Sandbox::empty().onenb(&["--version"]), @r#"
    exit 0
    --- stdout
    onenb 0.1.0
    --- stderr
    "#);
}

#[test]
fn completions_name_the_commands() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(sandbox.onenb(&["completions", shell]).ok().text().contains("resolve"), "{shell}");
    }
}
