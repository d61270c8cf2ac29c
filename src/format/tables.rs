//! Data tables: which packs, frames and chunks of a remote hold which contents.
//!
//! | packs | frames: pack, offset, length | chunks: id, length, frame | contents: digest, length, inline or chunks |
//!
//! - The shared body of snapshots and index segments; each names everything it needs, so one object suffices to read.
//! - Every number that points into another table is checked when decoding, lengths of chunks add up to their content,
//!   and inline bytes hash to their digest.
//! - Equal insertions in equal order give equal bytes. Byte layout: `docs/format/remote.md`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::FormatError;
use super::bytes::Fields;
use super::pack::{FRAME_HEADER_LEN, MAX_CHUNK_LEN, PACK_HEADER_LEN};
use super::recipe::Cut;
use crate::id::{ChunkId, ContentDigest};

/// Longest whole frame that tables may name, in bytes: header, tables and payload.
pub const MAX_FRAME_STORED_LEN: u32 = 4 * 1024 * 1024;
/// Longest content that is kept inline in tables, in bytes.
pub const MAX_INLINE_CONTENT_LEN: usize = 64 * 1024;

const FRAME_LEN: usize = 16;
const CHUNK_LEN: usize = 40;
const INLINE: u8 = 0;
const CHUNKED: u8 = 1;

/// A chunk and the frame on the remote that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedChunk {
    /// The chunk.
    pub id: ChunkId,
    /// Its raw length in bytes.
    pub len: u32,
    /// Key of the pack.
    pub pack: Arc<str>,
    /// Where the frame starts in the pack, in bytes.
    pub offset: u64,
    /// Length of the whole frame in bytes.
    pub stored_len: u32,
}

/// How tables say that a content is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableContent<'a> {
    /// From these bytes.
    Inline(&'a [u8]),
    /// From these chunks, in order.
    Chunks {
        /// Version of the chunker that cut them.
        chunker: u8,
        /// Each chunk and why it ends.
        chunks: Vec<(LocatedChunk, Cut)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FramePlace {
    pack: u32,
    offset: u64,
    stored_len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChunkPlace {
    id: ChunkId,
    len: u32,
    frame: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Inline(Vec<u8>),
    Chunks { chunker: u8, list: Vec<(u32, Cut)> },
}

/// Packs, frames, chunks and contents.
///
/// Invariant: every index is in range, and the lengths of a content's chunks add up to its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataTables {
    packs: Vec<Arc<str>>,
    frames: Vec<FramePlace>,
    chunks: Vec<ChunkPlace>,
    contents: BTreeMap<ContentDigest, (u64, Body)>,
}

impl DataTables {
    /// Returns the keys of the packs.
    #[must_use]
    pub fn packs(&self) -> &[Arc<str>] {
        &self.packs
    }

    /// Returns the digests of all contents, sorted.
    pub fn digests(&self) -> impl Iterator<Item = &ContentDigest> {
        self.contents.keys()
    }

    /// Returns the length of a content in bytes, `None` if the tables do not have it.
    #[must_use]
    pub fn content_len(&self, digest: &ContentDigest) -> Option<u64> {
        self.contents.get(digest).map(|(len, _)| *len)
    }

    /// Returns how a content is rebuilt, `None` if the tables do not have it.
    #[must_use]
    pub fn content(&self, digest: &ContentDigest) -> Option<TableContent<'_>> {
        match &self.contents.get(digest)?.1 {
            Body::Inline(bytes) => Some(TableContent::Inline(bytes)),
            Body::Chunks { chunker, list } => {
                let place = |(number, cut): &(u32, Cut)| Some((self.locate(self.chunks.get(*number as usize)?)?, *cut));
                let chunks = list.iter().map(place).collect::<Option<_>>()?;
                Some(TableContent::Chunks { chunker: *chunker, chunks })
            }
        }
    }

    /// Returns every chunk with its place.
    pub fn chunks(&self) -> impl Iterator<Item = LocatedChunk> {
        self.chunks.iter().filter_map(|chunk| self.locate(chunk))
    }

    fn locate(&self, chunk: &ChunkPlace) -> Option<LocatedChunk> {
        let frame = self.frames.get(chunk.frame as usize)?;
        let pack = Arc::clone(self.packs.get(frame.pack as usize)?);
        Some(LocatedChunk { id: chunk.id, len: chunk.len, pack, offset: frame.offset, stored_len: frame.stored_len })
    }

    /// Appends the encoding.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        write_count(bytes, self.packs.len());
        for pack in &self.packs {
            write_bytes(bytes, pack.as_bytes());
        }
        write_count(bytes, self.frames.len());
        for frame in &self.frames {
            bytes.extend_from_slice(&frame.pack.to_le_bytes());
            bytes.extend_from_slice(&frame.offset.to_le_bytes());
            bytes.extend_from_slice(&frame.stored_len.to_le_bytes());
        }
        write_count(bytes, self.chunks.len());
        for chunk in &self.chunks {
            bytes.extend_from_slice(chunk.id.as_bytes());
            bytes.extend_from_slice(&chunk.len.to_le_bytes());
            bytes.extend_from_slice(&chunk.frame.to_le_bytes());
        }
        write_count(bytes, self.contents.len());
        for (digest, (len, body)) in &self.contents {
            bytes.extend_from_slice(digest.as_bytes());
            bytes.extend_from_slice(&len.to_le_bytes());
            match body {
                Body::Inline(content) => {
                    bytes.push(INLINE);
                    write_bytes(bytes, content);
                }
                Body::Chunks { chunker, list } => {
                    bytes.extend_from_slice(&[CHUNKED, *chunker]);
                    write_count(bytes, list.len());
                    for (number, cut) in list {
                        bytes.extend_from_slice(&number.to_le_bytes());
                        bytes.push(cut_to_byte(*cut));
                    }
                }
            }
        }
    }

    /// Reads what [`DataTables::write`] wrote.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, FormatError> {
        let packs = read_packs(fields)?;
        let frames = read_frames(fields, packs.len())?;
        let chunks = read_chunks(fields, frames.len())?;
        let mut contents = BTreeMap::new();
        let count = fields.count(45, usize::MAX)?;
        for _ in 0..count {
            let digest = ContentDigest::from_bytes(fields.array()?);
            let len = fields.u64()?;
            let body = read_body(fields, &digest, len, &chunks)?;
            if contents.last_key_value().is_some_and(|(last, _)| *last >= digest) {
                return Err(fields.fault("its contents are not in order"));
            }
            contents.insert(digest, (len, body));
        }
        Ok(Self { packs, frames, chunks, contents })
    }
}

