//! Appending to the open pack of this process: adopt or create, append, commit, seal, index.
//!
//! - A pack is appended to only by the process that holds the lock on it, and sealed only by it.
//! - `committed` is behind the last marker whose sync returned, or that an earlier owner may have acknowledged; nothing
//!   before it is ever cut.
//! - When a sync fails, the pack is cut back to `committed` and given up, and every writer under way is told.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::StoreError;
use super::layout::Stage;
use super::segment::{Entry, Segment, prefix_of, write_segment};
use super::shelf::{Shelf, open_pack, read_footer, read_pack_header, scan_file};
use crate::format::pack::{
    Footer, Frame, Marker, PACK_HEADER_LEN, PACK_VERSION, PackClass, PackHeader, PlacedHeader, ScanDepth,
};
use crate::fs::{self, AppendFile, FileLock, Sharing};
use crate::id::PackId;

/// Segments of like size that are merged into one.
const MERGE_COUNT: usize = 8;
/// Packs that one segment covers at most when the index is built anew, so that the keys fit in memory.
const PACKS_PER_SEGMENT: usize = 512;
/// How much of a pack is read at once when it is hashed for its trailer, in bytes.
const HASH_BLOCK: u64 = 1024 * 1024;

/// The writing side of a shelf.
#[derive(Debug, Default)]
pub(super) struct Appender {
    pack: Option<OpenPack>,
    prepared: bool,
    /// How often a sync failed. A writer that sees this grow has lost bytes.
    failures: u64,
    /// Optional features of the packs that it makes, and of those that it takes over.
    compat: u64,
}

/// The pack that this process appends to.
#[derive(Debug)]
struct OpenPack {
    id: PackId,
    version: u32,
    compat: u64,
    ordinal: u32,
    file: AppendFile,
    frames: Vec<PlacedHeader>,
    sequence: u64,
    committed: u64,
    /// Everything before this position is known to be durable.
    synced: u64,
    /// A second marker says that the frames before this position are durable: no scan takes them for a torn tail.
    vouched: u64,
}

impl OpenPack {
    /// Ends a commit: a marker, and a sync of everything up to it.
    fn mark(&mut self) -> io::Result<()> {
        append_marker(self).and_then(|()| self.file.sync())
    }

    /// Takes note of the sync of the last marker.
    fn set_committed(&mut self) {
        self.vouched = self.committed;
        self.committed = self.file.len();
        self.synced = self.committed;
    }
}

/// Whether a second marker says that the frames under the last one are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Vouched,
    Unvouched,
}

impl Appender {
    /// Makes an appender beside the one of the shelf, for new packs with optional features. What it appends is found
    /// once it is committed, as if another process had appended it.
    pub(super) fn beside(compat: u64) -> Self {
        Self { compat, prepared: true, ..Self::default() }
    }
}

