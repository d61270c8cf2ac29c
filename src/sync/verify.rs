//! Verifying what a tag names on a remote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;

use super::SyncError;
use super::content::{FramePlace, decode, fetch_frames};
use super::fetch::runs_of;
use super::remote::Remote;
use crate::backend::Key;
use crate::error::{Classify as _, Error, ErrorKind, Result};
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

/// Returns what of some contents cannot be read. Of those that are not read in full only the presence of packs is
/// asked.
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
        let problem = match shallow_problem(data, digest, &bad_packs) {
            None if is_read(digest) => deep_problem(remote, data, digest)?,
            shallow => shallow,
        };
        if let Some((problem, object)) = problem {
            findings.push(Finding { digest: *digest, labels: labels.clone(), problem, object });
        }
    }
    Ok(findings)
}

impl Finding {
    /// Makes the finding for a content that no snapshot or segment of the remote has.
    #[must_use]
    pub fn missing(digest: ContentDigest, labels: Vec<String>) -> Self {
        Self { digest, labels, problem: Problem::Missing, object: format!("content {}", digest.short()) }
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

impl Remote {
    /// Returns which packs of some chunks cannot be read where the chunks lie. Reads their frames in full.
    pub(super) fn unreadable_packs(&self, chunks: &[LocatedChunk]) -> Result<BTreeSet<Arc<str>>, SyncError> {
        let mut frames: BTreeMap<FramePlace, u32> = BTreeMap::new();
        let mut expected: BTreeMap<FramePlace, Vec<&LocatedChunk>> = BTreeMap::new();
        for chunk in chunks {
            let place = (Arc::clone(&chunk.pack), chunk.offset);
            frames.insert(place.clone(), chunk.stored_len);
            expected.entry(place).or_default().push(chunk);
        }
        let mut bad = BTreeSet::new();
        for (pack, run) in runs_of(&frames) {
            if bad.contains(&pack) {
                continue;
            }
            match self.check_run(&pack, &run, &expected) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Damaged => drop(bad.insert(pack)),
                Err(error) => return Err(error),
            }
        }
        Ok(bad)
    }

    fn check_run(
        &self,
        pack: &Arc<str>,
        run: &[(u64, u32)],
        expected: &BTreeMap<FramePlace, Vec<&LocatedChunk>>,
    ) -> Result<(), SyncError> {
        let frames = fetch_frames(self.backend(), pack, run)?;
        for ((offset, _), frame) in run.iter().zip(frames) {
            decode(pack, &frame)?;
            for chunk in expected.get(&(Arc::clone(pack), *offset)).into_iter().flatten() {
                if frame.header().find_chunk(&chunk.id).is_none_or(|(_, len)| len != chunk.len as usize) {
                    let reason = "a frame does not hold the chunk that is named there";
                    return Err(SyncError::WrongObject { key: pack.to_string(), reason });
                }
            }
        }
        Ok(())
    }
}

fn shallow_problem(
    data: &DataTables,
    digest: &ContentDigest,
    bad_packs: &BTreeMap<Arc<str>, Problem>,
) -> Option<(Problem, String)> {
    match data.content(digest) {
        None => Some((Problem::Missing, digest.to_string())),
        Some(TableContent::Inline(_)) => None,
        Some(TableContent::Chunks { chunks, .. }) => {
            let packs: BTreeSet<_> = chunks.into_iter().map(|(chunk, _)| chunk.pack).collect();
            packs.into_iter().find_map(|pack| bad_packs.get(&pack).map(|problem| (*problem, pack.to_string())))
        }
    }
}

/// Reads a whole content.
fn deep_problem(remote: &Remote, data: &DataTables, digest: &ContentDigest) -> Result<Option<(Problem, String)>> {
    let mut content = remote.open_plain(data, digest)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => drop(hasher.update(buffer.get(..count).unwrap_or_default())),
            Err(error) => {
                let error = Error::from(error);
                return match error.kind() {
                    ErrorKind::Damaged | ErrorKind::TooNew => Ok(Some((Problem::Damaged, error.to_string()))),
                    _ => Err(error),
                };
            }
        }
    }
    let right = hasher.finalize().as_bytes() == digest.as_bytes();
    Ok((!right).then(|| (Problem::Damaged, digest.to_string())))
}
