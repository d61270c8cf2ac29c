//! Commits, trees and blobs, each read up to a limit; differences of trees that open only what differs.

use std::collections::HashMap;

use gix::bstr::ByteSlice as _;
use gix::objs::tree::EntryKind;

use super::walk::Boundary;
use super::{GitError, GitRepo};
use crate::id::CommitId;

/// How many tree entries one call visits: a small repository can name an astronomical tree.
/// Tests use less, so that reaching it takes no minute.
const MAX_ENTRIES: u64 = if cfg!(test) { 50_000 } else { 2_000_000 };

/// Longest path inside a tree, in bytes; also bounds how deep trees nest.
const MAX_PATH_LEN: usize = 4096;

/// Longest commit object that is read, in bytes.
const MAX_COMMIT_LEN: u64 = 16 << 20;

/// Longest tree object that is read, in bytes.
const MAX_TREE_LEN: u64 = 256 << 20;

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The parents that exist here: none for a commit at the boundary of a shallow clone.
    pub parents: Vec<CommitId>,
    /// Whether the commit has parents that this clone was made without.
    pub is_cut_off: bool,
    /// The tree.
    pub tree: CommitId,
    /// When it was committed, in seconds since 1970.
    pub time_unix: i64,
    /// The first line of the message, without control characters.
    pub subject: String,
}

/// A regular file in a commit's tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeFile {
    /// The path from the top of the tree, with `/`.
    pub path: String,
    /// Its content.
    pub blob: CommitId,
}

/// A regular file that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path from the top of the tree, with `/`.
    pub path: String,
    /// The content before; `None` if the file was added.
    pub old: Option<CommitId>,
    /// The content after; `None` if the file was removed.
    pub new: Option<CommitId>,
}

pub(super) fn from_gix(id: &gix::hash::oid) -> CommitId {
    CommitId::from_slice(id.as_bytes()).expect("gix knows ids of 20 and 32 bytes only")
}

/// Converts an id for this repository; one of the other length can name nothing here.
pub(super) fn to_gix(repo: &gix::Repository, id: &CommitId) -> Result<gix::ObjectId, GitError> {
    let missing = || GitError::MissingObject { id: *id };
    if id.as_slice().len() != repo.object_hash().len_in_bytes() {
        return Err(missing());
    }
    gix::ObjectId::try_from(id.as_slice()).map_err(|_| missing())
}

impl GitRepo {
    /// Reads a commit.
    ///
    /// # Errors
    /// [`GitError::MissingObject`], [`GitError::NotACommit`], [`GitError::TooLarge`] or [`GitError::Damaged`].
    pub fn commit_info(&self, commit: CommitId) -> Result<CommitInfo, GitError> {
        let repo = self.local();
        let boundary = Boundary::read(&repo)?;
        let data = read_object(&repo, &commit, gix::object::Kind::Commit, MAX_COMMIT_LEN)?;
        let damaged = || GitError::damaged(format!("commit {commit}"));
        let decoded = gix::objs::CommitRef::from_bytes(&data, repo.object_hash()).map_err(damaged())?;
        let is_cut_off = boundary.contains(&commit);
        let parents = match self.grafts.parents(&commit) {
            _ if is_cut_off => Vec::new(),
            Some(grafted) => grafted.to_vec(),
            None => decoded.parents().map(|id| from_gix(&id)).collect(),
        };
        let subject = decoded.message().summary().to_str_lossy().chars().filter(|c| !c.is_control()).collect();
        let time_unix = decoded.committer().map_err(damaged())?.time().map_err(damaged())?.seconds;
        Ok(CommitInfo { parents, is_cut_off, tree: from_gix(&decoded.tree()), time_unix, subject })
    }

    /// Returns the message of a commit, with bytes that are not UTF-8 replaced.
    ///
    /// # Errors
    /// As [`Self::commit_info`].
    pub fn commit_message(&self, commit: CommitId) -> Result<String, GitError> {
        let repo = self.local();
        let data = read_object(&repo, &commit, gix::object::Kind::Commit, MAX_COMMIT_LEN)?;
        let decoded = gix::objs::CommitRef::from_bytes(&data, repo.object_hash())
            .map_err(GitError::damaged(format_args!("commit {commit}")))?;
        Ok(decoded.message.to_str_lossy().into_owned())
    }

