//! Finding and opening the repository around a directory, or the one that a hook's environment names.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use gix::bstr::ByteSlice as _;
use gix::sec::trust::Mapping;

use super::grafts::Grafts;
use super::handles::Idle;
use super::program::LOCAL_VARIABLES;
use super::{GitError, GitRepo};
use crate::format::name::encode_component;

/// Which repository the process means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// The one around the given directory, whatever variables are set.
    Ignored,
    /// The one that Git's variables (`GIT_DIR`, `GIT_WORK_TREE`, `GIT_INDEX_FILE`, ..) name, as in a hook; without
    /// them, the one around the given directory.
    Hook,
}

impl GitRepo {
    /// Finds and opens the repository around `start`.
    ///
    /// # Errors
    /// [`GitError::NotARepository`], [`GitError::Unsafe`], [`GitError::Reftable`] or [`GitError::Open`].
    pub fn discover(start: &Path, environment: Environment) -> Result<Self, GitError> {
        let start = std::path::absolute(start).map_err(GitError::file("find", start))?;
        let search = || gix::discover::upwards::Options { match_ceiling_dir_or_error: false, ..Default::default() };
        let options = Mapping { full: open_options(environment), reduced: open_options(environment) };
        let opened = match environment {
            Environment::Hook => {
                gix::ThreadSafeRepository::discover_with_environment_overrides_opts(&start, search(), options)
            }
            Environment::Ignored => gix::ThreadSafeRepository::discover_opts(&start, search(), options),
        };
        let opened = opened.map_err(|error| {
            if error.is_permission_denied() {
                GitError::Unsafe { path: start.clone(), source: error.into() }
            } else if gix::discover::upwards_opts(&start, search()).is_err() {
                GitError::NotARepository { path: start.clone() }
            } else {
                GitError::Open { path: start.clone(), source: error.into() }
            }
        })?;
        let mut repo = opened.to_thread_local();
        repo.make_paths_absolute().map_err(|error| GitError::Open { path: start.clone(), source: error.into() })?;
        let common_dir = without_dots(repo.common_dir());
        // A cheap test: Git itself decides by `extensions.refStorage`, and the directory comes with it.
        if common_dir.join("reftable").is_dir() {
            return Err(GitError::Reftable { git_dir: common_dir });
        }
        Ok(Self {
            git_dir: without_dots(repo.git_dir()),
            work_dir: repo.workdir().map(without_dots),
            grafts: Grafts::read(&common_dir),
            common_dir,
            environment,
            inner: repo.into_sync(),
            idle: Idle::default(),
        })
    }

    pub(super) fn environment(&self) -> Environment {
        self.environment
    }

    /// Returns the top of the work tree; `None` in a bare repository.
    pub fn work_dir(&self) -> Option<&Path> {
        self.work_dir.as_deref()
    }

    /// Returns the top of the work tree, or the error that there is none.
    ///
    /// # Errors
    /// [`GitError::NoWorkTree`].
    pub fn require_work_dir(&self) -> Result<&Path, GitError> {
        self.work_dir().ok_or_else(|| GitError::NoWorkTree { git_dir: self.git_dir.clone() })
    }

    /// Returns the directory with this work tree's `HEAD` and index.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the directory with what all work trees share: objects, references, configuration.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Returns whether there is no work tree.
    pub fn is_bare(&self) -> bool {
        self.work_dir.is_none()
    }

    /// Returns whether history is cut off somewhere.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn is_shallow(&self) -> Result<bool, GitError> {
        self.local().is_shallow().map_err(GitError::damaged("the shallow boundary"))
    }

    /// Returns the length of object ids in bytes: 20 or 32.
    pub fn object_format_len(&self) -> usize {
        self.local().object_hash().len_in_bytes()
    }

    /// Returns a name for this work tree that no other work tree of the repository has and that stays until it is
    /// removed; safe as a file name.
    pub fn worktree_id(&self) -> String {
        id_of_work_tree(&self.git_dir, self.git_dir == self.common_dir)
    }

    /// Returns `path` as seen from the top of the work tree, with `/`; `None` if it lies outside or is not UTF-8.
    ///
    /// Symbolic links in the directories are followed, the last component is not, as Git does. Nothing need exist.
    pub fn to_relative(&self, path: &Path) -> Option<String> {
        let top = std::fs::canonicalize(self.work_dir()?).ok()?;
        let path = std::path::absolute(path).ok()?;
        let real = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => real_path(parent)?.join(name),
            _ => real_path(&path)?,
        };
        let parts: Option<Vec<&str>> = real
            .strip_prefix(&top)
            .ok()?
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        Some(parts?.join("/"))
    }

    /// Returns a configuration value, such as `user.email`; the last one set wins. `None` if unset or not UTF-8.
    pub fn config_string(&self, key: &str) -> Option<String> {
        // `gix` does not read what `git -c` hands down to a hook, and a process for each value would be slow.
        if key.starts_with("onenb.")
            && self.environment == Environment::Hook
            && std::env::var_os("GIT_CONFIG_PARAMETERS").is_some()
        {
            let printed = self.run(&["config", "--get", key], b"").ok()?;
            return printed.trim_ascii().to_str().ok().map(str::to_owned);
        }
        let value = self.local().config_snapshot().string(key)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// Returns a boolean configuration value in any spelling Git knows; `None` if unset or no boolean.
    pub fn config_bool(&self, key: &str) -> Option<bool> {
        self.local().config_snapshot().boolean(key)
    }

    /// Returns the URL of a remote as configured, without `insteadOf` rewriting.
    pub fn remote_url(&self, name: &str) -> Option<String> {
        self.config_string(&format!("remote.{name}.url"))
    }
}

fn open_options(environment: Environment) -> gix::open::Options {
    let mut permissions = gix::open::Permissions::all();
    let set = |name: &&str| std::env::var_os(name).is_some();
    if environment == Environment::Ignored && LOCAL_VARIABLES.iter().any(set) {
        // All or nothing in `gix`: variables that say where the configuration is are lost with the others.
        permissions.env.git_prefix = gix::sec::Permission::Deny;
        permissions.config.env = false;
    }
    gix::open::Options::default().permissions(permissions).bail_if_untrusted(true).lossy_config(true)
}

/// Resolves `..` of a path that Git wrote, such as `worktrees/x/../..`, where that is possible.
fn without_dots(path: &Path) -> PathBuf {
    if path.components().any(|part| part == Component::ParentDir) {
        return std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    }
    path.components().collect()
}

/// Resolves symbolic links in the part of `path` that exists and appends the rest; `None` if the rest has a `..`.
fn real_path(path: &Path) -> Option<PathBuf> {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(mut real) = std::fs::canonicalize(existing) {
            real.extend(missing.iter().rev());
            return Some(real);
        }
        missing.push(existing.file_name()?);
        existing = existing.parent()?;
    }
}

/// Returns the name of the work tree with this Git directory.
pub(super) fn id_of_work_tree(git_dir: &Path, is_main: bool) -> String {
    if is_main {
        return "main".to_owned();
    }
    let name = git_dir.file_name().unwrap_or_default();
    format!("linked-{}", encode_component(&name.to_string_lossy()))
}

#[cfg(test)]
mod tests;
