//! Tests of hooks with the machine's shell and real commits and pushes.

#![expect(clippy::disallowed_methods, reason = "tests make and damage hooks")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::git::testing::TestRepo;

/// A repository and a stand-in for onenb that notes its arguments, stdin and variables, and exits as told.
struct Fixture {
    repo: TestRepo,
    program: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let repo = TestRepo::new();
        let program = repo.outside().join("it's a dir").join("one nb");
        let fixture = Self { repo, program };
        fixture.make_program(0);
        fixture
    }

    fn make_program(&self, status: i32) {
        let log = self.log_path();
        let text = format!(
            "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done >>'{log}'\nprintf ' %s\\n' \"$ONENB_IN_HOOK\" >>'{log}'\n\
             case $2 in pre-push|post-rewrite) sed 's/^/stdin: /' >>'{log}';; esac\nexit {status}\n",
            log = log.display()
        );
        write_script(&self.program, &text);
    }

    fn log_path(&self) -> PathBuf {
        self.repo.outside().join("log")
    }

    /// What the stand-in noted since the last look.
    fn take_log(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        crate::fs::remove_file(&self.log_path()).unwrap();
        text
    }

    fn hook(&self, event: &str) -> PathBuf {
        self.repo.path.join(".git/hooks").join(event)
    }

    fn install(&self) -> HookReport {
        self.repo.open().install_hooks(&self.program).unwrap()
    }

    /// Runs git and returns its status and stderr.
    fn try_git(&self, args: &[&str]) -> (i32, String) {
        let output = self.repo.command_in(&self.repo.path).args(args).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn write_script(path: &Path, text: &str) {
    crate::fs::write_atomic(path, text.as_bytes()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn git_calls_the_recorded_program_with_its_arguments_and_stdin() {
    let fixture = Fixture::new();
    assert_eq!(fixture.install().changed, HookEvent::ALL);
    fixture.repo.commit("a", "1");
    assert_eq!(fixture.take_log(), "<hook><pre-commit> pre-commit\n<hook><post-commit> post-commit\n");

    let old = fixture.repo.id("HEAD");
    fixture.repo.git(&["commit", "--quiet", "--amend", "--message", "again"]);
    let new = fixture.repo.id("HEAD");
    let log = fixture.take_log();
    assert!(log.contains(&format!("<hook><post-rewrite><amend> post-rewrite\nstdin: {old} {new}\n")), "{log}");

    let remote = fixture.repo.outside().join("remote.git");
    fixture.repo.git(&["init", "--quiet", "--bare", remote.to_str().unwrap()]);
    fixture.repo.git(&["tag", "v1"]);
    fixture.repo.git(&["push", "--quiet", remote.to_str().unwrap(), "main", "v1"]);
    let log = fixture.take_log();
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(log.contains(&format!("stdin: refs/tags/v1 {new} refs/tags/v1 {}\n", "0".repeat(40))), "{log}");
}

#[test]
fn a_refused_push_stops_and_a_refused_commit_does_not() {
    let fixture = Fixture::new();
    fixture.install();
    fixture.make_program(1);
    fixture.repo.commit("a", "1");
    let remote = fixture.repo.outside().join("remote.git");
    fixture.repo.git(&["init", "--quiet", "--bare", remote.to_str().unwrap()]);
    let push = ["push", "--quiet", remote.to_str().unwrap(), "main"];
    assert_ne!(fixture.try_git(&push).0, 0);
    // Any other status is a fault of ours, and no reason to stop the user.
    fixture.make_program(101);
    assert_eq!(fixture.try_git(&push).0, 0);
}

#[test]
fn a_missing_program_costs_one_line_and_status_names_it() {
    let fixture = Fixture::new();
    fixture.install();
    assert!(fixture.repo.open().hook_status().unwrap().is_current());
    crate::fs::remove_file(&fixture.program).unwrap();
    fixture.repo.write("a", "1");
    fixture.repo.git(&["add", "a"]);
    let mut commit = fixture.repo.command_in(&fixture.repo.path);
    // Only Git's own directory, so that no onenb of the machine is found.
    let git_only = fixture.repo.outside().join("bin");
    crate::fs::create_dir_all(&git_only).unwrap();
    for name in ["git", "sh"] {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join(name)).find(|p| p.is_file());
        std::os::unix::fs::symlink(found.unwrap(), git_only.join(name)).unwrap();
    }
    let output = commit.env("PATH", &git_only).args(["commit", "--quiet", "--message", "x"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("onenb:")).count(), 2, "{stderr}");
    assert!(stderr.contains("program not found, pre-commit did nothing"), "{stderr}");
    assert_eq!(fixture.repo.open().hook_status().unwrap().dead_path, Some(fixture.program.clone()));
}

#[test]
fn a_program_on_path_stands_in_for_a_dead_one() {
    let fixture = Fixture::new();
    fixture.install();
    let elsewhere = fixture.repo.outside().join("bin");
    crate::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::rename(&fixture.program, elsewhere.join("onenb")).unwrap();
    fixture.repo.write("a", "1");
    fixture.repo.git(&["add", "a"]);
    let path = format!("{}:{}", elsewhere.display(), std::env::var("PATH").unwrap());
    let mut commit = fixture.repo.command_in(&fixture.repo.path);
    assert!(commit.env("PATH", path).args(["commit", "--quiet", "--message", "x"]).status().unwrap().success());
    assert!(fixture.take_log().starts_with("<hook><pre-commit> pre-commit\n"));
}

#[test]
fn our_own_git_commands_do_not_call_us_again() {
    let fixture = Fixture::new();
    fixture.install();
    write_script(
        &fixture.program,
        &format!(
            "#!/bin/sh\necho called >>'{}'\ngit commit --quiet --allow-empty --message inner\n",
            fixture.log_path().display()
        ),
    );
    // Without the guard this would never end; `post-commit` is the only event of the outer command that is not skipped.
    fixture.repo.git(&["commit", "--quiet", "--no-verify", "--allow-empty", "--message", "outer"]);
    assert_eq!(fixture.take_log(), "called\n");
    assert_eq!(fixture.repo.git(&["rev-list", "--count", "HEAD"]), "2");
}

#[test]
fn a_shell_hook_of_others_keeps_its_stdin_its_status_and_its_bytes() {
    let fixture = Fixture::new();
    let seen = fixture.repo.outside().join("seen");
    let theirs =
        format!("#!/bin/sh -eu\nunset_is_fine=${{NOTHING-}}\ncat >'{}'\necho \"$@\" >>'{0}'\nexit 3", seen.display());
    write_script(&fixture.hook("pre-push"), &theirs);
    std::fs::set_permissions(fixture.hook("pre-push"), std::fs::Permissions::from_mode(0o750)).unwrap();
    fixture.install();
    assert_eq!(mode(&fixture.hook("pre-push")), 0o750);

    fixture.repo.commit("a", "1");
    let (status, log) = fixture.run_pre_push("refs/heads/main 1 refs/heads/main 2\nrefs/tags/$(id)\\n `id` 3 4\n");
    assert_eq!(status, 3);
    let expected = "refs/heads/main 1 refs/heads/main 2\nrefs/tags/$(id)\\n `id` 3 4\n";
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), format!("{expected}origin url\n"));
    let noted: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("stdin: ")).collect();
    assert_eq!(noted, expected.lines().collect::<Vec<_>>());
    let (_, _) = fixture.run_pre_push("");
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "origin url\n", "empty stdin stays empty");

    fixture.install();
    fixture.repo.open().uninstall_hooks().unwrap();
    assert_eq!(std::fs::read_to_string(fixture.hook("pre-push")).unwrap(), theirs);
    assert_eq!(mode(&fixture.hook("pre-push")), 0o750);
    assert!(!exists(&fixture.hook("post-commit")));
}

