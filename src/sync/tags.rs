//! Tags: what readers ask for, and the records that answer them in one listing.
//!
//! `tags/<tag>/<16 hex digits of !n>` repeats what log entry `n` says about one tag, so readers need no log. It is
//! written after the entry; a tag without its record is not found yet, and the next push of it writes the record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::SyncError;
use super::log::{LogState, number_of, numbered_key};
use super::remote::Remote;
use crate::backend::Key;
use crate::format::name::encode_component;
use crate::format::remote_log::{LogOp, REMOTE_FORMAT, SnapshotRef, TagRecord, seal, unseal};
use crate::format::snapshot::Snapshot;
use crate::id::{CommitId, ContentDigest};

/// Longest percent-encoded tag that is used as it is; longer ones go by their hash.
const MAX_PLAIN_LEN: usize = 180;

/// A tag on a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTag {
    /// The tag.
    pub tag: String,
    /// The commit that it names there.
    pub commit: CommitId,
}

/// Returns the folder of a tag's records.
fn folder_of(tag: &str) -> String {
    // Capitals are escaped because `V1` and `v1` are one folder to many file systems, a leading dot because keys have
    // none. The encoding escapes `~`, so no tag looks like another one's hash.
    let mut encoded = String::new();
    for (position, character) in tag.char_indices() {
        match character {
            'A'..='Z' => drop(write!(encoded, "%{:02X}", u32::from(character))),
            '.' if position == 0 => encoded.push_str("%2E"),
            _ => encoded.push_str(&encode_component(character.encode_utf8(&mut [0; 4]))),
        }
    }
    if (1..=MAX_PLAIN_LEN).contains(&encoded.len()) {
        format!("tags/{encoded}")
    } else {
        format!("tags/~{}", ContentDigest::of(tag.as_bytes()))
    }
}

impl Remote {
    /// Returns the tags that can be read, sorted.
    ///
    /// # Errors
    /// [`SyncError::NotCreated`], [`SyncError::Backend`], or [`SyncError::Damaged`] and its like if the remote is.
    pub fn tags(&self) -> Result<Vec<RemoteTag>, SyncError> {
        let state = self.refresh()?;
        let records = self.tag_record_keys()?;
        let readable = |tag: &str, number: u64| tag_key(tag, number).is_ok_and(|key| records.contains(&key));
        let tags = state.tags.iter().filter_map(|(tag, named)| {
            let snapshot = named.snapshot.as_ref()?;
            readable(tag, named.number).then(|| RemoteTag { tag: tag.clone(), commit: snapshot.commit })
        });
        Ok(tags.collect())
    }

    /// Returns what the log says that every tag names, also of a tag whose record an interrupted push has yet to write;
    /// `None` for one that was deleted. Two requests if nothing happened since this machine's last one.
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn tag_words(&self) -> Result<BTreeMap<String, Option<CommitId>>, SyncError> {
        let state = self.refresh()?;
        Ok(state.tags.into_iter().map(|(tag, named)| (tag, named.snapshot.map(|snapshot| snapshot.commit))).collect())
    }

    /// Returns whether a commit was uploaded without a tag.
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn is_uploaded(&self, commit: &CommitId) -> Result<bool, SyncError> {
        Ok(self.refresh()?.uploads.contains_key(commit))
    }

    /// Returns the commits that tags name or that were uploaded without one. Two requests, as for
    /// [`Remote::tag_words`].
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn pushed_commits(&self) -> Result<BTreeSet<CommitId>, SyncError> {
        let state = self.refresh()?;
        let named = state.tags.into_values().filter_map(|named| Some(named.snapshot?.commit));
        Ok(named.chain(state.uploads.into_keys()).collect())
    }

    /// Returns what a tag names; `None` if the remote does not have it. Three requests.
    ///
    /// # Errors
    /// [`SyncError::NotCreated`] if the place is no remote at all, [`SyncError::Backend`], or [`SyncError::Damaged`]
    /// and its like if the remote is.
    pub fn snapshot_of_tag(&self, tag: &str) -> Result<Option<(RemoteTag, Snapshot)>, SyncError> {
        let found = twice(|| {
            let place = self.resolve_tag(tag)?;
            place.map(|place| Ok((place.commit, self.snapshot(&place)?))).transpose()
        })?;
        self.named(tag, found)
    }

    /// As [`Remote::snapshot_of_tag`] for who reads: a snapshot that was read before is not fetched again, and what was
    /// read answers when the remote does not. Two or three requests.
    ///
    /// # Errors
    /// As [`Remote::snapshot_of_tag`].
    pub fn read_tag(&self, tag: &str) -> Result<Option<(RemoteTag, Arc<Snapshot>)>, SyncError> {
        let found = twice(|| {
            let place = self.resolve_kept(tag)?;
            place.map(|place| Ok((place.commit, self.snapshot_kept(&place)?))).transpose()
        })?;
        self.named(tag, found)
    }

    fn named<T>(&self, tag: &str, found: Option<(CommitId, T)>) -> Result<Option<(RemoteTag, T)>, SyncError> {
        if found.is_none() {
            // Only a miss pays for telling "no such tag" from "no remote".
            self.marker()?;
        }
        Ok(found.map(|(commit, snapshot)| (RemoteTag { tag: tag.to_owned(), commit }, snapshot)))
    }

