//! Reading fixed-width little-endian fields off a byte slice, for the binary formats.
//!
//! Every take is bounds-checked, so a short input is a [`FormatError`] and never a panic.

use super::FormatError;

/// The unread rest of an encoded value.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts reading; `what` names the value in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// Takes `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.fault("it is cut short"))?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes an array.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.fault("it is cut short"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte.
    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes a `u32`.
    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Takes a `u64`.
    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a `u32` that counts items of `width` bytes each, of which there must be at most `limit` and all present.
    pub(crate) fn count(&mut self, width: usize, limit: usize) -> Result<usize, FormatError> {
        let count = self.u32()? as usize;
        if count > limit || count.saturating_mul(width) > self.rest.len() {
            return Err(self.fault("a count is larger than what follows"));
        }
        Ok(count)
    }

    /// Returns how many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Fails if bytes are left.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault("it has bytes after its end")) }
    }

    /// Makes an error about this value.
    pub(crate) fn fault(&self, reason: impl Into<String>) -> FormatError {
        FormatError::malformed(self.what, reason)
    }
}

/// Returns the first 16 bytes of the plain BLAKE3 of all parts in a row.
pub(crate) fn checksum16(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

/// Reads the bytes of the worked example on a page of `docs/format`: the block marked `hex`, with offsets before a
/// colon and remarks after a `;`.
#[cfg(test)]
pub(crate) fn hex_of_page(page: &str) -> Vec<u8> {
    let block =
        page.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has an example");
    let digits: String = block
        .lines()
        .map(|line| line.split_once(':').map_or(line, |(_, hex)| hex))
        .map(|line| line.split(';').next().unwrap_or_default())
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    crate::id::from_hex(&digits).expect("the example is hex")
}
