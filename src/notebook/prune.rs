//! Reads JSON and keeps only chosen parts of it.
//!
//! A notebook of 200 MB is nearly all outputs: pictures, tables, plots as millions of numbers. As a JSON tree those
//! would take many times their length in memory, so what nobody asks for is skipped while it is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// Which part of a JSON value to keep.
pub(super) enum Keep {
    /// All of it.
    Whole,
    /// Of an object these fields; of anything else nothing, which reads as `null` or `{}`.
    Fields(&'static [(&'static str, Keep)]),
    /// Of a list every item, pruned; of anything else nothing.
    Items(&'static Keep),
}

/// Reads a whole JSON text, keeping what `keep` says. Nesting is bounded by `serde_json`, also in what is skipped
/// (which takes no stack).
pub(super) fn read(bytes: &[u8], keep: &'static Keep) -> Result<Json, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let json = Pruned(keep).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(json)
}

#[derive(Clone, Copy)]
struct Pruned(&'static Keep);

impl<'de> DeserializeSeed<'de> for Pruned {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        match self.0 {
            Keep::Whole => serde::Deserialize::deserialize(deserializer),
            Keep::Fields(_) | Keep::Items(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Pruned {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let fields = if let Keep::Fields(fields) = self.0 { *fields } else { &[] };
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if let Some((_, keep)) = fields.iter().find(|(name, _)| *name == key) {
                object.insert(key, access.next_value_seed(Self(keep))?);
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(if fields.is_empty() { Json::Null } else { Json::Object(object) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let Keep::Items(keep) = self.0 else {
            while access.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Json::Null);
        };
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Self(keep))? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static KEEP: Keep = Keep::Fields(&[("a", Keep::Whole), ("b", Keep::Items(&Keep::Fields(&[("c", Keep::Whole)])))]);

    #[test]
    fn only_the_chosen_parts_are_kept() {
        let text = br#"{"a": [1, {"x": 2.5}], "z": {"a": 1}, "b": [{"c": 1, "d": 2}, {"d": 3}]}"#;
        assert_eq!(read(text, &KEEP).unwrap(), json!({"a": [1, {"x": 2.5}], "b": [{"c": 1}, {}]}));
    }

    #[test]
    fn other_shapes_than_expected_are_skipped_without_an_error() {
        for other in ["null", "true", "\"text\"", "[1, [2]]", "-1", "1.5", "1e999", "12345678901234567890123"] {
            let text = format!("{{\"b\": [{other}], \"a\": 7}}");
            let json = read(text.as_bytes(), &KEEP).expect(other);
            assert_eq!(json["a"], json!(7), "{other}");
            let text = format!("{{\"b\": {other}, \"a\": 7}}");
            assert_eq!(read(text.as_bytes(), &KEEP).expect(other)["a"], json!(7), "{other}");
        }
    }

    #[test]
    fn skipped_parts_may_be_nested_deep_and_kept_parts_may_not() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(format!("{{\"z\": {deep}}}").as_bytes(), &KEEP).is_ok());
        assert!(read(format!("{{\"a\": {deep}}}").as_bytes(), &KEEP).is_err());
    }

    #[test]
    fn text_behind_the_value_is_refused() {
        assert!(read(b"{} x", &KEEP).is_err());
    }
}
