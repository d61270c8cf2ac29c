//! `addnb`: records one executed notebook with its parameters, code identity, exports and inputs.
//!
//! The receipts inside the saved notebook say what it exported, whatever the file is called. Without them (outputs
//! stripped) the latest exports that this path made in this worktree are taken, and the user is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Repo;
use super::receipts::{HeldRuns, record_of};
use super::types::AddedNotebook;
use super::working::bare;
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::{ExportKey, ExportRecord, Input, MAX_RECORD_LEN};
use crate::format::run::{RunExport, RunRecord};
use crate::fs;
use crate::git::is_run_by_pre_commit;
use crate::id::{CodeIdentity, RunId};
use crate::notebook::{self, Document, MAX_NOTEBOOK_LEN, NotebookError, ParameterProblem};
use crate::store::WriteOptions;

/// Whose word counts where a notebook's receipts and the work tree's records differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    /// The receipts': a person asked to record exactly this notebook.
    Receipts,
    /// The index's, if somebody staged another record; else those of a run that HEAD does not have; else the work
    /// tree's, for a merge may have been settled there.
    Staged,
}

/// What a notebook file turned out to be, before anything is written.
struct Executed {
    run: RunRecord,
    records: Vec<ExportRecord>,
    /// The run that each export with a receipt is of.
    made_by: BTreeMap<ExportKey, RunId>,
    warnings: Vec<String>,
}

impl Repo {
    /// Records executed notebooks and stages their records; without paths, all notebooks with uncommitted exports.
    ///
    /// # Errors
    /// `Failed` for a refused notebook; then nothing of it is written.
    pub fn addnb(&self, paths: &[PathBuf], original: Option<&Path>) -> Result<Vec<AddedNotebook>> {
        self.check_writable()?;
        let root = self.work_dir().ok_or_else(bare)?;
        let chosen = if paths.is_empty() { self.notebooks_with_exports(root)? } else { paths.to_vec() };
        if original.is_some() && chosen.len() != 1 {
            return Err(Error::new(ErrorKind::Usage, "`--original` goes with exactly one notebook"));
        }
        chosen
            .iter()
            .map(|path| {
                self.add_one(path, original)
                    .map_err(|error| error.context(format!("could not add `{}`", path.display())))
            })
            .collect()
    }

