//! Reading: recipes to chunks, chunks to frames, frames to bytes, all checked on the way.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use super::ahead::{Ahead, RUN_LEN};
use super::objects::ObjectKind;
use super::shelf::{Found, Search, Wanted};
use super::{Live, StoreError};
use crate::error::{Classify as _, ErrorKind};
use crate::format::FormatError;
use crate::format::pack::{Check, FrameHeader, FrameKind, MAX_DELTA_DEPTH};
use crate::format::recipe::{ChunkRef, Recipe, RecipeBody, RecipeNode, TreeChild};
use crate::id::{ChunkId, ContentDigest, PackId, RecipeId};

/// Decoded frames kept by one reader, in bytes.
const CACHE_LEN: usize = 8 * 1024 * 1024;

/// Contents up to this length hand their decoded frames on to the next one of the open store, in bytes: they share
/// frames.
const SHORT_LEN: u64 = 1024 * 1024;
/// Decoded frames that are handed on, in bytes.
const HANDED_LEN: usize = 2 * 1024 * 1024;

/// A chunk within a decoded frame.
#[derive(Debug, Clone)]
pub(super) struct ChunkBytes {
    frame: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl ChunkBytes {
    /// Copies the chunk, so that the rest of its frame is not kept for it.
    pub(super) fn alone(&self) -> Self {
        let bytes = self.as_slice().to_vec();
        Self { range: 0..bytes.len(), frame: Arc::new(bytes) }
    }

    pub(super) fn shares_frame_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.frame, &other.frame)
    }

    /// Length of the frame that is kept for the chunk, in bytes.
    pub(super) fn frame_len(&self) -> usize {
        self.frame.len()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.frame.get(self.range.clone()).unwrap_or_default()
    }
}

struct CachedFrame {
    pack: PackId,
    offset: u64,
    header: Arc<FrameHeader>,
    raw: Arc<Vec<u8>>,
}

/// The frames decoded last, newest first.
#[derive(Default)]
pub(super) struct FrameCache {
    frames: VecDeque<CachedFrame>,
}

impl FrameCache {
    /// Finds a chunk in a frame of less than some depth and checks it.
    fn find_below(&self, id: &ChunkId, depth: u8) -> Option<ChunkBytes> {
        let shallow = self.frames.iter().filter(|cached| cached.header.delta_depth() < depth);
        let mut held = shallow.filter_map(|cached| {
            let (offset, len) = cached.header.find_chunk(id)?;
            Some(ChunkBytes { frame: Arc::clone(&cached.raw), range: offset..offset + len })
        });
        held.find(|bytes| ChunkId::of(bytes.as_slice()) == *id)
    }

    fn keep(&mut self, found: &Found, raw: Arc<Vec<u8>>) {
        self.frames.retain(|cached| (cached.pack, cached.offset) != (found.pack, found.offset));
        let header = Arc::clone(&found.header);
        self.frames.push_front(CachedFrame { pack: found.pack, offset: found.offset, header, raw });
        self.shrink(CACHE_LEN);
    }

    /// Forgets the oldest frames beyond a length, but for one.
    fn shrink(&mut self, len: usize) {
        while self.frames.len() > 1 && self.frames.iter().map(|cached| cached.raw.len()).sum::<usize>() > len {
            self.frames.pop_back();
        }
    }
}

impl Live {
    /// Reads the recipe of a content.
    pub(super) fn recipe(&self, digest: &ContentDigest) -> Result<(Recipe, RecipeId), StoreError> {
        read_recipe(digest, self.meta.find_fresh(digest.as_bytes())?)
    }

    /// As [`Live::recipe`], as far as is known since the last refresh.
    pub(super) fn known_recipe(&self, digest: &ContentDigest) -> Result<(Recipe, RecipeId), StoreError> {
        read_recipe(digest, self.meta.find(digest.as_bytes(), Wanted::All)?)
    }

