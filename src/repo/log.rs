//! `log`: which runs made what, newest commit first. Exports that no notebook run covers appear as runs of their producer.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Repo;
use super::types::LogRow;
use crate::catalog::{BindingsOf, Bound, CommittedBinding};
use crate::error::Result;
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::ExportKey;
use crate::format::run::{RunExport, RunRecord};
use crate::id::CommitId;

impl Repo {
    /// Returns the runs in HEAD's history: children before parents, then newest first, then path, then parameters.
    ///
    /// # Errors
    /// What reading the repository and the store can meet.
    pub fn log(&self, name: Option<&ExportName>, notebook: Option<&str>) -> Result<Vec<LogRow>> {
        let Some(head) = self.git().head()? else { return Ok(vec![]) };
        let (runs, bindings) = self.indexed(&[head], |view| {
            let reach = view.reach(&[head])?;
            let (mut runs, mut bindings) = match name {
                Some(name) => (view.runs_with_export(name)?, view.bindings(BindingsOf::Name(name))?),
                None => (view.all_runs()?, view.bindings(BindingsOf::All)?),
            };
            runs.retain(|run| reach.contains(run.place));
            bindings.retain(|binding| reach.contains(binding.place));
            Ok((runs, bindings))
        })?;
        let mut commits: BTreeMap<InHistory, (Vec<RunRecord>, Vec<Bound>)> = BTreeMap::new();
        for run in runs {
            let at = (Reverse(run.generation), Reverse(run.time_unix), run.commit);
            commits.entry(at).or_default().0.push(run.entry.record);
        }
        for CommittedBinding { bound, time_unix, generation, .. } in bindings {
            commits.entry((Reverse(generation), Reverse(time_unix), bound.commit)).or_default().1.push(bound);
        }
        let mut rows = Vec::new();
        for ((_, Reverse(time_unix), commit), (runs, bound)) in commits {
            rows.extend(rows_of(commit, time_unix, runs, bound));
        }
        rows.retain(|row| {
            let named = name.is_none_or(|name| row.exports.iter().any(|export| export.name == *name));
            named
                && notebook
                    .is_none_or(|path| row.path.as_deref() == Some(path) || row.original.as_deref() == Some(path))
        });
        Ok(rows)
    }
}

/// Children before parents, then newest first.
type InHistory = (Reverse<u64>, Reverse<i64>, CommitId);

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
