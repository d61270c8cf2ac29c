//! Carrying a plan of collection out: copy, shut writes out, look again, drop.
//!
//! 1. Beside other writers, the live frames of the packs that are to go are copied into the pack that this process
//!    appends to, checked on the way, and made durable. Until here there is only more of everything.
//! 2. With nobody writing, it is looked at again what is needed. A pack that holds something new of that stays, and
//!    what was written meanwhile counts as needed whether anybody names it or not.
//! 3. Deletion goes the other way than writing: metadata packs, their directory synced, then data packs. So no recipe
//!    is ever there without its chunks. Readers that meet a pack that is gone look again and find the copies.
//!
//! Where it stops, by a crash or an error, all that is needed is in at least one place, and the next run goes on.

use std::collections::HashSet;
use std::sync::Arc;

use super::appender::lock_existing;
use super::gc::{GcPlan, GcReport, GcStep, interrupted, refused};
use super::inventory::{FirstSight, Inventory, Stays};
use super::layout::Stage;
use super::{ActiveWrite, Live, Store, StoreError, gate};
use crate::error::{Error, ErrorKind};
use crate::format::pack::PackClass;
use crate::fs::{self, AppendFile};
use crate::id::{ContentDigest, PackId};

/// Recipes go before chunks.
const ORDER: [PackClass; 2] = [PackClass::Meta, PackClass::Data];

/// Names the contents that are needed.
pub(super) type NameRoots<'a> = dyn FnMut() -> Result<HashSet<ContentDigest>, Error> + 'a;

impl Store {
    /// Frees the room of all contents that `roots` does not name. It is asked twice, the second time while nobody
    /// writes, and must not write to this store then.
    ///
    /// # Errors
    /// An error of kind `Damaged` if it cannot be told what is needed, Conflict if another collection runs or a write
    /// does not end, Interrupted, [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn gc(&self, roots: &mut NameRoots<'_>, progress: &mut dyn FnMut(GcStep) -> bool) -> Result<GcReport, Error> {
        let live = Arc::clone(self.live());
        live.layout.create_dirs(PackClass::Meta)?;
        live.layout.create_dirs(PackClass::Data)?;
        let _only = gate::only_collection(&live.layout)?.ok_or_else(conflict)?;
        self.begin_gc()?;
        let mut plan = self.plan_gc(&roots()?, progress).map_err(refused)?;
        let locks = plan.copy(progress)?;
        let dropped = plan.drop_packs(roots)?;
        drop(locks);
        after_drop(&live, &dropped)?;
        Ok(plan.report())
    }
}

/// Says that only one collection or repacking runs at a time.
pub(super) fn conflict() -> Error {
    Error::new(ErrorKind::Conflict, "another `onenb gc` or `onenb repack` is running here").with_hint("let it end")
}

/// Brings what is derived from packs up to date once some are gone.
pub(super) fn after_drop(live: &Arc<Live>, dropped: &HashSet<PackId>) -> Result<(), StoreError> {
    let _active = ActiveWrite::begin(live)?;
    live.data.take_back_notes(|(pack, _)| dropped.contains(pack));
    for shelf in [&live.meta, &live.data] {
        shelf.refresh()?;
        if shelf.has_stale_segments()? {
            shelf.rebuild_index()?;
        }
    }
    Ok(())
}

impl GcPlan {
    /// Copies what is needed out of the packs that are to go. What is returned locks those of them that are open.
    pub(super) fn copy(&mut self, progress: &mut dyn FnMut(GcStep) -> bool) -> Result<Vec<AppendFile>, Error> {
        let live = Arc::clone(&self.live);
        let _active = ActiveWrite::begin(&live)?;
        let mut locks = vec![];
        for class in ORDER {
            self.lock_open_packs(class, &mut locks)?;
        }
        self.settle()?;
        let (mut done, total) = (0, self.report().copied_bytes);
        for class in ORDER {
            let (failures, before) = (self.inventory(class).shelf(&live).failures(), done);
            for pack in self.inventory(class).going() {
                done = self.copy_pack(class, pack, (done, total), progress)?;
            }
            // Where the disk is full, room can be made only if nothing has to be written for that.
            if done > before {
                self.inventory(class).shelf(&live).commit_for_good(failures)?;
            }
        }
        Ok(locks)
    }

