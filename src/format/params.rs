//! Parameter sets: typed values, their deterministic CBOR, their hash, and their texts.
//!
//! - `1`, `1.0` and `true` differ; `-0.0` is `0.0`; NaN and infinities are refused. No parameters equal `{}`.
//! - The encoding is RFC 8949 §4.2.1 (core deterministic); integers beyond 64 bits are bignum tags 2 and 3.
//! - The hash is BLAKE3 in derive-key mode, context `onenb params v1`, of that encoding.
//! - Golden vectors: `tests/golden/params.json`, run from Rust and from Python.

use std::collections::BTreeMap;
use std::fmt;

use ciborium::value::Value as Cbor;
use num_bigint::{BigInt, Sign};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value as Json};

use super::FormatError;
use crate::id::ParamsHash;

/// Deepest nesting of arrays and maps that a parameter may have.
pub const MAX_DEPTH: usize = 32;
/// Longest encoding of a whole parameter set in bytes.
pub const MAX_ENCODED_LEN: usize = 64 * 1024;

const QUERY_ESCAPES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b':')
    .add(b'&')
    .add(b'+')
    .add(b'=')
    .add(b'?')
    .add(b'<')
    .add(b'>');

/// One parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue {
    /// Python's `None`, JSON's `null`.
    Null,
    /// A truth value; never equal to a number.
    Bool(bool),
    /// An integer of any size.
    Int(BigInt),
    /// A finite float. Invariant, kept by [`ParamValue::float`]: not NaN, not infinite, not `-0.0`.
    Float(f64),
    /// A text.
    Text(String),
    /// A list or tuple.
    Array(Vec<ParamValue>),
    /// A dict with text keys.
    Map(BTreeMap<String, ParamValue>),
}

