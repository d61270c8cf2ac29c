//! Repacking: all chunks that contents need are compressed anew, harder and with every version at hand, and the packs
//! they were in go. Contents, recipes and ids stay as they are. `docs/design/0010-repack.md` says why.
//!
//! - It stands on collection: the same lock, the same plan of what is needed and which packs may go, the same second look
//!   with nobody writing. But nothing that a recipe names goes, so it asks nobody what is named.
//! - What packs that stay lean on is copied as it is, because new frames may be too deep for it.
//! - New frames go into packs with a mark. A run that was stopped, or a later one, leaves the chunks in marked packs alone
//!   and lets new frames lean on them.
//! - Where it stops, everything is in at least one place, and the old packs are still there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::appender::Appender;
use super::gc::{GcPlan, GcStep, interrupted};
use super::inventory::Stays;
use super::objects::ObjectKind;
use super::reader::FrameCache;
use super::recode::Recoder;
use super::shelf::{open_pack, read_pack_header};
use super::sweep::{after_drop, conflict};
use super::{ActiveWrite, Live, Store, StoreError, gate};
use crate::error::{Classify as _, Error, ErrorKind};
use crate::format::pack::{Check, FrameKind, MAX_DELTA_DEPTH, PackClass};
use crate::format::recipe::{ChunkRef, Recipe, RecipeBody, RecipeNode};
use crate::fs::AppendFile;
use crate::id::{ChunkId, ContentDigest};

/// Stretches of this length of all versions are compressed together, so that what is alike is close in time.
const WINDOW_BITS: u32 = 28;

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
    /// Packs that go.
    pub packs: u64,
    /// Their length.
    pub packs_bytes: u64,
    /// Data packs that stay because they were repacked before.
    pub kept_packs: u64,
    /// Packs that stay because another process writes to them.
    pub busy_packs: u64,
    /// Packs that stay because a part of them cannot be read.
    pub damaged_packs: u64,
    /// Chunks that are compressed anew.
    pub chunks: u64,
    /// Their length unpacked.
    pub raw_bytes: u64,
    /// Length of all packs before.
    pub before_bytes: u64,
    /// Length of all packs afterwards; of those before in a plan.
    pub after_bytes: u64,
}

/// What would be compressed anew. A value: nothing changes before it is carried out.
pub struct RepackPlan {
    gc: GcPlan,
    contents: HashSet<ContentDigest>,
    chunks: Vec<ChunkRef>,
    kept_packs: u64,
    before_bytes: u64,
}

