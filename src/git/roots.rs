//! Everything that Git keeps from being deleted: references, the heads, indexes and logs of all work trees, stashes,
//! and what an unfinished operation remembers.
//!
//! Whoever deletes what nothing names must know all names. So nothing is skipped here because it cannot be read: only a
//! log may name commits that are gone, because Git itself lets them go, and a symbolic reference may dangle.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::objects::{Budget, from_gix, read_tree, tree_of};
use super::revisions::peel;
use super::worktree::is_file;
use super::{GitError, GitRepo};
use crate::id::CommitId;

/// Longest log or state file that is read, in bytes.
const MAX_LOG_LEN: u64 = 1 << 30;

/// Files of unfinished operations, beside a work tree's `HEAD`, that name commits.
const STATE_FILES: [&str; 6] = [
    "rebase-merge/onto",
    "rebase-merge/orig-head",
    "rebase-merge/autostash",
    "rebase-apply/onto",
    "rebase-apply/orig-head",
    "rebase-apply/autostash",
];

/// A work tree of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTree {
    /// The name of [`GitRepo::worktree_id`].
    pub id: String,
    /// The directory with its `HEAD` and index.
    pub git_dir: PathBuf,
    /// Its top; `None` for the main one of a bare repository.
    pub dir: Option<PathBuf>,
    /// Whether Git was told that it may be absent for a while (`git worktree lock`).
    pub is_locked: bool,
}

/// What is known already when the same repository is asked again.
#[derive(Debug, Default)]
pub struct SeenHistory {
    commits: HashSet<CommitId>,
    /// Trees below the folder and files in them.
    objects: HashSet<CommitId>,
}

/// Files found below a folder, at any commit, that were not seen before.
#[derive(Debug, Default)]
pub struct NewFiles {
    /// Path and content of each.
    pub files: Vec<(String, CommitId)>,
    /// Commits that have the folder, where a child has not.
    pub last_with: Vec<CommitId>,
}

impl GitRepo {
    /// Returns all work trees, the main one first.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn work_trees(&self) -> Result<Vec<WorkTree>, GitError> {
        let describe = |repo: gix::Repository| {
            let git_dir = repo.git_dir().to_path_buf();
            let is_main = repo.git_dir() == repo.common_dir();
            WorkTree {
                id: super::discover::id_of_work_tree(&git_dir, is_main),
                dir: repo.workdir().map(Path::to_path_buf),
                is_locked: git_dir.join("locked").exists(),
                git_dir,
            }
        };
        Ok(self.with_work_trees()?.into_iter().map(describe).collect())
    }

    fn with_work_trees(&self) -> Result<Vec<gix::Repository>, GitError> {
        let damaged = || GitError::damaged("the list of work trees");
        let repo = self.local();
        let all = repo.worktrees_including_main().map_err(damaged())?;
        all.map(|repo| repo.map_err(damaged())).collect()
    }

    /// Returns the commits from which everything can be reached that Git keeps, sorted.
    ///
    /// # Errors
    /// [`GitError::Damaged`] or [`GitError::File`]: a reference, index or log that cannot be read could name anything.
    pub fn root_commits(&self) -> Result<Vec<CommitId>, GitError> {
        let mut found = HashSet::new();
        let mut logged = HashSet::new();
        for repo in self.with_work_trees()? {
            add_references(&repo, &mut found)?;
            let mut head = repo.head().map_err(GitError::damaged("HEAD"))?;
            if let Some(id) = head.try_peel_to_id().map_err(GitError::damaged("HEAD"))? {
                found.insert(from_gix(&id));
            }
            add_state(repo.git_dir(), &mut logged)?;
            add_logs(&repo.git_dir().join("logs"), &mut logged)?;
            add_logs(&repo.common_dir().join("logs"), &mut logged)?;
        }
        let repo = self.local();
        for id in logged {
            let Ok(id) = super::objects::to_gix(&repo, &id) else { continue };
            // Git may have let go of what a log names.
            if repo.has_object(id)
                && let Ok(commit) = peel(&repo, id)?
            {
                found.insert(commit);
            }
        }
        let mut commits: Vec<CommitId> = found.into_iter().collect();
        commits.sort_unstable();
        Ok(commits)
    }

    /// Returns the files below a top folder at all commits reachable from `tips`, and in the index of every work tree,
    /// as far as they were not seen before.
    ///
    /// # Errors
    /// [`GitError::MissingObject`], [`GitError::Damaged`] or [`GitError::TooLarge`].
    pub fn files_of_all_commits(
        &self,
        tips: &[CommitId],
        folder: &str,
        seen: &mut SeenHistory,
    ) -> Result<NewFiles, GitError> {
        let repo = self.local();
        let mut new = NewFiles::default();
        let commits = self.walk_topological(tips, &|commit| seen.commits.contains(commit))?;
        let mut has_folder = HashMap::new();
        for commit in &commits {
            let tree = tree_of(&repo, commit)?;
            let top = read_tree(&repo, &tree, &mut Budget::new())?.into_iter();
            let tree =
                top.filter(|(_, entry)| entry.is_tree).find(|(name, _)| name == folder).map(|(_, entry)| entry.id);
            has_folder.insert(*commit, tree.is_some());
            if let Some(tree) = tree {
                add_tree(&repo, folder, tree, seen, &mut new)?;
            } else {
                let parents = self.commit_info(*commit)?.parents.into_iter();
                new.last_with.extend(parents.filter(|parent| has_folder.get(parent).copied().unwrap_or(false)));
            }
        }
        seen.commits.extend(commits);
        for repo in self.with_work_trees()? {
            add_index(&repo, folder, seen, &mut new)?;
        }
        Ok(new)
    }
}

