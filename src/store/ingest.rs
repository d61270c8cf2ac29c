//! Writing contents: cut, hash, look up, compress, append, and only then name.
//!
//! - The caller's thread cuts and hashes, a worker looks for bases and appends in order, some threads compress; what
//!   waits between them is bounded. What fits into one frame takes no thread.
//! - A chunk is looked up before it is compressed, also among the chunks of the same content that are still on their
//!   way.
//! - Order: frames, marker and sync of the data pack; then recipe, marker and sync of the metadata pack.
//! - How chunks are encoded is decided here alone, for every writer: by what the content is and the settings of the
//!   store.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::chunker::{CHUNKER_VERSION, MAX_CHUNK_SIZE, Rest, next_cut};
use super::delta::{Batch, DeltaSearch, Encoded, Group, Job};
use super::objects::ObjectKind;
use super::parent::{Forecast, Parent};
use super::pool::{Pool, Priority};
use super::shelf::{Found, Wanted, read_header};
use super::{ActiveWrite, Live, StoreError};
use crate::format::encoding::{Encoding, Encodings};
use crate::format::kind::ContentKind;
use crate::format::pack::{Frame, FrameKey, split_by_worth};
use crate::format::recipe::{ChunkRef, MAX_CONTENT_CHUNKS, MAX_INLINE_LEN, Recipe, RecipeNode};
use crate::fs;
use crate::id::{ChunkId, ContentDigest, PackId, RecipeId};

/// Bytes collected before they are cut.
const STAGE_LEN: usize = 2 * 1024 * 1024;
/// Frames that may wait for the worker.
const QUEUE_LEN: usize = 3;
/// Threads that compress: one that cuts and hashes keeps about as many busy.
const MAX_THREADS: usize = 4;

/// Level of zstd for recipes and other metadata: mostly hashes, which no level makes smaller.
const META_LEVEL: i32 = 3;

/// How contents are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// How new chunks are encoded; `None` for what the store's settings say about the kind of the content.
    pub encoding: Option<Encoding>,
    /// Earlier versions, the likeliest first. The first one that is here saves time where chunks stayed and space where
    /// they changed; what is stored reads the same with any or none.
    pub parents: Vec<ContentDigest>,
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

/// A content whose bytes were all taken in, and which a batch makes durable together with others.
pub(super) struct Unfinished {
    pub(super) stored: StoredContent,
    pub(super) recipe: Recipe,
    pub(super) nodes: Vec<RecipeNode>,
    /// New chunks that were not appended.
    pub(super) rest: Batch,
    pub(super) foreign: ForeignPacks,
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

/// Has new chunks compressed, and appends them.
pub(super) struct Encoder {
    live: Arc<Live>,
    delta: Option<DeltaSearch>,
    pub(super) foreign: ForeignPacks,
    pub(super) stored_bytes: u64,
}

/// The threads that compress.
type Compressors = Pool<(), (Encoded, Vec<FrameKey>)>;

/// The thread that appends.
pub(super) struct Worker {
    batches: SyncSender<Batch>,
    appended: Receiver<Vec<FrameKey>>,
    thread: JoinHandle<Result<Encoder, StoreError>>,
}

/// The hash of a whole content. Of a long one it is taken by a thread of its own, beside cutting.
#[derive(Default)]
struct WholeHash {
    hasher: blake3::Hasher,
    thread: Option<Pool<blake3::Hasher, blake3::Hash>>,
}

/// Takes the bytes of one content, in any pieces. Dropped before [`ContentWriter::finish`], nothing of it stays.
pub struct ContentWriter {
    // Before `active`, so that a dropped worker has ended when the write ends and its frames are cut.
    worker: Option<Worker>,
    encodings: Arc<Encodings>,
    /// Known once the first bytes are.
    encoding: Option<Encoding>,
    forecast: Option<Forecast>,
    failures: u64,
    /// No call failed so far; after one, bytes or chunks may be missing.
    is_whole: bool,
    whole: WholeHash,
    len: u64,
    staged: Vec<u8>,
    /// How many of the staged bytes the hash of the whole has.
    hashed: usize,
    /// What was staged before, which its hash may still be taken of.
    spare: Arc<Vec<u8>>,
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
        let encodings = Arc::new(live.layout.encodings().unwrap_or_default());
        Ok(Self::within(&Arc::new(active), options, &encodings, failures))
    }

