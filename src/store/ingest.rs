//! Writing contents: cut, hash, look up, compress, append, and only then name.
//!
//! - The caller's thread cuts and hashes, a worker compresses and appends; what waits between them is bounded.
//! - A chunk is looked up before it is compressed, also among the chunks of the same content that are still on their way.
//! - Order: frames, marker and sync of the data pack; then recipe, marker and sync of the metadata pack.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::chunker::{CHUNKER_VERSION, MAX_CHUNK_SIZE, Rest, next_cut};
use super::objects::ObjectKind;
use super::shelf::{Found, Wanted, read_header};
use super::{ActiveWrite, Live, StoreError};
use crate::format::pack::{FRAME_TARGET_LEN, Frame, FrameKey, split_by_worth};
use crate::format::recipe::{ChunkRef, Cut, MAX_CONTENT_CHUNKS, MAX_INLINE_LEN, Recipe, RecipeNode};
use crate::fs;
use crate::id::{ChunkId, ContentDigest, PackId, RecipeId};

/// Bytes collected before they are cut.
const STAGE_LEN: usize = 2 * 1024 * 1024;
/// Frames that may wait for the worker.
const QUEUE_LEN: usize = 3;

/// How contents are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Level of zstd, 1 to 19.
    pub level: i32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { level: 3 }
    }
}

/// A content that is durable in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredContent {
    /// BLAKE3 of the whole content.
    pub digest: ContentDigest,
    /// Its length in bytes.
    pub len: u64,
    /// Its recipe.
    pub recipe: RecipeId,
    /// Raw bytes of the chunks that were not here before.
    pub new_chunk_bytes: u64,
    /// Bytes that the store grew by for these chunks.
    pub stored_bytes: u64,
    /// The same content was here before.
    pub was_known: bool,
}

/// New chunks that will be one frame.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) keys: Vec<FrameKey>,
    pub(super) raw: Vec<u8>,
}

/// A content whose bytes were all taken in, and which a batch makes durable together with others.
pub(super) struct Unfinished {
    pub(super) stored: StoredContent,
    pub(super) recipe: Recipe,
    pub(super) nodes: Vec<RecipeNode>,
    /// New chunks that were not appended.
    pub(super) rest: Batch,
    pub(super) foreign: ForeignPacks,
}

impl Batch {
    /// Compresses the chunks: one frame, or several where noise lies beside what compresses.
    fn into_frames(self, level: i32) -> Vec<Frame> {
        let runs = split_by_worth(&self.keys, &self.raw);
        if runs.len() <= 1 {
            return vec![Frame::chunks_joined(self.keys, self.raw, level)];
        }
        let mut rest = self.raw.as_slice();
        let frames = runs.into_iter().map(|run| {
            let keys = self.keys.get(run).unwrap_or_default().to_vec();
            let len = keys.iter().map(|key| key.len as usize).sum();
            let (raw, after) = rest.split_at(len);
            rest = after;
            Frame::chunks_joined(keys, raw.to_vec(), level)
        });
        frames.collect()
    }
}

/// Packs of other processes that a write relies on, and up to where.
#[derive(Default)]
pub(super) struct ForeignPacks(HashMap<PackId, Found>);

impl ForeignPacks {
    /// Takes over what another write relies on.
    pub(super) fn extend(&mut self, other: &Self) {
        other.0.values().for_each(|found| self.rely_on(found));
    }

    /// Notes that a write relies on a frame.
    pub(super) fn rely_on(&mut self, found: &Found) {
        if found.foreign {
            let last = self.0.entry(found.pack).or_insert_with(|| found.clone());
            if last.end() < found.end() {
                *last = found.clone();
            }
        }
    }

    /// Makes what was relied on durable: its own writer may not have synced it yet, or may fail to.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        for (pack, last) in &self.0 {
            let wrap = |error| StoreError::Io { doing: "sync", path: format!("{pack}.open").into(), source: error };
            fs::sync_file(&last.file).map_err(wrap)?;
            // A cut takes a tail, and what was appended since may be longer: the last frame must still be the same.
            if !read_header(&last.file, *pack, last.offset).is_ok_and(|header| header == *last.header) {
                return Err(StoreError::Unsynced);
            }
        }
        Ok(())
    }
}

/// The thread that compresses and appends.
struct Worker {
    batches: SyncSender<Batch>,
    appended: Receiver<Vec<FrameKey>>,
    thread: JoinHandle<Result<u64, StoreError>>,
}

/// Takes the bytes of one content, in any pieces. Dropped before [`ContentWriter::finish`], nothing of it stays.
pub struct ContentWriter {
    // Before `active`, so that a dropped worker has ended when the write ends and its frames are cut.
    worker: Option<Worker>,
    level: i32,
    failures: u64,
    hasher: blake3::Hasher,
    len: u64,
    staged: Vec<u8>,
    chunks: Vec<ChunkRef>,
    batch: Batch,
    /// Chunks on their way to the worker or being appended by it.
    pending: HashSet<ChunkId>,
    foreign: ForeignPacks,
    new_chunk_bytes: u64,
    stored_bytes: u64,
    pub(super) active: Arc<ActiveWrite>,
}

