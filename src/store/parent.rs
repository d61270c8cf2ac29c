//! The version before: which chunks it had and where, so that a writer can guess what comes next.

use std::collections::HashMap;
use std::sync::Arc;

use super::Live;
use super::chunker::CHUNKER_VERSION;
use crate::format::recipe::{ChunkRef, Cut, RecipeBody, RecipeNode};
use crate::id::{ChunkId, ContentDigest};

/// Versions with more chunks than this are not used: their list would take more than about 30 MB of memory. At the
/// average length of a chunk this is 20 GB.
const MAX_PARENT_CHUNKS: usize = 256 * 1024;

/// Wrong guesses in a row after which fewer are made.
const MAX_MISSES: u32 = 8;

/// The chunks of an earlier version.
pub(super) struct Parent {
    chunks: Vec<ChunkRef>,
    /// Where each chunk starts in the content, in bytes.
    starts: Vec<u64>,
    numbers: HashMap<ChunkId, u32>,
}

impl Parent {
    /// Loads the first of some earlier versions that can be used. What is missing, damaged, inline or too long is
    /// passed over: a parent only ever saves space and time.
    pub(super) fn load(live: &Live, candidates: &[ContentDigest]) -> Option<Self> {
        candidates.iter().find_map(|digest| Self::load_one(live, digest))
    }

    fn load_one(live: &Live, digest: &ContentDigest) -> Option<Self> {
        let (recipe, _) = live.recipe(digest).ok()?;
        let chunks = match recipe.body() {
            _ if recipe.chunker() != CHUNKER_VERSION => return None,
            RecipeBody::Inline(_) => return None,
            RecipeBody::Flat(chunks) => chunks.clone(),
            RecipeBody::Tree(children) => {
                let count: usize = children.iter().map(|child| child.chunks as usize).sum();
                if count > MAX_PARENT_CHUNKS {
                    return None;
                }
                live.nodes(&recipe).ok()?.into_iter().flat_map(RecipeNode::into_chunks).collect()
            }
        };
        Some(Self::of(chunks))
    }

    fn of(chunks: Vec<ChunkRef>) -> Self {
        let starts = chunks.iter().scan(0, |next, chunk| {
            let start = *next;
            *next += u64::from(chunk.len);
            Some(start)
        });
        let starts = starts.collect();
        let numbers = (0_u32..).zip(&chunks).map(|(number, chunk)| (chunk.id, number)).collect();
        Self { chunks, starts, numbers }
    }

    /// Returns the number of chunks.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Returns a chunk by its number.
    pub(super) fn chunk(&self, number: usize) -> Option<&ChunkRef> {
        self.chunks.get(number)
    }

    /// Returns where the bytes behind a chunk start, if the parent has that chunk.
    pub(super) fn end_of(&self, id: &ChunkId) -> Option<u64> {
        let number = *self.numbers.get(id)? as usize;
        Some(self.starts.get(number)? + u64::from(self.chunks.get(number)?.len))
    }

    /// Returns the number of the chunk at a position; of the last one if the position is behind the end.
    pub(super) fn number_at(&self, position: u64) -> usize {
        self.starts.partition_point(|start| *start <= position).saturating_sub(1)
    }

    /// Returns the chunk that starts exactly at a position, if what ends it lies in its own bytes.
    pub(super) fn starting_at(&self, position: u64) -> Option<&ChunkRef> {
        let number = self.starts.binary_search(&position).ok()?;
        self.chunks.get(number).filter(|chunk| chunk.cut != Cut::End)
    }
}

/// Follows a content along its parent and says what comes next.
pub(super) struct Forecast {
    pub(super) parent: Arc<Parent>,
    /// Where in the parent the next byte is expected.
    position: u64,
    /// Guesses in a row that were wrong.
    misses: u32,
}

impl Forecast {
    pub(super) fn new(parent: Parent) -> Self {
        Self { parent: Arc::new(parent), position: 0, misses: 0 }
    }

    /// Recognizes the chunk that `bytes` start with, without looking for a cut: the same bytes are cut at the same
    /// place.
    pub(super) fn recognize(&mut self, bytes: &[u8]) -> Option<ChunkRef> {
        let guess = *self.parent.starting_at(self.position)?;
        // A guess costs a hash. Where they keep failing, one in eight is enough to notice that they would not.
        if self.misses >= MAX_MISSES && !self.misses.is_multiple_of(8) {
            self.misses += 1;
            return None;
        }
        let is_equal = bytes.get(..guess.len as usize).is_some_and(|bytes| ChunkId::of(bytes) == guess.id);
        self.misses = if is_equal { 0 } else { self.misses + 1 };
        is_equal.then_some(guess)
    }

    /// Goes on behind a chunk and returns where in the parent it was expected.
    pub(super) fn pass(&mut self, chunk: &ChunkRef) -> u64 {
        let expected = self.position;
        self.position = self.parent.end_of(&chunk.id).unwrap_or(expected + u64::from(chunk.len));
        expected
    }
}
