//! Repositories in odd states and trees with odd contents: what can be read is read, the rest is named.

use crate::support::{Sandbox, finish, notebook, read};

const RUN_1: &str = "01JCWZ4Z8Q4X2V5D9E7T1R3K6M";

/// Returns where the record of `Sales` lies.
const SALES: &str = ".1nb/exports/Sales/c65074e50246388e.json";

fn commit_all(sandbox: &Sandbox, message: &str) {
    sandbox.git(&["add", "--all"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", message]).ok();
}

#[test]
fn an_empty_repository_has_nothing_and_takes_a_first_commit() {
    let sandbox = Sandbox::empty();
    sandbox.git(&["init", "--quiet", "--initial-branch=main"]).ok();
    sandbox.onenb(&["init", "--name", "demo", "local"]).ok();
    sandbox.onenb(&["status"]).ok();
    sandbox.onenb(&["push"]).ok();
    assert_eq!(sandbox.onenb(&["log", "--json"]).ok().json()["runs"], serde_json::json!([]));
    for words in [&["ls"][..], &["cat", "HEAD:Sales"], &["is-ancestor", "HEAD", "HEAD"]] {
        sandbox.onenb(words).fails(3, &["main"]);
    }
    sandbox.export("Sales", b"one", &[]);
    commit_all(&sandbox, "first");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
}

#[test]
fn without_a_user_name_git_refuses_to_commit_and_everything_of_ours_works() {
    let sandbox = Sandbox::ready();
    sandbox.git(&["config", "user.useConfigOnly", "true"]).ok();
    let nobody = |program: &str, words: &[&str]| {
        let mut command = sandbox.command(program);
        for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
            command.env_remove(name);
        }
        command.args(words);
        finish(command, b"one")
    };
    let onenb = env!("CARGO_BIN_EXE_onenb");
    nobody(onenb, &["export", "Sales", "-", "--suffix", ".csv"]).ok();
    nobody("git", &["add", ".1nb"]).ok();
    assert_ne!(nobody("git", &["commit", "--quiet", "--message", "whose?"]).code, 0);
    nobody(onenb, &["status"]).ok();
    assert_eq!(nobody(onenb, &["cat", "working:Sales"]).ok().text(), "one");
    sandbox.git(&["commit", "--quiet", "--message", "mine"]).ok();
    nobody("git", &["tag", "v1"]).ok();
    nobody(onenb, &["push"]).ok();
    assert_eq!(nobody(onenb, &["cat", "v1:Sales"]).ok().text(), "one");
}

#[test]
fn a_damaged_record_and_one_of_a_newer_version_are_named_and_the_others_work() {
    let sandbox = Sandbox::tagged();
    let good = std::fs::read_to_string(sandbox.in_repo(SALES)).expect("a record");
    let newer = good.replace("\"format\": 1", "\"format\": 99");
    assert_ne!(newer, good);
    for (bad, reason) in [(newer.as_str(), "99"), ("{ nonsense", ""), ("", "")] {
        sandbox.write(SALES, bad.as_bytes());
        sandbox.git(&["commit", "--quiet", "--all", "--message", "something went wrong"]).ok();
        let said = sandbox.onenb(&["status"]).ok().text();
        assert!(said.contains(SALES) && said.contains(reason), "{said}");
        assert_eq!(read(&sandbox, "HEAD:Report?year=2023"), "2023\n");
        assert_eq!(read(&sandbox, "working:Report?year=2024"), "2024\n");
        for rev in ["working", "HEAD"] {
            let run = sandbox.onenb(&["cat", &format!("{rev}:Sales")]);
            assert!(run.code != 0 && run.stderr.contains(SALES), "{run}");
        }
        sandbox.git(&["tag", "--force", "bad"]).ok();
    }
    sandbox.export("Sales", b"again", &[]);
    commit_all(&sandbox, "mended");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "again");
    assert_eq!(read(&sandbox, "v1:Sales"), "a,b\n1,2\n");
}

