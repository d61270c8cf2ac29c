//! Claims about the command tree as a whole.

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser as _};

use super::command::{Cli, clap_command};

/// Every command and subcommand with the words that call it.
fn commands() -> Vec<(String, clap::Command)> {
    fn walk(prefix: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
        for child in command.get_subcommands() {
            let name = format!("{prefix}{}", child.get_name());
            walk(&format!("{name} "), child, all);
            all.push((name, child.clone()));
        }
    }
    let mut all = Vec::new();
    walk("", &Cli::command(), &mut all);
    all
}

#[test]
fn the_command_tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does_in_one_line() {
    for (name, command) in commands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains('\n') && about.chars().count() <= 100, "{name}: {about:?}");
    }
}

#[test]
fn every_example_of_every_command_parses() {
    for (name, command) in commands().into_iter().filter(|(name, _)| !name.contains(' ')) {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  ")).collect();
        assert!((1..=5).contains(&examples.len()), "{name} has {} examples", examples.len());
        for example in examples {
            let words = words_of(example);
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{example}: {words:?}: {}", parsed.expect_err("it is an error").render());
            assert_eq!(words.get(1).map(String::as_str), Some(name.as_str()), "{example}");
        }
    }
}

#[test]
fn the_help_names_every_hidden_command() {
    let help = Cli::command().get_after_help().map(ToString::to_string).unwrap_or_default();
    for command in Cli::command().get_subcommands().filter(|command| command.is_hide_set()) {
        let name = command.get_name();
        assert!(help.contains(&format!(" {name},")) || help.contains(&format!(" {name}.")), "{name}");
    }
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for words in [
        ["onenb", "-C", "/", "--json", "-q", "ls"],
        ["onenb", "ls", "--json", "-q", "-C", "/"],
        ["onenb", "--no-progress", "-v", "verify", "--color", "never"],
    ] {
        assert!(Cli::try_parse_from(words).is_ok(), "{words:?}");
    }
}

#[test]
fn options_of_init_stand_before_or_after_the_backend() {
    for words in [
        &["onenb", "init", "--name", "r", "dir", "/srv/data"][..],
        &["onenb", "init", "dir", "/srv/data", "--name", "r", "--no-hooks"],
        &["onenb", "init", "dir", "--name", "r", "/srv/data"],
        &["onenb", "init", "cloud", "--bucket", "b", "--key-prefix", "p", "--profile", "q", "s3"],
        &["onenb", "init", "--bucket", "b", "cloud", "azure"],
    ] {
        assert!(Cli::try_parse_from(words).is_ok(), "{words:?}");
    }
}

#[test]
fn a_hook_takes_whatever_git_passes() {
    for words in [
        &["pre-push", "origin", "ssh://host/-v"][..],
        &["post-checkout", "0000", "1111", "1"],
        &["post-rewrite", "amend", "--json", "-q", "--", "-x"],
        &["a-hook-of-the-future"],
    ] {
        let all = ["onenb", "hook"].iter().chain(words);
        let matches = clap_command(None).try_get_matches_from(all).expect("a hook's arguments parse");
        let hook = matches.subcommand_matches("hook").expect("it is the command");
        let arguments: Vec<&str> =
            hook.get_many::<String>("arguments").into_iter().flatten().map(String::as_str).collect();
        assert_eq!(words.split_first().map(|(_, rest)| rest), Some(arguments.as_slice()));
    }
}

#[test]
fn the_short_name_is_shown_where_it_was_used() {
    let usage = |program: &str| clap_command(Some(&OsString::from(program))).render_usage().to_string();
    assert!(usage("/usr/bin/1nb").contains("Usage: 1nb "), "{}", usage("/usr/bin/1nb"));
    assert!(usage("1nb.exe").contains("Usage: 1nb "));
    assert!(usage("/usr/bin/onenb").contains("Usage: onenb "));
    assert!(usage("strange").contains("Usage: onenb "));
}

/// Splits an example as a shell would, as far as examples go: from `onenb` on, up to a pipe or redirection, without
/// single quotes; what `$(..)` prints is a digest.
fn words_of(example: &str) -> Vec<String> {
    let start = example.rfind("| onenb ").map_or(0, |at| at + 2);
    let command = example.split_at(start).1.trim();
    let command = command.split(" > ").next().unwrap_or_default().split(" < ").next().unwrap_or_default();
    let digest = "0".repeat(64);
    let command = match (command.find("$("), command.rfind(')')) {
        (Some(from), Some(to)) => command.replace(command.get(from..=to).unwrap_or_default(), &digest),
        _ => command.to_owned(),
    };
    command.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
}

#[test]
fn every_document_on_the_page_is_json_of_this_version() {
    let page = include_str!("../../docs/json.md");
    let documents: Vec<&str> =
        page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(documents.len() > 20);
    for text in documents {
        let json: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(json.get("version").and_then(serde_json::Value::as_u64), Some(1), "{text}");
    }
}

#[test]
fn the_hashes_on_the_page_are_those_of_the_parameters_beside_them() {
    fn check(json: &serde_json::Value, seen: &mut usize) {
        if let (Some(params), Some(hash)) = (json.get("params"), json.get("params_hash")) {
            let params = crate::format::params::Params::from_json(params).expect("the page's parameters are good");
            assert_eq!(hash.as_str(), Some(params.hash().to_string().as_str()), "{params}");
            *seen += 1;
        }
        json.as_array().into_iter().flatten().for_each(|child| check(child, seen));
        json.as_object().into_iter().flatten().for_each(|(_, child)| check(child, seen));
    }
    let mut seen = 0;
    for text in include_str!("../../docs/json.md").split("```json\n").skip(1) {
        let json = serde_json::from_str(text.split("```").next().unwrap_or_default()).expect("JSON");
        check(&json, &mut seen);
    }
    assert!(seen >= 3);
}
