//! Records that both sides of a merge changed: what `status` says of them, and `take`, which ends the conflict.

use super::Repo;
use super::types::{RecordConflict, Side};
use super::working::bare;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::{EXPORTS_DIR, ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::format::run::{RUNS_DIR, RunRecord};
use crate::fs;
use crate::git::Conflict;
use crate::id::CommitId;

impl Repo {
    /// Returns the records of the work tree that both sides of an unfinished merge changed.
    ///
    /// # Errors
    /// What reading the index can meet.
    pub fn conflicts(&self) -> Result<Vec<RecordConflict>> {
        let mut found = Vec::new();
        for conflict in self.git().conflicts(EXPORTS_DIR)? {
            let read = |blob: Option<CommitId>| {
                let bytes = self.git().read_blob(blob?, MAX_RECORD_LEN).ok()?;
                ExportRecord::from_bytes(&bytes).ok()
            };
            let (ours, theirs) = (read(conflict.ours), read(conflict.theirs));
            found.push(RecordConflict { path: conflict.path, ours, theirs });
        }
        Ok(found)
    }

    /// Ends the conflicts of an export: writes and stages what one side has, and that side's records of the runs that
    /// made it. Without parameters all parameter sets in conflict are meant. Returns the labels.
    ///
    /// # Errors
    /// `NotFound` if the export is in no conflict.
    pub fn take(&self, side: Side, name: &ExportName, params: &Params) -> Result<Vec<String>> {
        self.check_writable()?;
        let mut labels = Vec::new();
        let mut taken = Vec::new();
        let all = self.conflicts()?;
        for conflict in &all {
            let Some(record) = conflict.ours.as_ref().or(conflict.theirs.as_ref()) else { continue };
            if record.name == *name && (params.is_empty() || record.params.hash() == params.hash()) {
                labels.push(record.label());
                taken.push(record.key());
            }
        }
        if labels.is_empty() {
            let error = Error::new(ErrorKind::NotFound, format!("`{name}{params}` is in no conflict"));
            let known: Vec<String> = all.iter().map(|conflict| format!("`{}`", conflict.label())).collect();
            return Err(if known.is_empty() {
                error.with_hint("look at the work tree with `onenb status`")
            } else {
                error.with_hint(format!("in conflict: {}", known.join(", ")))
            });
        }
        for conflict in self.git().conflicts(EXPORTS_DIR)? {
            if taken.iter().any(|key| key.record_path() == conflict.path) {
                self.settle_file(side, &conflict)?;
            }
        }
        for conflict in self.git().conflicts(RUNS_DIR)? {
            if self.run_made(&conflict, &taken) {
                self.settle_file(side, &conflict)?;
            }
        }
        Ok(labels)
    }

    /// Returns whether a run record in conflict is about one of these exports.
    fn run_made(&self, conflict: &Conflict, keys: &[ExportKey]) -> bool {
        [conflict.ours, conflict.theirs].into_iter().flatten().any(|blob| {
            let bytes = self.git().read_blob(blob, MAX_RECORD_LEN).unwrap_or_default();
            RunRecord::from_bytes(&bytes).is_ok_and(|run| {
                run.exports
                    .iter()
                    .any(|it| keys.contains(&ExportKey { name: it.name.clone(), params_hash: it.params.hash() }))
            })
        })
    }

    fn settle_file(&self, side: Side, conflict: &Conflict) -> Result<()> {
        let root = self.work_dir().ok_or_else(bare)?;
        fs::refuse_links(root, &conflict.path)?;
        let file = root.join(&conflict.path);
        let chosen = match side {
            Side::Ours => conflict.ours,
            Side::Theirs => conflict.theirs,
        };
        if let Some(blob) = chosen {
            fs::write_atomic(&file, &self.git().read_blob(blob, MAX_RECORD_LEN)?)?;
            self.git().stage(&[conflict.path.as_str()])?;
        } else {
            if file.exists() {
                fs::remove_file(&file)?;
            }
            self.git().remove_from_index(&[conflict.path.as_str()])?;
        }
        Ok(())
    }
}
