//! Receipts in committed notebooks as bindings: what any clone can derive from a tree that has no record file.
//!
//! A receipt binds only if its run id is in no notebook of any parent's tree, the file is not below
//! `.ipynb_checkpoints/`, and the tree has no record for that key; two new receipts for one key bind nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::{Change, changed_against_all};
use crate::error::Result;
use crate::format::record::{ExportKey, ExportRecord, Producer};
use crate::format::run::Receipt;
use crate::git::{CommitInfo, GitRepo};
use crate::id::{CodeIdentity, CommitId};
use crate::notebook::{self, Document};

/// Notebooks longer than this are left to `addnb`, so that indexing history stays cheap.
pub(super) const MAX_INDEXED_NOTEBOOK_LEN: u64 = 20 * 1024 * 1024;

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
pub(super) fn bound_by_receipts(git: &GitRepo, commit: CommitId, info: &CommitInfo) -> Result<ReceiptBindings> {
    let mut claims: BTreeMap<ExportKey, Vec<(String, ExportRecord)>> = BTreeMap::new();
    for (path, blob) in changed_against_all(git, commit, info, "")? {
        let Some(blob) = blob.filter(|_| is_notebook_path(&path)) else { continue };
        let Ok(bytes) = git.read_blob(blob, MAX_INDEXED_NOTEBOOK_LEN) else { continue };
        if !notebook::may_hold_receipts(&bytes) {
            continue;
        }
        let Ok(document) = Document::parse(&bytes) else { continue };
        let identity = notebook::code_identity(&document);
        for found in document.latest_receipts() {
            let record = record_of(&found.receipt, &path, Some(identity));
            let key = record.key();
            let tracked = git.tree_id_at(commit, &key.record_path())?.is_some();
            if !tracked && !is_old_run(git, info, &found.receipt)? {
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

/// Returns whether some notebook of a parent's tree already holds the run, wherever it lay.
fn is_old_run(git: &GitRepo, info: &CommitInfo, receipt: &Receipt) -> Result<bool> {
    let run = receipt.run.to_string();
    let mut seen = BTreeSet::new();
    for parent in &info.parents {
        for file in git.files_under(*parent, "")? {
            if is_notebook_path(&file.path) && seen.insert(file.blob) {
                let held = git.read_blob(file.blob, MAX_INDEXED_NOTEBOOK_LEN);
                if held.is_ok_and(|bytes| bytes.windows(run.len()).any(|window| window == run.as_bytes())) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
