//! What the store's metadata packs remember for Git: pending exports, late bindings, unbindings, pushes, branch starts.
//!
//! Canonical JSON like records, one object each, so that `reindex` answers as before from packs and Git alone.
//! Layout: `docs/format/binding.md`.

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::name::ExportName;
use super::record::{ExportRecord, from_versioned_json, to_canonical_json};
use crate::id::{CodeIdentity, CommitId, ParamsHash};

/// An export that is in a work tree and perhaps in no commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The worktree it was made in.
    pub worktree: String,
    /// Its record.
    pub record: ExportRecord,
    /// Code of the producing script at that time; a changed script is not bound by itself.
    pub script: Option<CodeIdentity>,
    /// Seconds since 1970 UTC.
    pub time_unix: i64,
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
    /// Seconds since 1970 UTC; the latest word on a key counts.
    pub time_unix: i64,
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
    /// Seconds since 1970 UTC.
    pub time_unix: i64,
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
    /// Seconds since 1970 UTC.
    pub time_unix: i64,
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
    /// Seconds since 1970 UTC.
    pub time_unix: i64,
}

macro_rules! object_codec {
    ($($type:ident, $kind:literal, $what:literal;)*) => {
        $(impl $type {
            /// Encodes the object as canonical JSON.
            #[must_use]
            pub fn to_bytes(&self) -> Vec<u8> {
                to_canonical_json($kind, self)
            }

            /// Decodes the object.
            ///
            /// # Errors
            /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
                from_versioned_json($what, $kind, bytes)
            }
        })*
    };
}

object_codec! {
    Pending, "pending", "pending export";
    LateBinding, "late-binding", "late binding";
    Unbinding, "unbinding", "unbinding";
    PushLog, "push", "push log entry";
    BranchStart, "branch-start", "branch start";
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
            time_unix: 1_700_000_000,
        };
        let bytes = push.to_bytes();
        assert_eq!(PushLog::from_bytes(&bytes), Ok(push));
        assert!(BranchStart::from_bytes(&bytes).is_err());
        assert!(PushLog::from_bytes(b"[]").is_err());
    }
}
