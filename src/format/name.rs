//! Names of exports, their suffixes, and the paths under `.1nb` made from them.
//!
//! - Names come from hostile places and become file names, so they are parsed once, here, and trusted afterwards.
//! - An [`ExportName`] is NFC, at most 128 bytes, an identifier or `[A-Za-z0-9_-]+`, and no name that Windows reserves.
//! - [`ExportName::fold`] decides uniqueness: two names that a file system may confuse are the same name.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization as _;

use super::FormatError;
use super::directory::DIRECTORY_SUFFIX;

/// Longest export name in bytes.
pub const MAX_NAME_LEN: usize = 128;

/// Media type of the exports of directories.
const DIRECTORY_MEDIA_TYPE: &str = "application/vnd.onenb.directory";

const WINDOWS_RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Only ASCII letters, digits, `_`, `-` and `.` stay as they are in a path component.
const PATH_ESCAPES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'$')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'~')
    .add(b'!');

/// Percent-encodes one path component so that any file system keeps it apart from every other.
#[must_use]
pub fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, PATH_ESCAPES).to_string()
}

/// Undoes [`encode_component`]; `None` if the bytes are not UTF-8.
#[must_use]
pub fn decode_component(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The name of an export.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportName(String);

impl ExportName {
    /// Checks a name and brings it into Unicode's NFC form.
    ///
    /// # Errors
    /// [`FormatError::Refused`] with the rule that the name breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = |reason: &str| Err(FormatError::refused("export name", text, reason));
        let name: String = text.nfc().collect();
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > MAX_NAME_LEN {
            return refuse("it is longer than 128 bytes");
        }
        if name.starts_with('_') {
            return refuse("names that start with `_` stand for parameter variables");
        }
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let mut chars = name.chars();
        let identifier =
            chars.next().is_some_and(unicode_ident::is_xid_start) && chars.all(unicode_ident::is_xid_continue);
        if !plain && !identifier {
            return refuse("use an identifier, or letters, digits, `_` and `-`");
        }
        if is_windows_reserved(&name) {
            return refuse("Windows reserves it");
        }
        Ok(Self(name))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which two names of one repository must differ: NFKC, case folded.
    #[must_use]
    pub fn fold(&self) -> String {
        if self.0.is_ascii() {
            return self.0.to_ascii_lowercase();
        }
        self.0.nfkc().flat_map(char::to_lowercase).nfkc().collect()
    }

    /// Returns the name as a path component: ASCII, everything else percent-encoded.
    #[must_use]
    pub fn to_component(&self) -> String {
        encode_component(&self.0)
    }
}

fn is_windows_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let numbered = |prefix: &str| {
        lower.strip_prefix(prefix).is_some_and(|rest| {
            let mut chars = rest.chars();
            matches!((chars.next(), chars.next()), (Some('1'..='9' | '¹' | '²' | '³'), None))
        })
    };
    WINDOWS_RESERVED.contains(&lower.as_str()) || numbered("com") || numbered("lpt")
}

impl fmt::Display for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExportName({})", self.0)
    }
}

impl FromStr for ExportName {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text)
    }
}