    /// As [`Remote::resolve_tag`]; what was read is kept, and answers when the remote does not.
    fn resolve_kept(&self, tag: &str) -> Result<Option<SnapshotRef>, SyncError> {
        let Some(reads) = &self.reads else { return self.resolve_tag(tag) };
        let name = reads.name("tag", tag);
        match self.resolve_tag(tag) {
            Err(error) if error.is_unreachable() => {
                let kept: Option<TagRecord> = reads.get(&name).and_then(|bytes| unseal("tag record", &bytes).ok());
                let place = kept.filter(|record| record.tag == tag).and_then(|record| record.snapshot);
                place.inspect(|_| self.note_offline()).map(Some).ok_or(error)
            }
            answer => {
                let snapshot = answer?;
                let record = TagRecord { format: REMOTE_FORMAT, tag: tag.to_owned(), snapshot };
                reads.put(&name, &seal(&record));
                Ok(record.snapshot)
            }
        }
    }

    /// Returns whether a tag is completely there and names this commit. Two requests.
    ///
    /// # Errors
    /// As [`Remote::snapshot_of_tag`], but a place that is no remote just does not have the tag.
    pub fn is_current(&self, tag: &str, commit: &CommitId) -> Result<bool, SyncError> {
        Ok(twice(|| self.resolve_tag(tag))?.is_some_and(|place| place.commit == *commit))
    }

    /// Hides a tag, unless it is hidden already: then it answers `false`. Its data stays until garbage collection, its
    /// history in the log.
    ///
    /// # Errors
    /// [`SyncError::NoTag`] if the tag was never pushed, else as [`Remote::tags`].
    pub fn delete_tag(&self, tag: &str) -> Result<bool, SyncError> {
        let mut is_new = false;
        let state = self.append(|state| match state.tags.get(tag) {
            None => Err(SyncError::NoTag { tag: tag.to_owned() }),
            Some(named) => {
                is_new = named.snapshot.is_some();
                Ok(is_new.then(|| LogOp::Delete { tag: tag.to_owned() }))
            }
        })?;
        // Also of one hidden before: that deletion may have been interrupted here.
        self.write_tag_record(&state, tag)?;
        Ok(is_new)
    }

    /// Lets garbage collection take what was uploaded of a commit without a tag; `false` if there is nothing of it.
    ///
    /// # Errors
    /// As [`Remote::tags`].
    pub fn delete_upload(&self, commit: &CommitId) -> Result<bool, SyncError> {
        let mut is_new = false;
        self.append(|state| {
            is_new = state.uploads.contains_key(commit);
            Ok(is_new.then_some(LogOp::DeleteUpload { commit: *commit }))
        })?;
        Ok(is_new)
    }

    /// Lets garbage collection take what a tag named before it was moved.
    ///
    /// # Errors
    /// As [`Remote::delete_tag`].
    pub fn forget_history(&self, tag: &str) -> Result<(), SyncError> {
        self.append(|state| match state.tags.get(tag) {
            None => Err(SyncError::NoTag { tag: tag.to_owned() }),
            Some(named) => Ok((!named.history.is_empty()).then(|| LogOp::Forget { tag: tag.to_owned() })),
        })?;
        Ok(())
    }

    /// Finds the newest record of a tag.
    fn resolve_tag(&self, tag: &str) -> Result<Option<SnapshotRef>, SyncError> {
        let folder = Key::parse(&folder_of(tag))?;
        let page = self.backend().list(&folder, None, 1)?;
        let Some(entry) = page.first() else { return Ok(None) };
        let record = self.get_tag_record(&entry.key)?;
        if record.tag != tag {
            let reason = "it is of another tag";
            return Err(SyncError::WrongObject { key: entry.key.to_string(), reason });
        }
        Ok(record.snapshot)
    }

    /// Writes the record of a tag as the log has it. Equal states give equal records, so repeating this is harmless.
    pub(super) fn write_tag_record(&self, state: &LogState, tag: &str) -> Result<(), SyncError> {
        let Some(named) = state.tags.get(tag) else { return Ok(()) };
        self.check_writable()?;
        let record = TagRecord { format: REMOTE_FORMAT, tag: tag.to_owned(), snapshot: named.snapshot.clone() };
        Ok(self.backend().put(&tag_key(tag, named.number)?, seal(&record))?)
    }

    /// Lists the records of all tags, a thousand a request.
    pub(super) fn tag_record_keys(&self) -> Result<BTreeSet<Key>, SyncError> {
        let records = self.list_all(&Key::parse("tags")?)?;
        Ok(records.into_iter().map(|entry| entry.key).filter(|key| number_of(key).is_some()).collect())
    }
}

/// Asks once more if something that was named a moment ago is gone: a tag may be moved and what it named be collected
/// between two requests.
fn twice<T>(ask: impl Fn() -> Result<T, SyncError>) -> Result<T, SyncError> {
    match ask() {
        Err(SyncError::Absent { .. }) => ask(),
        other => other,
    }
}

/// Returns the key of the record that repeats log entry `number` for a tag.
pub(super) fn tag_key(tag: &str, number: u64) -> Result<Key, SyncError> {
    numbered_key(&folder_of(tag), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_has_a_folder_of_its_own_that_is_a_key() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let tags = ["v1", "V1", "v1.0", "a/b", "a%2Fb", ".a", "%2Ea", "größe", "~x", "", &long, &longer];
        let folders: BTreeSet<_> = tags.iter().map(|tag| tag_key(tag, 7).expect("a key")).collect();
        assert_eq!(folders.len(), tags.len());
        assert!(folders.iter().all(|key| number_of(key) == Some(7)));
    }
}
