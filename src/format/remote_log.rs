//! The small texts of a remote: its marker, its log entries and its tag records.
//!
//! - Each but the marker is *sealed*: a first line `onenb <BLAKE3 of the rest>`, then one JSON document. A changed byte
//!   is found before the text is believed; `tail -n +2` shows the JSON.
//! - Each carries `format`; a newer one is refused by its version before the rest is read.
//! - Examples, and the order in which these are written: `docs/format/remote.md`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::FormatError;
use crate::id::{CommitId, ContentDigest, SessionId};

/// Newest version of a remote that this program reads and the one that it writes.
pub const REMOTE_FORMAT: u32 = 3;
/// Oldest version that is still read.
const OLDEST_FORMAT: u32 = 2;
/// Longest sealed text in bytes.
pub const MAX_SEALED_LEN: u64 = 64 * 1024 * 1024;

const SEAL: &str = "onenb ";

/// `onenb.json`: says that a place is a remote, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteMarker {
    /// Version of the layout.
    pub format: u32,
    /// Oldest format a reader must know.
    pub min_reader: u32,
    /// Oldest format a writer must know.
    pub min_writer: u32,
    /// A random name, so that caches notice when a remote was replaced by another.
    pub id: String,
}

impl RemoteMarker {
    /// Makes the marker of a new remote.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self { format: REMOTE_FORMAT, min_reader: REMOTE_FORMAT, min_writer: REMOTE_FORMAT, id }
    }

    /// Encodes the marker.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a marker holds nothing that JSON cannot");
        bytes.push(b'\n');
        bytes
    }

    /// Decodes the marker.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], or [`FormatError::TooNew`] if this program may not even read the remote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let marker: Self = serde_json::from_slice(bytes)
            .map_err(|error| FormatError::malformed("the remote's `onenb.json`", error.to_string()))?;
        if marker.min_reader > REMOTE_FORMAT {
            return Err(FormatError::TooNew { what: "the remote", found: marker.min_reader, known: REMOTE_FORMAT });
        }
        refuse_older("the remote", marker.format)?;
        Ok(marker)
    }

    /// Checks that this program may write to the remote.
    ///
    /// # Errors
    /// [`FormatError::TooNew`].
    pub fn check_writable(&self) -> Result<(), FormatError> {
        if self.min_writer > REMOTE_FORMAT {
            return Err(FormatError::TooNew { what: "the remote", found: self.min_writer, known: REMOTE_FORMAT });
        }
        Ok(())
    }
}

/// Which repository a remote belongs to. One remote serves one repository, because tags have no other name space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoIdentity {
    /// Its name.
    pub name: String,
    /// The first commit of its history; `None` where history is cut off.
    pub root: Option<CommitId>,
}

impl RepoIdentity {
    /// Returns whether two identities are of one repository: by first commit where both know it, else by name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Some(one), Some(two)) => one == two,
            _ => self.name == other.name,
        }
    }
}

impl std::fmt::Display for RepoIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.root {
            Some(root) => write!(f, "{} (first commit {})", self.name, root.short()),
            None => f.write_str(&self.name),
        }
    }
}

/// One snapshot on the remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The commit.
    pub commit: CommitId,
    /// Key of the snapshot.
    pub key: String,
    /// BLAKE3 of the encoded snapshot.
    pub digest: ContentDigest,
}

/// One line of a commit: a tag, or an untagged commit, gets a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// The tag; `None` for a commit that is uploaded without one.
    pub tag: Option<String>,
    /// What it names now.
    pub snapshot: SnapshotRef,
    /// Whether the user asked to move the tag if it names another commit.
    pub force: bool,
}

/// What a log entry does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogOp {
    /// A push starts; it writes only below its own session. The time is inside the session id.
    Begin {
        /// The push.
        session: SessionId,
    },
    /// A push is complete: everything it names is there.
    Commit {
        /// The push.
        session: SessionId,
        /// The repository; a commit of another one than the first counts as empty.
        repo: RepoIdentity,
        /// What is named from now on.
        tags: Vec<TagMove>,
        /// Keys of all packs that the snapshots use, also those of earlier pushes.
        packs: Vec<String>,
        /// Key of the index segment.
        index: String,
    },
    /// Pushes, or some packs of pushes that go on for others, are void and will be deleted.
    Revoke {
        /// The pushes.
        sessions: Vec<SessionId>,
        /// The packs.
        packs: Vec<String>,
    },
    /// A tag is hidden, and what it named need not be kept.
    Delete {
        /// The tag.
        tag: String,
    },
    /// What was uploaded of a commit without a tag need not be kept.
    DeleteUpload {
        /// The commit.
        commit: CommitId,
    },
    /// What a tag named before it was moved need not be kept.
    Forget {
        /// The tag.
        tag: String,
    },
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Version of the entry.
    pub format: u32,
    /// Random; tells the author of an entry that it is his own.
    pub nonce: String,
    /// The nonce of the entry before; `None` for the first. So a log that was replaced or restored shows.
    pub prev: Option<String>,
    /// Number of the newest entry that a checkpoint covers, if there is one.
    pub checkpoint: Option<u64>,
    /// What it does.
    pub op: LogOp,
}

/// What a tag names, written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// Version of the record.
    pub format: u32,
    /// The tag.
    pub tag: String,
    /// What it names; `None` if the tag was deleted.
    pub snapshot: Option<SnapshotRef>,
}

