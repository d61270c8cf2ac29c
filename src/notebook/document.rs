//! The parsed notebook: its cells and the few facts about the whole that others ask for.
//!
//! nbformat 4 puts `cells` at the top; nbformat 3 is read by `legacy`. Both become the same [`Document`].

use serde_json::Value as Json;

use super::prune::{self, Keep};
use super::{INJECTED_TAG, NotebookError, PARAMETERS_TAG, legacy};
use crate::format::run::RECEIPT_MEDIA_TYPE;

/// Longest notebook that is read, in bytes. Callers check a file's length before they read it.
pub const MAX_NOTEBOOK_LEN: u64 = 256 * 1024 * 1024;

static CELL: Keep = Keep::Fields(&[
    ("cell_type", Keep::Whole),
    ("id", Keep::Whole),
    ("source", Keep::Whole),
    ("input", Keep::Whole),
    ("language", Keep::Whole),
    ("execution_count", Keep::Whole),
    ("prompt_number", Keep::Whole),
    ("metadata", Keep::Fields(&[("tags", Keep::Whole)])),
    (
        "outputs",
        Keep::Items(&Keep::Fields(&[
            ("output_type", Keep::Whole),
            ("data", Keep::Fields(&[(RECEIPT_MEDIA_TYPE, Keep::Whole)])),
        ])),
    ),
]);
static NOTEBOOK: Keep = Keep::Fields(&[
    ("nbformat", Keep::Whole),
    ("nbformat_minor", Keep::Whole),
    (
        "metadata",
        Keep::Fields(&[
            ("kernelspec", Keep::Fields(&[("language", Keep::Whole)])),
            ("language_info", Keep::Fields(&[("name", Keep::Whole)])),
            ("papermill", Keep::Fields(&[("input_path", Keep::Whole)])),
        ]),
    ),
    ("cells", Keep::Items(&CELL)),
    ("worksheets", Keep::Items(&Keep::Fields(&[("cells", Keep::Items(&CELL))]))),
]);

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Code.
    Code,
    /// Prose; headings of nbformat 3 too.
    Markdown,
    /// Anything else.
    Raw,
}

/// One output of a code cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `stream`, `display_data`, `execute_result`, `error`, or whatever the file says; empty if it says nothing.
    pub output_type: String,
    /// The JSON of the receipt that it carries.
    pub(super) receipt: Option<Json>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it holds.
    pub kind: CellKind,
    /// Its text, lines joined.
    pub source: String,
    /// Its tags, in file order.
    pub tags: Vec<String>,
    /// Its id, as the file has it; nbformat before 4.5 has none.
    pub id: Option<String>,
    /// The number Jupyter shows beside it; `None` if it was not executed.
    pub execution_count: Option<u64>,
    /// Its outputs, in order; empty for other cells than code.
    pub outputs: Vec<Output>,
}

impl Cell {
    /// Returns whether the cell is code with this tag.
    #[must_use]
    pub fn is_code_tagged(&self, tag: &str) -> bool {
        self.kind == CellKind::Code && self.tags.iter().any(|own| own == tag)
    }
}

/// What was executed of a notebook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionSummary {
    /// Code cells that carry an execution count.
    pub executed: usize,
    /// The count of the first of them in document order; 1 when a fresh kernel ran it from the top.
    pub first_count: Option<u64>,
}

/// A parsed notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    nbformat: (u64, u64),
    language: Option<String>,
    papermill_input_path: Option<String>,
    cells: Vec<Cell>,
}

