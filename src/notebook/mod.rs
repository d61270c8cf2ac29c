//! Notebooks: what the bytes of an `.ipynb` file say. Pure: bytes in, values out.
//!
//! - Input is hostile: length and nesting are bounded, every fault is a [`NotebookError`] or a reported problem, and
//!   nothing of a notebook is ever run.
//! - What Jupyter tolerates is tolerated: missing metadata, odd cell ids, source as text or lines, outputs of any
//!   shape.
//! - Memory follows the code of a notebook, not its outputs: of those only receipts are kept.
//! - Cells count from 0, lines from 1 within their cell.
//! - This module knows no files, no Git and no store. It is the one that names the Python parser.

mod document;
mod identity;
mod imports;
mod legacy;
mod magics;
mod params;
mod prune;
mod python;
mod receipts;

pub use document::{Cell, CellKind, Document, ExecutionSummary, MAX_NOTEBOOK_LEN, Output};
pub use identity::{code_identity, script_identity};
pub use imports::{Declared, DeclaredModule, declared_exports};
pub use params::{ParameterProblem, ParameterReport, parameters};
pub use receipts::{FoundReceipt, ReceiptProblem, may_hold_receipts};

use thiserror::Error;

use crate::error::{Classify, ErrorKind};

/// Tag of the code cell that declares a notebook's parameters and their defaults.
pub const PARAMETERS_TAG: &str = "parameters";
/// Tag of the code cell in which papermill puts the values of one run.
pub const INJECTED_TAG: &str = "injected-parameters";

/// A file that is refused as a notebook.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotebookError {
    /// The file is longer than [`MAX_NOTEBOOK_LEN`].
    #[error("the notebook has {len} bytes, more than the {limit} that are read")]
    TooLarge {
        /// Length of the file in bytes.
        len: u64,
        /// The longest length that is read, in bytes.
        limit: u64,
    },
    /// The bytes are no JSON, or JSON nested too deep.
    #[error("the notebook is not JSON: {reason}")]
    NotJson {
        /// What is wrong, with line and column where they are known.
        reason: String,
    },
    /// The JSON is a list or a plain value.
    #[error("the file is JSON but no notebook: it is not an object")]
    NotAnObject,
    /// `nbformat` is missing, or is no positive integer.
    #[error("the file is JSON but no notebook: it has no usable `nbformat`")]
    NoVersion,
    /// The notebook is in a format that was given up long ago.
    #[error("the notebook has nbformat {found}, and 3 is the oldest that is read")]
    TooOld {
        /// The `nbformat` found.
        found: u64,
    },
    /// The notebook's format is newer than this program.
    #[error("the notebook has nbformat {found}, and 4 is the newest that is known")]
    TooNew {
        /// The `nbformat` found.
        found: u64,
    },
    /// The list of cells is not a list.
    #[error("the notebook is malformed: `{field}` is not a list")]
    NotAList {
        /// The field.
        field: &'static str,
    },
    /// A cell is not what a cell should be.
    #[error("the notebook is malformed: cell {cell} {reason}")]
    BadCell {
        /// Index of the cell, from 0.
        cell: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Classify for NotebookError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooLarge { .. } => "drop its outputs with `jupyter nbconvert --clear-output --inplace`",
            Self::TooOld { .. } => "convert it with `jupyter nbconvert --to notebook`",
            Self::TooNew { .. } => "a newer Jupyter wrote this; upgrade with `pip install --upgrade onenb`",
            Self::NotJson { reason } if reason.contains("conflict") => {
                "resolve the conflict, then `git add` the notebook"
            }
            Self::NotJson { .. } | Self::NotAnObject | Self::NoVersion => {
                "bring back the last good version with `git checkout -- <notebook>`"
            }
            Self::NotAList { .. } | Self::BadCell { .. } => "open and save it in Jupyter, which repairs what it can",
        };
        Some(hint.to_owned())
    }
}
