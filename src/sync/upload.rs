//! Sending packs by several threads, with a bound on what is in memory.
//!
//! A pack is handed over only when a thread is free to take it, so at most [`THREADS`] packs are under way beside the
//! one being built. The first failure stops the others after the pack they are at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::SyncError;
use crate::backend::{Backend, BackendError, Key};
use crate::error::Result;

/// Packs under way at once.
const THREADS: usize = 4;

/// What the threads share.
struct Shared<'a> {
    backend: &'a dyn Backend,
    failure: Mutex<Option<BackendError>>,
    packs: AtomicU64,
    bytes: AtomicU64,
}

/// Where sealed packs go.
pub(super) struct Uploads<'a> {
    shared: &'a Shared<'a>,
    jobs: SyncSender<(Key, Vec<u8>)>,
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) packs: u64,
    pub(super) bytes: u64,
}

impl Uploads<'_> {
    /// Hands a pack over; waits until a thread takes it.
    pub(super) fn send(&self, key: &str, bytes: Vec<u8>) -> Result<(), SyncError> {
        let key = Key::parse(key)?;
        // The threads outlive every sender. One that failed still takes packs, and drops them.
        let _ = self.jobs.send((key, bytes));
        self.shared.check()
    }
}

impl Shared<'_> {
    fn check(&self) -> Result<(), SyncError> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn work(&self, jobs: &Mutex<Receiver<(Key, Vec<u8>)>>) {
        loop {
            // Whoever waits for a job holds the lock; the others wait for the lock, which is the same.
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((key, bytes)) = job else { return };
            if self.has_failed() {
                continue;
            }
            let len = bytes.len() as u64;
            match self.backend.put(&key, bytes) {
                Ok(()) => {
                    self.packs.fetch_add(1, Ordering::Relaxed);
                    self.bytes.fetch_add(len, Ordering::Relaxed);
                }
                Err(error) => {
                    self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    }
}

/// Runs `build`, which makes packs, beside the threads that send them. On return all packs are sent, or one failed.
pub(super) fn uploading(backend: &dyn Backend, build: impl FnOnce(&Uploads<'_>) -> Result<()>) -> Result<Sent> {
    let shared = Shared { backend, failure: Mutex::new(None), packs: AtomicU64::new(0), bytes: AtomicU64::new(0) };
    let (sender, receiver) = sync_channel(0);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| shared.work(&receiver));
        }
        // Dropping the sender with this value is what ends the threads.
        let uploads = Uploads { shared: &shared, jobs: sender };
        build(&uploads)
    })?;
    shared.check()?;
    Ok(Sent { packs: shared.packs.into_inner(), bytes: shared.bytes.into_inner() })
}
