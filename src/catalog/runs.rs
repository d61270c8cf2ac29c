//! Runs: which notebooks were executed with which parameters, as recorded at each commit.

use rusqlite::{Row, params};

use super::ancestry::{Place, place_columns};
use super::commits::generation_column;
use super::error::CatalogError;
use super::transaction::{ReadTransaction, WriteTransaction, column, commit_column};
use crate::format::name::ExportName;
use crate::format::run::RunRecord;
use crate::id::CommitId;

/// The branch that another came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentBranch {
    /// Name of the branch.
    pub branch: String,
    /// How it was found out, in the words of the caller: `config`, `captured`, `reflog` and so on.
    pub method: String,
}

/// A run together with the commit that recorded it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedRun {
    /// The commit that recorded it.
    pub commit: CommitId,
    /// When that was committed, in seconds since 1970, UTC.
    pub time_unix: i64,
    /// The commit's generation.
    pub generation: u64,
    /// The commit's place, for [`Reach::contains`](super::Reach::contains).
    pub place: Place,
    /// The run.
    pub record: RunRecord,
}

/// Every list of runs: children before parents, then newest first, then by path, parameter hash and commit.
macro_rules! select_runs {
    ($condition:literal) => {
        concat!(
            "SELECT r.commit_id, c.time_unix, c.generation, r.record, c.chain, c.position ",
            "FROM runs AS r JOIN commits AS c ON c.id = r.commit_id ",
            $condition,
            " ORDER BY c.generation DESC, c.time_unix DESC, r.path, r.params_hash, r.commit_id"
        )
    };
}

impl ReadTransaction {
    /// Returns the runs that one commit recorded.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn runs_of(&self, commit: &CommitId) -> Result<Vec<CommittedRun>, CatalogError> {
        self.all(select_runs!("WHERE r.commit_id = ?1"), [commit.as_slice()], run_columns)
    }

    /// Returns the runs that exported something under a name: topologically newest first, then by time, path and
    /// parameter hash.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn runs_with_export(&self, name: &ExportName) -> Result<Vec<CommittedRun>, CatalogError> {
        let sql = select_runs!("WHERE r.id IN (SELECT run FROM run_exports WHERE name = ?1)");
        self.all(sql, [name.as_str()], run_columns)
    }

    /// Returns the runs of the notebook at a path, in the order of [`ReadTransaction::runs_with_export`].
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn runs_of_notebook(&self, path: &str) -> Result<Vec<CommittedRun>, CatalogError> {
        self.all(select_runs!("WHERE r.path = ?1"), [path], run_columns)
    }

    /// Returns all runs, in the order of [`ReadTransaction::runs_with_export`].
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn all_runs(&self) -> Result<Vec<CommittedRun>, CatalogError> {
        self.all(select_runs!(""), [], run_columns)
    }
}

impl WriteTransaction {
    /// Puts the runs that a commit recorded, in place of any that were there. The commit itself must be put in the same
    /// transaction or before.
    ///
    /// # Errors
    /// [`CatalogError`]; an unknown commit shows when the transaction commits.
    pub fn put_runs(&self, commit: &CommitId, runs: &[RunRecord]) -> Result<(), CatalogError> {
        self.change("DELETE FROM runs WHERE commit_id = ?1", [commit.as_slice()])?;
        for record in runs {
            let text = String::from_utf8(record.to_bytes()).expect("JSON is UTF-8");
            let sql = "INSERT INTO runs (commit_id, path, params_hash, record) VALUES (?1, ?2, ?3, ?4)";
            let hash = record.params.hash();
            let run = self.insert(sql, params![commit.as_slice(), record.path, hash.as_bytes(), text])?;
            for export in &record.exports {
                let sql = "INSERT OR IGNORE INTO run_exports (name, run) VALUES (?1, ?2)";
                self.change(sql, params![export.name.as_str(), run])?;
            }
        }
        Ok(())
    }
}

fn run_columns(row: &Row<'_>) -> Result<CommittedRun, CatalogError> {
    let record = RunRecord::from_bytes(column::<String>(row, 3)?.as_bytes())?;
    Ok(CommittedRun {
        commit: commit_column(row, 0)?,
        time_unix: column(row, 1)?,
        generation: generation_column(row, 2)?,
        place: place_columns(row, 4)?,
        record,
    })
}
