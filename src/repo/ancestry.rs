//! Questions about ancestry.

use super::Repo;
use super::snapshot::is_without_onenb;
use crate::error::{Error, ErrorKind, Result};
use crate::id::CommitId;

impl Repo {
    /// Returns whether one revision is another or comes before it; `None` where history is cut off before that shows.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, or a remote's tag whose history is not here.
    pub fn is_ancestor(&self, ancestor: &str, descendant: &str) -> Result<Option<bool>> {
        let (ancestor, rev) = (self.commit_anywhere(ancestor)?, descendant);
        let descendant = self.commit_anywhere(rev)?;
        if ancestor == descendant {
            return Ok(Some(true));
        }
        let is_here = |commit| self.git().commit_info(commit).is_ok();
        if self.git().is_shallow()? {
            return if is_here(descendant) { self.is_ancestor_here(ancestor, descendant) } else { Ok(None) };
        }
        if !is_here(descendant) {
            let error = Error::new(ErrorKind::NotFound, format!("the commit of `{rev}` is not in this clone"));
            return Err(error.with_hint("fetch it with `git fetch --tags`"));
        }
        if !is_here(ancestor) {
            // All history of the other one is here, and this one is not in it.
            return Ok(Some(false));
        }
        match self.view(|view| view.is_ancestor(&ancestor, &descendant))? {
            Some(true) => Ok(Some(true)),
            // The catalog does not follow history into the time before `.1nb`, where this commit cannot be.
            Some(false) if !is_without_onenb(self.git(), &ancestor) => Ok(Some(false)),
            _ => Ok(Some(self.git().is_ancestor(ancestor, descendant)?)),
        }
    }

    /// Walks what there is of a history that is cut off somewhere: a "no" counts only if nothing on the way was cut.
    fn is_ancestor_here(&self, ancestor: CommitId, descendant: CommitId) -> Result<Option<bool>> {
        let reached = self.git().walk_topological(&[descendant], &|_| false)?;
        if reached.contains(&ancestor) {
            return Ok(Some(true));
        }
        for commit in reached {
            if self.git().commit_info(commit)?.is_cut_off {
                return Ok(None);
            }
        }
        Ok(Some(false))
    }
}
