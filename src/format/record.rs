//! Records: the small tracked files that say which content an export has.
//!
//! `.1nb/exports/<Name>/<params16>.json`, canonical JSON: sorted keys, two spaces, one final newline. No time, host or
//! branch, so that the same result is the same file. Layout and example: `docs/format/record.md`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::FormatError;
use super::name::{ExportName, Suffix};
use super::params::Params;
use crate::id::{CodeIdentity, ContentDigest, ParamsHash};

/// Newest version of records and run records that this program reads and the one that it writes.
// Catalogs remember which records could not be read: their version goes up with this one.
pub const RECORD_VERSION: u32 = 1;
/// Longest record file in bytes; longer ones are refused before they are parsed.
pub const MAX_RECORD_LEN: u64 = 1024 * 1024;
/// Directory of the export records, relative to the work tree.
pub const EXPORTS_DIR: &str = ".1nb/exports";
/// Longest canonical JSON of a value that `save_value` takes, in bytes.
pub const MAX_VALUE_LEN: usize = 100;

/// What identifies an export within one snapshot: its name and the hash of its parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportKey {
    /// The export's name.
    pub name: ExportName,
    /// The hash of its parameters.
    pub params_hash: ParamsHash,
}

impl ExportKey {
    /// Returns the record's path below the work tree, with `/` between components.
    #[must_use]
    pub fn record_path(&self) -> String {
        format!("{EXPORTS_DIR}/{}/{}.json", self.name.to_component(), self.params_hash.short())
    }
}

/// Who made an export.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Producer {
    /// Path of the notebook or script below the work tree, with `/`; `None` for the shell or an unknown place.
    pub path: Option<String>,
    /// Identity of its code, where it is known.
    pub code_identity: Option<CodeIdentity>,
}

impl Producer {
    /// Returns whether the producer is a notebook.
    #[must_use]
    pub fn is_notebook(&self) -> bool {
        self.path.as_deref().is_some_and(|path| path.ends_with(".ipynb"))
    }
}

/// An export that was read while this one was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the repository it was read from.
    pub repo: String,
    /// Revision as it was asked for.
    pub rev: String,
    /// Name of the export.
    pub name: ExportName,
    /// Its parameters.
    pub params: Params,
    /// The content that was read.
    pub digest: ContentDigest,
}

/// Which content one export has for one parameter set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportRecord {
    /// Name of the export.
    pub name: ExportName,
    /// Its parameters, typed.
    pub params: Params,
    /// BLAKE3 of the whole content.
    pub digest: ContentDigest,
    /// Length of the content in bytes.
    pub size: u64,
    /// File name suffix.
    pub suffix: Suffix,
    /// IANA media type.
    pub media_type: String,
    /// Who made it.
    pub producer: Producer,
    /// What was read while it was made, sorted.
    pub inputs: Vec<Input>,
    /// The value itself if it came from `save_value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
}

impl ExportRecord {
    /// Returns the key of the record.
    #[must_use]
    pub fn key(&self) -> ExportKey {
        ExportKey { name: self.name.clone(), params_hash: self.params.hash() }
    }

    /// Shows the export as people write it, `Report{year=2023}`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}{}", self.name, self.params)
    }

    /// Encodes the record as its canonical file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical_json("export", RECORD_VERSION, self)
    }

    /// Decodes a record file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        from_versioned_json("export record", "export", RECORD_VERSION, bytes)
    }
}

/// Writes `{"format": .., "kind": .., ..value}` with sorted keys, two spaces and a final newline.
pub(super) fn to_canonical_json<T: Serialize>(kind: &str, version: u32, value: &T) -> Vec<u8> {
    let mut json = serde_json::to_value(value).expect("records hold nothing that JSON cannot");
    if let Json::Object(entries) = &mut json {
        entries.insert("format".to_owned(), version.into());
        entries.insert("kind".to_owned(), kind.into());
    }
    let mut bytes = serde_json::to_vec_pretty(&json).expect("a JSON value can be written");
    bytes.push(b'\n');
    bytes
}