impl ContentWriter {
    pub(super) fn start(live: &Arc<Live>, options: &WriteOptions) -> Result<Self, StoreError> {
        let active = ActiveWrite::begin(live)?;
        live.data.begin_writing()?;
        let failures = live.data.failures();
        Ok(Self::within(&Arc::new(active), options, failures))
    }

    /// Starts a content within a write that is under way.
    pub(super) fn within(active: &Arc<ActiveWrite>, options: &WriteOptions, failures: u64) -> Self {
        Self {
            worker: None,
            level: options.level,
            failures,
            hasher: blake3::Hasher::new(),
            len: 0,
            staged: vec![],
            chunks: vec![],
            batch: Batch::default(),
            pending: HashSet::new(),
            foreign: ForeignPacks::default(),
            new_chunk_bytes: 0,
            stored_bytes: 0,
            active: Arc::clone(active),
        }
    }

    /// Takes the next bytes of the content.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the disk is full or fails, [`StoreError::Forked`] in a forked child.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.active.check_process()?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(STAGE_LEN - self.staged.len()));
            self.staged.extend_from_slice(now);
            rest = later;
            if self.staged.len() == STAGE_LEN {
                self.cut_staged(Rest::More)?;
            }
        }
        Ok(())
    }

    /// Stores what is left, makes all of it durable and then visible.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Unsynced`] or [`StoreError::Forked`]; the content is then not in the store.
    pub fn finish(mut self) -> Result<StoredContent, StoreError> {
        self.active.check_process()?;
        let live = Arc::clone(&self.active.live);
        let (recipe, nodes) = self.end()?;
        if self.len > MAX_INLINE_LEN as u64 {
            self.flush()?;
            live.data.commit(self.failures)?;
            self.foreign.sync()?;
        }
        let (id, was_known) = live.put_recipe(&recipe, &nodes, self.level)?;
        Ok(self.summary(&recipe, id, was_known))
    }

    /// Cuts what is left and returns the recipe. Its last chunks may not be appended yet.
    fn end(&mut self) -> Result<(Recipe, Vec<RecipeNode>), StoreError> {
        if self.len <= MAX_INLINE_LEN as u64 {
            return Ok((Recipe::inline(std::mem::take(&mut self.staged)), vec![]));
        }
        self.cut_staged(Rest::End)?;
        let digest = ContentDigest::from_bytes(*self.hasher.finalize().as_bytes());
        Ok(Recipe::of_chunks(digest, CHUNKER_VERSION, std::mem::take(&mut self.chunks)))
    }

    /// Ends the content and leaves the rest to a batch: new chunks that fill no frame, durability, the recipe.
    pub(super) fn end_in_batch(mut self) -> Result<Unfinished, StoreError> {
        self.active.check_process()?;
        let (recipe, nodes) = self.end()?;
        let rest = std::mem::take(&mut self.batch);
        self.join_worker()?;
        let foreign = std::mem::take(&mut self.foreign);
        let stored = self.summary(&recipe, recipe.id(), false);
        Ok(Unfinished { stored, recipe, nodes, rest, foreign })
    }

    fn summary(&self, recipe: &Recipe, id: RecipeId, was_known: bool) -> StoredContent {
        StoredContent {
            digest: recipe.digest(),
            len: self.len,
            recipe: id,
            new_chunk_bytes: self.new_chunk_bytes,
            stored_bytes: self.stored_bytes,
            was_known,
        }
    }

    fn cut_staged(&mut self, rest: Rest) -> Result<(), StoreError> {
        let mut staged = std::mem::take(&mut self.staged);
        let mut start = 0;
        while let Some(bytes) = staged.get(start..).filter(|bytes| rest == Rest::End || bytes.len() >= MAX_CHUNK_SIZE) {
            let Some((len, cut)) = next_cut(bytes, rest) else { break };
            self.add_chunk(bytes.get(..len).unwrap_or(bytes), cut)?;
            start += len;
        }
        staged.drain(..start);
        self.staged = staged;
        Ok(())
    }

    fn add_chunk(&mut self, bytes: &[u8], cut: Cut) -> Result<(), StoreError> {
        let id = ChunkId::of(bytes);
        let len = u32::try_from(bytes.len()).expect("a chunk is at most 256 KiB long");
        if self.chunks.len() == MAX_CONTENT_CHUNKS {
            return Err(StoreError::TooManyChunks { max: MAX_CONTENT_CHUNKS });
        }
        self.chunks.push(ChunkRef { id, len, cut });
        if self.pending.contains(&id) {
            return Ok(());
        }
        if let Some(found) = self.active.live.data.find(id.as_bytes(), Wanted::First)?.found.first() {
            self.foreign.rely_on(found);
            return Ok(());
        }
        if self.batch.raw.len() + bytes.len() > FRAME_TARGET_LEN {
            self.send_batch()?;
        }
        self.pending.insert(id);
        self.new_chunk_bytes += u64::from(len);
        self.batch.keys.push(FrameKey { id: *id.as_bytes(), len });
        self.batch.raw.extend_from_slice(bytes);
        Ok(())
    }

    fn send_batch(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.keys.is_empty() {
            return Ok(());
        }
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::spawn(Arc::clone(&self.active.live), self.level)?),
        };
        for key in worker.appended.try_iter().flatten() {
            self.pending.remove(&ChunkId::from_bytes(key.id));
        }
        if worker.batches.send(batch).is_err() {
            // The worker ends early only on an error, which its thread returns.
            self.join_worker()?;
            return Err(StoreError::Unsynced);
        }
        Ok(())
    }

    /// Appends what is left; where all fits in one frame, without a worker.
    fn flush(&mut self) -> Result<(), StoreError> {
        if self.worker.is_some() {
            self.send_batch()?;
            return self.join_worker();
        }
        let batch = std::mem::take(&mut self.batch);
        if !batch.keys.is_empty() {
            self.stored_bytes += append_batch(&self.active.live, batch, self.level)?;
        }
        Ok(())
    }

    fn join_worker(&mut self) -> Result<(), StoreError> {
        let Some(Worker { batches, thread, .. }) = self.worker.take() else { return Ok(()) };
        drop(batches);
        match thread.join() {
            Ok(stored) => self.stored_bytes += stored?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(())
    }
}

