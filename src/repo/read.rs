//! Reading: from the local store where the content is, else from the remote, chunk by chunk, each verified.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, OnceLock};

use super::resolve::not_found;
use super::types::{BoundExport, Dependency, MovedTag, ResolvedExport};
use super::workspace::Source;
use super::{Repo, Workspace};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::{EXPORTS_DIR, ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::format::snapshot::Snapshot;
use crate::format::spec::{Spec, WORKING, is_url};
use crate::format::tables::DataTables;
use crate::git::{Revision, RevisionKind};
use crate::id::{CommitId, ContentDigest};
use crate::store::ContentReader;
use crate::sync::{Remote, RemoteContent, SyncError};

/// Least digits of a commit's id that name it on a remote.
const MIN_SHORT_LEN: usize = 7;
/// Digits of the shorter kind of full ids.
const MAX_SHORT_LEN: usize = 40;
/// Deepest chain of inputs that `deps` follows.
const MAX_DEPENDENCY_DEPTH: usize = 64;

/// Where the content of a resolved export is to be found.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In a clone's store, or on that clone's remote, which may turn out to have another commit for the tag.
    Clone { repo: Repo, noticed: Arc<OnceLock<MovedTag>> },
    /// On a remote alone.
    Remote { remote: Arc<Remote>, data: Located },
}

/// Tables that say where contents are. A snapshot with many exports is shared by whatever was read from it.
#[derive(Debug, Clone)]
pub(super) enum Located {
    BySnapshot(Arc<Snapshot>),
    ByIndex(Arc<DataTables>),
}

impl Located {
    pub(super) fn tables(&self) -> &DataTables {
        match self {
            Self::BySnapshot(snapshot) => &snapshot.data,
            Self::ByIndex(tables) => tables,
        }
    }
}

/// Reads one content: seekable, verified, without loading it.
///
/// Every chunk is checked against its id. Which chunks make up a content the local store knows by itself; of a remote's
/// word for it a reader that goes through from start to end is sure, because the whole is hashed on the way.
pub struct ExportReader {
    source: Content,
    len: u64,
    position: u64,
    whole: Option<Whole>,
    /// Set if the remote, asked for the data, named another commit for the tag.
    moved: Option<MovedTag>,
    /// What a failure interrupts, in words; an error in the middle names the export too.
    doing: Option<String>,
}

/// The hash of a content read so far, from its start.
struct Whole {
    expected: ContentDigest,
    hasher: blake3::Hasher,
    hashed: u64,
    /// It was read to its end and was another one. Who reads on or again is told again.
    is_wrong: bool,
}

impl Whole {
    fn new(expected: ContentDigest) -> Self {
        Self { expected, hasher: blake3::Hasher::new(), hashed: 0, is_wrong: false }
    }

    /// Takes what was read at a position; at the end of the content the hash must be the expected one.
    fn take_in(&mut self, position: u64, bytes: &[u8], len: u64) -> Result<()> {
        if position == self.hashed && !self.is_wrong {
            self.hasher.update(bytes);
            self.hashed += bytes.len() as u64;
            self.is_wrong = self.hashed >= len && self.hasher.finalize().as_bytes() != self.expected.as_bytes();
        }
        if !self.is_wrong {
            return Ok(());
        }
        let message = format!("the remote has another content under digest {}", self.expected.short());
        Err(Error::new(ErrorKind::Damaged, message).with_hint("push it again from a clone that has the data"))
    }
}

enum Content {
    Local(ContentReader),
    Remote(RemoteContent),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Self::Local(reader) => reader.len(),
            Self::Remote(reader) => reader.len(),
        }
    }
}

impl ResolvedExport {
    /// Returns the tag if a read found that the remote has it for another commit, which nobody knew when it was
    /// resolved.
    #[must_use]
    pub fn noticed(&self) -> Option<&MovedTag> {
        match &self.place {
            Place::Clone { noticed, .. } if self.moved.is_none() => noticed.get(),
            _ => None,
        }
    }
}

impl ExportReader {
    pub(super) fn local(reader: ContentReader) -> Self {
        let source = Content::Local(reader);
        Self { len: source.len(), source, position: 0, whole: None, moved: None, doing: None }
    }

    pub(super) fn remote(reader: RemoteContent, expected: ContentDigest) -> Self {
        let whole = Some(Whole::new(expected));
        let source = Content::Remote(reader);
        Self { len: source.len(), source, position: 0, whole, moved: None, doing: None }
    }

