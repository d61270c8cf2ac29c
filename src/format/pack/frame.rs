//! Frames: the unit that is compressed, checksummed and copied.

use super::super::bytes::{Fields, checksum16};
use super::codec::{compress, compress_against, compress_all, compress_shuffled, decompress};
use super::filter;
use super::{
    FRAME_HEADER_LEN, FormatError, MAX_BASE_LEN, MAX_CHUNK_LEN, MAX_DELTA_DEPTH, MAX_FRAME_BASES, MAX_FRAME_KEYS,
    MAX_FRAME_LEN, MAX_OBJECT_LEN,
};
use crate::id::ChunkId;

pub(super) const FRAME_MAGIC: [u8; 4] = *b"1nbf";
const KEY_LEN: usize = 36;
const BASE_LEN: usize = 40;
const MARKER_LEN: u32 = 16;
/// Number of the byte-shuffle filter.
const SHUFFLE: u8 = 1;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// One or more chunks; each key is a `ChunkId` with its raw length.
    Chunks,
    /// One metadata object of a kind; the first key is its identity, the others are aliases.
    Object(u8),
    /// A commit marker.
    Marker,
}

/// How the payload of a frame is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    Raw,
    /// One zstd frame.
    Zstd,
}

/// A name under which a frame is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameKey {
    /// 32 bytes of a `ChunkId`, `RecipeId`, `ObjectId` or alias.
    pub id: [u8; 32],
    /// Raw length in bytes of what is so named; 0 for an alias.
    pub len: u32,
}

/// Bytes of a chunk elsewhere that a delta frame is compressed against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BaseSpan {
    /// The chunk.
    pub chunk: ChunkId,
    /// First byte within it.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// Everything about a frame but its payload.
///
/// Invariants, kept by the constructors of [`Frame`] and checked by [`FrameHeader::decode`]: lengths and counts are
/// within the limits of this module; the lengths of chunk keys add up to `raw_len`; a raw payload has
/// `stored_len == raw_len`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    kind: FrameKind,
    codec: Codec,
    filter: u8,
    element_size: u8,
    dictionary: u32,
    delta_depth: u8,
    keys: Vec<FrameKey>,
    bases: Vec<BaseSpan>,
    raw_len: u32,
    stored_len: u32,
    payload_checksum: [u8; 16],
}

