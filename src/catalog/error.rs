//! What can go wrong with the catalog, and how SQLite's codes map to it.

use std::error::Error as StdError;
use std::io;

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::error::{Classify, ErrorKind, kind_of_io};
use crate::format::FormatError;

/// What SQLite said, kept as a cause without its type.
type Cause = Box<dyn StdError + Send + Sync>;

/// A fault of the catalog. None of them loses data: packs and Git hold everything that is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The file or a row of it is not what was written.
    #[error("the catalog is damaged")]
    Damaged {
        /// What SQLite or a codec said.
        source: Cause,
    },
    /// Others held the file for longer than the time-out.
    #[error("the catalog stayed locked by other processes for {waited_ms} ms")]
    Busy {
        /// How long this process waited, in milliseconds.
        waited_ms: u64,
    },
    /// A snapshot number from before the catalog forgot its commits.
    #[error("snapshot {number} is no longer in the catalog")]
    StaleSnapshot {
        /// The number.
        number: i64,
    },
    /// The process was forked while another thread was inside the catalog.
    #[error("this process was forked while another thread used the catalog")]
    ForkedInUse,
    /// No space left for the file.
    #[error("no space left for the catalog")]
    DiskFull {
        /// What SQLite said.
        source: Cause,
    },
    /// The file may be read but not written.
    #[error("the catalog is read-only")]
    ReadOnly {
        /// What SQLite said.
        source: Cause,
    },
    /// The operating system refused an operation on the file.
    #[error("the catalog could not be reached")]
    Io {
        /// Its error.
        source: io::Error,
    },
    /// Anything else that SQLite refused.
    #[error("the catalog refused an operation")]
    Failed {
        /// What SQLite said.
        source: Cause,
    },
}

impl CatalogError {
    /// Makes the error for a row that holds what its column cannot hold.
    pub(super) fn bad_row(what: &'static str) -> Self {
        Self::Damaged { source: format!("a stored {what} is malformed").into() }
    }
}

/// A row's record that does not decode is damage of the row, whatever its own kind says.
impl From<FormatError> for CatalogError {
    fn from(error: FormatError) -> Self {
        Self::Damaged { source: error.into() }
    }
}

impl From<io::Error> for CatalogError {
    fn from(source: io::Error) -> Self {
        Self::Io { source }
    }
}

/// Translates SQLite's error. A function and no `From`, so that no public signature names SQLite's crate.
pub(super) fn sqlite(error: rusqlite::Error) -> CatalogError {
    use rusqlite::Error as E;
    let bad_row = matches!(
        error,
        E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) | E::Utf8Error(..)
    );
    let code = error.sqlite_error_code();
    let source: Cause = Box::new(error);
    match code {
        None if bad_row => CatalogError::Damaged { source },
        // `Unknown` is SQLite's "no such table or column": the file was made by another program or version.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
            CatalogError::Damaged { source }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CatalogError::Busy { waited_ms: 0 },
        Some(ErrorCode::DiskFull) => CatalogError::DiskFull { source },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => CatalogError::ReadOnly { source },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            CatalogError::Io { source: io::Error::other(source) }
        }
        _ => CatalogError::Failed { source },
    }
}

impl Classify for CatalogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::DiskFull { .. } => ErrorKind::DiskFull,
            Self::ReadOnly { .. } => ErrorKind::ReadOnly,
            Self::Io { source } => kind_of_io(source),
            Self::Busy { .. } | Self::StaleSnapshot { .. } | Self::ForkedInUse | Self::Failed { .. } => {
                ErrorKind::Failed
            }
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Damaged { .. } => "nothing is lost; rebuild it with `onenb reindex`",
            Self::Busy { .. } => "run the command again; if nothing else of onenb runs, try `onenb doctor`",
            Self::StaleSnapshot { .. } => "the catalog was rebuilt meanwhile; run the command again",
            Self::ForkedInUse => "start worker processes before exporting, or with the `spawn` method",
            Self::DiskFull { .. } => "free some space and run the command again",
            Self::ReadOnly { .. } | Self::Io { .. } | Self::Failed { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
