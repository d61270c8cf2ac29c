//! Fetching contents into a local store: whole frames, verified, in big requests.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::content::{FramePlace, MAX_REQUEST_LEN, decode, fetch_frames};
use super::plan::LocalContent;
use super::remote::Remote;
use super::{Progress, SyncError};
use crate::backend::Backend;
use crate::error::Result;
use crate::format::pack::Frame;
use crate::format::recipe::ChunkRef;
use crate::format::tables::{DataTables, TableContent};
use crate::id::{ChunkId, ContentDigest};

/// Requests under way at once: one is being taken, the others keep the line busy.
const REQUESTS_AHEAD: usize = 3;

/// Where a fetch puts its data: the local store, as far as a fetch needs it.
pub trait ChunkSink {
    /// Returns whether a content is complete there.
    ///
    /// # Errors
    /// What the store says; the fetch stops.
    fn has_content(&self, digest: &ContentDigest) -> Result<bool>;

    /// Returns whether a chunk is there.
    ///
    /// # Errors
    /// What the store says; the fetch stops.
    fn has_chunk(&self, chunk: &ChunkId) -> Result<bool>;

    /// Takes a frame. It stands alone, and all its chunks were verified.
    ///
    /// # Errors
    /// What the store says; the fetch stops.
    fn insert_frame(&mut self, frame: Frame) -> Result<()>;

    /// Takes the recipe of a content, all of whose chunks were inserted or there before.
    ///
    /// # Errors
    /// What the store says; the fetch stops.
    fn finish_content(&mut self, digest: &ContentDigest, content: LocalContent) -> Result<()>;
}

/// Frames behind each other: the pack, and the position and length of each.
type Run = (Arc<str>, Vec<(u64, u32)>);

/// How a fetch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchReport {
    /// Contents that were not there before.
    pub contents: u64,
    /// Frames fetched.
    pub frames: u64,
    /// Bytes fetched.
    pub bytes_received: u64,
}

/// Fetches contents of a snapshot or segment into a store. Contents and chunks that it has are skipped, so a repeated
/// fetch goes on where the last one stopped.
///
/// # Errors
/// [`SyncError`] for the remote, and whatever the sink answers.
pub fn fetch(
    remote: &Remote,
    data: &DataTables,
    digests: &[ContentDigest],
    sink: &mut dyn ChunkSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<FetchReport> {
    let mut report = FetchReport::default();
    let Err(absent) = fetch_as_named(remote, data, digests, sink, progress, &mut report)? else { return Ok(report) };
    // The tag may have been moved, and what it named collected, since the tables were read: each content is looked for
    // once more, wherever the remote has it by now.
    for digest in digests {
        if !sink.has_content(digest)? {
            let Some(now) = remote.data_with(digest)? else { return Err(absent.into()) };
            fetch_as_named(remote, &now, &[*digest], sink, progress, &mut report)??;
        }
    }
    Ok(report)
}

/// Fetches contents from where tables say they are. The inner error is a pack that is not there any more.
fn fetch_as_named(
    remote: &Remote,
    data: &DataTables,
    digests: &[ContentDigest],
    sink: &mut dyn ChunkSink,
    progress: &mut dyn FnMut(Progress),
    report: &mut FetchReport,
) -> Result<Result<(), SyncError>> {
    let mut contents = vec![];
    let (mut frames, mut seen) = (BTreeMap::new(), HashSet::new());
    for digest in digests.iter().filter(|digest| seen.insert(**digest)) {
        if sink.has_content(digest)? {
            continue;
        }
        let content = data.content(digest).ok_or(SyncError::NoContent { digest: *digest })?;
        contents.push((*digest, collect_frames(content, sink, &mut frames)?));
    }
    let total_bytes = frames.values().map(|stored_len| u64::from(*stored_len)).sum();
    progress(Progress { done_bytes: 0, total_bytes });
    let taken = fetch_ahead(remote.backend(), runs_of(&frames), |frames| {
        for frame in frames {
            report.frames += 1;
            report.bytes_received += frame.header().frame_len();
            sink.insert_frame(frame)?;
        }
        progress(Progress { done_bytes: report.bytes_received, total_bytes });
        Ok(())
    })?;
    if let Err(absent) = taken {
        return Ok(Err(absent));
    }
    for (digest, content) in contents {
        sink.finish_content(&digest, content)?;
        report.contents += 1;
    }
    Ok(Ok(()))
}

/// Hands the verified frames of each run over in order, with [`REQUESTS_AHEAD`] requests under way at most. The inner
/// error is a pack that is not there any more.
fn fetch_ahead(
    backend: &dyn Backend,
    runs: Vec<Run>,
    mut take: impl FnMut(Vec<Frame>) -> Result<()>,
) -> Result<Result<(), SyncError>> {
    let ask = |(pack, run): Run| {
        let frames = fetch_frames(backend, &pack, &run)?;
        frames.iter().try_for_each(|frame| decode(&pack, frame).map(drop))?;
        Ok::<_, SyncError>(frames)
    };
    std::thread::scope(|scope| {
        let (mut runs, mut pending) = (runs.into_iter(), VecDeque::new());
        loop {
            pending.extend(runs.by_ref().take(REQUESTS_AHEAD - pending.len()).map(|run| scope.spawn(move || ask(run))));
            let Some(oldest) = pending.pop_front() else { return Ok(Ok(())) };
            match oldest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                Ok(frames) => take(frames)?,
                Err(absent @ SyncError::Absent { .. }) => return Ok(Err(absent)),
                Err(error) => return Err(error.into()),
            }
        }
    })
}

/// Turns a content of the tables into a local one and notes the frames that must be fetched for it.
fn collect_frames(
    content: TableContent<'_>,
    sink: &dyn ChunkSink,
    frames: &mut BTreeMap<FramePlace, u32>,
) -> Result<LocalContent> {
    let (chunker, chunks) = match content {
        TableContent::Inline(bytes) => return Ok(LocalContent::Inline(bytes.to_vec())),
        TableContent::Chunks { chunker, chunks } => (chunker, chunks),
    };
    let mut list = Vec::with_capacity(chunks.len());
    for (chunk, cut) in chunks {
        list.push(ChunkRef { id: chunk.id, len: chunk.len, cut });
        if !sink.has_chunk(&chunk.id)? {
            frames.insert((chunk.pack, chunk.offset), chunk.stored_len);
        }
    }
    Ok(LocalContent::Chunks { chunker, chunks: list })
}

/// Joins frames that lie behind each other into requests of bounded length.
pub(super) fn runs_of(frames: &BTreeMap<FramePlace, u32>) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    for ((pack, offset), stored_len) in frames {
        if let Some((last_pack, run)) = runs.last_mut()
            && let (Some((first, _)), Some((last, last_len))) = (run.first(), run.last())
            && last_pack == pack
            && last + u64::from(*last_len) == *offset
            && offset + u64::from(*stored_len) - first <= MAX_REQUEST_LEN
        {
            run.push((*offset, *stored_len));
            continue;
        }
        runs.push((Arc::clone(pack), vec![(*offset, *stored_len)]));
    }
    runs
}