impl Fixture {
    fn run_pre_push(&self, stdin: &str) -> (i32, String) {
        self.take_log();
        let input = self.repo.outside().join("input");
        crate::fs::write_atomic(&input, stdin.as_bytes()).unwrap();
        let status = std::process::Command::new(".git/hooks/pre-push")
            .args(["origin", "url"])
            .env_remove("ONENB_IN_HOOK")
            .current_dir(&self.repo.path)
            .stdin(std::fs::File::open(&input).unwrap())
            .status()
            .unwrap();
        (status.code().unwrap(), self.take_log())
    }
}

#[test]
fn a_push_of_many_references_reaches_both_sides_whole() {
    let fixture = Fixture::new();
    let seen = fixture.repo.outside().join("seen");
    write_script(&fixture.hook("pre-push"), &format!("#!/bin/sh\ncat >'{}'\n", seen.display()));
    fixture.install();
    let line = |n: usize| format!("refs/tags/v{n} {0} refs/tags/v{n} {0}\n", "1".repeat(40));
    for count in [99, 100, 101, 10_000] {
        let all: String = (0..count).map(line).collect();
        let (status, log) = fixture.run_pre_push(&all);
        assert_eq!(status, 0);
        assert!(std::fs::read_to_string(&seen).unwrap() == all, "{count}");
        assert_eq!(log.lines().filter(|line| line.starts_with("stdin:")).count(), count);
    }
}

