//! A backend that fails on purpose: a request is lost, its answer is lost or cut short, or it arrives too late.
//!
//! What providers and networks do comes down to these: 429, 500, 503, a refused connection and 409 before any effect
//! are [`Fault::Before`]; a timeout is `Before`, [`Fault::After`] or [`Fault::Late`], nobody can tell which; 412 for
//! one's own success is [`Fault::Retried`]; a connection that breaks within an answer is [`Fault::Truncated`].

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Backend, BackendError, Created, Entry, Key, Leftovers};

/// How the chosen request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the place.
    Before,
    /// It takes effect, but the caller sees an error.
    After,
    /// It takes effect, the answer is lost, and a retry below us sees its own work: `create` answers "already exists".
    Retried,
    /// The answer of a read ends early: a whole object is cut in half unseen, a range is refused as too short. Others
    /// never reach the place.
    Truncated,
    /// The caller sees an error, and the request takes effect so many requests later, among those of a rerun.
    Late(u64),
}

/// Something that happens elsewhere at one request.
type Event = (u64, Box<dyn FnOnce() + Send>);

/// A request that was given up and is still under way, with the number of the one before which it arrives.
type Delayed<B> = (u64, Box<dyn FnOnce(&B) + Send>);

/// Wraps a backend, counts requests, fails one of them or lets something else happen just before it.
pub struct FaultBackend<B> {
    inner: B,
    requests: AtomicU64,
    planned: Option<(u64, Fault)>,
    meanwhile: Mutex<Option<Event>>,
    delayed: Mutex<Option<Delayed<B>>>,
}

impl<B> std::fmt::Debug for FaultBackend<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultBackend").field("planned", &self.planned).finish_non_exhaustive()
    }
}

impl<B: Backend + 'static> FaultBackend<B> {
    /// Only counts.
    #[must_use]
    pub fn counting(inner: B) -> Self {
        Self {
            inner,
            requests: AtomicU64::new(0),
            planned: None,
            meanwhile: Mutex::new(None),
            delayed: Mutex::new(None),
        }
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
        let arriving = {
            let mut slot = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take_if(|(number, _)| *number <= request)
        };
        if let Some((_, act)) = arriving {
            act(&self.inner);
        }
        (request, self.planned.filter(|(number, _)| *number == request).map(|(_, fault)| fault))
    }

    /// Runs a request that changes nothing; `cut` is what a caller gets of an answer that ends early.
    fn read<T>(
        &self,
        key: &Key,
        act: impl FnOnce(&B) -> Result<T, BackendError>,
        cut: impl FnOnce(T) -> Option<Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let (request, fault) = self.next();
        let failure = || BackendError::Injected { request, key: key.clone() };
        match fault {
            None | Some(Fault::Retried) => act(&self.inner),
            Some(Fault::Truncated) => cut(act(&self.inner)?).unwrap_or_else(|| Err(failure())),
            Some(Fault::Before | Fault::After | Fault::Late(_)) => Err(failure()),
        }
    }

    /// Runs a request that changes something, which a retry may send twice and which may outlive the call.
    fn write<T: 'static, P: Clone + Send + 'static>(
        &self,
        key: &Key,
        payload: P,
        act: fn(&B, &Key, P) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let (request, fault) = self.next();
        let failure = || BackendError::Injected { request, key: key.clone() };
        let act_on = |inner: &B| act(inner, key, payload.clone());
        match fault {
            None => act(&self.inner, key, payload),
            Some(Fault::Before | Fault::Truncated) => Err(failure()),
            Some(Fault::After) => act_on(&self.inner).and_then(|_| Err(failure())),
            Some(Fault::Retried) => act_on(&self.inner).and_then(|_| act_on(&self.inner)),
            Some(Fault::Late(requests)) => {
                let late = key.clone();
                let arriving: Box<dyn FnOnce(&B) + Send> = Box::new(move |inner| drop(act(inner, &late, payload)));
                *self.delayed.lock().unwrap_or_else(PoisonError::into_inner) = Some((request + requests, arriving));
                Err(failure())
            }
        }
    }
}

impl<B: Backend + 'static> Backend for FaultBackend<B> {
    fn sweep_leftovers(&self, begun_before_ms: u64, delete: bool) -> Result<Leftovers, BackendError> {
        self.inner.sweep_leftovers(begun_before_ms, delete)
    }

    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError> {
        let half = |mut bytes: Vec<u8>| {
            bytes.truncate(bytes.len() / 2);
            Some(Ok(bytes))
        };
        self.read(key, |inner| inner.get(key, max_len), half)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError> {
        let end = range.end;
        let short = |_| Some(Err(BackendError::Truncated { key: key.clone(), end }));
        self.read(key, |inner| inner.get_range(key, range), short)
    }

    fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), BackendError> {
        self.write(key, bytes, B::put)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError> {
        self.write(key, bytes.to_vec(), |inner, key, bytes| inner.create(key, &bytes))
    }

    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError> {
        self.read(folder, |inner| inner.list(folder, start_after, limit), |_| None)
    }

    fn delete(&self, key: &Key) -> Result<(), BackendError> {
        self.write(key, (), |inner, key, ()| inner.delete(key))
    }

    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError> {
        self.read(key, |inner| inner.head(key), |_| None)
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

    #[test]
    fn what_was_given_up_arrives_later_and_answers_are_cut_short() -> Result<(), BackendError> {
        let key = Key::parse("a")?;
        let backend = FaultBackend::failing(MemoryBackend::new(), 0, Fault::Late(2));
        assert!(backend.put(&key, b"late".to_vec()).is_err());
        assert_eq!(backend.head(&key)?, None);
        assert_eq!(backend.head(&key)?, Some(4));
        let backend = FaultBackend::failing(MemoryBackend::new(), 1, Fault::Truncated);
        backend.put(&key, b"0123".to_vec())?;
        assert_eq!(backend.get(&key, 9)?, b"01");
        let backend = FaultBackend::failing(backend, 0, Fault::Truncated);
        assert!(matches!(backend.get_range(&key, 1..3), Err(BackendError::Truncated { end: 3, .. })));
        Ok(())
    }
}
