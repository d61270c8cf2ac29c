//! Verifying what a tag names on a remote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::SyncError;
use super::remote::Remote;
use crate::backend::Key;
use crate::error::{Classify as _, ErrorKind, Result};
use crate::format::tables::{DataTables, LocatedChunk, TableContent};
use crate::id::ContentDigest;

/// How closely a tag is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Every pack is there and long enough: one request a pack.
    Presence,
    /// Every byte is fetched and verified.
    Everything,
}

/// What is wrong with a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Something it needs is not there.
    Missing,
    /// Something it needs has other bytes than it should.
    Damaged,
}

/// A content that cannot be read from the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The content.
    pub digest: ContentDigest,
    /// The exports and notebooks that have it, as people write them.
    pub labels: Vec<String>,
    /// What is wrong.
    pub problem: Problem,
    /// The object of the remote, or the content, that shows it.
    pub object: String,
    /// The packs that cannot be relied on any more.
    pub packs: BTreeSet<String>,
}

/// Returns what of a tag cannot be read; empty if all is well.
///
/// # Errors
/// [`SyncError::NoTag`] if the remote does not have the tag; a snapshot that is itself damaged; a backend that fails.
pub fn verify_tag(remote: &Remote, tag: &str, depth: VerifyDepth) -> Result<Vec<Finding>> {
    let (_, snapshot) = remote.snapshot_of_tag(tag)?.ok_or_else(|| SyncError::NoTag { tag: tag.to_owned() })?;
    let mut labels: BTreeMap<ContentDigest, Vec<String>> = BTreeMap::new();
    snapshot.needs().for_each(|(digest, label)| labels.entry(digest).or_default().push(label));
    // Members of directories are named by manifests, which are contents themselves.
    for digest in snapshot.data.digests() {
        labels.entry(*digest).or_insert_with(|| vec![format!("a directory's member {}", digest.short())]);
    }
    verify_contents(remote, &snapshot.data, &labels, &|_| depth == VerifyDepth::Everything)
}

/// Returns what of some contents cannot be read. Of those that are not read in full only the presence of packs is asked.
///
/// # Errors
/// A backend that fails.
pub fn verify_contents(
    remote: &Remote,
    data: &DataTables,
    labels: &BTreeMap<ContentDigest, Vec<String>>,
    is_read: &dyn Fn(&ContentDigest) -> bool,
) -> Result<Vec<Finding>> {
    let bad_packs = remote.bad_packs(data.chunks())?;
    let mut findings = vec![];
    for (digest, labels) in labels {
        let found = match shallow_problem(data, digest, &bad_packs) {
            None if is_read(digest) => deep_problem(remote, data, digest)?,
            shallow => shallow,
        };
        if let Some(Fault { problem, object, packs }) = found {
            findings.push(Finding { digest: *digest, labels: labels.clone(), problem, object, packs });
        }
    }
    Ok(findings)
}

impl Finding {
    /// Makes the finding for a content that no snapshot or segment of the remote has.
    #[must_use]
    pub fn missing(digest: ContentDigest, labels: Vec<String>) -> Self {
        let object = format!("content {}", digest.short());
        Self { digest, labels, problem: Problem::Missing, object, packs: BTreeSet::new() }
    }
}

impl Remote {
    /// Returns which packs of some chunks are missing or too short. One request a pack.
    pub(super) fn bad_packs(
        &self,
        chunks: impl Iterator<Item = LocatedChunk>,
    ) -> Result<BTreeMap<Arc<str>, Problem>, SyncError> {
        let mut ends: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for chunk in chunks {
            let end = chunk.offset + u64::from(chunk.stored_len);
            let known = ends.entry(chunk.pack).or_default();
            *known = end.max(*known);
        }
        let mut bad = BTreeMap::new();
        for (pack, end) in ends {
            match self.backend().head(&Key::parse(&pack)?)? {
                None => drop(bad.insert(pack, Problem::Missing)),
                Some(len) if len < end => drop(bad.insert(pack, Problem::Damaged)),
                Some(_) => {}
            }
        }
        Ok(bad)
    }
}

/// What keeps a content from being read.
struct Fault {
    problem: Problem,
    object: String,
    packs: BTreeSet<String>,
}

fn shallow_problem(
    data: &DataTables,
    digest: &ContentDigest,
    bad_packs: &BTreeMap<Arc<str>, Problem>,
) -> Option<Fault> {
    let Some(content) = data.content(digest) else {
        return Some(Fault { problem: Problem::Missing, object: digest.to_string(), packs: BTreeSet::new() });
    };
    let packs = packs_of(&content);
    let bad: Vec<_> = packs.iter().filter_map(|pack| Some((pack, *bad_packs.get(pack)?))).collect();
    let (pack, problem) = bad.first().copied()?;
    let packs = bad.iter().map(|(pack, _)| pack.to_string()).collect();
    Some(Fault { problem, object: pack.to_string(), packs })
}

fn packs_of(content: &TableContent<'_>) -> BTreeSet<Arc<str>> {
    match content {
        TableContent::Inline(_) => BTreeSet::new(),
        TableContent::Chunks { chunks, .. } => chunks.iter().map(|(chunk, _)| Arc::clone(&chunk.pack)).collect(),
    }
}

/// Reads a whole content from where the tables say it is.
fn deep_problem(remote: &Remote, data: &DataTables, digest: &ContentDigest) -> Result<Option<Fault>> {
    let mut content = remote.open_plain(data, digest)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1024 * 1024];
    let damaged = |object, packs| Ok(Some(Fault { problem: Problem::Damaged, object, packs }));
    loop {
        match content.read_some(&mut buffer) {
            Ok(0) => break,
            Ok(count) => drop(hasher.update(buffer.get(..count).unwrap_or_default())),
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::TooNew) => {
                let packs = error.key().into_iter().collect();
                return damaged(error.to_string(), packs);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if hasher.finalize().as_bytes() == digest.as_bytes() {
        return Ok(None);
    }
    // Its chunks are sound but are not this content's: which of them, nobody can tell.
    let packs = data.content(digest).iter().flat_map(packs_of).map(|pack| pack.to_string()).collect();
    damaged(digest.to_string(), packs)
}
