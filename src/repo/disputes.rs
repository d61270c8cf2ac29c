//! Merges that nothing but the order of their parents decided: each side had bound an export late, to other data, and
//! no record in a tree says which is meant. The first parent's counts; `status` names what that passed over.

use std::collections::BTreeSet;

use super::Repo;
use super::types::{Dispute, Spec};
use crate::catalog::{BindingsOf, Bound, CatalogError, ReadTransaction};
use crate::error::Result;
use crate::format::record::ExportKey;
use crate::id::CommitId;

/// Most untagged merges that are looked at.
const MAX_MERGES: usize = 20;
/// Most commits of one side that are looked at.
const MAX_COMMITS: usize = 1_000;

impl Repo {
    /// Returns what HEAD still has from such merges: from HEAD itself, and from those that no tag reaches.
    ///
    /// # Errors
    /// What reading the repository and the store can meet.
    pub(super) fn disputes(&self) -> Result<Vec<Dispute>> {
        let Some(head) = self.git().head()? else { return Ok(vec![]) };
        let tagged: Vec<CommitId> = self.git().tags()?.into_iter().map(|(_, commit)| commit).collect();
        let tips: Vec<CommitId> = tagged.iter().copied().chain([head]).collect();
        let beyond =
            |view: &ReadTransaction| view.merges_beyond(&view.reach(&[head])?, &view.reach(&tagged)?, MAX_MERGES);
        let mut merges = self.indexed(&tips, beyond)?;
        if !merges.contains(&head) {
            merges.insert(0, head);
        }
        let mut found = Vec::new();
        for merge in merges {
            let parents = self.git().commit_info(merge)?.parents;
            let Some((first, others)) = parents.split_first() else { continue };
            for other in others {
                let sides = self.indexed(&[head], |view| self.passed_over(view, merge, (*first, *other), head))?;
                for (ours, theirs) in sides {
                    // Where the record is tracked, Git merged it, or somebody did.
                    if !self.is_in_a_tree(&[merge, *first, *other], &ours.record.key())? {
                        found.push(dispute(merge, ours, theirs));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Returns what both sides of a merge bound, to different data, and nobody decided since: ours and theirs.
    fn passed_over(
        &self,
        view: &ReadTransaction,
        merge: CommitId,
        (first, other): (CommitId, CommitId),
        head: CommitId,
    ) -> Result<Vec<(Bound, Bound)>, CatalogError> {
        // A history without a common start has no base.
        let base = self.git().merge_base(first, other).ok().flatten();
        let before = view.reach(base.as_slice())?;
        let bound_by = |side: CommitId| -> Result<BTreeSet<ExportKey>, CatalogError> {
            let mut keys = BTreeSet::new();
            for commit in view.bound_beyond(&view.reach(&[side])?, &before, MAX_COMMITS)? {
                let bindings = view.bindings(BindingsOf::Commit(&commit))?;
                keys.extend(bindings.into_iter().map(|binding| binding.bound.record.key()));
            }
            Ok(keys)
        };
        let at = |commit: CommitId, key: &ExportKey| -> Result<Option<Bound>, CatalogError> {
            let snapshot = view.snapshot_of(&commit)?;
            Ok(snapshot.map(|snapshot| view.entry(snapshot, key)).transpose()?.flatten())
        };
        let decided: BTreeSet<ExportKey> = view.late_bindings_of(&merge)?.into_iter().map(|row| row.key).collect();
        let mut found = Vec::new();
        for key in bound_by(first)?.intersection(&bound_by(other)?).filter(|key| !decided.contains(key)) {
            let (Some(ours), Some(theirs)) = (at(first, key)?, at(other, key)?) else { continue };
            let was = base.map(|base| at(base, key)).transpose()?.flatten();
            let is_change = |side: &Bound| was.as_ref().is_none_or(|was| was.record.digest != side.record.digest);
            if ours.record.digest == theirs.record.digest || !is_change(&ours) || !is_change(&theirs) {
                continue;
            }
            if at(merge, key)?.as_ref() == Some(&ours) && at(head, key)?.as_ref() == Some(&ours) {
                found.push((ours, theirs));
            }
        }
        Ok(found)
    }

    fn is_in_a_tree(&self, commits: &[CommitId], key: &ExportKey) -> Result<bool> {
        for commit in commits {
            if self.git().tree_id_at(*commit, &key.record_path())?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn dispute(merge: CommitId, ours: Bound, theirs: Bound) -> Dispute {
    let spec = Spec {
        repo: None,
        rev: theirs.commit.to_string(),
        name: theirs.record.name.clone(),
        params: theirs.record.params.clone(),
    };
    let fix = format!("onenb bind {merge} '{spec}'");
    Dispute { merge, ours: ours.record, theirs: theirs.record, fix }
}
