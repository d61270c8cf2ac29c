//! `pull`: fetches from the remote into the local store what a revision or one export needs.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::read::remote_data_with;
use super::types::{BoundExport, Progress, ProgressFn, PullSummary, PullTarget};
use super::workspace::Source;
use super::{Repo, Workspace};
use crate::error::{Error, ErrorKind, Result};
use crate::format::pack::Frame;
use crate::format::recipe::{ChunkRef, MAX_CONTENT_CHUNKS, Recipe};
use crate::format::record::ExportRecord;
use crate::format::tables::DataTables;
use crate::id::{ChunkId, ContentDigest};
use crate::store::{Store, StoreError};
use crate::sync::{self, ChunkSink, LocalContent};

/// Frames that are stored together, in bytes: one sync for this much.
const MAX_WAITING_LEN: u64 = 32 * 1024 * 1024;

impl Workspace {
    /// Fetches all exports of a revision, or one export, into the store of the repository's clone.
    ///
    /// # Errors
    /// `NotFound`, Auth, Damaged; what was fetched before stays and need not be fetched again.
    pub fn pull(&self, target: &PullTarget, progress: ProgressFn<'_>) -> Result<PullSummary> {
        if let PullTarget::All = target {
            return self.pull_all(progress);
        }
        let (repo, rev) = match target {
            PullTarget::All => (None, String::new()),
            PullTarget::Rev(text) => self.parse_rev(text),
            PullTarget::Export(spec) => (spec.repo.clone(), spec.rev.clone()),
        };
        let Source::Clone(clone) = self.source(repo.as_deref())? else {
            return Err(Error::new(ErrorKind::Failed, "there is no clone on this machine to pull into")
                .with_hint("read it directly with `onenb get`, or clone the repository first"));
        };
        let exports = if let PullTarget::Export(spec) = target {
            vec![self.resolve(spec)?.export]
        } else {
            if let Ok(commit) = clone.commit_of(&rev) {
                clone.learned_about(commit);
            }
            self.list(repo.as_deref(), &rev)?
        };
        let (summary, absent) = clone.pull_exports(&exports, &rev, progress)?;
        absent.map_or(Ok(summary), Err)
    }

    /// Fetches what every tag of Git names. What was fetched for one tag is not fetched again for the next.
    fn pull_all(&self, progress: ProgressFn<'_>) -> Result<PullSummary> {
        let repo = self.repo()?;
        let mut all = PullSummary::default();
        for (tag, commit) in repo.git().tags()? {
            repo.learned_about(commit);
            let (one, absent) = repo.pull_exports(&self.list(None, &tag)?, &tag, progress)?;
            // Tags that were never pushed must not keep the others from coming.
            match absent {
                Some(_) => all.missing.push(tag),
                None => all.exports += one.exports,
            }
            all.fetched += one.fetched;
            all.bytes_received += one.bytes_received;
            all.moved = all.moved.or(one.moved);
        }
        Ok(all)
    }
}

impl Repo {
    /// Fetches what can be fetched. The inner error names the first export whose data is neither here nor on the
    /// remote.
    fn pull_exports(
        &self,
        exports: &[BoundExport],
        rev: &str,
        progress: ProgressFn<'_>,
    ) -> Result<(PullSummary, Option<Error>)> {
        let store = self.store()?;
        let mut summary = PullSummary { exports: exports.len(), ..PullSummary::default() };
        let _hold = if store.is_read_only() { None } else { Some(self.hold()?) };
        if !store.is_read_only() {
            store.settle()?;
        }
        let mut absent = self.pull_contents(exports, rev, &mut summary, progress)?;
        // The members of directories are known only once their manifests are here.
        for export in exports {
            if export.record.suffix.is_directory() && !store.is_complete(&export.record.digest)? {
                continue;
            }
            let manifest = self.local_members(&export.record)?;
            let of_member = |digest| {
                let record = ExportRecord { digest, ..export.record.clone() };
                BoundExport { record, ..export.clone() }
            };
            let members: Vec<BoundExport> = manifest.contents().map(|(_, digest)| of_member(digest)).collect();
            let missed = self.pull_contents(&members, rev, &mut summary, progress)?;
            absent = absent.or(missed);
        }
        Ok((summary, absent))
    }

