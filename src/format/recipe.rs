//! Recipes: the ordered chunks that rebuild one content.
//!
//! | prefix 8 | length 8 | digest 32 | inline bytes, or chunk entries, or tree children |
//!
//! - A content of at most [`MAX_INLINE_LEN`] bytes lies in its recipe; up to [`MAX_FLAT_CHUNKS`] chunks are listed
//!   flat; more are listed in nodes, which the root names. Nodes end where a chunk id says so, never at a fixed count,
//!   so that versions of one content share most of their nodes.
//! - One content under one chunker has exactly one recipe: equal inputs give equal bytes and therefore one
//!   [`RecipeId`].
//! - Lengths add up: of the entries to the node, of the children to the content. Decoding checks this.
//! - This module does not know where chunks are. Byte layout: `docs/format/recipe.md`.

use super::FormatError;
use super::bytes::Fields;
use super::pack::{MAX_CHUNK_LEN, MAX_OBJECT_LEN};
use crate::id::{ChunkId, ContentDigest, RecipeId};

/// Newest recipe version that this program reads and the one that it writes.
pub const RECIPE_VERSION: u8 = 1;
/// Longest content that is kept in its recipe, in bytes.
pub const MAX_INLINE_LEN: usize = 1024;
/// Most chunks in a recipe without nodes.
pub const MAX_FLAT_CHUNKS: usize = 1000;
/// Most chunks in a content: so many that a tree of them fits in [`MAX_OBJECT_LEN`] wherever its nodes end. At the
/// average chunk of 64 KiB this is 3 TB.
pub const MAX_CONTENT_CHUNKS: usize = 48_000_000;

/// Fewest chunks in a node, but for the last one of a tree.
const MIN_NODE_CHUNKS: usize = 128;
/// Most chunks in a node.
const MAX_NODE_CHUNKS: usize = 2048;
/// A chunk id whose first four bytes, read little-endian, have none of these bits set ends a node.
const NODE_MASK: u32 = 0x1ff;

const MAGIC: [u8; 4] = *b"1nbr";
const PREFIX_LEN: usize = 16;
const ENTRY_LEN: usize = 37;
const CHILD_LEN: usize = 44;
const INLINE: u8 = 1;
const FLAT: u8 = 2;
const TREE: u8 = 3;
const NODE: u8 = 4;

const _: () = {
    let longest_root = PREFIX_LEN + 32 + 4 + (MAX_CONTENT_CHUNKS / MIN_NODE_CHUNKS + 1) * CHILD_LEN;
    assert!(longest_root <= MAX_OBJECT_LEN && PREFIX_LEN + 4 + MAX_NODE_CHUNKS * ENTRY_LEN <= MAX_OBJECT_LEN);
};

/// Why a chunk ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// The chunker found a cut point in the content.
    Content,
    /// The chunk reached the longest length.
    Max,
    /// The content ended.
    End,
}

impl Cut {
    /// Returns the word that listings show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Max => "max",
            Self::End => "end",
        }
    }
}

/// One chunk of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The chunk.
    pub id: ChunkId,
    /// Its raw length in bytes, at least 1.
    pub len: u32,
    /// Why it ends.
    pub cut: Cut,
}

/// A run of chunks that a recipe tree names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeChild {
    /// The node.
    pub node: RecipeId,
    /// Raw length in bytes of all its chunks.
    pub len: u64,
    /// How many chunks it lists.
    pub chunks: u32,
}

/// How a content is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipeBody {
    /// From these bytes.
    Inline(Vec<u8>),
    /// From these chunks.
    Flat(Vec<ChunkRef>),
    /// From the chunks of these nodes.
    Tree(Vec<TreeChild>),
}

/// The recipe of one content; for a tree, its root.
///
/// Invariant: the parts add up to `len`, and inline bytes hash to `digest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    digest: ContentDigest,
    len: u64,
    chunker: u8,
    body: RecipeBody,
}

/// A node of a recipe tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeNode {
    chunker: u8,
    chunks: Vec<ChunkRef>,
}

impl Recipe {
    /// Makes the recipe of a content that is at hand and short.
    ///
    /// # Panics
    /// If it is longer than [`MAX_INLINE_LEN`].
    #[must_use]
    pub fn inline(content: Vec<u8>) -> Self {
        assert!(content.len() <= MAX_INLINE_LEN, "an inline content has at most {MAX_INLINE_LEN} bytes");
        let digest = ContentDigest::of(&content);
        Self { digest, len: content.len() as u64, chunker: 0, body: RecipeBody::Inline(content) }
    }

