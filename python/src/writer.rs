//! Writing: an export that grows, and what it became.

use std::io::{BufWriter, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use onenb::format::record::Input;
use onenb::{ExportOutcome, ExportWriter};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::errors::{check, to_python};
use crate::reader::NativeReader;
use crate::workspace::NativeExport;

/// Rows written one by one are gathered up to here before the library sees them.
const BUFFER_LEN: usize = 64 * 1024;

/// One export being written; dropped without `finish`, it leaves nothing.
#[pyclass(frozen, module = "OneNB._native")]
pub(crate) struct NativeWriter {
    writer: Mutex<Option<BufWriter<ExportWriter>>>,
    process: u32,
}

impl NativeWriter {
    pub(crate) fn new(writer: ExportWriter) -> Self {
        Self { writer: Mutex::new(Some(BufWriter::with_capacity(BUFFER_LEN, writer))), process: std::process::id() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BufWriter<ExportWriter>>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A forked child has the parent's files and locks but none of its threads.
    fn check_process(&self) -> PyResult<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("this export was opened in another process; open it again after the fork"))
    }

    fn write_bytes(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        self.check_process()?;
        let closed = || PyValueError::new_err("write to closed export");
        // Releasing the GIL costs more than copying a row. Another thread may hold the lock, so it is only tried here.
        if bytes.len() < BUFFER_LEN
            && let Ok(mut guard) = self.writer.try_lock()
        {
            let writer = guard.as_mut().ok_or_else(closed)?;
            if writer.buffer().len() + bytes.len() < BUFFER_LEN {
                return writer.write_all(bytes).map_err(|error| to_python(py, &error.into()));
            }
        }
        let result = py.detach(|| self.lock().as_mut().map(|writer| writer.write_all(bytes)));
        result.ok_or_else(closed)?.map_err(|error| to_python(py, &error.into()))
    }
}

#[pymethods]
impl NativeWriter {
    /// Writes bytes as they are, or text as UTF-8, without copying either.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let bytes = if let Ok(bytes) = data.cast::<PyBytes>() {
            bytes.as_bytes()
        } else if let Ok(text) = data.cast::<PyString>() {
            text.to_str()?.as_bytes()
        } else {
            return Err(PyTypeError::new_err("bytes or str is needed"));
        };
        self.write_bytes(py, bytes)?;
        Ok(bytes.len())
    }

    /// Makes the export durable and visible; returns what it became as JSON. `inputs` is what was read so far.
    fn finish(&self, py: Python<'_>, inputs: Vec<Bound<'_, NativeExport>>) -> PyResult<String> {
        self.check_process()?;
        let inputs: Vec<Input> = inputs.iter().map(|export| export.get().to_input()).collect();
        let finished = py.detach(|| {
            let writer = self.lock().take()?.into_inner().map_err(|error| error.into_error().into());
            Some(writer.and_then(|mut writer| {
                writer.set_inputs(inputs);
                writer.finish()
            }))
        });
        let outcome = finished.ok_or_else(|| PyValueError::new_err("the export is closed"))?;
        check(py, outcome).map(|outcome| outcome_json(&outcome))
    }

    /// Ends the export without a record and gives a reader of what was written.
    fn read_back(&self, py: Python<'_>) -> PyResult<NativeReader> {
        self.check_process()?;
        let ended = py.detach(|| {
            let writer = self.lock().take()?;
            Some(writer.into_inner().map_err(|error| error.into_error().into()).and_then(ExportWriter::into_reader))
        });
        let reader = ended.ok_or_else(|| PyValueError::new_err("the export is closed"))?;
        check(py, reader).map(NativeReader::new)
    }

    /// Throws away what was written.
    fn discard(&self, py: Python<'_>) {
        py.detach(|| self.abandon());
    }
}

impl NativeWriter {
    fn abandon(&self) {
        if let Some(writer) = self.lock().take() {
            if self.process == std::process::id() {
                // Taken apart, because a buffered writer that is dropped would first write what it still holds.
                drop(writer.into_parts());
            } else {
                // The open files belong to the parent, and the threads that would be waited for are not here.
                mem::forget(writer);
            }
        }
    }
}

impl Drop for NativeWriter {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// `{"record", "stored_len", "unchanged_since", "receipt"}`.
pub(crate) fn outcome_json(outcome: &ExportOutcome) -> String {
    serde_json::json!({
        "record": outcome.record,
        "stored_len": outcome.stored_len,
        "unchanged_since": outcome.unchanged_since,
        "receipt": outcome.receipt,
    })
    .to_string()
}