impl Write for ContentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(crate::Error::from)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ContentWriter {
    fn drop(&mut self) {
        let Some(Worker { batches, thread, .. }) = self.worker.take() else { return };
        drop(batches);
        // In a forked child the thread does not exist, and waiting for it would never end.
        if self.active.check_process().is_ok() {
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn spawn(live: Arc<Live>, level: i32) -> Result<Self, StoreError> {
        let (batches, incoming) = sync_channel(QUEUE_LEN);
        let (outgoing, appended) = channel();
        let thread = std::thread::Builder::new()
            .name("onenb-ingest".to_owned())
            .spawn(move || work(&live, level, &incoming, &outgoing))
            .map_err(|source| StoreError::Io { doing: "start a thread for", path: "the store".into(), source })?;
        Ok(Self { batches, appended, thread })
    }
}

fn work(
    live: &Live,
    level: i32,
    incoming: &Receiver<Batch>,
    outgoing: &Sender<Vec<FrameKey>>,
) -> Result<u64, StoreError> {
    let mut stored = 0;
    for batch in incoming {
        let keys = batch.keys.clone();
        stored += append_batch(live, batch, level)?;
        // The writer may have stopped listening; the frames are found through the index then.
        let _ = outgoing.send(keys);
    }
    Ok(stored)
}

pub(super) fn append_batch(live: &Live, batch: Batch, level: i32) -> Result<u64, StoreError> {
    let frames = batch.into_frames(level);
    let len = frames.iter().map(|frame| frame.header().frame_len()).sum();
    live.data.append(&frames)?;
    Ok(len)
}

impl Live {
    /// Makes a recipe durable and visible, unless it is here already. Its chunks must be durable.
    pub(super) fn put_recipe(
        &self,
        recipe: &Recipe,
        nodes: &[RecipeNode],
        level: i32,
    ) -> Result<(RecipeId, bool), StoreError> {
        let failures = self.meta.failures();
        self.meta.refresh()?;
        let (mut foreign, mut frames) = (ForeignPacks::default(), vec![]);
        let known = self.recipe_frames(recipe, nodes, level, &mut foreign, &mut frames)?;
        foreign.sync()?;
        self.meta.append(&frames)?;
        self.meta.commit(failures)?;
        Ok((recipe.id(), known))
    }

    /// Adds the frames of a recipe that is not here yet; `true` if it is, as far as is known since the last refresh.
    pub(super) fn recipe_frames(
        &self,
        recipe: &Recipe,
        nodes: &[RecipeNode],
        level: i32,
        foreign: &mut ForeignPacks,
        frames: &mut Vec<Frame>,
    ) -> Result<bool, StoreError> {
        let bytes = recipe.to_bytes();
        let id = RecipeId::of(&bytes);
        // A recipe that is here but damaged is written once more.
        let known = self.known_recipe(&recipe.digest()).is_ok_and(|(_, known)| known == id);
        for node in nodes {
            let node_bytes = node.to_bytes();
            let node_id = RecipeId::of(&node_bytes);
            let sound = self.recipe_node(&recipe.digest(), &node.to_child()).is_ok();
            match self.meta.find(node_id.as_bytes(), Wanted::First)?.found.first() {
                Some(found) if sound => foreign.rely_on(found),
                _ => {
                    let kind = ObjectKind::RECIPE_NODE.to_byte();
                    frames.push(Frame::object(kind, *node_id.as_bytes(), &[], node_bytes, level));
                }
            }
        }
        if known {
            let search = self.meta.find(id.as_bytes(), Wanted::All)?;
            search.found.iter().for_each(|found| foreign.rely_on(found));
        } else {
            let alias = [*recipe.digest().as_bytes()];
            frames.push(Frame::object(ObjectKind::RECIPE.to_byte(), *id.as_bytes(), &alias, bytes, level));
        }
        Ok(known)
    }
}