    /// Reads a node of a recipe tree.
    pub(super) fn recipe_node(&self, digest: &ContentDigest, child: &TreeChild) -> Result<RecipeNode, StoreError> {
        let search = self.meta.find_fresh(child.node.as_bytes())?;
        let damaged = |source| StoreError::RecipeDamaged { digest: *digest, source };
        let decode = |found: &Found| {
            let bytes = found.read()?.decode(Check::Payload).map_err(damaged)?;
            let node = RecipeNode::from_bytes(&bytes).map_err(damaged)?;
            if RecipeId::of(&bytes) != child.node || node.to_child() != *child {
                return Err(damaged(FormatError::malformed("recipe node", "it is not the one that the tree names")));
            }
            Ok(node)
        };
        let missing = StoreError::RecipeNodeMissing { digest: *digest, node: child.node };
        first_sound(search, ObjectKind::RECIPE_NODE, decode).unwrap_or(Err(missing))
    }

    /// Makes sure that nothing new relies on a frame of a data pack whose bytes are wrong.
    pub(super) fn note_fault(&self, found: &Found, error: &StoreError) {
        if error.kind() == ErrorKind::Damaged {
            self.data.note_damage((found.pack, found.offset));
        }
    }

    /// Reads a chunk and checks it against its id, trying every place that it has.
    pub(super) fn chunk(&self, id: &ChunkId, cache: &mut FrameCache) -> Result<ChunkBytes, StoreError> {
        self.chunk_below(id, MAX_DELTA_DEPTH + 1, cache)
    }

    /// Reads a chunk from a frame of less than some depth. Depths fall from frame to base, so that this comes to an end
    /// whatever the packs say. What is cached counts only where it could be read from the packs under the same rule: a
    /// base that is sound at a greater depth alone is none.
    pub(super) fn chunk_below(
        &self,
        id: &ChunkId,
        depth: u8,
        cache: &mut FrameCache,
    ) -> Result<ChunkBytes, StoreError> {
        if let Some(bytes) = cache.find_below(id, depth) {
            return Ok(bytes);
        }
        let is_shallow = |found: &&Found| found.header.delta_depth() < depth;
        let mut search = self.data.find_fresh(id.as_bytes())?;
        if !search.found.iter().any(|found| is_shallow(&found)) && !search.found.is_empty() {
            // The shallower twin may be in a pack that was not seen yet.
            self.data.refresh()?;
            search = self.data.find(id.as_bytes(), Wanted::All)?;
        }
        let mut fault = search.damage;
        for found in search.found.iter().filter(is_shallow) {
            match self.read_chunk(found, id, cache) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    self.note_fault(found, &error);
                    fault = Some(error);
                }
            }
        }
        Err(fault.unwrap_or(StoreError::ChunkMissing { chunk: *id }))
    }

    fn read_chunk(&self, found: &Found, id: &ChunkId, cache: &mut FrameCache) -> Result<ChunkBytes, StoreError> {
        let damaged = |source| StoreError::ChunkDamaged { chunk: *id, source };
        let frame = found.read()?;
        let base = self.base_bytes(frame.header(), cache)?;
        let raw = Arc::new(frame.decode_on(&base, Check::Payload).map_err(damaged)?);
        let wrong = || damaged(FormatError::malformed("chunk", "its bytes are not what its id says"));
        let (offset, len) = found.header.find_chunk(id).ok_or_else(wrong)?;
        let bytes = ChunkBytes { frame: Arc::clone(&raw), range: offset..offset + len };
        if ChunkId::of(bytes.as_slice()) != *id {
            return Err(wrong());
        }
        cache.keep(found, raw);
        Ok(bytes)
    }

    /// Reads what a frame was compressed against, every chunk of it verified; nothing for a frame that stands alone.
    pub(super) fn base_bytes(&self, header: &FrameHeader, cache: &mut FrameCache) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![];
        for span in header.bases() {
            let chunk = self.chunk_below(&span.chunk, header.delta_depth(), cache)?;
            let range = span.offset as usize..span.offset as usize + span.len as usize;
            let part = chunk.as_slice().get(range).ok_or_else(|| StoreError::ChunkDamaged {
                chunk: span.chunk,
                source: FormatError::malformed("chunk", "it is shorter than a frame that leans on it says"),
            })?;
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }
}

