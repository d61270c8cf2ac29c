//! Questions about ancestry, and whether a revision can be read by who has nothing but the remote.

use super::Repo;
use super::read::remote_data_with;
use super::types::{RemoteVerification, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::id::CommitId;
use crate::sync::Presence;

impl Repo {
    /// Returns whether one revision is another or comes before it; `None` where history is cut off before that shows.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision.
    pub fn is_ancestor(&self, ancestor: &str, descendant: &str) -> Result<Option<bool>> {
        let (ancestor, descendant) = (self.commit_of(ancestor)?, self.commit_of(descendant)?);
        if self.git().is_shallow()? {
            return self.is_ancestor_here(ancestor, descendant);
        }
        if let Some(known) = self.view(|view| view.is_ancestor(&ancestor, &descendant))? {
            return Ok(Some(known));
        }
        Ok(Some(self.git().is_ancestor(ancestor, descendant)?))
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

    /// Checks that every export of a revision can be read from the remote: its data is named there, and every pack
    /// that it needs is there and long enough. Bytes are not fetched.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, `Failed` where storage is local, Auth.
    pub fn verify_remote(&self, rev: &str) -> Result<RemoteVerification> {
        let Some((remote, _)) = self.remote()? else {
            return Err(Error::new(ErrorKind::Failed, "storage is local: there is no remote to look at")
                .with_hint("name one with `onenb remote set URL`"));
        };
        let exports = match self.list_local(rev) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.list_remote(rev)?.ok_or(error)?,
            other => other?,
        };
        let mut presence = Presence::new(&remote);
        let mut report = RemoteVerification { checked: exports.len(), unreadable: Vec::new() };
        for export in exports {
            let digest = &export.record.digest;
            let fault = match remote_data_with(&remote, digest, export.commit, rev)?.data {
                None => Some("its data was never pushed".to_owned()),
                Some(data) => presence.fault(&data, digest)?,
            };
            report.unreadable.extend(fault.map(|reason| Unreadable { export: export.record.label(), reason }));
        }
        Ok(report)
    }
}