impl Store {
    /// Finds out what repacking would compress anew. Changes nothing.
    ///
    /// # Errors
    /// An error of kind `Damaged` if a recipe cannot be read, Interrupted, or [`StoreError::Io`].
    pub fn plan_repack(
        &self,
        options: &RepackOptions,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<RepackPlan, Error> {
        let live = self.live();
        live.data.refresh()?;
        live.meta.refresh()?;
        RepackPlan::make(live, *options, progress)
    }

    /// Compresses all contents anew and lets the packs go that they were in. Safe beside writers, readers and collection.
    ///
    /// # Errors
    /// An error of kind `Damaged` if a recipe cannot be read, Conflict if a collection runs or a write does not end,
    /// Interrupted, [`StoreError::ReadOnly`] or [`StoreError::Io`]. All contents are there in any case.
    pub fn repack(
        &self,
        options: &RepackOptions,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<RepackReport, Error> {
        let live = Arc::clone(self.live());
        live.layout.create_dirs(PackClass::Meta)?;
        live.layout.create_dirs(PackClass::Data)?;
        let _only = gate::only_collection(&live.layout)?.ok_or_else(conflict)?;
        self.begin_gc()?;
        let appender = Recoder::appender(options.level);
        // Everything anew includes what an earlier run left open.
        let mut appender = if options.all { appender.adopting_nothing() } else { appender };
        live.data.prepare(&mut appender)?;
        let mut plan = match RepackPlan::make(&live, *options, progress) {
            Ok(plan) => plan,
            Err(error) => {
                live.data.retire(appender);
                return Err(error);
            }
        };
        let mut report = plan.report();
        if report.packs == 0 {
            live.data.retire(appender);
            return Ok(report);
        }
        let locks = plan.rewrite(options.level, appender, progress)?;
        let named = plan.contents.clone();
        let dropped = plan.gc.drop_packs(&mut || Ok(named.clone()))?;
        drop(locks);
        after_drop(&live, &dropped)?;
        report.packs = dropped.len() as u64;
        report.after_bytes = live.packs_len()?;
        Ok(report)
    }
}

impl RepackPlan {
    fn make(live: &Arc<Live>, options: RepackOptions, progress: &mut dyn FnMut(GcStep) -> bool) -> Result<Self, Error> {
        let mut gc = GcPlan::start(live)?;
        gc.trusts_marked = true;
        let kept_packs = keep_marked(&mut gc, options)?;
        gc.close_stays(PackClass::Data)?;
        let contents = contents_of(&gc)?;
        let mut chunks = chunks_of(live, &contents, progress)?;
        // Packs without anything that is needed are for collection to look at; what they lean on stays as well.
        let places = |gc: &GcPlan, chunk: &ChunkRef| gc.data.places_of(chunk.id.as_bytes(), MAX_DELTA_DEPTH + 1);
        let mut used = HashSet::new();
        for chunk in &chunks {
            used.extend(places(&gc, chunk).iter().filter_map(|place| Some(gc.data.frames.get(*place)?.pack)));
        }
        for pack in (0..gc.data.packs.len()).filter(|pack| !used.contains(pack)) {
            gc.close_pack(PackClass::Data, pack);
        }
        gc.settle()?;
        let mut covered = HashSet::new();
        for chunk in &chunks {
            let places = places(&gc, chunk);
            if places.iter().any(|place| gc.data.frames.get(*place).is_some_and(|frame| frame.live)) {
                // Of several copies a sound one.
                gc.keep(PackClass::Data, chunk.id.as_bytes(), MAX_DELTA_DEPTH + 1)?;
                covered.insert(chunk.id);
            } else if places.is_empty() {
                covered.insert(chunk.id);
            }
        }
        gc.settle()?;
        chunks.retain(|chunk| !covered.contains(&chunk.id));
        gc.gather_small_meta();
        // One that is leaned on as a whole stays as it is.
        for pack in 0..gc.data.packs.len() {
            let live = gc.data.live_frames(pack).len();
            if gc.data.packs.get(pack).is_some_and(|pack| pack.frames.len() == live) {
                gc.close_pack(PackClass::Data, pack);
            }
        }
        gc.settle()?;
        for pack in &mut gc.data.packs {
            pack.condemned = pack.stays.is_none();
        }
        let contents = contents.into_iter().collect();
        Ok(Self { gc, contents, chunks, kept_packs, before_bytes: live.packs_len()? })
    }

    /// Says what carrying the plan out would come to, but for the length of what is written.
    #[must_use]
    pub fn report(&self) -> RepackReport {
        let packs = || self.gc.data.packs.iter().chain(&self.gc.meta.packs);
        let count = |stays: Stays| packs().filter(|pack| pack.stays == Some(stays)).count() as u64;
        RepackReport {
            contents: self.contents.len() as u64,
            packs: packs().filter(|pack| pack.goes()).count() as u64,
            packs_bytes: packs().filter(|pack| pack.goes()).map(|pack| pack.len).sum(),
            kept_packs: self.kept_packs,
            busy_packs: count(Stays::Busy),
            damaged_packs: count(Stays::Damaged),
            chunks: self.chunks.len() as u64,
            raw_bytes: self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum(),
            before_bytes: self.before_bytes,
            after_bytes: self.before_bytes,
        }
    }

    /// Writes everything that is needed of the packs that go elsewhere, durably. What is returned locks those of them that
    /// are open.
    fn rewrite(
        &mut self,
        level: i32,
        appender: Appender,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<Vec<AppendFile>, Error> {
        let live = Arc::clone(&self.gc.live);
        let _active = ActiveWrite::begin(&live)?;
        let mut recoder = Recoder::new(&live, level, appender)?;
        let mut locks = vec![];
        for class in [PackClass::Meta, PackClass::Data] {
            self.gc.lock_open_packs(class, &mut locks)?;
        }
        self.gc.settle()?;
        let failures = live.data.failures();
        for pack in self.gc.data.going() {
            // What packs that stay lean on.
            self.gc.copy_pack(PackClass::Data, pack, (0, 0), progress)?;
        }
        live.data.commit(failures)?;
        self.know_bases(&mut recoder)?;
        let total: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        let mut done = 0;
        for chunk in std::mem::take(&mut self.chunks) {
            if !progress(step_at(done, total)) {
                return Err(interrupted());
            }
            match recoder.take(&chunk.id) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Damaged => self.leave(&chunk.id)?,
                Err(error) => return Err(error.into()),
            }
            done += u64::from(chunk.len);
        }
        recoder.finish()?;
        let failures = live.meta.failures();
        for pack in self.gc.meta.going() {
            self.gc.copy_pack(PackClass::Meta, pack, (done, total), progress)?;
        }
        live.meta.commit(failures)?;
        Ok(locks)
    }

    /// Lets the packs stay that have a chunk which cannot be read.
    fn leave(&mut self, chunk: &ChunkId) -> Result<(), StoreError> {
        for place in self.gc.data.places_of(chunk.as_bytes(), MAX_DELTA_DEPTH + 1) {
            let Some(pack) = self.gc.data.frames.get(place).map(|frame| frame.pack) else { continue };
            if let Some(entry) = self.gc.data.packs.get_mut(pack).filter(|entry| entry.goes()) {
                entry.stays = Some(Stays::Damaged);
                self.gc.close_pack(PackClass::Data, pack);
            }
        }
        self.gc.settle()
    }

    /// Makes the frames of marked packs known that new chunks were compressed against, or were bases of.
    fn know_bases(&mut self, recoder: &mut Recoder<'_>) -> Result<(), StoreError> {
        let marked = |place: &usize| {
            let frame = self.gc.data.frames.get(*place)?;
            let pack = self.gc.data.packs.get(frame.pack)?;
            (pack.stays == Some(Stays::Repacked)).then_some(*place)
        };
        let stays = |chunk: &[u8; 32]| self.gc.data.places_of(chunk, MAX_DELTA_DEPTH + 1).iter().find_map(marked);
        let mut wanted = HashSet::new();
        for pack in self.gc.data.going() {
            for frame in self.gc.data.packs.get(pack).into_iter().flat_map(|pack| &pack.frames) {
                let Some(frame) = self.gc.data.frames.get(*frame) else { continue };
                wanted.extend(frame.bases.iter().filter_map(|base| stays(base.as_bytes())));
                wanted.extend(frame.key.as_ref().and_then(stays));
            }
        }
        let mut wanted: Vec<usize> = wanted.into_iter().collect();
        wanted.sort_unstable();
        let mut cache = FrameCache::default();
        for place in wanted {
            let Some(frame) = self.gc.read(PackClass::Data, place)? else { continue };
            let Ok(base) = self.gc.live.base_bytes(frame.header(), &mut cache) else { continue };
            let Ok(raw) = frame.decode_on(&base, Check::Chunks) else { continue };
            recoder.know(frame.header().delta_depth(), frame.header().keys(), &raw);
        }
        Ok(())
    }
}

fn step_at(done: u64, total: u64) -> GcStep {
    GcStep { doing: "repacking", done, total }
}

/// Lets the packs stay that were repacked at this level or a higher one. Returns how many.
fn keep_marked(gc: &mut GcPlan, options: RepackOptions) -> Result<u64, StoreError> {
    let live = Arc::clone(&gc.live);
    let mut kept = 0;
    for pack in gc.data.packs.iter_mut().filter(|_| !options.all) {
        let Some((file, _)) = open_pack(&live.layout, PackClass::Data, pack.id)? else { continue };
        let level = read_pack_header(&file, pack.id).ok().and_then(|header| header.repacked_at());
        if level.is_some_and(|level| level >= options.level) && pack.stays != Some(Stays::Damaged) {
            pack.stays = Some(Stays::Repacked);
            kept += 1;
        }
    }
    Ok(kept)
}

/// Lists all contents, oldest first as far as packs tell.
fn contents_of(gc: &GcPlan) -> Result<Vec<ContentDigest>, Error> {
    let recipe = FrameKind::Object(ObjectKind::RECIPE.to_byte());
    let (mut contents, mut seen) = (vec![], HashSet::new());
    let mut readable: HashMap<[u8; 32], bool> = HashMap::new();
    for (number, frame) in gc.meta.frames.iter().enumerate().filter(|(_, frame)| frame.kind == recipe) {
        let bytes = gc.read(PackClass::Meta, number)?.and_then(|frame| frame.decode(Check::Payload).ok());
        let read = bytes.and_then(|bytes| Recipe::from_bytes(&bytes).ok());
        let known = readable.entry(frame.key.unwrap_or_default()).or_default();
        *known |= read.is_some();
        let digest = read.map(|recipe| recipe.digest());
        contents.extend(digest.filter(|digest| seen.insert(*digest)));
    }
    if readable.values().any(|known| !known) {
        return Err(Error::new(ErrorKind::Damaged, "a recipe cannot be read, so it is not known what it needs")
            .with_hint("nothing was changed; see `onenb verify`"));
    }
    Ok(contents)
}

/// Lists the chunks that contents need, each once: stretch by stretch, of each the newest version first.
fn chunks_of(
    live: &Live,
    contents: &[ContentDigest],
    progress: &mut dyn FnMut(GcStep) -> bool,
) -> Result<Vec<ChunkRef>, Error> {
    let mut seen = HashSet::new();
    let mut found: Vec<(u64, ChunkRef)> = vec![];
    for (done, digest) in contents.iter().rev().enumerate() {
        if !progress(GcStep { doing: "reading", done: done as u64, total: contents.len() as u64 }) {
            return Err(interrupted());
        }
        let (recipe, _) = live.recipe(digest)?;
        let flat = match recipe.body() {
            RecipeBody::Flat(chunks) => chunks.as_slice(),
            _ => &[],
        };
        let nodes = live.nodes(&recipe)?;
        let mut position = 0_u64;
        for chunk in flat.iter().chain(nodes.iter().flat_map(RecipeNode::chunks)) {
            if seen.insert(chunk.id) {
                found.push((position >> WINDOW_BITS, *chunk));
            }
            position += u64::from(chunk.len);
        }
    }
    found.sort_by_key(|(window, _)| *window);
    Ok(found.into_iter().map(|(_, chunk)| chunk).collect())
}

impl GcPlan {
    /// Needs all metadata, and lets small packs of it go into one if there are several.
    fn gather_small_meta(&mut self) {
        for number in 0..self.meta.frames.len() {
            if !self.meta.is_copy(number)
                && let Some(frame) = self.meta.frames.get_mut(number)
            {
                frame.live = true;
            }
        }
        let most = self.live.meta.limits.meta_len / 2;
        let most_frames = self.live.meta.limits.meta_frames / 2;
        let small: Vec<usize> = (0..self.meta.packs.len())
            .filter(|number| {
                self.meta
                    .packs
                    .get(*number)
                    .is_some_and(|pack| pack.stays.is_none() && pack.len < most && pack.frames.len() < most_frames)
            })
            .collect();
        if small.len() < 2 {
            return;
        }
        for number in small {
            if let Some(pack) = self.meta.packs.get_mut(number) {
                pack.condemned = true;
            }
        }
    }
}

impl Live {
    /// Returns the length of all packs.
    fn packs_len(&self) -> Result<u64, StoreError> {
        let mut len = 0;
        for class in [PackClass::Data, PackClass::Meta] {
            for pack in self.layout.list_packs(class)?.into_keys() {
                let Some((file, stage)) = open_pack(&self.layout, class, pack)? else { continue };
                let path = self.layout.pack_path(class, pack, stage);
                len += file.metadata().map_err(|error| StoreError::io("read", &path, error))?.len();
            }
        }
        Ok(len)
    }
}
