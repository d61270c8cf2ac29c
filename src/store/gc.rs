//! Collection of garbage: what is needed, which packs that leaves, and what may go. `docs/design/0008-gc.md` says why.
//!
//! - Needed are the contents that the caller names: their recipes, the nodes of those, their chunks, and whatever
//!   frames with these chunks lean on. Objects of other kinds are facts and always stay.
//! - A pack that holds something nobody needs goes, after its live frames were copied. One that cannot go (another
//!   process appends to it, or it is damaged) stays whole, and then everything its frames name is needed too: no frame
//!   is ever left without its bases, and no recipe without its chunks.
//! - Of a chunk that lies in several places one is kept, which was read and found sound.
//! - The plan is a value, made without a lock that anybody would notice. Carrying it out is in `sweep`.

use std::collections::HashSet;
use std::sync::Arc;

use super::inventory::{FirstSight, FrameEntry, Inventory, PackEntry, Stays};
use super::objects::ObjectKind;
use super::reader::FrameCache;
use super::shelf::{open_pack, read_frame, read_header};
use super::{ActiveWrite, Live, Store, StoreError};
use crate::error::{Error, ErrorKind};
use crate::format::pack::{Check, Frame, FrameKind, MAX_DELTA_DEPTH, PackClass};
use crate::format::recipe::{Recipe, RecipeBody, RecipeNode};
use crate::id::{ChunkId, ContentDigest, ObjectId, RecipeId};

/// Contents looked at between two reports of progress.
const CONTENTS_PER_STEP: usize = 256;

/// How far collection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcStep {
    /// What is being done.
    pub doing: &'static str,
    /// How much of it is done: contents, then bytes.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// What a collection comes to. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Contents that stay.
    pub contents: u64,
    /// Contents that go.
    pub dropped_contents: u64,
    /// Packs that go.
    pub packs: u64,
    /// Those of them from which something was copied to other packs.
    pub rewritten: u64,
    /// Bytes so copied.
    pub copied_bytes: u64,
    /// Bytes that the store gets smaller by.
    pub freed_bytes: u64,
    /// Packs that stay whole because another process writes to them.
    pub busy_packs: u64,
    /// Packs that stay whole because a part of them cannot be read.
    pub damaged_packs: u64,
}

/// Something whose needs are not all marked yet.
#[derive(Debug)]
enum Need {
    /// A chunk, in a frame of less than some depth.
    Chunk(ChunkId, u8),
    /// What a frame of a data pack leans on.
    Bases(usize),
    /// What the recipe in a frame of a metadata pack names.
    Recipe(usize),
}

/// What is needed, and which packs may go. A value: nothing changes before it is carried out.
pub struct GcPlan {
    pub(super) live: Arc<Live>,
    pub(super) data: Inventory,
    pub(super) meta: Inventory,
    contents: HashSet<ContentDigest>,
    needs: Vec<Need>,
    cache: FrameCache,
    /// New frames in packs marked as repacked are this process's own, checked before they were written.
    pub(super) trusts_marked: bool,
}

impl Store {
    /// Finds out what nobody needs, given the contents that somebody does. Changes nothing. A content that is not here
    /// is passed over. `progress` is asked now and then whether to go on.
    ///
    /// # Errors
    /// An error of kind `Damaged` if it cannot be told what is needed, Interrupted, or [`StoreError::Io`].
    pub fn plan_gc(
        &self,
        roots: &HashSet<ContentDigest>,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<GcPlan, Error> {
        let mut plan = GcPlan::start(self.live())?;
        plan.need_facts()?;
        plan.close_stays(PackClass::Data)?;
        plan.close_stays(PackClass::Meta)?;
        plan.need_contents(roots, progress)?;
        plan.data.condemn();
        plan.meta.condemn();
        Ok(plan)
    }

    /// Takes over what processes that died left behind, so that a plan sees it as any writer would.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn begin_gc(&self) -> Result<(), StoreError> {
        let live = self.live();
        let _active = ActiveWrite::begin(live)?;
        live.data.begin_writing()?;
        live.meta.begin_writing()
    }
}