impl FrameHeader {
    /// Returns what the frame carries.
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Returns how the payload is compressed.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns whether the payload was filtered before it was compressed.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.filter != 0
    }

    /// Returns the names under which the frame is found, in payload order for chunks.
    #[must_use]
    pub fn keys(&self) -> &[FrameKey] {
        &self.keys
    }

    /// Returns the spans that the payload is compressed against; empty for a frame that stands alone.
    #[must_use]
    pub fn bases(&self) -> &[BaseSpan] {
        &self.bases
    }

    /// Returns how many other frames it takes at most to decode this one; 0 for one that stands alone.
    #[must_use]
    pub fn delta_depth(&self) -> u8 {
        self.delta_depth
    }

    /// Returns whether the payload was shuffled before it was compressed.
    #[must_use]
    pub fn is_shuffled(&self) -> bool {
        self.filter == SHUFFLE
    }

    /// Returns the length of the decoded payload in bytes.
    #[must_use]
    pub fn raw_len(&self) -> u32 {
        self.raw_len
    }

    /// Returns the length of the payload as stored, in bytes.
    #[must_use]
    pub fn stored_len(&self) -> u32 {
        self.stored_len
    }

    /// Returns the length of header and tables in bytes, which is where the payload starts.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        FRAME_HEADER_LEN + self.keys.len() * KEY_LEN + self.bases.len() * BASE_LEN
    }

    /// Returns the length of the whole frame in bytes.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        self.encoded_len() as u64 + u64::from(self.stored_len)
    }

    /// Returns where a chunk lies in the decoded payload: offset and length in bytes.
    #[must_use]
    pub fn find_chunk(&self, id: &ChunkId) -> Option<(usize, usize)> {
        let mut offset = 0;
        for key in &self.keys {
            if key.id == *id.as_bytes() {
                return Some((offset, key.len as usize));
            }
            offset += key.len as usize;
        }
        None
    }

    /// Encodes header and tables.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, object_kind) = match self.kind {
            FrameKind::Chunks => (1, 0),
            FrameKind::Object(object_kind) => (2, object_kind),
            FrameKind::Marker => (3, 0),
        };
        let codec = match self.codec {
            Codec::Raw => 0,
            Codec::Zstd => 1,
        };
        let mut fixed = Vec::with_capacity(self.encoded_len());
        fixed.extend_from_slice(&FRAME_MAGIC);
        fixed.extend_from_slice(&[kind, codec, self.filter, self.element_size]);
        fixed.extend_from_slice(&self.dictionary.to_le_bytes());
        fixed.extend_from_slice(&[self.delta_depth, object_kind, 0, 0]);
        fixed.extend_from_slice(&count(self.keys.len()).to_le_bytes());
        fixed.extend_from_slice(&count(self.bases.len()).to_le_bytes());
        fixed.extend_from_slice(&self.raw_len.to_le_bytes());
        fixed.extend_from_slice(&self.stored_len.to_le_bytes());
        fixed.extend_from_slice(&self.payload_checksum);
        let mut tables = Vec::with_capacity(self.encoded_len() - FRAME_HEADER_LEN);
        for key in &self.keys {
            tables.extend_from_slice(&key.id);
            tables.extend_from_slice(&key.len.to_le_bytes());
        }
        for base in &self.bases {
            tables.extend_from_slice(base.chunk.as_bytes());
            tables.extend_from_slice(&base.offset.to_le_bytes());
            tables.extend_from_slice(&base.len.to_le_bytes());
        }
        let checksum = checksum16(&[&fixed, &tables]);
        fixed.extend_from_slice(&checksum);
        fixed.extend_from_slice(&tables);
        fixed
    }

    /// Returns the length of header and tables from the first 64 bytes, so that a reader knows how much to fetch.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if these are no frame header.
    pub fn peek_len(bytes: &[u8]) -> Result<usize, FormatError> {
        let mut fields = Fields::new("frame", bytes);
        if fields.array::<4>()? != FRAME_MAGIC {
            return Err(fields.fault("it does not start like a frame"));
        }
        fields.take(12)?;
        let (keys, bases) = (fields.u32()? as usize, fields.u32()? as usize);
        fields.take(40)?;
        if keys > MAX_FRAME_KEYS || bases > MAX_FRAME_BASES {
            return Err(fields.fault("its tables are too long"));
        }
        Ok(FRAME_HEADER_LEN + keys * KEY_LEN + bases * BASE_LEN)
    }

    /// Decodes a header with its tables from the start of `bytes`; [`FrameHeader::encoded_len`] bytes were used.
    ///
    /// # Errors
    /// [`FormatError::Malformed`]. Features that only decoding of the payload needs are not an error here.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let len = Self::peek_len(bytes)?;
        let mut fields = Fields::new("frame", bytes);
        let bytes = fields.clone().take(len)?;
        let covered = [Fields::new("frame", bytes).take(48)?, bytes.get(FRAME_HEADER_LEN..).unwrap_or_default()];
        let fixed: [u8; 16] = fields.array()?;
        let [_, _, _, _, kind, codec, filter, element_size, d0, d1, d2, d3, delta_depth, object_kind, z0, z1] = fixed;
        let (key_count, base_count) = (fields.u32()?, fields.u32()?);
        let (raw_len, stored_len) = (fields.u32()?, fields.u32()?);
        let payload_checksum = fields.array()?;
        if fields.array::<16>()? != checksum16(&covered) {
            return Err(fields.fault("its header does not match its checksum"));
        }
        let kind = match (kind, object_kind, z0, z1) {
            (1, 0, 0, 0) => FrameKind::Chunks,
            (2, object_kind, 0, 0) => FrameKind::Object(object_kind),
            (3, 0, 0, 0) => FrameKind::Marker,
            _ => return Err(fields.fault("its kind is unknown")),
        };
        let codec = match codec {
            0 => Codec::Raw,
            1 => Codec::Zstd,
            other => return Err(FormatError::Unsupported { what: "frame", feature: format!("codec {other}") }),
        };
        let keys = (0..key_count)
            .map(|_| Ok(FrameKey { id: fields.array()?, len: fields.u32()? }))
            .collect::<Result<Vec<_>, FormatError>>()?;
        let bases = (0..base_count)
            .map(|_| {
                Ok(BaseSpan { chunk: ChunkId::from_bytes(fields.array()?), offset: fields.u32()?, len: fields.u32()? })
            })
            .collect::<Result<Vec<_>, FormatError>>()?;
        let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
        let header = Self {
            kind,
            codec,
            filter,
            element_size,
            dictionary,
            delta_depth,
            keys,
            bases,
            raw_len,
            stored_len,
            payload_checksum,
        };
        header.check().map_err(|reason| fields.fault(reason))?;
        Ok(header)
    }

    fn check(&self) -> Result<(), &'static str> {
        let raw_len = self.raw_len as usize;
        let in_bounds = match self.kind {
            FrameKind::Chunks => {
                let sum = self.keys.iter().map(|key| key.len as usize).sum::<usize>();
                let sized = self.keys.iter().all(|key| (1..=MAX_CHUNK_LEN).contains(&(key.len as usize)));
                !self.keys.is_empty() && sized && sum == raw_len && raw_len <= MAX_FRAME_LEN
            }
            FrameKind::Object(_) => {
                let own = self.keys.first().is_some_and(|key| key.len == self.raw_len);
                own && self.keys.iter().skip(1).all(|key| key.len == 0) && raw_len <= MAX_OBJECT_LEN
            }
            FrameKind::Marker => self.keys.is_empty() && self.bases.is_empty() && self.raw_len == MARKER_LEN,
        };
        if !in_bounds {
            return Err("its keys and lengths do not agree");
        }
        let filtered = match self.filter {
            0 => self.element_size == 0,
            SHUFFLE => self.element_size > 0 && self.codec == Codec::Zstd,
            _ => true,
        };
        if !filtered {
            return Err("its filter and element size do not agree");
        }
        if !self.bases_are_sound() {
            return Err("its delta bases are not possible ones");
        }
        match self.codec {
            Codec::Raw if self.stored_len != self.raw_len => Err("its raw payload has another length than it says"),
            Codec::Zstd if self.stored_len >= self.raw_len => Err("its payload is longer than what it unpacks to"),
            _ => Ok(()),
        }
    }

    fn bases_are_sound(&self) -> bool {
        if self.bases.is_empty() {
            return self.delta_depth == 0;
        }
        let in_chunk = |base: &BaseSpan| {
            base.len > 0 && base.offset.checked_add(base.len).is_some_and(|end| end as usize <= MAX_CHUNK_LEN)
        };
        let len = self.bases.iter().map(|base| base.len as usize).sum::<usize>();
        let depth = (1..=MAX_DELTA_DEPTH).contains(&self.delta_depth);
        let kind = self.kind == FrameKind::Chunks && self.codec == Codec::Zstd;
        let few = self.bases.len() <= MAX_FRAME_BASES;
        depth && kind && few && len <= MAX_BASE_LEN && self.bases.iter().all(in_chunk)
    }
}