    /// Makes the recipe of a content from its chunks, with the nodes that it needs if there are many.
    ///
    /// # Panics
    /// If there are more than [`MAX_CONTENT_CHUNKS`].
    #[must_use]
    pub fn of_chunks(digest: ContentDigest, chunker: u8, chunks: Vec<ChunkRef>) -> (Self, Vec<RecipeNode>) {
        assert!(chunks.len() <= MAX_CONTENT_CHUNKS, "a content has at most {MAX_CONTENT_CHUNKS} chunks");
        let len = total_len(&chunks);
        if chunks.len() <= MAX_FLAT_CHUNKS {
            return (Self { digest, len, chunker, body: RecipeBody::Flat(chunks) }, vec![]);
        }
        let nodes: Vec<_> =
            split_nodes(&chunks).into_iter().map(|chunks| RecipeNode { chunker, chunks: chunks.to_vec() }).collect();
        let children = nodes.iter().map(RecipeNode::to_child).collect();
        (Self { digest, len, chunker, body: RecipeBody::Tree(children) }, nodes)
    }

    /// Returns the BLAKE3 of the whole content.
    #[must_use]
    pub fn digest(&self) -> ContentDigest {
        self.digest
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

    /// Returns the version of the chunker that cut the content; 0 for an inline one.
    #[must_use]
    pub fn chunker(&self) -> u8 {
        self.chunker
    }

    /// Returns how the content is rebuilt.
    #[must_use]
    pub fn body(&self) -> &RecipeBody {
        &self.body
    }

    /// Encodes the recipe.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.body {
            RecipeBody::Inline(_) => INLINE,
            RecipeBody::Flat(_) => FLAT,
            RecipeBody::Tree(_) => TREE,
        };
        let mut bytes = prefix(kind, self.chunker, self.len);
        bytes.extend_from_slice(self.digest.as_bytes());
        match &self.body {
            RecipeBody::Inline(content) => bytes.extend_from_slice(content),
            RecipeBody::Flat(chunks) => write_chunks(&mut bytes, chunks),
            RecipeBody::Tree(children) => {
                bytes.extend_from_slice(&count(children.len()).to_le_bytes());
                for child in children {
                    bytes.extend_from_slice(child.node.as_bytes());
                    bytes.extend_from_slice(&child.len.to_le_bytes());
                    bytes.extend_from_slice(&child.chunks.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// Returns the identity of the recipe.
    #[must_use]
    pub fn id(&self) -> RecipeId {
        RecipeId::of(&self.to_bytes())
    }

    /// Decodes a recipe.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let (kind, chunker, len, mut fields) = read_prefix(bytes)?;
        let digest = ContentDigest::from_bytes(fields.array()?);
        let body = match (kind, chunker) {
            (INLINE, 0) => {
                let content = fields.take(fields.len())?;
                if content.len() > MAX_INLINE_LEN || ContentDigest::of(content) != digest {
                    return Err(fields.fault("its inline content is not what its digest says"));
                }
                RecipeBody::Inline(content.to_vec())
            }
            (FLAT, 1..) => RecipeBody::Flat(read_chunks(&mut fields)?),
            (TREE, 1..) => RecipeBody::Tree(read_children(&mut fields)?),
            _ => return Err(fields.fault("its kind is unknown")),
        };
        let sum = match &body {
            RecipeBody::Inline(content) => Some(content.len() as u64),
            RecipeBody::Flat(chunks) => Some(total_len(chunks)),
            RecipeBody::Tree(children) => children.iter().try_fold(0_u64, |sum, child| sum.checked_add(child.len)),
        };
        if sum != Some(len) {
            return Err(fields.fault("its parts do not add up to its length"));
        }
        fields.finish()?;
        Ok(Self { digest, len, chunker, body })
    }
}

impl RecipeNode {
    /// Returns the chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &[ChunkRef] {
        &self.chunks
    }

    /// Takes the chunks out.
    #[must_use]
    pub fn into_chunks(self) -> Vec<ChunkRef> {
        self.chunks
    }

    /// Encodes the node.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = prefix(NODE, self.chunker, total_len(&self.chunks));
        write_chunks(&mut bytes, &self.chunks);
        bytes
    }

    /// Returns the identity of the node.
    #[must_use]
    pub fn id(&self) -> RecipeId {
        RecipeId::of(&self.to_bytes())
    }

    /// Returns what a tree says about this node.
    #[must_use]
    pub fn to_child(&self) -> TreeChild {
        TreeChild { node: self.id(), len: total_len(&self.chunks), chunks: count(self.chunks.len()) }
    }

    /// Decodes a node.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let (kind, chunker, len, mut fields) = read_prefix(bytes)?;
        if kind != NODE || chunker == 0 {
            return Err(fields.fault("it is no node of a tree"));
        }
        let chunks = read_chunks(&mut fields)?;
        if total_len(&chunks) != len {
            return Err(fields.fault("its chunks do not add up to its length"));
        }
        fields.finish()?;
        Ok(Self { chunker, chunks })
    }
}

