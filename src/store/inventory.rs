//! All frames of one class of packs, as collection sees them: where each key lies, and which packs may go.
//!
//! A pack stays whole or goes. One that goes is empty of what counts, because its live frames were copied elsewhere;
//! one that stays keeps all its frames, so everything that those name stays as well.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;

use super::appender::lock_existing;
use super::layout::Stage;
use super::shelf::{Shelf, open_pack, read_pack_header};
use super::verify::list_frames;
use super::{Live, StoreError};
use crate::error::{Classify as _, ErrorKind};
use crate::format::pack::{FrameKind, PACK_HEADER_LEN, PackClass, PlacedHeader};
use crate::id::{ChunkId, PackId};

/// A frame.
#[derive(Debug)]
pub(super) struct FrameEntry {
    pub(super) pack: usize,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) kind: FrameKind,
    /// The first of its keys.
    pub(super) key: Option<[u8; 32]>,
    pub(super) depth: u8,
    /// Length unpacked.
    pub(super) raw_len: u32,
    pub(super) bases: Vec<ChunkId>,
    /// Something that stays needs it.
    pub(super) live: bool,
    /// Whether it was read and is what it says, where that was asked.
    pub(super) sound: Option<bool>,
}

/// Why a pack stays whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    /// Another process is appending to it.
    Busy,
    /// Something in it cannot be read.
    Damaged,
    /// It is newer than the plan.
    New,
    /// It was to go, and holds something that is needed now.
    Needed,
    /// All that is in it was compressed anew before.
    Repacked,
}

/// A pack.
#[derive(Debug)]
pub(super) struct PackEntry {
    pub(super) id: PackId,
    pub(super) stage: Stage,
    /// Length of the file in bytes.
    pub(super) len: u64,
    /// Position behind the last frame that is listed here.
    pub(super) end: u64,
    /// Why it stays as it is, whatever is in it.
    pub(super) stays: Option<Stays>,
    /// It is to go once its live frames are elsewhere.
    pub(super) condemned: bool,
    pub(super) frames: Vec<usize>,
}

impl PackEntry {
    pub(super) fn goes(&self) -> bool {
        self.condemned && self.stays.is_none()
    }

    /// Returns whether it is what a write leaves behind that ended before its first frame.
    pub(super) fn is_blank(&self) -> bool {
        self.stage == Stage::Open && self.frames.is_empty() && self.len <= PACK_HEADER_LEN as u64
    }
}

/// All packs and frames of a class.
#[derive(Debug)]
pub(super) struct Inventory {
    class: PackClass,
    pub(super) packs: Vec<PackEntry>,
    pub(super) frames: Vec<FrameEntry>,
    known: HashMap<PackId, usize>,
    /// One frame with each key, and the others for keys that have several.
    places: HashMap<[u8; 32], usize>,
    twins: HashMap<[u8; 32], Vec<usize>>,
}

/// When the packs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstSight {
    /// While a plan is made.
    Plan,
    /// Afterwards: what was not there when the plan was made stays.
    Later,
}

impl Inventory {
    pub(super) fn new(class: PackClass) -> Self {
        let (packs, frames) = (vec![], vec![]);
        Self { class, packs, frames, known: HashMap::new(), places: HashMap::new(), twins: HashMap::new() }
    }

