//! Many contents at once: they share frames, one sync of the data pack, and one of the metadata pack.
//!
//! - Contents of a batch are written through [`ContentWriter`]s as usual, also several at the same time; what each of
//!   them does not fill a frame with joins that of the others.
//! - Nothing of a batch is visible before [`ContentBatch::commit`]. A batch that is dropped leaves nothing; one that is
//!   killed while it commits may leave some contents, which nobody names.

use std::collections::HashSet;
use std::sync::Arc;

use super::delta::Batch;
use super::ingest::{Encoder, ForeignPacks, Worker};
use super::{ActiveWrite, ContentWriter, Live, Store, StoreError, StoredContent, WriteOptions};
use crate::format::encoding::{Encoding, Encodings};
use crate::format::pack::MAX_FRAME_KEYS;
use crate::format::recipe::{Recipe, RecipeNode};
use crate::id::{ChunkId, ContentDigest};

/// Contents that become durable and visible together.
pub struct ContentBatch {
    /// Compresses what is left of the contents, beside the thread that cuts and hashes them.
    worker: Option<Worker>,
    active: Arc<ActiveWrite>,
    options: WriteOptions,
    /// As they were when the batch began.
    encodings: Arc<Encodings>,
    data_failures: u64,
    /// No call failed so far; after one, chunks of contents that were taken in may be missing.
    is_whole: bool,
    /// New chunks that fill no frame yet, one batch for each encoding.
    rest: Vec<Batch>,
    /// The ids of these chunks, and of those that the worker has.
    waiting: HashSet<ChunkId>,
    foreign: ForeignPacks,
    recipes: Vec<(Recipe, Vec<RecipeNode>)>,
    known: HashSet<ContentDigest>,
    stored_bytes: u64,
}

impl Store {
    /// Starts a batch of contents.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn batch(&self, options: &WriteOptions) -> Result<ContentBatch, StoreError> {
        let live = self.live();
        let active = Arc::new(ActiveWrite::begin(live)?);
        live.data.begin_writing()?;
        Ok(ContentBatch {
            worker: None,
            active,
            options: options.clone(),
            encodings: Arc::new(live.layout.encodings().unwrap_or_default()),
            data_failures: live.data.failures(),
            is_whole: true,
            rest: vec![],
            waiting: HashSet::new(),
            foreign: ForeignPacks::default(),
            recipes: vec![],
            known: HashSet::new(),
            stored_bytes: 0,
        })
    }
}

impl ContentBatch {
    /// Starts a content, which [`ContentBatch::add`] takes. `parents` are as in [`WriteOptions`].
    #[must_use]
    pub fn writer(&self, parents: Vec<ContentDigest>) -> ContentWriter {
        let options = WriteOptions { parents, ..self.options.clone() };
        ContentWriter::within(&self.active, &options, &self.encodings, self.data_failures)
    }

    /// Takes a content in whose bytes are all written. It is not durable yet.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the disk is full or fails, [`StoreError::Forked`] in a forked child.
    ///
    /// # Panics
    /// If the writer is of another batch.
    pub fn add(&mut self, writer: ContentWriter) -> Result<StoredContent, StoreError> {
        assert!(Arc::ptr_eq(&writer.active, &self.active), "a batch takes only its own writers");
        self.check_whole()?;
        // A content that fails takes only its own chunks with it.
        let ended = writer.end_in_batch()?;
        self.is_whole = false;
        self.foreign.extend(&ended.foreign);
        let encoding = ended.rest.encoding;
        let mut rest = self.take_rest(encoding);
        let mut raw = ended.rest.raw.as_slice();
        for key in ended.rest.keys {
            let (bytes, after) = raw.split_at(key.len as usize);
            raw = after;
            // Contents written at the same time may bring the same chunk.
            if !self.waiting.insert(ChunkId::from_bytes(key.id)) {
                continue;
            }
            if rest.raw.len() + bytes.len() > encoding.frame_len as usize || rest.keys.len() == MAX_FRAME_KEYS {
                self.send(std::mem::replace(&mut rest, Batch { encoding, ..Batch::default() }))?;
            }
            rest.keys.push(key);
            rest.raw.extend_from_slice(bytes);
        }
        self.rest.push(rest);
        self.stored_bytes += ended.stored.stored_bytes;
        if self.known.insert(ended.stored.digest) {
            self.recipes.push((ended.recipe, ended.nodes));
        }
        self.is_whole = true;
        Ok(ended.stored)
    }

    /// Refuses to go on where an earlier call failed.
    fn check_whole(&self) -> Result<(), StoreError> {
        if self.is_whole { Ok(()) } else { Err(StoreError::Unsynced) }
    }

    /// Makes all contents durable and then visible. Returns the bytes that the store grew by for their chunks.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Unsynced`] or [`StoreError::Forked`]; nothing of the batch is then in the
    /// store.
    pub fn commit(mut self) -> Result<u64, StoreError> {
        self.active.check_process()?;
        self.check_whole()?;
        for rest in std::mem::take(&mut self.rest) {
            self.send(rest)?;
        }
        self.join_worker()?;
        let live: Arc<Live> = Arc::clone(&self.active.live);
        let failures = live.meta.failures();
        live.meta.begin_writing()?;
        let mut frames = vec![];
        for (recipe, nodes) in &self.recipes {
            live.recipe_frames(recipe, nodes, &mut self.foreign, &mut frames)?;
        }
        live.data.commit(self.data_failures)?;
        self.foreign.sync()?;
        live.meta.append(&frames)?;
        live.meta.commit(failures)?;
        Ok(self.stored_bytes)
    }

    /// Takes out what waits for one encoding.
    fn take_rest(&mut self, encoding: Encoding) -> Batch {
        let at = self.rest.iter().position(|rest| rest.encoding == encoding);
        at.map_or_else(|| Batch { encoding, ..Batch::default() }, |at| self.rest.swap_remove(at))
    }

    fn send(&mut self, rest: Batch) -> Result<(), StoreError> {
        if rest.keys.is_empty() {
            return Ok(());
        }
        if self.worker.is_none() {
            self.worker = Some(Worker::spawn(Encoder::new(&self.active.live, None))?);
        }
        let Some(worker) = &self.worker else { return Ok(()) };
        worker.forget_appended(&mut self.waiting);
        if !worker.send(rest) {
            self.join_worker()?;
            return Err(StoreError::Unsynced);
        }
        Ok(())
    }

    fn join_worker(&mut self) -> Result<(), StoreError> {
        if let Some(worker) = self.worker.take() {
            let encoder = worker.join()?;
            self.stored_bytes += encoder.stored_bytes;
            self.foreign.extend(&encoder.foreign);
        }
        Ok(())
    }
}

impl Drop for ContentBatch {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.abandon(&self.active);
        }
    }
}
