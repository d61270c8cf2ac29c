//! A sandbox with a home and a repository of its own.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A temporary world: `home/`, `repo/` and whatever a test adds.
pub(crate) struct Sandbox {
    root: TempDir,
}

/// How a program ended and what it said.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Shows a run for snapshots.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.text(), self.stderr)
    }
}

impl Run {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// Returns the run if it succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// Checks a failure: its exit code, nothing on stdout, and words on stderr.
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self}");
        assert!(self.stdout.is_empty(), "{self}");
        assert!(self.stderr.starts_with("error: "), "{self}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not said: {self}");
        }
        self
    }
}

impl Sandbox {
    /// Makes an empty world without a repository.
    pub(crate) fn empty() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        for folder in ["home", "repo"] {
            onenb::fs::create_dir_all(&root.path().join(folder)).expect("a folder");
        }
        Self { root }
    }

    /// Makes a Git repository with one commit, not initialised.
    pub(crate) fn git_only() -> Self {
        let sandbox = Self::empty();
        sandbox.git(&["init", "--quiet", "--initial-branch=main"]).ok();
        sandbox.git(&["commit", "--quiet", "--allow-empty", "--message=start"]).ok();
        sandbox
    }

    /// Makes a repository that is set up and commits that; storage is a directory of the world.
    pub(crate) fn ready() -> Self {
        let sandbox = Self::git_only();
        let remote = sandbox.path("remote");
        sandbox.onenb(&["init", "--name", "demo", "dir", &remote.to_string_lossy()]).ok();
        sandbox.git(&["commit", "--quiet", "--message=set up onenb"]).ok();
        sandbox
    }

    /// Makes a repository where `Sales` and two `Report`s are exported, committed and tagged `v1`.
    pub(crate) fn tagged() -> Self {
        let sandbox = Self::ready();
        sandbox.export("Sales", b"a,b\n1,2\n", &[]);
        sandbox.export("Report", b"2023\n", &["-p", "year=2023"]);
        sandbox.export("Report", b"2024\n", &["-p", "year=2024"]);
        sandbox.commit_and_tag("v1");
        sandbox
    }

    /// Makes an empty bare repository, calls it `origin` and returns its path.
    pub(crate) fn add_origin(&self) -> String {
        let origin = self.path("origin.git").display().to_string();
        self.git(&["init", "--quiet", "--bare", &origin]).ok();
        self.git(&["remote", "add", "origin", &origin]).ok();
        origin
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Returns a path inside the repository.
    pub(crate) fn in_repo(&self, below: &str) -> PathBuf {
        self.path("repo").join(below)
    }

    /// Writes a file into the repository.
    pub(crate) fn write(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.in_repo(below);
        onenb::fs::write_atomic(&path, bytes).expect("a file");
        path
    }

    /// Writes an executable shell script beside the repository.
    pub(crate) fn script(&self, name: &str, lines: &str) {
        let path = self.path(name);
        onenb::fs::write_atomic(&path, format!("#!/bin/sh\n{lines}").as_bytes()).expect("a script");
        onenb::fs::set_executable(&path).expect("it can be executable");
    }

    /// Exports bytes from stdin as `.csv`.
    pub(crate) fn export(&self, name: &str, bytes: &[u8], more: &[&str]) -> Run {
        let arguments: Vec<&str> = ["export", name, "-", "--suffix", ".csv"].iter().chain(more).copied().collect();
        self.onenb_with(&arguments, bytes).ok()
    }

    pub(crate) fn commit_and_tag(&self, tag: &str) {
        self.git(&["add", ".1nb"]).ok();
        self.git(&["commit", "--quiet", "--message", tag]).ok();
        self.git(&["tag", tag]).ok();
    }

    pub(crate) fn onenb(&self, arguments: &[&str]) -> Run {
        self.onenb_with(arguments, b"")
    }

    pub(crate) fn onenb_with(&self, arguments: &[&str], stdin: &[u8]) -> Run {
        let mut command = self.command(env!("CARGO_BIN_EXE_onenb"));
        command.args(arguments);
        finish(command, stdin)
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Run {
        let mut command = self.command("git");
        command.args(arguments);
        finish(command, b"")
    }

    /// Returns a command in the repository that sees nothing of the real user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path("repo")).env_clear().env("HOME", self.path("home"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("XDG_CONFIG_HOME", self.path("home/config")).env("XDG_CACHE_HOME", self.path("home/cache"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C").env("TZ", "UTC");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
            command.env(format!("GIT_{who}_DATE"), "2026-01-02T03:04:05Z");
        }
        command
    }

    /// Returns the packs of the store, sealed or still open.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        [self.store_files(".pack"), self.store_files(".open")].concat()
    }

    /// Returns the files of the store whose names end so.
    pub(crate) fn store_files(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.in_repo(".git/onenb"), ending, &mut found);
        found.sort();
        found
    }
}

/// Reads an export that must be there.
pub(crate) fn read(sandbox: &Sandbox, spec: &str) -> String {
    sandbox.onenb(&["cat", spec]).ok().text()
}

/// Stores bytes and returns a notebook whose receipt says that it exported them.
pub(crate) fn notebook(sandbox: &Sandbox, name: &str, bytes: &[u8], run: &str) -> String {
    let stored = sandbox.onenb_with(&["write-object", "-", "--json"], bytes).ok().json();
    let receipt = serde_json::json!({
        "v": 1, "run": run, "export": name, "params": {}, "digest": stored["objects"][0]["digest"],
        "size": bytes.len(), "suffix": ".csv", "cell_source_digest": null, "inputs": []
    });
    let output = serde_json::json!({
        "output_type": "display_data", "metadata": {},
        "data": {"text/plain": ["exported"], "application/vnd.onenb.receipt+json": receipt}
    });
    serde_json::json!({
        "nbformat": 4, "nbformat_minor": 5, "metadata": {},
        "cells": [{"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "outputs": [output],
                   "source": [format!("from OneNB.exports import {name}\n")]}]
    })
    .to_string()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Feeds stdin, waits and collects.
pub(crate) fn finish(mut command: Command, stdin: &[u8]) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    let bytes = stdin.to_vec();
    // The program may end without reading; a thread keeps both sides from waiting for each other.
    let feeder = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    let output = child.wait_with_output().expect("the program ends");
    feeder.join().expect("the feeder does not panic");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn collect(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

/// Returns whether notes about how a file looks count where it lies; says so where they do not.
pub(crate) fn is_on_local_disk(path: &str) -> bool {
    let kind = Command::new("stat").args(["-f", "-c", "%T", path]).output().map(|run| run.stdout).unwrap_or_default();
    let kind = String::from_utf8_lossy(&kind).trim().to_owned();
    let is_local = ["ext2/ext3", "xfs", "btrfs", "f2fs", "zfs"].contains(&kind.as_str());
    if !is_local {
        eprintln!("skipped 1 test: `{path}` is on {kind}, where files are read again");
    }
    is_local
}