fn add_references(repo: &gix::Repository, found: &mut HashSet<CommitId>) -> Result<(), GitError> {
    let damaged = || GitError::damaged("references");
    let platform = repo.references().map_err(damaged())?;
    for reference in platform.all().map_err(damaged())? {
        let reference =
            reference.map_err(|source| GitError::Damaged { what: "a reference".to_owned(), source: source.into() })?;
        let name = reference.name().as_bstr().to_string();
        // A symbolic reference leads to another one, which is listed too unless it is gone.
        let Some(id) = reference.try_id().map(gix::Id::detach) else { continue };
        let damaged = |error| match error {
            GitError::Damaged { source, .. } => {
                GitError::Damaged { what: format!("what reference `{name}` names"), source }
            }
            other => other,
        };
        if let Ok(commit) = peel(repo, id).map_err(damaged)? {
            found.insert(commit);
        }
    }
    Ok(())
}

/// Adds what files such as `ORIG_HEAD`, `MERGE_HEAD` and `FETCH_HEAD` name.
fn add_state(git_dir: &Path, logged: &mut HashSet<CommitId>) -> Result<(), GitError> {
    let is_pseudo_ref =
        |name: &str| name.ends_with("_HEAD") && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let mut paths: Vec<PathBuf> = STATE_FILES.iter().map(|name| git_dir.join(name)).collect();
    for (name, path) in list(git_dir)? {
        if is_pseudo_ref(&name) {
            paths.push(path);
        }
    }
    for path in paths {
        for line in read(&path)?.lines() {
            logged.extend(line.split_whitespace().next().and_then(|id| id.parse::<CommitId>().ok()));
        }
    }
    Ok(())
}

/// Adds both sides of every line of every log below a directory.
fn add_logs(dir: &Path, logged: &mut HashSet<CommitId>) -> Result<(), GitError> {
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for (_, path) in list(&dir)? {
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            for line in read(&path)?.lines() {
                logged.extend(line.split(' ').take(2).filter_map(|id| id.parse::<CommitId>().ok()));
            }
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<(String, PathBuf)>, GitError> {
    let named = |entry: std::fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(named).map_err(GitError::file("list", dir))).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(GitError::file("list", dir)(error)),
    }
}

fn read(path: &Path) -> Result<String, GitError> {
    match crate::fs::read_bounded(path, MAX_LOG_LEN) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(GitError::file("read", path)(error)),
    }
}

fn add_tree(
    repo: &gix::Repository,
    folder: &str,
    tree: CommitId,
    seen: &mut SeenHistory,
    new: &mut NewFiles,
) -> Result<(), GitError> {
    let mut budget = Budget::new();
    let mut pending = vec![(folder.to_owned(), tree)];
    while let Some((directory, tree)) = pending.pop() {
        if !seen.objects.insert(tree) {
            continue;
        }
        for (name, entry) in read_tree(repo, &tree, &mut budget)? {
            let path = format!("{directory}/{name}");
            if entry.is_tree {
                pending.push((path, entry.id));
            } else if seen.objects.insert(entry.id) {
                new.files.push((path, entry.id));
            }
        }
    }
    Ok(())
}

/// Adds what is staged, all sides of a conflict included.
fn add_index(repo: &gix::Repository, folder: &str, seen: &mut SeenHistory, new: &mut NewFiles) -> Result<(), GitError> {
    let Some(index) = super::worktree::open_index(repo)? else { return Ok(()) };
    let prefix = format!("{folder}/");
    for entry in index.entries() {
        let path = entry.path(&index).to_string();
        // What is only announced (`git add -N`) has no content yet.
        let is_announced = entry.flags.contains(gix::index::entry::Flags::INTENT_TO_ADD);
        if path.starts_with(&prefix) && is_file(entry.mode) && !is_announced {
            let blob = from_gix(&entry.id);
            if seen.objects.insert(blob) {
                new.files.push((path, blob));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
