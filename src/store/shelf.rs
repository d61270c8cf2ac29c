//! All packs of one class: which there are, where each key lies in them, and how a frame is read.
//!
//! - Keys of sealed packs come from segments; keys of open packs, and of sealed ones no segment covers yet, lie in
//!   memory.
//! - A place is a hint until the frame header there confirms the whole key.
//! - Whatever cannot be read here is skipped and remembered; only a key with no other place turns that into an error.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::appender::Appender;
use super::layout::{Layout, Stage};
use super::notes::{self, FramePosition};
use super::segment::{Segment, prefix_of};
use super::{PackLimits, StoreError};
use crate::error::{Classify as _, ErrorKind};
use crate::format::FormatError;
use crate::format::pack::{
    FRAME_HEADER_LEN, Footer, Frame, FrameHeader, Marker, PACK_HEADER_LEN, PackClass, PackHeader, PlacedHeader, Scan,
    ScanDepth, ScanStart, TRAILER_LEN, Trailer, scan,
};
use crate::fs::read_exact_at;
use crate::id::PackId;

/// Pack files kept open at once.
const MAX_OPEN_FILES: usize = 64;
/// Frame headers kept at once.
const MAX_HEADERS: usize = 512;
/// How much is fetched at once where a frame header is expected, in bytes: most headers with their tables are shorter.
const HEADER_GUESS: u64 = 1024;
/// Length of a marker in bytes.
const MARKER_LEN: usize = FRAME_HEADER_LEN + 16;

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Number of the pack on this shelf.
    pub(super) pack: u32,
    /// Position of the frame in bytes.
    pub(super) offset: u32,
}

/// A frame whose header was read and names the wanted key.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) pack: PackId,
    pub(super) offset: u64,
    pub(super) header: Arc<FrameHeader>,
    pub(super) file: Arc<File>,
    /// The pack is another process's open one, so that only a sync of our own makes sure the frame is durable.
    pub(super) foreign: bool,
}

impl Found {
    /// Reads the frame.
    pub(super) fn read(&self) -> Result<Frame, StoreError> {
        read_frame(&self.file, self.pack, self.offset, FrameHeader::clone(&self.header))
    }

    /// Position behind the frame in bytes.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.header.frame_len()
    }
}

/// What a lookup came to.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) found: Vec<Found>,
    /// Damage met where the key should be.
    pub(super) damage: Option<StoreError>,
}

/// Which places of a key are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One that is not known to be damaged and leans on nothing that is, so that a writer may rely on it.
    First,
    /// All, those known to be damaged last.
    All,
}

/// A pack and what is known about it.
#[derive(Debug)]
pub(super) struct KnownPack {
    pub(super) id: PackId,
    /// As last listed; `None` if it was not there.
    pub(super) stage: Option<Stage>,
    /// This process is appending to it.
    pub(super) ours: bool,
    /// It is appended to beside the pack that writes commit, which do not make it durable.
    pub(super) aside: bool,
    /// It is sealed and all its keys are in memory or in a segment.
    pub(super) settled: bool,
    /// Position behind the last marker that was seen, in bytes.
    pub(super) end: u64,
    file: Option<Arc<File>>,
}

/// A segment and the numbers that its packs have on this shelf.
pub(super) struct Indexed {
    pub(super) segment: Arc<Segment>,
    pub(super) ordinals: Vec<u32>,
}

/// The places of one key. Nearly every key has one, which costs no allocation.
#[derive(Debug)]
struct Places {
    first: Place,
    later: Vec<Place>,
}

impl Places {
    fn iter(&self) -> impl DoubleEndedIterator<Item = &Place> {
        std::iter::once(&self.first).chain(&self.later)
    }

    fn add(&mut self, place: Place) {
        if self.iter().all(|known| *known != place) {
            self.later.push(place);
        }
    }

    /// Drops the places not to keep; `false` if none is left.
    fn retain(&mut self, keep: impl Fn(&Place) -> bool) -> bool {
        self.later.retain(&keep);
        if keep(&self.first) {
            return true;
        }
        if self.later.is_empty() {
            return false;
        }
        self.first = self.later.remove(0);
        true
    }
}

