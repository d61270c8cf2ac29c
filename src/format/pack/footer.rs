//! The end of a sealed pack: a directory of all frames, then a trailer of fixed length.

use super::super::bytes::{Fields, checksum16};
use super::{FormatError, FrameHeader, FrameKind, MAX_FOOTER_LEN, MAX_PACK_FRAMES, PACK_HEADER_LEN, PlacedHeader};

/// Length of the trailer in bytes.
pub const TRAILER_LEN: usize = 88;

const FOOTER_MAGIC: [u8; 4] = *b"1nbd";
const TRAILER_MAGIC: [u8; 8] = *b"1nbseal\n";

/// The directory of a sealed pack. Commit markers are not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Every frame but the markers, by position.
    pub frames: Vec<PlacedHeader>,
}

/// The last 88 bytes of a sealed pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Position of the directory in bytes.
    pub footer_offset: u64,
    /// Length of the directory in bytes.
    pub footer_len: u64,
    /// BLAKE3 of every byte before the directory.
    pub body_digest: [u8; 32],
    /// Checksum of the directory.
    pub footer_checksum: [u8; 16],
}

impl Footer {
    /// Encodes directory and trailer, which follow `footer_offset` bytes that hash to `body_digest`.
    #[must_use]
    pub fn to_bytes(&self, footer_offset: u64, body_digest: [u8; 32]) -> Vec<u8> {
        let mut bytes = FOOTER_MAGIC.to_vec();
        let count = u32::try_from(self.frames.len()).expect("a pack has at most 2^20 frames");
        bytes.extend_from_slice(&count.to_le_bytes());
        for frame in &self.frames {
            bytes.extend_from_slice(&frame.offset.to_le_bytes());
            bytes.extend_from_slice(&frame.header.to_bytes());
        }
        let trailer = Trailer {
            footer_offset,
            footer_len: bytes.len() as u64,
            body_digest,
            footer_checksum: checksum16(&[&bytes]),
        };
        bytes.extend_from_slice(&trailer.to_bytes());
        bytes
    }

    /// Decodes the directory that the trailer points to.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::Unsupported`].
    pub fn from_bytes(bytes: &[u8], trailer: &Trailer) -> Result<Self, FormatError> {
        let mut fields = Fields::new("pack directory", bytes);
        if bytes.len() as u64 != trailer.footer_len || checksum16(&[bytes]) != trailer.footer_checksum {
            return Err(fields.fault("it does not match its checksum"));
        }
        if fields.array::<4>()? != FOOTER_MAGIC {
            return Err(fields.fault("it does not start like one"));
        }
        let count = fields.count(72, MAX_PACK_FRAMES)?;
        let mut frames = Vec::with_capacity(count);
        let mut free = PACK_HEADER_LEN as u64;
        for _ in 0..count {
            let offset = fields.u64()?;
            let rest = fields.clone().take(fields.len())?;
            let header = FrameHeader::decode(rest)?;
            fields.take(header.encoded_len())?;
            let end = offset.checked_add(header.frame_len()).filter(|end| *end <= trailer.footer_offset);
            match end {
                Some(end) if offset >= free && header.kind() != FrameKind::Marker => free = end,
                _ => return Err(fields.fault("its frames overlap or leave the pack")),
            }
            frames.push(PlacedHeader { offset, header });
        }
        fields.finish()?;
        Ok(Self { frames })
    }
}

impl Trailer {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.footer_offset.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.footer_len.to_le_bytes());
        bytes.extend_from_slice(&self.body_digest);
        bytes.extend_from_slice(&self.footer_checksum);
        let checksum = checksum16(&[&bytes]);
        bytes.extend_from_slice(&checksum);
        bytes.extend_from_slice(&TRAILER_MAGIC);
        bytes
    }

    /// Decodes the last [`TRAILER_LEN`] bytes of a pack that is `pack_len` bytes long.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], also for a pack that was never sealed.
    pub fn from_bytes(bytes: &[u8], pack_len: u64) -> Result<Self, FormatError> {
        let mut fields = Fields::new("pack", bytes);
        let covered = fields.clone().take(64)?;
        let trailer = Self {
            footer_offset: fields.u64()?,
            footer_len: fields.u64()?,
            body_digest: fields.array()?,
            footer_checksum: fields.array()?,
        };
        let checksum: [u8; 16] = fields.array()?;
        if fields.array::<8>()? != TRAILER_MAGIC || checksum != checksum16(&[covered]) {
            return Err(fields.fault("its end is missing or damaged"));
        }
        let end = trailer.footer_offset.checked_add(trailer.footer_len);
        let fits = end.and_then(|end| end.checked_add(TRAILER_LEN as u64)) == Some(pack_len);
        if !fits || trailer.footer_len > MAX_FOOTER_LEN as u64 || trailer.footer_offset < PACK_HEADER_LEN as u64 {
            return Err(fields.fault("its directory lies outside of it"));
        }
        fields.finish()?;
        Ok(trailer)
    }
}