    /// Returns the length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the content has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Read for ExportReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.source {
            Content::Local(reader) => reader.read(buffer),
            Content::Remote(reader) => reader.read(buffer),
        };
        let checked = read.and_then(|count| {
            if let (Some(whole), Some(bytes)) = (&mut self.whole, buffer.get(..count)) {
                whole.take_in(self.position, bytes, self.len)?;
            }
            self.position += count as u64;
            Ok(count)
        });
        checked.map_err(|error| match &self.doing {
            Some(doing) if error.kind() != io::ErrorKind::Interrupted => {
                Error::from(error).context(doing.clone()).into()
            }
            _ => error,
        })
    }
}

impl Seek for ExportReader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.position = match &mut self.source {
            Content::Local(reader) => reader.seek(position)?,
            Content::Remote(reader) => reader.seek(position)?,
        };
        Ok(self.position)
    }
}

impl Workspace {
    /// Resolves a specification to one export.
    ///
    /// # Errors
    /// `NotFound` with what comes near, Auth for a remote that is not approved.
    pub fn resolve(&self, spec: &Spec) -> Result<ResolvedExport> {
        match self.source(spec.repo.as_deref())? {
            Source::Clone(clone) => clone.resolve_spec(spec),
            Source::Remote { name, storage } => {
                let remote = self.open_remote(&name, &storage)?;
                resolve_remote(remote, &name, spec)
            }
        }
    }

    /// Opens the content of a resolved export.
    ///
    /// # Errors
    /// Damaged with the exports concerned, `NotFound` where neither the store nor the remote has it.
    pub fn read(&self, export: &ResolvedExport) -> Result<ExportReader> {
        let record = &export.export.record;
        let doing = format!("could not read `{}` at `{}`", record.label(), export.rev);
        let opened = match &export.place {
            Place::Clone { repo, noticed } => {
                let opened = repo.read_content(record, export.export.commit, &export.rev);
                if let Some(moved) = opened.as_ref().ok().and_then(|reader| reader.moved.clone()) {
                    let _ = noticed.set(moved);
                }
                opened
            }
            Place::Remote { remote, data } => {
                let opened = remote.open_content(data.tables(), &record.digest).map_err(Error::from);
                opened.map(|reader| ExportReader::remote(reader, record.digest))
            }
        };
        match opened {
            Ok(reader) => Ok(ExportReader { doing: Some(doing), ..reader }),
            Err(error) => Err(error.context(doing)),
        }
    }

    /// Returns what an export was made from, and what that was made from in turn, nearest first.
    ///
    /// # Errors
    /// What resolving can meet, except that inputs which cannot be found any more end their chain.
    pub fn deps(&self, export: &ResolvedExport) -> Result<Vec<Dependency>> {
        let mut found = Vec::new();
        let mut level: Vec<_> = export.export.record.inputs.clone();
        let mut seen = std::collections::BTreeSet::new();
        for depth in 1..=MAX_DEPENDENCY_DEPTH {
            let mut next = Vec::new();
            for input in std::mem::take(&mut level) {
                if !seen.insert((input.repo.clone(), input.rev.clone(), input.name.clone(), input.params.hash())) {
                    continue;
                }
                let at = |rev: &str| Spec {
                    repo: Some(input.repo.clone()),
                    rev: rev.to_owned(),
                    name: input.name.clone(),
                    params: input.params.clone(),
                };
                if is_url(&input.repo) {
                    // A record is no user: a URL in it approves nothing, so its chain ends here.
                    found.push(Dependency { input, depth, now: None });
                    continue;
                }
                if let Ok(then) = self.resolve(&at(&input.rev)) {
                    next.extend(then.export.record.inputs);
                }
                let now = self
                    .resolve(&at("HEAD"))
                    .ok()
                    .map(|now| now.export.record.digest)
                    .filter(|digest| *digest != input.digest);
                found.push(Dependency { input, depth, now });
            }
            level = next;
        }
        Ok(found)
    }
}

