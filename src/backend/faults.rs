//! A backend that fails on purpose: the machine stops before a request, after it, or its answer gets lost.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Backend, BackendError, Created, Entry, Key};

/// How the chosen request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the place.
    Before,
    /// It takes effect, but the caller sees an error.
    After,
    /// It takes effect, the answer is lost, and a retry below us sees its own work: `create` answers "already exists".
    Retried,
}

/// Something that happens elsewhere at one request.
type Event = (u64, Box<dyn FnOnce() + Send>);

/// Wraps a backend, counts requests, fails one of them or lets something else happen just before it.
pub struct FaultBackend<B> {
    inner: B,
    requests: AtomicU64,
    planned: Option<(u64, Fault)>,
    meanwhile: Mutex<Option<Event>>,
}

impl<B> std::fmt::Debug for FaultBackend<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultBackend").field("planned", &self.planned).finish_non_exhaustive()
    }
}

impl<B: Backend> FaultBackend<B> {
    /// Only counts.
    #[must_use]
    pub fn counting(inner: B) -> Self {
        Self { inner, requests: AtomicU64::new(0), planned: None, meanwhile: Mutex::new(None) }
    }

    /// Fails request number `request`, counted from 0, once.
    #[must_use]
    pub fn failing(inner: B, request: u64, fault: Fault) -> Self {
        Self { planned: Some((request, fault)), ..Self::counting(inner) }
    }

    /// Calls `act` once, just before request number `request`.
    #[must_use]
    pub fn meanwhile(inner: B, request: u64, act: Box<dyn FnOnce() + Send>) -> Self {
        Self { meanwhile: Mutex::new(Some((request, act))), ..Self::counting(inner) }
    }

    /// Returns how many requests were made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Counts a request and tells how it is to fail.
    fn next(&self) -> (u64, Option<Fault>) {
        let request = self.requests.fetch_add(1, Ordering::SeqCst);
        let event = {
            let mut slot = self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take_if(|(number, _)| *number == request)
        };
        if let Some((_, act)) = event {
            act();
        }
        (request, self.planned.filter(|(number, _)| *number == request).map(|(_, fault)| fault))
    }

    fn run<T>(&self, key: &Key, act: impl FnOnce(&B) -> Result<T, BackendError>) -> Result<T, BackendError> {
        let (request, fault) = self.next();
        let failure = || BackendError::Injected { request, key: key.clone() };
        match fault {
            None | Some(Fault::Retried) => act(&self.inner),
            Some(Fault::Before) => Err(failure()),
            Some(Fault::After) => act(&self.inner).and_then(|_| Err(failure())),
        }
    }
}

impl<B: Backend> Backend for FaultBackend<B> {
    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError> {
        self.run(key, |inner| inner.get(key, max_len))
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError> {
        self.run(key, |inner| inner.get_range(key, range))
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> Result<(), BackendError> {
        self.run(key, |inner| inner.put(key, bytes))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError> {
        let (request, fault) = self.next();
        let failure = || BackendError::Injected { request, key: key.clone() };
        match fault {
            None => self.inner.create(key, bytes),
            Some(Fault::Before) => Err(failure()),
            Some(Fault::After) => self.inner.create(key, bytes).and_then(|_| Err(failure())),
            Some(Fault::Retried) => self.inner.create(key, bytes).and_then(|_| self.inner.create(key, bytes)),
        }
    }

    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError> {
        self.run(folder, |inner| inner.list(folder, start_after, limit))
    }

    fn delete(&self, key: &Key) -> Result<(), BackendError> {
        self.run(key, |inner| inner.delete(key))
    }

    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError> {
        self.run(key, |inner| inner.head(key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryBackend;
    use super::*;

    #[test]
    fn without_a_plan_the_contract_holds_and_requests_are_counted() {
        let backend = FaultBackend::counting(MemoryBackend::new());
        super::super::conformance::run(&backend);
        assert!(backend.requests() > 10);
    }

    #[test]
    fn a_fault_hits_its_request_before_or_after_the_effect() -> Result<(), BackendError> {
        let key = Key::parse("a")?;
        let there = |fault| -> Result<_, BackendError> {
            let backend = FaultBackend::failing(MemoryBackend::new(), 1, fault);
            backend.head(&key)?;
            let answer = backend.create(&key, b"x").map_err(|_| ());
            Ok((answer, backend.head(&key)?.is_some()))
        };
        assert_eq!(there(Fault::Before)?, (Err(()), false));
        assert_eq!(there(Fault::After)?, (Err(()), true));
        assert_eq!(there(Fault::Retried)?, (Ok(Created::AlreadyExists), true));
        Ok(())
    }
}