fn read_recipe(digest: &ContentDigest, search: Search) -> Result<(Recipe, RecipeId), StoreError> {
    let damaged = |source| StoreError::RecipeDamaged { digest: *digest, source };
    let decode = |found: &Found| {
        let bytes = found.read()?.decode(Check::Payload).map_err(damaged)?;
        let recipe = Recipe::from_bytes(&bytes).map_err(damaged)?;
        let id = RecipeId::of(&bytes);
        let named = found.header.keys().first().is_some_and(|key| key.id == *id.as_bytes());
        if !named || recipe.digest() != *digest {
            return Err(damaged(FormatError::malformed("recipe", "it is not the one it is found as")));
        }
        Ok((recipe, id))
    };
    first_sound(search, ObjectKind::RECIPE, decode).unwrap_or(Err(StoreError::UnknownContent { digest: *digest }))
}

/// Returns the first place of a kind that decodes, else the last fault met; `None` if there is no place at all.
fn first_sound<T>(
    search: Search,
    kind: ObjectKind,
    decode: impl Fn(&Found) -> Result<T, StoreError>,
) -> Option<Result<T, StoreError>> {
    let mut fault = search.damage;
    for found in search.found.iter().filter(|found| found.header.kind() == FrameKind::Object(kind.to_byte())) {
        match decode(found) {
            Ok(value) => return Some(Ok(value)),
            Err(error) => fault = Some(error),
        }
    }
    fault.map(Err)
}

/// Chunks in a row and where they start in the content.
struct Stretch {
    /// Number of the node in a tree; 0 for a flat recipe.
    number: usize,
    starts: Vec<u64>,
    chunks: Vec<ChunkRef>,
}

impl Stretch {
    fn new(number: usize, start: u64, chunks: Vec<ChunkRef>) -> Self {
        let starts = chunks.iter().scan(start, |next, chunk| {
            let start = *next;
            *next += u64::from(chunk.len);
            Some(start)
        });
        Self { number, starts: starts.collect(), chunks }
    }

    fn at(&self, position: u64) -> Option<(u64, ChunkRef)> {
        let index = self.starts.partition_point(|start| *start <= position).checked_sub(1)?;
        Some((*self.starts.get(index)?, *self.chunks.get(index)?))
    }
}

/// Reads one content, anywhere in it, without loading it. Every byte handed out belongs to a chunk that was checked.
pub struct ContentReader {
    live: Arc<Live>,
    recipe: Recipe,
    position: u64,
    /// Where each node of a tree starts; empty for other recipes.
    node_starts: Vec<u64>,
    stretch: Option<Stretch>,
    current: Option<(u64, ChunkBytes)>,
    cache: FrameCache,
    /// Bytes of chunks that were read one behind the other.
    run: u64,
    ahead: Option<Ahead>,
    process: u32,
}

impl Drop for ContentReader {
    fn drop(&mut self) {
        if self.recipe.len() <= SHORT_LEN
            && let Ok(mut recent) = self.live.recent.try_lock()
        {
            self.cache.shrink(HANDED_LEN);
            *recent = std::mem::take(&mut self.cache);
        }
    }
}

impl ContentReader {
    pub(super) fn open(live: Arc<Live>, digest: &ContentDigest) -> Result<Self, StoreError> {
        let (recipe, _) = live.recipe(digest)?;
        // Whoever else reads at this moment has them, or was forked off while somebody did.
        let recent = if recipe.len() <= SHORT_LEN { live.recent.try_lock().ok() } else { None };
        let recent = recent.map(|mut recent| std::mem::take(&mut *recent));
        let mut reader = Self {
            cache: recent.unwrap_or_default(),
            live,
            recipe,
            position: 0,
            node_starts: vec![],
            stretch: None,
            current: None,
            run: 0,
            ahead: None,
            process: std::process::id(),
        };
        match reader.recipe.body() {
            RecipeBody::Inline(content) => {
                let frame = Arc::new(content.clone());
                let range = 0..frame.len();
                reader.current = Some((0, ChunkBytes { frame, range }));
            }
            RecipeBody::Flat(chunks) => reader.stretch = Some(Stretch::new(0, 0, chunks.clone())),
            RecipeBody::Tree(children) => {
                let starts = children.iter().scan(0, |next, child| {
                    let start = *next;
                    *next += child.len;
                    Some(start)
                });
                reader.node_starts = starts.collect();
            }
        }
        Ok(reader)
    }

