//! Index segments: sorted keys of sealed packs, 16 bytes each, read with one positioned read per lookup.
//!
//! | header 64 | packs 16 × p | buckets 8 × 2^b | entries 16 × n |
//!
//! - An entry is the first 8 bytes of a key and where the frame with that key starts. The whole key is checked in the
//!   frame's header, so an entry may be wrong without harm; it may not be missing.
//! - Every bucket has a checksum of its own: damage is noticed when a lookup meets it, and the segment is then dropped
//!   and built again from the packs. Segments may be deleted at any time.
//! - Memory per segment is its table of packs and buckets, about 0.3 bytes a key. Layout: `docs/format/index.md`.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::format::bytes::{Fields, checksum16};
use crate::format::pack::PackClass;
use crate::fs::{PendingFile, read_exact_at};
use crate::id::PackId;

const MAGIC: [u8; 8] = *b"1nbindx\n";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const PACK_LEN: usize = 16;
const BUCKET_LEN: usize = 8;
const ENTRY_LEN: usize = 16;
/// Entries that a bucket holds on average, at most.
const BUCKET_ENTRIES: u64 = 32;
const MAX_BUCKET_BITS: u32 = 24;
const MAX_PACKS: usize = 1024 * 1024;
/// A bucket longer than this is damage: prefixes of hashes spread evenly.
const MAX_BUCKET_ENTRIES: u32 = 4096;
/// Entries fetched at once when a segment is merged.
const BLOCK_ENTRIES: u64 = 4096;

/// One key of a frame: prefix, number of the pack in a table, position of the frame in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) prefix: u64,
    pub(super) pack: u32,
    pub(super) offset: u32,
}

impl Entry {
    fn from_bytes(bytes: [u8; ENTRY_LEN]) -> Self {
        let (prefix, place) = bytes.as_chunks::<4>().0.split_at(2);
        let number = |at: usize, half: &[[u8; 4]]| half.get(at).copied().unwrap_or_default();
        Self {
            prefix: u64::from(u32::from_be_bytes(number(0, prefix))) << 32
                | u64::from(u32::from_be_bytes(number(1, prefix))),
            pack: u32::from_le_bytes(number(0, place)),
            offset: u32::from_le_bytes(number(1, place)),
        }
    }

    fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        let (prefix, place) = bytes.split_at_mut(8);
        prefix.copy_from_slice(&self.prefix.to_be_bytes());
        let (pack, offset) = place.split_at_mut(4);
        pack.copy_from_slice(&self.pack.to_le_bytes());
        offset.copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }
}

/// Returns the part of a key that segments keep.
pub(super) fn prefix_of(key: &[u8; 32]) -> u64 {
    key.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head))
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    packs: Vec<PackId>,
    bucket_bits: u32,
    /// End of each bucket as a number of entries, and the checksum of its bytes.
    buckets: Vec<(u32, [u8; 4])>,
    entries_at: u64,
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