#[test]
fn what_is_no_running_shell_script_is_moved_beside_and_comes_back() {
    let fixture = Fixture::new();
    let seen = fixture.repo.outside().join("seen");
    let awk = format!("#!/usr/bin/awk -f\nBEGIN {{ print \"awk ran\" >\"{}\"; exit 4 }}\n", seen.display());
    write_script(&fixture.hook("pre-commit"), &awk);
    let off = "#!/bin/sh\nexit 5\n";
    crate::fs::write_atomic(&fixture.hook("post-commit"), off.as_bytes()).unwrap();
    std::fs::set_permissions(fixture.hook("post-commit"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink("../../shared-hook", fixture.hook("post-merge")).unwrap();

    let report = fixture.install();
    assert_eq!(report.chained, [HookEvent::PreCommit, HookEvent::PostCommit, HookEvent::PostMerge]);
    assert!(fixture.repo.open().hook_status().unwrap().is_current());
    fixture.repo.write("a", "1");
    fixture.repo.git(&["add", "a"]);
    assert_ne!(fixture.try_git(&["commit", "--quiet", "--message", "x"]).0, 0, "their refusal still counts");
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "awk ran\n");
    assert_eq!(fixture.take_log(), "<hook><pre-commit> pre-commit\n");

    assert_eq!(fixture.install().changed, []);
    fixture.repo.open().uninstall_hooks().unwrap();
    assert_eq!(std::fs::read_to_string(fixture.hook("pre-commit")).unwrap(), awk);
    assert_eq!(mode(&fixture.hook("pre-commit")), 0o755);
    assert_eq!(mode(&fixture.hook("post-commit")), 0o644);
    assert_eq!(std::fs::read_link(fixture.hook("post-merge")).unwrap(), Path::new("../../shared-hook"));
    let left = std::fs::read_dir(fixture.hook(""))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("onenb"));
    assert_eq!(left.count(), 0);
}

