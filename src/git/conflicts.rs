//! Conflicts in the index: what each side of an unfinished merge has.

use gix::index::entry::Stage;

use super::objects::from_gix;
use super::worktree::{is_file, open_index};
use super::{GitError, GitRepo};
use crate::id::CommitId;

/// A file that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path from the top of the tree, with `/`.
    pub path: String,
    /// Its content on our side; `None` if we removed it.
    pub ours: Option<CommitId>,
    /// Its content on their side; `None` if they removed it.
    pub theirs: Option<CommitId>,
}

impl GitRepo {
    /// Returns the files below a folder that are in conflict, sorted by path.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub fn conflicts(&self, folder: &str) -> Result<Vec<Conflict>, GitError> {
        let Some(index) = open_index(&self.local())? else { return Ok(Vec::new()) };
        let mut found: Vec<Conflict> = Vec::new();
        for entry in index.entries() {
            let side = entry.stage();
            let Ok(path) = std::str::from_utf8(entry.path(&index)) else { continue };
            if side == Stage::Unconflicted || !path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')) {
                continue;
            }
            // Entries of one path follow one another.
            if found.last().is_none_or(|last| last.path != path) {
                found.push(Conflict { path: path.to_owned(), ours: None, theirs: None });
            }
            let blob = is_file(entry.mode).then(|| from_gix(&entry.id));
            match (found.last_mut(), side) {
                (Some(conflict), Stage::Ours) => conflict.ours = blob,
                (Some(conflict), Stage::Theirs) => conflict.theirs = blob,
                _ => {}
            }
        }
        Ok(found)
    }
}
