//! Many contents at once: they share frames, one sync of the data pack, and one of the metadata pack.
//!
//! - Contents of a batch are written through [`ContentWriter`]s as usual, also several at the same time; what each of
//!   them does not fill a frame with joins that of the others.
//! - Nothing of a batch is visible before [`ContentBatch::commit`]. A batch that is dropped leaves nothing; one that is
//!   killed while it commits may leave some contents, which nobody names.

use std::collections::HashSet;
use std::sync::Arc;

use super::delta::Batch;
use super::ingest::{ForeignPacks, append_batch};
use super::{ActiveWrite, ContentWriter, Live, Store, StoreError, StoredContent, WriteOptions};
use crate::format::pack::{FRAME_TARGET_LEN, MAX_FRAME_KEYS};
use crate::format::recipe::{Recipe, RecipeNode};
use crate::id::{ChunkId, ContentDigest};

/// Contents that become durable and visible together.
pub struct ContentBatch {
    active: Arc<ActiveWrite>,
    options: WriteOptions,
    data_failures: u64,
    /// New chunks that fill no frame yet.
    rest: Batch,
    /// The ids of these chunks.
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
            active,
            options: options.clone(),
            data_failures: live.data.failures(),
            rest: Batch::default(),
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
        ContentWriter::within(&self.active, &options, self.data_failures)
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
        let ended = writer.end_in_batch()?;
        self.foreign.extend(&ended.foreign);
        let mut raw = ended.rest.raw.as_slice();
        for key in ended.rest.keys {
            let (bytes, after) = raw.split_at(key.len as usize);
            raw = after;
            // Contents written at the same time may bring the same chunk.
            if !self.waiting.insert(ChunkId::from_bytes(key.id)) {
                continue;
            }
            if self.rest.raw.len() + bytes.len() > FRAME_TARGET_LEN || self.rest.keys.len() == MAX_FRAME_KEYS {
                self.append_rest()?;
                self.waiting.insert(ChunkId::from_bytes(key.id));
            }
            self.rest.keys.push(key);
            self.rest.raw.extend_from_slice(bytes);
        }
        self.stored_bytes += ended.stored.stored_bytes;
        if self.known.insert(ended.stored.digest) {
            self.recipes.push((ended.recipe, ended.nodes));
        }
        Ok(ended.stored)
    }

    /// Makes all contents durable and then visible. Returns the bytes that the store grew by for their chunks.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Unsynced`] or [`StoreError::Forked`]; nothing of the batch is then in the store.
    pub fn commit(mut self) -> Result<u64, StoreError> {
        self.active.check_process()?;
        self.append_rest()?;
        let live: Arc<Live> = Arc::clone(&self.active.live);
        let failures = live.meta.failures();
        live.meta.begin_writing()?;
        let mut frames = vec![];
        for (recipe, nodes) in &self.recipes {
            live.recipe_frames(recipe, nodes, self.options.level, &mut self.foreign, &mut frames)?;
        }
        live.data.commit(self.data_failures)?;
        self.foreign.sync()?;
        live.meta.append(&frames)?;
        live.meta.commit(failures)?;
        Ok(self.stored_bytes)
    }

    fn append_rest(&mut self) -> Result<(), StoreError> {
        self.waiting.clear();
        let rest = std::mem::take(&mut self.rest);
        if !rest.keys.is_empty() {
            self.stored_bytes += append_batch(&self.active.live, &rest, self.options.level)?;
        }
        Ok(())
    }
}
