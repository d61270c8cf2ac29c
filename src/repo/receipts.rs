//! Receipts in committed notebooks as bindings: what any clone can derive from a tree that has no record file.
//!
//! A receipt binds only if its run id is in no notebook of any parent's tree, the file is not below
//! `.ipynb_checkpoints/`, and the tree has no record for that key; two new receipts for one key bind nothing.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::snapshot::{Change, ChangedFile, what_is_there};
use crate::error::Result;
use crate::format::record::{ExportKey, ExportRecord, MAX_RECORD_LEN, Producer};
use crate::format::run::Receipt;
use crate::git::{CommitInfo, GitRepo};
use crate::id::{CodeIdentity, CommitId, RunId};
use crate::notebook::{self, Document};

/// Notebooks longer than this are left to `addnb`, so that indexing history stays cheap.
pub(super) const MAX_INDEXED_NOTEBOOK_LEN: u64 = 20 * 1024 * 1024;

/// Length of a run id as text.
const RUN_ID_LEN: usize = 26;

/// What the receipts of one commit bind.
#[derive(Debug, Default)]
pub(super) struct ReceiptBindings {
    /// Keys with their records.
    pub(super) bound: Vec<Change>,
    /// Keys that two notebooks claim, with both paths.
    pub(super) disputed: Vec<(ExportKey, Vec<String>)>,
}

/// Returns whether a path is a notebook that receipts are read from.
pub(super) fn is_notebook_path(path: &str) -> bool {
    path.ends_with(".ipynb") && !path.split('/').any(|part| part == ".ipynb_checkpoints")
}

/// Derives what the notebooks that a commit changed bind.
pub(super) fn bound_by_receipts(
    git: &GitRepo,
    commit: CommitId,
    info: &CommitInfo,
    changed: &[ChangedFile],
    held: &mut HeldRuns,
) -> Result<ReceiptBindings> {
    let mut claims: BTreeMap<ExportKey, Vec<(String, ExportRecord)>> = BTreeMap::new();
    for (path, blob) in changed {
        let Some(blob) = blob.filter(|_| is_notebook_path(path)) else { continue };
        let Some(bytes) = what_is_there(git.read_blob(blob, MAX_INDEXED_NOTEBOOK_LEN))? else { continue };
        if !notebook::may_hold_receipts(&bytes) {
            continue;
        }
        let Ok(document) = Document::parse(&bytes) else { continue };
        let identity = notebook::code_identity(&document);
        for found in document.latest_receipts() {
            let record = record_of(&found.receipt, path, Some(identity));
            let key = record.key();
            let tracked = git.tree_id_at(commit, &key.record_path())?.is_some();
            if !tracked && !held.is_old(git, info, &found.receipt)? {
                claims.entry(key).or_default().push((path.clone(), record));
            }
        }
    }
    let mut bindings = ReceiptBindings::default();
    for (key, mut claimants) in claims {
        match claimants.len() {
            1 => bindings.bound.extend(claimants.pop().map(|(_, record)| (key, Some(record)))),
            _ => bindings.disputed.push((key, claimants.into_iter().map(|(path, _)| path).collect())),
        }
    }
    Ok(bindings)
}

/// Returns the notebooks that a commit changed without the records of their runs: what is tracked says something else.
pub(super) fn unrecorded_notebooks(
    git: &GitRepo,
    commit: CommitId,
    info: &CommitInfo,
    changed: &[ChangedFile],
) -> Result<Vec<String>> {
    let (mut unrecorded, mut held) = (Vec::new(), HeldRuns::default());
    for (path, blob) in changed {
        let Some(blob) = blob.filter(|_| is_notebook_path(path)) else { continue };
        let Some(bytes) = what_is_there(git.read_blob(blob, MAX_INDEXED_NOTEBOOK_LEN))? else { continue };
        let Some(document) = notebook::may_hold_receipts(&bytes).then(|| Document::parse(&bytes).ok()).flatten() else {
            continue;
        };
        for found in document.latest_receipts() {
            let record_path = record_of(&found.receipt, path, None).key().record_path();
            let tracked = git.read_file_at(commit, &record_path, MAX_RECORD_LEN)?;
            let tracked = tracked.and_then(|bytes| ExportRecord::from_bytes(&bytes).ok());
            let is_other = tracked.is_some_and(|tracked| tracked.digest != found.receipt.digest);
            if is_other && !held.is_old(git, info, &found.receipt)? {
                unrecorded.push(path.clone());
                break;
            }
        }
    }
    Ok(unrecorded)
}

/// Makes the record that a receipt stands for.
pub(super) fn record_of(receipt: &Receipt, path: &str, code_identity: Option<CodeIdentity>) -> ExportRecord {
    ExportRecord {
        name: receipt.export.clone(),
        params: receipt.params.clone(),
        digest: receipt.digest,
        size: receipt.size,
        media_type: receipt.suffix.media_type().to_owned(),
        suffix: receipt.suffix.clone(),
        producer: Producer { path: Some(path.to_owned()), code_identity },
        inputs: receipt.inputs.clone(),
        value: None,
    }
}

/// Which run ids notebooks hold, by the notebooks' content: each is read once, whatever the number of commits that have
/// it.
#[derive(Debug, Default)]
pub(super) struct HeldRuns {
    by_blob: HashMap<CommitId, BTreeSet<RunId>>,
    /// The notebooks of the trees that were asked for last.
    by_tree: HashMap<CommitId, Vec<CommitId>>,
}

/// Trees whose notebooks are remembered.
const MAX_TREES: usize = 16;

impl HeldRuns {
    /// Returns whether some notebook of a parent's tree already holds the run, wherever it lay.
    fn is_old(&mut self, git: &GitRepo, info: &CommitInfo, receipt: &Receipt) -> Result<bool> {
        for parent in &info.parents {
            if self.is_held_at(git, *parent, &receipt.run)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether some notebook of a commit's tree holds the run.
    pub(super) fn is_held_at(&mut self, git: &GitRepo, commit: CommitId, run: &RunId) -> Result<bool> {
        for blob in self.notebooks_of(git, commit)? {
            if self.runs_in(git, blob)?.contains(run) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn notebooks_of(&mut self, git: &GitRepo, commit: CommitId) -> Result<Vec<CommitId>> {
        if let Some(known) = self.by_tree.get(&commit) {
            return Ok(known.clone());
        }
        let files = git.files_under(commit, "")?.into_iter().filter(|file| is_notebook_path(&file.path));
        let blobs: Vec<CommitId> = files.map(|file| file.blob).collect();
        if self.by_tree.len() >= MAX_TREES {
            self.by_tree.clear();
        }
        self.by_tree.insert(commit, blobs.clone());
        Ok(blobs)
    }

    fn runs_in(&mut self, git: &GitRepo, blob: CommitId) -> Result<&BTreeSet<RunId>> {
        Ok(match self.by_blob.entry(blob) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => slot.insert(match what_is_there(git.read_blob(blob, MAX_INDEXED_NOTEBOOK_LEN))? {
                Some(bytes) if notebook::may_hold_receipts(&bytes) => run_ids(&bytes),
                _ => BTreeSet::new(),
            }),
        })
    }
}

/// Returns the run ids that a text has between quotes.
fn run_ids(bytes: &[u8]) -> BTreeSet<RunId> {
    let quoted = bytes.split(|byte| *byte == b'"').filter(|part| part.len() == RUN_ID_LEN);
    quoted.filter_map(|part| std::str::from_utf8(part).ok()?.parse().ok()).collect()
}