/// What a frame is compressed against: spans of chunks elsewhere, and their bytes joined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeltaBase {
    /// The spans, in the order of their bytes.
    pub spans: Vec<BaseSpan>,
    /// The bytes of all spans.
    pub bytes: Vec<u8>,
    /// How many frames it takes to read the spans, which is the depth of what is compressed against them.
    pub depth: u8,
}

/// How much is checked when a frame is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Lengths and the checksum of the payload.
    Payload,
    /// The same, and the id of every chunk.
    Chunks,
}

/// The payload of a commit marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Number of the marker in its pack, from 1.
    pub sequence: u64,
    /// Position of the marker's frame in the pack, in bytes.
    pub position: u64,
}

/// A frame as stored: header, tables and payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    header: FrameHeader,
    payload: Vec<u8>,
}

impl Frame {
    /// Compresses chunks into one frame; stored raw where compression does not pay.
    ///
    /// # Panics
    /// If there is no chunk, a chunk is empty, or the limits of this module are exceeded.
    #[must_use]
    pub fn chunks(chunks: &[(ChunkId, &[u8])], level: i32) -> Self {
        let raw: Vec<u8> = chunks.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let keys = chunks.iter().map(|(id, bytes)| FrameKey { id: *id.as_bytes(), len: count(bytes.len()) });
        Self::chunks_joined(keys.collect(), raw, level)
    }