impl Shelf {
    fn appender(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how often a sync failed so far.
    pub(super) fn failures(&self) -> u64 {
        self.appender().failures
    }

    /// Appends frames. They are found at once by this process, by others after [`Shelf::commit`], which also makes them
    /// durable.
    pub(super) fn append(&self, frames: &[Frame]) -> Result<(), StoreError> {
        self.append_by(&mut self.appender(), frames)
    }

    /// Appends frames to the pack of an appender.
    pub(super) fn append_by(&self, appender: &mut Appender, frames: &[Frame]) -> Result<(), StoreError> {
        self.prepare(appender)?;
        for frame in frames {
            if appender.pack.is_none() {
                appender.pack = Some(self.create_pack(appender.compat)?);
            }
            let Some(open) = &mut appender.pack else { continue };
            let offset = open.file.len();
            if let Err(error) = open.file.append(&frame.to_bytes()) {
                // Half a frame may be there. If even the cut fails, the next owner's scan stops in front of it.
                if open.file.truncate(offset).is_err() {
                    self.give_up(appender);
                }
                return Err(self.write_error(error));
            }
            let placed = PlacedHeader { offset, header: frame.header().clone() };
            if open.compat == 0 {
                self.state().insert(open.ordinal, &placed);
            }
            open.frames.push(placed);
            if self.is_full(open) {
                self.seal(appender)?;
            }
        }
        Ok(())
    }

    /// Makes everything appended so far durable and visible to others. `failures` is what [`Shelf::failures`] returned
    /// before the caller's first append.
    pub(super) fn commit(&self, failures: u64) -> Result<(), StoreError> {
        self.commit_by(&mut self.appender(), failures)
    }

    /// Does so for what an appender appended.
    pub(super) fn commit_by(&self, appender: &mut Appender, failures: u64) -> Result<(), StoreError> {
        let Some(open) = appender.pack.as_mut().filter(|open| open.file.len() > open.synced) else {
            return if appender.failures == failures { Ok(()) } else { Err(StoreError::Unsynced) };
        };
        if let Err(error) = open.mark() {
            self.give_up(appender);
            return Err(self.write_error(error));
        }
        self.show(open);
        open.set_committed();
        if appender.failures == failures { Ok(()) } else { Err(StoreError::Unsynced) }
    }

    /// Does what [`Shelf::commit`] does for what takes the place of copies that go: the next writer takes what only one
    /// marker vouches for as torn if it is damaged, and cuts it.
    pub(super) fn commit_for_good(&self, failures: u64) -> Result<(), StoreError> {
        self.commit_for_good_by(&mut self.appender(), failures)
    }

    /// Does so for what an appender appended.
    pub(super) fn commit_for_good_by(&self, appender: &mut Appender, failures: u64) -> Result<(), StoreError> {
        self.commit_by(appender, failures)?;
        let is_vouched = |open: &OpenPack| open.frames.last().is_none_or(|placed| placed.offset < open.vouched);
        let Some(open) = appender.pack.as_mut().filter(|open| !is_vouched(open)) else { return Ok(()) };
        if let Err(error) = open.mark() {
            self.give_up(appender);
            return Err(self.write_error(error));
        }
        open.set_committed();
        Ok(())
    }

    /// Lets what was just made durable beside the shelf's own pack be found.
    fn show(&self, open: &OpenPack) {
        if open.compat == 0 {
            return;
        }
        let mut state = self.state();
        for placed in open.frames.iter().rev().take_while(|placed| placed.offset >= open.committed) {
            state.insert(open.ordinal, placed);
        }
    }

    /// Returns whether this process appends to a pack.
    pub(super) fn is_ours(&self, id: PackId) -> bool {
        self.appender().pack.as_ref().is_some_and(|open| open.id == id)
    }

    /// Stops appending to a pack and hands over its file, and with it the lock; `None` if it is not ours, or if a write
    /// is under way in it.
    pub(super) fn part_with(&self, id: PackId) -> Option<AppendFile> {
        let mut appender = self.appender();
        let open = appender.pack.take_if(|open| open.id == id && open.file.len() == open.committed)?;
        if let Some(pack) = self.state().pack_mut(open.ordinal) {
            pack.ours = false;
            pack.end = open.file.len();
        }
        Some(open.file)
    }

    /// Lets go of the pack of an appender, which nobody goes on with.
    pub(super) fn retire(&self, mut appender: Appender) {
        if appender.pack.as_ref().is_some_and(|open| open.file.len() > open.committed) {
            self.give_up(&mut appender);
        }
        if let Some(open) = appender.pack
            && let Some(pack) = self.state().pack_mut(open.ordinal)
        {
            pack.ours = false;
            pack.end = open.file.len();
        }
    }

    /// Returns whether a segment covers packs that are gone.
    pub(super) fn has_stale_segments(&self) -> Result<bool, StoreError> {
        let listed = self.layout.list_packs(self.class)?;
        let state = self.state();
        Ok(state.segments.iter().any(|indexed| indexed.segment.packs().iter().any(|id| !listed.contains_key(id))))
    }

    /// Takes back what was appended and never committed, if `idle` holds while nobody can look anything up.
    pub(super) fn cut_uncommitted(&self, idle: impl Fn() -> bool) {
        let mut appender = self.appender();
        let Some(open) = &mut appender.pack else { return };
        if open.file.len() <= open.committed {
            return;
        }
        let mut state = self.state();
        if !idle() {
            return;
        }
        let committed = open.committed;
        state.forget_from(open.ordinal, committed);
        open.frames.retain(|placed| placed.offset < committed);
        drop(state);
        if open.file.truncate(committed).is_err() {
            self.give_up(&mut appender);
        } else {
            open.synced = open.synced.min(committed);
        }
    }

    fn write_error(&self, error: io::Error) -> StoreError {
        StoreError::io("write a pack in", &self.layout.packs_dir(self.class), error)
    }

    fn is_full(&self, open: &OpenPack) -> bool {
        let (len, frames) = match self.class {
            PackClass::Data => (self.limits.data_len, self.limits.data_frames),
            PackClass::Meta => (self.limits.meta_len, self.limits.meta_frames),
        };
        open.file.len() >= len || open.frames.len() >= frames
    }

    /// Gives the open pack up and cuts what nobody was promised. The lock is held until after the cut.
    fn give_up(&self, appender: &mut Appender) {
        appender.failures += 1;
        let Some(open) = appender.pack.take() else { return };
        let mut state = self.state();
        state.forget_from(open.ordinal, open.committed);
        if let Some(pack) = state.pack_mut(open.ordinal) {
            pack.ours = false;
            pack.end = open.committed;
        }
        drop(state);
        let path = self.layout.pack_path(self.class, open.id, Stage::Open);
        // The poisoned handle refuses; a fresh one may still work. If not, the next owner checks the tail.
        let _ = AppendFile::open(&path).and_then(|mut file| file.truncate(open.committed));
        drop(open);
    }

    /// Once per process: takes over an orphaned pack, and makes sure that the tails of the others are sound.
    pub(super) fn prepare(&self, appender: &mut Appender) -> Result<(), StoreError> {
        if appender.prepared {
            return Ok(());
        }
        self.layout.create_dirs(self.class)?;
        self.refresh()?;
        for (id, stage) in self.layout.list_packs(self.class)? {
            if stage == Stage::Open {
                self.visit_orphan(appender, id)?;
            }
        }
        appender.prepared = true;
        self.index_uncovered();
        Ok(())
    }

    /// Before a write looks anything up: tails that a power cut tore are cut before anything relies on them.
    pub(super) fn begin_writing(&self) -> Result<(), StoreError> {
        self.prepare(&mut self.appender())?;
        self.refresh()
    }

    fn visit_orphan(&self, appender: &mut Appender, id: PackId) -> Result<(), StoreError> {
        let path = self.layout.pack_path(self.class, id, Stage::Open);
        let wrap = |error| StoreError::io("adopt", &path, error);
        let Some(file) = lock_existing(&path).map_err(wrap)? else { return Ok(()) };
        let Some((mut open, tail)) = self.recover(id, file)? else { return Ok(()) };
        // One of an older version has no room for the frames of this one: it stays as it is.
        if appender.pack.is_none() && open.version == PACK_VERSION && open.compat == appender.compat {
            // Its owner may have died before its name was durable.
            fs::sync_dir(&self.layout.packs_dir(self.class)).map_err(wrap)?;
            appender.pack = Some(open);
            return Ok(());
        }
        if tail == Tail::Unvouched {
            // From now on the scan of anybody finds this tail vouched for by a second marker.
            open.mark().map_err(wrap)?;
        }
        if let Some(pack) = self.state().pack_mut(open.ordinal) {
            pack.ours = false;
            pack.end = open.file.len();
        }
        Ok(())
    }

    /// Scans a pack that we hold the lock of, cuts its torn tail and takes its keys in.
    fn recover(&self, id: PackId, mut file: AppendFile) -> Result<Option<(OpenPack, Tail)>, StoreError> {
        let path = self.layout.pack_path(self.class, id, Stage::Open);
        let wrap = |error| StoreError::io("recover", &path, error);
        if is_blank(&file).map_err(wrap)? {
            // A crash may lose the header together with what only the first marker vouches for, but not with more.
            let behind = scan_file(file.file(), id, 0, ScanDepth::Headers)?;
            if behind.is_some_and(|found| found.sequence > 1) {
                return Ok(None);
            }
            file.truncate(0).map_err(wrap)?;
            file.append(&PackHeader::new(self.class, id).to_bytes()).map_err(wrap)?;
        }
        // A header that is damaged, foreign or newer: leave the pack alone, `verify` names it.
        let Ok(header) = read_pack_header(file.file(), id) else { return Ok(None) };
        let Some(found) = scan_file(file.file(), id, 0, ScanDepth::TailPayloads)? else { return Ok(None) };
        // Damage, not a torn tail: what is sound there stays readable, `verify` names the rest, nobody writes on.
        if !found.gaps.is_empty() {
            return Ok(None);
        }
        if file.len() > found.end {
            file.truncate(found.end).map_err(wrap)?;
            self.take_back_notes(|(pack, offset)| *pack == id && *offset >= found.end);
        }
        let tail = match found.frames.last() {
            Some(placed) if placed.offset >= found.durable_end => Tail::Unvouched,
            _ => Tail::Vouched,
        };
        // Its owner may have died between writing a marker, the second one too, and this sync; the next marker says
        // that it was done.
        file.sync().map_err(wrap)?;
        let mut state = self.state();
        let ordinal = state.ordinal(id);
        state.forget_from(ordinal, found.end);
        for placed in &found.frames {
            state.insert(ordinal, placed);
        }
        if let Some(pack) = state.pack_mut(ordinal) {
            pack.stage = Some(Stage::Open);
            pack.ours = true;
            pack.aside = header.compat != 0;
        }
        let open = OpenPack {
            id,
            version: header.version,
            compat: header.compat,
            ordinal,
            file,
            frames: found.frames,
            sequence: found.sequence,
            committed: found.end,
            synced: found.end,
            vouched: found.durable_end,
        };
        Ok(Some((open, tail)))
    }

    fn create_pack(&self, compat: u64) -> Result<OpenPack, StoreError> {
        loop {
            let id = PackId::generate();
            let path = self.layout.pack_path(self.class, id, Stage::Open);
            let wrap = |error| StoreError::io("create", &path, error);
            drop(AppendFile::create(&path).map_err(wrap)?);
            // Another process may have taken the new file over before we locked it.
            let Some(mut file) = lock_existing(&path).map_err(wrap)? else { continue };
            if file.is_empty() {
                file.append(&PackHeader { compat, ..PackHeader::new(self.class, id) }.to_bytes()).map_err(wrap)?;
            }
            fs::sync_dir(&self.layout.packs_dir(self.class)).map_err(wrap)?;
            if let Some((open, _)) = self.recover(id, file)? {
                return Ok(open);
            }
        }
    }

    /// Ends the open pack: directory, trailer, sync, rename, index.
    fn seal(&self, appender: &mut Appender) -> Result<(), StoreError> {
        let Some(open) = &mut appender.pack else { return Ok(()) };
        // Once others may have seen a marker, nothing before it is cut any more.
        let done = open.mark().and_then(|()| {
            self.show(open);
            open.set_committed();
            let body_len = open.file.len();
            let digest = hash_body(&open.file)?;
            let tail = Footer { frames: open.frames.clone() }.to_bytes(body_len, digest);
            open.file.append(&tail)?;
            open.file.sync()
        });
        if let Err(error) = done {
            self.give_up(appender);
            return Err(self.write_error(error));
        }
        let Some(open) = appender.pack.take() else { return Ok(()) };
        let sealed = self.layout.pack_path(self.class, open.id, Stage::Sealed);
        let renamed = fs::rename(&self.layout.pack_path(self.class, open.id, Stage::Open), &sealed);
        {
            let mut state = self.state();
            if let Some(pack) = state.pack_mut(open.ordinal) {
                pack.ours = false;
                pack.settled = renamed.is_ok();
                pack.stage = Some(if renamed.is_ok() { Stage::Sealed } else { Stage::Open });
            }
        }
        if let Err(error) = renamed {
            // What is in it is durable, but nobody goes on with it: writers under way are told as for a failed sync.
            appender.failures += 1;
            return Err(self.write_error(error));
        }
        self.layout.sweep(self.class);
        self.index_packs(&[(open.id, open.frames)]);
        Ok(())
    }

    /// Writes segments for sealed packs that have none. The index is derived: what fails now is done by the next
    /// writer.
    fn index_uncovered(&self) {
        let uncovered = {
            let state = self.state();
            let covered: HashSet<u32> =
                state.segments.iter().flat_map(|indexed| indexed.ordinals.iter().copied()).collect();
            let packs = (0..).zip(&state.packs);
            packs
                .filter(|(ordinal, pack)| pack.stage == Some(Stage::Sealed) && !covered.contains(ordinal))
                .map(|(_, pack)| pack.id)
                .collect::<Vec<_>>()
        };
        for ids in uncovered.chunks(PACKS_PER_SEGMENT) {
            let packs: Vec<_> = ids.iter().filter_map(|id| Some((*id, self.footer_of(*id)?))).collect();
            self.index_packs(&packs);
        }
    }

    fn footer_of(&self, id: PackId) -> Option<Vec<PlacedHeader>> {
        let (file, _) = open_pack(&self.layout, self.class, id).ok()??;
        read_footer(&file, id).ok()
    }

    fn index_packs(&self, packs: &[(PackId, Vec<PlacedHeader>)]) {
        if packs.is_empty() {
            return;
        }
        let mut entries: Vec<Entry> = vec![];
        for (pack, (_, frames)) in (0..).zip(packs) {
            for placed in frames {
                let Ok(offset) = u32::try_from(placed.offset) else { continue };
                let keys = placed.header.keys().iter();
                entries.extend(keys.map(|key| Entry { prefix: prefix_of(&key.id), pack, offset }));
            }
        }
        entries.sort_unstable();
        let ids: Vec<PackId> = packs.iter().map(|(id, _)| *id).collect();
        let path = self.layout.index_dir(self.class).join(format!("{}.seg", PackId::generate()));
        let count = entries.len() as u64;
        let written = write_segment(&path, self.class, &ids, count, entries.into_iter().map(Ok));
        if let Ok(segment) = written.and_then(|()| Segment::open(&path, self.class)) {
            self.state().add_segment(segment);
            self.merge_segments();
        }
    }

    /// Merges segments of like size, so that a lookup asks few of them however many packs there are.
    fn merge_segments(&self) {
        let path = self.layout.lock_path("index.lock");
        let Ok(Some(_lock)) = FileLock::try_acquire(&path, Sharing::Exclusive) else { return };
        if self.state().load_segments().is_err() {
            return;
        }
        while let Some(merged) = self.merge_once() {
            let Ok((segment, old)) = merged else { return };
            let mut state = self.state();
            state.segments.retain(|indexed| !old.contains(indexed.segment.path()));
            state.add_segment(segment);
            drop(state);
            for path in old {
                // Another process may hold it open or have removed it; both are fine.
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn merge_once(&self) -> Option<io::Result<(Segment, HashSet<std::path::PathBuf>)>> {
        let tier = |segment: &Segment| (segment.len() / 512).max(1).ilog2() / 3;
        let mut tiers = std::collections::BTreeMap::<u32, Vec<Arc<Segment>>>::new();
        for indexed in &self.state().segments {
            tiers.entry(tier(&indexed.segment)).or_default().push(Arc::clone(&indexed.segment));
        }
        let chosen = tiers.into_values().find(|segments| segments.len() >= MERGE_COUNT)?;
        let mut packs: Vec<PackId> = vec![];
        let mut seen = HashSet::new();
        let mut sources = vec![];
        for segment in &chosen {
            // A pack that an earlier segment covers as well contributes once.
            let numbers = segment.packs().iter().map(|id| {
                seen.insert(*id).then(|| {
                    packs.push(*id);
                    u32::try_from(packs.len() - 1).unwrap_or(u32::MAX)
                })
            });
            let numbers: Vec<Option<u32>> = numbers.collect();
            sources.push((segment.entries(), numbers));
        }
        let most = chosen.iter().map(|segment| u64::from(segment.len())).sum();
        let path = self.layout.index_dir(self.class).join(format!("{}.seg", PackId::generate()));
        let written = write_segment(&path, self.class, &packs, most, merge_sorted(sources));
        let old = chosen.iter().map(|segment| segment.path().to_path_buf()).collect();
        Some(written.and_then(|()| Segment::open(&path, self.class)).map(|segment| (segment, old)))
    }

    /// Throws all segments away and writes new ones from the packs.
    pub(super) fn rebuild_index(&self) -> Result<(), StoreError> {
        let mut appender = self.appender();
        self.prepare(&mut appender)?;
        let path = self.layout.lock_path("index.lock");
        let lock =
            FileLock::acquire(&path, Sharing::Exclusive).map_err(|error| StoreError::io("lock", &path, error))?;
        for path in self.layout.list_segments(self.class)? {
            fs::remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
        }
        self.state().forget_segments();
        self.refresh()?;
        drop(lock);
        self.index_uncovered();
        Ok(())
    }
}

type Source<I> = (I, Vec<Option<u32>>);

/// Merges sorted entries, renumbering their packs and leaving out those that have no number.
fn merge_sorted<I: Iterator<Item = io::Result<Entry>>>(
    sources: Vec<Source<I>>,
) -> impl Iterator<Item = io::Result<Entry>> {
    let mut sources: Vec<_> = sources
        .into_iter()
        .map(|(entries, numbers)| {
            let renumbered = entries.filter_map(move |entry| match entry {
                Ok(entry) => match numbers.get(entry.pack as usize) {
                    Some(number) => number.map(|pack| Ok(Entry { pack, ..entry })),
                    None => Some(Err(io::Error::from(io::ErrorKind::InvalidData))),
                },
                Err(error) => Some(Err(error)),
            });
            renumbered.peekable()
        })
        .collect();
    std::iter::from_fn(move || {
        let heads = sources
            .iter_mut()
            .enumerate()
            .filter_map(|(at, source)| source.peek().map(|head| (head.as_ref().map_or(0, |entry| entry.prefix), at)));
        let (_, at) = heads.min()?;
        sources.get_mut(at)?.next()
    })
}

fn append_marker(open: &mut OpenPack) -> io::Result<()> {
    let marker = Marker { sequence: open.sequence + 1, position: open.file.len() };
    open.file.append(&Frame::marker(marker).to_bytes())?;
    open.sequence += 1;
    Ok(())
}

/// Opens and locks a pack; `None` if it is gone, renamed or in use.
pub(super) fn lock_existing(path: &Path) -> io::Result<Option<AppendFile>> {
    loop {
        let file = match AppendFile::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.try_lock()? || !path.exists() {
            return Ok(None);
        }
        // Its last owner may have appended between our opening and our locking it.
        if file.file().metadata()?.len() == file.len() {
            return Ok(Some(file));
        }
    }
}

/// Returns whether a pack has no header yet, or one that never reached the disk.
fn is_blank(file: &AppendFile) -> io::Result<bool> {
    if file.len() < PACK_HEADER_LEN as u64 {
        return Ok(true);
    }
    let mut header = [0; PACK_HEADER_LEN];
    fs::read_exact_at(file.file(), &mut header, 0)?;
    Ok(header.iter().all(|byte| *byte == 0))
}

fn hash_body(file: &AppendFile) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < file.len() {
        let len = (file.len() - offset).min(HASH_BLOCK);
        let mut block = vec![0; usize::try_from(len).unwrap_or(0)];
        fs::read_exact_at(file.file(), &mut block, offset)?;
        hasher.update(&block);
        offset += len;
    }
    Ok(*hasher.finalize().as_bytes())
}
