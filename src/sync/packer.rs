//! Packing for a remote: frames into sealed packs of bounded length.
//!
//! A frame most of whose bytes are needed is copied as it is. Of any other only the needed chunks go, gathered into new
//! frames, so that a small change inside big frames costs little.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::plan::ChunkSource;
use super::upload::Uploads;
use super::{Progress, SyncError};
use crate::error::Result;
use crate::format::FormatError;
use crate::format::pack::{
    Check, FRAME_TARGET_LEN, Footer, Frame, FrameKey, PACK_HEADER_LEN, PackClass, PackHeader, PlacedHeader,
};
use crate::format::recipe::ChunkRef;
use crate::format::tables::LocatedChunk;
use crate::id::{ChunkId, PackId, SessionId};

/// Bytes that most packs' footers need; a longer one costs a copy.
const ROOM_FOR_FOOTER: usize = 256 * 1024;
/// zstd level of frames that are made anew.
const LEVEL: i32 = 3;

/// Sends chunks in packs below one session.
pub(super) struct Packer<'a> {
    uploads: &'a Uploads<'a>,
    pack_len: usize,
    session: SessionId,
    progress: &'a mut dyn FnMut(Progress),
    state: Progress,
    /// Chunks still to send.
    wanted: HashSet<ChunkId>,
    /// Chunks whose pack is on the remote, or in `open`.
    pub(super) places: HashMap<ChunkId, LocatedChunk>,
    open: Option<OpenPack>,
    loose_keys: Vec<FrameKey>,
    loose_bytes: Vec<u8>,
}

/// A pack in memory.
struct OpenPack {
    key: Arc<str>,
    bytes: Vec<u8>,
    frames: Vec<PlacedHeader>,
}

impl OpenPack {
    fn start(session: SessionId, pack_len: usize) -> Self {
        let id = PackId::generate();
        // Room that is never touched costs nothing, and from 32 MiB on every allocator gives back what is freed; of
        // packs of half the size glibc's kept the room of several more.
        let mut bytes = Vec::with_capacity(2 * pack_len + ROOM_FOR_FOOTER);
        bytes.extend_from_slice(&PackHeader::new(PackClass::Data, id).to_bytes());
        debug_assert_eq!(bytes.len(), PACK_HEADER_LEN);
        Self { key: Arc::from(format!("packs/{session}/{id}.pack")), bytes, frames: vec![] }
    }

    fn seal(mut self) -> (Arc<str>, Vec<u8>) {
        let body_digest = *blake3::hash(&self.bytes).as_bytes();
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&Footer { frames: self.frames }.to_bytes(offset, body_digest));
        (self.key, self.bytes)
    }
}

impl<'a> Packer<'a> {
    pub(super) fn new(
        uploads: &'a Uploads<'a>,
        pack_len: usize,
        session: SessionId,
        places: HashMap<ChunkId, LocatedChunk>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            uploads,
            pack_len,
            session,
            progress,
            state: Progress::default(),
            wanted: HashSet::new(),
            places,
            open: None,
            loose_keys: vec![],
            loose_bytes: vec![],
        }
    }

    /// Hands packs with all chunks that have no place yet to the uploads.
    pub(super) fn send(&mut self, chunks: &[ChunkRef], source: &dyn ChunkSource) -> Result<()> {
        let missing: Vec<_> = chunks.iter().filter(|chunk| !self.places.contains_key(&chunk.id)).collect();
        self.wanted = missing.iter().map(|chunk| chunk.id).collect();
        self.state.total_bytes = missing.iter().map(|chunk| u64::from(chunk.len)).sum();
        (self.progress)(self.state);
        for chunk in missing {
            if !self.wanted.contains(&chunk.id) {
                continue;
            }
            let frame = source.frame_with(&chunk.id)?;
            self.take(&frame)?;
            if self.wanted.contains(&chunk.id) {
                return Err(SyncError::NoFrame { id: chunk.id }.into());
            }
            (self.progress)(self.state);
        }
        self.flush_loose()?;
        self.flush_pack()?;
        Ok(())
    }

    /// Takes what is wanted from a frame.
    fn take(&mut self, frame: &Frame) -> Result<()> {
        let keys = frame.header().keys();
        let needed = |key: &&FrameKey| self.wanted.contains(&ChunkId::from_bytes(key.id));
        let needed_len: u64 = keys.iter().filter(needed).map(|key| u64::from(key.len)).sum();
        if !frame.header().bases().is_empty() {
            let feature = "a frame that stands alone".to_owned();
            return Err(SyncError::Format(FormatError::Unsupported { what: "push", feature }).into());
        }
        // As it is only where nothing goes along that was not asked for: old versions may hold what was taken out
        // since.
        let asked = |key: &FrameKey| {
            let id = ChunkId::from_bytes(key.id);
            self.wanted.contains(&id) || self.places.contains_key(&id)
        };
        if needed_len * 2 >= u64::from(frame.header().raw_len()) && keys.iter().all(asked) {
            return self.append(frame);
        }
        let raw = frame.decode(Check::Chunks).map_err(SyncError::Format)?;
        let mut rest = raw.as_slice();
        for key in keys {
            let Some((bytes, after)) = rest.split_at_checked(key.len as usize) else { break };
            rest = after;
            if self.wanted.remove(&ChunkId::from_bytes(key.id)) {
                if self.loose_bytes.len() + bytes.len() > FRAME_TARGET_LEN {
                    self.flush_loose()?;
                }
                self.loose_keys.push(*key);
                self.loose_bytes.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// Makes a frame of the gathered chunks.
    fn flush_loose(&mut self) -> Result<()> {
        if self.loose_keys.is_empty() {
            return Ok(());
        }
        let (keys, bytes) = (std::mem::take(&mut self.loose_keys), std::mem::take(&mut self.loose_bytes));
        self.append(&Frame::chunks_joined(keys, bytes, LEVEL))
    }

    fn append(&mut self, frame: &Frame) -> Result<()> {
        let encoded = frame.to_bytes();
        if self.open.as_ref().is_some_and(|pack| pack.bytes.len() + encoded.len() > self.pack_len) {
            self.flush_pack()?;
        }
        let pack = self.open.get_or_insert_with(|| OpenPack::start(self.session, self.pack_len));
        let offset = pack.bytes.len() as u64;
        let stored_len = u32::try_from(encoded.len()).expect("a frame is far shorter than 4 GiB");
        pack.bytes.extend_from_slice(&encoded);
        pack.frames.push(PlacedHeader { offset, header: frame.header().clone() });
        for key in frame.header().keys() {
            let id = ChunkId::from_bytes(key.id);
            self.wanted.remove(&id);
            self.state.done_bytes += u64::from(key.len);
            let place = LocatedChunk { id, len: key.len, pack: Arc::clone(&pack.key), offset, stored_len };
            self.places.entry(id).or_insert(place);
        }
        self.state.done_bytes = self.state.done_bytes.min(self.state.total_bytes);
        Ok(())
    }

    fn flush_pack(&mut self) -> Result<()> {
        let Some(pack) = self.open.take() else { return Ok(()) };
        let (key, bytes) = pack.seal();
        self.uploads.send(&key, bytes)?;
        (self.progress)(self.state);
        Ok(())
    }
}