    /// Like [`Frame::chunks`] for chunks that already lie in one buffer, in the order of their keys.
    ///
    /// # Panics
    /// If there is no key, a length is zero, the lengths do not add up, or the limits of this module are exceeded.
    #[must_use]
    pub fn chunks_joined(keys: Vec<FrameKey>, raw: Vec<u8>, level: i32) -> Self {
        if let Some(element_size) = filter::choose(&raw)
            && let Some(payload) = compress_shuffled(&filter::shuffle(&raw, element_size), level)
        {
            let header = FrameHeader {
                filter: SHUFFLE,
                element_size,
                ..Self::header_of(FrameKind::Chunks, Codec::Zstd, keys, raw.len(), &payload)
            };
            return Self::checked(header, payload);
        }
        Self::chunks_as_they_are(keys, raw, level)
    }

    /// As [`Frame::chunks_joined`] without looking for a filter.
    ///
    /// # Panics
    /// As [`Frame::chunks_joined`].
    #[must_use]
    pub fn chunks_as_they_are(keys: Vec<FrameKey>, raw: Vec<u8>, level: i32) -> Self {
        Self::build(FrameKind::Chunks, keys, raw, level)
    }

    /// Compresses chunks that repeat each other as they are, whatever samples of them look like; `None` where that does
    /// not pay.
    ///
    /// # Panics
    /// As [`Frame::chunks_joined`].
    #[must_use]
    pub fn chunks_repeating(keys: &[FrameKey], raw: &[u8], level: i32) -> Option<Self> {
        let payload = compress_all(raw, level)?;
        Some(Self::assemble(FrameKind::Chunks, Codec::Zstd, keys.to_vec(), raw.len(), payload))
    }

    /// Compresses chunks that lie in one buffer against spans of chunks elsewhere; `None` where that does not pay.
    ///
    /// # Panics
    /// As [`Frame::chunks_joined`], and if the base is empty, longer than [`MAX_BASE_LEN`], or deeper than
    /// [`MAX_DELTA_DEPTH`].
    #[must_use]
    pub fn chunks_against(keys: &[FrameKey], raw: &[u8], base: &DeltaBase, level: i32) -> Option<Self> {
        let payload = compress_against(raw, &base.bytes, level)?;
        let header = FrameHeader {
            delta_depth: base.depth,
            bases: base.spans.clone(),
            ..Self::header_of(FrameKind::Chunks, Codec::Zstd, keys.to_vec(), raw.len(), &payload)
        };
        Some(Self::checked(header, payload))
    }

    /// Makes a frame of one metadata object, found by its identity and by aliases.
    ///
    /// # Panics
    /// If the object is longer than [`MAX_OBJECT_LEN`] or has more aliases than a frame has keys.
    #[must_use]
    pub fn object(kind: u8, id: [u8; 32], aliases: &[[u8; 32]], bytes: Vec<u8>, level: i32) -> Self {
        let own = FrameKey { id, len: count(bytes.len()) };
        let keys = std::iter::once(own).chain(aliases.iter().map(|alias| FrameKey { id: *alias, len: 0 })).collect();
        Self::build(FrameKind::Object(kind), keys, bytes, level)
    }

    /// Makes a commit marker.
    #[must_use]
    pub fn marker(marker: Marker) -> Self {
        let mut payload = marker.sequence.to_le_bytes().to_vec();
        payload.extend_from_slice(&marker.position.to_le_bytes());
        Self::assemble(FrameKind::Marker, Codec::Raw, vec![], payload.len(), payload)
    }

    /// Puts a header and the payload that was stored behind it together.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the payload has another length or checksum than the header says.
    pub fn from_parts(header: FrameHeader, payload: Vec<u8>) -> Result<Self, FormatError> {
        if payload.len() != header.stored_len as usize || checksum16(&[&payload]) != header.payload_checksum {
            return Err(FormatError::malformed("frame", "its payload does not match its checksum"));
        }
        Ok(Self { header, payload })
    }