#[test]
fn two_tags_on_one_commit_are_both_pushed_and_both_read() {
    let sandbox = Sandbox::tagged();
    sandbox.git(&["tag", "also-v1", "v1"]).ok();
    let pushed = sandbox.onenb(&["push", "--json"]).ok().json().to_string();
    assert!(pushed.contains("also-v1"), "{pushed}");
    let status = sandbox.onenb(&["status", "--json"]).ok().json();
    assert_eq!(status["unpushed"], serde_json::json!([]));
    onenb::fs::rename(&sandbox.in_repo(".git/onenb"), &sandbox.path("lost")).expect("the store goes");
    for tag in ["v1", "also-v1"] {
        assert_eq!(read(&sandbox, &format!("{tag}:Sales")), "a,b\n1,2\n");
    }
}

#[test]
fn names_of_files_and_branches_may_be_anything_that_git_takes() {
    let sandbox = Sandbox::ready();
    let odd = "a b/it's \"5\" $(touch pwned) `x`; größe\u{1b}[31m.ipynb";
    sandbox.write(odd, notebook(&sandbox, "Odd", b"odd", RUN_1).as_bytes());
    sandbox.git(&["switch", "--quiet", "--create", "feature/größe-'\"$(x)"]).ok();
    commit_all(&sandbox, "odd names");
    assert_eq!(read(&sandbox, "HEAD:Odd"), "odd");
    assert_eq!(read(&sandbox, "feature/größe-'\"$(x):Odd"), "odd");
    assert!(!sandbox.in_repo("pwned").exists());
    let run = sandbox.onenb(&["log"]).ok();
    assert!(!run.text().contains('\u{1b}'), "{run}");
    assert_eq!(sandbox.git(&["status", "--porcelain"]).ok().text(), "");
    assert_eq!(sandbox.onenb(&["log", "--nb", odd, "--json"]).ok().json()["runs"].as_array().map(Vec::len), Some(1));
}

/// A path that is no text cannot stand in a record; its commit, and the exports beside it, are as ever.
#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_hinders_nothing() {
    use std::os::unix::ffi::OsStrExt as _;

    let sandbox = Sandbox::ready();
    let path = sandbox.in_repo("").join(std::ffi::OsStr::from_bytes(b"\xff\xfe.ipynb"));
    onenb::fs::write_atomic(&path, notebook(&sandbox, "Hidden", b"hidden", RUN_1).as_bytes()).expect("a file");
    sandbox.export("Sales", b"one", &[]);
    sandbox.git(&["add", "--all"]).ok();
    let run = sandbox.git(&["commit", "--quiet", "--message", "no text"]).ok();
    assert!(run.stderr.lines().all(|line| line.starts_with("onenb: bound ")), "{run}");
    assert_eq!(read(&sandbox, "HEAD:Sales"), "one");
    sandbox.onenb(&["status"]).ok();
}

/// Git refuses such a repository because its configuration may run commands, and so do we, in the same words.
#[cfg(unix)]
#[test]
fn a_repository_of_another_user_is_refused_with_gits_own_remedy() {
    let sandbox = Sandbox::tagged();
    let mut chown = sandbox.command("chown");
    chown.args(["-R", "12345", "."]);
    if finish(chown, b"").code != 0 {
        eprintln!("skipped 1 check: only root can give a repository away");
        return;
    }
    sandbox.onenb(&["ls", "v1"]).fails(1, &["safe.directory"]);
    let run = sandbox.onenb(&["hook", "post-commit"]);
    assert_eq!(run.code, 0, "{run}");
    let here = sandbox.in_repo("").canonicalize().expect("a path");
    let here = here.to_string_lossy();
    sandbox.git(&["config", "--global", "--add", "safe.directory", here.trim_end_matches('/')]).ok();
    assert_eq!(read(&sandbox, "v1:Sales"), "a,b\n1,2\n");
}