impl Segment {
    /// Opens a segment and reads its tables.
    ///
    /// # Errors
    /// The operating system's error, or `InvalidData` for damage, another class or a newer version.
    pub(super) fn open(path: &Path, class: PackClass) -> io::Result<Self> {
        let file = File::open(path)?;
        let file_len = file.metadata()?.len();
        let mut header = [0; HEADER_LEN];
        read_exact_at(&file, &mut header, 0)?;
        let (pack_count, bucket_bits, entry_count, checksum) =
            read_header(&header, class).map_err(|error| damaged(&error.to_string()))?;
        let tables_len = pack_count * PACK_LEN + (BUCKET_LEN << bucket_bits);
        let entries_at = (HEADER_LEN + tables_len) as u64;
        if entries_at + u64::from(entry_count) * ENTRY_LEN as u64 != file_len {
            return Err(damaged("the segment has another length than it says"));
        }
        let mut tables = vec![0; tables_len];
        read_exact_at(&file, &mut tables, HEADER_LEN as u64)?;
        if checksum16(&[Fields::new("segment", &header).take(48).unwrap_or_default(), &tables]) != checksum {
            return Err(damaged("the segment does not match its checksum"));
        }
        let (packs, buckets) = tables.split_at(pack_count * PACK_LEN);
        let packs = packs.as_chunks::<PACK_LEN>().0.iter().map(|id| PackId::from_bytes(*id)).collect();
        let buckets = buckets.as_chunks::<BUCKET_LEN>().0.iter();
        let buckets = buckets.map(|[a, b, c, d, sum @ ..]| (u32::from_le_bytes([*a, *b, *c, *d]), *sum)).collect();
        Ok(Self { file, path: path.to_path_buf(), packs, bucket_bits, buckets, entries_at })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the packs that the segment covers; entries count into this list.
    pub(super) fn packs(&self) -> &[PackId] {
        &self.packs
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> u32 {
        self.buckets.last().map_or(0, |(end, _)| *end)
    }

    /// Appends the entries with a prefix to `found`.
    ///
    /// # Errors
    /// The operating system's error, or `InvalidData` if the bucket is damaged.
    pub(super) fn find(&self, prefix: u64, found: &mut Vec<Entry>) -> io::Result<()> {
        let bucket = usize::try_from(prefix.checked_shr(64 - self.bucket_bits).unwrap_or(0)).unwrap_or(usize::MAX);
        let start = bucket.checked_sub(1).and_then(|before| self.buckets.get(before)).map_or(0, |(end, _)| *end);
        let (end, checksum) = *self.buckets.get(bucket).ok_or_else(|| damaged("the segment has too few buckets"))?;
        let bytes = self.read_entries(start, end)?;
        if short_checksum(&bytes) != checksum {
            return Err(damaged("a bucket does not match its checksum"));
        }
        let entries = bytes.as_chunks::<ENTRY_LEN>().0.iter().map(|bytes| Entry::from_bytes(*bytes));
        found.extend(entries.filter(|entry| entry.prefix == prefix));
        Ok(())
    }

    fn read_entries(&self, start: u32, end: u32) -> io::Result<Vec<u8>> {
        let count = end.checked_sub(start).filter(|count| *count <= MAX_BUCKET_ENTRIES);
        let count = count.ok_or_else(|| damaged("a bucket is too long"))?;
        let mut bytes = vec![0; count as usize * ENTRY_LEN];
        read_exact_at(&self.file, &mut bytes, self.entries_at + u64::from(start) * ENTRY_LEN as u64)?;
        Ok(bytes)
    }

    /// Iterates over all entries in order, checking every bucket.
    pub(super) fn entries(&self) -> impl Iterator<Item = io::Result<Entry>> + '_ {
        let mut bucket = 0;
        let mut block: std::vec::IntoIter<[u8; ENTRY_LEN]> = vec![].into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(bytes) = block.next() {
                    return Some(Ok(Entry::from_bytes(bytes)));
                }
                match self.next_block(&mut bucket) {
                    Ok(None) => return None,
                    Ok(Some(bytes)) => block = bytes.as_chunks::<ENTRY_LEN>().0.to_vec().into_iter(),
                    Err(error) => {
                        bucket = self.buckets.len();
                        return Some(Err(error));
                    }
                }
            }
        })
    }

    /// Reads whole buckets, at most about [`BLOCK_ENTRIES`] entries.
    fn next_block(&self, bucket: &mut usize) -> io::Result<Option<Vec<u8>>> {
        let mut start = bucket.checked_sub(1).and_then(|before| self.buckets.get(before)).map_or(0, |(end, _)| *end);
        let first = start;
        let mut block = vec![];
        while let Some((end, checksum)) = self.buckets.get(*bucket) {
            let bytes = self.read_entries(start, *end)?;
            if short_checksum(&bytes) != *checksum {
                return Err(damaged("a bucket does not match its checksum"));
            }
            block.extend_from_slice(&bytes);
            *bucket += 1;
            start = *end;
            if u64::from(start - first) >= BLOCK_ENTRIES {
                break;
            }
        }
        Ok((!block.is_empty()).then_some(block))
    }
}

fn short_checksum(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = checksum16(&[bytes]);
    [a, b, c, d]
}

type HeaderFields = (usize, u32, u32, [u8; 16]);

fn read_header(bytes: &[u8], class: PackClass) -> Result<HeaderFields, crate::format::FormatError> {
    let mut fields = Fields::new("index segment", bytes);
    if fields.array::<8>()? != MAGIC || fields.u32()? != VERSION || fields.array()? != [class.to_byte(), 0, 0, 0] {
        return Err(fields.fault("its magic, version or class is unknown"));
    }
    let pack_count = fields.u32()? as usize;
    let bucket_bits = fields.u32()?;
    let entry_count = fields.u32()?;
    if pack_count > MAX_PACKS || bucket_bits > MAX_BUCKET_BITS {
        return Err(fields.fault("its tables are too long"));
    }
    fields.take(20)?;
    Ok((pack_count, bucket_bits, entry_count, fields.array()?))
}

