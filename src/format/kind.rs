//! Kinds of content, told from the first bytes of a content: names lie, and a store has none.
//!
//! A kind only chooses how bytes are compressed, so that a wrong guess costs space or time and nothing else.

use std::fmt;

/// How much of a content is looked at, in bytes.
pub const SNIFF_LEN: usize = 64 * 1024;
/// Rows that must agree before text counts as a table.
const MAX_ROWS: usize = 20;
/// Fields of a table are separated by one of these.
const SEPARATORS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContentKind {
    /// Text whose rows have the same number of fields.
    Csv,
    /// Any other text: JSON, logs, notebooks, code.
    Text,
    /// Apache Parquet.
    Parquet,
    /// An array as `numpy.save` writes it.
    Npy,
    /// A Python pickle of protocol 2 or later.
    Pickle,
    /// Apache Arrow, as a file or as a stream.
    Arrow,
    /// Anything else.
    Other,
}

impl ContentKind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Csv, Self::Text, Self::Parquet, Self::Npy, Self::Pickle, Self::Arrow, Self::Other];

    /// Tells the kind from the first bytes of a content: all of a short one, [`SNIFF_LEN`] of a long one.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        let start = start.get(..SNIFF_LEN).unwrap_or(start);
        match start {
            [b'P', b'A', b'R', b'1', ..] => Self::Parquet,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            // A stream starts with a marker and the length of its schema, which is far below 16 MiB.
            [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0, ..] | [0xff, 0xff, 0xff, 0xff, _, _, _, 0, ..] => Self::Arrow,
            // Protocol 2 and 3 go on with any opcode, all of which are ASCII or just above; 4 and 5 with a frame.
            [0x80, 4 | 5, 0x95, ..] => Self::Pickle,
            [0x80, 2 | 3, opcode, ..] if opcode.is_ascii_graphic() || (0x80..=0x8b).contains(opcode) => Self::Pickle,
            _ if is_text(start) => {
                if is_table(start) {
                    Self::Csv
                } else {
                    Self::Text
                }
            }
            _ => Self::Other,
        }
    }

    /// Returns the name of the kind in settings and talk.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Text => "text",
            Self::Parquet => "parquet",
            Self::Npy => "npy",
            Self::Pickle => "pickle",
            Self::Arrow => "arrow",
            Self::Other => "other",
        }
    }

    /// Returns the kind with a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns whether contents of this kind are text, to which no filter for numbers applies.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Text)
    }
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Returns whether bytes are text in any encoding that keeps ASCII: they hold no control characters but those of text.
fn is_text(start: &[u8]) -> bool {
    let is_of_text = |byte: u8| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    // No early end, so that the compiler looks at many bytes at a time.
    !start.is_empty() && start.iter().fold(true, |is_text, byte| is_text & is_of_text(*byte))
}

/// Returns whether the first rows of a text, the last of which may be cut off, have the same number of fields.
fn is_table(start: &[u8]) -> bool {
    let mut rows = rows(start);
    if !start.ends_with(b"\n") && rows.len() > 2 {
        rows.pop();
    }
    rows.len() >= 2
        && SEPARATORS.iter().any(|separator| {
            let mut counts = rows.iter().map(|row| count_outside_quotes(row, *separator));
            let first = counts.next().unwrap_or_default();
            first > 0 && counts.all(|count| count == first)
        })
}

/// Cuts text into rows. Line ends within quotes and lines of remarks are none.
fn rows(text: &[u8]) -> Vec<&[u8]> {
    let mut is_quoted = false;
    let is_end = |byte: &u8| {
        is_quoted ^= *byte == b'"';
        *byte == b'\n' && !is_quoted
    };
    let is_row = |row: &&[u8]| !row.trim_ascii().is_empty() && !row.starts_with(b"#");
    text.split(is_end).filter(is_row).take(MAX_ROWS).collect()
}

fn count_outside_quotes(row: &[u8], separator: u8) -> usize {
    let mut is_quoted = false;
    let counts = |byte: &&u8| {
        is_quoted ^= **byte == b'"';
        **byte == separator && !is_quoted
    };
    row.iter().filter(counts).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::random;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let cases: [(&[u8], ContentKind); 16] = [
            (b"PAR1\x15\x04\x15\x10", ContentKind::Parquet),
            (b"\x93NUMPY\x01\x00v\x00{'descr'", ContentKind::Npy),
            (b"ARROW1\0\0\xff\xff\xff\xff", ContentKind::Arrow),
            (b"\xff\xff\xff\xff\x70\x00\x00\x00\x10\x00", ContentKind::Arrow),
            (b"\x80\x05\x95\x10\0\0\0\0\0\0\0}", ContentKind::Pickle),
            (b"\x80\x02}q\x00X", ContentKind::Pickle),
            (b"a,b,c\n1,2,3\n4,5,6\n", ContentKind::Csv),
            (b"# made by hand\na;b\n\"x;\ny\";2\n", ContentKind::Csv),
            (b"name\tM\xfcller\n1\t2\n3", ContentKind::Csv),
            (b"{\"a\": [1, 2, 3],\n \"b\": 4}\n", ContentKind::Text),
            (b"only one line, with a comma", ContentKind::Text),
            (b"import os\n\nprint(os.name)\n", ContentKind::Text),
            (b"", ContentKind::Other),
            (b"PK\x03\x04\x14\0", ContentKind::Other),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ContentKind::Other),
            (b"h\0e\0l\0l\0o\0", ContentKind::Other),
        ];
        for (start, kind) in cases {
            assert_eq!(ContentKind::of(start), kind, "{:?}", String::from_utf8_lossy(start));
        }
        assert_eq!(ContentKind::of(&random(1, 1000)), ContentKind::Other);
    }

    #[test]
    fn a_long_table_is_one_wherever_the_sample_ends() {
        let table = b"2023-01-01,north,12.5\n".repeat(4000);
        for len in [SNIFF_LEN - 7, SNIFF_LEN, SNIFF_LEN + 100, table.len()] {
            assert_eq!(ContentKind::of(&table[..len]), ContentKind::Csv, "{len}");
        }
    }

    #[test]
    fn names_are_unique_and_come_back() {
        for kind in ContentKind::ALL {
            assert_eq!(ContentKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ContentKind::from_name("json"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_kind(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = ContentKind::of(&bytes);
        }
    }
}