    /// Returns the id of the file or directory at `path` in a commit's tree: equal ids, equal content.
    ///
    /// # Errors
    /// [`GitError::MissingObject`], [`GitError::NotACommit`] or [`GitError::Damaged`].
    pub fn tree_id_at(&self, commit: CommitId, path: &str) -> Result<Option<CommitId>, GitError> {
        let repo = self.local();
        Ok(lookup(&repo, &commit, path)?.map(|entry| entry.id))
    }

    /// Returns the regular files below the directory `prefix` (empty for all), sorted by path.
    ///
    /// # Errors
    /// As [`Self::tree_id_at`], and [`GitError::TooLarge`].
    pub fn files_under(&self, commit: CommitId, prefix: &str) -> Result<Vec<TreeFile>, GitError> {
        let repo = self.local();
        let Some(top) = lookup(&repo, &commit, prefix)?.filter(|entry| entry.is_tree) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        let mut budget = Budget::new();
        let mut pending = vec![(prefix.trim_matches('/').to_owned(), top.id)];
        while let Some((directory, tree)) = pending.pop() {
            for (name, entry) in read_tree(&repo, &tree, &mut budget)? {
                let Some(path) = join(&directory, &name) else { continue };
                if entry.is_tree {
                    pending.push((path, entry.id));
                } else {
                    files.push(TreeFile { path, blob: entry.id });
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Reads a blob of at most `limit` bytes.
    ///
    /// # Errors
    /// [`GitError::TooLarge`], [`GitError::MissingObject`] or [`GitError::Damaged`].
    pub fn read_blob(&self, blob: CommitId, limit: u64) -> Result<Vec<u8>, GitError> {
        match read_object(&self.local(), &blob, gix::object::Kind::Blob, limit) {
            Err(GitError::MissingObject { id }) if is_partial(&self.local()) => self.fetch_blob(id, limit),
            other => other,
        }
    }

    /// Lets Git fetch a blob that was left out of a partial clone.
    fn fetch_blob(&self, blob: CommitId, limit: u64) -> Result<Vec<u8>, GitError> {
        let bytes = self.run(&["cat-file", "blob", &blob.to_string()], b"")?;
        if bytes.len() as u64 > limit {
            return Err(GitError::TooLarge { what: format!("the length of blob {blob} in bytes"), limit });
        }
        Ok(bytes)
    }

    /// Returns the length of a blob in bytes, without reading it.
    ///
    /// # Errors
    /// [`GitError::MissingObject`] or [`GitError::Damaged`].
    pub fn blob_len(&self, blob: CommitId) -> Result<u64, GitError> {
        header(&self.local(), &blob).map(|header| header.size())
    }

    /// Reads the regular file at `path` in a commit's tree; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::tree_id_at`] and [`Self::read_blob`].
    pub fn read_file_at(&self, commit: CommitId, path: &str, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        match lookup(&self.local(), &commit, path)? {
            Some(entry) if !entry.is_tree => self.read_blob(entry.id, limit).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the regular files that differ between two commits (or nothing and a commit) and whose path is
    /// `wanted`, sorted by path. Only directories that differ are opened; a changed mode alone is no change.
    ///
    /// # Errors
    /// As [`Self::files_under`].
    pub fn changes(
        &self,
        parent: Option<CommitId>,
        commit: CommitId,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Change>, GitError> {
        let repo = self.local();
        let old_tree = parent.map(|parent| tree_of(&repo, &parent)).transpose()?;
        let mut changes = Vec::new();
        let mut budget = Budget::new();
        let mut pending = vec![(String::new(), old_tree, Some(tree_of(&repo, &commit)?))];
        while let Some((directory, old_tree, new_tree)) = pending.pop() {
            if old_tree == new_tree {
                continue;
            }
            for pair in compare(&repo, old_tree, new_tree, &mut budget)? {
                let Some(path) = join(&directory, &pair.name) else { continue };
                if pair.is_tree {
                    pending.push((path, pair.old, pair.new));
                } else if wanted(&path) {
                    changes.push(Change { path, old: pair.old, new: pair.new });
                }
            }
        }
        changes.sort_unstable();
        Ok(changes)
    }
}

/// A file or directory in a tree. Links and submodules are left out where trees are read.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: CommitId,
    pub(super) is_tree: bool,
}

/// How many tree entries may still be visited.
pub(super) struct Budget(u64);

impl Budget {
    pub(super) fn new() -> Self {
        Self(MAX_ENTRIES)
    }

    fn spend(&mut self) -> Result<(), GitError> {
        let what = || "the number of files in a tree".to_owned();
        self.0 = self.0.checked_sub(1).ok_or_else(|| GitError::TooLarge { what: what(), limit: MAX_ENTRIES })?;
        Ok(())
    }
}

/// An entry that differs between two directories; a file that became a directory is two of them.
struct Pair {
    name: String,
    is_tree: bool,
    old: Option<CommitId>,
    new: Option<CommitId>,
}

fn compare(
    repo: &gix::Repository,
    old_tree: Option<CommitId>,
    new_tree: Option<CommitId>,
    budget: &mut Budget,
) -> Result<Vec<Pair>, GitError> {
    let read = |tree: Option<CommitId>| tree.map(|tree| TreeBytes::read(repo, tree)).transpose();
    let (old_bytes, new_bytes) = (read(old_tree)?, read(new_tree)?);
    let mut olds = old_bytes.iter().flat_map(|bytes| bytes.entries(repo)).peekable();
    let mut news = new_bytes.iter().flat_map(|bytes| bytes.entries(repo)).peekable();
    let mut pairs = Vec::new();
    // Most directories differ in few entries, so both are followed side by side as long as the names are the same.
    while let (Some(Ok((old_name, old))), Some(Ok((new_name, new)))) = (olds.peek(), news.peek()) {
        if old_name != new_name || old.is_tree != new.is_tree {
            break;
        }
        budget.spend()?;
        if old.id != new.id {
            let name = (*new_name).to_owned();
            pairs.push(Pair { name, is_tree: new.is_tree, old: Some(old.id), new: Some(new.id) });
        }
        drop((olds.next(), news.next()));
    }
    // The rest is keyed rather than merged: a hostile tree need not be sorted.
    let mut before: HashMap<(&str, bool), CommitId> = HashMap::new();
    for entry in olds {
        budget.spend()?;
        let (name, Entry { id, is_tree }) = entry?;
        before.insert((name, is_tree), id);
    }
    for entry in news {
        budget.spend()?;
        let (name, Entry { id: new, is_tree }) = entry?;
        let old = before.remove(&(name, is_tree));
        if old != Some(new) {
            pairs.push(Pair { name: name.to_owned(), is_tree, old, new: Some(new) });
        }
    }
    let gone = before.into_iter();
    pairs.extend(gone.map(|((name, is_tree), old)| Pair { name: name.to_owned(), is_tree, old: Some(old), new: None }));
    Ok(pairs)
}

/// The bytes of a tree object.
struct TreeBytes {
    tree: CommitId,
    data: Vec<u8>,
}

impl TreeBytes {
    fn read(repo: &gix::Repository, tree: CommitId) -> Result<Self, GitError> {
        match read_object(repo, &tree, gix::object::Kind::Tree, MAX_TREE_LEN) {
            Ok(data) => Ok(Self { tree, data }),
            // Git would fetch them, one process and one round trip for each tree of history.
            Err(GitError::MissingObject { id }) if is_partial(repo) => Err(GitError::Treeless { tree: id }),
            Err(error) => Err(error),
        }
    }

    /// Returns the regular files and directories whose names are UTF-8 and could be names.
    fn entries(&self, repo: &gix::Repository) -> impl Iterator<Item = Result<(&str, Entry), GitError>> {
        gix::objs::TreeRefIter::from_bytes(&self.data, repo.object_hash()).filter_map(|entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(GitError::damaged(format!("tree {}", self.tree))(error))),
            };
            let is_tree = match entry.mode.kind() {
                EntryKind::Tree => true,
                EntryKind::Blob | EntryKind::BlobExecutable => false,
                EntryKind::Link | EntryKind::Commit => return None,
            };
            let name = entry.filename.to_str().ok()?;
            if name.is_empty() || name == "." || name == ".." || name.contains('/') {
                return None;
            }
            Some(Ok((name, Entry { id: from_gix(entry.oid), is_tree })))
        })
    }
}

/// Returns whether this is a partial clone, which lacks objects until somebody asks Git for them.
fn is_partial(repo: &gix::Repository) -> bool {
    let config = repo.config_snapshot();
    let promises = |name: &gix::bstr::BStr| config.boolean(&format!("remote.{name}.promisor")) == Some(true);
    config.string("extensions.partialClone").is_some() || repo.remote_names().iter().any(|name| promises(name.as_ref()))
}

/// Reads one directory: regular files and directories whose names are UTF-8 and could be names.
pub(super) fn read_tree(
    repo: &gix::Repository,
    tree: &CommitId,
    budget: &mut Budget,
) -> Result<Vec<(String, Entry)>, GitError> {
    let bytes = TreeBytes::read(repo, *tree)?;
    let mut entries = Vec::new();
    for entry in bytes.entries(repo) {
        budget.spend()?;
        let (name, entry) = entry?;
        entries.push((name.to_owned(), entry));
    }
    Ok(entries)
}

/// Follows `path` from the top of a commit's tree; empty components are ignored, so the empty path is the tree itself.
fn lookup(repo: &gix::Repository, commit: &CommitId, path: &str) -> Result<Option<Entry>, GitError> {
    let mut at = Entry { id: tree_of(repo, commit)?, is_tree: true };
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if !at.is_tree {
            return Ok(None);
        }
        let bytes = TreeBytes::read(repo, at.id)?;
        let mut budget = Budget::new();
        let mut found = None;
        for entry in bytes.entries(repo) {
            budget.spend()?;
            let (name, entry) = entry?;
            if name == part {
                found = Some(entry);
                break;
            }
        }
        match found {
            Some(entry) => at = entry,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

pub(super) fn tree_of(repo: &gix::Repository, commit: &CommitId) -> Result<CommitId, GitError> {
    let data = read_object(repo, commit, gix::object::Kind::Commit, MAX_COMMIT_LEN)?;
    let tree = gix::objs::CommitRefIter::from_bytes(&data, repo.object_hash()).tree_id();
    tree.map(|id| from_gix(&id)).map_err(GitError::damaged(format_args!("commit {commit}")))
}

fn header(repo: &gix::Repository, id: &CommitId) -> Result<gix::odb::find::Header, GitError> {
    repo.try_find_header(to_gix(repo, id)?)
        .map_err(GitError::damaged(format_args!("object {id}")))?
        .ok_or(GitError::MissingObject { id: *id })
}

/// Reads an object whose kind and length are checked before its bytes are unpacked.
pub(super) fn read_object(
    repo: &gix::Repository,
    id: &CommitId,
    kind: gix::object::Kind,
    limit: u64,
) -> Result<Vec<u8>, GitError> {
    let header = header(repo, id)?;
    if header.kind() != kind {
        if kind == gix::object::Kind::Commit {
            return Err(GitError::NotACommit { rev: id.to_string(), found: kind_name(header.kind()) });
        }
        let reason = format!("it is a {} and should be a {}", kind_name(header.kind()), kind_name(kind));
        return Err(GitError::Damaged { what: format!("object {id}"), source: reason.into() });
    }
    if header.size() > limit {
        return Err(GitError::TooLarge { what: format!("the length of {} {id} in bytes", kind_name(kind)), limit });
    }
    let mut object = repo.find_object(to_gix(repo, id)?).map_err(GitError::damaged(format_args!("object {id}")))?;
    Ok(std::mem::take(&mut object.data))
}

pub(super) fn kind_name(kind: gix::object::Kind) -> &'static str {
    match kind {
        gix::object::Kind::Commit => "commit",
        gix::object::Kind::Tree => "tree",
        gix::object::Kind::Blob => "blob",
        gix::object::Kind::Tag => "tag",
    }
}

/// Joins a directory and a name; `None` if the path gets longer than any real one.
fn join(directory: &str, name: &str) -> Option<String> {
    let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
    (path.len() <= MAX_PATH_LEN).then_some(path)
}

#[cfg(test)]
mod tests;
