//! Real repositories in temporary directories, made with the machine's `git`: no user configuration, fixed names and
//! dates, so that ids are the same on every run.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Environment, GitRepo, clean_command};
use crate::id::CommitId;

/// A repository that is removed when dropped.
pub(super) struct TestRepo {
    home: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl TestRepo {
    pub(super) fn new() -> Self {
        Self::with(&["--initial-branch=main"])
    }

    pub(super) fn with(init_options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        // The temporary directory itself may be a link, as on macOS.
        let path = std::fs::canonicalize(home.path()).unwrap().join("repo");
        crate::fs::create_dir_all(&path).unwrap();
        let repo = Self { home, path };
        let mut args = vec!["init", "--quiet"];
        args.extend(init_options);
        repo.git(&args);
        repo
    }

    /// The directory around the repository, which also is `HOME`.
    pub(super) fn outside(&self) -> PathBuf {
        std::fs::canonicalize(self.home.path()).unwrap()
    }

    pub(super) fn command_in(&self, dir: &Path) -> Command {
        let mut command = clean_command();
        command.current_dir(dir).env("HOME", self.home.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env_remove("XDG_CONFIG_HOME").env_remove("ONENB_IN_HOOK").env("LC_ALL", "C");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "A").env(format!("GIT_{role}_EMAIL"), "a@example.org");
            command.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        command
    }

    pub(super) fn git_in(&self, dir: &Path, args: &[&str]) -> String {
        let output = self.command_in(dir).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.path, args)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        crate::fs::write_atomic(&self.path.join(path), text.as_bytes()).unwrap();
    }

    /// Writes a file and commits it.
    pub(super) fn commit(&self, path: &str, text: &str) -> CommitId {
        self.write(path, text);
        self.git(&["add", "--force", "--", path]);
        self.git(&["commit", "--quiet", "--message", &format!("change {path}")]);
        self.id("HEAD")
    }

    pub(super) fn id(&self, rev: &str) -> CommitId {
        self.git(&["rev-parse", "--verify", rev]).parse().unwrap()
    }

    pub(super) fn open(&self) -> GitRepo {
        open(&self.path)
    }
}

pub(super) fn open(path: &Path) -> GitRepo {
    GitRepo::discover(path, Environment::Ignored).unwrap()
}
