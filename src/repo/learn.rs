//! Late bindings that other machines made, taken from the snapshots that they pushed.
//!
//! - A late binding is kept by the machine that made it. The remote's snapshot of a commit has what was bound to the
//!   commit or to one that it inherits from; a clone that lacks such a key binds it to that commit, so that the usual
//!   rule hands it down.
//! - Only what is missing here is taken: what Git or this machine says of a key stays, also that somebody took it away.
//! - A history that is cut off before a commit that was pushed leaves open what was bound before.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Repo;
use crate::error::{Classify as _, ErrorKind, Result};
use crate::format::binding::LateBinding;
use crate::format::record::ExportKey;
use crate::id::CommitId;
use crate::store::ObjectKind;
use crate::sync::{Remote, SyncError};

/// What a look at the remote brought.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// Bindings that were not known here before.
    pub(super) bindings: usize,
    /// Where history is cut off before a commit that was pushed.
    pub(super) cut_off: Option<CommitId>,
    /// A pushed commit whose snapshot is damaged, with the reason.
    pub(super) damaged: Option<(CommitId, SyncError)>,
}

/// The pushed commits that some commits inherit from at once, and where history is cut off before one.
#[derive(Debug, Default)]
struct Nearest {
    pushed: BTreeSet<CommitId>,
    cut_off: Option<CommitId>,
}

impl Repo {
    /// Binds to the nearest pushed commits at or before some others what the remote has there and this clone has not.
    pub(super) fn learn_late_bindings(
        &self,
        remote: &Remote,
        tips: &[CommitId],
        pushed: &BTreeSet<CommitId>,
    ) -> Result<Learned> {
        if pushed.is_empty() || tips.is_empty() {
            return Ok(Learned::default());
        }
        let nearest = self.nearest_pushed(tips, pushed)?;
        let (mut objects, mut damaged) = (vec![], None);
        for commit in nearest.pushed {
            let snapshot = match remote.snapshot_of_commit(&commit) {
                // A forced push is what repairs it, so it must not fail here.
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    damaged = Some((commit, error));
                    continue;
                }
                other => other?,
            };
            let Some(snapshot) = snapshot else { continue };
            let here: BTreeSet<ExportKey> =
                self.bound_at(commit)?.into_iter().map(|bound| bound.record.key()).collect();
            for record in snapshot.exports.into_iter().filter(|record| !here.contains(&record.key())) {
                if self.has_late_word(&record.key(), commit)? {
                    continue;
                }
                let time_us = self.late_time_us()?;
                let binding = LateBinding { commit, record, explicit: false, time_us };
                objects.push((ObjectKind::LATE_BINDING, binding.to_bytes()));
            }
        }
        if !objects.is_empty() {
            self.remember(&objects)?;
            self.catch_up()?;
        }
        Ok(Learned { bindings: objects.len(), cut_off: nearest.cut_off, damaged })
    }

    /// Asks the remote once more, before a revision counts as not having an export. A remote that cannot be asked
    /// changes nothing about that.
    pub(super) fn learned_about(&self, commit: CommitId) -> bool {
        let learn = || -> Result<usize> {
            self.check_writable()?;
            let Some((remote, _)) = self.remote()? else { return Ok(0) };
            Ok(self.learn_late_bindings(&remote, &[commit], &pushed_commits(&remote)?)?.bindings)
        };
        learn().is_ok_and(|bindings| bindings > 0)
    }

    /// Returns whether this machine has a word on a key at a commit or before it, if only that it was taken away.
    fn has_late_word(&self, key: &ExportKey, commit: CommitId) -> Result<bool> {
        let words = self.facts(|view| view.late_bound_commits(key))?;
        // A commit that is gone from Git hands nothing down.
        Ok(words.into_iter().any(|other| self.git().is_ancestor(other, commit).unwrap_or(false)))
    }

    fn nearest_pushed(&self, tips: &[CommitId], pushed: &BTreeSet<CommitId>) -> Result<Nearest> {
        let found = RefCell::new(BTreeSet::new());
        let stop = |commit: &CommitId| {
            let is_pushed = pushed.contains(commit);
            if is_pushed {
                found.borrow_mut().insert(*commit);
            }
            is_pushed
        };
        let walked = self.git().walk_topological(tips, &stop)?;
        let mut cut_off = None;
        if self.git().is_shallow()? {
            for commit in walked {
                if self.git().commit_info(commit)?.is_cut_off {
                    cut_off = Some(commit);
                    break;
                }
            }
        }
        Ok(Nearest { pushed: found.into_inner(), cut_off })
    }
}

/// Returns the commits that a remote has a snapshot of; none where there is no remote yet.
pub(super) fn pushed_commits(remote: &Remote) -> Result<BTreeSet<CommitId>> {
    match remote.pushed_commits() {
        Err(SyncError::NotCreated) => Ok(BTreeSet::new()),
        other => Ok(other?),
    }
}