    fn add_one(&self, path: &Path, original: Option<&Path>) -> Result<AddedNotebook> {
        let relative = self.git().to_relative(path).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "the notebook is outside of this repository")
                .with_hint("save it below the work tree first")
        })?;
        let bytes = read_notebook(path)?;
        let original = original.map(|path| self.git().to_relative(path).unwrap_or_else(|| path.display().to_string()));
        let mut added = self.record_notebook(&relative, &bytes, original, Newest::Receipts)?;
        self.git().stage(&added.staged.iter().map(String::as_str).collect::<Vec<_>>())?;
        added.staged.sort();
        Ok(added)
    }

    /// Stores a notebook's bytes and writes its run record and export records; stages nothing.
    pub(super) fn record_notebook(
        &self,
        relative: &str,
        bytes: &[u8],
        original: Option<String>,
        newest: Newest,
    ) -> Result<AddedNotebook> {
        let _hold = self.hold()?;
        let executed = self.examine(relative, bytes, original)?;
        self.store()?.put_content(bytes, &WriteOptions::default())?;
        let mut staged = Vec::new();
        for record in &executed.records {
            let path = record.key().record_path();
            let known = self.working_record(&record.key()).ok().flatten();
            let is_other = known.is_some_and(|known| known.digest != record.digest);
            if newest == Newest::Receipts || !is_other {
                self.write_record(record)?;
            } else if self.is_of_new_run(&executed, &record.key())? && self.is_staged_as_in_head(&path)? {
                // The commit shall have what its notebook made; what was made since stays in the work tree.
                if self.is_as_in_head(&path)? && !is_run_by_pre_commit() {
                    self.write_record(record)?;
                } else {
                    self.git().stage_bytes(&path, &record.to_bytes())?;
                    continue;
                }
            }
            staged.push(path);
        }
        let run_path = executed.run.record_path();
        let root = self.work_dir().ok_or_else(bare)?;
        fs::refuse_links(root, &run_path)?;
        let file = root.join(&run_path);
        fs::write_atomic(&file, &executed.run.to_bytes())?;
        staged.push(run_path);
        Ok(AddedNotebook { run: executed.run, staged, warnings: executed.warnings })
    }

    /// Returns whether an export is of a run that HEAD's notebooks do not show. While others' commits are taken in, a
    /// person decides between their runs and ours, and this says no.
    fn is_of_new_run(&self, executed: &Executed, key: &ExportKey) -> Result<bool> {
        let git = self.git();
        if git.operation_in_progress().is_some() || git.git_dir().join("SQUASH_MSG").exists() {
            return Ok(false);
        }
        let Some(run) = executed.made_by.get(key) else { return Ok(false) };
        let Some(head) = self.git().head()? else { return Ok(true) };
        Ok(!HeldRuns::default().is_held_at(self.git(), head, run)?)
    }

    fn is_staged_as_in_head(&self, path: &str) -> Result<bool> {
        let head = self.git().head()?;
        let in_head = head.map(|head| self.git().tree_id_at(head, path)).transpose()?.flatten();
        Ok(self.git().staged_blob(path)? == in_head)
    }

    /// Returns whether a file of the work tree is the one of HEAD.
    fn is_as_in_head(&self, path: &str) -> Result<bool> {
        let (Some(head), Some(root)) = (self.git().head()?, self.work_dir()) else { return Ok(false) };
        let there = fs::read_bounded(&root.join(path), MAX_RECORD_LEN).ok();
        Ok(there.is_some() && there == self.git().read_file_at(head, path, MAX_RECORD_LEN)?)
    }

    fn examine(&self, relative: &str, bytes: &[u8], original: Option<String>) -> Result<Executed> {
        let document = Document::parse(bytes)?;
        let identity = notebook::code_identity(&document);
        let parameters = notebook::parameters(&document);
        let mut warnings: Vec<String> = parameters.problems.iter().map(warning_of).collect();
        let receipts = document.latest_receipts();
        let mut runs: Vec<_> = receipts.iter().map(|found| found.receipt.run).collect();
        runs.sort_unstable();
        runs.dedup();
        let (mut records, mut made_by) = (Vec::new(), BTreeMap::new());
        for found in &receipts {
            if self.store()?.contains(&found.receipt.digest)?.is_none() {
                warnings.push(format!(
                    "the content of `{}{}` is not in this store",
                    found.receipt.export, found.receipt.params
                ));
            }
            let record = self.settled(record_of(&found.receipt, relative, Some(identity)));
            made_by.insert(record.key(), found.receipt.run);
            records.push(record);
        }
        if records.is_empty() {
            records = self.pending_records(relative, identity)?;
            if !records.is_empty() {
                let names: Vec<_> = records.iter().map(ExportRecord::label).collect();
                warnings
                    .push(format!("the notebook has no receipts; took its latest exports here: {}", names.join(", ")));
            }
        }
        records.sort_by_key(ExportRecord::key);
        let exports = records
            .iter()
            .map(|record| RunExport { name: record.name.clone(), params: record.params.clone(), digest: record.digest })
            .collect();
        let run = RunRecord {
            path: relative.to_owned(),
            original: original
                .or_else(|| document.papermill_input_path().filter(|input| *input != relative).map(str::to_owned)),
            params: parameters.params,
            notebook: crate::id::ContentDigest::of(bytes),
            size: bytes.len() as u64,
            code_identity: identity,
            runs,
            exports,
            inputs: all_inputs(&records),
        };
        Ok(Executed { run, records, made_by, warnings })
    }

    /// Keeps what only the work tree's record knows: the inline value of the same content.
    fn settled(&self, mut record: ExportRecord) -> ExportRecord {
        if let Ok(Some(known)) = self.working_record(&record.key())
            && known.digest == record.digest
        {
            record.value = known.value;
        }
        record
    }

    /// Returns the records of the work tree that this path produced and HEAD does not have.
    fn pending_records(&self, relative: &str, identity: CodeIdentity) -> Result<Vec<ExportRecord>> {
        let mut records = Vec::new();
        for export in self.working()?.exports {
            let mut record = export.record;
            if record.producer.path.as_deref() == Some(relative) {
                record.producer.code_identity = Some(identity);
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Returns the notebooks that made exports which HEAD does not have as they are.
    fn notebooks_with_exports(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for uncommitted in self.uncommitted()? {
            let producer = &uncommitted.record.producer;
            if let Some(path) = producer.path.as_deref().filter(|_| producer.is_notebook()) {
                paths.push(root.join(path));
            }
        }
        paths.sort();
        paths.dedup();
        // A record may name a place outside of this work tree; nobody asked to record that one.
        paths.retain(|path| path.is_file() && self.git().to_relative(path).is_some());
        if paths.is_empty() {
            return Err(Error::new(ErrorKind::Failed, "no notebook here has exports that are not committed")
                .with_hint("name the notebook: `onenb addnb NOTEBOOK.ipynb`"));
        }
        Ok(paths)
    }
}

/// Reads a notebook file, refusing one that is too long before reading it.
fn read_notebook(path: &Path) -> Result<Vec<u8>> {
    let len = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "there is no such file"),
        _ => Error::from(error),
    })?;
    if len.len() > MAX_NOTEBOOK_LEN {
        return Err(NotebookError::TooLarge { len: len.len(), limit: MAX_NOTEBOOK_LEN }.into());
    }
    Ok(fs::read_bounded(path, MAX_NOTEBOOK_LEN)?)
}

fn warning_of(problem: &ParameterProblem) -> String {
    match &problem.name {
        Some(name) => format!("parameter `{name}` (line {} of its cell) is left out: {}", problem.line, problem.reason),
        None => format!("the parameters cell (line {}): {}", problem.line, problem.reason),
    }
}

fn all_inputs(records: &[ExportRecord]) -> Vec<Input> {
    let mut inputs: Vec<Input> = records.iter().flat_map(|record| record.inputs.iter().cloned()).collect();
    inputs.sort_by(|a, b| (&a.repo, &a.rev, &a.name, a.digest).cmp(&(&b.repo, &b.rev, &b.name, b.digest)));
    inputs.dedup();
    inputs
}
