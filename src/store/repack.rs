//! Repacking: the chunks of all contents are compressed anew, harder and with every version at hand, and the packs they
//! were in go. Contents, recipes and ids stay as they are. `docs/design/0010-repack.md` says why.
//!
//! - It stands on collection: the same lock, the same plan of which packs may go, the same second look with nobody
//!   writing. But nothing that a recipe names goes. What roots name only decides what shares frames: a later collection
//!   frees what they do not name now. What they name no longer by then may share frames with what they do, until the
//!   next run.
//! - Old packs go only if the new ones are smaller; else the new ones go. Either way all is in one of the two.
//! - What packs that stay lean on is copied as it is, because new frames may be too deep for it.
//! - New frames go into packs with a mark. A run that was stopped, or a later one, leaves the chunks in marked packs
//!   alone and lets new frames lean on them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::gc::{GcPlan, GcStep, interrupted, refused};
use super::inventory::{PackEntry, Stays};
use super::layout::Stage;
use super::objects::ObjectKind;
use super::reader::FrameCache;
use super::recode::Recoder;
use super::shelf::{open_pack, read_pack_header};
use super::sweep::{NameRoots, after_drop, conflict};
use super::{ActiveWrite, Live, Store, StoreError, gate};
use crate::error::{Error, ErrorKind};
use crate::format::pack::{Check, FrameKey, FrameKind, MAX_DELTA_DEPTH, PackClass};
use crate::format::recipe::{Recipe, RecipeBody, RecipeNode};
use crate::fs::AppendFile;
use crate::id::{ChunkId, ContentDigest, PackId};

const DATA: PackClass = PackClass::Data;
/// Repacked packs that are not full are compressed together once there are more of them.
const MAX_OPEN_PACKS: usize = 8;
/// Any frame is less deep.
const ANY_DEPTH: u8 = MAX_DELTA_DEPTH + 1;

/// How a store is repacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepackOptions {
    /// Level of zstd, 1 to 19.
    pub level: i32,
    /// Also what was repacked at this level or a higher one already.
    pub all: bool,
}

impl Default for RepackOptions {
    fn default() -> Self {
        Self { level: 9, all: false }
    }
}

/// What repacking comes to. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepackReport {
    /// Contents in the store, all of which stay.
    pub contents: u64,
    /// Data packs that go.
    pub packs: u64,
    /// Their length.
    pub packs_bytes: u64,
    /// Data packs that stay because they were repacked before.
    pub kept_packs: u64,
    /// Data packs that stay because another process writes to them.
    pub busy_packs: u64,
    /// Data packs that stay because a part of them cannot be read.
    pub damaged_packs: u64,
    /// Chunks that are compressed anew.
    pub chunks: u64,
    /// Their length unpacked.
    pub raw_bytes: u64,
    /// Length of all packs before.
    pub before_bytes: u64,
    /// Length of all packs afterwards; of those before in a plan.
    pub after_bytes: u64,
    /// Compressed anew it would not have been smaller, so all stayed as it was.
    pub no_gain: bool,
}

/// A chunk that some content needs.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    len: u32,
    /// A root needs it.
    named: bool,
}

/// What would be compressed anew. A value: nothing changes before it is carried out.
pub struct RepackPlan {
    gc: GcPlan,
    contents: HashSet<ContentDigest>,
    chunks: HashMap<ChunkId, Wanted>,
    /// The chunks to compress anew.
    todo: HashSet<ChunkId>,
    report: RepackReport,
}