fn read_packs(fields: &mut Fields<'_>) -> Result<Vec<Arc<str>>, FormatError> {
    let count = fields.count(4, usize::MAX)?;
    let mut packs = Vec::with_capacity(count);
    for _ in 0..count {
        let text = std::str::from_utf8(read_bytes(fields)?).map_err(|_| fields.fault("a pack's key is no text"))?;
        if text.len() > 200 || !text.starts_with("packs/") || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fields.fault("a pack has a key that is not below `packs/`"));
        }
        packs.push(Arc::from(text));
    }
    Ok(packs)
}

fn read_frames(fields: &mut Fields<'_>, packs: usize) -> Result<Vec<FramePlace>, FormatError> {
    let count = fields.count(FRAME_LEN, usize::MAX)?;
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let frame = FramePlace { pack: fields.u32()?, offset: fields.u64()?, stored_len: fields.u32()? };
        let sized = (FRAME_HEADER_LEN..=MAX_FRAME_STORED_LEN as usize).contains(&(frame.stored_len as usize));
        let placed = frame.offset >= PACK_HEADER_LEN as u64 && frame.offset < 1 << 48;
        if frame.pack as usize >= packs || !sized || !placed {
            return Err(fields.fault("a frame lies outside of its pack"));
        }
        frames.push(frame);
    }
    Ok(frames)
}

