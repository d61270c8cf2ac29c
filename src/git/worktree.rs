//! The work tree and the index: staging, what is staged, and what Git has begun and not finished.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use gix::bstr::ByteSlice as _;
use gix::index::entry::{Flags, Mode, Stage};

use super::objects::{Budget, Change, Entry, from_gix, read_tree, tree_of};
use super::revisions::find_reference;
use super::{GitError, GitRepo};
use crate::id::CommitId;

/// Longest beginning of a file of Git's own that is looked at, in bytes.
const MAX_STATE_LEN: u64 = 1 << 20;
/// How much of the end of a reflog is read for its last line, in bytes.
const REFLOG_TAIL: u64 = 16 * 1024;

/// Something that Git has begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `git rebase`, or `git am`, which works the same way.
    Rebase,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// `git bisect`.
    Bisect,
    /// `git merge`.
    Merge,
}

impl GitRepo {
    /// Puts files into the index as they are in the work tree, ignored or not; files that are gone are taken out.
    ///
    /// Paths are files, seen from the top of the work tree, and never patterns.
    ///
    /// # Errors
    /// [`GitError::NoWorkTree`], [`GitError::Program`] or [`GitError::Spawn`].
    pub fn stage(&self, paths: &[&str]) -> Result<(), GitError> {
        self.update_index(&["update-index", "--add", "--remove", "-z", "--stdin"], paths)
    }

