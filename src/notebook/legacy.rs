//! nbformat 3: cells lie in worksheets, code is in `input`, counts in `prompt_number`, languages at each cell.

use serde_json::Value as Json;

use super::NotebookError;
use super::document::{Cell, cells_of, text_at};

/// Reads the cells of all worksheets in order, and the language of the first cell that names one.
pub(super) fn cells(json: &Json) -> Result<(Vec<Cell>, Option<String>), NotebookError> {
    let worksheets = match json.get("worksheets") {
        None => return Ok((Vec::new(), None)),
        Some(Json::Array(worksheets)) => worksheets,
        Some(_) => return Err(NotebookError::NotAList { field: "worksheets" }),
    };
    let mut cells = Vec::new();
    for worksheet in worksheets {
        cells.extend(cells_of(worksheet, cells.len())?);
    }
    let mut all = worksheets.iter().filter_map(|worksheet| worksheet.get("cells")).filter_map(Json::as_array).flatten();
    Ok((cells, all.find_map(|cell| text_at(cell, "/language"))))
}
