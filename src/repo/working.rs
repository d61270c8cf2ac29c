//! The records of the work tree: the newest local exports, committed or not. This is what `working` names.

use std::fs::{self as std_fs, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::Repo;
use super::types::BoundExport;
use crate::error::{Error, ErrorKind, Result};
use crate::format::FormatError;
use crate::format::name::{ExportName, decode_component};
use crate::format::record::{EXPORTS_DIR, ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::fs;

/// Parameter sets of an export that are looked at for one that a new set may resemble.
const MAX_SIBLINGS: usize = 64;

/// The record files of a work tree, read afresh.
#[derive(Debug, Default)]
pub(super) struct Working {
    /// Records sorted by name and parameters.
    pub(super) exports: Vec<BoundExport>,
    /// Files that are no readable records: path below the work tree and reason.
    pub(super) problems: Vec<(String, String)>,
}

impl Repo {
    /// Reads all records of the work tree.
    pub(super) fn working(&self) -> Result<Working> {
        let mut working = Working::default();
        let Some(root) = self.work_dir() else { return Ok(working) };
        let dir = root.join(EXPORTS_DIR);
        for folder in sorted_entries(&dir)? {
            for file in sorted_entries(&folder)? {
                if file.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let shown = relative(root, &file);
                match read_record(&file) {
                    Ok(record) if record.key().record_path() == shown => {
                        working.exports.push(BoundExport { record, commit: None });
                    }
                    Ok(_) => {
                        working.problems.push((shown, "its place does not match its name and parameters".to_owned()));
                    }
                    Err(error) => working.problems.push((shown, error.to_string())),
                }
            }
        }
        working
            .exports
            .sort_by(|a, b| a.record.name.cmp(&b.record.name).then_with(|| a.record.key().cmp(&b.record.key())));
        Ok(working)
    }

    /// Reads one record of the work tree.
    pub(super) fn working_record(&self, key: &ExportKey) -> Result<Option<ExportRecord>> {
        let Some(path) = self.record_file(key) else { return Ok(None) };
        match read_record(&path) {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.context(format!("could not read `{}`", key.record_path()))),
        }
    }

    /// Reads the newest of some records that have the same name and other parameters; `None` if none can be read.
    pub(super) fn newest_sibling(&self, key: &ExportKey) -> Option<ExportRecord> {
        let own = self.record_file(key)?;
        // Thousands of parameter sets must not make each new one slower: a few of them are enough to choose from.
        let files = std_fs::read_dir(own.parent()?).ok()?.flatten().take(MAX_SIBLINGS).map(|entry| entry.path());
        let changed = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
        let newest = files.filter(|path| *path != own).max_by_key(changed)?;
        read_record(&newest).ok()
    }

    /// Publishes a record in the work tree. The content that it names must be durable already.
    pub(super) fn write_record(&self, record: &ExportRecord) -> Result<PathBuf> {
        let root = self.work_dir().ok_or_else(bare)?;
        let below = record.key().record_path();
        fs::refuse_links(root, &below)?;
        let path = root.join(below);
        let (bytes, there) = (record.to_bytes(), fs::read_bounded(&path, MAX_RECORD_LEN).ok());
        if there.as_deref() != Some(bytes.as_slice()) {
            if let Some(Err(error @ FormatError::TooNew { .. })) = there.as_deref().map(ExportRecord::from_bytes) {
                return Err(Error::from(error).context(format!("`{}` is kept as it is", record.key().record_path())));
            }
            fs::write_atomic(&path, &bytes)?;
        }
        Ok(path)
    }

    /// Refuses a name that differs from an existing one only where file systems do not look.
    pub(super) fn check_name_is_unique(&self, name: &ExportName) -> Result<()> {
        let Some(root) = self.work_dir() else { return Ok(()) };
        let folded = name.fold();
        // Of thousands of names only these need a closer look: others of ASCII letters fold to something else.
        let may_be_twin = |folder: &DirEntry| {
            let component = folder.file_name();
            let component = component.as_encoded_bytes();
            !component.is_ascii() || component.contains(&b'%') || component.eq_ignore_ascii_case(folded.as_bytes())
        };
        let mut others = entries(&root.join(EXPORTS_DIR))?;
        others.retain(may_be_twin);
        let mut twins = others.iter().filter_map(name_of).filter(|other| other.fold() == folded);
        twins.try_for_each(|other| refuse_twin(name, &other))
    }

    /// Returns the names that have a folder of records in the work tree, in no order.
    pub(super) fn export_names(&self) -> Result<Vec<ExportName>> {
        let Some(root) = self.work_dir() else { return Ok(vec![]) };
        let folders = entries(&root.join(EXPORTS_DIR))?;
        Ok(folders.iter().filter_map(name_of).collect())
    }

    /// Returns where a key's record lies in the work tree; `None` in a bare repository.
    pub(super) fn record_file(&self, key: &ExportKey) -> Option<PathBuf> {
        self.work_dir().map(|root| root.join(key.record_path()))
    }
}

/// Refuses a name that is not the one it folds to.
pub(super) fn refuse_twin(name: &ExportName, other: &ExportName) -> Result<()> {
    if name == other {
        return Ok(());
    }
    let message = format!("export name `{name}` differs from `{other}` only in case or form");
    Err(Error::new(ErrorKind::Usage, message).with_hint(format!("use `{other}`, or another name")))
}

pub(super) fn bare() -> Error {
    Error::new(ErrorKind::Failed, "this repository has no work tree")
        .with_hint("work in a clone or in a `git worktree`")
}

fn read_record(path: &Path) -> Result<ExportRecord> {
    let bytes = fs::read_bounded(path, MAX_RECORD_LEN).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "there is no record"),
        _ => Error::from(error),
    })?;
    Ok(ExportRecord::from_bytes(&bytes)?)
}

/// Returns the entries of a directory, sorted; an absent directory has none.
fn sorted_entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = entries(dir)?.iter().map(DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

/// Returns what is in a directory; where there is none, nothing.
fn entries(dir: &Path) -> Result<Vec<DirEntry>> {
    match std_fs::read_dir(dir) {
        Ok(entries) => Ok(entries.collect::<io::Result<_>>()?),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(vec![]),
        Err(error) => Err(error.into()),
    }
}

/// Returns a path below `root` with `/` between its components.
fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.join("/")
}

/// Returns the export whose records a folder holds.
fn name_of(folder: &DirEntry) -> Option<ExportName> {
    ExportName::parse(&decode_component(folder.file_name().to_str()?)?).ok()
}
