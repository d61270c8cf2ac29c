//! Reading: a verified, seekable reader for Python's `io` layer.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use onenb::ExportReader;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::check;

struct State {
    reader: ExportReader,
    position: u64,
}

/// One export being read. A lock keeps threads apart; Python's `BufferedReader` sits on top.
#[pyclass(frozen, module = "OneNB._native")]
pub(crate) struct NativeReader(Mutex<State>);

impl NativeReader {
    pub(crate) fn new(reader: ExportReader) -> Self {
        Self(Mutex::new(State { reader, position: 0 }))
    }

    /// Runs `work` without the GIL; the lock is taken after the GIL is gone, so that the two cannot wait for each other.
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> onenb::Result<T> + Send) -> PyResult<T> {
        let result = py.detach(|| work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)));
        check(py, result)
    }
}

#[pymethods]
impl NativeReader {
    /// Length of the whole content in bytes.
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |state| Ok(state.reader.len()))
    }

    fn tell(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |state| Ok(state.position))
    }

    /// Reads up to `limit` bytes; fewer only at the end, which is an empty result.
    fn read<'py>(&self, py: Python<'py>, limit: u64) -> PyResult<Bound<'py, PyBytes>> {
        let left = self.with(py, |state| Ok(state.reader.len().saturating_sub(state.position)))?;
        let wanted = usize::try_from(left.min(limit)).map_err(|_| PyValueError::new_err("too many bytes at once"))?;
        // The bytes go straight into the object that Python gets.
        PyBytes::new_with(py, wanted, |buffer| {
            self.with(py, |state| {
                state.reader.read_exact(buffer)?;
                state.position += buffer.len() as u64;
                Ok(())
            })
        })
    }

    /// Moves to an absolute position, which may lie behind the end.
    fn seek(&self, py: Python<'_>, position: u64) -> PyResult<u64> {
        self.with(py, |state| {
            state.position = state.reader.seek(SeekFrom::Start(position))?;
            Ok(state.position)
        })
    }
}