    /// Stages a file with these bytes, whatever the work tree has.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn stage_bytes(&self, path: &str, bytes: &[u8]) -> Result<(), GitError> {
        let printed = self.run(&["hash-object", "-w", "--stdin"], bytes)?;
        let blob = String::from_utf8_lossy(&printed).trim().to_owned();
        let entry = format!("100644 {blob}\t{path}\0");
        self.run(&["update-index", "--add", "-z", "--index-info"], entry.as_bytes()).map(drop)
    }

    /// Takes files out of the index and leaves the work tree alone.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn remove_from_index(&self, paths: &[&str]) -> Result<(), GitError> {
        self.update_index(&["update-index", "--force-remove", "-z", "--stdin"], paths)
    }

    /// Plumbing, because `git add` refuses ignored files and takes paths as patterns and in a bounded command line.
    fn update_index(&self, args: &[&str], paths: &[&str]) -> Result<(), GitError> {
        self.require_work_dir()?;
        if paths.is_empty() {
            return Ok(());
        }
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path.as_bytes());
            input.push(0);
        }
        self.run(args, &input).map(drop)
    }

    /// Sets a key of this repository's own configuration, which no clone takes along.
    ///
    /// # Errors
    /// [`GitError::Program`] or [`GitError::Spawn`].
    pub fn set_config(&self, key: &str, value: &str) -> Result<(), GitError> {
        self.run(&["config", "--local", key, value], &[]).map(drop)
    }

    /// Returns the regular files whose content differs between HEAD and the index and whose path is `wanted`, sorted
    /// by path: what `git commit` would change. In a hook that is the index Git names there.
    ///
    /// # Errors
    /// [`GitError::Damaged`] or [`GitError::TooLarge`].
    pub fn staged_changes(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Change>, GitError> {
        let repo = self.local();
        let head_tree = self.head()?.map(|head| tree_of(&repo, &head)).transpose()?;
        let Some(index) = open_index(&repo)? else {
            return match self.head()? {
                Some(head) => Ok(reversed(self.changes(None, head, wanted)?)),
                None => Ok(Vec::new()),
            };
        };
        let mut comparison = Comparison { repo: &repo, index: &index, budget: Budget::new(), changes: Vec::new() };
        let mut pending = vec![Directory {
            prefix: String::new(),
            head_tree,
            known: index.tree(),
            entries: 0..index.entries().len(),
        }];
        while let Some(directory) = pending.pop() {
            comparison.visit(directory, &mut pending)?;
        }
        let mut changes = comparison.changes;
        changes.retain(|change| wanted(&change.path));
        changes.sort_unstable();
        // A conflicted path has up to three entries.
        changes.dedup_by(|later, earlier| later.path == earlier.path);
        Ok(changes)
    }

    /// Returns the content of a regular file in the index; `None` if it has none or is in conflict.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn staged_blob(&self, path: &str) -> Result<Option<CommitId>, GitError> {
        let repo = self.local();
        let Some(index) = open_index(&repo)? else { return Ok(None) };
        let entry = index.entry_by_path_and_stage(path.as_bytes().as_bstr(), Stage::Unconflicted);
        Ok(entry.filter(|entry| is_file(entry.mode)).map(|entry| from_gix(&entry.id)))
    }

    /// Returns whether Git is committing only paths named on its command line: what a pre-commit hook stages then
    /// goes to a temporary index and would be lost from the real one.
    pub fn is_partial_commit(&self) -> bool {
        let path = self.index_path();
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("next-index-"))
    }

    /// Writes the index as a tree and returns that: what a commit would have now.
    ///
    /// # Errors
    /// [`GitError::Program`] or [`GitError::Spawn`]; an index in conflict is no tree.
    pub fn index_tree(&self) -> Result<CommitId, GitError> {
        let printed = self.run(&["write-tree"], &[])?;
        let text = String::from_utf8_lossy(&printed);
        text.trim().parse().map_err(|_| GitError::Program {
            command: "write-tree".to_owned(),
            message: "it printed no object id".to_owned(),
        })
    }

    /// Returns what Git has begun in this work tree and not finished. Of several, the one that makes commits.
    pub fn operation_in_progress(&self) -> Option<Operation> {
        let has = |name: &str| self.git_dir().join(name).exists();
        if has("rebase-merge") || has("rebase-apply") {
            Some(Operation::Rebase)
        } else if has("CHERRY_PICK_HEAD") {
            Some(Operation::CherryPick)
        } else if has("REVERT_HEAD") {
            Some(Operation::Revert)
        } else if has("sequencer/todo") {
            let todo = self.state_file("sequencer/todo").ok().flatten().unwrap_or_default();
            Some(if todo.starts_with("revert") { Operation::Revert } else { Operation::CherryPick })
        } else if has("BISECT_LOG") {
            Some(Operation::Bisect)
        } else if has("MERGE_HEAD") {
            Some(Operation::Merge)
        } else {
            None
        }
    }

    /// Returns the commit in a file such as `CHERRY_PICK_HEAD`, `MERGE_HEAD` or `ORIG_HEAD`; `None` without it.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn pseudo_ref(&self, name: &str) -> Result<Option<CommitId>, GitError> {
        // Git keeps these as files, and hooks ask for several that are not there.
        if !self.git_dir().join(name).exists() {
            return Ok(None);
        }
        Ok(find_reference(&self.local(), name)?.map(|id| from_gix(&id)))
    }

    /// Returns what Git last did to this work tree's `HEAD`, in the words of its reflog (`commit (amend): x`); `None`
    /// without one.
    pub fn last_action(&self) -> Option<String> {
        let mut log = std::fs::File::open(self.git_dir().join("logs/HEAD")).ok()?;
        let len = log.metadata().ok()?.len();
        log.seek(SeekFrom::Start(len.saturating_sub(REFLOG_TAIL))).ok()?;
        let mut tail = Vec::new();
        log.take(REFLOG_TAIL).read_to_end(&mut tail).ok()?;
        let text = String::from_utf8_lossy(&tail);
        text.lines().last()?.split_once('\t').map(|(_, action)| action.to_owned())
    }

    /// Returns the text of a file beside this work tree's `HEAD`, such as `SQUASH_MSG`, at most 1 MiB, with bytes
    /// that are not UTF-8 replaced; `None` without it.
    ///
    /// # Errors
    /// [`GitError::File`].
    pub fn state_file(&self, name: &str) -> Result<Option<String>, GitError> {
        let path = self.git_dir().join(name);
        match crate::fs::read_bounded(&path, MAX_STATE_LEN) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GitError::file("read", path)(error)),
        }
    }
}

/// Opens the index afresh: the copy that `gix` keeps is judged by its time stamp, and two changes may share one.
pub(super) fn open_index(repo: &gix::Repository) -> Result<Option<gix::index::File>, GitError> {
    if !repo.index_path().exists() {
        return Ok(None);
    }
    repo.open_index().map(Some).map_err(GitError::damaged("the index"))
}