impl Store {
    /// Finds out what repacking would compress anew, given the contents that somebody names. Changes nothing.
    ///
    /// # Errors
    /// An error of kind `Damaged` if a recipe cannot be read, Interrupted, or [`StoreError::Io`].
    pub fn plan_repack(
        &self,
        options: &RepackOptions,
        roots: &HashSet<ContentDigest>,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<RepackPlan, Error> {
        RepackPlan::make(self.live(), *options, roots, progress)
    }

    /// Compresses all contents anew and lets the packs go that they were in, if that makes the store smaller. Safe
    /// beside writers, readers and collection.
    ///
    /// # Errors
    /// An error of kind `Damaged` if a recipe cannot be read, Conflict if a collection runs or a write does not end,
    /// Interrupted, [`StoreError::ReadOnly`] or [`StoreError::Io`]. All contents are there in any case.
    pub fn repack(
        &self,
        options: &RepackOptions,
        roots: &mut NameRoots<'_>,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<RepackReport, Error> {
        let live = Arc::clone(self.live());
        live.layout.create_dirs(PackClass::Meta)?;
        live.layout.create_dirs(DATA)?;
        let _only = gate::only_collection(&live.layout)?.ok_or_else(conflict)?;
        self.begin_gc()?;
        let mut plan = RepackPlan::make(&live, *options, &roots()?, progress)?;
        let (leavings, before_bytes) = (plan.leavings(*options)?, plan.report.before_bytes);
        if !leavings.is_empty() {
            take_back(&live, &leavings, progress)?;
            plan = RepackPlan::make(&live, *options, &roots()?, progress)?;
            plan.report.before_bytes = before_bytes;
        }
        let locks = plan.secure()?;
        if plan.gc.data.going().is_empty() {
            return Ok(RepackReport { after_bytes: live.packs_len()?, ..plan.report() });
        }
        if let Err(error) = plan.rewrite(options.level, progress) {
            if matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Failed) {
                // The room is needed for something else. What cannot be given back now is by the next run.
                let fresh = plan.fresh_packs(options.level).unwrap_or_default();
                let _ = take_back(&live, &fresh, &mut |_| true);
            }
            return Err(error);
        }
        let fresh = plan.fresh_packs(options.level)?;
        let dropped = if plan.is_smaller(&fresh)? {
            plan.drop_old(progress)?
        } else {
            plan.report.no_gain = true;
            take_back(&live, &fresh, progress)?;
            HashSet::new()
        };
        drop(locks);
        after_drop(&live, &dropped)?;
        let report = plan.report();
        let (packs, packs_bytes) = if dropped.is_empty() { (0, 0) } else { (report.packs, report.packs_bytes) };
        Ok(RepackReport { packs, packs_bytes, after_bytes: live.packs_len()?, ..report })
    }
}

