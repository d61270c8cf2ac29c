//! A look at tables: how many rows and which columns, from the few bytes that tell. Pure, bounded, for people.
//!
//! CSV is counted by a state machine over its bytes; npy and Parquet say it in a header or a footer. A table that is
//! damaged or of another dialect has no summary, which is no error: the export is bytes to us.

/// Longest npy header that is read, in bytes.
pub const MAX_NPY_HEADER: usize = 64 * 1024;
/// Longest Parquet footer that is read, in bytes.
pub const MAX_PARQUET_FOOTER: usize = 16 * 1024 * 1024;
/// Most columns that are named, and longest CSV header that is kept, in bytes.
const MAX_COLUMNS: usize = 10_000;
const MAX_CSV_HEADER: usize = 256 * 1024;
/// Deepest nesting of a Thrift structure that is skipped.
const MAX_DEPTH: u32 = 16;

/// What a look at a table tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// Rows, without a header.
    pub rows: u64,
    /// Names of the columns; of a plain array one: its type and the shape of a row.
    pub columns: Vec<String>,
}

/// Counts the records of a CSV text that comes in pieces.
#[derive(Debug)]
pub struct CsvCounter {
    separator: u8,
    is_quoted: bool,
    has_bytes: bool,
    records: u64,
    header: Vec<u8>,
}

impl CsvCounter {
    /// Starts a text whose fields are separated by this byte.
    #[must_use]
    pub fn new(separator: u8) -> Self {
        Self { separator, is_quoted: false, has_bytes: false, records: 0, header: Vec::new() }
    }

    /// Takes in the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.records == 0 && self.header.len() < MAX_CSV_HEADER {
                self.header.push(*byte);
            }
            match byte {
                // A doubled quote leaves and enters again.
                b'"' => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => {
                    self.records += u64::from(self.has_bytes);
                    self.has_bytes = false;
                    continue;
                }
                b'\r' => continue,
                _ => {}
            }
            self.has_bytes = true;
        }
    }

    /// Ends the text; `None` for one without a header.
    #[must_use]
    pub fn finish(self) -> Option<TableSummary> {
        let records = self.records + u64::from(self.has_bytes);
        let text = String::from_utf8(self.header).ok()?;
        let columns = split_record(text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']), self.separator);
        let is_header = records > 0 && columns.len() <= MAX_COLUMNS;
        is_header.then(|| TableSummary { rows: records - 1, columns })
    }
}

fn split_record(text: &str, separator: u8) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("it starts with one");
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            _ if c == char::from(separator) && !is_quoted => fields.push(String::new()),
            _ => field.push(c),
        }
    }
    fields
}

/// Reads the beginning of an npy file.
#[must_use]
pub fn npy_summary(start: &[u8]) -> Option<TableSummary> {
    let rest = start.strip_prefix(b"\x93NUMPY")?;
    let (len, from) = match rest.first()? {
        1 => (usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?)), 4),
        2 | 3 => (usize::try_from(u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?)).ok()?, 6),
        _ => return None,
    };
    let header = std::str::from_utf8(rest.get(from..from + len.min(MAX_NPY_HEADER))?).ok()?;
    let shape = header.split_once("'shape':")?.1.split_once('(')?.1.split_once(')')?.0;
    let mut sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let rows = sizes.next().map_or(Some(1), |size| size.parse().ok())?;
    let row: Vec<&str> = sizes.collect();
    let descr = header.split_once("'descr':")?.1.trim_start();
    let columns = if let Some(fields) = descr.strip_prefix('[') {
        // `[('a', '<f8'), ('b', '<i4', (2,))]`: the first text of each pair is a name.
        let fields = fields.split_once(']')?.0;
        let names =
            fields.split("('").skip(1).filter_map(|field| field.split_once('\'')).map(|(name, _)| name.to_owned());
        names.collect()
    } else {
        let kind = descr.strip_prefix('\'')?.split_once('\'')?.0;
        vec![if row.is_empty() { kind.to_owned() } else { format!("{kind} ({})", row.join(", ")) }]
    };
    Some(TableSummary { rows, columns })
}

/// Reads a Parquet footer: the bytes between the data and the last eight.
#[must_use]
pub fn parquet_summary(footer: &[u8]) -> Option<TableSummary> {
    let mut thrift = Thrift { bytes: footer };
    let (mut rows, mut columns, mut last) = (None, Vec::new(), 0);
    loop {
        match thrift.field(&mut last)? {
            (_, STOP) => break,
            (2, LIST) => columns = schema_columns(&mut thrift)?,
            (3, I64) => rows = u64::try_from(thrift.signed()?).ok(),
            (_, kind) => thrift.skip(kind, 0)?,
        }
    }
    Some(TableSummary { rows: rows?, columns })
}