fn read_chunks(fields: &mut Fields<'_>, frames: usize) -> Result<Vec<ChunkPlace>, FormatError> {
    let count = fields.count(CHUNK_LEN, usize::MAX)?;
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let chunk = ChunkPlace { id: ChunkId::from_bytes(fields.array()?), len: fields.u32()?, frame: fields.u32()? };
        if chunk.frame as usize >= frames || !(1..=MAX_CHUNK_LEN).contains(&(chunk.len as usize)) {
            return Err(fields.fault("a chunk has an impossible length or frame"));
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn read_body(
    fields: &mut Fields<'_>,
    digest: &ContentDigest,
    len: u64,
    chunks: &[ChunkPlace],
) -> Result<Body, FormatError> {
    match fields.u8()? {
        INLINE => {
            let content = read_bytes(fields)?;
            let right = content.len() <= MAX_INLINE_CONTENT_LEN && content.len() as u64 == len;
            if !right || ContentDigest::of(content) != *digest {
                return Err(fields.fault("an inline content is not what its digest says"));
            }
            Ok(Body::Inline(content.to_vec()))
        }
        CHUNKED => {
            let chunker = fields.u8()?;
            let count = fields.count(5, usize::MAX)?;
            let (mut list, mut sum) = (Vec::with_capacity(count), 0_u64);
            for _ in 0..count {
                let (number, cut) = (fields.u32()?, fields.u8()?);
                let chunk = chunks.get(number as usize);
                sum += u64::from(chunk.ok_or_else(|| fields.fault("a content names a chunk that is not listed"))?.len);
                let cut = cut_from_byte(cut).ok_or_else(|| fields.fault("a chunk ends for an unknown reason"))?;
                list.push((number, cut));
            }
            if sum != len {
                return Err(fields.fault("the chunks of a content do not add up to its length"));
            }
            Ok(Body::Chunks { chunker, list })
        }
        _ => Err(fields.fault("a content is of an unknown kind")),
    }
}

/// Builds tables, listing each pack, frame and chunk once.
#[derive(Debug, Default)]
pub struct TablesBuilder {
    tables: DataTables,
    pack_numbers: HashMap<Arc<str>, u32>,
    frame_numbers: HashMap<(u32, u64), u32>,
    chunk_numbers: HashMap<ChunkId, u32>,
}

impl TablesBuilder {
    /// Starts empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a short content with its bytes.
    ///
    /// # Panics
    /// If it is longer than [`MAX_INLINE_CONTENT_LEN`].
    pub fn add_inline(&mut self, digest: ContentDigest, bytes: &[u8]) {
        assert!(bytes.len() <= MAX_INLINE_CONTENT_LEN, "an inline content is short");
        self.tables.contents.insert(digest, (bytes.len() as u64, Body::Inline(bytes.to_vec())));
    }

    /// Adds a content with its chunks.
    pub fn add_chunked(
        &mut self,
        digest: ContentDigest,
        chunker: u8,
        chunks: impl IntoIterator<Item = (LocatedChunk, Cut)>,
    ) {
        let mut len = 0;
        let mut list = vec![];
        for (chunk, cut) in chunks {
            len += u64::from(chunk.len);
            list.push((self.add_chunk(chunk), cut));
        }
        self.tables.contents.insert(digest, (len, Body::Chunks { chunker, list }));
    }

    /// Adds a chunk by itself and returns its number; of several places for one chunk the first is kept.
    pub fn add_chunk(&mut self, chunk: LocatedChunk) -> u32 {
        if let Some(number) = self.chunk_numbers.get(&chunk.id) {
            return *number;
        }
        let tables = &mut self.tables;
        let pack =
            *self.pack_numbers.entry(chunk.pack).or_insert_with_key(|key| push(&mut tables.packs, Arc::clone(key)));
        let place = FramePlace { pack, offset: chunk.offset, stored_len: chunk.stored_len };
        let frame = *self.frame_numbers.entry((pack, chunk.offset)).or_insert_with(|| push(&mut tables.frames, place));
        let number = push(&mut tables.chunks, ChunkPlace { id: chunk.id, len: chunk.len, frame });
        self.chunk_numbers.insert(chunk.id, number);
        number
    }

    /// Returns the tables.
    #[must_use]
    pub fn finish(self) -> DataTables {
        self.tables
    }
}

fn cut_to_byte(cut: Cut) -> u8 {
    match cut {
        Cut::Content => 1,
        Cut::Max => 2,
        Cut::End => 3,
    }
}

fn cut_from_byte(byte: u8) -> Option<Cut> {
    match byte {
        1 => Some(Cut::Content),
        2 => Some(Cut::Max),
        3 => Some(Cut::End),
        _ => None,
    }
}

/// Appends an item and returns its number.
fn push<T>(items: &mut Vec<T>, item: T) -> u32 {
    let number = u32::try_from(items.len()).expect("tables have fewer than 2^32 rows");
    items.push(item);
    number
}

pub(super) fn write_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).expect("tables have fewer than 2^32 rows").to_le_bytes());
}

pub(super) fn write_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    write_count(bytes, part.len());
    bytes.extend_from_slice(part);
}

pub(super) fn read_bytes<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], FormatError> {
    let len = fields.u32()? as usize;
    fields.take(len)
}
