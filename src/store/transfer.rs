//! What a push takes out of a store and a pull puts in: chunks, frames as they are, recipes.

use std::collections::HashSet;

use super::ingest::ForeignPacks;
use super::reader::FrameCache;
use super::shelf::{Found, Wanted};
use super::{ActiveWrite, Live, Store, StoreError};
use crate::error::{Classify as _, ErrorKind};
use crate::format::encoding::Encoding;
use crate::format::pack::{Check, Frame, FrameKind};
use crate::format::recipe::{ChunkRef, Recipe, RecipeBody, RecipeNode};
use crate::id::{ChunkId, ContentDigest, RecipeId};

/// What came in with some frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inserted {
    /// Frames that brought something new.
    pub frames: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

impl Store {
    /// Returns the chunks of a content, in order; none for a content that lies in its recipe.
    ///
    /// # Errors
    /// [`StoreError::UnknownContent`], or an error of kind `Damaged`.
    pub fn chunks_of(&self, digest: &ContentDigest) -> Result<Vec<ChunkRef>, StoreError> {
        let (recipe, nodes) = self.recipe_of(digest)?;
        Ok(match recipe.body() {
            RecipeBody::Inline(_) => vec![],
            RecipeBody::Flat(chunks) => chunks.clone(),
            RecipeBody::Tree(_) => nodes.into_iter().flat_map(RecipeNode::into_chunks).collect(),
        })
    }

    /// Returns the recipe of a content and the nodes that it names, in order.
    ///
    /// # Errors
    /// [`StoreError::UnknownContent`], or an error of kind `Damaged`.
    pub fn recipe_of(&self, digest: &ContentDigest) -> Result<(Recipe, Vec<RecipeNode>), StoreError> {
        let live = self.live();
        let (recipe, _) = live.recipe(digest)?;
        let nodes = live.nodes(&recipe)?;
        Ok((recipe, nodes))
    }

    /// Reads one chunk and checks it.
    ///
    /// # Errors
    /// [`StoreError::ChunkMissing`] or another error of kind `Damaged`.
    pub fn read_chunk(&self, id: &ChunkId) -> Result<Vec<u8>, StoreError> {
        let bytes = self.live().chunk(id, &mut FrameCache::default())?;
        Ok(bytes.as_slice().to_vec())
    }