    /// Returns the length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.recipe.len()
    }

    /// Returns whether the content has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recipe.is_empty()
    }

    /// Reads on from the current position; 0 means the end.
    ///
    /// # Errors
    /// An error of kind `Damaged`, or [`StoreError::Io`].
    pub fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        if self.position >= self.len() || buffer.is_empty() {
            return Ok(0);
        }
        let (start, chunk) = self.chunk_at(self.position)?;
        let offset = usize::try_from(self.position - start).unwrap_or(usize::MAX);
        let rest = chunk.as_slice().get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count as u64;
        Ok(count)
    }

    /// Returns the checked chunk at a position, and where it starts.
    fn chunk_at(&mut self, position: u64) -> Result<(u64, ChunkBytes), StoreError> {
        if let Some((start, bytes)) = &self.current
            && (*start..*start + bytes.as_slice().len() as u64).contains(&position)
        {
            return Ok((*start, bytes.clone()));
        }
        self.notice_fork();
        let end = self.current.as_ref().map(|(start, bytes)| start + bytes.as_slice().len() as u64);
        if end != Some(position) {
            self.run = 0;
            self.ahead = None;
        }
        let (start, bytes) = match self.next_ahead(position) {
            Some(bytes) => (position, bytes),
            None => self.read_chunk_at(position)?,
        };
        self.run += bytes.as_slice().len() as u64;
        self.current = Some((start, bytes.clone()));
        Ok((start, bytes))
    }

    fn read_chunk_at(&mut self, position: u64) -> Result<(u64, ChunkBytes), StoreError> {
        let (start, chunk) = self.locate(position)?;
        let bytes = self.live.chunk(&chunk.id, &mut self.cache)?;
        if bytes.as_slice().len() != chunk.len as usize {
            let source = FormatError::malformed("recipe", "a chunk has another length than it says");
            return Err(StoreError::RecipeDamaged { digest: self.recipe.digest(), source });
        }
        Ok((start, bytes))
    }

    /// Returns the chunk that starts at a position from what threads decoded, if enough is read in a row.
    fn next_ahead(&mut self, position: u64) -> Option<ChunkBytes> {
        if self.ahead.is_none() && self.run >= RUN_LEN && self.len() - position >= RUN_LEN {
            self.ahead = Ahead::start(&self.live, position);
            match &self.ahead {
                Some(_) => self.cache = FrameCache::default(),
                // Others read ahead, or there are no more threads: it is tried again later.
                None => self.run = 0,
            }
        }
        let mut ahead = self.ahead.take().filter(|ahead| ahead.position() == position)?;
        let (live, len) = (Arc::clone(&self.live), self.len());
        let chunk = ahead.next(&live, |position| {
            let (start, chunk) = self.locate(position).ok().filter(|_| position < len)?;
            (start == position).then_some(chunk)
        });
        match &chunk {
            // At the end the threads and what they keep are let go of.
            Some(_) if ahead.position() < len => self.ahead = Some(ahead),
            Some(_) => {}
            // Damage: for a while all is read in the usual way.
            None => self.run = 0,
        }
        chunk
    }

    /// In a forked child the threads that read ahead do not exist, and one of them may have held a lock of the store's
    /// state.
    fn notice_fork(&mut self) {
        if self.process != std::process::id() {
            self.process = std::process::id();
            self.ahead = None;
            self.live = self.live.in_child();
        }
    }

    fn locate(&mut self, position: u64) -> Result<(u64, ChunkRef), StoreError> {
        let digest = self.recipe.digest();
        if let RecipeBody::Tree(children) = self.recipe.body() {
            let number = self.node_starts.partition_point(|start| *start <= position).saturating_sub(1);
            if self.stretch.as_ref().is_none_or(|stretch| stretch.number != number)
                && let (Some(child), Some(start)) = (children.get(number), self.node_starts.get(number))
            {
                let node = self.live.recipe_node(&digest, child)?;
                self.stretch = Some(Stretch::new(number, *start, node.into_chunks()));
            }
        }
        self.stretch.as_ref().and_then(|stretch| stretch.at(position)).ok_or_else(|| {
            let source = FormatError::malformed("recipe", "it has no chunk for a part of the content");
            StoreError::RecipeDamaged { digest, source }
        })
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pull(buffer).map_err(|error| crate::Error::from(error).into())
    }
}

impl Seek for ContentReader {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(delta) => self.len().checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
