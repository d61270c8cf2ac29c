//! Records that both sides of a merge changed: what `status` says of them, and `take`, which ends the conflict.

use super::Repo;
use super::snapshot::is_below;
use super::types::{RecordConflict, RunConflict, Side};
use super::working::bare;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::{EXPORTS_DIR, ExportKey, ExportRecord, MAX_RECORD_LEN, has_conflict_markers};
use crate::format::run::{RUNS_DIR, RunRecord};
use crate::fs;
use crate::git::{Change, Conflict};

impl Repo {
    /// Returns the records of the work tree that both sides of an unfinished merge changed.
    ///
    /// # Errors
    /// What reading the index can meet.
    pub fn conflicts(&self) -> Result<Vec<RecordConflict>> {
        let mut found = Vec::new();
        for conflict in self.git().conflicts(EXPORTS_DIR)? {
            let (ours, theirs) = self.sides(&conflict, |bytes| ExportRecord::from_bytes(bytes).ok());
            found.push(RecordConflict { path: conflict.path, ours, theirs });
        }
        Ok(found)
    }

    /// Returns the run records of the work tree that both sides of an unfinished merge changed: also alone, where both
    /// ran a notebook again with the same results.
    ///
    /// # Errors
    /// As [`Repo::conflicts`].
    pub fn run_conflicts(&self) -> Result<Vec<RunConflict>> {
        let mut found = Vec::new();
        for conflict in self.git().conflicts(RUNS_DIR)? {
            let (ours, theirs) = self.sides(&conflict, |bytes| RunRecord::from_bytes(bytes).ok());
            found.push(RunConflict { path: conflict.path, ours, theirs });
        }
        Ok(found)
    }

    /// Reads what each side of a conflict has, where that can be read.
    fn sides<T>(&self, conflict: &Conflict, decode: impl Fn(&[u8]) -> Option<T>) -> (Option<T>, Option<T>) {
        let [ours, theirs] = [conflict.ours, conflict.theirs]
            .map(|blob| blob.and_then(|blob| decode(&self.git().read_blob(blob, MAX_RECORD_LEN).ok()?)));
        (ours, theirs)
    }

    /// Names the records about to be committed that still have Git's conflict markers, in a line each.
    pub(super) fn with_conflict_markers(&self, staged: &[Change]) -> Vec<String> {
        let is_record = |path: &str| is_below(path, EXPORTS_DIR) || is_below(path, RUNS_DIR);
        let mut lines = Vec::new();
        for Change { path, new, .. } in staged.iter().filter(|change| is_record(&change.path)) {
            let bytes = new.and_then(|blob| self.git().read_blob(blob, MAX_RECORD_LEN).ok());
            if bytes.is_some_and(|bytes| has_conflict_markers(&bytes)) {
                lines.push(format!(
                    "`{path}` is committed with conflict markers and binds nothing; take it from one side with \
                     `git checkout REV -- {path}`, then `git commit --amend`"
                ));
            }
        }
        lines
    }

    /// Ends the conflicts of an export: writes and stages what one side has, and that side's records of the runs that
    /// made it. Without parameters all parameter sets in conflict are meant. Returns the labels.
    ///
    /// # Errors
    /// `NotFound` if the export is in no conflict.
    pub fn take(&self, side: Side, name: &ExportName, params: &Params) -> Result<Vec<String>> {
        self.check_writable()?;
        let records = self.conflicts()?;
        let of_record = |conflict: &RecordConflict| {
            let record = conflict.ours.as_ref().or(conflict.theirs.as_ref())?;
            Some((record.name.clone(), record.params.clone()))
        };
        let mut all: Vec<(ExportName, Params)> = records.iter().filter_map(of_record).collect();
        for run in self.run_conflicts()? {
            for export in run.exports() {
                if !all.contains(&export) {
                    all.push(export);
                }
            }
        }
        let is_meant =
            |(known, set): &&(ExportName, Params)| known == name && (params.is_empty() || set.hash() == params.hash());
        let label = |(name, params): &(ExportName, Params)| format!("{name}{params}");
        let labels: Vec<String> = all.iter().filter(is_meant).map(label).collect();
        let key = |(name, params): &(ExportName, Params)| ExportKey { name: name.clone(), params_hash: params.hash() };
        let taken: Vec<ExportKey> = all.iter().filter(is_meant).map(key).collect();
        if labels.is_empty() {
            let error = Error::new(ErrorKind::NotFound, format!("`{name}{params}` is in no conflict"));
            let known: Vec<String> = all.iter().map(|export| format!("`{}`", label(export))).collect();
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
