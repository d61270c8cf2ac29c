//! Reading: a verified, seekable reader for Python's `io` layer.

use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Where `reader` stands.
    at: u64,
}

impl State {
    /// Reads from a position until the buffer is full or the time is over; returns how many bytes, never none.
    fn read_for(&mut self, time: Duration, position: u64, buffer: &mut [u8]) -> onenb::Result<usize> {
        if self.at != position {
            self.at = self.reader.seek(SeekFrom::Start(position))?;
        }
        let (began, mut done) = (Instant::now(), 0);
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => {
                    done += count;
                    self.at += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if began.elapsed() >= time {
                break;
            }
        }
        Ok(done)
    }
}

/// One export being read, by any number of threads.
///
/// `seek` keeps the GIL, and `read` takes its place in the content before it lets go of it. Who holds the GIL from the
/// one to the other therefore gets the bytes that it asked for, whatever other threads do. DuckDB 2.0 relies on that:
/// it shares a file among its threads without a lock.
#[pyclass(frozen, module = "OneNB._native")]
pub(crate) struct NativeReader {
    state: Mutex<State>,
    len: u64,
    position: AtomicU64,
}

impl NativeReader {
    pub(crate) fn new(reader: ExportReader) -> Self {
        let len = reader.len();
        Self { state: Mutex::new(State { reader, at: 0 }), len, position: AtomicU64::new(0) }
    }

    /// Fills a buffer from a position without the GIL, and lets Python look at its signals now and then, without which
    /// Ctrl-C would wait for the whole. The lock is taken after the GIL is gone, so that the two cannot wait for each
    /// other.
    fn fill(&self, py: Python<'_>, start: u64, buffer: &mut [u8]) -> PyResult<()> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = py.detach(|| {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.read_for(SIGNAL_INTERVAL, start + done as u64, rest)
            });
            done += check(py, read)?;
            py.check_signals()?;
        }
        Ok(())
    }
}

#[pymethods]
impl NativeReader {
    /// Length of the whole content in bytes.
    fn size(&self) -> u64 {
        self.len
    }

    fn tell(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Reads up to `limit` bytes, all that are left if it is negative or None; fewer only at the end, which is an empty
    /// result.
    #[pyo3(signature = (limit=None, /))]
    fn read<'py>(&self, py: Python<'py>, limit: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let start = self.tell();
        let left = self.len.saturating_sub(start);
        let wanted = limit.and_then(|limit| u64::try_from(limit).ok()).map_or(left, |limit| left.min(limit));
        let end = start + wanted;
        let wanted = usize::try_from(wanted).map_err(|_| PyValueError::new_err("too many bytes at once"))?;
        self.position.store(end, Ordering::Relaxed);
        // The bytes go straight into the object that Python gets.
        PyBytes::new_with(py, wanted, |buffer| self.fill(py, start, buffer)).inspect_err(|_| {
            // The position is where it was, as for any file, if nobody else has moved it.
            let _ = self.position.compare_exchange(end, start, Ordering::Relaxed, Ordering::Relaxed);
        })
    }

    /// Moves to a position, which may lie behind the end: from the start, from here (1) or from the end (2).
    #[pyo3(signature = (offset, whence=0, /))]
    fn seek(&self, offset: i64, whence: i32) -> PyResult<u64> {
        let base = match whence {
            0 => 0,
            1 => self.tell(),
            2 => self.len,
            _ => return Err(PyValueError::new_err(format!("whence {whence} is not 0, 1 or 2"))),
        };
        let position = base.checked_add_signed(offset).ok_or_else(|| {
            PyValueError::new_err(format!("negative position {}", i128::from(base) + i128::from(offset)))
        })?;
        self.position.store(position, Ordering::Relaxed);
        Ok(position)
    }
}
