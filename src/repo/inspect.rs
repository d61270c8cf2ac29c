//! Plumbing: contents, chunks and packs as they are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Repo;
use super::types::{ChunkRow, FrameRow, PackReport};
use crate::error::Result;
use crate::format::pack::{
    Check, Codec, Footer, Frame, FrameHeader, FrameKind, PACK_HEADER_LEN, PackHeader, PlacedHeader, ScanDepth,
    ScanStart, TRAILER_LEN, Trailer, scan,
};
use crate::fs;
use crate::id::ContentDigest;

/// Bytes that are hashed or copied at once.
const COPY_LEN: usize = 1024 * 1024;

/// Returns the BLAKE3 and the length of everything a reader gives.
///
/// # Errors
/// The reader's.
pub fn hash_reader(reader: &mut dyn Read) -> Result<(ContentDigest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; COPY_LEN];
    let mut len = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if count == 0 {
            return Ok((ContentDigest::from_bytes(*hasher.finalize().as_bytes()), len));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        len += count as u64;
    }
}

impl Repo {
    /// Stores a content without a name. It stays until it is collected as unnamed.
    ///
    /// # Errors
    /// What reading and writing can meet.
    pub fn write_object(&self, reader: &mut dyn Read) -> Result<(ContentDigest, u64)> {
        self.check_writable()?;
        let mut writer = self.store()?.writer(&crate::store::WriteOptions::default())?;
        io::copy(reader, &mut writer)?;
        let stored = writer.finish()?;
        Ok((stored.digest, stored.len))
    }

    /// Returns the chunks of a content in order.
    ///
    /// # Errors
    /// `NotFound`, Damaged.
    pub fn chunks(&self, digest: &ContentDigest) -> Result<Vec<ChunkRow>> {
        let mut offset = 0;
        let chunks = self.store()?.chunks_of(digest)?;
        let row = |chunk: &crate::format::recipe::ChunkRef| {
            let row = ChunkRow { id: chunk.id, offset, len: u64::from(chunk.len), cut: chunk.cut.as_str() };
            offset += row.len;
            row
        };
        Ok(chunks.iter().map(row).collect())
    }
}

/// Reads one pack file; `deep` also decodes every frame and checks every id.
///
/// # Errors
/// Damaged for a file that is no pack at all; damage inside is part of the report.
pub fn inspect_pack(path: &Path, deep: bool) -> Result<PackReport> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let read = |offset: u64, count: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        fs::read_exact_at(&file, &mut bytes, offset)?;
        Ok(bytes)
    };
    let header_len = PACK_HEADER_LEN.min(usize::try_from(len).unwrap_or(PACK_HEADER_LEN));
    let header = PackHeader::from_bytes(&read(0, header_len)?)?;
    let sealed = path.extension().is_some_and(|extension| extension == "pack");
    let scan = scan(ScanStart::FIRST, len, ScanDepth::Headers, read)?;
    let mut report =
        PackReport { id: header.pack, class: header.class.name(), sealed, frames: vec![], damaged: vec![] };
    for PlacedHeader { offset, header } in &scan.frames {
        if deep
            && let Err(reason) =
                check_frame(header, &read(offset + header.encoded_len() as u64, header.stored_len() as usize)?)
        {
            report.damaged.push(format!("frame at {offset}: {reason}"));
        }
        report.frames.push(row_of(*offset, header));
    }
    for gap in &scan.gaps {
        report.damaged.push(format!("bytes {} to {}: no frame can be read there", gap.start, gap.end - 1));
    }
    if sealed && let Err(reason) = check_footer(&read, len, report.frames.len()) {
        report.damaged.push(reason);
    }
    Ok(report)
}

fn row_of(offset: u64, header: &FrameHeader) -> FrameRow {
    let kind = match header.kind() {
        FrameKind::Chunks => "chunks",
        FrameKind::Object(_) => "object",
        FrameKind::Marker => "marker",
    };
    let codec = match header.codec() {
        Codec::Raw => "raw",
        Codec::Zstd => "zstd",
    };
    let (raw_len, stored_len) = (u64::from(header.raw_len()), u64::from(header.stored_len()));
    FrameRow { offset, kind, codec, raw_len, stored_len, keys: header.keys().len() }
}

fn check_frame(header: &FrameHeader, payload: &[u8]) -> Result<(), String> {
    let frame = Frame::from_parts(header.clone(), payload.to_vec()).map_err(|error| error.to_string())?;
    if header.delta_depth() > 0 {
        // What it leans on lies in other packs; a check of the whole store decodes it.
        return Ok(());
    }
    frame.decode(Check::Chunks).map(drop).map_err(|error| error.to_string())
}

/// A sealed pack must have a footer that lists exactly the frames that are there.
fn check_footer(read: &impl Fn(u64, usize) -> io::Result<Vec<u8>>, len: u64, frames: usize) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let start = len.checked_sub(TRAILER_LEN as u64).ok_or("it is shorter than a trailer")?;
    let trailer = Trailer::from_bytes(&read(start, TRAILER_LEN).map_err(|error| text(&error))?, len)
        .map_err(|error| text(&error))?;
    let footer_len = usize::try_from(start.saturating_sub(trailer.footer_offset)).map_err(|error| text(&error))?;
    let bytes = read(trailer.footer_offset, footer_len).map_err(|error| text(&error))?;
    let footer = Footer::from_bytes(&bytes, &trailer).map_err(|error| text(&error))?;
    if footer.frames.len() == frames {
        Ok(())
    } else {
        Err(format!("the footer lists {} frames, and {frames} are there", footer.frames.len()))
    }
}
