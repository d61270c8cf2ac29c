//! Reading: a verified, seekable reader for Python's `io` layer.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use onenb::ExportReader;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::check;

/// How long a read goes on before Python may handle signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

struct State {
    reader: ExportReader,
    position: u64,
}

impl State {
    fn seek(&mut self, position: u64) -> onenb::Result<u64> {
        self.position = self.reader.seek(SeekFrom::Start(position))?;
        Ok(self.position)
    }

    /// Reads from a position until the buffer is full or the time is over; returns how many bytes, never none.
    fn read_for(&mut self, time: Duration, position: u64, buffer: &mut [u8]) -> onenb::Result<usize> {
        if self.position != position {
            self.seek(position)?;
        }
        let (began, mut done) = (Instant::now(), 0);
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if began.elapsed() >= time {
                break;
            }
        }
        self.position += done as u64;
        Ok(done)
    }
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

    /// Fills a buffer, and lets Python look at its signals now and then, without which Ctrl-C would wait for the whole. If that
    /// or anything else ends it, the position is where it was, as for any file.
    fn fill(&self, py: Python<'_>, buffer: &mut [u8]) -> PyResult<()> {
        let start = self.with(py, |state| Ok(state.position))?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = self.with(py, |state| state.read_for(SIGNAL_INTERVAL, start + done as u64, rest));
            match read.and_then(|count| py.check_signals().map(|()| count)) {
                Ok(count) => done += count,
                Err(error) => {
                    let _ = self.with(py, |state| state.seek(start));
                    return Err(error);
                }
            }
        }
        Ok(())
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
        PyBytes::new_with(py, wanted, |buffer| self.fill(py, buffer))
    }

    /// Moves to an absolute position, which may lie behind the end.
    fn seek(&self, py: Python<'_>, position: u64) -> PyResult<u64> {
        self.with(py, |state| state.seek(position))
    }
}
