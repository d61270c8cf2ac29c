//! `status`: what is not yet committed, tagged or pushed, what is stale, and how the hooks are.

use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::receipts::{HeldRuns, bound_by_receipts};
use super::snapshot::changed_against_all;
use super::types::{MovedTag, StaleExport, Status, UncommittedExport};
use crate::catalog::{Bound, SnapshotNo};
use crate::error::Result;
use crate::format::record::{ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::id::CommitId;

/// Most untagged commits that are listed.
const MAX_UNTAGGED: usize = 20;

impl Repo {
    /// Says what there is to do.
    ///
    /// # Errors
    /// What reading the repository and the store can meet.
    pub fn status(&self) -> Result<Status> {
        let mut problems = self.working()?.problems;
        if let Some(head) = self.git().head()? {
            let info = self.git().commit_info(head)?;
            let changed = changed_against_all(self.git(), head, &info)?;
            let receipts = bound_by_receipts(self.git(), head, &info, &changed, &mut HeldRuns::default())?;
            for (key, paths) in receipts.disputed {
                problems
                    .push((paths.join(", "), format!("both have a new receipt for `{}`: neither is bound", key.name)));
            }
        }
        let conflicts = self.conflicts()?;
        problems.retain(|(path, _)| conflicts.iter().all(|conflict| conflict.path != *path));
        Ok(Status {
            name: self.name().to_owned(),
            conflicts,
            run_conflicts: self.run_conflicts()?,
            disputed: self.disputes()?,
            uncommitted: self.uncommitted()?,
            untagged: self.untagged()?,
            unpushed: self.unpushed()?,
            stale: self.stale()?,
            moved: self.moved()?,
            problems,
            hooks: self.hooks_status()?,
        })
    }

    /// Returns the exports of the work tree that HEAD does not have as they are, and those it has and the tree lost.
    pub(super) fn uncommitted(&self) -> Result<Vec<UncommittedExport>> {
        let bound: BTreeMap<ExportKey, Bound> = match self.git().head()? {
            Some(head) => self.bound_at(head)?.into_iter().map(|bound| (bound.record.key(), bound)).collect(),
            None => BTreeMap::new(),
        };
        let staged: BTreeSet<String> =
            self.git().staged_changes(&|_| true)?.into_iter().map(|change| change.path).collect();
        let working = self.working()?;
        // What is in conflict or damaged is nothing to commit as it is.
        let mut unsettled: BTreeSet<String> = working.problems.into_iter().map(|(path, _)| path).collect();
        unsettled.extend(self.conflicts()?.into_iter().map(|conflict| conflict.path));
        let mut found = Vec::new();
        let mut present = BTreeSet::new();
        for export in working.exports {
            let key = export.record.key();
            if unsettled.contains(&key.record_path()) {
                continue;
            }
            let state = match bound.get(&key) {
                None => Some("new"),
                Some(old) if old.record.digest != export.record.digest => Some("changed"),
                Some(_) => None,
            };
            if let Some(state) = state {
                let staged = staged.contains(&key.record_path());
                found.push(UncommittedExport { record: export.record, state, staged });
            }
            present.insert(key);
        }
        for (key, old) in bound {
            if !present.contains(&key) && !unsettled.contains(&key.record_path()) && self.is_tracked(&key)? {
                let staged = staged.contains(&key.record_path());
                found.push(UncommittedExport { record: old.record, state: "removed", staged });
            }
        }
        Ok(found)
    }

    fn is_tracked(&self, key: &ExportKey) -> Result<bool> {
        let Some(head) = self.git().head()? else { return Ok(false) };
        Ok(self.git().read_file_at(head, &key.record_path(), MAX_RECORD_LEN)?.is_some())
    }

    /// Returns the commits of HEAD's history that bound exports and that no tag reaches, newest first.
    fn untagged(&self) -> Result<Vec<(CommitId, String)>> {
        let Some(head) = self.git().head()? else { return Ok(vec![]) };
        let tagged: Vec<CommitId> = self.git().tags()?.into_iter().map(|(_, commit)| commit).collect();
        let tips: Vec<CommitId> = tagged.iter().copied().chain([head]).collect();
        let found =
            self.indexed(&tips, |view| view.bound_beyond(&view.reach(&[head])?, &view.reach(&tagged)?, MAX_UNTAGGED))?;
        found.into_iter().map(|commit| Ok((commit, self.git().commit_info(commit)?.subject))).collect()
    }

    /// Returns the tags with exports that this machine has not seen confirmed on the remote in force.
    pub(super) fn unpushed(&self) -> Result<Vec<String>> {
        let Some(storage) = self.storage()? else { return Ok(vec![]) };
        let tags = self.git().tags()?;
        let tips: Vec<CommitId> = tags.iter().map(|(_, commit)| *commit).collect();
        self.indexed(&tips, |view| {
            let mut has_exports: BTreeMap<Option<SnapshotNo>, bool> = BTreeMap::new();
            let mut unpushed = Vec::new();
            for (tag, commit) in &tags {
                if view.is_confirmed(tag, commit, &storage.place())? {
                    continue;
                }
                // Many tags share a snapshot.
                let snapshot = view.snapshot_of(commit)?;
                let has = match (has_exports.get(&snapshot), snapshot) {
                    (Some(known), _) => *known,
                    (None, Some(number)) => !view.names(number)?.is_empty(),
                    (None, None) => false,
                };
                has_exports.insert(snapshot, has);
                if has {
                    unpushed.push(tag.clone());
                }
            }
            Ok(unpushed)
        })
    }

    /// Returns the tags that name another commit here than on the remote, as last heard from it.
    fn moved(&self) -> Result<Vec<MovedTag>> {
        let Some(storage) = self.storage()? else { return Ok(vec![]) };
        let pushes = self.facts(|view| view.pushes_of(&storage.place()))?;
        let there: BTreeMap<String, CommitId> =
            pushes.into_iter().filter_map(|push| Some((push.tag, push.commit?))).collect();
        let tags = self.git().tags()?;
        let moved = tags.into_iter().filter_map(|(tag, local)| {
            let remote = *there.get(&tag)?;
            (remote != local).then_some(MovedTag { tag, local, remote })
        });
        Ok(moved.collect())
    }

    /// Returns the exports of the work tree whose inputs in this repository have another content at HEAD by now.
    fn stale(&self) -> Result<Vec<StaleExport>> {
        let working = self.working()?.exports;
        let newest: BTreeMap<ExportKey, &ExportRecord> =
            working.iter().map(|export| (export.record.key(), &export.record)).collect();
        let mut stale = Vec::new();
        for export in &working {
            for input in export.record.inputs.iter().filter(|input| input.repo == self.name()) {
                let key = ExportKey { name: input.name.clone(), params_hash: input.params.hash() };
                if newest.get(&key).is_some_and(|now| now.digest != input.digest) {
                    stale.push(StaleExport {
                        export: export.record.label(),
                        input: format!("{}{}", input.name, input.params),
                    });
                }
            }
        }
        Ok(stale)
    }
}