impl Serialize for ExportName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ExportName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A file name suffix with its dot, such as `.csv` or `.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suffix(String);

impl Suffix {
    /// Checks a suffix: a dot and 1 to 32 ASCII letters, digits or dots.
    ///
    /// # Errors
    /// [`FormatError::Refused`].
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let body = text.strip_prefix('.');
        let fine = body.is_some_and(|body| {
            (1..=32).contains(&body.len()) && body.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
        });
        if fine {
            Ok(Self(text.to_owned()))
        } else {
            Err(FormatError::refused(
                "suffix",
                text,
                "a suffix is a dot and up to 32 letters, digits or dots, such as `.csv`",
            ))
        }
    }

    /// Takes the suffix of a file name: from its first dot for `.tar.gz`-like pairs, else from its last one.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let name = name.trim_start_matches('.');
        let (stem, last) = name.rsplit_once('.')?;
        let compressed = matches!(last, "gz" | "bz2" | "xz" | "zst" | "lz4" | "br");
        let pair = compressed
            .then(|| stem.rsplit_once('.'))
            .flatten()
            .filter(|(_, inner)| (1..=8).contains(&inner.len()) && inner.chars().all(|c| c.is_ascii_alphanumeric()));
        let text = match pair {
            Some((_, inner)) => format!(".{inner}.{last}"),
            None => format!(".{last}"),
        };
        Self::parse(&text).ok()
    }

    /// Returns the suffix with its dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the suffix of a directory that has this one as a folder; an own `.dir` stands for none.
    #[must_use]
    pub fn into_directory(self) -> Self {
        let own = self.folder_suffix().to_owned();
        Self::parse(&format!("{own}{DIRECTORY_SUFFIX}")).unwrap_or_else(|_| Self(DIRECTORY_SUFFIX.to_owned()))
    }

    /// Returns whether the export is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.0.ends_with(DIRECTORY_SUFFIX)
    }

    /// Returns the suffix that the restored folder has, perhaps none.
    #[must_use]
    pub fn folder_suffix(&self) -> &str {
        self.0.strip_suffix(DIRECTORY_SUFFIX).unwrap_or(&self.0)
    }

    /// Returns the IANA media type that people expect for the suffix, `application/octet-stream` if none is known.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        if self.is_directory() {
            return DIRECTORY_MEDIA_TYPE;
        }
        match self.0.to_ascii_lowercase().as_str() {
            ".csv" => "text/csv",
            ".tsv" => "text/tab-separated-values",
            ".txt" | ".log" => "text/plain",
            ".md" => "text/markdown",
            ".html" | ".htm" => "text/html",
            ".json" => "application/json",
            ".jsonl" | ".ndjson" => "application/x-ndjson",
            ".xml" => "application/xml",
            ".yaml" | ".yml" => "application/yaml",
            ".parquet" => "application/vnd.apache.parquet",
            ".arrow" | ".feather" => "application/vnd.apache.arrow.file",
            ".arrows" => "application/vnd.apache.arrow.stream",
            ".npy" => "application/x-npy",
            ".npz" => "application/x-npz",
            ".pkl" | ".pickle" => "application/x-python-pickle",
            ".h5" | ".hdf5" => "application/x-hdf5",
            ".nc" => "application/x-netcdf",
            ".xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            ".sqlite" | ".db" => "application/vnd.sqlite3",
            ".zip" => "application/zip",
            ".gz" | ".csv.gz" | ".tar.gz" | ".tgz" => "application/gzip",
            ".zst" => "application/zstd",
            ".png" => "image/png",
            ".jpg" | ".jpeg" => "image/jpeg",
            ".svg" => "image/svg+xml",
            ".gif" => "image/gif",
            ".webp" => "image/webp",
            ".pdf" => "application/pdf",
            ".ipynb" => "application/x-ipynb+json",
            _ => "application/octet-stream",
        }
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Suffix {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text)
    }
}

impl Serialize for Suffix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Suffix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for good in ["Sales", "q3-2024", "9lives", "Größe", "数据", "a_b", "console"] {
            assert!(ExportName::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(300);
        for bad in ["", "_p1", "a/b", "..", "a\0b", "a b", "a.b", "CON", "nul", "Com1", "lpt9", "é-x", &long] {
            assert!(ExportName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn case_and_normalisation_twins_fold_to_the_same_name() -> Result<(), FormatError> {
        assert_eq!(ExportName::parse("Sales")?.fold(), ExportName::parse("SALES")?.fold());
        assert_eq!(ExportName::parse("e\u{301}")?, ExportName::parse("é")?);
        assert_eq!(ExportName::parse("ﬁx")?.fold(), ExportName::parse("FIX")?.fold());
        Ok(())
    }

    #[test]
    fn components_are_ascii_and_come_back() -> Result<(), FormatError> {
        let name = ExportName::parse("Größe")?;
        assert_eq!(name.to_component(), "Gr%C3%B6%C3%9Fe");
        assert_eq!(decode_component(&name.to_component()).as_deref(), Some("Größe"));
        assert_eq!(encode_component("a/b c"), "a%2Fb%20c");
        Ok(())
    }

    #[test]
    fn suffixes_follow_the_grammar() {
        for good in [".csv", ".tar.gz", ".7z"] {
            assert!(Suffix::parse(good).is_ok(), "{good}");
        }
        let long = format!(".{}", "x".repeat(33));
        for bad in ["", ".", "csv", ".c/v", "._", ".é", &long] {
            assert!(Suffix::parse(bad).is_err(), "{bad}");
        }
        let of = |name: &str| Suffix::of_file_name(name).map(|suffix| suffix.to_string());
        assert_eq!(of("a.tar.gz").as_deref(), Some(".tar.gz"));
        assert_eq!(of("a.b.csv").as_deref(), Some(".csv"));
        assert_eq!(of(".hidden"), None);
        assert_eq!(of("plain"), None);
    }
}