impl ParamValue {
    /// Takes a float, turning `-0.0` into `0.0`; `None` for NaN and infinities.
    #[must_use]
    pub fn float(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Float(if value == 0.0 { 0.0 } else { value }))
    }

    /// Reads what a user typed: a JSON literal if it parses as one, else a string.
    ///
    /// # Errors
    /// [`FormatError::Refused`] for JSON that parameters cannot hold, such as `1e999`.
    pub fn from_text(text: &str) -> Result<Self, FormatError> {
        match serde_json::from_str::<Json>(text) {
            Ok(json) => Self::from_json(&json),
            Err(_) => Ok(Self::Text(text.to_owned())),
        }
    }

    /// Converts from JSON; a number with a fraction or an exponent is a float, any other an integer.
    ///
    /// # Errors
    /// [`FormatError::Refused`] for floats beyond the range and for nesting deeper than [`MAX_DEPTH`].
    pub fn from_json(json: &Json) -> Result<Self, FormatError> {
        Self::from_json_at(json, 0)
    }

    fn from_json_at(json: &Json, depth: usize) -> Result<Self, FormatError> {
        if depth > MAX_DEPTH {
            return Err(FormatError::refused("parameter", "…", format!("it is nested deeper than {MAX_DEPTH}")));
        }
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::from_number(number)?,
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => {
                Self::Array(items.iter().map(|item| Self::from_json_at(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Json::Object(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::from_json_at(value, depth + 1)?)))
                    .collect::<Result<_, FormatError>>()?,
            ),
        })
    }

    fn from_number(number: &Number) -> Result<Self, FormatError> {
        let text = number.to_string();
        let refuse = || FormatError::refused("parameter", &text, "the number is out of range");
        if text.len() > MAX_ENCODED_LEN {
            return Err(refuse());
        }
        if text.contains(['.', 'e', 'E']) {
            return text.parse().ok().and_then(Self::float).ok_or_else(refuse);
        }
        text.parse().map(Self::Int).map_err(|_| refuse())
    }

    /// Converts to JSON; floats always show a fraction or an exponent, so that the type survives.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::Number(Number::from_string_unchecked(value.to_string())),
            Self::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::String(text.clone()),
            Self::Array(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }

    fn to_cbor(&self) -> Cbor {
        match self {
            Self::Null => Cbor::Null,
            Self::Bool(value) => Cbor::Bool(*value),
            Self::Int(value) => int_to_cbor(value),
            Self::Float(value) => Cbor::Float(*value),
            Self::Text(text) => Cbor::Text(text.clone()),
            Self::Array(items) => Cbor::Array(items.iter().map(Self::to_cbor).collect()),
            Self::Map(entries) => map_to_cbor(entries),
        }
    }

    fn from_cbor(value: &Cbor, depth: usize) -> Result<Self, FormatError> {
        let malformed = |reason: &str| FormatError::malformed("parameter set", reason);
        if depth > MAX_DEPTH {
            return Err(malformed("it is nested too deep"));
        }
        Ok(match value {
            Cbor::Null => Self::Null,
            Cbor::Bool(value) => Self::Bool(*value),
            Cbor::Integer(value) => Self::Int(BigInt::from(i128::from(*value))),
            Cbor::Float(value) => Self::float(*value).ok_or_else(|| malformed("a float is not finite"))?,
            Cbor::Text(text) => Self::Text(text.clone()),
            Cbor::Tag(tag @ (2 | 3), inner) => {
                let Cbor::Bytes(bytes) = inner.as_ref() else { return Err(malformed("a bignum is no byte string")) };
                let magnitude = BigInt::from_bytes_be(Sign::Plus, bytes);
                Self::Int(if *tag == 2 { magnitude } else { -magnitude - 1 })
            }
            Cbor::Array(items) => {
                Self::Array(items.iter().map(|item| Self::from_cbor(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Cbor::Map(entries) => Self::Map(map_from_cbor(entries, depth + 1)?),
            _ => return Err(malformed("a value has a type that parameters cannot have")),
        })
    }

    /// Names the type as Python does, for messages such as "did you mean year=1 (int)?".
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Array(_) => "list",
            Self::Map(_) => "dict",
        }
    }

    /// Returns whether both mean the same to a person who forgot about types: `1`, `1.0`, `"1"` and `true`.
    #[must_use]
    pub fn loosely_equals(&self, other: &Self) -> bool {
        let plain = |value: &Self| match value {
            Self::Bool(value) => u8::from(*value).to_string(),
            Self::Float(value) if value.fract() == 0.0 => format!("{value:.0}"),
            Self::Text(text) => text.clone(),
            other => other.to_string(),
        };
        self == other || plain(self) == plain(other)
    }
}

/// Shows the value as the JSON literal that `-p` takes; texts that would read as something else are quoted.
impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if serde_json::from_str::<Json>(text).is_err() && !text.is_empty() => f.write_str(text),
            other => write!(f, "{}", other.to_json()),
        }
    }
}

fn int_to_cbor(value: &BigInt) -> Cbor {
    if let Ok(small) = i128::try_from(value)
        && let Ok(integer) = ciborium::value::Integer::try_from(small)
    {
        return Cbor::Integer(integer);
    }
    let (tag, magnitude) =
        if value.sign() == Sign::Minus { (3, -(value + BigInt::from(1))) } else { (2, value.clone()) };
    Cbor::Tag(tag, Box::new(Cbor::Bytes(magnitude.to_bytes_be().1)))
}

/// Core deterministic order is the order of the encoded keys: shorter texts first, then by bytes.
fn map_to_cbor(entries: &BTreeMap<String, ParamValue>) -> Cbor {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes())));
    Cbor::Map(sorted.into_iter().map(|(key, value)| (Cbor::Text(key.clone()), value.to_cbor())).collect())
}

fn map_from_cbor(entries: &[(Cbor, Cbor)], depth: usize) -> Result<BTreeMap<String, ParamValue>, FormatError> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        let Cbor::Text(key) = key else {
            return Err(FormatError::malformed("parameter set", "a key is no text"));
        };
        if map.insert(key.clone(), ParamValue::from_cbor(value, depth)?).is_some() {
            return Err(FormatError::malformed("parameter set", "a key occurs twice"));
        }
    }
    Ok(map)
}

/// A parameter set: names and typed values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Params(BTreeMap<String, ParamValue>);

