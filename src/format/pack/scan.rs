//! Finding the frames of a pack that was never sealed.
//!
//! A marker is appended only after the sync of the marker before it returned. So of a pack that lost power, everything
//! up to the last marker but one is whole, and only the frames behind that can be torn under a header that looks good.

use super::frame::FRAME_MAGIC;
use super::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameKind, Marker};

/// How many bytes are fetched at once while headers are followed.
const WINDOW_LEN: u64 = 4096;
/// How many bytes are searched for markers at once.
const SEARCH_LEN: u64 = 1024 * 1024;
/// Length of a marker: a frame header and its two numbers.
const MARKER_LEN: u64 = FRAME_HEADER_LEN as u64 + 16;

/// A frame header and where its frame starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedHeader {
    /// Position of the frame in its pack, in bytes.
    pub offset: u64,
    /// Its header.
    pub header: FrameHeader,
}

/// How closely a scan looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanDepth {
    /// Headers only: right for a pack whose writer is alive.
    Headers,
    /// Also the payloads that only the last marker vouches for: right after a power cut.
    TailPayloads,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The frames before the last good marker, without markers.
    pub frames: Vec<PlacedHeader>,
    /// Position behind the last good marker, or where the scan started if there was none.
    pub end: u64,
    /// Position behind the last good marker but one, or where the scan started.
    pub durable_end: u64,
    /// Sequence number of the last good marker; 0 if there was none.
    pub sequence: u64,
}

/// Follows the frames from `start`, which is behind the pack header or behind a marker, to the last good marker.
///
/// `read` returns exactly the asked number of bytes at an offset and is never asked for bytes at or beyond `len`. A
/// frame that is no frame ends the scan; it is the torn tail, not an error.
///
/// # Errors
/// Only those of `read`.
pub fn scan<E>(
    start: u64,
    len: u64,
    depth: ScanDepth,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<Scan, E> {
    let mut found = Scan { frames: vec![], end: start, durable_end: start, sequence: 0 };
    let mut committed = 0;
    let mut durable = 0;
    let mut window = Window { offset: 0, bytes: vec![] };
    let mut offset = start;
    while let Some(header) = window.header_at(offset, len, &mut read)? {
        let next = offset.saturating_add(header.frame_len());
        if next > len {
            break;
        }
        if header.kind() == FrameKind::Marker {
            let bytes = read(offset, usize::try_from(header.frame_len()).unwrap_or(0))?;
            let marker = Frame::decode_prefix(&bytes).ok().and_then(|frame| frame.to_marker());
            let Some(marker) = marker.filter(|marker| marker.position == offset) else { break };
            durable = committed;
            committed = found.frames.len();
            found.durable_end = found.end;
            found.end = next;
            found.sequence = marker.sequence;
        } else {
            found.frames.push(PlacedHeader { offset, header });
        }
        offset = next;
    }
    found.frames.truncate(committed);
    if depth == ScanDepth::TailPayloads && !payloads_hold(found.frames.get(durable..).unwrap_or_default(), &mut read)? {
        found.frames.truncate(durable);
        found.end = found.durable_end;
        found.sequence = found.sequence.saturating_sub(1);
    }
    Ok(found)
}

/// Returns whether what lies behind a scan is damage rather than a torn tail.
///
/// A crash leaves at most one commit marker behind the last good one, because the next is appended only after the sync
/// of the one before. A marker beyond that was acknowledged once, so what stands before it must not be cut off.
///
/// # Errors
/// Only those of `read`.
pub fn is_damaged_behind<E>(
    found: &Scan,
    len: u64,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<bool, E> {
    let mut start = found.end;
    while start + MARKER_LEN <= len {
        let block = read(start, usize::try_from((len - start).min(SEARCH_LEN)).unwrap_or(0))?;
        for (at, _) in block.iter().enumerate().filter(|(_, byte)| **byte == FRAME_MAGIC[0]) {
            let marker = block.get(at..).and_then(|rest| Frame::decode_prefix(rest).ok()?.to_marker());
            let is_later =
                |marker: Marker| marker.position == start + at as u64 && marker.sequence > found.sequence + 1;
            if marker.is_some_and(is_later) {
                return Ok(true);
            }
        }
        // Blocks overlap by less than a marker, so that none is cut in two.
        start += (block.len() as u64).saturating_sub(MARKER_LEN - 1).max(1);
    }
    Ok(false)
}

fn payloads_hold<E>(
    frames: &[PlacedHeader],
    read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<bool, E> {
    for frame in frames {
        let offset = frame.offset + frame.header.encoded_len() as u64;
        let payload = read(offset, frame.header.stored_len() as usize)?;
        if Frame::from_parts(frame.header.clone(), payload).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes fetched last, so that many small frames cost one read.
struct Window {
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn header_at<E>(
        &mut self,
        offset: u64,
        len: u64,
        read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<FrameHeader>, E> {
        let Some(fixed) = self.slice(offset, FRAME_HEADER_LEN, len, read)? else { return Ok(None) };
        let Ok(wanted) = FrameHeader::peek_len(fixed) else { return Ok(None) };
        let whole = self.slice(offset, wanted, len, read)?;
        Ok(whole.and_then(|bytes| FrameHeader::decode(bytes).ok()))
    }

    fn slice<E>(
        &mut self,
        offset: u64,
        wanted: usize,
        len: u64,
        read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<&[u8]>, E> {
        let end = offset.saturating_add(wanted as u64);
        if end > len {
            return Ok(None);
        }
        if offset < self.offset || end > self.offset + self.bytes.len() as u64 {
            let fetch = (len - offset).min(WINDOW_LEN).max(wanted as u64);
            self.bytes = read(offset, usize::try_from(fetch).unwrap_or(wanted))?;
            self.offset = offset;
        }
        let from = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from.saturating_add(wanted)))
    }
}