impl GcPlan {
    /// Lists all packs and frames; nothing is needed yet.
    pub(super) fn start(live: &Arc<Live>) -> Result<Self, StoreError> {
        live.data.refresh()?;
        live.meta.refresh()?;
        let mut plan = Self {
            live: Arc::clone(live),
            data: Inventory::new(PackClass::Data),
            meta: Inventory::new(PackClass::Meta),
            contents: HashSet::new(),
            needs: vec![],
            cache: FrameCache::default(),
            trusts_marked: false,
        };
        plan.data.look(live, FirstSight::Plan)?;
        plan.meta.look(live, FirstSight::Plan)?;
        Ok(plan)
    }

    /// Says what carrying the plan out would come to.
    #[must_use]
    pub fn report(&self) -> GcReport {
        let mut report = GcReport { contents: self.contents.len() as u64, ..GcReport::default() };
        for inventory in [&self.data, &self.meta] {
            for (number, pack) in inventory.packs.iter().enumerate() {
                report.busy_packs += u64::from(pack.stays == Some(Stays::Busy));
                report.damaged_packs += u64::from(pack.stays == Some(Stays::Damaged));
                if !pack.goes() {
                    continue;
                }
                let frames = inventory.live_frames(number).into_iter();
                let copied: u64 = frames.filter_map(|frame| inventory.frames.get(frame)).map(|frame| frame.len).sum();
                report.packs += 1;
                report.rewritten += u64::from(copied > 0);
                report.copied_bytes += copied;
                report.freed_bytes += pack.len.saturating_sub(copied);
            }
        }
        let recipe = FrameKind::Object(ObjectKind::RECIPE.to_byte());
        let dropped = self.meta.frames.iter().filter(|frame| frame.kind == recipe && !frame.live);
        let goes = |frame: &&FrameEntry| self.meta.packs.get(frame.pack).is_some_and(PackEntry::goes);
        report.dropped_contents = dropped.filter(goes).count() as u64;
        report
    }

    pub(super) fn inventory(&mut self, class: PackClass) -> &mut Inventory {
        match class {
            PackClass::Data => &mut self.data,
            PackClass::Meta => &mut self.meta,
        }
    }