    /// Makes sure that nobody appends to the open packs that are to go, this process included.
    pub(super) fn lock_open_packs(&mut self, class: PackClass, locks: &mut Vec<AppendFile>) -> Result<(), StoreError> {
        let live = Arc::clone(&self.live);
        for number in self.inventory(class).going() {
            let inventory = self.inventory(class);
            let Some(pack) = inventory.packs.get(number).filter(|pack| pack.stage == Stage::Open) else { continue };
            let path = live.layout.pack_path(class, pack.id, Stage::Open);
            let ours = inventory.shelf(&live).part_with(pack.id);
            let lock = match ours {
                Some(file) => Some(file),
                None => lock_existing(&path).map_err(|error| StoreError::io("lock", &path, error))?,
            };
            match lock {
                Some(file) => locks.push(file),
                // Somebody began to write to it, or sealed it.
                None => self.close_pack(class, number),
            }
        }
        Ok(())
    }

    /// Copies the live frames of a pack. One that cannot be read lets its pack stay.
    pub(super) fn copy_pack(
        &mut self,
        class: PackClass,
        pack: usize,
        (mut done, total): (u64, u64),
        progress: &mut dyn FnMut(GcStep) -> bool,
    ) -> Result<u64, Error> {
        let live = Arc::clone(&self.live);
        for number in self.inventory(class).live_frames(pack) {
            if !progress(GcStep { doing: "rewriting", done, total }) {
                return Err(interrupted());
            }
            let Some(frame) = self.read(class, number)? else {
                if let Some(entry) = self.inventory(class).packs.get_mut(pack) {
                    entry.stays = Some(Stays::Damaged);
                }
                self.close_pack(class, pack);
                self.settle()?;
                return Ok(done);
            };
            if let Some(entry) = self.inventory(class).frames.get_mut(number) {
                // Its copy is as good, and was made from checked bytes.
                entry.sound = Some(true);
            }
            done += frame.header().frame_len();
            self.inventory(class).shelf(&live).append(&[frame])?;
        }
        Ok(done)
    }

    /// Drops the packs that nobody needs any more. Returns which.
    pub(super) fn drop_packs(&mut self, roots: &mut NameRoots<'_>) -> Result<HashSet<PackId>, Error> {
        let live = Arc::clone(&self.live);
        if self.going(PackClass::Meta).is_empty() && self.going(PackClass::Data).is_empty() {
            return Ok(HashSet::new());
        }
        let Some(_closed) = gate::close(&live.layout)? else {
            return Err(Error::new(ErrorKind::Conflict, "an export or `onenb verify` is running and does not end")
                .with_hint(
                    "end it (in a notebook: close the file, or restart the kernel), then run this command again",
                ));
        };
        live.data.refresh()?;
        live.meta.refresh()?;
        let named = roots()?;
        let look = |inventory: &mut Inventory| {
            inventory.look(&live, FirstSight::Later).map_err(|error| refused(Error::from(error)))
        };
        let (recipes, chunks) = (look(&mut self.meta)?, look(&mut self.data)?);
        if self.trusts_marked {
            self.data.trust_marked(&live, &chunks)?;
        }
        self.close_frames(PackClass::Meta, recipes)?;
        self.close_frames(PackClass::Data, chunks)?;
        self.need_contents(&named, &mut |_| true).map_err(refused)?;
        let mut dropped = HashSet::new();
        for class in ORDER {
            dropped.extend(unlink(&live, class, &self.going(class))?);
        }
        Ok(dropped)
    }

    fn going(&mut self, class: PackClass) -> Vec<PackId> {
        let inventory = self.inventory(class);
        inventory.going().into_iter().filter_map(|at| Some(inventory.packs.get(at)?.id)).collect()
    }
}

/// Removes packs, durably.
fn unlink(live: &Live, class: PackClass, packs: &[PackId]) -> Result<Vec<PackId>, StoreError> {
    for pack in packs {
        for stage in [Stage::Open, Stage::Sealed] {
            let path = live.layout.pack_path(class, *pack, stage);
            if path.exists() {
                fs::remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
            }
        }
    }
    if !packs.is_empty() {
        let dir = live.layout.packs_dir(class);
        fs::sync_dir(&dir).map_err(|error| StoreError::io("sync", &dir, error))?;
    }
    Ok(packs.to_vec())
}