impl Repo {
    fn resolve_spec(&self, spec: &Spec) -> Result<ResolvedExport> {
        let found = |export, moved| ResolvedExport {
            repo: self.name().to_owned(),
            rev: spec.rev.clone(),
            export,
            moved,
            place: Place::Clone { repo: self.clone(), noticed: Arc::default() },
        };
        if spec.rev == WORKING {
            return Ok(found(self.working_export(&spec.name, &spec.params)?, None));
        }
        let Revision { commit, kind } = match self.git().resolve(&spec.rev).map_err(Error::from) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A revision that Git does not know here is looked up as a tag on the approved remote.
                if let Some((remote, _)) = self.remote_if_approved()?
                    && unless_never_pushed(remote.read_tag(&spec.rev))?.is_some()
                {
                    return resolve_remote(remote, self.name(), spec);
                }
                return Err(error);
            }
            other => other?,
        };
        let resolve = || self.export_at(commit, &spec.rev, &spec.name, &spec.params);
        let export = match resolve() {
            // Somebody else may have bound it late.
            Err(error) if error.kind() == ErrorKind::NotFound && self.learned_about(commit) => {
                resolve().map_err(|_| error)?
            }
            other => other?,
        };
        let is_tag = matches!(kind, RevisionKind::Tag { name } if name == spec.rev);
        let moved = if is_tag { self.moved_tag(&spec.rev, commit)? } else { None };
        Ok(found(export, moved))
    }

    fn remote_if_approved(&self) -> Result<Option<(Remote, crate::format::config::StorageConfig)>> {
        match self.remote() {
            Err(error) if error.kind() == ErrorKind::Auth => Ok(None),
            other => other,
        }
    }

    /// Returns whether the remote, as last heard, has this tag for another commit than Git.
    fn moved_tag(&self, tag: &str, local: CommitId) -> Result<Option<MovedTag>> {
        let Some(storage) = self.storage()? else { return Ok(None) };
        let last = self.facts(|view| view.last_push_of(&storage.place(), tag))?;
        let there = last.and_then(|push| push.commit);
        Ok(moved_to(tag, local, there))
    }

    /// Compares what the remote just said of a tag with Git, and writes a difference down for `status`.
    pub(super) fn notice_move(&self, rev: &str, there: Option<CommitId>, place: &str) -> Result<Option<MovedTag>> {
        let Some(local) = self.git().tag_commit(rev)? else { return Ok(None) };
        let moved = moved_to(rev, local, there);
        if moved.is_some() {
            // Reading must work where nothing can be written; the warning is given all the same.
            let _ = self.note_remote_tag(rev, there, place);
        }
        Ok(moved)
    }

    /// Opens a record's content from the store, else from the remote.
    pub(super) fn read_content(
        &self,
        record: &ExportRecord,
        commit: Option<CommitId>,
        rev: &str,
    ) -> Result<ExportReader> {
        if let Some(store) = self.store_if_present()?
            && store.contains(&record.digest)?.is_some()
        {
            return Ok(ExportReader::local(store.open_content(&record.digest)?));
        }
        let absent = |hint: &str| {
            Error::new(ErrorKind::Damaged, format!("its data ({}) is not in the local store", record.digest.short()))
                .with_hint(hint)
        };
        let Some((remote, storage)) = self.remote()? else {
            return Err(absent("storage is local, so another clone must have it; list all damage with `onenb verify`"));
        };
        let answer = remote_data_with(&remote, &record.digest, commit, rev)?;
        let moved = self.notice_move(rev, answer.tag_commit, &storage.place())?;
        match answer.data {
            Some(data) => {
                let reader = remote.open_content(data.tables(), &record.digest)?;
                Ok(ExportReader { moved, ..ExportReader::remote(reader, record.digest) })
            }
            None if self.was_exported_here(&record.digest) => {
                Err(absent("it was exported here and never pushed; list all damage with `onenb verify`"))
            }
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("its data is neither in the local store nor at `{}`", storage.place()),
            )
            .with_hint(format!("push it from the clone that has it: `onenb push {rev}`"))),
        }
    }

    /// Returns all exports of a revision; one that Git does not know here is looked up as a tag on the approved remote.
    pub(super) fn list(&self, rev: &str) -> Result<Vec<BoundExport>> {
        self.list_local(rev).or_else(|error| self.or_remote(error, |remote| list_remote(remote, rev)))
    }

    /// Resolves a revision to its commit, which need not be in this clone, in the same way.
    pub(super) fn commit_anywhere(&self, rev: &str) -> Result<CommitId> {
        let there = |remote: &Remote| Ok(remote_rev(remote, rev)?.commit);
        self.commit_of(rev).or_else(|error| self.or_remote(error, there))
    }

    /// Asks the approved remote for what is not here; what is not there either is missed as it was here. Damage is no
    /// absence.
    fn or_remote<T>(&self, error: Error, ask: impl FnOnce(&Remote) -> Result<T>) -> Result<T> {
        if error.kind() != ErrorKind::NotFound {
            return Err(error);
        }
        let Some((remote, _)) = self.remote_if_approved()? else { return Err(error) };
        match ask(&remote) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => Err(error),
            other => other,
        }
    }

    /// Returns labels of exports by content, over tags, branches, HEAD and the work tree, each with one revision.
    pub(super) fn labels_by_content(&self) -> Result<BTreeMap<ContentDigest, Vec<String>>> {
        let mut revs: Vec<(String, CommitId)> = self.git().tags()?;
        revs.extend(self.git().branches()?);
        if let Some(head) = self.git().head()? {
            revs.push(("HEAD".to_owned(), head));
        }
        let mut labels: BTreeMap<ContentDigest, Vec<String>> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut add = |rev: &str, key: ExportKey, record: &ExportRecord| {
            if seen.insert((key, record.digest)) {
                let label = format!("{rev}:{}", record.label());
                for (path, digest) in self.local_members(record).unwrap_or_default().contents() {
                    labels.entry(digest).or_default().push(format!("{label}/{path}"));
                }
                labels.entry(record.digest).or_default().push(label);
            }
        };
        for (rev, commit) in revs {
            for bound in self.bound_at(commit)? {
                add(&rev, bound.record.key(), &bound.record);
            }
        }
        for export in self.working()?.exports {
            add(WORKING, export.record.key(), &export.record);
        }
        Ok(labels)
    }

    /// Returns the same as [`Self::labels_by_content`] from the record files of trees alone, for damaged stores.
    pub(super) fn labels_in_trees(&self) -> Result<BTreeMap<ContentDigest, Vec<String>>> {
        let mut revs: Vec<(String, CommitId)> = self.git().tags()?;
        revs.extend(self.git().branches()?);
        let mut labels: BTreeMap<ContentDigest, Vec<String>> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut add = |rev: &str, record: &ExportRecord| {
            if seen.insert((record.key(), record.digest)) {
                labels.entry(record.digest).or_default().push(format!("{rev}:{}", record.label()));
            }
        };
        for (rev, commit) in revs {
            for file in self.git().files_under(commit, EXPORTS_DIR)? {
                let Ok(bytes) = self.git().read_blob(file.blob, MAX_RECORD_LEN) else { continue };
                if let Ok(record) = ExportRecord::from_bytes(&bytes) {
                    add(&rev, &record);
                }
            }
        }
        for export in self.working()?.exports {
            add(WORKING, &export.record);
        }
        Ok(labels)
    }

    /// Returns whether this store once acknowledged an export of the content, as far as the catalog remembers.
    pub(super) fn was_exported_here(&self, digest: &ContentDigest) -> bool {
        self.view(|view| view.was_exported(digest)).unwrap_or(false)
    }

    /// Opens a content by its digest, wherever it came from.
    ///
    /// # Errors
    /// `NotFound`, Damaged.
    pub fn open_object(&self, digest: &ContentDigest) -> Result<ExportReader> {
        Ok(ExportReader::local(self.store()?.open_content(digest)?))
    }
}

