//! Identities: one newtype for each kind of thing that has a name.
//!
//! - A 32-byte identity is a BLAKE3 output; its type says what was hashed, so two kinds cannot be confused.
//! - Text form is lower-case hex (`Display`, `FromStr`, serde); ULIDs use Crockford base 32.
//! - This module hashes nothing by itself except through the constructors that name their derive-key context.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use ulid::Ulid;

/// A text that is not the identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {what}")]
#[non_exhaustive]
pub struct ParseIdError {
    /// The offending text, cut to 80 characters.
    pub text: String,
    /// What it should have been, with its article.
    pub what: &'static str,
}

impl ParseIdError {
    fn new(text: &str, what: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what }
    }
}

/// Writes bytes as lower-case hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Reads lower- or upper-case hex of even length; `None` for anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            if pair.starts_with('+') {
                return None;
            }
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = 32;

            /// Takes over bytes that are already known to be this identity.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Returns the first 16 hex digits, for file names and talk.
            #[must_use]
            pub fn short(&self) -> String {
                to_hex(&self.0).chars().take(16).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_hex(text)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| ParseIdError::new(text, $what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type! {
    /// A chunk: BLAKE3 in derive-key mode, context `onenb chunk v1`, of its plain bytes.
    ChunkId, "a chunk id (64 hex digits)"
}
digest_type! {
    /// A recipe, or a node of a recipe tree: BLAKE3, context `onenb recipe v1`, of its encoding.
    RecipeId, "a recipe id (64 hex digits)"
}
digest_type! {
    /// A whole content: plain BLAKE3 of its bytes, as `b3sum` prints it.
    ContentDigest, "a content digest (64 hex digits)"
}
digest_type! {
    /// A parameter set: BLAKE3, context `onenb params v1`, of its deterministic CBOR.
    ParamsHash, "a parameter hash (64 hex digits)"
}
digest_type! {
    /// The code of a notebook or script, parameters' values and outputs left out: BLAKE3, context `onenb code v1`.
    CodeIdentity, "a code identity (64 hex digits)"
}
digest_type! {
    /// A metadata object: BLAKE3, context `onenb object v1`, of its kind byte and plain bytes.
    ObjectId, "an object id (64 hex digits)"
}

impl ChunkId {
    /// Hashes the plain bytes of a chunk.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::derive_key("onenb chunk v1", bytes))
    }
}

impl RecipeId {
    /// Hashes an encoded recipe or recipe node.
    #[must_use]
    pub fn of(encoded: &[u8]) -> Self {
        Self(blake3::derive_key("onenb recipe v1", encoded))
    }
}

impl ContentDigest {
    /// Hashes a whole content that is at hand in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl ParamsHash {
    /// Hashes the deterministic CBOR of a parameter set.
    #[must_use]
    pub fn of(cbor: &[u8]) -> Self {
        Self(blake3::derive_key("onenb params v1", cbor))
    }
}

impl CodeIdentity {
    /// Hashes code in the encoding that `docs/format/run.md` describes.
    #[must_use]
    pub fn of(encoded: &[u8]) -> Self {
        Self(blake3::derive_key("onenb code v1", encoded))
    }
}

impl ObjectId {
    /// Hashes a metadata object of one kind.
    #[must_use]
    pub fn of(kind: u8, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("onenb object v1");
        hasher.update(&[kind]);
        hasher.update(bytes);
        Self(*hasher.finalize().as_bytes())
    }
}

/// Makes a ULID from the clock and the system's randomness. A generator kept in memory would repeat itself after a
/// fork.
pub(crate) fn fresh_ulid() -> Ulid {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system has a source of randomness");
    Ulid::from_parts(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX), u128::from_le_bytes(random))
}

macro_rules! ulid_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// Makes a fresh, never used identity from the clock and randomness.
            #[must_use]
            pub fn generate() -> Self {
                Self(fresh_ulid())
            }

            /// Takes over 16 big-endian bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }

            /// Returns when it was made, in milliseconds since 1970.
            #[must_use]
            pub const fn time_ms(self) -> u64 {
                self.0.timestamp_ms()
            }

            /// Returns the 16 big-endian bytes.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Ulid::from_string(text).map(Self).map_err(|_| ParseIdError::new(text, $what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

ulid_type! {
    /// A pack file. Never reused.
    PackId, "a pack id (a ULID)"
}
ulid_type! {
    /// One execution of a notebook in one kernel.
    RunId, "a run id (a ULID)"
}
ulid_type! {
    /// One push to a remote.
    SessionId, "a push session id (a ULID)"
}

/// A Git object id: 20 bytes (SHA-1) or 32 bytes (SHA-256).
///
/// Invariant: `len` is 20 or 32 and the bytes behind it are zero, so derived equality and order are right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId {
    bytes: [u8; 32],
    len: u8,
}

impl CommitId {
    /// Takes 20 or 32 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(slice: &[u8]) -> Option<Self> {
        if slice.len() != 20 && slice.len() != 32 {
            return None;
        }
        let mut bytes = [0; 32];
        bytes.get_mut(..slice.len())?.copy_from_slice(slice);
        Some(Self { bytes, len: u8::try_from(slice.len()).ok()? })
    }

    /// Returns the 20 or 32 bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// Returns the first 7 hex digits, as Git shows commits.
    #[must_use]
    pub fn short(&self) -> String {
        to_hex(self.as_slice()).chars().take(7).collect()
    }

    /// Returns whether every byte is zero, which Git's hooks use for "no object".
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_slice().iter().all(|byte| *byte == 0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(self.as_slice()))
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({})", self.short())
    }
}

impl FromStr for CommitId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        from_hex(text)
            .and_then(|bytes| Self::from_slice(&bytes))
            .ok_or_else(|| ParseIdError::new(text, "a commit id (40 or 64 hex digits)"))
    }
}

impl Serialize for CommitId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommitId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_hex() {
        let id = ContentDigest::of(b"onenb");
        assert_eq!(id.to_string().parse::<ContentDigest>(), Ok(id));
        for bad in ["", "0", "zz", "+1", "é0"] {
            assert!(from_hex(bad).is_none_or(|bytes| bytes.is_empty()), "{bad}");
            assert!(bad.parse::<ContentDigest>().is_err());
        }
    }

    #[test]
    fn contexts_separate_the_kinds() {
        let bytes = b"same bytes";
        assert_ne!(ChunkId::of(bytes).as_bytes(), ContentDigest::of(bytes).as_bytes());
        assert_ne!(ChunkId::of(bytes).as_bytes(), RecipeId::of(bytes).as_bytes());
        assert_ne!(ObjectId::of(1, bytes), ObjectId::of(2, bytes));
    }

    #[test]
    fn commit_ids_have_twenty_or_thirty_two_bytes() {
        assert!(CommitId::from_slice(&[1; 20]).is_some_and(|id| id.as_slice().len() == 20));
        assert!(CommitId::from_slice(&[1; 32]).is_some_and(|id| id.as_slice().len() == 32));
        assert_eq!(CommitId::from_slice(&[1; 21]), None);
        assert!(CommitId::from_slice(&[0; 20]).is_some_and(|id| id.is_null()));
    }
}
