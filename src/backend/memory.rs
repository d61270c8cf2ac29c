//! A backend in memory, for tests and for reading back what was just written.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Backend, BackendError, Created, Entry, Key};

/// Objects in memory.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    objects: Mutex<BTreeMap<Key, Vec<u8>>>,
}

impl MemoryBackend {
    /// Makes an empty place.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<u8>>> {
        // Every change is one insert or remove, so a panic elsewhere leaves nothing half done.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_found(key: &Key) -> BackendError {
    BackendError::NotFound { key: key.clone() }
}

impl Backend for MemoryBackend {
    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError> {
        let objects = self.objects();
        let bytes = objects.get(key).ok_or_else(|| not_found(key))?;
        if bytes.len() as u64 > max_len {
            return Err(BackendError::TooLong { key: key.clone(), max_len });
        }
        Ok(bytes.clone())
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError> {
        let objects = self.objects();
        let bytes = objects.get(key).ok_or_else(|| not_found(key))?;
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        bounds
            .and_then(|(start, end)| bytes.get(start..end))
            .map(<[u8]>::to_vec)
            .ok_or(BackendError::Truncated { key: key.clone(), end: range.end })
    }

    fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), BackendError> {
        self.objects().insert(key.clone(), bytes);
        Ok(())
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError> {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            return Ok(Created::AlreadyExists);
        }
        objects.insert(key.clone(), bytes.to_vec());
        Ok(Created::Created)
    }

    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError> {
        let objects = self.objects();
        let from = start_after.filter(|after| *after > folder).unwrap_or(folder);
        let below = objects.range((Bound::Excluded(from), Bound::Unbounded)).filter(|(key, _)| key.is_below(folder));
        Ok(below.take(limit).map(|(key, bytes)| Entry { key: key.clone(), len: bytes.len() as u64 }).collect())
    }

    fn delete(&self, key: &Key) -> Result<(), BackendError> {
        self.objects().remove(key);
        Ok(())
    }

    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError> {
        Ok(self.objects().get(key).map(|bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_the_contract() {
        super::super::conformance::run(&MemoryBackend::new());
    }
}