/// Writes a value as a sealed text.
#[must_use]
pub fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    let mut json = serde_json::to_vec(value).expect("remote texts hold nothing that JSON cannot");
    json.push(b'\n');
    let mut bytes = format!("{SEAL}{}\n", ContentDigest::of(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes
}

/// Reads a sealed text; `what` names it in errors.
///
/// # Errors
/// [`FormatError::Malformed`] or [`FormatError::TooNew`].
pub fn unseal<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let malformed = |reason: String| FormatError::malformed(what, reason);
    let rest = bytes.strip_prefix(SEAL.as_bytes()).and_then(|rest| rest.split_at_checked(65));
    let (head, json) = rest.ok_or_else(|| malformed("it does not start with its checksum".to_owned()))?;
    let expected = head.strip_suffix(b"\n").and_then(|hex| std::str::from_utf8(hex).ok());
    if expected != Some(ContentDigest::of(json).to_string().as_str()) {
        return Err(malformed("it does not match its checksum".to_owned()));
    }
    let version: Version = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
    if version.format > REMOTE_FORMAT {
        return Err(FormatError::TooNew { what, found: version.format, known: REMOTE_FORMAT });
    }
    refuse_older(what, version.format)?;
    serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))
}

fn refuse_older(what: &'static str, format: u32) -> Result<(), FormatError> {
    if format < OLDEST_FORMAT {
        let reason = format!("it has format {format} of before the first release; push to a new place");
        return Err(FormatError::malformed(what, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text of the example under a heading of the page.
    fn example(heading: &str) -> &'static str {
        let page = include_str!("../../docs/format/remote.md");
        let rest = page.split(heading).nth(1).expect("the page has the section");
        rest.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has an example")
    }

    #[test]
    fn the_page_about_remotes_shows_texts_that_decode_and_encode_the_same() {
        let entry: LogEntry = unseal("log entry", example("## Log entries").as_bytes()).expect("decodes");
        assert!(matches!(&entry.op, LogOp::Commit { tags, .. } if tags.len() == 1));
        assert_eq!(String::from_utf8(seal(&entry)).expect("text"), example("## Log entries"));
        let record: TagRecord = unseal("tag record", example("## Tag records").as_bytes()).expect("decodes");
        assert_eq!(String::from_utf8(seal(&record)).expect("text"), example("## Tag records"));
        let marker = RemoteMarker::from_bytes(example("## The marker").as_bytes()).expect("decodes");
        assert_eq!(String::from_utf8(marker.to_bytes()).expect("text"), example("## The marker"));
    }

    fn repo(name: &str, root: Option<u8>) -> RepoIdentity {
        RepoIdentity { name: name.to_owned(), root: root.and_then(|byte| CommitId::from_slice(&[byte; 20])) }
    }

    #[test]
    fn a_repository_is_known_by_its_first_commit_else_by_its_name() {
        assert!(repo("a", Some(1)).is_same(&repo("renamed", Some(1))));
        assert!(!repo("a", Some(1)).is_same(&repo("a", Some(2))));
        assert!(repo("a", None).is_same(&repo("a", Some(2))), "a shallow clone knows only the name");
        assert!(!repo("a", None).is_same(&repo("b", None)));
    }

    #[test]
    fn every_kind_of_entry_comes_back() {
        let session = SessionId::from_bytes([1; 16]);
        let index = "index/x".to_owned();
        let ops = [
            LogOp::Begin { session },
            LogOp::Commit { session, repo: repo("demo", None), tags: vec![], packs: vec!["packs/x".to_owned()], index },
            LogOp::Revoke { sessions: vec![session], packs: vec!["packs/x".to_owned()] },
            LogOp::Delete { tag: "größe/1".to_owned() },
            LogOp::DeleteUpload { commit: CommitId::from_slice(&[1; 20]).expect("20 bytes") },
            LogOp::Forget { tag: "v1".to_owned() },
        ];
        for op in ops {
            let entry = LogEntry {
                format: REMOTE_FORMAT,
                nonce: "n".to_owned(),
                prev: Some("m".to_owned()),
                checkpoint: None,
                op,
            };
            assert_eq!(unseal("log entry", &seal(&entry)), Ok(entry));
        }
    }

    #[test]
    fn newer_and_unsealed_texts_are_refused() {
        let newer = seal(&serde_json::json!({"format": 4, "op": {"unheard": 1}}));
        assert!(matches!(unseal::<LogEntry>("log entry", &newer), Err(FormatError::TooNew { found: 4, .. })));
        let older = seal(&serde_json::json!({"format": 1}));
        assert!(unseal::<LogEntry>("log entry", &older).is_err_and(|error| error.to_string().contains("format 1")));
        for bad in [&b""[..], b"{}", b"onenb ", b"onenb 00\n{}"] {
            assert!(matches!(unseal::<LogEntry>("log entry", bad), Err(FormatError::Malformed { .. })));
        }
        let marker = br#"{"format": 4, "min_reader": 4, "min_writer": 4, "id": "x"}"#;
        assert!(matches!(RemoteMarker::from_bytes(marker), Err(FormatError::TooNew { found: 4, .. })));
        let before = br#"{"format": 2, "min_reader": 2, "min_writer": 2, "id": "x"}"#;
        assert!(RemoteMarker::from_bytes(before).is_ok_and(|marker| marker.check_writable().is_ok()));
    }
}
