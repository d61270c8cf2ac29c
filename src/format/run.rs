//! Run records and receipts: what one execution of a notebook was and what it exported.
//!
//! - A run record is a tracked file, `.1nb/runs/<notebook path>/<params16>.json`, canonical like an export record.
//! - A receipt is a notebook output of media type [`RECEIPT_MEDIA_TYPE`]; it stays inside the saved notebook.
//! - Layout and examples: `docs/format/run.md`.

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::name::{ExportName, Suffix, encode_component};
use super::params::Params;
use super::record::{Input, RECORD_VERSION, from_versioned_json, to_canonical_json};
use crate::id::{CodeIdentity, ContentDigest, ParamsHash, RunId};

/// Directory of the run records, relative to the work tree.
pub const RUNS_DIR: &str = ".1nb/runs";
/// Media type of the output that carries a receipt.
pub const RECEIPT_MEDIA_TYPE: &str = "application/vnd.onenb.receipt+json";
/// Newest receipt version that this program reads and the one that it writes.
pub const RECEIPT_VERSION: u32 = 1;

/// One export as a run names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunExport {
    /// Name of the export.
    pub name: ExportName,
    /// Its parameters.
    pub params: Params,
    /// Its content.
    pub digest: ContentDigest,
}

/// One recorded execution of a notebook with one parameter set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Path of the executed notebook below the work tree, with `/`.
    pub path: String,
    /// Path of the notebook it was executed from, if that is another file.
    pub original: Option<String>,
    /// Parameters that the notebook ran with.
    pub params: Params,
    /// Content of the executed notebook file.
    pub notebook: ContentDigest,
    /// Its length in bytes.
    pub size: u64,
    /// Identity of its code.
    pub code_identity: CodeIdentity,
    /// Run ids of the receipts in it, sorted.
    pub runs: Vec<RunId>,
    /// What it exported, sorted by name and parameters.
    pub exports: Vec<RunExport>,
    /// What it read, sorted.
    pub inputs: Vec<Input>,
}

impl RunRecord {
    /// Returns the record's path below the work tree.
    #[must_use]
    pub fn record_path(&self) -> String {
        run_record_path(&self.path, &self.params.hash())
    }

    /// Encodes the record as its canonical file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical_json("run", RECORD_VERSION, self)
    }

    /// Decodes a run record file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        from_versioned_json("run record", "run", RECORD_VERSION, bytes)
    }
}

/// Returns where the run record of a notebook and a parameter set lives below the work tree.
#[must_use]
pub fn run_record_path(notebook_path: &str, params_hash: &ParamsHash) -> String {
    let folders: Vec<_> = notebook_path.split('/').map(encode_component).collect();
    format!("{RUNS_DIR}/{}/{}.json", folders.join("/"), params_hash.short())
}

/// The output that an export leaves inside the notebook that made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of the receipt, [`RECEIPT_VERSION`].
    pub v: u32,
    /// The kernel session that made it.
    pub run: RunId,
    /// Name of the export.
    pub export: ExportName,
    /// Its parameters.
    pub params: Params,
    /// Its content.
    pub digest: ContentDigest,
    /// Length of the content in bytes.
    pub size: u64,
    /// File name suffix.
    pub suffix: Suffix,
    /// BLAKE3 of the source text of the cell that made it, if it is known.
    pub cell_source_digest: Option<ContentDigest>,
    /// What was read while it was made.
    #[serde(default)]
    pub inputs: Vec<Input>,
}

impl Receipt {
    /// Decodes a receipt from the JSON of a notebook output.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_json(json: &serde_json::Value) -> Result<Self, FormatError> {
        let version = json.get("v").and_then(serde_json::Value::as_u64);
        match version {
            None => Err(FormatError::malformed("receipt", "it has no `v`")),
            Some(found) if found > u64::from(RECEIPT_VERSION) => Err(FormatError::TooNew {
                what: "receipt",
                found: u32::try_from(found).unwrap_or(u32::MAX),
                known: RECEIPT_VERSION,
            }),
            Some(_) => Receipt::deserialize(json).map_err(|error| FormatError::malformed("receipt", error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example<T>(marker: &str, decode: impl Fn(&str) -> T) -> T {
        let page = include_str!("../../docs/format/run.md");
        let rest = page.split(marker).nth(1).expect("the page has the section");
        let text = rest.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has an example");
        decode(text)
    }

    #[test]
    fn the_page_about_runs_shows_a_run_record_that_decodes() {
        example("## Run record", |text| {
            let run = RunRecord::from_bytes(text.as_bytes()).expect("the example decodes");
            assert_eq!(String::from_utf8(run.to_bytes()).expect("UTF-8"), text);
        });
    }

    #[test]
    fn the_page_about_runs_shows_a_receipt_that_decodes() {
        example("## Receipt", |text| {
            let json = serde_json::from_str(text).expect("JSON");
            let receipt = Receipt::from_json(&json).expect("the example decodes");
            assert_eq!(serde_json::to_value(&receipt).expect("JSON"), json);
        });
    }

    #[test]
    fn run_records_live_below_their_notebooks_path() {
        let path = run_record_path("reports/q 3.ipynb", &Params::empty().hash());
        assert!(path.starts_with(".1nb/runs/reports/q%203.ipynb/"), "{path}");
    }

    #[test]
    fn a_newer_receipt_is_refused_by_version() {
        let json = serde_json::json!({"v": 2});
        assert!(matches!(Receipt::from_json(&json), Err(FormatError::TooNew { found: 2, .. })));
    }
}