impl Params {
    /// Returns the empty set, which is what an export without parameters has.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Takes names and values.
    ///
    /// # Errors
    /// [`FormatError::Refused`] if the set is larger than [`MAX_ENCODED_LEN`].
    pub fn new(entries: BTreeMap<String, ParamValue>) -> Result<Self, FormatError> {
        let params = Self(entries);
        let len = params.to_cbor().len();
        if len > MAX_ENCODED_LEN {
            return Err(FormatError::refused(
                "parameter set",
                "…",
                format!("its encoding has {len} bytes, more than {MAX_ENCODED_LEN}"),
            ));
        }
        Ok(params)
    }

    /// Reads `k=v` texts as `-p` takes them.
    ///
    /// # Errors
    /// [`FormatError::Refused`] for a text without `=`, an empty name, or a name given twice.
    pub fn from_assignments<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, FormatError> {
        let mut map = BTreeMap::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(FormatError::refused("parameter", text, "write it as `name=value`"));
            };
            if map.insert(key.to_owned(), ParamValue::from_text(value)?).is_some() {
                return Err(FormatError::refused("parameter", text, "the name is given twice"));
            }
        }
        Self::new(map)
    }

    /// Reads the part of a specification behind its `?`: percent-encoded `k=v` pairs joined by `&`.
    ///
    /// # Errors
    /// [`FormatError::Refused`] as [`Params::from_assignments`], and for text that is not UTF-8 when decoded.
    pub fn from_query(query: &str) -> Result<Self, FormatError> {
        let mut map = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let refuse = |reason: &str| FormatError::refused("parameter", pair, reason);
            let decode = |text: &str| {
                percent_decode_str(text)
                    .decode_utf8()
                    .map(std::borrow::Cow::into_owned)
                    .map_err(|_| refuse("it is not UTF-8"))
            };
            let (key, value) = pair.split_once('=').ok_or_else(|| refuse("write it as `name=value`"))?;
            let key = decode(key)?;
            if key.is_empty() {
                return Err(refuse("the name is empty"));
            }
            if map.insert(key, ParamValue::from_text(&decode(value)?)?).is_some() {
                return Err(refuse("the name is given twice"));
            }
        }
        Self::new(map)
    }

    /// Writes the part of a specification behind its `?`; empty for the empty set.
    #[must_use]
    pub fn to_query(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, QUERY_ESCAPES).to_string();
        let pairs: Vec<_> =
            self.0.iter().map(|(key, value)| format!("{}={}", encode(key), encode(&value.to_string()))).collect();
        pairs.join("&")
    }

    /// Converts from a JSON object.
    ///
    /// # Errors
    /// [`FormatError::Refused`] for anything but an object of values that parameters can hold.
    pub fn from_json(json: &Json) -> Result<Self, FormatError> {
        match ParamValue::from_json(json)? {
            ParamValue::Map(map) => Self::new(map),
            _ => Err(FormatError::refused("parameter set", &json.to_string(), "it is no object")),
        }
    }

    /// Converts to a JSON object with sorted names.
    #[must_use]
    pub fn to_json(&self) -> Json {
        ParamValue::Map(self.0.clone()).to_json()
    }

    /// Returns the deterministic CBOR.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(&map_to_cbor(&self.0), &mut bytes).expect("writing CBOR to memory cannot fail");
        bytes
    }

    /// Reads deterministic CBOR back; any other encoding of the same values is refused.
    ///
    /// # Errors
    /// [`FormatError::Malformed`].
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, FormatError> {
        let malformed = |reason: &str| FormatError::malformed("parameter set", reason);
        if bytes.len() > MAX_ENCODED_LEN {
            return Err(malformed("it is too long"));
        }
        let value = ciborium::de::from_reader_with_recursion_limit(bytes, MAX_DEPTH * 2)
            .map_err(|_| malformed("it is not CBOR"))?;
        let Cbor::Map(entries) = value else { return Err(malformed("it is no map")) };
        let params = Self(map_from_cbor(&entries, 0)?);
        if params.to_cbor() != bytes {
            return Err(malformed("its encoding is not the deterministic one"));
        }
        Ok(params)
    }

    /// Returns the hash by which exports are keyed.
    #[must_use]
    pub fn hash(&self) -> ParamsHash {
        ParamsHash::of(&self.to_cbor())
    }

    /// Returns whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns one value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ParamValue> {
        self.0.get(name)
    }
}

