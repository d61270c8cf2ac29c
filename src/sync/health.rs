//! What makes a remote whole besides data: snapshots that must stay, records of tags, index segments.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use super::SyncError;
use super::index::{session_of_pack, whole_contents};
use super::log::LogState;
use super::remote::Remote;
use super::tags::tag_key;
use crate::backend::Key;
use crate::error::{Classify as _, ErrorKind};
use crate::format::remote_log::SnapshotRef;
use crate::format::snapshot::{Segment, Snapshot};
use crate::format::tables::{DataTables, TableContent, TablesBuilder};
use crate::id::{CommitId, ContentDigest, SessionId};

/// Why a snapshot must stay readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootOwner {
    /// A tag names it.
    Tag(String),
    /// A tag named it before it was moved.
    Before(String),
    /// It was uploaded without a tag.
    Upload(CommitId),
}

impl RootOwner {
    /// Says what to do about a snapshot that is lost.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Tag(tag) => format!("send it again with `onenb push --force {tag}`"),
            Self::Before(tag) => format!("give up what the tag named before with `onenb push --forget-history {tag}`"),
            Self::Upload(commit) => format!(
                "send it again with `onenb push --force {commit}`, or give it up with `onenb push --delete {commit}`"
            ),
        }
    }
}

impl fmt::Display for RootOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "tag `{tag}`"),
            Self::Before(tag) => write!(f, "what tag `{tag}` named before"),
            Self::Upload(commit) => write!(f, "commit {}, uploaded without a tag", commit.short()),
        }
    }
}

/// A snapshot that must stay readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Why.
    pub owner: RootOwner,
    /// The commit it is of.
    pub commit: CommitId,
    place: SnapshotRef,
}

impl LogState {
    /// Returns every snapshot that must stay readable: garbage collection keeps what these name.
    pub(super) fn roots(&self) -> impl Iterator<Item = (RootOwner, &SnapshotRef)> {
        let tags = self.tags.iter().flat_map(|(tag, named)| {
            let now = named.snapshot.iter().map(|place| (RootOwner::Tag(tag.clone()), place));
            now.chain(named.history.iter().map(|place| (RootOwner::Before(tag.clone()), place)))
        });
        tags.chain(self.uploads.iter().map(|(commit, place)| (RootOwner::Upload(*commit), place)))
    }
}

impl Remote {
    /// Returns what garbage collection keeps: what tags name, what they named before, and what was uploaded without a
    /// tag.
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn roots(&self) -> Result<Vec<Root>, SyncError> {
        let state = self.refresh()?;
        let root =
            |(owner, place): (RootOwner, &SnapshotRef)| Root { owner, commit: place.commit, place: place.clone() };
        Ok(state.roots().map(root).collect())
    }

    /// Reads a root; `None` if it is none any more.
    ///
    /// # Errors
    /// [`SyncError::Backend`], or [`SyncError::Damaged`] and its like.
    pub fn snapshot_of_root(&self, root: &Root) -> Result<Option<Snapshot>, SyncError> {
        match self.snapshot(&root.place) {
            Err(SyncError::Absent { .. }) if !self.refresh()?.roots().any(|(_, place)| *place == root.place) => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Returns the tags whose records are lost, so that readers find nothing or what the tag named before.
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn tags_without_record(&self) -> Result<Vec<String>, SyncError> {
        let state = self.refresh()?;
        self.without_record(&state)
    }

    fn without_record(&self, state: &LogState) -> Result<Vec<String>, SyncError> {
        let there = self.tag_record_keys()?;
        let mut without = vec![];
        for (tag, named) in &state.tags {
            if !there.contains(&tag_key(tag, named.number)?) {
                without.push(tag.clone());
            }
        }
        Ok(without)
    }

    /// Writes the records of tags that interrupted pushes left out, or that were lost.
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn complete_tag_records(&self) -> Result<(), SyncError> {
        let state = self.refresh()?;
        self.complete_records_of(&state)
    }

    pub(super) fn complete_records_of(&self, state: &LogState) -> Result<(), SyncError> {
        self.without_record(state)?.iter().try_for_each(|tag| self.write_tag_record(state, tag))
    }

    /// Puts lost and damaged index segments back: from this machine's cache, else made anew from the snapshots that
    /// must stay. What a new one lists is no less than anybody needs: what those snapshots have and no other segment
    /// lists.
    ///
    /// # Errors
    /// As [`Remote::bad_segments`].
    pub fn repair_segments(&self) -> Result<(), SyncError> {
        let bad: BTreeSet<String> = self.bad_segments()?.into_iter().map(|(key, _)| key).collect();
        if bad.is_empty() {
            return Ok(());
        }
        self.check_writable()?;
        let state = self.refresh()?;
        let (mut listed, mut lost) = (HashSet::new(), vec![]);
        for (session, key) in state.newest_first() {
            if !bad.contains(key) {
                if let Some(segment) = self.sound_segment(session, key)? {
                    listed.extend(whole_contents(&segment.data, &state).copied());
                }
            } else if let Some((segment, bytes)) = self.cached_segment(session) {
                self.backend().put(&Key::parse(key)?, bytes)?;
                listed.extend(whole_contents(&segment.data, &state).copied());
            } else {
                lost.push((session, key, TablesBuilder::new()));
            }
        }
        if !lost.is_empty() {
            self.list_anew(&state, &mut listed, &mut lost)?;
        }
        for (session, key, tables) in lost {
            self.backend().put(&Key::parse(key)?, Segment { session, data: tables.finish() }.to_bytes())?;
        }
        Ok(())
    }

    /// Lists what the roots have: chunks with the push that sent them, contents wherever there is room.
    fn list_anew(
        &self,
        state: &LogState,
        listed: &mut HashSet<ContentDigest>,
        lost: &mut [(SessionId, &str, TablesBuilder)],
    ) -> Result<(), SyncError> {
        for (_, place) in state.roots() {
            let data = match self.snapshot(place) {
                Err(error) if error.kind() == ErrorKind::Damaged => continue,
                other => other?.data,
            };
            for chunk in data.chunks().filter(|chunk| state.is_live(&chunk.pack)) {
                let sender = session_of_pack(&chunk.pack);
                if let Some((.., tables)) = lost.iter_mut().find(|(session, ..)| Some(*session) == sender) {
                    tables.add_chunk(chunk);
                }
            }
            for digest in whole_contents(&data, state).filter(|digest| listed.insert(**digest)) {
                if let Some((.., tables)) = lost.first_mut() {
                    copy_content(tables, &data, digest);
                }
            }
        }
        Ok(())
    }
}

fn copy_content(tables: &mut TablesBuilder, data: &DataTables, digest: &ContentDigest) {
    match data.content(digest) {
        None => {}
        Some(TableContent::Inline(bytes)) => tables.add_inline(*digest, bytes),
        Some(TableContent::Chunks { chunker, chunks }) => tables.add_chunked(*digest, chunker, chunks),
    }
}
