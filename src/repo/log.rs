//! `log`: which runs made what, newest commit first. Exports that no notebook run covers appear as runs of their
//! producer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Repo;
use super::types::LogRow;
use crate::catalog::{BindingsOf, Bound, CommittedBinding, ParentBranch};
use crate::error::Result;
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::ExportKey;
use crate::format::run::{RunExport, RunRecord};
use crate::id::CommitId;

impl Repo {
    /// Returns the runs in HEAD's history: children before parents, then newest first, then path, then parameters.
    ///
    /// With a notebook, only its own, under all names that it had.
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
            commits.entry(at).or_default().0.push(run.record);
        }
        for CommittedBinding { bound, time_unix, generation, .. } in bindings {
            commits.entry((Reverse(generation), Reverse(time_unix), bound.commit)).or_default().1.push(bound);
        }
        let paths = notebook.map(|notebook| self.names_of_notebook(notebook));
        let is_notebook = |path: Option<&str>| {
            paths.as_ref().is_none_or(|paths| path.is_some_and(|path| paths.iter().any(|known| known == path)))
        };
        let mut rows = Vec::new();
        for ((_, Reverse(time_unix), commit), (runs, bound)) in commits {
            rows.extend(rows_of(commit, time_unix, runs, bound));
        }
        rows.retain(|row| {
            let named = name.is_none_or(|name| row.exports.iter().any(|export| export.name == *name));
            named && (is_notebook(row.path.as_deref()) || is_notebook(row.original.as_deref()))
        });
        self.name_parent_branches(head, &mut rows)?;
        Ok(rows)
    }

    /// Returns the names that a notebook had, seen from the top of the work tree.
    fn names_of_notebook(&self, notebook: &str) -> Vec<String> {
        let path = self.git().to_relative(Path::new(notebook)).unwrap_or_else(|| notebook.to_owned());
        // A name that Git does not know is still a name to look for.
        let mut names = self.git().names_of(&path).unwrap_or_else(|_| vec![path]);
        names.push(notebook.to_owned());
        names
    }

    /// Fills in the parent branches: as written down when the commits were made, else as the branch that is checked out
    /// has one that does not have the commit.
    fn name_parent_branches(&self, head: CommitId, rows: &mut [LogRow]) -> Result<()> {
        let mut missing = BTreeSet::new();
        for row in rows.iter_mut() {
            let written = self.view(|view| view.parent_branch_of(&row.commit))?;
            if written.is_none() {
                missing.insert(row.commit);
            }
            row.set_parent(written);
        }
        if missing.is_empty() {
            return Ok(());
        }
        let Some(branch) = self.git().head_branch()? else { return Ok(()) };
        let Some(parent) = self.parent_branch(&branch)? else { return Ok(()) };
        let Ok(base) = self.commit_of(&format!("refs/heads/{}", parent.branch)) else { return Ok(()) };
        let own: BTreeSet<CommitId> = self.indexed(&[head, base], |view| {
            let beyond = view.bound_beyond(&view.reach(&[head])?, &view.reach(&[base])?, usize::MAX)?;
            Ok(beyond.into_iter().collect())
        })?;
        for row in rows.iter_mut().filter(|row| missing.contains(&row.commit) && own.contains(&row.commit)) {
            row.set_parent(Some(parent.clone()));
        }
        Ok(())
    }
}

impl LogRow {
    fn set_parent(&mut self, parent: Option<ParentBranch>) {
        let (branch, method) = parent.map(|parent| (parent.branch, parent.method)).unzip();
        self.parent_branch = branch;
        self.parent_method = method;
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