/// What is known about the packs of one class.
pub(super) struct State {
    layout: Arc<Layout>,
    class: PackClass,
    loaded: bool,
    pub(super) packs: Vec<KnownPack>,
    ordinals: HashMap<PackId, u32>,
    /// All places of the keys that no segment has, oldest first.
    memory: HashMap<[u8; 32], Places>,
    pub(super) segments: Vec<Indexed>,
    headers: HashMap<Place, Arc<FrameHeader>>,
    /// Frames of data packs that were read and found damaged, here or by others.
    damaged: HashSet<FramePosition>,
    open_files: usize,
}

/// All packs of one class, shared between threads.
pub(super) struct Shelf {
    pub(super) layout: Arc<Layout>,
    pub(super) class: PackClass,
    pub(super) limits: PackLimits,
    /// Taken before `state` where both are needed.
    pub(super) appender: Mutex<Appender>,
    state: Mutex<State>,
}

impl Shelf {
    pub(super) fn new(layout: Arc<Layout>, class: PackClass, limits: PackLimits) -> Self {
        let state = State {
            layout: Arc::clone(&layout),
            class,
            loaded: false,
            packs: vec![],
            ordinals: HashMap::new(),
            memory: HashMap::new(),
            segments: vec![],
            headers: HashMap::new(),
            damaged: HashSet::new(),
            open_files: 0,
        };
        Self { layout, class, limits, appender: Mutex::default(), state: Mutex::new(state) }
    }

    /// Takes the state. A panic elsewhere leaves it usable: every change keeps it whole.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the directories again.
    pub(super) fn refresh(&self) -> Result<(), StoreError> {
        self.state().refresh()
    }

    /// Remembers, for other processes too, that a frame was read and found damaged.
    pub(super) fn note_damage(&self, frame: FramePosition) {
        if self.class == PackClass::Data && self.state().damaged.insert(frame) {
            notes::leave(&self.layout, frame);
        }
    }

    /// Forgets the notes about frames that are sound, or not there any more.
    pub(super) fn take_back_notes(&self, is_wrong: impl Fn(&FramePosition) -> bool) {
        let mut state = self.state();
        let wrong: Vec<FramePosition> = state.damaged.iter().filter(|frame| is_wrong(frame)).copied().collect();
        for frame in wrong {
            state.damaged.remove(&frame);
            notes::take_back(&self.layout, frame);
        }
    }

    /// Returns whether a key has a place that is not known to be damaged.
    pub(super) fn has(&self, key: &[u8; 32]) -> Result<bool, StoreError> {
        let mut state = self.state();
        if !state.find(key, Wanted::First)?.found.is_empty() {
            return Ok(true);
        }
        state.refresh()?;
        Ok(!state.find(key, Wanted::First)?.found.is_empty())
    }

    /// Returns whether a key is here, but nowhere that anything new may rely on.
    pub(super) fn holds_only_damaged(&self, key: &[u8; 32]) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.damaged.is_empty() || !state.find(key, Wanted::First)?.found.is_empty() {
            return Ok(false);
        }
        Ok(!state.find(key, Wanted::All)?.found.is_empty())
    }

    /// Looks a key up in what is known.
    pub(super) fn find(&self, key: &[u8; 32], wanted: Wanted) -> Result<Search, StoreError> {
        self.state().find(key, wanted)
    }

    /// Looks a key up, and looks at the directories again before giving up.
    pub(super) fn find_fresh(&self, key: &[u8; 32]) -> Result<Search, StoreError> {
        let mut state = self.state();
        let search = state.find(key, Wanted::All)?;
        if !search.found.is_empty() {
            return Ok(search);
        }
        state.refresh()?;
        state.find(key, Wanted::All)
    }
}