/// Cuts a list of chunks where a chunk id says so, so that the cuts move with the content.
fn split_nodes(chunks: &[ChunkRef]) -> Vec<&[ChunkRef]> {
    let mut nodes = vec![];
    let mut rest = chunks;
    while !rest.is_empty() {
        let ends_node = |chunk: &ChunkRef| {
            chunk.id.as_bytes().first_chunk::<4>().is_some_and(|head| u32::from_le_bytes(*head) & NODE_MASK == 0)
        };
        let cut = rest.iter().skip(MIN_NODE_CHUNKS - 1).position(ends_node);
        let len = cut.map_or(MAX_NODE_CHUNKS, |position| position + MIN_NODE_CHUNKS);
        let (node, after) = rest.split_at(len.min(MAX_NODE_CHUNKS).min(rest.len()));
        nodes.push(node);
        rest = after;
    }
    nodes
}

fn total_len(chunks: &[ChunkRef]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.len)).sum()
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("a recipe has fewer than 2^32 parts")
}

fn prefix(kind: u8, chunker: u8, len: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[RECIPE_VERSION, kind, chunker, 0]);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes
}

fn read_prefix(bytes: &[u8]) -> Result<(u8, u8, u64, Fields<'_>), FormatError> {
    let mut fields = Fields::new("recipe", bytes);
    if bytes.len() > MAX_OBJECT_LEN {
        return Err(fields.fault(format!("it is longer than {MAX_OBJECT_LEN} bytes")));
    }
    if fields.array::<4>()? != MAGIC {
        return Err(fields.fault("it does not start like a recipe"));
    }
    let [version, kind, chunker, zero] = fields.array()?;
    if version > RECIPE_VERSION {
        return Err(FormatError::TooNew { what: "recipe", found: version.into(), known: RECIPE_VERSION.into() });
    }
    if version == 0 || zero != 0 {
        return Err(fields.fault("its version is unknown"));
    }
    Ok((kind, chunker, fields.u64()?, fields))
}

fn write_chunks(bytes: &mut Vec<u8>, chunks: &[ChunkRef]) {
    bytes.reserve(4 + chunks.len() * ENTRY_LEN);
    bytes.extend_from_slice(&count(chunks.len()).to_le_bytes());
    for chunk in chunks {
        bytes.extend_from_slice(chunk.id.as_bytes());
        bytes.extend_from_slice(&chunk.len.to_le_bytes());
        bytes.push(match chunk.cut {
            Cut::Content => 1,
            Cut::Max => 2,
            Cut::End => 3,
        });
    }
}

fn read_chunks(fields: &mut Fields<'_>) -> Result<Vec<ChunkRef>, FormatError> {
    let count = fields.count(ENTRY_LEN, MAX_OBJECT_LEN / ENTRY_LEN)?;
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ChunkId::from_bytes(fields.array()?);
        let len = fields.u32()?;
        let cut = match fields.u8()? {
            1 => Cut::Content,
            2 => Cut::Max,
            3 => Cut::End,
            _ => return Err(fields.fault("a chunk ends for an unknown reason")),
        };
        if len == 0 || len as usize > MAX_CHUNK_LEN {
            return Err(fields.fault("a chunk is empty or too long"));
        }
        chunks.push(ChunkRef { id, len, cut });
    }
    Ok(chunks)
}

fn read_children(fields: &mut Fields<'_>) -> Result<Vec<TreeChild>, FormatError> {
    let count = fields.count(CHILD_LEN, MAX_OBJECT_LEN / CHILD_LEN)?;
    (0..count)
        .map(|_| {
            Ok(TreeChild { node: RecipeId::from_bytes(fields.array()?), len: fields.u64()?, chunks: fields.u32()? })
        })
        .collect()
}

#[cfg(test)]
mod tests;
