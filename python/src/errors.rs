//! The one place where the library's errors become Python exceptions.

use std::error::Error as _;
use std::fmt::Write as _;

use onenb::ErrorKind;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Turns an error into the exception of `OneNB` that stands for its kind: message, causes and hint as the program
/// shows.
pub(crate) fn to_python(py: Python<'_>, error: &onenb::Error) -> PyErr {
    if error.kind() == ErrorKind::Interrupted {
        return pyo3::exceptions::PyKeyboardInterrupt::new_err(error.to_string());
    }
    let class = match error.kind() {
        ErrorKind::NotFound => "NotFound",
        ErrorKind::NotInitialised | ErrorKind::NotARepository => "NotInitialised",
        ErrorKind::Damaged => "Damaged",
        ErrorKind::Auth => "AuthError",
        ErrorKind::Conflict => "Conflict",
        ErrorKind::DiskFull => "DiskFull",
        _ => "Error",
    };
    let exception = py
        .import("OneNB._errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message_of(error), error.hint())));
    match exception {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyRuntimeError::new_err(message_of(error)),
    }
}

/// Maps the error of a finished call.
pub(crate) fn check<T>(py: Python<'_>, result: onenb::Result<T>) -> PyResult<T> {
    result.map_err(|error| to_python(py, &error))
}

/// The message with its causes, one a line.
fn message_of(error: &onenb::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(message, "\n  caused by: {error}");
        cause = error.source();
    }
    message
}