impl RepackPlan {
    fn make(
        live: &Arc<Live>,
        options: RepackOptions,
        roots: &HashSet<ContentDigest>,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<Self, Error> {
        let mut gc = GcPlan::start(live)?;
        gc.trusts_marked = true;
        let contents = contents_of(&gc)?;
        let chunks = chunks_of(live, &contents, roots, progress)?;
        let mut plan = Self { gc, contents, chunks, todo: HashSet::new(), report: RepackReport::default() };
        plan.keep_marked(options)?;
        plan.gc.close_stays(DATA)?;
        for chunk in plan.chunks.keys() {
            let places = plan.gc.data.places_of(chunk.as_bytes(), ANY_DEPTH);
            if places.iter().any(|place| plan.gc.data.frames.get(*place).is_some_and(|frame| frame.live)) {
                // Of several copies a sound one.
                plan.gc.keep(DATA, chunk.as_bytes(), ANY_DEPTH)?;
            } else if !places.is_empty() {
                plan.todo.insert(*chunk);
            }
        }
        plan.settle()?;
        plan.report.before_bytes = live.packs_len()?;
        plan.count();
        Ok(plan)
    }

    /// Says what carrying the plan out would come to, but for the length of what is written.
    #[must_use]
    pub fn report(&self) -> RepackReport {
        let packs = || self.gc.data.packs.iter().filter(|pack| !pack.is_blank());
        let count = |stays: Stays| packs().filter(|pack| pack.stays == Some(stays)).count() as u64;
        RepackReport {
            contents: self.contents.len() as u64,
            packs: packs().filter(|pack| pack.goes()).count() as u64,
            packs_bytes: packs().filter(|pack| pack.goes()).map(|pack| pack.len).sum(),
            kept_packs: count(Stays::Repacked),
            busy_packs: count(Stays::Busy),
            damaged_packs: count(Stays::Damaged),
            after_bytes: self.report.before_bytes,
            ..self.report
        }
    }

    /// Lets the packs stay that were repacked at this level or a higher one, unless much of what they have lies in
    /// frames with other things and nothing names it any more: collection could not free that.
    fn keep_marked(&mut self, options: RepackOptions) -> Result<(), StoreError> {
        let mut named: HashMap<usize, u64> = HashMap::new();
        for (chunk, wanted) in self.chunks.iter().filter(|(_, wanted)| wanted.named) {
            for place in self.gc.data.places_of(chunk.as_bytes(), ANY_DEPTH) {
                *named.entry(place).or_default() += u64::from(wanted.len);
            }
        }
        let mut kept = BTreeMap::new();
        for at in 0..self.gc.data.packs.len() {
            let is_asked = |pack: &&PackEntry| pack.stays.is_none() && !pack.is_blank() && !options.all;
            let Some(pack) = self.gc.data.packs.get(at).filter(is_asked) else { continue };
            let (mut all, mut wasted) = (0, 0);
            for frame in &pack.frames {
                let raw_len = self.gc.data.frames.get(*frame).map_or(0, |frame| u64::from(frame.raw_len));
                all += raw_len;
                wasted += named.get(frame).map_or(0, |named| raw_len.saturating_sub(*named));
            }
            if wasted * 4 <= all
                && let Some(level) = mark_of(&self.gc.live, pack.id)?.filter(|level| *level >= options.level)
            {
                kept.insert(at, (level, pack.id));
            }
        }
        self.forget_replaced(&mut kept);
        let packs = &mut self.gc.data.packs;
        let is_open = |at: &usize| packs.get(*at).is_some_and(|pack| pack.stage == Stage::Open);
        if kept.keys().filter(|at| is_open(at)).count() > MAX_OPEN_PACKS {
            kept.retain(|at, _| !is_open(at));
        }
        for at in kept.into_keys() {
            if let Some(pack) = packs.get_mut(at) {
                pack.stays = Some(Stays::Repacked);
            }
        }
        Ok(())
    }

    /// Lists the packs that earlier runs left which did not come to their end, and that this run has no use for: all
    /// that they have is also in others. A run over everything goes on with nothing, any other one does not go on with
    /// one over everything.
    fn leavings(&self, options: RepackOptions) -> Result<HashSet<PackId>, StoreError> {
        let mut levels = BTreeMap::new();
        for (at, pack) in self.gc.data.packs.iter().enumerate().filter(|(_, pack)| !pack.is_blank()) {
            levels.insert((pack.id, at), mark_of(&self.gc.live, pack.id)?);
        }
        let counts = |level: &Option<i32>| options.all || level.is_some_and(|level| level >= options.level);
        let counting: HashSet<usize> =
            levels.iter().filter(|(_, level)| counts(level)).map(|((_, at), _)| *at).collect();
        let mut copies: HashMap<ChunkId, HashSet<usize>> = HashMap::new();
        let mut chunks_of: HashMap<usize, Vec<ChunkId>> = HashMap::new();
        for chunk in self.chunks.keys() {
            for place in self.gc.data.places_of(chunk.as_bytes(), ANY_DEPTH) {
                let Some(pack) = self.gc.data.frames.get(place).map(|frame| frame.pack) else { continue };
                if counting.contains(&pack) && copies.entry(*chunk).or_default().insert(pack) {
                    chunks_of.entry(pack).or_default().push(*chunk);
                }
            }
        }
        let mut leavings = HashSet::new();
        // The newest first: what it repeats was complete when it was begun.
        for ((id, at), level) in levels.iter().rev() {
            let own = chunks_of.get(at).map_or(&[][..], Vec::as_slice);
            let is_repeated = |chunk: &ChunkId| copies.get(chunk).is_some_and(|packs| packs.len() > 1);
            if level.is_some() && !own.is_empty() && own.iter().all(is_repeated) {
                leavings.insert(*id);
                for chunk in own {
                    copies.entry(*chunk).or_default().remove(at);
                }
            }
        }
        Ok(leavings)
    }

    /// Does not keep packs that a later run or one at a higher level began to replace.
    fn forget_replaced(&self, kept: &mut BTreeMap<usize, (i32, PackId)>) {
        let mut replaced = HashSet::new();
        for chunk in self.chunks.keys() {
            let places = self.gc.data.places_of(chunk.as_bytes(), ANY_DEPTH);
            if places.len() < 2 {
                continue;
            }
            let packs = || places.iter().filter_map(|place| Some(self.gc.data.frames.get(*place)?.pack));
            let newest = packs().filter_map(|pack| kept.get(&pack)).max();
            replaced.extend(packs().filter(|pack| kept.get(pack) < newest));
        }
        kept.retain(|pack, _| !replaced.contains(pack));
    }

    /// Follows what is needed, and works out anew which packs go and what has to be compressed for that.
    fn settle(&mut self) -> Result<(), StoreError> {
        for pack in &mut self.gc.data.packs {
            pack.condemned = false;
        }
        self.gc.settle()?;
        let data = &self.gc.data;
        let is_live = |place: &usize| data.frames.get(*place).is_some_and(|frame| frame.live);
        self.todo.retain(|chunk| !data.places_of(chunk.as_bytes(), ANY_DEPTH).iter().any(is_live));
        self.gc.data.condemn();
        Ok(())
    }

    /// Locks the packs that are to go, and reads them: one of which a needed part cannot be read stays.
    fn secure(&mut self) -> Result<Vec<AppendFile>, Error> {
        let mut locks = vec![];
        self.gc.lock_open_packs(DATA, &mut locks)?;
        self.settle()?;
        let mut damaged = HashSet::new();
        for pack in self.gc.data.going() {
            for frame in self.gc.data.packs.get(pack).into_iter().flat_map(|pack| &pack.frames) {
                if self.gc.read(DATA, *frame)?.is_none() {
                    damaged.insert(*frame);
                }
            }
        }
        if !damaged.is_empty() {
            let is_lost = |chunk: &&ChunkId| {
                self.gc.data.places_of(chunk.as_bytes(), ANY_DEPTH).iter().all(|place| damaged.contains(place))
            };
            let lost: Vec<ChunkId> = self.todo.iter().filter(is_lost).copied().collect();
            self.leave(&lost)?;
        }
        self.count();
        Ok(locks)
    }

    /// Lets the packs stay that have chunks which cannot be read.
    fn leave(&mut self, chunks: &[ChunkId]) -> Result<(), StoreError> {
        for pack in &mut self.gc.data.packs {
            pack.condemned = false;
        }
        for chunk in chunks {
            for place in self.gc.data.places_of(chunk.as_bytes(), ANY_DEPTH) {
                let Some(pack) = self.gc.data.frames.get(place).map(|frame| frame.pack) else { continue };
                if let Some(entry) = self.gc.data.packs.get_mut(pack).filter(|entry| entry.stays.is_none()) {
                    entry.stays = Some(Stays::Damaged);
                    self.gc.close_pack(DATA, pack);
                }
            }
        }
        self.settle()
    }

    fn count(&mut self) {
        self.report.chunks = self.todo.len() as u64;
        self.report.raw_bytes = self.todo_len();
    }

    fn todo_len(&self) -> u64 {
        self.todo.iter().filter_map(|chunk| self.chunks.get(chunk)).map(|wanted| u64::from(wanted.len)).sum()
    }

    /// Compresses what is in packs that go anew, durably.
    fn rewrite(&mut self, level: i32, progress: &mut dyn FnMut(GcStep) -> bool) -> Result<(), Error> {
        let live = Arc::clone(&self.gc.live);
        let _active = ActiveWrite::begin(&live)?;
        let mut recoder = Recoder::new(&live, level)?;
        self.know_bases(&mut recoder)?;
        let frames: Vec<usize> = self
            .gc
            .data
            .going()
            .into_iter()
            .filter_map(|pack| self.gc.data.packs.get(pack))
            .flat_map(|pack| pack.frames.clone())
            .collect();
        let (mut done, total, mut cache) = (0, self.todo_len(), FrameCache::default());
        // What is named shares no frame with what is not, and does not lean on it.
        for named in [true, false] {
            for number in &frames {
                if !progress(GcStep { doing: "repacking", done, total }) {
                    return Err(interrupted());
                }
                done += self.rewrite_frame(*number, named, &mut recoder, &mut cache)?;
            }
            recoder.end_part()?;
        }
        drop(recoder);
        // What cannot be unpacked.
        let lost: Vec<ChunkId> = self.todo.iter().copied().collect();
        if lost.is_empty() { Ok(()) } else { Ok(self.leave(&lost)?) }
    }

    /// Takes the chunks of a frame that are named or that are not; returns their length.
    fn rewrite_frame(
        &mut self,
        number: usize,
        named: bool,
        recoder: &mut Recoder<'_>,
        cache: &mut FrameCache,
    ) -> Result<u64, StoreError> {
        if self.gc.data.frames.get(number).is_none_or(|frame| frame.live || frame.kind != FrameKind::Chunks) {
            return Ok(0);
        }
        let Some(frame) = self.gc.read(DATA, number)? else { return Ok(0) };
        let is_due = |key: &FrameKey| {
            let id = ChunkId::from_bytes(key.id);
            self.todo.contains(&id) && self.chunks.get(&id).is_some_and(|wanted| wanted.named == named)
        };
        let due: HashSet<[u8; 32]> = frame.header().keys().iter().filter(|key| is_due(key)).map(|key| key.id).collect();
        if due.is_empty() {
            return Ok(0);
        }
        let base = match self.gc.live.base_bytes(frame.header(), cache) {
            Ok(base) => base,
            Err(error @ StoreError::Io { .. }) => return Err(error),
            Err(_) => return Ok(0),
        };
        let Ok(raw) = frame.decode_on(&base, Check::Chunks) else { return Ok(0) };
        let len = frame.header().keys().iter().filter(|key| due.contains(&key.id)).map(|key| u64::from(key.len)).sum();
        recoder.take(frame, &raw, |key| due.contains(&key.id))?;
        for chunk in due {
            self.todo.remove(&ChunkId::from_bytes(chunk));
        }
        Ok(len)
    }

    /// Makes the frames of marked packs known that new chunks were compressed against, and what those lean on.
    fn know_bases(&self, recoder: &mut Recoder<'_>) -> Result<(), StoreError> {
        let data = &self.gc.data;
        let stays = |place: &usize| {
            let pack = data.frames.get(*place).and_then(|frame| data.packs.get(frame.pack));
            pack.is_some_and(|pack| pack.stays == Some(Stays::Repacked))
        };
        let going = data.going().into_iter().filter_map(|pack| data.packs.get(pack)).flat_map(|pack| &pack.frames);
        let mut open: Vec<(ChunkId, u8)> = going
            .filter_map(|frame| data.frames.get(*frame))
            .flat_map(|frame| frame.bases.iter().map(|base| (*base, ANY_DEPTH)))
            .collect();
        let mut wanted = HashSet::new();
        while let Some((base, below)) = open.pop() {
            let place = data.places_of(base.as_bytes(), below).into_iter().find(stays);
            if let Some((place, frame)) = place.and_then(|place| Some((place, data.frames.get(place)?)))
                && wanted.insert((frame.depth, place))
            {
                open.extend(frame.bases.iter().map(|base| (*base, frame.depth)));
            }
        }
        let mut wanted: Vec<(u8, usize)> = wanted.into_iter().collect();
        wanted.sort_unstable();
        let mut cache = FrameCache::default();
        for (_, place) in wanted {
            let Some(frame) = self.gc.read(DATA, place)? else { continue };
            let is_named =
                |key: &FrameKey| self.chunks.get(&ChunkId::from_bytes(key.id)).is_some_and(|wanted| wanted.named);
            if !frame.header().keys().iter().any(is_named) {
                continue;
            }
            let Ok(base) = self.gc.live.base_bytes(frame.header(), &mut cache) else { continue };
            let Ok(raw) = frame.decode_on(&base, Check::Chunks) else { continue };
            recoder.know(frame.header(), &raw);
        }
        Ok(())
    }

    /// Lists the packs that repeat what is in packs that go: those of this run, and of earlier ones that did not come
    /// to their end.
    fn fresh_packs(&self, level: i32) -> Result<HashSet<PackId>, StoreError> {
        let data = &self.gc.data;
        let known: HashSet<PackId> = data.packs.iter().map(|pack| pack.id).collect();
        let mut fresh = HashSet::new();
        for pack in self.gc.live.layout.list_packs(DATA)?.into_keys() {
            if !known.contains(&pack) && mark_of(&self.gc.live, pack)? == Some(level) {
                fresh.insert(pack);
            }
        }
        let (mut repeating, mut needed) = (HashSet::new(), HashSet::new());
        for chunk in self.chunks.keys() {
            let places = data.places_of(chunk.as_bytes(), ANY_DEPTH);
            let packs = || places.iter().filter_map(|place| data.packs.get(data.frames.get(*place)?.pack));
            let to = if packs().any(PackEntry::goes) { &mut repeating } else { &mut needed };
            to.extend(packs().filter(|pack| pack.stays == Some(Stays::Repacked)).map(|pack| pack.id));
        }
        fresh.extend(repeating.difference(&needed));
        Ok(fresh)
    }

    /// Returns whether the store gets smaller by the packs that go, given those that take their place.
    fn is_smaller(&self, fresh: &HashSet<PackId>) -> Result<bool, StoreError> {
        let data = &self.gc.data;
        let going = || data.going().into_iter();
        let gone: u64 = going().filter_map(|pack| data.packs.get(pack)).map(|pack| pack.len).sum();
        let copied = going().flat_map(|pack| data.live_frames(pack)).filter_map(|frame| data.frames.get(frame));
        let mut new: u64 = copied.map(|frame| frame.len).sum();
        for pack in fresh {
            new += self.gc.live.pack_len(DATA, *pack)?;
        }
        Ok(new < gone)
    }

    /// Copies what packs that stay lean on, and lets the old packs go.
    fn drop_old(&mut self, progress: &mut dyn FnMut(GcStep) -> bool) -> Result<HashSet<PackId>, Error> {
        let live = Arc::clone(&self.gc.live);
        let active = ActiveWrite::begin(&live)?;
        let (failures, mut copied) = (live.data.failures(), 0);
        for pack in self.gc.data.going() {
            copied = self.gc.copy_pack(DATA, pack, (copied, 0), progress)?;
        }
        if copied > 0 {
            live.data.commit_for_good(failures)?;
        }
        drop(active);
        let contents = self.contents.clone();
        self.gc.drop_packs(&mut || Ok(contents.clone()))
    }
}

/// Lets new packs go that are no gain, but for what somebody relies on by now.
fn take_back(live: &Arc<Live>, fresh: &HashSet<PackId>, progress: &mut dyn FnMut(GcStep) -> bool) -> Result<(), Error> {
    let mut plan = GcPlan::start(live)?;
    plan.trusts_marked = true;
    // Also what was exported since the run began: it may be nowhere else by now.
    let contents = contents_of(&plan)?;
    for pack in plan.data.packs.iter_mut().filter(|pack| !fresh.contains(&pack.id) && !pack.is_blank()) {
        pack.stays.get_or_insert(Stays::Needed);
    }
    plan.close_stays(DATA)?;
    // Which of several copies is sound is found out here, and not while writes wait.
    plan.need_contents(&contents, progress)?;
    plan.data.condemn();
    let locks = plan.copy(progress)?;
    let dropped = plan.drop_packs(&mut || Ok(contents.clone()))?;
    drop(locks);
    Ok(after_drop(live, &dropped)?)
}

/// Returns the level at which a pack was repacked.
fn mark_of(live: &Live, pack: PackId) -> Result<Option<i32>, StoreError> {
    let Some((file, _)) = open_pack(&live.layout, DATA, pack)? else { return Ok(None) };
    Ok(read_pack_header(&file, pack).ok().and_then(|header| header.repacked_at()))
}

/// Lists all contents.
fn contents_of(gc: &GcPlan) -> Result<HashSet<ContentDigest>, Error> {
    let recipe = FrameKind::Object(ObjectKind::RECIPE.to_byte());
    let mut contents = HashSet::new();
    let mut readable: HashMap<[u8; 32], bool> = HashMap::new();
    for (number, frame) in gc.meta.frames.iter().enumerate().filter(|(_, frame)| frame.kind == recipe) {
        let bytes = gc.read(PackClass::Meta, number)?.and_then(|frame| frame.decode(Check::Payload).ok());
        let read = bytes.and_then(|bytes| Recipe::from_bytes(&bytes).ok());
        *readable.entry(frame.key.unwrap_or_default()).or_default() |= read.is_some();
        contents.extend(read.map(|recipe| recipe.digest()));
    }
    if readable.values().any(|known| !known) {
        return Err(Error::new(ErrorKind::Damaged, "a recipe cannot be read, so it is not known what it needs")
            .with_hint("nothing was changed; see `onenb verify`"));
    }
    Ok(contents)
}

/// Lists the chunks that contents need, and whether roots do.
fn chunks_of(
    live: &Live,
    contents: &HashSet<ContentDigest>,
    roots: &HashSet<ContentDigest>,
    progress: &mut dyn FnMut(GcStep) -> bool,
) -> Result<HashMap<ChunkId, Wanted>, Error> {
    let mut chunks: HashMap<ChunkId, Wanted> = HashMap::new();
    for (done, digest) in contents.iter().enumerate() {
        if !progress(GcStep { doing: "reading", done: done as u64, total: contents.len() as u64 }) {
            return Err(interrupted());
        }
        let (recipe, _) = live.recipe(digest).map_err(|error| refused(error.into()))?;
        let flat = match recipe.body() {
            RecipeBody::Flat(chunks) => chunks.as_slice(),
            _ => &[],
        };
        let nodes = live.nodes(&recipe).map_err(|error| refused(error.into()))?;
        for chunk in flat.iter().chain(nodes.iter().flat_map(RecipeNode::chunks)) {
            let wanted = chunks.entry(chunk.id).or_insert(Wanted { len: chunk.len, named: false });
            wanted.named |= roots.contains(digest);
        }
    }
    Ok(chunks)
}

impl Live {
    /// Returns the length of all packs.
    fn packs_len(&self) -> Result<u64, StoreError> {
        let mut len = 0;
        for class in [DATA, PackClass::Meta] {
            for pack in self.layout.list_packs(class)?.into_keys() {
                len += self.pack_len(class, pack)?;
            }
        }
        Ok(len)
    }

    fn pack_len(&self, class: PackClass, pack: PackId) -> Result<u64, StoreError> {
        let Some((file, stage)) = open_pack(&self.layout, class, pack)? else { return Ok(0) };
        let path = self.layout.pack_path(class, pack, stage);
        Ok(file.metadata().map_err(|error| StoreError::io("read", &path, error))?.len())
    }
}