    /// Needs contents, and all that these need.
    pub(super) fn need_contents(
        &mut self,
        contents: &HashSet<ContentDigest>,
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<(), Error> {
        let total = contents.len() as u64;
        for (done, digest) in contents.iter().enumerate() {
            if done % CONTENTS_PER_STEP == 0 && !progress(GcStep { doing: "marking", done: done as u64, total }) {
                return Err(interrupted());
            }
            if self.contents.contains(digest) {
                continue;
            }
            match self.live.recipe(digest) {
                Ok((recipe, id)) => {
                    self.contents.insert(*digest);
                    self.need_recipe(&recipe, &id)?;
                }
                Err(StoreError::UnknownContent { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Objects other than recipes are few and small, and each may be the only word on something.
    fn need_facts(&mut self) -> Result<(), StoreError> {
        let is_fact = |frame: &FrameEntry| match frame.kind {
            FrameKind::Object(kind) => ObjectKind::from_byte(kind).is_some(),
            _ => true,
        };
        let facts: Vec<usize> =
            (0..self.meta.frames.len()).filter(|number| self.meta.frames.get(*number).is_some_and(is_fact)).collect();
        for fact in facts {
            match self.meta.frames.get(fact).and_then(|frame| frame.key) {
                Some(key) => self.keep(PackClass::Meta, &key, 1)?,
                None => self.select(PackClass::Meta, fact),
            }
        }
        self.settle()
    }

    fn need_recipe(&mut self, recipe: &Recipe, id: &RecipeId) -> Result<(), StoreError> {
        self.keep(PackClass::Meta, id.as_bytes(), 1)?;
        let nodes = self.live.nodes(recipe)?;
        if let RecipeBody::Tree(children) = recipe.body() {
            for child in children {
                self.keep(PackClass::Meta, child.node.as_bytes(), 1)?;
            }
        }
        let flat = match recipe.body() {
            RecipeBody::Flat(chunks) => chunks.as_slice(),
            _ => &[],
        };
        for chunk in flat.iter().chain(nodes.iter().flat_map(RecipeNode::chunks)) {
            self.needs.push(Need::Chunk(chunk.id, MAX_DELTA_DEPTH + 1));
        }
        self.settle()
    }

    /// Needs everything in the packs of a class that stay whole, and what that names.
    pub(super) fn close_stays(&mut self, class: PackClass) -> Result<(), StoreError> {
        let packs = &self.inventory(class).packs;
        let staying: Vec<usize> =
            (0..packs.len()).filter(|at| packs.get(*at).is_some_and(|it| it.stays.is_some())).collect();
        for pack in staying {
            self.close_pack(class, pack);
        }
        self.settle()
    }

    /// Lets a pack stay whole.
    pub(super) fn close_pack(&mut self, class: PackClass, pack: usize) {
        let Some(entry) = self.inventory(class).packs.get_mut(pack) else { return };
        entry.stays.get_or_insert(Stays::Needed);
        for frame in entry.frames.clone() {
            self.close_frame(class, frame);
        }
    }

    /// Needs frames that came in since the plan was made, and what those name, whether anybody names them or not.
    pub(super) fn close_frames(&mut self, class: PackClass, frames: Vec<usize>) -> Result<(), StoreError> {
        for frame in frames {
            if self.inventory(class).is_copy(frame) {
                self.mark(class, frame);
            } else {
                self.close_frame(class, frame);
            }
        }
        self.settle()
    }

    fn close_frame(&mut self, class: PackClass, number: usize) {
        let is_recipe = |frame: &FrameEntry| frame.kind == FrameKind::Object(ObjectKind::RECIPE.to_byte());
        let is_new = self.inventory(class).frames.get(number).is_some_and(|frame| !frame.live);
        self.select(class, number);
        if is_new && class == PackClass::Meta && self.meta.frames.get(number).is_some_and(is_recipe) {
            self.needs.push(Need::Recipe(number));
        }
    }

    /// Follows what is needed until nothing new is.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        while let Some(need) = self.needs.pop() {
            match need {
                Need::Chunk(chunk, below) => self.keep(PackClass::Data, chunk.as_bytes(), below)?,
                Need::Bases(frame) => {
                    let Some(frame) = self.data.frames.get(frame) else { continue };
                    let depth = frame.depth;
                    self.needs.extend(frame.bases.iter().map(|base| Need::Chunk(*base, depth)));
                }
                Need::Recipe(frame) => self.follow_recipe(frame)?,
            }
        }
        Ok(())
    }

    /// A recipe that stays only because its pack does. If it cannot be read, nothing can be read through it.
    fn follow_recipe(&mut self, frame: usize) -> Result<(), StoreError> {
        let Some(bytes) = self.read(PackClass::Meta, frame)?.and_then(|frame| frame.decode(Check::Payload).ok()) else {
            return Ok(());
        };
        let Ok(recipe) = Recipe::from_bytes(&bytes) else { return Ok(()) };
        let children = match recipe.body() {
            RecipeBody::Tree(children) => children.as_slice(),
            _ => &[],
        };
        for child in children {
            self.keep(PackClass::Meta, child.node.as_bytes(), 1)?;
            match self.live.recipe_node(&recipe.digest(), child) {
                Ok(node) => self.needs.extend(node.chunks().iter().map(|it| Need::Chunk(it.id, MAX_DELTA_DEPTH + 1))),
                Err(error @ StoreError::Io { .. }) => return Err(error),
                Err(_) => {}
            }
        }
        if let RecipeBody::Flat(chunks) = recipe.body() {
            self.needs.extend(chunks.iter().map(|it| Need::Chunk(it.id, MAX_DELTA_DEPTH + 1)));
        }
        self.contents.insert(recipe.digest());
        Ok(())
    }

    /// Keeps one frame with a key and of less than some depth: the only one, or of several a sound one.
    pub(super) fn keep(&mut self, class: PackClass, key: &[u8; 32], below: u8) -> Result<(), StoreError> {
        let places = self.inventory(class).places_of(key, below);
        if let [only] = places.as_slice() {
            self.select(class, *only);
            return Ok(());
        }
        for place in &places {
            if self.is_sound(class, *place)? {
                self.select(class, *place);
                return Ok(());
            }
        }
        // None of them can be read; whoever mends the store may need any.
        for place in places {
            self.select(class, place);
        }
        Ok(())
    }

    /// Marks a frame and follows it; its whole pack stays if that was to go and no copy of the frame was made.
    fn select(&mut self, class: PackClass, number: usize) {
        let Some(pack) = self.mark(class, number) else { return };
        if class == PackClass::Data {
            self.needs.push(Need::Bases(number));
        }
        if self.inventory(class).packs.get(pack).is_some_and(PackEntry::goes) {
            self.close_pack(class, pack);
        }
    }

    /// Marks a frame; returns its pack if it was not marked before.
    fn mark(&mut self, class: PackClass, number: usize) -> Option<usize> {
        let frame = self.inventory(class).frames.get_mut(number).filter(|frame| !frame.live)?;
        frame.live = true;
        Some(frame.pack)
    }

    /// Reads a frame of a pack; `None` if its bytes are not there or wrong.
    pub(super) fn read(&self, class: PackClass, number: usize) -> Result<Option<Frame>, StoreError> {
        let inventory = match class {
            PackClass::Data => &self.data,
            PackClass::Meta => &self.meta,
        };
        let Some(frame) = inventory.frames.get(number) else { return Ok(None) };
        let Some(pack) = inventory.packs.get(frame.pack) else { return Ok(None) };
        let Some((file, _)) = open_pack(&self.live.layout, class, pack.id)? else { return Ok(None) };
        let header = read_header(&file, pack.id, frame.offset);
        match header.and_then(|header| read_frame(&file, pack.id, frame.offset, header)) {
            Ok(read) => {
                let header = read.header();
                let same = header.frame_len() == frame.len && header.keys().first().map(|key| key.id) == frame.key;
                Ok(same.then_some(read))
            }
            Err(error @ StoreError::Io { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Reads a frame and checks that it is what it says. Each frame is read once.
    fn is_sound(&mut self, class: PackClass, number: usize) -> Result<bool, StoreError> {
        if let Some(known) = self.inventory(class).frames.get(number).and_then(|frame| frame.sound) {
            return Ok(known);
        }
        let Some(frame) = self.read(class, number)? else { return Ok(false) };
        let base = self.live.base_bytes(frame.header(), &mut self.cache);
        let sound = match (frame.header().kind(), base) {
            (_, Err(error @ StoreError::Io { .. })) => return Err(error),
            (_, Err(_)) => false,
            (FrameKind::Object(kind), Ok(_)) => frame.decode(Check::Payload).is_ok_and(|bytes| {
                let own = frame.header().keys().first().map(|key| key.id);
                let id = match ObjectKind::from_byte(kind) {
                    Some(_) => *ObjectId::of(kind, &bytes).as_bytes(),
                    None => *RecipeId::of(&bytes).as_bytes(),
                };
                own == Some(id)
            }),
            (_, Ok(base)) => frame.decode_on(&base, Check::Chunks).is_ok(),
        };
        if let Some(entry) = self.inventory(class).frames.get_mut(number) {
            entry.sound = Some(sound);
        }
        Ok(sound)
    }
}

pub(super) fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted").with_hint("run it again; what was done so far harms nothing")
}

/// Says that damage keeps collection from knowing what is needed.
pub(super) fn refused(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Damaged => error.context("nothing was deleted, because not all that is needed is known"),
        _ => error,
    }
}