    /// Fetches the contents that are not all here, as far as is known; returns the first that is not on the remote
    /// either.
    fn pull_contents(
        &self,
        exports: &[BoundExport],
        rev: &str,
        summary: &mut PullSummary,
        progress: ProgressFn<'_>,
    ) -> Result<Option<Error>> {
        let store = self.store()?;
        let mut missing: Vec<&BoundExport> = Vec::new();
        let mut seen = BTreeSet::new();
        for export in exports {
            if seen.insert(export.record.digest) && !store.is_complete(&export.record.digest)? {
                missing.push(export);
            }
        }
        if missing.is_empty() {
            return Ok(None);
        }
        let Some((remote, storage)) = self.remote()? else {
            return Err(Error::new(ErrorKind::NotFound, "some data is not here and storage is local")
                .with_hint("name the remote that has it: `onenb remote set URL`"));
        };
        let mut left: BTreeSet<ContentDigest> = missing.iter().map(|export| export.record.digest).collect();
        let mut absent = None;
        for export in missing {
            if !left.contains(&export.record.digest) {
                continue;
            }
            let answer = remote_data_with(&remote, &export.record.digest, export.commit, rev)?;
            summary.moved = self.notice_move(rev, answer.tag_commit, &storage.place())?.or(summary.moved.take());
            let Some(data) = answer.data else {
                left.remove(&export.record.digest);
                absent.get_or_insert_with(|| {
                    let message = format!("`{}` is not at `{}`", export.record.label(), storage.place());
                    let hint = format!("push it from the clone that has it: `onenb push {rev}`");
                    Error::new(ErrorKind::NotFound, message).with_hint(hint)
                });
                continue;
            };
            let here: Vec<ContentDigest> =
                left.iter().copied().filter(|digest| data.tables().content_len(digest).is_some()).collect();
            summary.bytes_received += fetch(&remote, data.tables(), &here, store, progress)?;
            summary.fetched += here.len();
            left.retain(|digest| !here.contains(digest));
        }
        Ok(absent)
    }
}

/// Fetches contents into a store. What is complete there is skipped.
pub(super) fn fetch(
    remote: &sync::Remote,
    data: &DataTables,
    digests: &[ContentDigest],
    store: &Store,
    progress: ProgressFn<'_>,
) -> Result<u64> {
    let interrupted = Cell::new(false);
    let mut sink = StoreSink { store, interrupted: &interrupted, waiting: vec![], waiting_len: 0 };
    let mut report = |at: sync::Progress| {
        let at = Progress { doing: "pulling", done: at.done_bytes, total: Some(at.total_bytes) };
        interrupted.set(interrupted.get() || !progress(at));
    };
    let fetched = sync::fetch(remote, data, digests, &mut sink, &mut report);
    // Also after a failure: what was received need not be fetched again.
    sink.store_waiting()?;
    Ok(fetched?.bytes_received)
}

/// The local store as `sync` fills it. Frames are stored many at a time, because each time costs a sync.
struct StoreSink<'a> {
    store: &'a Store,
    interrupted: &'a Cell<bool>,
    waiting: Vec<Frame>,
    waiting_len: u64,
}

impl ChunkSink for StoreSink<'_> {
    fn has_content(&self, digest: &ContentDigest) -> Result<bool> {
        Ok(self.store.is_complete(digest)?)
    }

    fn has_chunk(&self, chunk: &ChunkId) -> Result<bool> {
        Ok(self.store.has_chunk(chunk)?)
    }

    fn insert_frame(&mut self, frame: Frame) -> Result<()> {
        if self.interrupted.get() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted").with_hint("run the pull again"));
        }
        self.waiting_len += frame.header().frame_len();
        self.waiting.push(frame);
        if self.waiting_len >= MAX_WAITING_LEN { self.store_waiting() } else { Ok(()) }
    }

    fn finish_content(&mut self, digest: &ContentDigest, content: LocalContent) -> Result<()> {
        self.store_waiting()?;
        let (recipe, nodes) = match content {
            LocalContent::Inline(bytes) => (Recipe::inline(bytes), vec![]),
            LocalContent::Chunks { chunker, chunks } => {
                if chunks.len() > MAX_CONTENT_CHUNKS {
                    return Err(StoreError::TooManyChunks { max: MAX_CONTENT_CHUNKS }.into());
                }
                self.check_whole(digest, &chunks)?;
                Recipe::of_chunks(*digest, chunker, chunks)
            }
        };
        self.store.insert_recipe(&recipe, &nodes)?;
        Ok(())
    }
}

impl StoreSink<'_> {
    fn store_waiting(&mut self) -> Result<()> {
        self.waiting_len = 0;
        if !self.waiting.is_empty() {
            self.store.insert_frames(std::mem::take(&mut self.waiting))?;
        }
        Ok(())
    }

    /// The remote says which chunks make up a content; only their hash says that they are the ones that Git named.
    fn check_whole(&self, digest: &ContentDigest, chunks: &[ChunkRef]) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        for chunk in chunks {
            hasher.update(&self.store.read_chunk(&chunk.id)?);
        }
        if hasher.finalize().as_bytes() == digest.as_bytes() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Damaged, format!("the remote has another content under digest {}", digest.short()))
            .with_hint("look at it with `onenb remote check`, and push again from a clone that has the data"))
    }
}