    pub(super) fn shelf<'a>(&self, live: &'a Live) -> &'a Shelf {
        match self.class {
            PackClass::Data => &live.data,
            PackClass::Meta => &live.meta,
        }
    }

    /// Lists what is on disk and not listed here yet; returns the numbers of the new frames.
    pub(super) fn look(&mut self, live: &Live, sight: FirstSight) -> Result<Vec<usize>, StoreError> {
        let mut fresh = vec![];
        for (id, _) in live.layout.list_packs(self.class)? {
            let number = self.known.get(&id).copied();
            let is_complete = |number: usize| self.packs.get(number).is_some_and(|pack| pack.stage == Stage::Sealed);
            if number.is_some_and(is_complete) {
                continue;
            }
            let Some((file, stage)) = open_pack(&live.layout, self.class, id)? else { continue };
            let number = match number {
                Some(number) => number,
                None => self.add_pack(live, id, stage, &file, sight)?,
            };
            let mut listing = list_frames(&file, id)?;
            let fault = listing.fault(id, stage);
            if let Some(fault) = fault {
                // What a metadata pack may hold decides what is needed; a newer pack may hold anything.
                if self.class == PackClass::Meta || fault.kind() == ErrorKind::TooNew {
                    return Err(fault);
                }
                if let Some(pack) = self.packs.get_mut(number) {
                    pack.stays = Some(Stays::Damaged);
                }
            }
            if let Some(pack) = self.packs.get_mut(number) {
                pack.stage = stage;
                pack.len = file_len(&file).max(pack.len);
            }
            for placed in listing.frames {
                fresh.extend(self.add_frame(number, &placed));
            }
        }
        Ok(fresh)
    }

    fn add_pack(
        &mut self,
        live: &Live,
        id: PackId,
        stage: Stage,
        file: &File,
        sight: FirstSight,
    ) -> Result<usize, StoreError> {
        let ours = self.shelf(live).is_ours(id);
        let busy = match (stage, sight) {
            (Stage::Open, FirstSight::Plan) if !ours => {
                let path = live.layout.pack_path(self.class, id, Stage::Open);
                lock_existing(&path).map_err(|error| StoreError::io("lock", &path, error))?.is_none()
            }
            _ => false,
        };
        let stays = match sight {
            FirstSight::Later => Some(Stays::New),
            FirstSight::Plan => busy.then_some(Stays::Busy),
        };
        let number = self.packs.len();
        let (len, frames) = (file_len(file), vec![]);
        self.packs.push(PackEntry { id, stage, len, end: 0, stays, condemned: false, frames });
        self.known.insert(id, number);
        Ok(number)
    }

    /// Adds a frame unless it is known.
    fn add_frame(&mut self, pack: usize, placed: &PlacedHeader) -> Option<usize> {
        let header = &placed.header;
        let number = self.frames.len();
        let entry = self.packs.get_mut(pack).filter(|entry| placed.offset >= entry.end)?;
        entry.end = placed.offset + header.frame_len();
        entry.frames.push(number);
        for key in header.keys() {
            match self.places.entry(key.id) {
                Entry::Vacant(vacant) => drop(vacant.insert(number)),
                // A frame may hold one chunk twice.
                Entry::Occupied(known) if *known.get() == number => {}
                Entry::Occupied(_) => self.twins.entry(key.id).or_default().push(number),
            }
        }
        self.frames.push(FrameEntry {
            pack,
            offset: placed.offset,
            len: header.frame_len(),
            kind: header.kind(),
            key: header.keys().first().map(|key| key.id),
            depth: header.delta_depth(),
            raw_len: header.raw_len(),
            bases: header.bases().iter().map(|span| span.chunk).collect(),
            live: false,
            sound: None,
        });
        Some(number)
    }

    /// Returns the frames that name a key and have less than some depth, those to be preferred first: in use already,
    /// in packs that stay, newest.
    pub(super) fn places_of(&self, key: &[u8; 32], below: u8) -> Vec<usize> {
        let first = self.places.get(key).into_iter();
        let twins = self.twins.get(key).into_iter().flatten();
        let shallow = |number: &usize| self.frames.get(*number).is_some_and(|frame| frame.depth < below);
        let mut places: Vec<usize> = first.chain(twins).copied().filter(shallow).collect();
        if places.len() > 1 {
            places.sort_by_key(|number| {
                let frame = self.frames.get(*number);
                let pack = frame.and_then(|frame| self.packs.get(frame.pack));
                let live = frame.is_some_and(|frame| frame.live);
                let stays = pack.is_some_and(|pack| !pack.condemned && pack.stays.is_some());
                std::cmp::Reverse((live, stays, pack.map(|pack| pack.id), *number))
            });
            places.dedup();
        }
        places
    }

    /// Returns whether a frame is a copy of one that is needed already.
    pub(super) fn is_copy(&self, number: usize) -> bool {
        let Some(frame) = self.frames.get(number) else { return false };
        let Some(key) = frame.key else { return false };
        let same = |other: &FrameEntry| {
            other.live
                && (other.kind, other.depth, other.len, &other.bases)
                    == (frame.kind, frame.depth, frame.len, &frame.bases)
        };
        let places = self.places_of(&key, u8::MAX);
        places.into_iter().any(|place| place != number && self.frames.get(place).is_some_and(same))
    }

    /// Takes frames in packs marked as repacked to be what they say.
    pub(super) fn trust_marked(&mut self, live: &Live, frames: &[usize]) -> Result<(), StoreError> {
        let mut marked: HashMap<usize, bool> = HashMap::new();
        for number in frames {
            let Some(pack) = self.frames.get(*number).map(|frame| frame.pack) else { continue };
            let Some(id) = self.packs.get(pack).map(|pack| pack.id) else { continue };
            if let Entry::Vacant(unknown) = marked.entry(pack) {
                let opened = open_pack(&live.layout, self.class, id)?;
                let header = opened.and_then(|(file, _)| read_pack_header(&file, id).ok());
                unknown.insert(header.is_some_and(|header| header.repacked_at().is_some()));
            }
            if let Some(frame) = self.frames.get_mut(*number).filter(|_| marked.get(&pack) == Some(&true)) {
                frame.sound = Some(true);
            }
        }
        Ok(())
    }

    /// Condemns the packs that hold something nobody needs, or nothing.
    pub(super) fn condemn(&mut self) {
        for pack in &mut self.packs {
            let has_garbage = pack.frames.iter().any(|frame| self.frames.get(*frame).is_some_and(|it| !it.live));
            pack.condemned = (has_garbage || pack.is_blank()) && pack.stays.is_none();
        }
    }

    /// Returns the numbers of the packs that go.
    pub(super) fn going(&self) -> Vec<usize> {
        (0..self.packs.len()).filter(|number| self.packs.get(*number).is_some_and(PackEntry::goes)).collect()
    }

    /// Returns the frames of a pack that something needs.
    pub(super) fn live_frames(&self, pack: usize) -> Vec<usize> {
        let frames = self.packs.get(pack).map(|pack| pack.frames.as_slice()).unwrap_or_default();
        frames.iter().copied().filter(|frame| self.frames.get(*frame).is_some_and(|frame| frame.live)).collect()
    }
}

fn file_len(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}
