//! The lock that every write shares and the last step of collection has for itself.
//!
//! - A write holds `store.lock` shared, from before it looks anything up until what it stored is named. Collection
//!   holds it alone while it drops packs, so that no write relies on what goes.
//! - A write that begins first passes `gc.intent`, which collection holds while it waits: otherwise writes that overlap
//!   would keep it out for ever. A write within another of the same process does not stop there.
//! - Nobody upgrades a lock, and collection waits only so long: an export that stays open must not stop all others.
//! - `gc.lock` admits one collection at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::layout::Layout;
use super::{ActiveWrite, Live, Store, StoreError};
use crate::fs::{FileLock, Sharing};

/// How often collection asks for the lock before it gives up: ten seconds in all.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps collection out as long as it lives: for whoever stores something and names it afterwards.
pub struct WriteHold {
    _active: ActiveWrite,
}

/// The store while nobody writes.
pub(super) struct Closed {
    _store: FileLock,
    _intent: FileLock,
}

impl Store {
    /// Keeps collection of garbage out until the hold is dropped. What is found or stored meanwhile stays, so whoever
    /// names it before letting go names nothing that vanishes.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn hold(&self) -> Result<WriteHold, StoreError> {
        Ok(WriteHold { _active: ActiveWrite::begin(self.live())? })
    }
}

/// Waits for the lock that writes share.
pub(super) fn enter(live: &Arc<Live>) -> Result<FileLock, StoreError> {
    if live.active.load(Ordering::SeqCst) == 0 {
        drop(acquire(&live.layout, "gc.intent", Sharing::Shared)?);
    }
    acquire(&live.layout, "store.lock", Sharing::Shared)
}

/// Shuts all writes out; `None` if one that is under way does not end soon.
pub(super) fn close(layout: &Layout) -> Result<Option<Closed>, StoreError> {
    let intent = acquire(layout, "gc.intent", Sharing::Exclusive)?;
    for attempt in 0..ATTEMPTS {
        if let Some(store) = try_acquire(layout, "store.lock")? {
            return Ok(Some(Closed { _store: store, _intent: intent }));
        }
        if attempt + 1 < ATTEMPTS {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(None)
}

/// Takes the lock that one collection has at a time; `None` if another is running.
pub(super) fn only_collection(layout: &Layout) -> Result<Option<FileLock>, StoreError> {
    try_acquire(layout, "gc.lock")
}

fn acquire(layout: &Layout, name: &str, sharing: Sharing) -> Result<FileLock, StoreError> {
    let path = layout.lock_path(name);
    FileLock::acquire(&path, sharing).map_err(|error| StoreError::io("lock", &path, error))
}

fn try_acquire(layout: &Layout, name: &str) -> Result<Option<FileLock>, StoreError> {
    let path = layout.lock_path(name);
    FileLock::try_acquire(&path, Sharing::Exclusive).map_err(|error| StoreError::io("lock", &path, error))
}
