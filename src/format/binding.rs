//! What the store's metadata packs remember for Git: pending exports, late bindings, unbindings, pushes, branch starts.
//!
//! Canonical JSON like records, one object each, so that `reindex` answers as before from packs and Git alone.
//! Layout: `docs/format/binding.md`.

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::bytes::Fields;
use super::name::ExportName;
use super::record::{ExportRecord, to_canonical_json, versioned_json};
use crate::id::{CodeIdentity, CommitId, ParamsHash};

/// Version of these objects that this program writes, and the newest that it reads.
const BINDING_VERSION: u32 = 2;
const JOURNAL_MAGIC: [u8; 8] = *b"1nbbat1\n";

/// An export that is in a work tree and perhaps in no commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The worktree it was made in.
    pub worktree: String,
    /// Its record.
    pub record: ExportRecord,
    /// Code of the producing script at that time; a changed script is not bound by itself.
    pub script: Option<CodeIdentity>,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
}

/// An export bound to a commit whose tree does not tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LateBinding {
    /// The commit.
    pub commit: CommitId,
    /// The record that the commit has for its key.
    pub record: ExportRecord,
    /// Whether a person asked for it (`onenb bind`); it then counts for more than the commit's tree.
    pub explicit: bool,
    /// Microseconds since 1970 UTC; the latest word on a key counts.
    pub time_us: i64,
}

/// A key that a commit does not have, whatever it would inherit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unbinding {
    /// The commit.
    pub commit: CommitId,
    /// Name of the export.
    pub name: ExportName,
    /// The hash of its parameters.
    pub params_hash: ParamsHash,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
}

/// What a remote has for a tag: a push that it confirmed, a deletion, or a move that was noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushLog {
    /// The tag.
    pub tag: String,
    /// The commit it names there; `None` if the remote does not have it any more.
    pub commit: Option<CommitId>,
    /// The remote.
    pub remote: String,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
}

/// Where a branch started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchStart {
    /// The branch.
    pub branch: String,
    /// The commit it was created at.
    pub commit: CommitId,
    /// The branch that was checked out before, if one was.
    pub parent_branch: Option<String>,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
}

/// The branch that a commit was made on, and the one that this came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitBranch {
    /// The commit.
    pub commit: CommitId,
    /// The branch it was made on.
    pub branch: String,
    /// The branch that this one came from.
    pub parent_branch: String,
    /// How that was found out.
    pub parent_method: String,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
}

/// The records of a batch that is durable in the store, until all their files are.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchJournal {
    /// The records.
    pub records: Vec<ExportRecord>,
}

impl BatchJournal {
    /// Encodes the journal: the record files one after the other, each after its length.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = JOURNAL_MAGIC.to_vec();
        for record in &self.records {
            let file = record.to_bytes();
            bytes.extend_from_slice(&(file.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&file);
        }
        bytes
    }

    /// Decodes a journal.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("batch journal", bytes);
        if fields.array::<8>()? != JOURNAL_MAGIC {
            return Err(fields.fault("it does not start like one"));
        }
        let mut records = vec![];
        while fields.len() > 0 {
            let len = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
            records.push(ExportRecord::from_bytes(fields.take(len)?)?);
        }
        Ok(Self { records })
    }
}

/// That a content is kept whatever names it, or need not be any more. Of several for one content the latest counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// The record that named the content.
    pub record: ExportRecord,
    /// What was asked for, for people.
    pub spec: String,
    /// Whether it is kept from now on.
    pub pinned: bool,
    /// Microseconds since 1970 UTC.
    pub time_us: i64,
}

macro_rules! object_codec {
    ($($type:ident, $kind:literal, $what:literal;)*) => {
        $(impl $type {
            /// Encodes the object as canonical JSON.
            #[must_use]
            pub fn to_bytes(&self) -> Vec<u8> {
                to_canonical_json($kind, BINDING_VERSION, self)
            }

            /// Decodes the object.
            ///
            /// # Errors
            /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
                decode($what, $kind, bytes)
            }
        })*
    };
}

fn decode<T: for<'de> Deserialize<'de>>(what: &'static str, kind: &str, bytes: &[u8]) -> Result<T, FormatError> {
    let mut json = versioned_json(what, kind, BINDING_VERSION, bytes)?;
    // Version 1 counted seconds.
    if let Some(fields) = json.as_object_mut()
        && let Some(seconds) = fields.remove("time_unix").as_ref().and_then(serde_json::Value::as_i64)
    {
        fields.insert("time_us".to_owned(), seconds.saturating_mul(1_000_000).into());
    }
    serde_json::from_value(json).map_err(|error| FormatError::malformed(what, error.to_string()))
}

object_codec! {
    Pending, "pending", "pending export";
    LateBinding, "late-binding", "late binding";
    Unbinding, "unbinding", "unbinding";
    PushLog, "push", "push log entry";
    BranchStart, "branch-start", "branch start";
    CommitBranch, "commit-branch", "commit's branch";
    Pin, "pin", "pin";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_and_do_not_pass_for_one_another() {
        let push = PushLog {
            tag: "v1".to_owned(),
            commit: CommitId::from_slice(&[7; 20]),
            remote: "/srv/data".to_owned(),
            time_us: 1_700_000_000_000_001,
        };
        let bytes = push.to_bytes();
        assert_eq!(PushLog::from_bytes(&bytes), Ok(push));
        assert!(BranchStart::from_bytes(&bytes).is_err());
        assert!(PushLog::from_bytes(b"[]").is_err());
    }

    #[test]
    fn seconds_of_the_first_version_are_read() {
        let text = r#"{"format": 1, "kind": "branch-start", "branch": "x", "commit": "0101010101010101010101010101010101010101",
                       "parent_branch": null, "time_unix": 1700000000}"#;
        let start = BranchStart::from_bytes(text.as_bytes()).expect("it decodes");
        assert_eq!(start.time_us, 1_700_000_000_000_000);
        assert!(String::from_utf8_lossy(&start.to_bytes()).contains("\"format\": 2"));
    }
}
