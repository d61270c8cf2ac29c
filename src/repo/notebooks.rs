//! Executed notebooks back from the store or the remote.

use super::read::ExportReader;
use super::workspace::Source;
use super::{Repo, Workspace};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::Suffix;
use crate::format::params::Params;
use crate::format::record::{ExportRecord, Producer};
use crate::format::run::RunRecord;

impl Workspace {
    /// Opens the executed notebook that a revision recorded for a path and a parameter set.
    ///
    /// # Errors
    /// `NotFound`, listing the notebooks that the revision has.
    pub fn notebook(&self, repo: Option<&str>, rev: &str, path: &str, params: &Params) -> Result<ExportReader> {
        match self.source(repo)? {
            Source::Clone(clone) => clone.notebook(rev, path, params),
            Source::Remote { name, storage } => {
                let remote = self.open_remote(&name, &storage)?;
                let snapshot = super::read::remote_rev(&remote, rev)?;
                let run = find_run(&snapshot.runs, rev, path, params)?;
                Ok(ExportReader::remote(remote.open_content(&snapshot.data, &run.notebook)?, run.notebook))
            }
        }
    }
}

impl Repo {
    fn notebook(&self, rev: &str, path: &str, params: &Params) -> Result<ExportReader> {
        let commit = self.commit_of(rev)?;
        let exports: Vec<ExportRecord> = self.bound_at(commit)?.into_iter().map(|bound| bound.record).collect();
        let runs = self.runs_behind(commit, &exports)?;
        let run = find_run(&runs, rev, path, params)?;
        let record = ExportRecord {
            name: crate::format::name::ExportName::parse("notebook")?,
            params: run.params.clone(),
            digest: run.notebook,
            size: run.size,
            suffix: Suffix::parse(".ipynb")?,
            media_type: Suffix::parse(".ipynb")?.media_type().to_owned(),
            producer: Producer::default(),
            inputs: vec![],
            value: None,
        };
        self.read_content(&record, Some(commit), rev)
    }
}

fn find_run<'a>(runs: &'a [RunRecord], rev: &str, path: &str, params: &Params) -> Result<&'a RunRecord> {
    let of_path: Vec<&RunRecord> =
        runs.iter().filter(|run| run.path == path || run.original.as_deref() == Some(path)).collect();
    let found = of_path.iter().find(|run| run.params.hash() == params.hash());
    // A notebook that ran once needs no parameters to be named.
    let only = of_path.first().filter(|_| of_path.len() == 1 && params.is_empty());
    found.or(only).copied().ok_or_else(|| {
        let known: Vec<String> = runs.iter().map(|run| format!("`{}{}`", run.path, run.params)).collect();
        let error = Error::new(ErrorKind::NotFound, format!("`{rev}` has no run of `{path}`{params}"));
        if known.is_empty() { error } else { error.with_hint(format!("it has {}", known.join(", "))) }
    })
}