pub(super) fn is_file(mode: Mode) -> bool {
    mode == Mode::FILE || mode == Mode::FILE_EXECUTABLE
}

fn reversed(changes: Vec<Change>) -> Vec<Change> {
    changes.into_iter().map(|change| Change { old: change.new, new: change.old, ..change }).collect()
}

/// A directory whose part of HEAD and of the index are to be compared.
struct Directory<'index> {
    /// Its path, with a trailing `/` unless it is the top.
    prefix: String,
    head_tree: Option<CommitId>,
    /// The tree object that the index says its entries make.
    known: Option<&'index gix::index::extension::Tree>,
    entries: Range<usize>,
}

struct Comparison<'a> {
    repo: &'a gix::Repository,
    index: &'a gix::index::File,
    budget: Budget,
    changes: Vec<Change>,
}

impl<'a> Comparison<'a> {
    fn visit(&mut self, directory: Directory<'a>, pending: &mut Vec<Directory<'a>>) -> Result<(), GitError> {
        let Directory { prefix, head_tree, known, entries } = directory;
        if let (Some(tree), Some(known)) = (head_tree, known.filter(|known| known.num_entries.is_some()))
            && from_gix(&known.id) == tree
        {
            return Ok(());
        }
        let mut listed: HashMap<(String, bool), Entry> = match head_tree {
            Some(tree) => read_tree(self.repo, &tree, &mut self.budget)?
                .into_iter()
                .map(|(name, entry)| ((name, entry.is_tree), entry))
                .collect(),
            None => HashMap::new(),
        };
        let mut at = entries.start;
        while at < entries.end {
            let Some(entry) = self.index.entries().get(at) else { break };
            let rest = entry.path(self.index).get(prefix.len()..).unwrap_or_default();
            let Some(slash) = rest.find_byte(b'/') else {
                self.compare_file(&prefix, rest, entry, &mut listed);
                at += 1;
                continue;
            };
            let name = rest.get(..slash).unwrap_or_default();
            let end = self.end_of(prefix.len(), name, at..entries.end);
            if let Ok(name) = name.to_str() {
                let head_tree = listed.remove(&(name.to_owned(), true)).map(|entry| entry.id);
                // A sparse index keeps a directory outside the checkout as one entry, which cannot be staged.
                if entry.mode != Mode::DIR {
                    let known =
                        known.and_then(|tree| tree.children.iter().find(|c| c.name.as_slice() == name.as_bytes()));
                    pending.push(Directory { prefix: format!("{prefix}{name}/"), head_tree, known, entries: at..end });
                }
            }
            at = end;
        }
        for ((name, is_tree), gone) in listed {
            if is_tree {
                let prefix = format!("{prefix}{name}/");
                pending.push(Directory { prefix, head_tree: Some(gone.id), known: None, entries: 0..0 });
            } else {
                self.changes.push(Change { path: format!("{prefix}{name}"), old: Some(gone.id), new: None });
            }
        }
        Ok(())
    }

    fn compare_file(
        &mut self,
        prefix: &str,
        name: &[u8],
        entry: &gix::index::Entry,
        listed: &mut HashMap<(String, bool), Entry>,
    ) {
        let Ok(name) = name.to_str() else { return };
        // `git add -N` announces a file and stages nothing of it.
        if !is_file(entry.mode) || entry.flags.contains(Flags::INTENT_TO_ADD) {
            return;
        }
        let old = listed.remove(&(name.to_owned(), false)).map(|entry| entry.id);
        let new = Some(from_gix(&entry.id));
        if old != new {
            self.changes.push(Change { path: format!("{prefix}{name}"), old, new });
        }
    }

    /// Returns where the entries below directory `name` end; always beyond the first.
    fn end_of(&self, prefix_len: usize, name: &[u8], range: Range<usize>) -> usize {
        let below = |entry: &gix::index::Entry| {
            let rest = entry.path(self.index).get(prefix_len..).unwrap_or_default();
            rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"/"))
        };
        let count = self.index.entries().get(range.clone()).map_or(0, |entries| entries.partition_point(below));
        (range.start + count).max(range.start + 1)
    }
}

#[cfg(test)]
mod tests;
