//! How new chunks are encoded, by kind of content: the file `encoding.toml` of a store, which `onenb tune` writes.
//!
//! Settings change how bytes lie in packs, never which chunks a content has or what it is called. Frames describe
//! themselves, so readers need none of this. Page: `docs/format/store.md`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::kind::ContentKind;
use super::pack::FRAME_TARGET_LEN;

/// Version of the file that this program writes, and the newest it reads.
pub const ENCODING_VERSION: u32 = 1;
/// Longest file in bytes.
pub const MAX_ENCODING_LEN: u64 = 64 * 1024;
/// Lowest and highest level of zstd.
pub const LEVELS: (i32, i32) = (1, 19);
/// Shortest target of a frame in raw bytes. Below the usual length of a chunk a frame holds one chunk in any case.
pub const MIN_FRAME_LEN: u32 = 16 * 1024;
/// Longest target of a frame in raw bytes, and the default: the one that the format allows.
pub const MAX_FRAME_LEN: u32 = 1024 * 1024;

const WHAT: &str = "encoding.toml";
const HEADER: &str =
    "# How this store encodes new data. Written by `onenb tune --apply`, removed by `onenb tune --undo`.\n";

const _: () = assert!(MAX_FRAME_LEN as usize == FRAME_TARGET_LEN);

/// How new chunks of a content are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// Level of zstd, within [`LEVELS`]. Frames that lean on others are compressed with 9 at least.
    pub level: i32,
    /// Raw bytes at which a frame is full, from [`MIN_FRAME_LEN`] to [`MAX_FRAME_LEN`].
    pub frame_len: u32,
    /// Shuffle the bytes of numbers where a sample says that it pays.
    pub shuffle: bool,
    /// Compress against the version before where that pays.
    pub delta: bool,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { level: 3, frame_len: MAX_FRAME_LEN, shuffle: true, delta: true }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}, frames of {} KiB", self.level, self.frame_len / 1024)?;
        f.write_str(if self.shuffle { "" } else { ", no byte shuffle" })?;
        f.write_str(if self.delta { "" } else { ", no deltas" })
    }
}

impl fmt::Display for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, encoding) in self.iter() {
            write!(f, "{kind}: {encoding}; ")?;
        }
        write!(f, "{}: {}", if self.is_empty() { "all data" } else { "all else" }, Encoding::default())
    }
}

impl Encoding {
    fn check(&self) -> Result<(), FormatError> {
        let refused = |reason: String| Err(FormatError::malformed(WHAT, reason));
        let (lowest, highest) = LEVELS;
        if !(lowest..=highest).contains(&self.level) {
            return refused(format!("level {} is not from {lowest} to {highest}", self.level));
        }
        if !(MIN_FRAME_LEN..=MAX_FRAME_LEN).contains(&self.frame_len) {
            return refused(format!("frame_len {} is not from {MIN_FRAME_LEN} to {MAX_FRAME_LEN}", self.frame_len));
        }
        Ok(())
    }
}

/// The encoding of each kind of content that has one of its own; all others have the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encodings(BTreeMap<ContentKind, Encoding>);

impl Encodings {
    /// Returns the encoding of a kind.
    #[must_use]
    pub fn of(&self, kind: ContentKind) -> Encoding {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Gives a kind an encoding; the default is no setting.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for values out of range.
    pub fn set(&mut self, kind: ContentKind, encoding: Encoding) -> Result<(), FormatError> {
        encoding.check()?;
        if encoding == Encoding::default() {
            self.0.remove(&kind);
        } else {
            self.0.insert(kind, encoding);
        }
        Ok(())
    }

    /// Returns whether every kind has the default.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the kinds that have an encoding of their own.
    pub fn iter(&self) -> impl Iterator<Item = (ContentKind, Encoding)> + '_ {
        self.0.iter().map(|(kind, encoding)| (*kind, *encoding))
    }