/// What a remote says about a content and the tag by which it was looked for.
pub(super) struct RemoteAnswer {
    /// Where the content is, if it is there.
    pub(super) data: Option<Located>,
    /// The commit that the tag names there, if it is a tag there.
    pub(super) tag_commit: Option<CommitId>,
}

/// Finds where a remote has a content: by tag, by the commit that bound it, else by the index of contents.
pub(super) fn remote_data_with(
    remote: &Remote,
    digest: &ContentDigest,
    commit: Option<CommitId>,
    rev: &str,
) -> Result<RemoteAnswer> {
    let holds = |data: &DataTables| data.content_len(digest).is_some();
    let tag = unless_never_pushed(remote.read_tag(rev))?;
    let tag_commit = tag.as_ref().map(|(tag, _)| tag.commit);
    if let Some((_, snapshot)) = tag.filter(|(_, snapshot)| holds(&snapshot.data)) {
        return Ok(RemoteAnswer { data: Some(Located::BySnapshot(snapshot)), tag_commit });
    }
    if let Some(commit) = commit
        && let Some(snapshot) = unless_never_pushed(remote.snapshot_of_commit(&commit))?
        && holds(&snapshot.data)
    {
        return Ok(RemoteAnswer { data: Some(Located::BySnapshot(Arc::new(snapshot))), tag_commit });
    }
    let found = unless_never_pushed(remote.data_with(digest))?;
    Ok(RemoteAnswer { data: found.map(|tables| Located::ByIndex(Arc::new(tables))), tag_commit })
}