    /// Decodes a whole frame from the start of `bytes`.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::Unsupported`].
    pub fn decode_prefix(bytes: &[u8]) -> Result<Self, FormatError> {
        let header = FrameHeader::decode(bytes)?;
        let mut fields = Fields::new("frame", bytes);
        fields.take(header.encoded_len())?;
        let payload = fields.take(header.stored_len as usize)?.to_vec();
        Self::from_parts(header, payload)
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Returns the payload as stored.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Encodes the frame as it lies in a pack.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes();
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Unpacks the payload of a frame that stands alone.
    ///
    /// # Errors
    /// As [`Frame::decode_on`]; [`FormatError::Unsupported`] also for a delta frame.
    pub fn decode(&self, check: Check) -> Result<Vec<u8>, FormatError> {
        if self.header.bases.is_empty() {
            return self.decode_on(&[], check);
        }
        Err(FormatError::Unsupported { what: "frame", feature: "delta bases from elsewhere".to_owned() })
    }

    /// Unpacks the payload, given the bytes of all its base spans, joined.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the bytes are not what the header says, [`FormatError::Unsupported`] if they need
    /// a filter or dictionary that this program does not know.
    pub fn decode_on(&self, base: &[u8], check: Check) -> Result<Vec<u8>, FormatError> {
        let header = &self.header;
        let missing = match (header.filter, header.dictionary) {
            (0 | SHUFFLE, 0) => None,
            (0 | SHUFFLE, dictionary) => Some(format!("dictionary {dictionary}")),
            (filter, _) => Some(format!("filter {filter}")),
        };
        if let Some(feature) = missing {
            return Err(FormatError::Unsupported { what: "frame", feature });
        }
        let raw = match header.codec {
            Codec::Raw => self.payload.clone(),
            Codec::Zstd => decompress(&self.payload, base, header.raw_len as usize)?,
        };
        let raw = if header.filter == SHUFFLE { filter::unshuffle(&raw, header.element_size) } else { raw };
        if raw.len() != header.raw_len as usize {
            return Err(FormatError::malformed("frame", "it unpacks to another length than it says"));
        }
        if check == Check::Chunks && header.kind == FrameKind::Chunks {
            self.check_chunks(&raw)?;
        }
        Ok(raw)
    }

    /// Reads the payload of a commit marker; `None` for other frames.
    #[must_use]
    pub fn to_marker(&self) -> Option<Marker> {
        if self.header.kind != FrameKind::Marker {
            return None;
        }
        let mut fields = Fields::new("frame", &self.payload);
        Some(Marker { sequence: fields.u64().ok()?, position: fields.u64().ok()? })
    }

    fn check_chunks(&self, raw: &[u8]) -> Result<(), FormatError> {
        let mut fields = Fields::new("frame", raw);
        for key in &self.header.keys {
            if ChunkId::of(fields.take(key.len as usize)?).as_bytes() != &key.id {
                let id = ChunkId::from_bytes(key.id);
                return Err(fields.fault(format!("chunk {} has other bytes than its id says", id.short())));
            }
        }
        Ok(())
    }

    fn build(kind: FrameKind, keys: Vec<FrameKey>, raw: Vec<u8>, level: i32) -> Self {
        let raw_len = raw.len();
        match compress(&raw, level) {
            Some(payload) => Self::assemble(kind, Codec::Zstd, keys, raw_len, payload),
            None => Self::assemble(kind, Codec::Raw, keys, raw_len, raw),
        }
    }

    fn assemble(kind: FrameKind, codec: Codec, keys: Vec<FrameKey>, raw_len: usize, payload: Vec<u8>) -> Self {
        Self::checked(Self::header_of(kind, codec, keys, raw_len, &payload), payload)
    }

    fn header_of(kind: FrameKind, codec: Codec, keys: Vec<FrameKey>, raw_len: usize, payload: &[u8]) -> FrameHeader {
        assert!(keys.len() <= MAX_FRAME_KEYS, "a frame has at most {MAX_FRAME_KEYS} keys");
        FrameHeader {
            kind,
            codec,
            filter: 0,
            element_size: 0,
            dictionary: 0,
            delta_depth: 0,
            keys,
            bases: vec![],
            raw_len: count(raw_len),
            stored_len: count(payload.len()),
            payload_checksum: checksum16(&[payload]),
        }
    }

    fn checked(header: FrameHeader, payload: Vec<u8>) -> Self {
        if let Err(reason) = header.check() {
            panic!("a frame was put together wrongly: {reason}");
        }
        Self { header, payload }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("lengths in a frame are below 4 GiB")
}
