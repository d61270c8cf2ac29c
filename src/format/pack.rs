//! Packs: append-only files of frames, each frame one compressed unit with its own header.
//!
//! | header 64 | frame | frame | marker | frame | marker | ... | directory | trailer 88 |
//!
//! - A frame carries chunks, one metadata object, or a commit marker. Readers of an unsealed pack trust what precedes
//!   its last marker; a sealed pack ends in a directory of all frame headers and a fixed trailer.
//! - Every header is checksummed with its tables, every payload on its own, and chunks are named by their content, so
//!   that a frame can be copied into another pack as it is.
//! - A delta frame is compressed against spans of chunks in other frames, named by content; arrays of numbers are
//!   shuffled. A field for dictionaries exists; frames that use what we do not know can be copied and listed, but
//!   decoding is refused.
//! - This module knows nothing of files, exports or Git. Byte layout: `docs/format/pack.md`.

mod codec;
mod filter;
mod footer;
mod frame;
mod probe;
mod scan;
#[cfg(test)]
mod tests;

pub use footer::{Footer, TRAILER_LEN, Trailer};
pub use frame::{BaseSpan, Check, Codec, DeltaBase, Frame, FrameHeader, FrameKey, FrameKind, Marker};
pub use probe::{Grain, MAX_NOISE_LEN, grain_of, packed_len_estimate, split_by_worth};
pub use scan::{PlacedHeader, Scan, ScanDepth, ScanStart, scan};

use super::FormatError;
use super::bytes::{Fields, checksum16};
use crate::id::PackId;

/// Newest pack version that this program reads and the one that it writes.
pub const PACK_VERSION: u32 = 2;
/// Length of the header of a pack, in bytes.
pub const PACK_HEADER_LEN: usize = 64;
/// Length of the fixed part of a frame header, in bytes.
pub const FRAME_HEADER_LEN: usize = 64;
/// Longest chunk that decoders accept, in bytes.
pub const MAX_CHUNK_LEN: usize = 1024 * 1024;
/// Raw length at which a frame of chunks is full, in bytes.
pub const FRAME_TARGET_LEN: usize = 1024 * 1024;
/// Longest frame of chunks that decoders accept, in raw bytes.
pub const MAX_FRAME_LEN: usize = FRAME_TARGET_LEN + MAX_CHUNK_LEN;
/// Longest metadata object, in raw bytes.
pub const MAX_OBJECT_LEN: usize = 16 * 1024 * 1024;
/// Most keys in one frame.
pub const MAX_FRAME_KEYS: usize = 16 * 1024;
/// Most base spans in one frame.
pub const MAX_FRAME_BASES: usize = 1024;
/// Most bytes that one frame is compressed against.
pub const MAX_BASE_LEN: usize = 4 * 1024 * 1024;
/// Most other frames that it takes to decode a frame.
pub const MAX_DELTA_DEPTH: u8 = 4;
/// Most frames in one sealed pack.
pub const MAX_PACK_FRAMES: usize = 1024 * 1024;
/// Longest directory of a sealed pack, in bytes.
pub const MAX_FOOTER_LEN: usize = 64 * 1024 * 1024;

const PACK_MAGIC: [u8; 8] = *b"1nbpack\n";
/// Optional feature: all frames were compressed anew. The byte above has the zstd level.
const REPACKED: u64 = 1;

/// What a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackClass {
    /// Chunks of contents.
    Data,
    /// Recipes and other metadata objects.
    Meta,
}

impl PackClass {
    /// Returns the name of the class in paths and talk.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Meta => "meta",
        }
    }

    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Meta),
            _ => None,
        }
    }
}

/// The first 64 bytes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackHeader {
    /// The version of the format, at most [`PACK_VERSION`].
    pub version: u32,
    /// What the pack holds.
    pub class: PackClass,
    /// Its identity, which is also its file name.
    pub pack: PackId,
    /// Features a reader may ignore.
    pub compat: u64,
}

impl PackHeader {
    /// Makes the header of a new pack without optional features.
    #[must_use]
    pub fn new(class: PackClass, pack: PackId) -> Self {
        Self { version: PACK_VERSION, class, pack, compat: 0 }
    }

    /// Returns the optional features of a pack all of whose frames were compressed anew at a zstd level.
    #[must_use]
    pub fn repacked(level: i32) -> u64 {
        REPACKED | u64::from(level.clamp(0, 255).unsigned_abs()) << 8
    }

    /// Returns the zstd level at which all frames of the pack were compressed anew; `None` if they were not.
    #[must_use]
    pub fn repacked_at(&self) -> Option<i32> {
        let [features, level, ..] = self.compat.to_le_bytes();
        (u64::from(features) & REPACKED != 0).then_some(i32::from(level))
    }

    /// Encodes the header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PACK_HEADER_LEN] {
        let mut bytes = Vec::with_capacity(PACK_HEADER_LEN);
        bytes.extend_from_slice(&PACK_MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&[self.class.to_byte(), 0, 0, 0]);
        bytes.extend_from_slice(&0_u64.to_le_bytes());
        bytes.extend_from_slice(&self.compat.to_le_bytes());
        bytes.extend_from_slice(&self.pack.to_bytes());
        let checksum = checksum16(&[&bytes]);
        bytes.extend_from_slice(&checksum);
        bytes.try_into().expect("the fields add up to 64 bytes")
    }

    /// Decodes the first 64 bytes of a pack.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], or [`FormatError::TooNew`] and [`FormatError::Unsupported`] for packs of the future.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("pack", bytes);
        let covered = fields.clone().take(48)?;
        if fields.array::<8>()? != PACK_MAGIC {
            return Err(fields.fault("it does not start like a pack"));
        }
        let version = fields.u32()?;
        let class = fields.array::<4>()?;
        let incompat = fields.u64()?;
        let compat = fields.u64()?;
        let pack = PackId::from_bytes(fields.array()?);
        if fields.array::<16>()? != checksum16(&[covered]) {
            return Err(fields.fault("its header does not match its checksum"));
        }
        if version > PACK_VERSION {
            return Err(FormatError::TooNew { what: "pack", found: version, known: PACK_VERSION });
        }
        if incompat != 0 {
            return Err(FormatError::Unsupported { what: "pack", feature: format!("feature bits {incompat:#x}") });
        }
        match class {
            [byte, 0, 0, 0] if version > 0 => {
                let class = PackClass::from_byte(byte).ok_or_else(|| fields.fault("its class is unknown"))?;
                Ok(Self { version, class, pack, compat })
            }
            _ => Err(fields.fault("its version or class is unknown")),
        }
    }
}