fn moved_to(tag: &str, local: CommitId, there: Option<CommitId>) -> Option<MovedTag> {
    let remote = there.filter(|there| *there != local)?;
    Some(MovedTag { tag: tag.to_owned(), local, remote })
}

/// To who reads, a place that nobody has pushed to yet is a remote that holds nothing.
pub(super) fn unless_never_pushed<T>(found: std::result::Result<Option<T>, SyncError>) -> Result<Option<T>> {
    match found {
        Err(SyncError::NotCreated) => Ok(None),
        other => Ok(other?),
    }
}

fn resolve_remote(remote: Remote, name: &str, spec: &Spec) -> Result<ResolvedExport> {
    let snapshot = remote_rev(&remote, &spec.rev)?;
    let is_asked = |record: &&ExportRecord| record.name == spec.name && record.params == spec.params;
    let Some(record) = snapshot.exports.iter().find(is_asked) else {
        let all = snapshot.exports.iter();
        return Err(not_found(&spec.rev, &spec.name, &spec.params, all.map(|record| (&record.name, &record.params))));
    };
    let export = BoundExport { record: record.clone(), commit: Some(snapshot.commit) };
    let place = Place::Remote { remote: Arc::new(remote), data: Located::BySnapshot(snapshot) };
    Ok(ResolvedExport { repo: name.to_owned(), rev: spec.rev.clone(), export, moved: None, place })
}

/// Lists the exports that a remote has at a tag or full commit id.
pub(super) fn list_remote(remote: &Remote, rev: &str) -> Result<Vec<BoundExport>> {
    let snapshot = remote_rev(remote, rev)?;
    let commit = Some(snapshot.commit);
    Ok(snapshot.exports.iter().map(|record| BoundExport { record: record.clone(), commit }).collect())
}

pub(super) fn remote_rev(remote: &Remote, rev: &str) -> Result<Arc<Snapshot>> {
    let tag = rev.strip_prefix("refs/tags/").unwrap_or(rev);
    if let Some((_, snapshot)) = remote.read_tag(tag)? {
        return Ok(snapshot);
    }
    if let Ok(commit) = rev.parse::<CommitId>()
        && let Some(snapshot) = remote.snapshot_of_commit(&commit)?
    {
        return Ok(Arc::new(snapshot));
    }
    if (MIN_SHORT_LEN..MAX_SHORT_LEN).contains(&rev.len()) && rev.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let wanted = rev.to_ascii_lowercase();
        let pushed = remote.pushed_commits()?;
        let mut found = pushed.iter().filter(|commit| commit.to_string().starts_with(&wanted));
        if let (Some(commit), None) = (found.next(), found.next())
            && let Some(snapshot) = remote.snapshot_of_commit(commit)?
        {
            return Ok(Arc::new(snapshot));
        }
    }
    let tags: Vec<String> = remote.tags()?.into_iter().map(|tag| tag.tag).collect();
    let near = crate::git::nearest(rev, tags.iter().map(String::as_str));
    let hint = match near.first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {} tags; push this one with `onenb push {rev}` from a clone", tags.len()),
    };
    Err(Error::new(ErrorKind::NotFound, format!("the remote has no tag `{rev}`")).with_hint(hint))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_wrong_whole_is_told_at_every_read_behind_it() {
        let mut whole = Whole::new(ContentDigest::of(b"right"));
        whole.take_in(0, b"wr", 5).unwrap();
        assert_eq!(whole.take_in(2, b"ong", 5).unwrap_err().kind(), ErrorKind::Damaged);
        for position in [0, 2, 5] {
            assert_eq!(whole.take_in(position, b"", 5).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }

    #[test]
    fn a_right_whole_may_be_read_in_any_order() {
        let mut whole = Whole::new(ContentDigest::of(b"right"));
        for (position, bytes) in [(3, "ht"), (0, "ri"), (0, "right"), (2, "ght"), (0, "right")] {
            whole.take_in(position, bytes.as_bytes(), 5).unwrap();
        }
        assert_eq!(whole.hashed, 5);
    }
}
