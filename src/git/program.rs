//! Running the `git` program: clean environments, literal paths, one harmless line when it fails.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Environment, GitError, GitRepo};

/// The variables that bind `git` to one repository, as `git rev-parse --local-env-vars` lists them.
pub(super) const LOCAL_VARIABLES: [&str; 16] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
];

/// Longest part of what `git` says that an error repeats, in characters.
const MAX_MESSAGE: usize = 500;

/// Returns a `git` command for another repository than the one whose hook may be running: no variable binds it.
#[must_use]
pub fn clean_command() -> Command {
    let mut command = Command::new("git");
    for name in LOCAL_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Returns whether the `pre-commit` framework runs this process: it has put aside what is not staged, and puts it back.
#[must_use]
pub fn is_run_by_pre_commit() -> bool {
    std::env::var_os("PRE_COMMIT").is_some()
}

impl GitRepo {
    /// Returns a `git` command for this repository and work tree, whatever the current directory.
    ///
    /// Inside a hook the variables that Git set stay (a temporary index, for one); paths are made absolute.
    /// Pathspecs are literal, and Git asks nobody anything.
    pub(super) fn command(&self) -> Command {
        let mut command = match self.environment() {
            Environment::Ignored => clean_command(),
            Environment::Hook => {
                let mut command = Command::new("git");
                if std::env::var_os("GIT_INDEX_FILE").is_some() {
                    let index = self.index_path();
                    // After the commit Git still names the lock that has become the index.
                    if index.exists() {
                        command.env("GIT_INDEX_FILE", index);
                    } else {
                        command.env_remove("GIT_INDEX_FILE");
                    }
                }
                command.env_remove("GIT_PREFIX");
                command
            }
        };
        // Explicit directories skip Git's own search and its check of the owner, which `discover` has done.
        command.env("GIT_DIR", self.git_dir());
        if let Some(work_dir) = self.work_dir() {
            command.env("GIT_WORK_TREE", work_dir).current_dir(work_dir);
        } else {
            command.env_remove("GIT_WORK_TREE").current_dir(self.git_dir());
        }
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").arg("--literal-pathspecs");
        command
    }

    /// Returns the index in force, which Git's environment may name relative to the top of the work tree.
    pub(super) fn index_path(&self) -> PathBuf {
        let path = self.local().index_path();
        self.work_dir().map_or_else(|| path.clone(), |top| top.join(&path))
    }

    /// Runs `git ARGS`, feeds it `input`, and returns what it prints on stdout.
    pub(super) fn run<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let name = args.first().map(|name| name.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = self.command();
        command.args(args);
        Self::feed(command, &name, input)
    }

    /// As [`Self::run`] for a command that is prepared already; errors call it `name`.
    pub(super) fn feed(mut command: Command, name: &str, input: &[u8]) -> Result<Vec<u8>, GitError> {
        let spawned = |source| GitError::Spawn { command: name.to_owned(), source };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(spawned)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that stops reading says why on stderr, so its broken pipe tells nothing.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(spawned)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(GitError::Program { command: name.to_owned(), message: one_line(&output.stderr) })
    }
}

/// Makes one harmless line of what a program printed.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> =
        text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty()).collect();
    if words.is_empty() {
        return "it gave no reason".to_owned();
    }
    words.join("; ").chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_this_git_calls_local_is_removed() {
        let output = Command::new("git").args(["rev-parse", "--local-env-vars"]).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(!listed.is_empty());
        for name in listed.lines() {
            assert!(LOCAL_VARIABLES.contains(&name), "{name} binds git to a repository");
        }
    }

    #[test]
    fn what_git_says_becomes_one_line_without_escapes() {
        assert_eq!(one_line(b"error: \x1b[31mno\nfatal: stop\n"), "error:; [31mno; fatal: stop");
        assert_eq!(one_line(b"\n"), "it gave no reason");
    }
}
