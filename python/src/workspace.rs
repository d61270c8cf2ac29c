//! The facade as Python sees it: resolve, list, export, and the names of imports.

use std::path::PathBuf;
use std::sync::Arc;

use onenb::format::name::{ExportName, Suffix};
use onenb::format::record::Input;
use onenb::{ExportBatch, ExportOptions, MovedTag, ResolvedExport, Spec, Workspace};
use pyo3::prelude::*;

use crate::errors::check;
use crate::params::NativeParams;
use crate::reader::NativeReader;
use crate::writer::{NativeWriter, outcome_json};

/// A directory from which names are resolved; kept for the life of a process.
#[pyclass(frozen, module = "OneNB._native")]
pub(crate) struct NativeWorkspace(Arc<Workspace>);

/// What an export is made with, in the order of `NativeWorkspace.export`.
#[derive(FromPyObject)]
struct Making<'py> {
    name: String,
    params: Bound<'py, NativeParams>,
    suffix: String,
    producer: Option<PathBuf>,
    inputs: Vec<Bound<'py, NativeExport>>,
    run: Option<String>,
    cell_source: Option<String>,
}

impl Making<'_> {
    fn into_options(self) -> onenb::Result<ExportOptions> {
        Ok(ExportOptions {
            name: ExportName::parse(&self.name)?,
            params: self.params.get().0.clone(),
            suffix: Suffix::parse(&self.suffix)?,
            producer: self.producer,
            inputs: self.inputs.iter().map(|export| export.get().to_input()).collect(),
            run: self.run.map(|run| run.parse()).transpose().map_err(|error: onenb::id::ParseIdError| {
                onenb::Error::new(onenb::ErrorKind::Usage, error.to_string())
            })?,
            cell_source: self.cell_source,
        })
    }
}

fn json_value(text: &str) -> onenb::Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| onenb::Error::new(onenb::ErrorKind::Usage, error.to_string()))
}

#[pymethods]
impl NativeWorkspace {
    /// Never fails because of a missing repository.
    #[new]
    fn new(py: Python<'_>, directory: PathBuf) -> Self {
        // The running program is the interpreter, which hooks must not call.
        let environment = onenb::Environment { program: None, ..onenb::host::environment() };
        Self(Arc::new(py.detach(|| Workspace::open(&directory, environment))))
    }

    /// Whether exports can be made here.
    fn is_initialised(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.repo().is_ok())
    }

    /// That new data is written with the defaults because the store's settings cannot be used.
    fn settings_note(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.0.repo().ok()?.settings_note())
    }

    /// Starts an export. `making` has the attributes of the struct above.
    fn export(&self, py: Python<'_>, making: Making<'_>) -> PyResult<NativeWriter> {
        let options = check(py, making.into_options())?;
        check(py, py.detach(|| self.0.repo()?.export(options))).map(NativeWriter::new)
    }

    /// Starts a batch of exports.
    fn batch(&self, py: Python<'_>) -> PyResult<NativeBatch> {
        check(py, py.detach(|| self.0.repo()?.batch())).map(NativeBatch)
    }

    /// Exports a directory; returns what `NativeWriter.finish` returns.
    fn export_directory(&self, py: Python<'_>, making: Making<'_>, directory: PathBuf) -> PyResult<String> {
        let options = check(py, making.into_options())?;
        let outcome = py.detach(|| self.0.repo()?.export_directory(options, &directory, &mut |_| true));
        check(py, outcome).map(|outcome| outcome_json(&outcome.export))
    }

    /// Exports a small value given as JSON; returns what `NativeWriter.finish` returns.
    fn export_value(&self, py: Python<'_>, making: Making<'_>, json: &str) -> PyResult<String> {
        let options = check(py, making.into_options())?;
        let work = || self.0.repo()?.export_value(options, &json_value(json)?);
        check(py, py.detach(work)).map(|outcome| outcome_json(&outcome))
    }

    /// Finds one export; `repo` is `None` for the repository we stand in.
    fn resolve(
        &self,
        py: Python<'_>,
        repo: Option<String>,
        rev: String,
        name: &str,
        params: &NativeParams,
    ) -> PyResult<NativeExport> {
        let work = || {
            let spec = Spec { repo, rev, name: ExportName::parse(name)?, params: params.0.clone() };
            self.0.resolve(&spec)
        };
        let resolved = check(py, py.detach(work))?;
        Ok(NativeExport { workspace: Arc::clone(&self.0), resolved })
    }

    /// Names of the exports of a revision, each once.
    #[pyo3(signature = (repo, rev))]
    fn export_names(&self, py: Python<'_>, repo: Option<&str>, rev: &str) -> PyResult<Vec<String>> {
        let listed = check(py, py.detach(|| self.0.list(repo, rev)))?;
        let mut names: Vec<_> = listed.into_iter().map(|export| export.record.name.to_string()).collect();
        names.dedup();
        Ok(names)
    }

    /// The exports of a revision as JSON: name, query of the parameters, digest, size, suffix, media type.
    fn exports_json(&self, py: Python<'_>, repo: Option<&str>, rev: &str) -> PyResult<String> {
        let listed = check(py, py.detach(|| self.0.list(repo, rev)))?;
        let row = |export: &onenb::BoundExport| {
            let record = &export.record;
            serde_json::json!({
                "name": record.name, "query": record.params.to_query(), "digest": record.digest, "size": record.size,
                "suffix": record.suffix, "media_type": record.media_type,
            })
        };
        Ok(serde_json::Value::Array(listed.iter().map(row).collect()).to_string())
    }

    /// Registered repositories, ours first.
    fn repos(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.0.repos())
    }

    /// Tags of a repository.
    fn tags(&self, py: Python<'_>, repo: Option<&str>) -> PyResult<Vec<String>> {
        check(py, py.detach(|| self.0.tags(repo)))
    }

    /// Branches of a repository.
    fn branches(&self, py: Python<'_>, repo: Option<&str>) -> PyResult<Vec<String>> {
        check(py, py.detach(|| self.0.branches(repo)))
    }

    /// The repository that an import name stands for.
    fn demangle_repo(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        check(py, py.detach(|| self.0.demangle_repo(name)))
    }

    /// The tag, branch or commit that an import name stands for.
    fn demangle_rev(&self, py: Python<'_>, repo: Option<&str>, name: &str) -> PyResult<String> {
        check(py, py.detach(|| self.0.demangle_rev(repo, name)))
    }

    /// The export that an import name stands for.
    fn demangle_export(&self, py: Python<'_>, repo: Option<&str>, rev: &str, name: &str) -> PyResult<String> {
        check(py, py.detach(|| self.0.demangle_export(repo, rev, name))).map(|name| name.to_string())
    }
}

