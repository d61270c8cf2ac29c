//! Parameter sets from Python values.
//!
//! - `bool` is looked at before `int`; NumPy's bool, integer and float scalars become the Python type they stand for.
//! - Tuples are arrays. Everything else than `None`, `bool`, `int`, `float`, `str`, lists and dicts with text keys is
//!   refused, and the message names the place: `p1['years'][2]`.

use std::collections::BTreeMap;

use onenb::format::params::{MAX_DEPTH, ParamValue, Params};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::check;

const ALLOWED: &str = "parameters are None, bool, int, float, str, and lists and dicts of them";

/// A checked copy of a parameter set, which later changes of the dict cannot reach.
#[pyclass(frozen, eq, hash, module = "OneNB._native")]
#[derive(PartialEq)]
pub(crate) struct NativeParams(pub(crate) Params);

impl std::hash::Hash for NativeParams {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash().hash(state);
    }
}

#[pymethods]
impl NativeParams {
    /// Copies a dict, or `None` for no parameters; `variable` names it in errors.
    #[new]
    #[pyo3(signature = (params=None, variable="params"))]
    fn new(params: Option<&Bound<'_, PyAny>>, variable: &str) -> PyResult<Self> {
        params.map_or_else(|| Ok(Params::empty()), |params| set_from_python(params, variable)).map(Self)
    }

    /// Reads `k=v&k2=v2`, as it stands in specifications.
    #[staticmethod]
    fn from_query(py: Python<'_>, query: &str) -> PyResult<Self> {
        check(py, Params::from_query(query).map_err(Into::into)).map(Self)
    }

    /// The one spelling of the set as a query.
    fn to_query(&self) -> String {
        self.0.to_query()
    }

    /// 64 hex digits.
    fn hash_hex(&self) -> String {
        self.0.hash().to_string()
    }

    /// The deterministic CBOR.
    fn cbor<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_cbor())
    }

    /// A JSON object with sorted keys.
    fn json(&self) -> String {
        self.0.to_json().to_string()
    }

    /// `{year=2023, foo=bar}`, empty without parameters.
    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __bool__(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Reads a parameter set: `None`, a dict, or a set that was read before.
pub(crate) fn set_from_python(value: &Bound<'_, PyAny>, variable: &str) -> PyResult<Params> {
    if value.is_none() {
        return Ok(Params::empty());
    }
    if let Ok(params) = value.cast::<NativeParams>() {
        return Ok(params.get().0.clone());
    }
    let Ok(dict) = value.cast::<PyDict>() else {
        return Err(PyTypeError::new_err(format!("{variable} is {}; parameters are a dict", type_of(value))));
    };
    let entries = map_from_python(dict, variable, 0)?;
    check(value.py(), Params::new(entries).map_err(onenb::Error::from))
}

/// Reads one value.
pub(crate) fn value_from_python(value: &Bound<'_, PyAny>, variable: &str) -> PyResult<ParamValue> {
    value_at(value, variable, 0)
}

fn value_at(value: &Bound<'_, PyAny>, place: &str, depth: usize) -> PyResult<ParamValue> {
    if depth > MAX_DEPTH {
        let reason = format!("{place} is nested deeper than {MAX_DEPTH}, or contains itself");
        return Err(PyValueError::new_err(reason));
    }
    if value.is_none() {
        return Ok(ParamValue::Null);
    }
    if let Some(value) = scalar_from_python(value, place)? {
        return Ok(value);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(ParamValue::Map(map_from_python(dict, place, depth + 1)?));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let mut items = Vec::new();
        for (index, item) in value.try_iter()?.enumerate() {
            items.push(value_at(&item?, &format!("{place}[{index}]"), depth + 1)?);
        }
        return Ok(ParamValue::Array(items));
    }
    match numpy_scalar(value)? {
        Some(plain) => scalar_from_python(&plain, place)?.ok_or_else(|| refusal(value, place)),
        None => Err(refusal(value, place)),
    }
}

fn scalar_from_python(value: &Bound<'_, PyAny>, place: &str) -> PyResult<Option<ParamValue>> {
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Some(ParamValue::Bool(value.is_true())));
    }
    if let Ok(value) = value.cast::<PyInt>() {
        return int_from_python(value, place).map(Some);
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        let reason = || PyValueError::new_err(format!("{place} is {value}, which no parameter can be"));
        return ParamValue::float(number.value()).ok_or_else(reason).map(Some);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return text_from_python(text, place).map(|text| Some(ParamValue::Text(text)));
    }
    Ok(None)
}

