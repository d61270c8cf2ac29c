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
    /// Fills a buffer, and lets Python look at its signals now and then, without which Ctrl-C would wait for the whole. What
    /// their handlers raise goes to `raised`.
    fn fill(&mut self, buffer: &mut [u8], raised: &mut Option<PyErr>) -> onenb::Result<()> {
        let mut rest = buffer;
        let mut looked = Instant::now();
        while !rest.is_empty() {
            let count = match self.reader.read(rest) {
                Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            self.position += count as u64;
            rest = rest.get_mut(count..).unwrap_or_default();
            if looked.elapsed() >= SIGNAL_INTERVAL {
                // Nobody who holds the interpreter waits for our lock: `with` lets it go first.
                if let Err(error) = Python::attach(|py| py.check_signals()) {
                    *raised = Some(error);
                    return Err(onenb::Error::new(onenb::ErrorKind::Interrupted, "interrupted"));
                }
                looked = Instant::now();
            }
        }
        Ok(())
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
            let mut raised = None;
            let done = self.with(py, |state| state.fill(buffer, &mut raised));
            raised.map_or(done, Err)
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