#[test]
fn another_program_path_replaces_the_block_and_nothing_else() {
    let fixture = Fixture::new();
    write_script(&fixture.hook("pre-commit"), "#!/usr/bin/env -S bash -e\ntrue\n");
    let repo = fixture.repo.open();
    repo.install_hooks(Path::new("/nowhere/onenb")).unwrap();
    assert_eq!(repo.hook_status().unwrap().dead_path, Some(PathBuf::from("/nowhere/onenb")));
    assert_eq!(fixture.install().changed, HookEvent::ALL);
    assert!(repo.hook_status().unwrap().is_current());
    repo.uninstall_hooks().unwrap();
    assert_eq!(std::fs::read_to_string(fixture.hook("pre-commit")).unwrap(), "#!/usr/bin/env -S bash -e\ntrue\n");
    assert!(repo.hook_status().unwrap().events.iter().all(|(_, state)| *state == EventState::Missing));
}

#[test]
fn an_old_block_is_outdated() {
    let fixture = Fixture::new();
    fixture.install();
    let path = fixture.hook("pre-commit");
    let edited = std::fs::read_to_string(&path).unwrap().replace("command -v", "command  -v");
    crate::fs::write_atomic_keeping_mode(&path, edited.as_bytes()).unwrap();
    let status = fixture.repo.open().hook_status().unwrap();
    assert_eq!(status.events[0], (HookEvent::PreCommit, EventState::Outdated));
    assert_eq!(fixture.install().changed, [HookEvent::PreCommit]);
}

#[test]
fn lines_added_to_our_file_stay_when_we_go() {
    let fixture = Fixture::new();
    fixture.install();
    let path = fixture.hook("post-merge");
    let longer = std::fs::read_to_string(&path).unwrap() + "echo mine\n";
    crate::fs::write_atomic_keeping_mode(&path, longer.as_bytes()).unwrap();
    fixture.repo.open().uninstall_hooks().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "#!/bin/sh\necho mine\n");
}

#[test]
fn the_configured_hooks_directory_is_used_and_a_foreign_one_is_called_shared() {
    let fixture = Fixture::new();
    fixture.repo.git(&["config", "core.hooksPath", "tools/hooks"]);
    let report = fixture.install();
    assert_eq!((report.dir.as_path(), report.is_shared), (fixture.repo.path.join("tools/hooks").as_path(), false));
    fixture.repo.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
    assert!(fixture.take_log().contains("<post-commit>"));
    let foreign = fixture.repo.outside().join("foreign");
    fixture.repo.git(&["config", "core.hooksPath", foreign.to_str().unwrap()]);
    assert!(fixture.install().is_shared);
    fixture.repo.git(&["config", "core.hooksPath", "/dev/null"]);
    assert!(matches!(fixture.repo.open().install_hooks(&fixture.program), Err(GitError::HookPlace { .. })));
}