    /// Takes over what processes that died left, as every write does first. A torn tail that is cut then may hold
    /// chunks of which [`Store::is_complete`] says before that they are here.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn settle(&self) -> Result<(), StoreError> {
        let live = self.live();
        let _active = ActiveWrite::begin(live)?;
        live.data.begin_writing()?;
        live.meta.begin_writing()
    }

    /// Returns whether a content can be rebuilt from what is here, as far as is known: its recipe is sound, and every
    /// chunk is in a frame that nobody found damaged. The bytes of chunks are not looked at.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn is_complete(&self, digest: &ContentDigest) -> Result<bool, StoreError> {
        match self.chunks_of(digest) {
            Ok(chunks) => {
                for chunk in chunks {
                    if !self.has_chunk(&chunk.id)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Err(StoreError::UnknownContent { .. }) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a pack names a chunk in a frame that nobody found damaged. Its bytes are not looked at.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn has_chunk(&self, id: &ChunkId) -> Result<bool, StoreError> {
        self.live().data.has(id.as_bytes())
    }

    /// Returns the frame that holds a chunk as it is stored, which may lean on others.
    ///
    /// # Errors
    /// [`StoreError::ChunkMissing`] or another error of kind `Damaged`.
    pub fn stored_frame(&self, id: &ChunkId) -> Result<Frame, StoreError> {
        let search = self.live().data.find_fresh(id.as_bytes())?;
        search.found.first().ok_or(StoreError::ChunkMissing { chunk: *id })?.read()
    }

    /// Returns the frame that holds a chunk, for copying it elsewhere: as stored, its payload checksum holds, or
    /// compressed anew where it leans on other frames.
    ///
    /// # Errors
    /// [`StoreError::ChunkMissing`] or another error of kind `Damaged`.
    pub fn frame_with(&self, id: &ChunkId) -> Result<Frame, StoreError> {
        let live = self.live();
        let search = live.data.find_fresh(id.as_bytes())?;
        let mut fault = search.damage.unwrap_or(StoreError::ChunkMissing { chunk: *id });
        for found in &search.found {
            match live.frame_alone(found) {
                Ok(frame) => return Ok(frame),
                Err(error) => {
                    self.live().note_fault(found, &error);
                    fault = error;
                }
            }
        }
        Err(fault)
    }

    /// Stores frames from elsewhere, durable on return. Every chunk is checked first; frames that bring nothing new are
    /// left out. Chunks alone are not visible to anybody: that takes [`Store::insert_recipe`].
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a frame that is not what it says, [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn insert_frames(&self, frames: impl IntoIterator<Item = Frame>) -> Result<Inserted, StoreError> {
        let live = self.live();
        let _active = ActiveWrite::begin(live)?;
        let failures = live.data.failures();
        live.data.begin_writing()?;
        let mut foreign = ForeignPacks::default();
        let mut inserted = Inserted::default();
        let mut cache = FrameCache::default();
        for frame in frames {
            if frame.header().kind() != FrameKind::Chunks {
                let source = crate::format::FormatError::malformed("frame", "it holds no chunks");
                return Err(StoreError::Refused { source });
            }
            let base = live.base_bytes(frame.header(), &mut cache).map_err(|_| {
                let reason = "it leans on chunks that are not here";
                StoreError::Refused { source: crate::format::FormatError::malformed("frame", reason) }
            })?;
            frame.decode_on(&base, Check::Chunks).map_err(|source| StoreError::Refused { source })?;
            if live.brings_new_chunk(&frame, &mut foreign)? {
                inserted.frames += 1;
                inserted.stored_bytes += frame.header().frame_len();
                live.data.append(&[frame])?;
            }
        }
        live.data.commit(failures)?;
        foreign.sync()?;
        Ok(inserted)
    }

    /// Makes a content visible whose chunks are all here already, durable on return.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if a chunk is missing, [`StoreError::Refused`] if the nodes are not those of the
    /// recipe, [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn insert_recipe(&self, recipe: &Recipe, nodes: &[RecipeNode]) -> Result<RecipeId, StoreError> {
        let live = self.live();
        let _active = ActiveWrite::begin(live)?;
        let failures = live.data.failures();
        let children = match recipe.body() {
            RecipeBody::Tree(children) => children.as_slice(),
            _ => &[],
        };
        if !children.iter().copied().eq(nodes.iter().map(RecipeNode::to_child)) {
            let source = crate::format::FormatError::malformed("recipe", "its nodes are not the ones it names");
            return Err(StoreError::Refused { source });
        }
        let flat = match recipe.body() {
            RecipeBody::Flat(chunks) => chunks.as_slice(),
            _ => &[],
        };
        live.data.begin_writing()?;
        let mut foreign = ForeignPacks::default();
        let mut checked = HashSet::new();
        let (mut hasher, mut cache) = (blake3::Hasher::new(), FrameCache::default());
        let refused = |reason| StoreError::Refused { source: crate::format::FormatError::malformed("recipe", reason) };
        for chunk in flat.iter().chain(nodes.iter().flat_map(RecipeNode::chunks)) {
            if checked.insert(chunk.id) {
                let search = live.data.find(chunk.id.as_bytes(), Wanted::First)?;
                let missing = StoreError::Incomplete { digest: recipe.digest(), chunk: chunk.id };
                let found = search.found.first().ok_or(missing)?;
                foreign.rely_on(found);
            }
            let bytes = live.chunk(&chunk.id, &mut cache)?;
            if bytes.as_slice().len() != chunk.len as usize {
                return Err(refused("a chunk has another length than it says"));
            }
            hasher.update(bytes.as_slice());
        }
        let inline = matches!(recipe.body(), RecipeBody::Inline(_));
        if !inline && hasher.finalize().as_bytes() != recipe.digest().as_bytes() {
            return Err(refused("its chunks do not hash to its digest"));
        }
        live.data.commit(failures)?;
        foreign.sync()?;
        Ok(live.put_recipe(recipe, nodes)?.0)
    }
}

impl Live {
    /// Reads all nodes of a recipe tree.
    pub(super) fn nodes(&self, recipe: &Recipe) -> Result<Vec<RecipeNode>, StoreError> {
        match recipe.body() {
            RecipeBody::Tree(children) => {
                children.iter().map(|child| self.recipe_node(&recipe.digest(), child)).collect()
            }
            _ => Ok(vec![]),
        }
    }

    fn frame_alone(&self, found: &Found) -> Result<Frame, StoreError> {
        let frame = found.read()?;
        if frame.header().bases().is_empty() {
            return Ok(frame);
        }
        let (pack, offset) = (found.pack, found.offset);
        let base = self.base_bytes(frame.header(), &mut FrameCache::default())?;
        let raw = frame.decode_on(&base, Check::Chunks);
        let raw = raw.map_err(|source| StoreError::PackDamaged { pack, offset, source })?;
        Ok(Frame::chunks_joined(frame.header().keys().to_vec(), raw, Encoding::default().level))
    }

    fn brings_new_chunk(&self, frame: &Frame, foreign: &mut ForeignPacks) -> Result<bool, StoreError> {
        let mut fresh = false;
        for key in frame.header().keys() {
            match self.data.find(&key.id, Wanted::First)?.found.first() {
                Some(found) => foreign.rely_on(found),
                None => fresh = true,
            }
        }
        Ok(fresh)
    }
}