/// Exports that become durable and visible together.
#[pyclass(frozen, module = "OneNB._native")]
pub(crate) struct NativeBatch(ExportBatch);

#[pymethods]
impl NativeBatch {
    /// Starts an export that joins the batch when it is finished.
    fn export(&self, py: Python<'_>, making: Making<'_>) -> PyResult<NativeWriter> {
        let options = check(py, making.into_options())?;
        check(py, py.detach(|| self.0.export(options))).map(NativeWriter::new)
    }

    /// Exports a small value given as JSON; returns what `NativeWriter.finish` returns.
    fn export_value(&self, py: Python<'_>, making: Making<'_>, json: &str) -> PyResult<String> {
        let options = check(py, making.into_options())?;
        let work = || self.0.export(options)?.finish_value(&json_value(json)?);
        check(py, py.detach(work)).map(|outcome| outcome_json(&outcome))
    }

    /// Makes all of it durable and visible.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        check(py, py.detach(|| self.0.commit())).map(drop)
    }

    /// Throws all of it away.
    fn discard(&self, py: Python<'_>) {
        py.detach(|| self.0.discard());
    }
}

/// One export that was found; what it stands for no longer changes.
#[pyclass(frozen, module = "OneNB._native")]
pub(crate) struct NativeExport {
    workspace: Arc<Workspace>,
    resolved: ResolvedExport,
}

impl NativeExport {
    pub(crate) fn to_input(&self) -> Input {
        let record = &self.resolved.export.record;
        Input {
            repo: self.resolved.repo.clone(),
            rev: self.resolved.rev.clone(),
            name: record.name.clone(),
            params: record.params.clone(),
            digest: record.digest,
        }
    }
}

#[pymethods]
impl NativeExport {
    /// Repository, revision, commit and record as JSON.
    fn json(&self) -> String {
        let ResolvedExport { repo, rev, export, .. } = &self.resolved;
        serde_json::json!({ "repo": repo, "rev": rev, "commit": export.commit, "record": export.record }).to_string()
    }

    /// Whether both would be recorded as the same input.
    fn is_same_input(&self, other: &Self) -> bool {
        self.to_input() == other.to_input()
    }

    /// The tag with its local and its remote commit, if they differ.
    fn moved(&self) -> Option<(String, String, String)> {
        self.resolved.moved.as_ref().map(moved_tuple)
    }

    /// The same, if a read has found it out since.
    fn noticed(&self) -> Option<(String, String, String)> {
        self.resolved.noticed().map(moved_tuple)
    }

    /// That a remote could not be reached and the cache answered, if nobody was told yet.
    fn offline_note(&self) -> Option<String> {
        self.workspace.offline_note()
    }

    /// Starts reading.
    fn open(&self, py: Python<'_>) -> PyResult<NativeReader> {
        check(py, py.detach(|| self.workspace.read(&self.resolved))).map(NativeReader::new)
    }

    /// Paths, kinds and sizes of the members of a directory.
    fn members(&self, py: Python<'_>) -> PyResult<Vec<(String, &'static str, u64)>> {
        let members = check(py, py.detach(|| self.workspace.members(&self.resolved)))?;
        Ok(members.into_iter().map(|member| (member.path, member.kind, member.size)).collect())
    }

    /// Starts reading one file of a directory.
    fn open_member(&self, py: Python<'_>, path: &str) -> PyResult<NativeReader> {
        check(py, py.detach(|| self.workspace.read_member(&self.resolved, path))).map(NativeReader::new)
    }

    /// A verified local file with the right suffix.
    fn path(&self, py: Python<'_>) -> PyResult<PathBuf> {
        check(py, py.detach(|| self.workspace.materialise(&self.resolved)))
    }
}

fn moved_tuple(moved: &MovedTag) -> (String, String, String) {
    (moved.tag.clone(), moved.local.to_string(), moved.remote.to_string())
}