#[test]
fn under_husky_the_tracked_file_is_used_and_names_no_path_of_this_machine() {
    let fixture = Fixture::new();
    // What husky 9 writes: stubs in `_` that source `h`, which runs the tracked file with `sh -e`.
    fixture.repo.write(
        ".husky/_/h",
        "s=$(dirname \"$(dirname \"$0\")\")/${0##*/}\n[ ! -f \"$s\" ] && exit 0\nsh -e \"$s\" \"$@\"\n",
    );
    write_script(&fixture.repo.path.join(".husky/_/pre-commit"), "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"\n");
    fixture.repo.write(".husky/pre-commit", "echo theirs >>log\n");
    fixture.repo.git(&["config", "core.hooksPath", ".husky/_"]);
    fixture.install();
    let text = std::fs::read_to_string(fixture.repo.path.join(".husky/pre-commit")).unwrap();
    assert!(!text.contains(&*fixture.repo.outside().to_string_lossy()), "{text}");
    assert!(fixture.repo.open().hook_status().unwrap().is_current());
    let (status, stderr) = fixture.try_git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(std::fs::read_to_string(fixture.repo.path.join("log")).unwrap(), "theirs\n");
    fixture.repo.open().uninstall_hooks().unwrap();
    assert_eq!(std::fs::read_to_string(fixture.repo.path.join(".husky/pre-commit")).unwrap(), "echo theirs >>log\n");
}

#[test]
fn linked_work_trees_share_the_hooks() {
    let fixture = Fixture::new();
    fixture.repo.commit("a", "1");
    let linked = fixture.repo.outside().join("linked");
    fixture.repo.git(&["worktree", "add", "--quiet", linked.to_str().unwrap()]);
    let report = crate::git::testing::open(&linked).install_hooks(&fixture.program).unwrap();
    assert_eq!(report.dir, fixture.repo.path.join(".git/hooks"));
    assert!(!report.is_shared);
}

#[test]
fn scripts_of_shells_take_the_block_after_their_first_line_and_others_do_not() {
    for shell in ["#!/bin/sh\n", "#! /usr/bin/dash -e\n", "#!/usr/bin/env bash\n", "#!/usr/bin/env -S A=1 zsh -f\n"] {
        assert_eq!(insertion_point(shell.as_bytes()), Some(shell.len()), "{shell}");
    }
    assert_eq!(insertion_point(b"echo no first line\n"), Some(0));
    for other in ["#!/usr/bin/python3\n", "#!/usr/bin/env node\n", "#!/usr/bin/fish\n", "#!/bin/sh", "#!\n", "\0ELF"] {
        assert_eq!(insertion_point(other.as_bytes()), None, "{other}");
    }
}

/// What pre-commit does on install: ours lies beside its own and is called from there, and looked for its neighbour by
/// its own new name.
#[test]
fn a_chained_hook_is_still_called_when_another_tool_moves_ours() {
    let fixture = Fixture::new();
    let (hook, chained, legacy) =
        (fixture.hook("pre-commit"), fixture.hook("pre-commit.onenb-chained"), fixture.hook("pre-commit.legacy"));
    // No shell script, so that it is moved beside.
    let theirs = format!("#!/usr/bin/env -S sed -n w{}\nx\n", fixture.repo.outside().join("theirs").display());
    write_script(&hook, &theirs);
    assert_eq!(fixture.install().chained, [HookEvent::PreCommit]);
    crate::fs::rename(&hook, &legacy).unwrap();
    let framework = "#!/usr/bin/env -S awk -f\nBEGIN { exit system(\".git/hooks/pre-commit.legacy </dev/null\") }\n";
    write_script(&hook, framework);

    fixture.repo.commit("a", "1");
    assert!(fixture.take_log().starts_with("<hook><pre-commit> pre-commit\n"));
    assert!(fixture.repo.outside().join("theirs").is_file());
    assert!(fixture.repo.open().hook_status().unwrap().is_current());
    assert_eq!(fixture.install().changed, []);
    assert_eq!(std::fs::read_to_string(&hook).unwrap(), framework);

    let report = fixture.repo.open().uninstall_hooks().unwrap();
    assert_eq!(report.changed, HookEvent::ALL);
    assert_eq!((std::fs::read_to_string(&legacy).unwrap(), exists(&chained)), (theirs, false));
    assert_eq!(std::fs::read_to_string(&hook).unwrap(), framework);
}

#[test]
fn a_block_that_lefthook_put_aside_is_outdated_and_goes_with_the_others() {
    let fixture = Fixture::new();
    fixture.install();
    let (hook, old) = (fixture.hook("pre-push"), fixture.hook("pre-push.old"));
    crate::fs::rename(&hook, &old).unwrap();
    write_script(&hook, "#!/bin/sh\nexit 0\n");
    let status = fixture.repo.open().hook_status().unwrap();
    assert!(status.events.contains(&(HookEvent::PrePush, EventState::Outdated)), "{status:?}");
    assert_eq!(fixture.install().changed, [HookEvent::PrePush]);
    assert!(fixture.repo.open().hook_status().unwrap().is_current());
    fixture.repo.open().uninstall_hooks().unwrap();
    assert_eq!((std::fs::read_to_string(&hook).unwrap().as_str(), exists(&old)), ("#!/bin/sh\nexit 0\n", false));
}
