//! Handles on the repository, kept for the next call: what one has unpacked, the next finds in memory.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use super::GitRepo;

/// How many bytes of unpacked objects a handle keeps. Directories above all: a commit's are compared with its parent's.
const OBJECT_CACHE_LEN: usize = 8 << 20;
/// Handles kept; more threads than these make their own each time.
const MAX_IDLE: usize = 8;

/// Handles that nobody uses now.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<gix::Repository>>);

impl Idle {
    /// A child that was forked while a thread held the lock must not wait for it, so nobody ever waits.
    fn take(&self) -> Option<gix::Repository> {
        self.0.try_lock().ok()?.pop()
    }

    fn put(&self, handle: gix::Repository) {
        if let Ok(mut idle) = self.0.try_lock()
            && idle.len() < MAX_IDLE
        {
            idle.push(handle);
        }
    }
}

/// A handle for one thread, given back when it is dropped.
pub(super) struct Handle<'a> {
    /// `None` only while the value is being dropped.
    handle: Option<gix::Repository>,
    idle: &'a Idle,
}

impl Deref for Handle<'_> {
    type Target = gix::Repository;

    fn deref(&self) -> &gix::Repository {
        self.handle.as_ref().expect("only dropping takes the handle")
    }
}

impl DerefMut for Handle<'_> {
    fn deref_mut(&mut self) -> &mut gix::Repository {
        self.handle.as_mut().expect("only dropping takes the handle")
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.idle.put(handle);
        }
    }
}

impl GitRepo {
    /// Returns a handle for this thread.
    pub(super) fn local(&self) -> Handle<'_> {
        let handle = self.idle.take().unwrap_or_else(|| {
            let mut fresh = self.inner.to_thread_local();
            fresh.object_cache_size_if_unset(OBJECT_CACHE_LEN);
            fresh
        });
        Handle { handle: Some(handle), idle: &self.idle }
    }
}