/// Shows `{year=2023, foo=bar}`, or nothing for the empty set.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let pairs: Vec<_> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        write!(f, "{{{}}}", pairs.join(", "))
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(texts: &[&str]) -> Params {
        Params::from_assignments(texts.iter().copied()).expect("the test's own parameters are good")
    }

    #[test]
    fn types_and_order_decide_the_hash() {
        let hashes: Vec<_> = ["a=1", "a=1.0", "a=true", "a=\"1\"", "a=null", "a=[1]", "a={}"]
            .iter()
            .map(|text| set(&[text]).hash())
            .collect();
        for (i, a) in hashes.iter().enumerate() {
            assert!(hashes.iter().skip(i + 1).all(|b| a != b), "{i}");
        }
        assert_eq!(set(&["a=1", "b=2"]).hash(), set(&["b=2", "a=1"]).hash());
        assert_eq!(set(&["a=-0.0"]).hash(), set(&["a=0.0"]).hash());
    }

    #[test]
    fn encoding_is_the_core_deterministic_one() {
        let hex = |params: &Params| crate::id::to_hex(&params.to_cbor());
        assert_eq!(hex(&Params::empty()), "a0");
        assert_eq!(hex(&set(&["b=1", "aa=2"])), "a261620162616102");
        assert_eq!(hex(&set(&["a=1.5"])), "a16161f93e00");
        assert_eq!(hex(&set(&["a=18446744073709551616"])), "a16161c249010000000000000000");
        assert_eq!(hex(&set(&["a=-18446744073709551617"])), "a16161c349010000000000000000");
        assert_eq!(hex(&set(&["a=-18446744073709551616"])), "a161613bffffffffffffffff");
    }

    #[test]
    fn typed_texts_come_back() {
        let params = set(&["y=2023", "f=1.0", "s=bar", "q=\"1\"", "e=", "u=ü&=?"]);
        assert_eq!(Params::from_query(&params.to_query()), Ok(params.clone()));
        assert_eq!(params.to_string(), "{e=\"\", f=1.0, q=\"1\", s=bar, u=ü&=?, y=2023}");
        assert_eq!(Params::from_json(&params.to_json()), Ok(params));
    }

    #[test]
    fn bad_assignments_are_refused() {
        for bad in [&["a"][..], &["=1"], &["a=1", "a=2"], &["a=1e999"]] {
            assert!(Params::from_assignments(bad.iter().copied()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn loose_equality_finds_forgotten_types() {
        let value = |text: &str| ParamValue::from_text(text).expect("good");
        assert!(value("1").loosely_equals(&value("1.0")));
        assert!(value("1").loosely_equals(&value("\"1\"")));
        assert!(!value("1").loosely_equals(&value("2")));
    }

    fn any_value() -> impl Strategy<Value = ParamValue> {
        let leaf = prop_oneof![
            Just(ParamValue::Null),
            any::<bool>().prop_map(ParamValue::Bool),
            any::<i128>().prop_map(|value| ParamValue::Int(value.into())),
            any::<f64>().prop_filter_map("finite", ParamValue::float),
            ".{0,12}".prop_map(ParamValue::Text),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(ParamValue::Array),
                prop::collection::btree_map(".{0,6}", inner, 0..4).prop_map(ParamValue::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_set_survives_cbor_json_and_query(map in prop::collection::btree_map("[a-zü&=%?+ ]{1,6}", any_value(), 0..5)) {
            let params = Params::new(map).expect("small");
            prop_assert_eq!(&Params::from_cbor(&params.to_cbor()).expect("own encoding"), &params);
            prop_assert_eq!(&Params::from_json(&params.to_json()).expect("own JSON"), &params);
            prop_assert_eq!(&Params::from_query(&params.to_query()).expect("own query"), &params);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Params::from_cbor(&bytes);
        }
    }
}
