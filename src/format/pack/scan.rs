//! Finding the frames of a pack that was never sealed.
//!
//! - A marker is appended only after the sync of the marker before it returned. So of a pack that lost power,
//!   everything up to the last marker but one is whole, and only the frames behind that can be torn under a header that
//!   looks good.
//! - Bytes that are no frame end the scan if nothing behind them was acknowledged: they are the torn tail. If a marker
//!   behind them proves that they were durable once, they are a gap, and the scan goes on at the next frame.

use std::ops::Range;

use super::frame::FRAME_MAGIC;
use super::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameKind, Marker, PACK_HEADER_LEN};

/// How many bytes are fetched at once while headers are followed.
const WINDOW_LEN: u64 = 4096;
/// How many bytes are searched for frames at once.
const SEARCH_LEN: u64 = 1024 * 1024;

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
    /// Sequence number of the last good marker, or the one that the scan started with.
    pub sequence: u64,
    /// Stretches before `end` that were acknowledged once and are no frames now.
    pub gaps: Vec<Range<u64>>,
}

/// Where a scan starts: behind the pack header, or behind a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanStart {
    /// Position in bytes.
    pub offset: u64,
    /// Sequence number of the marker before it; 0 behind the pack header.
    pub sequence: u64,
}

impl ScanStart {
    /// The first frame of a pack.
    pub const FIRST: Self = Self { offset: PACK_HEADER_LEN as u64, sequence: 0 };
}

/// Follows the frames from a start to the last good marker.
///
/// `read` returns exactly the asked number of bytes at an offset and is never asked for bytes at or beyond `len`.
///
/// # Errors
/// Only those of `read`.
pub fn scan<E>(
    start: ScanStart,
    len: u64,
    depth: ScanDepth,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<Scan, E> {
    let mut walk = Walk::new(start);
    let mut window = Window { offset: 0, bytes: vec![] };
    let mut offset = start.offset;
    loop {
        let header = window.header_at(offset, len, &mut read)?;
        let next = match header.filter(|header| offset.saturating_add(header.frame_len()) <= len) {
            Some(header) => walk.step(offset, header, &mut read)?,
            None => None,
        };
        offset = match next {
            Some(next) => next,
            None => match find_frame(offset + 1, len, &mut read)? {
                Some(resumed) => {
                    walk.skip(offset..resumed);
                    resumed
                }
                None => break,
            },
        };
    }
    let Walk { mut found, committed, durable, .. } = walk;
    found.frames.truncate(committed);
    if depth == ScanDepth::TailPayloads && !payloads_hold(found.frames.get(durable..).unwrap_or_default(), &mut read)? {
        found.frames.truncate(durable);
        found.end = found.durable_end;
        found.sequence = found.sequence.saturating_sub(1);
    }
    Ok(found)
}

/// A scan under way.
struct Walk {
    found: Scan,
    /// Frames before the last good marker, and before the last but one.
    committed: usize,
    durable: usize,
    /// Gaps since the last good marker.
    skipped: Vec<Range<u64>>,
}

impl Walk {
    fn new(start: ScanStart) -> Self {
        let ScanStart { offset, sequence } = start;
        let found = Scan { frames: vec![], end: offset, durable_end: offset, sequence, gaps: vec![] };
        Self { found, committed: 0, durable: 0, skipped: vec![] }
    }

    /// Takes a frame in and returns the position behind it; `None` if it is a marker that is not where it says.
    fn step<E>(
        &mut self,
        offset: u64,
        header: FrameHeader,
        read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<u64>, E> {
        let next = offset + header.frame_len();
        if header.kind() != FrameKind::Marker {
            self.found.frames.push(PlacedHeader { offset, header });
            return Ok(Some(next));
        }
        let bytes = read(offset, usize::try_from(header.frame_len()).unwrap_or(0))?;
        let marker = Frame::decode_prefix(&bytes).ok().and_then(|frame| frame.to_marker());
        let Some(marker) = marker.filter(|marker| marker.position == offset) else { return Ok(None) };
        self.commit(marker, next);
        Ok(Some(next))
    }

    /// Remembers bytes that are no frame.
    fn skip(&mut self, gap: Range<u64>) {
        match self.skipped.last_mut() {
            Some(last) if last.end == gap.start => last.end = gap.end,
            _ => self.skipped.push(gap),
        }
    }

    fn commit(&mut self, marker: Marker, next: u64) {
        let torn = !self.skipped.is_empty();
        // A crash leaves at most one marker behind what it tore. Only a later one proves that all was durable once.
        if torn && marker.sequence <= self.found.sequence.saturating_add(1) {
            return;
        }
        let all = self.found.frames.len();
        self.durable = if torn { all } else { self.committed };
        self.found.durable_end = if torn { next } else { self.found.end };
        self.committed = all;
        self.found.end = next;
        self.found.sequence = marker.sequence;
        self.found.gaps.append(&mut self.skipped);
    }
}

/// Returns the position of the next whole frame at or behind `from`.
fn find_frame<E>(
    from: u64,
    len: u64,
    read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<Option<u64>, E> {
    let mut start = from;
    while start + FRAME_HEADER_LEN as u64 <= len {
        let block = read(start, usize::try_from((len - start).min(SEARCH_LEN)).unwrap_or(0))?;
        for at in magics(&block) {
            let offset = start + at as u64;
            let rest = block.get(at..).unwrap_or_default();
            let Ok(wanted) = FrameHeader::peek_len(rest) else { continue };
            let header = match rest.get(..wanted) {
                Some(bytes) => FrameHeader::decode(bytes),
                None if offset + wanted as u64 <= len => FrameHeader::decode(&read(offset, wanted)?),
                None => continue,
            };
            if header.is_ok_and(|header| offset.saturating_add(header.frame_len()) <= len) {
                return Ok(Some(offset));
            }
        }
        // Blocks overlap by less than a header, so that none is cut in two.
        start += (block.len() as u64).saturating_sub(FRAME_HEADER_LEN as u64 - 1).max(1);
    }
    Ok(None)
}

/// Returns where a block could hold the start of a frame.
fn magics(block: &[u8]) -> impl Iterator<Item = usize> {
    block.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == FRAME_MAGIC).map(|(at, _)| at)
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