impl Document {
    /// Parses a notebook of nbformat 3 or 4.
    ///
    /// # Errors
    /// [`NotebookError`] with the reason for refusing it.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotebookError> {
        let len = bytes.len() as u64;
        if len > MAX_NOTEBOOK_LEN {
            return Err(NotebookError::TooLarge { len, limit: MAX_NOTEBOOK_LEN });
        }
        // Some editors on Windows put a byte order mark in front.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let json = prune::read(bytes, &NOTEBOOK).map_err(|error| not_json(bytes, &error))?;
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(NotebookError::NotAnObject);
        }
        let (major, minor) = nbformat(&json)?;
        let (cells, cell_language) = if major == 3 { legacy::cells(&json)? } else { (cells_of(&json, 0)?, None) };
        Ok(Self {
            nbformat: (major, minor),
            language: text_at(&json, "/metadata/kernelspec/language")
                .or_else(|| text_at(&json, "/metadata/language_info/name"))
                .or(cell_language),
            papermill_input_path: text_at(&json, "/metadata/papermill/input_path"),
            cells,
        })
    }

    /// Returns `nbformat` and `nbformat_minor`; a missing minor number is 0.
    #[must_use]
    pub fn nbformat(&self) -> (u64, u64) {
        self.nbformat
    }

    /// Returns the kernel's language as the metadata spell it, `python` or `R`; `None` if they do not say.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// Returns whether the code is Python, which is what a notebook is that does not say.
    #[must_use]
    pub fn is_python(&self) -> bool {
        self.language.as_deref().is_none_or(|language| {
            let language = language.to_ascii_lowercase();
            language.strip_prefix('i').unwrap_or(&language).starts_with("python")
        })
    }

    /// Returns the cells in order.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Returns the path of the notebook from which papermill executed this one, as papermill was given it.
    #[must_use]
    pub fn papermill_input_path(&self) -> Option<&str> {
        self.papermill_input_path.as_deref()
    }

    /// Says what was executed.
    #[must_use]
    pub fn execution_summary(&self) -> ExecutionSummary {
        let mut counts =
            self.cells.iter().filter(|cell| cell.kind == CellKind::Code).filter_map(|cell| cell.execution_count);
        let first_count = counts.next();
        ExecutionSummary { executed: counts.count() + usize::from(first_count.is_some()), first_count }
    }

    /// Iterates over the code cells with their indices.
    pub(super) fn code_cells(&self) -> impl Iterator<Item = (usize, &Cell)> {
        self.cells.iter().enumerate().filter(|(_, cell)| cell.kind == CellKind::Code)
    }

    /// Returns the cell that declares the parameters: the first code cell tagged `parameters`.
    pub(super) fn parameters_cell(&self) -> Option<(usize, &Cell)> {
        self.cells.iter().enumerate().find(|(_, cell)| cell.is_code_tagged(PARAMETERS_TAG))
    }

    /// Iterates over the cells in which papermill put values: those tagged `injected-parameters`. One in front of the
    /// parameters cell is left out, because the defaults undo it.
    pub(super) fn injected_cells(&self) -> impl Iterator<Item = (usize, &Cell)> {
        let declared = self.parameters_cell().map(|(index, _)| index);
        self.cells
            .iter()
            .enumerate()
            .filter(move |(index, cell)| cell.is_code_tagged(INJECTED_TAG) && declared.is_none_or(|at| *index > at))
    }
}

fn not_json(bytes: &[u8], error: &serde_json::Error) -> NotebookError {
    let conflict = [b"\n<<<<<<< ".as_slice(), b"\n>>>>>>> "]
        .iter()
        .all(|marker| bytes.windows(marker.len()).any(|window| window == *marker));
    let reason = if bytes.trim_ascii().is_empty() {
        "it is empty".to_owned()
    } else if conflict {
        format!("it has Git conflict markers ({error})")
    } else {
        error.to_string()
    };
    NotebookError::NotJson { reason }
}

fn nbformat(json: &Json) -> Result<(u64, u64), NotebookError> {
    let major = json.get("nbformat").and_then(Json::as_u64).ok_or(NotebookError::NoVersion)?;
    match major {
        0 => Err(NotebookError::NoVersion),
        1 | 2 => Err(NotebookError::TooOld { found: major }),
        3 | 4 => Ok((major, json.get("nbformat_minor").and_then(Json::as_u64).unwrap_or(0))),
        _ => Err(NotebookError::TooNew { found: major }),
    }
}

/// Reads the `cells` of a notebook or worksheet; none if there is no such field. `first` is the index of the first one.
pub(super) fn cells_of(json: &Json, first: usize) -> Result<Vec<Cell>, NotebookError> {
    match json.get("cells") {
        None => Ok(Vec::new()),
        Some(Json::Array(cells)) => cells.iter().enumerate().map(|(index, json)| cell(json, first + index)).collect(),
        Some(_) => Err(NotebookError::NotAList { field: "cells" }),
    }
}

fn cell(json: &Json, index: usize) -> Result<Cell, NotebookError> {
    let bad = |reason| NotebookError::BadCell { cell: index, reason };
    let kind = match json.get("cell_type").and_then(Json::as_str) {
        None => return Err(bad("has no `cell_type`")),
        Some("code") => CellKind::Code,
        Some("markdown" | "heading" | "html") => CellKind::Markdown,
        Some(_) => CellKind::Raw,
    };
    let source = json.get("source").or_else(|| json.get("input"));
    let outputs = json.get("outputs").and_then(Json::as_array).filter(|_| kind == CellKind::Code);
    Ok(Cell {
        kind,
        source: source.map_or(Some(String::new()), joined).ok_or_else(|| bad("has a source that is no text"))?,
        tags: texts(json.pointer("/metadata/tags")),
        id: text_at(json, "/id"),
        execution_count: json.get("execution_count").or_else(|| json.get("prompt_number")).and_then(Json::as_u64),
        outputs: outputs.into_iter().flatten().map(output).collect(),
    })
}

fn output(json: &Json) -> Output {
    Output {
        output_type: text_at(json, "/output_type").unwrap_or_default(),
        receipt: json.get("data").and_then(|data| data.get(RECEIPT_MEDIA_TYPE)).cloned(),
    }
}

/// Joins a text that may be stored as a list of lines; `None` if it is neither. `null` is the empty text.
fn joined(json: &Json) -> Option<String> {
    match json {
        Json::Null => Some(String::new()),
        Json::String(text) => Some(text.clone()),
        Json::Array(lines) => lines.iter().map(Json::as_str).collect(),
        _ => None,
    }
}

fn texts(json: Option<&Json>) -> Vec<String> {
    let items = json.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// Returns the text under a JSON pointer; `None` also for the empty text.
pub(super) fn text_at(json: &Json, pointer: &str) -> Option<String> {
    json.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