/// Returns the names of the elements right below the root; the schema lists a tree in the order of its leaves.
fn schema_columns(thrift: &mut Thrift<'_>) -> Option<Vec<String>> {
    let (count, kind) = thrift.list()?;
    if kind != STRUCT {
        return None;
    }
    let mut columns = Vec::new();
    // How many children each open element still has, from the root on.
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..count {
        let (mut name, mut children, mut last) = (String::new(), 0, 0);
        loop {
            match thrift.field(&mut last)? {
                (_, STOP) => break,
                (4, BINARY) => name = String::from_utf8_lossy(thrift.binary()?).into_owned(),
                (5, I32) => children = u64::try_from(thrift.signed()?).ok()?,
                (_, kind) => thrift.skip(kind, 0)?,
            }
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() == 1 && columns.len() < MAX_COLUMNS {
            columns.push(name);
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        open.push(children);
    }
    Some(columns)
}

const STOP: u8 = 0;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// The compact protocol of Thrift, as far as footers use it.
struct Thrift<'a> {
    bytes: &'a [u8],
}

impl<'a> Thrift<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    #[expect(clippy::cast_possible_wrap, reason = "zigzag numbers are defined by their bits")]
    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.unsigned()?).ok()?;
        self.take(len)
    }

    /// Reads a field's header, its number and kind; the kind [`STOP`] ends the structure.
    fn field(&mut self, last: &mut i64) -> Option<(i64, u8)> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some((0, STOP));
        }
        *last = match byte >> 4 {
            0 => self.signed()?,
            delta => last.checked_add(i64::from(delta))?,
        };
        // A field of kind 0 is none.
        Some((*last, byte & 0x0f)).filter(|(_, kind)| *kind != STOP)
    }

    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let count = if byte >> 4 == 15 { self.unsigned()? } else { u64::from(byte >> 4) };
        // Every element takes a byte at least.
        (count <= self.bytes.len() as u64).then_some((count, byte & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.unsigned()?),
            7 => drop(self.take(8)?),
            BINARY => drop(self.binary()?),
            LIST | 10 => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    // In a list a boolean is a byte of its own.
                    self.skip(if kind <= 2 { 3 } else { kind }, depth + 1)?;
                }
            }
            STRUCT => {
                let mut last = 0;
                loop {
                    match self.field(&mut last)? {
                        (_, STOP) => break,
                        (_, kind) => self.skip(kind, depth + 1)?,
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn csv(text: &str, piece: usize) -> Option<TableSummary> {
        let mut counter = CsvCounter::new(b',');
        text.as_bytes().chunks(piece).for_each(|bytes| counter.update(bytes));
        counter.finish()
    }

    #[expect(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
    fn summary(rows: u64, columns: &[&str]) -> Option<TableSummary> {
        Some(TableSummary { rows, columns: columns.iter().map(|name| (*name).to_owned()).collect() })
    }

    #[test]
    fn csv_records_are_counted_whatever_is_quoted() {
        let text = "\u{feff}a,\"b, \"\"c\"\"\",d\r\n1,\"two\nlines\",3\n\n4,5,6";
        for piece in [1, 2, 7, 100] {
            assert_eq!(csv(text, piece), summary(2, &["a", "b, \"c\"", "d"]));
        }
        assert_eq!((csv("", 1), csv("a\n", 1)), (None, summary(0, &["a"])));
    }

    fn npy(descr: &str, shape: &str) -> Vec<u8> {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
        let len = u16::try_from(header.len()).expect("short").to_le_bytes();
        [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), &[0; 16]].concat()
    }

    #[test]
    fn npy_headers_tell_rows_and_the_shape_of_a_row() {
        assert_eq!(npy_summary(&npy("'<f8'", "(100, 3)")), summary(100, &["<f8 (3)"]));
        assert_eq!(npy_summary(&npy("'<i4'", "(7,)")), summary(7, &["<i4"]));
        assert_eq!(npy_summary(&npy("'<i4'", "()")), summary(1, &["<i4"]));
        assert_eq!(npy_summary(&npy("[('a', '<f8'), ('b c', '<i4')]", "(2,)")), summary(2, &["a", "b c"]));
        assert_eq!(npy_summary(b"PK"), None);
    }

    /// Version 1; schema of a root with `x` and `y`, the latter with one child; five rows; a string to be skipped.
    const FOOTER: &[u8] = &[
        0x15, 0x02, 0x19, 0x4c, 0x48, 4, b'r', b'o', b'o', b't', 0x15, 0x04, 0x00, 0x15, 0x02, 0x38, 1, b'x', 0x00,
        0x48, 1, b'y', 0x15, 0x02, 0x00, 0x15, 0x02, 0x38, 1, b'z', 0x00, 0x16, 0x0a, 0x38, 2, b'h', b'i', 0x00,
    ];

    #[test]
    fn parquet_footers_tell_rows_and_the_columns_at_the_top() {
        assert_eq!(parquet_summary(FOOTER), summary(5, &["x", "y"]));
        for end in 0..FOOTER.len() {
            assert_eq!(parquet_summary(&FOOTER[..end]), None, "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_summary_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parquet_summary(&bytes);
            let _ = npy_summary(&[b"\x93NUMPY\x01\x00", &bytes[..]].concat());
            let mut counter = CsvCounter::new(b';');
            counter.update(&bytes);
            let _ = counter.finish();
        }
    }
}