/// Reads what [`to_canonical_json`] wrote, checking length, kind and version first.
pub(super) fn from_versioned_json<T: for<'de> Deserialize<'de>>(
    what: &'static str,
    kind: &str,
    known: u32,
    bytes: &[u8],
) -> Result<T, FormatError> {
    let json = versioned_json(what, kind, known, bytes)?;
    serde_json::from_value(json).map_err(|error| FormatError::malformed(what, error.to_string()))
}

/// Returns whether Git left the marks of a conflict in a record, which never has them otherwise.
#[must_use]
pub fn has_conflict_markers(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"<<<<<<<")
}

/// As [`from_versioned_json`], before the fields are looked at.
pub(super) fn versioned_json(what: &'static str, kind: &str, known: u32, bytes: &[u8]) -> Result<Json, FormatError> {
    let malformed = |reason: String| FormatError::malformed(what, reason);
    if bytes.len() as u64 > MAX_RECORD_LEN {
        return Err(malformed(format!("it is longer than {MAX_RECORD_LEN} bytes")));
    }
    if has_conflict_markers(bytes) {
        return Err(malformed("it has Git conflict markers".to_owned()));
    }
    let json: Json = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    let version =
        json.get("format").and_then(Json::as_u64).ok_or_else(|| malformed("it has no `format`".to_owned()))?;
    if version > u64::from(known) {
        return Err(FormatError::TooNew { what, found: u32::try_from(version).unwrap_or(u32::MAX), known });
    }
    if json.get("kind").and_then(Json::as_str) != Some(kind) {
        return Err(malformed(format!("its `kind` is not `{kind}`")));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ExportRecord {
        ExportRecord {
            name: ExportName::parse("Report").expect("good"),
            params: Params::from_assignments(["year=2023", "scale=1.0"]).expect("good"),
            digest: ContentDigest::of(b"abc"),
            size: 3,
            suffix: Suffix::parse(".csv").expect("good"),
            media_type: "text/csv".to_owned(),
            producer: Producer { path: Some("report.ipynb".to_owned()), code_identity: None },
            inputs: vec![],
            value: None,
        }
    }

    #[test]
    fn a_record_is_canonical_and_comes_back() {
        let record = sample();
        let bytes = record.to_bytes();
        assert_eq!(ExportRecord::from_bytes(&bytes), Ok(record));
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        assert!(text.ends_with("}\n"));
        let keys: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("  \""))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(keys, sorted);
        assert!(text.contains("\"scale\": 1.0"));
    }

    #[test]
    fn the_page_about_records_shows_a_record_that_decodes() {
        let page = include_str!("../../docs/format/record.md");
        let example =
            page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has an example");
        let record = ExportRecord::from_bytes(example.as_bytes()).expect("the example decodes");
        assert_eq!(String::from_utf8(record.to_bytes()).expect("UTF-8"), example);
        let path = record.key().record_path();
        assert!(page.contains(&path), "{path}");
    }

    #[test]
    fn newer_conflicting_and_foreign_files_are_refused_by_name() {
        let text = String::from_utf8(sample().to_bytes()).expect("UTF-8");
        let newer = text.replace("\"format\": 1", "\"format\": 2");
        assert!(matches!(ExportRecord::from_bytes(newer.as_bytes()), Err(FormatError::TooNew { found: 2, .. })));
        let conflict = format!("<<<<<<< HEAD\n{text}");
        assert!(
            ExportRecord::from_bytes(conflict.as_bytes()).is_err_and(|error| error.to_string().contains("conflict"))
        );
        assert!(ExportRecord::from_bytes(b"{}").is_err());
        assert!(ExportRecord::from_bytes(text.replace("Report", "../x").as_bytes()).is_err());
    }
}