impl State {
    /// Takes in new packs, new frames of open ones, and open ones that were sealed.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
        if !self.loaded {
            self.load_segments()?;
            self.loaded = true;
        }
        if self.class == PackClass::Data {
            let listed = notes::list(&self.layout)?;
            // Notes that could not be left lie only here.
            if self.layout.require_writable().is_ok() {
                self.damaged = listed;
            } else {
                self.damaged.extend(listed);
            }
        }
        let listed = self.layout.list_packs(self.class)?;
        for pack in &mut self.packs {
            pack.stage = listed.get(&pack.id).copied();
            if pack.stage.is_none() && !pack.ours {
                // What was collected keeps its room on disk as long as anybody has it open.
                pack.file = None;
            }
        }
        self.open_files = self.packs.iter().filter(|pack| pack.file.is_some()).count();
        for (id, stage) in listed {
            let ordinal = self.ordinal(id);
            if let Some(pack) = self.pack_mut(ordinal) {
                pack.stage = Some(stage);
            }
            self.take_in(ordinal)?;
        }
        Ok(())
    }

    /// Forgets everything that came from segments and packs of others, so that the next refresh reads all footers.
    pub(super) fn forget_segments(&mut self) {
        let freed: HashSet<u32> = self.segments.drain(..).flat_map(|indexed| indexed.ordinals).collect();
        for ordinal in freed {
            if let Some(pack) = self.pack_mut(ordinal) {
                pack.settled = false;
            }
        }
    }

    /// Takes in segments that others wrote and lets go of those that others merged away.
    pub(super) fn load_segments(&mut self) -> Result<(), StoreError> {
        let listed = self.layout.list_segments(self.class)?;
        let gone: Vec<usize> = (0..self.segments.len())
            .rev()
            .filter(|at| {
                self.segments.get(*at).is_some_and(|indexed| !listed.iter().any(|path| path == indexed.segment.path()))
            })
            .collect();
        let known: HashSet<_> = self.segments.iter().map(|indexed| indexed.segment.path().to_path_buf()).collect();
        for path in listed.into_iter().filter(|path| !known.contains(path)) {
            // A segment that vanished was merged by another process, and a damaged one is built again from its packs.
            let Ok(segment) = Segment::open(&path, self.class) else { continue };
            self.add_segment(segment);
        }
        for at in gone {
            self.drop_segment(at)?;
        }
        Ok(())
    }

    /// Takes a segment in; its packs need no keys in memory any more.
    pub(super) fn add_segment(&mut self, segment: Segment) {
        let ordinals: Vec<u32> = segment.packs().to_vec().into_iter().map(|id| self.ordinal(id)).collect();
        let covered: HashSet<u32> = ordinals.iter().copied().collect();
        self.retain_memory(|place| !covered.contains(&place.pack));
        for ordinal in &ordinals {
            if let Some(pack) = self.pack_mut(*ordinal) {
                pack.settled = true;
            }
        }
        self.segments.push(Indexed { segment: Arc::new(segment), ordinals });
    }

    /// Returns the number of a pack on this shelf.
    pub(super) fn ordinal(&mut self, id: PackId) -> u32 {
        let next = u32::try_from(self.packs.len()).expect("a store has fewer than 2^32 packs");
        let packs = &mut self.packs;
        *self.ordinals.entry(id).or_insert_with(|| {
            packs.push(KnownPack { id, stage: None, ours: false, aside: false, settled: false, end: 0, file: None });
            next
        })
    }

    pub(super) fn pack_mut(&mut self, ordinal: u32) -> Option<&mut KnownPack> {
        self.packs.get_mut(ordinal as usize)
    }

    /// Remembers where the keys of a frame are.
    pub(super) fn insert(&mut self, pack: u32, frame: &PlacedHeader) {
        let Ok(offset) = u32::try_from(frame.offset) else { return };
        let place = Place { pack, offset };
        for key in frame.header.keys() {
            let places = self.memory.entry(key.id);
            places.and_modify(|known| known.add(place)).or_insert(Places { first: place, later: vec![] });
        }
    }

    fn retain_memory(&mut self, keep: impl Fn(&Place) -> bool) {
        self.memory.retain(|_, places| places.retain(&keep));
    }

    /// Forgets the frames of a pack from a position on.
    pub(super) fn forget_from(&mut self, pack: u32, position: u64) {
        let keep = |place: &Place| place.pack != pack || u64::from(place.offset) < position;
        self.retain_memory(keep);
        self.headers.retain(|place, _| keep(place));
    }

    /// Reads what is new in a pack of others.
    fn take_in(&mut self, ordinal: u32) -> Result<(), StoreError> {
        let Some(pack) = self.pack_mut(ordinal) else { return Ok(()) };
        if pack.ours || pack.settled {
            return Ok(());
        }
        let (id, stage, end) = (pack.id, pack.stage, pack.end);
        let Some(file) = self.file(ordinal)? else { return Ok(()) };
        let frames = if stage == Some(Stage::Sealed) {
            let frames = read_footer(&file, id).unwrap_or_else(|_| {
                // What can be found without the directory is found.
                let found = scan_file(&file, id, 0, ScanDepth::Headers).ok().flatten();
                found.map(|found| found.frames).unwrap_or_default()
            });
            if let Some(pack) = self.pack_mut(ordinal) {
                pack.settled = true;
            }
            frames
        } else {
            // A metadata pack that lost power may name recipes whose bytes are gone; they are small enough to check.
            let depth = match self.class {
                PackClass::Data => ScanDepth::Headers,
                PackClass::Meta => ScanDepth::TailPayloads,
            };
            // Whoever adopted the pack may have cut a torn tail that was read here before.
            let end = if marker_before(&file, id, end).is_some() { end } else { 0 };
            if end == 0 {
                self.forget_from(ordinal, 0);
            }
            let Some(scanned) = scan_file(&file, id, end, depth)? else { return Ok(()) };
            if let Some(pack) = self.pack_mut(ordinal) {
                // A pack with gaps is read from its start each time, so that nothing depends on where they seemed to
                // be.
                pack.end = if scanned.gaps.is_empty() { scanned.end } else { 0 };
            }
            scanned.frames
        };
        for placed in &frames {
            self.insert(ordinal, placed);
        }
        Ok(())
    }

    /// Looks a key up in memory, then in the segments.
    fn find(&mut self, key: &[u8; 32], wanted: Wanted) -> Result<Search, StoreError> {
        if !self.loaded {
            self.refresh()?;
        }
        let mut search = Search::default();
        // The newest first: where a key was stored again, the older place may be the damaged one.
        let known: Vec<Place> =
            self.memory.get(key).into_iter().flat_map(|places| places.iter().rev().copied()).collect();
        for place in known {
            self.confirm(place, key, wanted, &mut search)?;
            if wanted == Wanted::First && !search.found.is_empty() {
                return Ok(search);
            }
        }
        let mut places = vec![];
        for at in (0..self.segments.len()).rev() {
            if let Err(error) = self.find_in_segment(at, key, &mut places) {
                if error.kind() != io::ErrorKind::InvalidData && error.kind() != io::ErrorKind::UnexpectedEof {
                    return Err(StoreError::io("read", &self.layout.index_dir(self.class), error));
                }
                self.drop_segment(at)?;
                return self.find(key, wanted);
            }
        }
        for place in places {
            self.confirm(place, key, wanted, &mut search)?;
            if wanted == Wanted::First && !search.found.is_empty() {
                break;
            }
        }
        search.found.sort_by_key(|found| self.damaged.contains(&(found.pack, found.offset)));
        Ok(search)
    }

    fn find_in_segment(&self, at: usize, key: &[u8; 32], places: &mut Vec<Place>) -> io::Result<()> {
        let Some(indexed) = self.segments.get(at) else { return Ok(()) };
        let mut entries = vec![];
        indexed.segment.find(prefix_of(key), &mut entries)?;
        for entry in entries {
            let pack = indexed.ordinals.get(entry.pack as usize);
            let pack = *pack.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            let place = Place { pack, offset: entry.offset };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(())
    }

    /// Does without a segment: packs that no other segment covers are known by their own directories again.
    fn drop_segment(&mut self, at: usize) -> Result<(), StoreError> {
        let indexed = self.segments.remove(at);
        for ordinal in indexed.ordinals {
            if self.segments.iter().any(|other| other.ordinals.contains(&ordinal)) {
                continue;
            }
            if let Some(pack) = self.pack_mut(ordinal) {
                pack.settled = false;
            }
            self.take_in(ordinal)?;
        }
        Ok(())
    }

    /// Reads the frame header at a place and keeps it if it names the key.
    fn confirm(&mut self, place: Place, key: &[u8; 32], wanted: Wanted, search: &mut Search) -> Result<(), StoreError> {
        let Some(file) = self.file(place.pack)? else { return Ok(()) };
        // A pack that is not listed any more may still be open here; nobody else can read it.
        let Some(pack) = self.packs.get(place.pack as usize).filter(|pack| pack.ours || pack.stage.is_some()) else {
            return Ok(());
        };
        let (id, foreign) = (pack.id, pack.stage != Some(Stage::Sealed) && (pack.aside || !pack.ours));
        let offset = u64::from(place.offset);
        if wanted == Wanted::First && self.damaged.contains(&(id, offset)) {
            return Ok(());
        }
        let header = match self.headers.get(&place) {
            Some(header) => Arc::clone(header),
            None => match read_header(&file, id, offset) {
                Ok(header) => Arc::new(header),
                Err(error @ StoreError::PackDamaged { .. }) => {
                    search.damage.get_or_insert(error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        if self.headers.len() >= MAX_HEADERS {
            self.headers.clear();
        }
        self.headers.insert(place, Arc::clone(&header));
        if header.keys().iter().any(|named| named.id == *key) {
            if wanted == Wanted::First && !self.stands_on_sound(&header)? {
                return Ok(());
            }
            search.found.push(Found { pack: id, offset, header, file, foreign });
        }
        Ok(())
    }

    /// Returns whether every chunk that a frame leans on has a place at less depth of which the same holds. Without
    /// notes about damage, all do. The depth falls with each step, so that this ends.
    fn stands_on_sound(&mut self, header: &FrameHeader) -> Result<bool, StoreError> {
        if self.damaged.is_empty() {
            return Ok(true);
        }
        let mut sound: HashSet<FramePosition> = HashSet::new();
        'bases: for base in header.bases() {
            for found in self.find(base.chunk.as_bytes(), Wanted::All)?.found {
                let place = (found.pack, found.offset);
                if found.header.delta_depth() >= header.delta_depth() || self.damaged.contains(&place) {
                    continue;
                }
                if sound.contains(&place) || self.stands_on_sound(&found.header)? {
                    sound.insert(place);
                    continue 'bases;
                }
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Opens a pack under whichever name it has now; `None` if it has none.
    pub(super) fn file(&mut self, ordinal: u32) -> Result<Option<Arc<File>>, StoreError> {
        let Some(pack) = self.packs.get(ordinal as usize) else { return Ok(None) };
        if let Some(file) = &pack.file {
            return Ok(Some(Arc::clone(file)));
        }
        let Some((file, _)) = open_pack(&self.layout, self.class, pack.id)? else { return Ok(None) };
        if self.open_files >= MAX_OPEN_FILES {
            self.packs.iter_mut().for_each(|pack| pack.file = None);
            self.open_files = 0;
        }
        let file = Arc::new(file);
        self.open_files += 1;
        if let Some(pack) = self.pack_mut(ordinal) {
            pack.file = Some(Arc::clone(&file));
        }
        Ok(Some(file))
    }
}

/// Opens a pack as `.pack`, `.open`, or `.pack` again: it may be renamed between the attempts, but only once.
pub(super) fn open_pack(layout: &Layout, class: PackClass, pack: PackId) -> Result<Option<(File, Stage)>, StoreError> {
    for stage in [Stage::Sealed, Stage::Open, Stage::Sealed] {
        let path = layout.pack_path(class, pack, stage);
        match File::open(&path) {
            Ok(file) => return Ok(Some((file, stage))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("open", &path, error)),
        }
    }
    Ok(None)
}

/// Turns a failed read of a pack into damage if the pack is too short, and into a plain failure otherwise.
fn read_fault(pack: PackId, offset: u64, error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let source = FormatError::malformed("pack", "it ends too early");
        return StoreError::PackDamaged { pack, offset, source };
    }
    StoreError::Io { doing: "read", path: format!("{pack}.pack").into(), source: error }
}

fn read_bytes(file: &File, pack: PackId, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; len];
    read_exact_at(file, &mut bytes, offset).map_err(|error| read_fault(pack, offset, error))?;
    Ok(bytes)
}

fn file_len(file: &File, pack: PackId) -> Result<u64, StoreError> {
    file.metadata().map(|meta| meta.len()).map_err(|error| read_fault(pack, 0, error))
}

/// Reads a frame header with its tables.
pub(super) fn read_header(file: &File, pack: PackId, offset: u64) -> Result<FrameHeader, StoreError> {
    let damaged = |source| StoreError::PackDamaged { pack, offset, source };
    let left = file_len(file, pack)?.saturating_sub(offset);
    let guess = usize::try_from(left.min(HEADER_GUESS)).unwrap_or(FRAME_HEADER_LEN).max(FRAME_HEADER_LEN);
    let mut bytes = read_bytes(file, pack, offset, guess)?;
    let len = FrameHeader::peek_len(&bytes).map_err(damaged)?;
    if len > bytes.len() {
        bytes = read_bytes(file, pack, offset, len)?;
    }
    FrameHeader::decode(&bytes).map_err(damaged)
}

/// Reads a frame whose header is known.
pub(super) fn read_frame(file: &File, pack: PackId, offset: u64, header: FrameHeader) -> Result<Frame, StoreError> {
    let payload = read_bytes(file, pack, offset + header.encoded_len() as u64, header.stored_len() as usize)?;
    Frame::from_parts(header, payload).map_err(|source| StoreError::PackDamaged { pack, offset, source })
}

/// Reads the header of a pack and checks that it is the pack that its name says.
pub(super) fn read_pack_header(file: &File, pack: PackId) -> Result<PackHeader, StoreError> {
    let damaged = |source| StoreError::PackDamaged { pack, offset: 0, source };
    let bytes = read_bytes(file, pack, 0, PACK_HEADER_LEN)?;
    let header = PackHeader::from_bytes(&bytes).map_err(damaged)?;
    if header.pack != pack {
        return Err(damaged(FormatError::malformed("pack", "its name is not the one in its header")));
    }
    Ok(header)
}

/// Reads the trailer of a sealed pack.
pub(super) fn read_trailer(file: &File, pack: PackId) -> Result<Trailer, StoreError> {
    let len = file_len(file, pack)?;
    let offset = len.saturating_sub(TRAILER_LEN as u64);
    let bytes = read_bytes(file, pack, offset, TRAILER_LEN)?;
    Trailer::from_bytes(&bytes, len).map_err(|source| StoreError::PackDamaged { pack, offset, source })
}

/// Reads the directory of a sealed pack.
pub(super) fn read_footer(file: &File, pack: PackId) -> Result<Vec<PlacedHeader>, StoreError> {
    read_pack_header(file, pack)?;
    let trailer = read_trailer(file, pack)?;
    let len = usize::try_from(trailer.footer_len).unwrap_or(usize::MAX);
    let bytes = read_bytes(file, pack, trailer.footer_offset, len)?;
    let footer = Footer::from_bytes(&bytes, &trailer);
    let offset = trailer.footer_offset;
    footer.map(|footer| footer.frames).map_err(|source| StoreError::PackDamaged { pack, offset, source })
}

/// Reads the marker that ends at a position, if there is one.
fn marker_before(file: &File, pack: PackId, end: u64) -> Option<Marker> {
    let offset = end.checked_sub(MARKER_LEN as u64)?;
    let bytes = read_bytes(file, pack, offset, MARKER_LEN).ok()?;
    let marker = Frame::decode_prefix(&bytes).ok()?.to_marker()?;
    (marker.position == offset).then_some(marker)
}

/// Scans a pack from a position behind a marker, or else from its start; `None` if it is too short or too new to scan.
/// A damaged pack header is no reason not to read what follows.
pub(super) fn scan_file(file: &File, pack: PackId, from: u64, depth: ScanDepth) -> Result<Option<Scan>, StoreError> {
    let len = file_len(file, pack)?;
    if len < PACK_HEADER_LEN as u64 {
        return Ok(None);
    }
    let start = match marker_before(file, pack, from) {
        Some(marker) => ScanStart { offset: from, sequence: marker.sequence },
        None => match read_pack_header(file, pack) {
            Err(error) if error.kind() == ErrorKind::TooNew => return Ok(None),
            _ => ScanStart::FIRST,
        },
    };
    scan(start, len, depth, |offset, len| read_bytes(file, pack, offset, len)).map(Some)
}