/// Publishes a segment of sorted entries, of which there are at most `most`.
///
/// # Errors
/// The operating system's error, or that of the iterator; the segment then does not exist.
pub(super) fn write_segment(
    path: &Path,
    class: PackClass,
    packs: &[PackId],
    most: u64,
    entries: impl Iterator<Item = io::Result<Entry>>,
) -> io::Result<()> {
    let bucket_bits = bits_for(most);
    let tables_len = packs.len() * PACK_LEN + (BUCKET_LEN << bucket_bits);
    let mut file = PendingFile::create(path)?;
    file.seek(SeekFrom::Start((HEADER_LEN + tables_len) as u64))?;
    let mut tables: Vec<u8> = packs.iter().flat_map(|pack| pack.to_bytes()).collect();
    let mut count = 0_u32;
    let mut bucket = 0_u64;
    let mut block = vec![];
    let mut unwritten = vec![];
    for entry in entries {
        let entry = entry?;
        let wanted = entry.prefix.checked_shr(64 - bucket_bits).unwrap_or(0);
        while bucket < wanted {
            end_bucket(&mut tables, &mut block, &mut unwritten, count);
            bucket += 1;
        }
        block.extend_from_slice(&entry.to_bytes());
        count = count.checked_add(1).ok_or_else(|| damaged("a segment holds fewer than 2^32 entries"))?;
        if unwritten.len() > 64 * 1024 {
            file.write_all(&unwritten)?;
            unwritten.clear();
        }
    }
    while bucket < 1 << bucket_bits {
        end_bucket(&mut tables, &mut block, &mut unwritten, count);
        bucket += 1;
    }
    file.write_all(&unwritten)?;
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&[class.to_byte(), 0, 0, 0]);
    header.extend_from_slice(&u32::try_from(packs.len()).unwrap_or(u32::MAX).to_le_bytes());
    header.extend_from_slice(&bucket_bits.to_le_bytes());
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&[0; 20]);
    let checksum = checksum16(&[&header, &tables]);
    header.extend_from_slice(&checksum);
    header.extend_from_slice(&tables);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header)?;
    file.publish()
}

fn end_bucket(tables: &mut Vec<u8>, block: &mut Vec<u8>, unwritten: &mut Vec<u8>, count: u32) {
    tables.extend_from_slice(&count.to_le_bytes());
    tables.extend_from_slice(&short_checksum(block));
    unwritten.append(block);
}

fn bits_for(entries: u64) -> u32 {
    (0..MAX_BUCKET_BITS).find(|bits| entries >> bits <= BUCKET_ENTRIES).unwrap_or(MAX_BUCKET_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build(path: &Path, entries: &[Entry], packs: usize) {
        let packs: Vec<_> = (0..packs).map(|at| PackId::from_bytes([u8::try_from(at).unwrap(); 16])).collect();
        let entries = entries.iter().copied().map(Ok);
        write_segment(path, PackClass::Data, &packs, entries.len() as u64, entries).unwrap();
    }

    fn entry(number: u64) -> Entry {
        let offset = u32::try_from(number).unwrap();
        Entry { prefix: prefix_of(blake3::hash(&number.to_le_bytes()).as_bytes()), pack: offset % 3, offset }
    }

    fn sorted(count: u64) -> Vec<Entry> {
        let mut entries: Vec<_> = (0..count).map(entry).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn every_entry_is_found_and_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0, 1, 33, 20_000] {
            let path = dir.path().join(format!("{count}.seg"));
            let entries = sorted(count);
            build(&path, &entries, 3);
            let segment = Segment::open(&path, PackClass::Data).unwrap();
            assert_eq!(u64::from(segment.len()), count);
            assert_eq!(segment.entries().collect::<io::Result<Vec<_>>>().unwrap(), entries);
            for entry in &entries {
                let mut found = vec![];
                segment.find(entry.prefix, &mut found).unwrap();
                assert_eq!(found, [*entry]);
            }
            let mut found = vec![];
            segment.find(12345, &mut found).unwrap();
            assert!(found.is_empty());
            assert!(Segment::open(&path, PackClass::Meta).is_err());
        }
    }

    #[test]
    fn a_damaged_segment_is_refused_or_right_never_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("one.seg");
        let entries = sorted(40);
        build(&path, &entries, 3);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            crate::fs::write_atomic(&path, &bytes).unwrap();
            let listed = Segment::open(&path, PackClass::Data)
                .and_then(|segment| segment.entries().collect::<io::Result<Vec<_>>>());
            assert!(listed.is_err(), "byte {at}");
        }
        for len in (0..whole.len()).step_by(7) {
            crate::fs::write_atomic(&path, &whole[..len]).unwrap();
            assert!(Segment::open(&path, PackClass::Data).is_err(), "cut at {len}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn equal_prefixes_are_all_found(prefixes in prop::collection::vec(0_u64..20, 0..200)) {
            let mut entries: Vec<_> = prefixes.iter().zip(0..).map(|(prefix, offset)| Entry { prefix: prefix << 59, pack: 0, offset }).collect();
            entries.sort_unstable();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("one.seg");
            build(&path, &entries, 1);
            let segment = Segment::open(&path, PackClass::Data).unwrap();
            for prefix in 0..20_u64 {
                let mut found = vec![];
                segment.find(prefix << 59, &mut found).unwrap();
                let expected: Vec<_> = entries.iter().copied().filter(|entry| entry.prefix == prefix << 59).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