    /// Starts a content within a write that is under way.
    pub(super) fn within(
        active: &Arc<ActiveWrite>,
        options: &WriteOptions,
        encodings: &Arc<Encodings>,
        failures: u64,
    ) -> Self {
        Self {
            worker: None,
            encodings: Arc::clone(encodings),
            encoding: options.encoding,
            forecast: Parent::load(&active.live, &options.parents).map(Forecast::new),
            failures,
            is_whole: true,
            whole: WholeHash::default(),
            len: 0,
            staged: vec![],
            hashed: 0,
            spare: Arc::default(),
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
        self.check_whole()?;
        // Until all of it is taken in: whoever goes on after an error must not end with a part.
        self.is_whole = false;
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
        self.is_whole = true;
        Ok(())
    }

    /// Refuses to go on in a forked child, or where an earlier call failed.
    fn check_whole(&self) -> Result<(), StoreError> {
        self.active.check_process()?;
        if self.is_whole { Ok(()) } else { Err(StoreError::Unsynced) }
    }

    /// Stores what is left, makes all of it durable and then visible.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Unsynced`] or [`StoreError::Forked`]; the content is then not in the store.
    pub fn finish(mut self) -> Result<StoredContent, StoreError> {
        self.check_whole()?;
        let live = Arc::clone(&self.active.live);
        let (recipe, nodes) = self.end()?;
        if self.len > MAX_INLINE_LEN as u64 {
            self.flush()?;
            live.data.commit(self.failures)?;
            self.foreign.sync()?;
        }
        let (id, was_known) = live.put_recipe(&recipe, &nodes)?;
        Ok(self.summary(&recipe, id, was_known))
    }

    /// Cuts what is left and returns the recipe. Its last chunks may not be appended yet.
    fn end(&mut self) -> Result<(Recipe, Vec<RecipeNode>), StoreError> {
        if self.len <= MAX_INLINE_LEN as u64 {
            return Ok((Recipe::inline(std::mem::take(&mut self.staged)), vec![]));
        }
        self.cut_staged(Rest::End)?;
        let digest = self.whole.finish()?;
        Ok(Recipe::of_chunks(digest, CHUNKER_VERSION, std::mem::take(&mut self.chunks)))
    }

    /// Ends the content and leaves the rest to a batch: new chunks that fill no frame, durability, the recipe.
    pub(super) fn end_in_batch(mut self) -> Result<Unfinished, StoreError> {
        self.check_whole()?;
        let (recipe, nodes) = self.end()?;
        if self.forecast.is_some() {
            // What leans on an earlier version is smaller so than together with strangers.
            self.flush()?;
        }
        let rest = self.take_batch();
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
        let staged = Arc::new(std::mem::take(&mut self.staged));
        self.whole.take_in(&staged, self.hashed, rest)?;
        let mut start = 0;
        self.encoding.get_or_insert_with(|| self.encodings.of(ContentKind::of(&staged)));
        while let Some(bytes) = staged.get(start..).filter(|bytes| rest == Rest::End || bytes.len() >= MAX_CHUNK_SIZE) {
            if let Some(chunk) = self.forecast.as_mut().and_then(|forecast| forecast.recognize(bytes)) {
                start += chunk.len as usize;
                self.add_chunk(bytes.get(..chunk.len as usize).unwrap_or(bytes), chunk)?;
                continue;
            }
            let Some((len, cut)) = next_cut(bytes, rest) else { break };
            let bytes = bytes.get(..len).unwrap_or(bytes);
            let len = u32::try_from(len).expect("a chunk is at most 256 KiB long");
            self.add_chunk(bytes, ChunkRef { id: ChunkId::of(bytes), len, cut })?;
            start += bytes.len();
        }
        // The buffer before is free unless its hash is still being taken.
        let mut next = Arc::try_unwrap(std::mem::take(&mut self.spare)).unwrap_or_default();
        next.clear();
        next.extend_from_slice(staged.get(start..).unwrap_or_default());
        self.hashed = next.len();
        self.staged = next;
        self.spare = staged;
        Ok(())
    }

    fn add_chunk(&mut self, bytes: &[u8], chunk: ChunkRef) -> Result<(), StoreError> {
        let ChunkRef { id, len, .. } = chunk;
        if self.chunks.len() == MAX_CONTENT_CHUNKS {
            return Err(StoreError::TooManyChunks { max: MAX_CONTENT_CHUNKS });
        }
        self.chunks.push(chunk);
        let expected = self.forecast.as_mut().map_or(0, |forecast| forecast.pass(&chunk));
        if self.pending.contains(&id) {
            return Ok(());
        }
        if let Some(found) = self.active.live.data.find(id.as_bytes(), Wanted::First)?.found.first() {
            self.foreign.rely_on(found);
            return Ok(());
        }
        self.new_chunk_bytes += u64::from(len);
        if self.active.live.data.holds_only_damaged(id.as_bytes())? {
            return self.heal(bytes, FrameKey { id: *id.as_bytes(), len });
        }
        if self.batch.raw.len() + bytes.len() > self.encoding().frame_len as usize {
            self.send_batch()?;
        }
        self.pending.insert(id);
        self.batch.keys.push(FrameKey { id: *id.as_bytes(), len });
        self.batch.raw.extend_from_slice(bytes);
        self.batch.expected.push(expected);
        Ok(())
    }

    /// Stores a chunk anew that is here but damaged. It leans on nothing: others may lean on it, and they look for it
    /// in shallower frames than their own.
    fn heal(&mut self, bytes: &[u8], key: FrameKey) -> Result<(), StoreError> {
        let frames = plain_frames(&[key], bytes, self.encoding());
        self.stored_bytes += frames.iter().map(|frame| frame.header().frame_len()).sum::<u64>();
        self.active.live.data.append(&frames)
    }

    fn encoding(&self) -> Encoding {
        self.encoding.unwrap_or_default()
    }

    fn take_batch(&mut self) -> Batch {
        Batch { encoding: self.encoding(), ..std::mem::take(&mut self.batch) }
    }

    fn encoder(&self) -> Encoder {
        let forecast = self.forecast.as_ref().filter(|_| self.encoding().delta);
        Encoder::new(&self.active.live, forecast.map(|forecast| DeltaSearch::new(Arc::clone(&forecast.parent))))
    }

    fn send_batch(&mut self) -> Result<(), StoreError> {
        let batch = self.take_batch();
        if batch.keys.is_empty() {
            return Ok(());
        }
        let encoder = if self.worker.is_none() { Some(self.encoder()) } else { None };
        if let Some(encoder) = encoder {
            self.worker = Some(Worker::spawn(encoder)?);
        }
        let Some(worker) = &mut self.worker else { return Ok(()) };
        worker.forget_appended(&mut self.pending);
        if !worker.send(batch) {
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
        let batch = self.take_batch();
        if !batch.keys.is_empty() {
            let mut encoder = self.encoder();
            let batch = Arc::new(batch);
            for group in encoder.plan(&batch) {
                let job = encoder.job(&batch, group);
                encoder.append(&job.encode())?;
            }
            self.take_over(&encoder);
        }
        Ok(())
    }

    fn take_over(&mut self, encoder: &Encoder) {
        self.stored_bytes += encoder.stored_bytes;
        self.foreign.extend(&encoder.foreign);
    }

    fn join_worker(&mut self) -> Result<(), StoreError> {
        if let Some(worker) = self.worker.take() {
            self.take_over(&worker.join()?);
        }
        Ok(())
    }
}

impl WholeHash {
    /// Takes the bytes of a buffer from a position on.
    fn take_in(&mut self, bytes: &Arc<Vec<u8>>, from: usize, rest: Rest) -> Result<(), StoreError> {
        if rest == Rest::More && self.thread.is_none() && self.hasher.count() == 0 {
            // Where there are no more threads, this one does it.
            self.thread = Pool::spawn(1, Priority::Usual).ok();
        }
        let Some(thread) = &mut self.thread else {
            self.hasher.update(bytes.get(from..).unwrap_or_default());
            return Ok(());
        };
        if thread.is_full() {
            thread.take()?;
        }
        let bytes = Arc::clone(bytes);
        thread.give(move |hasher: &mut blake3::Hasher| {
            hasher.update(bytes.get(from..).unwrap_or_default());
            hasher.finalize()
        })
    }

    fn finish(&mut self) -> Result<ContentDigest, StoreError> {
        let mut hash = self.hasher.finalize();
        while let Some(next) = self.thread.as_mut().map_or(Ok(None), Pool::take)? {
            hash = next;
        }
        Ok(ContentDigest::from_bytes(*hash.as_bytes()))
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
        if let Some(worker) = self.worker.take() {
            worker.abandon(&self.active);
        }
    }
}

impl Worker {
    /// Hands chunks over; `false` if the worker ended, which it does early only on an error that [`Worker::join`]
    /// returns.
    pub(super) fn send(&self, batch: Batch) -> bool {
        self.batches.send(batch).is_ok()
    }

    /// Removes the chunks that the index knows by now.
    pub(super) fn forget_appended(&self, pending: &mut HashSet<ChunkId>) {
        for key in self.appended.try_iter().flatten() {
            pending.remove(&ChunkId::from_bytes(key.id));
        }
    }

    /// Waits until all is appended.
    pub(super) fn join(self) -> Result<Encoder, StoreError> {
        drop(self.batches);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Waits until the thread has ended, whatever it came to.
    pub(super) fn abandon(self, active: &ActiveWrite) {
        // In a forked child the thread does not exist, and may have held the lock of a channel when it was forked off.
        if active.check_process().is_err() {
            std::mem::forget(self);
            return;
        }
        drop(self.batches);
        let _ = self.thread.join();
    }

    pub(super) fn spawn(encoder: Encoder) -> Result<Self, StoreError> {
        let (batches, incoming) = sync_channel(QUEUE_LEN);
        let (outgoing, appended) = channel();
        let thread = std::thread::Builder::new()
            .name("onenb-ingest".to_owned())
            .spawn(move || encoder.run(&incoming, &outgoing))
            .map_err(|source| StoreError::Io { doing: "start a thread for", path: "the store".into(), source })?;
        Ok(Self { batches, appended, thread })
    }
}

impl Encoder {
    pub(super) fn new(live: &Arc<Live>, delta: Option<DeltaSearch>) -> Self {
        Self { live: Arc::clone(live), delta, foreign: ForeignPacks::default(), stored_bytes: 0 }
    }

    fn run(mut self, incoming: &Receiver<Batch>, outgoing: &Sender<Vec<FrameKey>>) -> Result<Self, StoreError> {
        // Where there are no more threads, this one compresses as well.
        let mut pool = Pool::spawn(MAX_THREADS, Priority::Usual).ok();
        for batch in incoming {
            let batch = Arc::new(batch);
            for group in self.plan(&batch) {
                if pool.as_ref().is_some_and(Pool::is_full) {
                    self.append_next(&mut pool, outgoing)?;
                }
                // Not before there is room: what it leans on is read now.
                let job = self.job(&batch, group);
                match &mut pool {
                    Some(pool) => pool.give(move |()| (job.encode(), job.keys().to_vec()))?,
                    None => self.append_noted(&job.encode(), job.keys().to_vec(), outgoing)?,
                }
            }
        }
        while pool.as_ref().is_some_and(|pool| !pool.is_empty()) {
            self.append_next(&mut pool, outgoing)?;
        }
        Ok(self)
    }

    fn append_next(
        &mut self,
        pool: &mut Option<Compressors>,
        outgoing: &Sender<Vec<FrameKey>>,
    ) -> Result<(), StoreError> {
        match pool.as_mut().map_or(Ok(None), Pool::take)? {
            Some((encoded, keys)) => self.append_noted(&encoded, keys, outgoing),
            None => Ok(()),
        }
    }

    fn append_noted(
        &mut self,
        encoded: &Encoded,
        keys: Vec<FrameKey>,
        outgoing: &Sender<Vec<FrameKey>>,
    ) -> Result<(), StoreError> {
        if let Some(delta) = &mut self.delta {
            delta.note(encoded, &keys);
        }
        self.append(encoded)?;
        // The writer may have stopped listening; the frames are found through the index then.
        let _ = outgoing.send(keys);
        Ok(())
    }

    fn plan(&mut self, batch: &Batch) -> Vec<Group> {
        self.delta.as_mut().map_or_else(|| vec![Group::whole(batch)], |delta| delta.plan(&self.live, batch))
    }

    fn job(&mut self, batch: &Arc<Batch>, group: Group) -> Job {
        let lean = self.delta.as_mut().and_then(|delta| delta.lean(&self.live, &group));
        Job::new(batch, group, lean)
    }

    fn append(&mut self, encoded: &Encoded) -> Result<(), StoreError> {
        let mut bases = ForeignPacks::default();
        encoded.bases.iter().for_each(|found| bases.rely_on(found));
        // Before the frames can be found: whoever relies on them looks only at them, not at what they lean on.
        bases.sync()?;
        self.foreign.extend(&bases);
        self.stored_bytes += encoded.frames.iter().map(|frame| frame.header().frame_len()).sum::<u64>();
        self.live.data.append(&encoded.frames)
    }
}

/// Compresses chunks that lean on nothing: one frame, or several where noise lies beside what compresses.
pub(super) fn plain_frames(keys: &[FrameKey], raw: &[u8], encoding: Encoding) -> Vec<Frame> {
    let encode = if encoding.shuffle { Frame::chunks_joined } else { Frame::chunks_as_they_are };
    let mut rest = raw;
    let frames = split_by_worth(keys, raw).into_iter().map(|run| {
        let keys = keys.get(run).unwrap_or_default().to_vec();
        let len = keys.iter().map(|key| key.len as usize).sum();
        let (raw, after) = rest.split_at(len);
        rest = after;
        encode(keys, raw.to_vec(), encoding.level)
    });
    frames.collect()
}

impl Live {
    /// Makes a recipe durable and visible, unless it is here already. Its chunks must be durable.
    pub(super) fn put_recipe(&self, recipe: &Recipe, nodes: &[RecipeNode]) -> Result<(RecipeId, bool), StoreError> {
        let failures = self.meta.failures();
        self.meta.refresh()?;
        let (mut foreign, mut frames) = (ForeignPacks::default(), vec![]);
        let known = self.recipe_frames(recipe, nodes, &mut foreign, &mut frames)?;
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
                    frames.push(Frame::object(kind, *node_id.as_bytes(), &[], node_bytes, META_LEVEL));
                }
            }
        }
        if known {
            let search = self.meta.find(id.as_bytes(), Wanted::All)?;
            search.found.iter().for_each(|found| foreign.rely_on(found));
        } else {
            let alias = [*recipe.digest().as_bytes()];
            frames.push(Frame::object(ObjectKind::RECIPE.to_byte(), *id.as_bytes(), &alias, bytes, META_LEVEL));
        }
        Ok(known)
    }
}