    /// Writes the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let kinds: BTreeMap<&str, Encoding> = self.0.iter().map(|(kind, encoding)| (kind.name(), *encoding)).collect();
        let body = toml::to_string(&kinds).expect("numbers and flags are all that TOML needs to know");
        format!("{HEADER}version = {ENCODING_VERSION}\n\n{body}")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`FormatError::TooNew`] for a later version, [`FormatError::Malformed`] for anything that this one does not
    /// have.
    pub fn from_text(text: &str) -> Result<Self, FormatError> {
        let malformed = |reason: String| FormatError::malformed(WHAT, reason);
        let mut table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| malformed(error.message().to_owned()))?;
        let version = table.remove("version").and_then(|version| version.as_integer()).unwrap_or(0);
        if version <= 0 {
            return Err(malformed("it has no version".to_owned()));
        }
        let found = u32::try_from(version).unwrap_or(u32::MAX);
        if found > ENCODING_VERSION {
            return Err(FormatError::TooNew { what: WHAT, found, known: ENCODING_VERSION });
        }
        let mut encodings = Self::default();
        for (name, value) in table {
            let kind = ContentKind::from_name(&name).ok_or_else(|| malformed("it names an unknown kind".to_owned()))?;
            let encoding = value.try_into().map_err(|error: toml::de::Error| malformed(error.message().to_owned()))?;
            encodings.set(kind, encoding)?;
        }
        Ok(encodings)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_encoding() -> impl Strategy<Value = Encoding> {
        (1..=19_i32, MIN_FRAME_LEN..=MAX_FRAME_LEN, any::<bool>(), any::<bool>())
            .prop_map(|(level, frame_len, shuffle, delta)| Encoding { level, frame_len, shuffle, delta })
    }

    #[test]
    fn the_file_is_the_one_of_the_page() {
        let mut encodings = Encodings::default();
        encodings.set(ContentKind::Csv, Encoding { level: 9, frame_len: 262_144, ..Encoding::default() }).unwrap();
        encodings.set(ContentKind::Npy, Encoding::default()).unwrap();
        let text = "version = 1\n\n[csv]\nlevel = 9\nframe_len = 262144\nshuffle = true\ndelta = true\n";
        assert_eq!(encodings.to_text(), format!("{HEADER}{text}"));
        assert_eq!(encodings.of(ContentKind::Csv).level, 9);
        assert_eq!(encodings.of(ContentKind::Npy), Encoding::default());
        let usual = "level 3, frames of 1024 KiB";
        assert_eq!(encodings.to_string(), format!("csv: level 9, frames of 256 KiB; all else: {usual}"));
        assert_eq!(Encodings::default().to_string(), format!("all data: {usual}"));
        let page = include_str!("../../docs/format/store.md");
        assert!(page.contains(text.trim_end()), "docs/format/store.md has another example");
    }

    #[test]
    fn what_this_version_does_not_have_is_refused() {
        let whole = "level = 3\nframe_len = 65536\nshuffle = true\ndelta = true\n";
        for (text, reason) in [
            (String::new(), "no version"),
            ("version = 0".to_owned(), "no version"),
            ("version = \"1\"".to_owned(), "no version"),
            ("version = -1".to_owned(), "no version"),
            (format!("version = {}", u64::from(u32::MAX) + 1), "version 4294967295"),
            ("version = 2\n[csv]\nsecret = 1".to_owned(), "version 2"),
            ("version".to_owned(), "malformed"),
            (format!("version = 1\n[json]\n{whole}"), "unknown kind"),
            (format!("version = 1\n[csv]\n{whole}chunk = 3\n"), "chunk"),
            ("version = 1\n[csv]\nlevel = 3\n".to_owned(), "frame_len"),
            (format!("version = 1\n[csv]\n{}", whole.replace("= 3", "= 20")), "level 20"),
            (format!("version = 1\n[csv]\n{}", whole.replace("65536", "1048577")), "frame_len 1048577"),
            (format!("version = 1\n[csv]\n{}", whole.replace("65536", "-1")), "malformed"),
        ] {
            let refusal = Encodings::from_text(&text).expect_err(&text).to_string();
            assert!(refusal.contains(reason), "{text:?}: {refusal}");
        }
        assert!(Encodings::from_text("version = 1\n").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn settings_come_back(settings in prop::collection::vec((0..7_usize, any_encoding()), 0..9)) {
            let mut encodings = Encodings::default();
            for (kind, encoding) in settings {
                encodings.set(ContentKind::ALL[kind], encoding).unwrap();
            }
            prop_assert_eq!(Encodings::from_text(&encodings.to_text()).unwrap(), encodings);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(version = [0-3]\n)?\\PC{0,200}") {
            let _ = Encodings::from_text(&text);
        }
    }
}
