//! `OneNB._native`: the Python face of onenb.
//!
//! - Converts arguments, releases the GIL while the library works, maps errors once; everything else is in the library
//!   or, where only Python can do it (frames, notebooks, file protocols), in the Python files beside this crate.
//! - Records and receipts cross as JSON text, because it keeps integers and floats apart and needs no second type here.
#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod errors;
mod params;
mod reader;
mod workspace;
mod writer;

/// The native half of the package `OneNB`; its names are private to the package.
#[pyo3::pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::params::NativeParams;
    #[pymodule_export]
    use crate::reader::NativeReader;
    #[pymodule_export]
    use crate::workspace::{NativeBatch, NativeExport, NativeWorkspace};
    #[pymodule_export]
    use crate::writer::NativeWriter;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("RECEIPT_MEDIA_TYPE", onenb::format::run::RECEIPT_MEDIA_TYPE)
    }

    /// Returns the hash of a parameter set as 64 hex digits.
    #[pyfunction]
    fn params_hash(params: &Bound<'_, PyAny>) -> PyResult<String> {
        Ok(crate::params::set_from_python(params, "params")?.hash().to_string())
    }

    /// Returns the canonical JSON of a value, refusing what parameters refuse.
    #[pyfunction]
    fn value_json(value: &Bound<'_, PyAny>, variable: &str) -> PyResult<String> {
        Ok(crate::params::value_from_python(value, variable)?.to_json().to_string())
    }

    /// Returns a fresh run id.
    #[pyfunction]
    fn new_run_id() -> String {
        onenb::id::RunId::generate().to_string()
    }
}