fn int_from_python(value: &Bound<'_, PyInt>, place: &str) -> PyResult<ParamValue> {
    if let Ok(small) = value.extract::<i64>() {
        return Ok(ParamValue::Int(small.into()));
    }
    // `int.__repr__`, because a subclass such as an enum may show itself as something else.
    let digits = value.py().get_type::<PyInt>().call_method1("__repr__", (value,));
    let digits = digits.and_then(|digits| digits.extract::<String>());
    let too_long = |_| PyValueError::new_err(format!("{place} has too many digits"));
    digits.map_err(too_long)?.parse().map(ParamValue::Int).map_err(|_| refusal(value, place))
}

fn text_from_python(text: &Bound<'_, PyString>, place: &str) -> PyResult<String> {
    let lone = |_| PyValueError::new_err(format!("{place} has a lone surrogate, which UTF-8 cannot hold"));
    text.to_str().map(str::to_owned).map_err(lone)
}

fn map_from_python(dict: &Bound<'_, PyDict>, place: &str, depth: usize) -> PyResult<BTreeMap<String, ParamValue>> {
    let mut entries = BTreeMap::new();
    for (key, value) in dict.iter() {
        let Ok(key) = key.cast::<PyString>() else {
            let reason = format!("{place} has the key {}, {}; keys are str", key.repr()?, type_of(&key));
            return Err(PyTypeError::new_err(reason));
        };
        let here = format!("{place}[{}]", key.repr()?.to_string_lossy());
        let key = text_from_python(key, &format!("the key of {here}"))?;
        entries.insert(key, value_at(&value, &here, depth)?);
    }
    Ok(entries)
}

/// Returns the Python scalar that a NumPy bool, integer or float stands for; durations are integers only by
/// inheritance.
fn numpy_scalar<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = value.py().import("sys")?.getattr("modules")?;
    let Ok(numpy) = modules.get_item("numpy") else { return Ok(None) };
    if !value.is_instance(&numpy.getattr("generic")?)? || value.is_instance(&numpy.getattr("timedelta64")?)? {
        return Ok(None);
    }
    for class in ["bool_", "integer", "floating"] {
        if value.is_instance(&numpy.getattr(class)?)? {
            let plain = value.call_method0("item")?;
            // A long double stays one; its nearest float would silently be another number.
            return Ok((!plain.is_instance(&numpy.getattr("generic")?)?).then_some(plain));
        }
    }
    Ok(None)
}

fn refusal(value: &Bound<'_, PyAny>, place: &str) -> PyErr {
    let advice = if is_date_or_path(value).unwrap_or(false) { "use .isoformat() / str()" } else { ALLOWED };
    PyTypeError::new_err(format!("{place} is {}: {advice}", type_of(value)))
}

fn is_date_or_path(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let datetime = py.import("datetime")?;
    for class in ["date", "time", "timedelta"] {
        if value.is_instance(&datetime.getattr(class)?)? {
            return Ok(true);
        }
    }
    let name = value.get_type().name()?;
    Ok(value.is_instance(&py.import("os")?.getattr("PathLike")?)? || name == "datetime64" || name == "timedelta64")
}

fn type_of(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().fully_qualified_name();
    name.map_or_else(|_| "a value of unknown type".to_owned(), |name| format!("of type {}", name.to_string_lossy()))
}
