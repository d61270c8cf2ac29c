//! `log`: which runs made what, newest commit first. Exports that no notebook run covers appear as runs of their producer.

use std::collections::BTreeMap;

use super::Repo;
use super::types::LogRow;
use crate::catalog::{Bound, ReadTransaction};
use crate::error::Result;
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::ExportKey;
use crate::format::run::{RunExport, RunRecord};
use crate::id::CommitId;

impl Repo {
    /// Returns the runs in HEAD's history: topological order newest first, then path, then parameters.
    ///
    /// # Errors
    /// What reading the repository and the store can meet.
    pub fn log(&self, name: Option<&ExportName>, notebook: Option<&str>) -> Result<Vec<LogRow>> {
        let Some(head) = self.git().head()? else { return Ok(vec![]) };
        self.snapshot(head)?;
        let mut runs: BTreeMap<CommitId, Vec<RunRecord>> = BTreeMap::new();
        for row in self.view(ReadTransaction::all_runs)? {
            runs.entry(row.commit).or_default().push(row.entry.record);
        }
        let mut rows = Vec::new();
        for commit in self.git().walk_topological(&[head], &|_| false)?.into_iter().rev() {
            let recorded = runs.remove(&commit).unwrap_or_default();
            let changes = self.changes_of(commit)?;
            if recorded.is_empty() && changes.is_empty() {
                continue;
            }
            let time_unix = self.git().commit_info(commit)?.time_unix;
            rows.extend(rows_of(commit, time_unix, recorded, changes));
        }
        rows.retain(|row| {
            let named = name.is_none_or(|name| row.exports.iter().any(|export| export.name == *name));
            named
                && notebook
                    .is_none_or(|path| row.path.as_deref() == Some(path) || row.original.as_deref() == Some(path))
        });
        Ok(rows)
    }

    /// Returns the exports that a commit bound itself.
    fn changes_of(&self, commit: CommitId) -> Result<Vec<Bound>> {
        let bound = self.view(|view| match view.snapshot_of(&commit)? {
            Some(snapshot) => view.entries(snapshot),
            None => Ok(vec![]),
        })?;
        Ok(bound.into_iter().filter(|bound| bound.commit == commit).collect())
    }
}

fn rows_of(commit: CommitId, time_unix: i64, recorded: Vec<RunRecord>, changes: Vec<Bound>) -> Vec<LogRow> {
    let covered: std::collections::BTreeSet<ExportKey> = recorded
        .iter()
        .flat_map(|run| &run.exports)
        .map(|export| ExportKey { name: export.name.clone(), params_hash: export.params.hash() })
        .collect();
    let mut rows: Vec<LogRow> = recorded
        .into_iter()
        .map(|run| LogRow {
            commit,
            time_unix,
            path: Some(run.path),
            original: run.original,
            notebook: Some((run.notebook, run.size)),
            params: run.params,
            exports: run.exports,
            code_identity: Some(run.code_identity),
            inputs: run.inputs,
            parent_branch: None,
            parent_method: None,
        })
        .collect();
    for bound in changes.into_iter().filter(|bound| !covered.contains(&bound.record.key())) {
        let record = bound.record;
        rows.push(LogRow {
            commit,
            time_unix,
            path: record.producer.path,
            original: None,
            notebook: None,
            params: record.params.clone(),
            exports: vec![RunExport { name: record.name, params: record.params, digest: record.digest }],
            code_identity: record.producer.code_identity,
            inputs: record.inputs,
            parent_branch: None,
            parent_method: None,
        });
    }
    rows.sort_by_cached_key(|row| {
        (row.path.clone(), row.exports.first().map(|export| export.name.clone()), hash_of(&row.params))
    });
    rows
}

fn hash_of(params: &Params) -> crate::id::ParamsHash {
    params.hash()
}
